"""Predictors of a model of transformed responses, read in the units of the responses."""

import numpy as np

# Step of a central difference, relative to the spread of x: the cube root of the rounding. Far from
# 0 it is not below the square root of the rounding of x itself.
STEP = np.finfo(float).eps ** (1.0 / 3.0)


class TransformedLink:
    """A loss as it is, but for what is predicted: the inverse of the transformer of the responses.

    Parameters
    ----------
    loss : Loss
        Of the transformed responses.
    inverse : callable
        From arrays (m, K) of these to the responses themselves, column by column.
    spread : float
        Standard deviation of the transformed responses.
    """

    def __init__(self, loss, inverse, spread):
        self.trained, self.inverse, self.spread = loss, inverse, spread

    def __getattr__(self, name):
        """Everything else is the loss's."""
        if name in ("trained", "inverse", "spread"):  # not there yet, in a copy or an unpickled one
            raise AttributeError(name)
        return getattr(self.trained, name)

    def response(self, y):
        """Responses of transformed ones (...,) or (..., K)."""
        y = np.asarray(y, dtype=float)
        flat = y.reshape(-1, self.trained.n_responses)
        defined = np.isfinite(flat).all(axis=1)
        result = np.full(flat.shape, np.nan)
        if defined.any():  # transformers refuse NaN
            result[defined] = self.inverse(flat[defined])
        return result.reshape(y.shape)

    def mean(self, eta):
        """Prediction in the units of the responses."""
        return self.response(self.trained.mean(eta))

    def vjp(self, slope, eta):
        """By the derivative of the inverse, a central difference."""
        middle = np.asarray(self.trained.mean(eta), dtype=float)
        step = np.maximum(STEP * self.spread, STEP**1.5 * np.abs(middle))
        above, below = middle + step, middle - step
        inverse = (self.response(above) - self.response(below)) / (above - below)
        return self.trained.vjp(slope * inverse, eta)
