"""What a changed sign, bound or index of joint changes would break and no other test would see."""

import warnings

import numpy as np
import pytest

from skinfluence import (
    InfluenceGammaRegressor,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
)
from skinfluence.curvature import make_curvature
from skinfluence.deletion import _groups, _joint_chord
from skinfluence.deletion._causes import FLAT, NO_CLASS, NO_ROW, STOPPED, causes
from skinfluence.deletion._deleted_curvature import DeletedCurvature, conjugate_gradients
from skinfluence.deletion._groups import JointChange
from skinfluence.deletion._joint_chord import (
    JointFactor,
    PairsOfOneFactor,
    SecantPairs,
    joint_gradient,
    joint_refit,
    largest_change,
)
from skinfluence.deletion._joint_quasi_newton import QuasiNewtonRefits
from skinfluence.deletion._joint_refits import JointRefits
from skinfluence.deletion._many_refits import changed_weights
from skinfluence.deletion._range import leaving_range, outside
from skinfluence.losses import MultinomialLogLoss, SmoothHingeLoss, TweedieLoss
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.svm import SmoothHingeSVC
from tests.oracles import hessian
from tests.test_small_changes_of_deletion import KINDS, curvature_of, optimum

# Rows of each change, and the share of its weight that each of them gains.
GROUPS = [np.array([4]), np.arange(0, 12, 5), np.arange(2, 22), np.array([1, 7, 9, 16])]
GAINS = [[-1.0], [-1.0, 0.5, -0.3], np.r_[np.full(12, -0.9), np.full(8, 0.4)], [-1, -1, -1, -1]]


def changes_of(objective):
    """(groups, deltas) of the changes."""
    pairs = zip(GROUPS, GAINS, strict=True)
    return GROUPS, [objective.sample_weight[rows] * np.array(gain) for rows, gain in pairs]


def changed(objective, rows, delta):
    """The objective after one of them, at the same parameter."""
    added = np.zeros(objective.n_rows)
    added[rows] = delta
    return objective.reweighted(added)


def null_term(objective):
    """What a curvature adds to the Hessian in the null direction of the loss."""
    return make_curvature(objective, "dense") @ np.eye(objective.n_parameters) - hessian(objective)


def matrix_of(objective, before=None):
    """Its Hessian, with that term: its own, or that of the objective before."""
    return hessian(objective) + null_term(objective if before is None else before)


