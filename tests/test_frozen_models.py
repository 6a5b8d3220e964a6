"""Fitted models given with the wrong rows, labels or weights, and ones that had not converged."""

import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression
from skinfluence.svm import SmoothHingeSVC

CLASSIFIERS = [
    LogisticRegression(max_iter=1000),
    LogisticRegression(solver="liblinear"),
    InfluenceLogisticRegression(),
    RidgeClassifier(),
    LinearSVC(),
    LinearSVC(loss="hinge", max_iter=100_000),
    SVC(),
    SVC(kernel="linear"),
    SmoothHingeSVC(),
]
REGRESSORS = [
    Ridge(),
    Lasso(0.1),
    HuberRegressor(max_iter=1000),
    PoissonRegressor(max_iter=1000),
    GammaRegressor(max_iter=1000),
    TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
]


def pipeline(model):
    return make_pipeline(StandardScaler(), model)


def data(classifies):
    X, y = (load_breast_cancer if classifies else load_diabetes)(return_X_y=True)
    return X[:240, :8], y[:240]


@pytest.mark.parametrize("model", CLASSIFIERS + REGRESSORS, ids=str)
def test_the_rows_of_the_fit_pass_and_others_do_not(model):
    X, y = data(model in CLASSIFIERS)
    fitted = pipeline(model).fit(X, y)
    explainer = InfluenceExplainer(FrozenEstimator(fitted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert explainer.fit(X, y).influence(X[:2], y[:2]).shape == (2, 240)
    message = "is not the optimum of its objective on these data.*Pass the rows, labels and weights"
    rolled = np.roll(y, 7)
    with pytest.raises(ValueError, match=message):
        explainer.fit(X, rolled)
    explainer.set_params(allow_far_from_optimum=True)
    with pytest.warns(ConvergenceWarning, match="far from the optimum"):
        explainer.fit(X, rolled)
    assert np.isfinite(explainer.self_influence(method="newton")).all()


def test_a_few_wrong_labels_other_rows_and_other_weights():
    X, y = load_iris(return_X_y=True)
    fitted = FrozenEstimator(LogisticRegression(max_iter=1000).fit(X, y))
    wrong = y.copy()
    wrong[::15] = (wrong[::15] + 1) % 3
    with pytest.raises(ValueError, match=r"of 150 rows get another label|off in the mean"):
        InfluenceExplainer(fitted).fit(X, wrong)
    with pytest.raises(ValueError, match="not the optimum"):
        InfluenceExplainer(fitted).fit(X + np.array([1.0, 0, 0, 0]), y)
    with pytest.raises(ValueError, match="not the optimum"):
        InfluenceExplainer(fitted).fit(X, y, sample_weight=np.where(y == 1, 5.0, 1.0))
    X, y = load_diabetes(return_X_y=True)
    fitted = FrozenEstimator(Ridge().fit(X[:200], y[:200]))
    with pytest.raises(ValueError, match=r"responses are 0\..* of their spread off"):
        InfluenceExplainer(fitted).fit(X[200:], y[200:])


def test_a_model_of_constant_predictions_is_measured_by_its_responses():
    X, y = load_diabetes(return_X_y=True)
    nothing = Lasso(alpha=1e4).fit(X, y)
    assert not nothing.coef_.any()
    explainer = InfluenceExplainer(FrozenEstimator(nothing)).fit(X, y)
    assert np.isfinite(explainer.influence(X[:1], y[:1])).all()


def test_fits_that_had_not_converged_may_be_allowed():
    X, y = load_breast_cancer(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough = LogisticRegression(max_iter=20).fit(X, y)
    with pytest.raises(ValueError, match="larger max_iter, or pass allow_far_from_optimum=True"):
        InfluenceExplainer(FrozenEstimator(rough)).fit(X, y)
    allowed = InfluenceExplainer(FrozenEstimator(rough), allow_far_from_optimum=True)
    with pytest.warns(ConvergenceWarning, match="far from the optimum"):
        allowed.fit(X, y)
    own = InfluenceLogisticRegression(max_iter=10_000).fit(X, y)
    # By one step: the last row that the budget of "auto" refines may be another one of the two.
    expected = own.influence(X[:3], y[:3], method="newton")
    found = allowed.influence(X[:3], y[:3], method="newton")
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
