"""The certificate: never violated, and worth what its table says."""

import numpy as np
import pytest

from benchmarks.certificate import LOSSES, TIERS, measured, random_objective, table, tiers, worth
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import Exact, OneStep
from skinfluence.deletion.certificate import (
    after_chord_step,
    distance,
    newton_remainder,
)
from skinfluence.losses import BinaryLogLoss, MultinomialLogLoss, OneVsRestLoss, SmoothHingeLoss
from skinfluence.optimum import polish
from tests.oracles import differences, hessian

# 1,000 problems in all: (loss, how many, shares that must be finite, looseness at the median).
BARS = [
    ("logistic", 400, (0.5, 0.65, 0.8), (100, 30, 3)),
    ("softmax, 3 classes", 250, (0.3, 0.45, 0.6), (150, 40, 5)),
    ("Poisson", 350, (0.8, 0.85, 0.93), (20, 6, 2)),
]


@pytest.mark.parametrize(("name", "n_problems", "finite", "loose"), BARS, ids=[b[0] for b in BARS])
def test_no_bound_is_below_its_error(name, n_problems, finite, loose):
    found = measured(LOSSES[name], range(1000, 1000 + n_problems))
    assert found.error.max() > 0.1  # there is something to bound
    # The refits themselves are right to 1e-12 of the coefficients, rows are as long as 100.
    assert (found.error <= found.bounds * (1 + 1e-9) + 1e-9).all()
    for (share, looseness), least, most in zip(worth(found), finite, loose, strict=True):
        assert share > least
        assert 1.0 <= looseness < most
    lines = table({name: found}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(TIERS)


@pytest.mark.parametrize("name", LOSSES)
def test_tiers_are_in_order_and_hold_in_the_metric_and_at_any_row(name):
    """||theta_-i - theta - d||_G <= E, by a dense G and refits one at a time."""
    for seed in range(6):
        objective = random_objective(LOSSES[name], seed)
        rows = np.arange(objective.n_rows)
        found = tiers(objective)
        assert (found.bounds[1] <= found.bounds[0] * (1 + 1e-9)).all()
        newton = OneStep(objective, DenseCurvature(objective), rows, corrected=True)
        E = found.bounds[1] / newton.metric.own_row_norm
        other = np.random.default_rng(seed).standard_t(3, size=objective.design.shape[1])
        for row in np.flatnonzero(np.isfinite(E))[::4]:
            rest = objective.without(row)
            optimum = polish(rest, max_steps=100, tolerance=1e-13).objective
            left = optimum.theta - objective.theta - newton.steps(slice(row, row + 1))[0]
            G = hessian(rest)
            size = np.sqrt(max(0.0, left.ravel() @ G @ left.ravel()))
            assert size <= E[row] * (1 + 1e-6) + 1e-9
            if objective.n_outputs == 1:
                own = np.sqrt(other @ np.linalg.solve(G, other))
                assert abs(left[0] @ other) <= own * E[row] * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("name", ["logistic", "Poisson"])
def test_test_losses_are_what_they_say(name):
    loss = LOSSES[name]
    y, eta = np.array([0.0, 1.0, 1.0]), np.array([-2.0, 0.3, 4.0])
    for function, derivative in (
        (loss.value, loss.gradient),
        (loss.gradient, loss.curvature),
        (loss.curvature, loss.third),
    ):
        slope = differences(lambda e, f=function: f(y, e[:, 0]), eta[:, None])[:, 0]
        np.testing.assert_allclose(derivative(y, eta), slope, atol=1e-7, rtol=1e-7)
    assert (np.abs(loss.third(y, eta)) <= loss.self_concordance * loss.curvature(y, eta)).all()


def test_exact_bounds_hold_where_they_are_stated():
    for name, loss in LOSSES.items():
        for seed in range(20):
            objective = random_objective(loss, 5000 + seed)
            rows = np.arange(objective.n_rows)
            curvature = DenseCurvature(objective)
            coarse = Exact(objective, curvature, rows, tolerance=1e-3)
            fine = Exact(objective, curvature, rows, tolerance=1e-12)
            error = loss.predictor_norm(coarse.own_change() - fine.own_change())
            assert (error <= coarse.own_bound * (1 + 1e-6) + 1e-9).all(), (name, seed)
            assert np.isfinite(coarse.own_bound).mean() > 0.5


def test_formulas_at_their_corners():
    assert distance(np.array([0.3]), np.array([9.0]), np.array([2.0]), 0.0) == 0.3  # quadratic
    assert np.isinf(distance(np.array([0.3]), np.array([0.1]), np.array([1.0]), np.inf)).all()
    nu, kappa, row_norm = np.array([0.1, 0.1, 2.0, np.inf, np.nan]), np.zeros(5), np.ones(5)
    row_norm[0] = 0.0
    E = distance(nu, kappa, row_norm, 1.0)
    np.testing.assert_allclose(E[:2], [0.1, -np.log(0.9)])
    assert np.isinf(E[2:]).all()
    assert np.isinf(after_chord_step(E, kappa, row_norm, 1.0)[2:]).all()
    np.testing.assert_allclose(after_chord_step(E[1], 0.0, 1.0, 1.0), np.expm1(E[1]) * E[1])
    # phi by its series meets phi by its definition, and is never below it.
    kappa = np.geomspace(1e-8, 2e-3, 50)
    phi = sum(kappa**k / float(np.prod(np.arange(1, k + 2))) for k in range(1, 8))
    bound = newton_remainder(kappa, np.ones(50))
    np.testing.assert_allclose(bound, phi, rtol=1e-8)
    assert (bound >= phi * (1 - 1e-12)).all()
    assert newton_remainder(np.array([5.0]), 2.0) == pytest.approx((np.exp(5) - 6) / 5 * 2)
    assert np.isinf(newton_remainder(np.array([1e6]), 1.0)).all()


@pytest.mark.parametrize(
    "loss", [MultinomialLogLoss(3), OneVsRestLoss(SmoothHingeLoss(0.1), 3)], ids=repr
)
def test_reach_is_the_largest_extent_on_the_unit_ball(loss):
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(5, 3, 6))
    A = factor @ factor.transpose(0, 2, 1)
    e = rng.normal(size=(20_000, 6))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    extent = loss.predictor_norm(np.einsum("ikj,mj->imk", factor, e))
    assert (extent <= loss.max_predictor_change(A)[:, None] * (1 + 1e-12)).all()
    # Attained by the difference of the two rows furthest apart, or by the longest row.
    for row, top in zip(factor, loss.max_predictor_change(A), strict=True):
        apart = [row[k] - row[m] for k in range(3) for m in range(k)]
        ends = row if loss.null_direction is None else apart
        assert top == pytest.approx(max(np.linalg.norm(v) for v in ends))
    scalar = A[:, :1, :1]
    np.testing.assert_allclose(
        BinaryLogLoss().max_predictor_change(scalar), np.sqrt(scalar[:, 0, 0])
    )
    np.testing.assert_array_equal(
        BinaryLogLoss().predictor_norm(np.array([[-3.0], [2.0]])), [3.0, 2.0]
    )
