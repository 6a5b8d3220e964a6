"""Implicit steps of rows that enter, each followed by one chord step."""

import numpy as np

from skinfluence._memory import fits
from skinfluence.deletion._base import StoredSteps
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._range import leaving_range
from skinfluence.deletion._rounding import rounding_floor

# Where the second step is longer than this share of the first, the next would still count: those
# changes are refitted.
CONTRACTS = 0.1
# Change of another row's predictor, in units of 1 / M, up to which a chord says what is left:
# beyond it rows of a hinge have crossed the margin, and come to have curvature or lose it.
FARTHEST = 5.0
# How much of the ratio of the two steps the next may be: the second one sees half of what the other
# rows' curvature changes by, the third all, and the first was solved for better than a chord is. A
# test compares the estimates with refits; with 3 in place of 4 a sixth to a third are too low.
GROWTH = 4.0


class SecondStep(StoredSteps):
    """Implicit steps and a chord step after each, which sees how the other rows' curvature changes.

    The gradient at theta + d is that of every row's own loss, whole; it is solved with the old
    curvature and that of the entering row at theta + d. For r changes 4 n P r flops, where the
    implicit steps have P^2 r.

    Parameters
    ----------
    step : RowChange
        Implicit steps.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "newton", "exact" (nothing changes) or "undefined".
    own_error, own_bound : ndarray of shape (r,)
        Of the predictor of the row that enters: what further steps would change there, from the
        lengths of the two, and certified.
    stalled : ndarray of int
        Positions of the changes whose second step is not far shorter than the first, or on whose
        way others change too much, the longest first. Their steps are the implicit ones.
    """

    def __init__(self, step):
        objective, r = step.objective, len(step)
        chord, length = ChordNewton(step, 0.0), np.sqrt(np.maximum(step.squared_length, 0.0))
        steps = np.empty((r, objective.n_parameters))
        error, bound, stalled = np.full(r, np.nan), np.full(r, np.inf), np.zeros(r, dtype=bool)
        M = objective.loss.self_concordance
        per_unit = M if np.isfinite(M) else 0.0
        for part in chord.blocks():
            at = np.arange(r)[part]
            inverse_rows = chord.inverse_rows(at)
            steps[part] = first = chord._newton(at, inverse_rows)
            some = np.isfinite(first).all(axis=1) & ~step.undefined[at] & ~step.idle[at]
            if not some.any():
                continue
            first, inverse_rows, at = first[some], inverse_rows[some], at[some]
            gradient, moved, hidden = chord.gradient(first, at)
            second = -chord.solve(gradient, at, inverse_rows, first)
            size = np.sqrt(np.maximum(-np.einsum("ij,ij->i", gradient, second), 0.0))
            held = chord.certified_size(gradient, size, at, inverse_rows)
            hidden = hidden + step.metric.gradient_rounding[at] + chord.cut_off(at)
            share = size / np.where(length[at] > 0, length[at], 1.0)
            taken = (share <= CONTRACTS) & (per_unit * moved <= FARTHEST)  # not where one is NaN
            stalled[at] = ~taken
            # A step whose own predictor hardly moves says little of what the next would do to it.
            own = chord.own_change(second, at)
            own = np.fmax(own, 0.5 * step.metric.at_own_rows(size, at))
            growth = np.minimum(GROWTH * share, 0.9)
            error[at] = own * (growth / (1.0 - growth) + stalled[at])
            at = at[taken]
            steps[at] = first[taken] + second[taken]
            reached = chord.bound_after(held[taken], moved[taken], at, hidden[taken])
            bound[at] = step.metric.at_own_rows(reached, at)
        order = np.argsort(-length, kind="stable")
        self.stalled = order[stalled[order]]
        steps = steps.reshape(r, *objective.theta.shape)
        super().__init__(objective, step.rows, step.undefined, steps, step.idle)
        self.first, self.curvature, self.entering = step, step.curvature, step.entering
        self.routes = np.full(r, "newton", dtype="<U11")
        self.routes[self.idle], self.routes[self.undefined] = "exact", "undefined"
        rounding = rounding_floor(step, step.curvature)
        self.own_error, self.own_bound = np.fmax(error, rounding), bound + rounding

    @property
    def leverage(self):
        """Leverage blocks of the rows that leave."""
        return self.first.leverage

    @property
    def collapsed(self):
        """Whether a step leaves no positive scale or finite loss, (r,)."""
        gone = leaving_range(self.objective, self.steps, self.rows, self.entering)
        return self.first.collapsed | gone


def can_follow(step):
    """Whether a chord step improves implicit steps: at a smooth optimum, if memory has room."""
    objective = step.objective
    if objective.penalty.is_kinked or objective.trained_loss.is_piecewise_linear:
        return False
    if objective.loss.is_quadratic or not objective.is_at_its_own_optimum:
        return False
    return step.curvature.damping == 0 and fits(16 * len(step) * objective.n_parameters)
