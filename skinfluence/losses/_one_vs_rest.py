"""Several classes by one binary loss for each class against the rest."""

import numpy as np

from skinfluence.link import OneVsRestLink
from skinfluence.losses._base import Loss


class OneVsRestLoss(Loss):
    """l(y, eta) = sum_k l_binary(1[y = k], eta_k), with y in {0, ..., K - 1} and K columns of eta.

    No term contains two predictors, so every curvature is diagonal.

    Parameters
    ----------
    binary : Loss
        A scalar loss of labels 0 and 1.
    n_classes : int
        Number K of classes.
    """

    is_scalar = False
    is_separable = True

    def __init__(self, binary, n_classes):
        self.n_classes = self.n_outputs = int(n_classes)
        self.binary, self.name = binary, binary.name
        self.is_piecewise_linear = binary.is_piecewise_linear
        self.is_quadratic, self.is_coercive = binary.is_quadratic, binary.is_coercive
        self.series_radius, self.temperature = binary.series_radius, binary.temperature
        self.self_concordance = binary.self_concordance

    @property
    def link(self):
        """Each class against the rest."""
        return OneVsRestLink(self.binary.link, self.n_classes)

    @property
    def advice_if_flat(self):
        """Advice of the binary loss."""
        return self.binary.advice_if_flat

    def at_temperature(self, temperature):
        return type(self)(self.binary.at_temperature(temperature), self.n_classes)

    def _own(self, y):
        """Labels 0 and 1 of the outputs' own problems, (..., n_outputs)."""
        return (np.asarray(y)[..., None] == np.arange(self.n_classes)).astype(float)

    def _share(self, y):
        """1 if the row has a part in the problem of an output, else 0; None if all rows have."""
        return None

    def _by_output(self, function, y, eta):
        """Values of a method of the binary loss for each output, (..., n_outputs)."""
        found, share = function(self._own(y), eta), self._share(y)
        return found if share is None else share * found

    def output(self, y, k):
        share = self._share(y)
        return self.binary, self._own(y)[..., k], None if share is None else share[..., k]

    def value(self, y, eta):
        return self._by_output(self.binary.value, y, eta).sum(axis=-1)

    def gradient_size(self, y, eta):
        return self._by_output(self.binary.gradient_size, y, eta)

    def gradient(self, y, eta):
        return self._by_output(self.binary.gradient, y, eta)

    def curvature_diagonal(self, y, eta):
        return self._by_output(self.binary.curvature, y, eta)

    def curvature(self, y, eta):
        """Diagonal: an output has no curvature with another."""
        return self.curvature_diagonal(y, eta)[..., None] * np.eye(self.n_outputs)

    def curvature_state(self, y, eta):
        return (self.curvature_diagonal(y, eta),)

    def curvature_matmul(self, state, U):
        return state[0][..., None] * U

    def curvature_split(self, y, eta):
        """The diagonal, and nothing to subtract."""
        diagonal = self.curvature_diagonal(y, eta)
        return diagonal, np.zeros_like(diagonal)

    def piece(self, y, eta):
        """Pieces of the binary loss; 0 for outputs that the row has no part in."""
        found, share = self.binary.piece(self._own(y), eta), self._share(y)
        return found if found is None or share is None else np.where(share > 0, found, 0)

    def kink_distance(self, y, eta):
        """Distances of the binary loss; inf for outputs that the row has no part in."""
        found, share = self.binary.kink_distance(self._own(y), eta), self._share(y)
        return found if found is None or share is None else np.where(share > 0, found, np.inf)

    def third(self, y, eta):
        """Nonzero only if all three indices are the same output."""
        K = self.n_outputs
        cube = np.zeros((*np.shape(eta), K, K))
        diagonal = np.arange(K)
        cube[..., diagonal, diagonal, diagonal] = self._by_output(self.binary.third, y, eta)
        return cube

    def recession_cone_normals(self, y):
        """Normals of the binary loss of each output, in the column of that output."""
        K, parts = self.n_outputs, []
        for k in range(K):
            binary, own, share = self.output(y, k)
            normals = binary.recession_cone_normals(own) * np.eye(K)[k]
            # A row that takes no part in an output minds no direction of it.
            parts.append(normals if share is None else share[:, None, None] * normals)
        return np.concatenate(parts, axis=1)

    def recession_multipliers(self, y, residual):
        parts = []
        for k in range(self.n_outputs):
            binary, own, share = self.output(y, k)
            multipliers = binary.recession_multipliers(own, residual[:, [k]])
            # Of a normal that is 0 any multiplier will do; a positive one, as of an optimum.
            parts.append(
                multipliers if share is None else np.where(share[:, None] > 0, multipliers, 1.0)
            )
        return np.concatenate(parts, axis=1)

    def __repr__(self):
        """Class, the binary loss and the number of classes."""
        return f"{type(self).__name__}({self.binary!r}, {self.n_classes})"
