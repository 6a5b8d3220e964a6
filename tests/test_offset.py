"""A fixed part of the predictors, against a minimiser that knows only the losses."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

from skinfluence.attribution import Query, influence_matrix
from skinfluence.curvature import make_curvature
from skinfluence.deletion import Entering, GroupDeletion, change_rows, delete
from skinfluence.deletion.targets import resolve_target
from skinfluence.design import make_design
from skinfluence.hinge_dual import exact_optimum
from skinfluence.leave_one_out import leave_one_out
from skinfluence.losses import HingeLoss, HuberLoss, SmoothHingeLoss, SquaredLoss
from skinfluence.model_selection._ridge_path import RidgePath
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.penalties import L2
from tests.cases import weights
from tests.test_losses_and_targets import LOSSES, draw

KINKED = {"hinge", "normal, logarithm", "inverse gaussian"}  # the last two are not convex
SMOOTH = [name for name in LOSSES if name not in KINKED and "identity" not in name]
ROWS = 30


def brute(loss, Z, y, w, offset, strength):
    """Theta (K, q) by Newton's method on sum_i w_i l(y_i, Z_i theta + o_i) + penalty."""
    K, q = offset.shape[1], Z.shape[1]
    theta = np.zeros((K, q))
    native = (lambda eta: eta[:, 0]) if loss.is_scalar else (lambda eta: eta)

    def total(theta):
        penalty = 0.5 * (strength * theta**2).sum()
        with np.errstate(all="ignore"):
            return w @ loss.value(y, native(Z @ theta.T + offset)) + penalty

    for _ in range(200):
        eta = native(Z @ theta.T + offset)
        slope = loss.gradient(y, eta).reshape(-1, K)
        curve = loss.curvature(y, eta).reshape(-1, K, K)
        gradient = ((w[:, None] * slope).T @ Z + strength * theta).ravel()
        H = np.einsum("i,ikl,ip,iq->kplq", w, curve, Z, Z).reshape(K * q, K * q)
        step = -np.linalg.solve(H + np.diag(np.tile(strength, K)), gradient)
        size = 1.0
        while size > 1e-8 and not total(theta + size * step.reshape(K, q)) <= total(theta):
            size /= 2
        theta = theta + size * step.reshape(K, q)
        if np.abs(step).max() < 1e-11:
            break
    return theta


def parts(name, seed=0, storage="dense"):
    """Loss, X, y, weights, offset (n, K) and strengths of a problem of a loss."""
    loss, rng = LOSSES[name], np.random.default_rng(seed)
    y, _ = draw(loss, n=ROWS, seed=seed)
    X = rng.normal(size=(ROWS, 3))
    if storage == "csr":
        X = sp.csr_array(np.where(np.abs(X) > 0.5, X, 0.0))
    offset = 0.7 * rng.normal(size=(ROWS, loss.n_outputs))
    if isinstance(loss, HuberLoss):
        offset[:, 1] = 0.0  # of the scale
    return loss, X, y, weights(seed, ROWS, zeros=2), offset, np.array([0.8, 0.5, 0.6, 0.3])


def fitted(loss, X, y, w, offset, strength):
    """Objective at its optimum."""
    theta = np.zeros((loss.n_outputs, strength.shape[-1]))
    if isinstance(loss, HuberLoss):
        theta[1, -1] = 5.0  # no row is an outlier at first
    start = Objective(loss, make_design(X, True), y, w, L2(strength), theta, offset=offset)
    found = polish(start, max_steps=200, tolerance=1e-12)
    assert found.is_settled
    return found.objective


def dense(X):
    return np.c_[X.toarray() if sp.issparse(X) else X, np.ones(X.shape[0])]


