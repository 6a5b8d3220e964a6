"""SmoothHingeSVC against other solvers, its own span, and refits without the row."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC, LinearSVC, NuSVC

from skinfluence import InfluenceExplainer, explain
from skinfluence.display import LeaveOneOutDisplay
from skinfluence.evaluation import agreement
from skinfluence.losses import OneVsRestLoss, SmoothHingeLoss
from skinfluence.model_selection import LeaveOneOutSearchCV, approximate_cross_val_predict
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, weights

KERNELS = ["linear", "rbf", "poly"]


def data(n_classes=2, seed=0, n=70, p=3):
    return problem(seed=seed, n=n, p=p, n_classes=n_classes)


def frozen_refit(clf, X, y, row, sample_weight=None):
    """The clone with gamma and class weights held, fitted without a row."""
    w = np.ones(len(y)) if sample_weight is None else np.array(sample_weight)
    w = w * clf._class_weight[np.searchsorted(clf.classes_, y)]
    gamma = getattr(clf, "gamma_", "scale")
    model = clone(clf).set_params(class_weight=None, gamma=gamma)
    keep = np.arange(len(y)) != row
    if clf.kernel == "precomputed":
        return model.fit(X[np.ix_(keep, keep)], y[keep], w[keep]), keep
    return model.fit(X[keep], y[keep], w[keep]), keep


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_optimum_against_another_solver(n_classes, fit_intercept):
    """The objective of the docstring, by BFGS on plain NumPy."""
    X, y = data(n_classes)
    w, C, T = weights(0, len(y)), 0.7, 0.5
    clf = SmoothHingeSVC(C=C, temperature=T, fit_intercept=fit_intercept).fit(X, y, w)
    for k in range(1 if n_classes == 2 else 3):
        sign = np.where(y == (1 if n_classes == 2 else k), 1.0, -1.0)

        def objective(theta, sign=sign):
            margin = sign * (X @ theta[:-1] + (theta[-1] if fit_intercept else 0.0))
            loss = T * np.logaddexp(0.0, (1 - margin) / T)
            return 0.5 * theta[:-1] @ theta[:-1] + C * w @ loss

        found = minimize(objective, np.zeros(4), tol=1e-12).x
        np.testing.assert_allclose(clf.coef_[k], found[:-1], atol=2e-6)
        if fit_intercept:
            np.testing.assert_allclose(clf.intercept_[k], found[-1], atol=2e-6)
    assert clf.stationarity_ <= 1e-10


@pytest.mark.parametrize("kernel", KERNELS)
def test_cold_limit_is_the_svm_of_scikit_learn(kernel):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)[:300]
    y = y[:300]
    original = SVC(kernel=kernel, tol=1e-9).fit(X, y)
    gaps = []
    for temperature in (1e-2, 1e-3, 1e-4, 1e-5):
        clf = SmoothHingeSVC(kernel=kernel, temperature=temperature).fit(X, y)
        assert clf.stationarity_ <= 1e-10
        gaps.append(np.abs(clf.decision_function(X) - original.decision_function(X)).max())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 2e-3
    if kernel != "linear":
        full = np.zeros(len(y))
        full[original.support_] = original.dual_coef_[0]
        np.testing.assert_allclose(clf.dual_coef_[0], full, atol=2e-2)


@pytest.mark.parametrize("C", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 1e-3, 1e-5])
def test_gradient_vanishes_at_every_temperature(C, temperature):
    X, y = data(n=120, p=5, seed=3)
    clf = SmoothHingeSVC(C=C, temperature=temperature).fit(X, y)
    assert clf.stationarity_ <= 1e-10
    assert np.isfinite(clf.coef_).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_span_of_the_rows_is_the_primal(n_classes):
    X, y = data(n_classes, n=60, p=8)
    primal = SmoothHingeSVC(temperature=0.1).fit(X, y)
    span = SmoothHingeSVC(temperature=0.1, kernel=lambda A, B: A @ B.T).fit(X, y)
    precomputed = SmoothHingeSVC(temperature=0.1, kernel="precomputed").fit(X @ X.T, y)
    T = np.random.default_rng(1).normal(size=(9, 8))
    expected = primal.decision_function(T)
    np.testing.assert_allclose(span.decision_function(T), expected, atol=1e-9)
    np.testing.assert_allclose(precomputed.decision_function(T @ X.T), expected, atol=1e-9)
    np.testing.assert_allclose(span.dual_coef_ @ X, primal.coef_, atol=1e-9)
    t = y[:9]
    for method in ("first_order", "newton", "exact"):
        expected = primal.influence(T, t, target="hinge", method=method)
        np.testing.assert_allclose(
            span.influence(T, t, target="hinge", method=method), expected, atol=1e-8
        )
        np.testing.assert_allclose(
            precomputed.influence(T @ X.T, t, target="hinge", method=method), expected, atol=1e-8
        )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_exact_is_the_refit(kernel, n_classes):
    X, y = data(n_classes, seed=2)
    w = weights(1, len(y), zeros=2)
    clf = SmoothHingeSVC(
        C=2.0, temperature=0.1, kernel=kernel, class_weight="balanced"
    ).fit(X, y, w)  # fmt: skip
    T, t = data(n_classes, seed=9, n=12)
    rows = np.arange(0, len(y), 7)
    eta = clf.influence(T, target="decision_function", method="exact", train_indices=rows)
    margin = clf.influence(T, t, target="margin", method="exact", train_indices=rows)
    after = clf.parameter_influence(method="exact", train_indices=rows)
    loo = clf.loo_estimate(method="exact")
    for position, row in enumerate(rows):
        model, keep = frozen_refit(clf, X, y, row, w)
        change = model.decision_function(T) - clf.decision_function(T)
        np.testing.assert_allclose(eta[:, position], change, atol=1e-7)
        np.testing.assert_allclose(
            loo.decision_function[row], model.decision_function(X[[row]])[0], atol=1e-7
        )
        np.testing.assert_allclose(
            clf.intercept_ + after.intercept[position], model.intercept_, atol=1e-7
        )
        if kernel == "linear":
            np.testing.assert_allclose(clf.coef_ + after.coef[position], model.coef_, atol=1e-7)
        else:
            dual = clf.dual_coef_ + after.coef[position]
            np.testing.assert_allclose(dual[:, keep], model.dual_coef_, atol=1e-6)
            np.testing.assert_allclose(dual[:, row], 0.0, atol=1e-12)
    if n_classes == 2:
        np.testing.assert_allclose(margin, np.where(t == 1, 1, -1)[:, None] * eta, atol=1e-9)


# Newton against refits: (kernel, temperature, how far the slope may be from 1, relative RMSE).
NEWTON = [
    ("linear", 0.5, 0.05, 0.2),
    ("linear", 0.1, 0.15, 0.4),
    ("linear", 0.01, 0.4, 0.7),
    ("rbf", 0.5, 0.001, 0.005),
    ("rbf", 0.1, 0.005, 0.01),
    ("rbf", 0.01, 0.1, 0.15),
]


@pytest.mark.parametrize(("kernel", "temperature", "slope", "error"), NEWTON)
def test_newton_against_refits(kernel, temperature, slope, error):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    train, test = (X[:250], y[:250]), (X[250:], y[250:])
    clf = SmoothHingeSVC(temperature=temperature, kernel=kernel, C=0.1).fit(*train)
    options = {"target": "margin", "aggregate": "mean"}
    exact = clf.influence(*test, method="exact", **options)
    newton = agreement(clf.influence(*test, method="newton", **options), exact)
    first = agreement(clf.influence(*test, method="first_order", **options), exact)
    assert abs(newton.slope - 1) < slope
    assert newton.relative_rmse < error
    # Where other rows cross the margin, no step of the old curvature is near.
    if temperature == 0.5 or kernel == "rbf":
        assert newton.relative_rmse < first.relative_rmse


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_weight_zero_is_removed_and_two_is_twice(kernel):
    X, y = data(seed=4)
    options = {"temperature": 0.1, "kernel": kernel, "gamma": 0.3}
    w = np.ones(len(y))
    w[5] = 0.0
    keep = w > 0
    one = SmoothHingeSVC(**options).fit(X, y, w)
    other = SmoothHingeSVC(**options).fit(X[keep], y[keep])
    T = X[:8] + 0.1
    np.testing.assert_allclose(one.decision_function(T), other.decision_function(T), atol=1e-9)
    assert (one.influence(T, y[:8], train_indices=[5]) == 0).all()
    w[5] = 2.0
    twice = SmoothHingeSVC(**options).fit(np.r_[X, X[[5]]], np.r_[y, y[5]])
    two = SmoothHingeSVC(**options).fit(X, y, w)
    np.testing.assert_allclose(two.decision_function(T), twice.decision_function(T), atol=1e-9)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
def test_storage_and_precision(kernel):
    X, y = data(seed=5, p=6)
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    options = {"temperature": 0.2, "kernel": kernel, "gamma": 0.1, "C": 0.5, "coef0": 1.0}
    clf = SmoothHingeSVC(**options).fit(X, y)
    expected = clf.influence(X[:9], y[:9])
    for stored in (sp.csr_matrix(X), sp.csc_array(X), np.asfortranarray(X)):
        model = SmoothHingeSVC(**options).fit(stored, y)
        np.testing.assert_allclose(model.influence(stored[:9], y[:9]), expected, atol=1e-8)
        np.testing.assert_allclose(
            model.decision_function(stored), clf.decision_function(X), atol=1e-8
        )
    single = SmoothHingeSVC(**options).fit(X.astype(np.float32), y)
    np.testing.assert_allclose(single.influence(X[:9], y[:9]), expected, atol=1e-5)
    X.flags.writeable = False
    np.testing.assert_allclose(
        SmoothHingeSVC(**options).fit(X, y).influence(X[:9], y[:9]), expected, atol=1e-10
    )


def test_rows_far_from_the_margin_have_no_effect():
    X, y = load_breast_cancer(return_X_y=True)
    clf = SmoothHingeSVC(kernel="rbf", temperature=1e-3).fit(scale(X), y)
    margin = (2 * y - 1) * clf.decision_function(scale(X))
    far = np.flatnonzero(margin > 1.1)
    assert len(far) > 100
    effect = clf.influence(scale(X)[:50], y[:50], method="exact", train_indices=far)
    assert np.abs(effect).max() < 1e-12
    assert clf.curvature().kind in ("dense", "dual")


@pytest.mark.parametrize("temperature", [0.5, 0.1])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_error_bound_is_never_violated(temperature, n_classes):
    finite = 0
    for seed in range(12):
        X, y = data(n_classes, seed=seed, n=40)
        X = X * np.random.default_rng(seed).standard_t(3, size=(40, 1))
        clf = SmoothHingeSVC(temperature=temperature, C=0.02).fit(X, y)
        exact = clf.loo_estimate(method="exact", tol=1e-12)
        for method in ("newton", "first_order"):
            loo = clf.loo_estimate(method=method)
            error = np.abs(loo.decision_function - exact.decision_function).reshape(40, -1)
            assert (error.max(axis=1) <= loo.error_bound + 1e-8).all()
        finite += np.isfinite(loo.error_bound).mean() / 12
    assert finite > (0.1 if temperature > 0.1 else 0.03)
    cold = SmoothHingeSVC(temperature=0.01, C=1.0).fit(X, y).loo_estimate(method="newton")
    assert np.isinf(cold.error_bound).mean() > 0.5


def test_digits_as_the_gallery_has_them():
    X, y = load_digits(n_class=5, return_X_y=True)
    X, y, T, t = X[:250] / 16, y[:250], X[250:] / 16, y[250:]
    clf = SmoothHingeSVC(kernel="rbf", temperature=0.01).fit(X, y)
    hinge = OneVsRestClassifier(SVC(gamma=clf.gamma_)).fit(X, y)
    assert (clf.predict(T) == hinge.predict(T)).mean() > 0.995
    decision = clf.decision_function(T)
    own = decision[np.arange(len(t)), t]
    decision[np.arange(len(t)), t] = -np.inf
    worst = [int(np.argmin(own - decision.max(axis=1)))]
    effect = clf.influence(T[worst], t[worst], target="hinge")[0]
    largest = np.argsort(-np.abs(effect))[:20]
    exact = clf.influence(
        T[worst], t[worst], target="hinge", method="exact", train_indices=largest
    )[0]
    found = agreement(effect[largest], exact)
    assert found.r > 0.95
    assert abs(found.slope - 1) < 0.15


def test_losses_of_one_against_the_rest_are_binary_losses():
    X, y = data(3, seed=7)
    clf = SmoothHingeSVC(temperature=0.3).fit(X, y)
    objective = clf.__fitted_problem__().objective
    assert isinstance(objective.loss, OneVsRestLoss)
    alone = [
        SmoothHingeSVC(temperature=0.3).fit(X, (y == k).astype(int)).influence(
            X[:5], target="decision_function", method="newton"
        )
        for k in range(3)
    ]  # fmt: skip
    got = clf.influence(X[:5], target="decision_function", method="newton")
    np.testing.assert_allclose(got, np.stack(alone, axis=-1), atol=1e-9)
    assert repr(objective.loss) == "OneVsRestLoss(SmoothHingeLoss(0.3), 3)"


def test_there_are_no_probabilities():
    X, y = data(seed=6)
    clf = SmoothHingeSVC(temperature=0.1, kernel="rbf").fit(X, y)
    assert not hasattr(clf, "predict_proba")
    for target in ("predict_proba", "brier"):
        with pytest.raises(ValueError, match="needs class probabilities"):
            clf.influence(X[:3], y[:3], target=target)
    loo = clf.loo_estimate()
    assert loo.predict_proba is None
    assert loo.score == ((loo.decision_function > 0) == y).mean()
    assert "accuracy" in repr(loo)
    with pytest.raises(AttributeError, match="predict_proba"):
        clf.loo_estimate(scoring="neg_log_loss")
    auc = clf.score_influence(X, y, scoring="roc_auc")
    assert auc.shape == (len(y),)
    display = LeaveOneOutDisplay.from_estimator(clf, method="exact")
    np.testing.assert_allclose(display.fitted, (2 * y - 1) * clf.decision_function(X), atol=1e-9)
    assert display.ax_.get_xlabel() == "margin of the own label, fitted"
    folds = approximate_cross_val_predict(clf, X, y)
    assert folds.predict_proba is None


def test_every_question_of_a_kernel_machine():
    X, y = data(3, seed=8)
    labels = np.array(["u", "v", "w"])[y]
    clf = SmoothHingeSVC(temperature=0.2, kernel="rbf").fit(X, labels)
    matrix = clf.influence(X[:7], labels[:7])
    assert matrix.shape == (7, len(y))
    most = clf.most_influential(X[:7], labels[:7], k=3)
    np.testing.assert_allclose(most.helpful_values[:, 0], matrix.max(axis=1))
    np.testing.assert_allclose(
        clf.self_influence(), clf.influence(X, labels).diagonal(), atol=1e-10
    )
    np.testing.assert_allclose(
        clf.influence(X[:7], labels[:7], aggregate="sum"), matrix.sum(axis=0), atol=1e-10
    )
    assert clf.score_influence(X, labels).shape == (len(y),)
    group = clf.group_influence([[1, 2], [4]], X[:7], labels[:7], method="exact")
    np.testing.assert_allclose(
        group[:, 1], clf.influence(X[:7], labels[:7], method="exact")[:, 4], atol=1e-7
    )
    loo = clf.loo_estimate()
    assert loo.mean_loss > loo.train_loss
    restored = pickle.loads(pickle.dumps(clf))
    np.testing.assert_allclose(restored.influence(X[:7], labels[:7]), matrix, atol=1e-13)
    assert len(pickle.dumps(clf)) < 8 * X.size + 100 * len(y) + 20_000  # no kernel matrix
    assert (restored.predict(X) == clf.predict(X)).all()
    with pytest.raises(ValueError, match="labels"):
        clf.influence(X[:2], ["u", "z"])


def test_pipelines_searches_and_precomputed_kernels():
    X, y = data(seed=9, n=90)
    clf = SmoothHingeSVC(temperature=0.1, kernel="rbf", gamma=0.2)
    pipe = make_pipeline(StandardScaler(), clf).fit(X, y)
    Z = pipe[:-1].transform(X)
    expected = clone(clf).fit(Z, y).influence(Z[:5], y[:5])
    np.testing.assert_allclose(explain(pipe).influence(X[:5], y[:5]), expected, atol=1e-10)
    explainer = InfluenceExplainer(make_pipeline(StandardScaler(), clf)).fit(X, y)
    np.testing.assert_allclose(explainer.influence(X[:5], y[:5]), expected, atol=1e-8)
    np.testing.assert_allclose(
        explainer.parameter_influence(train_indices=[3]).coef,
        clone(clf).fit(Z, y).parameter_influence(train_indices=[3]).coef,
        atol=1e-7,
    )
    K = rbf_kernel(X, X, gamma=0.2)
    by_rows = cross_validate(clf, X, y, cv=4)["test_score"]
    precomputed = clone(clf).set_params(kernel="precomputed")
    np.testing.assert_array_equal(cross_validate(precomputed, K, y, cv=4)["test_score"], by_rows)
    search = GridSearchCV(clf, {"C": [0.1, 1.0], "temperature": [0.1, 1.0]}, cv=3).fit(X, y)
    assert explain(search).influence(X[:5], y[:5]).shape == (5, len(y))
    loo = LeaveOneOutSearchCV(clf, {"C": [0.1, 1.0, 10.0]}, method="exact").fit(X, y)
    for C, score in zip((0.1, 1.0, 10.0), loo.cv_results_["mean_test_score"], strict=True):
        one = clone(clf).set_params(C=C).fit(X, y)
        assert score == pytest.approx(one.loo_estimate(method="exact").score)


def test_duplicates_and_matrices_that_are_no_kernels():
    X, y = data(seed=10, n=40)
    twice, labels = np.r_[X, X], np.r_[y, y]
    one = SmoothHingeSVC(temperature=0.2, kernel="rbf", gamma=0.3, C=2.0).fit(X, y)
    two = SmoothHingeSVC(temperature=0.2, kernel="rbf", gamma=0.3, C=1.0).fit(twice, labels)
    np.testing.assert_allclose(two.decision_function(X), one.decision_function(X), atol=1e-8)
    clf = SmoothHingeSVC(kernel="precomputed")
    K = X @ X.T
    with pytest.raises(ValueError, match="indefinite"):
        clf.fit(K - 5.0 * np.eye(40), y)
    with pytest.raises(ValueError, match="not symmetric"):
        clf.fit(np.triu(K), y)
    with pytest.raises(ValueError, match="square"):
        clf.fit(K[:, :20], y)
    with pytest.raises(ValueError, match="indefinite"):
        SmoothHingeSVC(kernel="sigmoid", gamma=1.0, coef0=-3.0).fit(X, y)
    with pytest.raises(ValueError, match="should return shape"):
        SmoothHingeSVC(kernel=lambda A, B: A).fit(X, y)


def test_an_intercept_that_nothing_identifies():
    X, y = data(seed=11, n=40)
    y[:] = np.tile([0, 1], 20)
    clf = SmoothHingeSVC(C=1e-7, temperature=1e-3).fit(X, y)
    assert not clf.intercept_is_identified_.any()
    assert np.isfinite(clf.intercept_).all()
    with pytest.raises(np.linalg.LinAlgError, match="intercept is not identified"):
        clf.influence(X, y)
    assert SmoothHingeSVC(C=1.0, temperature=0.1).fit(X, y).intercept_is_identified_.all()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"C": 0.0}, ValueError, "C should be a finite positive"),
        ({"C": np.inf}, ValueError, "C should be a finite positive"),
        ({"temperature": "cold"}, TypeError, "temperature should be a number"),
        ({"temperature": 0}, ValueError, "temperature should be a finite positive"),
        ({"tol": -1.0}, ValueError, "tol should be"),
        ({"max_iter": 0}, ValueError, "max_iter should be"),
        ({"kernel": "cosine"}, ValueError, "kernel should be one of 'linear'"),
        ({"kernel": "rbf", "gamma": "big"}, ValueError, "gamma should be 'scale'"),
        ({"kernel": "rbf", "gamma": -1.0}, ValueError, "gamma should be a finite"),
        ({"kernel": "rbf", "gamma": [1]}, TypeError, "gamma should be 'scale'"),
    ],
)
def test_bad_parameters(options, error, match):
    X, y = data()
    with pytest.raises(error, match=match):
        SmoothHingeSVC(**options).fit(X, y)


def test_bad_rows_and_short_fits():
    X, y = data()
    with pytest.raises(ValueError, match="y has the 1 class"):
        SmoothHingeSVC().fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match="Negative values"):
        SmoothHingeSVC().fit(X, y, -np.ones(len(y)))
    with pytest.raises(ValueError, match="class 1 has no row of positive weight"):
        SmoothHingeSVC().fit(X, y, (y == 0).astype(float))
    with pytest.warns(ConvergenceWarning, match="no optimum was found in 2 Newton steps"):
        SmoothHingeSVC(max_iter=2).fit(X, y)
    clf = SmoothHingeSVC(temperature=0.1).fit(X, y)
    X += 1.0
    with pytest.raises(RuntimeError, match="have changed"):
        clf.influence(X, y)
    assert isinstance(SmoothHingeSVC(temperature=0.1).fit(X, y).__fitted_problem__().objective.loss,
                      SmoothHingeLoss)  # fmt: skip


def liblinear_optimum(X, y, w, C, scaling, fit_intercept):
    """LinearSVC's objective by BFGS on plain NumPy; (coef, intercept)."""
    Z = np.c_[X, np.full(len(y), scaling)] if fit_intercept else X
    sign = 2.0 * y - 1.0

    def objective(theta):
        slack = np.maximum(0.0, 1 - sign * (Z @ theta))
        value = 0.5 * theta @ theta + C * w @ slack**2
        return value, theta - 2 * C * Z.T @ (w * sign * slack)

    theta = minimize(
        objective, np.zeros(Z.shape[1]), jac=True, tol=1e-14, options={"maxiter": 5000}
    ).x
    return (theta[:-1], scaling * theta[-1]) if fit_intercept else (theta, 0.0)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_linear_svc_against_its_refits(fit_intercept):
    X, y = data(n=80, p=4, seed=3)
    w = weights(4, len(y), zeros=2)
    options = {"C": 0.3, "intercept_scaling": 2.0, "fit_intercept": fit_intercept}
    model = LinearSVC(class_weight={1: 1.5}, tol=1e-10, max_iter=100_000, **options)
    explainer = InfluenceExplainer(model).fit(X, y, sample_weight=w)
    row_weight = w * np.where(y == 1, 1.5, 1.0)
    coef, intercept = liblinear_optimum(X, y, row_weight, 0.3, 2.0, fit_intercept)
    np.testing.assert_allclose(explainer.decision_function(X), X @ coef + intercept, atol=1e-5)
    after = explainer.parameter_influence(method="exact")
    newton = explainer.parameter_influence(method="newton")
    loo = explainer.loo_estimate(method="newton")
    exact = explainer.loo_estimate(method="exact")
    base = np.r_[coef, intercept]
    for row in range(0, 80, 5):
        keep = np.arange(80) != row
        c, b = liblinear_optimum(X[keep], y[keep], row_weight[keep], 0.3, 2.0, fit_intercept)
        change = np.r_[after.coef[row, 0], after.intercept[row]]
        np.testing.assert_allclose(change, np.r_[c, b] - base, atol=2e-6)
    # Where no row crosses its kink, and only there, one step is the refit and is said to be.
    step = np.abs(newton.coef - after.coef).max(axis=(1, 2))
    certified = np.isfinite(loo.error_bound)
    assert 0.2 < certified.mean() < 1.0
    assert step[certified].max() < 1e-9
    error = np.abs(loo.decision_function - exact.decision_function)
    assert (error <= loo.error_bound + 1e-9).all()
    assert (error[~certified] > 1e-9).any()
    assert (loo.error_estimate[~certified] > 0).all()


