"""H of a softmax as a matrix for all outputs but one, against the matrix of all."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris

from skinfluence import InfluenceLogisticRegression
from skinfluence.blocks import as_blocks
from skinfluence.curvature import DenseCurvature, make_curvature
from skinfluence.curvature._baseline import BaselineCurvature, make_dense
from skinfluence.deletion._row_change import Entering, RowChange, entering_slopes
from skinfluence.problem import fitted_problem
from tests.test_elastic_net import logistic


def rows(n=60, p=4, K=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = np.argmax(X @ rng.normal(size=(p, K)) + rng.gumbel(size=(n, K)), axis=1)
    return X, y, rng.uniform(0.2, 2.0, size=n)


def objective_of(kind="dense", C=1.0, fit_intercept=True, K=4):
    X, y, weight = rows(K=K)
    model = InfluenceLogisticRegression(C=C, fit_intercept=fit_intercept)
    if kind == "blocks":
        model.fit(as_blocks(X, y, weight, block_rows=13))
    else:
        model.fit(sp.csr_array(X) if kind == "csr" else X, y, weight)
    return fitted_problem(model).objective.with_fixed_penalty()


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("kind", ["dense", "csr", "blocks"])
@pytest.mark.parametrize("K", [3, 5])
def test_it_is_the_matrix_of_all_outputs(kind, C, fit_intercept, damping, K):
    objective = objective_of(kind, C, fit_intercept, K)
    made, whole = make_dense(objective, damping), DenseCurvature(objective, damping)
    assert isinstance(made, BaselineCurvature)
    assert len(made.factor) == (K - 1) * objective.design.shape[1]
    H = whole.as_array()

    def same(found, expected):
        # A weak penalty makes the part along the null direction, 1 / R'', large beside the others.
        size = np.abs(expected).max(initial=1e-300)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * size)

    same(made.as_array(), H)
    same(made.inverse(), whole.inverse())
    same(made.known_inverse(), np.linalg.inv(H))
    same(made.inverse_diagonal_bound(), np.diag(whole.inverse()))
    rng = np.random.default_rng(0)
    for m in (0, 1, 3, 50):
        V = rng.normal(size=(objective.n_parameters, m))
        same(made.solve(V).reshape(V.shape), np.linalg.solve(H, V))
        same(made @ made.solve(V), V)
        # Without a component along the null direction the free outputs say everything.
        blocks = V.reshape(K, -1, m) if m else np.zeros((K, objective.design.shape[1], 0))
        blocks = blocks - blocks.mean(axis=0)
        right = blocks[made.free_outputs].reshape(len(made.factor), m)
        expected = np.linalg.solve(H, blocks.reshape(V.shape))
        for n_columns in (1, 10_000):
            same(made.step_solver(n_columns)(right).reshape(V.shape), expected)
    for name in ("quadratic", "one_minus"):
        same(getattr(made.leverage(), name), getattr(whole.leverage(), name))
        some = np.array([5, 2, 5])
        same(getattr(made.leverage(some), name), getattr(whole.leverage(some), name))


@pytest.mark.parametrize("prefers", [True, False])
def test_quadratic_forms_by_both_ways(monkeypatch, prefers):
    objective = objective_of()
    expected = DenseCurvature(objective).leverage().quadratic
    monkeypatch.setattr(DenseCurvature, "_prefers_squares", lambda self, design: prefers)
    found = make_dense(objective).row_quadratic(objective.design)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_what_a_worker_is_told():
    objective = objective_of()
    made = make_dense(objective)
    told = pickle.loads(pickle.dumps(made.without_rows()))
    found = told.leverage_of_part(objective.take(slice(10, 30)), slice(10, 30))
    np.testing.assert_array_equal(found.one_minus, made.leverage().one_minus[10:30])


def test_a_rare_class_keeps_its_digits():
    """A class of probability 1e-9 and no penalty to speak of: its direction is an axis of M."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = np.r_[np.arange(190) % 2, np.full(10, 2)]
    weight = np.r_[np.ones(190), np.full(10, 1e-9)]
    model = InfluenceLogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(X, y, weight)
    objective = fitted_problem(model).objective.with_fixed_penalty()
    made = make_dense(objective)
    assert isinstance(made, BaselineCurvature)
    assert made.rcond > 1e-3
    v = np.array([0.3, -1.3, 1.0])[:, None] * X[3]
    right = np.append(v, [[0.3], [-1.3], [1.0]], axis=1).reshape(-1, 1)
    step = made.step_solver()(right.reshape(3, -1)[made.free_outputs].reshape(-1, 1))
    left = (objective.hessian_matmul(step) - right).reshape(3, -1)
    scale = np.sqrt(np.diag(DenseCurvature(objective).as_array())).reshape(3, -1)
    assert np.abs(left / scale).max() < 1e-8 * np.abs(step.reshape(3, -1) * scale).max()