@pytest.mark.parametrize("name", [name for name in SMOOTH if name != "huber"])
def test_optimum_deletions_groups_additions_and_targets(name):
    storage = "csr" if name in ("binary", "softmax3") else "dense"
    loss, X, y, w, offset, strength = parts(name, storage=storage)
    objective, Z = fitted(loss, X, y, w, offset, strength), dense(X)
    theta = brute(loss, Z, y, w, offset, strength)
    np.testing.assert_allclose(objective.eta, Z @ theta.T + offset, atol=1e-7)
    without_offset = brute(loss, Z, y, w, 0 * offset, strength)
    assert np.abs(without_offset - theta).max() > 1e-3  # it matters

    rows = np.array([0, 7, 19])
    curvature = make_curvature(objective)
    exact = delete(objective, curvature, "exact", rows)
    group = GroupDeletion(objective, curvature, "exact", [rows])
    for position, out in enumerate((*rows, rows)):
        left = w.copy()
        left[out] = 0.0
        moved = Z @ (brute(loss, Z, y, left, offset, strength) - theta).T
        deletion, at = (exact, position) if np.ndim(out) == 0 else (group, 0)
        step = deletion.steps(slice(at, at + 1))[0]
        np.testing.assert_allclose(Z @ step.T, moved, atol=2e-7)

    # A spare row with an offset of its own enters, and a target is read at rows with theirs.
    new = np.random.default_rng(1).normal(size=(1, 3))
    own = np.full((1, loss.n_outputs), 0.4) * np.arange(1, loss.n_outputs + 1)
    added = objective.with_rows(make_design(sp.csr_array(new) if storage == "csr" else new, True),
                                y[:1], own)  # fmt: skip
    change = change_rows(
        added, make_curvature(added), "exact", np.array([ROWS]),
        Entering(np.array([ROWS]), y[:1], np.array([1.5])),
    )  # fmt: skip
    after = brute(
        loss, np.r_[Z, np.c_[new, 1.0]], np.r_[y, y[:1]], np.r_[w, 1.5],
        np.r_[offset, own], strength,
    )  # fmt: skip
    np.testing.assert_allclose(Z @ change.steps(slice(0, 1))[0].T, Z @ (after - theta).T, atol=2e-7)


@pytest.mark.parametrize("name", ["binary", "softmax3", "squared", "smooth pinball", "poisson"])
def test_first_order_is_the_derivative_in_the_weight(name):
    loss, X, y, w, offset, strength = parts(name, seed=3)
    objective, Z = fitted(loss, X, y, w, offset, strength), dense(X)
    deletion = delete(objective, make_curvature(objective), "first_order", np.array([4]))
    e = 1e-4 * np.eye(ROWS)[4]
    slope = [Z @ brute(loss, Z, y, w + s * e, offset, strength).T for s in (-1, 1)]
    expected = -w[4] * (slope[1] - slope[0]) / 2e-4
    np.testing.assert_allclose(Z @ deletion.steps(slice(0, 1))[0].T, expected, atol=1e-6)


def test_a_target_is_read_at_predictors_with_their_offset():
    loss, X, y, w, offset, strength = parts("binary", seed=1)
    objective, Z = fitted(loss, X, y, w, offset, strength), dense(X)
    test, own, labels = np.random.default_rng(5).normal(size=(4, 3)), np.full((4, 1), -1.2), y[:4]
    design = objective.design.like(test)
    with pytest.raises(ValueError, match="offset"):
        objective.predictors(design)
    target = resolve_target("loss", loss.link, loss)
    query = Query(design, labels, objective.predictors(design, own), target)
    exact = delete(objective, make_curvature(objective), "exact", np.array([2]))
    found = influence_matrix(exact, query, linearised=False)[:, 0]
    left = np.where(np.arange(ROWS) == 2, 0.0, w)
    values = [
        loss.value(labels, (np.c_[test, np.ones(4)] @ theta.T + own)[:, 0])
        for theta in (objective.theta, brute(loss, Z, y, left, offset, strength))
    ]
    np.testing.assert_allclose(found, values[1] - values[0], atol=1e-8)


