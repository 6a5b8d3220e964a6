"""The squared error of labels -1 and 1."""

import numpy as np

from skinfluence.link import DecisionLink
from skinfluence.losses._coercive import CoerciveLoss
from skinfluence.losses._squared import CANCELLING


class SquaredLabelLoss(CoerciveLoss):
    """l(y, eta) = 1/2 (s - eta)^2, with y in {0, 1} and s = 2 y - 1: least squares for classes.

    One Newton step ends at the optimum, and the Newton step without a row at the refit without it.
    """

    name = "squared_label"
    family = "least squares"
    n_classes = 2
    link = DecisionLink()
    is_quadratic = True
    self_concordance = 0.0

    def _residual(self, y, eta):
        """The residual s - eta of the signed label."""
        return 2.0 * np.asarray(y, dtype=float) - 1.0 - eta

    def value(self, y, eta):
        """Half the squared residual of the signed label."""
        return 0.5 * self._residual(y, eta) ** 2

    def gradient(self, y, eta):
        return -self._residual(y, eta)

    def response_residual(self, y, eta):
        return self._residual(y, eta)

    def pearson_residual(self, y, eta):
        return self._residual(y, eta)

    def gradient_size(self, y, eta):
        """|s - eta| plus a share of 1 + |eta|, as for the squared error."""
        return np.abs(self._residual(y, eta)) + CANCELLING * (1.0 + np.abs(eta))

    def curvature(self, y, eta):
        return np.ones(np.broadcast_shapes(np.shape(y), np.shape(eta)))

    def third(self, y, eta):
        return np.zeros(np.broadcast_shapes(np.shape(y), np.shape(eta)))
