"""What a changed sign, bound or index of errors and budgets would break and no test would see."""

import numpy as np
import pytest
from sklearn import config_context

from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import (
    ChordNewton,
    NewtonError,
    OneStep,
    _auto,
    _change_rows,
    _newton_error,
)
from skinfluence.deletion._closed_form import ClosedForm
from skinfluence.deletion._newton_cg import NewtonCG
from skinfluence.deletion._newton_error import _calibrated, _quantile, _spread_over
from skinfluence.deletion._rounding import ROUNDING, rounding_floor
from skinfluence.deletion._row_change import Entering, RowChange
from skinfluence.design import make_design
from skinfluence.losses import BinaryLogLoss, SquaredHingeLoss, SquaredLoss
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.penalties import L2
from tests.test_small_changes_of_deletion import KINDS, curvature_of, optimum


def newton_of(objective):
    """Newton steps without each row."""
    rows = np.arange(objective.n_rows)
    return OneStep(objective, curvature_of(objective), rows, corrected=True)


def few_columns(n=40, seed=0):
    """An objective of one parameter: a slope, no intercept."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 1))
    y = (X[:, 0] + rng.logistic(size=n) > 0).astype(float)
    design = make_design(X, False)
    start = Objective(BinaryLogLoss(), design, y, np.ones(n), L2(np.full(1, 0.1)), np.zeros((1, 1)))
    return polish(start, tolerance=1e-13).objective


def test_quantiles_are_those_of_numpy():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 8, 31):
        values = rng.normal(size=(3, size))
        for q in (0.0, 0.25, 0.5, 0.93, 1.0):
            np.testing.assert_allclose(_quantile(values, q), np.quantile(values, q, axis=1))


@pytest.mark.parametrize(("size", "n_rows"), [(100, 16), (40, 16), (1000, 31), (16, 16)])
def test_rows_of_the_calibration_are_the_first_third_and_others_spread_over_all(size, n_rows):
    order = np.random.default_rng(0).permutation(size)
    chosen = _spread_over(order, n_rows)
    place = np.sort(np.argsort(order)[chosen])
    np.testing.assert_array_equal(place[: n_rows // 3], np.arange(n_rows // 3))
    assert len(chosen) == n_rows
    assert place[-1] == size - 1
    gaps = np.diff(place[n_rows // 3 :])
    assert gaps.max() - gaps.min() <= 1
    assert (np.diff(chosen) > 0).all()


def test_a_calibration_goes_on_along_a_power_law_where_enough_is_known():
    known = np.geomspace(1e-3, 1.0, 30)
    far = np.array([0.0, 1e-5, 0.1, 1e3])
    for power, kept in ((0.8, 0.8), (1.3, 1.3), (2.0, 1.5)):  # of the slopes that are believed
        found = _calibrated(far, known, 3.0 * known**power)
        if kept == power:
            np.testing.assert_allclose(found, 3.0 * far**power, rtol=1e-9)
        assert found[3] / _calibrated(10.0 * far, known, 3.0 * known**power)[3] == pytest.approx(
            10.0**-kept
        )
    few = _calibrated(far, known[:4], 3.0 * known[:4])  # a line, whatever the four say
    np.testing.assert_allclose(few, 3.0 * far, rtol=1e-9)
    low, high = _calibrated(np.array([1e2, 1e3]), known[:4], known[:4] ** 1.4)
    assert high == pytest.approx(10.0 * low)


def test_few_rows_are_all_taken():
    np.testing.assert_array_equal(_spread_over(np.array([2, 0, 1]), 16), [0, 1, 2])
    np.testing.assert_array_equal(_spread_over(np.array([0]), 16), [0])


@pytest.mark.parametrize("kind", KINDS)
def test_an_estimate_is_what_is_left_of_the_step_with_a_margin(kind):
    """Of few rows each is computed: a tenth above what two more steps say, and never below."""
    newton = newton_of(optimum(kind, n=20))
    known, rows = NewtonError(newton), np.arange(14)
    left = ChordNewton(newton, 0.0).remaining_change(rows)
    estimate = known.estimate()
    np.testing.assert_allclose(estimate[rows], np.maximum(1.1 * left, known.rounding[rows]))
    np.testing.assert_array_equal(estimate[14:], known.rounding[14:])


@pytest.mark.parametrize("kind", KINDS)
def test_no_bound_is_below_what_rounding_leaves(kind):
    objective = optimum(kind)
    known = NewtonError(newton_of(objective))
    own = known.metric.own_row_norm
    distance = known.distance_by_norms()
    far = np.flatnonzero(~np.isfinite(own * distance))
    if len(far):
        distance[far] = known.distance_by_predictors(far)
    known.rounding = np.full(objective.n_rows, 0.125)  # adds without rounding
    np.testing.assert_allclose(known.bound(), own * distance + 0.125, rtol=1e-12)


def test_what_rounding_leaves_grows_with_terms_condition_and_leverage():
    """64 units in the last place of the terms, over the root of the condition and 1 - leverage."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2)) * [1.0, 1e-3] + [300.0, 0.0]
    y = (rng.uniform(size=30) < 0.5).astype(float)
    design = make_design(X, True)
    start = Objective(
        BinaryLogLoss(), design, y, np.ones(30), L2(np.r_[1e-6, 1e-6, 0]), np.zeros((1, 3))
    )
    objective = polish(start, tolerance=1e-14).objective
    newton = newton_of(objective)
    curvature, one_minus = newton.curvature, newton.leverage.one_minus[:, 0, 0]
    floor = rounding_floor(newton, curvature)
    refitted = rounding_floor(newton, curvature, refitted=True)
    size = np.maximum(1.0, np.abs(objective.eta[:, 0]))
    least = ROUNDING * size / np.sqrt(curvature.rcond)
    terms = ROUNDING * objective.predictor_terms
    moved = np.abs(newton.own_change()[:, 0])
    own = ROUNDING * curvature.amplification(one_minus) * moved
    left = curvature.solve(objective.gradient.reshape(-1, 1)).ravel()
    left = np.abs(objective.design @ left)
    np.testing.assert_allclose(refitted, least + terms + own, rtol=1e-9)
    expected = least + terms / one_minus + own + left / one_minus
    np.testing.assert_allclose(floor, expected, rtol=1e-9)