def test_a_penalty_next_to_zero_costs_no_digits():
    X, y = load_iris(return_X_y=True)
    model = InfluenceLogisticRegression(C=1e12).fit(X / X.max(), y)
    objective = fitted_problem(model).objective.with_fixed_penalty()
    assert make_dense(objective).rcond == pytest.approx(7e-5, rel=0.1)
    assert DenseCurvature(objective).rcond < 1e-12


def test_the_matrix_of_all_outputs_where_the_factor_has_to_be_found_by_rows():
    X, y, weight = rows()
    X = np.column_stack([X, X[:, 0] + 1e-7 * X[:, 1]])
    model = InfluenceLogisticRegression(C=1e14).fit(X, y, weight)
    made = make_curvature(fitted_problem(model).objective, "dense")
    assert type(made) is DenseCurvature
    assert made.by_rows


def test_dependent_columns_are_named():
    X, y, weight = rows()
    model = InfluenceLogisticRegression(C=np.inf).fit(X, y, weight)
    objective = fitted_problem(model).objective.with_fixed_penalty()
    doubled = objective._with(design=type(objective.design)(np.c_[X[:, :3], X[:, 0]], True))
    with pytest.raises(np.linalg.LinAlgError, match=r"rank 17 of 20.*column 0, column 3"):
        make_dense(doubled)


def test_steps_and_exchanges_of_rows_are_those_of_the_matrix_of_all(monkeypatch):
    """Every question that solves for v (x) z: deletions, exchanged rows, test side and own side."""
    X, y, weight = rows()
    answers = []
    for which in (make_dense, DenseCurvature):
        monkeypatch.setitem(make_curvature.__globals__["KINDS"], "dense", which)
        model = InfluenceLogisticRegression().fit(X, y, weight)
        loo = model.loo_estimate(method="newton")
        answers.append(
            [
                model.influence(X[:2], y[:2], method="newton"),
                model.influence(X, y, method="first_order"),
                model.influence(X[:9], y[:9], method="exact"),
                model.relabel_influence(X[:9], y[:9], method="newton"),
                model.group_influence([[0, 3, 5], [7]], X[:9], y[:9], method="exact"),
                loo.predict_proba,
                loo.leverage,
                model.self_influence(method="newton"),
            ]
        )
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("method", ["auto", "newton", "exact"])
def test_a_model_without_a_coefficient(method):
    X, y, weight = rows()
    model = logistic(InfluenceLogisticRegression, 1e-5, 1.0).set_params(fit_intercept=False)
    model.fit(X, y, weight)
    assert not model.coef_.any()
    assert not model.group_influence([[0, 1], [5]], X[:2], y[:2], method=method).any()
    assert not model.influence(X[:2], y[:2], method=method).any()


def test_slopes_of_entering_rows_do_not_see_the_null_direction():
    """Under a weak penalty A has 1 / R'' there, whose rounding would hide its other digits."""
    objective = objective_of(C=1.0, K=3)
    n_rows = objective.n_rows
    y = (objective.y + 1) % 3
    entering = Entering(np.arange(n_rows), y, objective.sample_weight)
    quadratic = make_dense(objective).leverage().quadratic
    expected = entering_slopes(objective, entering, objective.eta, quadratic)
    found = entering_slopes(objective, entering, objective.eta, quadratic + 1e9)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
    exact = entering_slopes(objective, entering, objective.eta, quadratic + 2.0**20)
    np.testing.assert_allclose(exact, expected, rtol=1e-8, atol=1e-10)


def test_only_penalties_that_are_the_same_for_all_outputs():
    """Under an L1 penalty classes have other columns each, and a baseline's would be lost."""
    X, y, weight = rows(p=6)
    model = logistic(InfluenceLogisticRegression, 0.2, 1.0).fit(X, y, weight)
    active = model.coef_ != 0
    assert 0 < active.sum() < active.size
    objective = fitted_problem(model).objective.on_active_set()
    assert type(make_dense(objective)) is DenseCurvature
    kept = np.setdiff1d(np.arange(len(X)), [7])
    refit = logistic(InfluenceLogisticRegression, 0.2, 1.0).fit(X[kept], y[kept], weight[kept])
    found = model.influence(X[:4], target="predict_proba", method="exact", train_indices=[7])
    expected = refit.predict_proba(X[:4]) - model.predict_proba(X[:4])
    np.testing.assert_allclose(found.reshape(4, -1), expected, atol=1e-8)


def test_labels_are_changed_by_newtons_own_step_under_a_weak_penalty(monkeypatch):
    """Not by refits because a direction that no row sees has lost its digits: 52 of 476 were."""
    X, y = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    made, init = [], RowChange.__init__

    def recorded(self, *args, **options):
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(RowChange, "__init__", recorded)
    model = InfluenceLogisticRegression(C=1e4).fit(X, y)
    model.relabel_influence(X[:5], y[:5], method="newton")
    assert sum(len(change.rows) for change in made) >= 300
    assert sum(int(change.unsteady.sum()) for change in made if change.corrected) <= 20
