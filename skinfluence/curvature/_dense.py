"""H by its triangular factor."""

from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from skinfluence._backend import (
    cholesky,
    cholesky_inverse,
    cholesky_solve,
    corner_inverses,
    inverse_factor,
    reciprocal_condition,
    unit_norm,
)
from skinfluence._parallel import row_blocks
from skinfluence.curvature._base import Curvature, Leverage
from skinfluence.curvature._triangle import curvature_triangle

# Below this reciprocal condition of H its factor is found by QR of the rows: H has lost half of
# their digits. Of columns such as a year, its square and its cube.
SQUARED = 1e-8
# Parameters from which the factor is written over H: a second array of 32 MB or more is saved.
LARGE = 2000


class DenseCurvature(Curvature):
    """H = R'R; n q^2 K (K + 1) / 2 flops for the weighted Gram matrix, (K q)^3 / 3 for R.

    Where H is ill-conditioned R is found by QR, for some five times the time of the Gram matrix.
    """

    kind = "dense"

    def __init__(self, objective, damping=0.0):
        super().__init__(objective, damping)
        H = self._hessian()
        with np.errstate(invalid="ignore", divide="ignore"):  # not positive, hence without factor
            scale, norm = unit_norm(H)
        self.factor = cholesky(H, overwrite=len(H) >= LARGE)
        found = self.factor is not None
        self.rcond = reciprocal_condition(self.factor, scale, norm) if found else None
        self.by_rows, is_dependent = False, False
        if not found or self.rcond < SQUARED:
            H = self._hessian() if len(H) >= LARGE else H
            factor, rcond, is_dependent = self._factor_of_rows(H)
            if factor is not None:
                self.factor, self.rcond, self.by_rows = factor, rcond, True
        # With rcond < size * eps the factor has no correct digit left in its worst direction. Where
        # rounding has left more of a direction of H, the rows may still show that it is none.
        lost = self.factor is None or self.rcond < len(H) * np.finfo(float).eps
        if (lost or is_dependent) and not self.by_rows:
            raise _explained(H, objective.design)

    def _hessian(self):
        """H as an array, with the equations theta_j = 0 of parameters that are fixed at zero."""
        H = self.objective.loss_hessian()
        H[np.diag_indices_from(H)] += self.diagonal
        if self.null_space_ridge is not None:
            self._add_null_ridge(H)
        fixed = self.objective.fixed_at_zero
        if len(fixed):  # `inverse_factor` zeroes their rows
            H[fixed], H[:, fixed] = 0.0, 0.0
            H[fixed, fixed] = 1.0
        return H

    def _add_null_ridge(self, H):
        """Add u u' (x) diag(h) to H, in place: K^2 numbers a column."""
        null, ridge = self.objective.loss.null_direction, self.null_space_ridge
        columns, blocks = np.arange(len(ridge)), H.reshape(len(null), len(ridge), len(null), -1)
        blocks[:, columns, :, columns] += ridge[:, None, None] * np.outer(null, null)

    def _factor_of_rows(self, H):
        """(R by QR of the rows, 1 / cond(H), whether the rows' columns are dependent in float64).

        None and 0 where the rows have not full rank in their own precision, or no root.
        """
        factor = None
        if (np.diag(H) > 0).all():
            factor = curvature_triangle(self.objective, self.diagonal, self.null_space_ridge)
        if factor is None:
            return None, 0.0, False
        rcond = reciprocal_condition(factor, *unit_norm(H))
        total = self.objective.weight_diagonals.sum(axis=0)
        own = self.objective.design.rounding(np.diag(H).reshape(len(total), -1), total)
        rounding = np.finfo(float).eps * max(self.objective.n_rows, len(H))
        if np.sqrt(rcond) > max(own, rounding):
            return factor, rcond, False
        return None, 0.0, bool(np.sqrt(rcond) <= rounding)

    @cached_property
    def inverse_factor(self):
        """R^-1, upper triangular, with rows of 0 for parameters that are fixed at zero."""
        inverse = inverse_factor(self.factor)
        inverse[self.objective.fixed_at_zero] = 0.0
        return inverse

    def solve(self, V):
        """H^-1 V: by substitution for few columns, else T (T' V) with T = R^-1, which is kept."""
        # R^-1 costs P^3 / 3 flops, as many as the substitution of P / 6 columns; its products run
        # at the speed of a GEMM. Below P / 2 columns substitution is taken, unless R^-1 is known.
        few = 2 * V.shape[1] < len(self.factor) and not len(self.objective.fixed_at_zero)
        if few and "inverse_factor" not in self.__dict__:
            return cholesky_solve(self.factor, V, self._corners)
        return self.inverse_factor @ (self.inverse_factor.T @ V)

    @cached_property
    def _corners(self):
        """Inverses of the diagonal blocks of R."""
        return corner_inverses(self.factor)

    def solver(self, n_columns):
        """Return `solve`; with more columns than parameters, one product with the explicit H^-1."""
        if n_columns <= len(self.factor) or self.by_rows:
            return self.solve
        inverse = self.inverse()
        return lambda V: inverse @ V

    def as_array(self):
        """Return H, (K q, K q), from its factor."""
        return self.factor.T @ self.factor

    def inverse(self):
        """H^-1, (K q, K q), computed once."""
        return self._inverse

    def known_inverse(self):
        # An explicit inverse would lose the digits that the factor of the rows has kept.
        return None if self.by_rows else self._inverse

    def amplification(self, one_minus):
        found = super().amplification(one_minus)
        return found * np.sqrt(self.rcond) if self.by_rows else found

    @cached_property
    def _inverse(self):
        if "inverse_factor" in self.__dict__ or len(self.objective.fixed_at_zero):
            return self.inverse_factor @ self.inverse_factor.T
        return cholesky_inverse(self.factor)

    def inverse_diagonal_bound(self):
        """Diagonal of H^-1 itself: squared row norms of R^-1."""
        return np.einsum("ij,ij->i", self.inverse_factor, self.inverse_factor)

    def row_quadratic(self, design):
        """Quadratic forms: sums of squares with R^-1, or from blocks of H^-1 if these cost less."""
        if self.by_rows or (self.objective.n_outputs > 1 and self._prefers_squares(design)):
            return self._factored_quadratic(design)
        if self.objective.n_outputs == 1:
            return design.row_norms(self.inverse_factor)[:, None, None]
        return design.block_quadratic(self.inverse(), self.objective.n_outputs)

    @property
    def _n_blocks(self):
        """Outputs of which the factored matrix has rows."""
        return self.objective.n_outputs

    def _prefers_squares(self, design):
        """Whether the rows' products with R^-1 cost less than H^-1 and its forms of them."""
        (n, q), K, cube = design.shape, self._n_blocks, float(len(self.factor)) ** 3
        triangle = "inverse_factor" in self.__dict__
        squares = n * len(self.factor) * (q * (K + 1) + 2.0 * K * K)
        squares += 0.0 if triangle else cube / 3
        made = 0.0 if "_inverse" in self.__dict__ else cube if triangle else 2 * cube / 3
        return squares < made + n * K * (K + 1) / 2 * float(q) ** 2

    def _factored_quadratic(self, design):
        """From the rows (e_k (x) z_i)' R^-1 themselves, not from products of R^-1."""
        K, q = self._n_blocks, design.shape[1]
        A = np.empty((design.shape[0], K, K))
        for rows in design.blocks(n_columns=2 * K * K):
            Z = design.dense(rows)
            parts = np.zeros((len(Z), K, K * q))
            for k in range(K):  # R^-1 is a triangle
                parts[:, k, k * q :] = Z @ self.inverse_factor[k * q : (k + 1) * q, k * q :]
            A[rows] = parts @ parts.transpose(0, 2, 1)
        return A

    def penalty_terms(self):
        return super().penalty_terms() if self.by_rows else self._sums_with_penalty[1:]

    @cached_property
    def _sums_with_penalty(self):
        """Quadratic forms a_i and `penalty_terms` of all own rows, by one product with the rows."""
        return self.penalty_sums(self.objective.design)

    def penalty_sums(self, design):
        """Quadratic forms a_i and `penalty_terms` of the rows of a design, (m,) each.

        With T T' = H^-1 and T'R T diagonal they are weighted sums of squares of z_i'T, and z_i'T
        times T'R theta.
        """
        T, shares, along = self._penalty_axes
        sums, pull = design.squared_sums(T, np.maximum(shares, 0.0), along)
        return *sums, pull

    @cached_property
    def _penalty_axes(self):
        """T, the weights of the squares, and T'R theta."""
        strength = self.objective.penalty.strength
        half = np.sqrt(strength)[:, None] * self.inverse_factor
        share, axes = np.linalg.eigh(half.T @ half)
        T, shares = self.inverse_factor @ axes, np.vstack([np.ones(len(share)), share])
        return T, shares, T.T @ (strength * self.objective.theta[0])

    def without_rows(self):
        new = super().without_rows()
        vars(new)["inverse_factor"] = self.inverse_factor
        if self.objective.n_outputs > 1 and not self.by_rows:
            vars(new)["_inverse"] = self._inverse
        return new

    def _leverage_from(self, quadratic, rows):
        """As in the base class; leverages near 1 from the curvature without the row."""
        index = np.arange(self.objective.n_rows)[slice(None) if rows is None else rows]
        found = super()._leverage_from(quadratic, rows)
        return self._kept_digits(self._by_substitution(found, self.objective, index), index)

    def leverage_of_part(self, part, rows):
        found, index = super().leverage_of_part(part, rows), np.arange(rows.start, rows.stop)
        return self._kept_digits(self._by_substitution(found, part, index - rows.start), index)

    def _by_substitution(self, found, part, at):
        """Leverage of rows `at` positions of a part, one minus those near 1 by substitution in R.

        Of a row that has settled a direction alone, products with H^-1 or R^-1 cancel by as much as
        these are larger in others, and 1 - W a is smaller than what that leaves.
        """
        K = self.objective.n_outputs
        near = np.flatnonzero(np.einsum("ikk->i", found.one_minus) < K - 0.9)
        if not len(near):
            return found
        one_minus = found.one_minus.copy()
        for block in row_blocks(len(near), 2 * 8 * K * len(self.factor)):
            some, rows = near[block], at[near[block]]
            roots = part.weight_factors_of(rows)[0].transpose(0, 2, 1)
            roots = roots.reshape(-1, K)[:, self.free_outputs]
            right = part.design.outer(roots, np.repeat(rows, K))
            right[:, self.objective.fixed_at_zero] = 0.0
            half = solve_triangular(self.factor, right.T, trans=1).T.reshape(len(some), K, -1)
            one_minus[some] = np.eye(K) - half @ half.transpose(0, 2, 1)
        return Leverage(found.quadratic, one_minus)

    def _own_quadratic(self, rows):
        """Blocks A_i of the objective's own rows; all rows, a slice, are not copied."""
        if isinstance(rows, slice) and "_sums_with_penalty" in self.__dict__:
            return self._sums_with_penalty[0][:, None, None]
        design = self.objective.design
        return self.row_quadratic(design if isinstance(rows, slice) else design.take(rows))


