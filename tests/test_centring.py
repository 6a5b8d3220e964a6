"""Columns far from zero: the answers are those on the stored values minus the shift."""

import warnings
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.svm import SVC, LinearSVC

from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceHuberRegressor,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    SmoothQuantileRegressor,
)
from skinfluence.curvature import DenseCurvature, make_curvature
from skinfluence.design import _dense as dense_module
from skinfluence.design import far_origin, make_design
from skinfluence.display import AddedVariableDisplay
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.problem import fitted_problem
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.test_elastic_net import logistic

METHODS = ("first_order", "newton", "exact", "auto")
WITHOUT_STEPS = ("first_order", "newton")


def fit(model, *data):
    """Fit; solvers that do not centre may overflow and stop anywhere: the polish takes over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(model).fit(*data)


# -- the origin ------------------------------------------------------------------------------------


def test_far_columns_and_no_others_have_an_origin():
    rng = np.random.default_rng(0)
    n = 500
    near = rng.normal(size=(n, 2))
    columns = {
        "year": rng.integers(1950, 2020, size=n).astype(float),
        "negative": -1e7 + rng.normal(size=n),
        "one missing year is 0": np.where(np.arange(n) == 7, 0.0, 2000 + rng.normal(size=n)),
        "constant": np.full(n, 3.0),
    }
    others = {
        "positive": rng.exponential(size=n),
        "nearly all ones": (np.arange(n) % 20 > 0).astype(float),
        "nearly all zeros": (np.arange(n) % 20 == 0).astype(float),
        "an outlier": np.where(np.arange(n) == 7, 1e9, rng.normal(size=n)),
        "six standard deviations": 6 + rng.normal(size=n),
    }
    X = np.column_stack([near, *columns.values(), *others.values()])
    for stored in (X, np.asfortranarray(X), sp.csr_matrix(X), sp.csr_array(X)):
        origin = far_origin(stored, None)
        assert np.flatnonzero(origin).tolist() == [2, 3, 4, 5]
        middle = np.median(X, axis=0)[2:6]
        spread = np.std(X, axis=0)[2:6] + 1e-12
        assert (np.abs(origin[2:6] - middle) <= spread).all()
    assert far_origin(np.delete(X, [2, 3, 4, 5], axis=1), None) is None
    assert far_origin(X.astype(np.float32), np.ones(n)).tolist() == pytest.approx(origin, rel=1e-6)


def test_the_origin_is_where_the_weight_is():
    rng = np.random.default_rng(0)
    x = np.where(np.arange(300) < 10, 1e6, 0.0) + rng.normal(size=300)
    weight = np.where(np.arange(300) < 10, 1.0, 0.0)
    assert far_origin(x[:, None], None) is None
    assert far_origin(x[:, None], weight)[0] == pytest.approx(1e6, abs=3)
    assert far_origin(np.array([[5.0]]), None).tolist() == [5.0]


def test_ordinary_data_are_not_centred_and_keep_their_numbers():
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris

    for load in (load_breast_cancer, load_diabetes, load_digits, load_iris):
        X = load().data
        assert far_origin(X, None) is None, load
    model = InfluenceLinearRegression().fit(*load_diabetes(return_X_y=True))
    assert not fitted_problem(model).objective.design.is_centred


# -- the design ------------------------------------------------------------------------------------

STORAGES = {
    "C": lambda X: X,
    "F": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "csr": sp.csr_matrix,
    "csr32": lambda X: sp.csr_array(X.astype(np.float32)),
}


@pytest.mark.parametrize("storage", STORAGES)
def test_a_centred_design_is_that_of_the_centred_rows(storage, monkeypatch):
    monkeypatch.setattr(dense_module, "BLOCK_ROWS", 7)
    rng = np.random.default_rng(1)
    X = np.where(rng.random((23, 5)) < 0.4, 0.0, rng.normal(size=(23, 5)))
    X[:, 1] = 1e6 + rng.normal(size=23)
    X[:, 3] = -2e3 + rng.normal(size=23)
    X[4, 3] = 0.0  # an implicit zero where the storage is sparse
    stored = STORAGES[storage](X)
    X = np.asarray(stored.toarray() if sp.issparse(stored) else stored, dtype=float)
    origin = np.array([0.0, 1e6, 0.0, -2e3, 0.0])
    design = make_design(stored, True, origin)
    Z = np.column_stack([X - origin, np.ones(23)])
    V, U, w = rng.normal(size=(6, 3)), rng.normal(size=(23, 2)), rng.normal(size=23)
    M = rng.normal(size=(6, 6))
    M = M + M.T
    T, scale = np.triu(rng.normal(size=(6, 6))), np.r_[rng.random(5), 0.0]
    roots = rng.normal(size=(23, 3, 3))
    W, S, v = roots @ roots.transpose(0, 2, 1), rng.normal(size=(4, 3, 6)), rng.normal(size=(23, 3))
    outer = np.stack([np.kron(v[i], Z[i]) for i in range(23)])
    sandwich = sum(np.kron(W[i], np.outer(Z[i], Z[i])) for i in range(23))
    for got, expected in (
        (design @ V, Z @ V),
        (design.transpose_matmul(U), Z.T @ U),
        (design.absolute_sum(U), (np.abs(Z).T @ np.abs(U)).T),
        (design.squared_columns(np.abs(U)), (Z**2).T @ np.abs(U)),
        (design._gram(w), Z.T @ (w[:, None] * Z)),
        (design.row_quadratic(M), np.einsum("ij,jk,ik->i", Z, M, Z)),
        (design._gram(np.full(23, 0.7)), 0.7 * Z.T @ Z),
        (design.row_norms(T), ((Z @ T) ** 2).sum(axis=1)),
        (design.squared_sums(M, V.T, scale)[0], V.T @ ((Z @ M) ** 2).T),
        (design.squared_sums(M, V.T, scale)[1], Z @ M @ scale),
        (design.kernel(scale), (Z * scale) @ Z.T),
        (design.dense([3, 1]), Z[[3, 1]]),
        (design.take(slice(2, 9)) @ V, Z[2:9] @ V),
        (design.take(np.array([4, 20])).take([1]) @ V, Z[[20]] @ V),
        (design.restricted(np.array([1, 3, 5])) @ V[:3], Z[:, [1, 3, 5]] @ V[:3]),
        (design.restricted(np.array([0, 3])).take([4]).dense([0]), Z[[4]][:, [0, 3]]),
        (design.like(stored[3:5]) @ V, Z[3:5] @ V),
        (design.sandwich(W), sandwich),
        (design.outer(v, slice(None)), outer),
        (design.contract(S, v[4:9], slice(4, 9)), S.reshape(4, -1) @ outer[4:9].T),
    ):
        expected = expected.T if got.shape != expected.shape else expected
        np.testing.assert_allclose(got, expected, atol=1e-9 * np.abs(expected).max())
    rows = design.features(np.array([4, 0]))
    rows = rows.toarray() if sp.issparse(rows) else rows
    np.testing.assert_allclose(rows, Z[[4, 0], :5], atol=1e-12)
    Y = design.row_space(scale[:5])[0]
    np.testing.assert_allclose(Y @ Y.T, (Z[:, :5] * scale[:5]) @ Z[:, :5].T, rtol=1e-9, atol=1e-6)


def test_parameters_about_zero_and_about_the_origin():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 3)) + np.array([1e5, 0, -7e3])
    design = make_design(X, True, np.array([1e5, 0.0, -7e3]))
    coef, intercept = rng.normal(size=(2, 3)), rng.normal(size=2)
    theta = design.pack(coef, intercept)
    np.testing.assert_allclose(design @ theta.T, X @ coef.T + intercept, rtol=1e-9)
    back = design.unpack(theta)
    np.testing.assert_allclose(back[0], coef)
    np.testing.assert_allclose(back[1], intercept, atol=1e-9)
    np.testing.assert_array_equal(design.split(design.join(coef, intercept))[1], intercept)
    flat = np.column_stack([coef, intercept])
    np.testing.assert_allclose(design.about_zero(theta), flat, atol=1e-9)
    for column in range(4):
        np.testing.assert_allclose(theta @ design.functional(column), flat[:, column], atol=1e-9)


# -- every model, every question -------------------------------------------------------------------

MODELS = {
    "logistic": (InfluenceLogisticRegression(), "binary"),
    "unpenalised": (InfluenceLogisticRegression(C=np.inf), "binary"),
    "softmax": (InfluenceLogisticRegression(), "classes"),
    "sparse logistic": (logistic(InfluenceLogisticRegression, 0.3, 1.0), "binary"),
    "least squares": (InfluenceLinearRegression(), "real"),
    "ridge": (InfluenceRidge(), "real"),
    "elastic net": (InfluenceElasticNet(alpha=0.02), "real"),
    "poisson": (InfluencePoissonRegressor(alpha=0.01), "counts"),
    "huber": (InfluenceHuberRegressor(alpha=0.1), "real"),
    "quantile": (SmoothQuantileRegressor(alpha=0.01, temperature=0.3), "real"),
    "smooth hinge": (SmoothHingeSVC(temperature=0.2), "binary"),
    "hinge": (SmoothHingeSVC(temperature=0.2, loss="hinge"), "binary"),
    "svc": (InfluenceExplainer(SVC(kernel="linear")), "binary"),
    "svr": (SmoothEpsilonSVR(temperature=0.2), "real"),
    "linear kernel": (InfluenceKernelRidge(kernel="linear", fit_intercept=True), "real"),
}
SHIFTS = {
    "1e4": [1e4, 0.0, 0.0],
    "1e6": [1e6, 0.0, 0.0],
    "1e7": [1e7, 0.0, -1e7],
}


def data(kind, n=70, seed=0):
    """Rows, and responses of a kind that follow a linear score."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    score = X @ [1.0, -0.7, 0.4] + 0.3
    y = {
        "binary": (score + rng.logistic(size=n) > 0).astype(int),
        "classes": (np.outer(score, [1, 0, -1]) + rng.gumbel(size=(n, 3))).argmax(axis=1),
        "real": score + 0.5 * rng.standard_t(4, size=n),
        "counts": rng.poisson(np.exp(0.5 * score)).astype(float),
    }[kind]
    return X, y, rng.uniform(0.5, 2.0, size=n)


