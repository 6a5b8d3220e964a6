"""Several classes as one binary loss each, against the rest."""

from copy import copy

import numpy as np

from skinfluence.losses._base import Loss


class OneVsRestLoss(Loss):
    """l(y, eta) = sum_k l_binary(1[y = k], eta_k), with y in {0, ..., K - 1} and K columns of eta.

    The K predictors share the rows and nothing else: every curvature is diagonal.

    Parameters
    ----------
    binary : Loss
        Scalar, of labels 0 and 1.
    n_classes : int
        K.
    """

    is_scalar = False
    is_separable = True

    def __init__(self, binary, n_classes):
        self.n_classes = self.n_outputs = int(n_classes)
        self.has_probabilities = False
        self._take(binary)

    def _take(self, binary):
        """Take over what the binary loss is."""
        self.binary, self.name = binary, binary.name
        self.is_piecewise_linear = binary.is_piecewise_linear
        self.is_quadratic, self.is_coercive = binary.is_quadratic, binary.is_coercive
        self.series_radius, self.temperature = binary.series_radius, binary.temperature
        self.self_concordance = binary.self_concordance

    @property
    def advice_if_flat(self):
        """Advice of the binary loss."""
        return self.binary.advice_if_flat

    def at_temperature(self, temperature):
        """Of the same binary loss at another temperature."""
        other = copy(self)
        other._take(self.binary.at_temperature(temperature))
        return other

    def _own(self, y):
        """Labels of the K problems, (..., K)."""
        return (np.asarray(y)[..., None] == np.arange(self.n_classes)).astype(float)

    def output(self, y, k):
        """Class k against the rest."""
        return self.binary, self._own(y)[..., k], None

    def value(self, y, eta):
        """Sum over the classes."""
        return self.binary.value(self._own(y), eta).sum(axis=-1)

    def gradient_size(self, y, eta):
        """Class by class."""
        return self.binary.gradient_size(self._own(y), eta)

    def gradient(self, y, eta):
        """Class by class."""
        return self.binary.gradient(self._own(y), eta)

    def curvature(self, y, eta):
        """Diagonal."""
        return self.binary.curvature(self._own(y), eta)[..., None] * np.eye(self.n_classes)

    def curvature_split(self, y, eta):
        """The diagonal, and nothing to subtract."""
        diagonal = self.binary.curvature(self._own(y), eta)
        return diagonal, np.zeros_like(diagonal)

    def kink_distance(self, y, eta):
        """Class by class."""
        return self.binary.kink_distance(self._own(y), eta)

    def third(self, y, eta):
        """Nonzero where all three classes are the same."""
        K = self.n_classes
        cube = np.zeros((*np.shape(eta), K, K))
        diagonal = np.arange(K)
        cube[..., diagonal, diagonal, diagonal] = self.binary.third(self._own(y), eta)
        return cube

    def recession_cone_normals(self, y):
        """Those of each class in its own column, one class after the other."""
        K, own = self.n_classes, self._own(y)
        return np.concatenate(
            [self.binary.recession_cone_normals(own[:, k]) * np.eye(K)[k] for k in range(K)], axis=1
        )

    def recession_multipliers(self, y, residual):
        """Class by class."""
        own = self._own(y)
        return np.concatenate(
            [
                self.binary.recession_multipliers(own[:, k], residual[:, [k]])
                for k in range(self.n_classes)
            ],
            axis=1,
        )

    def __repr__(self):
        """Class, the binary loss and the number of classes."""
        return f"{type(self).__name__}({self.binary!r}, {self.n_classes})"
