"""H^-1 by Woodbury's identity and conjugate gradients in the space of the rows."""

import numpy as np

from skinfluence._parallel import map_ordered, row_blocks
from skinfluence.curvature._base import Leverage
from skinfluence.curvature._cg import MAX_ITERATIONS, TOLERANCE, warn_unsolved
from skinfluence.curvature._woodbury import RESOLVED, WEAK, WoodburyCurvature
from skinfluence.penalties import LinearPlusL2

# Right-hand sides a block: float32 values of two cache lines are gathered for each stored entry.
BLOCK = 32
# Relative residual that a float32 pass reaches; what is left is the next pass's right-hand side.
PASS = 1e-5
# A pass that does not shrink the true residual by this has met the rounding of float32.
STALLED = 0.1
# Squared error of an inverse's diagonal entry, relative: that of `TOLERANCE` in a solve.
DIAGONAL = 1e-5
# Bordered columns are dense right-hand sides.
MOST_BORDERED = 8
# Largest entry of B's diagonal up to which its solutions keep the digits of those of H.
LARGEST = 1e6


def solves_by_rows(objective):
    """Whether the space of the rows serves an objective: sparse, fewer rows than columns, L2."""
    design, penalty = objective.design, objective.penalty
    strength = penalty.strength
    if not design.has_row_operator or isinstance(penalty, LinearPlusL2) or strength.ndim > 1:
        return False
    if objective.n_rows > design.shape[1] or penalty.has_fixed:
        return False
    weak = int((strength <= WEAK * strength.max(initial=0.0)).sum())
    if weak > MOST_BORDERED or not strength.max(initial=0.0) > 0:
        return False
    if not np.isfinite(objective.weight_diagonals).all() or (objective.weight_diagonals < 0).any():
        return False
    size = design.kernel_diagonal(1.0 / np.where(strength > 0, strength, np.inf))
    return bool((size * objective.weight_diagonals.max(axis=1)).max(initial=0.0) <= LARGEST)


