"""Rows, groups and fits without a finite optimum, against a linear program of the test's own."""

import warnings

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning

from skinfluence import (
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceTweedieRegressor,
)

METHODS = ["first_order", "newton", "exact", "auto"]


def falls_for_ever(A, equal):
    """Whether some d has A d >= 0, not all 0, and equal d = 0: a direction of recession."""
    zeros = {"A_eq": equal, "b_eq": np.zeros(len(equal))} if len(equal) else {}
    found = linprog(
        -A.sum(axis=0), A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs", **zeros
    )
    return -found.fun > 1e-6


def exists(X, y, weight, n_classes):
    """Whether unpenalised (multinomial) logistic regression, or a count model, has an optimum."""
    X, y = X[weight > 0], y[weight > 0]
    Z = np.c_[X, np.ones(len(X))]
    if len(Z) == 0 or np.linalg.matrix_rank(Z) < Z.shape[1]:
        return False
    if not n_classes:
        zero = y == 0
        return not zero.all() and not falls_for_ever(np.r_[-Z[zero], 0 * Z[:1]], Z[~zero])
    if len(np.unique(y)) < n_classes:
        return False
    eye = np.eye(n_classes)
    A = [
        np.outer(eye[own] - eye[k], z).ravel()
        for z, own in zip(Z, y, strict=True)
        for k in range(n_classes)
        if k != own
    ]
    return not falls_for_ever(np.array(A), np.zeros((0, 0)))


def without(weight, row):
    """Weights with one of them 0."""
    weight = weight.copy()
    weight[row] = 0.0
    return weight


def small_problem(rng, kind):
    """Rows of few values, labels or counts, and weights."""
    n, p = rng.integers(6, 13), rng.integers(1, 3)
    X = rng.integers(0, rng.integers(2, 4), (n, p)).astype(float)
    n_classes = {"binary": 2, "multinomial": 3}.get(kind, 0)
    y = rng.integers(0, n_classes, n) if n_classes else rng.poisson(0.7, n)
    weight = np.ones(n)
    if rng.random() < 0.5:
        weight = 10.0 ** rng.integers(-2, 3, n)
        weight[rng.random(n) < 0.1] = 0.0
    if rng.random() < 0.3:
        X += 50.0
    return X, y, weight, n_classes


MODELS = {
    "binary": InfluenceLogisticRegression(C=np.inf, solver="newton-cholesky"),
    "multinomial": InfluenceLogisticRegression(C=np.inf, solver="newton-cholesky"),
    "poisson": InfluencePoissonRegressor(alpha=0.0, solver="newton-cholesky"),
    "tweedie": InfluenceTweedieRegressor(power=1.5, alpha=0.0, solver="newton-cholesky"),
}


def undefined_by_every_question(model, X, y, method):
    """Masks of the rows that a method calls undefined, question by question."""
    n, everything = len(y), [[i] for i in range(len(y))]
    influence, info = model.influence(X, y, method=method, return_info=True)
    yield "influence", np.isnan(influence).all(axis=0)
    yield "some entry", np.isnan(influence).any(axis=0)
    yield "route", info.method == "undefined"
    groups, info = model.group_influence(everything, X, y, method=method, return_info=True)
    yield "groups", np.isnan(groups).all(axis=0)
    yield "route of the group", info.method == "undefined"
    loo = model.loo_estimate(method=method)
    yield "loo", np.isnan(loo.loss)
    yield "route of loo", loo.method == "undefined"
    coef = model.parameter_influence(method=method).coef.reshape(n, -1)
    yield "parameters", np.isnan(coef).all(axis=1)


@pytest.mark.filterwarnings("ignore:.*left undefined")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
@pytest.mark.filterwarnings("ignore:.*R.2 score")
@pytest.mark.filterwarnings("ignore:.*D.2 score")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", MODELS)
def test_undefined_rows_of_small_problems(kind, seed):
    rng, n_tried, n_undefined = np.random.default_rng([seed, len(kind)]), 0, 0
    while n_tried < 3 or not n_undefined:
        X, y, weight, n_classes = small_problem(rng, kind)
        if n_classes and len(np.unique(y)) < n_classes:
            continue
        if not exists(X, y, weight, n_classes):
            continue
        n_tried += 1
        model = MODELS[kind].fit(X, y, weight)
        wanted = np.array(
            [
                w > 0 and not exists(X, y, without(weight, i), n_classes)
                for i, w in enumerate(weight)
            ]
        )
        n_undefined += wanted.sum()
        for method in METHODS:
            for question, found in undefined_by_every_question(model, X, y, method):
                np.testing.assert_array_equal(found, wanted, err_msg=f"{method}: {question}")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_a_saturated_cell(method, shift):
    x = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1.0])[:, None] + shift
    y = np.array([0, 1] * 5)
    model = InfluenceLogisticRegression(C=np.inf).fit(x, y)
    with pytest.warns(RuntimeWarning, match=r"1 row left undefined \(NaN\): without row 8") as said:
        influence, info = model.influence(x, y, method=method, return_info=True)
    assert len(said) == 1
    np.testing.assert_array_equal(np.isnan(influence).any(axis=0), np.arange(10) == 8)
    np.testing.assert_array_equal(info.method == "undefined", np.arange(10) == 8)