def test_a_closed_form_is_off_by_rounding_and_no_less_than_its_floor():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    X[0] *= 30.0
    design = make_design(X, True)
    start = Objective(
        SquaredLoss(), design, 9.0 * y, np.ones(20), L2(np.r_[np.ones(3), 0]), np.zeros((1, 4))
    )
    objective = polish(start).objective
    closed = ClosedForm(objective, DenseCurvature(objective), np.arange(20))
    one_minus = closed.leverage.one_minus[:, 0, 0]
    largest = np.abs(objective.eta).max()
    assert largest > 1.0
    more = 64 * np.finfo(float).eps * largest / np.sqrt(closed.curvature.rcond) / one_minus
    expected = rounding_floor(closed, closed.curvature) + more
    np.testing.assert_allclose(closed.own_error, expected, rtol=1e-9)
    np.testing.assert_array_equal(closed.own_bound, closed.own_error)


def test_series_of_residuals_end_where_they_are_told():
    """To the share of the first term that is asked for, by as few terms as reach it."""
    objective = optimum(n=30)
    chord = ChordNewton(newton_of(objective), 1e-8)
    radius = objective.loss.series_radius
    rng = np.random.default_rng(0)
    for share in (1e-6, 1e-4, 1e-2, 0.06, 0.2):
        change = share * radius * rng.uniform(-1, 1, size=(1, 4, objective.n_rows))
        true, found = change.copy(), change.copy()
        chord._by_loss(true)
        for truncation in (1e-6, 1e-11):
            found[...] = change
            order = np.ceil(np.log(truncation) / np.log(share))
            taken = chord._by_series(found[0], share * radius, truncation)
            assert taken == (order <= 8)
            if taken:
                first = chord.series[0] * np.abs(change)
                assert (np.abs(found - true) <= 3.0 * truncation * first + 1e-15).all()