@cache
def fitted(name, shift, storage="C", weighted=False):
    """(model on the rows minus the shift, model on the rows, both rows, y)."""
    model, kind = MODELS[name]
    X, y, weight = data(kind)
    far = STORAGES[storage](X + SHIFTS[shift])
    stored = np.asarray(far.toarray() if sp.issparse(far) else far, dtype=float)
    near = stored - SHIFTS[shift]  # exact
    near = sp.csr_matrix(near) if sp.issparse(far) else near
    weight = weight if weighted else None
    return fit(model, near, y, weight), fit(model, far, y, weight), near, far, y


def close(found, expected, what=""):
    """To 1e-7 of the largest effect, NaN where it is NaN."""
    size = np.nanmax(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * size, err_msg=what)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("name", MODELS)
def test_influence_is_that_without_the_shift(name, shift):
    one, other, near, far, y = fitted(name, shift, weighted=name not in ("svc", "hinge"))
    assert fitted_problem(other).objective.design.is_centred
    for method in METHODS:
        for target in ("loss", "prediction" if MODELS[name][1] in ("real", "counts") else "margin"):
            expected = one.influence(near[:6], y[:6], method=method, target=target)
            found = other.influence(far[:6], y[:6], method=method, target=target)
            close(found, expected, f"{method} {target}")
        close(other.self_influence(method=method), one.self_influence(method=method), method)


