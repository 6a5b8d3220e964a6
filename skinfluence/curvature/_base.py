"""What every representation of the curvature promises."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from skinfluence._parallel import row_blocks
from skinfluence.design import Design

# Share of a column's curvature under which its penalty is lost among the curvature's digits.
NEGLIGIBLE = 1e-8


@dataclass(frozen=True)
class Leverage:
    """Leverage of rows in their own fit, as K x K blocks.

    Attributes
    ----------
    quadratic : ndarray of shape (n, K, K)
        A_i = (I (x) z_i)' H^-1 (I (x) z_i), unweighted.
    one_minus : ndarray of shape (n, K, K)
        I - L_i' A_i L_i with W_i = L_i L_i': symmetric; for K = 1, one minus the leverage W_i a_i.
    """

    quadratic: np.ndarray
    one_minus: np.ndarray


class Curvature(ABC):
    """H = sum_i W_i (x) z_i z_i' + R'' + damping I at an objective's parameter, with its inverse.

    W is the observed curvature of the loss. Where the loss has a gauge, H is singular in it on the
    unpenalised columns, and to rounding on those whose penalty vanishes beside their curvature;
    there a rank-one term (u u') (x) diag(h) is added, u the unit gauge and h the column's mean
    curvature. Gradients of the loss have no component along u, so no result depends on the term.
    Immutable; a new damping is a new curvature.

    Parameters
    ----------
    objective : Objective
    damping : float
        Added to the whole diagonal, the intercept's included, and only if the caller says so.

    Raises
    ------
    numpy.linalg.LinAlgError
        If H is singular or indefinite. Nothing is repaired.
    """

    kind: str
    #: Largest relative residual that `solve` has left; 0 for factorisations.
    residual = 0.0
    #: Estimated reciprocal condition number after scaling to a unit diagonal; None if unknown.
    rcond = None

    def __init__(self, objective, damping=0.0):
        self.objective = objective
        self.damping = damping
        self.diagonal = objective.hessian_diagonal + damping
        self.null_space_ridge = None
        null = objective.loss.null_direction
        if null is not None:
            mean = objective.design.squared_columns(objective.weights).mean(axis=0)
            lost = self._needs_null_ridge(mean)
            self.null_space_ridge = np.where(lost, mean, 0.0) if lost.any() else None

    def _needs_null_ridge(self, mean):
        """Columns whose penalty does not hold the gauge in float64, of these mean curvatures."""
        penalty = self.objective.penalty
        diagonal = np.max(np.atleast_2d(penalty.hessian_diagonal), axis=0)
        # A column of which one output is held has no gauge.
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

    @abstractmethod
    def solve(self, V):
        """H^-1 V for V (K q, m)."""

    def solver(self, n_columns):
        """Return `solve`, or what does the same faster for so many columns in all."""
        return self.solve

    def known_inverse(self):
        """H^-1 itself, (K q, K q), where it is at hand for little more than a solve; else None."""
        return None

    def inverse_diagonal_bound(self):
        """Upper bound of the diagonal of H^-1: 1 / penalty where there is one, solved elsewhere."""
        bound = 1.0 / np.where(self.diagonal > 0, self.diagonal, 1.0)
        free = np.flatnonzero(self.diagonal == 0)
        for part in row_blocks(len(free), 4 * 8 * len(bound)):
            columns = free[part]
            unit = np.zeros((len(bound), len(columns)))
            unit[columns, np.arange(len(columns))] = 1.0
            bound[columns] = self.solve(unit)[columns].diagonal()
        return bound

    def one_minus_leverage(self, rows):
        """One minus the leverage of rows, (b,), where that is cheaper than `leverage`; else None.

        For one output, and rows that bend.
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
        """Leverage blocks of the objective's own rows (all, or an index array)."""
        rows = slice(None) if rows is None else rows
        quadratic = self._own_quadratic(rows)
        if self.objective.n_outputs == 1:
            return Leverage(quadratic, 1.0 - self.objective.weights[rows] * quadratic)
        L = self.objective.weight_roots[rows]
        one_minus = np.eye(L.shape[1]) - np.matmul(L.transpose(0, 2, 1), np.matmul(quadratic, L))
        return Leverage(quadratic, one_minus)

    def _own_quadratic(self, rows):
        """Blocks A_i of the objective's own rows."""
        return self.row_quadratic(self.objective.design.take(rows))
