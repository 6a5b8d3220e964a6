"""The squared epsilon-insensitive loss of scikit-learn's LinearSVR."""

import numpy as np

from skinfluence.link import IdentityLink
from skinfluence.losses._coercive import CoerciveLoss
from skinfluence.losses._squared import CANCELLING, spread


class SquaredEpsilonInsensitiveLoss(CoerciveLoss):
    """l(y, eta) = max(0, |y - eta| - e)^2, with real y.

    Quadratic below the tube, in it and above it: the second derivative is 2, 0 and 2. With e = 0 it
    is the squared error.

    Parameters
    ----------
    epsilon : float
        Half width e >= 0 of the tube, in the units of y.
    """

    name = "squared_epsilon_insensitive"
    link = IdentityLink()

    def __init__(self, epsilon):
        self.epsilon = float(epsilon)
        self.is_quadratic = self.epsilon == 0
        self.self_concordance = 0.0 if self.is_quadratic else np.inf

    def _beyond(self, y, eta):
        """Signed distance of y to the tube around eta; 0 within."""
        residual = y - eta
        return np.sign(residual) * np.maximum(0.0, np.abs(residual) - self.epsilon)

    def value(self, y, eta):
        return self._beyond(y, eta) ** 2

    def gradient(self, y, eta):
        return -2.0 * self._beyond(y, eta)

    def gradient_size(self, y, eta):
        """The gradient's size plus a share of |y| + |eta|: not 0 for a row that is fitted."""
        return np.abs(self.gradient(y, eta)) + 2.0 * CANCELLING * (np.abs(y) + np.abs(eta))

    def gradient_in_label(self, y, eta):
        return -self.curvature(y, eta)

    def unit(self, y, eta):
        """Standard deviation of the labels."""
        return spread(y)

    def curvature(self, y, eta):
        """2 beyond the tube, 0 in it; 2 everywhere if the tube has no width."""
        if self.is_quadratic:
            return 2.0 + 0.0 * (y - eta)
        return 2.0 * (self._beyond(y, eta) != 0)

    def third(self, y, eta):
        """Zero on every piece."""
        return 0.0 * (y - eta)

    def piece(self, y, eta):
        """-1 where y is below the tube around eta, 0 within it and 1 above; None without a tube."""
        if self.is_quadratic:
            return None
        return np.sign(self._beyond(y, eta)).astype(int)

    def kink_distance(self, y, eta):
        """Distance of eta to the nearer one of y - e and y + e; None without a tube."""
        if self.is_quadratic:
            return None
        return np.abs(np.abs(y - eta) - self.epsilon)

    def __repr__(self):
        """Name of the class and its epsilon."""
        return f"{type(self).__name__}({self.epsilon:g})"
