"""Refits to the accuracy of the fit itself: all rows at once, then one by one what is left."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skinfluence._parallel import map_ordered, tracked
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion._base import StoredSteps
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._newton_cg import NewtonCG
from skinfluence.deletion._one_step import OneStep
from skinfluence.design import DenseDesign
from skinfluence.objective import Objective
from skinfluence.optimum import is_acceptable_refit, newton_step, refit
from skinfluence.penalties import L2

# One minus a leverage that has lost half its digits: what is divided by it, the metric of the row's
# deletion and all that is certified in it, says nothing. The refit starts anew.
UNTRUSTED = 1e-8
# A step beyond this many times the parameters has lost its way.
FARTHEST = 1e8
TOLERANCE = 1e-8  # of the coefficients, relative to `Objective.coefficient_unit`


class Exact(StoredSteps):
    """theta_-i, converged: chord-Newton in blocks, then Newton-CG in blocks for rows that stray.

    Rows that neither brings home are refitted one by one, by a safeguarded Newton.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" (by the chord), "refined" (by Newton's method at its own point) or "undefined".
    bound : ndarray of shape (r,)
        Certified distance to the refit in the norm of its curvature at theta; inf where there is no
        certificate.
    own_error : ndarray of shape (r,)
        Size of the last step at the row's own predictor.
    leverage : Leverage
    """

    def __init__(self, objective, curvature, rows, *, tolerance=TOLERANCE, progress=None):
        working, curvature, self._lift = in_row_space(objective, curvature)
        start = OneStep(working, curvature, rows, corrected=True)
        steps = np.full((len(rows), *working.theta.shape), np.nan)
        super().__init__(objective, rows, start.undefined, steps)
        chord = ChordNewton(start, tolerance)
        self.leverage = start.leverage
        self._own_row_norm = chord.own_row_norm
        one_minus = np.linalg.eigvalsh(self.leverage.one_minus)[:, 0]
        self._lost = ~(one_minus > UNTRUSTED)
        self.bound = np.full(len(rows), np.inf)
        self.own_error = np.zeros(len(rows))
        self.routes = np.where(self.undefined, "undefined", "exact").astype("<U9")
        unconverged = []
        parts = chord.blocks()
        results = tracked(map_ordered(chord.run, parts), progress, total=len(parts))
        for part, result in zip(parts, results, strict=True):
            unconverged.append(self._record_converged(np.arange(part.start, part.stop), result))
        unconverged = self._follow(NewtonCG(chord), np.concatenate(unconverged or [[]]).astype(int))
        self._refine(working, unconverged)

    def _record_converged(self, positions, result):
        """Keep what has converged; return the positions of the rest, where they got to."""
        converged = result.converged & ~self._lost[positions]
        done = positions[converged]
        self._steps[positions] = np.where(
            self.undefined[positions, None, None], np.nan, result.steps
        )
        self.bound[done] = result.bound[converged]
        self.own_error[positions] = result.own_error
        return positions[~converged & ~self.undefined[positions]]

    def _follow(self, newton, unconverged):
        """Newton's method for the rows that the chord lost; return the positions it lost too."""
        lost, unconverged = (
            unconverged[self._lost[unconverged]],
            unconverged[~self._lost[unconverged]],
        )
        if not len(unconverged) or not newton.is_available:
            return np.concatenate([lost, unconverged])
        self.routes[unconverged] = "refined"
        near = np.abs(self._steps[unconverged]).max(axis=(1, 2)) <= FARTHEST * max(
            1.0, float(np.abs(newton.objective.theta).max())
        )
        self._steps[unconverged[~near]] = 0.0  # NaN and inf too: from the fit itself
        parts = newton.blocks(len(unconverged))
        results = map_ordered(
            lambda p: newton.run(unconverged[p], self._steps[unconverged[p]]), parts
        )
        left = [
            self._record_converged(unconverged[p], found)
            for p, found in zip(parts, results, strict=True)
        ]
        return np.concatenate([lost, *left])

    @property
    def own_bound(self):
        """Certified error of each row's own predictor, inf where there is none."""
        return self.bound * self._own_row_norm

    def _refine(self, objective, unconverged):
        """Solve the rows still on their way, one by one; say which never arrive."""
        failed = []
        for position in unconverged:
            optimum = refit(objective.without(self.rows[position]), self._steps[position])
            self.routes[position], self._steps[position] = "refined", np.nan
            if is_acceptable_refit(optimum):
                self._steps[position] = optimum.objective.theta - objective.theta
                own = objective.design.dense(self.rows[[position]])[0]
                self.own_error[position] = np.abs(newton_step(optimum.objective) @ own).max()
            else:
                failed.append(int(self.rows[position]))
        if failed:
            warnings.warn(
                f"the refits without rows {unconverged[:10]} did not converge; they are NaN.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def steps(self, part):
        """Slices of what was computed, in the columns of the full design."""
        return self._lift(self._steps[part])


def in_row_space(objective, curvature):
    """Return the objective in the row space of its columns, where those are more than the rows.

    The optimum of an L2-penalised objective, and of every deletion from it, lies in that space.
    """
    if curvature.kind != "dual" or type(objective.penalty) is not L2:
        return objective, curvature, lambda steps: steps
    design, strength = objective.design, objective.penalty.strength
    features = strength[: design.n_features]
    Y, lift, lower = design.row_space(1.0 / features)
    reduced = DenseDesign(Y, design.fit_intercept)
    weak = strength[design.n_features :]
    penalty = L2(np.concatenate([np.ones(Y.shape[1]), weak]))
    coef, intercept = design.unpack(objective.theta)
    theta = reduced.pack(lower(coef.T).T, intercept)
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
    )

    def back(steps):
        b, K = steps.shape[:2]
        inner, last = reduced.unpack(steps)
        coef = lift(inner.reshape(b * K, -1).T).T
        return design.pack(coef, last.ravel()).reshape(b, K, -1)

    return working, DenseCurvature(working.without_mean_penalty_share()), back
