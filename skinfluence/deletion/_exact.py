"""Refits to the accuracy of the fit itself: in blocks, and one by one where these fail."""

import numpy as np

from skinfluence._backend import symmetric_eigenvalues
from skinfluence._parallel import map_ordered, row_blocks, tracked
from skinfluence.curvature import make_dense
from skinfluence.deletion._base import StoredSteps, steps_to_fill
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._newton_cg import NewtonCG
from skinfluence.deletion._one_step import OneStep
from skinfluence.deletion._range import has_range, leaving_range
from skinfluence.deletion._rounding import rounding_floor
from skinfluence.deletion._row_change import RowChange
from skinfluence.deletion.metric import at_rows
from skinfluence.design import dense_design
from skinfluence.objective import Objective
from skinfluence.optimum import is_acceptable_refit, newton_step, refit
from skinfluence.penalties import L2

# One minus a leverage that has lost half its digits. The metric of the row's deletion, which is
# divided by it, and all that is certified in it are then meaningless: the refit starts anew.
UNTRUSTED = 1e-8
# A step beyond this many times the parameters is no start for Newton's method.
FARTHEST = 1e8
TOLERANCE = 1e-8  # of the coefficients, relative to `Objective.coefficient_unit`


class Exact(StoredSteps):
    """theta_-i, converged.

    By three methods in turn, each for the rows that the one before has not brought to the
    tolerance: chord steps in blocks of rows, Newton's method with conjugate gradients in blocks,
    and a safeguarded Newton's method row by row.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" (chord), "refined" (Newton's method, at the row's own curvature) or "undefined".
    bound : ndarray of shape (r,)
        Certified distance to the refit in the norm of its curvature at theta; inf where there is no
        certificate.
    own_error : ndarray of shape (r,)
        Size of the last step at the row's own predictor.
    leverage : Leverage
    failed : ndarray of bool, shape (r,)
        Whether a refit did not converge; undefined as well.
    """

    def __init__(
        self,
        objective,
        curvature,
        rows,
        entering=None,
        *,
        leverage=None,
        tolerance=TOLERANCE,
        progress=None,
    ):
        working, curvature, self._lift = in_row_space(objective, curvature)
        if entering is None:
            known = leverage if working is objective else None
            start = OneStep(working, curvature, rows, corrected=True, leverage=known)
        else:
            start = RowChange(working, curvature, rows, entering, corrected=True)
        refits = _Refits(ChordNewton(start, tolerance))
        refits.run(progress)
        super().__init__(objective, rows, refits.undefined, refits.steps, start.idle)
        self.failed = refits.undefined & ~start.undefined
        self.entering = entering
        self.leverage, self.routes = start.leverage, refits.routes
        self.bound = refits.bound
        self._own_row_norm = start.metric.own_row_norm
        # In the columns of the working objective, which are fewer.
        self._working = StoredSteps(working, rows, start.undefined, refits.steps)
        self._working.leverage = start.leverage
        # These turn the rows, each of which keeps the rounding of its own size.
        terms = objective.predictor_terms
        self._rounding = rounding_floor(self._working, curvature, refitted=True, least_terms=terms)
        self.own_error = np.fmax(refits.own_error, self._rounding)

    @property
    def own_bound(self):
        """Certified error of each row's own predictor, inf where there is none."""
        return at_rows(self.bound, self._own_row_norm) + self._rounding

    def steps(self, part):
        return self._lift(self._steps[part])

    def own_change(self):
        return self._working.own_change()


