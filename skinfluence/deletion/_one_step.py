"""One step with the curvature of the full fit: the influence function and the Newton step."""

from functools import cached_property

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence.deletion._base import Deletion
from skinfluence.deletion._range import has_range, leaving_range
from skinfluence.deletion.metric import RefitMetric
from skinfluence.existence import is_unpenalised, last_rows_of_a_class, undefined_rows

# A larger multiplier is a quotient by 1 - leverage = 0, whose computed value is rounding.
FARTHEST = 1e100
# Growth of a residual by 1 / (1 - leverage) from which its own rounding is corrected.
LOST_DIGITS = 1e6
# How many times that of `USUAL` rows the square of its weight times its norm has to be for that
# correction: the gradient of rows of one size is the rounding of all of them.
LARGE, USUAL = 1e6, 50


class OneStep(Deletion):
    """theta_-i - theta = H^-1 (v_i (x) z_i), with a multiplier v_i (K,) for each row.

    First order (Hampel's influence function): v_i = g_i, the row's weighted residual.
    Newton (Pregibon 1981; Rad & Maleki 2020): v_i = (I - W_i A_i)^-1 g_i, the exact Newton step on
    the objective without the row, by the Woodbury identity.

    If the deletion of a row removes its share s_i of a common penalty r too, there is one more
    direction, the same for all rows, d = H^-1 r'(theta), the `penalty_step`. The step is
    H^-1 (v_i (x) z_i) + s_i d, with v_i = (I - W_i A_i)^-1 (g_i + s_i W_i z_i'd), and with the
    curvature H of `objective.without_mean_penalty_share()`.

    Parameters
    ----------
    objective, curvature, rows : Objective, Curvature, ndarray of int
    corrected : bool
        Whether the multipliers are those of the Newton step, or the residuals.
    leverage : Leverage, optional
        Leverage of `rows`, if it is known already.
    multipliers : ndarray of shape (r, K), optional
        Multipliers to use in place of those of either method.
    share : ndarray of shape (r,), optional
        Units of weight whose share of the common penalty each row takes with it; its own weight by
        default.
    final : bool, default=False
        Whether the step is the answer and not the start of a refit: one that has `collapsed` is
        then undefined.
    last : ndarray of bool, shape (r,), optional
        Whether each row is the last of its class, where the objective is a part of another.

    Attributes
    ----------
    corrected : bool
    entering : Entering or None
        Rows that enter in the place of these, see :class:`RowChange`; None for deletions.
    """

    entering = None

    def __init__(
        self,
        objective,
        curvature,
        rows,
        *,
        corrected,
        leverage=None,
        multipliers=None,
        share=None,
        final=False,
        last=None,
    ):
        self.curvature, self._known_leverage = curvature, leverage
        self.corrected = corrected
        known = last is not None
        super().__init__(objective, rows, last if known else np.zeros(len(rows), dtype=bool))
        picked = self.pick(slice(None))
        if not known:
            self.undefined = last_rows_of_a_class(objective)[picked]
        residuals = shifted_residuals(objective, curvature)[picked]
        self.share = objective.shares[picked] if share is None else share
        self.penalty_step = None
        if self.share.any():
            common = objective.row_penalty.gradient(objective.theta)
            self.common = objective.freed(common)
            self.penalty_step = curvature.solve(self.common.reshape(-1, 1)).reshape(common.shape)
        self.multipliers = residuals
        if corrected or is_unpenalised(objective):
            newton = self._newton_multipliers(residuals + self._weighted_penalty_step())
            self._restore_digits(newton, residuals)
            far = ~(np.abs(newton) <= FARTHEST)
            if far.any():
                newton[far.any(axis=1)] = np.nan
            self.multipliers = newton if corrected else residuals
            # For a loss that is not convex, H without the row is positive definite if and only if
            # one minus the leverage is positive (matrix determinant lemma).
            if not objective.loss.is_convex:
                self.undefined |= self.leverage.one_minus[:, 0, 0] <= 0
            if is_unpenalised(objective):
                self.undefined = undefined_rows(objective, curvature, self.leverage, newton, rows)
        if multipliers is not None:
            self.multipliers = multipliers
        if final:
            self.undefined |= self.collapsed

    @cached_property
    def leverage(self):
        """Leverage blocks of the rows to delete."""
        if self._known_leverage is not None:
            return self._known_leverage
        return self.curvature.leverage(None if self.is_everything else self.rows)

    @cached_property
    def penalty_step_at_rows(self):
        """Change of each row's own predictor by the step d = H^-1 r', (r, K)."""
        return self.objective.design.take(self.rows) @ self.penalty_step.T

    def _weighted_penalty_step(self):
        """s_i W_i z_i'd of the rows to delete, (r, K); 0 without a common penalty."""
        if self.penalty_step is None:
            return 0.0
        weights = self.objective.weights_of(self.rows)
        return apply_blocks(weights, self.share[:, None] * self.penalty_step_at_rows)

    @cached_property
    def metric(self):
        """Norms of the curvature without each of the rows, a RefitMetric."""
        return RefitMetric(
            self.objective, self.curvature, self.rows, self.leverage, self.share, self.own_quadratic
        )

    @property
    def own_rows(self):
        """Positions of the rows whose predictors `own_change` is about, (r,)."""
        return self.rows

    @property
    def own_quadratic(self):
        """Blocks A of these rows, (r, K, K)."""
        return self.leverage.quadratic

    def newton_step(self):
        """Return the Newton steps of the same deletions."""
        return OneStep(
            self.objective, self.curvature, self.rows, corrected=True, leverage=self.leverage
        )

    def changed(self, position):
        """Return the objective after one of the deletions, at the parameter before."""
        return self.objective.without(self.rows[position])

    @cached_property
    def squared_length(self):
        """||d||^2 of the Newton steps d = G^-1 b in the curvature G without the row, (r,): b'd.

        b = g (x) z + s r' is what the deletion adds to the gradient.
        """
        return self.inner(self.objective.residuals[self.rows], self.share)

    @cached_property
    def squared_step_norm(self):
        """||d||^2 of the steps d in the curvature H of all rows, (r,): H d = v (x) z + s r'."""
        return self.inner(self.multipliers, self.share)

    def inner(self, multipliers, share):
        """Inner products of v_i (x) z_i + s_i r' with each step, (r,), for v (r, K) and s (r,).

        By the changes of the rows' own predictors: no solve. With the residuals and shares the
        first is what the deletion adds to the gradient, and the product the squared norm of the
        Newton step in the curvature without the row.
        """
        product = np.einsum("ik,ik->i", multipliers, self.own_change())
        if self.penalty_step is not None:
            along = np.einsum("ik,ik->i", self.multipliers, self.penalty_step_at_rows)
            product += share * (along + self.share * np.sum(self.penalty_step * self.common))
        return product

    def _restore_digits(self, newton, residuals):
        """Correct, in place, the multipliers (r, K) of rows that settle their own predictors.

        Where 1 - leverage is tiny the row's residual is what is left of terms that cancel, and its
        digits are lost. The gradient of all rows vanishes, so what is left of it along the row is
        the residual's rounding: that of the other rows' gradient is smaller by as much as they are,
        which is why rows of their size are left as they are.
        """
        objective, whole = self.objective, self.curvature.objective
        if not objective.is_at_its_own_optimum or self.penalty_step is not None:
            return
        if not whole.has_rows:  # in a worker, where no leverage is so near 1
            return
        if objective.n_outputs > 1 and not objective.loss.is_separable:
            return
        with np.errstate(invalid="ignore", over="ignore"):
            growth = np.abs(newton) > LOST_DIGITS * np.abs(residuals)
        if not growth.any():
            return
        growth &= (residuals != 0) & np.isfinite(newton)
        lost = np.flatnonzero(growth.any(axis=1))
        Z, weight = objective.design.dense(self.own_rows[lost]), self._own_weight[lost]
        size = np.einsum("ij,ij->i", Z, Z)
        large = weight**2 * size > LARGE * self._usual_size()
        lost, Z, size = lost[large], Z[large], size[large]
        all_rows = objective if objective.n_rows == whole.n_rows else whole  # not those of a part
        left = (Z @ all_rows.gradient.T) / size[:, None]
        share = np.where(growth[lost], left / np.where(growth[lost], residuals[lost], 1.0), 0.0)
        newton[lost] *= 1.0 - share

    @property
    def _own_weight(self):
        """Sample weights of `own_rows`, (r,)."""
        return self.objective.sample_weight[self.own_rows]

    def _usual_size(self):
        """Median over some rows of positive weight of the square of weight times norm."""
        weight = self.objective.sample_weight
        live = np.flatnonzero(weight > 0)
        some = live[np.linspace(0, len(live) - 1, min(len(live), USUAL)).astype(int)]
        Z = self.objective.design.dense(some)
        return np.median(weight[some] ** 2 * np.einsum("ij,ij->i", Z, Z))

    def _newton_multipliers(self, residuals):
        """(I - W A)^-1 g = g + L (I - S A L)^-1 S A g with W = L S, for any W, singular or not.

        For rows without curvature, W = 0 and the result is g. Their leverages, for a hinge those of
        most rows, are not computed.
        """
        curved = self._are_curved()
        if not curved.any():
            return residuals.copy()
        known = self._known_leverage is not None or "leverage" in vars(self)
        if self.objective.n_outputs == 1 and not known:
            one_minus = self.curvature.one_minus_leverage(self.rows[curved])
            if one_minus is not None:
                multipliers = residuals.copy()
                with np.errstate(divide="ignore", invalid="ignore"):  # a leverage of 1
                    multipliers[curved] = residuals[curved] / one_minus[:, None]
                return multipliers
        if curved.all():
            return self._corrected(residuals, self.leverage, self.pick(slice(None)))
        multipliers, rows = residuals.copy(), self.rows[curved]
        leverage = self.leverage.take(curved) if known else self.curvature.leverage(rows)
        multipliers[curved] = self._corrected(residuals[curved], leverage, rows)
        return multipliers

    def _are_curved(self):
        """Whether each of the rows to delete has curvature, (r,)."""
        positions, n = self.objective.curved_rows, self.objective.n_rows
        if len(positions) == n:
            return np.ones(len(self.rows), dtype=bool)
        curved = np.zeros(n, dtype=bool)
        curved[positions] = True
        return curved[self.pick(slice(None))]

    def _corrected(self, residuals, leverage, rows):
        """Multipliers of rows whose leverage is known."""
        if self.objective.n_outputs == 1:
            with np.errstate(divide="ignore", invalid="ignore"):  # a leverage of 1
                return residuals / leverage.one_minus[:, :, 0]
        multipliers = np.empty_like(residuals)
        for part, some in self.objective.weight_blocks(rows):
            L, S = self.objective.weight_factors_of(some)
            inner = apply_blocks(S, apply_blocks(leverage.quadratic[part], residuals[part]))
            solved = solve_blocks(leverage.one_minus[part], inner)
            multipliers[part] = residuals[part] + apply_blocks(L, solved)
        return multipliers

    def steps(self, part):
        return self._steps(part, self.pick(part))

    def steps_of(self, deletions):
        """Steps of an index array of deletions, (b, K, q)."""
        return self._steps(deletions, self.rows[deletions])

    def _steps(self, deletions, rows, solve=None):
        """H^-1 (v_i (x) z_i) + s_i d of some deletions, whose training rows are `rows`."""
        right = self._right(deletions, rows)
        solved = (solve or self.curvature.step_solver())(right.T).T
        return self.add_penalty_step(
            solved.reshape(len(right), self.objective.n_outputs, -1), deletions
        )

    def _right(self, deletions, rows):
        """v_i (x) z_i of some deletions, in the outputs that `Curvature.step_solver` takes."""
        free = self.curvature.free_outputs
        return self.objective.design.outer(self.multipliers[deletions][:, free], rows)

    def _contracted(self, solved, part, out=None):
        """Inner products of v_i (x) z_i with H^-1 times some directions (m, K, q), (m, b)."""
        return self.objective.design.contract(
            solved, self.multipliers[part], self.pick(part), out=out
        )

    def add_penalty_step(self, steps, deletions):
        """Add s d, the step of the rows' shares of the penalty, to steps (b, K, q), in place."""
        if self.penalty_step is not None:
            steps += self.share[deletions][:, None, None] * self.penalty_step
        return steps

    def along(self, directions):
        """Return a function from a slice to inner products with directions (m, K, q): (m, b).

        It takes one solve for each direction, then one GEMM with the training rows.
        """
        shape = directions.shape
        solved = self.curvature.solve(directions.reshape(len(directions), -1).T).T.reshape(shape)

        def change(part, out=None):
            return self._contracted(solved, part, out)

        if self.penalty_step is None:
            return change
        common = np.einsum("mkj,kj->m", directions, self.penalty_step)

        def with_penalty_step(part, out=None):
            moved = change(part, out)
            moved += np.multiply.outer(common, self.share[part])
            return moved

        return with_penalty_step

    def along_rows(self, design, slopes):
        products = None
        if self.penalty_step is None and self.entering is None:
            every = slopes.transpose(1, 0, 2).reshape(-1, slopes.shape[2])
            products = self.curvature.own_products(design, every)
        if products is None:
            return super().along_rows(design, slopes)

        def change(part, out=None):
            own, v = products[self.pick(part)], self.multipliers[part]
            if v.shape[1] == 1:
                return np.multiply(own[:, 0].T, v[:, 0], out=out)
            moved = np.matmul(own.transpose(0, 2, 1), v[:, :, None])[:, :, 0].T
            return moved if out is None else np.copyto(out, moved) or out

        return change

    def on(self, design):
        """Changes of predictors, by solves for the test or the training rows, the fewer flops."""
        # Solves take 2 (K q)^2 flops a column: m K columns e_k (x) z for the test side, then a
        # product with n rows; or n columns, one for each step, then a product with m rows.
        K, q = self.objective.n_outputs, self.objective.design.shape[1]
        m, n = design.shape[0], len(self)
        test_side = 2 * (m * K) * (K * q) * (K * q + n)
        training_side = 2 * n * (K * q) * (K * q + m)
        if training_side < test_side:
            solve = self.curvature.step_solver(n)
            return lambda part: design.predictors_of(self._steps(part, self.pick(part), solve))
        # Output k moves along e_k (x) z.
        change = self.along_rows(design, np.tile(np.eye(K), (m, 1, 1)))
        return lambda part: change(part).reshape(K, m, -1)

    @cached_property
    def collapsed(self):
        """Whether a step leaves no positive scale or finite loss, or is none, (r,).

        It is none at a leverage of 1 in the active columns of an L1 penalty: others become active.
        """
        none = ~np.isfinite(self.multipliers).all(axis=1)
        if has_range(self.objective):
            none |= leaving_range(self.objective, self.steps, self.rows, self.entering)
        if not self.objective.loss.has_scale:
            return none
        moved = self.objective.eta[self.rows] + self.own_change()
        return none | ~(moved[:, -1] > 0)

    def own_change_of(self, residuals):
        """Change (r, K) of each row's own predictor by the Newton step for other residuals (r, K).

        With the curvature without each row as it is: at a parameter near this one, or with weights
        near these.
        """
        return apply_blocks(self.leverage.quadratic, self._newton_multipliers(residuals))

    def own_change(self):
        """Change A_i v_i + s_i z_i'd of each row's own predictor, (r, K)."""
        change = apply_blocks(self.leverage.quadratic, self.multipliers)
        if self.penalty_step is not None:
            change += self.share[:, None] * self.penalty_step_at_rows
        return change


