"""Half the squared error of one response, or of several."""

import numpy as np

from skinfluence.losses._base import Loss

# Share of |y| + |eta| beside which a residual is rounding, in the tenth digit.
CANCELLING = 1e-5


def spread(y):
    """Standard deviation of labels, the least of several columns; 1 where they are all the same."""
    found = float(np.min(np.std(np.asarray(y, dtype=float), axis=0)))
    return found if found > 0 else 1.0


class SquaredLoss(Loss):
    """l(y, eta) = 1/2 sum_k (y_k - eta_k)^2, with real y; no third derivative.

    Newton's step is the optimum, and the step without a row the refit without it.

    Parameters
    ----------
    n_outputs : int
        Number of responses. With one, y and eta come without an axis of outputs.
    """

    name = "squared_error"
    family = "least squares"
    has_probabilities = False
    is_coercive = True
    is_quadratic = True
    self_concordance = 0.0

    def __init__(self, n_outputs=1):
        self.n_outputs = int(n_outputs)
        self.is_scalar = self.n_outputs == 1
        self.is_separable = not self.is_scalar

    def _total(self, x):
        """Sum over outputs."""
        return x if self.is_scalar else x.sum(axis=-1)

    def value(self, y, eta):
        """Half the squared error."""
        return self._total(0.5 * (y - eta) ** 2)

    def gradient(self, y, eta):
        """Minus the residual."""
        return eta - y

    def gradient_in_label(self, y, eta):
        """Minus one, of each output in its own."""
        return -np.ones(np.shape(eta))

    def pearson_residual(self, y, eta):
        """The residual."""
        return y - eta

    def gradient_size(self, y, eta):
        """With a share of what cancels in it: at a row that is fitted exactly nothing is left."""
        return np.abs(y - eta) + CANCELLING * (np.abs(y) + np.abs(eta))

    def unit(self, y, eta):
        """Spread of the labels."""
        return spread(y)

    def curvature(self, y, eta):
        """One; the identity."""
        if self.is_scalar:
            return np.ones(np.broadcast_shapes(np.shape(y), np.shape(eta)))
        return np.broadcast_to(np.eye(self.n_outputs), (*np.shape(eta), self.n_outputs)).copy()

    def curvature_root(self, y, eta):
        """The same."""
        return self.curvature(y, eta)

    def third(self, y, eta):
        """Zero."""
        if self.is_scalar:
            return np.zeros(np.broadcast_shapes(np.shape(y), np.shape(eta)))
        return np.zeros((*np.shape(eta), self.n_outputs, self.n_outputs))

    def output(self, y, k):
        """One response alone."""
        return SquaredLoss(), y[:, k], None

    def recession_cone_normals(self, y):
        """In no direction: e_k and -e_k for every k."""
        both = np.concatenate([np.eye(self.n_outputs), -np.eye(self.n_outputs)])
        return np.broadcast_to(both, (len(y), *both.shape))

    def recession_multipliers(self, y, residual):
        """The residual's negative and positive parts, and one more of each."""
        return 1.0 + np.concatenate([np.maximum(-residual, 0.0), np.maximum(residual, 0.0)], axis=1)
