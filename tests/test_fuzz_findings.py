"""Smallest cases of what the fuzzer has found, each kind once."""

import numpy as np
import pytest
import sklearn
from sklearn.linear_model import Ridge, RidgeClassifierCV
from sklearn.svm import SVC, LinearSVC

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
    make_target,
)
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import OneStep
from skinfluence.deletion._rounding import rounding_floor
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.optimum import is_acceptable_refit, newton_step, refit
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem


def numbers(n=20, p=2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    return X, X @ np.ones(p) + rng.normal(size=n)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SmoothEpsilonSVR(kernel="rbf", gamma=0.5, temperature=0.2),
        lambda: InfluenceKernelRidge(kernel="rbf", gamma=0.5),
        lambda: InfluenceKernelRidge(kernel="laplacian", gamma=0.5),
    ],
)
def test_kernels_of_distances_do_not_depend_on_the_origin(make):
    X, y = numbers()
    shift = np.array([1e6, -1e7])
    near, far = make().fit(X, y), make().fit(X + shift, y)
    np.testing.assert_allclose(far.predict(X + shift), near.predict(X), atol=1e-7)
    effect = near.influence(X[:3], y[:3], method="exact")
    found = far.influence(X[:3] + shift, y[:3], method="exact")
    np.testing.assert_allclose(found, effect, atol=1e-6 * np.abs(effect).max())


def test_the_quadratic_form_of_a_row_that_is_nearly_alone():
    # Row 3 and its copy: at the low temperature one of the two has all the curvature.
    X = np.array([[0.54299857], [0.54299857], [0.30375698], [0.30375698]])
    y = np.array([2.49404461, 1.70626699, 2.78272526, 2.29708004])
    model = SmoothQuantileRegressor(quantile=0.23, alpha=0.00605, temperature=0.0131).fit(X, y)
    own = model.self_influence(target="prediction", method="first_order")
    change = model.parameter_influence(method="first_order")
    np.testing.assert_allclose(own, change.coef[:, 0] * X[:, 0] + change.intercept, rtol=1e-9)


def test_a_dual_that_has_lost_its_digits_gives_way_or_says_so():
    X, y = numbers(6, 5)
    X, y = X + 1e5, (y > 0).astype(int)
    model = InfluenceExplainer(LinearSVC(C=50.0, max_iter=100_000)).fit(X, y)
    problem = model.__fitted_problem__()
    assert problem.curvature_choice().kind == "dual"
    assert problem.curvature().kind == "dense"
    with pytest.warns(RuntimeWarning, match="dual curvature is ill-conditioned"):
        problem.curvature("dual")


def test_quadratic_forms_of_the_dual_where_other_rows_pin_a_row_down():
    X, y = numbers(12, 30)
    X[1] = X[0]
    weight = np.r_[1e-3, 1e5, np.ones(10)]
    model = InfluenceRidge(alpha=1e-2).fit(X, y, sample_weight=weight)
    problem = model.__fitted_problem__()
    dual, dense = problem.curvature("dual"), problem.curvature("dense")
    found, expected = (each.leverage().quadratic[:2, 0, 0] for each in (dual, dense))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_a_refit_goes_on_where_the_curvature_is_nearly_flat():
    # Without the last row the classes at 0 are two and two: the optimum there is 0 by symmetry. Its
    # curvature is e^(-1 / temperature) of that at a kink, 1e-11.
    X = np.array([1.0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0])[:, None]
    y = np.array([1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1])
    model = SmoothHingeSVC(C=3.04, temperature=0.04).fit(X, y)
    exact = model.loo_estimate(method="exact").decision_function[-1]
    grouped = model.loo_estimate(method="exact", groups=np.arange(11)).decision_function[-1]
    np.testing.assert_allclose([exact, grouped], 0.0, atol=1e-3)


def test_exact_is_relative_to_what_a_coefficient_is_worth():
    # The intercept is penalised: nothing is centred, and a coefficient of 1e-6 decides.
    X, y = numbers(10, 1)
    X, y = X + 1e6, (y > 0).astype(int)
    model = InfluenceLogisticRegression(C=0.01, solver="liblinear").fit(X, y)
    w = np.ones(10)
    w[0] = 0.0
    refit = InfluenceLogisticRegression(C=0.01, solver="liblinear").fit(X, y, sample_weight=w)
    change = model.parameter_influence(method="exact", train_indices=[0]).coef[0]
    np.testing.assert_allclose(change, refit.coef_ - model.coef_, rtol=1e-7)


