"""Support vector regression: its optimum, and every deletion against fits without the row."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVR, NuSVR

from skinfluence import InfluenceExplainer
from skinfluence.evaluation import agreement
from skinfluence.losses import SmoothEpsilonInsensitiveLoss
from skinfluence.svm import SmoothEpsilonSVR
from tests.cases import weights


def data(n=60, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, np.sin(X[:, 0]) + X[:, 1:3].sum(axis=1) + 0.4 * rng.normal(size=n)


RBF = {"kernel": "rbf", "gamma": 0.3}
# name: (data arguments, weighted, parameters)
CASES = {
    "linear": ({}, False, {"temperature": 0.1}),
    "linear, cold": ({}, True, {"temperature": 0.01, "epsilon": 0.3}),
    "no intercept": ({}, True, {"temperature": 0.1, "fit_intercept": False}),
    "wide": ({"n": 30, "p": 45}, True, {"temperature": 0.1, "C": 0.1}),
    "rbf": ({}, True, {"temperature": 0.1, **RBF}),
    "rbf, no intercept": ({}, False, {"temperature": 0.1, "fit_intercept": False, **RBF}),
    "poly": ({}, False, {"temperature": 0.1, "kernel": "poly", "degree": 2, "coef0": 1.0}),
    "no tube": ({}, False, {"temperature": 0.1, "epsilon": 0.0}),
}


def build(name):
    arguments, weighted, params = CASES[name]
    X, y = data(**arguments)
    w = weights(0, len(y), zeros=2) if weighted else None
    return X, y, w, SmoothEpsilonSVR(**params).fit(X, y, w)


def refit(model, X, y, w, rows):
    """The clone without the rows, its gamma held."""
    keep = np.setdiff1d(np.arange(len(y)), rows)
    held = {"gamma": model.gamma_} if hasattr(model, "gamma_") else {}
    other = clone(model).set_params(**held)
    return other.fit(X[keep], y[keep], None if w is None else w[keep])


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_the_minimum(name):
    X, y, w, model = build(name)
    assert model.stationarity_ <= 1e-10
    w = np.ones(len(y)) if w is None else w
    if model.kernel == "linear":
        columns, root = X, np.eye(X.shape[1])
    else:
        values, vectors = np.linalg.eigh(model._space.matrix)
        columns = vectors * np.sqrt(np.maximum(values, 0.0))
        root = None

    def slow(theta):
        r = y - columns @ theta[:-1] - model.fit_intercept * theta[-1]
        T, e = model.temperature, model.epsilon
        loss = T * (np.logaddexp(0, (r - e) / T) + np.logaddexp(0, (-r - e) / T))
        return 0.5 * theta[:-1] @ theta[:-1] + model.C * w @ loss

    found = minimize(slow, np.zeros(columns.shape[1] + 1), method="BFGS", options={"gtol": 1e-6})
    predicted = columns @ found.x[:-1] + model.fit_intercept * found.x[-1]
    np.testing.assert_allclose(model.predict(X), predicted, atol=2e-4)
    if root is not None:
        theta = np.r_[model.coef_, model.intercept_]
        assert slow(theta) <= found.fun + 1e-10


@pytest.mark.parametrize("T", [1.0, 1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("C", [0.05, 1.0, 100.0])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_every_temperature_converges(kernel, C, T):
    """The objective of SVR there is at most 2 n C T log 2 above SVR's own."""
    X, y = data(n=80)
    model = SmoothEpsilonSVR(C=C, temperature=T, kernel=kernel).fit(X, y)
    assert model.stationarity_ <= 1e-10
    cold = SVR(C=C, kernel=kernel, tol=1e-10).fit(X, y)
    K = X @ X.T if kernel == "linear" else rbf_kernel(X, gamma=model.gamma_)

    def value(predicted, intercept):
        dual = np.linalg.lstsq(K, predicted - intercept, rcond=1e-10)[0]
        distance = np.maximum(0.0, np.abs(y - predicted) - 0.1).sum()
        return 0.5 * dual @ K @ dual + C * distance

    least = value(cold.predict(X), cold.intercept_[0])
    found = value(model.predict(X), model.intercept_) - least
    assert -1e-5 * least <= found <= 2 * 80 * C * T * np.log(2) + 1e-5 * least


