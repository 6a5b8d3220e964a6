"""method="auto": a Newton step for every row, and the refit where the step is long."""

import numpy as np

from skinfluence.deletion._active_set import set_changes
from skinfluence.deletion._base import DOMINANT
from skinfluence.deletion._mixed import MixedDeletion
from skinfluence.deletion._newton_error import RESIDUAL_FLOPS, NewtonError
from skinfluence.deletion._one_step import OneStep

# Share of the effects, in the root mean square over the rows, that Newton steps may miss in all, in
# the norm of the curvature. Test rows may see little of the longest steps and much of others: with
# .004 a tenth of the heads of networks in `python -m benchmarks.neural` were off by 1 to 2.5 %.
MISSED = 0.0014
# Share of the longest step up to which it does not matter that a step says little of the refit.
SHORT = 0.004
# Error of a single Newton step, relative to its length, from which it is refitted in any case.
UNRELIABLE = 0.25
# What refits may cost: a share of the flops of the Newton question, and so many flops beside it
# (about a tenth of a second). Both are counted, and the longest steps come first: more rows lower
# the share that is refitted little by little, without a jump.
COST_SHARE = 0.3
FREE_FLOPS = 2e9


def refit_flops(objective):
    """Estimated cost of the refit without one row, in flops."""
    n, K = objective.n_rows, objective.n_outputs
    width = min(int(objective.active.sum()), n * K)
    return 3.0 * (4.0 * n * width + RESIDUAL_FLOPS * n * K + 2.0 * width * width)


def question_flops(objective, n_deletions, n_test):
    """Estimated cost of Newton steps read at test rows, in flops: factor, leverages, products."""
    # In the space of the rows where there are fewer of them than parameters.
    P = min(objective.n_parameters, objective.n_rows * objective.n_outputs)
    return P**3 / 3.0 + 2.0 * n_deletions * P * P + 2.0 * n_test * P * (n_deletions + P)


def refits_within_budget(objective, n_deletions, n_test):
    """Number of refits that "auto" may take beside Newton steps read at so many test rows."""
    flops = FREE_FLOPS + COST_SHARE * question_flops(objective, n_deletions, n_test)
    return int(min(n_deletions, flops / refit_flops(objective)))


def longest_steps(error, estimate, undefined, budget):
    """Positions of the Newton steps that are to be refitted, ascending.

    The rows are ranked by the length of their steps: where one is long the target is read far from
    the fit, and its estimated error is least known. From the longest down so many are refitted that
    the estimated errors of the rest are below MISSED of all effects, in the root mean square; and
    those whose own estimate or leverage says that the step is unreliable. What is left of the error
    on 100 splits is in the table of `python -m benchmarks.steps`.

    Parameters
    ----------
    error : NewtonError
    estimate : ndarray of shape (r,)
        Estimated errors of the steps at the rows' own predictors.
    undefined : ndarray of bool, shape (r,)
    budget : int
        Number of refits, at most.
    """
    length, missed = _lengths(error, estimate, undefined)
    order = np.argsort(-length, kind="stable")
    rest = np.sqrt(np.cumsum((missed[order] ** 2)[::-1])[::-1])
    n_long = int(np.count_nonzero(rest > MISSED * np.sqrt(np.sum(length**2))))
    wanted = np.zeros(len(length), dtype=bool)
    wanted[order[:n_long]] = True
    wanted |= _unreliable(error, length, missed)
    wanted = order[wanted[order] & (length[order] > 0)]
    return np.sort(wanted[:budget])


def _lengths(error, estimate, undefined):
    """Lengths of the Newton steps, and what they are estimated to miss, (r,) each."""
    collapsed = error.one_step.collapsed & ~undefined
    known = ~(undefined | collapsed)
    length = np.where(known, np.nan_to_num(error.length, nan=0.0, posinf=1e300), 0.0)
    # A row without a Newton step counts as the longest.
    length[collapsed] = max(length.max(initial=0.0), np.finfo(float).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = estimate / error.metric.own_row_norm
    # An unknown error is taken for the whole step.
    return length, np.where(np.isfinite(missed), np.minimum(missed, length), length)


def _unreliable(error, length, missed):
    """Whether a step says little of the refit: by its estimate, its leverage or its active set."""
    found = missed > UNRELIABLE * length
    with np.errstate(invalid="ignore"):
        found |= error.one_step.row_leverages > DOMINANT
    found &= length > SHORT * length.max(initial=0.0)
    if error.objective.penalty.is_kinked:
        found |= set_changes(error.objective, error.one_step)
    return found | error.one_step.collapsed


def delete_by_length(objective, curvature, rows, exactly, *, n_test=0, progress=None):
    """Return the MixedDeletion of rows; `exactly(rows, leverage)` are refits without some rows."""
    newton = OneStep(objective, curvature, rows, corrected=True)
    error = NewtonError(newton)
    rough = error.estimate(rough=True)
    budget = refits_within_budget(objective, len(rows), n_test)
    wanted = longest_steps(error, rough, newton.undefined, budget)
    exact = exactly(rows[wanted], newton.leverage.take(wanted))
    return MixedDeletion(newton, exact, wanted, error=rough)


class RefitsOnDemand:
    """Newton steps of rows, replaced by refits for those that are asked for.

    Parameters
    ----------
    objective, curvature, rows : Objective, Curvature, ndarray of int
    exactly : callable
        `exactly(rows, leverage)` are the refits without some rows, of known leverage.
    n_test : int
        Number of test rows the steps are read at, for the budget.
    is_exact : bool
        Whether all rows asked for are refitted, or the longest steps within the budget of "auto".

    Attributes
    ----------
    deletion : Deletion
        As it is now.
    refitted : ndarray of bool, shape (r,)
    unreliable : ndarray of int
        Positions of the steps that say little of the refit.
    """

    def __init__(self, objective, curvature, rows, exactly, *, n_test=0, is_exact=False):
        self._newton = OneStep(objective, curvature, rows, corrected=True)
        error = NewtonError(self._newton)
        rough = error.estimate(rough=True)
        self._length, missed = _lengths(error, rough, self._newton.undefined)
        budget = refits_within_budget(objective, len(rows), n_test)
        self._left = len(rows) if is_exact else budget
        self._exactly = exactly
        unreliable = _unreliable(error, self._length, missed)
        if objective.penalty.is_kinked:
            # A row that no active coefficient sees has a step of 0, and its refit may have others.
            unseen = (self._length == 0) & objective.residuals[rows].any(axis=1)
            unseen &= ~self._newton.idle & ~self._newton.undefined
            self._length[unseen] = np.finfo(float).tiny
            unreliable = unreliable | unseen
        self.unreliable = np.flatnonzero(unreliable)
        self.refitted = np.zeros(len(rows), dtype=bool)
        nothing = np.zeros(0, dtype=int)
        self.deletion = MixedDeletion(self._newton, self._newton, nothing, error=rough)

    def refine(self, positions):
        """Refit without some rows, the longest steps first; return whether any was left to do."""
        new = np.unique(positions)
        new = new[~self.refitted[new] & (self._length[new] > 0)]
        new = new[np.argsort(-self._length[new], kind="stable")][: self._left]
        if not len(new):
            return False
        new = np.sort(new)
        self._left -= len(new)
        self.refitted[new] = True
        exact = self._exactly(self._newton.rows[new], self._newton.leverage.take(new))
        self.deletion = MixedDeletion(self.deletion, exact, new)
        return True
