"""Several classes by one binary loss for each pair of classes."""

import numpy as np

from skinfluence.losses._one_vs_rest import OneVsRestLoss


class OneVsOneLoss(OneVsRestLoss):
    """l(y, eta) = sum over the pairs i < j that contain y of l_binary(1[y = i], eta_ij).

    y in {0, ..., K - 1}, eta with a column for each of the K (K - 1) / 2 pairs, in the order
    (0, 1), (0, 2), ..., (K - 2, K - 1), positive for the first class. A row has no loss in pairs
    that do not contain its class. The score of a class is its number of votes plus, to break ties,
    c / (3 (|c| + 1)) with c the sum of the predictors of its pairs: scikit-learn's decision
    function of an SVC, which is not linear in eta.

    Parameters
    ----------
    binary : Loss
        A scalar loss of labels 0 and 1.
    n_classes : int
        Number K of classes.
    shape : {"ovr", "ovo"}
        Decision function: the scores for "ovr", eta itself for "ovo".
    break_ties : bool
        Whether the predicted class is that of the largest score; otherwise the first class among
        those with the most votes.
    """

    def __init__(self, binary, n_classes, shape="ovr", break_ties=False):
        super().__init__(binary, n_classes)
        self.pairs = np.array(np.triu_indices(self.n_classes, k=1))  # (2, P)
        self.n_outputs = self.pairs.shape[1]
        self.shape, self.break_ties = shape, break_ties
        # (P, K): 1 for the first class of a pair, -1 for the second.
        self.signs = np.zeros((self.n_outputs, self.n_classes))
        self.signs[np.arange(self.n_outputs), self.pairs] = np.array([[1.0], [-1.0]])

    # -- the pairs' losses -------------------------------------------------------------------------

    def _own(self, y):
        """Labels 1[y = i] in the pairs (i, j), (..., P)."""
        return (np.asarray(y)[..., None] == self.pairs[0]).astype(float)

    def _inside(self, y):
        """1 if the pair contains the class of the row, else 0; (..., P)."""
        y = np.asarray(y)[..., None]
        return ((y == self.pairs[0]) | (y == self.pairs[1])).astype(float)

    def output(self, y, k):
        """The loss of pair k; the share of rows of other classes is 0."""
        return self.binary, self._own(y)[..., k], self._inside(y)[..., k]

    def value(self, y, eta):
        return (self._inside(y) * self.binary.value(self._own(y), eta)).sum(axis=-1)

    def gradient(self, y, eta):
        return self._inside(y) * super().gradient(y, eta)

    def curvature(self, y, eta):
        diagonal = self._inside(y) * self.binary.curvature(self._own(y), eta)
        return diagonal[..., None] * np.eye(self.n_outputs)

    def curvature_split(self, y, eta):
        """The diagonal of the curvature, and f = 0."""
        diagonal = self._inside(y) * self.binary.curvature(self._own(y), eta)
        return diagonal, np.zeros_like(diagonal)

    def third(self, y, eta):
        """Nonzero only if all three indices are the same pair."""
        P = self.n_outputs
        cube = np.zeros((*np.shape(eta), P, P))
        diagonal = np.arange(P)
        third = self._inside(y) * self.binary.third(self._own(y), eta)
        cube[..., diagonal, diagonal, diagonal] = third
        return cube

    def recession_cone_normals(self, y):
        """P normals for each row: the sign of its label in each pair, 0 for other pairs."""
        return (self._inside(y) * (2.0 * self._own(y) - 1.0))[:, :, None] * np.eye(self.n_outputs)

    def recession_multipliers(self, y, residual):
        """-residual times the sign of the label in each pair; 1 in pairs without its class."""
        own = super().recession_multipliers(y, residual)
        return np.where(self._inside(y) > 0, own, 1.0)

    # -- scores, decision function and predicted class ---------------------------------------------

    def scores(self, eta):
        """Votes of the classes plus a fraction below 1/3 of their confidence, (..., K)."""
        confidence = eta @ self.signs
        return self._votes(eta) + confidence / (3.0 * (np.abs(confidence) + 1.0))

    def score_slopes(self, eta):
        """Derivative of the scores in eta, (..., K, P), that of the votes being 0."""
        confidence = eta @ self.signs
        slope = 1.0 / (3.0 * (np.abs(confidence) + 1.0) ** 2)
        return slope[..., :, None] * self.signs.T

    def decision(self, eta):
        """The scores, or the predictors of the pairs for shape "ovo"."""
        return eta if self.shape == "ovo" else self.scores(eta)

    def predicted(self, eta):
        """Class with the most votes, or with the largest score if `break_ties`."""
        return (self.scores(eta) if self.break_ties else self._votes(eta)).argmax(axis=-1)

    def _votes(self, eta):
        """Number of pairs that each class wins, (..., K); at eta = 0 the first class wins."""
        first = eta >= 0
        return first @ (self.signs > 0).astype(float) + ~first @ (self.signs < 0).astype(float)

    def __repr__(self):
        """Class, the binary loss and the number of classes."""
        return f"{type(self).__name__}({self.binary!r}, {self.n_classes})"