class RowSpaceCurvature(WoodburyCurvature):
    """H^-1 by Woodbury, with B applied and never formed: for sparse rows in many columns.

    Solves with B scaled to a unit diagonal are by conjugate gradients, one recurrence a column in
    blocks of BLOCK columns, in float32; the residuals of what they reach are computed in float64,
    and are the right-hand sides of the next pass, to a relative residual of TOLERANCE (iterative
    refinement). Where float32 does not converge the iteration goes on in float64.
    """

    kind = "cg"

    def __init__(self, objective, damping=0.0):
        super().__init__(objective, damping)
        objective = self.inner
        operator = objective.design.row_operator(self.inverse_penalty)
        L = objective.weight_roots
        squares = np.einsum("ikm,ikm->im", L, L)
        self.kernel_diagonal = objective.design.kernel_diagonal(self.inverse_penalty)
        diagonal = 1.0 + self.kernel_diagonal[:, None] * squares
        self.largest = float(diagonal.max(initial=1.0))
        self.scale = diagonal**-0.5  # (n, K)
        self._kernel_operator = operator
        self._folded = objective.n_outputs == 1
        if self._folded:  # S L' K L S is A A' itself
            operator = operator.with_rows_scaled(self.scale[:, 0] * L[:, 0, 0])
        self.operator = operator
        # L S as blocks (n, K, K), and S^2 as a column.
        parts = L * self.scale[:, None], (self.scale**2).reshape(-1, 1)
        self._scaled_roots = {
            np.dtype(kind): tuple(part.astype(kind) for part in parts)
            for kind in (np.float32, np.float64)
        }
        self._check_border()

    def _scaled_matmul(self, V):
        """S B S V for V (n K, m), in the dtype of V."""
        roots, own = self._scaled_roots[V.dtype]
        product = own * V
        if self._folded:
            self.operator.add_product(V, product)
            return product
        n, K = self.scale.shape
        moved = np.matmul(roots, V.reshape(n, K, -1)).reshape(n, -1)
        found = np.zeros_like(moved)
        self.operator.add_product(moved, found)
        back = np.matmul(roots.transpose(0, 2, 1), found.reshape(n, K, -1))
        product += back.reshape(product.shape)
        return product

    def _inner_solve(self, F):
        """B^-1 F, blocks of columns on all cores."""
        result, worst = np.empty_like(F), 0.0
        scale = self.scale.reshape(-1, 1)

        def block(part):
            width = part.stop - part.start
            right = np.zeros((len(F), -(-width // 8) * 8))
            np.multiply(scale, F[:, part], out=right[:, :width])
            found, reached = self._refined(right)
            np.multiply(scale, found[:, :width], out=result[:, part])
            return reached

        blocks = row_blocks(F.shape[1], 1, at_most=BLOCK)
        for reached in map_ordered(block, blocks):
            worst = max(worst, reached)
        warn_unsolved(worst)
        return result

    def _refined(self, right):
        """Solution of the scaled equations for a block, and its largest relative residual."""
        size = np.linalg.norm(right, axis=0)
        size[size == 0] = 1.0
        solution, residual, dtype = np.zeros_like(right), right.copy(), np.float32
        left, reached = MAX_ITERATIONS, np.inf
        while left > 0:
            length = np.linalg.norm(residual, axis=0)
            before, reached = reached, float(np.nan_to_num(length / size).max(initial=0.0))
            if reached <= TOLERANCE:
                break
            if dtype == np.float32 and reached > STALLED * before:
                dtype = np.float64
            unit = np.where(length > 0, length, 1.0)
            goal = 0.5 * TOLERANCE / min(reached, 1.0)
            goal = max(PASS, goal) if dtype == np.float32 else goal
            step, used = self._conjugate((residual / unit).astype(dtype), goal, left)
            left -= max(1, used)
            solution += unit * step
            residual = right - self._scaled_matmul(solution)
        return solution, reached

    def _conjugate(self, R, goal, most):
        """Conjugate gradients for residuals R of unit length to a relative `goal`; iterations."""
        from skinfluence._kernels import conjugate_step

        X, D = np.zeros_like(R), R.copy()
        squares = np.einsum("ij,ij->j", R, R, dtype=np.float64)
        used = 0
        # A column of NaN, of an undefined deletion, stays NaN and does not count.
        while used < most and (squares > goal * goal).any():
            conjugate_step(D, self._scaled_matmul(D), X, R, squares)
            used += 1
        return X, used

    def _kernel_matmul(self, R):
        rows = np.ascontiguousarray(R.reshape(len(self.scale), -1))
        product = np.zeros_like(rows)
        self._kernel_operator.add_product(rows, product)
        return product.reshape(R.shape)

    def _curved_leverage(self, index):
        n, K = self.scale.shape
        one_minus, quadratic = (np.empty((len(index), K, K)) for _ in range(2))
        blocks = row_blocks(len(index), 1, at_most=max(1, BLOCK // K))

        def block(part):
            unit = np.zeros((n * K, K * (part.stop - part.start)))
            columns = np.arange(unit.shape[1])
            unit[np.repeat(index[part] * K, K) + columns % K, columns] = 1.0
            return part, self._inner_quadratic(unit)

        for part, found in map_ordered(block, blocks):
            one_minus[part] = found
        if len(self.border):
            border = self.inner_border.reshape(n, K, -1)[index]
            inner = one_minus
            one_minus = self._bordered_digits(
                index, inner - self._border_quadratic(index, border), inner
            )
        small = np.ones(len(index), dtype=bool)
        if K == 1:
            small = 1.0 - one_minus[:, 0, 0] <= RESOLVED
            at = ~small
            quadratic[at] = (1.0 - one_minus[at]) / self.inner.weights_of(index[at])
        at = np.flatnonzero(small)
        for part in row_blocks(len(at), 1, at_most=max(1, BLOCK // K)):
            quadratic[at[part]] = self._quadratic(index[at[part]])
        return Leverage(quadratic, one_minus)

    def _quadratic(self, index):
        """Blocks K - K M K + U S^-1 U' of some rows."""
        (n, K), b = self.scale.shape, len(index)
        design = self.inner.design
        cross = design.cross_kernel(design.take(index), self.inverse_penalty)
        F = np.einsum("ij,km->ikjm", cross, np.eye(K)).reshape(n * K, b * K)
        inner = self._to_inner(F)
        found = self.kernel_diagonal[index][:, None, None] * np.eye(K)
        found = found - self._inner_quadratic(inner)
        if len(self.border):
            U = self.lifted.reshape(n, K, -1)[index] - (F.T @ self.MZ).reshape(b, K, -1)
            found += self._border_quadratic(index, U)
        return found

    def _inner_quadratic(self, F):
        """Blocks F_j' B^-1 F_j, (b, K, K), of groups of K columns of F (n K, b K).

        2 F'X - X'BX has the square of the relative error of the solution X: a few float32
        iterations and one product in float64 give all digits.
        """
        K, width = self.scale.shape[1], F.shape[1]
        right = np.zeros((len(F), -(-width // 8) * 8))
        np.multiply(self.scale.reshape(-1, 1), F, out=right[:, :width])
        size = np.linalg.norm(right, axis=0)
        unit = np.where(size > 0, size, 1.0)
        step, _ = self._conjugate((right / unit).astype(np.float32), DIAGONAL, MAX_ITERATIONS)
        X = unit * step
        rest = 2.0 * right - self._scaled_matmul(X)
        groups = (len(F), width // K, K)
        X, rest = X[:, :width].reshape(groups), rest[:, :width].reshape(groups)
        found = np.einsum("nbk,nbm->bkm", X, rest)
        return 0.5 * (found + found.transpose(0, 2, 1))
