"""The hinge of support vector machines."""

import numpy as np

from skinfluence.link import DecisionLink
from skinfluence.losses._signed import SignedBinaryLoss

# A margin this close to 1 is at the kink: on which side of 1 it is computed is rounding.
KINK = 1e-9


class HingeLoss(SignedBinaryLoss):
    """l(y, eta) = max(0, 1 - s eta), with y in {0, 1} and s = 2 y - 1.

    Linear on either side of its kink, without curvature. The derivative at the kink is set to 0,
    one element of the subdifferential. At the optimum of a support vector machine the dual
    variables, not these derivatives, balance the penalty.
    """

    name = "hinge"
    link = DecisionLink()
    is_piecewise_linear = True

    def _slack(self, y, eta):
        """(s, 1 - s eta)."""
        sign = self.sign(y)
        return sign, 1.0 - sign * eta

    def value(self, y, eta):
        """The slack, if it is positive."""
        return np.maximum(0.0, self._slack(y, eta)[1])

    def gradient(self, y, eta):
        """-s if the slack is positive, else 0."""
        sign, slack = self._slack(y, eta)
        return -sign * (slack > KINK)

    def curvature(self, y, eta):
        return 0.0 * self._slack(y, eta)[1]

    def third(self, y, eta):
        return 0.0 * self._slack(y, eta)[1]
