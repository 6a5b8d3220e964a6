"""The squared hinge of scikit-learn's LinearSVC."""

import numpy as np

from skinfluence.losses._base import Loss


class SquaredHingeLoss(Loss):
    """l(y, eta) = max(0, 1 - s eta)^2, with y in {0, 1} and s = 2 y - 1.

    Quadratic on either side of its kink, where the second derivative jumps from 2 to 0: what is
    called curvature here is the one of the side on which the row lies (0 at the kink itself). A
    Newton step during which no row crosses its kink ends at the optimum.
    """

    name = "squared_hinge"
    n_classes = 2
    has_probabilities = False

    def _slack(self, y, eta):
        """(s, max(0, 1 - s eta))."""
        sign = 2.0 * np.asarray(y, dtype=float) - 1.0
        return sign, np.maximum(0.0, 1.0 - sign * eta)

    def value(self, y, eta):
        """Square of the slack."""
        return self._slack(y, eta)[1] ** 2

    def gradient(self, y, eta):
        """-2 s times the slack."""
        sign, slack = self._slack(y, eta)
        return -2.0 * sign * slack

    def curvature(self, y, eta):
        """2 where there is slack."""
        return 2.0 * (self._slack(y, eta)[1] > 0)

    def third(self, y, eta):
        """Zero on either side."""
        return 0.0 * self._slack(y, eta)[1]

    def kink_distance(self, y, eta):
        """|1 - s eta|."""
        sign = 2.0 * np.asarray(y, dtype=float) - 1.0
        return np.abs(1.0 - sign * eta)

    def recession_cone_normals(self, y):
        """One normal a row: the sign of its label."""
        return (2.0 * np.asarray(y, dtype=float) - 1.0)[:, None, None]

    def recession_multipliers(self, y, residual):
        """-residual times the sign of the label."""
        return -(2.0 * np.asarray(y, dtype=float) - 1.0)[:, None] * residual
