"""D2, the score of generalised linear models."""

from dataclasses import dataclass

import numpy as np

NAMES = {0.0: "normal", 1.0: "poisson", 2.0: "gamma", 3.0: "inverse gaussian"}


@dataclass(frozen=True, repr=False)
class DevianceExplained:
    """Scorer: the share of the Tweedie deviance that a model explains, 1 - D(y, mu) / D(y, mean y).

    It is what `score` of scikit-learn's generalised linear models returns, and r2 for the power 0.

    Parameters
    ----------
    power : float
        Power of the mean that the variance is proportional to.
    """

    power: float

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return the score of the predictions of a fitted regressor."""
        mean = np.asarray(estimator.predict(X), dtype=np.float64)
        return float(self.of_columns(np.asarray(y), mean[:, None], sample_weight)[0])

    def of_columns(self, y, mean, weight=None):
        """Return the scores (c,) of several predicted means (n, c); NaN where y is constant."""
        y = np.asarray(y, dtype=np.float64)[:, None]
        missed = np.average(self._deviance(y, mean), axis=0, weights=weight)
        total = np.average(
            self._deviance(y, np.average(y, axis=0, weights=weight)), axis=0, weights=weight
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, 1.0 - missed / total, np.nan)

    def _deviance(self, y, mean):
        """Half the unit deviance; inf where the distribution has no such mean."""
        p = self.power
        if p == 0:
            return 0.5 * (y - mean) ** 2
        with np.errstate(all="ignore"):
            if p == 1:
                value = np.where(y == 0, 0.0, y * np.log(y / mean)) - y + mean
            elif p == 2:
                value = np.log(mean / y) + y / mean - 1.0
            else:
                first = np.maximum(y, 0.0) ** (2.0 - p) / ((1.0 - p) * (2.0 - p))
                second = np.where(y == 0, 0.0, y * mean ** (1.0 - p) / (1.0 - p))
                value = first - second + mean ** (2.0 - p) / (2.0 - p)
        return np.where((mean < 0) | np.isnan(value), np.inf, value)

    def __repr__(self):
        """Say what it is, as a printed result does."""
        name = NAMES.get(self.power, f"tweedie({self.power:g})")
        return f"D2 of the {name} deviance"
