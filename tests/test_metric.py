"""The norms of a refit against dense matrices: their values, not only that they are bounds."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg

from benchmarks.certificate import LOSSES, LogLinkPoisson, random_objective
from skinfluence.curvature import CGCurvature, DenseCurvature
from skinfluence.deletion import ChordNewton, Exact, NewtonError, OneStep
from skinfluence.deletion._chord import _accelerate
from skinfluence.deletion._newton_cg import NewtonCG
from skinfluence.deletion.certificate import after_chord_step, distance, newton_remainder
from skinfluence.deletion.metric import largest_of_others
from skinfluence.design import make_design
from skinfluence.losses import BinaryLogLoss
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.penalties import L2
from tests.oracles import hessian


def newton_of(objective, rows=None):
    """Newton steps without each row, in the metric whose penalty lacks the mean row's share."""
    rows = np.arange(objective.n_rows) if rows is None else rows
    curvature = DenseCurvature(objective.without_mean_penalty_share())
    return OneStep(objective, curvature, rows, corrected=True)


def mean_form(seed, n=14, p=5, fit_intercept=True, loss=None):
    """A model of the mean loss, rows of unequal weights: each takes its share of the penalty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = rng.poisson(np.exp(X[:, 0])).astype(float)
    w = rng.exponential(size=n) + 0.1
    design = make_design(X, fit_intercept)
    share = L2(design.pack(np.full(p, 0.3), 0.0)[0])
    theta = np.zeros((1, design.shape[1]))
    start = Objective(loss or LogLinkPoisson(), design, y, w, share.times(0.0), theta, None, share)
    return polish(start, max_steps=100, tolerance=1e-12).objective


def dense_inverse(matrix, curvature):
    """Inverse, with the curvature's own term in the null direction of the loss."""
    null = curvature.objective.loss.null_direction
    if curvature.null_space_ridge is not None:
        matrix = matrix + np.kron(np.outer(null, null), np.diag(curvature.null_space_ridge))
    return np.linalg.inv(matrix)


def row_norm(objective, row, inverse):
    """Largest change at a row of a step of length 1: of an output, or of a difference of two."""
    z = objective.design.dense(np.array([row]))[0]
    K = objective.n_outputs
    unit = np.eye(K)
    directions = unit if objective.loss.null_direction is None else [
        unit[k] - unit[m] for k in range(K) for m in range(k)
    ]  # fmt: skip
    return max(np.sqrt(np.kron(u, z) @ inverse @ np.kron(u, z)) for u in directions)


def problems():
    """Objectives at their optimum, of every certified loss; sums and a mean."""
    found = {name: random_objective(loss, 3) for name, loss in LOSSES.items()}
    return {**found, "mean of Poisson": mean_form(0)}


PROBLEMS = problems()


@pytest.mark.parametrize("name", PROBLEMS)
def test_norms_are_those_of_dense_matrices(name):
    objective = PROBLEMS[name]
    newton = newton_of(objective)
    metric, curvature = newton.metric, newton.curvature
    H = curvature @ np.eye(objective.n_parameters)
    H_inverse = np.linalg.inv(H)
    norms = np.array([row_norm(objective, j, H_inverse) for j in range(objective.n_rows)])
    for row in range(objective.n_rows):
        z = objective.design.dense(np.array([row]))[0]
        G0 = H - np.kron(objective.weights[row], np.outer(z, z))
        ratio = 1.0 / np.sqrt(scipy.linalg.eigh(G0, H, eigvals_only=True)[0])
        assert metric.inv_sqrt_one_minus_h[row] == pytest.approx(ratio, rel=1e-8)
        ratio *= metric.gradient_norm_ratio[row]
        assert metric.inverse_norm_ratio[row] == pytest.approx(ratio, rel=1e-8)
        others = np.delete(norms, row)
        assert metric.max_row_norm_full[row] == pytest.approx(others.max(), rel=1e-8)
        assert metric.max_row_norm[row] == pytest.approx(others.max() * ratio, rel=1e-8)
        assert metric.own_row_norm[row] == pytest.approx(norms[row] * ratio, rel=1e-8)
        largest_sd = np.sqrt(H_inverse.diagonal().max())
        assert metric.coefficient_change(2.0, row) == pytest.approx(2.0 * largest_sd * ratio)
        # And they are what they bound: norms in the Hessian of the objective without the row.
        inverse = dense_inverse(hessian(objective.without(row)), curvature)
        own = row_norm(objective, row, inverse)
        assert own <= metric.own_row_norm[row] * (1 + 1e-9)
        if objective.n_outputs == 1 and not metric.penalty_mismatch[row]:
            assert own == pytest.approx(metric.own_row_norm[row], rel=1e-8)
        largest = max(row_norm(objective, j, inverse) for j in range(objective.n_rows) if j != row)
        assert largest <= metric.max_row_norm[row] * (1 + 1e-9)
        sd = np.sqrt(inverse.diagonal().max())
        assert sd <= metric.coefficient_change(1.0, row) * (1 + 1e-9)