@pytest.mark.parametrize("storage", ["F", "float32", "csr", "csr32"])
@pytest.mark.parametrize("name", MODELS)
def test_influence_in_every_storage(name, storage):
    one, other, near, far, y = fitted(name, "1e4" if "32" in storage else "1e6", storage)
    for method in ("newton", "exact"):
        expected = one.influence(near[:6], y[:6], method=method)
        close(other.influence(far[:6], y[:6], method=method), expected, method)


@pytest.mark.parametrize("name", MODELS)
def test_groups_scores_and_leave_one_out(name):
    one, other, near, far, y = fitted(name, "1e7")
    groups = [np.arange(3), np.arange(5, 20), np.array([40])]
    for method in METHODS:
        expected = one.group_influence(groups, near[:6], y[:6], method=method)
        close(other.group_influence(groups, far[:6], y[:6], method=method), expected, method)
    expected = one.score_influence(near[:20], y[:20])
    np.testing.assert_allclose(other.score_influence(far[:20], y[:20]), expected, atol=1e-7)
    for method in ("auto", *WITHOUT_STEPS):
        found, expected = (model.loo_estimate(method=method) for model in (other, one))
        decisions = [loo.decision_function for loo in (found, expected)]
        if name == "softmax":  # known up to a number for all classes
            decisions = [decision - decision.mean(axis=1, keepdims=True) for decision in decisions]
        close(*decisions, method)
        close(found.leverage, expected.leverage, method)
        assert found.score == pytest.approx(expected.score, abs=1e-7)


