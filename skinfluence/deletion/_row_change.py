"""Changes of one row: it leaves, and another enters in its place."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence._parallel import row_blocks
from skinfluence.deletion._one_step import OneStep, shifted_residuals
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class

# Newton steps, and halvings of each, of the equation for an entering row's own predictor. Where the
# loss rises like exp(eta) each step lowers eta by 1, from as far as a row may be.
MAX_STEPS, MAX_HALVINGS = 800, 40
# Change of a multiplier, relative to its size, at which that has converged.
SETTLED = 1e-14
# What an equation may leave, relative to its terms.
UNSOLVED = 1e-6
# One minus a leverage without any digit: the row that leaves held a direction alone.
SINGULAR = 1e-12


@dataclass(frozen=True)
class Entering:
    """Rows that enter, one for each row that leaves.

    Attributes
    ----------
    rows : ndarray of int, shape (r,)
        Positions in the design: of the row that leaves itself, where only its label or its weight
        changes; of a spare row of weight 0 where it is another.
    y : ndarray of shape (r,)
        Encoded labels.
    weight : ndarray of shape (r,)
    """

    rows: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def __len__(self):
        """Number of changes."""
        return len(self.rows)

    def take(self, positions):
        """Return some of them."""
        return Entering(self.rows[positions], self.y[positions], self.weight[positions])

    def slopes(self, objective, eta):
        """w l' at predictors (r, K), (r, K)."""
        slope = objective.loss.gradient(self.y, objective.native(eta)).reshape(eta.shape)
        return self.weight[:, None] * slope

    def curvatures(self, objective, eta):
        """w l'' at predictors (r, K), (r, K, K)."""
        K = eta.shape[1]
        curvature = objective.loss.curvature(self.y, objective.native(eta)).reshape(-1, K, K)
        return self.weight[:, None, None] * curvature

    def losses(self, objective, eta):
        """w l at predictors (r, K), (r,)."""
        return self.weight * objective.loss.value(self.y, objective.native(eta))


