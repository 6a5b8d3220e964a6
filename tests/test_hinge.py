"""SmoothHingeSVC(loss="hinge"): the true hinge, its exact deletions, and the smooth one's lent."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import scale
from sklearn.svm import SVC, LinearSVC

from skinfluence.design import make_design
from skinfluence.display import LeaveOneOutDisplay
from skinfluence.hinge_dual import HingeDual
from skinfluence.losses import HingeLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, weights
from tests.oracles import hessian


def data(n_classes=2, seed=0, n=70, p=3):
    return problem(seed=seed, n=n, p=p, n_classes=n_classes)


def hinge(**params):
    return SmoothHingeSVC(loss="hinge", **params)


def refit(clf, X, y, dropped, sample_weight=None):
    """The clone with gamma and class weights held, fitted without some rows."""
    w = np.ones(len(y)) if sample_weight is None else np.array(sample_weight)
    w = w * clf._class_weight[np.searchsorted(clf.classes_, y)]
    gamma = getattr(clf, "gamma_", "scale")
    keep = np.setdiff1d(np.arange(len(y)), dropped)
    model = clone(clf).set_params(class_weight=None, gamma=gamma)
    return model.fit(X[keep], y[keep], w[keep])


def violated(clf, X, y, sample_weight=None):
    """Largest violation of a margin condition, from the public attributes alone."""
    w = clf.C * (np.ones(len(y)) if sample_weight is None else sample_weight)
    sign = np.where(y == clf.classes_[1], 1.0, -1.0)
    slack, alpha = sign * clf.decision_function(X) - 1.0, sign * clf.dual_coef_[0]
    assert (alpha >= -1e-12).all()
    assert (alpha <= w * (1 + 1e-12)).all()
    below = np.where(alpha < w * (1 - 1e-9), -slack, 0.0)
    above = np.where(alpha > 1e-9 * w, slack, 0.0)
    return max(below.max(), above.max())


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_is_the_svm_of_scikit_learn_and_nearer_to_the_optimum(kernel, C):
    X, y = load_breast_cancer(return_X_y=True)
    X, y = scale(X)[:200], y[:200]
    original = SVC(kernel=kernel, C=C, tol=1e-8).fit(X, y)
    clf = hinge(kernel=kernel, C=C).fit(X, y)
    expected = original.decision_function(X)
    np.testing.assert_allclose(clf.decision_function(X), expected, rtol=1e-5, atol=1e-5)
    if kernel != "linear":
        assert violated(clf, X, y) < 1e-8
        full = np.zeros(len(y))
        full[original.support_] = original.dual_coef_[0]
        np.testing.assert_allclose(clf.dual_coef_[0], full, atol=1e-5 * C)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("weighted", [False, True])
def test_exact_is_the_refit(kernel, fit_intercept, n_classes, weighted):
    X, y = data(n_classes)
    w = weights(0, len(y)) if weighted else None
    clf = hinge(kernel=kernel, C=2.0, fit_intercept=fit_intercept).fit(X, y, w)
    effect = clf.influence(X, y, target="decision_function", method="exact")
    loss = clf.influence(X, y, method="exact")
    left = clf.loo_estimate(method="exact")
    assert (left.method == "exact").all()
    for row in range(0, len(y), 4):
        without = refit(clf, X, y, [row], w)
        change = without.decision_function(X) - clf.decision_function(X)
        np.testing.assert_allclose(effect[:, row], change, atol=1e-8)
        np.testing.assert_allclose(
            left.decision_function[row], without.decision_function(X[[row]])[0], atol=1e-8
        )
        sign = np.where(y[:, None] == clf.classes_, 1.0, -1.0)
        sign = sign[:, 1] if n_classes == 2 else sign

        def losses(model, sign=sign):
            slack = np.maximum(0.0, 1.0 - sign * model.decision_function(X))
            return slack if slack.ndim == 1 else slack.sum(axis=1)

        np.testing.assert_allclose(loss[:, row], losses(without) - losses(clf), atol=1e-8)


def test_exact_against_libsvm():
    """The refits of another solver, in the weighted machine of a class weight."""
    X, y = data(n=60, seed=5)
    clf = hinge(kernel="rbf", gamma=0.4, C=3.0, class_weight={0: 0.5, 1: 2.0}).fit(X, y)
    effect = clf.influence(X, target="decision_function", method="exact")
    for row in range(60):
        keep = np.arange(60) != row
        other = SVC(gamma=0.4, C=3.0, class_weight={0: 0.5, 1: 2.0}, tol=1e-10)
        other.fit(X[keep], y[keep])
        change = other.decision_function(X) - clf.decision_function(X)
        np.testing.assert_allclose(effect[:, row], change, atol=2e-6)  # libsvm's own error


@pytest.mark.parametrize("seed", range(12))
def test_random_problems_against_refits(seed):
    """Sizes, weights, costs and duplicated rows at random, groups too."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(12, 70))
    X, y = data(n=n, seed=seed, p=int(rng.integers(1, 6)))
    X[n // 2] = X[n // 2 + 1]
    if seed % 3 == 0:
        X = np.round(X)
    C = 10.0 ** rng.uniform(-2, 2)
    w = weights(seed, n, zeros=seed % 2)
    clf = hinge(kernel="rbf" if seed % 2 else "linear", C=C, gamma=0.3).fit(X, y, w)
    effect = clf.influence(X, target="decision_function", method="exact")
    groups = [rng.choice(n, size=3, replace=False) for _ in range(3)]
    joint = clf.group_influence(groups, X, target="decision_function", method="exact")
    for row in rng.choice(n, size=8, replace=False):
        change = refit(clf, X, y, [row], w).decision_function(X) - clf.decision_function(X)
        np.testing.assert_allclose(effect[:, row], change, atol=1e-7)
    for position, group in enumerate(groups):
        change = refit(clf, X, y, group, w).decision_function(X) - clf.decision_function(X)
        np.testing.assert_allclose(joint[:, position], change, atol=1e-7)


def test_rows_that_support_nothing_change_exactly_nothing():
    X, y = data(n=80)
    clf = hinge(kernel="rbf").fit(X, y)
    alpha = np.abs(clf.dual_coef_[0])
    assert ((alpha > 0) & (alpha < 1.0)).any()
    effect = clf.influence(X, target="decision_function", method="exact")
    idle = alpha == 0
    assert idle.sum() > 10
    assert (effect[:, idle] == 0.0).all()
    assert (np.abs(effect[:, ~idle]).max(axis=0) > 0).all()


def test_no_free_support_vector_and_the_middle_of_the_interval():
    """Small C: all rows of the smaller class at their bound; b is bounded by rows of alpha 0."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 2))
    y = np.r_[np.zeros(3), np.ones(6)]
    w = np.r_[np.full(3, 2.0), np.ones(6)]
    clf = hinge(kernel=lambda A, B: A @ B.T, C=1e-3).fit(X, y, w)
    alpha = np.abs(clf.dual_coef_[0])
    assert ((alpha == 0) | (np.abs(alpha - 1e-3 * w) < 1e-15)).all()
    effect = clf.influence(X, target="decision_function", method="exact")
    for row in range(9):
        change = refit(clf, X, y, [row], w).decision_function(X) - clf.decision_function(X)
        np.testing.assert_allclose(effect[:, row], change, atol=1e-10)


def test_the_middle_of_the_interval_has_no_rounding_of_the_path():
    X, y = data(n=16)
    start = np.array([[0.0, 0.0, 0.0, 1e6]])
    objective = Objective(
        HingeLoss(), make_design(X, True), y, np.ones(16), L2(np.array([100.0] * 3 + [0.0])), start
    )
    dual = HingeDual(objective)
    assert ((dual.alpha == 0) | (dual.alpha == 1)).all()
    coef, intercept = dual.objective.theta[0, :3], dual.objective.theta[0, 3]
    own = dual.sign - X @ coef  # the intercept at which a row is on its margin
    above = (dual.alpha == 0) == (dual.sign > 0)
    assert abs(intercept - 0.5 * (own[above].max() + own[~above].min())) < 1e-15


@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
def test_no_step_is_certified(method):
    X, y = np.array([[-8.0], [-4.0], [4.0], [8.0], [30.0]]), np.array([0, 0, 1, 1, 1])
    clf = hinge(C=0.003, temperature=0.02).fit(X, y)  # where no row is near its margin
    assert clf.__fitted_problem__().objective.stationarity < 1e-6
    assert np.isinf(clf.loo_estimate(method=method).error_bound).all()


def test_newton_of_a_cold_hinge_is_the_span_estimate():
    """Vapnik & Chapelle: the free support vectors keep their margins, nothing else is followed."""
    X, y = data(n=60, seed=1)
    clf = hinge(kernel="rbf", temperature=1e-6, gamma=0.3, C=1.0).fit(X, y)
    sign = np.where(y == 1, 1.0, -1.0)
    alpha = sign * clf.dual_coef_[0]
    Q = np.exp(-0.3 * ((X[:, None] - X[None]) ** 2).sum(axis=2)) * np.outer(sign, sign)
    free = np.flatnonzero((alpha > 1e-9) & (alpha < 1 - 1e-9))
    M = np.block([[Q[np.ix_(free, free)], sign[free, None]], [sign[None, free], np.zeros((1, 1))]])
    inverse = np.linalg.inv(M)
    span = np.zeros(60)
    span[free] = 1.0 / np.diag(inverse)[:-1]
    for row in np.flatnonzero(alpha >= 1 - 1e-9):
        v = np.r_[Q[row, free], sign[row]]
        span[row] = Q[row, row] - v @ inverse @ v
    newton = clf.self_influence(target="margin", method="newton")
    np.testing.assert_allclose(newton, -alpha * span, atol=1e-4)
    # And right only where no other row reaches or leaves the margin.
    exact = clf.self_influence(target="margin", method="exact")
    assert 0.01 < np.median(np.abs(newton - exact)[alpha > 0]) < 0.5


@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_smooth_derivatives_at_the_hinge(temperature):
    """The Newton step with the deletion minus the one without, by dense algebra."""
    X, y = data(n=60, p=4)
    w = weights(0, 60)
    clf = hinge(temperature=temperature, C=0.5).fit(X, y, w)
    objective = clf.__fitted_problem__().objective
    H, Z = hessian(objective), objective.design.dense(slice(None))
    gradient = objective.gradient[0]
    assert np.abs(gradient).max() > 1e-3
    newton, first = (clf.parameter_influence(method=m) for m in ("newton", "first_order"))
    for row in range(60):
        W, z = objective.weights[row, 0, 0], Z[row]
        without = gradient - objective.residuals[row, 0] * z
        still = np.linalg.solve(H, gradient)
        step = still - np.linalg.solve(H - W * np.outer(z, z), without)
        found = np.r_[newton.coef[row, 0], newton.intercept[row]]
        np.testing.assert_allclose(found, step, rtol=1e-7, atol=1e-10)
        # Its derivative in the weight of the row: H + t W z z' and gradient + t g z, at t = 0.
        slope = np.linalg.solve(H, objective.residuals[row, 0] * z - W * z * (z @ still))
        found = np.r_[first.coef[row, 0], first.intercept[row]]
        np.testing.assert_allclose(found, slope, rtol=1e-7, atol=1e-10)
    assert clf.stationarity_ > 1e-3  # reported, and no certificate is drawn from it
    left = clf.loo_estimate(method="newton")
    assert np.isinf(left.error_bound).all()


def test_zero_temperature_has_the_penalty_alone():
    X, y = data(n=50)
    clf = hinge(temperature=0.0, fit_intercept=False, C=0.5).fit(X, y)
    first = clf.parameter_influence(method="first_order").coef[:, 0]
    sign = np.where(y == 1, 1.0, -1.0)
    slack = 1.0 - sign * clf.decision_function(X)
    pull = np.where(slack > 1e-9, -sign, 0.0)
    np.testing.assert_allclose(first, 0.5 * pull[:, None] * X, atol=1e-12)
    with pytest.raises(np.linalg.LinAlgError, match="intercept is not identified"):
        hinge(temperature=0.0).fit(X, y).influence(X, y, method="newton")
    # The refits need no curvature.
    with_intercept = hinge(temperature=0.0).fit(X, y)
    assert np.isfinite(with_intercept.decision_function(X)).all()


def test_groups_folds_and_displays():
    pytest.importorskip("matplotlib")
    X, y = data(n=60)
    clf = hinge(kernel="rbf").fit(X, y)
    left = clf.loo_estimate(groups=np.arange(60) // 5)
    for fold in range(0, 12, 5):
        rows = np.arange(5 * fold, 5 * fold + 5)
        expected = refit(clf, X, y, rows).decision_function(X[rows])
        np.testing.assert_allclose(left.decision_function[rows], expected, atol=1e-8)
    LeaveOneOutDisplay.from_estimator(clf)
    refined = clf.loo_estimate(method="auto")
    assert set(refined.method) == {"exact"}
    changes = clf.parameter_influence(method="exact", train_indices=[3, 7])
    without = refit(clf, X, y, [7])
    dual = np.insert(without.dual_coef_, 7, 0.0, axis=1)
    K = rbf_kernel(X, gamma=clf.gamma_)
    moved = K @ (clf.dual_coef_ + changes.coef[1]).T
    np.testing.assert_allclose(moved[:, 0], (K @ dual.T)[:, 0], atol=1e-8)


def test_sparse_float32_pickles_and_an_emptied_class():
    X, y = data(n=40)
    exact = hinge().fit(X, y).influence(X[:5], y[:5], method="exact")
    sparse = hinge().fit(sp.csr_matrix(X), y)
    np.testing.assert_allclose(
        sparse.influence(sp.csr_matrix(X[:5]), y[:5], method="exact"), exact, atol=1e-12
    )
    single = hinge().fit(X.astype(np.float32), y)
    assert np.abs(single.influence(X[:5], y[:5], method="exact") - exact).max() < 1e-5
    again = pickle.loads(pickle.dumps(hinge(kernel="rbf").fit(X, y)))
    expected = hinge(kernel="rbf").fit(X, y).influence(X[:5], y[:5], method="exact")
    np.testing.assert_allclose(again.influence(X[:5], y[:5], method="exact"), expected, atol=1e-9)
    lonely = np.r_[1, np.zeros(39)].astype(int)
    clf = hinge().fit(X, lonely)
    with pytest.warns(RuntimeWarning, match="class is empty"):
        assert np.isnan(clf.influence(X[:2], lonely[:2], method="exact")[:, 0]).all()


def test_path_with_few_candidates_looks_at_all_rows():
    """Rows off the path come to matter: they are found, and the path is followed again."""
    X, y = data(n=120, p=4, seed=3)
    design = make_design(X, True)
    penalty = L2(design.pack(np.full(4, 0.5), 0.0)[0])
    start = Objective(HingeLoss(), design, y.astype(float), np.ones(120), penalty, np.zeros((1, 5)))
    whole, part = HingeDual(start), HingeDual(start, n_candidates=10)
    assert part.converged
    np.testing.assert_allclose(part.objective.theta, whole.objective.theta, atol=1e-10)
    np.testing.assert_allclose(part.alpha, whole.alpha, atol=1e-8)


def test_without_an_intercept_liblinear_is_only_the_start():
    """Far from converged, and on more rows than the path follows at first."""
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    solver = LinearSVC(loss="hinge", C=1e3, tol=1e-2, fit_intercept=False, random_state=0)
    with pytest.warns(ConvergenceWarning):
        solver.fit(X, y)
    clf = hinge(kernel=lambda A, B: A @ B.T, C=1e3, fit_intercept=False).fit(X, y)
    largest = np.abs(clf.decision_function(X)).max()
    assert violated(clf, X, y) < 1e-8 * largest
    X, y = data(n=5400, p=3)
    clf = hinge(C=0.01, fit_intercept=False).fit(X, y)
    solver = LinearSVC(loss="hinge", C=0.01, tol=1e-9, fit_intercept=False, max_iter=100_000)
    np.testing.assert_allclose(clf.coef_, solver.fit(X, y).coef_, atol=1e-5)
    sign = np.where(y == 1, 1.0, -1.0)
    assert (np.abs(sign * clf.decision_function(X) - 1.0) < 1e-12).sum() == 3


def test_refusals():
    X, y = data()
    with pytest.raises(ValueError, match="temperature should be a finite positive number, or 0"):
        SmoothHingeSVC(temperature=0.0).fit(X, y)
    with pytest.raises(ValueError, match="temperature should be"):
        hinge(temperature=-1.0).fit(X, y)
    with pytest.raises(ValueError, match="loss should be one of"):
        SmoothHingeSVC(loss="squared").fit(X, y)
    from skinfluence.model_selection import optimize_regularization

    with pytest.raises(NotImplementedError, match="hinge"):
        optimize_regularization(hinge(), X, y)
