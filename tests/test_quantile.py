"""Smooth quantile regression: its optimum, and every deletion against fits without the row."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

import skinfluence.leave_one_out as leave_one_out
from skinfluence import InfluenceExplainer, InfluenceLinearRegression, SmoothQuantileRegressor
from skinfluence.evaluation import agreement
from skinfluence.losses import SmoothPinballLoss
from tests.cases import weights


def data(n=60, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :3].sum(axis=1) + rng.normal(size=n)


def objective(model, X, y, w, theta):
    """Mean smooth pinball loss and the penalty, written out."""
    w = np.ones(len(y)) if w is None else w
    residual = y - X @ theta[:-1] - theta[-1]
    T, tau = model.temperature_, model.quantile
    loss = tau * residual + T * np.logaddexp(0.0, -residual / T)
    return w @ loss / w.sum() + model.alpha * np.abs(theta[:-1]).sum()


# name: (data arguments, weighted, parameters)
CASES = {
    "median": ({}, False, {"alpha": 0.0, "temperature": 0.3}),
    "upper, cold": ({}, True, {"alpha": 0.0, "quantile": 0.8, "temperature": 0.01}),
    "sparse": ({}, True, {"alpha": 0.05, "quantile": 0.3, "temperature": 0.1}),
    "wide": ({"n": 30, "p": 45}, True, {"alpha": 0.2, "temperature": 0.1}),
    "no intercept": ({}, False, {"alpha": 0.02, "temperature": 0.1, "fit_intercept": False}),
    "default": ({}, True, {"alpha": 0.0}),
}


def build(name):
    arguments, weighted, params = CASES[name]
    X, y = data(**arguments)
    w = weights(0, len(y), zeros=2) if weighted else None
    return X, y, w, SmoothQuantileRegressor(**params).fit(X, y, w)


def refit(model, X, y, w, rows):
    """The clone without the rows, at the temperature of the fit."""
    keep = np.setdiff1d(np.arange(len(y)), rows)
    other = clone(model).set_params(temperature=model.temperature_)
    return other.fit(X[keep], y[keep], None if w is None else w[keep])


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_the_minimum(name):
    X, y, w, model = build(name)
    assert model.stationarity_ <= 1e-10
    theta = np.r_[model.coef_, model.intercept_]
    at = objective(model, X, y, w, theta)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            step = size * rng.normal(size=len(theta))
            if not model.fit_intercept:
                step[-1] = 0.0
            assert objective(model, X, y, w, theta + step) > at
    if model.alpha == 0:
        slow = minimize(lambda t: objective(model, X, y, w, t), 0 * theta, method="BFGS")
        assert slow.fun == pytest.approx(at, abs=1e-6)
        assert slow.fun >= at - 1e-12


@pytest.mark.parametrize("alpha", [0.0, 0.05])
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_cold_it_is_quantile_regression(quantile, alpha):
    """The smooth objective is at most T log 2 above the other, and so are their optima."""
    X, y = data(n=101)
    cold = QuantileRegressor(quantile=quantile, alpha=alpha).fit(X, y)
    for T in (1.0, 1e-2, 1e-4, 1e-6):
        model = SmoothQuantileRegressor(quantile=quantile, alpha=alpha, temperature=T).fit(X, y)
        assert model.stationarity_ <= 1e-10
        found, least = (
            mean_pinball_loss(y, m.predict(X), alpha=quantile) + alpha * np.abs(m.coef_).sum()
            for m in (model, cold)
        )
        assert -1e-9 <= found - least <= T * np.log(2)
    np.testing.assert_allclose(model.predict(X), cold.predict(X), atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_every_deletion_is_a_refit(name):
    X, y, w, model = build(name)
    change = model.influence(X, target="prediction", method="exact")
    pinball = model.influence(X, y, target="pinball", method="exact")
    left = model.loo_estimate(method="exact")
    parameters = model.parameter_influence(method="exact")
    full, tau = model.predict(X), model.quantile
    for row in range(0, len(y), 3):
        without = refit(model, X, y, w, [row])
        after = without.predict(X)
        np.testing.assert_allclose(change[:, row], after - full, atol=2e-7)
        np.testing.assert_allclose(left.prediction[row], after[row], atol=2e-7)
        for i in (0, 5, 17):
            expected = mean_pinball_loss(y[[i]], after[[i]], alpha=tau)
            expected -= mean_pinball_loss(y[[i]], full[[i]], alpha=tau)
            assert pinball[i, row] == pytest.approx(expected, abs=2e-7)
        found = parameters.coef[row] + model.coef_
        np.testing.assert_allclose(found, without.coef_, atol=2e-7)
    group = model.group_influence([[0, 1, 2]], X, target="prediction", method="exact")[:, 0]
    expected = refit(model, X, y, w, [0, 1, 2]).predict(X) - full
    np.testing.assert_allclose(group, expected, atol=2e-7)
    if w is not None:
        assert (change[:, -2:] == 0).all()


def test_one_step_where_it_is_warm_and_where_it_is_cold():
    """At the residuals' own scale one step is right within percents; cold it says so."""
    X, y = data(n=200)
    rows = np.arange(0, 200, 4)
    for T, slope, error in ((1.0, 2e-3, 0.02), (0.3, 0.02, 0.05)):
        model = SmoothQuantileRegressor(alpha=0.0, temperature=T).fit(X, y)
        actual = model.influence(X, target="prediction", method="exact", train_indices=rows)
        found = agreement(
            model.influence(X, target="prediction", train_indices=rows, method="newton").T, actual.T
        )
        assert abs(found.slope - 1) < slope
        assert found.relative_rmse < error
    cold = SmoothQuantileRegressor(alpha=0.0, temperature=1e-3).fit(X, y)
    with pytest.warns(RuntimeWarning, match=r"have a leverage above 0\.5.*exact"):
        left = cold.loo_estimate(method="newton")
    held = np.flatnonzero(left.leverage > 0.5)
    assert 3 <= len(held) <= 7
    with pytest.warns(RuntimeWarning, match=f"unreliable for row {held[0]}, {held[1]}"):
        step = cold.influence(X, target="prediction", train_indices=held, method="newton")
    actual = cold.influence(X, target="prediction", method="exact", train_indices=held)
    short = np.linalg.norm(actual, axis=0) / np.linalg.norm(step, axis=0)
    assert short.max() > 20  # one step is that far off, and was named
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unheld = np.setdiff1d(np.arange(200), held)
        cold.influence(X, target="prediction", train_indices=unheld, method="newton")


