"""SVC and LinearSVC with the hinge through an explainer, against refits by their own solvers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC

from skinfluence import InfluenceExplainer
from skinfluence.link import OneVsOneLink
from skinfluence.model_selection import LeaveOneOutSearchCV, approximate_cross_val_predict
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, weights

# Errors of libsvm and liblinear themselves, at their tightest.
LIBSVM, LIBLINEAR = 3e-5, 1e-6
TIGHT = {"tol": 1e-10, "gamma": 0.3}


def data(n_classes=2, n=60, seed=0):
    return problem(seed=seed, n=n, p=3, n_classes=n_classes)


def refit(model, X, y, row, w=None):
    keep = np.arange(len(y)) != row
    return clone(model).fit(X[keep], y[keep], None if w is None else w[keep])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", ["ovr", "ovo"])
@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_exact_is_the_refit_of_svc(n_classes, kernel, shape, weighted):
    X, y = data(n_classes)
    w = weights(0, len(y)) if weighted else None
    model = SVC(kernel=kernel, decision_function_shape=shape, **TIGHT)
    explainer = InfluenceExplainer(model).fit(X, y, w)
    effect = explainer.influence(X, target="decision_function", method="exact")
    wrong = explainer.influence(X, y, target="zero_one", method="exact")
    left = explainer.loo_estimate(method="exact")
    before = explainer.estimator_.decision_function(X)
    missed = explainer.predict(X) != y
    for row in range(0, len(y), 6):
        without = refit(model, X, y, row, w)
        change = without.decision_function(X) - before
        np.testing.assert_allclose(effect[:, row], change, atol=LIBSVM)
        np.testing.assert_allclose(
            left.decision_function[row], without.decision_function(X[[row]])[0], atol=LIBSVM
        )
        expected = (without.predict(X) != y).astype(float) - missed
        np.testing.assert_array_equal(wrong[:, row], expected)


def test_accuracy_is_that_of_refits():
    X, y = data(3)
    model = SVC(**TIGHT)
    explainer = InfluenceExplainer(model).fit(X, y)
    right = [refit(model, X, y, row).predict(X[[row]])[0] == y[row] for row in range(len(y))]
    assert explainer.loo_estimate().score == np.mean(right)
    scores = explainer.score_influence(X, y, method="exact")
    for row in (0, 11, 30):
        expected = refit(model, X, y, row).score(X, y) - model.fit(X, y).score(X, y)
        assert scores[row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_binary_is_the_smooth_hinges_own(kernel):
    X, y = data()
    explainer = InfluenceExplainer(SVC(kernel=kernel, C=2.0, **TIGHT)).fit(X, y)
    own = SmoothHingeSVC(loss="hinge", temperature=1e-3, kernel=kernel, C=2.0, gamma=0.3).fit(X, y)
    for method in ("exact", "newton", "first_order"):
        np.testing.assert_allclose(
            explainer.influence(X, y, method=method), own.influence(X, y, method=method), atol=1e-8
        )


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_svc_with_its_penalised_intercept(n_classes, fit_intercept):
    X, y = data(n_classes)
    w = weights(1, len(y))
    model = LinearSVC(
        loss="hinge",
        tol=1e-9,
        max_iter=10**6,
        fit_intercept=fit_intercept,
        intercept_scaling=2.0,
        random_state=0,
    )
    explainer = InfluenceExplainer(model).fit(X, y, w)
    effect = explainer.influence(X, target="decision_function", method="exact")
    before = explainer.decision_function(X)
    changes = explainer.parameter_influence(method="exact", train_indices=[0, 9])
    for row in range(0, len(y), 9):
        without = refit(model, X, y, row, w)
        change = without.decision_function(X) - before
        np.testing.assert_allclose(effect[:, row], change, atol=LIBLINEAR)
    without = refit(model, X, y, 9, w)
    np.testing.assert_allclose(
        changes.coef[1], without.coef_ - explainer.estimator_.coef_, atol=LIBLINEAR
    )


def test_pairs_are_read_as_scikit_learn_reads_them():
    X, y = data(4, n=80)
    for break_ties in (False, True):
        model = SVC(break_ties=break_ties, **TIGHT).fit(X, y)
        pairs = clone(model).set_params(decision_function_shape="ovo", break_ties=False)
        eta = pairs.fit(X, y).decision_function(X)
        link = OneVsOneLink(4, break_ties=break_ties)
        np.testing.assert_allclose(link.scores(eta), model.decision_function(X), atol=1e-12)
        np.testing.assert_array_equal(link.predicted(eta), model.predict(X))
    step = 1e-6
    for pair in range(6):
        moved = eta.copy()
        moved[:, pair] += step
        slope = (link.scores(moved) - link.scores(eta)) / step
        np.testing.assert_allclose(link.decision_jacobian(eta)[:, :, pair], slope, atol=1e-5)


def test_folds_have_the_decisions_of_refits():
    X, y = data(4)
    cv = StratifiedKFold(4)
    found = approximate_cross_val_predict(SVC(**TIGHT), X, y, cv=cv)
    for train, test in cv.split(X, y):
        model = SVC(**TIGHT).fit(X[train], y[train])
        expected = model.decision_function(X[test])
        np.testing.assert_allclose(found.decision_function[test], expected, atol=LIBSVM)
        np.testing.assert_array_equal(found.prediction[test], model.predict(X[test]))


def test_every_target_and_method():
    X, y = data(3)
    explainer = InfluenceExplainer(SVC(**TIGHT)).fit(X, y)
    decision = explainer.decision_function(X)
    effect = explainer.influence(X, target="decision_function", method="exact")
    margin = explainer.influence(X, y, target=lambda y, f: f[np.arange(len(y)), y], method="exact")
    own = effect[np.arange(len(y)), :, y]
    np.testing.assert_allclose(margin, own, atol=1e-12)
    assert decision.shape == (60, 3)
    for target in ("loss", "margin", "hinge", "squared_hinge", "decision_function"):
        for method in ("first_order", "newton", "exact"):
            found = explainer.influence(X, y, target=target, method=method)
            assert np.isfinite(found).all()
            assert np.abs(found).max() > 0
    with pytest.raises(ValueError, match="needs class probabilities"):
        explainer.influence(X, y, target="predict_proba")
    most = explainer.most_influential(X[:2], y[:2], k=3)
    assert most.helpful_indices.shape == (2, 3)
    assert explainer.group_influence([[0, 1], [5]], X, y, method="exact").shape == (60, 2)


def test_containers_pipelines_and_precomputed_kernels():
    X, y = data()
    expected = InfluenceExplainer(SVC(**TIGHT)).fit(X, y).influence(X[:4], y[:4], method="exact")
    K = rbf_kernel(X, gamma=0.3)
    precomputed = InfluenceExplainer(SVC(kernel="precomputed", tol=1e-10)).fit(K, y)
    found = precomputed.influence(K[:4], y[:4], method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-9)
    by_function = SVC(kernel=lambda A, B: rbf_kernel(A, B, gamma=0.3), tol=1e-10)
    found = InfluenceExplainer(by_function).fit(X, y).influence(X[:4], y[:4], method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-9)
    for make in (sp.csr_matrix, sp.csr_array, lambda X: pd.DataFrame(X, columns=list("abc"))):
        explainer = InfluenceExplainer(SVC(**TIGHT)).fit(make(X), y)
        found = explainer.influence(make(X[:4]), y[:4], method="exact")
        np.testing.assert_allclose(found, expected, atol=1e-9)
        again = pickle.loads(pickle.dumps(explainer))
        found = again.influence(make(X[:4]), y[:4], method="exact")
        np.testing.assert_allclose(found, expected, atol=1e-9)
    frozen = InfluenceExplainer(FrozenEstimator(SVC(**TIGHT).fit(X, y))).fit(X, y)
    found = frozen.influence(X[:4], y[:4], method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-9)
    pipe = make_pipeline(StandardScaler(), SVC(**TIGHT))
    search = GridSearchCV(pipe, {"svc__C": [0.1, 1.0]}).fit(X, y)
    explained = InfluenceExplainer(FrozenEstimator(search)).fit(X, y)
    Z = search.best_estimator_[0].transform(X)
    direct = InfluenceExplainer(clone(search.best_estimator_[1])).fit(Z, y)
    np.testing.assert_allclose(
        explained.influence(X[:4], y[:4], method="exact"),
        direct.influence(Z[:4], y[:4], method="exact"),
        atol=1e-9,
    )


def test_class_weights_and_an_emptied_class():
    X, y = data(3)
    model = SVC(class_weight={0: 2.0, 2: 0.5}, **TIGHT)
    explainer = InfluenceExplainer(model).fit(X, y)
    effect = explainer.influence(X, target="decision_function", method="exact")
    without = refit(model, X, y, 7)
    change = without.decision_function(X) - explainer.decision_function(X)
    np.testing.assert_allclose(effect[:, 7], change, atol=LIBSVM)
    y[y == 2] = 1
    y[4] = 2
    explainer = InfluenceExplainer(SVC(**TIGHT)).fit(X, y)
    with pytest.warns(RuntimeWarning, match="without row 4"):
        effect = explainer.influence(X, y, method="exact")
    assert np.isnan(effect[:, 4]).all()
    assert np.isfinite(np.delete(effect, 4, axis=1)).all()


def test_dual_coefficients_say_what_changes():
    X, y = data(3)
    explainer = InfluenceExplainer(SVC(decision_function_shape="ovo", **TIGHT)).fit(X, y)
    changes = explainer.parameter_influence(method="exact")
    effect = explainer.influence(X, target="decision_function", method="exact")
    found = np.einsum("ti,bki->tbk", rbf_kernel(X, gamma=0.3), changes.coef) + changes.intercept
    np.testing.assert_allclose(found, effect, atol=1e-8)


def test_rows_without_weight():
    """libsvm drops them before it counts its support vectors."""
    X, y = data(3)
    w = weights(0, 60)
    w[::4] = 0.0
    model = SVC(**TIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frozen = InfluenceExplainer(FrozenEstimator(clone(model).fit(X, y, w))).fit(X, y, w)
    effect = frozen.influence(X, target="decision_function", method="exact")
    assert (effect[:, ::4] == 0).all()
    change = refit(model, X, y, 5, w).decision_function(X) - frozen.decision_function(X)
    np.testing.assert_allclose(effect[:, 5], change, atol=LIBSVM)
    with pytest.raises(ValueError, match="was fitted on 60 rows"):
        InfluenceExplainer(FrozenEstimator(clone(model).fit(X, y))).fit(X[:50], y[:50])


def test_an_explained_hinge_with_a_kernel():
    X, y = data()
    own = SmoothHingeSVC(loss="hinge", kernel="rbf").fit(X, y)
    explained = InfluenceExplainer(SmoothHingeSVC(loss="hinge", kernel="rbf")).fit(X, y)
    for method in ("newton", "exact"):
        np.testing.assert_allclose(
            explained.influence(X, y, method=method), own.influence(X, y, method=method), atol=1e-9
        )
    assert explained.parameter_influence(method="exact").coef.shape == (60, 1, 60)


def test_search_over_costs_without_a_curvature():
    X, y = data(3)
    grid = {"C": [1e-4, 0.1, 10.0]}  # no row is near the margin of the first
    search = LeaveOneOutSearchCV(SVC(**TIGHT), grid, method="exact").fit(X, y)
    for C, score in zip(grid["C"], search.cv_results_["mean_test_score"], strict=True):
        expected = InfluenceExplainer(SVC(C=C, **TIGHT)).fit(X, y).loo_estimate(method="exact")
        assert score == pytest.approx(expected.score, abs=1e-12)


@pytest.mark.filterwarnings("ignore:Liblinear failed")
def test_a_fit_of_which_rounding_leaves_no_margin_says_so():
    X, y = data(n=12)
    model = LinearSVC(loss="hinge", max_iter=10)
    with pytest.warns(ConvergenceWarning, match="no optimum was found: some margin conditions"):
        InfluenceExplainer(model).fit(X + 1e7, y)


def test_refusals():
    X, y = data()
    with pytest.raises(TypeError, match="NuSVC is not supported: nu fixes"):
        InfluenceExplainer(NuSVC()).fit(X, y)
    explainer = InfluenceExplainer(SVC(**TIGHT)).fit(X, y)
    with pytest.raises(ValueError, match="unseen"):
        explainer.influence(X[:1], [7])
    K = rbf_kernel(X)
    precomputed = InfluenceExplainer(SVC(kernel="precomputed")).fit(K, y)
    with pytest.raises(ValueError, match="features"):
        precomputed.influence(K[:4, :10], y[:4])