def with_a_twin(seed=0, n=60, p=3):
    """A logistic objective of which the longest row occurs twice, as rows 0 and 1."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    X[:2] = 4.0
    y = (rng.uniform(size=n) < 0.5).astype(float)
    design = make_design(X, True)
    penalty = L2(np.r_[np.ones(p), 0.0])
    start = Objective(BinaryLogLoss(), design, y, np.ones(n), penalty, np.zeros((1, p + 1)))
    return polish(start, tolerance=1e-13).objective


def test_the_largest_norm_and_the_longest_move_are_attained_by_a_twin():
    """Without row 0 its twin is the row of R, and Newton's step moves no other as far."""
    objective = with_a_twin()
    newton = newton_of(objective)
    inverse = np.linalg.inv(hessian(objective.without(0)))
    assert newton.metric.max_row_norm[0] == pytest.approx(row_norm(objective, 1, inverse), rel=1e-9)
    known = NewtonError(newton)
    moved = np.abs(objective.design @ newton.steps(slice(0, 1))[0, 0])
    assert known.kappa[0] == pytest.approx(moved[1], rel=1e-9)
    assert moved[1] == moved[1:].max()


@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_takes_more_or_less_of_the_penalty_than_the_mean(seed):
    """In more columns than rows some directions have no curvature but the penalty's."""
    objective = mean_form(seed, n=9, p=12, fit_intercept=False)
    newton = newton_of(objective)
    metric = newton.metric
    H = newton.curvature @ np.eye(objective.n_parameters)
    mean = objective.sample_weight.mean()
    heavy = objective.sample_weight > mean
    assert 0 < heavy.sum() < objective.n_rows
    np.testing.assert_array_equal(np.sign(metric.penalty_mismatch), np.where(heavy, 1.0, -1.0))
    for row in range(objective.n_rows):
        z = objective.design.dense(np.array([row]))[0]
        G0 = H - objective.weights[row, 0, 0] * np.outer(z, z)
        shares = scipy.linalg.eigh(hessian(objective.without(row)), G0, eigvals_only=True)
        gradient, step = 1.0 / np.sqrt(min(1.0, shares[0])), np.sqrt(max(1.0, shares[-1]))
        assert metric.gradient_norm_ratio[row] == pytest.approx(gradient, rel=1e-8)
        assert metric.step_norm_ratio[row] == pytest.approx(step, rel=1e-8)
        assert (gradient > 1.0 + 1e-3) == heavy[row]
        assert (step > 1.0 + 1e-3) == (not heavy[row])


