"""What a changed sign, bound or index of the deletions would break and no other test would see."""

import numpy as np
import pytest

from benchmarks.certificate import LogLinkPoisson
from skinfluence import InfluenceElasticNet, InfluenceHuberRegressor
from skinfluence.curvature import DenseCurvature, make_curvature
from skinfluence.deletion import ChordNewton, Entering, OneStep, RowChange
from skinfluence.deletion._active_set import active_set_changes
from skinfluence.deletion._base import dominant_rows
from skinfluence.deletion._delete import has_closed_form, refits_on_demand
from skinfluence.deletion._exact import in_row_space
from skinfluence.deletion._newton_cg import NewtonCG
from skinfluence.design import make_design
from skinfluence.losses import (
    BinaryLogLoss,
    MultinomialLogLoss,
    SmoothEpsilonInsensitiveLoss,
    SquaredLoss,
)
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.penalties import L2
from skinfluence.problem import fitted_problem

SPARE = 6  # rows of weight 0 at the end, in the place of which others may enter


def optimum(kind="logistic", seed=0, n=30, p=3, fit_intercept=True):
    """An objective of weighted rows at its optimum; of the mean, the rows own the penalty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    weight = rng.uniform(0.3, 2.0, size=n)
    weight[n - SPARE :] = 0.0
    design = make_design(X, fit_intercept)
    loss, penalty, common = BinaryLogLoss(), L2(design.pack(np.full(p, 0.7), 0.0)[0]), None
    y = (X[:, 0] + rng.logistic(size=n) > 0).astype(float)
    if kind == "softmax":
        loss, y = MultinomialLogLoss(3), rng.integers(0, 3, size=n)
        y[:3] = np.arange(3)
    if kind == "mean":
        loss, common, penalty = LogLinkPoisson(), penalty.times(0.2), penalty.times(0.0)
        y = rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    theta = np.zeros((loss.n_outputs, design.shape[1]))
    start = Objective(loss, design, y, weight, penalty, theta, row_penalty=common)
    return polish(start, max_steps=100, tolerance=1e-13).objective


def curvature_of(objective):
    """That which steps without a row go through."""
    return DenseCurvature(objective.without_mean_penalty_share())


KINDS = ("logistic", "softmax", "mean")


def changes_of(objective, in_place):
    """(rows that leave, Entering) of five changes: new labels, or other rows with theirs."""
    rows = np.arange(0, 20, 4)
    n = objective.n_rows
    at = rows if in_place else np.arange(n - 5, n)
    if objective.loss.n_classes:
        y = (objective.y[rows] + 1) % max(2, objective.loss.n_outputs)
    else:
        y = objective.y[rows] + 2.0
    weight = objective.sample_weight[rows] if in_place else np.linspace(0.4, 1.5, 5)
    return rows, Entering(at, y, weight)


def term(weights, z):
    """W (x) z z' of a row."""
    return np.kron(weights, np.outer(z, z))


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_implicit_step_solves_its_equation(kind, in_place):
    """H_- d = g_o (x) z_o - w_e l'(y_e, eta_e + d z_e) (x) z_e + s r', by dense matrices."""
    objective = optimum(kind)
    rows, entering = changes_of(objective, in_place)
    curvature = curvature_of(objective)
    step = RowChange(objective, curvature, rows, entering, corrected=True)
    H, K = curvature @ np.eye(objective.n_parameters), objective.n_outputs
    steps, Z = step.steps(slice(0, len(rows))), objective.design.dense(slice(None))
    assert not (step.undefined | step.unsteady).any()
    for k, (row, at) in enumerate(zip(rows, entering.rows, strict=True)):
        one, d = entering.take(np.array([k])), steps[k]
        weighted = one.slopes(objective, objective.eta[[at]] + (d @ Z[at])[None])[0]
        right = np.kron(objective.residuals[row], Z[row]) - np.kron(weighted, Z[at])
        if kind == "mean":
            share = objective.sample_weight[row] - one.weight[0]
            right = right + share * objective.row_penalty.gradient(objective.theta).ravel()
        H_minus = H - term(objective.weights[row].reshape(K, K), Z[row])
        np.testing.assert_allclose(H_minus @ d.ravel(), right, atol=1e-9)
        np.testing.assert_allclose(step.own_change()[k], d @ Z[at], atol=1e-10)
        assert step.squared_length[k] == pytest.approx(d.ravel() @ right, rel=1e-8)
        assert step.squared_step_norm[k] == pytest.approx(d.ravel() @ H @ d.ravel(), rel=1e-8)
    test = make_design(np.random.default_rng(1).normal(size=(4, 3)), True)
    found = np.concatenate([step.on(test)(slice(0, 2)), step.on(test)(slice(2, 5))], axis=2)
    np.testing.assert_allclose(found, test.predictors_of(steps), atol=1e-10)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_chord_and_newton_after_a_row_enters_are_of_the_changed_objective(kind, in_place):
    """Solves, gradients, values and products, each away from the fit, by dense matrices."""
    objective = optimum(kind)
    rows, entering = changes_of(objective, in_place)
    curvature = curvature_of(objective)
    step = RowChange(objective, curvature, rows, entering, corrected=True)
    chord, at = ChordNewton(step, 1e-8), np.arange(len(rows))
    newton, rng = NewtonCG(chord), np.random.default_rng(2)
    D, V = rng.normal(size=(2, len(rows), objective.n_parameters))
    K, Z = objective.n_outputs, objective.design.dense(slice(None))
    H = curvature @ np.eye(objective.n_parameters)
    solved = chord.solve(V, at, chord.inverse_rows(at), D)
    gradient = chord.gradient(D, at)[0]
    state = newton._start(at, D)
    state.D = D
    value = newton._value(newton._predictors(D), D, at)
    for k, (row, place) in enumerate(zip(rows, entering.rows, strict=True)):
        changed = step.changed(k).at(objective.theta + D[k].reshape(K, -1))
        G = H - term(objective.weights[row].reshape(K, K), Z[row])
        G += term(changed.weights[place].reshape(K, K), Z[place])
        np.testing.assert_allclose(solved[k], np.linalg.solve(G, V[k]), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(gradient[k], changed.gradient.ravel(), rtol=1e-8, atol=1e-9)
        assert value[k] == pytest.approx(changed.value, rel=1e-10)
        z, W = (part[k] for part in newton._entered(state))
        np.testing.assert_allclose(z, Z[place], rtol=1e-13)
        np.testing.assert_allclose(W, changed.weights[place].reshape(K, K), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_after_a_newton_step_is_a_series_of_two_chord_steps(kind):
    """s / (1 - r), or s / sqrt(1 - r) where they alternate, and no less than both steps."""
    objective = optimum(kind, n=24)
    curvature, rows = curvature_of(objective), np.arange(18)
    newton = OneStep(objective, curvature, rows, corrected=True)
    chord = ChordNewton(newton, 0.0)
    found, after_one = chord.remaining_change(rows), chord.next_change(rows)
    H, K = curvature @ np.eye(objective.n_parameters), objective.n_outputs
    alternate = 0
    for row in rows:
        z = objective.design.dense(np.array([row]))[0]
        G = H - term(objective.weights[row].reshape(K, K), z)
        steps, own = newton.steps(slice(row, row + 1))[0], []
        for _ in range(2):
            left = objective.without(row).at(objective.theta + steps).gradient
            next_step = -np.linalg.solve(G, left.ravel()).reshape(K, -1)
            own.append(next_step @ z)
            steps = steps + next_step
        assert after_one[row] == pytest.approx(objective.loss.predictor_norm(own[0]), rel=1e-7)
        ratio = min(own[0] @ own[1] / (own[0] @ own[0]), 0.8)
        alternate += ratio < 0
        shrink = np.sqrt(1.0 - ratio) if ratio < 0 else 1.0 - ratio
        norms = [objective.loss.predictor_norm(v) for v in (own[0] / shrink, own[0] + own[1])]
        assert found[row] == pytest.approx(max(norms), rel=1e-5)
    assert alternate > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_chord_that_no_longer_shrinks_leaves_the_rows_where_they_are(kind):
    objective = optimum(kind)
    newton = OneStep(objective, curvature_of(objective), np.arange(12), corrected=True)
    chord = ChordNewton(newton, 1e-20)
    state = chord.start(slice(0, 12))
    for last in (np.inf, 1e-300):  # the second pass finds longer steps than the first has left
        state.last_size[:], before, active = last, state.D.copy(), state.active
        chord.advance(state, *chord.gradient(state.D[active], active, state.truncation[active]))
        moved = (before != state.D).any(axis=1)
        np.testing.assert_array_equal(np.flatnonzero(moved), active if last > 1 else [])
    assert not len(state.active)
    assert not state.converged.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_newton_step_solves_its_equation(kind):
    """(H - W_i (x) z_i z_i') d = g_i (x) z_i + s_i r', and all that is read of d."""
    objective = optimum(kind)
    curvature, rows = curvature_of(objective), np.array([3, 0, 11, objective.n_rows - 1])
    newton = OneStep(objective, curvature, rows, corrected=True)
    H, K = curvature @ np.eye(objective.n_parameters), objective.n_outputs
    Z, steps = objective.design.dense(slice(None)), newton.steps(slice(0, 4))
    assert not newton.undefined.any()
    for k, row in enumerate(rows):
        d = steps[k].ravel()
        right = np.kron(objective.residuals[row], Z[row])
        if kind == "mean":
            common = objective.row_penalty.gradient(objective.theta).ravel()
            right = right + objective.sample_weight[row] * common
        G = H - term(objective.weights[row].reshape(K, K), Z[row])
        np.testing.assert_allclose(G @ d, right, atol=1e-9)
        np.testing.assert_allclose(newton.own_change()[k], steps[k] @ Z[row], atol=1e-10)
        assert newton.squared_length[k] == pytest.approx(d @ right, rel=1e-8, abs=1e-15)
        assert newton.squared_step_norm[k] == pytest.approx(d @ H @ d, rel=1e-8, abs=1e-15)
    # Changes of predictors by solves for either side, and inner products with directions.
    for m in (1, 60):
        test = make_design(np.random.default_rng(1).normal(size=(m, 3)), True)
        found = newton.on(test)
        found = np.concatenate([found(slice(0, 1)), found(slice(1, 4))], axis=2)
        np.testing.assert_allclose(found, test.predictors_of(steps), atol=1e-10)
    directions = np.random.default_rng(2).normal(size=(5, *objective.theta.shape))
    expected = directions.reshape(5, -1) @ steps.reshape(4, -1).T
    np.testing.assert_allclose(newton.along(directions)(slice(0, 4)), expected, atol=1e-10)


@pytest.mark.parametrize(("m", "n"), [(1, 14), (3, 12), (4, 12), (4, 4), (14, 2)])
@pytest.mark.parametrize("kind", ["logistic", "softmax"])
def test_predictors_are_solved_for_on_the_side_that_takes_fewer_flops(kind, m, n):
    """A column for each test row and output, or one for each step; 2 P^2 flops each, and more."""
    objective, widths = optimum(kind, p=4), []
    curvature, K, P = DenseCurvature(objective), objective.n_outputs, objective.n_parameters
    newton = OneStep(objective, curvature, np.arange(n), corrected=True)
    solve = curvature.solve
    curvature.solve = lambda V: widths.append(V.shape[1]) or solve(V)
    test = make_design(np.random.default_rng(1).normal(size=(m, 4)), True)
    newton.on(test)(slice(0, n))
    by_test_rows = m * K * (2 * P * P + 2 * P * n)
    by_steps = n * (2 * P * P + 2 * P * m)
    assert sum(widths) == (n if by_steps < by_test_rows else m * K)


def test_a_step_collapses_where_it_leaves_no_positive_scale():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = X[:, 0] + np.random.default_rng(1).standard_t(3, size=30)
    objective = fitted_problem(InfluenceHuberRegressor(alpha=0.1).fit(X, y)).objective
    curvature, rows = DenseCurvature(objective), np.arange(10)
    known = OneStep(objective, curvature, rows, corrected=True).leverage
    for share, is_none in ((0.9, False), (1.1, True)):
        change = np.zeros((10, 2, 1))
        change[:, 1, 0] = -share * objective.eta[rows, 1]
        own = np.linalg.solve(known.quadratic, change)[:, :, 0]
        step = OneStep(objective, curvature, rows, corrected=True, leverage=known, multipliers=own)
        np.testing.assert_allclose(step.own_change(), change[:, :, 0], atol=1e-9)
        np.testing.assert_array_equal(step.collapsed, is_none)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_for_other_residuals_take_the_curvature_without_each_row(kind):
    objective = optimum(kind)
    curvature, rows = curvature_of(objective), np.arange(5)
    newton = OneStep(objective, curvature, rows, corrected=True)
    other = np.random.default_rng(0).normal(size=(5, objective.n_outputs))
    H, K = curvature @ np.eye(objective.n_parameters), objective.n_outputs
    found = newton.own_change_of(other)
    for row in rows:
        z = objective.design.dense(np.array([row]))[0]
        G = H - term(objective.weights[row].reshape(K, K), z)
        step = np.linalg.solve(G, np.kron(other[row], z)).reshape(K, -1)
        np.testing.assert_allclose(found[row], step @ z, atol=1e-10)


def test_the_usual_size_of_a_row_is_the_median_of_those_that_count():
    objective = optimum()
    newton = OneStep(objective, curvature_of(objective), np.arange(3), corrected=True)
    live = objective.sample_weight > 0
    size = objective.sample_weight**2 * (objective.design.dense(slice(None)) ** 2).sum(axis=1)
    assert newton._usual_size() == pytest.approx(np.median(size[live]), rel=1e-12)


def test_only_losses_with_all_curvature_near_a_kink_have_dominant_rows():
    rows, leverage = np.arange(4), np.array([0.2, 0.5, 0.51, 1.0])
    objective = optimum()
    assert not len(dominant_rows(objective, rows, leverage))
    kinked = Objective(
        SmoothEpsilonInsensitiveLoss(0.1, 0.1),
        objective.design,
        objective.y,
        objective.sample_weight,
        objective.penalty,
        objective.theta,
    )
    np.testing.assert_array_equal(dominant_rows(kinked, rows, leverage), [2, 3])


def test_refits_on_demand_are_for_methods_that_refit_by_newton():
    objective = optimum()
    curvature, rows = curvature_of(objective), np.arange(5)
    for method in ("auto", "exact"):
        assert refits_on_demand(objective, curvature, method, rows) is not None
        damped = DenseCurvature(objective, damping=0.5)
        assert refits_on_demand(objective, damped, method, rows) is None
        assert refits_on_demand(objective, None, method, rows) is None
    for method in ("newton", "first_order"):
        assert refits_on_demand(objective, curvature, method, rows) is None


def test_without_parameters_nothing_is_left_to_refit():
    design = make_design(np.zeros((4, 0)), False)
    nothing = Objective(
        BinaryLogLoss(), design, np.zeros(4), np.ones(4), L2(np.zeros(0)), np.zeros((1, 0))
    )
    assert has_closed_form(nothing, None, np.arange(4))
    objective = optimum()
    assert not has_closed_form(objective, curvature_of(objective), np.arange(4))
    quadratic = Objective(
        SquaredLoss(),
        objective.design,
        objective.y,
        objective.sample_weight,
        objective.penalty,
        objective.theta,
    )
    assert has_closed_form(quadratic, curvature_of(quadratic), np.arange(4))


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_space_of_the_rows_nothing_changes_but_the_columns(kind):
    objective = optimum(kind, n=16, p=20)
    curvature = make_curvature(objective.without_mean_penalty_share(), "dual")
    working, inner, lift = in_row_space(objective, curvature)
    assert working.n_parameters < objective.n_parameters
    np.testing.assert_allclose(working.eta, objective.eta, atol=1e-9)
    np.testing.assert_allclose(working.gradient, 0.0, atol=1e-8)
    rows, q = np.arange(6), working.design.shape[1]
    steps = np.random.default_rng(0).normal(size=(3, working.n_outputs, q))
    found = lift(steps)
    assert found.shape == (3, *objective.theta.shape)
    np.testing.assert_allclose(
        objective.design.predictors_of(found), working.design.predictors_of(steps), atol=1e-9
    )
    for row in rows:
        for step, far in zip(steps, found, strict=True):
            one = working.without(row).at(working.theta + step)
            other = objective.without(row).at(objective.theta + far)
            assert one.value == pytest.approx(other.value, rel=1e-10)
    H = curvature @ found.reshape(3, -1).T
    small = inner @ steps.reshape(3, -1).T
    np.testing.assert_allclose(
        found.reshape(3, -1) @ H, steps.reshape(3, -1) @ small, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_an_active_set_changes_with_a_sign_or_where_a_gradient_is_beyond_the_penalty(weighted):
    """By the optimality conditions of the objective without the row, whose penalty is less."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 6))
    y = X[:, 0] + 0.3 * rng.normal(size=20) + (0.0 if weighted else 0.1) * X[:, 1]
    w = rng.uniform(0.2, 2.0, size=20)
    model = InfluenceElasticNet(alpha=0.09, l1_ratio=0.5).fit(X, y, w if weighted else None)
    objective = fitted_problem(model).objective
    Z, theta = objective.design.dense(slice(None)), objective.theta
    active, rows = objective.active[0], np.arange(20)
    assert 0 < active[:-1].sum() < 5
    assert objective.penalty.absolute.max() < 1.0
    kinds = set()
    for size in (0.01, 0.03, 0.05, 0.1, 0.3):
        steps = size * rng.normal(size=(20, 1, 7)) * active
        found = active_set_changes(objective, steps, rows)
        for row in rows:
            after = objective.without(row).at(theta + steps[row])
            limit = np.broadcast_to(after.penalty.absolute, theta.shape)[0]
            turned = (np.sign(after.theta) != np.sign(theta))[0] & active & (limit > 0)
            slope = np.abs(after.residuals[:, 0] @ Z)
            beyond = (slope > limit * (1 + 1e-9)) & ~active
            assert found[row] == (turned.any() or beyond.any())
            kinds.add((bool(turned.any()), bool(beyond.any())))
    assert len(kinds) == 4
