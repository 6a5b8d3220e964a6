"""Theta after each of some changes of one row, by any method."""

import numpy as np

from skinfluence._parallel import tracked
from skinfluence._validation import warn
from skinfluence.deletion._auto import question_flops, refit_flops
from skinfluence.deletion._base import StoredSteps, steps_to_fill
from skinfluence.deletion._closed_form import ClosedForm
from skinfluence.deletion._exact import Exact
from skinfluence.deletion._mixed import MixedDeletion
from skinfluence.deletion._newton_error import NewtonError
from skinfluence.deletion._row_change import RowChange, same_labels
from skinfluence.deletion._second_step import SecondStep, can_follow
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class
from skinfluence.hinge_dual import exact_optimum
from skinfluence.optimum import is_acceptable_refit, refit

# Flops that "auto" spends on refits of changes for which one step is rough: some seconds.
ROUGH_FLOPS = 2e11
# What it spends where one step is good, beside a share of the question's own flops.
FREE_FLOPS, COST_SHARE = 2e9, 0.3


def change_rows(
    objective, curvature, method, rows, entering, *, is_rough=True, n_test=0, progress=None
):
    """Return the Deletion of `rows` in whose place others enter, by any method.

    With `is_rough` one step is a poor estimate (another label, another place), and "auto" refits
    as many of the changes as a budget of flops allows, the longest steps first; else it refits the
    long ones, as for removals, and the implicit steps of the others are followed by one chord step.
    """

    def exactly(some):
        return change_exactly(
            objective, curvature, rows[some], entering.take(some), progress=progress
        )

    everything = np.arange(len(rows))
    if method == "exact" or objective.n_parameters == 0:
        return exactly(everything)
    if method == "auto" and _is_quick(objective, curvature, rows, entering):
        return exactly(everything)
    corrected = method != "first_order"
    step = RowChange(
        objective, curvature, rows, entering, corrected=corrected, final=method == "newton"
    )
    if not corrected:
        return step
    unsteady = step.unsteady
    if method == "auto":
        unsteady = unsteady | (step.collapsed & ~step.undefined & ~step.idle)
    wanted, error = np.flatnonzero(unsteady), None
    if method == "auto":
        found = NewtonError(step)
        error, flops = found.estimate(), refit_flops(objective)
        if is_rough:
            wanted = _longest(found, wanted, ROUGH_FLOPS / flops)
        else:
            # The longest first, as far as the budget goes: a row that enters far from all others
            # may be moved little itself, and the others much.
            budget = FREE_FLOPS + COST_SHARE * question_flops(objective, len(rows), n_test)
            wanted = _longest(found, wanted, budget / flops, tells=False)
    bound = None
    if not is_rough and len(wanted) < len(rows) and can_follow(step):
        step = SecondStep(step)
        error, bound = step.own_error, step.own_bound
        stalled = step.stalled[: int(FREE_FLOPS / refit_flops(objective))]
        wanted = np.union1d(wanted, stalled).astype(np.intp)
    if method == "newton" and not len(wanted):
        return step
    return MixedDeletion(step, exactly(wanted), wanted, error, bound)


def _longest(found, wanted, budget, *, tells=True):
    """Positions of the longest steps, as many as the budget has refits; warn of the others."""
    step = found.one_step
    open_ones = ~step.undefined & ~step.idle
    length = np.where(open_ones, np.nan_to_num(found.length, nan=np.inf), -1.0)
    order = np.argsort(-length, kind="stable")[: int(np.count_nonzero(open_ones))]
    chosen = order[: int(budget)]
    left = len(order) - len(chosen)
    if left and tells:
        warn(
            f"{left} of {len(order)} changes are one implicit step, not a refit, which would take "
            "too long; the largest are refits. Pass method='exact' for refits of all, or ask about "
            "fewer rows (train_indices).",
            RuntimeWarning,
        )
    return np.union1d(wanted, chosen).astype(np.intp)