# liblinear's hinge needs many iterations for what is refused anyhow.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_linear_svc_of_several_classes_and_what_is_refused():
    X, y = data(3, n=90, seed=5)
    explainer = InfluenceExplainer(make_pipeline(StandardScaler(), LinearSVC(tol=1e-8))).fit(X, y)
    got = explainer.influence(X[:4], target="decision_function", method="exact")
    Z = explainer.estimator_[:-1].transform(X)
    for k in range(3):
        one = InfluenceExplainer(LinearSVC(tol=1e-8)).fit(Z, (y == k).astype(int))
        expected = one.influence(Z[:4], target="decision_function", method="exact")
        np.testing.assert_allclose(got[:, :, k], expected, atol=1e-8)
    loo = explainer.loo_estimate()
    assert loo.predict_proba is None
    exact = explainer.loo_estimate(method="exact")
    newton = explainer.loo_estimate(method="newton")
    error = np.abs(newton.decision_function - exact.decision_function).max(axis=1)
    assert (error <= newton.error_bound + 1e-8).all()
    assert np.isfinite(newton.error_bound).any()
    for model, error, match in (
        (LinearSVC(penalty="l1", dual=False), NotImplementedError, "Fit with penalty='l2'"),
        (LinearSVC(class_weight="balanced"), NotImplementedError, "Pass sample_weight"),
        (LinearSVC(multi_class="crammer_singer"), NotImplementedError, "Use 'ovr'"),
    ):
        fitted = InfluenceExplainer(model).fit(X, y)
        with pytest.raises(error, match=match):
            fitted.influence(X[:2], y[:2])
    with pytest.raises(TypeError, match="nu fixes the share"):
        InfluenceExplainer(NuSVC()).fit(X, y)


