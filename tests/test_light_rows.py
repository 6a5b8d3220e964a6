"""Optima that light rows decide: their gradients are small beside the terms of heavy rows.

The heavy rows settle a direction between the columns, the light ones the other.
"""

import numpy as np
import pytest
from sklearn.linear_model import QuantileRegressor

from skinfluence import InfluenceLogisticRegression, SmoothQuantileRegressor
from skinfluence.design import make_design
from skinfluence.losses import BinaryLogLoss
from skinfluence.objective import Objective
from skinfluence.optimum import TOLERANCE, is_acceptable_refit, polish, polish_by_passes, refit
from skinfluence.optimum._chord import SmoothSteps
from skinfluence.optimum._newton import STILL, predictor_size, relative_change
from skinfluence.penalties import L2


def rows(light):
    """Rows along (1, 1), and light ones along (1, -1); each direction a problem of its own."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 20))
    y = rng.integers(0, 2, size=(2, 20))
    X = np.concatenate([first[:, None] * [1.0, 1.0], second[:, None] * [1.0, -1.0]])
    return X, y.ravel(), np.repeat([1.0, light], 20)


def objective(light, theta):
    X, y, weight = rows(light)
    design = make_design(X, False)
    at = np.array([theta])
    return Objective(BinaryLogLoss(), design, y.astype(float), weight, L2(np.zeros(2)), at)


@pytest.mark.parametrize("light", [1e-5, 1e-11])
@pytest.mark.parametrize("method", [polish, polish_by_passes])
def test_steps_go_on_until_light_rows_are_at_rest(method, light):
    # With weights of 1 the two directions have the same optima: they do not meet.
    optimum = polish(objective(1.0, [0.0, 0.0])).objective.theta
    along = float(optimum.mean())
    start = objective(light, [along + 0.3, along - 0.3])
    found = method(start)
    found = found[0] if isinstance(found, tuple) else found
    assert found.is_settled
    np.testing.assert_allclose(found.objective.theta, optimum, atol=1e-6)


def test_a_refit_whose_light_rows_have_no_curvature_is_none():
    start = objective(1e-11, [0.0, 0.0])
    far = start.at(np.array([[400.0, -400.0]]))  # light rows: each curvature underflows
    heavy = polish(far).objective
    assert not is_acceptable_refit(polish(heavy, max_steps=0))


def test_a_group_whose_loss_leaves_a_coefficient_to_light_rows():
    """Four heavy rows and one of weight 1e-2 interpolate; without it rows of 1e-3 decide."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(12, 4)), rng.normal(size=12)
    weight = np.r_[1e5, 3e4, 3e2, 2e2, 2e-2, 2e-3, 1e-3, 3e-4, 2e-4, 1e-4, 1e-4, 1e-5]
    settings = {"quantile": 0.34, "alpha": 0.0, "temperature": 1e-3}
    model = SmoothQuantileRegressor(**settings).fit(X, y, sample_weight=weight)
    groups = np.r_[np.arange(4), 9, np.full(3, 4), 9, 9, 9, 9]
    groups = np.where(np.arange(12) == 4, 7, groups)
    found = model.loo_estimate(method="exact", groups=groups).prediction
    rest = groups != 7
    refitted = QuantileRegressor(quantile=0.34, alpha=0.0, solver="highs")
    refitted.fit(X[rest], y[rest], sample_weight=weight[rest])
    np.testing.assert_allclose(found[4], refitted.predict(X[[4]])[0], atol=0.05)


def test_ordinary_weights_take_no_further_step():
    start = objective(1e-3, [0.0, 0.0])
    found = polish(start)
    assert polish(found.objective).n_steps == 0
    again = refit(found.objective, np.zeros((1, 2)))
    assert is_acceptable_refit(again)
    assert again.n_steps <= 1


def saturated(strength):
    """Objective whose labels along (1, -1) are all 1, at 0, and its optimum.

    Rows of a probability of 1e-11 balance the penalty there.
    """
    X, y, _ = rows(1.0)
    X[20:] *= np.sign(X[20:, :1])
    y[20:] = 1
    design, at = make_design(X, False), np.zeros((1, 2))
    start = Objective(
        BinaryLogLoss(), design, y.astype(float), np.ones(40), L2(np.full(2, strength)), at
    )
    # In the two directions themselves each gradient has digits of its own.
    turned = make_design(X @ [[1.0, 1.0], [1.0, -1.0]], False)
    penalty = L2(np.full(2, 2 * strength))
    apart = polish(start.at(at)._with(design=turned, penalty=penalty), tolerance=1e-15)
    first, second = apart.objective.theta[0]
    return start, np.array([[first + second, first - second]])


