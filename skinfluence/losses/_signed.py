"""Binary losses of the signed predictor s eta."""

import numpy as np

from skinfluence.losses._base import Loss


class SignedBinaryLoss(Loss):
    """l(y, eta) = f(s eta) with y in {0, 1}, s = 2 y - 1 and a convex f that never rises.

    Moving eta by u never raises the loss if and only if s u >= 0: a row has one normal, its sign.
    Its multiplier is -s l'(eta) = -f'(s eta) >= 0. An unpenalised fit has no optimum where some
    direction has s_i u_i >= 0 in all rows and > 0 in one: the two classes are separable.
    """

    n_classes = 2

    @staticmethod
    def sign(y):
        """Signs s = 2 y - 1 of labels 0 and 1, as floats."""
        return 2.0 * np.asarray(y, dtype=float) - 1.0

    def recession_cone_normals(self, y):
        return self.sign(y)[:, None, None]

    def recession_multipliers(self, y, residual):
        return -self.sign(y)[:, None] * residual
