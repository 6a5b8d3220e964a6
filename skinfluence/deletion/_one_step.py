"""One step through the curvature of the full fit: the influence function and the Newton step."""

from functools import cached_property

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence.deletion._base import Deletion, predictors_of_steps
from skinfluence.existence import is_unpenalised, last_rows_of_a_class, undefined_rows

# A multiplier beyond this is that of a leverage of 1, where only rounding is left of the others.
FARTHEST = 1e100


class OneStep(Deletion):
    """theta_-i - theta = H^-1 (v_i (x) z_i), with a multiplier v_i (K,) for each row.

    First order (Hampel's influence function): v_i = g_i, the row's weighted residual.
    Newton (Pregibon 1981; Rad & Maleki 2020): v_i = (I - W_i A_i)^-1 g_i, the exact Newton step on
    the objective without the row, by the Woodbury identity.

    Where every row takes a share s_i of a common penalty r with it there is one more direction, the
    same for all, d = H^-1 r'(theta): the step is H^-1 (v_i (x) z_i) + s_i d, with
    v_i = (I - W_i A_i)^-1 (g_i + s_i W_i z_i'd), and H the curvature with its penalty lightened by
    such a share.
    """

    def __init__(self, objective, curvature, rows, *, corrected):
        self.curvature = curvature
        super().__init__(objective, rows, last_rows_of_a_class(objective)[rows])
        residuals = shifted_residuals(objective, curvature)[rows]
        self.share = objective.shares[rows]
        self.penalty_step = None
        if self.share.any():
            common = objective.row_penalty.gradient(objective.theta)
            self.common = objective.freed(common)
            self.penalty_step = curvature.solve(self.common.reshape(-1, 1)).reshape(common.shape)
        self.multipliers = residuals
        if corrected or is_unpenalised(objective):
            newton = self._newton_multipliers(residuals + self._weighted_penalty_step())
            newton[~(np.abs(newton).max(axis=1) <= FARTHEST)] = np.nan
            self.multipliers = newton if corrected else residuals
            if not objective.loss.is_convex:  # without the row, H may be indefinite
                self.undefined |= self.leverage.one_minus[:, 0, 0] <= 0
            if is_unpenalised(objective):
                self.undefined = undefined_rows(objective, curvature, self.leverage, newton, rows)

    @cached_property
    def leverage(self):
        """Leverage blocks of the deleted rows."""
        return self.curvature.leverage(None if self.is_everything else self.rows)

    @cached_property
    def penalty_step_at_rows(self):
        """What the common direction changes at each row's own predictor, (r, K)."""
        return self.objective.design.take(self.rows) @ self.penalty_step.T

    def _weighted_penalty_step(self):
        """s W z'd, (r, K)."""
        if self.penalty_step is None:
            return 0.0
        weights = self.objective.weights[self.rows]
        return apply_blocks(weights, self.share[:, None] * self.penalty_step_at_rows)

    @cached_property
    def penalty_mismatch(self):
        """How far the curvature is off for each deletion, relative to its penalty, (r,)."""
        return self.objective.penalty_mismatch(
            self.rows, self.curvature.objective.penalty_weight_removed
        )

    def inner(self, multipliers, share):
        """(v (x) z + s r')' times each step, (r,), for v (r, K) and s (r,)."""
        product = np.einsum("ik,ik->i", multipliers, self.own_change())
        if self.penalty_step is not None:
            along = np.einsum("ik,ik->i", self.multipliers, self.penalty_step_at_rows)
            product += share * (along + self.share * np.sum(self.penalty_step * self.common))
        return product

    def _newton_multipliers(self, residuals):
        """(I - W A)^-1 g = g + L (I - S A L)^-1 S A g with W = L S: no W^-1.

        Rows without curvature keep their g: nobody asks for their leverage, and of a hinge they are
        most.
        """
        curved = np.isin(self.rows, self.objective.curved_rows)
        if not curved.any():
            return residuals.copy()
        if self.objective.n_outputs == 1 and "leverage" not in vars(self):
            one_minus = self.curvature.one_minus_leverage(self.rows[curved])
            if one_minus is not None:
                multipliers = residuals.copy()
                with np.errstate(divide="ignore", invalid="ignore"):  # leverages of 1: undefined
                    multipliers[curved] = residuals[curved] / one_minus[:, None]
                return multipliers
        if curved.all():
            return self._corrected(residuals, self.leverage, self.pick(slice(None)))
        multipliers, rows = residuals.copy(), self.rows[curved]
        leverage = self.curvature.leverage(rows)
        multipliers[curved] = self._corrected(residuals[curved], leverage, rows)
        return multipliers

    def _corrected(self, residuals, leverage, rows):
        """Do it for rows of known leverage."""
        L, S = (factor[rows] for factor in self.objective.weight_factors)
        inner = apply_blocks(S, apply_blocks(leverage.quadratic, residuals))
        return residuals + apply_blocks(L, solve_blocks(leverage.one_minus, inner))

    def steps(self, part):
        """One solve a row."""
        return self._steps(part, self.pick(part))

    def steps_of(self, deletions):
        """Steps of an index array of deletions, (b, K, q)."""
        return self._steps(deletions, self.rows[deletions])

    def _steps(self, deletions, rows, solve=None):
        """H^-1 (v (x) z) + s d."""
        right = self.objective.design.outer(self.multipliers[deletions], rows)
        solved = (solve or self.curvature.solve)(right.T).T
        return self.add_penalty_step(
            solved.reshape(len(right), self.objective.n_outputs, -1), deletions
        )

    def add_penalty_step(self, steps, deletions):
        """Add the common direction to steps (b, K, q), in place."""
        if self.penalty_step is not None:
            steps += self.share[deletions][:, None, None] * self.penalty_step
        return steps

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

        if self.penalty_step is None:
            return change
        common = np.einsum("mkj,kj->m", directions, self.penalty_step)

        def with_penalty_step(part, out=None):
            moved = change(part, out)
            moved += np.multiply.outer(common, self.share[part])
            return moved

        return with_penalty_step

    def on(self, design):
        """Solve on the side, test or training, that costs fewer flops."""
        K, q = self.objective.n_outputs, self.objective.design.shape[1]
        m, n = design.shape[0], len(self)
        test_side = 2 * (m * K) * (K * q) * (K * q + n)
        training_side = 2 * n * (K * q) * (K * q + m)
        if training_side < test_side:
            solve = self.curvature.solver(n)
            return lambda part: predictors_of_steps(
                design, self._steps(part, self.pick(part), solve)
            )
        unit = np.tile(np.eye(K), (m, 1, 1)).transpose(1, 0, 2)  # output k moves along e_k (x) z
        directions = [design.outer(unit[k], slice(None)) for k in range(K)]
        change = self.along(np.concatenate(directions).reshape(K * m, K, q))
        return lambda part: change(part).reshape(K, m, -1)

    def own_change(self):
        """A_i v_i + s_i z_i'd."""
        change = apply_blocks(self.leverage.quadratic, self.multipliers)
        if self.penalty_step is not None:
            change += self.share[:, None] * self.penalty_step_at_rows
        return change


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
