"""Kernel machines with probabilities, their features, and Nystroem's shortcut."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression
from skinfluence.design import KernelFeatures
from skinfluence.evaluation import agreement
from skinfluence.kernel_models import KernelLogisticRegression
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
