"""Targets of regressors: y real, the prediction the mean that the loss reads from eta."""

import numpy as np
from scipy.special import xlogy

from skinfluence.deletion.targets._base import Target


class _OfMean(Target):
    """A function of the label and the prediction, averaged over outputs where there are several.

    Parameters
    ----------
    loss : Loss
        Says what is predicted: `mean(eta)`, and its derivative; and the labels in these units.
    """

    def __init__(self, loss):
        self.loss = loss

    def _error(self, y, mean):
        """Error of each prediction, of the shape of eta."""
        raise NotImplementedError

    def _slope(self, y, mean):
        """Its derivative in the prediction."""
        raise NotImplementedError

    def value(self, y, eta):
        """Mean error over the outputs."""
        error = self._error(self.loss.response(y), self.loss.mean(eta))
        return error if self.loss.n_responses == 1 else error.mean(axis=-1)

    def gradient(self, y, eta):
        """By the chain rule."""
        slope = self._slope(self.loss.response(y), self.loss.mean(eta))
        return self.loss.vjp(slope / self.loss.n_responses, eta)


class Prediction(_OfMean):
    """What `predict` returns; one an output."""

    name = "prediction"
    greater_is_better = True
    needs_labels = False

    def __init__(self, loss):
        super().__init__(loss)
        self.n_outputs = loss.n_responses

    def value(self, y, eta):
        """Mean."""
        return self.loss.mean(eta)

    def gradient(self, y, eta):
        """Derivative of the mean, on the diagonal of several outputs."""
        slope = self.loss.vjp(np.ones_like(self.loss.mean(eta)), eta)
        return slope if self.n_outputs == 1 else slope[..., :, None] * np.eye(eta.shape[-1])


class Residual(Prediction):
    """y minus the prediction."""

    name = "residual"
    greater_is_better = False
    needs_labels = True

    def value(self, y, eta):
        """Residual."""
        return self.loss.response(y) - self.loss.mean(eta)

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
        """Minus its sign."""
        return -np.sign(y - mean)


class Pinball(_OfMean):
    """tau r or (tau - 1) r, whichever is larger, for r = y - prediction; derivative 0 at its kink.

    tau is the quantile that the model predicts; of other models it is 1/2, half the absolute error,
    as in scikit-learn's metric.
    """

    name = "pinball"

    @property
    def quantile(self):
        """tau."""
        return getattr(self.loss, "quantile", 0.5)

    def _error(self, y, mean):
        """Pinball loss of the residual."""
        residual = y - mean
        return np.maximum(self.quantile * residual, (self.quantile - 1.0) * residual)

    def _slope(self, y, mean):
        """Minus tau above the prediction, 1 - tau below."""
        residual = y - mean
        return np.where(residual > 0, -self.quantile, np.where(residual < 0, 1 - self.quantile, 0))


class PoissonDeviance(_OfMean):
    """2 (y log(y / mu) - y + mu), inf where the prediction mu is not positive."""

    name = "poisson_deviance"

    def _error(self, y, mean):
        """Unit deviance."""
        with np.errstate(divide="ignore", invalid="ignore"):
            deviance = 2.0 * (xlogy(y, y) - xlogy(y, mean) - y + mean)
        return np.where(mean > 0, deviance, np.inf)

    def _slope(self, y, mean):
        """2 (1 - y / mu)."""
        return 2.0 * (1.0 - y / mean)


REGRESSION = {
    cls.name: cls
    for cls in (Prediction, Residual, SquaredError, AbsoluteError, Pinball, PoissonDeviance)
}