def test_bounds_of_rows_without_weight_have_room_for_rounding():
    X, y = problem(n=20, p=2)
    weight = np.ones(20)
    weight[[3, 4]] = 0.0
    loo = InfluenceLogisticRegression().fit(X, y, sample_weight=weight).loo_estimate()
    assert (loo.error_bound[[3, 4]] > 0).all()
    assert (loo.error_bound[[3, 4]] < 1e-9).all()


@pytest.mark.filterwarnings("ignore:1 row left undefined:RuntimeWarning")
def test_undefined_deletions_leave_the_others_to_conjugate_gradients():
    X, y = numbers(8)[0], np.arange(8) == 2
    model = InfluenceLogisticRegression().fit(X, y)
    found, expected = (
        model.influence(X[:2], y[:2], method="newton", curvature=curvature)
        for curvature in ("cg", "dense")
    )
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_diagnostics_of_a_penalty_per_row_have_leverages_of_the_whole_objective():
    X, y = numbers(15)
    y = np.exp(y / 2)
    model = InfluencePoissonRegressor(alpha=0.3).fit(X, y)
    Z = np.column_stack([X, np.ones(15)])
    mu = model.predict(X)
    H = Z.T @ (mu[:, None] * Z) + 15 * 0.3 * np.diag([1.0, 1.0, 0.0])
    leverage = mu * np.einsum("ij,jk,ik->i", Z, np.linalg.inv(H), Z)
    np.testing.assert_allclose(model.case_deletion_diagnostics().leverage, leverage, rtol=1e-8)


def test_a_custom_target_sees_the_decisions_of_pairs():
    X, y = problem(n=30, p=2, n_classes=3)
    model = InfluenceExplainer(SVC(kernel="linear", decision_function_shape="ovo")).fit(X, y)
    seen = []

    def first_pair(labels, decision):
        seen.append(decision.shape[1:])
        return decision[:, 0]

    found = model.influence(X[:4], y[:4], target=make_target(first_pair), method="newton")
    own = model.influence(X[:4], target="decision_function", method="newton")
    np.testing.assert_allclose(found, own[..., 0], rtol=1e-9, atol=1e-12)
    assert set(seen) == {(3,)}


def test_nothing_active_and_no_intercept():
    X, y = problem(n=20, p=3)
    options = {"penalty": "l1"} if sklearn.__version__ < "1.8" else {"l1_ratio": 1.0}
    options |= {"solver": "saga", "fit_intercept": False}
    model = InfluenceLogisticRegression(C=1e-3, **options).fit(X, y)
    for curvature in ("auto", "cg", "dense"):
        found = model.self_influence(curvature=curvature, damping=0.1)
        np.testing.assert_array_equal(found, 0.0)


def test_a_joint_step_of_rows_that_are_nearly_alone():
    X, y = numbers(14)
    weight = np.r_[np.full(3, 1e6), np.ones(11)]
    model = InfluenceKernelRidge(0.1, kernel="rbf", gamma=0.5).fit(X, y, sample_weight=weight)
    found = model.group_influence([[0, 1, 2]], X[3:6], y[3:6], method="newton")
    expected = model.group_influence([[0, 1, 2]], X[3:6], y[3:6], method="exact")
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, X, y: m.fit(X, y, sample_weight=["a"] * 20), "sample_weight should hold"),
        (lambda m, X, y: m.fit(X, y, sample_weight=np.ones(20) * 1j), "sample_weight should hold"),
        (lambda m, X, y: m.local_influence(scale=np.inf), "scale should be a finite"),
        (lambda m, X, y: m.loo_estimate(scoring=lambda *a: "good"), "scoring should give one"),
        (lambda m, X, y: m.loo_estimate(progress=3), "progress should be None"),
        (lambda m, X, y: m.influence(X[:2], y[:2] * 1j), "y_test should hold"),
        (lambda m, X, y: m.influence(X[:2], y[:2], target=lambda y, f: ["a", "b"]), "target"),
        (lambda m, X, y: KernelLogisticRegression(fit_intercept="yes").fit(X, y > 0), "fit_inter"),
        (
            lambda m, X, y: KernelLogisticRegression(class_weight={0: -1.0}).fit(X, y > 0),
            "class_weight should hold",
        ),
        (lambda m, X, y: SmoothQuantileRegressor(max_iter=0.5).fit(X, y), "max_iter should be"),
        (lambda m, X, y: SmoothQuantileRegressor().fit(X, ["a"] * 20), "y should hold"),
    ],
)
def test_hostile_arguments(call, sentence):
    X, y = numbers()
    with pytest.raises((ValueError, TypeError), match=sentence):
        call(InfluenceRidge().fit(X, y), X, y)