def test_rows_of_equal_weight_take_exactly_what_the_metric_lacks():
    objective = mean_form(1)
    objective = objective.reweighted(1.3 - objective.sample_weight)
    metric = newton_of(objective).metric
    np.testing.assert_array_equal(metric.penalty_mismatch, 0.0)
    np.testing.assert_array_equal(metric.gradient_norm_ratio, 1.0)
    np.testing.assert_array_equal(metric.step_norm_ratio, 1.0)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_lengths_of_newton_steps(name):
    objective = PROBLEMS[name]
    newton = newton_of(objective)
    metric, known, M = newton.metric, NewtonError(newton), objective.loss.self_concordance
    H = newton.curvature @ np.eye(objective.n_parameters)
    for row in range(objective.n_rows):
        d = newton.steps(slice(row, row + 1))[0]
        z = objective.design.dense(np.array([row]))[0]
        G0 = H - np.kron(objective.weights[row], np.outer(z, z))
        G = hessian(objective.without(row))
        length = np.sqrt(d.ravel() @ G0 @ d.ravel()) * metric.step_norm_ratio[row]
        assert known.length[row] == pytest.approx(length, rel=1e-7)
        assert np.sqrt(d.ravel() @ G @ d.ravel()) <= length * (1 + 1e-9)
        full = np.sqrt(d.ravel() @ H @ d.ravel())
        assert known.step_norm[row] == pytest.approx(full, rel=1e-7)
        assert known.kappa[row] == pytest.approx(M * metric.max_row_norm_full[row] * full, rel=1e-7)
        moved = objective.loss.predictor_norm(objective.design @ d.T)
        kappa = M * np.delete(moved, row).max()
        assert kappa <= known.kappa[row] * (1 + 1e-9)
        # Both distances, put together from these by the formulas of the certificate.
        mismatch = metric.gradient_norm_ratio[row] * abs(metric.penalty_mismatch[row]) * length
        for k, found in (
            (known.kappa[row], known.distance_by_norms()[row]),
            (kappa, known.distance_by_predictors(np.array([row]))[0]),
        ):
            nu = newton_remainder(k, length) + mismatch
            expected = distance(nu, k, metric.max_row_norm[row], M)
            assert found == pytest.approx(expected, rel=1e-6)
        # The gradient that the step leaves is no longer than the remainder and the mismatch say.
        r = objective.without(row).at(objective.theta + d).gradient.ravel()
        nu = np.sqrt(r @ dense_inverse(G, newton.curvature) @ r)
        assert nu <= (newton_remainder(kappa, length) + mismatch) * (1 + 1e-6) + 1e-10


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_pass_of_the_chord_knows_gradient_kappa_and_nu(name):
    """From random steps: the gradient, its norm, the longest move, and the bound made of them."""
    objective = PROBLEMS[name]
    newton = newton_of(objective)
    chord, metric, M = ChordNewton(newton, 1e-8), newton.metric, objective.loss.self_concordance
    rows, rng = np.arange(objective.n_rows), np.random.default_rng(0)
    far = rng.normal(size=(len(rows), *objective.theta.shape)) / metric.max_row_norm.max()
    H = newton.curvature @ np.eye(objective.n_parameters)
    for steps in (0.3 * far, newton.steps(slice(None))):
        flat = steps.reshape(len(rows), -1)
        gradient, moved, _ = chord.gradient(flat, rows)
        solved = chord.solve(gradient, rows, chord.inverse_rows(rows))
        size = np.sqrt(np.einsum("ij,ij->i", gradient, solved))
        bound = chord.bound_after(size, moved, rows)
        for row in rows:
            rest = objective.without(row)
            r = rest.at(objective.theta + steps[row]).gradient.ravel()
            np.testing.assert_allclose(gradient[row], r, rtol=1e-6, atol=1e-9)
            change = objective.loss.predictor_norm(objective.design @ steps[row].T)
            assert moved[row] == pytest.approx(np.delete(change, row).max(), rel=1e-9)
            z = objective.design.dense(np.array([row]))[0]
            G0 = H - np.kron(objective.weights[row], np.outer(z, z))
            nu0 = np.sqrt(gradient[row] @ np.linalg.solve(G0, gradient[row]))
            assert size[row] == pytest.approx(nu0, rel=1e-6)
            nu = nu0 * metric.gradient_norm_ratio[row]
            true = np.sqrt(r @ dense_inverse(hessian(rest), newton.curvature) @ r)
            assert true <= nu * (1 + 1e-6) + 1e-10
            R, kappa = metric.max_row_norm[row], M * moved[row]
            E = distance(nu, kappa, R, M)
            assert metric.distance(size[row], kappa, row) == pytest.approx(E, rel=1e-6)
            after = after_chord_step(E, kappa, R, M)
            if metric.penalty_mismatch[row]:
                after = E + metric.step_norm_ratio[row] * nu0
            assert bound[row] == pytest.approx(after, rel=1e-6)
            # A step from a gradient that lacks something is off by that, however short it is.
            hidden = 0.1 * size[row : row + 1]
            at = size[row : row + 1], moved[row : row + 1], rows[row : row + 1]
            more = chord.bound_after(*at, hidden)[0]
            assert more >= bound[row] + hidden[0] or metric.penalty_mismatch[row]