def with_intercept(features, shift):
    """Columns (..., intercept first) of a model without the shift as those of one with it."""
    moved = features.copy()
    moved[..., 0] -= features[..., 1:] @ shift
    return moved


@pytest.mark.parametrize("name", ["least squares", "ridge", "logistic", "poisson"])
@pytest.mark.parametrize("shift", SHIFTS)
def test_diagnostics(name, shift):
    one, other, *_ = fitted(name, shift, weighted=True)
    expected, found = (model.case_deletion_diagnostics() for model in (one, other))
    for quantity in (
        *("leverage", "residual", "studentized_residual", "deleted_residual", "cooks_distance"),
        *("dffits", "covratio", "sigma_without"),
    ):
        close(getattr(found, quantity), getattr(expected, quantity), quantity)
    assert found.sigma == pytest.approx(expected.sigma, rel=1e-9)
    close(found.dfbeta[:, 1:], expected.dfbeta[:, 1:], "dfbeta")
    close(found.dfbeta, with_intercept(expected.dfbeta, SHIFTS[shift]), "dfbeta of the intercept")
    close(found.dfbetas[:, 1:], expected.dfbetas[:, 1:], "dfbetas")
    # The intercept is a mean at a point so far off that only the slopes count there.
    inverse = fitted_problem(one).curvature().inverse()
    lever = np.r_[-np.array(SHIFTS[shift]), 1.0]
    error = expected.sigma * np.sqrt(lever @ inverse @ lever)
    assert found.standard_error[0] == pytest.approx(error, rel=1e-7)


@pytest.mark.parametrize("kind", ["model", "HC0", "HC1", "HC2", "HC3", "jackknife", "CR0", "CR3"])
@pytest.mark.parametrize("name", ["least squares", "logistic", "softmax"])
def test_covariances(name, kind):
    if name == "softmax" and kind in ("jackknife", "CR3"):
        pytest.skip("refits of a softmax say nothing that those of two classes do not")
    one, other, *_ = fitted(name, "1e6")
    groups = np.arange(70) // 7 if kind.startswith("CR") else None
    expected, found = (model.parameter_covariance(kind, groups=groups) for model in (one, other))
    K = len(found.names) // 4
    matrix = expected.matrix.reshape(K, 4, K, 4)
    matrix = with_intercept(matrix, SHIFTS["1e6"]).transpose(2, 3, 0, 1)
    matrix = with_intercept(matrix, SHIFTS["1e6"])
    if name == "softmax" and kind == "model":  # the intercepts are known up to a number for all
        matrix[:, 0] -= matrix[:, 0].mean(axis=0)
        matrix[:, :, :, 0] -= matrix[:, :, :, 0].mean(axis=2, keepdims=True)
    matrix = matrix.reshape(4 * K, 4 * K)
    scale = np.sqrt(np.diag(matrix))
    np.testing.assert_allclose(
        found.matrix / np.outer(scale, scale), matrix / np.outer(scale, scale), atol=1e-7
    )
    estimate = with_intercept(expected.estimate.reshape(K, 4), SHIFTS["1e6"])
    np.testing.assert_allclose(found.estimate.reshape(K, 4), estimate, rtol=1e-7)


