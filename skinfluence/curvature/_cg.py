"""H by its products alone: conjugate gradients for many right-hand sides at once."""

from functools import cached_property

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skinfluence._backend import cholesky
from skinfluence._validation import warn
from skinfluence.curvature._base import Curvature
from skinfluence.curvature._output_blocks import OutputBlocks

# Of the residual relative to the right-hand side, both scaled so that H has a unit diagonal. The
# relative error of a solution is at most this times the condition number of the scaled H.
TOLERANCE = 1e-10
MAX_ITERATIONS = 2000
# A residual above this is that of a singular system, whose solution is none.
UNSOLVED = 1e-4
# Leading eigenvectors in the preconditioner, and subspace iterations that estimate them. They save
# a fifth to a quarter of the iterations (sparse logistic regressions of 2,000 x 5,000: 110 to 87,
# of 1,000 x 3,000 with a hundredth of the penalty: 409 to 299).
N_DEFLATED = 24
# Pivots of Q'HQ below this share of its trace are 0 but for rounding.
SINGULAR = 1e-14
SUBSPACE_ITERATIONS = 4


class CGCurvature(Curvature):
    """H^-1 V by preconditioned conjugate gradients, one recurrence a column, products in blocks.

    Each iteration costs four flops for each stored entry, output and column. The preconditioner, in
    the scaling that gives H a unit diagonal, is the identity, except on the span Q of the
    unpenalised columns and the leading eigenvectors, where it is (Q'HQ)^-1. A solve with a relative
    residual above 10 TOLERANCE issues a ConvergenceWarning with the residual. Of a softmax the
    preconditioner may be `OutputBlocks`; what lies along its null direction, where H is a diagonal,
    is then solved for by itself.

    Parameters
    ----------
    objective : Objective
    damping : float
    deflate : bool
        Whether the leading eigenvectors are estimated, for many solves.
    blocks : OutputBlocks or True, optional
        Of this objective, or of one with much the same predictors; True: to be made.
    """

    kind = "cg"

    def __init__(self, objective, damping=0.0, *, deflate=True, blocks=None):
        super().__init__(objective, damping)
        diagonal = (
            objective.design.squared_columns(objective.weight_diagonals).ravel() + self.diagonal
        )
        if (diagonal <= 0).any():
            column = int(np.argmin(diagonal)) % objective.design.shape[1]
            raise np.linalg.LinAlgError(
                "the curvature is singular: it is 0 for "
                f"{objective.design.column_name(column)}. Fit with a penalty or pass damping > 0."
            )
        self.scale = diagonal**-0.5
        self.blocks = self._made(blocks) if blocks is True else blocks
        if self.blocks is None:
            self.Q, self.small = self._deflate(N_DEFLATED if deflate else 0)
            self._check_deflated(is_step=not deflate)

    def _made(self, blocks):
        """Blocks of this objective; None where one is singular."""
        shape = self.objective.n_outputs, self.objective.design.shape[1]
        try:
            return OutputBlocks(self.objective, self.diagonal.reshape(shape))
        except np.linalg.LinAlgError:
            return None

    def _scaled_matmul(self, V):
        """S H S V with S the scaling to a unit diagonal."""
        return self.scale[:, None] * (self @ (self.scale[:, None] * V))

    def _deflate(self, n_leading):
        """Return an orthonormal basis Q of the span, and Q'HQ.

        A few subspace iterations, in block products, give the leading eigenvectors as accurately as
        a preconditioner needs them: in a fit of 3,000 x 20,000 they take 0.5 s. ARPACK, which
        multiplies one vector at a time and uses SciPy's BLAS, took 10 s.
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
        if not span:
            return np.zeros((size, 0)), np.zeros((0, 0))
        Q = np.linalg.qr(np.hstack(span))[0]
        return Q, Q.T @ self._scaled_matmul(Q)

    def _check_deflated(self, is_step):
        """Raise where unpenalised columns are dependent: Q'HQ has no inverse.

        Few solves, such as a step of a fit, are no worse for one that is next to singular.
        """
        factor = cholesky(self.small)
        weak = SINGULAR * np.trace(self.small)
        if factor is None or (not is_step and (np.diag(factor) ** 2 <= weak).any()):
            raise np.linalg.LinAlgError(
                "the curvature is singular: columns that are not penalised, or hardly, are "
                "linearly dependent. Remove dependent columns, fit with a penalty (a finite C, a "
                "positive alpha), or pass damping > 0; curvature='dense' names the columns."
            )

    def _precondition(self, R):
        """Apply the blocks, or the inverse on Q and the identity on the rest."""
        if self.blocks is not None:
            unscale = 1.0 / self.scale[:, None]
            return unscale * self.blocks.apply(unscale * R)
        if not self.Q.shape[1]:
            return R.copy()
        along = self.Q.T @ R
        return R + self.Q @ (np.linalg.solve(self.small, along) - along)

    def solve(self, V):
        """H^-1 V; the iteration ends for all columns when the last one has converged."""
        return self.rough_solve(V, TOLERANCE)

    def rough_solve(self, V, tolerance):
        if self.blocks is None:
            return self._conjugate_gradients(V, tolerance, V)
        along, rest = self.blocks.split(V)
        diagonal = self.diagonal[: len(along)]
        if self.null_space_ridge is not None:
            diagonal = diagonal + self.null_space_ridge
        solved = self.blocks.lift(along / diagonal[:, None])
        return solved + self._conjugate_gradients(rest, tolerance, V)

    def _conjugate_gradients(self, V, tolerance, whole):
        """H^-1 V to a residual relative to `whole`, of which V is a part."""
        if self._is_compiled and V.shape[1] == 1 and np.isfinite(V).all():
            return self._one_column(V, tolerance, whole)
        # C-ordered, because SciPy's sparse products would copy any other array in every iteration.
        B = np.ascontiguousarray(self.scale[:, None] * V)
        X, R = np.zeros_like(B), B.copy()
        X[:, np.isnan(B).any(axis=0)] = np.nan  # an undefined deletion, with others or alone
        size = np.linalg.norm(self.scale[:, None] * whole, axis=0)
        size[size == 0] = 1.0
        D = self._precondition(R)
        rho = np.einsum("ij,ij->j", R, D)
        for _ in range(MAX_ITERATIONS):
            # The column of an undefined deletion is NaN from the start, and stays so.
            if not (np.linalg.norm(R, axis=0) > tolerance * size).any():
                break
            HD = self._scaled_matmul(D)
            along = np.einsum("ij,ij->j", D, HD)
            if (along < 0).any():
                raise np.linalg.LinAlgError("the curvature is indefinite: d'Hd < 0 in CG.")
            # A column with R = 0 has D = 0 and takes no more steps, while others go on.
            step = np.divide(rho, along, out=np.zeros_like(rho), where=along > 0)
            X += step * D
            R -= step * HD
            P = self._precondition(R)
            rho, before = np.einsum("ij,ij->j", R, P), rho
            D *= np.divide(rho, before, out=np.zeros_like(rho), where=before > 0)
            D += P
        if tolerance > TOLERANCE:
            return self.scale[:, None] * X
        # The recurrence's own residual drifts from the true one.
        reached = float(
            (np.linalg.norm(B - self._scaled_matmul(X), axis=0) / size).max(initial=0.0)
        )
        warn_unsolved(reached, tolerance)
        return self.scale[:, None] * X

    def _leverage_from(self, quadratic, rows):
        """As in the base class; leverages near 1 from the curvature without the row."""
        index = np.arange(self.objective.n_rows)[slice(None) if rows is None else rows]
        return self._kept_digits(super()._leverage_from(quadratic, rows), index)

    def _quadratic_without(self, row):
        """As in the base class; None too where the solve for the row comes to nothing."""
        try:
            rest = CGCurvature(self.objective.without(row), self.damping)
            design = self.objective.design.take(np.array([row]))
            K = self.objective.n_outputs
            right = design.outer(np.eye(K), np.zeros(K, dtype=np.intp)).T
            solved = rest.rough_solve(right, 2.0 * TOLERANCE)
        except np.linalg.LinAlgError:
            return None
        left, unit = (rest.scale[:, None] * part for part in (right - rest @ solved, right))
        if not (np.linalg.norm(left, axis=0) <= UNSOLVED * np.linalg.norm(unit, axis=0)).all():
            return None
        return right.T @ solved

    @cached_property
    def _is_compiled(self):
        """Whether a compiled loop solves for a single column: of sparse rows, for one output.

        With a unit diagonal the preconditioner is the identity where Q is a single unit vector.
        """
        objective = self.objective
        if objective.n_outputs > 1 or not objective.design.has_row_operator:
            return False
        plain = self.blocks is None and self.null_space_ridge is None
        return plain and self.Q.shape[1] <= 1 and np.count_nonzero(self.Q) <= 1

    def _one_column(self, V, tolerance, whole):
        """As `_conjugate_gradients`, for one column of sparse rows."""
        objective, scale = self.objective, self.scale
        size = float(np.linalg.norm(scale * whole[:, 0])) or 1.0
        ridge = scale**2 * self.diagonal
        weight = np.ascontiguousarray(objective.weights[:, 0, 0])
        system = weight, scale, ridge, scale * V[:, 0], tolerance * size, MAX_ITERATIONS
        found, convex = objective.design.conjugate_gradients(*system)
        if not convex:
            raise np.linalg.LinAlgError("the curvature is indefinite: d'Hd < 0 in CG.")
        found = found[:, None]
        if tolerance <= TOLERANCE:  # the recurrence's own residual drifts from the true one
            rest = scale[:, None] * V - self._scaled_matmul(found)
            warn_unsolved(float(np.linalg.norm(rest)) / size, tolerance)
        return scale[:, None] * found

    @cached_property
    def residual(self):
        """Relative residual of one random right-hand side, in the scaling to a unit diagonal."""
        right = np.random.default_rng(0).standard_normal((len(self.scale), 1)) / self.scale[:, None]
        left = self.scale[:, None] * (right - self @ self.solve(right))
        return float(np.linalg.norm(left) / np.linalg.norm(self.scale[:, None] * right))


def warn_unsolved(reached, tolerance=TOLERANCE):
    """Warn where the largest relative residual of a solve misses the tolerance."""
    if reached > 10 * tolerance:
        warn(
            f"conjugate gradients stopped at a relative residual of {reached:.1e} (wanted "
            f"{tolerance:.0e}); rescale the columns of X, or use curvature='dense' or 'dual'.",
            ConvergenceWarning,
        )
