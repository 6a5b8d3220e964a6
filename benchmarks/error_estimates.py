"""`python -m benchmarks.error_estimates`: what the estimated errors of Newton steps are worth.

Leave-one-out predictors by one Newton step for each row, against refits. For every problem the
share of rows whose true error is below the estimate, and the median estimate over the median true
error. The constants of `NewtonError` were chosen on the seeds TUNED and are reported on others.
Rows without a model, and errors that are rounding, do not count.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.preprocessing import scale

from skinfluence import (
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceTweedieRegressor,
)
from skinfluence.kernel_models import KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC

TUNED, REPORTED = range(6), range(100, 110)
# Bars of every line of the table: share of rows below the estimate, and looseness at the median.
LEAST_SHARE, MOST_LOOSE = 0.9, 5.0
ROUNDING = 1e-9  # true errors below this share of the predictors' spread are not counted


def _half(X, y, seed, n):
    """A sample of n rows, standardised."""
    rows = np.random.default_rng(seed).choice(len(y), min(n, len(y)), replace=False)
    return scale(X[rows]), y[rows]


def _of(load, n):
    data = load(return_X_y=True)
    return lambda seed: _half(*data, seed, n)


def _gaussian(n, p, noise=1.0, heavy=False):
    """Rows of normal or heavy-tailed columns, binary labels of a linear score."""

    def draw(seed):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, p))
        if heavy:
            X *= np.abs(rng.standard_t(3, size=(n, 1)))
        score = X @ rng.standard_normal(p) * 2 / np.sqrt(p)
        return X, (score + noise * rng.logistic(size=n) > 0).astype(int)

    return draw


def _counts(n, p):
    def draw(seed):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, p)) * 0.5
        return X, rng.poisson(np.exp(X @ rng.standard_normal(p) / np.sqrt(p) + 0.5)).astype(float)

    return draw


def _positive(n, p):
    def draw(seed):
        X, y = _counts(n, p)(seed)
        return X, y + np.random.default_rng(seed + 1).gamma(2.0, size=n)

    return draw


PROBLEMS = {
    "logistic, breast cancer, C = 1": (
        _of(load_breast_cancer, 250), InfluenceLogisticRegression(), False),
    "logistic, breast cancer, C = 100, weights": (
        _of(load_breast_cancer, 250), InfluenceLogisticRegression(C=100.0), True),
    "logistic, normal rows, p/n = 1/10": (
        _gaussian(200, 20), InfluenceLogisticRegression(), False),
    "logistic, normal rows, p/n = 1/3, C = 10": (
        _gaussian(150, 50), InfluenceLogisticRegression(C=10.0), False),
    "logistic, heavy tails, weights": (
        _gaussian(200, 8, heavy=True), InfluenceLogisticRegression(), True),
    "logistic, p > n": (_gaussian(60, 120), InfluenceLogisticRegression(), False),
    "softmax, iris": (_of(load_iris, 120), InfluenceLogisticRegression(), False),
    "softmax, wine, weights": (_of(load_wine, 150), InfluenceLogisticRegression(C=10.0), True),
    "softmax, digits": (_of(load_digits, 200), InfluenceLogisticRegression(C=0.01), False),
    "kernel logistic, breast cancer": (
        _of(load_breast_cancer, 150), KernelLogisticRegression(kernel="rbf"), False),
    "Poisson": (_counts(200, 6), InfluencePoissonRegressor(alpha=1e-3), False),
    "Poisson, exposures": (_counts(200, 6), InfluencePoissonRegressor(alpha=1e-3), True),
    "gamma, diabetes": (_of(load_diabetes, 200), InfluenceGammaRegressor(alpha=1e-3), False),
    "Tweedie 1.5": (_positive(200, 6), InfluenceTweedieRegressor(power=1.5, alpha=1e-3), True),
    "Huber, diabetes": (
        _of(load_diabetes, 200), InfluenceHuberRegressor(alpha=0.1, max_iter=5000), False),
    "logistic, normal rows, p/n = 1/3, n = 900": (
        _gaussian(900, 300), InfluenceLogisticRegression(C=10.0), False),
    "logistic, normal rows, n = 5,000": (
        _gaussian(5000, 20), InfluenceLogisticRegression(), False),
    "smooth hinge, T = .3": (
        _of(load_breast_cancer, 200), SmoothHingeSVC(temperature=0.3), False),
    "smooth epsilon-insensitive, diabetes": (
        _of(load_diabetes, 200), SmoothEpsilonSVR(temperature=20.0, C=10.0, epsilon=20.0), False),
}  # fmt: skip


@dataclass(frozen=True)
class Worth:
    """Estimates and true errors of the predictors of many rows, and their unit."""

    estimate: np.ndarray
    error: np.ndarray

    @property
    def share(self):
        """Share of rows whose error is below the estimate."""
        return float(np.mean(self.error <= self.estimate))

    @property
    def looseness(self):
        """Median estimate over the median error."""
        return float(np.median(self.estimate) / np.median(self.error))


def measured(name, seeds):
    """Worth of the estimates of a problem over some seeds, those of all rows together."""
    draw, model, weighted = PROBLEMS[name]
    estimates, errors = [], []
    for seed in seeds:
        X, y = draw(seed)
        rng = np.random.default_rng(seed + 1000)
        weight = rng.uniform(0.3, 3.0, size=len(y)) if weighted else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = model.fit(X, y, weight)
            newton = fitted.loo_estimate(method="newton")
            exact = fitted.loo_estimate(method="exact")
        loss = fitted.__fitted_problem__().objective.loss
        change = (newton.decision_function - exact.decision_function).reshape(len(y), -1)
        unit = np.nanstd(exact.decision_function)
        error = loss.predictor_norm(change) / unit
        estimate = newton.error_estimate / unit
        kept = np.isfinite(error) & (error > ROUNDING) & ~np.isnan(estimate)
        estimates.append(estimate[kept])
        errors.append(error[kept])
    return Worth(np.concatenate(estimates), np.concatenate(errors))


def table(seeds=REPORTED, names=PROBLEMS):
    """The table of `doc/leave_one_out.rst`."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - problem",
        "     - rows",
        "     - errors below their estimate",
        "     - median estimate / median error",
    ]
    for name in names:
        found = measured(name, seeds)
        lines += [
            f"   * - {name}",
            f"     - {len(found.error):,}",
            f"     - {found.share:.1%}",
            f"     - {found.looseness:.2g}",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
