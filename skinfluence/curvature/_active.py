"""H on the active coefficients, and its inverse, 0 elsewhere."""

import numpy as np

from skinfluence.curvature._base import Curvature


class ActiveCurvature(Curvature):
    """Curvature of an objective whose L1 penalty holds some coefficients at 0, and others not.

    Products and solves are in all columns; what is not active is 0 in them.

    Parameters
    ----------
    objective : Objective
        Under an elastic net.
    inner : Curvature
        Of `objective.on_active_set()`.
    """

    def __init__(self, objective, inner):
        self.objective, self.inner = objective, inner
        self.damping, self.kind, self.rcond = inner.damping, inner.kind, inner.rcond
        self.null_space_ridge = None
        self.columns = np.flatnonzero(objective.active.any(axis=0))
        q = objective.design.shape[1]
        self.positions = np.concatenate([k * q + self.columns for k in range(objective.n_outputs)])

    def _scattered(self, part):
        """Rows of active coefficients among those of all."""
        whole = np.zeros((self.objective.n_parameters, *part.shape[1:]))
        whole[self.positions] = part
        return whole

    def __matmul__(self, V):
        """H @ V for V (K q, m)."""
        return self._scattered(self.inner @ V[self.positions])

    def solve(self, V):
        """H^-1 V for V (K q, m)."""
        solved = self.inner.solve(V[self.positions])
        self.residual = self.inner.residual
        return self._scattered(solved)

    def solver(self, n_columns):
        """Return `solve`, or what does the same faster for so many columns in all."""
        solve = self.inner.solver(n_columns)
        return lambda V: self._scattered(solve(V[self.positions]))

    def inverse_diagonal_bound(self):
        """That of the active coefficients, 0 elsewhere."""
        return self._scattered(self.inner.inverse_diagonal_bound())

    def one_minus_leverage(self, rows):
        """One minus the leverage of rows, where that is cheaper than `leverage`."""
        return self.inner.one_minus_leverage(rows)

    def row_quadratic(self, design):
        """From the active columns of any design."""
        return self.inner.row_quadratic(design.restricted(self.columns))

    def leverage(self, rows=None):
        """Leverage blocks of own rows."""
        return self.inner.leverage(rows)
