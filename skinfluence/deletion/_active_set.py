"""Theta without a row under an L1 penalty: by descent where the active set does not stay."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skinfluence._parallel import row_blocks, tracked
from skinfluence.deletion._base import StoredSteps, predictors_of_steps
from skinfluence.optimum import is_acceptable_refit, refit

# Violation of an optimality condition that is rounding, relative to the penalty.
ROUNDING = 1e-9
# Deletions a block: wide enough for a GEMM.
BLOCK_DELETIONS = 256


def active_set_changes(objective, steps, rows):
    """Whether the steps (b, K, q) of deletions leave the signs or the zeros of the fit, (b,).

    They do not where every active coefficient keeps its sign and no other one's slope without the
    row exceeds the penalty: then the optimum with these signs is the refit. Steps that are not
    finite change everything.
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
    eta = predictors_of_steps(objective.design, steps) + objective.eta.T[:, :, None]
    native = eta[0] if objective.loss.is_scalar else np.moveaxis(eta, 0, -1)
    residual = objective.loss.gradient(objective.y[:, None], native)
    residual = residual[None] if objective.loss.is_scalar else np.moveaxis(residual, -1, 0)
    residual = residual * objective.sample_weight[:, None]
    residual[:, rows, np.arange(len(rows))] = 0.0
    return np.stack([objective.design.transpose_matmul(each).T for each in residual], axis=1)


def set_changes(objective, deletion):
    """The same for every row of a deletion, (r,), in blocks."""
    changes = np.zeros(len(deletion), dtype=bool)
    for part in _blocks(objective, len(deletion)):
        changes[part] = _changes_of(objective, deletion.steps(part), deletion.rows[part])
    return changes & ~deletion.idle


def _changes_of(objective, steps, rows):
    """Output by output where they share nothing: the conditions are theirs."""
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
        `on_set(objective, curvature, rows)` without rows of the smooth objective on the active set.

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
        steps = np.zeros((len(rows), *objective.theta.shape))
        super().__init__(objective, rows, smooth.undefined.copy(), steps, smooth.idle)
        self.leverage = curvature.leverage(rows)
        self.routes = smooth.routes.copy()
        self.changes = np.zeros(len(rows), dtype=bool)
        self.own_error = np.array(smooth.own_error)
        self.own_bound = np.array(smooth.own_bound)
        for part in _blocks(objective, len(rows)):
            steps[part][:, :, curvature.columns] = smooth.steps(part)
            self.changes[part] = active_set_changes(objective, steps[part], rows[part])
        steps[self.idle] = 0.0
        self.changes &= ~self.idle & ~self.undefined
        self._refit(objective, curvature, tracked(np.flatnonzero(self.changes), progress))

    def _refit(self, objective, curvature, positions):
        """Descend from the steps at hand for the rows whose active set changes."""
        unconverged = []
        for position in positions:
            optimum = refit(objective.without(self.rows[position]), self._steps[position])
            self.routes[position] = "refined"
            self.own_bound[position], self.own_error[position] = np.inf, 0.0
            if not is_acceptable_refit(optimum):
                unconverged.append(int(self.rows[position]))
                self._steps[position] = np.nan
                continue
            self._steps[position] = optimum.objective.theta - objective.theta
        if unconverged:
            warnings.warn(
                f"the refits without rows {unconverged[:10]} did not converge; they are NaN.",
                ConvergenceWarning,
                stacklevel=4,
            )


class SeparateExact(StoredSteps):
    """The same for outputs that share nothing: one deletion each.

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
