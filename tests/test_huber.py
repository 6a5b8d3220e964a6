"""Huber regression: its optimum in coefficients and scale, and every deletion against refits."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import HuberRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceExplainer, InfluenceHuberRegressor, explain
from skinfluence.evaluation import agreement
from skinfluence.losses import HuberLoss
from tests.cases import weights


def data(n=60, p=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X @ rng.normal(size=p) + 1.0 + 0.5 * rng.normal(size=n)
    y[:6] += rng.choice([-1.0, 1.0], size=6) * 6.0
    return X, y


# name: (data arguments, weighted, parameters)
CASES = {
    "default": ({}, False, {}),
    "weights": ({}, True, {"alpha": 1.0, "epsilon": 1.1}),
    "unpenalised": ({}, True, {"alpha": 0.0, "epsilon": 2.0}),
    "no intercept": ({}, False, {"fit_intercept": False, "alpha": 0.1}),
    "wide": ({"n": 30, "p": 45}, True, {"alpha": 30.0}),
}


def objective(model, X, y, w, theta):
    """As scikit-learn writes it, at (w, b, log sigma)."""
    sigma = np.exp(theta[-1])
    z = np.abs(y - X @ theta[:-2] - model.fit_intercept * theta[-2]) / sigma
    e = model.epsilon
    H = np.where(z < e, z**2, 2 * e * z - e**2)
    return w @ (sigma + sigma * H) + model.alpha * theta[:-2] @ theta[:-2]


def slow_fit(model, X, y, w, start):
    """(w, b, sigma) of the optimum: BFGS, then Newton's method by differences of the gradient."""

    def gradient(theta):
        sigma = np.exp(theta[-1])
        z = (y - X @ theta[:-2] - model.fit_intercept * theta[-2]) / sigma
        c = np.clip(z, -model.epsilon, model.epsilon)
        slope = -2 * w * c
        g = X.T @ slope + 2 * model.alpha * theta[:-2]
        return np.r_[g, model.fit_intercept * slope.sum(), sigma * (w * (1 - c**2)).sum()]

    def fun(theta):
        return objective(model, X, y, w, theta)

    options = {"gtol": 1e-9, "maxiter": 10_000}
    theta = minimize(fun, start, jac=gradient, method="BFGS", options=options).x
    free = np.arange(len(theta)) if model.fit_intercept else np.delete(np.arange(len(theta)), -2)
    for _ in range(20):
        h = 1e-7
        H = np.array(
            [
                (gradient(theta + h * e) - gradient(theta - h * e)) / (2 * h)
                for e in np.eye(len(theta))
            ]
        )
        step = np.zeros(len(theta))
        step[free] = np.linalg.solve(H[np.ix_(free, free)], -gradient(theta)[free])
        theta = theta + step
        if np.abs(step).max() < 1e-13:
            break
    assert np.abs(gradient(theta)[free]).max() < 1e-9 * w.sum()
    return np.r_[theta[:-1], np.exp(theta[-1])]


def build(name):
    arguments, weighted, params = CASES[name]
    X, y = data(**arguments)
    w = weights(0, len(y), zeros=2) if weighted else None
    return X, y, w, InfluenceHuberRegressor(max_iter=2000, **params).fit(X, y, w)


def slow_refit(model, X, y, w, rows):
    """The same without rows."""
    w = np.ones(len(y)) if w is None else w.copy()
    w[rows] = 0.0
    start = np.r_[model.coef_, model.intercept_, np.log(model.scale_)]
    return slow_fit(model, X, y, w, start)


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_the_optimum(name):
    X, y, w, model = build(name)
    theta = slow_refit(model, X, y, w, [])
    np.testing.assert_allclose(model.coef_, theta[:-2], atol=1e-8)
    assert model.intercept_ == pytest.approx(theta[-2], abs=1e-8)
    assert model.scale_ == pytest.approx(theta[-1], abs=1e-8)
    original = HuberRegressor(max_iter=2000, **CASES[name][2]).fit(X, y, w)
    np.testing.assert_allclose(model.coef_, original.coef_, atol=1e-2)
    residual = np.abs(y - model.predict(X))
    np.testing.assert_array_equal(model.outliers_, residual > model.epsilon * model.scale_)
    assert type(model.intercept_) is type(original.intercept_)


