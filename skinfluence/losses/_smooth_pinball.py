"""The pinball loss of quantile regression, smoothed by a temperature."""

import numpy as np
from scipy.special import expit

from skinfluence.losses._coercive import CoerciveLoss
from skinfluence.losses._logistic import BinaryLogLoss
from skinfluence.losses._squared import spread


class SmoothPinballLoss(CoerciveLoss):
    """l(y, eta) = tau r + T log(1 + exp(-r / T)), with real y and r = y - eta.

    At most T log 2 above the pinball loss max(tau r, (tau - 1) r), and the pinball loss itself for
    T -> 0. With u = -r / T it is T times the log loss of u, less tau T u.

    Parameters
    ----------
    quantile : float
        0 < tau < 1.
    temperature : float
        T > 0, in the units of y.
    """

    name = "smooth_pinball"
    has_dominant_rows = True

    def __init__(self, quantile, temperature):
        self.quantile, self.temperature = float(quantile), float(temperature)
        self.series_radius = np.pi * self.temperature
        self.self_concordance = 1.0 / self.temperature

    def at_temperature(self, temperature):
        """Of the same quantile."""
        return SmoothPinballLoss(self.quantile, temperature)

    def _scaled(self, y, eta):
        """u."""
        return (eta - y) / self.temperature

    def value(self, y, eta):
        """The pinball loss and what the temperature adds to it: nothing cancels."""
        residual = y - eta
        pinball = np.maximum(self.quantile * residual, (self.quantile - 1.0) * residual)
        added = np.log1p(np.exp(-np.abs(residual) / self.temperature))
        return pinball + self.temperature * added

    def gradient(self, y, eta):
        """sigmoid(u) - tau."""
        return expit(self._scaled(y, eta)) - self.quantile

    def gradient_size(self, y, eta):
        """Of the two terms, not of their difference, which vanishes at rows that are fitted."""
        return expit(self._scaled(y, eta)) + self.quantile

    def unit(self, y, eta):
        """Spread of the labels."""
        return spread(y)

    def gradient_in_label(self, y, eta):
        """Minus the curvature."""
        return -self.curvature(y, eta)

    def curvature(self, y, eta):
        """sigmoid(u) sigmoid(-u) / T."""
        u = self._scaled(y, eta)
        return expit(u) * expit(-u) / self.temperature

    def third(self, y, eta):
        """sigmoid(u) sigmoid(-u) (sigmoid(-u) - sigmoid(u)) / T^2."""
        u = self._scaled(y, eta)
        p, q = expit(u), expit(-u)
        return p * q * (q - p) / self.temperature**2

    def gradient_series(self, y, eta, order):
        """That of the sigmoid around u, in steps of 1 / T."""
        terms = BinaryLogLoss().gradient_series(0.0, self._scaled(y, eta), order)
        return [c / self.temperature ** (k + 1) for k, c in enumerate(terms)]

    def __repr__(self):
        """Class, quantile and temperature."""
        return f"{type(self).__name__}({self.quantile:g}, {self.temperature:g})"
