"""LeaveOneOutSearchCV over alphas: one decomposition, the numbers of every fit."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import skinfluence.model_selection._candidates as candidates
from skinfluence import InfluenceRidge, InfluenceRidgeClassifier
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


@pytest.mark.parametrize("scale_y", [1.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_r2_is_scikit_learns_and_its_error_that_of_refitted_groups(scale_y, weighted):
    X, y = data()
    y, weight = scale_y * (y + 3.0), weights(0, 40, zeros=3) if weighted else None
    search = LeaveOneOutSearchCV(InfluenceRidge(), {"alpha": ALPHAS}).fit(X, y, weight)
    share = np.ones(40) if weight is None else weight
    for alpha, score, error in zip(
        ALPHAS,
        search.cv_results_["mean_test_score"],
        search.cv_results_["standard_error_test_score"],
        strict=True,
    ):
        model = InfluenceRidge(alpha=alpha).fit(X, y, weight)
        predicted, live = model.loo_estimate().decision_function, np.flatnonzero(share)
        order = live[np.argsort(y[live], kind="stable")]
        n_groups = min(32, len(live))
        without = []
        for group in range(n_groups):
            kept = np.delete(order, np.arange(group, len(order), n_groups))
            without.append(r2_score(y[kept], predicted[kept], sample_weight=share[kept]))
        expected = r2_score(y[live], predicted[live], sample_weight=share[live])
        assert score == pytest.approx(expected, abs=1e-10)
        spread = np.sqrt((n_groups - 1) * np.var(without))
        assert error == pytest.approx(spread, rel=1e-8)


@pytest.mark.parametrize("model", [InfluenceRidge(), InfluenceRidgeClassifier()])
def test_the_best_of_a_path_is_its_own_fit(model):
    X, y = data(n=60)
    y = np.digitize(y, [0.0, 2.0]) if hasattr(model, "decision_function") else y
    weight = weights(1, 60)
    search = LeaveOneOutSearchCV(model, {"alpha": ALPHAS}).fit(X, y, weight)
    best, alone = search.best_estimator_, clone(model).set_params(**search.best_params_)
    alone.fit(X, y, weight)
    assert best.get_params() == alone.get_params()
    assert vars(best).keys() == vars(alone).keys()
    np.testing.assert_allclose(best.coef_, alone.coef_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(best.intercept_, alone.intercept_, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(best.n_iter_, alone.n_iter_)
    np.testing.assert_allclose(
        best.influence(X[:5], y[:5]), alone.influence(X[:5], y[:5]), atol=1e-10
    )
    y[3] += 1
    with pytest.raises(RuntimeError, match="changed"):
        best.influence(X[:5], y[:5])


def test_a_subclass_is_fitted_again():
    class Noting(InfluenceRidge):
        def fit(self, X, y, sample_weight=None):
            self.fitted_alpha_ = self.alpha
            return super().fit(X, y, sample_weight)

    X, y = data()
    search = LeaveOneOutSearchCV(Noting(), {"alpha": ALPHAS}).fit(X, y)
    assert search.best_estimator_.fitted_alpha_ == search.best_params_["alpha"]


def test_r2_of_constant_responses_is_that_of_the_metric():
    X, _ = data()
    search = LeaveOneOutSearchCV(InfluenceRidge(), {"alpha": [1.0]}).fit(X, np.full(40, 2.0))
    assert search.best_score_ in (0.0, 1.0)


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error", "neg_max_error"])
def test_candidates_together_score_as_each_alone(scoring, monkeypatch):
    X, y = data(n=60)
    X[7] = 0.0, 0.0, 0.0, 2.5e6  # alone in its direction: undefined at the weakest penalties
    grid = {"alpha": [*ALPHAS, 0.0], "fit_intercept": [True, False]}
    columns = [f"{what}_test_score" for what in ("mean", "standard_error", "rank")]
    columns += ["effective_parameters", "n_undefined"]
    weight, tables = weights(2, 60, zeros=3), []
    for size in (candidates.TOGETHER_BYTES, 3 * 8 * 60, 1):  # in one block, three by three, alone
        monkeypatch.setattr(candidates, "TOGETHER_BYTES", size)
        search = LeaveOneOutSearchCV(InfluenceRidge(), grid, scoring=scoring)
        with pytest.warns(RuntimeWarning, match="row 7"):
            tables.append(search.fit(X, y, weight).cv_results_)
    assert 0 < np.count_nonzero(tables[0]["n_undefined"]) < len(tables[0]["n_undefined"])
    for column in columns:
        for other in tables[1:]:
            np.testing.assert_array_equal(tables[0][column], other[column])
