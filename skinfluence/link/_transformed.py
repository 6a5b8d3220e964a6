"""Predictions of a model of transformed responses, in the units of the responses."""

import numpy as np

from skinfluence.link._regression import RegressionLink

# Step of a central difference, relative to the spread of x. Its rounding error is of order
# eps / step, eps^(2/3) or 4e-11 at step = eps^(1/3), its truncation error step^2 is extrapolated.
# For x far from 0 beside its spread the step is at least sqrt(eps) |x|, above the rounding of x.
STEP = np.finfo(float).eps ** (1.0 / 3.0)


class TransformedLink(RegressionLink):
    """Another link, and after it the inverse of the transformer of the responses.

    Parameters
    ----------
    link : Link
        From predictors to transformed responses.
    inverse_transform : callable
        From arrays (m, K) of these to the responses themselves, column by column.
    spread : float
        Standard deviation of the transformed responses.
    """

    def __init__(self, link, inverse_transform, spread):
        self.link, self.inverse_transform, self.spread = link, inverse_transform, spread
        self.name = f"transformed {link.name}"
        self.n_outputs, self.is_scalar = link.n_outputs, link.is_scalar
        self.quantile = link.quantile

    @property
    def n_responses(self):
        """Those of the link inside."""
        return self.link.n_responses

    def response(self, y):
        """Responses of transformed ones (...,) or (..., n_responses)."""
        y = np.asarray(y, dtype=float)
        flat = y.reshape(-1, self.n_responses)
        defined = np.isfinite(flat).all(axis=1)
        result = np.full(flat.shape, np.nan)
        if defined.any():  # transformers refuse NaN
            result[defined] = self.inverse_transform(flat[defined])
        return result.reshape(y.shape)

    def inverse(self, eta):
        """Prediction in the units of the responses."""
        return self.response(self.link.mean(eta))

    def inverse_slope(self, eta):
        """By the chain rule."""
        return self._slope(self.link.mean(eta)) * self.link.inverse_slope(eta)

    def mean_vjp(self, slope, eta):
        """By the chain rule."""
        return self.link.mean_vjp(slope * self._slope(self.link.mean(eta)), eta)

    def _slope(self, middle):
        """Derivative of the inverse transform: central differences of two steps, extrapolated.

        Of a function as flat as a cube at 0 one step alone is all error. Where the longer one
        leaves the domain, the shorter one is the answer.
        """
        middle = np.asarray(middle, dtype=float)
        step = np.maximum(STEP * self.spread, STEP**1.5 * np.abs(middle))
        short, long = self._difference(middle, step), self._difference(middle, 2 * step)
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(long), short + (short - long) / 3, short)

    def _difference(self, middle, step):
        above, below = middle + step, middle - step
        return (self.response(above) - self.response(below)) / (above - below)

    def __repr__(self):
        """Class and the link inside."""
        return f"{type(self).__name__}({self.link!r})"
