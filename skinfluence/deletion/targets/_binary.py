"""Targets of one predictor: y in {0, 1}, eta the log odds of class 1."""

import numpy as np
from scipy.special import expit

from skinfluence.deletion.targets._base import Target


def _sign(y):
    """Labels as -1 and 1."""
    return 2.0 * y - 1.0


class DecisionFunction(Target):
    """Eta itself."""

    name = "decision_function"
    greater_is_better = True
    needs_labels = False

    def value(self, y, eta):
        return eta

    def gradient(self, y, eta):
        return np.ones_like(eta)


class PredictProba(Target):
    """P(class 1)."""

    name = "predict_proba"
    greater_is_better = True
    needs_labels = False

    def value(self, y, eta):
        return expit(eta)

    def gradient(self, y, eta):
        return expit(eta) * expit(-eta)


class Margin(Target):
    """Log odds of the row's own label."""

    name = "margin"
    greater_is_better = True

    def value(self, y, eta):
        return _sign(y) * eta

    def gradient(self, y, eta):
        """Sign of the label."""
        return _sign(y) * np.ones_like(eta)


class Hinge(Target):
    """max(0, 1 - margin); derivative 0 at its kink."""

    name = "hinge"

    def value(self, y, eta):
        return np.maximum(0.0, 1.0 - _sign(y) * eta)

    def gradient(self, y, eta):
        """Minus the sign where the margin is below 1."""
        sign = _sign(y)
        return np.where(sign * eta < 1.0, -sign, 0.0)


class SquaredHinge(Hinge):
    """max(0, 1 - margin)^2."""

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

    def value(self, y, eta):
        """Squared probability of the wrong label, which keeps its digits when tiny."""
        return expit(-_sign(y) * eta) ** 2

    def gradient(self, y, eta):
        """By the chain rule."""
        sign = _sign(y)
        wrong = expit(-sign * eta)
        return -2.0 * sign * wrong * wrong * expit(sign * eta)


class ZeroOne(Target):
    """1 where the predicted class is not the label; a predictor of 0 predicts class 0."""

    name = "zero_one"
    is_differentiable = False

    def value(self, y, eta):
        return ((eta > 0) != (np.asarray(y) > 0.5)).astype(float)

    def gradient(self, y, eta):
        """There is none that says anything."""
        raise ValueError("zero_one has no useful derivative.")


BINARY = {
    cls.name: cls
    for cls in (DecisionFunction, PredictProba, Margin, Hinge, SquaredHinge, Brier, ZeroOne)
}
