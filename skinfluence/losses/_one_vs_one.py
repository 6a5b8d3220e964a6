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

    def _own(self, y):
        """Labels of the pairs, (..., P)."""
        return (np.asarray(y)[..., None] == self.pairs[0]).astype(float)

    def _inside(self, y):
        """1 where a row is of the pair, (..., P)."""
        y = np.asarray(y)[..., None]
        return ((y == self.pairs[0]) | (y == self.pairs[1])).astype(float)

    def output(self, y, k):
        """The pair k; rows of other classes have no weight there."""
        return self.binary, self._own(y)[..., k], self._inside(y)[..., k]

    def value(self, y, eta):
        """Sum over the pairs."""
        return (self._inside(y) * self.binary.value(self._own(y), eta)).sum(axis=-1)

    def gradient(self, y, eta):
        """Pair by pair."""
        return self._inside(y) * super().gradient(y, eta)

    def curvature(self, y, eta):
        """Diagonal."""
        diagonal = self._inside(y) * self.binary.curvature(self._own(y), eta)
        return diagonal[..., None] * np.eye(self.n_outputs)

    def curvature_split(self, y, eta):
        """The diagonal, and nothing to subtract."""
        diagonal = self._inside(y) * self.binary.curvature(self._own(y), eta)
        return diagonal, np.zeros_like(diagonal)

    def third(self, y, eta):
        """Nonzero where all three pairs are the same."""
        P = self.n_outputs
        cube = np.zeros((*np.shape(eta), P, P))
        diagonal = np.arange(P)
        third = self._inside(y) * self.binary.third(self._own(y), eta)
        cube[..., diagonal, diagonal, diagonal] = third
        return cube

    def recession_cone_normals(self, y):
        """P normals a row: the sign of each pair, nothing for other classes."""
        return (self._inside(y) * (2.0 * self._own(y) - 1.0))[:, :, None] * np.eye(self.n_outputs)

    def recession_multipliers(self, y, residual):
        """-residual times the sign, pair by pair; anything positive where there is no residual."""
        own = super().recession_multipliers(y, residual)
        return np.where(self._inside(y) > 0, own, 1.0)

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
