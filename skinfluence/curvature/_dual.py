"""H by the n x n kernel matrix of its rows, for more columns than rows."""

import numpy as np

from skinfluence._backend import cholesky, cholesky_solve, inverse_factor, reciprocal_condition
from skinfluence._parallel import row_blocks
from skinfluence._validation import warn
from skinfluence.curvature._base import Curvature, Leverage

# Columns penalised less than this share of the most penalised column are bordered, not put in the
# kernel K = X D^-1 X': divided by a tiny penalty, they would make all others rounding errors of K.
WEAK = 1e-3
# A quadratic form below this share of the kernel has lost as many digits in K - K M K.
CANCELLED = 1e-6
LOST = 1e8  # of B's condition, at which half of the digits are left


class DualCurvature(Curvature):
    """H^-1 by Woodbury: B = I + L' (K (x) I) L with K = X D^-1 X' over the penalised columns.

    D is their penalty, W = L L' the weights, Z the few unpenalised (or hardly penalised) columns
    and E their penalty. With M = L B^-1 L' and S = Z'MZ + E, the solution of H (a, b) = (v, c) is

        b = S^-1 (c - Z'M X D^-1 v),    a = D^-1 (v - X'M (X D^-1 v + Z b)),

    and, with U = Z - K M Z, the quadratic forms of the own rows are A = K - K M K + U S^-1 U'. No
    W^-1 appears. One minus the leverage is the diagonal of B^-1 (bordered), which is accurate
    relative to itself where 1 - W a has lost its digits.
    """

    kind = "dual"

    def __init__(self, objective, damping=0.0):
        super().__init__(objective, damping)
        # Rows without curvature do not enter B; for a hinge these are most rows.
        self.curved_rows = objective.curved_rows
        if len(self.curved_rows) < objective.n_rows:
            objective = objective.take(self.curved_rows)
        self.inner = objective
        n, K = objective.n_rows, objective.n_outputs
        strength = objective.penalty.strength + damping
        self.border = np.flatnonzero(
            objective.penalty.strength <= WEAK * objective.penalty.strength.max(initial=0.0)
        )
        if len(self.border) > max(1, len(strength) // 2):
            raise ValueError(
                "curvature='dual' needs penalised columns (a finite C, a positive alpha); "
                f"{len(self.border)} of {len(strength)} are not penalised, or hardly. Use "
                "curvature='dense'."
            )
        self.inverse_penalty = 1.0 / np.where(strength > 0, strength, 1.0)
        self.inverse_penalty[self.border] = 0.0
        self.kernel = objective.design.kernel(self.inverse_penalty)
        # Rows of `roots` are (row i, column of L_i): L' (K (x) I) L is K_ij L_i'L_j elementwise.
        roots = objective.weight_roots.transpose(0, 2, 1).reshape(n * K, K)
        B = roots @ roots.T
        if K == 1:
            B *= self.kernel
        else:
            B.reshape(n, K, n, K)[...] *= self.kernel[:, None, :, None]
        B[np.diag_indices_from(B)] += 1.0
        # B is at least 1: its condition is that of its largest entries.
        self.largest = float(np.diag(B).max(initial=1.0))
        self.factor = cholesky(B)
        if self.factor is None:
            raise np.linalg.LinAlgError(
                "the dual curvature I + L'KL is not positive definite: the kernel matrix K has "
                "negative eigenvalues, from rounding. Scale the columns of X, or use "
                "curvature='dense'."
            )
        self.rcond = reciprocal_condition(self.factor, B)
        unit = np.zeros((len(strength), len(self.border)))
        unit[self.border, np.arange(len(self.border))] = 1.0
        self.Z = objective.design @ unit
        # Columns of I (x) Z ordered (class, border column), as theta is.
        u = len(self.border)
        self.lifted = np.einsum("km,iu->ikmu", np.eye(K), self.Z).reshape(n * K, K * u)
        self.MZ = self._apply_M(self.lifted)
        self.schur = self._schur_factor(strength)

    def _needs_null_ridge(self, mean):
        """As in the base class, but bordered columns only.

        In the kernel a column is divided by its penalty, however small: no sum with its curvature
        is formed in which the penalty could be lost.
        """
        strength = self.objective.penalty.strength
        lost = super()._needs_null_ridge(mean)
        return lost & (strength <= WEAK * strength.max(initial=0.0))

    def _schur_factor(self, strength):
        """Cholesky factor of the Schur complement S of the bordered columns."""
        K, u = self.objective.n_outputs, len(self.border)
        S = self.lifted.T @ self.MZ + np.diag(np.tile(strength[self.border], K))
        if self.null_space_ridge is not None and u:
            null = self.objective.loss.null_direction
            S += np.kron(np.outer(null, null), np.diag(self.null_space_ridge[self.border]))
        factor = cholesky(S) if u else np.zeros((0, 0))
        if factor is None or (u and np.diag(factor).min() ** 2 <= 1e-14 * np.trace(S)):
            raise np.linalg.LinAlgError(
                "the curvature is singular in the unpenalised columns "
                + ", ".join(self.objective.design.column_name(j) for j in self.border)
                + ": they are linearly dependent. Remove dependent columns, or pass damping > 0."
            )
        return factor

    def warn_of_lost_digits(self):
        if self.largest > LOST:
            warn(
                "the dual curvature is ill-conditioned: the data count for "
                f"{self.largest:.0e} times the penalty, and as many digits are lost. Scale the "
                "columns of X, raise the penalty, or pass curvature='dense'.",
                RuntimeWarning,
            )

    def amplification(self, one_minus):
        # One minus the leverage is not a difference here: no digit is lost as it nears 0.
        return super().amplification(np.ones_like(one_minus))

    def _apply_M(self, F):
        """M F = L B^-1 L' F for F (n K, m)."""
        L = self.inner.weight_roots
        n, K = L.shape[:2]
        m = F.shape[1]
        inner = np.matmul(L.transpose(0, 2, 1), F.reshape(n, K, m)).reshape(n * K, m)
        inner = cholesky_solve(self.factor, inner)
        return np.matmul(L, inner.reshape(n, K, m)).reshape(n * K, m)

    def _solve_border(self, C):
        """S^-1 C with the Schur complement S of the bordered columns."""
        return cholesky_solve(self.schur, C) if len(self.border) else C

    def solve(self, V):
        """H^-1 V by the formula of the class docstring, in products with X and B^-1."""
        design, K = self.inner.design, self.inner.n_outputs
        q, m = design.shape[1], V.shape[1]
        V = V.reshape(K, q, m)
        scaled = self.inverse_penalty[:, None] * V
        F = np.stack([design @ block for block in scaled], axis=1).reshape(-1, m)
        R = self._apply_M(F)
        C = V[:, self.border].reshape(K * len(self.border), m)
        b = self._solve_border(C - self.lifted.T @ R)
        R = (R + self.MZ @ b).reshape(-1, K, m)
        solution = np.stack([design.transpose_matmul(R[:, k]) for k in range(K)])
        solution = self.inverse_penalty[:, None] * (V - solution)
        solution[:, self.border] = b.reshape(K, len(self.border), m)
        return solution.reshape(K * q, m)

    def leverage(self, rows=None):
        """Leverage blocks of own rows, accurate however close the leverage is to 1."""
        index = np.arange(self.objective.n_rows)[slice(None) if rows is None else rows]
        if len(self.curved_rows) == self.objective.n_rows:
            return self._leverage(index)
        K = self.objective.n_outputs
        place = np.searchsorted(self.curved_rows, index)
        place[place == len(self.curved_rows)] = 0
        curved = (
            self.curved_rows[place] == index
            if len(self.curved_rows)
            else np.zeros(len(index), bool)
        )
        quadratic = np.empty((len(index), K, K))
        one_minus = np.tile(np.eye(K), (len(index), 1, 1))
        own = self._leverage(place[curved])
        quadratic[curved], one_minus[curved] = own.quadratic, own.one_minus
        quadratic[~curved] = self.row_quadratic(self.objective.design.take(index[~curved]))
        return Leverage(quadratic, one_minus)

    def _leverage(self, index):
        """Leverage blocks of rows with curvature, by their positions in `curved_rows`."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        inverse = inverse_factor(self.factor)
        quadratic = np.empty((len(index), K, K))
        for part in row_blocks(len(index), 24 * n * K * K, at_most=1024):
            quadratic[part] = self._kernel_quadratic(index[part], inverse)
        if len(self.border):
            quadratic += self._border_quadratic(index, self._residual_border(index))
        one_minus = self._one_minus(index, inverse)
        if K == 1:  # a = h / W, without the cancellation of K - K M K, where h is not small
            large = one_minus[:, 0, 0] < 0.5
            at = np.flatnonzero(large)
            quadratic[at] = (1.0 - one_minus[at]) / self.inner.weights_of(index[at])
            lost = quadratic[:, 0, 0] < CANCELLED * self.kernel[index, index]
            at = np.flatnonzero(lost & ~large)
            quadratic[at, 0, 0] = self._by_squares(index[at], inverse)
        return Leverage(quadratic, one_minus)

    def _by_squares(self, index, inverse):
        """Quadratic forms of rows that others pin down, (b,), for one output.

        |D^-1/2 (x - X'L t)|^2 + t't with t = B^-1 L'K e is K - K M K without its cancellation.
        """
        design, L = self.inner.design, self.inner.weight_roots[:, 0, 0]
        t = inverse @ (inverse.T @ (L[:, None] * self.kernel[:, index]))
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
        return self._one_minus(index, inverse_factor(self.factor))[:, 0, 0]

    def _one_minus(self, index, inverse):
        """Diagonal blocks of the bordered B^-1: B^-1 - V S^-1 V' with V = B^-1 L'Z."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        one_minus = np.empty((len(index), K, K))
        for part in row_blocks(len(index), 24 * n * K * K, at_most=1024):
            own = inverse.reshape(n, K, n * K)[index[part]]
            one_minus[part] = np.matmul(own, own.transpose(0, 2, 1))
        if len(self.border):
            one_minus -= self._border_quadratic(index, self._inner_border(index))
        return one_minus

    def _kernel_quadratic(self, index, inverse):
        """Blocks of K - K M K = K - Y'Y with Y = R^-T L'(K (x) I)."""
        L, kernel = self.inner.weight_roots, self.kernel[:, index]
        n, K = L.shape[:2]
        if K == 1:  # the same formula without the axes of length 1, which NumPy handles slowly
            Y = inverse.T @ (L[:, 0] * kernel)
            own = kernel[index, np.arange(len(index))] - np.einsum("ji,ji->i", Y, Y)
            return own[:, None, None]
        LK = (L[:, None] * kernel[:, :, None, None]).transpose(0, 3, 1, 2)
        Y = (inverse.T @ LK.reshape(n * K, -1)).reshape(n * K, len(index), K)
        return kernel[index, np.arange(len(index))][:, None, None] * np.eye(K) - np.einsum(
            "jik,jim->ikm", Y, Y, optimize=True
        )

    def _residual_border(self, index):
        """Rows of U = Z - K M Z, (b, K, K u)."""
        n, K = self.inner.n_rows, self.inner.n_outputs
        MZ = self.MZ.reshape(n, -1)
        KMZ = (self.kernel[index] @ MZ).reshape(len(index), K, MZ.shape[1] // K)
        return self.lifted.reshape(n, K, -1)[index] - KMZ

    def _inner_border(self, index):
        """Rows of B^-1 L'Z, (b, K, K u)."""
        L = self.inner.weight_roots
        n, K = L.shape[:2]
        inner = np.matmul(L.transpose(0, 2, 1), self.lifted.reshape(n, K, -1))
        return cholesky_solve(self.factor, inner.reshape(n * K, -1)).reshape(n, K, -1)[index]

    def _border_quadratic(self, index, U):
        """U_i S^-1 U_i' for the rows' U (b, K, K u)."""
        rows = U.reshape(len(index) * U.shape[1], U.shape[2])
        solved = self._solve_border(rows.T).T.reshape(U.shape)
        return np.matmul(U, solved.transpose(0, 2, 1))
