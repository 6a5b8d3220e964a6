"""Newton steps that reuse their curvature: chords, and preconditioners of an earlier parameter."""

import numpy as np

from skinfluence.curvature import factor_flops
from skinfluence.optimum._newton import (
    STILL,
    TOLERANCE,
    has_saturated_rows,
    predictor_size,
    relative_change,
    rounding_of_value,
    step_curvature,
)

# Flops of a factor from which it is worth more than the passes over the rows that it saves, and of
# one from which its products in float32 do.
DEAR, DEAR_IN_DOUBLE = 5e6, 1e8
# Share of the gradient that a step with an old factor may leave: with more a new one is made.
CONTRACTION = 0.1
# Stationarity at which steps end that cost one pass: as near as Newton's own last step comes.
FLOOR = 1e-13
# A Newton step leaves about the square of a small stationarity: no solve need be better than that.
ROUGHEST, FINEST = 1e-2, 1e-10
# Relative residual of the first steps for sparse rows; later ones are solved to the root of the
# stationarity, which then falls faster than linearly.
FORCING = 0.1
# Change of a predictor, root mean square, that changes curvatures by no more than a factor of 3.
SAME_BLOCKS = 0.5
# Reciprocal condition of a factor from which s'Hs of its own step s is -s'grad to all but rounding,
# and what that is multiplied by. Share of the rows from which a pass over all of them is quicker.
TRUSTED, MARGIN, FEW = 1e-8, 2.0, 0.25


class SmoothSteps:
    """Newton steps of a smooth objective, and what each leaves for the next.

    Parameters
    ----------
    kind : str
        Representation of the curvature.
    floor : float
        As in `newton_step`.
    tolerance : float
        Of the stationarity that the steps are to reach.
    """

    def __init__(self, kind, floor, tolerance):
        self.kind, self.floor, self.tolerance = kind, floor, tolerance
        self.curvature = self.blocks = None
        self.is_first = True

    def next_step(self, objective):
        """-H^-1 grad, (K, q), and the slope along it."""
        self.curvature = None  # makes room for the next
        # The chords after a first step take away what float32 products have left; a step that did
        # not contract is followed by one in float64.
        single = self.is_first and factor_flops(objective, "dense") >= DEAR_IN_DOUBLE
        self.is_first, usable = False, self._usable(objective)
        self.curvature = step_curvature(objective, self.kind, self.floor, usable, single=single)
        self.blocks = getattr(self.curvature, "blocks", None)
        size = objective.stationarity
        if self.blocks is None and objective.design.has_row_operator:
            rough = min(FORCING, float(np.sqrt(size)))
        else:
            rough = float(np.clip(0.01 * size, FINEST, ROUGHEST))
        right = -objective.gradient.reshape(-1, 1)
        step = self.curvature.rough_solve(right, rough).reshape(objective.theta.shape)
        return step, float(np.sum(objective.gradient * step))

    def moves_saturated_rows(self, objective):
        """Whether rows are saturated, and a step with the factor at hand moves a predictor.

        With one of its own where the start was near enough, and no step has been taken.
        """
        if not has_saturated_rows(objective):
            return False
        if self.curvature is None:
            try:
                self.next_step(objective)
            except np.linalg.LinAlgError:
                return False
        if self.curvature.kind not in ("dense", "dual"):
            return False
        step = self.curvature.solve(-objective.gradient.reshape(-1, 1))
        step = step.reshape(objective.theta.shape)
        return relative_change(objective, step, self._may_move(objective, step)) > STILL

    def _may_move(self, objective, step):
        """Rows whose predictor a step of the factor at hand may move by STILL; None: all of them.

        With H the matrix of that factor, W_i (z_i's)^2 is at most s'Hs = -s'grad in every row: what
        is left are a few rows of little curvature, and a pass over all of them is saved.
        """
        curved = self.curvature.objective
        known = self.curvature.kind == "dense" and self.curvature.rcond >= TRUSTED
        if not known or objective.n_outputs > 1 or curved.sums or not curved.has_real_roots:
            return None
        bound = MARGIN * abs(float(np.sum(objective.gradient * step)))
        least = curved.weights[:, 0, 0] * (STILL * predictor_size(objective)) ** 2
        rows = np.flatnonzero(~(least > bound))
        return rows if len(rows) < FEW * objective.n_rows else None

    def _usable(self, objective):
        """Blocks of an earlier step, where the predictors are much the same."""
        if self.blocks is None:
            return None
        change = np.sqrt(np.mean((objective.eta - self.blocks.eta) ** 2))
        return self.blocks if change <= SAME_BLOCKS else None

    def further(self, before, after, most):
        """Go on by chords where a full Newton step has just shown that this is near enough."""
        dear = self.curvature.kind in ("dense", "dual")
        dear = dear and factor_flops(before, self.curvature.kind) >= DEAR
        if not dear:
            return after, 0
        scale = before.gradient_scale  # to a tenth that of the parameters on the way
        if not _relative(after.gradient, scale) <= CONTRACTION * before.stationarity:
            return after, 0
        return self._chords(after, most, scale)

    def _chords(self, objective, most, scale):
        """Steps with the curvature at hand, while each leaves a tenth of the gradient.

        `scale` is that of the gradient before the first of them.
        """
        goal = min(self.tolerance, FLOOR) if self.tolerance <= TOLERANCE else self.tolerance
        size, taken = _relative(objective.gradient, scale), 0
        while taken < most and size > goal:
            step = self.curvature.solve(-objective.gradient.reshape(-1, 1))
            theta = objective.theta + step.reshape(objective.theta.shape)
            moved = objective.evaluated_at(theta, scale=scale)
            after = _relative(moved.gradient, scale)
            if not (after < size and moved.value <= objective.value + rounding_of_value(objective)):
                break
            slow = after > CONTRACTION * size
            objective, size, taken = moved, after, taken + 1
            if slow:
                break
        return objective, taken


def _relative(gradient, scale):
    """Largest coordinate of a gradient relative to its scale."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(gradient == 0.0, 0.0, np.abs(gradient) / scale)
    return float(ratio.max(initial=0.0))
