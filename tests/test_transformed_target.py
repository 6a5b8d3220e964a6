"""TransformedTargetRegressor: its transformer is held, and targets are in the units of y."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    PoissonRegressor,
    Ridge,
)
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, StandardScaler

from skinfluence import InfluenceExplainer, InfluenceRidge, explain
from skinfluence.model_selection import LeaveOneOutSearchCV, loo_scorer
from tests.cases import weights

FIRST = {"method": "first_order"}
LOG = {"func": np.log, "inverse_func": np.exp}


def data(n=50, p=3, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = np.exp(0.5 * X @ rng.normal(size=(p, n_outputs)) + 0.3 * rng.normal(size=(n, n_outputs)))
    return X, (y[:, 0] if n_outputs == 1 else y)


# name: (model, name of the weights in its fit, number of responses)
MODELS = {
    "log": (TransformedTargetRegressor(Ridge(0.5), **LOG), "sample_weight", 1),
    "default": (TransformedTargetRegressor(**LOG), "sample_weight", 1),
    "power": (
        TransformedTargetRegressor(Ridge(0.5), transformer=PowerTransformer()),
        "sample_weight",
        1,
    ),
    "two responses": (
        TransformedTargetRegressor(Ridge(0.5), transformer=StandardScaler()),
        "sample_weight",
        2,
    ),
    "pipeline inside": (
        TransformedTargetRegressor(make_pipeline(StandardScaler(), Lasso(0.01, tol=1e-13)), **LOG),
        "lasso__sample_weight",
        1,
    ),
    "pipeline outside": (
        make_pipeline(StandardScaler(), TransformedTargetRegressor(Ridge(0.5), **LOG)),
        "transformedtargetregressor__sample_weight",
        1,
    ),
    "nested": (
        TransformedTargetRegressor(
            TransformedTargetRegressor(Ridge(0.5), transformer=StandardScaler()), **LOG
        ),
        "sample_weight",
        1,
    ),
}


def error(y, f):
    """Absolute error."""
    return np.abs(y - f)


def held(model, X, y):
    """(Rows as the last step sees them, responses as it does, way back, clone of the last step)."""
    back = []
    while not isinstance(model, Ridge | Lasso | LinearRegression):
        if isinstance(model, TransformedTargetRegressor):
            y2 = y if y.ndim == 2 else y[:, None]
            y = model.transformer_.transform(y2).reshape(y.shape)
            back.append(model.transformer_)
            model = model.regressor_
        else:
            for _, step in model.steps[:-1]:
                X = step.transform(X)
            model = model.steps[-1][1]

    def inverse(values):
        for transformer in reversed(back):
            flat = values.reshape(len(values), -1)
            values = transformer.inverse_transform(flat).reshape(values.shape)
        return values

    return X, y, inverse, clone(model)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_target_against_refits(name, weighted):
    model, weight_name, n_outputs = MODELS[name]
    X, y = data(n_outputs=n_outputs)
    w = weights(0, len(y), zeros=2) if weighted else None
    explainer = InfluenceExplainer(model).fit(X, y, w)
    fitted = clone(model).fit(X, y, **({weight_name: w} if weighted else {}))
    before = fitted.predict(X)
    np.testing.assert_array_equal(explainer.predict(X), before)
    prediction = explainer.influence(X, target="prediction", method="exact")
    squared = explainer.influence(X, y, target="squared_error", method="exact")
    residual = explainer.influence(X, y, target="residual", method="exact")
    loss = explainer.influence(X, y, method="exact")
    score = explainer.score_influence(X, y, method="exact")
    left = explainer.loo_estimate(method="exact")
    rows, inner, inverse, last = held(fitted, X, y)
    for row in range(0, len(y), 7):
        keep = np.delete(np.arange(len(y)), row)
        keep = keep if w is None else keep[w[keep] > 0]
        without = clone(last).fit(rows[keep], inner[keep], None if w is None else w[keep])
        after = inverse(without.predict(rows))
        np.testing.assert_allclose(prediction[:, row], after - before, atol=1e-7)
        np.testing.assert_allclose(residual[:, row], before - after, atol=1e-7)
        np.testing.assert_allclose(left.prediction[row], after[row], atol=1e-7)
        change = ((y - after) ** 2 - (y - before) ** 2).reshape(len(y), -1).mean(axis=1)
        np.testing.assert_allclose(squared[:, row], change, atol=1e-7)
        change = r2_score(y, after) - r2_score(y, before)
        assert score[row] == pytest.approx(change, abs=1e-7)
        full = clone(last).fit(rows, inner, w)
        change = (inner - without.predict(rows)) ** 2 - (inner - full.predict(rows)) ** 2
        expected = change.reshape(len(y), -1).sum(axis=1) / 2
        np.testing.assert_allclose(loss[:, row], expected, atol=1e-7)
        if name == "log":  # a callable has both in the units of the responses
            found = np.abs(y - np.exp(without.predict(rows)))
            found -= np.abs(y - np.exp(full.predict(rows)))
            own = explainer.influence(X, y, target=error, method="exact", train_indices=[row])
            np.testing.assert_allclose(own[:, 0], found, atol=1e-7)
    expected = r2_score(y, left.prediction, sample_weight=w)
    assert left.score == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ["log", "power", "two responses", "nested"])
def test_first_order_is_a_derivative(name):
    model, _, n_outputs = MODELS[name]
    X, y = data(n_outputs=n_outputs)
    explainer = InfluenceExplainer(model).fit(X, y)
    fitted = clone(model).fit(X, y)
    rows, inner, inverse, last = held(fitted, X, y)
    step = 1e-5
    for target in ("prediction", "squared_error"):
        found = explainer.influence(X, y, target=target, method="first_order")
        for row in (0, 11, 30):
            moved = []
            for sign in (1.0, -1.0):
                w = np.ones(len(y))
                w[row] -= sign * step
                value = inverse(clone(last).fit(rows, inner, w).predict(rows))
                if target == "squared_error":
                    value = ((y - value) ** 2).reshape(len(y), -1).mean(axis=1)
                moved.append(value)
            derivative = (moved[0] - moved[1]) / (2 * step)
            np.testing.assert_allclose(found[:, row], derivative, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_first_order_in_any_units(scale):
    """The step of the difference is one of the transformed responses, however small these are."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(25, 3))
    y = np.exp(0.05 * X @ [1, 2, -1] + 0.02 * rng.normal(size=25))
    model = TransformedTargetRegressor(
        LinearRegression(), func=np.reciprocal, inverse_func=np.reciprocal
    )
    found, plain = (
        InfluenceExplainer(model).fit(X, units * y).influence(X, target="prediction", **FIRST)
        for units in (scale, 1.0)
    )
    np.testing.assert_allclose(found / scale, plain, atol=1e-7 * np.abs(plain).max())


