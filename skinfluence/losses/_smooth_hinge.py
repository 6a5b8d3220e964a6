"""The hinge of support vector machines, smoothed by a temperature (Koh & Liang 2017)."""

from scipy.special import expit

from skinfluence.link import DecisionLink, softplus
from skinfluence.losses._logistic import BinaryLogLoss
from skinfluence.losses._signed import SignedBinaryLoss
from skinfluence.losses._smoothed import SmoothedLoss


class SmoothHingeLoss(SmoothedLoss, SignedBinaryLoss):
    """l(y, eta) = T log(1 + exp((1 - s eta) / T)), with y in {0, 1} and s = 2 y - 1.

    At most T log 2 above the hinge max(0, 1 - s eta), and equal to the hinge in the limit T -> 0.
    With u = (1 - s eta) / T it is T log(1 + exp(u)): its derivatives follow from those of the log
    loss by the chain rule.

    Parameters
    ----------
    temperature : float
        T > 0.
    """

    name = "smooth_hinge"
    link = DecisionLink()

    @property
    def advice_if_flat(self):
        """Advice for machines of which no row is near the margin."""
        return "No row is near the margin: raise the temperature or C, or fit without an intercept."

    def at_temperature(self, temperature):
        return SmoothHingeLoss(temperature)

    def _scaled(self, y, eta):
        """(s, u) with the sign s of the label and u = (1 - s eta) / T."""
        sign = self.sign(y)
        return sign, (1.0 - sign * eta) / self.temperature

    def value(self, y, eta):
        return self.temperature * softplus(self._scaled(y, eta)[1])

    def gradient(self, y, eta):
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
        """Series of the sigmoid around u, which changes by -s / T for each unit of eta."""
        sign, u = self._scaled(y, eta)
        inner = -sign / self.temperature
        terms = BinaryLogLoss().gradient_series(0.0, u, order)
        return [-sign * c * inner ** (k + 1) for k, c in enumerate(terms)]

    def __repr__(self):
        return f"{type(self).__name__}({self.temperature:g})"
