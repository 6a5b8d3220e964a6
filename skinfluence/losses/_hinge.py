"""The hinge of support vector machines."""

import numpy as np

from skinfluence.losses._base import Loss

# A margin this close to 1 is at the kink: which side rounding has put it on says nothing.
KINK = 1e-9


class HingeLoss(Loss):
    """l(y, eta) = max(0, 1 - s eta), with y in {0, 1} and s = 2 y - 1.

    Linear on either side of its kink. There is no curvature anywhere, and what is called derivative
    at the kink is 0, an element of the subdifferential and no more: a support vector machine's dual
    variables, not this, balance its penalty.
    """

    name = "hinge"
    n_classes = 2
    has_probabilities = False
    is_piecewise_linear = True

    def _slack(self, y, eta):
        """(s, 1 - s eta)."""
        sign = 2.0 * np.asarray(y, dtype=float) - 1.0
        return sign, 1.0 - sign * eta

    def value(self, y, eta):
        """Slack, where there is any."""
        return np.maximum(0.0, self._slack(y, eta)[1])

    def gradient(self, y, eta):
        """-s where there is slack."""
        sign, slack = self._slack(y, eta)
        return -sign * (slack > KINK)

    def curvature(self, y, eta):
        """Zero."""
        return 0.0 * self._slack(y, eta)[1]

    def third(self, y, eta):
        """Zero."""
        return 0.0 * self._slack(y, eta)[1]

    def recession_cone_normals(self, y):
        """One normal a row: the sign of its label."""
        return (2.0 * np.asarray(y, dtype=float) - 1.0)[:, None, None]

    def recession_multipliers(self, y, residual):
        """-residual times the sign of the label."""
        return -(2.0 * np.asarray(y, dtype=float) - 1.0)[:, None] * residual
