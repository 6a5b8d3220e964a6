"""Half the deviance of the Tweedie family: normal, Poisson, gamma and what lies between."""

from math import factorial

import numpy as np
from scipy.special import xlogy

from skinfluence.losses._base import Loss
from skinfluence.losses._squared import CANCELLING, spread

NAMES = {0.0: "normal", 1.0: "poisson", 2.0: "gamma", 3.0: "inverse_gaussian"}


class TweedieLoss(Loss):
    """l(y, eta) = d_p(y, mu) / 2 with the unit deviance d_p of power p, and mu = exp(eta) or eta.

    The variance of the family is mu^p. With the logarithm as link the derivatives are
    mu^(2-p) - y mu^(1-p), (2-p) mu^(2-p) - (1-p) y mu^(1-p) and so on; the curvature is the
    observed one, which is the expected one where the link is canonical only (Poisson, log). It is
    convex in eta for 1 <= p <= 2 (log) and 0 <= p <= 1 (identity), whatever y.

    Parameters
    ----------
    power : float
        p; 1 is the Poisson, 2 the gamma distribution.
    link : {"log", "identity"}
        Under "identity" the loss is inf for eta <= 0, where there is no such distribution.
    """

    has_probabilities = False

    def __init__(self, power, link="log"):
        self.power, self.link = float(power), link
        self.is_convex = 1 <= self.power <= 2 if link == "log" else 0 <= self.power <= 1
        # The loss of every label rises both ways, but for that of a count of 0.
        self.is_coercive = link != "log" or not 1 <= self.power < 2
        self.family = NAMES.get(self.power, "tweedie")
        self.has_known_dispersion = self.power == 1
        self.name = f"half {self.family} deviance"
        if link == "log":
            # Entire: coefficients 1 / k! fall as those of a pole at 3 while eight are wanted.
            self.series_radius = 3.0
            if self.is_convex:
                self.self_concordance = max(2.0 - self.power, self.power - 1.0)

    def in_range(self, y):
        """Mask of the labels that have a deviance."""
        if self.power <= 0:
            return np.ones(np.shape(y), dtype=bool)
        return np.asarray(y) >= 0 if self.power < 2 else np.asarray(y) > 0

    def _mean_power(self, eta, exponent):
        """mu to a power."""
        if exponent == 0:
            return np.ones(np.shape(eta))
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            if self.link == "log":
                return np.exp(exponent * eta)
            return np.where(eta > 0, np.abs(eta) ** exponent, np.nan)

    def _terms(self, y, eta, order):
        """The two terms a mu^u - b y mu^v of a derivative of the loss in eta."""
        p = self.power
        if self.link == "log":
            rate = np.array([2.0 - p, 1.0 - p])
            a, b = rate ** (order - 1)
            u, v = rate
        else:
            a = b = 1.0
            u, v = 1.0 - p, -p
            for _ in range(order - 1):
                a, b, u, v = a * u, b * v, u - 1.0, v - 1.0
        with np.errstate(over="ignore", invalid="ignore"):
            first = 0.0 if a == 0 else a * self._mean_power(eta, u)
            second = 0.0 if b == 0 else np.where(y == 0, 0.0, b * y * self._mean_power(eta, v))
        return first + np.zeros(np.broadcast_shapes(np.shape(y), np.shape(eta))), second

    def _derivative(self, y, eta, order):
        """Derivative of the loss in eta; the second term is gone where y is 0, whatever mu is."""
        first, second = self._terms(y, eta, order)
        with np.errstate(invalid="ignore"):
            return first - second

    def value(self, y, eta):
        """Half the unit deviance."""
        p, y = self.power, np.asarray(y, dtype=float)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            if p in (1.0, 2.0):
                log_mean = eta if self.link == "log" else np.log(np.where(eta > 0, eta, np.nan))
                mean = self._mean_power(eta, 1.0)
                if p == 1.0:
                    value = xlogy(y, y) - y * log_mean - y + mean
                else:
                    value = y * self._mean_power(eta, -1.0) - 1.0 - np.log(y) + log_mean
            elif p == 0.0:
                value = 0.5 * (y - self._mean_power(eta, 1.0)) ** 2
            else:
                own = np.maximum(y, 0.0) ** (2.0 - p) / ((1.0 - p) * (2.0 - p))
                linear = np.where(y == 0, 0.0, y * self._mean_power(eta, 1.0 - p) / (1.0 - p))
                value = own - linear + self._mean_power(eta, 2.0 - p) / (2.0 - p)
        return np.where(np.isnan(value), np.inf, value)

    def gradient(self, y, eta):
        """mu^(2-p) - y mu^(1-p) for the logarithm, mu^(1-p) - y mu^-p for the identity."""
        return self._derivative(y, eta, 1)

    def gradient_size(self, y, eta):
        """With a share of what cancels in it: at a row that is fitted exactly nothing is left."""
        first, second = self._terms(y, eta, 1)
        return np.abs(first - second) + CANCELLING * (np.abs(first) + np.abs(second))

    def unit(self, y, eta):
        """Spread of the labels, under the identity."""
        return spread(y) if self.link == "identity" else None

    def curvature(self, y, eta):
        """Observed; negative for some labels where the loss is not convex."""
        return self._derivative(y, eta, 2)

    def third(self, y, eta):
        """One more derivative."""
        return self._derivative(y, eta, 3)

    def mean(self, eta):
        """Exp(eta), or eta."""
        return self._mean_power(eta, 1.0) if self.link == "log" else eta

    def mean_slope(self, eta):
        """Its derivative."""
        return self.mean(eta) if self.link == "log" else np.ones_like(eta)

    def gradient_in_label(self, y, eta):
        """-mu^(1-p) for the logarithm, -mu^-p for the identity."""
        return -self._mean_power(eta, (1.0 if self.link == "log" else 0.0) - self.power)

    def pearson_residual(self, y, eta):
        """(y - mu) / mu^(p / 2)."""
        return (y - self.mean(eta)) * self._mean_power(eta, -0.5 * self.power)

    def gradient_series(self, y, eta, order):
        """Those of two exponentials."""
        if self.link != "log":
            return None
        return [self._derivative(y, eta, k + 1) / factorial(k) for k in range(1, order + 1)]

    def required_classes(self, y):
        """Positive labels: without any the mean falls to 0, which no finite eta gives."""
        return None if self.is_coercive else np.where(np.asarray(y) > 0, 0, -1)

    def recession_cone_normals(self, y):
        """Downwards only for labels of 0, up to p < 2; nowhere for the others."""
        normals = np.tile([[1.0], [-1.0]], (len(y), 1, 1))
        if not self.is_coercive:
            normals[np.asarray(y) == 0] = -1.0
        return normals

    def recession_multipliers(self, y, residual):
        """Half the residual each; or its parts, and one more of each."""
        both = 1.0 + np.concatenate([np.maximum(-residual, 0), np.maximum(residual, 0)], axis=1)
        if not self.is_coercive:
            both = np.where((np.asarray(y) == 0)[:, None], 0.5 * residual, both)
        return both

    def __repr__(self):
        """Power and link."""
        return f"{type(self).__name__}({self.power:g}, {self.link!r})"
