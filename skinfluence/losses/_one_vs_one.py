"""Several classes as one binary loss for each pair of them."""

import numpy as np

from skinfluence.losses._one_vs_rest import OneVsRestLoss


class OneVsOneLoss(OneVsRestLoss):
    """l(y, eta) = sum over the pairs i < j that y is of, l_binary(1[y = i], eta_ij).

    y in {0, ..., K - 1}, eta with a column for each of the K (K - 1) / 2 pairs, in the order
    (0, 1), (0, 2), ..., (K - 2, K - 1), positive for the first class. Rows of other classes have no
    part in a pair. The K scores of the classes are their votes and, to break ties,
    c / (3 (|c| + 1)) with c the sum of their pairs' predictors: scikit-learn's decision function of
    an SVC, which is not linear in eta.

    Parameters
    ----------
    binary : Loss
        Scalar, of labels 0 and 1.
    n_classes : int
        K.
    shape : {"ovr", "ovo"}
        Whether the decision function is the scores, or eta itself.
    break_ties : bool
        Whether scores predict, or votes alone, the first of equal ones.
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

    def at_temperature(self, temperature):
        binary = self.binary.at_temperature(temperature)
        return OneVsOneLoss(binary, self.n_classes, self.shape, self.break_ties)

    def _own(self, y):
        """1 for the first class of each pair, (..., P)."""
        return (np.asarray(y)[..., None] == self.pairs[0]).astype(float)

    def _share(self, y):
        """1 where a row is of one of the two classes of a pair, (..., P)."""
        y = np.asarray(y)[..., None]
        return ((y == self.pairs[0]) | (y == self.pairs[1])).astype(float)

    # -- how the pairs are read --------------------------------------------------------------------

    def scores(self, eta):
        """Scores of the classes, (..., K)."""
        confidence = eta @ self.signs
        return self._votes(eta) + confidence / (3.0 * (np.abs(confidence) + 1.0))

    def score_slopes(self, eta):
        """Derivative of the scores, (..., K, P): the votes have none."""
        confidence = eta @ self.signs
        slope = 1.0 / (3.0 * (np.abs(confidence) + 1.0) ** 2)
        return slope[..., :, None] * self.signs.T

    def decision(self, eta):
        """Scores, or the pairs themselves."""
        return eta if self.shape == "ovo" else self.scores(eta)

    def predicted(self, eta):
        """Class of most votes."""
        return (self.scores(eta) if self.break_ties else self._votes(eta)).argmax(axis=-1)

    def _votes(self, eta):
        """Number of pairs that each class wins, (..., K); the first one wins at 0."""
        first = eta >= 0
        return first @ (self.signs > 0).astype(float) + ~first @ (self.signs < 0).astype(float)

    def __repr__(self):
        """Class, the binary loss and the number of classes."""
        return f"{type(self).__name__}({self.binary!r}, {self.n_classes})"