def test_a_refit_outside_the_range_of_means_is_none():
    """Without row 1 both rows at x = 1 are counts of 0: their mean falls to 0."""
    x = np.array([1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])[:, None]
    y = np.array([0.0, 6.04, 0.73, 0, 0.73, 0, 0, 0.73, 0.73, 0.73, 0, 0, 0, 0.73])
    model = InfluenceTweedieRegressor(alpha=0.00382, link="identity", power=1.0, max_iter=1000)
    model.fit(x, y)
    for method in ("exact", "auto"):
        with pytest.warns(RuntimeWarning, match="without row 1"):
            effect, info = model.influence(
                x, y, target="prediction", method=method, return_info=True
            )
        assert info.method[1] == "undefined"
        np.testing.assert_array_equal(np.isnan(effect[0]), np.arange(14) == 1)
    refit = InfluenceTweedieRegressor(alpha=0.00382, link="identity", power=1.0, max_iter=1000)
    refit.fit(np.delete(x, 2, axis=0), np.delete(y, 2))
    change = refit.predict(x) - model.predict(x)
    np.testing.assert_allclose(effect[:, 2], change, atol=1e-6)


def identity_poisson():
    """A fit whose row 1 alone keeps the mean at x = 1 above 0."""
    x = np.array([1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])[:, None]
    y = np.array([0.0, 6.04, 0.73, 0, 0.73, 0, 0, 0.73, 0.73, 0.73, 0, 0, 0, 0.73])
    settings = {"alpha": 0.00382, "link": "identity", "power": 1.0, "max_iter": 1000}
    return InfluenceTweedieRegressor(**settings).fit(x, y), x, y


@pytest.mark.parametrize("method", ["newton", "auto", "exact"])
def test_every_question_is_undefined_where_a_mean_leaves_its_range(method):
    model, x, y = identity_poisson()
    ask = {"target": "prediction", "method": method}
    with pytest.warns(RuntimeWarning, match="without row 1 the mean of a row leaves the range"):
        effect = model.influence(x, y, **ask)
    np.testing.assert_array_equal(np.isnan(effect[0]), np.arange(14) == 1)
    with pytest.warns(RuntimeWarning, match="without row 1 the mean"):
        estimate = model.loo_estimate(method=method)
    np.testing.assert_array_equal(np.isnan(estimate.prediction), np.arange(14) == 1)
    np.testing.assert_array_equal(estimate.method == "undefined", np.arange(14) == 1)
    with pytest.warns(RuntimeWarning, match="without group 0, 1 the mean"):
        groups = model.group_influence([[1], [1, 2], [3]], x, y, **ask)
    np.testing.assert_array_equal(np.isnan(groups[0]), [True, True, False])
    with pytest.warns(RuntimeWarning, match="relabelling of row 1 the mean"):
        changes = model.relabel_influence(x, y, labels=np.zeros(14), **ask)
    np.testing.assert_array_equal(np.isnan(changes[0]), np.arange(14) == 1)


@pytest.mark.parametrize("method", ["first_order", "newton", "auto", "exact"])
def test_a_row_that_enters_beyond_the_range_has_no_model(method):
    """At x = -5 its mean would be negative whatever its count."""
    model, x, y = identity_poisson()
    new, count = np.array([[1.0], [-5.0]]), np.array([0.1, 2.0])
    with pytest.warns(RuntimeWarning, match="new row 1"):
        effect = model.addition_influence(new, count, x, y, target="prediction", method=method)
    np.testing.assert_array_equal(np.isnan(effect[0]), [False, True])
    if method in ("auto", "exact"):
        refit = identity_poisson()[0].fit(np.vstack([x, new[:1]]), np.append(y, count[0]))
        np.testing.assert_allclose(effect[:, 0], refit.predict(x) - model.predict(x), atol=1e-8)


