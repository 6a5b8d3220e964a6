"""The pinball loss of quantile regression, smoothed by a temperature."""

import numpy as np
from scipy.special import expit

from skinfluence.link import IdentityLink
from skinfluence.losses._coercive import CoerciveLoss
from skinfluence.losses._logistic import BinaryLogLoss
from skinfluence.losses._smoothed import SmoothedLoss
from skinfluence.losses._squared import spread


class SmoothPinballLoss(SmoothedLoss, CoerciveLoss):
    """l(y, eta) = tau r + T log(1 + exp(-r / T)), with real y and r = y - eta.

    At most T log 2 above the pinball loss max(tau r, (tau - 1) r), and equal to it in the limit
    T -> 0. With u = -r / T it is T log(1 + exp(u)) - tau T u.

    Parameters
    ----------
    quantile : float
        The quantile tau, between 0 and 1.
    temperature : float
        T > 0, in the units of y.
    """

    name = "smooth_pinball"
    has_dominant_rows = True

    def __init__(self, quantile, temperature):
        super().__init__(temperature)
        self.quantile = float(quantile)

    @property
    def link(self):
        """The predictor is the quantile."""
        return IdentityLink(quantile=self.quantile)

    def at_temperature(self, temperature):
        return SmoothPinballLoss(self.quantile, temperature)

    def _scaled(self, y, eta):
        """The argument u = (eta - y) / T of the sigmoid."""
        return (eta - y) / self.temperature

    def value(self, y, eta):
        """The pinball loss plus what smoothing adds, two non-negative terms: nothing cancels."""
        residual = y - eta
        pinball = np.maximum(self.quantile * residual, (self.quantile - 1.0) * residual)
        # log(1 + exp(-r / T)) = max(-r, 0) / T + log(1 + exp(-|r| / T)): no overflow for any r.
        added = np.log1p(np.exp(-np.abs(residual) / self.temperature))
        return pinball + self.temperature * added

    def gradient(self, y, eta):
        return expit(self._scaled(y, eta)) - self.quantile

    def gradient_size(self, y, eta):
        """Sum of the two terms; their difference, the gradient, vanishes near the quantile."""
        return expit(self._scaled(y, eta)) + self.quantile

    def unit(self, y, eta):
        """Standard deviation of the labels."""
        return spread(y)

    def gradient_in_label(self, y, eta):
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
        """Series of the sigmoid around u, which changes by 1 / T for each unit of eta."""
        terms = BinaryLogLoss().gradient_series(0.0, self._scaled(y, eta), order)
        return [c / self.temperature ** (k + 1) for k, c in enumerate(terms)]

    def __repr__(self):
        """Class, quantile and temperature."""
        return f"{type(self).__name__}({self.quantile:g}, {self.temperature:g})"
