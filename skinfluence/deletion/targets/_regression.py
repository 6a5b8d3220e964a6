"""Targets of regressors: y real, the prediction what the link makes of eta."""

import numpy as np
from scipy.special import xlog1py, xlogy

from skinfluence.deletion.targets._base import Target


class _OfMean(Target):
    """A function of the response and the prediction, averaged where there are several responses."""

    def _error(self, y, mean):
        """Error of each prediction, of the shape of eta."""
        raise NotImplementedError

    def _slope(self, y, mean):
        """Its derivative in the prediction."""
        raise NotImplementedError

    def value(self, y, eta):
        """Mean error over the outputs."""
        error = self._error(self.link.response(y), self.link.mean(eta))
        return error if self.link.n_responses == 1 else error.mean(axis=-1)

    def gradient(self, y, eta):
        """By the chain rule."""
        slope = self._slope(self.link.response(y), self.link.mean(eta))
        return self.link.mean_vjp(slope / self.link.n_responses, eta)


class Prediction(_OfMean):
    """What `predict` returns; one an output."""

    name = "prediction"
    greater_is_better = True
    needs_labels = False

    @property
    def n_outputs(self):
        return self.link.n_responses

    def value(self, y, eta):
        return self.link.mean(eta)

    def gradient(self, y, eta):
        """Derivative of the mean."""
        return self.link.mean_jacobian(eta)


class Residual(Prediction):
    """y minus the prediction."""

    name = "residual"
    greater_is_better = False
    needs_labels = True

    def value(self, y, eta):
        return self.link.response(y) - self.link.mean(eta)

    def gradient(self, y, eta):
        """Minus that of the prediction."""
        return -super().gradient(y, eta)


class SquaredError(_OfMean):
    """(y - prediction)^2."""

    name = "squared_error"

    def _error(self, y, mean):
        """Square of the residual."""
        return (y - mean) ** 2

    def _slope(self, y, mean):
        """Minus twice the residual."""
        return -2.0 * (y - mean)


class AbsoluteError(_OfMean):
    """|y - prediction|; derivative 0 at its kink."""

    name = "absolute_error"

    def _error(self, y, mean):
        """Size of the residual."""
        return np.abs(y - mean)

    def _slope(self, y, mean):
        return -np.sign(y - mean)


class Pinball(_OfMean):
    """tau r or (tau - 1) r, whichever is larger, for r = y - prediction; derivative 0 at its kink.

    tau is the quantile that the model predicts; of other models it is 1/2, half the absolute error,
    as in scikit-learn's metric.
    """

    name = "pinball"

    def _error(self, y, mean):
        """Pinball loss of the residual."""
        residual, tau = y - mean, self.link.quantile
        return np.maximum(tau * residual, (tau - 1.0) * residual)

    def _slope(self, y, mean):
        """Minus tau above the prediction, 1 - tau below."""
        residual, tau = y - mean, self.link.quantile
        return np.where(residual > 0, -tau, np.where(residual < 0, 1 - tau, 0))


class PoissonDeviance(_OfMean):
    """2 (y log(y / mu) - y + mu), inf where the prediction mu is not positive."""

    name = "poisson_deviance"

    def _error(self, y, mean):
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = (y - mean) / mean  # -1 to the last digit where the mean is far above y
            logarithm = np.where(
                np.abs(relative) < 0.5, xlog1py(y, relative), xlogy(y, y) - xlogy(y, mean)
            )
            deviance = 2.0 * (logarithm - (y - mean))
        return np.where(mean > 0, deviance, np.inf)

    def _slope(self, y, mean):
        """2 (1 - y / mu); none where the deviance is inf."""
        return 2.0 * (1.0 - y / np.where(mean > 0, mean, np.nan))


REGRESSION = {
    cls.name: cls
    for cls in (Prediction, Residual, SquaredError, AbsoluteError, Pinball, PoissonDeviance)
}
