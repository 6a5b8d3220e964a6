"""Several classes by one binary loss for each pair of classes."""

import numpy as np

from skinfluence.link import OneVsOneLink
from skinfluence.losses._one_vs_rest import OneVsRestLoss


class OneVsOneLoss(OneVsRestLoss):
    """l(y, eta) = sum over the pairs i < j that contain y of l_binary(1[y = i], eta_ij).

    y in {0, ..., K - 1}, eta with a column for each of the K (K - 1) / 2 pairs, in the order
    (0, 1), (0, 2), ..., (K - 2, K - 1), positive for the first class. A row has no loss in pairs
    that do not contain its class.

    Parameters
    ----------
    binary : Loss
        A scalar loss of labels 0 and 1.
    n_classes : int
        Number K of classes.
    """

    def __init__(self, binary, n_classes):
        super().__init__(binary, n_classes)
        self.pairs = np.array(np.triu_indices(self.n_classes, k=1))  # (2, P)
        self.n_outputs = self.pairs.shape[1]

    @property
    def link(self):
        """Votes of the pairs."""
        return OneVsOneLink(self.n_classes)

    def at_temperature(self, temperature):
        return OneVsOneLoss(self.binary.at_temperature(temperature), self.n_classes)

    def _own(self, y):
        """Labels of the pairs (i, j), 1[y = i], (..., P)."""
        return (np.asarray(y)[..., None] == self.pairs[0]).astype(float)

    def _share(self, y):
        """1 where a row is of one of the two classes of a pair, (..., P)."""
        y = np.asarray(y)[..., None]
        return ((y == self.pairs[0]) | (y == self.pairs[1])).astype(float)

    def __repr__(self):
        """Class, the binary loss and the number of classes."""
        return f"{type(self).__name__}({self.binary!r}, {self.n_classes})"
