"""H as products only: conjugate gradients on many right-hand sides at once."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skinfluence.curvature._base import Curvature

TOLERANCE = (
    1e-10  # of the residual, relative to the right-hand side, both scaled to a unit diagonal
)
MAX_ITERATIONS = 2000
N_DEFLATED = 24
SUBSPACE_ITERATIONS = 4


class CGCurvature(Curvature):
    """H^-1 V by preconditioned conjugate gradients, one recurrence a column, products in blocks.

    Each iteration costs four flops a stored entry, output and column. Preconditioner, in the
    scaling that gives H a unit diagonal: the identity, except on the span Q of the unpenalised
    columns and the leading eigenvectors, where it is the inverse of Q'HQ. `residual` is the largest
    relative residual any solve of this curvature has left; past TOLERANCE a ConvergenceWarning says
    so.
    """

    kind = "cg"

    def __init__(self, objective, damping=0.0, *, deflate=True):
        super().__init__(objective, damping)
        diagonal = objective.design.squared_columns(objective.weights).ravel() + self.diagonal
        if (diagonal <= 0).any():
            column = int(np.argmin(diagonal)) % objective.design.shape[1]
            raise np.linalg.LinAlgError(
                "the curvature is singular: it vanishes on "
                f"{objective.design.column_name(column)}. Fit with a penalty or pass damping > 0."
            )
        self.scale = diagonal**-0.5
        self._deflate(N_DEFLATED if deflate else 0)

    def _scaled_matmul(self, V):
        """S H S V with S the scaling to a unit diagonal."""
        return self.scale[:, None] * (self @ (self.scale[:, None] * V))

    def _deflate(self, n_leading):
        """Find the span Q and factor Q'HQ on it.

        A few subspace iterations give the leading eigenvectors as well as a preconditioner needs
        them, in block products. ARPACK goes a vector at a time, through the other BLAS: it took ten
        seconds of a fit of 3,000 x 20,000 that these take half a second of.
        """
        size, along = len(self.scale), self.objective.hessian_diagonal
        K, q = self.objective.n_outputs, self.objective.design.shape[1]
        weakest = along.reshape(K, q).max(axis=0) <= 1e-6 * along.max(initial=0.0)
        free = np.flatnonzero(weakest)[:8]
        span = [np.eye(K * q, 1, -(k * q + j)) for k in range(K) for j in free]
        if n_leading and size > 4 * n_leading:
            leading = np.random.default_rng(0).standard_normal((size, n_leading))
            for _ in range(SUBSPACE_ITERATIONS):
                leading = np.linalg.qr(self._scaled_matmul(leading))[0]
            span.append(leading)
        self.Q = np.linalg.qr(np.hstack(span))[0] if span else np.zeros((size, 0))
        self.small = self.Q.T @ self._scaled_matmul(self.Q) if span else np.zeros((0, 0))

    def _precondition(self, R):
        """Apply the inverse on Q and the identity on the rest."""
        if not self.Q.shape[1]:
            return R.copy()
        along = self.Q.T @ R
        return R + self.Q @ (np.linalg.solve(self.small, along) - along)

    def solve(self, V):
        """H^-1 V; columns stop together when the worst has converged."""
        # Rows in one piece: SciPy's sparse products copy anything else, every iteration.
        B = np.ascontiguousarray(self.scale[:, None] * V)
        X, R = np.zeros_like(B), B.copy()
        size = np.linalg.norm(B, axis=0)
        size[size == 0] = 1.0
        D = self._precondition(R)
        rho = np.einsum("ij,ij->j", R, D)
        for _ in range(MAX_ITERATIONS):
            if (np.linalg.norm(R, axis=0) <= TOLERANCE * size).all():
                break
            HD = self._scaled_matmul(D)
            along = np.einsum("ij,ij->j", D, HD)
            if (along < 0).any():
                raise np.linalg.LinAlgError("the curvature is indefinite: d'Hd < 0 in CG.")
            step = np.divide(rho, along, out=np.zeros_like(rho), where=along > 0)
            X += step * D
            R -= step * HD
            P = self._precondition(R)
            rho, before = np.einsum("ij,ij->j", R, P), rho
            D *= np.divide(rho, before, out=np.zeros_like(rho), where=before > 0)
            D += P
        self._report(B - self._scaled_matmul(X), size)
        return self.scale[:, None] * X

    def _report(self, R, size):
        """Keep the largest true residual, and warn when it misses the tolerance."""
        reached = float((np.linalg.norm(R, axis=0) / size).max(initial=0.0))
        self.residual = max(self.residual, reached)
        if reached > 10 * TOLERANCE:
            warnings.warn(
                f"conjugate gradients stopped at a relative residual of {reached:.1e} (wanted "
                f"{TOLERANCE:.0e}); rescale the columns of X, or use curvature='dense' or 'dual'.",
                ConvergenceWarning,
                stacklevel=3,
            )