@pytest.mark.parametrize("strength", [1e-12, 1e-14])
@pytest.mark.parametrize("method", [polish, polish_by_passes])
def test_steps_go_on_until_saturated_rows_are_at_rest(method, strength):
    start, optimum = saturated(strength)
    found = method(start)
    found = found[0] if isinstance(found, tuple) else found
    assert found.is_settled
    np.testing.assert_allclose(found.objective.theta, optimum, 1e-4)


@pytest.mark.parametrize("away", [1e-3, 1.0, 7.0])
@pytest.mark.parametrize("method", [polish, polish_by_passes])
def test_saturated_rows_come_to_rest_where_the_gradient_asks_for_no_step(method, away):
    # As from a solver that was asked for 1e-10: the coefficients were left as they were.
    start, optimum = saturated(1e-12)
    near = start.at(optimum - away * np.array([[1.0, -1.0]]))
    assert near.stationarity <= TOLERANCE
    found = method(near)
    found = found[0] if isinstance(found, tuple) else found
    assert found.converged
    np.testing.assert_allclose(found.objective.theta, optimum, rtol=1e-6)


def test_groups_beside_saturated_rows_are_refitted_one_by_one():
    # Row 25 holds a direction of 1e-12 of the largest curvature: together with others its refit
    # ended 80 % short.
    start, _ = saturated(1e-12)
    X, y = start.design.X, start.y
    model = InfluenceLogisticRegression(C=1e12, fit_intercept=False)
    groups = [[30, 31, 32, 33], [0, 1], [25], [2, 3]]
    found = model.fit(X, y).group_influence(groups, X, target="decision_function", method="exact")
    before = model.decision_function(X)
    rest = model.fit(np.delete(X, 25, axis=0), np.delete(y, 25))
    change = rest.decision_function(X) - before
    np.testing.assert_allclose(found[:, 2], change, atol=1e-5 * np.abs(change).max())


def steps_of(seed, n_columns, size, fall=1.0):
    """SmoothSteps with the factor of an objective, at a parameter `size` from its optimum."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, n_columns))
    y = (X @ rng.normal(size=n_columns) + 0.3 * rng.normal(size=600) > 0).astype(float)
    design, at = make_design(X, True), np.zeros((1, n_columns + 1))
    weight, penalty = rng.uniform(0.5, 2.0, 600), np.r_[np.full(n_columns, 0.01), 0.0]
    weight[:50] *= fall
    optimum = polish(Objective(BinaryLogLoss(), design, y, weight, L2(penalty), at)).objective
    near = optimum.at(optimum.theta + size * rng.normal(size=at.shape))
    steps = SmoothSteps("dense", 0.0, TOLERANCE)
    return steps, near, steps.next_step(near)[0]


@pytest.mark.parametrize("fall", [1.0, 0.0])
@pytest.mark.parametrize("size", [1e-13, 1e-11, 1e-10, 1e-9])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_a_step_is_said_not_to_move_rest(seed, size, fall):
    steps, near, step = steps_of(seed, 4, size, fall)
    moved = steps._may_move(near, step)
    change = np.abs(near.design @ step.T)[:, 0] / predictor_size(near)
    others = np.setdiff1d(np.arange(600), np.arange(600) if moved is None else moved)
    assert (change[others] <= STILL).all()
    full = relative_change(near, step) > STILL
    assert (relative_change(near, step, moved) > STILL) == full


def test_few_rows_are_asked_whether_they_rest():
    steps, near, step = steps_of(0, 4, 1e-13)
    moved = steps._may_move(near, step)
    assert 0 < len(moved) < 0.25 * 600
    weights = near.weights[:, 0, 0]
    assert weights[moved].max() < np.delete(weights, moved).min()


@pytest.mark.parametrize("case", ["ill-conditioned", "negative"])
def test_every_row_is_asked_where_the_factor_bounds_none(case):
    steps, near, step = steps_of(0, 4, 1e-13)
    if case == "negative":
        weights = near.weights.copy()
        weights[3] = -1.0
        vars(steps.curvature.objective).update(weights=weights)
        vars(steps.curvature.objective).pop("weight_diagonals", None)
    else:
        steps.curvature.rcond = 1e-9
    assert steps._may_move(near, step) is None


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_plain_arrays_are_checked_once_by_a_fit(dtype, monkeypatch):
    from skinfluence.linear_model import _polished

    asked, checked = [], _polished.validate_data
    monkeypatch.setattr(
        _polished, "validate_data", lambda *a, **k: asked.append(a) or checked(*a, **k)
    )
    X, y, _ = rows(1.0)
    model = InfluenceLogisticRegression().fit(X.astype(dtype), y)
    assert not asked
    assert model._training_data.X.dtype == dtype
    InfluenceLogisticRegression().fit(X.astype(dtype).tolist(), y)
    assert asked