@pytest.mark.parametrize("columns", [4, 40])
@pytest.mark.parametrize(("factor", "weight"), [(1e4, 1.0), (1e6, 1.0), (1.0, 1e8), (1.0, 1e12)])
def test_a_row_that_settles_its_own_predictor_keeps_the_digits(columns, factor, weight):
    """Its residual is 1e-11 of the terms that cancel in it; without it the rest are ordinary."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, columns))
    y = X[:, 0] + rng.standard_normal(30)
    X[3] *= factor
    weights = np.where(np.arange(30) == 3, weight, 1.0)
    model = InfluenceRidge(alpha=1.0).fit(X, y, weights)
    refit = Ridge(alpha=1.0, solver="svd").fit(np.delete(X, 3, axis=0), np.delete(y, 3))
    expected = refit.predict(X[[3]]) - model.predict(X[[3]])
    for method in ("newton", "exact"):
        ask = {"target": "prediction", "method": method, "curvature": "dense"}
        found = model.influence(X[[3]], y[[3]], train_indices=[3], **ask)
        np.testing.assert_allclose(found[0], expected, rtol=1e-8)


def test_softmax_coefficients_add_up_to_zero_where_rows_are_far_from_it():
    """The penalty alone settles their sum, and is 1e-9 of the curvature: no step goes there."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8, 3)) + np.array([1e4, 0.0, 1e4])
    y = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    model = InfluenceLogisticRegression(C=2.42, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-15 * np.abs(model.coef_).max())
    np.testing.assert_allclose(model.decision_function(X).sum(axis=1), 0.0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:1 .* left undefined:RuntimeWarning")
def test_a_heavy_row_of_a_trained_hinge_keeps_the_digits_of_its_step():
    # At its margin the row's residual is half of its weight, and the step to the optimum of the
    # smooth hinge, without any deletion, leaves a tenth of a billionth of that.
    X, y = 10.0 * np.arange(7.0).reshape(-1, 1), np.array([1, 0, 0, 0, 0, 0, 0])
    weight = np.array([5e-5, 4e-3, 8e-3, 8.6, 0.4, 1e3, 5e5])
    model = SmoothHingeSVC(C=0.3, loss="hinge", kernel="rbf", gamma=0.9, temperature=0.8)
    model.fit(X, y, sample_weight=weight)
    groups = np.array([0, 0, 1, 1, 2, 3, 3])
    for method in ("first_order", "newton"):
        options = {"target": "decision_function", "method": method}
        asked = {"train_indices": np.arange(1, 7), **options}
        dense, dual = (model.influence(X, curvature=c, **asked) for c in ("dense", "dual"))
        np.testing.assert_allclose(dual, dense, rtol=1e-7)
        dense, dual = (
            model.group_influence(groups, X, curvature=c, **options)[:, 1:]
            for c in ("dense", "dual")
        )
        np.testing.assert_allclose(dual, dense, rtol=1e-7)


def test_overflow_on_the_way_of_a_solver_is_no_warning_where_the_optimum_is_found():
    # scikit-learn's own fit of these columns warns of invalid values, and ends where it began.
    X = np.array([[0.0188, 2707.0], [-0.0026, -904.4], [-0.0644, -732.9], [0.0315, -1140.7]])
    X = np.vstack([X, [-0.00676, 1915.2]])
    y = np.array([1.21669955, 1.71525199, 3.2248018, 0.0, 0.0])
    model = InfluenceTweedieRegressor(power=1.9, alpha=1.0, link="log", max_iter=1000).fit(X, y)
    assert model.coef_[1] < -1e-4
    assert model.__fitted_problem__().objective.stationarity < 1e-8


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    "model", [InfluenceRidgeClassifier(), InfluenceExplainer(RidgeClassifierCV())]
)
def test_ridge_classifiers_need_weight_in_every_class(model, n_classes):
    X, _ = numbers(10)
    y = np.arange(10) % n_classes
    with pytest.raises(ValueError, match="class 0 has no row of positive weight"):
        model.fit(X, y, sample_weight=(y > 0).astype(float)).influence(X, y)