def test_the_row_space_of_wide_data_and_copies_carry_it():
    loss, _, y, w, offset, _ = parts("softmax3", seed=2)
    X = np.random.default_rng(0).normal(size=(ROWS, 50))
    strength = np.r_[np.full(50, 4.0), 0.0]
    objective = fitted(loss, X, y, w, offset, strength)
    curvature = make_curvature(objective, "dual")
    exact = delete(objective, curvature, "exact", np.array([3]))
    left = np.where(np.arange(ROWS) == 3, 0.0, w)
    after = fitted(loss, X, y, left, offset, strength)
    moved = objective.design @ exact.steps(slice(0, 1))[0].T
    np.testing.assert_allclose(moved, after.eta - objective.eta, atol=1e-7)
    some = objective.take(np.arange(5, 12))
    np.testing.assert_allclose(some.eta, objective.eta[5:12], rtol=1e-14)  # by other blocks
    with pytest.raises(ValueError, match="offset"):
        objective.with_rows(objective.design.like(X[:2]), y[:2])


def test_outputs_apart():
    loss, X, y, w, offset, strength = parts("smooth hinge, one against the rest", seed=2)
    objective = fitted(loss, X, y, w, offset, strength)
    for k in range(3):
        np.testing.assert_allclose(objective.output(k).eta[:, 0], objective.eta[:, k], atol=1e-13)
        assert objective.output(k).stationarity < 1e-8


def test_huber_with_its_scale():
    """With the offset taken from the responses instead, it is the same model."""
    loss, X, y, w, offset, strength = parts("huber", seed=2)
    strength = np.array([[0.8, 0.5, 0.6, 0.0], [np.inf, np.inf, np.inf, 0.0]])
    objective = fitted(loss, X, y, w, offset, strength)
    moved = fitted(loss, X, y - offset[:, 0], w, 0 * offset, strength)
    np.testing.assert_allclose(objective.theta, moved.theta, atol=1e-9)
    rows = np.array([1, 8])
    steps = [
        delete(each, make_curvature(each), "exact", rows).steps(slice(0, 2))
        for each in (objective, moved)
    ]
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-8)


def test_a_ridge_path():
    _, X, y, w, offset, strength = parts("squared", seed=4)
    strength = np.r_[np.full(3, 0.7), 0.0]
    objective = fitted(SquaredLoss(), X, y, w, offset, strength)
    path = RidgePath(objective).left_out(0.7)
    loo = leave_one_out(objective, make_curvature(objective), "exact", tolerance=1e-12)
    np.testing.assert_allclose(path.eta, loo.eta, atol=1e-10)


def primal_hinge(Z, s, w, offset, strength):
    """The hinge's optimum by its quadratic program: theta and one slack for each row."""
    n, q = Z.shape
    result = minimize(
        lambda v: 0.5 * strength @ v[:q] ** 2 + w @ v[q:],
        np.r_[np.zeros(q), 1.0 + np.abs(offset)],
        jac=lambda v: np.r_[strength * v[:q], w],
        bounds=[(None, None)] * q + [(0, None)] * n,
        constraints={
            "type": "ineq",
            "fun": lambda v: s * (Z @ v[:q] + offset) - 1.0 + v[q:],
            "jac": lambda v: np.c_[s[:, None] * Z, np.eye(n)],
        },
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return result.x[:q]


def test_the_hinge_itself():
    _, X, y, w, offset, strength = parts("binary", seed=6)
    strength, w, Z = np.r_[strength[:3], 0.0], w + 0.1, dense(X)
    theta = np.zeros((1, 4))
    start = Objective(
        SmoothHingeLoss(0.01), make_design(X, True), y, w, L2(strength), theta, HingeLoss(),
        offset=offset,
    )  # fmt: skip
    found, converged = exact_optimum(start)
    assert converged
    sign = 2 * y - 1
    expected = primal_hinge(Z, sign, w, offset[:, 0], strength)
    np.testing.assert_allclose(found.theta[0], expected, atol=1e-5)
    rows = np.flatnonzero(sign * found.eta[:, 0] < 1.0 + 1e-9)[:3]  # support vectors
    exact = delete(found, None, "exact", rows)
    for position, row in enumerate(rows):
        left = np.where(np.arange(ROWS) == row, 0.0, w)
        after = primal_hinge(Z, sign, left, offset[:, 0], strength)
        step = exact.steps(slice(position, position + 1))[0][0]
        np.testing.assert_allclose(step, after - expected, atol=2e-5)
