"""One step through the curvature of the full fit: the influence function and the Newton step."""

from functools import cached_property

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence.deletion._base import Deletion, predictors_of_steps
from skinfluence.recession import emptied_classes, is_unpenalised, undefined_rows


class OneStep(Deletion):
    """theta_-i - theta = H^-1 (v_i (x) z_i), with a multiplier v_i (K,) for each row.

    First order (Hampel's influence function): v_i = g_i, the row's weighted residual.
    Newton (Pregibon 1981; Rad & Maleki 2020): v_i = (I - W_i A_i)^-1 g_i, the exact Newton step on
    the objective without the row, by the Woodbury identity.
    """

    def __init__(self, objective, curvature, rows, *, corrected):
        self.curvature = curvature
        super().__init__(objective, rows, emptied_classes(objective)[rows])
        residuals = shifted_residuals(objective, curvature)[rows]
        self.multipliers = residuals
        if corrected or is_unpenalised(objective):
            newton = self._newton_multipliers(residuals)
            self.multipliers = newton if corrected else residuals
            if is_unpenalised(objective):
                self.undefined = undefined_rows(objective, curvature, self.leverage, newton, rows)

    @cached_property
    def leverage(self):
        """Leverage blocks of the deleted rows."""
        return self.curvature.leverage(None if self.is_everything else self.rows)

    def _newton_multipliers(self, residuals):
        """(I - W A)^-1 g = g + L (I - L'A L)^-1 L'A g: symmetric, and no W^-1.

        Rows without curvature keep their g: nobody asks for their leverage, and of a hinge they are
        most.
        """
        bends = np.isin(self.rows, self.objective.bending)
        if self.objective.n_outputs == 1 and "leverage" not in vars(self):
            spare = self.curvature.spare(self.rows[bends])
            if spare is not None:
                multipliers = residuals.copy()
                multipliers[bends] = residuals[bends] / spare[:, None]
                return multipliers
        if bends.all():
            return self._corrected(residuals, self.leverage, self.pick(slice(None)))
        multipliers, rows = residuals.copy(), self.rows[bends]
        leverage = self.curvature.leverage(rows)
        multipliers[bends] = self._corrected(residuals[bends], leverage, rows)
        return multipliers

    def _corrected(self, residuals, leverage, rows):
        """Do it for rows of known leverage."""
        L = self.objective.weight_roots[rows]
        transposed = L.transpose(0, 2, 1)
        inner = apply_blocks(transposed, apply_blocks(leverage.quadratic, residuals))
        return residuals + apply_blocks(L, solve_blocks(leverage.one_minus, inner))

    def steps(self, part):
        """One solve a row."""
        return self._steps(self.multipliers[part], self.pick(part))

    def steps_of(self, deletions):
        """Steps of an index array of deletions, (b, K, q)."""
        return self._steps(self.multipliers[deletions], self.rows[deletions])

    def _steps(self, multipliers, rows, solve=None):
        """H^-1 (v (x) z)."""
        right = self.objective.design.outer(multipliers, rows)
        solved = (solve or self.curvature.solve)(right.T).T
        return solved.reshape(len(right), self.objective.n_outputs, -1)

    def along(self, directions):
        """Return a function of a slice: inner products of steps with directions (m, K, q).

        One solve a direction, then one GEMM with the training rows.
        """
        shape = directions.shape
        solved = self.curvature.solve(directions.reshape(len(directions), -1).T).T.reshape(shape)

        def change(part, out=None):
            return self.objective.design.contract(
                solved, self.multipliers[part], self.pick(part), out=out
            )

        return change

    def on(self, design):
        """Solve on the side, test or training, that costs fewer flops."""
        K, q = self.objective.n_outputs, self.objective.design.shape[1]
        m, n = design.shape[0], len(self)
        test_side = 2 * (m * K) * (K * q) * (K * q + n)
        training_side = 2 * n * (K * q) * (K * q + m)
        if training_side < test_side:
            solve = self.curvature.solver(n)
            return lambda part: predictors_of_steps(
                design, self._steps(self.multipliers[part], self.pick(part), solve)
            )
        unit = np.tile(np.eye(K), (m, 1, 1)).transpose(1, 0, 2)  # output k moves along e_k (x) z
        directions = [design.outer(unit[k], slice(None)) for k in range(K)]
        change = self.along(np.concatenate(directions).reshape(K * m, K, q))
        return lambda part: change(part).reshape(K, m, -1)

    def own_change(self):
        """A_i v_i."""
        return apply_blocks(self.leverage.quadratic, self.multipliers)


def shifted_residuals(objective, curvature):
    """g (n, K), or g + W z'd where the gradient does not vanish, d = -H^-1 grad F.

    Away from the optimum of its own loss a model would move without any deletion. That common shift
    is no effect of a row: the step with the deletion minus the one without is
    (H - W z z')^-1 (g + W z'd) z.
    """
    if objective.is_at_its_own_optimum:
        return objective.residuals
    step = curvature.solve(-objective.gradient.reshape(-1, 1))
    change = objective.design @ step.reshape(objective.theta.shape).T
    return objective.residuals + apply_blocks(objective.weights, change)