def test_fitted_models_and_searches():
    X, y = data()
    model = TransformedTargetRegressor(Ridge(0.5), **LOG)
    expected = InfluenceExplainer(model).fit(X, y).influence(X, y, target="absolute_error")
    frozen = InfluenceExplainer(FrozenEstimator(clone(model).fit(X, y))).fit(X, y)
    np.testing.assert_allclose(
        frozen.influence(X, y, target="absolute_error"), expected, atol=1e-12
    )
    ours = explain(TransformedTargetRegressor(InfluenceRidge(0.5), **LOG).fit(X, y))
    np.testing.assert_allclose(ours.influence(X, y, target="absolute_error"), expected, atol=1e-12)
    search = GridSearchCV(model, {"regressor__alpha": [0.1, 0.5]}, cv=3)
    searched = InfluenceExplainer(search).fit(X, y)
    chosen = searched.estimator_.best_params_["regressor__alpha"]
    plain = InfluenceExplainer(clone(model).set_params(regressor__alpha=chosen)).fit(X, y)
    np.testing.assert_allclose(searched.influence(X, y), plain.influence(X, y), atol=1e-12)
    frame = pd.DataFrame(X, columns=list("abc"))
    framed = InfluenceExplainer(model).fit(frame, pd.Series(y))
    np.testing.assert_allclose(framed.influence(frame, pd.Series(y)), plain_of(model, X, y))


def plain_of(model, X, y):
    """Influence on the loss."""
    return InfluenceExplainer(model).fit(X, y).influence(X, y)


