"""Derivatives of a model's predictors in the features of a row that it predicts."""

import numpy as np

from skinfluence.design import KernelGradients


class InputDerivatives:
    """First and second derivatives of the predictors of any rows in their features.

    Parameters
    ----------
    objective : Objective
        At the model's own parameter.
    space : KernelSpace or None
        Of a kernel machine.
    """

    def __init__(self, objective, space):
        self.objective, self.space = objective, space
        coef = objective.design.split(objective.theta)[0]
        self.coef = coef
        if space is not None:
            # The pivot rows span the others: f = sum_j c_j k(x_j, .) over them alone.
            self.pivots = space.features.pivots
            self.coef = space.features.span(coef)

    @property
    def is_linear(self):
        """Whether the predictors are linear in the features."""
        return self.space is None

    def _kernel(self, X):
        """Derivatives of the kernel of the pivot rows with rows X."""
        return KernelGradients(self.space, self.space.rows[self.pivots], X)

    def gradients(self, X):
        """Gradients (K, m, p) of the predictors of rows X (m, p) of the model's features."""
        m, K = X.shape[0], len(self.coef)
        if self.is_linear:
            return np.broadcast_to(self.coef[:, None], (K, m, self.coef.shape[1]))
        kernel = self._kernel(X)
        return np.stack([kernel.sums(np.tile(c, (m, 1))) for c in self.coef])

    def hessians(self, X, slopes):
        """Second derivatives (m, p, p) of sum_k slope_k f_k(x) at rows X, for slopes (m, K)."""
        return self._kernel(X).hessians(slopes @ self.coef)
