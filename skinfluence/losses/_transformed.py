"""Predictions of a model of transformed responses, in the units of the responses."""

import numpy as np

# Step of a central difference, relative to the spread of x. Its truncation error is of order
# step^2, its rounding error of order eps / step: both are eps^(2/3), 4e-11, at step = eps^(1/3).
# For x far from 0 beside its spread the step is at least sqrt(eps) |x|, above the rounding of x.
STEP = np.finfo(float).eps ** (1.0 / 3.0)


class TransformedLink:
    """A loss of transformed responses, whose predictions are in the units of the responses.

    Parameters
    ----------
    loss : Loss
        Loss of the transformed responses, which was minimised.
    inverse : callable
        Inverse of the transformer: from transformed responses (m, K) to responses, column by
        column.
    spread : float
        Standard deviation of the transformed responses.
    """

    def __init__(self, loss, inverse, spread):
        self.trained, self.inverse, self.spread = loss, inverse, spread

    def __getattr__(self, name):
        """Attribute of the loss, for all that the transformer does not change."""
        if name in ("trained", "inverse", "spread"):  # copy and unpickling ask before they are set
            raise AttributeError(name)
        return getattr(self.trained, name)

    def response(self, y):
        """Responses from transformed responses (...,) or (..., K)."""
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
        """Gradient in eta by the chain rule; the inverse is differentiated numerically."""
        middle = np.asarray(self.trained.mean(eta), dtype=float)
        step = np.maximum(STEP * self.spread, STEP**1.5 * np.abs(middle))
        above, below = middle + step, middle - step
        inverse = (self.response(above) - self.response(below)) / (above - below)
        return self.trained.vjp(slope * inverse, eta)