class RowChange(OneStep):
    r"""theta' - theta when a row o leaves and another e enters, for each of some changes.

    First order: H^-1 (g_o (x) z_o - w_e l'(y_e, eta_e) (x) z_e). Newton, here the *implicit* step:
    the rows that stay are taken to second order, as for a deletion, the loss of the row that enters
    whole. With H_- the curvature without row o, eta_e the predictor of row e in the fit,

        d = H_-^-1 (g_o (x) z_o - r (x) z_e),  r = w_e l'(y_e, eta_e + d z_e),

    an equation in the K numbers r, of a strictly convex function. A deletion is the change in which
    nothing enters, r = 0; an addition that in which a spare row of weight 0 leaves.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    rows : ndarray of int, shape (r,)
        Positions of the rows that leave.
    entering : Entering
    corrected : bool
        Whether the step is implicit, or the first-order one.
    final : bool
        As in :class:`OneStep`.

    Attributes
    ----------
    unsteady : ndarray of bool, shape (r,)
        Whether there is an optimum after the change, but no step to it: without the row that leaves
        there is none.
    """

    def __init__(self, objective, curvature, rows, entering, *, corrected, final=False):
        self.entering, self.corrected = entering, corrected
        net = np.zeros(len(rows))
        if objective.shares.any():
            net = objective.sample_weight[rows] - entering.weight
        super().__init__(objective, curvature, rows, corrected=corrected, share=net)
        self.in_place = bool(np.array_equal(entering.rows, rows))
        alone = self.undefined
        if corrected:
            alone = alone | (np.linalg.eigvalsh(self.leverage.one_minus)[:, 0] <= SINGULAR)
        self.idle = self._changes_nothing()
        self.undefined = np.zeros(len(rows), dtype=bool)
        for position in np.flatnonzero(alone & ~self.idle):
            self.undefined[position] = self._has_no_optimum(position)
        self.residual = shifted_residuals(objective, curvature)[rows]
        self.multipliers, self.slope = self._with_entering(alone)
        self.share = np.where(self.idle, 0.0, self.share)
        self.unsteady = ~np.isfinite(self.multipliers).all(axis=1) | (alone & corrected)
        self.unsteady &= ~self.undefined & ~self.idle
        if not corrected:  # where the row that enters has an infinite loss now
            self.undefined |= ~np.isfinite(self.slope).all(axis=1) & ~self.idle
        if final:
            self.undefined |= self.collapsed & ~self.unsteady

    def _changes_nothing(self):
        """Whether the row that enters is the one that leaves, or neither has a weight."""
        before, after = self.objective.sample_weight[self.rows], self.entering.weight
        nothing = (before == 0) & (after == 0)
        if not self.in_place:
            return nothing
        same = same_labels(self.objective.y[self.rows], self.entering.y)
        return nothing | (same & (before == after))

    def _has_no_optimum(self, position):
        """Whether a class is empty after the change, or nothing bounds the parameters."""
        changed = self.changed(position)
        if lost_a_class(changed, self.objective):
            return True
        return is_unpenalised(changed) and not has_optimum(changed)

    def newton_step(self):
        return RowChange(
            self.objective, self.curvature, self.rows, self.entering, corrected=True, final=True
        )

    def changed(self, position):
        """Return the objective after one of the changes, at the parameter before."""
        only = np.array([position])
        entering = self.entering.take(only)
        return self.objective.changed(self.rows[only], entering.rows, entering.y, entering.weight)

    # -- the step ----------------------------------------------------------------------------------

    def _with_entering(self, alone):
        """Multipliers of the leaving rows, of both rows where they are one, and slopes, (r, K)."""
        eta = self.objective.eta[self.entering.rows]
        if not self.corrected:
            slope, multipliers = self.entering.slopes(self.objective, eta), self.multipliers
        else:
            start, quadratic, passed_on = self._without_leaving()
            slope = np.full(eta.shape, np.nan)
            ready = np.flatnonzero(~alone & np.isfinite(start).all(axis=1))
            slope[ready] = entering_slopes(
                self.objective,
                self.entering.take(ready),
                eta[ready] + start[ready],
                quadratic[ready],
            )
            multipliers = self.multipliers - apply_blocks(passed_on, slope)
        if self.in_place:
            multipliers = multipliers - slope
        idle = self.idle[:, None]
        return np.where(idle, 0.0, multipliers), np.where(idle, 0.0, slope)

    def _without_leaving(self):
        """Change of each entering row's predictor as the other leaves, its A in H_-, and more.

        (r, K), and (r, K, K) twice: the last is L (I - S A_o L)^-1 S A_oe, which times the slope of
        the entering row is what the multiplier of the leaving one loses.
        """
        L, S = self.objective.weight_factors_of(self.rows)
        if self.in_place:
            own = across = self.leverage.quadratic
        else:
            own, across = self._entering_quadratic, self._across
        with np.errstate(invalid="ignore"):
            inner = solve_blocks_of(self.leverage.one_minus, np.matmul(S, across))
            passed_on = np.matmul(L, inner)
            quadratic = own + np.matmul(across.transpose(0, 2, 1), passed_on)
            start = apply_blocks(across.transpose(0, 2, 1), self.multipliers)
        if self.penalty_step is not None:
            z_d = self.objective.design.take(self.entering.rows) @ self.penalty_step.T
            start = start + self.share[:, None] * z_d
        return start, 0.5 * (quadratic + quadratic.transpose(0, 2, 1)), passed_on

    @cached_property
    def _entering_quadratic(self):
        """Blocks A_e of the entering rows, (r, K, K)."""
        return self.curvature.row_quadratic(self.objective.design.take(self.entering.rows))

    @cached_property
    def _across(self):
        """Blocks A_oe = Z_o H^-1 Z_e', (r, K, K)."""
        design, K = self.objective.design, self.objective.n_outputs
        blocks = np.empty((len(self), K, K))
        for part in row_blocks(len(self), 8 * design.shape[1] * 3 * K * K):
            right = design.outer(
                np.tile(np.eye(K), (part.stop - part.start, 1)),
                np.repeat(self.entering.rows[part], K),
            )
            solved = self.curvature.solve(right.T).T.reshape(-1, K, K, design.shape[1])
            blocks[part] = np.einsum("imkj,ij->ikm", solved, design.dense(self.rows[part]))
        return blocks

    # -- reading it --------------------------------------------------------------------------------

    @property
    def own_rows(self):
        return self.entering.rows

    @property
    def own_quadratic(self):
        return self.leverage.quadratic if self.in_place else self._entering_quadratic

    @cached_property
    def squared_length(self):
        """||d||^2 in H_-, (r,): d'(g_o (x) z_o - r (x) z_e + s r'), the change's own gradient."""
        if self.in_place:
            return self.inner(self.residual - self.slope, self.share)
        leaving, entering = self._own_changes()
        product = np.einsum("ik,ik->i", self.residual, leaving)
        product -= np.einsum("ik,ik->i", self.slope, entering)
        if self.penalty_step is not None:
            product += self.share * self._along_common()
        return product

    @cached_property
    def squared_step_norm(self):
        if self.in_place:
            return super().squared_step_norm
        leaving, entering = self._own_changes()
        product = np.einsum("ik,ik->i", self.multipliers, leaving)
        product -= np.einsum("ik,ik->i", self.slope, entering)
        if self.penalty_step is not None:
            product += self.share * self._along_common()
        return product

    def _along_common(self):
        """r'd of each step d, (r,)."""
        along = np.einsum("ik,ik->i", self.multipliers, self.penalty_step_at_rows)
        at_entering = self.objective.design.take(self.entering.rows) @ self.penalty_step.T
        along -= np.einsum("ik,ik->i", self.slope, at_entering)
        return along + self.share * np.sum(self.penalty_step * self.common)

    def _own_changes(self):
        """Changes of the predictors of the leaving and of the entering rows, (r, K) each."""
        across = self._across
        leaving = apply_blocks(self.leverage.quadratic, self.multipliers)
        leaving -= apply_blocks(across, self.slope)
        entering = apply_blocks(across.transpose(0, 2, 1), self.multipliers)
        entering -= apply_blocks(self._entering_quadratic, self.slope)
        if self.penalty_step is not None:
            leaving += self.share[:, None] * self.penalty_step_at_rows
            at_entering = self.objective.design.take(self.entering.rows) @ self.penalty_step.T
            entering += self.share[:, None] * at_entering
        return leaving, entering

    def own_change(self):
        """Change of the entering row's own predictor, (r, K)."""
        return super().own_change() if self.in_place else self._own_changes()[1]

    def _right(self, deletions, rows):
        right = super()._right(deletions, rows)
        if not self.in_place:
            entering, free = self.entering.rows[deletions], self.curvature.free_outputs
            right -= self.objective.design.outer(self.slope[deletions][:, free], entering)
        return right

    def _contracted(self, solved, part, out=None):
        result = super()._contracted(solved, part, out)
        if not self.in_place:
            entering = self.entering.rows[part]
            result -= self.objective.design.contract(solved, self.slope[part], entering)
        return result