@pytest.mark.parametrize("name", PROBLEMS)
def test_pairs_of_steps_lengthen_those_of_rows_that_go_on_and_no_last_step(name):
    """Rows that are done take the plain step, which the bound is about; for others pairs count."""
    objective = PROBLEMS[name]
    newton = newton_of(objective)
    chord, metric = ChordNewton(newton, 1e-9), newton.metric
    state, done, corrected = chord.start(slice(0, objective.n_rows)), 0, 0
    for _ in range(5):
        active, before = state.active.copy(), state.D.copy()
        gradient, moved, hidden = chord.gradient(state.D[active], active, state.truncation[active])
        plain = -chord.solve(gradient, active, state.inverse_rows[active])
        size = np.sqrt(np.einsum("ij,ij->i", -gradient, plain))
        held = chord.certified_size(gradient, size, active, state.inverse_rows[active])
        lost = metric.gradient_rounding[active] + chord.cut_off(active, state.truncation[active])
        bound = chord.bound_after(held, moved, active, hidden + lost)
        chord.advance(state, gradient, moved, hidden)
        taken = state.D[active] - before[active]
        for position, row in enumerate(active):
            if state.converged[row]:
                np.testing.assert_allclose(taken[position], plain[position], rtol=1e-9, atol=1e-14)
                assert state.bound[row] == pytest.approx(bound[position], rel=1e-6)
                done += 1
            elif np.abs(taken[position] - plain[position]).max() > 1e-3 * np.abs(plain).max():
                corrected += 1
    assert done > 3
    assert corrected > 3


def test_pairs_of_steps_solve_a_linear_system_in_as_many_passes_as_it_has_directions():
    """Broyden's good update on linear equations ends in two passes a direction (Gay 1979)."""
    rng = np.random.default_rng(3)
    A = np.eye(3) + 0.15 * rng.standard_normal((3, 3))  # in the chord's own metric
    root, n_rows = rng.standard_normal(3), 2
    state = SimpleNamespace(pairs=[], last_step=None)
    x = np.zeros((n_rows, 3))
    sizes = []
    for _ in range(7):
        step = -(x - root) @ A.T
        sizes.append(np.abs(step[0]).max())
        step[1] = 0.0 if sizes[-1] == 0 else step[1]
        _accelerate(state, step, np.array([True, False]))
        x += step
    assert np.abs(x[0] - root).max() < 1e-11
    assert np.abs(x[1] - root).max() > 1e-6  # the plain chord is on its way


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_row_is_certified_if_no_coefficient_can_be_off_by_the_tolerance(name):
    """In the first pass nothing else ends a row."""
    objective = PROBLEMS[name]
    newton = newton_of(objective)
    metric, rows = newton.metric, np.arange(objective.n_rows)
    H_inverse = np.linalg.inv(newton.curvature @ np.eye(objective.n_parameters))
    chord = ChordNewton(newton, 1e-6)
    gradient, moved, _ = chord.gradient(newton.steps(slice(None)).reshape(len(rows), -1), rows)
    size = np.sqrt(
        np.einsum("ij,ij->i", gradient, chord.solve(gradient, rows, chord.inverse_rows(rows)))
    )
    bound = chord.bound_after(size, moved, rows)
    off = bound * metric.inverse_norm_ratio * np.sqrt(H_inverse.diagonal().max())
    finite = np.flatnonzero(np.isfinite(off))
    for row in finite[np.argsort(metric.inverse_norm_ratio[finite])[-3:]]:
        assert metric.inverse_norm_ratio[row] > 1.05
        for share, expected in ((0.98, False), (1.02, True)):
            chord = ChordNewton(newton, share * off[row] / objective.coefficient_unit)
            state = chord.start(slice(0, len(rows)))
            chord.advance(state, *chord.gradient(state.D, rows, state.truncation))
            assert state.converged[row] == expected