def test_changes_that_leave_the_intercept_unidentified_are_undefined():
    """Tiny sets, where a row on the margin may be the only one: every answer has an intercept."""
    n_undefined = 0
    for seed in range(0, 6):
        rng = np.random.default_rng(seed)
        n = 6 + seed % 5
        X = rng.normal(size=(n, 2))
        y = (X[:, 0] + rng.normal(size=n) > 0).astype(int)
        if min(y.sum(), n - y.sum()) < 2:
            continue
        clf = SmoothHingeSVC(temperature=0.01, C=0.1).fit(X, y)
        asked = {"target": "decision_function", "method": "exact"}
        groups = [[row, (row + 1) % n] for row in range(n)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            removal, relabelling, group = (
                clf.influence(X[:1], **asked)[0],
                clf.relabel_influence(X[:1], labels=1 - y, **asked)[0],
                clf.group_influence(groups, X[:1], **asked)[0],
            )
        for row in range(n):
            other = y.copy()
            other[row] = 1 - y[row]
            keep, pair = np.arange(n) != row, ~np.isin(np.arange(n), groups[row])
            for got, rows, labels in (
                (removal[row], keep, y),
                (relabelling[row], np.arange(n), other),
                (group[row], pair, y),
            ):
                n_undefined += np.isnan(got)
                if np.isfinite(got):
                    refitted = clone(clf).fit(X[rows], labels[rows])
                    assert refitted.intercept_is_identified_.all(), (seed, row)
    assert n_undefined > 5