def test_auto_refits_the_rows_that_hold_the_fit(monkeypatch):
    X, y = data(n=300)
    model = SmoothQuantileRegressor(alpha=0.0, temperature=1e-3).fit(X, y)
    exact = model.loo_estimate(method="exact")
    each = leave_one_out.exact_flops(model.__fitted_problem__().objective) / len(y)
    monkeypatch.setattr(leave_one_out, "NEWTON_SHARE", 0.0)
    monkeypatch.setattr(leave_one_out, "FREE_FLOPS", 10 * each)
    auto = model.loo_estimate()
    held = np.flatnonzero(auto.leverage > 0.5)
    assert len(held) >= 3
    assert set(auto.method[held]) == {"refined"}
    assert "newton" in set(auto.method)
    np.testing.assert_allclose(auto.prediction[held], exact.prediction[held], atol=1e-7)


@pytest.mark.parametrize("T", [0.5, 0.1])
def test_bounds_hold(T):
    X, y = data(n=150)
    model = SmoothQuantileRegressor(alpha=0.0, quantile=0.4, temperature=T).fit(X, y)
    exact = model.loo_estimate(method="exact")
    for method in ("newton", "first_order"):
        left = model.loo_estimate(method=method)
        error = np.abs(left.prediction - exact.prediction)
        assert np.isfinite(left.error_bound).sum() > 40
        assert (error <= left.error_bound + 1e-7).all()


@pytest.mark.parametrize("storage", ["csr", "float32", "frame", "read-only", "F"])
def test_storages(storage):
    X, y = data()
    X = np.where(np.abs(X) > 0.3, X, 0.0)
    model = SmoothQuantileRegressor(alpha=0.01, temperature=0.1)
    expected = clone(model).fit(X, y).influence(X[:5], y[:5], method="exact")
    make = {
        "csr": sp.csr_array,
        "float32": lambda X: X.astype(np.float32),
        "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
        "read-only": lambda X: np.lib.stride_tricks.as_strided(X, writeable=False),
        "F": np.asfortranarray,
    }[storage]
    found = model.fit(make(X), y).influence(make(X[:5]), y[:5], method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-4 if storage == "float32" else 1e-8)


def test_tiny_and_degenerate_data():
    X, y = data()
    alone = SmoothQuantileRegressor(alpha=0.1).fit(X[:1], y[:1])
    assert alone.predict(X[:1])[0] == pytest.approx(y[0], abs=1e-6)
    level = SmoothQuantileRegressor(alpha=0.1).fit(X, np.full(len(y), 3.0))
    np.testing.assert_allclose(level.coef_, 0.0, atol=1e-9)
    assert level.intercept_ == pytest.approx(3.0)
    X = X.copy()
    X[:, 0] = 0.0
    X[3, 0] = 1.0
    model = SmoothQuantileRegressor(alpha=0.0, temperature=0.1).fit(X, y)
    with pytest.warns(RuntimeWarning, match=r"1 row left undefined.*row 3"):
        left = model.loo_estimate()
    assert np.isnan(left.prediction[3])
    assert np.isfinite(np.delete(left.prediction, 3)).all()


