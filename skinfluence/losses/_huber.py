"""Huber's loss with its scale, a second predictor."""

import numpy as np

from skinfluence.losses._base import Loss
from skinfluence.losses._squared import CANCELLING

# Scale relative to the largest y under which it is on its way to 0; scikit-learn's solver stops
# some way above.
COLLAPSED = 1e-7


class HuberLoss(Loss):
    """l(y, (f, s)) = s + s H((y - f) / s), H(z) = z^2 for |z| < e, else 2 e |z| - e^2; s > 0.

    Predictors are the mean f and the scale s, jointly convex: the perspective of Huber's function
    plus s (Owen 2007). It is linear along its own rays, and never negative: nothing but full rank
    of the columns is asked for an optimum with s > 0 or at s = 0. The curvature is of rank one
    inside of the threshold, and 0 beyond: it jumps, but between the jumps it is not constant.

    Parameters
    ----------
    epsilon : float
        e > 1, in scales.
    """

    name = "huber"
    n_outputs = 2
    n_responses = 1
    is_scalar = False
    has_probabilities = False
    is_coercive = True

    def __init__(self, epsilon):
        self.epsilon = float(epsilon)

    def _parts(self, y, eta):
        """(Residual in scales, scale, whether inside); NaN where the scale is not positive."""
        scale = np.where(eta[..., 1] > 0, eta[..., 1], np.nan)
        ratio = (y - eta[..., 0]) / scale
        return ratio, scale, np.abs(ratio) < self.epsilon

    def value(self, y, eta):
        """Scale and scaled loss; inf where the scale is not positive."""
        ratio, scale, inside = self._parts(y, eta)
        beyond = 2.0 * self.epsilon * np.abs(ratio) - self.epsilon**2
        loss = scale * (1.0 + np.where(inside, ratio**2, beyond))
        return np.where(np.isnan(scale), np.inf, loss)

    def gradient(self, y, eta):
        """(-2 z, 1 - z^2), z at most e in size."""
        ratio, _, _ = self._parts(y, eta)
        clipped = np.clip(ratio, -self.epsilon, self.epsilon)
        return np.stack([-2.0 * clipped, 1.0 - clipped**2], axis=-1)

    def gradient_size(self, y, eta):
        """Of what cancels in it: at a row that is fitted exactly nothing else is left."""
        ratio, scale, _ = self._parts(y, eta)
        clipped = np.minimum(np.abs(ratio), self.epsilon)
        lost = CANCELLING * (np.abs(y) + np.abs(eta[..., 0])) / scale
        return np.stack([2.0 * clipped + lost, 1.0 + clipped**2], axis=-1)

    def curvature(self, y, eta):
        """2 / s (1, z)(1, z)' inside, else 0."""
        root = self.curvature_root(y, eta)[..., 0]
        return root[..., :, None] * root[..., None, :]

    def curvature_root(self, y, eta):
        """sqrt(2 / s) (1, z)' in the first column inside, else 0."""
        ratio, scale, inside = self._parts(y, eta)
        size = np.where(inside, np.sqrt(2.0 / scale), 0.0)
        root = np.zeros((*np.shape(ratio), 2, 2))
        root[..., 0, 0], root[..., 1, 0] = size, size * np.where(inside, ratio, 0.0)
        return root

    def third(self, y, eta):
        """Inside, a derivative in s for each s among the indices: -2, -4 z, -6 z^2 over s^2."""
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
        """-2 / s (1, z) inside, else 0."""
        ratio, scale, inside = self._parts(y, eta)
        slope = np.where(inside, -2.0 / scale, 0.0)
        return np.stack([slope, slope * np.where(inside, ratio, 0.0)], axis=-1)

    def recession_cone_normals(self, y):
        """In no direction of the mean; the scale may not fall for ever."""
        return np.tile([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], (len(y), 1, 1))

    def recession_multipliers(self, y, residual):
        """The residuals' negative and positive parts, and one more of each."""
        parts = np.stack([np.maximum(-residual, 0.0), np.maximum(residual, 0.0)], axis=-1)
        return 1.0 + parts.reshape(len(residual), -1)

    def unit(self, y, eta):
        """The scale."""
        return float(eta[0, 1])

    def check_optimum(self, y, eta):
        """Raise where the scale is 0, but for rounding: there is no derivative."""
        scale = float(eta[0, 1])
        if not scale > COLLAPSED * np.abs(y).max():
            raise NotImplementedError(
                f"the scale of the fit falls to 0 (it is {scale:.1e}): so many rows are fitted "
                "exactly that the optimum is where nothing has a derivative. Raise alpha, or use "
                "fewer features."
            )

    def mean(self, eta):
        """The first predictor."""
        return eta[..., 0]

    def vjp(self, slope, eta):
        """Nothing of it in the scale."""
        return np.stack([slope, np.zeros_like(slope)], axis=-1)

    def __repr__(self):
        """Class and threshold."""
        return f"{type(self).__name__}({self.epsilon:g})"