def same_labels(one, other):
    """Whether labels (r,) or responses (r, K) are equal, (r,)."""
    equal = one == other
    return equal if equal.ndim == 1 else equal.all(axis=1)


def solve_blocks_of(matrices, right):
    """Solutions (r, K, M) of K x K systems with M right-hand sides each."""
    columns = [solve_blocks(matrices, right[:, :, m]) for m in range(right.shape[2])]
    return np.stack(columns, axis=2)


def _off_null(blocks, null):
    """Blocks (r, K, K) without what they do along the null direction u of a loss, if it has one."""
    if null is None:
        return blocks
    blocks = blocks - (blocks @ null)[:, :, None] * null
    return blocks - null[:, None] * (null @ blocks)[:, None, :]


def entering_slopes(objective, entering, eta, quadratic):
    """r = w l'(y, eta - A r) of entering rows, (r, K), by Newton's method with halved steps.

    Parameters
    ----------
    objective : Objective
    entering : Entering
    eta : ndarray of shape (r, K)
        Predictors before the rows enter, their forerunners gone.
    quadratic : ndarray of shape (r, K, K)
        A of the rows in the curvature before they enter, positive semidefinite.

    Notes
    -----
    r minimises r'A r / 2 + w l(y, eta - A r), whose gradient is A (r - w l'). No inverse of A is
    needed, which under several outputs has none. What A does along the null direction of a loss is
    left out: no slope has a part there, and under a weak penalty its rounding hides the others.
    """
    K = eta.shape[1]
    r, quadratic = np.zeros(eta.shape), _off_null(quadratic, objective.loss.null_direction)
    value = entering.losses(objective, eta)
    live = np.arange(len(eta))
    with np.errstate(all="ignore"):
        for _ in range(MAX_STEPS):
            if not len(live):
                break
            some, A = entering.take(live), quadratic[live]
            at = eta[live] - apply_blocks(A, r[live])
            missing = some.slopes(objective, at) - r[live]
            system = np.eye(K) + np.matmul(some.curvatures(objective, at), A)
            step = solve_blocks(system, missing)
            size = np.abs(step).max(axis=1)
            moved = size > SETTLED * np.maximum(np.abs(r[live]).max(axis=1), 1e-300)
            length = np.ones(len(live))
            reached, trial = value[live], r[live]
            open_rows = np.flatnonzero(moved & np.isfinite(size))
            for _ in range(MAX_HALVINGS):
                if not len(open_rows):
                    break
                candidate = r[live[open_rows]] + length[open_rows, None] * step[open_rows]
                A_r = apply_blocks(A[open_rows], candidate)
                there = some.take(open_rows).losses(objective, eta[live[open_rows]] - A_r)
                there += 0.5 * np.einsum("ik,ik->i", candidate, A_r)
                rounding = 16 * np.finfo(float).eps * np.maximum(np.abs(there), 1e-300)
                fell = there <= value[live[open_rows]] + rounding
                taken = open_rows[fell]
                trial[taken], reached[taken] = candidate[fell], there[fell]
                open_rows = open_rows[~fell]
                length[open_rows] *= 0.5
            r[live], value[live] = trial, reached
            # A full step at rounding's size is the last: Newton's convergence is quadratic.
            done = ~moved | ~np.isfinite(size)
            done[open_rows] = True
            r[live[~np.isfinite(size)]] = np.nan
            live = live[~done]
        r[live] = np.nan
        # Where float64 has no more room for the step's own equation, there is no step.
        at = eta - apply_blocks(quadratic, r)
        left = np.abs(entering.slopes(objective, at) - r).max(axis=1)
        scale = np.abs(r).max(axis=1) + np.abs(entering.weight)
        r[~(left <= UNSOLVED * scale)] = np.nan
    return r
