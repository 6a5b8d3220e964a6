"""What a changed sign, bound or index of targets and leave-one-out estimates would break."""

import numpy as np
import pytest

import skinfluence.leave_one_out as loo_module
from skinfluence import InfluenceTweedieRegressor
from skinfluence.curvature import DenseCurvature, Leverage
from skinfluence.deletion import GroupDeletion, OneStep
from skinfluence.deletion._rounding import ROUNDING
from skinfluence.deletion._second_order import QuadraticTerms
from skinfluence.deletion._single_remainder import ROWS, SingleRemainder
from skinfluence.deletion._step_errors import next_group_change, step_errors
from skinfluence.deletion.targets import resolve_target, target_names
from skinfluence.leave_one_out import leave_group_out, leave_one_out
from skinfluence.losses import (
    BinaryLogLoss,
    MultinomialLogLoss,
    SmoothEpsilonInsensitiveLoss,
    SquaredLoss,
    TweedieLoss,
)
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.problem import fitted_problem
from tests.test_single_remainder import chord_of, objective
from tests.test_small_changes_of_deletion import curvature_of, optimum

# Targets of which more is better; of all others less is.
GOOD = {"decision_function", "predict_proba", "margin", "prediction"}


@pytest.mark.parametrize("loss", [BinaryLogLoss(), MultinomialLogLoss(3), SquaredLoss()], ids=repr)
def test_probabilities_and_scores_are_good_and_losses_and_errors_bad(loss):
    for name in target_names(regressor=loss.n_classes == 0):
        target = resolve_target(name, loss.link, loss)
        assert target.greater_is_better is (name in GOOD), name


def test_a_deviance_keeps_its_digits_near_the_mean_and_far_below_it():
    """2 mu (d^2 / 2 - d^3 / 6 + ...) at y = (1 + d) mu, and 2 mu far below."""
    loss = SquaredLoss()
    deviance = resolve_target("poisson_deviance", loss.link, loss)
    mean = np.array([3.0, 3.0, 50.0])
    d = np.array([1e-5, -1e-4, 1e-7])
    found = np.ravel(deviance.value((1.0 + d) * mean, mean))
    expected = 2.0 * mean * (d**2 / 2 - d**3 / 6 + d**4 / 12)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    far = np.ravel(deviance.value(np.array([1e-20, 0.0, 9.0]), np.array([1.0, 2.0, 1.0])))
    np.testing.assert_allclose(far, [2.0, 4.0, 2.0 * (9.0 * np.log(9.0) - 8.0)], rtol=1e-12)


# -- leave-one-out estimates -----------------------------------------------------------------------


def tube(unit):
    """Support vector regression of responses in some unit, at its optimum: the same in each."""
    rng = np.random.default_rng(0)
    base = optimum(n=60)
    y = unit * (base.design.dense(slice(None))[:, 0] + rng.standard_t(3, size=60))
    loss = SmoothEpsilonInsensitiveLoss(0.2 * unit, 0.5 * unit)
    penalty, theta = base.penalty.times(1.0 / unit), np.zeros((1, 4))
    start = Objective(loss, base.design, y, base.sample_weight, penalty, theta)
    return polish(start, max_steps=100, tolerance=1e-13).objective


@pytest.mark.parametrize("unit", [2.0**-10, 2.0**10])
def test_auto_refits_the_same_rows_in_every_unit_of_the_responses(unit, monkeypatch):
    monkeypatch.setattr(loo_module, "NEWTON_SHARE", 0.0)
    flops = loo_module.exact_flops(tube(1.0))
    monkeypatch.setattr(loo_module, "FREE_FLOPS", 0.99 * flops)
    route = []
    for made in (tube(1.0), tube(unit)):
        found = leave_one_out(made, DenseCurvature(made), "auto", tolerance=1e-8)
        route.append(found.route)
    assert (route[0] == "refined").sum() > 20
    np.testing.assert_array_equal(route[1], route[0])


def test_refits_without_a_group_have_no_error_and_steps_an_unknown_one():
    made = optimum()
    groups = [np.arange(5), np.arange(5, 30)]
    for method, error in (("exact", 0.0), ("auto", 0.0), ("newton", np.nan)):
        groups = [np.arange(k, 30, 3) for k in range(3)]
        found = leave_group_out(made, curvature_of(made), method, groups)
        np.testing.assert_array_equal(found.error_estimate, np.full(30, error))
        assert np.isinf(found.error_bound).all()


