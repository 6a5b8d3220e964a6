"""A model, its explanation and a Pipeline around it answer alike, or raise the same sentence."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
    explain,
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC

# With arguments that lead to a guard where the model has one: see the names of the data.
MODELS = [
    InfluenceLinearRegression(),
    InfluenceRidge(),
    InfluenceRidge(alpha=0.0),
    InfluenceRidgeClassifier(),
    InfluenceElasticNet(alpha=0.1),
    InfluenceLasso(alpha=100.0),
    InfluenceLogisticRegression(),
    InfluenceLogisticRegression(C=np.inf),
    InfluencePoissonRegressor(),
    InfluencePoissonRegressor(alpha=0.0),
    InfluenceGammaRegressor(),
    InfluenceTweedieRegressor(power=1.5),
    InfluenceTweedieRegressor(power=0.0, link="log"),
    InfluenceHuberRegressor(),
    InfluenceHuberRegressor(alpha=0.0),
    SmoothQuantileRegressor(alpha=0.1, temperature=1e-4),
    InfluenceKernelRidge(kernel="rbf"),
    KernelLogisticRegression(kernel="rbf"),
    SmoothHingeSVC(C=0.01, temperature=0.02),
    SmoothHingeSVC(C=0.01, temperature=0.02, kernel="rbf"),
    SmoothHingeSVC(C=0.01, loss="hinge"),
    SmoothHingeSVC(C=0.01, temperature=0.02, loss="hinge", kernel="rbf"),
    SmoothEpsilonSVR(C=0.01, temperature=1e-3, epsilon=3.0),
]


def questions(model, X, y):
    """Pairs of a question's name and its answer: an array, or the error."""
    asked = {
        **{
            f"influence, {method}": lambda method=method: model.influence(X, y, method=method)
            for method in ("first_order", "newton", "exact", "auto")
        },
        "groups": lambda: model.group_influence([[0, 1], range(len(y))], X, y),
        "loo": lambda: model.loo_estimate().loss,
        "loo, newton": lambda: model.loo_estimate(method="newton").decision_function,
        "coefficients": lambda: model.parameter_influence(method="newton").coef,
        "most influential": lambda: model.most_influential(X, y, k=2).harmful_values,
        "curvature": lambda: model.curvature().n_parameters,
    }
    for name, ask in asked.items():
        try:
            yield name, np.asarray(ask(), dtype=float)
        except Exception as error:
            yield name, error


def data(name, classifier):
    """Two blobs that are far apart, one row of leverage 1, or a single row."""
    rng = np.random.default_rng(0)
    if name == "one row":
        return np.ones((1, 2)), np.ones(1)
    X = np.r_[rng.normal(size=(10, 2)) + 3.0, rng.normal(size=(10, 2)) - 3.0]
    if name == "leverage 1":
        X = np.c_[X, np.arange(20) == 7].astype(float)
    y = np.repeat([1, 0], 10)
    return X, y if classifier else np.exp(0.3 * X[:, 0]) + 0.1 * y


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["blobs", "leverage 1", "one row"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_views_answer_alike(model, name):
    X, y = data(name, is_classifier(model))
    if name == "one row" and is_classifier(model):
        return  # fit refuses it
    fitted = clone(model).fit(X, y)
    pipe = make_pipeline(FunctionTransformer(), clone(model)).fit(X, y)
    expected = dict(questions(fitted, X, y))
    views = {
        "explain": explain(fitted),
        "explain, pipeline": explain(pipe),
        "explainer, pipeline": InfluenceExplainer(clone(pipe)).fit(X, y),
    }
    for view, asked in views.items():
        for question, found in questions(asked, X, y):
            wanted, told = expected[question], f"{view}: {question}"
            assert isinstance(found, Exception) == isinstance(wanted, Exception), (told, found)
            if isinstance(wanted, Exception):
                assert (type(found), str(found)) == (type(wanted), str(wanted)), told
            else:
                size = np.nan_to_num(np.abs(wanted)).max(initial=0.0)
                np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7 * size, err_msg=told)


def test_an_intercept_that_is_not_identified():
    X, y = data("blobs", classifier=True)
    model = SmoothHingeSVC(C=0.01, temperature=0.02, kernel="rbf").fit(X, y)
    assert not model.intercept_is_identified_.all()
    for asked in (model, explain(model), explain(make_pipeline(FunctionTransformer(), model))):
        with pytest.raises(np.linalg.LinAlgError, match="the intercept is not identified"):
            asked.influence(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe = make_pipeline(FunctionTransformer(), clone(model)).fit(X, y)
    with pytest.raises(np.linalg.LinAlgError, match="the intercept is not identified"):
        explain(pipe).loo_estimate()