@pytest.mark.parametrize("name", CASES)
def test_every_deletion_is_a_refit(name):
    X, y, w, model = build(name)
    change = model.influence(X, target="prediction", method="exact")
    absolute = model.influence(X, y, target="absolute_error", method="exact")
    loss = model.influence(X, y, method="exact")
    left = model.loo_estimate(method="exact")
    parameters = model.parameter_influence(method="exact")
    full = model.predict(X)

    def huber(f, sigma):
        z, e = np.abs(y - f) / sigma, model.epsilon
        return sigma + sigma * np.where(z < e, z**2, 2 * e * z - e**2)

    for row in range(0, len(y), 3):
        theta = slow_refit(model, X, y, w, [row])
        after = X @ theta[:-2] + theta[-2]
        np.testing.assert_allclose(change[:, row], after - full, atol=1e-7)
        np.testing.assert_allclose(absolute[:, row], abs(y - after) - abs(y - full), atol=1e-7)
        expected = huber(after, theta[-1]) - huber(full, model.scale_)
        np.testing.assert_allclose(loss[:, row], expected, atol=2e-7)
        np.testing.assert_allclose(left.prediction[row], after[row], atol=1e-7)
        np.testing.assert_allclose(left.decision_function[row], [after[row], theta[-1]], atol=1e-7)
        np.testing.assert_allclose(parameters.coef[row] + model.coef_, theta[:-2], atol=1e-7)
        assert parameters.intercept[row] + model.intercept_ == pytest.approx(theta[-2], abs=1e-7)
    if w is not None:
        assert (change[:, -2:] == 0).all()
    group = model.group_influence([[0, 1, 2]], X, target="prediction", method="exact")[:, 0]
    theta = slow_refit(model, X, y, w, [0, 1, 2])
    np.testing.assert_allclose(group, X @ theta[:-2] + theta[-2] - full, atol=1e-7)


def test_one_step_by_slope_and_error():
    X, y = data(n=200)
    model = InfluenceHuberRegressor(max_iter=2000).fit(X, y)
    actual = model.influence(X, target="prediction", method="exact")
    found = agreement(model.influence(X, target="prediction", method="newton").T, actual.T)
    assert abs(found.slope - 1) < 0.03
    assert found.relative_rmse < 0.1
    first = agreement(model.influence(X, target="prediction", method="first_order").T, actual.T)
    assert found.relative_rmse < first.relative_rmse
    # An outlier has no leverage, and its pull is bounded.
    left = model.loo_estimate(method="newton")
    assert (left.leverage[model.outliers_] == 0).all()
    assert left.leverage.sum() == pytest.approx(5.0)  # 3 coefficients, the intercept, the scale


@pytest.mark.parametrize("target", ["prediction", "residual", "squared_error", "loss"])
def test_first_order_is_a_derivative(target):
    X, y = data()
    model = InfluenceHuberRegressor(alpha=0.5, max_iter=2000).fit(X, y)
    found = model.influence(X[:6], y[:6], target=target, method="first_order")
    step = 1e-5
    for row in (0, 3, 11):
        moved = []
        for sign in (1.0, -1.0):
            w = np.ones(len(y))
            w[row] -= sign * step
            other = InfluenceHuberRegressor(alpha=0.5, max_iter=2000).fit(X, y, w)
            f = other.predict(X[:6])
            z = np.abs(y[:6] - f) / other.scale_
            e = other.epsilon
            moved.append(
                {
                    "prediction": f,
                    "residual": y[:6] - f,
                    "squared_error": (y[:6] - f) ** 2,
                    "loss": other.scale_ * (1 + np.where(z < e, z**2, 2 * e * z - e**2)),
                }[target]
            )
        derivative = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(found[:, row], derivative, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["HC0", "infinitesimal_jackknife", "jackknife"])
def test_covariance_of_coefficients_and_scale(kind):
    X, y = data()
    model = InfluenceHuberRegressor(alpha=0.0, max_iter=2000).fit(X, y)
    found = model.parameter_covariance(kind)
    assert found.names == ("const", "x0", "x1", "x2", "scale")
    np.testing.assert_allclose(
        found.estimate, np.r_[model.intercept_, model.coef_, model.scale_], atol=1e-14
    )
    order = [3, 0, 1, 2, 4]
    if kind == "jackknife":
        left = np.array([slow_refit(model, X, y, None, [i])[order] for i in range(len(y))])
        centred = left - left.mean(axis=0)
        expected = (len(y) - 1) / len(y) * centred.T @ centred
        np.testing.assert_allclose(found.matrix, expected, rtol=1e-5, atol=1e-9)
        return
    step, moved = 1e-5, []
    theta = np.r_[model.coef_, model.intercept_, np.log(model.scale_)]
    for row in range(len(y)):
        w = np.ones(len(y))
        w[row] += step
        above = slow_fit(model, X, y, w, theta)
        w[row] -= 2 * step
        moved.append((above - slow_fit(model, X, y, w, theta))[order] / (2 * step))
    expected = np.array(moved).T @ np.array(moved)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-3, atol=1e-8)


