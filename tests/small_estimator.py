"""A small estimator of somebody else's, which CONTRIBUTING.md teaches the library."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class BinaryRegression(ClassifierMixin, BaseEstimator):
    """Two classes with P(second) = p(x'w + b), by penalised maximum likelihood.

    Minimises -sum_i s_i log P(y_i) + alpha / 2 |w|^2, with p the inverse of the "logit" or of the
    complementary log-log ("cloglog") link.
    """

    def __init__(self, link="logit", alpha=1.0):
        self.link = link
        self.alpha = alpha

    def _probability(self, eta):
        """(p, 1 - p, dp / deta), none of them rounded to 0."""
        if self.link == "logit":
            return expit(eta), expit(-eta), expit(eta) * expit(-eta)
        mu = np.exp(np.clip(eta, -600.0, 6.0))
        return -np.expm1(-mu), np.exp(-mu), mu * np.exp(-mu)

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y)
        self.classes_, y = np.unique(y, return_inverse=True)
        s = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        Z = np.c_[X, np.ones(len(X))]
        penalty = np.r_[np.full(X.shape[1], float(self.alpha)), 0.0]

        def objective(theta):
            p, q, slope = self._probability(Z @ theta)
            own = np.where(y == 1, p, q)
            gradient = Z.T @ (s * np.where(y == 1, -slope, slope) / own)
            value = -s @ np.log(own) + 0.5 * penalty @ theta**2
            return value, gradient + penalty * theta

        options = {"gtol": 1e-10, "maxiter": 10_000}
        start = np.zeros(Z.shape[1])
        theta = minimize(objective, start, jac=True, method="BFGS", options=options).x
        self.coef_, self.intercept_ = theta[None, :-1], theta[-1:]
        return self

    def decision_function(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False) @ self.coef_[0] + self.intercept_[0]

    def predict_proba(self, X):
        p, q, _ = self._probability(self.decision_function(X))
        return np.column_stack([q, p])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
