"""H^-1 by Woodbury's identity, in the space of the rows: what factor and iteration share."""

from abc import abstractmethod
from functools import cached_property

import numpy as np

from skinfluence._backend import cholesky, cholesky_solve
from skinfluence._validation import warn
from skinfluence.curvature._base import CLOSE, Curvature, Leverage

# Columns penalised less than this share of the most penalised column are bordered, not put in the
# kernel K = X D^-1 X': divided by a tiny penalty, they would make all others rounding errors of K.
WEAK = 1e-3
# A leverage h = 1 - (1 - h) above this has lost no more than five digits to the difference.
RESOLVED = 1e-5
# Share of rows with curvature from which all rows are kept.
MOST_ROWS = 0.95
LOST = 1e8  # of B's condition, at which half of the digits are left


class WoodburyCurvature(Curvature):
    """H^-1 by Woodbury: B = I + L' (K (x) I) L with K = X D^-1 X' over the penalised columns.

    D is their penalty, W = L L' the weights, Z the few unpenalised (or hardly penalised) columns
    and E their penalty. With M = L B^-1 L' and S = Z'MZ + E, the solution of H (a, b) = (v, c) is

        b = S^-1 (c - Z'M X D^-1 v),    a = D^-1 (v - X'M (X D^-1 v + Z b)),

    and, with U = Z - K M Z, the quadratic forms of the own rows are A = K - K M K + U S^-1 U'. No
    W^-1 appears. One minus the leverage is the diagonal of B^-1 (bordered), which is accurate
    relative to itself where 1 - W a has lost its digits.
    """

    #: Largest diagonal entry of B, which a subclass computes.
    largest: float

    def __init__(self, objective, damping=0.0):
        super().__init__(objective, damping)
        # Rows without curvature do not enter B; for a hinge these are most rows. Where they are few
        # it is cheaper to keep them than to copy the others, and kernels can be shared.
        self.curved_rows = objective.curved_rows
        if len(self.curved_rows) < MOST_ROWS * objective.n_rows:
            objective = objective.take(self.curved_rows)
        else:
            self.curved_rows = np.arange(objective.n_rows)
        self.inner = objective
        strength = objective.penalty.strength + damping
        self.border = np.flatnonzero(
            objective.penalty.strength <= WEAK * objective.penalty.strength.max(initial=0.0)
        )
        if len(self.border) > max(1, len(strength) // 2):
            raise ValueError(
                f"curvature={self.kind!r} needs columns with an L2 penalty; {len(self.border)} of "
                f"{len(strength)} have none, or hardly any. Use curvature='dense'."
            )
        self.inverse_penalty = 1.0 / np.where(strength > 0, strength, 1.0)
        self.inverse_penalty[self.border] = 0.0

    @cached_property
    def lifted(self):
        """I (x) Z, (n K, K u), columns ordered (class, border column), as theta is."""
        K, Z = self.inner.n_outputs, self.inner.design.dense_columns(self.border)
        return np.einsum("km,iu->ikmu", np.eye(K), Z).reshape(len(Z) * K, K * Z.shape[1])

    @cached_property
    def inner_border(self):
        """B^-1 L'Z, (n K, K u)."""
        return self._inner_solve(self._to_inner(self.lifted))

    @cached_property
    def MZ(self):
        """M Z = L B^-1 L'Z, (n K, K u)."""
        return self._from_inner(self.inner_border)

    @abstractmethod
    def _inner_solve(self, F):
        """B^-1 F for F (n K, m)."""

    def _needs_null_ridge(self, mean):
        """As in the base class, but bordered columns only.

        In the kernel a column is divided by its penalty, however small: no sum with its curvature
        is formed in which the penalty could be lost.
        """
        strength = self.objective.penalty.strength
        lost = super()._needs_null_ridge(mean)
        return lost & (strength <= WEAK * strength.max(initial=0.0))

    @cached_property
    def schur(self):
        """Cholesky factor of the Schur complement S of the bordered columns."""
        K, u = self.objective.n_outputs, len(self.border)
        strength = self.inner.penalty.strength + self.damping
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

    def _check_border(self):
        """Raise where the bordered columns are dependent; once a subclass can solve with B."""
        return self.schur

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

    def _to_inner(self, F):
        """L' F for F (n K, m)."""
        L = self.inner.weight_roots
        if L.shape[1] == 1:
            return L[:, 0] * F
        return np.matmul(L.transpose(0, 2, 1), F.reshape(*L.shape[:2], F.shape[1])).reshape(F.shape)

    def _from_inner(self, F):
        """L F for F (n K, m)."""
        L = self.inner.weight_roots
        if L.shape[1] == 1:
            return L[:, 0] * F
        return np.matmul(L, F.reshape(*L.shape[:2], F.shape[1])).reshape(F.shape)

    def _apply_M(self, F):
        """M F = L B^-1 L' F for F (n K, m)."""
        return self._from_inner(self._inner_solve(self._to_inner(F)))

    def _solve_border(self, C):
        """S^-1 C with the Schur complement S of the bordered columns."""
        return cholesky_solve(self.schur, C) if len(self.border) else C

    def _multipliers(self, F, C):
        """M (F + Z b), (n K, m), and b (K u, m), for F = X D^-1 v and right-hand sides C."""
        R = self._apply_M(F)
        b = self._solve_border(C - self.lifted.T @ R)
        R += self.MZ @ b
        return R, b

    def solve(self, V):
        """H^-1 V by the formula of the class docstring, in products with X and B^-1."""
        design, K = self.inner.design, self.inner.n_outputs
        q, m = design.shape[1], V.shape[1]
        V = V.reshape(K, q, m)
        scaled = self.inverse_penalty[:, None] * V
        F = np.stack([design @ block for block in scaled], axis=1)
        F = F.reshape(len(F) * K, m)
        R, b = self._multipliers(F, V[:, self.border].reshape(K * len(self.border), m))
        R = R.reshape(design.shape[0], K, m)
        solution = np.stack([design.transpose_matmul(R[:, k]) for k in range(K)])
        np.subtract(V, solution, out=solution)
        solution *= self.inverse_penalty[:, None]
        solution[:, self.border] = b.reshape(K, len(self.border), m)
        return solution.reshape(K * q, m)

    def own_products(self, design, slopes):
        if len(self.curved_rows) < self.objective.n_rows:
            return None
        n, K = self.inner.n_rows, self.inner.n_outputs
        m, u = len(slopes), len(self.border)
        repeats = m // max(1, design.shape[0])
        cross = self.inner.design.cross_kernel(design, self.inverse_penalty)
        F = (np.tile(cross, repeats)[:, None] * slopes.T[None]).reshape(n * K, m)
        border = np.tile(design.dense_columns(self.border).T, repeats)
        C = slopes.T[:, None] * border[None]
        R, b = self._multipliers(F, C.reshape(K * u, m))
        return self._own_predictors(F, R, b).reshape(n, K, m)

    def _own_predictors(self, F, R, b):
        """F - (K (x) I) R + Z b, the own rows' predictors (n K, m) of a solution; F is used up."""
        F -= self._kernel_matmul(R)
        F += self.lifted @ b
        return F

    @abstractmethod
    def _kernel_matmul(self, R):
        """(K (x) I) R for R (n K, m)."""

    def _leverage_of(self, rows):
        """Leverage blocks of own rows, accurate however close the leverage is to 1."""
        index = np.arange(self.objective.n_rows)[slice(None) if rows is None else rows]
        if len(self.curved_rows) == self.objective.n_rows:
            return self._curved_leverage(index)
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
        own = self._curved_leverage(place[curved])
        quadratic[curved], one_minus[curved] = own.quadratic, own.one_minus
        quadratic[~curved] = self.row_quadratic(self.objective.design.take(index[~curved]))
        return Leverage(quadratic, one_minus)

    @abstractmethod
    def _curved_leverage(self, index):
        """Leverage blocks of rows with curvature, by their positions in `curved_rows`."""

    def _border_quadratic(self, index, U):
        """U_i S^-1 U_i' for the rows' U (b, K, K u)."""
        rows = U.reshape(len(index) * U.shape[1], U.shape[2])
        solved = self._solve_border(rows.T).T.reshape(U.shape)
        return np.matmul(U, solved.transpose(0, 2, 1))

    def _bordered_digits(self, index, one_minus, inner):
        """Correct blocks of some rows, in place, that settle the border almost alone; return all.

        There `inner`, of the penalised columns, and the border's share of it cancel: they are found
        by the curvature without the row.
        """
        if not self.has_all_digits:
            return one_minus
        for position in np.flatnonzero(_smallest_ratio(one_minus, inner) < CLOSE):
            row = self.curved_rows[index[position]]
            rest = self._quadratic_without(row)
            if rest is None:
                one_minus[position] = 0.0
                continue
            L = self.objective.weight_roots_of([row])[0]
            one_minus[position] = np.linalg.inv(np.eye(len(L)) + L.T @ rest @ L)
        return one_minus


def _smallest_ratio(left, whole):
    """Smallest generalised eigenvalue of the blocks left v = ratio whole v, (n,)."""
    if left.shape[1] == 1:
        return (left / whole)[:, 0, 0]
    ratio = np.full(len(left), 1.0)
    gone = np.linalg.solve(whole, whole - left)
    # It is at least one minus the trace of what is gone.
    some = np.flatnonzero(np.einsum("ikk->i", gone) > 0.9)
    ratio[some] = 1.0 - np.linalg.eigvals(gone[some]).real.max(axis=1, initial=0.0)
    return ratio
