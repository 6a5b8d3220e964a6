"""The interface of curvatures."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skinfluence._memory import check_memory
from skinfluence._parallel import row_blocks
from skinfluence.design import Design

# Share of a column's mean curvature below which its penalty does not fix the null direction. Along
# it H is the penalty alone, and the rounding of H, eps times its entries, is then more than
# eps / 1e-8 = 2e-8 of that.
NEGLIGIBLE = 1e-8
# Share of what it is a difference of below which 1 - leverage has lost half of its digits (2e-8 is
# eps / 1e-8) and is computed another way.
CLOSE = 1e-8
# Times the largest entry of A_i that one of z'H_-i^-1 z may be for A_i to be made of it.
FAR_APART = 1e8


# Rows whose leverages are weighted together.
WEIGHTED_ROWS = 4096

# What a curvature keeps about every row.
OF_ALL_ROWS = {"_leverage_of_all", "_sums_with_penalty"}


@dataclass(frozen=True)
class Leverage:
    """Leverage of training rows in their own fit, as K x K blocks.

    Attributes
    ----------
    quadratic : ndarray of shape (n, K, K)
        A_i = (I (x) z_i)' H^-1 (I (x) z_i), unweighted.
    one_minus : ndarray of shape (n, K, K)
        I - L_i' A_i L_i with W_i = L_i L_i', symmetric; for K = 1, one minus the leverage W_i a_i.
        It is stored because the difference from 1 has lost its digits where the leverage is near 1.
    """

    quadratic: np.ndarray
    one_minus: np.ndarray

    def take(self, rows):
        """Return those of some rows."""
        return Leverage(self.quadratic[rows], self.one_minus[rows])


class RowsElsewhere(Exception):
    """A worker cannot answer about its rows without all the others."""


class Curvature(ABC):
    """H = sum_i W_i (x) z_i z_i' + R'' + damping I at an objective's parameter, with its inverse.

    W is the observed curvature of the loss. If the loss has a null direction u, H is singular along
    u on the unpenalised columns, and singular to rounding on columns whose penalty is negligible
    beside their curvature. There the rank-one term (u u') (x) diag(h) is added, with the column's
    mean curvature h. Gradients of the loss have no component along u, so no result depends on the
    term. Immutable; another damping is another curvature.

    Parameters
    ----------
    objective : Objective
    damping : float
        Added to the whole diagonal, that of the intercept included; 0 unless the caller asks.

    Raises
    ------
    numpy.linalg.LinAlgError
        If H is singular or indefinite. Nothing is repaired.
    """

    kind: str
    #: Estimated reciprocal condition number of the matrix that was factored, scaled to a unit
    #: diagonal; None if none was.
    rcond = None
    #: Outputs of which `step_solver` takes the rows of right-hand sides: where these have no
    #: component along the null direction of the loss, K - 1 outputs tell the last.
    free_outputs = slice(None)
    #: Whether it is as accurate as float64 lets it be. Errors of steps are estimated by it then.
    has_all_digits = True

    def __init__(self, objective, damping=0.0):
        self.objective = objective
        self.damping = damping
        self.diagonal = objective.hessian_diagonal + damping
        self.null_space_ridge = None
        null = objective.loss.null_direction
        if null is not None:
            mean = objective.weighted_squares.mean(axis=0)
            lost = self._needs_null_ridge(mean)
            self.null_space_ridge = np.where(lost, mean, 0.0) if lost.any() else None

    def _needs_null_ridge(self, mean):
        """Mask of columns, with mean curvatures `mean`, whose penalty leaves H singular along u."""
        penalty = self.objective.penalty
        diagonal = np.max(np.atleast_2d(penalty.hessian_diagonal), axis=0)
        # If one output of a column is fixed at zero, its outputs cannot all change by one number.
        return (diagonal <= NEGLIGIBLE * mean) & ~np.atleast_2d(penalty.fixed_at_zero).any(axis=0)

    def null_ridge_matmul(self, V):
        """(u u' (x) diag(h)) V for V (K q, m)."""
        null = self.objective.loss.null_direction
        blocks = V.reshape(len(null), len(self.null_space_ridge), -1)
        along = np.einsum("k,kjm->jm", null, blocks) * self.null_space_ridge[:, None]
        return (null[:, None, None] * along).reshape(V.shape)

    def __matmul__(self, V):
        """H @ V for V (K q, m)."""
        product = self.objective.hessian_matmul(V) + self.damping * V
        return product if self.null_space_ridge is None else product + self.null_ridge_matmul(V)

    def leverage_error(self, rows):
        """Standard error of the leverage of rows, (b,); None where leverages are computed."""
        return None

    def warn_of_lost_digits(self):
        """Warn where a representation has lost half of the digits that another would keep."""
        return None

    def amplification(self, one_minus):
        """Relative error of deletions, in units of float64's, for their 1 - leverage (r,)."""
        with np.errstate(divide="ignore"):
            return 1.0 / ((self.rcond or 1.0) * np.maximum(one_minus, 0.0))

    @abstractmethod
    def solve(self, V):
        """H^-1 V for V (K q, m)."""

    def rough_solve(self, V, tolerance):
        """H^-1 V to a relative residual of `tolerance`, where that is quicker than `solve`."""
        return self.solve(V)

    def solver(self, n_columns):
        """Return `solve`, or a function that is faster for `n_columns` right-hand sides in all."""
        return self.solve

    def step_solver(self, n_columns=1):
        """Return a function for H^-1 V, (K q, m), of the `free_outputs` rows of V alone.

        For right-hand sides v (x) z that a loss has, which have no component along its null
        direction; `n_columns` is as in `solver`.
        """
        return self.solver(n_columns)

    def own_products(self, design, slopes):
        """z_i' H^-1 (v_t (x) z_t) of all own rows i, if they cost less than `solve`; else None.

        Parameters
        ----------
        design : Design of shape (m, q)
            The rows z_t.
        slopes : ndarray of shape (r m, K)
            v_t of each row, r times.

        Returns
        -------
        ndarray of shape (n, K, r m), or None
        """
        return None

    @property
    def residual(self):
        """Relative residual that a solve leaves; 0 for factorisations."""
        return 0.0

    def known_inverse(self):
        """H^-1, (K q, K q), if it costs little more than a solve; else None."""
        return None

    def inverse_diagonal_bound(self):
        """Upper bound of the diagonal of H^-1: 1 / penalty, and the diagonal itself without one."""
        # H is at least its penalty D, hence H^-1 at most D^-1 where D is positive.
        bound = 1.0 / np.where(self.diagonal > 0, self.diagonal, 1.0)
        free = np.flatnonzero(self.diagonal == 0)
        for part in row_blocks(len(free), 4 * 8 * len(bound)):
            columns = free[part]
            unit = np.zeros((len(bound), len(columns)))
            unit[columns, np.arange(len(columns))] = 1.0
            bound[columns] = self.solve(unit)[columns].diagonal()
        return bound

    def one_minus_leverage(self, rows):
        """One minus the leverage of rows, (b,), if that is cheaper than `leverage`; else None.

        Only for one output, and for rows with curvature.
        """
        return None

    def row_quadratic(self, design: Design):
        """(I (x) z_i)' H^-1 (I (x) z_i) for the rows of any design with the same columns."""
        K, q = self.objective.n_outputs, design.shape[1]
        A = np.empty((design.shape[0], K, K))
        for rows in design.blocks(n_columns=4 * K * K):
            b = rows.stop - rows.start
            unit = np.tile(np.eye(K), (b, 1))
            right = design.outer(unit, np.repeat(np.arange(rows.start, rows.stop), K))
            solved = self.solve(right.T).T.reshape(b, K, K, q)
            A[rows] = np.einsum("ikmj,ij->imk", solved, design.dense(rows))
        return A

    def leverage(self, rows=None) -> Leverage:
        """Leverage blocks of the objective's own rows: all, found once and read-only, or some."""
        return self._leverage_of_all if rows is None else self._leverage_of(rows)

    def penalty_terms(self):
        """z_i'H^-1 R H^-1 z_i and z_i'H^-1 R theta of all own rows, (n,) each; for one output.

        R is the Hessian of an L2 penalty.
        """
        design, theta = self.objective.design, self.objective.theta[0]
        strength = self.objective.penalty.strength
        norms = np.empty(self.objective.n_rows)
        for part in design.blocks(n_columns=4):
            norms[part] = strength @ self.solve(design.dense(part).T) ** 2
        return norms, design @ self.solve((strength * theta)[:, None])[:, 0]

    @cached_property
    def _leverage_of_all(self):
        """The leverages of all rows, part of this curvature as its factor is."""
        found = self._leverage_of(None)
        found.quadratic.flags.writeable = found.one_minus.flags.writeable = False
        return found

    def _leverage_of(self, rows):
        """Compute the leverage blocks of rows, an index array, or of all if None."""
        self._check_room(rows)
        return self._leverage_from(self._own_quadratic(slice(None) if rows is None else rows), rows)

    def without_rows(self):
        """Return the factor alone, without the rows that it is of: what a worker is told of it.

        `leverage_of_part` raises RowsElsewhere where it would need them.
        """
        new = copy.copy(self)
        known = {k: v for k, v in vars(self).items() if k not in OF_ALL_ROWS}
        vars(new).clear()
        vars(new).update(known, objective=self.objective.without_rows())
        return new

    def knowing(self, objective, leverage, penalty_sums=None):
        """Return the same curvature with what a pass has found of all rows.

        Parameters
        ----------
        objective : Objective
            The same one, evaluated.
        leverage : Leverage
            Of all rows, read-only.
        penalty_sums : tuple of ndarray of shape (n,), optional
            Quadratic forms a_i and `penalty_terms` of all rows.
        """
        new = copy.copy(self)
        found = {"_leverage_of_all": leverage}
        if penalty_sums is not None:
            found["_sums_with_penalty"] = penalty_sums
        vars(new).update(found, objective=objective)
        return new

    def with_rows(self, objective):
        """Return the curvature of an objective that `without_rows` has left without its rows."""
        new = copy.copy(self)
        vars(new).update(objective=objective)
        return new

    def leverage_of_part(self, part, rows) -> Leverage:
        """Leverage blocks of a part of the objective, whose rows are a slice of its own."""
        return self._weighted(self.row_quadratic(part.design), part, None)

    def _leverage_from(self, quadratic, rows):
        """Leverage of rows, an index array or None for all, from their blocks A_i."""
        return self._weighted(quadratic, self.objective, rows)

    @staticmethod
    def _weighted(quadratic, objective, rows):
        """Leverage of blocks A_i of rows of an objective, an index array, or of all if None."""
        K = objective.n_outputs
        if K == 1:
            weights = objective.weights if rows is None else objective.weights[rows]
            return Leverage(quadratic, 1.0 - weights * quadratic)
        one_minus = np.empty_like(quadratic)
        where = np.arange(objective.n_rows) if rows is None else rows
        for part in row_blocks(len(where), 3 * 8 * K * K, at_most=WEIGHTED_ROWS):
            L, own = objective.weight_roots_of(where[part]), one_minus[part]
            np.matmul(L.transpose(0, 2, 1), np.matmul(quadratic[part], L), out=own)
            np.subtract(np.eye(K), own, out=own)
        return Leverage(quadratic, one_minus)

    def _kept_digits(self, found, index):
        """Leverage of rows at some positions, those near 1 by the curvature without the row."""
        quadratic, one_minus = found.quadratic, found.one_minus
        # The largest leverage of a block is at most their sum, K minus the trace of one_minus: only
        # blocks with a sum above 0.9 need eigenvalues.
        K = self.objective.n_outputs
        suspects = np.flatnonzero(np.einsum("ikk->i", one_minus) < K - 0.9)
        smallest = np.linalg.eigvalsh(one_minus[suspects])[:, 0]
        if (smallest < CLOSE).any() and not self.objective.has_rows:
            raise RowsElsewhere
        for position in suspects[smallest < CLOSE]:
            quadratic[position], one_minus[position] = self._from_the_rest(
                index[position], quadratic[position]
            )
        return Leverage(quadratic, one_minus)

    def _from_the_rest(self, row, quadratic):
        """(A_i, I - L'A_i L) of one row by the curvature without it, where 1 - W a cancels.

        With a = z'H_-i^-1 z = C C' the second is (I + L'a L)^-1, the first C (I + C'W C)^-1 C'. The
        difference a - a L (I + L'a L)^-1 L'a would cancel where the row is nearly alone.
        """
        a = self._quadratic_without(row)
        if a is None:
            return quadratic, np.zeros_like(quadratic)
        L = self.objective.weight_roots_of([row])[0]
        # By eigenvalues: beside a huge one no 1 is left, and an inverse would be singular.
        own, directions = np.linalg.eigh(L.T @ a @ L)
        one_minus = (directions / (1.0 + np.maximum(own, 0.0))) @ directions.T
        values, vectors = np.linalg.eigh(a)
        if len(a) > 1 and values[-1] > FAR_APART * np.abs(quadratic).max():
            return quadratic, one_minus  # a has no digit left of its other directions
        C = vectors * np.sqrt(np.maximum(values, 0.0))
        seen, axes = np.linalg.eigh((C.T @ L) @ (C.T @ L).T)
        half = (C @ axes) / np.sqrt(1.0 + np.maximum(seen, 0.0))
        return half @ half.T, one_minus

    def _quadratic_without(self, row):
        """z'H_-i^-1 z (K, K) of one row, by the curvature without it; None at a leverage of 1."""
        try:
            rest = self._again(self.objective.without(row))
            return rest.row_quadratic(self.objective.design.take(np.array([row])))[0]
        except np.linalg.LinAlgError:  # by a factor or a solve: the row alone spans a direction
            return None

    def _again(self, objective):
        """The curvature of another objective, of the same kind."""
        return type(self)(objective, self.damping)

    def _check_room(self, rows):
        """Raise where there is no memory for the leverages of rows."""
        K, r = self.objective.n_outputs, self.objective.n_rows if rows is None else len(rows)
        check_memory(
            8 * 3 * r * K**2,
            f"the leverages of {r} rows, {K} x {K} numbers each,",
            "ask about fewer rows (train_indices), or pass method='first_order'",
        )

    def _own_quadratic(self, rows):
        """Blocks A_i of the objective's own rows."""
        return self.row_quadratic(self.objective.design.take(rows))