@pytest.mark.parametrize("method", ["jackknife+", "jackknife", "jackknife-minmax"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_intervals_in_the_units_of_the_responses(method, n_outputs):
    X, y = data(n=60, n_outputs=n_outputs)
    model = TransformedTargetRegressor(Ridge(0.5), transformer=PowerTransformer())
    explainer = InfluenceExplainer(model).fit(X, y)
    found = explainer.prediction_interval(X[:5], alpha=0.2, method=method)
    rows, inner, inverse, last = held(clone(model).fit(X, y), X, y)
    refits = [clone(last).fit(np.delete(rows, i, 0), np.delete(inner, i, 0)) for i in range(60)]
    left = np.array([inverse(m.predict(rows[[i]]))[0] for i, m in enumerate(refits)])
    residual = np.abs(y - left).reshape(60, -1)
    moved = np.array([inverse(m.predict(rows[:5])) for m in refits]).reshape(60, 5, -1)
    k = int(np.ceil(0.8 * 61)) - 1
    if method == "jackknife+":
        low = -np.sort(-(moved - residual[:, None]), axis=0)[k]
        high = np.sort(moved + residual[:, None], axis=0)[k]
    else:
        width = np.sort(residual, axis=0)[k]
        middle = clone(model).fit(X, y).predict(X[:5]).reshape(5, -1)
        low, high = middle - width, middle + width
        if method == "jackknife-minmax":
            low, high = moved.min(axis=0) - width, moved.max(axis=0) + width
    expected = np.stack([low, high], axis=1)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-8)


def test_leave_one_out_search():
    X, y = data()
    model = TransformedTargetRegressor(InfluenceRidge(), **LOG)
    grid = {"regressor__alpha": [0.1, 1.0, 10.0]}
    search = LeaveOneOutSearchCV(model, grid, scoring="neg_mean_squared_error").fit(X, y)
    rows, inner, _, _ = held(clone(MODELS["log"][0]).fit(X, y), X, y)
    for alpha, score in zip(
        grid["regressor__alpha"], search.cv_results_["mean_test_score"], strict=True
    ):
        left = cross_val_predict(Ridge(alpha), rows, inner, cv=LeaveOneOut())
        assert score == pytest.approx(-np.mean((y - np.exp(left)) ** 2), abs=1e-9)


def test_leave_one_out_scorer():
    X, y = data()
    model = TransformedTargetRegressor(InfluenceRidge(0.5), **LOG).fit(X, y)
    score = loo_scorer("r2")(model, X, y)
    assert score == explain(model).loo_estimate(scoring="r2").score
    with pytest.raises(ValueError, match="not the 50 training rows"):
        loo_scorer("r2")(model, X, y + 1.0)


def test_what_is_refused():
    X, y = data(n_outputs=2)
    wider = TransformedTargetRegressor(
        Ridge(), func=lambda y: np.c_[y, y], inverse_func=lambda y: y[:, :2]
    )
    with pytest.raises(NotImplementedError, match="y has 2 columns, 4 after the transformation"):
        InfluenceExplainer(wider).fit(X, y)
    model = TransformedTargetRegressor(Ridge(), transformer=QuantileTransformer(n_quantiles=20))
    explainer = InfluenceExplainer(model).fit(X, y)
    assert np.isfinite(explainer.influence(X, y, target="squared_error")).all()
    with pytest.raises(ValueError, match="y_test has 1 output"):
        explainer.influence(X, y[:, 0])


def smooth_error(y, prediction):
    """A built-in target as a function: of several responses their mean."""
    error = (np.asarray(y) - prediction) ** 2
    return error if error.ndim == 1 else error.mean(axis=1)


OWN_TARGETS = {
    "log": MODELS["log"][0],
    "two responses": MODELS["two responses"][0],
    "poisson": PoissonRegressor(alpha=0.1),
    "gamma": GammaRegressor(alpha=0.1),
    "huber": HuberRegressor(alpha=0.1),
    "ridge": Ridge(),
}


@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
@pytest.mark.parametrize("name", OWN_TARGETS)
def test_a_function_of_labels_sees_what_predict_returns(name, method):
    """In the units of the responses, whatever the link and the transformer."""
    X, y = data(n_outputs=2 if name == "two responses" else 1)
    model = InfluenceExplainer(OWN_TARGETS[name]).fit(X, y)
    seen = []

    def own(labels, prediction):
        seen.append((labels, prediction))
        return smooth_error(labels, prediction)

    found = model.influence(X[:4], y[:4], target=own, method=method)
    expected = model.influence(X[:4], y[:4], target="squared_error", method=method)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8 * size)
    near = [prediction for _, prediction in seen if prediction.shape == y[:4].shape]
    before = model.predict(X[:4])
    assert min(np.abs(each - before).max() for each in near) < 1e-3 * np.abs(before).max()
    for labels, _ in seen:
        np.testing.assert_allclose(labels, y[:4])
