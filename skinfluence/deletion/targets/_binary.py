"""Targets of two classes and one predictor: y in {0, 1}."""

import numpy as np

from skinfluence.deletion.targets._base import Target
from skinfluence.deletion.targets._classes import DecisionFunction, Margin, ZeroOne


def _sign(y):
    """Labels as -1 and 1."""
    return 2.0 * y - 1.0


class PredictProba(Target):
    """P(class 1)."""

    name = "predict_proba"
    greater_is_better = True
    needs_labels = False
    needs_probabilities = True

    def value(self, y, eta):
        """Inverse of the link function."""
        return self.link.inverse(eta)

    def gradient(self, y, eta):
        return self.link.inverse_slope(eta)


class Hinge(Target):
    """max(0, 1 - s f) with f the score and s the sign of the label; derivative 0 at its kink."""

    name = "hinge"

    def value(self, y, eta):
        return np.maximum(0.0, 1.0 - _sign(y) * self.link.scores(eta))

    def gradient(self, y, eta):
        """Minus the sign where the signed score is below 1."""
        sign = _sign(y)
        slope = np.where(sign * self.link.scores(eta) < 1.0, -sign, 0.0)
        return self.link.scores_vjp(slope, eta)


class SquaredHinge(Hinge):
    """max(0, 1 - s f)^2."""

    name = "squared_hinge"

    def value(self, y, eta):
        """Square of the hinge."""
        return super().value(y, eta) ** 2

    def gradient(self, y, eta):
        """By the chain rule."""
        return 2.0 * super().value(y, eta) * super().gradient(y, eta)


class Brier(Target):
    """(P(1) - y)^2."""

    name = "brier"
    needs_probabilities = True

    def value(self, y, eta):
        """Squared probability of the wrong label, which keeps its digits when tiny."""
        return np.square(self.link.probability(1.0 - y, eta))

    def gradient(self, y, eta):
        """By the chain rule."""
        wrong = 1.0 - y
        return 2.0 * self.link.probability(wrong, eta) * self.link.probability_slope(wrong, eta)


BINARY = {
    cls.name: cls
    for cls in (DecisionFunction, PredictProba, Margin, Hinge, SquaredHinge, Brier, ZeroOne)
}