def test_an_intercept_that_is_nearly_flat_is_followed_to_its_optimum():
    # No row is near its margin: the curvature is that of the temperature's tails, and a gradient of
    # 1e-10 of its terms left the intercept a tenth of the temperature away.
    X, y = (
        (np.random.default_rng(1).uniform(size=(18, 2)) < 0.5).astype(float),
        np.repeat([0, 1], 9),
    )
    model = SmoothHingeSVC(C=0.15, temperature=0.04).fit(X, y)
    objective = model.__fitted_problem__().objective
    assert 1e-12 < objective.intercept_curvatures[0] < 1e-6
    H = objective.hessian_matmul(np.eye(3))
    step = np.linalg.solve(H, objective.gradient.ravel())
    assert np.abs(objective.design @ step[None].T).max() < 1e-5 * 0.04


def test_the_floor_of_an_error_is_what_the_fit_itself_has_left():
    """Steps without a row go through a curvature without its share of a common penalty."""
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(8, 3)), np.r_[np.ones(7), 0.0]
    model = InfluencePoissonRegressor(alpha=0.3).fit(X, rng.poisson(2.0, size=8), weight)
    at = model.__fitted_problem__().objective
    at = at.at(at.theta + 1e-6 * rng.normal(size=at.theta.shape))
    curvature = DenseCurvature(at.without_mean_penalty_share())
    step = OneStep(at, curvature, np.arange(8), corrected=True)
    left = np.abs(at.design @ newton_step(at).T)[7, 0]
    assert left <= rounding_floor(step, curvature)[7] <= 1.3 * left


def test_a_row_of_weight_0_has_no_part_in_a_mean_loss():
    """Its mean leaves the range of the response, and its own loss is infinite."""
    X = np.arange(1.0, 9.0)[:, None]
    y, weight = 9.0 + X[:, 0] + np.tile([0.25, -0.25], 4), np.ones(8)
    far, none = np.vstack([X, [[-9.5]]]), np.append(weight, 0.0)
    model = InfluenceTweedieRegressor(power=1, link="identity", alpha=0.0)
    expected = model.fit(X, y).loo_estimate(method="newton").train_loss
    y_far = np.append(y, 1.0)
    model.fit(far, y_far, sample_weight=none)
    with np.errstate(invalid="raise"):
        assert model.loo_estimate(method="newton").train_loss == pytest.approx(expected, rel=1e-9)
        model.case_deletion_diagnostics()
        for method in ("first_order", "newton", "exact"):
            asked = {"aggregate": "mean", "method": method}
            found = model.influence(far, y_far, test_sample_weight=none, **asked)
            np.testing.assert_array_equal(found, model.influence(X, y, **asked))
        found = model.feature_influence(far, y_far, aggregate="mean", test_sample_weight=none)
        expected = model.feature_influence(X, y, aggregate="mean")
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_refit_far_from_the_fit_starts_once_more_from_zero():
    """Without the heaviest row predictors move by hundreds, past where no row has curvature."""
    X = [1.955, -0.54, 0.64, 0.031, 1.999, -0.245, 0.41, -1.376, 0.34, 0.372, 0.837, -1.347]
    y = [-1, 1, -1, 1, 1, 1, 3, 3, 3, -1, -1, 1]
    weight = [1.83, 4.05e4, 4.5e-6, 9.05, 4.77e4, 225, 2.4e-3, 0.0105, 524, 0.795, 1.27e-4, 19.3]
    X = np.array(X)[:, None]
    model = InfluenceLogisticRegression(C=np.inf).fit(X, y, sample_weight=weight)
    objective = model.__fitted_problem__().objective
    found = refit(objective.without(np.array([4])), np.zeros_like(objective.theta))
    assert is_acceptable_refit(found)
    alone = model.influence(X[:2], target="decision_function", method="exact", train_indices=[4])
    among = model.influence(X[:2], target="decision_function", method="exact")
    assert np.abs(alone).max() > 100
    np.testing.assert_allclose(alone[:, 0], among[:, 4], rtol=1e-6)


def test_a_fit_near_separation_ends_at_a_gradient_of_its_own_scale():
    """There each step divides the terms of the gradient, and so its scale, by e."""
    a, side = np.tile(np.linspace(-2, 2, 15), 4), np.repeat([-1.0, 1.0], 30)
    X = np.column_stack([a + 1e-4 * side, a])
    for C, copies in ((1e10, 1), (1e16, 1), (1e12, 30_000)):
        model = InfluenceLogisticRegression(C=C / copies)
        record = model.fit(np.tile(X, (copies, 1)), np.tile(side > 0, copies)).__optimum_record__()
        own = model.__fitted_problem__().objective.at(record.theta)
        assert record.converged
        assert own.stationarity < 1.1e-10
