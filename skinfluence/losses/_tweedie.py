"""Half the deviance of the Tweedie family: normal, Poisson, gamma and other powers."""

from math import factorial

import numpy as np

from skinfluence.link import DevianceExplained, IdentityLink, LogLink
from skinfluence.losses._base import Loss
from skinfluence.losses._squared import CANCELLING, spread

NAMES = {0.0: "normal", 1.0: "poisson", 2.0: "gamma", 3.0: "inverse_gaussian"}


def _growth(rate, d):
    """(exp(rate d) - 1) / rate, and its limit d."""
    return d if rate == 0 else np.expm1(rate * d) / rate


class TweedieLoss(Loss):
    """l(y, eta) = d_p(y, mu) / 2 with the unit deviance d_p of power p, and mu = exp(eta) or eta.

    The variance of the family is mu^p. With the log link the derivatives are
    mu^(2-p) - y mu^(1-p), (2-p) mu^(2-p) - (1-p) y mu^(1-p) and so on. The curvature is the
    observed one; it equals the expected one only for a canonical link (Poisson with log). For every
    y the loss is convex in eta if 1 <= p <= 2 (log) or 0 <= p <= 1 (identity).

    Parameters
    ----------
    power : float
        Power p of the variance: 1 for the Poisson, 2 for the gamma distribution.
    link : {"log", "identity"}
        With "identity" the loss is inf for eta <= 0, where the distribution does not exist.
    """

    link = LogLink()
    weights_are_exposures = True

    def __init__(self, power, link="log"):
        self.power = float(power)
        self._is_log = link == "log"
        own = self.link if self._is_log else IdentityLink()
        self.link = own.scored_by(DevianceExplained(self.power))
        self.is_convex = 1 <= self.power <= 2 if self._is_log else 0 <= self.power <= 1
        # With the log link and 1 <= p < 2 the loss of the label 0 has no minimum: eta -> -inf.
        self.is_coercive = not self._is_log or not 1 <= self.power < 2
        self.family = NAMES.get(self.power, "tweedie")
        self.has_known_dispersion = self.power == 1
        self.name = f"half {self.family} deviance"
        self.response_range = (0.0 if self.power > 0 else -np.inf, np.inf)
        if not self._is_log and self.power > 0:
            self.predictor_range = (0.0, np.inf)
        if self._is_log:
            # The gradient is entire. Its coefficients 1 / k! are at most 4.5 * 3^-k, as those of a
            # function whose nearest pole is at distance 3.
            self.series_radius = 3.0
            if self.is_convex:
                self.self_concordance = max(2.0 - self.power, self.power - 1.0)

    def in_range(self, y):
        """Mask of the labels in the range of the distribution."""
        if self.power <= 0:
            return np.ones(np.shape(y), dtype=bool)
        return np.asarray(y) >= 0 if self.power < 2 else np.asarray(y) > 0

    def _mean_power(self, eta, exponent):
        """mu^exponent; NaN where the identity link gives mu <= 0."""
        if exponent == 0:
            return np.ones(np.shape(eta))
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            if self._is_log:
                return np.exp(exponent * eta)
            return np.where(eta > 0, np.abs(eta) ** exponent, np.nan)

    def _terms(self, y, eta, order):
        """The two terms a mu^u - b y mu^v of a derivative of the loss in eta."""
        # Each derivative of mu^u in eta multiplies it by u for the log link, where mu = exp(eta);
        # for the identity it multiplies by u and lowers the power by one.
        p = self.power
        if self._is_log:
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
        """Derivative of the loss in eta; for y = 0 the second term is 0 even if mu overflows."""
        first, second = self._terms(y, eta, order)
        with np.errstate(invalid="ignore"):
            return first - second

    def value(self, y, eta):
        """Half the unit deviance d_p(y, mu).

        For y > 0 it is computed as a function of d = log(mu / y), which is accurate near d = 0. The
        textbook form is a difference of terms of size y log y: for counts in the thousands the
        rounding of a sum of them is larger than the decrease by the last steps to an optimum.
        """
        p, y = self.power, np.asarray(y, dtype=float)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            if p == 0.0:
                value = 0.5 * (y - self._mean_power(eta, 1.0)) ** 2
            else:
                log_mean = eta if self._is_log else np.log(np.where(eta > 0, eta, np.nan))
                d = log_mean - np.log(y)
                value = y ** (2.0 - p) * (_growth(2.0 - p, d) - _growth(1.0 - p, d))
                if p < 2.0:
                    value = np.where(y > 0, value, self._value_up_to_zero(y, eta))
        # Also inf - inf: both terms of a difference overflow only where the loss does.
        return np.where(np.isnan(value) & ~np.isnan(eta), np.inf, value)

    @property
    def has_doubtful_optimum(self):
        return not self._is_log and self.power > 0

    def check_optimum(self, y, eta):
        """Raise where a mean is none."""
        if self.has_doubtful_optimum and not (eta > 0).all():
            row = int(np.flatnonzero(~(np.ravel(eta) > 0))[0])
            raise np.linalg.LinAlgError(
                f"no optimum was found: with link='identity' and power={self.power:g} every fitted "
                f"mean should be positive, and the solver ended at {np.ravel(eta)[row]:.3g} in row "
                f"{row}. Fit with link='log'."
            )

    def _value_up_to_zero(self, y, eta):
        """Half the unit deviance for labels of 0, and for negative ones where p < 0."""
        p = self.power
        second = np.where(y == 0, 0.0, y * self._mean_power(eta, 1.0 - p) / (1.0 - p))
        return self._mean_power(eta, 2.0 - p) / (2.0 - p) - second

    def gradient(self, y, eta):
        """mu^(2-p) - y mu^(1-p) for the log link, mu^(1-p) - y mu^-p for the identity."""
        return self._derivative(y, eta, 1)

    def gradient_size(self, y, eta):
        """The gradient plus a share of its two terms: not 0 for a row that is fitted exactly."""
        first, second = self._terms(y, eta, 1)
        return np.abs(first - second) + CANCELLING * (np.abs(first) + np.abs(second))

    def unit(self, y, eta):
        """Standard deviation of the labels for the identity; None for the log link."""
        return spread(y) if not self._is_log else None

    def curvature(self, y, eta):
        """Observed second derivative; negative for some labels if the loss is not convex."""
        return self._derivative(y, eta, 2)

    def third(self, y, eta):
        return self._derivative(y, eta, 3)

    def gradient_in_label(self, y, eta):
        """-mu^(1-p) for the log link, -mu^-p for the identity."""
        return -self._mean_power(eta, (1.0 if self._is_log else 0.0) - self.power)

    def pearson_residual(self, y, eta):
        """(y - mu) / mu^(p / 2), the residual in standard deviations."""
        return (y - self.link.mean(eta)) * self._mean_power(eta, -0.5 * self.power)

    def gradient_series(self, y, eta, order):
        """Series of two exponentials for the log link; None for the identity."""
        if not self._is_log:
            return None
        return [self._derivative(y, eta, k + 1) / factorial(k) for k in range(1, order + 1)]

    def required_classes(self, y):
        """Positive labels are one class: without them mu tends to 0, and eta = log mu to -inf."""
        return None if self.is_coercive else np.where(np.asarray(y) > 0, 0, -1)

    def recession_cone_normals(self, y):
        """-1 alone for a label of 0 if p < 2 with the log link; 1 and -1 for all other labels."""
        normals = np.tile([[1.0], [-1.0]], (len(y), 1, 1))
        if not self.is_coercive:
            normals[np.asarray(y) == 0] = -1.0
        return normals

    def recession_multipliers(self, y, residual):
        """Half the residual for each of two equal normals; otherwise its two parts, plus 1 each."""
        both = 1.0 + np.concatenate([np.maximum(-residual, 0), np.maximum(residual, 0)], axis=1)
        if not self.is_coercive:
            both = np.where((np.asarray(y) == 0)[:, None], 0.5 * residual, both)
        return both

    def __repr__(self):
        return f"{type(self).__name__}({self.power:g}, {self.link.name!r})"
