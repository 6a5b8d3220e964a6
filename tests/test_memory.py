"""What must never be held: an influence matrix nobody asked for, a dense form of sparse X."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.svm import SVC

from skinfluence import InfluenceExplainer, InfluenceHuberRegressor, InfluenceLogisticRegression
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem


def peak_of(call):
    """Largest traced memory during a call, above that before it, in bytes."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    call()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return peak


def test_the_matrix_is_held_only_where_it_is_the_answer():
    X, y = problem(n=16_000, p=3)
    T, t = problem(n=2000, p=3, seed=1)
    clf = InfluenceLogisticRegression().fit(X, y)
    matrix = 8 * len(y) * len(t)
    assert peak_of(lambda: clf.influence(T, t)) > matrix
    for call in (
        lambda: clf.most_influential(T, t, k=3),
        lambda: clf.influence(T, t, aggregate="mean"),
        lambda: clf.influence(T, t, aggregate="mean", method="first_order"),
        lambda: clf.self_influence(),
        lambda: clf.score_influence(T, t, scoring="neg_log_loss"),
    ):
        assert peak_of(call) < matrix / 2


def test_a_hundred_thousand_sparse_columns_are_never_dense():
    rng = np.random.default_rng(0)
    X = sp.random(500, 100_000, density=3e-4, format="csr", random_state=0)
    y = rng.integers(0, 2, 500)
    clf = InfluenceLogisticRegression().fit(X, y)
    dense = 8 * 500 * 100_000
    T, t = X[:4], y[:4]
    by_products = {}

    def ask():
        by_products["first"] = clf.influence(T, t, method="first_order", curvature="cg")
        by_products["rows"] = clf.influence(T, t, curvature="cg", train_indices=[0, 7])

    assert peak_of(ask) < dense / 2
    kept = {}
    assert peak_of(lambda: kept.update(newton=clf.influence(T, t))) < dense / 2
    assert clf.curvature().kind == "dual"
    np.testing.assert_allclose(by_products["rows"], kept["newton"][:, [0, 7]], atol=1e-9)
    exact = clf.influence(T, t, method="exact", train_indices=[0, 7])
    np.testing.assert_allclose(kept["newton"][:, [0, 7]], exact, rtol=0.2, atol=1e-6)


def test_many_classes_without_a_square_of_them_a_row():
    rng = np.random.default_rng(0)
    n, K, p = 3000, 150, 4
    y = np.arange(n) % K
    X = rng.normal(size=(K, p))[y] + rng.normal(size=(n, p))
    clf = InfluenceLogisticRegression(max_iter=20)  # Newton's method takes it from there
    assert peak_of(lambda: clf.fit(X, y)) < 100e6 < 8 * n * K**2 / 5
    assert clf._optimum.stationarity < 1e-9


OTHERS = {
    "softmax": InfluenceLogisticRegression(C=5.0, max_iter=1000),
    "softmax, some rows sure": InfluenceLogisticRegression(C=1e4, max_iter=1000),
    "softmax, no penalty": InfluenceLogisticRegression(C=np.inf, max_iter=1000),
    "softmax, L1": InfluenceLogisticRegression(
        l1_ratio=0.5, solver="saga", C=0.5, max_iter=10_000, tol=1e-6
    ),
    "one against the rest": SmoothHingeSVC(temperature=0.3),
    "few rows near the kink": SmoothHingeSVC(temperature=0.02),
    "one against one": InfluenceExplainer(SVC(kernel="linear")),
    "huber": InfluenceHuberRegressor(max_iter=5000),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_curvatures_by_blocks_of_rows_are_the_curvatures(name, storage, monkeypatch):
    X, y = problem(n=90, n_classes=3, seed=2)
    X, model = storage(np.where(np.abs(X) > 0.3, X, 0.0)), OTHERS[name]
    w = np.random.default_rng(0).uniform(0.5, 2.0, size=90)
    w[7] = 1.0 if name == "huber" else 0.0
    y = X @ [1.0, 2.0, 0.0, -1.0] + np.sin(5.0 * y) if "huber" in name else y

    def answers():
        fitted = clone(model).fit(X, y, sample_weight=w)
        loo = fitted.loo_estimate(method="newton")
        group = fitted.group_influence([[0, 3, 8], [1]], X, y, aggregate="mean")
        step = fitted.parameter_influence(method="first_order").coef.reshape(90, -1).sum(axis=1)
        exact = fitted.self_influence(method="exact", train_indices=[3, 50])
        return [fitted.self_influence(), loo.loss, loo.leverage, group, step, exact]

    whole = answers()
    # Blocks of four rows of three outputs.
    monkeypatch.setattr("skinfluence.objective.KEPT_BYTES", 0)
    monkeypatch.setattr("skinfluence.objective.BLOCK_BYTES", 8 * 9 * 4)
    for one, other in zip(answers(), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["dense", "dual", "cg"])
def test_solves_by_blocks_of_rows(kind, monkeypatch):
    X, y = problem(n=60, p=40, n_classes=4, seed=1)
    clf = InfluenceLogisticRegression(C=0.1).fit(X, y)
    whole = clf.influence(X, y, curvature=kind)
    monkeypatch.setattr("skinfluence.objective.KEPT_BYTES", 0)
    monkeypatch.setattr("skinfluence.objective.BLOCK_BYTES", 8 * 16 * 7)
    monkeypatch.setattr("skinfluence.design._dense.NARROW", 10)
    clf = InfluenceLogisticRegression(C=0.1).fit(X, y)
    np.testing.assert_allclose(clf.influence(X, y, curvature=kind), whole, rtol=1e-7, atol=1e-10)
