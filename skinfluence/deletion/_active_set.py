"""Exact deletion of rows under an L1 penalty: smooth refits if the active set does not change."""

from dataclasses import replace

import numpy as np

from skinfluence._class_axis import classes_first, classes_last
from skinfluence._parallel import row_blocks, tracked
from skinfluence.deletion._base import StoredSteps, steps_to_fill
from skinfluence.optimum import is_acceptable_refit, refit

# A violation of an optimality condition below this share of the penalty is rounding.
ROUNDING = 1e-9
# Deletions in a block: enough for a GEMM.
BLOCK_DELETIONS = 256


def active_set_changes(objective, steps, rows, entering=None):
    """Whether the active set or its signs change with the steps (b, K, q) of deletions, (b,).

    They do not change if every active coefficient keeps its sign and, for every inactive
    coefficient, the gradient of the losses without the row is at most the penalty: these are the
    optimality conditions of the refit. Steps that are not finite count as changes.
    """
    theta, penalty = objective.theta, objective.penalty
    signed = objective.active & (np.broadcast_to(penalty.absolute, theta.shape) > 0)
    moved = theta + steps
    finite = np.isfinite(steps).all(axis=(1, 2))
    changes = ~finite | ((np.sign(moved) != np.sign(theta)) & signed).any(axis=(1, 2))
    idle = ~objective.active & ~np.broadcast_to(penalty.fixed_at_zero, theta.shape)
    if not idle.any():
        return changes
    slope = np.abs(_slopes(objective, np.where(finite[:, None, None], steps, 0.0), rows, entering))
    limit = np.broadcast_to(penalty.absolute, (len(rows), *theta.shape))
    if objective.row_penalty is not None:
        own = np.broadcast_to(objective.row_penalty.absolute, theta.shape)
        limit = limit - objective.shares[rows][:, None, None] * own
    beyond = slope > limit * (1.0 + ROUNDING)
    return changes | (beyond & idle).any(axis=(1, 2))


def _slopes(objective, steps, rows, entering):
    """Gradient of the losses after each deletion and its step, (b, K, q)."""
    eta = objective.design.predictors_of(steps) + objective.eta.T[:, :, None]
    loss = objective.loss
    residual = loss.gradient(objective.y[:, None], classes_last(eta, loss.is_scalar))
    residual = objective.weigh(classes_first(residual, loss.is_scalar), axis=1)
    residual[:, rows, np.arange(len(rows))] = 0.0
    gradient = objective.design.gradients_of(residual)
    if entering is not None:
        at = np.arange(len(rows))
        slopes = entering.slopes(objective, eta[:, entering.rows, at].T)
        gradient += objective.design.outer(slopes, entering.rows).reshape(gradient.shape)
    return gradient


def set_changes(objective, deletion):
    """Whether the active set or its signs change with each step of a Deletion, (r,)."""
    changes = np.zeros(len(deletion), dtype=bool)
    for part in _blocks(objective, len(deletion)):
        entering = None if deletion.entering is None else deletion.entering.take(part)
        changes[part] = _changes_of(objective, deletion.steps(part), deletion.rows[part], entering)
    return changes & ~deletion.idle


def _changes_of(objective, steps, rows, entering):
    """Whether the active set or its signs change, (b,); for separate outputs, in any of them."""
    if not objective.loss.is_separable:
        return active_set_changes(objective, steps, rows, entering)
    found = [
        active_set_changes(
            objective.output(k), steps[:, [k]], rows, _output(objective, entering, k)
        )
        for k in range(objective.n_outputs)
    ]
    return np.any(found, axis=0)


def _output(objective, entering, k):
    """The rows that enter for output k alone, for a loss whose outputs are separate."""
    if entering is None:
        return None
    _, y, share = objective.loss.output(entering.y, k)
    weight = entering.weight if share is None else entering.weight * share
    return replace(entering, y=y, weight=weight)


def _blocks(objective, n_deletions):
    """Slices of deletions whose residuals fit scikit-learn's working_memory."""
    width = 8 * objective.n_outputs * (4 * objective.n_rows + 4 * objective.design.shape[1])
    return row_blocks(n_deletions, width, at_most=BLOCK_DELETIONS)


class ActiveSetExact(StoredSteps):
    """Refits without each row under an L1 penalty.

    First a smooth refit on the active set of the full fit; if the active set or a sign changes, a
    refit of all coefficients.

    Parameters
    ----------
    objective : Objective
        Objective under an elastic net, at its optimum.
    curvature : ActiveCurvature
    rows : ndarray of int
    on_set : callable
        `on_set(objective, curvature, rows)`: Deletion of rows from the smooth objective on the
        active set.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" if the active set and its signs do not change, "refined" if they do, "undefined".
    changes : ndarray of bool, shape (r,)
        Whether the active set or a sign changes.
    own_error, own_bound : ndarray of shape (r,)
        Errors of each row's own predictor; the bound is inf if the active set or a sign changes.
    leverage : Leverage
    """

    def __init__(self, objective, curvature, rows, on_set, *, progress=None):
        smooth = on_set(objective.on_active_set(), curvature.inner, rows)
        # Rows whose refit does not converge here are refitted below.
        idle, undefined = smooth.idle, smooth.undefined.copy()
        undefined[getattr(smooth, "failed", idle)] = False
        steps = steps_to_fill(objective, len(rows), 0.0)
        changes = np.zeros(len(rows), dtype=bool)
        for part in _blocks(objective, len(rows)):
            steps[part][:, :, curvature.columns] = smooth.steps(part)
            changes[part] = active_set_changes(objective, steps[part], rows[part])
        steps[idle] = 0.0
        changes &= ~idle & ~undefined
        for position in tracked(np.flatnonzero(changes), progress):
            steps[position] = _refitted(objective, rows[position], steps[position])
        undefined |= ~np.isfinite(steps).all(axis=(1, 2))
        super().__init__(objective, rows, undefined, steps, idle)
        self.leverage, self.changes = curvature.leverage(rows), changes
        self.routes = np.where(changes, "refined", smooth.routes)
        self.routes[undefined] = "undefined"
        self.own_error = np.where(changes, 0.0, smooth.own_error)
        self.own_bound = np.where(changes, np.inf, smooth.own_bound)


def _refitted(objective, row, step):
    """Step to the optimum without a row, from another step; NaN where that does not converge."""
    optimum = refit(objective.without(row), step)
    if not is_acceptable_refit(optimum):
        return np.full(step.shape, np.nan)
    return optimum.objective.theta - objective.theta


class SeparateExact(StoredSteps):
    """Refits without each row under an L1 penalty, for a loss with separate outputs.

    Parameters
    ----------
    objective : Objective
    deletions : list of ActiveSetExact
        Deletions of `objective.output(k)`, one for each output.
    leverage : Leverage
        Leverage blocks of all outputs.
    """

    def __init__(self, objective, deletions, leverage):
        first = deletions[0]
        steps = np.concatenate([each.steps(slice(None)) for each in deletions], axis=1)
        undefined = np.any([each.undefined for each in deletions], axis=0)
        super().__init__(objective, first.rows, undefined, steps, first.idle)
        self.leverage = leverage
        self.changes = np.any([each.changes for each in deletions], axis=0)
        self.routes = np.where(self.changes, "refined", first.routes)
        self.routes[undefined] = "undefined"
        self.own_error = np.max([each.own_error for each in deletions], axis=0)
        self.own_bound = np.max([each.own_bound for each in deletions], axis=0)
