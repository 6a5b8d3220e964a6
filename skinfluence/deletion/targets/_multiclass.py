"""Targets of K predictors: y in {0, ..., K - 1}, eta the K log scores."""

import numpy as np
from scipy.special import softmax

from skinfluence.deletion.targets._base import Target


class _PerClass(Target):
    """A target with one output a class."""

    greater_is_better = True
    needs_labels = False

    def __init__(self, n_classes):
        self.n_outputs = n_classes


class DecisionFunction(_PerClass):
    """Eta itself."""

    name = "decision_function"

    def value(self, y, eta):
        return eta

    def gradient(self, y, eta):
        return np.broadcast_to(np.eye(eta.shape[-1]), (*eta.shape, eta.shape[-1]))


class PredictProba(_PerClass):
    """Class probabilities."""

    name = "predict_proba"

    def value(self, y, eta):
        return softmax(eta, axis=-1)

    def gradient(self, y, eta):
        """diag(P) - P P'."""
        p = softmax(eta, axis=-1)
        return p[..., :, None] * np.eye(p.shape[-1]) - p[..., :, None] * p[..., None, :]


class _Labelled(Target):
    """A target of the label's own predictor against the others."""

    def __init__(self, n_classes):
        self.n_classes = n_classes

    def _split(self, y, eta):
        """Labels as an index, the label's predictor, the others' (-inf at the label)."""
        index = np.broadcast_to(np.asarray(y, dtype=np.intp), eta.shape[:-1])[..., None]
        own = np.take_along_axis(eta, index, axis=-1)
        others = np.array(eta, dtype=float)
        np.put_along_axis(others, index, -np.inf, axis=-1)
        return index, own[..., 0], others


class Margin(_Labelled):
    """eta_y - logsumexp of the other predictors: the log odds of the label."""

    name = "margin"
    greater_is_better = True

    def value(self, y, eta):
        _, own, others = self._split(y, eta)
        top = others.max(axis=-1)
        return own - top - np.log(np.exp(others - top[..., None]).sum(axis=-1))

    def gradient(self, y, eta):
        """One for the label, minus the softmax of the others."""
        index, _, others = self._split(y, eta)
        gradient = -softmax(others, axis=-1)
        np.put_along_axis(gradient, index, 1.0, axis=-1)
        return gradient


class Hinge(_Labelled):
    """max(0, 1 - (eta_y - max of the others)), Crammer and Singer's; derivative 0 at its kinks."""

    name = "hinge"

    def value(self, y, eta):
        _, own, others = self._split(y, eta)
        return np.maximum(0.0, 1.0 - own + others.max(axis=-1))

    def gradient(self, y, eta):
        """Minus one for the label, one for the strongest other, where the margin is below 1."""
        index, _, others = self._split(y, eta)
        gradient = np.zeros(eta.shape)
        np.put_along_axis(gradient, others.argmax(axis=-1)[..., None], 1.0, axis=-1)
        np.put_along_axis(gradient, index, -1.0, axis=-1)
        return gradient * (Hinge.value(self, y, eta) > 0)[..., None]


class SquaredHinge(Hinge):
    """The hinge, squared."""

    name = "squared_hinge"

    def value(self, y, eta):
        """Square of the hinge."""
        return super().value(y, eta) ** 2

    def gradient(self, y, eta):
        """By the chain rule."""
        return 2.0 * super().value(y, eta)[..., None] * super().gradient(y, eta)


class Brier(_Labelled):
    """Sum over classes of (p_k - 1[y = k])^2."""

    name = "brier"

    def _error(self, y, eta):
        """P - onehot(y), its own entry as minus the sum of the others."""
        p = softmax(eta, axis=-1)
        index = np.broadcast_to(np.asarray(y, dtype=np.intp), eta.shape[:-1])[..., None]
        error = p.copy()
        np.put_along_axis(error, index, 0.0, axis=-1)
        np.put_along_axis(error, index, -error.sum(axis=-1, keepdims=True), axis=-1)
        return p, error

    def value(self, y, eta):
        """Squared length of the error."""
        return (self._error(y, eta)[1] ** 2).sum(axis=-1)

    def gradient(self, y, eta):
        """2 W (P - onehot(y)) with W = diag(P) - P P'."""
        p, error = self._error(y, eta)
        return 2.0 * p * (error - (p * error).sum(axis=-1, keepdims=True))


class ZeroOne(_Labelled):
    """1 where the largest predictor is not the label's; the first of equal ones predicts."""

    name = "zero_one"
    is_differentiable = False

    def value(self, y, eta):
        return (eta.argmax(axis=-1) != y).astype(float)

    def gradient(self, y, eta):
        """There is none that says anything."""
        raise ValueError("zero_one has no useful derivative.")


MULTICLASS = {
    cls.name: cls
    for cls in (DecisionFunction, PredictProba, Margin, Hinge, SquaredHinge, Brier, ZeroOne)
}