def test_bounds_hold_for_means_of_unequal_weights():
    """Of coarse refits, and of Newton steps, with rows that take unequal shares of the penalty."""
    some = 0
    for seed in range(20):
        objective = mean_form(seed, n=30, p=3)
        newton = newton_of(objective)
        rows = np.arange(objective.n_rows)
        fine = Exact(objective, newton.curvature, rows, tolerance=1e-12).own_change()
        coarse = Exact(objective, newton.curvature, rows, tolerance=1e-2)
        for deletion, bound in (
            (newton, NewtonError(newton).bound()),
            (coarse, coarse.own_bound),
        ):
            error = np.abs(deletion.own_change() - fine)[:, 0]
            assert (error <= bound * (1 + 1e-6) + 1e-9).all()
            some += (np.isfinite(bound) & (error > 1e-6)).sum()
    assert some > 200


def test_newton_cg_and_the_chord_bound_by_the_same_metric():
    objective = PROBLEMS["logistic"]
    newton = newton_of(objective)
    chord, rows = ChordNewton(newton, 1e-4), np.arange(objective.n_rows)
    found = NewtonCG(chord).run(rows, newton.steps(slice(None)))
    fine = Exact(objective, newton.curvature, rows, tolerance=1e-12).steps(slice(None))
    finite = np.flatnonzero(np.isfinite(found.bound))
    assert len(finite) > 10
    for row in finite:
        rest = (found.steps[row] - fine[row]).ravel()
        G = hessian(objective.without(row))
        assert np.sqrt(rest @ G @ rest) <= found.bound[row] * (1 + 1e-6) + 1e-9


def test_rows_of_no_weight_have_no_say():
    """They carry no curvature: the bound on the others' predictors need not hold for them."""
    objective = PROBLEMS["logistic"]
    first = int(np.argmax(newton_of(objective).metric.own_row_norm))
    delta = np.zeros(objective.n_rows)
    delta[first] = -objective.sample_weight[first]
    without = polish(objective.reweighted(delta), tolerance=1e-12).objective
    metric, inverse = newton_of(without).metric, np.linalg.inv(hessian(without))
    norms = np.array([row_norm(without, j, inverse) for j in range(without.n_rows)])
    assert norms[first] == norms.max()
    for row in range(without.n_rows):
        largest = np.delete(norms, [first, row]).max()
        assert metric.max_row_norm_full[row] == pytest.approx(largest, rel=1e-9)


def test_some_rows_have_the_metric_that_they_have_among_all():
    objective = PROBLEMS["softmax, 3 classes"]
    every, rows = newton_of(objective).metric, np.array([7, 2, 20])
    some = newton_of(objective, rows).metric
    for name in ("inverse_norm_ratio", "own_row_norm", "max_row_norm"):
        np.testing.assert_allclose(getattr(some, name), getattr(every, name)[rows], rtol=1e-10)
    # Without factors the norms of all rows would cost a solve each: nothing is certified.
    products = OneStep(objective, CGCurvature(objective), rows, corrected=True).metric
    assert np.isinf(products.max_row_norm).all()
    assert np.isinf(products.distance(np.ones(3), np.ones(3), slice(None))).all()


def test_the_largest_of_others():
    values = np.array([1.0, 5.0, 3.0])
    np.testing.assert_array_equal(largest_of_others(values, np.array([1, 0, 1, 2])), [3, 5, 3, 5])
    np.testing.assert_array_equal(largest_of_others(values[:1], np.array([0])), [0.0])
    np.testing.assert_array_equal(largest_of_others(values[:1], np.array([0]), -np.inf), [-np.inf])
