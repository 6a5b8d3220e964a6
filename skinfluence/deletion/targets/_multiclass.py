"""Targets of several classes: y in {0, ..., n_classes - 1}, scores with an axis of classes."""

import numpy as np

from skinfluence.deletion.targets._base import Target
from skinfluence.deletion.targets._classes import DecisionFunction, Margin, ZeroOne
from skinfluence.link import label_index


class PredictProba(Target):
    """Class probabilities."""

    name = "predict_proba"
    greater_is_better = True
    needs_labels = False
    needs_probabilities = True

    @property
    def n_outputs(self):
        return self.link.n_classes

    def value(self, y, eta):
        return self.link.probabilities(eta)

    def gradient(self, y, eta):
        """Derivative of the class probabilities."""
        return self.link.probabilities_jacobian(eta)


class Hinge(Target):
    """max(0, 1 - (f_y - max of the other f)), Crammer and Singer's; derivative 0 at its kinks."""

    name = "hinge"

    def _split(self, y, eta):
        """Index of the label, its score, the others' scores (-inf at the label)."""
        others = np.array(self.link.scores(eta), dtype=float)
        index = label_index(y, others)
        own = others[index]
        others[index] = -np.inf
        return index, own, others

    def value(self, y, eta):
        _, own, others = self._split(y, eta)
        return np.maximum(0.0, 1.0 - own + others.max(axis=-1))

    def gradient(self, y, eta):
        """Minus one for the label, one for the strongest other, where the margin is below 1."""
        index, own, others = self._split(y, eta)
        slope = np.zeros(others.shape)
        np.put_along_axis(slope, others.argmax(axis=-1)[..., None], 1.0, axis=-1)
        slope[index] = -1.0
        below = 1.0 - own + others.max(axis=-1) > 0
        return self.link.scores_vjp(slope * below[..., None], eta)


class SquaredHinge(Hinge):
    """The hinge, squared."""

    name = "squared_hinge"

    def value(self, y, eta):
        """Square of the hinge."""
        return super().value(y, eta) ** 2

    def gradient(self, y, eta):
        """By the chain rule."""
        return 2.0 * super().value(y, eta)[..., None] * super().gradient(y, eta)


class Brier(Target):
    """Sum over classes of (p_k - 1[y = k])^2."""

    name = "brier"
    needs_probabilities = True

    def _error(self, y, eta):
        """P - onehot(y), its own entry as minus the sum of the others."""
        error = self.link.probabilities(eta)
        index = label_index(y, error)
        error[index] = 0.0
        error[index] = -error.sum(axis=-1)
        return error

    def value(self, y, eta):
        """Squared length of the error."""
        error = self._error(y, eta)
        return np.square(error, out=error).sum(axis=-1)

    def gradient(self, y, eta):
        """2 J'(P - onehot(y)), J the derivative of the probabilities."""
        return self.link.probabilities_vjp(2.0 * self._error(y, eta), eta)


MULTICLASS = {
    cls.name: cls
    for cls in (DecisionFunction, PredictProba, Margin, Hinge, SquaredHinge, Brier, ZeroOne)
}
