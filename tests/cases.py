"""Two tables: storage x weights x class weights x intercept x C x solver x number of classes,
and every regressor x storage x weights x intercept x shape."""

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from skinfluence import (
    InfluenceElasticNet,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
)
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.svm import SmoothEpsilonSVR


def problem(seed=0, n=60, p=4, n_classes=2, spread=1.0):
    """Data with labels that follow a linear score, every class at least four times."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    score = spread * X @ rng.normal(size=(p, n_classes)) + rng.gumbel(size=(n, n_classes))
    y = score.argmax(axis=1)
    y[: 4 * n_classes] = np.tile(np.arange(n_classes), 4)
    return X, y


def weights(seed, n, zeros=0):
    """Positive weights, the last `zeros` of them 0."""
    w = np.random.default_rng(seed).uniform(0.3, 2.5, size=n)
    w[n - zeros :] = 0.0
    return w


# name: (problem arguments, storage, weighted, zero weights, estimator parameters)
CASES = {
    "binary": ({}, "C", False, 0, {}),
    "binary-weights": ({}, "C", True, 3, {"C": 0.5}),
    "binary-no-intercept": ({}, "F", True, 0, {"fit_intercept": False}),
    "binary-balanced": ({"seed": 2}, "C", True, 0, {"class_weight": "balanced"}),
    "binary-class-weight": ({}, "C", False, 0, {"class_weight": {0: 0.4, 1: 2.0}}),
    "binary-csr": ({"seed": 3}, "csr", True, 2, {"C": 2.0}),
    "binary-float32": ({"seed": 4}, "float32", False, 0, {}),
    "binary-huge-C": ({"seed": 5}, "C", False, 0, {"C": 1e4}),
    "binary-unpenalised": ({"seed": 6, "n": 90}, "C", True, 0, {"C": np.inf}),
    "binary-tiny-C": ({}, "C", False, 0, {"C": 1e-4}),
    "binary-liblinear": (
        {"seed": 7},
        "C",
        True,
        0,
        {"solver": "liblinear", "intercept_scaling": 3.0, "tol": 1e-8},
    ),
    "binary-wide": ({"seed": 8, "n": 30, "p": 50}, "C", True, 2, {"C": 0.3}),
    "binary-wide-csr": ({"seed": 8, "n": 30, "p": 50}, "csr", False, 0, {"C": 0.3}),
    "softmax": ({"n_classes": 3}, "C", False, 0, {}),
    "softmax-weights": ({"n_classes": 4, "n": 80}, "F", True, 3, {"C": 2.0}),
    "softmax-no-intercept": ({"n_classes": 3}, "csr", True, 0, {"fit_intercept": False}),
    "softmax-balanced": ({"n_classes": 3, "seed": 1}, "C", False, 0, {"class_weight": "balanced"}),
    "softmax-unpenalised": ({"n_classes": 3, "n": 120, "seed": 2}, "C", False, 0, {"C": np.inf}),
    "softmax-wide": ({"n_classes": 3, "n": 30, "p": 40}, "csr", True, 0, {"C": 0.3}),
}


def build(name):
    """(X, y, sample_weight or None, fitted estimator) of a case."""
    arguments, storage, weighted, zeros, params = CASES[name]
    X, y = problem(**arguments)
    X = {
        "C": lambda: X,
        "F": lambda: np.asfortranarray(X),
        "csr": lambda: sp.csr_matrix(np.where(np.abs(X) > 0.4, X, 0.0)),
        "float32": lambda: X.astype(np.float32),
    }[storage]()
    w = weights(arguments.get("seed", 0), len(y), zeros) if weighted else None
    params = {"max_iter": 5000, **params}
    return X, y, w, InfluenceLogisticRegression(**params).fit(X, y, sample_weight=w)


def responses(seed=0, n=60, p=4, counts=False):
    """Rows and responses of a linear score: real, or counts of which some are 0."""
    rng = np.random.default_rng(seed)
    X = 0.6 * rng.normal(size=(n, p))
    score = X @ rng.normal(size=p) + 0.5
    if counts:
        return X, 1.0 * rng.poisson(np.exp(score))
    return X, score + 0.7 * rng.standard_t(4, size=n)


SMOOTH = {"temperature": 0.3}
# name: (model, whether its responses are counts, relative RMSE of a Newton step without weights)
REGRESSORS = {
    "least squares": (InfluenceLinearRegression(), False, 1e-10),
    "ridge": (InfluenceRidge(alpha=0.7), False, 1e-10),
    "kernel ridge": (InfluenceKernelRidge(alpha=0.5, kernel="rbf", gamma=0.3), False, 1e-10),
    "elastic net": (InfluenceElasticNet(alpha=0.02, l1_ratio=0.5), False, 0.3),
    "lasso": (InfluenceLasso(alpha=0.05), False, 0.3),
    "poisson": (InfluencePoissonRegressor(alpha=0.01), True, 0.06),
    "gamma": (InfluenceGammaRegressor(alpha=0.01), None, 0.06),
    "tweedie": (InfluenceTweedieRegressor(power=1.5, alpha=0.01), True, 0.06),
    "huber": (InfluenceHuberRegressor(alpha=0.1, max_iter=5000), False, 0.25),
    "quantile": (SmoothQuantileRegressor(quantile=0.4, alpha=0.0, **SMOOTH), False, 0.06),
    "sparse quantile": (SmoothQuantileRegressor(alpha=0.02, **SMOOTH), False, 0.3),
    "svr": (SmoothEpsilonSVR(**SMOOTH), False, 0.06),
    "kernel svr": (SmoothEpsilonSVR(kernel="rbf", gamma=0.3, **SMOOTH), False, 0.1),
}
# name: (data arguments, weighted, zero weights, fit_intercept, storage)
SETTINGS = {
    "plain": ({}, False, 0, True, "C"),
    "weights": ({}, True, 3, True, "F"),
    "no intercept": ({}, True, 0, False, "C"),
    "csr": ({}, True, 2, True, "csr"),
    "float32": ({}, False, 0, True, "float32"),
    "wide": ({"n": 30, "p": 40}, True, 2, True, "C"),
    "n just above p": ({"n": 14, "p": 9}, False, 0, True, "C"),
}


def build_regressor(name, setting):
    """(X, y, sample_weight or None, model fitted)."""
    model, counts, _ = REGRESSORS[name]
    arguments, weighted, zeros, fit_intercept, storage = SETTINGS[setting]
    X, y = responses(counts=counts is not False, **arguments)
    y = y + 0.5 if counts is None else y
    X = {
        "C": lambda: X,
        "F": lambda: np.asfortranarray(X),
        "csr": lambda: sp.csr_matrix(np.where(np.abs(X) > 0.3, X, 0.0)),
        "float32": lambda: X.astype(np.float32),
    }[storage]()
    w = weights(0, len(y), zeros) if weighted else None
    if "fit_intercept" in model.get_params():
        model = clone(model).set_params(fit_intercept=fit_intercept)
    return X, y, w, clone(model).fit(X, y, w)