@pytest.mark.parametrize("method", METHODS)
def test_the_only_count_of_a_cell(method):
    x = np.repeat([0.0, 1.0], 5)[:, None]
    y = np.array([1, 0, 2, 0, 1, 0, 0, 3, 0, 0])
    model = InfluencePoissonRegressor(alpha=0.0).fit(x, y)
    with pytest.warns(RuntimeWarning, match=r"1 row left undefined \(NaN\): without row 7"):
        influence = model.influence(x, y, method=method)
    np.testing.assert_array_equal(np.isnan(influence).any(axis=0), np.arange(10) == 7)


@pytest.mark.parametrize("method", METHODS)
def test_a_row_without_which_the_columns_lose_their_rank(method):
    # Four copies of each of two rows, and one row apart: the others are answered all the same.
    X = np.r_[np.repeat([[0.3, -1.0], [1.2, 0.4]], 4, axis=0), [[5.0, -3.0]] * 3]
    y = np.array([0, 1] * 4 + [1, 0, 1])
    weight = np.r_[np.ones(8), 1.0, 1.0, 0.0]
    model = InfluenceLogisticRegression(C=np.inf).fit(X, y, weight)
    counts = InfluencePoissonRegressor(alpha=0.0).fit(X[:9], y[:9])
    lost = {
        "row": r"2 rows left undefined \(NaN\): without row 8, 9 ",
        "group": "1 group .* group 1 ",
    }
    with pytest.warns(RuntimeWarning, match=lost["row"]):
        influence = model.influence(X, y, method=method)
    np.testing.assert_array_equal(np.isnan(influence).all(axis=0), np.isin(np.arange(11), [8, 9]))
    assert np.isfinite(np.delete(influence, [8, 9], axis=1)).all()
    with pytest.warns(RuntimeWarning, match=lost["group"]):
        groups = model.group_influence([[0, 1], [8, 9]], X, y, method=method)
    np.testing.assert_array_equal(np.isnan(groups).all(axis=0), [False, True])
    with pytest.warns(RuntimeWarning, match="1 row left undefined .*: without row 8 "):
        influence = counts.influence(X, y, method=method)
    np.testing.assert_array_equal(np.isnan(influence).all(axis=0), np.arange(9) == 8)
    assert np.isfinite(influence[:, :8]).all()


# -- fits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_ties", [1, 3, 20])
@pytest.mark.parametrize("n_more", [0, 30])
def test_quasi_complete_separation(n_ties, n_more, n_classes):
    # Rows of two classes at the boundary, and each class on its own side of it.
    x = np.r_[1, 2, [3] * n_ties, [3] * n_ties, 4, np.linspace(0, 2, n_more)][:, None].astype(float)
    y = np.r_[0, 0, [0] * n_ties, [1] * n_ties, 1, np.zeros(n_more)].astype(int)
    if n_classes == 3:
        x, y = np.r_[x, [[6.0], [5.0]]], np.r_[y, 2, 2]
    with pytest.warns(ConvergenceWarning, match="separable"):
        model = InfluenceLogisticRegression(C=np.inf, max_iter=1000, tol=1e-10).fit(x, y)
    with pytest.raises(np.linalg.LinAlgError, match="the training data are linearly separable"):
        model.influence(x, y)
    with pytest.raises(np.linalg.LinAlgError, match="the training data are linearly separable"):
        model.parameter_covariance()


def test_large_predictors_that_do_not_separate():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = (X[:, 0] + 0.3 * rng.normal(size=200) > 0).astype(int)
    X[:3] *= 1e2 * np.where(y[:3], 1, -1)[:, None] * np.sign(X[:3, :1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    assert np.abs(model.decision_function(X)).max() > 100
    assert np.isfinite(model.influence(X, y)).all()