def test_adapters():
    X, y = data()
    ours = InfluenceHuberRegressor(max_iter=2000).fit(X, y)
    expected = ours.influence(X, y)
    for explainer in (
        InfluenceExplainer(HuberRegressor(max_iter=2000)).fit(X, y),
        InfluenceExplainer(FrozenEstimator(HuberRegressor(max_iter=2000).fit(X, y))).fit(X, y),
    ):
        np.testing.assert_allclose(explainer.influence(X, y), expected, atol=1e-8)
    pipe = make_pipeline(StandardScaler(), HuberRegressor(alpha=0.0, max_iter=2000))
    plain = InfluenceHuberRegressor(alpha=0.0, max_iter=2000).fit(X, y)
    found = InfluenceExplainer(pipe).fit(X, y).influence(X, y, method="exact")
    np.testing.assert_allclose(found, plain.influence(X, y, method="exact"), atol=1e-7)


def test_intervals_and_scores():
    X, y = data()
    model = InfluenceHuberRegressor(max_iter=2000).fit(X, y)
    interval = model.prediction_interval(X[:5], alpha=0.2)
    left, moved = [], []
    for row in range(len(y)):
        theta = slow_refit(model, X, y, None, [row])
        left.append(abs(y[row] - X[row] @ theta[:-2] - theta[-2]))
        moved.append(X[:5] @ theta[:-2] + theta[-2])
    left, moved = np.array(left)[:, None], np.array(moved)
    k = int(np.ceil(0.8 * 61)) - 1
    low, high = -np.sort(left - moved, axis=0)[k], np.sort(moved + left, axis=0)[k]
    np.testing.assert_allclose(interval, np.c_[low, high], atol=1e-6)
    score = model.score_influence(X, y, method="exact")
    theta = slow_refit(model, X, y, None, [2])
    after = 1 - ((y - X @ theta[:-2] - theta[-2]) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert score[2] == pytest.approx(after - model.score(X, y), abs=1e-7)


@pytest.mark.parametrize("storage", ["csr", "float32", "frame", "read-only", "F"])
def test_storages(storage):
    X, y = data()
    X = np.where(np.abs(X) > 0.3, X, 0.0)
    model = InfluenceHuberRegressor(max_iter=2000)
    expected = clone(model).fit(X, y).influence(X[:5], y[:5])
    make = {
        "csr": sp.csr_matrix,
        "float32": lambda X: X.astype(np.float32),
        "frame": lambda X: pd.DataFrame(X, columns=list("abc")),
        "read-only": lambda X: np.lib.stride_tricks.as_strided(X, writeable=False),
        "F": np.asfortranarray,
    }[storage]
    found = model.fit(make(X), y).influence(make(X[:5]), y[:5])
    np.testing.assert_allclose(found, expected, atol=1e-3 if storage == "float32" else 1e-8)


def test_from_a_solver_that_stopped_far_off():
    """lbfgs gives up on columns of 1e6; from least squares Newton's method arrives."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    y = X @ [1, 2, -1] + rng.standard_t(3, size=30) + 5
    for row in range(0, 30, 5):
        rows = np.delete(np.arange(30), row)
        near = InfluenceHuberRegressor(alpha=0.0, max_iter=2000).fit(X[rows], y[rows])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of lbfgs
            far = InfluenceHuberRegressor(alpha=0.0, max_iter=2000).fit(1e6 * X[rows], y[rows])
        assert far.scale_ == pytest.approx(near.scale_, rel=1e-9)
        np.testing.assert_allclose(1e6 * far.coef_, near.coef_, rtol=1e-7)


def test_units_do_not_matter():
    X, y = data()
    plain = InfluenceHuberRegressor(alpha=0.0, max_iter=5000).fit(X, y)
    expected = plain.influence(X, target="prediction", method="exact")
    for scale in (1e-6, 1e6):
        model = InfluenceHuberRegressor(alpha=0.0, max_iter=5000).fit(X, scale * y)
        found = model.influence(X, target="prediction", method="exact")
        np.testing.assert_allclose(found / scale, expected, atol=1e-7)


def test_the_gradient_in_the_label():
    rng = np.random.default_rng(0)
    loss, y = HuberLoss(1.35), rng.normal(size=40)
    eta = np.stack([rng.normal(size=40), rng.uniform(0.5, 2.0, size=40)], axis=1)
    above, below = (loss.gradient(y + step, eta) for step in (1e-6, -1e-6))
    np.testing.assert_allclose(loss.gradient_in_label(y, eta), (above - below) / 2e-6, atol=1e-8)
    X, y = data()
    local = InfluenceHuberRegressor(alpha=0.0, max_iter=5000).fit(X, y).local_influence("response")
    assert local.direction.shape == (60,)


def test_rows_without_a_model():
    X, y = data()
    X[:, 0] = 0.0
    X[30, 0] = 1.0
    model = InfluenceHuberRegressor(alpha=0.0, max_iter=2000).fit(X, y)
    with pytest.warns(RuntimeWarning, match=r"1 row left undefined.*row 30"):
        left = model.loo_estimate()
    assert np.isnan(left.prediction[30])
    assert np.isfinite(np.delete(left.prediction, 30)).all()


def test_a_scale_that_collapses_and_what_is_refused():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(20, 30))
    y = rng.normal(size=20)
    model = InfluenceHuberRegressor(alpha=0.0, max_iter=2000).fit(X, y)
    with pytest.raises(NotImplementedError, match="scale of the fit tends to 0"):
        model.influence(X, y)
    # scikit-learn's solver stops here at a scale of 0.05; the optimum is at 0.
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(10, 4)), rng.normal(size=10)
    original = HuberRegressor(max_iter=10_000).fit(X, y)
    model = InfluenceHuberRegressor(max_iter=10_000).fit(X, y)
    np.testing.assert_array_equal(model.coef_, original.coef_)
    assert model.scale_ == original.scale_ > 1e-3
    for refused in (
        model,
        explain(model),
        InfluenceExplainer(HuberRegressor(max_iter=10_000)).fit(X, y),
    ):
        with pytest.raises(NotImplementedError, match="scale of the fit tends to 0"):
            refused.influence(X, y)
    X, y = data()
    model = InfluenceHuberRegressor(max_iter=2000).fit(X, y)
    with pytest.raises(NotImplementedError, match="Huber"):
        model.case_deletion_diagnostics()
    with pytest.raises(NotImplementedError, match="kind='model' needs a likelihood"):
        model.parameter_covariance("model")
    with pytest.raises(ValueError, match="Negative values in sample_weight"):
        InfluenceHuberRegressor().fit(X, y, -np.ones(len(y)))


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_solver_that_gives_up_is_no_end(size, monkeypatch):
    X, y = data()
    y = size * y
    expected = InfluenceHuberRegressor(max_iter=1000).fit(X, y)

    def give_up(self, X, y, sample_weight=None):
        self.n_features_in_ = X.shape[1]
        raise ValueError("HuberRegressor convergence failed: l-BFGS-b solver terminated with ABN")

    monkeypatch.setattr(HuberRegressor, "fit", give_up)
    model = InfluenceHuberRegressor(max_iter=1000).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.scale_, expected.scale_, rtol=1e-9)
    assert 1 <= model.n_iter_ < 100
    np.testing.assert_allclose(
        model.influence(X[:3], y[:3]), expected.influence(X[:3], y[:3]), rtol=1e-5
    )
    with pytest.raises(ValueError, match="convergence failed"):  # no optimum: three on a line
        InfluenceHuberRegressor().fit(X[:3, :1], X[:3, 0])


@pytest.mark.parametrize("seed", [14, 16, 22, 27, 30, 33])
def test_half_of_few_rows_leave(seed):
    """On the way all rows may be outliers, and none has any curvature: the refit starts anew."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(12, 2))
    y = X.sum(axis=1) + rng.standard_t(2, size=12)
    model = InfluenceHuberRegressor(alpha=0.01, max_iter=3000, tol=1e-10).fit(X, y)
    before, groups = model.predict(X), [np.sort(rng.permutation(12)[:k]) for k in (4, 6)]
    groups += [np.arange(6), np.arange(6, 12)]
    found = model.group_influence(groups, X, target="prediction", method="exact")
    for k, group in enumerate(groups):
        kept = np.setdiff1d(np.arange(12), group)
        rest = clone(model).fit(X[kept], y[kept])
        change = rest.predict(X) - before
        np.testing.assert_allclose(found[:, k], change, atol=1e-6 * np.abs(change).max())
