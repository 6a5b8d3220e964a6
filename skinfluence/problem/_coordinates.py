"""Coordinates of a fitted problem that are not those it was fitted in."""

from dataclasses import replace

import numpy as np

from skinfluence.design import column_dependence
from skinfluence.existence import is_unpenalised
from skinfluence.optimum import polish

# Stationarity up to which the coordinates of a kernel are those of the fit.
STATIONARY = 1e-8
# Predictors that are the same but for rounding, as a share of the largest; of float32 data more.
SAME_PREDICTORS = 1e-8


def in_coordinates_of_a_copy(problem):
    """Return a FittedProblem at its optimum in the coordinates of a kernel as a copy finds them.

    Those that are next to 0 have half of the digits, and the gradient in them does not vanish. At
    the optimum the coefficients are the sum of the rows' residuals, in any coordinates.
    """
    objective = problem.objective
    if problem.record.data.space is None or not objective.is_at_its_own_optimum:
        return problem
    if objective.stationarity <= max(STATIONARY, problem.record.stationarity):
        return problem
    theta = objective.theta
    strength = np.broadcast_to(objective.penalty.hessian_diagonal, theta.shape)
    step = np.divide(objective.gradient, strength, out=np.zeros(theta.shape), where=strength > 0)
    moved = objective.evaluated_at(theta - step)
    is_nearer = moved.stationarity < objective.stationarity
    return replace(problem, objective=moved) if is_nearer else problem


def in_independent_columns(problem):
    """Return the FittedProblem of least squares in columns that determine all others."""
    objective = problem.objective
    if not (objective.loss.is_quadratic and is_unpenalised(objective)):
        return problem
    choice = problem.curvature_choice()
    if choice.kind != "dense":
        return problem
    try:
        problem.curvature()
        return problem
    except np.linalg.LinAlgError:
        dependence = column_dependence(objective.design, objective.sample_weight)
    n_live = np.count_nonzero(objective.sample_weight)
    if dependence is None or len(dependence.kept) >= n_live:  # every row is fitted exactly
        return problem
    theta = dependence.parameters(objective.theta)
    moved = polish(objective.in_columns(dependence.kept, theta)).objective
    missed = np.abs(moved.eta - objective.eta).max()
    rounding = max(SAME_PREDICTORS, 100.0 * objective.design.eps)
    if not missed <= rounding * np.abs(objective.eta).max():
        return problem
    return replace(problem, objective=moved, dependence=dependence)
