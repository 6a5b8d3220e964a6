"""Half the squared error of one response, or of several."""

import numpy as np

from skinfluence.link import IdentityLink
from skinfluence.losses._base import Loss

# Share of |y| + |eta| that is added to the scale of a residual. An optimum is accepted when its
# gradient is below 1e-10 of the scale: for rows that are fitted exactly this is 1e-15 of
# |y| + |eta|, the rounding of y - eta.
CANCELLING = 1e-5


def spread(y):
    """Standard deviation of labels, the smallest of several columns; 1 if it is 0."""
    found = float(np.min(np.std(np.asarray(y, dtype=float), axis=0)))
    return found if found > 0 else 1.0


class SquaredLoss(Loss):
    """l(y, eta) = 1/2 sum_k (y_k - eta_k)^2, with real y; the third derivative is 0.

    One Newton step ends at the optimum, and the Newton step without a row at the refit without it.

    Parameters
    ----------
    n_outputs : int
        Number of responses. With one, y and eta have no axis of outputs.
    """

    name = "squared_error"
    family = "least squares"
    is_coercive = True
    is_quadratic = True
    self_concordance = 0.0

    def __init__(self, n_outputs=1):
        self.n_outputs = int(n_outputs)
        self.is_scalar = self.n_outputs == 1
        self.is_separable = not self.is_scalar

    @property
    def link(self):
        """The predictors are the responses."""
        return IdentityLink(self.n_outputs)

    def _total(self, x):
        """Sum over the last axis, that of the outputs, if there are several."""
        return x if self.is_scalar else x.sum(axis=-1)

    def value(self, y, eta):
        """Half the squared error."""
        return self._total(0.5 * (y - eta) ** 2)

    def gradient(self, y, eta):
        return eta - y

    def gradient_in_label(self, y, eta):
        """-1, the derivative of each output's gradient in its own label."""
        return -np.ones(np.shape(eta))

    def pearson_residual(self, y, eta):
        return y - eta

    def gradient_size(self, y, eta):
        """|y - eta| plus a share of |y| + |eta|: not 0 for a row that is fitted exactly."""
        return np.abs(y - eta) + CANCELLING * (np.abs(y) + np.abs(eta))

    def unit(self, y, eta):
        """Standard deviation of the labels, the smallest over the responses."""
        return spread(y)

    def curvature(self, y, eta):
        if self.is_scalar:
            return np.ones(np.broadcast_shapes(np.shape(y), np.shape(eta)))
        return np.broadcast_to(np.eye(self.n_outputs), (*np.shape(eta), self.n_outputs)).copy()

    def curvature_diagonal(self, y, eta):
        return np.ones(np.shape(eta)) if not self.is_scalar else self.curvature(y, eta)

    def curvature_root(self, y, eta):
        return self.curvature(y, eta)

    def third(self, y, eta):
        if self.is_scalar:
            return np.zeros(np.broadcast_shapes(np.shape(y), np.shape(eta)))
        return np.zeros((*np.shape(eta), self.n_outputs, self.n_outputs))

    def output(self, y, k):
        return SquaredLoss(), y[:, k], None

    def recession_cone_normals(self, y):
        """e_k and -e_k for every output k: the recession cone is {0}."""
        both = np.concatenate([np.eye(self.n_outputs), -np.eye(self.n_outputs)])
        return np.broadcast_to(both, (len(y), *both.shape))

    def recession_multipliers(self, y, residual):
        """Negative and positive part of the residual, plus 1 each."""
        return 1.0 + np.concatenate([np.maximum(-residual, 0.0), np.maximum(residual, 0.0)], axis=1)
