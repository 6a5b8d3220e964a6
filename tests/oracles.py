"""Slow and obvious: refits of the frozen clone, the dense Hessian, finite differences."""

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression


def dense(X):
    """X as a float64 array."""
    return np.asarray(X.toarray() if sp.issparse(X) else X, dtype=np.float64)


class WithPenalisedIntercept:
    """liblinear's objective by a better solver: the intercept is one more scaled coefficient."""

    def __init__(self, C, scaling):
        self.model = LogisticRegression(
            C=C, fit_intercept=False, solver="newton-cholesky", tol=1e-13, max_iter=10_000
        )
        self.scaling = scaling

    def fit(self, X, y, sample_weight):
        """Fit on X with a column of the scaling."""
        self.model.fit(np.c_[X, np.full(len(X), self.scaling)], y, sample_weight=sample_weight)
        self.coef_ = self.model.coef_[:, :-1]
        self.intercept_ = self.scaling * self.model.coef_[:, -1]
        return self

    def decision_function(self, X):
        """Decision values."""
        return X @ self.coef_[0] + self.intercept_[0]


def frozen(clf):
    """Row weights with the class weights multiplied in, and the model that refits with them."""
    row_weight = clf.__fitted_problem__().objective.sample_weight
    if clf.solver == "liblinear":
        return row_weight, WithPenalisedIntercept(clf.C, clf.intercept_scaling)
    model = LogisticRegression(
        C=clf.C,
        fit_intercept=clf.fit_intercept,
        solver="newton-cholesky",
        tol=1e-13,
        max_iter=10_000,
    )
    return row_weight, model


def refit(clf, X, y, dropped):
    """The frozen clone fitted without the dropped rows."""
    row_weight, model = frozen(clf)
    keep = np.setdiff1d(np.arange(len(y)), dropped)
    keep = keep[row_weight[keep] > 0]
    return model.fit(dense(X)[keep], y[keep], sample_weight=row_weight[keep])


def hessian(objective):
    """The dense Hessian by loops over rows and Kronecker products, gauge not fixed."""
    Z = objective.design.dense(slice(None))
    size = objective.n_parameters
    H = np.diag(np.tile(objective.penalty.strength, objective.n_outputs)) + np.zeros((size, size))
    for W, z in zip(objective.weights, Z, strict=True):
        H += np.kron(W, np.outer(z, z))
    return H


def differences(function, x, step=1e-5):
    """Central differences of a function (..., K) -> (...) in each entry of the last axis."""
    columns = []
    for k in range(x.shape[-1]):
        e = np.zeros(x.shape[-1])
        e[k] = step
        columns.append((function(x + e) - function(x - e)) / (2 * step))
    return np.stack(columns, axis=-1)
