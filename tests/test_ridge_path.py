"""LeaveOneOutSearchCV over alphas: one decomposition, the numbers of every fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import skinfluence.model_selection._candidates as candidates
from skinfluence import InfluenceRidge
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.model_selection import (
    FullSample,
    LeaveOneOutSearchCV,
    approximate_cross_val_predict,
    loo_scorer,
    optimize_regularization,
)
from skinfluence.model_selection._ridge_path import RidgePath
from tests.cases import weights

ALPHAS = np.logspace(-3, 3, 7)


def data(n=40, p=4, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X @ rng.normal(size=(p, n_outputs)) + 1.0 + rng.normal(size=(n, n_outputs))
    return X, (y[:, 0] if n_outputs == 1 else y)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("storage", ["dense", "csr", "wide", "kernel"])
def test_path_is_every_fit(storage, weighted, n_outputs):
    X, y = data(p=60 if storage == "wide" else 4, n_outputs=n_outputs)
    X = sp.csr_array(X) if storage == "csr" else X
    w = weights(0, 40, zeros=3) if weighted else None
    model = InfluenceRidge()
    if storage == "kernel":
        model = InfluenceKernelRidge(kernel="rbf", gamma=0.2, fit_intercept=True)
    path = RidgePath(clone(model).fit(X, y, w).__fitted_problem__().objective)
    for alpha in ALPHAS:
        left = clone(model).set_params(alpha=alpha).fit(X, y, w).loo_estimate()
        found = path.left_out(alpha)
        expected = left.decision_function.reshape(40, -1)
        # Both lose digits as leverages come near 1, and say how many.
        stated = left.error_bound + found.error_bound
        assert stated.max() < 1e-6
        assert (np.abs(found.eta - expected).max(axis=1) <= stated).all()
        np.testing.assert_allclose(found.leverage, left.leverage, atol=1e-11)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_search_is_ridge_cv(fit_intercept):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), y / 100
    scoring = "neg_mean_squared_error"
    model = Ridge(fit_intercept=fit_intercept)
    search = LeaveOneOutSearchCV(model, {"alpha": ALPHAS}, scoring=scoring).fit(X, y)
    cv = RidgeCV(ALPHAS, fit_intercept=fit_intercept, store_cv_results=True).fit(X, y)
    errors = cv.cv_results_
    np.testing.assert_allclose(
        -search.cv_results_["mean_test_score"], errors.mean(axis=0), rtol=1e-12
    )
    assert search.best_params_["alpha"] == cv.alpha_
    spread = errors.std(axis=0, ddof=1) / np.sqrt(len(y))
    np.testing.assert_allclose(search.cv_results_["standard_error_test_score"], spread, rtol=1e-9)
    np.testing.assert_allclose(search.predict(X), cv.predict(X), atol=1e-10)


def test_one_fit_and_one_decomposition(monkeypatch):
    made = []

    class Counted(RidgePath):
        def __init__(self, objective):
            made.append(objective)
            super().__init__(objective)

    monkeypatch.setattr(candidates, "RidgePath", Counted)
    X, y = data()
    pipe = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
    grid = {"kernelridge__alpha": ALPHAS, "kernelridge__gamma": [0.05, 0.2]}
    search = LeaveOneOutSearchCV(pipe, grid, scoring="r2").fit(X, y)
    assert len(made) == 2
    Z = StandardScaler().fit_transform(X)
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        other = KernelRidge(
            kernel="rbf", alpha=params["kernelridge__alpha"], gamma=params["kernelridge__gamma"]
        )
        predicted = cross_val_predict(other, Z, y, cv=LeaveOneOut())
        expected = 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        assert score == pytest.approx(expected, abs=1e-9)


def test_other_searches():
    X, y = data()
    search = GridSearchCV(
        InfluenceRidge(), {"alpha": ALPHAS}, cv=FullSample(), scoring=loo_scorer("r2")
    ).fit(X, y)
    own = LeaveOneOutSearchCV(InfluenceRidge(), {"alpha": ALPHAS}).fit(X, y)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], own.cv_results_["mean_test_score"], atol=1e-12
    )
    found = approximate_cross_val_predict(InfluenceRidge(alpha=0.3), X, y)
    expected = cross_val_predict(Ridge(alpha=0.3), X, y)
    np.testing.assert_allclose(found.prediction, expected, atol=1e-11)
    with pytest.raises((NotImplementedError, TypeError, ValueError), match="C"):
        optimize_regularization(InfluenceRidge(), X, y)
