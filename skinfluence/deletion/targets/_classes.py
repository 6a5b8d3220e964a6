"""Targets that say the same of two classes as of several: the link knows how many there are."""

import numpy as np

from skinfluence.deletion.targets._base import Target


class DecisionFunction(Target):
    """What `decision_function` returns; one a class or a pair where there are several."""

    name = "decision_function"
    greater_is_better = True
    needs_labels = False

    @property
    def n_outputs(self):
        """Number of decision values."""
        return self.link.n_decisions

    def value(self, y, eta):
        return self.link.decision(eta)

    def gradient(self, y, eta):
        """Derivative of the decision values."""
        return self.link.decision_jacobian(eta)


class Margin(Target):
    """Log odds of the row's own label; without probabilities the same function of the scores."""

    name = "margin"
    greater_is_better = True

    def value(self, y, eta):
        return self.link.margin(y, eta)

    def gradient(self, y, eta):
        """Derivative of the margin."""
        return self.link.margin_gradient(y, eta)


class ZeroOne(Target):
    """1 where the predicted class is not the label."""

    name = "zero_one"
    is_differentiable = False

    def value(self, y, eta):
        codes = self.link.predicted(eta)
        return (codes != np.asarray(y).astype(codes.dtype)).astype(float)

    def gradient(self, y, eta):
        """There is none that says anything."""
        raise ValueError("zero_one has no useful derivative.")
