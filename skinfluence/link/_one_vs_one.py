"""Several classes read from one predictor for each pair of them."""

import numpy as np

from skinfluence.link._multiclass import MulticlassLink

SHAPES = ("ovr", "ovo")


class OneVsOneLink(MulticlassLink):
    """Votes of the K (K - 1) / 2 pairs of K classes, as in scikit-learn's SVC; no probabilities.

    Predictors are in the order (0, 1), (0, 2), ..., (K - 2, K - 1), positive for the first class
    of the pair. The K scores of the classes are their votes and, to break ties,
    c / (3 (|c| + 1)) with c the sum of their pairs' predictors, signed: not linear in eta.

    Parameters
    ----------
    n_classes : int
        K.
    shape : {"ovr", "ovo"}, default="ovr"
        Whether the decision values are the scores, or eta itself.
    break_ties : bool, default=False
        Whether scores predict, or votes alone, the first of equal ones.
    """

    name = "one-vs-one votes"

    def __init__(self, n_classes, shape="ovr", break_ties=False):
        super().__init__(n_classes)
        if shape not in SHAPES:
            raise ValueError(f"shape should be one of {SHAPES}; got {shape!r} instead.")
        first, second = np.triu_indices(self.n_classes, k=1)
        self.n_outputs = len(first)
        self.shape, self.break_ties = shape, break_ties
        # (P, K): 1 for the first class of a pair, -1 for the second.
        self._signs = np.zeros((self.n_outputs, self.n_classes))
        self._signs[np.arange(self.n_outputs), [first, second]] = np.array([[1.0], [-1.0]])

    @property
    def n_decisions(self):
        """One a class, or one a pair."""
        return self.n_outputs if self.shape == "ovo" else self.n_classes

    def scores(self, eta):
        """Votes of the classes plus a fraction below 1/3 of their confidence, (..., K)."""
        confidence = eta @ self._signs
        return self._votes(eta) + confidence / (3.0 * (np.abs(confidence) + 1.0))

    def scores_vjp(self, slope, eta):
        """By the sums that break ties: the votes have no derivative."""
        confidence = eta @ self._signs
        return (slope / (3.0 * (np.abs(confidence) + 1.0) ** 2)) @ self._signs.T

    def decision(self, eta):
        """The scores, or the predictors of the pairs for shape "ovo"."""
        return eta if self.shape == "ovo" else self.scores(eta)

    def decision_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in the decision values."""
        return slope if self.shape == "ovo" else self.scores_vjp(slope, eta)

    def predicted(self, eta):
        """Code of the class of most votes, or of the largest score."""
        return (self.scores(eta) if self.break_ties else self._votes(eta)).argmax(axis=-1)

    def _votes(self, eta):
        """Number of pairs that each class wins, (..., K); at eta = 0 the first class wins."""
        first = eta >= 0
        signs = self._signs
        return first @ (signs > 0).astype(float) + ~first @ (signs < 0).astype(float)

    def __repr__(self):
        """Class and the number of classes."""
        return f"{type(self).__name__}({self.n_classes})"
