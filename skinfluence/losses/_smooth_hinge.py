"""The hinge of support vector machines, smoothed by a temperature (Koh & Liang 2017)."""

import numpy as np
from scipy.special import expit

from skinfluence.losses._base import Loss
from skinfluence.losses._logistic import BinaryLogLoss, softplus


class SmoothHingeLoss(Loss):
    """l(y, eta) = T log(1 + exp((1 - s eta) / T)), with y in {0, 1} and s = 2 y - 1.

    At most T log 2 above the hinge max(0, 1 - s eta), and the hinge itself for T -> 0. With
    u = (1 - s eta) / T it is T times the log loss of u, from which all of this follows.

    Parameters
    ----------
    temperature : float
        T > 0.
    """

    name = "smooth_hinge"
    n_classes = 2
    has_probabilities = False

    def __init__(self, temperature):
        self.temperature = float(temperature)
        self.series_radius = np.pi * self.temperature
        self.self_concordance = 1.0 / self.temperature

    @property
    def advice_if_flat(self):
        """Advice for machines of which no row is near the margin."""
        return "No row is near the margin: raise the temperature or C, or fit without an intercept."

    def at_temperature(self, temperature):
        """The same hinge."""
        return SmoothHingeLoss(temperature)

    def _scaled(self, y, eta):
        """(s, u)."""
        sign = 2.0 * np.asarray(y, dtype=float) - 1.0
        return sign, (1.0 - sign * eta) / self.temperature

    def value(self, y, eta):
        """Smooth hinge."""
        return self.temperature * softplus(self._scaled(y, eta)[1])

    def gradient(self, y, eta):
        """-s sigmoid(u)."""
        sign, u = self._scaled(y, eta)
        return -sign * expit(u)

    def curvature(self, y, eta):
        """sigmoid(u) sigmoid(-u) / T."""
        u = self._scaled(y, eta)[1]
        return expit(u) * expit(-u) / self.temperature

    def third(self, y, eta):
        """-s sigmoid(u) sigmoid(-u) (sigmoid(-u) - sigmoid(u)) / T^2."""
        sign, u = self._scaled(y, eta)
        p, q = expit(u), expit(-u)
        return -sign * p * q * (q - p) / self.temperature**2

    def gradient_series(self, y, eta, order):
        """That of the sigmoid around u, in steps of -s / T."""
        sign, u = self._scaled(y, eta)
        inner = -sign / self.temperature
        terms = BinaryLogLoss().gradient_series(0.0, u, order)
        return [-sign * c * inner ** (k + 1) for k, c in enumerate(terms)]

    def recession_cone_normals(self, y):
        """One normal a row: the sign of its label."""
        return (2.0 * np.asarray(y, dtype=float) - 1.0)[:, None, None]

    def recession_multipliers(self, y, residual):
        """-residual times the sign of the label."""
        return -(2.0 * np.asarray(y, dtype=float) - 1.0)[:, None] * residual

    def __repr__(self):
        """Class and temperature."""
        return f"{type(self).__name__}({self.temperature:g})"
