"""Losses that are quadratic between kinks: their pieces, and certificates against refits."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.svm import LinearSVC, LinearSVR

from skinfluence import InfluenceExplainer
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import NewtonError, OneStep
from skinfluence.design import make_design
from skinfluence.losses import (
    HuberLoss,
    OneVsOneLoss,
    OneVsRestLoss,
    SquaredEpsilonInsensitiveLoss,
    SquaredHingeLoss,
)
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.penalties import L2
from tests.cases import weights
from tests.test_losses_and_targets import LOSSES

PIECEWISE = {
    "squared hinge": SquaredHingeLoss(),
    "squared epsilon": SquaredEpsilonInsensitiveLoss(0.4),
    "narrow tube": SquaredEpsilonInsensitiveLoss(0.02),
    "one against the rest": OneVsRestLoss(SquaredHingeLoss(), 3),
    "one against one": OneVsOneLoss(SquaredHingeLoss(), 3),
}


@pytest.mark.parametrize("loss", PIECEWISE.values(), ids=PIECEWISE)
def test_a_loss_is_quadratic_on_a_piece_and_ends_where_the_kink_is(loss):
    K = loss.n_outputs
    y = np.arange(60) % max(2, loss.n_classes) if loss.n_classes else np.linspace(-1, 1, 60)
    eta = 2.0 * np.random.default_rng(0).normal(size=(60, K))
    native = eta[:, 0] if loss.is_scalar else eta
    piece = loss.piece(y, native).reshape(60, K)
    room = loss.kink_distance(y, native).reshape(60, K)
    curvature = loss.curvature_diagonal(y, native).reshape(60, K)
    assert len(np.unique(piece)) == (3 if isinstance(loss, SquaredEpsilonInsensitiveLoss) else 2)
    finite = np.isfinite(room)
    assert finite.mean() > 0.6
    # Just before the nearest end of a piece nothing has changed; just beyond one side it has.
    changed = np.zeros((60, K), dtype=bool)
    for sign in (-1.0, 1.0):
        for share in (1 - 1e-9, 1 + 1e-9):
            step = np.where(finite, sign * share * room, sign * 9.0)
            moved = eta + step
            moved = moved[:, 0] if loss.is_scalar else moved
            same = loss.piece(y, moved).reshape(60, K) == piece
            if share < 1:
                assert same.all()
                now = loss.curvature_diagonal(y, moved).reshape(60, K)
                np.testing.assert_array_equal(now, curvature)
            else:
                changed |= ~same
    np.testing.assert_array_equal(changed, finite)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_with_pieces_have_distances_and_no_others(name):
    loss = LOSSES[name]
    y, eta = np.zeros(3, dtype=int), np.ones((3, loss.n_outputs))
    eta = eta[:, 0] if loss.is_scalar else eta
    assert (loss.piece(y, eta) is None) == (loss.kink_distance(y, eta) is None)


def piecewise_objective(loss, seed, n=40, p=3):
    """An objective at its optimum, with heavy tails, weights, and rows of weight 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.standard_t(3, size=(n, 1))
    score = X @ rng.normal(size=(p, max(2, loss.n_outputs))) + rng.gumbel(size=(n, 1))
    if loss.n_classes:
        y = score.argmax(axis=1)
        y = y.astype(float) if loss.is_scalar else y
    else:
        y = score[:, 0]
    w = rng.exponential(size=n)
    w[-2:] = 0.0
    penalty = L2(np.full(p + 1, 10.0 ** rng.uniform(-1, 1)))
    theta = np.zeros((loss.n_outputs, p + 1))
    start = Objective(loss, make_design(X, True), y, w, penalty, theta)
    return polish(start, max_steps=200, tolerance=1e-12).objective


@pytest.mark.parametrize("name", PIECEWISE)
def test_certified_implies_within_the_bound(name):
    certified = crossing = 0
    for seed in range(12):
        objective = piecewise_objective(PIECEWISE[name], seed)
        rows = np.arange(objective.n_rows)
        newton = OneStep(objective, DenseCurvature(objective), rows, corrected=True)
        bound = NewtonError(newton).bound()
        change = newton.own_change()
        for row in np.flatnonzero(~newton.undefined):
            optimum = polish(objective.without(row), max_steps=300, tolerance=1e-13).objective
            error = np.abs(change[row] - (optimum.eta - objective.eta)[row]).max()
            assert error <= bound[row] + 1e-9, (seed, row)
            certified += np.isfinite(bound[row])
            crossing += error > 1e-6
    assert certified > 60
    assert crossing > 60


