"""Scalar losses that rise in both directions of eta."""

import numpy as np

from skinfluence.losses._base import Loss


class CoerciveLoss(Loss):
    """A scalar loss that tends to infinity for eta -> +-inf: an optimum exists at full rank."""

    is_coercive = True

    def recession_cone_normals(self, y):
        """Normals 1 and -1: the recession cone is {0}, because the loss rises both ways."""
        return np.tile([[1.0], [-1.0]], (len(y), 1, 1))

    def recession_multipliers(self, y, residual):
        """Negative and positive part of the residual, plus 1 each so that both are positive."""
        return 1.0 + np.concatenate([np.maximum(-residual, 0), np.maximum(residual, 0)], axis=1)