def _is_quick(objective, curvature, rows, entering):
    """Whether every change has a closed form, or can be refitted within the budget."""
    if has_closed_form(objective, curvature, rows, entering):
        return True
    kinked = objective.penalty.is_kinked or objective.trained_loss.is_piecewise_linear
    return kinked and refit_flops(objective) * len(rows) <= ROUGH_FLOPS


def has_closed_form(objective, curvature, rows, entering):
    """Whether one implicit step is the refit after each change."""
    if objective.trained_loss.is_piecewise_linear or objective.penalty.is_kinked:
        return False
    if not objective.loss.is_quadratic:
        return False
    share = np.zeros(len(rows))
    if objective.shares.any():
        share = objective.sample_weight[rows] - entering.weight
    removed = curvature.objective.penalty_weight_removed
    return not objective.penalty_mismatch(share, removed).any()


def change_exactly(objective, curvature, rows, entering, *, progress=None):
    """Return the refits: in closed form, by chord and Newton's method, or one by one."""
    if objective.trained_loss.is_piecewise_linear or objective.penalty.is_kinked:
        return RefittedChanges(objective, rows, entering, progress=progress)
    if has_closed_form(objective, curvature, rows, entering):
        closed = ClosedChange(objective, curvature, rows, entering)
        wanted = np.flatnonzero(closed.unsteady)
        if not len(wanted):
            return closed
        some = RefittedChanges(objective, rows[wanted], entering.take(wanted))
        error, bound = closed.own_error, closed.own_bound
        return MixedDeletion(closed, some, wanted, error, bound, route="exact")
    return Exact(objective, curvature, rows, entering, progress=progress)


class ClosedChange(RowChange):
    """The refit after each change of a quadratic objective, exactly.

    Attributes
    ----------
    routes, own_error, own_bound : ndarray of shape (r,)
        As of :class:`ClosedForm`.
    """

    def __init__(self, objective, curvature, rows, entering):
        super().__init__(objective, curvature, rows, entering, corrected=True)
        self.routes = np.where(self.undefined, "undefined", "exact").astype("<U9")

    own_error = own_bound = ClosedForm.own_error


class RefittedChanges(StoredSteps):
    """Refits one by one after each change, where no step is at hand: kinks of a loss or a penalty.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" or "undefined", where there is no optimum or the refit did not converge.
    own_error, own_bound : ndarray of shape (r,)
        0, as each is an optimum of its own, and inf: there is no certificate.
    """

    def __init__(self, objective, rows, entering, *, progress=None):
        steps = steps_to_fill(objective, len(rows))
        undefined = np.zeros(len(rows), dtype=bool)
        before, after = objective.sample_weight[rows], entering.weight
        same = same_labels(objective.y[rows], entering.y)
        idle = ((before == 0) & (after == 0)) | ((entering.rows == rows) & same & (before == after))
        steps[idle] = 0.0
        for position in tracked(np.flatnonzero(~idle), progress):
            only = np.array([position])
            one = entering.take(only)
            changed = objective.changed(rows[only], one.rows, one.y, one.weight)
            unbounded = is_unpenalised(changed) and not has_optimum(changed)
            theta = None
            if not (lost_a_class(changed, objective) or unbounded):
                theta = refitted(changed)
            undefined[position] = theta is None
            if theta is not None:
                steps[position] = theta - objective.theta
        super().__init__(objective, rows, undefined, steps, idle)
        self.entering = entering
        self.routes = np.where(undefined, "undefined", "exact").astype("<U9")
        self.own_error = np.where(np.isfinite(steps).all(axis=(1, 2)), 0.0, np.nan)
        self.own_bound = np.where(idle, 0.0, np.inf)


def refitted(objective, step=None):
    """Theta at the optimum of an objective that was trained, from a step; None where none is found.

    A hinge by the path of its dual, everything else by Newton's method.
    """
    if objective.trained_loss.is_piecewise_linear:
        found, converged = exact_optimum(objective)
        return found.theta if converged else None
    optimum = refit(objective, np.zeros_like(objective.theta) if step is None else step)
    return optimum.objective.theta if is_acceptable_refit(optimum) else None
