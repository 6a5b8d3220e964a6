"""Links of several classes."""

import numpy as np

from skinfluence.link._base import Link
from skinfluence.link._elementwise import (
    cross_entropy,
    label_index,
    softmax,
    softmax_jacobian,
)


class MulticlassLink(Link):
    """Several classes, of which the one of the largest score is predicted.

    Everything that is said of probabilities follows from the *logits*, the logarithms of the
    probabilities up to a constant in each row. A subclass with probabilities gives `logits` and
    `logits_vjp`, and says that it `has_probabilities`.

    Parameters
    ----------
    n_classes : int
        Number of classes, and of predictors.
    """

    is_scalar = False

    def __init__(self, n_classes):
        self.n_classes = self.n_outputs = int(n_classes)

    def logits(self, eta):
        """Log probabilities up to a constant, (..., n_classes); the scores by default."""
        return self.scores(eta)

    def logits_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in the logits."""
        return self.scores_vjp(slope, eta)

    def predicted(self, eta):
        """Code of the class of the largest score, the first of equal ones."""
        return self.scores(eta).argmax(axis=-1)

    def _split(self, y, eta):
        """(Index of the label, its logit, the logits with -inf at the label)."""
        others = np.array(self.logits(eta), dtype=float)
        index = label_index(y, others)
        own = others[index]  # a copy: the index has arrays in it
        others[index] = -np.inf
        return index, own, others

    def margin(self, y, eta):
        """Logit of the label minus the logsumexp of the others: its log odds."""
        _, margin, others = self._split(y, eta)
        top = others.max(axis=-1)
        margin -= top
        others -= top[..., None]
        np.exp(others, out=others)
        margin -= np.log(others.sum(axis=-1))
        return margin

    def margin_gradient(self, y, eta):
        """One for the label, minus the softmax of the others, through the logits."""
        index, _, others = self._split(y, eta)
        slope = -softmax(others)
        slope[index] = 1.0
        return self.logits_vjp(slope, eta)

    def probabilities(self, eta):
        """Softmax of the logits."""
        return softmax(self._known_logits(eta))

    def probabilities_vjp(self, slope, eta):
        """(diag(P) - P P') slope, through the logits.

        Its entries add up to 0: that of the largest probability, which may be 1 to the last digit,
        is minus the sum of the others.
        """
        p = self.probabilities(eta)
        found = p * (slope - (p * slope).sum(axis=-1, keepdims=True))
        largest = np.broadcast_to(p.argmax(axis=-1, keepdims=True), (*found.shape[:-1], 1))
        np.put_along_axis(found, largest, 0.0, axis=-1)
        np.put_along_axis(found, largest, -found.sum(axis=-1, keepdims=True), axis=-1)
        return self.logits_vjp(found, eta)

    def log_probabilities(self, eta):
        """Logits minus their logsumexp."""
        logits = self._known_logits(eta)
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    def log_probability(self, y, eta):
        """Minus the cross entropy: it keeps its digits where the label is almost sure."""
        return -cross_entropy(y, self._known_logits(eta))

    def _known_logits(self, eta):
        """Logits, where they are of probabilities."""
        if not self.has_probabilities:
            raise TypeError(f"{self!r} has no class probabilities.")
        return self.logits(eta)


class SoftmaxLink(MulticlassLink):
    """Several classes, eta their log probabilities up to a constant."""

    name = "softmax"
    has_probabilities = True

    def probabilities_jacobian(self, eta):
        """diag(P) - P P', whose diagonal keeps its digits where a class is almost sure."""
        return softmax_jacobian(softmax(eta))


class OneVsRestLink(MulticlassLink):
    """Several classes, a predictor for each against the rest.

    The class of the largest predictor is predicted. Its probabilities are those of the binary
    problems divided by their sum, as scikit-learn's, if these have any.

    Parameters
    ----------
    binary : Link
        Of one class against the rest.
    n_classes : int
    """

    def __init__(self, binary, n_classes):
        super().__init__(n_classes)
        self.binary, self.name = binary, f"one-vs-rest {binary.name}"
        self.has_probabilities = binary.has_probabilities

    def logits(self, eta):
        """Log probability of each class against the rest, or its score."""
        return self.binary.log_probability(1.0, eta) if self.has_probabilities else eta

    def logits_vjp(self, slope, eta):
        if not self.has_probabilities:
            return slope
        return slope * self.binary.log_probability_slope(1.0, eta)

    def __repr__(self):
        """Class, the binary link and the number of classes."""
        return f"{type(self).__name__}({self.binary!r}, {self.n_classes})"
