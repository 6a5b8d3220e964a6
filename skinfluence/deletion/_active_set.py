"""Theta without a row under an L1 penalty: smooth refits while the active set stays the same."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skinfluence._class_axis import classes_first, classes_last
from skinfluence._parallel import row_blocks, tracked
from skinfluence.deletion._base import StoredSteps
from skinfluence.optimum import is_acceptable_refit, refit

# Violation of an optimality condition that is rounding, relative to the penalty.
ROUNDING = 1e-9
# Deletions a block: wide enough for a GEMM.
BLOCK_DELETIONS = 256


def active_set_changes(objective, steps, rows):
    """Whether the active set changes by the steps (b, K, q) of deletions, (b,).

    It does not where every active coefficient keeps its sign and no other one's slope without the
    row exceeds the penalty: then the optimum with these signs is the refit. Steps that are not
    finite count as changes.
    """
    theta, penalty = objective.theta, objective.penalty
    signed = objective.active & (np.broadcast_to(penalty.absolute, theta.shape) > 0)
    moved = theta + steps
    finite = np.isfinite(steps).all(axis=(1, 2))
    changes = ~finite | ((np.sign(moved) != np.sign(theta)) & signed).any(axis=(1, 2))
    idle = ~objective.active & ~np.broadcast_to(penalty.fixed_at_zero, theta.shape)
    if not idle.any():
        return changes
    slope = np.abs(_slopes(objective, np.where(finite[:, None, None], steps, 0.0), rows))
    limit = np.broadcast_to(penalty.absolute, (len(rows), *theta.shape))
    if objective.row_penalty is not None:
        own = np.broadcast_to(objective.row_penalty.absolute, theta.shape)
        limit = limit - objective.shares[rows][:, None, None] * own
    beyond = slope > limit * (1.0 + ROUNDING)
    return changes | (beyond & idle).any(axis=(1, 2))


def _slopes(objective, steps, rows):
    """Slope of the losses of the other rows in every coefficient, (b, K, q)."""
    eta = objective.design.predictors_of(steps) + objective.eta.T[:, :, None]
    loss = objective.loss
    residual = loss.gradient(objective.y[:, None], classes_last(eta, loss.is_scalar))
    residual = classes_first(residual, loss.is_scalar) * objective.sample_weight[:, None]
    residual[:, rows, np.arange(len(rows))] = 0.0
    return objective.design.gradients_of(residual)


def set_changes(objective, deletion):
    """Whether the active set changes by each step of a Deletion, (r,)."""
    changes = np.zeros(len(deletion), dtype=bool)
    for part in _blocks(objective, len(deletion)):
        changes[part] = _changes_of(objective, deletion.steps(part), deletion.rows[part])
    return changes & ~deletion.idle


def _changes_of(objective, steps, rows):
    """Whether the active set changes, (b,): in any output, where outputs share nothing."""
    if not objective.loss.is_separable:
        return active_set_changes(objective, steps, rows)
    found = [
        active_set_changes(objective.output(k), steps[:, [k]], rows)
        for k in range(objective.n_outputs)
    ]
    return np.any(found, axis=0)


def _blocks(objective, n_deletions):
    """Slices over deletions whose residuals fit in memory."""
    width = 8 * objective.n_outputs * (4 * objective.n_rows + 4 * objective.design.shape[1])
    return row_blocks(n_deletions, width, at_most=BLOCK_DELETIONS)


class ActiveSetExact(StoredSteps):
    """theta_-i, converged: a smooth refit on the active set, and where that changes a full one.

    Parameters
    ----------
    objective : Objective
        Under an elastic net, at its optimum.
    curvature : ActiveCurvature
    rows : ndarray of int
    on_set : callable
        `on_set(objective, curvature, rows)`: Deletion of rows from the smooth objective on the
        active set.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" where the active set stays, "refined" where it changes, "undefined".
    changes : ndarray of bool, shape (r,)
        Where it changes.
    own_error, own_bound : ndarray of shape (r,)
        Of the predictor of each row; inf for the bound where the set changes.
    leverage : Leverage
    """

    def __init__(self, objective, curvature, rows, on_set, *, progress=None):
        with warnings.catch_warnings():  # what does not converge there is refitted below
            warnings.simplefilter("ignore", ConvergenceWarning)
            smooth = on_set(objective.on_active_set(), curvature.inner, rows)
        idle, undefined = smooth.idle, smooth.undefined.copy()
        steps = np.zeros((len(rows), *objective.theta.shape))
        changes = np.zeros(len(rows), dtype=bool)
        for part in _blocks(objective, len(rows)):
            steps[part][:, :, curvature.columns] = smooth.steps(part)
            changes[part] = active_set_changes(objective, steps[part], rows[part])
        steps[idle] = 0.0
        changes &= ~idle & ~undefined
        for position in tracked(np.flatnonzero(changes), progress):
            steps[position] = _refitted(objective, rows[position], steps[position])
        super().__init__(objective, rows, undefined, steps, idle)
        self.leverage, self.changes = curvature.leverage(rows), changes
        self.routes = np.where(changes, "refined", smooth.routes)
        self.own_error = np.where(changes, 0.0, smooth.own_error)
        self.own_bound = np.where(changes, np.inf, smooth.own_bound)
        failed = rows[changes & ~np.isfinite(steps).all(axis=(1, 2))].tolist()
        if failed:
            warnings.warn(
                f"the refits without rows {failed[:10]} did not converge; they are NaN.",
                ConvergenceWarning,
                stacklevel=3,
            )


def _refitted(objective, row, step):
    """Step to the optimum without a row, from another step; NaN where that does not converge."""
    optimum = refit(objective.without(row), step)
    if not is_acceptable_refit(optimum):
        return np.full(step.shape, np.nan)
    return optimum.objective.theta - objective.theta


class SeparateExact(StoredSteps):
    """Refits under an L1 penalty of outputs that share nothing, from one deletion of each.

    Parameters
    ----------
    objective : Objective
    deletions : list of ActiveSetExact
        Of `objective.output(k)`.
    leverage : Leverage
        Of all outputs.
    """

    def __init__(self, objective, deletions, leverage):
        first = deletions[0]
        steps = np.concatenate([each.steps(slice(None)) for each in deletions], axis=1)
        undefined = np.any([each.undefined for each in deletions], axis=0)
        super().__init__(objective, first.rows, undefined, steps, first.idle)
        self.leverage = leverage
        self.changes = np.any([each.changes for each in deletions], axis=0)
        self.routes = np.where(self.changes, "refined", first.routes)
        self.own_error = np.max([each.own_error for each in deletions], axis=0)
        self.own_bound = np.max([each.own_bound for each in deletions], axis=0)