class _Refits:
    """The refits of Exact while they are computed, in the columns of the working objective.

    Parameters
    ----------
    chord : ChordNewton
    """

    def __init__(self, chord):
        one_step = chord.one_step
        self.chord, self.objective, self.rows = chord, chord.objective, one_step.rows
        self.undefined = one_step.undefined.copy()
        r = len(self.rows)
        self.steps = steps_to_fill(self.objective, r)
        self.bound, self.own_error = np.full(r, np.inf), np.zeros(r)
        self.routes = np.where(self.undefined, "undefined", "exact").astype("<U9")
        one_minus = symmetric_eigenvalues(one_step.leverage.one_minus)[:, 0]
        self.is_untrusted = ~(one_minus > UNTRUSTED)

    def run(self, progress):
        """Refit without every row."""
        parts = self.chord.blocks()
        results = tracked(map_ordered(self.chord.run, parts), progress, total=len(parts))
        unconverged = [np.zeros(0, dtype=int)]
        for part, result in zip(parts, results, strict=True):
            unconverged.append(self._record(np.arange(part.start, part.stop), result))
        self._one_by_one(self._by_newton_cg(np.concatenate(unconverged)))
        self._drop_unidentified()
        self._drop_outside()

    def _drop_outside(self):
        """Declare refits undefined that put a row which stays where its loss is infinite.

        Derivatives may go on beyond the range, to an optimum that is none.
        """
        known, entering = np.flatnonzero(~self.undefined), self.chord.one_step.entering
        if not has_range(self.objective):
            return
        gone = leaving_range(
            self.objective,
            lambda part: self.steps[known[part]],
            self.rows[known],
            None if entering is None else entering.take(known),
        )
        self._declare_undefined(known[gone])

    def _declare_undefined(self, positions):
        """No refit of these rows counts."""
        self.routes[positions], self.undefined[positions] = "undefined", True
        self.steps[positions], self.own_error[positions] = np.nan, np.nan

    def _drop_unidentified(self):
        """Declare refits undefined at which an unpenalised intercept has lost its curvature."""
        one_step, known = self.chord.one_step, np.flatnonzero(~self.undefined)
        if self.objective.loss.temperature == 0:
            return
        for part in row_blocks(len(known), 8 * self.objective.eta.size):
            at = known[part]
            moved = np.abs(self.objective.design.predictors_of(self.steps[at])).max(axis=(0, 1))
            for position in at[self.objective.may_lose_intercepts(self.rows[at], moved)]:
                theta = self.objective.theta + self.steps[position]
                if one_step.changed(position).at(theta).vanished_intercepts.any():
                    self._declare_undefined(position)

    def _record(self, positions, result):
        """Write a ChordResult of some rows; return the positions of those not converged."""
        converged = result.converged & ~self.is_untrusted[positions]
        done = positions[converged]
        undefined = self.undefined[positions]
        self.steps[positions] = np.where(undefined[:, None, None], np.nan, result.steps)
        self.bound[done] = result.bound[converged]
        self.own_error[positions] = result.own_error
        return positions[~converged & ~undefined]

    def _by_newton_cg(self, positions):
        """Refit some rows by Newton-CG; return the positions of those not converged."""
        newton = NewtonCG(self.chord)
        # Its preconditioner, too, divides by one minus the leverage.
        untrusted = positions[self.is_untrusted[positions]]
        positions = positions[~self.is_untrusted[positions]]
        if not len(positions) or not newton.is_available:
            return np.concatenate([untrusted, positions])
        self.routes[positions] = "refined"
        limit = FARTHEST * max(1.0, float(np.abs(self.objective.theta).max()))
        near = np.abs(self.steps[positions]).max(axis=(1, 2)) <= limit
        self.steps[positions[~near]] = 0.0  # NaN and inf too: from the fit itself
        parts = newton.blocks(len(positions))
        results = map_ordered(lambda p: newton.run(positions[p], self.steps[positions[p]]), parts)
        unconverged = [
            self._record(positions[p], found) for p, found in zip(parts, results, strict=True)
        ]
        return np.concatenate([untrusted, *unconverged])

    def _one_by_one(self, positions):
        """Refit some rows alone; those that still do not converge are undefined."""
        for position in positions:
            optimum = refit(self.chord.one_step.changed(position), self.steps[position])
            self.routes[position], self.steps[position] = "refined", np.nan
            if is_acceptable_refit(optimum):
                self.steps[position] = optimum.objective.theta - self.objective.theta
                row = self.chord.one_step.own_rows[[position]]
                own = self.objective.design.dense(row)[0]
                self.own_error[position] = np.abs(_next_step(optimum.objective) @ own).max()
            else:
                self.routes[position], self.undefined[position] = "undefined", True
                self.own_error[position] = np.nan


def _next_step(objective):
    """What Newton's method would do next, (K, q); NaN where the curvature is singular."""
    try:
        return newton_step(objective)
    except np.linalg.LinAlgError:
        return np.full(objective.theta.shape, np.nan)


def in_row_space(objective, curvature):
    """Return an objective in the row space of the columns, its curvature, and the way back.

    The optimum of an L2-penalised objective, and of every deletion from it, lies in the span of its
    rows. Where the columns outnumber these (the curvature is dual) that span has fewer coordinates:
    with D the penalties and Y Y' = X D^-1 X' the penalty of a coordinate of Y is 1, and steps in
    them are lifted to those of the columns by the function returned. Other objectives come back as
    they are, and those of columns without a penalty.
    """
    design, strength = objective.design, objective.penalty.strength
    features = strength[: design.n_features]
    if curvature.kind != "dual" or type(objective.penalty) is not L2 or not features.all():
        return objective, curvature, lambda steps: steps
    Y, lift, lower, largest = design.row_space(1.0 / features)
    reduced = dense_design(Y, like=design, largest_kernel=largest)
    of_intercept = strength[design.n_features :]
    penalty = L2(np.concatenate([np.ones(Y.shape[1]), of_intercept]))
    coef, intercept = design.split(objective.theta)
    theta = reduced.join(lower(coef.T).T, intercept)
    row_penalty = None
    if objective.row_penalty is not None:
        # Every penalised column has the same part of its penalty from each unit of weight.
        total = objective.sample_weight.sum()
        penalty, row_penalty = penalty.times(0.0), penalty.times(1.0 / total)
    working = Objective(
        objective.loss,
        reduced,
        objective.y,
        objective.sample_weight,
        penalty,
        theta,
        row_penalty=row_penalty,
        offset=objective.offset,
    )

    def lifted(steps):
        b, K = steps.shape[:2]
        inner, last = reduced.split(steps)
        coef = lift(inner.reshape(b * K, -1).T).T
        return design.join(coef, last.ravel()).reshape(b, K, -1)

    return working, make_dense(working.without_mean_penalty_share()), lifted