@pytest.mark.parametrize("name", ["least squares", "ridge", "poisson", "huber"])
def test_intervals_and_local_influence(name):
    one, other, near, far, _ = fitted(name, "1e7")
    for method in ("jackknife+", "jackknife", "jackknife-minmax"):
        expected = one.prediction_interval(near[:9], method=method)
        close(other.prediction_interval(far[:9], method=method), expected, method)
    for perturbation, feature in (("weights", None), ("response", None), ("feature", 0)):
        options = {"perturbation": perturbation, "feature": feature}
        expected, found = (model.local_influence(**options) for model in (one, other))
        close(found.row_curvature, expected.row_curvature, perturbation)
        close(found.matrix(), expected.matrix(), perturbation)


def test_added_variables():
    one, other, *_ = fitted("least squares", "1e6")
    for feature in (0, 1, 2):
        found, expected = (AddedVariableDisplay.from_estimator(m, feature) for m in (other, one))
        for name in ("x", "y"):
            close(getattr(found, name), getattr(expected, name))
    # The intercept's is the part of a constant that the columns about zero do not explain.
    far = fitted("least squares", "1e4")[3]
    other = fitted("least squares", "1e4")[1]
    problem = fitted_problem(other)
    from skinfluence.case_deletion import added_variable

    x, _, slope, _ = added_variable(problem.objective, problem.curvature(), 3)
    coef = np.linalg.lstsq(far.astype(np.longdouble).astype(float), np.ones(70), rcond=None)[0]
    close(x, 1.0 - far @ coef)
    assert slope == pytest.approx(other.intercept_, rel=1e-9)


def test_parameters_without_a_row():
    for name in ("logistic", "softmax", "least squares", "linear kernel"):
        one, other, *_ = fitted(name, "1e6")
        expected, found = (model.parameter_influence() for model in (one, other))
        close(found.coef, expected.coef)
        if name != "linear kernel":
            moved = expected.intercept - expected.coef @ np.array(SHIFTS["1e6"])
            close(found.intercept, moved)


# -- against what is not this library --------------------------------------------------------------


def long_newton(Z, y, weight, strength, logistic):
    """Optimum (q,) by Newton's method in long double, rows about zero."""
    theta = np.zeros(Z.shape[1], dtype=np.longdouble)
    Z = Z.astype(np.longdouble)
    for _ in range(30):
        eta = Z @ theta
        p = 1 / (1 + np.exp(-eta)) if logistic else eta
        curvature = weight * (p * (1 - p) if logistic else 1.0)
        gradient = Z.T @ (weight * (p - y)) + strength * theta
        H = Z.T @ (curvature[:, None] * Z) + np.diag(strength)
        step = -solve_long(H, gradient)
        theta = theta + step
        if np.abs(step).max() < 1e-17:
            break
    return theta


def solve_long(H, b):
    """Gauss's elimination of a positive definite system in long double."""
    H, b = H.copy(), b.copy()
    for k in range(len(H)):
        for i in range(k + 1, len(H)):
            factor = H[i, k] / H[k, k]
            H[i, k:] -= factor * H[k, k:]
            b[i] -= factor * b[k]
    x = np.zeros_like(b)
    for k in reversed(range(len(H))):
        x[k] = (b[k] - H[k, k + 1 :] @ x[k + 1 :]) / H[k, k]
    return x


@pytest.mark.parametrize("storage", ["C", "csr"])
@pytest.mark.parametrize("name", ["logistic", "least squares", "ridge"])
def test_coefficients_and_refits_are_those_of_long_double(name, storage):
    _, model, near, far, y = fitted(name, "1e7", storage, weighted=True)
    weight = data(MODELS[name][1])[2].astype(np.longdouble)
    near = near.toarray() if storage == "csr" else near
    Z = np.column_stack([near, np.ones(70)])
    strength = np.full(4, 0.0 if name == "least squares" else 1.0, dtype=np.longdouble)
    strength[3] = 0.0
    logistic = name == "logistic"
    theta = long_newton(Z, y, weight, strength, logistic)
    shift = np.array(SHIFTS["1e7"])
    np.testing.assert_allclose(np.ravel(model.coef_), theta[:3].astype(float), rtol=1e-11)
    intercept = theta[3] - theta[:3] @ shift.astype(np.longdouble)
    assert np.ravel(model.intercept_)[0] == pytest.approx(float(intercept), rel=1e-11)
    rows = np.array([0, 17, 33])
    target = "decision_function" if logistic else "prediction"
    found = model.influence(far[:6], target=target, method="exact", train_indices=rows)
    found = found.reshape(6, 3)
    for position, row in enumerate(rows):
        without = weight.copy()
        without[row] = 0.0
        step = long_newton(Z, y, without, strength, logistic) - theta
        actual = (Z[:6] @ step).astype(float)
        np.testing.assert_allclose(found[:, position], actual, atol=1e-7 * np.abs(actual).max())