@pytest.mark.parametrize("seed", range(6))
def test_weights_over_six_decades_some_of_them_zero(seed):
    """libsvm, where the fit begins, counts its support vectors without rows of no weight."""
    X, y = data(n=40, p=3)
    w = 10 ** np.random.default_rng(seed).uniform(-3, 3, size=40)
    w[[3, 17]] = 0.0
    model = SmoothEpsilonSVR(kernel="rbf", gamma=0.3).fit(X, y, w)
    assert model.stationarity_ <= 1e-9
    change = model.influence(X, target="prediction", method="exact", train_indices=[0, 3, 8, 30])
    assert (change[:, 1] == 0).all()
    for position, row in ((0, 0), (2, 8), (3, 30)):
        without = refit(model, X, y, w, np.r_[row, np.flatnonzero(w == 0)])
        after = without.predict(X) - model.predict(X)
        np.testing.assert_allclose(change[:, position], after, atol=1e-6)


def test_an_intercept_that_is_not_identified():
    """Every row outside of the tube pulls with all of C: the intercept has no curvature."""
    X, y = data(n=80)
    model = SmoothEpsilonSVR(C=0.01, temperature=1e-5, **RBF).fit(X, y)
    assert model.stationarity_ < 1e-7
    with pytest.raises(np.linalg.LinAlgError, match=r"intercept.*raise the temperature"):
        model.influence(X, y)


@pytest.mark.parametrize("name", CASES)
def test_every_deletion_is_a_refit(name):
    X, y, w, model = build(name)
    change = model.influence(X, target="prediction", method="exact")
    absolute = model.influence(X, y, target="absolute_error", method="exact")
    loss = model.influence(X, y, method="exact")
    left = model.loo_estimate(method="exact")
    parameters = model.parameter_influence(method="exact")
    full = model.predict(X)
    smooth = SmoothEpsilonInsensitiveLoss(model.epsilon, model.temperature)
    for row in range(0, len(y), 4):
        without = refit(model, X, y, w, [row])
        after = without.predict(X)
        np.testing.assert_allclose(change[:, row], after - full, atol=2e-7)
        np.testing.assert_allclose(left.prediction[row], after[row], atol=2e-7)
        np.testing.assert_allclose(absolute[:, row], abs(y - after) - abs(y - full), atol=2e-7)
        expected = smooth.value(y, after) - smooth.value(y, full)
        np.testing.assert_allclose(loss[:, row], expected, atol=2e-7)
        if model.kernel == "linear":
            np.testing.assert_allclose(parameters.coef[row] + model.coef_, without.coef_, atol=2e-7)
        else:
            dual = np.insert(without.dual_coef_, row, 0.0)
            found = parameters.coef[row] + model.dual_coef_
            np.testing.assert_allclose(found, dual, atol=1e-6 / model.temperature)
        moved = parameters.intercept[row] + model.intercept_
        assert moved == pytest.approx(without.intercept_, abs=2e-7)
    group = model.group_influence([[0, 1, 2]], X, target="prediction", method="exact")[:, 0]
    expected = refit(model, X, y, w, [0, 1, 2]).predict(X) - full
    np.testing.assert_allclose(group, expected, atol=2e-7)


