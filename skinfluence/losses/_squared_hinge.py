"""The squared hinge of scikit-learn's LinearSVC."""

import numpy as np

from skinfluence.link import DecisionLink
from skinfluence.losses._signed import SignedBinaryLoss


class SquaredHingeLoss(SignedBinaryLoss):
    """l(y, eta) = max(0, 1 - s eta)^2, with y in {0, 1} and s = 2 y - 1.

    Quadratic on either side of its kink, where the second derivative jumps from 2 to 0. The
    curvature is that of the side on which the row lies, 0 at the kink itself. A Newton step during
    which no row crosses its kink ends at the optimum.
    """

    name = "squared_hinge"
    link = DecisionLink()

    def _slack(self, y, eta):
        """(s, max(0, 1 - s eta))."""
        sign = self.sign(y)
        return sign, np.maximum(0.0, 1.0 - sign * eta)

    def value(self, y, eta):
        """Square of the slack."""
        return self._slack(y, eta)[1] ** 2

    def gradient(self, y, eta):
        """-2 s times the slack."""
        sign, slack = self._slack(y, eta)
        return -2.0 * sign * slack

    def curvature(self, y, eta):
        """2 if the slack is positive, else 0."""
        return 2.0 * (self._slack(y, eta)[1] > 0)

    def third(self, y, eta):
        """Zero on either side."""
        return 0.0 * self._slack(y, eta)[1]

    def piece(self, y, eta):
        """1 where the slack is positive, else 0."""
        return (self._slack(y, eta)[1] > 0).astype(int)

    def kink_distance(self, y, eta):
        """Distance of the margin s eta to 1."""
        sign = self.sign(y)
        return np.abs(1.0 - sign * eta)