def test_a_row_that_crosses_the_whole_tube_is_seen():
    """The curvature below and above the tube is the same; that the row crossed it is not."""
    loss = SquaredEpsilonInsensitiveLoss(0.05)
    X, y = np.array([[1.0], [1.0], [1.0]]), np.array([0.0, 1.0, 6.0])
    start = Objective(loss, make_design(X, False), y, np.ones(3), L2(np.ones(1)), np.zeros((1, 1)))
    objective = polish(start, tolerance=1e-13).objective
    newton = OneStep(objective, DenseCurvature(objective), np.arange(3), corrected=True)
    after = polish(objective.without(2), tolerance=1e-13).objective
    pieces = loss.piece(y[:2], objective.eta[:2, 0]), loss.piece(y[:2], after.eta[:2, 0])
    assert pieces[0][1] == -pieces[1][1] != 0
    error = np.abs(newton.own_change()[2] - (after.eta - objective.eta)[2])
    assert error > 1e-3
    assert np.isinf(NewtonError(newton).bound()[2])


def liblinear_regression(X, y, w, C, epsilon, scaling, fit_intercept):
    """LinearSVR's objective by BFGS on plain NumPy; (coef, intercept)."""
    Z = np.c_[X, np.full(len(y), scaling)] if fit_intercept else X

    def objective(theta):
        r = y - Z @ theta
        beyond = np.sign(r) * np.maximum(0.0, np.abs(r) - epsilon)
        value = 0.5 * theta @ theta + C * w @ beyond**2
        return value, theta - 2 * C * Z.T @ (w * beyond)

    options = {"maxiter": 5000, "gtol": 1e-12}
    theta = minimize(objective, np.zeros(Z.shape[1]), jac=True, tol=1e-14, options=options).x
    return (theta[:-1], scaling * theta[-1]) if fit_intercept else (theta, 0.0)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_linear_svr_against_its_refits(fit_intercept, epsilon):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 3))
    y = X @ [1.0, -1.0, 0.5] + 0.7 * rng.standard_t(3, size=60) + 0.4
    w = weights(4, len(y), zeros=2)
    settings = {"C": 0.3, "epsilon": epsilon, "fit_intercept": fit_intercept}
    model = LinearSVR(
        loss="squared_epsilon_insensitive",
        intercept_scaling=2.0,
        tol=1e-10,
        max_iter=100_000,
        **settings,
    )
    explainer = InfluenceExplainer(model).fit(X, y, sample_weight=w)
    oracle = (0.3, epsilon, 2.0, fit_intercept)
    coef, intercept = liblinear_regression(X, y, w, *oracle)
    np.testing.assert_allclose(explainer.predict(X), X @ coef + intercept, atol=1e-5)
    after = explainer.parameter_influence(method="exact")
    effect = explainer.influence(X[:5], y[:5], target="squared_error", method="exact")
    newton = explainer.parameter_influence(method="newton")
    loo = explainer.loo_estimate(method="newton")
    exact = explainer.loo_estimate(method="exact")
    before = (y[:5] - X[:5] @ coef - intercept) ** 2
    for row in range(0, 58, 5):
        keep = np.arange(60) != row
        c, b = liblinear_regression(X[keep], y[keep], w[keep], *oracle)
        change = np.r_[after.coef[row], after.intercept[row]]
        np.testing.assert_allclose(change, np.r_[c - coef, b - intercept], atol=2e-6)
        now = (y[:5] - X[:5] @ c - b) ** 2
        np.testing.assert_allclose(effect[:, row], now - before, atol=2e-5)
    certified = np.isfinite(loo.error_bound)
    step = np.abs(newton.coef - after.coef).max(axis=1)
    assert step[certified].max() < 1e-9
    error = np.abs(loo.decision_function - exact.decision_function)
    assert (error <= loo.error_bound + 1e-9).all()
    assert certified.mean() == 1.0 if epsilon == 0 else 0.2 < certified.mean() < 1.0


def test_settings_of_linear_machines_without_influence():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30.0)
    with pytest.raises(NotImplementedError, match="loss='squared_epsilon_insensitive', or fit"):
        InfluenceExplainer(LinearSVR()).fit(X, y).influence(X, y)
    assert LinearSVC().loss == "squared_hinge"
    assert repr(SquaredEpsilonInsensitiveLoss(0.1)) == "SquaredEpsilonInsensitiveLoss(0.1)"
    # Huber's loss has a jump of its curvature and is not quadratic within: it has no pieces.
    assert HuberLoss(1.35).piece(y, np.ones((30, 2))) is None
