"""Huber's loss, with the scale as a second predictor."""

import numpy as np

from skinfluence.link import LocationScaleLink
from skinfluence.losses._base import Loss
from skinfluence.losses._squared import CANCELLING

# A scale below this share of the largest |y| is tending to 0. scikit-learn's solver stops above 0.
COLLAPSED = 1e-7


class HuberLoss(Loss):
    """l(y, (f, s)) = s + s H((y - f) / s), H(z) = z^2 for |z| < e, else 2 e |z| - e^2; s > 0.

    The predictors are the mean f and the scale s. The loss is jointly convex in them: s plus the
    perspective of Huber's function (Owen 2007). It is linear along rays from (y, 0), and never
    negative, so an optimum with s >= 0 exists if the columns have full rank. The curvature has rank
    one for |z| < e and is 0 beyond; it jumps at |z| = e, but is not constant on either side of the
    jump.

    Parameters
    ----------
    epsilon : float
        Threshold e > 1, as a multiple of the scale.
    """

    name = "huber"
    n_outputs = 2
    is_scalar = False
    link = LocationScaleLink()
    has_scale = True
    is_coercive = True

    def __init__(self, epsilon):
        self.epsilon = float(epsilon)

    def _parts(self, y, eta):
        """(z, s, whether |z| < e) with z = (y - f) / s; NaN where the scale is not positive."""
        scale = np.where(eta[..., 1] > 0, eta[..., 1], np.nan)
        ratio = (y - eta[..., 0]) / scale
        return ratio, scale, np.abs(ratio) < self.epsilon

    def value(self, y, eta):
        """Scale and scaled loss; inf where the scale is not positive, NaN where it is unknown."""
        ratio, scale, inside = self._parts(y, eta)
        beyond = 2.0 * self.epsilon * np.abs(ratio) - self.epsilon**2
        loss = scale * (1.0 + np.where(inside, ratio**2, beyond))
        return np.where(eta[..., 1] <= 0, np.inf, loss)

    def gradient(self, y, eta):
        """(-2 z, 1 - z^2) with z clipped to [-e, e]."""
        ratio, _, _ = self._parts(y, eta)
        clipped = np.clip(ratio, -self.epsilon, self.epsilon)
        return np.stack([-2.0 * clipped, 1.0 - clipped**2], axis=-1)

    def gradient_size(self, y, eta):
        """(2 |z|, 1 + z^2) with a share of |y| + |f| added: not 0 for a row fitted exactly."""
        ratio, scale, _ = self._parts(y, eta)
        clipped = np.minimum(np.abs(ratio), self.epsilon)
        lost = CANCELLING * (np.abs(y) + np.abs(eta[..., 0])) / scale
        return np.stack([2.0 * clipped + lost, 1.0 + clipped**2], axis=-1)

    def curvature(self, y, eta):
        """2 / s (1, z)(1, z)' for |z| < e, else 0."""
        root = self.curvature_root(y, eta)[..., 0]
        return root[..., :, None] * root[..., None, :]

    def curvature_root(self, y, eta):
        """sqrt(2 / s) (1, z)' in the first column for |z| < e, else 0."""
        ratio, scale, inside = self._parts(y, eta)
        size = np.where(inside, np.sqrt(2.0 / scale), 0.0)
        root = np.zeros((*np.shape(ratio), 2, 2))
        root[..., 0, 0], root[..., 1, 0] = size, size * np.where(inside, ratio, 0.0)
        return root

    def third(self, y, eta):
        """0, -2, -4 z, -6 z^2 over s^2 for 0, 1, 2, 3 scales among the indices; 0 for |z| >= e."""
        ratio, scale, inside = self._parts(y, eta)
        unit = np.where(inside, 1.0 / scale**2, 0.0)
        ratio = np.where(inside, ratio, 0.0)
        cube = np.zeros((*np.shape(ratio), 2, 2, 2))
        for index in np.ndindex(2, 2, 2):
            n_scales = sum(index)
            if n_scales:
                cube[(..., *index)] = -2.0 * n_scales * unit * ratio ** (n_scales - 1)
        return cube

    def gradient_in_label(self, y, eta):
        """-2 / s (1, z) for |z| < e, else 0."""
        ratio, scale, inside = self._parts(y, eta)
        slope = np.where(inside, -2.0 / scale, 0.0)
        return np.stack([slope, slope * np.where(inside, ratio, 0.0)], axis=-1)

    def recession_cone_normals(self, y):
        """Both signs of both predictors: the recession cone is {0}."""
        return np.tile([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], (len(y), 1, 1))

    def recession_multipliers(self, y, residual):
        """Negative and positive parts of the residuals, plus 1 each."""
        parts = np.stack([np.maximum(-residual, 0.0), np.maximum(residual, 0.0)], axis=-1)
        return 1.0 + parts.reshape(len(residual), -1)

    unit_is_of_predictors = True

    def unit(self, y, eta):
        return float(eta[0, 1])

    @property
    def has_doubtful_optimum(self):
        return True

    def check_optimum(self, y, eta):
        """Raise if the scale is 0 to rounding, where the loss has no derivative."""
        scale = float(eta[0, 1])
        if not scale > COLLAPSED * np.abs(y).max():
            raise NotImplementedError(
                f"the scale of the fit tends to 0 (it is {scale:.1e}): so many rows are fitted "
                "exactly that the objective is not differentiable at its optimum. Raise alpha, or "
                "use fewer features."
            )

    def __repr__(self):
        return f"{type(self).__name__}({self.epsilon:g})"