def test_one_step_where_it_is_warm_and_where_it_is_cold():
    X, y = data(n=200)
    rows = np.arange(0, 200, 4)
    model = SmoothEpsilonSVR(temperature=0.3).fit(X, y)
    actual = model.influence(X, target="prediction", method="exact", train_indices=rows)
    found = agreement(
        model.influence(X, target="prediction", train_indices=rows, method="newton").T, actual.T
    )
    assert abs(found.slope - 1) < 0.01
    assert found.relative_rmse < 0.02
    cold = SmoothEpsilonSVR(temperature=1e-3).fit(X, y)
    with pytest.warns(RuntimeWarning, match=r"have a leverage above 0\.5.*exact"):
        left = cold.loo_estimate(method="newton")
    exact = cold.loo_estimate(method="exact")
    np.testing.assert_allclose(left.leverage, exact.leverage, atol=1e-9)
    assert 2 <= (left.leverage > 0.5).sum() <= 10


@pytest.mark.parametrize("T", [0.5, 0.1])
def test_bounds_hold(T):
    X, y = data(n=150)
    model = SmoothEpsilonSVR(temperature=T).fit(X, y)
    exact = model.loo_estimate(method="exact")
    for method in ("newton", "first_order"):
        left = model.loo_estimate(method=method)
        error = np.abs(left.prediction - exact.prediction)
        assert np.isfinite(left.error_bound).sum() > 30
        assert (error <= left.error_bound + 1e-7).all()


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("storage", ["csr", "float32", "frame", "read-only", "F"])
def test_storages(storage, kernel):
    X, y = data()
    X = np.where(np.abs(X) > 0.3, X, 0.0)
    model = SmoothEpsilonSVR(temperature=0.1, kernel=kernel, gamma=0.2)
    expected = clone(model).fit(X, y).influence(X[:5], y[:5], method="exact")
    make = {
        "csr": sp.csr_array,
        "float32": lambda X: X.astype(np.float32),
        "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
        "read-only": lambda X: np.lib.stride_tricks.as_strided(X, writeable=False),
        "F": np.asfortranarray,
    }[storage]
    found = model.fit(make(X), y).influence(make(X[:5]), y[:5], method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-4 if storage == "float32" else 1e-7)


def test_kernels_of_ones_own():
    X, y = data()
    K = rbf_kernel(X, gamma=0.3)
    rbf = SmoothEpsilonSVR(temperature=0.1, **RBF).fit(X, y)
    for kernel, rows in (("precomputed", K), (lambda A, B: rbf_kernel(A, B, gamma=0.3), X)):
        model = SmoothEpsilonSVR(temperature=0.1, kernel=kernel).fit(rows, y)
        np.testing.assert_allclose(model.predict(rows), rbf.predict(X), atol=1e-8)
        found = model.influence(rows[:4], y[:4], method="exact")
        np.testing.assert_allclose(found, rbf.influence(X[:4], y[:4], method="exact"), atol=1e-7)


BAD = {
    "epsilon": ({"epsilon": -0.1}, ValueError, "epsilon should be finite and at least 0; got -0.1"),
    "epsilon text": ({"epsilon": "wide"}, TypeError, "epsilon should be a number"),
    "temperature": ({"temperature": 0.0}, ValueError, "temperature should be a finite positive"),
    "C": ({"C": np.inf}, ValueError, "C should be a finite positive"),
    "kernel": ({"kernel": "spline"}, ValueError, "kernel should be one of"),
    "max_iter": ({"max_iter": 0}, ValueError, "max_iter should be a positive integer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_parameters_are_named(case):
    params, error, message = BAD[case]
    with pytest.raises(error, match=message):
        SmoothEpsilonSVR(**params).fit(*data())


def test_what_is_refused_and_what_does_not_converge():
    X, y = data()
    for model in (SVR(), NuSVR()):
        with pytest.raises(TypeError, match=r"curvature.*SmoothEpsilonSVR"):
            InfluenceExplainer(model).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="no optimum was found in 2 Newton steps"):
        SmoothEpsilonSVR(max_iter=2, temperature=1e-3).fit(X, y)
    assert repr(SmoothEpsilonInsensitiveLoss(0.2, 0.5)) == "SmoothEpsilonInsensitiveLoss(0.2, 0.5)"