def orthonormal(Z):
    """Basis of the columns of Z, in long double."""
    Q = np.zeros(Z.shape, dtype=np.longdouble)
    for j in range(Z.shape[1]):
        v = Z[:, j].copy()
        for _ in range(3):
            v -= Q[:, :j] @ (Q[:, :j].T @ v)
        Q[:, j] = v / np.sqrt(v @ v)
    return Q


def least_squares_without_rows(Z, y):
    """(leverages, predictors of every row without each (n, n), before) in long double."""
    Q = orthonormal(Z / np.sqrt((Z**2).mean(axis=0)))
    h, fit = (Q**2).sum(axis=1), Q @ (Q.T @ y)
    return h, fit[:, None] - (Q @ Q.T) * ((y - fit) / (1 - h)), fit


@pytest.mark.parametrize("storage", ["C", "csr"])
def test_powers_of_a_year(storage):
    """Collinear, not only shifted: a Gram matrix would lose all but three digits."""
    rng = np.random.default_rng(0)
    year = np.arange(1950.0, 2021.0)
    X = np.column_stack([year, year**2, year**3])
    t = (year - 1985) / 35
    y = 1 + t - 0.5 * t**2 + 0.3 * t**3 + 0.1 * rng.normal(size=len(t))
    Z = X.astype(np.longdouble)
    Z = np.column_stack([np.ones(len(Z)), Z - Z.mean(axis=0)])
    h, without, fit = least_squares_without_rows(Z, y)
    model = InfluenceLinearRegression().fit(STORAGES[storage](X), y)
    assert DenseCurvature(fitted_problem(model).objective).by_rows
    effect = (without - fit[:, None]).astype(float)
    for method in ("newton", "exact"):
        found = model.influence(X, target="prediction", method=method)
        np.testing.assert_allclose(found, effect, atol=1e-9 * np.abs(effect).max())
    loo = model.loo_estimate()
    error = np.abs(loo.prediction - np.diag(without).astype(float))
    assert (error <= loo.error_bound).all()
    assert loo.error_bound.max() < 1e-7
    diagnostics = model.case_deletion_diagnostics()
    np.testing.assert_allclose(diagnostics.leverage, h.astype(float), rtol=1e-8)
    assert model.curvature().rcond < 1e-9


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("shift", [0.0, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("size", [(60, 3), (40, 5)])
def test_without_an_intercept_the_condition_is_in_the_bound(size, shift, alpha):
    rng = np.random.default_rng(0)
    n, p = size
    Z = rng.normal(size=(n, p))
    X = Z + shift
    y = Z @ np.ones(p) + 0.5 + rng.normal(size=n)
    model = InfluenceRidge(alpha=alpha, fit_intercept=False).fit(X, y)
    assert not fitted_problem(model).objective.design.is_centred
    rows = np.vstack([X, np.sqrt(alpha) * np.eye(p)]).astype(np.longdouble)
    _, without, _ = least_squares_without_rows(rows, np.r_[y, np.zeros(p)])
    loo = model.loo_estimate()
    error = np.abs(loo.prediction - np.diag(without)[:n].astype(float))
    assert (error <= loo.error_bound).all()
    assert (loo.error_estimate >= 0.1 * error).all()
    assert loo.error_bound.max() < 1e-4
    assert model.curvature().rcond < (1.0 if shift == 0 else 1e2 / shift**2)


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("alpha", [1.0, 1e-4])
def test_wide_without_an_intercept(shift, alpha):
    """Through the kernel of the rows, of which the condition is that of the shift squared."""
    from fractions import Fraction

    rng = np.random.default_rng(0)
    X = rng.normal(size=(10, 25)) + shift
    y = (X - shift) @ np.ones(25) + rng.normal(size=10)
    exact = [[Fraction(float(v)) for v in row] for row in X]
    K = [[sum(a * b for a, b in zip(r, s, strict=True)) for s in exact] for r in exact]
    for i in range(10):
        K[i][i] += Fraction(alpha)
    inverse = invert(K)
    target = [Fraction(float(v)) for v in y]
    dual = [sum(a * b for a, b in zip(r, target, strict=True)) for r in inverse]
    without = np.array([float(target[i] - dual[i] / inverse[i][i]) for i in range(10)])
    model = fit(InfluenceRidge(alpha=alpha, fit_intercept=False), X, y)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert model.curvature().kind == "dual"
        loo = model.loo_estimate()
    told = [str(each.message) for each in said]
    assert all("the dual curvature is ill-conditioned" in each for each in told)
    assert bool(told) == (shift**2 / alpha >= 1e9)
    assert (np.abs(loo.prediction - without) <= loo.error_bound).all()


def invert(A):
    """Inverse of a matrix of fractions."""
    from fractions import Fraction

    n = len(A)
    M = [list(row) + [Fraction(int(i == j)) for j in range(n)] for i, row in enumerate(A)]
    for k in range(n):
        M[k] = [x / M[k][k] for x in M[k]]
        for i in range(n):
            if i != k:
                M[i] = [a - M[i][k] * b for a, b in zip(M[i], M[k], strict=True)]
    return [row[n:] for row in M]


def test_a_penalised_intercept_is_not_centred():
    X, y, _ = data("binary")
    far = X + np.array([50.0, 0.0, 0.0])
    for model in (
        InfluenceLogisticRegression(solver="liblinear"),
        InfluenceExplainer(LinearSVC(loss="squared_hinge")),
    ):
        model.fit(far, y)
        design = fitted_problem(model).objective.design
        assert not design.is_centred
        found = model.influence(far[:5], y[:5], method="exact", train_indices=[3])
        # The model is another one than on the rows minus the shift, and so are its answers.
        near = clone(model).fit(X, y).influence(X[:5], y[:5], method="exact", train_indices=[3])
        assert np.abs(found - near).max() > 1e-3 * np.abs(near).max()
        refit = LogisticRegression(C=1.0, fit_intercept=False, solver="newton-cholesky", tol=1e-13)
        if isinstance(model, InfluenceLogisticRegression):
            Z, keep = np.column_stack([far, np.ones(70)]), np.delete(np.arange(70), 3)
            losses = [
                np.logaddexp(0, -(2 * y[:5] - 1) * refit.fit(Z[k], y[k]).decision_function(Z[:5]))
                for k in (np.arange(70), keep)
            ]
            np.testing.assert_allclose(found[:, 0], losses[1] - losses[0], atol=1e-7)


# -- thresholds, starts, condition -----------------------------------------------------------------


def test_there_is_no_cliff_where_centring_begins():
    """Just below the threshold a Gram matrix about zero has lost two digits, and no more."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 2))
    y = Z @ [1.0, 2.0] + rng.normal(size=200)
    centred = []
    for shift in (4.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0, 20.0):
        X = Z + np.round([shift, 0.0])
        _, without, fit = least_squares_without_rows(
            np.column_stack([np.ones(200), X]).astype(np.longdouble), y
        )
        effect = (without - fit[:, None]).astype(float)
        model = InfluenceLinearRegression().fit(X, y)
        found = model.influence(X, target="prediction")
        assert np.abs(found - effect).max() < 1e-12 * np.abs(effect).max()
        centred.append(fitted_problem(model).objective.design.is_centred)
    assert not centred[0]
    assert centred[-1]


@pytest.mark.parametrize("coef", [1e-3, -1.0])
def test_the_polish_arrives_from_where_every_predictor_is_saturated(coef):
    X, y, _ = data("binary")
    X = X + np.array([1e7, 2e3, -1e6])
    given = fit(LogisticRegression(C=1.0, max_iter=5), X, y)
    given.coef_, given.intercept_ = np.full((1, 3), coef), np.zeros(1)
    explainer = InfluenceExplainer(FrozenEstimator(given), allow_far_from_optimum=True)
    with pytest.warns(ConvergenceWarning, match="far from the optimum"):
        explainer.fit(X, y)
    record = explainer.__optimum_record__()
    assert record.converged
    assert record.stationarity < 1e-12
    own = fit(InfluenceLogisticRegression(), X, y)
    close(explainer.influence(X[:4], y[:4]), own.influence(X[:4], y[:4]))
    X, y, _ = data("counts")
    X = X + np.array([1e7, 0.0, 0.0])
    given = fit(PoissonRegressor(alpha=0.01), X, y)
    given.coef_, given.intercept_ = np.full(3, 1e-5), 0.0
    explainer = InfluenceExplainer(FrozenEstimator(given), allow_far_from_optimum=True)
    with pytest.warns(ConvergenceWarning, match="far from the optimum"):
        record = explainer.fit(X, y).__optimum_record__()
    assert record.converged


def test_an_explainer_takes_the_origin_with_the_optimum():
    X, y, _ = data("binary")
    X = X + np.array([1e6, 0.0, 0.0])
    model = SmoothHingeSVC(temperature=0.2).fit(X, y)
    again = InfluenceExplainer(FrozenEstimator(model)).fit(X, y)
    close(again.influence(X[:4], y[:4]), model.influence(X[:4], y[:4]))
    # Other weights have another origin; the parameter does not become another one.
    weight = np.where(np.arange(70) < 35, 1.0, 1.0 + 1e-9)
    near = InfluenceExplainer(FrozenEstimator(model)).fit(X, y, sample_weight=weight)
    close(near.influence(X[:4], y[:4]), model.influence(X[:4], y[:4]))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_factor_of_the_rows_is_that_of_the_curvature(n_classes, monkeypatch):
    """On data of which the Gram matrix is good enough, by both ways."""
    X, y, weight = data("binary" if n_classes == 2 else "classes")
    for C in (1.0, np.inf):
        objective = fitted_problem(InfluenceLogisticRegression(C=C).fit(X, y, weight)).objective
        gram = make_curvature(objective, "dense")
        monkeypatch.setattr("skinfluence.curvature._dense.SQUARED", 2.0)
        rows = make_curvature(objective, "dense")
        monkeypatch.undo()
        assert rows.by_rows
        assert not gram.by_rows
        V = np.random.default_rng(0).normal(size=(objective.n_parameters, 5))
        np.testing.assert_allclose(rows.solve(V), gram.solve(V), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(rows.solver(100)(V), gram.solver(100)(V), rtol=1e-9, atol=1e-12)
        assert rows.known_inverse() is None
        # Of the matrix of all outputs, as that of the rows is.
        whole = DenseCurvature(objective.with_fixed_penalty())
        assert rows.rcond == pytest.approx(whole.rcond, rel=1e-6)
        for name in ("quadratic", "one_minus"):
            found, expected = (getattr(made.leverage(), name) for made in (rows, gram))
            np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.skipif(
    sklearn.__version__ < "1.7", reason="its own fit of these columns is 1e-5 off, and refused"
)
def test_columns_that_depend_on_each_other_are_found_far_from_zero():
    X, y, _ = data("real")
    X = X + np.array([1e4, 0.0, 0.0])
    dependent = np.column_stack([X, X[:, 0] + 273.15])
    model = fit(InfluenceLinearRegression(), dependent, y)
    expected = InfluenceLinearRegression().fit(X, y).influence(X[:3], y[:3])
    close(model.influence(dependent[:3], y[:3]), expected)
    with pytest.raises(np.linalg.LinAlgError, match=r"the columns x0, x3.* are linearly dependent"):
        model.parameter_influence()
    dummies = np.column_stack([X, np.eye(3)[np.arange(70) % 3]])
    model = fit(InfluenceLinearRegression(), dummies, y)
    expected = InfluenceLinearRegression().fit(dummies[:, :-1], y)
    close(model.influence(dummies[:3], y[:3]), expected.influence(dummies[:3, :-1], y[:3]))


def test_predictions_of_a_linear_kernel_do_not_cancel():
    one, other, near, far, _ = fitted("linear kernel", "1e7")
    np.testing.assert_allclose(other.predict(far), one.predict(near), atol=1e-7)