def test_errors_of_groups_are_what_the_next_step_would_change():
    made = optimum()
    groups = [np.array([1, 4, 6]), np.array([29]), np.arange(10, 20)]
    deletion = GroupDeletion(made, curvature_of(made), "newton", groups)
    route, error, bound = step_errors(deletion, "newton")
    np.testing.assert_array_equal(route, ["newton", "exact", "newton"])
    assert np.isinf(bound[[0, 2]]).all()
    assert error[1] == bound[1] == 0.0
    steps = deletion.steps(slice(0, 3))
    for k in (0, 2):
        delta = np.zeros(made.n_rows)
        delta[groups[k]] = -made.sample_weight[groups[k]]
        there = made.reweighted(delta).at(made.theta + steps[k])
        H = there.loss_hessian() + np.diag(there.hessian_diagonal)
        step = -np.linalg.solve(H, there.gradient.ravel())
        change = np.abs(made.design.dense(groups[k]) @ step)
        np.testing.assert_allclose(next_group_change(made, groups[k], steps[k]), change, atol=1e-10)
        assert error[k] == pytest.approx(change.max(), rel=1e-8)


# -- rows without which there is no optimum, and digits --------------------------------------------


def test_a_loss_that_is_not_convex_has_no_step_where_the_curvature_has_no_sign():
    rng = np.random.default_rng(0)
    base = optimum()
    y = np.exp(0.3 * rng.normal(size=30))
    start = Objective(
        TweedieLoss(3.0), base.design, y, base.sample_weight, base.penalty, np.zeros((1, 4))
    )
    made = polish(start, max_steps=100).objective
    assert not made.loss.is_convex
    rows = np.arange(10)
    curvature = DenseCurvature(made)
    known = curvature.leverage(rows)
    assert not OneStep(made, curvature, rows, corrected=True).undefined.any()
    one_minus = known.one_minus.copy()
    one_minus[[2, 7]] = np.array([-0.1, 0.0])[:, None, None]
    known = Leverage(known.quadratic, one_minus)
    found = OneStep(made, curvature, rows, corrected=True, leverage=known)
    np.testing.assert_array_equal(np.flatnonzero(found.undefined), [2, 7])


def test_the_usual_size_of_two_rows_is_their_mean():
    made = optimum()
    delta = -made.sample_weight
    delta[[3, 8]] = 0.0
    step = OneStep(made, curvature_of(made), np.arange(3), corrected=True)
    step.objective = made.reweighted(delta)
    size = made.sample_weight**2 * (made.design.dense(slice(None)) ** 2).sum(axis=1)
    assert step._usual_size() == pytest.approx(size[[3, 8]].mean(), rel=1e-12)


# -- sums in float32 -------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [{}, {"loss": "Poisson", "weights": "zeros"}])
def test_what_float32_may_hide_is_that_of_the_formula(case):
    """(e^kappa - 1) (q + 2) e sqrt(q / c) + phi(kappa) b e sqrt(q / c), and q of float64's."""
    made = objective(**case)
    single = chord_of(made, np.arange(5))._single
    Z, weight = made.design.dense(slice(None)), made.weights[:, 0, 0]
    scale = np.sqrt(weight @ Z**2)
    H = (Z.T * weight) @ Z + np.diag(made.hessian_diagonal)
    smallest, q = np.linalg.eigvalsh(H / scale / scale[:, None])[0], len(scale)
    length, moved = np.array([0.3, 2.0]), np.array([0.2, 0.01])
    kappa = made.loss.self_concordance * moved
    phi = (np.expm1(kappa) - kappa) / kappa
    float32 = (np.expm1(kappa) * (q + 2) + phi * ROWS) * 2.0**-24 * np.sqrt(q / smallest)
    expected = length * (float32 + ROUNDING * q / smallest)
    np.testing.assert_allclose(single.rounding(length, moved), expected, rtol=1e-6)
    D = np.random.default_rng(0).normal(size=(4, q))
    np.testing.assert_allclose(
        single.lengths(D), np.sqrt(np.einsum("ij,jk,ik->i", D, H, D)), rtol=1e-9
    )