@pytest.mark.parametrize("kind", KINDS)
def test_joint_steps_are_those_of_dense_matrices(kind):
    objective = optimum(kind)
    curvature, (groups, deltas) = curvature_of(objective), changes_of(objective)
    newton = JointChange(objective, curvature, "newton", groups, deltas).steps(slice(0, 4))
    first = JointChange(objective, curvature, "first_order", groups, deltas).steps(slice(0, 4))
    H = curvature @ np.eye(objective.n_parameters)
    for k, (rows, delta) in enumerate(zip(groups, deltas, strict=True)):
        after = changed(objective, rows, delta)
        gradient = after.gradient.ravel()
        np.testing.assert_allclose(
            newton[k].ravel(), -np.linalg.solve(matrix_of(after), gradient), atol=1e-9
        )
        np.testing.assert_allclose(first[k].ravel(), -np.linalg.solve(H, gradient), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_and_values_of_many_changes_are_those_of_each(kind):
    objective = optimum(kind)
    groups, deltas = changes_of(objective)
    weight, share = changed_weights(objective, groups, deltas)
    D = np.random.default_rng(0).normal(size=(4, objective.n_parameters))
    newton = JointRefits(objective, "dense", groups, deltas)
    state = newton._begin(slice(0, 4))
    state.D = D
    eta = newton._eta + newton._change(D)
    gradient, value = newton._gradient(state, eta), newton._value(state, eta, D)
    bfgs = QuasiNewtonRefits(objective, "dense", groups, deltas)._gradient(state)
    for k, (rows, delta) in enumerate(zip(groups, deltas, strict=True)):
        after = changed(objective, rows, delta)
        np.testing.assert_allclose(weight[:, k], after.sample_weight, rtol=1e-14)
        assert share[k] == pytest.approx(-delta.sum() if kind == "mean" else 0.0)
        there = after.at(objective.theta + D[k].reshape(objective.theta.shape))
        for found in (gradient, bfgs):
            np.testing.assert_allclose(found[k], there.gradient.ravel(), rtol=1e-9, atol=1e-10)
        assert value[k] == pytest.approx(there.value, rel=1e-11)
    # Newton's direction, its length and the norm of the gradient.
    size, step, length = newton._step(state)
    lengths = 0.5 ** np.arange(31)
    for k, (rows, delta) in enumerate(zip(groups, deltas, strict=True)):
        there = changed(objective, rows, delta).at(
            objective.theta + D[k].reshape(objective.theta.shape)
        )
        H, g = matrix_of(there), there.gradient.ravel()
        left = H @ step[k] + g
        inverse = np.linalg.inv(newton.curvature @ np.eye(objective.n_parameters))
        assert size[k] == pytest.approx(np.sqrt(g @ inverse @ g), rel=1e-8)
        assert np.sqrt(left @ inverse @ left) <= 0.1 * size[k] * (1 + 1e-6)
        values = [
            there.at(there.theta + t * step[k].reshape(there.theta.shape)).value for t in lengths
        ]
        enough = values <= there.value + 1e-4 * lengths * (g @ step[k])
        assert length[k] == lengths[np.argmax(enough)]


@pytest.mark.parametrize("kind", KINDS)
def test_many_refits_start_at_the_fit_to_their_mean_weights(kind):
    objective = optimum(kind)
    groups, deltas = changes_of(objective)
    mean = np.zeros(objective.n_rows)
    for rows, delta in zip(groups, deltas, strict=True):
        mean[rows] += delta / len(groups)
    true = polish(objective.reweighted(mean), max_steps=50, tolerance=1e-13).objective
    refits = JointRefits(objective, "dense", groups, deltas)
    np.testing.assert_allclose(refits.start, true.theta - objective.theta, atol=1e-2)
    assert np.abs(refits.start).max() > 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_many_refits_are_each_the_optimum(kind):
    objective = optimum(kind)
    groups, deltas = changes_of(objective)
    for method in (QuasiNewtonRefits, JointRefits):
        steps, converged = method(objective, "dense", groups, deltas).run()
        assert converged.all()
        for k, (rows, delta) in enumerate(zip(groups, deltas, strict=True)):
            true = polish(changed(objective, rows, delta), max_steps=100, tolerance=1e-13)
            found = objective.design @ (objective.theta + steps[k]).T
            expected = true.objective.design @ true.objective.theta.T
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "unsplit"])
def test_products_and_solves_with_the_curvature_of_each_change(kind, monkeypatch):
    """By the two parts of a softmax's curvature, and by the whole of one that has none."""
    objective = optimum("softmax" if kind == "unsplit" else kind)
    if kind == "unsplit":
        monkeypatch.setattr(MultinomialLogLoss, "curvature_split", lambda self, y, eta: None)
    curvature, (groups, deltas) = curvature_of(objective), changes_of(objective)
    weight, share = changed_weights(objective, groups, deltas)
    D, V = 0.5 * np.random.default_rng(0).normal(size=(2, 4, objective.n_parameters))
    shape = (4, *objective.theta.shape)
    eta = (objective.theta + D.reshape(shape)) @ objective.design.dense(slice(None)).T
    each = DeletedCurvature(
        curvature,
        objective,
        eta.transpose(1, 2, 0),
        np.zeros(4, dtype=int),
        share=share,
        sample_weight=weight,
    )
    product = each.matmul(V)
    solved = conjugate_gradients(each, V, lambda R, at: R, 1e-12, max_iterations=200)
    for k, (rows, delta) in enumerate(zip(groups, deltas, strict=True)):
        there = changed(objective, rows, delta).at(objective.theta + D.reshape(shape)[k])
        H = matrix_of(there, objective)
        np.testing.assert_allclose(product[k], H @ V[k], rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(solved[k], np.linalg.solve(H, V[k]), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_that_is_kept_up_to_date_is_that_of_the_rows_at_hand(kind):
    """After few rows, after many, and after both one after the other."""
    objective = optimum(kind, n=60, p=9)
    V = np.random.default_rng(0).normal(size=(objective.n_parameters, 3))
    few, many = np.array([3, 8]), np.arange(10, 34)
    factor = JointFactor.at(objective)
    for rows, share in ((few[:1], -1.0), (few[1:], 0.7), (many, -0.8), (few[:1], 0.0)):
        at = factor.objective
        delta = share * objective.sample_weight[rows]
        if share == 0.0:
            delta = objective.sample_weight[rows]  # it comes back
        design = objective.design.take(rows)
        gradient = joint_gradient(at, rows, delta, design, gradient=at.gradient)
        factor = factor.reweighted(rows, delta, design)
        H = matrix_of(factor.objective, objective)
        expected = changed(at, rows, delta)
        np.testing.assert_array_equal(factor.objective.sample_weight, expected.sample_weight)
        np.testing.assert_allclose(gradient, expected.gradient, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(factor.solve(V), np.linalg.solve(H, V), rtol=1e-7, atol=1e-9)
        assert factor.off == 0.0
        inverse = np.linalg.inv(H)
        bound, largest = factor.variances()
        assert (inverse.diagonal() <= bound * (1 + 1e-9)).all()
        assert np.linalg.eigvalsh(inverse)[-1] <= largest * (1 + 1e-9)
        free = factor.free_coordinates
        strength = factor.objective.hessian_diagonal
        assert set(free) == set(np.flatnonzero(strength == 0))
        np.testing.assert_allclose(bound[free], inverse.diagonal()[free], rtol=1e-7)
        others = np.setdiff1d(np.arange(len(strength)), free)
        np.testing.assert_allclose(bound[others], 1.0 / strength[others], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refit_by_a_chord_is_the_optimum(kind):
    objective = optimum(kind)
    for rows, delta in zip(*changes_of(objective), strict=True):
        found = joint_refit(objective, JointFactor.at(objective), rows, delta)
        true = polish(changed(objective, rows, delta), max_steps=100, tolerance=1e-14).objective
        assert found.by == "chord"
        eta = objective.design @ found.objective.theta.T
        np.testing.assert_allclose(eta, true.design @ true.theta.T, atol=1e-10)
        before = found.factor.objective
        there = (found.last.theta - before.theta) @ objective.design.dense(slice(None)).T
        live = found.last.sample_weight > 0
        moved = objective.loss.predictor_norm(there.T[live]).max()
        assert found.moved == pytest.approx(moved, rel=1e-6)
        H = found.factor.hessian
        g = found.last.gradient.ravel()
        norm = np.sqrt(max(0.0, g @ np.linalg.solve(H, g)))
        assert found.gradient_norm == pytest.approx(norm, rel=1e-3, abs=1e-14)


def test_a_proof_that_is_not_found_takes_two_more_passes_at_most():
    objective, rows = optimum(), GROUPS[1]
    delta, design = -0.5 * objective.sample_weight[rows], objective.design.take(rows)
    factor = JointFactor.at(objective).reweighted(rows, delta, design)
    gradient = joint_gradient(objective, rows, delta, design)
    passes = [
        _joint_chord.chord(factor, objective.theta, gradient, tolerance=1e-4, proven=proven)
        for proven in (None, lambda _: True, lambda _: False)
    ]
    first, found, not_found = (each.n_passes for each in passes)
    assert (found, not_found) == (first, first + 2)


def test_corrections_of_a_quarter_and_in_all_of_half_of_the_parameters_are_kept():
    """Of more a new factor costs no more, and its solves less."""
    objective = optimum(n=80, p=39)
    factor, kept = JointFactor.at(objective), []
    for rows in (np.arange(11), np.arange(10), np.arange(10, 20), np.arange(20, 21)):
        delta = -0.5 * objective.sample_weight[rows]
        changed = factor.reweighted(rows, delta, objective.design.take(rows))
        kept.append(len(changed.signs))
        factor = changed if len(rows) == 10 else factor
    assert kept == [0, 10, 20, 0]


def test_a_factor_serves_rows_that_are_yet_to_come():
    objective = optimum()
    factor = JointFactor.at(objective)
    design, y = objective.design.take(np.arange(3)), objective.y[:3]
    found = factor.extended(objective.with_rows(design, y), design, y)
    assert found.base is factor.base
    assert found.objective.n_rows == objective.n_rows + 3
    assert factor.extended(optimum(p=4), design, y) is None


def test_changes_of_more_numbers_than_a_sixteenth_of_the_parameters_are_refitted_together(
    monkeypatch,
):
    objective, together = optimum(n=80, p=39), []
    curvature_left = _groups.curvature_left

    def recorded(objective, groups, deltas):
        together.extend(len(group) for group in groups)
        return curvature_left(objective, groups, deltas)

    monkeypatch.setattr(_groups, "curvature_left", recorded)
    groups = [np.arange(k, k + 2) for k in range(0, 16, 2)]
    groups += [np.arange(k, k + 3) for k in range(20, 35, 3)]
    deltas = [-0.5 * objective.sample_weight[rows] for rows in groups]
    JointChange(objective, curvature_of(objective), "exact", groups, deltas)
    assert together == [3] * 5


def test_only_rows_that_count_tell_how_far_predictors_have_moved():
    objective = optimum("softmax")
    far = objective.design.dense(slice(None)).copy()
    step = np.random.default_rng(0).normal(size=objective.theta.shape)
    live = objective.sample_weight > 0
    moved = objective.loss.predictor_norm(far @ step.T)
    assert moved[~live].max() > 0
    other = objective.at(objective.theta + step)
    for one, two in ((objective, other), (other, objective)):
        assert largest_change(one, two) == pytest.approx(moved[live].max(), rel=1e-12)


@pytest.mark.parametrize("starts_here", [True, False])
def test_pairs_of_one_factor_are_those_of_a_solve_each(starts_here):
    """One solve a step is enough: the steps are those of the two loops with a solve in each."""
    objective = optimum(n=40, p=4)
    factor, rng = JointFactor.at(objective), np.random.default_rng(0)
    H = matrix_of(objective)
    theta = objective.theta + 0.1 * rng.normal(size=objective.theta.shape)
    if starts_here:
        factor = JointFactor.at(objective.at(theta))
        H = matrix_of(factor.objective)
    pairs, plain, before = PairsOfOneFactor(starts_here=starts_here), SecantPairs(), None
    for k in range(5):
        gradient = objective.at(theta).gradient.ravel()
        move = pairs.next_step(gradient, factor)
        if before is not None:
            change, step = gradient - before[0], before[1]
            if k == 1 and starts_here:
                change = 2.0 * change - H @ step
            assert plain.add(step, change, before[0])
        np.testing.assert_allclose(move.plain, -np.linalg.solve(H, gradient), rtol=1e-6, atol=1e-14)
        np.testing.assert_allclose(move.step, plain.step(gradient, factor), rtol=1e-5, atol=1e-13)
        difference = move.step - move.plain
        assert move.apart == pytest.approx(np.sqrt(difference @ H @ difference), abs=1e-12)
        before = gradient, move.step
        theta = theta + move.step.reshape(theta.shape)
    assert len(plain.pairs) == 4


@pytest.mark.parametrize("share", [0.0, 1e-12, 1e-3, 0.5])
def test_a_pair_of_rounding_is_none(share):
    pairs, step, before = SecantPairs(), np.array([1.0, 2.0]), np.array([-1.0, -2.0])
    assert pairs.add(step, share * step, before) == (share == 0.5)
    assert len(pairs.pairs) == (share == 0.5)


@pytest.mark.parametrize("method", ["auto", "exact"])
@pytest.mark.parametrize("family", [InfluencePoissonRegressor, InfluenceGammaRegressor])
def test_weights_that_all_double_change_nothing(family, method):
    """A mean does not see it; steps of 1e-17 in a column of 1e-6 became 1e-4."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, y = 1e-6 * rng.normal(size=(6, 1)), 1.0 + rng.poisson(3, size=6)
        model = family(alpha=1.0).fit(X, y)
        change = model.reweight_influence(np.full(6, 2.0), X, target="prediction", method=method)
        assert np.abs(change).max() < 1e-10


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_chord_has_not_arrived_where_the_curvature_is_gone(scale):
    """A step moves the intercept by 26, to where its curvature is less by many orders."""
    X = np.array([[-1139553.4880348535], [1601349.7380360118], [2562258.632730017]])
    X, y = scale * np.vstack([X, [266677.43022491655]]), np.array([0, 1, 0, 1])
    model = SmoothHingeSVC(C=6.204808940975953 / scale**2, temperature=0.3).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = model.group_influence([[0, 1]], X, target="decision_function", method="exact")
    rest = SmoothHingeSVC(C=model.C, temperature=0.3).fit(X[2:], y[2:])
    change = (rest.decision_function(X) - model.decision_function(X))[:, None]
    assert np.isnan(found).all() or np.allclose(found, change, rtol=1e-6)


def test_a_curvature_that_is_nearly_gone_is_seen():
    start = optimum(n=40, p=4)
    assert not _joint_chord._has_flattened(start, start)
    assert not _joint_chord._has_flattened(start.at(start.theta + 0.1), start)
    far = start.at(start.theta + 60.0)
    assert _joint_chord._has_flattened(far, start)
    # What a penalty holds is not lost with the curvature of the rows.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    for C, gone in ((1.0, True), (1e-9, False)):
        model = InfluenceLogisticRegression(C=C, fit_intercept=False).fit(X, y)
        start = model.__fitted_problem__().objective
        assert _joint_chord._has_flattened(start.at(start.theta + 60.0), start) == gone


@pytest.mark.parametrize("method", ["auto", "exact"])
def test_a_group_that_leaves_an_interval_of_intercepts_is_undefined(method):
    """No row that is left is near a kink: `without` refuses the same rows."""
    rng = np.random.default_rng(4)
    n = int(rng.choice([8, 12]))
    X = rng.normal(size=(n, 2))
    y = (X[:, 0] + 0.7 * rng.logistic(size=n) > 0).astype(int)
    kept = np.r_[np.flatnonzero(y == 0)[:3], np.flatnonzero(y == 1)[:3]]
    group = np.setdiff1d(np.arange(n), kept)
    model = SmoothHingeSVC(C=0.1).fit(X, y)
    with pytest.warns(RuntimeWarning, match="no row is near enough to a kink"):
        found = model.group_influence([group], X, target="decision_function", method=method)
    assert np.isnan(found).all()
    with pytest.raises(np.linalg.LinAlgError):
        model.without(group)


def test_products_are_in_float32_only_where_the_bound_knows_by_how_much(monkeypatch):
    """Of one output of a curved loss; what they are off by adds up from change to change."""
    monkeypatch.setattr(_joint_chord, "DEAR", 0.0)
    rows = np.arange(12)
    for kind, is_single in (("logistic", True), ("softmax", False)):
        objective = optimum(kind, n=60, p=9)
        factor = JointFactor.at(objective)
        for k in range(2):
            some = rows + 12 * k
            delta = -0.5 * objective.sample_weight[some]
            factor = factor.reweighted(some, delta, objective.design.take(some))
            off = np.linalg.norm(factor.hessian - matrix_of(factor.objective, objective), 2)
            assert (factor.off > 0) is is_single
            assert off <= factor.off + 1e-12


def test_no_product_is_in_float32_where_that_would_be_felt(monkeypatch):
    """Each rounding counts, that of the matrix at hand and that of the products to come."""
    monkeypatch.setattr(_joint_chord, "DEAR", 0.0)
    objective, rows = optimum(n=60, p=9), np.arange(12)
    delta, design = -0.5 * objective.sample_weight[rows], objective.design.take(rows)
    known = JointFactor.at(objective)
    first = known.reweighted(rows, delta, design)
    share = first.off * known.variances()[1]
    assert share > 0
    for limit, is_single in ((1.01 * share, True), (0.99 * share, False)):
        monkeypatch.setattr(_joint_chord, "SINGLE_SHARE", limit)
        assert (known.reweighted(rows, delta, design).off > 0) is is_single
        again = first.reweighted(rows[:6], 0.5 * delta[:6], objective.design.take(rows[:6]))
        assert again.off == first.off  # no room for more


def test_as_many_groups_are_refitted_as_the_budget_has_flops_for(monkeypatch):
    """The longest: of 4 (n P^2 + P^3 / 3) flops each, and those first that have no step."""
    objective = optimum()
    groups, deltas = changes_of(objective)
    joint = JointChange(objective, curvature_of(objective), "newton", groups, deltas)
    steps = joint.steps(slice(0, 4))
    moved = [np.abs(objective.design @ s.T)[g].sum() for s, g in zip(steps, groups, strict=True)]
    order = np.argsort(-np.array(moved))
    n, P = objective.n_rows, objective.n_parameters
    for share, count in ((0.9, 0), (2.5, 2), (3.01, 3), (50.0, 4)):
        monkeypatch.setattr(_groups, "AUTO_FLOPS", share * 4 * (n * P**2 + P**3 / 3))
        found = _groups._longest(objective, groups, np.arange(4), steps)
        np.testing.assert_array_equal(found, np.sort(order[:count]))
    steps[order[3]] = np.nan
    monkeypatch.setattr(_groups, "AUTO_FLOPS", 1.5 * 4 * (n * P**2 + P**3 / 3))
    assert _groups._longest(objective, groups, np.arange(4), steps) == [order[3]]


def test_a_group_is_undefined_where_a_class_goes_with_it():
    objective = optimum()
    ones = np.flatnonzero((objective.y == 1) & (objective.sample_weight > 0))
    weight = objective.sample_weight[ones]
    for share, undefined in ((-1.0, True), (-0.99, False), (0.5, False)):
        assert _groups._is_undefined(objective, ones, share * weight) is undefined
    assert not _groups._is_undefined(objective, ones[1:], -weight[1:])
    everything = np.arange(objective.n_rows)
    assert _groups._is_undefined(objective, everything, -objective.sample_weight)


def test_only_rows_that_count_leave_the_range_of_a_loss():
    base = optimum()
    loss, parts = TweedieLoss(1.0, "identity"), (base.design, 1.0 + base.y, base.sample_weight)
    theta = np.zeros((1, 4))
    theta[0, -1] = 1.5
    objective = Objective(loss, *parts, base.penalty, theta)
    Z, live = base.design.dense(slice(None)), base.sample_weight > 0
    assert not outside(objective, theta)
    lowest = np.flatnonzero(live)[np.argmin(Z[live, 0])]
    below = theta.copy()
    below[0, 0] = 1.6 / -Z[lowest, 0]
    assert (Z @ below[0])[lowest] < 0
    assert outside(objective, below)
    gone = np.where((Z @ below[0]) <= 0, -base.sample_weight, 0.0)
    assert not outside(objective.reweighted(gone), below)
    steps = np.stack([np.zeros((1, 4)), below - theta, below - theta])
    rows = np.array([0, lowest, 1 if lowest == 0 else 0])
    left = leaving_range(objective, lambda part: steps[part], rows)
    others = [
        np.delete((Z @ (theta + s)[0] <= 0) & live, r).any()
        for s, r in zip(steps, rows, strict=True)
    ]
    np.testing.assert_array_equal(left, others)
    assert left[2]


def test_the_cause_of_a_change_that_has_no_model():
    """Temperatures flatten intercepts that are free; other penalised refits have stopped."""
    objective = optimum()
    empty = objective.reweighted(-objective.sample_weight)
    one_class = objective.reweighted(np.where(objective.y == 1, -objective.sample_weight, 0.0))
    assert causes(objective, [empty, one_class, objective]) == [NO_ROW, NO_CLASS, STOPPED]
    smooth = SmoothHingeLoss(0.1)
    for fit_intercept, cause in ((True, FLAT), (False, STOPPED)):
        base = optimum(fit_intercept=fit_intercept)
        parts = base.design, base.y, base.sample_weight, base.penalty, base.theta
        made = Objective(smooth, *parts)
        assert causes(made, [made]) == [cause]
