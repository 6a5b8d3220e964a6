"""What must never be held: an influence matrix nobody asked for, a dense form of sparse X.

And what is said where an answer is larger than the memory there is.
"""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.svm import SVC

from skinfluence import (
    InfluenceExplainer,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLogisticRegression,
    _memory,
)
from skinfluence.kernel_models import KernelLogisticRegression
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
        some = {"train_indices": [0, 7], "method": "newton"}
        by_products["rows"] = clf.influence(T, t, curvature="cg", **some)

    assert peak_of(ask) < dense / 2
    kept = {}
    assert peak_of(lambda: kept.update(newton=clf.influence(T, t, method="newton"))) < dense / 2
    assert peak_of(lambda: clf.influence(T, t)) < dense / 2  # with refits, too
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


# Up to scikit-learn 1.7 the kind of penalty has a parameter of its own, from 1.8 it is deprecated.
ELASTIC_NET = {"penalty": "elasticnet"} if sklearn.__version__ < "1.8" else {}

OTHERS = {
    "softmax": InfluenceLogisticRegression(C=5.0, max_iter=1000),
    "softmax, some rows sure": InfluenceLogisticRegression(C=1e4, max_iter=1000),
    "softmax, no penalty": InfluenceLogisticRegression(C=np.inf, max_iter=1000),
    "softmax, L1": InfluenceLogisticRegression(
        l1_ratio=0.5, solver="saga", C=0.5, max_iter=10_000, tol=1e-6, **ELASTIC_NET
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
    monkeypatch.setattr("skinfluence.objective._objective.KEPT_BYTES", 0)
    monkeypatch.setattr("skinfluence.objective._objective.BLOCK_BYTES", 8 * 9 * 4)
    for one, other in zip(answers(), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["dense", "dual", "cg"])
def test_solves_by_blocks_of_rows(kind, monkeypatch):
    X, y = problem(n=60, p=40, n_classes=4, seed=1)
    clf = InfluenceLogisticRegression(C=0.1).fit(X, y)
    whole = clf.influence(X, y, curvature=kind)
    monkeypatch.setattr("skinfluence.objective._objective.KEPT_BYTES", 0)
    monkeypatch.setattr("skinfluence.objective._objective.BLOCK_BYTES", 8 * 16 * 7)
    monkeypatch.setattr("skinfluence.design._dense.NARROW", 10)
    clf = InfluenceLogisticRegression(C=0.1).fit(X, y)
    np.testing.assert_allclose(clf.influence(X, y, curvature=kind), whole, rtol=1e-7, atol=1e-10)


GIB = 2**30


@pytest.mark.parametrize(
    ("groups", "limit", "free"),
    [
        ({}, 16, 13),  # 12 available, 1 of swap
        ({"memory.max": "max", "memory.current": 5 * GIB}, 16, 13),
        # 2 of the 5 used are files that may be forgotten.
        ({"memory.max": 8 * GIB, "memory.current": 5 * GIB, "inactive_file": 2 * GIB}, 8, 5),
        ({"memory.max": 8 * GIB, "memory.current": 9 * GIB}, 8, 0),
        ({"a/memory.max": 4 * GIB, "a/memory.current": GIB, "a/b/memory.max": "max"}, 4, 3),
        ({"a/b/memory.max": 2 * GIB, "a/b/memory.current": GIB}, 2, 1),
        ({"c/memory.max": GIB, "c/memory.current": 0}, 16, 13),  # of others
        (
            {"memory/a/memory.limit_in_bytes": 4 * GIB, "memory/a/memory.usage_in_bytes": GIB},
            4,
            3,
        ),
        (
            {
                "memory/memory.limit_in_bytes": 2**63 - 4096,
                "memory/memory.usage_in_bytes": GIB,
            },
            16,
            13,
        ),
    ],
)
def test_memory_is_that_of_the_control_group(groups, limit, free, tmp_path):
    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    meminfo = {"MemTotal": 16, "MemFree": 1, "MemAvailable": 12, "SwapFree": 1}
    lines = [f"{name}:  {size * 2**20} kB" for name, size in meminfo.items()]
    write(tmp_path / "proc/meminfo", "\n".join([*lines, "HugePages_Total: 0", "Odd"]))
    write(tmp_path / "proc/self/cgroup", "4:memory,cpu:/a/b\n1:cpuset:/c\n0::/a/b")
    stat = groups.pop("inactive_file", 0)
    for name, text in groups.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    write(tmp_path / "sys/fs/cgroup/memory.stat", f"anon 7\ninactive_file {stat}")
    assert _memory.memory_limit(tmp_path) == limit * GIB
    assert _memory.free_memory(tmp_path) == free * GIB


def test_memory_where_no_file_tells(tmp_path, monkeypatch):
    assert _memory.memory_limit(tmp_path / "posix") > 2**28
    monkeypatch.delattr("os.sysconf")
    assert _memory.memory_limit(tmp_path) == _memory.free_memory(tmp_path) == 8 * GIB


def test_too_large_an_answer_names_the_argument_that_makes_it_smaller(monkeypatch):
    X, y = problem(n=600, p=12, n_classes=4)
    clf = InfluenceLogisticRegression().fit(X, y)
    clf.self_influence()  # the Hessian is at hand
    lasso = InfluenceLasso(alpha=0.01).fit(X, y)
    monkeypatch.setattr(_memory, "SMALL", 2**15)
    monkeypatch.setattr(_memory, "free_memory", lambda: 2**16)
    X_test, y_test = np.tile(X, (10, 1)), np.tile(y, 10)

    def raises(what, *arguments):
        return pytest.raises(MemoryError, match=f"{what}.*GiB are free.*{'.*'.join(arguments)}")

    some = {"train_indices": [0, 1, 2], "method": "first_order"}
    matrix = ["train_indices", "aggregate='mean'", "most_influential"]
    few = {"method": "first_order", "curvature": "dense"}
    for message, call in (
        (
            ("the influence of 600 deletions on 6000", *matrix),
            lambda: clf.influence(X_test, y_test, **few),
        ),
        (
            ("the influence of 3 deletions", *matrix),
            lambda: clf.group_influence([[0], [1], [2]], X_test, y_test, method="first_order"),
        ),
        (
            ("leverages of 599 rows, 4 x 4", "train_indices"),
            lambda: clf.influence(X[:2], y[:2], train_indices=range(599)),  # of all they are known
        ),
        (("changes of 52 parameters", "train_indices"), lambda: clf.parameter_influence(**few)),
        (("refits without each of 600", "newton"), lambda: lasso.self_influence(method="exact")),
        (("kernel matrix of 600", "Nystroem"), lambda: KernelLogisticRegression().fit(X, y)),
    ):
        with raises(*message):
            call()
    # And each of them does make it smaller.
    assert clf.influence(X_test[:50], y_test[:50], **some).shape == (50, 3)
    assert clf.influence(X_test, y_test, aggregate="mean", **few).shape == (600,)
    assert clf.most_influential(X_test[:9], y_test[:9], k=2, **few).helpful_values.shape == (9, 2)


def test_a_factor_that_does_not_fit_now(monkeypatch):
    X, y = problem(n=300, p=80)
    clf = InfluenceLogisticRegression()
    whole = clf.fit(X, y).influence(X[:5], y[:5])
    monkeypatch.setattr(_memory, "SMALL", 2**10)
    monkeypatch.setattr(_memory, "free_memory", lambda: 2**14)
    coef = clf.coef_
    np.testing.assert_allclose(clf.fit(X, y).coef_, coef, rtol=1e-8)  # by products instead
    with pytest.raises(MemoryError, match=r"factor of 81 parameters.*curvature='cg'"):
        clf.influence(X[:5], y[:5], curvature="dense")
    with pytest.raises(MemoryError, match=r"rows' kernel.*curvature='cg'"):
        clf.influence(X[:5], y[:5], curvature="dual")
    monkeypatch.setattr(_memory, "free_memory", lambda: 2**24)
    np.testing.assert_allclose(
        clf.influence(X[:5], y[:5], curvature="cg"), whole, rtol=1e-5, atol=1e-9
    )


def test_one_step_leave_one_out_takes_no_more_than_three_times_its_answer():
    X, y = problem(n=40_000, p=20)
    clf = InfluenceLogisticRegression().fit(X, y)
    clf.__dict__.pop("_problem_cache", None)
    kept = []
    peak = peak_of(lambda: kept.append(clf.loo_estimate(method="newton")))
    loo = kept[0]
    numbers = loo.decision_function, loo.predict_proba, loo.loss, loo.leverage, loo.row_names
    assert peak < 3 * (sum(each.nbytes for each in numbers) + 8 * len(y))  # and the weights