def shifted_residuals(objective, curvature):
    """Residuals g (n, K); away from the optimum of the loss g + W z'd with d = -H^-1 grad F."""
    return with_shift(objective, shift_of_predictors(objective, curvature))


def with_shift(objective, shift):
    """Residuals g + W z'd (n, K) of rows for the parts of z'd that `shift_of_predictors` returns.

    A row of large weight has a large g, and W z'd leaves little of it: the parts are added one by
    one, the small one last.
    """
    residuals = objective.residuals
    for part in shift or ():
        residuals = residuals + objective.weights_matmul(part[:, :, None])[:, :, 0]
    return residuals


def shift_of_predictors(objective, curvature):
    """Changes z'd (n, K) of the predictors by Newton's step without any change; None at an optimum.

    If theta is the optimum of another loss (`trained_loss`), grad F is not 0, and Newton's method
    takes the step d = -H^-1 grad F without any deletion. It is not an effect of a row: the step
    with the deletion minus d is (H - W z z')^-1 (g + W z'd) z.

    There are two parts, of which the second is what rounding has left of the first: their sum in
    float64 would lose it again. They are changes of the solution of sum_i (g_i + W_i z_i'd) z_i +
    R'(theta + d) = 0, a sum without large terms.
    """
    if objective.is_at_its_own_optimum:
        return None
    design, theta = objective.design, objective.theta
    step = curvature.solve(-objective.gradient.reshape(-1, 1)).reshape(theta.shape)
    first = design @ step.T
    left = design.transpose_matmul(with_shift(objective, (first,))).T
    left = objective.freed(left + objective.penalty.gradient(theta + step))
    left += curvature.damping * step
    second = curvature.solve(-left.reshape(-1, 1)).reshape(theta.shape)
    return first, design @ second.T
