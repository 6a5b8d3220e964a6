"""Least squares of labels, an alpha for each response, and the alphas and Cs that were chosen."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import LeaveOneOut
from sklearn.utils.class_weight import compute_sample_weight

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluenceRidge,
    InfluenceRidgeClassifier,
)
from skinfluence.model_selection import LeaveOneOutSearchCV
from tests.cases import problem, weights

PLAIN = {"n_classes": 2, "n": 50, "p": 4}
# name: (problem arguments, storage, model parameters)
CASES = {
    "two": (PLAIN, np.asarray, {}),
    "three": ({"n_classes": 3, "n": 60}, np.asarray, {"alpha": 0.1}),
    "three-csr": ({"n_classes": 3, "n": 60}, sp.csr_array, {"fit_intercept": False}),
    "balanced": ({"n_classes": 3, "n": 60, "seed": 4}, np.asarray, {"class_weight": "balanced"}),
    "class-weight": (PLAIN, np.asarray, {"class_weight": {0: 0.3, 1: 2.0}}),
    "wide": ({"n_classes": 3, "n": 30, "p": 50}, np.asarray, {"alpha": 2.0}),
    "named": (PLAIN, np.asarray, {}),
}


def build(name, weighted):
    """(X, y, weights or None, model, refit without rows under the frozen class weights)."""
    arguments, storage, params = CASES[name]
    X, y = problem(**arguments)
    X, y = storage(X), np.array(["no", "yes"])[y] if name == "named" else y
    w = weights(0, len(y), zeros=3) if weighted else None
    model = InfluenceRidgeClassifier(**params).fit(X, y, w)
    row_weight = np.ones(len(y)) if w is None else w.copy()
    if "class_weight" in params:
        row_weight *= compute_sample_weight(params["class_weight"], y)
    original = RidgeClassifier(**{**params, "class_weight": None, "solver": "cholesky"})

    def without(row):
        keep = np.flatnonzero((np.arange(len(y)) != row) & (row_weight > 0))
        rows = X.toarray()[keep] if sp.issparse(X) else X[keep]
        return clone(original).fit(rows, y[keep], row_weight[keep])

    return X, y, w, model, without


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_deletion_is_a_refit(name, weighted):
    X, y, w, model, without = build(name, weighted)
    original = RidgeClassifier(**CASES[name][2]).fit(X, y, w)
    np.testing.assert_allclose(model.coef_, original.coef_, atol=1e-6)
    np.testing.assert_allclose(model.intercept_, original.intercept_, atol=1e-6)
    assert np.shape(model.intercept_) == np.shape(original.intercept_)
    change = model.influence(X, target="decision_function")
    loss = model.influence(X, y)
    left = model.loo_estimate()
    parameters = model.parameter_influence()
    assert set(left.method) == {"exact"}
    signs = np.where(y == model.classes_[1], 1.0, -1.0)
    if len(model.classes_) > 2:
        signs = np.where(y[:, None] == model.classes_, 1.0, -1.0)
    full = model.decision_function(X)
    for row in range(0, len(y), 7):
        refit = without(row)
        eta = refit.decision_function(X)
        np.testing.assert_allclose(change[:, row], eta - full, atol=1e-10)
        np.testing.assert_allclose(left.decision_function[row], eta[row], atol=1e-10)
        expected = ((signs - eta) ** 2 - (signs - full) ** 2).reshape(len(y), -1).sum(axis=1) / 2
        np.testing.assert_allclose(loss[:, row], expected, atol=1e-9)
        found = parameters.coef[row] + model.coef_
        np.testing.assert_allclose(found, refit.coef_, atol=1e-10)
    if weighted:
        assert (change[:, -3:] == 0).all()


def test_what_a_ridge_classifier_has_not():
    X, y = problem(**PLAIN)
    model = InfluenceRidgeClassifier().fit(X, y)
    with pytest.raises(ValueError, match="probability"):
        model.influence(X, y, target="probability")
    several = np.c_[y, 1 - y]
    both = InfluenceRidgeClassifier().fit(X, several)
    np.testing.assert_array_equal(both.predict(X), RidgeClassifier().fit(X, several).predict(X))
    with pytest.raises(NotImplementedError, match="several labels"):
        both.self_influence()
    bound = InfluenceRidgeClassifier(positive=True).fit(X, y)
    with pytest.raises(NotImplementedError, match="positive=True"):
        bound.self_influence()
    with pytest.raises(ValueError, match="Negative values in sample_weight"):
        InfluenceRidgeClassifier().fit(X, y, -np.ones(len(y)))


def test_search_follows_the_path():
    X, y = problem(n_classes=3, n=60)
    alphas = np.logspace(-2, 2, 5)
    search = LeaveOneOutSearchCV(
        InfluenceRidgeClassifier(), {"alpha": alphas}, scoring="accuracy"
    ).fit(X, y)
    for alpha, score in zip(alphas, search.cv_results_["mean_test_score"], strict=True):
        hits = [
            RidgeClassifier(alpha).fit(X[keep], y[keep]).predict(X[left])[0] == y[left][0]
            for keep, left in LeaveOneOut().split(X)
        ]
        assert score == pytest.approx(np.mean(hits), abs=1e-12)


def test_an_alpha_for_each_response():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    y = X @ rng.normal(size=(5, 3)) + rng.normal(size=(40, 3))
    w = weights(1, 40, zeros=2)
    alphas = np.array([0.1, 3.0, 50.0])
    chosen = RidgeCV(alphas=[0.1, 3.0, 50.0], alpha_per_target=True).fit(X, y, w)
    models = {
        "ours": (InfluenceRidge(alpha=alphas).fit(X, y, w), alphas),
        "chosen": (InfluenceExplainer(FrozenEstimator(chosen)).fit(X, y, w), chosen.alpha_),
    }
    for model, alpha in models.values():
        change = model.influence(X, target="prediction")
        half = model.group_influence([[1, 2, 3]], X, target="prediction")
        for dropped, found in (([4], change[:, 4]), ([11], change[:, 11]), ([1, 2, 3], half[:, 0])):
            keep = np.setdiff1d(np.arange(38), dropped)
            without = Ridge(alpha=alpha).fit(X[keep], y[keep], w[keep])
            np.testing.assert_allclose(found, without.predict(X) - model.predict(X), atol=1e-9)


@pytest.mark.parametrize("search", [RidgeCV, RidgeClassifierCV])
def test_the_alpha_that_was_chosen(search):
    X, y = problem(**PLAIN)
    model = InfluenceExplainer(search(alphas=[0.1, 1.0, 30.0])).fit(X, y)
    plain = {RidgeCV: Ridge, RidgeClassifierCV: RidgeClassifier}[search]
    target = "prediction" if search is RidgeCV else "decision_function"
    change = model.influence(X, target=target)
    read = "predict" if search is RidgeCV else "decision_function"
    for row in (0, 9, 33):
        without = plain(alpha=model.estimator_.alpha_).fit(np.delete(X, row, 0), np.delete(y, row))
        expected = getattr(without, read)(X) - getattr(model, read)(X)
        np.testing.assert_allclose(change[:, row], expected, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_C_that_was_chosen(n_classes):
    X, y = problem(n_classes=n_classes, n=70)
    new = sklearn.__version__ >= "1.8"
    tight = {"tol": 1e-10, "max_iter": 5000}
    options = {"l1_ratios": (0.0,), "use_legacy_attributes": False} if new else {}
    searched = LogisticRegressionCV(
        Cs=[0.05, 0.5, 5.0], cv=3, scoring="accuracy", **tight, **options
    )
    model = InfluenceExplainer(searched).fit(X, y)
    C = float(np.ravel(model.estimator_.C_)[0])
    same = InfluenceLogisticRegression(C=C, **tight).fit(X, y)
    np.testing.assert_allclose(
        model.influence(X, y, method="exact"), same.influence(X, y, method="exact"), atol=1e-8
    )
    without = LogisticRegression(C=C, tol=1e-13, max_iter=10_000, solver="newton-cholesky")
    without.fit(X[1:], y[1:])
    found = model.influence(X, target="decision_function", method="exact")[:, 0]
    expected = without.decision_function(X) - same.decision_function(X)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    averaged = InfluenceExplainer(clone(searched).set_params(refit=False)).fit(X, y)
    with pytest.raises(NotImplementedError, match="refit=True"):
        averaged.self_influence()


@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_stochastic_gradients_are_refused_with_the_reason(kind):
    X, y = problem(**PLAIN)
    with pytest.raises(TypeError, match=r"does not stop at an optimum.*Fit "):
        InfluenceExplainer(kind()).fit(X, y)


@pytest.mark.parametrize("weighted", [False, True])
def test_diagnostics_are_those_of_the_regression_of_signs(weighted):
    X, y = problem(**PLAIN)
    w = weights(0, len(y), zeros=2) if weighted else None
    found = InfluenceRidgeClassifier(alpha=0.5).fit(X, y, w)
    same = InfluenceRidge(alpha=0.5).fit(X, 2.0 * y - 1.0, w)
    one, two = (model.case_deletion_diagnostics() for model in (found, same))
    np.testing.assert_allclose(
        one.to_frame().astype(float), two.to_frame().astype(float), atol=1e-12
    )
    np.testing.assert_allclose(one.dfbetas, two.dfbetas, atol=1e-12)
    for kind in ("model", "HC3", "jackknife"):
        np.testing.assert_allclose(
            found.parameter_covariance(kind).matrix,
            same.parameter_covariance(kind).matrix,
            atol=1e-12,
        )
