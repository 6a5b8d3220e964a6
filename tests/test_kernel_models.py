"""Kernel machines with probabilities, their features, and Nystroem's shortcut."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression
from skinfluence.design import KernelFeatures, KernelSpace, named_kernel
from skinfluence.design import _kernel as kernel_module
from skinfluence.evaluation import agreement
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem, weights


@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_kernels_are_logistic_regression(n_classes):
    X, y = problem(n_classes=n_classes, p=6, seed=3)
    w = weights(2, len(y), zeros=2)
    plain = InfluenceLogisticRegression(C=0.7, class_weight={0: 2.0}).fit(X, y, w)
    T, t = problem(n_classes=n_classes, p=6, seed=4, n=15)
    for kernel in ("linear", lambda A, B: A @ B.T):
        clf = KernelLogisticRegression(C=0.7, kernel=kernel, class_weight={0: 2.0}).fit(X, y, w)
        np.testing.assert_allclose(clf.predict_proba(T), plain.predict_proba(T), atol=1e-9)
        np.testing.assert_allclose(clf.predict_log_proba(T), plain.predict_log_proba(T), atol=1e-8)
        for method in ("first_order", "newton", "exact"):
            np.testing.assert_allclose(
                clf.influence(T, t, method=method), plain.influence(T, t, method=method), atol=1e-8
            )
        np.testing.assert_allclose(
            clf.influence(T, target="predict_proba"),
            plain.influence(T, target="predict_proba"),
            atol=1e-8,
        )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_exact_is_the_refit(n_classes):
    X, y = problem(n_classes=n_classes, p=3, seed=5)
    clf = KernelLogisticRegression(C=3.0, gamma=0.4).fit(X, y)
    T = X[:10] + 0.3
    rows = np.arange(0, len(y), 9)
    change = clf.influence(T, target="predict_proba", method="exact", train_indices=rows)
    dual = clf.parameter_influence(method="exact", train_indices=rows)
    loo = clf.loo_estimate(method="exact")
    for position, row in enumerate(rows):
        keep = np.arange(len(y)) != row
        model = clone(clf).fit(X[keep], y[keep])
        expected = model.predict_proba(T) - clf.predict_proba(T)
        expected = expected[:, 1] if n_classes == 2 else expected
        np.testing.assert_allclose(change[:, position], expected, atol=1e-8)
        after = clf.dual_coef_ + dual.coef[position]
        np.testing.assert_allclose(after[:, keep], model.dual_coef_, atol=1e-7)
        np.testing.assert_allclose(
            loo.predict_proba[row], model.predict_proba(X[[row]])[0], atol=1e-8
        )
    newton = clf.loo_estimate(method="newton")
    found = agreement(newton.loss, loo.loss)
    assert abs(found.slope - 1) < 0.08
    assert found.relative_rmse < 0.06
    finite = np.isfinite(newton.error_bound)
    error = np.abs(newton.decision_function - loo.decision_function).reshape(len(y), -1)
    if n_classes > 2:
        move = newton.decision_function - loo.decision_function
        error = (move.max(axis=1) - move.min(axis=1))[:, None]
    assert finite.mean() > 0.3
    assert (error.max(axis=1) <= newton.error_bound + 1e-8).all()


def test_features_of_a_kernel_give_it_back():
    X, _ = problem(n=50, p=2)
    X = np.r_[X, X[:20]]  # rank at most 50
    K = rbf_kernel(X, X, gamma=0.5)
    features = KernelFeatures(K)
    assert features.features.shape[1] <= 50
    np.testing.assert_allclose(features.features @ features.features.T, K, atol=1e-10)
    T = np.random.default_rng(0).normal(size=(9, 2))
    between = rbf_kernel(T, X, gamma=0.5)
    mapped = features.map(between[:, features.pivots])
    np.testing.assert_allclose(mapped @ features.features.T, between, atol=1e-6)
    np.testing.assert_allclose(features.map(K[:, features.pivots]), features.features, atol=1e-8)
    empty = KernelFeatures(np.zeros((4, 4)))
    assert empty.features.shape == (4, 0)
    assert empty.map(np.zeros((3, 0))).shape == (3, 0)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("size", [1e6, 1e160])
def test_an_rbf_kernel_of_rows_that_are_far_apart_knows_the_near_ones(storage, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 2))
    X[:, 0] = size * rng.integers(-1, 2, size=12)
    Y, gamma = np.vstack([X[:5], X[:3]]), 0.3
    Y[5:, 1] += 0.1
    with np.errstate(over="ignore"):
        wanted = np.exp(-gamma * ((X[:, None] - Y[None]) ** 2).sum(axis=2))
    assert ((wanted > 0) & (wanted < 1)).sum() > 20
    found = named_kernel(storage(X), storage(Y), "rbf", gamma=gamma)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)
    found = named_kernel(storage(X), storage(X), "rbf")
    np.testing.assert_allclose(found, found.T, rtol=1e-13)
    assert (found.diagonal() == 1.0).all()


def test_digits_leave_one_out_picks_a_width():
    X, y = load_digits(n_class=3, return_X_y=True)
    X, y, T, t = X[:200] / 16, y[:200], X[200:] / 16, y[200:]
    losses = {}
    for gamma in (0.003, 0.05, 1.0):
        clf = KernelLogisticRegression(C=10.0, gamma=gamma).fit(X, y)
        fresh = log_loss(t, clf.predict_proba(T))
        losses[gamma] = clf.loo_estimate(method="newton").mean_loss, fresh
    best = min(losses, key=lambda gamma: losses[gamma][0])
    assert best == min(losses, key=lambda gamma: losses[gamma][1])


def test_many_rows_go_through_nystroem():
    X, y = problem(n=400, p=3, seed=8)
    pipe = make_pipeline(
        Nystroem(gamma=0.3, n_components=60, random_state=0), LogisticRegression(C=2.0)
    )
    explainer = InfluenceExplainer(pipe).fit(X[:300], y[:300])
    estimated = explainer.influence(X[300:], y[300:], aggregate="mean", method="newton")
    features = explainer.estimator_[:-1].transform(X)
    model = LogisticRegression(C=2.0, solver="newton-cholesky", tol=1e-12)

    def loss(keep):
        fitted = model.fit(features[:300][keep], y[:300][keep])
        return log_loss(y[300:], fitted.predict_proba(features[300:]))

    every = np.arange(300)
    rows = every[::10]
    actual = np.array([loss(every != row) for row in rows]) - loss(every >= 0)
    found = agreement(estimated[rows], actual)
    assert abs(found.slope - 1) < 0.04
    assert found.relative_rmse < 0.05
    # The span of 60 pivot rows is close to that of all.
    whole = KernelLogisticRegression(C=2.0, gamma=0.3).fit(X[:300], y[:300])
    close = agreement(estimated, whole.influence(X[300:], y[300:], aggregate="mean"))
    assert close.r > 0.95


PICKLED = {
    "logistic": KernelLogisticRegression(),
    "hinge": SmoothHingeSVC(kernel="rbf"),
    "svr": SmoothEpsilonSVR(kernel="poly", temperature=0.3),
    "ridge": InfluenceKernelRidge(kernel="rbf"),
    "explained ridge": InfluenceExplainer(KernelRidge(kernel="rbf")),
    "explained svc": InfluenceExplainer(SVC(C=0.3)),
}


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("name", PICKLED)
def test_pickles_have_the_rows_and_not_their_kernel(name, storage):
    X, y = problem(n=300, p=4)
    X = storage(np.where(np.abs(X) > 0.2, X, 0.0))
    model = clone(PICKLED[name]).fit(X, y.astype(float))

    def answers(model):
        some = {"train_indices": [0, 3]}
        return [
            model.predict(X),
            model.influence(X[:4], y[:4].astype(float), method="first_order"),
            model.parameter_influence(method="first_order", **some).coef,
            model.self_influence(method="exact", **some),
        ]

    expected = answers(model)
    text = pickle.dumps(model)
    entry = 8 if storage is np.asarray else 12
    # The rows (a fitted SVC has its support vectors, too), and some vectors of the rows' length.
    assert len(text) < 3 * entry * X.size + 100 * len(y) + 20_000 < 8 * len(y) ** 2 / 5
    for restored in (pickle.loads(text), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for one, other in zip(answers(restored), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    assert len(pickle.dumps(restored)) < len(text) + 1000  # what was computed since is left behind


def test_a_pickle_of_a_precomputed_kernel_has_one_matrix():
    X, y = problem(n=150, p=4)
    K = rbf_kernel(X, gamma=0.2)
    clf = KernelLogisticRegression(kernel="precomputed").fit(K, y)
    before = clf.influence(K[:4], y[:4])
    text = pickle.dumps(clf)
    rank = clf._space.features.features.shape[1]
    assert len(text) < 8 * len(y) * rank + 100 * len(y) + 20_000
    for restored in (pickle.loads(text), pickle.loads(pickle.dumps(pickle.loads(text)))):
        np.testing.assert_allclose(restored.influence(K[:4], y[:4]), before, rtol=1e-8, atol=1e-10)
        np.testing.assert_array_equal(restored.predict_proba(K[:4]), clf.predict_proba(K[:4]))


def test_a_pickle_keeps_its_coordinates_where_rounding_chooses_other_pivots(monkeypatch):
    # Rows in pairs that nearly agree: which of two is the pivot, rounding may decide.
    rng = np.random.default_rng(0)
    half = rng.normal(size=(30, 3))
    X = np.vstack([half, half + 1e-7 * rng.normal(size=half.shape)])
    y = np.tile((half[:, 0] > 0).astype(int), 2)
    clf = KernelLogisticRegression(C=10.0).fit(X, y)
    T = rng.normal(size=(5, 3))
    before = clf.influence(X[:4], y[:4])
    of_new = clf.influence(T, y[:5])
    text = pickle.dumps(clf)
    once = KernelFeatures(rbf_kernel(X, gamma=clf.gamma_))
    find = KernelFeatures.__init__

    def differently(self, K):
        order = np.r_[30:60, 0:30]
        find(self, K[np.ix_(order, order)])
        self.pivots = order[self.pivots]

    monkeypatch.setattr(KernelFeatures, "__init__", differently)
    K = rbf_kernel(X, gamma=clf.gamma_)
    assert not np.array_equal(KernelFeatures(K).pivots, once.pivots)
    again = KernelFeatures.of_pivots(K, once.pivots, once.tail)
    assert once.tail.shape == (60, 15)
    np.testing.assert_allclose(again.features, once.features, atol=1e-9)
    new = rbf_kernel(T, X[once.pivots], gamma=clf.gamma_)
    np.testing.assert_allclose(again.map(new), once.map(new), rtol=1e-6, atol=1e-6)
    restored = pickle.loads(text)
    np.testing.assert_allclose(restored.influence(X[:4], y[:4]), before, rtol=1e-6)
    np.testing.assert_allclose(restored.influence(T, y[:5]), of_new, rtol=1e-6)


def test_a_kernel_that_is_another_one_after_a_pickle_says_so():
    X = np.random.default_rng(0).normal(size=(8, 2))
    space = KernelSpace(X, "rbf", gamma=0.5)
    assert space.features.pivots.shape == (8,)  # which a pickle keeps once they are found
    space = pickle.loads(pickle.dumps(space))
    space.kernel = "linear"  # of rank 2: two rows cannot span what eight did
    with pytest.raises(RuntimeError, match="not what it was in fit"):
        space.design(True)


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_an_rbf_kernel_of_rows_that_are_near_each_other_beside_their_size(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3)) * [1e6, 1.0, 1e-3]
    X[10:15] = X[:5]
    X[15:] = X[:5] + 0.1 * rng.normal(size=(5, 3))
    expected = np.exp(-0.3 * np.square(X[:, None] - X).sum(axis=2))
    space = KernelSpace(make(X), "rbf", gamma=0.3)
    np.testing.assert_allclose(space.matrix, expected, atol=1e-15)
    np.testing.assert_allclose(space.with_training_rows(make(X[3:7])), expected[3:7], atol=1e-15)
    assert np.abs(rbf_kernel(X, X.copy(), gamma=0.3) - expected).max() > 1e-5  # by products


def test_rows_that_are_small_beside_others_keep_their_kernel():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=40)
    X[0] *= 300.0  # the others' kernel is the 1e-15th part of this row's
    options = {"alpha": 0.1, "kernel": "poly", "gamma": 0.5, "coef0": 0.0}
    model = InfluenceKernelRidge(**options).fit(X, y)
    assert model._space.features.features.shape[1] >= 10  # the monomials of degree 3
    with pytest.warns(RuntimeWarning, match="ill-conditioned"):
        found = model.loo_estimate().prediction
    for row in range(1, 40, 6):
        keep = np.arange(40) != row
        refit = KernelRidge(**options).fit(X[keep], y[keep])
        np.testing.assert_allclose(found[row], refit.predict(X[[row]])[0], rtol=1e-8)


def test_new_rows_of_a_kernel_that_is_singular_to_rounding():
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(16, 1)), rng.normal(size=(6, 1))
    y = np.sin(2 * X[:, 0]) + rng.normal(size=16)
    options = {"alpha": 1e-3, "kernel": "rbf", "gamma": 0.5}
    model = InfluenceKernelRidge(**options).fit(X, y)
    found = model.influence(T, target="prediction")
    for row in range(0, 16, 3):
        keep = np.arange(16) != row
        refit = KernelRidge(**options).fit(X[keep], y[keep])
        change = refit.predict(T) - model.predict(T)
        np.testing.assert_allclose(found[:, row], change, atol=3e-9 * np.abs(change).max())


def test_a_copy_finds_the_optimum_in_coordinates_that_are_rounded_otherwise(monkeypatch):
    """As on another machine, whose kernel differs in last digits: small pivots magnify these."""
    X, y = load_iris(return_X_y=True)
    model = SmoothHingeSVC(kernel="rbf", temperature=0.2).fit(X, y)
    expected = model.loo_estimate(method="exact")
    stored = pickle.dumps(model)

    def rounded_otherwise(X, Y, metric, **options):
        K = named_kernel(X, Y, metric, **options)
        last = np.random.default_rng(0).integers(-1, 2, size=K.shape) * np.finfo(float).eps
        return K * (1.0 + last + last.T) if K.shape[0] == K.shape[1] else K

    monkeypatch.setattr(kernel_module, "named_kernel", rounded_otherwise)
    again = pickle.loads(stored).loo_estimate(method="exact")
    assert np.isfinite(again.error_bound).all()
    np.testing.assert_allclose(again.decision_function, expected.decision_function, atol=1e-6)
