"""Newton's method for every penalty."""

from dataclasses import replace

import numpy as np

from skinfluence.optimum._active_set import proximal_step
from skinfluence.optimum._chord import SmoothSteps
from skinfluence.optimum._newton import TOLERANCE, descend, line_search

# From a solver's early stop on data all but separable under a penalty all but 0, each Newton step
# divides the log loss by e: many are needed.
MAX_STEPS = 50
# Stationarity of a fit, relative to the share of curvature that its intercepts have: where no row
# is near a kink a small gradient is far from the optimum. Further steps, and the least it can be.
NEAR, NEAR_STEPS, FLOOR = 1e-9, 10, 1e-15


def polish(objective, *, max_steps=MAX_STEPS, tolerance=TOLERANCE, kind="auto", floor=0.0):
    """Take Newton steps, halved until they help, until every coordinate's gradient vanishes.

    Under an L1 penalty each is the optimum of a quadratic model with that penalty. A factor that is
    dear serves further steps (chords) as long as they do; where H is not factored the solves are as
    rough as the steps allow.

    Parameters
    ----------
    objective : Objective
        At any parameter with finite predictors.
    max_steps : int
        At most so many steps.
    tolerance : float
        Bound on `Objective.stationarity`.
    kind : str
        Representation of the curvature.
    floor : float
        Added to the curvature of unpenalised columns in the steps, not in the objective: for those
        that may be flat.

    Returns
    -------
    Optimum
        Never raises on a singular or indefinite curvature: it reports it.
    """
    limits = {"max_steps": max_steps, "tolerance": tolerance}
    if objective.penalty.is_kinked:
        return descend(objective.without_rounded_coefficients(), proximal_step, **limits)
    steps = SmoothSteps(kind, floor, tolerance)
    found = descend(objective, steps.next_step, steps.further, **limits)
    return _until_saturated_rows_rest(found, steps, **limits) if found.converged else found


def _until_saturated_rows_rest(optimum, steps, *, max_steps, tolerance):
    """Go on from a small gradient while the next step still moves predictors, where rows saturate.

    Rows of a probability of 1e-11 may alone hold a direction; their gradient, and its error, is
    nothing beside the terms of the others. What float64 cannot lower further is an optimum.
    """
    objective, n_steps = optimum.objective, optimum.n_steps
    while n_steps < max_steps and steps.moves_saturated_rows(objective):
        try:
            moved = line_search(objective, *steps.next_step(objective))
        except np.linalg.LinAlgError:
            break
        if moved is None or not moved.stationarity <= tolerance:
            break
        objective, n_steps = moved, n_steps + 1
    return replace(optimum, objective=objective, n_steps=n_steps)


def polish_intercepts(optimum):
    """Go on from an optimum whose free intercepts are nearly flat, as far as float64 allows.

    Between the classes of a hinge, say, where the curvature is that of the tails of a temperature.

    Parameters
    ----------
    optimum : Optimum
        Of a loss with a temperature.

    Returns
    -------
    Optimum
        The same where the intercepts have curvature, or do not depend on it.
    """
    objective = optimum.objective
    free = np.broadcast_to(objective.free_intercepts, objective.n_outputs)
    if not (optimum.is_settled and objective.loss.temperature > 0 and free.any()):
        return optimum
    wanted = max(FLOOR, NEAR * float(objective.intercept_curvatures[free].min()))
    if objective.stationarity <= wanted or objective.vanished_intercepts.any():
        return optimum
    further = polish(objective, max_steps=NEAR_STEPS, tolerance=wanted)
    if not further.objective.stationarity < objective.stationarity:
        return optimum
    n_steps = optimum.n_steps + further.n_steps
    return replace(optimum, objective=further.objective, n_steps=n_steps)