def test_sums_in_float32_are_those_of_every_row_but_the_one_that_is_gone(monkeypatch):
    """In pieces of rows that stay in a cache, whose last is shorter, as in one."""
    made, rows = objective(weights="zeros"), np.array([0, 500, 1023, 1024, 1099])
    chord = chord_of(made, rows)
    single, D = chord._single, chord._newton(np.arange(5), chord.inverse_rows(np.arange(5)))
    Z, found = made.design.dense(slice(None)), []
    for size in (2**20, 4 * ROWS * len(rows) * 8, 1):
        monkeypatch.setattr("skinfluence.deletion._single_remainder.CACHE_BYTES", size)
        scratch = np.empty(single.scratch_size(len(rows)), dtype=np.float32)
        total, largest = single.gradients(D, rows, 1e-11, scratch)
        found.append(total)
        for k, row in enumerate(rows):
            slopes = made.at(made.theta + D[k]).residuals[:, 0] - made.residuals[:, 0]
            slopes[row] = -made.residuals[row, 0]
            np.testing.assert_allclose(total[k], slopes @ Z, atol=1e-5 * np.abs(total[k]).max())
            moved = np.abs(Z @ D[k]) * (made.sample_weight > 0)
            assert largest[k] == pytest.approx(np.delete(moved, row).max(), rel=1e-5)
    assert SingleRemainder._width(len(rows)) == ROWS


def test_a_series_in_float32_has_no_more_terms_than_the_digits_that_are_asked_for():
    made, rows = objective(), np.arange(3)
    single = chord_of(made, rows)._single
    radius, D = made.loss.series_radius, np.zeros((3, made.n_parameters))
    D[:, 2] = 0.01 * radius / np.abs(made.design.dense(slice(None))[:, 2]).max()
    scratch = np.empty(single.scratch_size(3), dtype=np.float32)
    expected = single.gradients(D, rows, 1e-7, scratch)[0]  # 4 terms, of which the first is apart
    single._series = [*single._series[:3], *(np.full_like(c, np.nan) for c in single._series[3:])]
    np.testing.assert_array_equal(single.gradients(D, rows, 1e-7, scratch)[0], expected)


def test_quadratic_terms_are_found_where_they_take_half_the_flops_of_a_pass():
    """q^2 for each row and each deletion, a pass 4 for each column of both."""
    for n_rows, n_deletions in ((1000, 1000), (4000, 100), (100, 4000)):
        for q in range(1, 60):
            made, each_pass = q**2 * (n_rows + n_deletions), 4 * n_rows * n_deletions
            assert QuadraticTerms.pays(q, n_rows, n_deletions) == (made <= 0.5 * each_pass)


@pytest.mark.parametrize("budget", [0.0, 1.5])
def test_rows_without_a_step_are_refitted_first_and_undefined_without_a_refit(budget, monkeypatch):
    """Two rows, each of which alone keeps a mean above 0, and a budget of one refit."""
    base = np.array([0.73, 0, 0.73, 0, 0, 0.73, 0.73, 0.73, 0, 0.73])
    X = np.zeros((16, 2))
    X[:3, 0], X[3:6, 1] = 1.0, 1.0
    y = np.r_[0.0, 6.04, 0.0, 0.0, 5.5, 0.0, base]
    settings = {"alpha": 0.00382, "link": "identity", "power": 1.0, "max_iter": 1000}
    made = fitted_problem(InfluenceTweedieRegressor(**settings).fit(X, y)).objective
    monkeypatch.setattr(loo_module, "NEWTON_SHARE", 0.0)
    monkeypatch.setattr(loo_module, "FREE_FLOPS", budget * loo_module.refit_flops(made))
    found = leave_one_out(made, curvature_of(made), "auto", tolerance=1e-8)
    np.testing.assert_array_equal(np.flatnonzero(found.route == "undefined"), [1, 4])
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found.eta[:, 0])), [1, 4])
    assert np.isinf(found.error_bound[[1, 4]]).all()
    assert set(np.delete(found.route, [1, 4])) == {"newton"}