def test_newton_by_conjugate_gradients_needs_no_second_parameter():
    objective = few_columns()
    newton = newton_of(objective)
    rows = np.arange(objective.n_rows)
    found = NewtonCG(ChordNewton(newton, 1e-10)).run(rows, newton.steps(slice(None)))
    assert found.converged.all()
    for row in rows[::7]:
        true = polish(objective.without(row), tolerance=1e-13).objective
        np.testing.assert_allclose(found.steps[row], true.theta - objective.theta, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_newton_by_conjugate_gradients_ends_where_the_bound_or_the_last_step_says_so(kind):
    objective = optimum(kind)
    newton = newton_of(objective)
    metric, rows = newton.metric, np.arange(12)
    for tolerance in (1e-1, 1e-3):
        chord = ChordNewton(newton, tolerance)
        cg = NewtonCG(chord)
        state = cg._start(rows, newton.steps(slice(0, 12)).reshape(12, -1))
        gradient, moved, _ = chord.gradient(state.D, rows)
        solved = chord.solve(gradient, rows, state.inverse_rows, state.D)
        size = np.sqrt(np.einsum("ij,ij->i", gradient, solved))
        bound = metric.distance(size, objective.loss.self_concordance * moved, rows)
        certified = metric.coefficient_change(bound, rows) <= chord.tolerance
        found = _Found(len(rows))
        np.testing.assert_array_equal(cg._record_converged(state, size, moved, found), certified)
        np.testing.assert_allclose(found.bound[certified], bound[certified], rtol=1e-9)
        own = (bound * metric.own_row_norm[rows])[certified]
        np.testing.assert_allclose(found.own_error[certified], own, rtol=1e-9)
        state.last = np.full(state.D.shape, 0.9 * chord.tolerance)
        assert cg._record_converged(state, np.full(12, np.inf), moved, found).all()
        state.last[3, 0] = -1.1 * chord.tolerance
        ended = cg._record_converged(state, np.full(12, np.inf), moved, found)
        np.testing.assert_array_equal(np.flatnonzero(~ended), [3])


class _Found:
    def __init__(self, size):
        self.bound, self.own_error = np.full((2, size), np.nan)
        self.converged = np.zeros(size, dtype=bool)


# -- which steps are refitted ----------------------------------------------------------------------


def test_refits_on_demand_are_the_longest_and_each_is_taken_once():
    objective, asked = optimum(), []
    curvature, rows = DenseCurvature(objective), np.arange(objective.n_rows)

    def exactly(some, leverage):
        asked.append(some)
        return OneStep(objective, curvature, some, corrected=True, leverage=leverage)

    def errors(step):
        step.own_error = step.own_bound = np.zeros(len(step))
        return step

    demand = _auto.RefitsOnDemand(objective, curvature, rows, lambda *a: errors(exactly(*a)))
    length = NewtonError(newton_of(objective)).length
    live = np.flatnonzero(objective.sample_weight > 0)
    demand._left = 5
    wanted = np.r_[live[:8], live[3], objective.n_rows - 1]  # one twice, one of no weight
    assert demand.refine(wanted)
    longest = live[:8][np.argsort(-length[live[:8]])[:5]]
    np.testing.assert_array_equal(asked[0], np.sort(longest))
    np.testing.assert_array_equal(np.flatnonzero(demand.refitted), np.sort(longest))
    assert not demand.refine(wanted)  # nothing is left of the budget
    demand._left = 99
    assert demand.refine(wanted)
    np.testing.assert_array_equal(np.sort(np.concatenate(asked)), live[:8])
    assert not demand.refine(wanted)


def test_only_exact_refits_have_no_budget(monkeypatch):
    objective = optimum()
    curvature, rows = DenseCurvature(objective), np.arange(objective.n_rows)
    monkeypatch.setattr(_auto, "FREE_FLOPS", 3.5 * _auto.refit_flops(objective))
    monkeypatch.setattr(_auto, "COST_SHARE", 0.0)
    for kind, left in (({}, 3), ({"is_exact": True}, len(rows))):
        demand = _auto.RefitsOnDemand(objective, curvature, rows, None, **kind)
        assert demand._left == left


def test_the_longest_steps_are_refitted_until_little_is_missed(monkeypatch):
    """From the longest down, as many as leave MISSED of the effects in the root mean square."""
    monkeypatch.setattr(_auto, "UNRELIABLE", 1e9)
    newton = newton_of(optimum(n=60, seed=3))
    known = NewtonError(newton)
    estimate = 0.02 * known.length * known.metric.own_row_norm
    undefined = np.zeros(60, dtype=bool)
    wanted = _auto.longest_steps(known, estimate, undefined, 60)
    order = np.argsort(-known.length, kind="stable")
    missed = 0.02 * known.length[order]
    limit = 0.0014 * np.sqrt(np.sum(known.length**2))
    n_long = next(k for k in range(61) if np.sqrt(np.sum(missed[k:] ** 2)) <= limit)
    assert 0 < n_long < 54
    np.testing.assert_array_equal(wanted, np.sort(order[:n_long]))
    few = _auto.longest_steps(known, estimate, undefined, 4)
    np.testing.assert_array_equal(few, np.sort(order[:4]))


def test_flops_of_a_question_are_those_of_its_factor_leverages_and_products():
    """Counted by hand for 40 rows, 3 columns and an intercept, of 10 deletions read at 5 rows."""
    objective = optimum(n=40)
    expected = 4**3 / 3 + 2 * 10 * 4**2 + 2 * 5 * 4 * (10 + 4)
    assert _auto.question_flops(objective, 10, 5) == pytest.approx(expected)
    wide = optimum(n=10, p=30)
    assert _auto.question_flops(wide, 1, 0) == pytest.approx(10**3 / 3 + 2 * 10**2)


# -- what they cost --------------------------------------------------------------------------------


def test_flops_of_a_refit_are_those_of_passes_residuals_and_a_factor_of_each_output():
    objective = optimum("softmax", n=40)
    passes, residuals, factor = 4 * 40 * 12, _newton_error.RESIDUAL_FLOPS * 40 * 3, 2 * 12**2
    assert _auto.refit_flops(objective) == pytest.approx(3 * (passes + residuals + factor))


def test_the_second_tier_of_a_bound_is_of_as_many_steps_as_its_flops_and_memory_allow(monkeypatch):
    """Of 4 n P flops and three vectors of predictors each."""
    newton, asked = newton_of(optimum()), []
    n, P = newton.objective.n_rows, newton.objective.n_parameters
    by_predictors = NewtonError.distance_by_predictors

    def recorded(self, deletions):
        asked.append(len(deletions))
        return by_predictors(self, deletions)

    monkeypatch.setattr(NewtonError, "distance_by_norms", lambda _: np.full(n, np.inf))
    monkeypatch.setattr(NewtonError, "distance_by_predictors", recorded)
    monkeypatch.setattr(_newton_error, "TIER_FLOPS", 7.5 * 4 * n * P)
    with config_context(working_memory=8 * 3 * n * 3 / 2**20):
        NewtonError(newton).bound()
    assert asked == [3, 3, 1]


def test_as_many_steps_across_a_kink_are_computed_as_the_budget_has_flops_for(monkeypatch):
    start = optimum()
    objective = polish(start._with(loss=SquaredHingeLoss()), max_steps=50).objective
    newton, asked = OneStep(objective, curvature_of(objective), np.arange(9), corrected=True), []
    steps_of = newton.steps_of
    newton.steps_of = lambda deletions: asked.append(len(deletions)) or steps_of(deletions)
    flops = 4 * objective.n_rows * objective.n_parameters
    monkeypatch.setattr(_newton_error, "TIER_FLOPS", 3.5 * flops)
    crosses = NewtonError(newton).crosses
    assert asked == [3]
    assert crosses[3:].all()  # of those nothing is known


def test_diverging_refits_of_a_block_have_twelve_vectors_of_predictors_each():
    objective = optimum("softmax")
    newton = NewtonCG(ChordNewton(newton_of(objective), 1e-8))
    with config_context(working_memory=8 * 12 * 3 * objective.n_rows * 5 / 2**20):
        assert [part.stop - part.start for part in newton.blocks(12)] == [5, 5, 2]


def test_changed_rows_are_refitted_within_free_flops_and_a_share_of_the_question(monkeypatch):
    objective, refitted = optimum(), []
    rows, exactly = np.arange(12), _change_rows.change_exactly
    entering = Entering(rows, 1.0 - objective.y[rows], objective.sample_weight[rows])

    def recorded(objective, curvature, rows, entering, **options):
        refitted.append(len(rows))
        return exactly(objective, curvature, rows, entering, **options)

    flops = _auto.refit_flops(objective)
    monkeypatch.setattr(_change_rows, "change_exactly", recorded)
    monkeypatch.setattr(_change_rows, "can_follow", lambda _: False)
    monkeypatch.setattr(_change_rows, "FREE_FLOPS", 2.2 * flops)
    monkeypatch.setattr(_change_rows, "question_flops", lambda *_: 10 * flops)
    curvature = curvature_of(objective)
    _change_rows.change_rows(objective, curvature, "auto", rows, entering, is_rough=False)
    assert refitted == [2 + 3]


# -- changes of a row ------------------------------------------------------------------------------


def test_what_nothing_changes_needs_no_bound_and_a_refit_has_none():
    objective = optimum()
    rows = np.array([0, 1])
    y = np.array([objective.y[0], 1.0 - objective.y[1]])
    entering = Entering(rows, y, objective.sample_weight[rows])
    found = _change_rows.RefittedChanges(objective, rows, entering)
    np.testing.assert_array_equal(found.own_bound, [0.0, np.inf])
    np.testing.assert_array_equal(found.own_error, [0.0, 0.0])
    np.testing.assert_array_equal(found.idle, [True, False])


def test_the_last_row_of_a_class_has_no_model_under_another_label():
    objective = optimum("softmax")
    alone = np.flatnonzero((objective.y == 2) & (objective.sample_weight > 0))
    gone = np.zeros(objective.n_rows)
    gone[alone[1:]] = -objective.sample_weight[alone[1:]]
    objective = polish(objective.reweighted(gone), max_steps=50).objective
    rows = np.array([alone[0], 0 if alone[0] else 1])
    entering = Entering(rows, np.zeros(2, dtype=int), objective.sample_weight[rows])
    change = RowChange(objective, DenseCurvature(objective), rows, entering, corrected=True)
    np.testing.assert_array_equal(change.undefined, [True, False])
