"""Errors of the steps of any deletion."""

import numpy as np

from skinfluence.deletion._active_set import set_changes
from skinfluence.deletion._groups import JointChange, without_group
from skinfluence.deletion._newton_error import NewtonError
from skinfluence.deletion._one_step import OneStep
from skinfluence.optimum import CERTIFIABLE, newton_step


def step_errors(deletion, method, *, quick=False):
    """How each step of a deletion was found, its estimated error and its bound, (r,) each.

    Of the predictor of the deleted row itself, of a group the largest at its rows. With `quick`
    what costs more than the step is left out: NaN, and bounds inf.
    """
    objective = deletion.objective
    if isinstance(deletion, JointChange):
        return _group_errors(deletion, quick=quick)
    if hasattr(deletion, "routes"):
        routes, error, bound = deletion.routes, deletion.own_error, deletion.own_bound
        routes = np.where(deletion.idle & (routes == "newton"), "exact", routes)
        if not quick and isinstance(getattr(deletion, "newton", None), OneStep):
            rest, known = routes == "newton", NewtonError(deletion.newton)
            bound = np.where(rest, known.bound(), bound)
            error = np.where(rest, np.fmin(known.estimate(), bound), error)
    else:
        # With damping "auto" is one Newton step.
        method = "newton" if method == "auto" else method
        routes = np.full(len(deletion), method, dtype="<U11")
        routes[deletion.idle] = "exact"
        error, bound = np.full(len(deletion), np.nan), np.full(len(deletion), np.inf)
        if not quick and deletion.curvature.damping == 0:
            error, bound, _ = one_step_errors(deletion, method)
    error = np.where(deletion.undefined, np.nan, np.where(deletion.idle, 0.0, error))
    bound = np.where(deletion.undefined, np.inf, np.where(deletion.idle, 0.0, bound))
    # The certificate is about an optimum, and the refits of the loss that gives the derivatives.
    if objective.stationarity > CERTIFIABLE or not objective.is_at_its_own_optimum:
        bound = np.full(len(bound), np.inf)
    return np.where(deletion.undefined, "undefined", routes), error, bound


def one_step_errors(deletion, method):
    """Errors of a OneStep deletion by "first_order" or "newton" at each row's own predictor.

    Returns
    -------
    estimate, bound : ndarray of shape (r,)
        Of the Newton step; of a first-order step that of the Newton step and its distance from it.
    changes : ndarray of bool, shape (r,), or None
        Whether the active set of an L1 penalty changes without the row; None without such a one.
    """
    objective, newton, changes = deletion.objective, deletion, None
    if method == "first_order":
        newton = deletion.newton_step()
    error, sampled = NewtonError(newton), newton.curvature.leverage_error(newton.rows)
    # Estimated leverages certify nothing.
    bound = error.bound() if sampled is None else np.full(len(newton), np.inf)
    estimate = np.fmin(error.estimate(), bound)  # no estimate is worth more than a proof
    if objective.penalty.is_kinked:
        changes = set_changes(objective, newton)
        # On the active set nothing is certified of the others' conditions but under squared error.
        bound[changes | (not objective.loss.is_quadratic)] = np.inf
        estimate[changes] = np.nan
    if method == "first_order":
        missing = objective.loss.predictor_norm(newton.own_change() - deletion.own_change())
        estimate, bound = missing + estimate, missing + bound
    if sampled is not None:
        estimate = estimate + _moved_by(newton, sampled)
    estimate[newton.undefined], bound[newton.undefined] = np.nan, np.inf
    return estimate, bound, changes


def _moved_by(newton, error):
    """What an error (r,) of the leverages h moves the rows' own predictors by, (r,).

    They move by (g / W) h / (1 - h), the derivative of which is (g / W) / (1 - h)^2.
    """
    weights = newton.objective.weights[newton.rows][:, 0, 0]
    one_minus = newton.leverage.one_minus[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.abs(newton.objective.residuals[newton.rows][:, 0]) / (weights * one_minus**2)
    return np.where(weights > 0, slope * error, 0.0)


def _group_errors(deletion, *, quick):
    """Errors of group steps: what the next Newton step would change at the group's rows."""
    error = np.where(deletion.idle, 0.0, np.nan)
    bound = np.where(deletion.idle, 0.0, np.inf)
    for position, group in enumerate(deletion.groups):
        if quick or deletion.undefined[position] or deletion.idle[position]:
            continue
        step = deletion.steps(slice(position, position + 1))[0]
        change = _next_change(deletion.changed(position), group, step)
        error[position] = change.max(initial=0.0)
    return deletion.routes, error, bound


def next_group_change(objective, group, step):
    """Size (k,) of what the next Newton step without a group changes at its rows' predictors."""
    return _next_change(without_group(objective, group), group, step)


def _next_change(objective, rows, step):
    """Size (k,) of what Newton's step from theta + `step` changes at some rows' predictors.

    NaN where it has none: where the step has gone so far that the curvature is singular.
    """
    try:
        after = newton_step(objective.at(objective.theta + step))
    except np.linalg.LinAlgError:
        return np.full(len(rows), np.nan)
    return objective.loss.predictor_norm(objective.design.dense(rows) @ after.T)
