"""H by the n x n kernel matrix of its rows, for more columns than rows."""

from functools import cached_property

import numpy as np

from skinfluence._backend import (
    cholesky,
    cholesky_solve,
    inverse_factor,
    reciprocal_condition,
    unit_norm,
)
from skinfluence._parallel import row_blocks
from skinfluence.curvature._base import Leverage
from skinfluence.curvature._woodbury import RESOLVED, WoodburyCurvature

# A quadratic form below this share of the kernel has lost as many digits in K - K M K.
CANCELLED = 1e-6
# Largest entry of B from which rows are heavy: its square is what solves lose of a weighted row.
HEAVY = 1e4
# Share of the largest weight at which a row has none: its products with others may underflow.
WEIGHTLESS = 1e-100
# Rows of the kernel that stay in the cache between two operations.
CACHED_ROWS = 32
# Rows from which a factor in float32 is worth a representation of its own; largest entry of B's
# diagonal at which 1 - leverage was within 3e-4 of that in float64 (4,137 rows of word counts).
WORTH_SINGLE = 1000
LARGEST_SINGLE = 1e4


class DualCurvature(WoodburyCurvature):
    """H^-1 by Woodbury with the Cholesky factor of B, (n K)^3 / 3 flops."""

    kind = "dual"
    dtype: np.dtype = np.dtype(np.float64)

    def __init__(self, objective, damping=0.0, beside=None):
        super().__init__(objective, damping)
        objective = self.inner
        self.base_kernel, self.ratio = self._kernel(beside)
        B = self._inner_matrix()
        # B is at least 1: its condition is that of its largest entries.
        self.largest = float(np.diag(B).max(initial=1.0))
        size = unit_norm(B) if self.has_all_digits else None
        self.factor = cholesky(B, overwrite=True)
        if self.factor is None:
            raise np.linalg.LinAlgError(
                "the dual curvature I + L'KL is not positive definite: the kernel matrix K has "
                "negative eigenvalues, from rounding. Scale the columns of X, or use "
                "curvature='dense'."
            )
        if size is not None:
            self.rcond = reciprocal_condition(self.factor, *size)
        self._check_border()

    def _inner_matrix(self):
        """B = I + L' (K (x) I) L."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        # Rows of `roots` are (row i, column of L_i): L' (K (x) I) L is K_ij L_i'L_j elementwise.
        roots = self.inner.weight_roots.transpose(0, 2, 1).reshape(n * K, K)
        roots = np.sqrt(self.ratio) * roots.astype(self.dtype, copy=False)
        if K == 1:
            B, own = np.empty((n, n), dtype=self.dtype), roots[:, 0]
            for part in row_blocks(n, 16 * n, at_most=CACHED_ROWS):
                np.multiply(own[part, None], own, out=B[part])
                B[part] *= self.base_kernel[part]
        else:
            B = roots @ roots.T
            B.reshape(n, K, n, K)[...] *= self.base_kernel[:, None, :, None]
        B[np.diag_indices_from(B)] += 1.0
        return B

    def _kernel(self, beside):
        """(k, r) of K = X D^-1 X' = r k: of another penalty strength's curvature k is the same."""
        ratio = None if beside is None else self._ratio_to(beside)
        if ratio is not None:
            return beside.base_kernel, self.dtype.type(ratio * beside.ratio)
        kernel = self.inner.design.kernel(self.inverse_penalty)
        return kernel.astype(self.dtype, copy=False), self.dtype.type(1)

    def _ratio_to(self, beside):
        """K over that of another curvature of the same rows; None if it is not a multiple."""
        design, scale = self.objective.design, self.inverse_penalty
        if not isinstance(beside, type(self)) or not design.has_rows_of(beside.objective.design):
            return None
        if not np.array_equal(self.curved_rows, beside.curved_rows):
            return None
        if not np.array_equal(scale > 0, beside.inverse_penalty > 0):
            return None
        ratios = scale[scale > 0] / beside.inverse_penalty[scale > 0]
        return None if np.ptp(ratios) > np.finfo(self.dtype).eps * ratios[0] else ratios[0]

    def kernel_columns(self, index):
        """Columns (n, b) of the kernel K of the rows with curvature."""
        return self.ratio * self.base_kernel[:, index]

    def _inner_solve(self, F):
        return cholesky_solve(self.factor, F)

    @property
    def _has_heavy_rows(self):
        """Whether the two terms of a solve's formula are nearly the same.

        Their difference is right beside them, but not the little that a heavy row moves, which the
        row's weight multiplies.
        """
        return self.has_all_digits and self.largest > HEAVY

    def solve(self, V):
        """As in the base class; of heavy rows once more, for what that left."""
        found = super().solve(V)
        if self._has_heavy_rows:
            found += super().solve(V - self @ found)
        return found

    def own_products(self, design, slopes):
        """As in the base class; of heavy rows by solves."""
        return None if self._has_heavy_rows else super().own_products(design, slopes)

    @cached_property
    def inverse_factor(self):
        """R^-1 of B = R'R, upper triangular, kept: every leverage reads it."""
        return inverse_factor(self.factor)

    def _curved_leverage(self, index):
        one_minus = self._one_minus(index)
        if self.inner.n_outputs > 1:
            return Leverage(self._quadratic(index), one_minus)
        # a = h / W costs nothing, and has no cancellation where h is not small.
        quadratic, at = np.empty_like(one_minus), np.arange(len(index))
        found = 1.0 - one_minus[:, 0, 0] > RESOLVED
        quadratic[found] = (1.0 - one_minus[found]) / self.inner.weights_of(index[found])
        at = np.flatnonzero(~found)
        quadratic[at] = self._quadratic(index[at])
        own = self.ratio * self.base_kernel.diagonal()[index[at]]
        at = at[quadratic[at, 0, 0] < CANCELLED * own]
        quadratic[at, 0, 0] = self._by_squares(index[at])
        return Leverage(quadratic, one_minus)

    def _quadratic(self, index):
        """Blocks A by their formula, with the kernel."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        quadratic = np.empty((len(index), K, K))
        for part in row_blocks(len(index), 24 * n * K * K, at_most=1024):
            quadratic[part] = self._kernel_quadratic(index[part])
        if len(self.border):
            quadratic += self._border_quadratic(index, self._residual_border(index))
        return quadratic

    def _by_squares(self, index):
        """Quadratic forms of rows that others pin down, (b,), for one output.

        |D^-1/2 (x - X'L t)|^2 + t't with t = B^-1 L'K e is K - K M K without its cancellation.
        """
        design, inverse = self.inner.design, self.inverse_factor
        L = self.inner.weight_roots[:, 0, 0].astype(self.dtype, copy=False)
        t = inverse @ (inverse.T @ (L[:, None] * self.kernel_columns(index)))
        unit = np.zeros((design.shape[0], len(index)))
        unit[index, np.arange(len(index))] = 1.0
        left = design.transpose_matmul(unit - L[:, None] * t)
        quadratic = self.inverse_penalty @ left**2 + (t**2).sum(axis=0)
        if len(self.border):
            U = self._residual_border(index)
            quadratic += self._border_quadratic(index, U)[:, 0, 0]
        return quadratic

    def one_minus_leverage(self, rows):
        """One minus the leverage of rows with curvature, (b,), for one output, without using K."""
        index = np.searchsorted(self.curved_rows, rows)
        return self._one_minus(index)[:, 0, 0]

    def _own_predictors(self, F, R, b):
        """As in the base class; of one output R = W (F - K R + Z b): only rows of no weight take K.

        A row of little weight loses no digits: its row of B is nearly that of the identity, and
        substitution rounds each row relative to itself.
        """
        if self.inner.n_outputs > 1 or not self.has_all_digits:
            return super()._own_predictors(F, R, b)
        weight = self.inner.weights[:, 0]
        flat = np.flatnonzero(weight <= WEIGHTLESS * weight.max(initial=0.0))
        own = F[flat] - self.ratio * (self.base_kernel[flat] @ R) + self.lifted[flat] @ b
        np.divide(R, weight, out=F, where=weight > 0)
        F[flat] = own
        return F

    def _kernel_matmul(self, R):
        product = self.base_kernel @ R.reshape(len(self.base_kernel), -1)
        return (self.ratio * product).reshape(R.shape)

    def _one_minus(self, index):
        """Diagonal blocks of the bordered B^-1 of some rows, (b, K, K)."""
        return self._inner_diagonal[index]

    @cached_property
    def _inner_diagonal(self):
        """Diagonal blocks of the bordered B^-1: B^-1 - V S^-1 V' with V = B^-1 L'Z."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        own = self.inverse_factor.reshape(n, K, n * K)
        if K == 1:
            inner = np.einsum("ikj,ikj->i", own, own)[:, None, None].astype(np.float64)
        else:
            inner = np.matmul(own, own.transpose(0, 2, 1))
        if not len(self.border):
            return inner
        border = self.inner_border.reshape(n, K, -1)
        one_minus = inner - self._border_quadratic(np.arange(n), border)
        return self._bordered_digits(np.arange(n), one_minus, inner)

    def _kernel_quadratic(self, index):
        """Blocks of K - K M K = K - Y'Y with Y = R^-T L'(K (x) I)."""
        L, kernel = self.inner.weight_roots, self.kernel_columns(index)
        L = L.astype(self.dtype, copy=False)
        n, K = L.shape[:2]
        if K == 1:  # the same formula without the axes of length 1, which NumPy handles slowly
            Y = self.inverse_factor.T @ (L[:, 0] * kernel)
            own = kernel[index, np.arange(len(index))] - np.einsum("ji,ji->i", Y, Y)
            return own[:, None, None]
        LK = (L[:, None] * kernel[:, :, None, None]).transpose(0, 3, 1, 2)
        Y = (self.inverse_factor.T @ LK.reshape(n * K, -1)).reshape(n * K, len(index), K)
        return kernel[index, np.arange(len(index))][:, None, None] * np.eye(K) - np.einsum(
            "jik,jim->ikm", Y, Y, optimize=True
        )

    def _residual_border(self, index):
        """Rows of U = Z - K M Z, (b, K, K u)."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        MZ = self.MZ.reshape(n, -1)
        KMZ = (self.ratio * (self.base_kernel[index] @ MZ)).reshape(len(index), K, MZ.shape[1] // K)
        return self.lifted.reshape(n, K, -1)[index] - KMZ


def is_single_enough(objective):
    """Whether float32 saves something, and leaves the leverages four digits: for one output."""
    if objective.n_outputs > 1 or objective.n_rows < WORTH_SINGLE or not objective.has_real_roots:
        return False
    strength = objective.penalty.strength
    inverse = 1.0 / np.where(strength > 0, strength, np.inf)
    size = objective.design.kernel_diagonal(inverse) * objective.weights[:, 0, 0]
    return bool(size.max(initial=0.0) <= LARGEST_SINGLE)


class SingleDualCurvature(DualCurvature):
    """The same in float32: half of the time and the memory, for one output.

    Of its leverages h, 1 - h is right to four digits or so where B's diagonal is at most
    LARGEST_SINGLE. That is enough to compare models by: a Newton step is off by more.
    """

    dtype = np.dtype(np.float32)
    has_all_digits = False

    def _inner_solve(self, F):
        inverse = self.inverse_factor
        return inverse @ (inverse.T @ F.astype(self.dtype))

    @cached_property
    def inverse_factor(self):
        """R^-1, written over R, which nothing else reads: one array of (n, n) less."""
        return inverse_factor(self.factor, overwrite=True)