class SingularCurvature(np.linalg.LinAlgError):
    """A curvature without an inverse; `columns` are those of a linear dependence, `rank` its own.

    Parameters
    ----------
    message : str
    """

    rank, columns = (0, 0), ()

    @classmethod
    def of(cls, rank, columns, design, advice):
        """Return the error that says which columns of a design are dependent, and what to do.

        Parameters
        ----------
        rank : tuple of int
            Of H, and the number of its rows.
        columns : ndarray of int
        design : Design
        advice : str
        """
        names = [design.column_name(column) for column in columns]
        if len(names) > 10:
            names = [*names[:10], f"{len(names) - 10} more"]
        found = cls(
            f"the curvature is singular: rank {rank[0]} of {rank[1]}; the linear dependence "
            f"involves {', '.join(names) or 'columns too close to collinear'}. {advice}"
        )
        found.rank, found.columns = rank, columns
        return found

    def on_active_set(self, active, design):
        """Return the same error about the columns of a whole design, under an L1 penalty.

        Parameters
        ----------
        active : ndarray of int
            Columns of the design that the curvature is one of.
        design : Design
        """
        advice = (
            "An L1 penalty leaves open which of them have the coefficient. Remove dependent "
            "columns, add an L2 penalty (an elastic net), or pass damping > 0."
        )
        return type(self).of(self.rank, active[self.columns], design, advice)


def _explained(H, design):
    """Error of why a matrix has no Cholesky factor, with its rank and the columns involved."""
    size = np.sqrt(np.abs(np.diag(H)))
    scale = 1.0 / np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(scale[:, None] * H * scale)
    # A zero eigenvalue is computed to size * eps * |H|; clearly below that, it is negative.
    tolerance = len(H) * np.finfo(float).eps * max(1.0, values[-1])
    if values[0] < -1e3 * tolerance:
        return np.linalg.LinAlgError(
            f"the curvature is indefinite (smallest scaled eigenvalue {values[0]:.2g}): the model "
            "is not at a minimum of its objective, or its loss is not convex there. Fit to "
            "convergence or with a stronger penalty, or pass damping > 0."
        )
    null = vectors[:, values <= 10 * tolerance]
    involved = np.flatnonzero(np.abs(null).max(axis=1, initial=0.0) > 1e-6) % design.shape[1]
    rank = len(H) - null.shape[1], len(H)
    advice = (
        "Remove dependent columns, fit with a penalty (a finite C, a positive alpha), or pass "
        "damping > 0."
    )
    return SingularCurvature.of(rank, np.unique(involved), design, advice)
