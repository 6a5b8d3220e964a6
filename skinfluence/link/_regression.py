"""Links of regressors."""

from abc import abstractmethod

import numpy as np

from skinfluence.link._base import Link


class RegressionLink(Link):
    """A response, the mean an increasing function of its predictor.

    A subclass gives `inverse` and `inverse_slope`, elementwise.
    """

    @abstractmethod
    def inverse(self, eta):
        """Mean of the response: the inverse of the link function."""

    @abstractmethod
    def inverse_slope(self, eta):
        """Derivative of `inverse`."""

    def mean(self, eta):
        """What is predicted: the inverse of the link function."""
        return self.inverse(eta)

    def mean_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in the predictions."""
        return slope * self.inverse_slope(eta)

    def response(self, y):
        """Responses in the caller's units; themselves by default."""
        return y


class IdentityLink(RegressionLink):
    """One response or several, eta what is predicted.

    Parameters
    ----------
    n_outputs : int, default=1
        Number of responses.
    quantile : float, default=0.5
        Which quantile of the response is predicted, if it is one.
    """

    name = "identity"

    def __init__(self, n_outputs=1, *, quantile=0.5):
        self.n_outputs, self.quantile = int(n_outputs), float(quantile)
        self.is_scalar = self.n_outputs == 1

    def inverse(self, eta):
        return eta

    def inverse_slope(self, eta):
        return np.ones_like(eta)


class LogLink(RegressionLink):
    """A positive mean, eta its logarithm."""

    name = "log"

    def inverse(self, eta):
        """exp(eta); inf beyond the range of float64."""
        with np.errstate(over="ignore"):
            return np.exp(eta)

    def inverse_slope(self, eta):
        return self.inverse(eta)


class LocationScaleLink(RegressionLink):
    """One response, predicted by the first of two predictors; the second is a scale."""

    name = "identity, of the location"
    n_outputs = 2
    is_scalar = False

    @property
    def n_responses(self):
        return 1

    def inverse(self, eta):
        return eta[..., 0]

    def inverse_slope(self, eta):
        """One, in the first predictor."""
        return np.ones_like(eta[..., 0])

    def mean_vjp(self, slope, eta):
        """Nothing of it in the scale."""
        return np.stack([slope, np.zeros_like(slope)], axis=-1)
