"""The epsilon-insensitive loss of support vector regression, smoothed by a temperature."""

from scipy.special import expit

from skinfluence.link import IdentityLink, softplus
from skinfluence.losses._coercive import CoerciveLoss
from skinfluence.losses._logistic import BinaryLogLoss
from skinfluence.losses._smoothed import SmoothedLoss
from skinfluence.losses._squared import spread


class SmoothEpsilonInsensitiveLoss(SmoothedLoss, CoerciveLoss):
    """l(y, eta) = T log(1 + exp((r - e) / T)) + T log(1 + exp((-r - e) / T)), with r = y - eta.

    At most 2 T log 2 above the loss max(0, |r| - e), and equal to it in the limit T -> 0. Each of
    the two terms has |l'''| <= l'' / T, and so has their sum.

    Parameters
    ----------
    epsilon : float
        Half width e >= 0 of the tube, in the units of y.
    temperature : float
        T > 0, in the units of y.
    """

    name = "smooth_epsilon_insensitive"
    has_dominant_rows = True
    link = IdentityLink()

    def __init__(self, epsilon, temperature):
        super().__init__(temperature)
        self.epsilon = float(epsilon)

    @property
    def advice_if_flat(self):
        """Advice for machines of which no row is near the edge of the tube."""
        return (
            f"No row is within a few temperatures ({self.temperature:g}) of the edge of the tube: "
            "raise the temperature, or scale y."
        )

    def at_temperature(self, temperature):
        return SmoothEpsilonInsensitiveLoss(self.epsilon, temperature)

    def _scaled(self, y, eta):
        """Signed distances of y above the upper and below the lower edge of the tube, over T."""
        residual = y - eta
        above = (residual - self.epsilon) / self.temperature
        return above, (-residual - self.epsilon) / self.temperature

    def value(self, y, eta):
        """Smooth version of the distance to the tube."""
        above, below = self._scaled(y, eta)
        return self.temperature * (softplus(above) + softplus(below))

    def gradient(self, y, eta):
        above, below = self._scaled(y, eta)
        return expit(below) - expit(above)

    def gradient_size(self, y, eta):
        """Sum of the sizes of the two terms, which cancel in the middle of the tube."""
        above, below = self._scaled(y, eta)
        return expit(below) + expit(above)

    def unit(self, y, eta):
        """Standard deviation of the labels."""
        return spread(y)

    def gradient_in_label(self, y, eta):
        return -self.curvature(y, eta)

    def curvature(self, y, eta):
        """Sum of the curvatures of the two terms, (sigmoid'(above) + sigmoid'(below)) / T."""
        above, below = (expit(u) * expit(-u) for u in self._scaled(y, eta))
        return (above + below) / self.temperature

    def third(self, y, eta):
        """The difference (sigmoid''(below) - sigmoid''(above)) / T^2."""
        above, below = (expit(u) * expit(-u) * (expit(-u) - expit(u)) for u in self._scaled(y, eta))
        return (below - above) / self.temperature**2

    def gradient_series(self, y, eta, order):
        """Series of the sigmoids of both distances, which change by -1 / T and 1 / T with eta."""
        above, below = (
            BinaryLogLoss().gradient_series(0.0, u, order) for u in self._scaled(y, eta)
        )
        inner = 1.0 / self.temperature
        return [
            b * inner ** (k + 1) - a * (-inner) ** (k + 1)
            for k, (a, b) in enumerate(zip(above, below, strict=True))
        ]

    def __repr__(self):
        """Class, epsilon and temperature."""
        return f"{type(self).__name__}({self.epsilon:g}, {self.temperature:g})"
