"""Losses of one predictor that rise in both directions."""

import numpy as np

from skinfluence.losses._base import Loss


class CoerciveLoss(Loss):
    """A scalar loss with l(y, eta) to infinity for eta to either: full rank is all it asks."""

    has_probabilities = False
    is_coercive = True

    def recession_cone_normals(self, y):
        """In no direction: up and down."""
        return np.tile([[1.0], [-1.0]], (len(y), 1, 1))

    def recession_multipliers(self, y, residual):
        """The residual's negative and positive parts, and one more of each."""
        return 1.0 + np.concatenate([np.maximum(-residual, 0), np.maximum(residual, 0)], axis=1)
