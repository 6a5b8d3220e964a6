"""Exact deletion of rows of a support vector machine, by the path of its dual."""

import numpy as np

from skinfluence._parallel import one_thread, row_blocks, tracked
from skinfluence.deletion._base import StoredSteps, steps_to_fill
from skinfluence.existence import last_rows_of_a_class
from skinfluence.hinge_dual import HingeDual, duals_of


class HingeRefits:
    """Refits of all outputs of a hinge objective without some rows.

    Parameters
    ----------
    objective : Objective
        Objective with a piecewise linear `trained_loss`, at its optimum.
    """

    def __init__(self, objective):
        self.objective, self.duals = objective.trained(), duals_of(objective)

    @property
    def row_leverages(self):
        """Number of outputs in which a row is free, on the margin, (n,).

        The sum over rows is the divergence of the fit (Gunter & Zhu, Neural Computation 19, 2007).
        """
        return np.sum([dual.is_free for dual in self.duals], axis=0, dtype=float)

    def steps(self, groups):
        """Return (theta without each group minus theta, largest violation of a margin condition).

        They are (b, K, q) and (b,).
        """
        steps = np.empty((len(groups), *self.objective.theta.shape))
        violation = np.zeros(len(groups))
        for k, dual in enumerate(self.duals):
            change = np.empty((len(groups), self.objective.n_rows))
            intercept, left = np.empty(len(groups)), np.empty(len(groups))
            with one_thread():  # its products are with single rows
                for position, group in enumerate(groups):
                    change[position], intercept[position], left[position] = dual.without(group)
            steps[:, k] = dual.thetas_of(change, intercept)
            self._see_rows_off_the_path(dual, groups, change, steps[:, k], left)
            # A path that rounding has led astray may end near the optimum, but not at it.
            for position in np.flatnonzero(~(left <= dual.rounding)):
                alpha = dual.alpha + dual.sign * change[position]
                again, worst = self._again(k, alpha, groups[position])
                if worst < left[position] or not left[position] <= dual.tolerance:
                    steps[position, k], left[position] = again, worst
            violation = np.maximum(violation, left)
        return steps, violation

    def _see_rows_off_the_path(self, dual, groups, change, steps, left):
        """Put violations by rows off the path into those without each group, `left` (b,)."""
        if dual.follows_all:
            return
        eta = dual.objective.eta + self.objective.design @ steps.T
        for position in np.flatnonzero(left <= dual.tolerance):
            alpha = dual.alpha + dual.sign * change[position]
            worst = dual.violation_of(alpha, eta[:, position], groups[position])
            left[position] = worst if worst > dual.tolerance else left[position]

    def _again(self, k, alpha, removed):
        """Solve again with all rows as candidates, from a guess of the dual variables."""
        dual = self.duals[k]
        delta = np.zeros(len(alpha))
        delta[removed] = -dual.cap[removed]
        rest = HingeDual(dual.objective.reweighted(delta), alpha, n_candidates=len(alpha))
        if not rest.converged:
            return np.nan, np.inf
        return (rest.objective.theta - dual.objective.theta)[0], rest.violation


class HingeExact(StoredSteps):
    """Refits of a support vector machine without each row, by the decremental path of its dual.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" or "undefined".
    own_bound : ndarray of shape (r,)
        Always inf: there is no certificate.
    own_error : ndarray of shape (r,)
        Largest violation of a margin condition at the end of the path.
    row_leverages : ndarray of shape (r,)
        Leverages as in :class:`HingeRefits`.
    """

    row_leverages = None

    def __init__(self, objective, rows, *, progress=None):
        refits = HingeRefits(objective)
        undefined = last_rows_of_a_class(objective)[rows]
        steps = steps_to_fill(objective, len(rows))
        self.own_error = np.full(len(rows), np.nan)
        wanted = np.flatnonzero(~undefined)
        blocks = row_blocks(len(wanted), 24 * objective.n_rows, at_most=256)
        for part in tracked(blocks, progress):
            at = wanted[part]
            steps[at], self.own_error[at] = refits.steps(list(rows[at][:, None]))
        undefined |= ~np.isfinite(self.own_error)
        super().__init__(objective, rows, undefined, steps)
        self.row_leverages = refits.row_leverages[rows]
        self.own_bound = np.full(len(rows), np.inf)
        self.routes = np.where(undefined, "undefined", "exact").astype("<U9")