@pytest.mark.parametrize(("n", "p"), [(3, 3), (5, 3), (8, 3), (8, 20)])
@pytest.mark.parametrize("seed", range(4))
def test_tiny_data_where_every_row_holds_the_fit(n, p, seed):
    """Leverages are 1 but for rounding: no metric of a deletion is left to trust."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X[:, :3] @ [1, 2, -1] + rng.standard_t(3, size=n) + 5
    model = SmoothQuantileRegressor(alpha=0.01).fit(X, y)
    change = model.influence(X, target="prediction", method="exact")
    left = model.loo_estimate()
    assert np.isfinite(change).all()
    for row in range(n):
        after = refit(model, X, y, None, [row]).predict(X)
        np.testing.assert_allclose(change[:, row], after - model.predict(X), atol=1e-6)
        assert left.prediction[row] == pytest.approx(after[row], abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_units_do_not_matter(alpha):
    X, y = data()
    plain = SmoothQuantileRegressor(alpha=alpha).fit(X, y)
    expected = plain.influence(X, target="prediction", method="exact")
    for scale in (1e-6, 1e6):
        model = SmoothQuantileRegressor(alpha=alpha).fit(X, scale * y)
        found = model.influence(X, target="prediction", method="exact")
        np.testing.assert_allclose(found / scale, expected, atol=1e-7)


def test_groups_without_which_nothing_bends():
    X, y = data(n=8, p=2)
    model = SmoothQuantileRegressor(alpha=0.01).fit(X, y)
    groups = [[0], [1, 2], [3, 4, 5]]
    change = model.group_influence(groups, X, target="prediction", method="exact")
    for position, group in enumerate(groups):
        after = refit(model, X, y, None, group).predict(X)
        np.testing.assert_allclose(change[:, position], after - model.predict(X), atol=1e-6)


def test_temperature_of_the_data_and_units():
    X, y = data()
    one = SmoothQuantileRegressor(alpha=0.0).fit(X, y)
    assert one.temperature_ == pytest.approx(0.01 * y.std())
    other = SmoothQuantileRegressor(alpha=0.0).fit(X, 1e6 * y)
    np.testing.assert_allclose(other.coef_, 1e6 * one.coef_, rtol=1e-6)


def test_pinball_of_other_models_is_half_the_absolute_error():
    X, y = data()
    model = InfluenceLinearRegression().fit(X, y)
    np.testing.assert_allclose(
        2 * model.influence(X, y, target="pinball"),
        model.influence(X, y, target="absolute_error"),
        atol=1e-12,
    )
    model = SmoothQuantileRegressor(quantile=0.2, alpha=0.0, temperature=1.0).fit(X, y)
    first = model.influence(X, y, target="pinball", method="first_order")
    moved = model.influence(X, target="prediction", method="first_order")
    slope = np.where(y > model.predict(X), -0.2, 0.8)
    np.testing.assert_allclose(first, slope[:, None] * moved, atol=1e-12)


BAD = {
    "quantile": ({"quantile": 1.0}, ValueError, "quantile should be between 0 and 1; got 1.0"),
    "quantile text": ({"quantile": "half"}, TypeError, "quantile should be a number"),
    "alpha": ({"alpha": -1.0}, ValueError, "alpha should be finite and at least 0; got -1.0"),
    "temperature": ({"temperature": 0.0}, ValueError, "temperature should be a finite positive"),
    "temperature text": ({"temperature": "cold"}, TypeError, "temperature should be a positive"),
    "tol": ({"tol": 0.0}, ValueError, "tol should be a finite positive"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parameters_are_named(case):
    params, error, message = BAD[case]
    with pytest.raises(error, match=message):
        SmoothQuantileRegressor(**params).fit(*data())


def test_what_is_refused_and_what_does_not_converge():
    X, y = data()
    with pytest.raises(TypeError, match=r"as many rows as it has coefficients.*SmoothQuantile"):
        InfluenceExplainer(QuantileRegressor()).fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"found in 2 Newton steps.*max_iter"):
        SmoothQuantileRegressor(alpha=0.0, max_iter=2, temperature=1e-3).fit(X, y)
    loss = SmoothPinballLoss(0.3, 0.5)
    assert repr(loss) == "SmoothPinballLoss(0.3, 0.5)"
    assert loss.at_temperature(2.0).temperature == 2.0
