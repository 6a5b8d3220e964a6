"""H as a Cholesky factor."""

from functools import cached_property

import numpy as np

from skinfluence._backend import cholesky, cholesky_solve, inverse_factor, reciprocal_condition
from skinfluence.curvature._base import Curvature

# One minus a leverage below this has lost half of its digits in 1 - W a: it is computed again.
CLOSE = 1e-8


class DenseCurvature(Curvature):
    """H = R'R: n q^2 K (K + 1) / 2 flops for the weighted Gram, (K q)^3 / 3 for the factor."""

    kind = "dense"

    def __init__(self, objective, damping=0.0):
        super().__init__(objective, damping)
        rows = objective.curved_rows
        if 2 * len(rows) < objective.n_rows:
            H = objective.design.take(rows).sandwich(objective.weights[rows])
        else:
            H = objective.design.sandwich(objective.weights)
        H[np.diag_indices_from(H)] += self.diagonal
        if self.null_space_ridge is not None:
            H += np.kron(
                np.outer(objective.loss.null_direction, objective.loss.null_direction),
                np.diag(self.null_space_ridge),
            )
        fixed = objective.fixed_at_zero
        if len(fixed):  # no parameters: their equations are cut off, their inverse is 0
            H[fixed], H[:, fixed] = 0.0, 0.0
            H[fixed, fixed] = 1.0
        self.factor = cholesky(H)
        self.rcond = None if self.factor is None else reciprocal_condition(self.factor, H)
        # Below this the factor has no correct digit left in its worst direction.
        if self.factor is None or self.rcond < len(H) * np.finfo(float).eps:
            raise np.linalg.LinAlgError(_explain(H, objective.design))

    @cached_property
    def inverse_factor(self):
        """R^-1, upper triangular."""
        inverse = inverse_factor(self.factor)
        inverse[self.objective.fixed_at_zero] = 0.0
        return inverse

    def solve(self, V):
        """H^-1 V by T (T' V) with T = R^-1 where it is known or pays, by substitution elsewhere."""
        few = 2 * V.shape[1] < len(self.factor) and not len(self.objective.fixed_at_zero)
        if few and "inverse_factor" not in self.__dict__:
            return cholesky_solve(self.factor, V)
        return self.inverse_factor @ (self.inverse_factor.T @ V)

    def solver(self, n_columns):
        """The explicit inverse pays where there are more columns than parameters: one product."""
        if n_columns <= len(self.factor):
            return self.solve
        inverse = self.inverse()
        return lambda V: inverse @ V

    def inverse(self):
        """H^-1 itself, (K q, K q), kept for the next who asks."""
        return self._inverse

    def known_inverse(self):
        """H^-1."""
        return self._inverse

    @cached_property
    def _inverse(self):
        return self.inverse_factor @ self.inverse_factor.T

    def inverse_diagonal_bound(self):
        """Row norms of R^-1: the diagonal itself."""
        return np.einsum("ij,ij->i", self.inverse_factor, self.inverse_factor)

    def row_quadratic(self, design):
        """From R^-1 for one output (a sum of squares), from the blocks of H^-1 for several."""
        K = self.objective.n_outputs
        if K == 1:
            return design.row_norms(self.inverse_factor)[:, None, None]
        return design.block_quadratic(self.inverse(), K)

    def leverage(self, rows=None):
        """Leverage blocks of own rows; those close to 1 from the curvature without the row."""
        leverage = super().leverage(rows)
        index = np.arange(self.objective.n_rows)[slice(None) if rows is None else rows]
        # The trace bounds the largest eigenvalue: most rows need no decomposition.
        K = self.objective.n_outputs
        suspects = np.flatnonzero(np.einsum("ikk->i", leverage.one_minus) < K - 0.9)
        one_minus = np.linalg.eigvalsh(leverage.one_minus[suspects])[:, 0]
        for position in suspects[one_minus < CLOSE]:
            self._refine(leverage, position, index[position])
        return leverage

    def _refine(self, leverage, position, row):
        """With a = z'H_-i^-1 z: one minus = (I + L'a L)^-1, and the quadratic is a - a L(..)L'a."""
        objective = self.objective
        try:
            rest = DenseCurvature(objective.without(row), self.damping)
        except np.linalg.LinAlgError:  # the row alone spans a direction: its leverage is 1
            leverage.one_minus[position] = 0.0
            return
        a = rest.row_quadratic(objective.design.take(np.array([row])))[0]
        L = objective.weight_roots[row]
        leverage.one_minus[position] = np.linalg.inv(np.eye(len(a)) + L.T @ a @ L)
        aL = a @ L
        leverage.quadratic[position] = a - aL @ leverage.one_minus[position] @ aL.T

    def _own_quadratic(self, rows):
        """Blocks A_i of the objective's own rows; a slice of everything copies nothing."""
        design = self.objective.design
        return self.row_quadratic(design if isinstance(rows, slice) else design.take(rows))


def _explain(H, design):
    """Say why a matrix has no Cholesky factor, naming rank and columns."""
    size = np.sqrt(np.abs(np.diag(H)))
    scale = 1.0 / np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(scale[:, None] * H * scale)
    tolerance = len(H) * np.finfo(float).eps * max(1.0, values[-1])
    if values[0] < -1e3 * tolerance:
        return (
            f"the curvature is indefinite (smallest scaled eigenvalue {values[0]:.2g}): the model "
            "is not at a minimum of its objective, or the loss is not convex there."
        )
    null = vectors[:, values <= 10 * tolerance]
    involved = np.flatnonzero(np.abs(null).max(axis=1, initial=0.0) > 1e-6) % design.shape[1]
    names = [design.column_name(column) for column in np.unique(involved)]
    if len(names) > 10:
        names = [*names[:10], f"{len(names) - 10} more"]
    return (
        f"the curvature is singular: rank {len(H) - null.shape[1]} of {len(H)}; the linear "
        f"dependence involves {', '.join(names) or 'columns too close to collinear'}. "
        "Remove dependent columns, fit with a penalty (a finite C, a positive alpha), or pass "
        "damping > 0."
    )
