"""H of the active coefficients under an L1 penalty."""

import numpy as np

from skinfluence.curvature._base import Curvature


class ActiveCurvature(Curvature):
    """Curvature of an objective under an L1 penalty, restricted to its active coefficients.

    Products and solves take and return all K q parameters; the entries of inactive coefficients,
    which are 0 at the optimum and stay 0, are ignored on input and 0 on output.

    Parameters
    ----------
    objective : Objective
        Under an elastic net.
    inner : Curvature
        Curvature of `objective.on_active_set()`.
    """

    def __init__(self, objective, inner):
        self.objective, self.inner = objective, inner
        self.damping, self.kind, self.rcond = inner.damping, inner.kind, inner.rcond
        self.null_space_ridge = None
        self.columns = np.flatnonzero(objective.active.any(axis=0))
        q = objective.design.shape[1]
        self.positions = np.concatenate([k * q + self.columns for k in range(objective.n_outputs)])

    def warn_of_lost_digits(self):
        self.inner.warn_of_lost_digits()

    def amplification(self, one_minus):
        return self.inner.amplification(one_minus)

    def _scattered(self, part):
        """Entries of the active coefficients in an array of all parameters, 0 elsewhere."""
        whole = np.zeros((self.objective.n_parameters, *part.shape[1:]))
        whole[self.positions] = part
        return whole

    def __matmul__(self, V):
        return self._scattered(self.inner @ V[self.positions])

    def solve(self, V):
        return self._scattered(self.inner.solve(V[self.positions]))

    def solver(self, n_columns):
        solve = self.inner.solver(n_columns)
        return lambda V: self._scattered(solve(V[self.positions]))

    @property
    def residual(self):
        """That of the active coefficients."""
        return self.inner.residual

    def inverse_diagonal_bound(self):
        """Upper bound of the diagonal of H^-1 for the active coefficients, 0 for the others."""
        return self._scattered(self.inner.inverse_diagonal_bound())

    def one_minus_leverage(self, rows):
        return self.inner.one_minus_leverage(rows)

    def row_quadratic(self, design):
        return self.inner.row_quadratic(design.restricted(self.columns))

    def _leverage_of(self, rows):
        return self.inner.leverage(rows)
