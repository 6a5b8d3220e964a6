"""What must never be held: an influence matrix nobody asked for, a dense form of sparse X."""

import tracemalloc

import numpy as np
import scipy.sparse as sp

from skinfluence import InfluenceLogisticRegression
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
