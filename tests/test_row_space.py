"""Curvatures of sparse rows in many columns, by conjugate gradients in the space of the rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skinfluence import InfluenceLogisticRegression
from skinfluence.curvature import _row_space, choose, make_curvature
from skinfluence.curvature._row_space import RowSpaceCurvature
from skinfluence.design import make_design
from skinfluence.losses import BinaryLogLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2


def sparse_rows(n, p, seed=0, storage=sp.csr_array, scale=1.0):
    """Rows with a few common columns and many rare ones, some of them alone in theirs."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, p)) < 4.0 / (1.0 + np.arange(p)), rng.normal(size=(n, p)), 0.0)
    X[np.arange(n), np.arange(n) % p] += 1.0
    return storage(scale * X)


CASES = {
    "binary": {},
    "no intercept": {"fit_intercept": False},
    "softmax": {"n_classes": 3},
    "softmax without intercept": {"n_classes": 3, "fit_intercept": False},
    "weak penalty": {"C": 300.0},
    "float32": {"storage": lambda X: sp.csr_array(X.astype(np.float32))},
}


def objective_of(n_classes=2, storage=sp.csr_array, **options):
    """Objective of a fit to such rows, with weights."""
    X = sparse_rows(60, 150, storage=storage)
    y = np.random.default_rng(1).integers(0, n_classes, 60)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, 60)
    model = InfluenceLogisticRegression(max_iter=1000, **options).fit(X, y, weight)
    return model.__fitted_problem__().objective


@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_solves_leverages_and_products_are_those_of_the_factor(name, damping):
    objective = objective_of(**CASES[name])
    rows, dense = (make_curvature(objective, kind, damping) for kind in ("cg", "dense"))
    assert isinstance(rows, RowSpaceCurvature)
    K, q = objective.theta.shape
    V = np.random.default_rng(3).normal(size=(K, q, 40))
    if K > 1:  # gradients of the softmax have no component in the null direction
        V -= V.mean(axis=0)
    V = V.reshape(K * q, 40)
    expected = dense.solve(V)
    np.testing.assert_allclose(rows.solve(V), expected, atol=1e-9 * np.abs(expected).max())
    some, every = rows.leverage(np.array([5, 2])), rows.leverage()
    assert rows.leverage() is every
    exact = dense.leverage()
    project = np.eye(K) - np.full((K, K), 1 / K) if K > 1 else np.eye(1)
    for got, want in (
        (every.quadratic, exact.quadratic),
        (some.quadratic, exact.quadratic[[5, 2]]),
    ):
        np.testing.assert_allclose(
            project @ got @ project, project @ want @ project, rtol=1e-7, atol=1e-9
        )
    np.testing.assert_allclose(every.one_minus, exact.one_minus, rtol=1e-8, atol=1e-9)
    design = objective.design.like(sparse_rows(7, 150, seed=4))
    slopes = np.random.default_rng(5).normal(size=(14, K)) @ project
    right = np.concatenate(
        [design.outer(slopes[:7], slice(None)), design.outer(slopes[7:], slice(None))]
    )
    solved = dense.solve(right.T).T.reshape(14, K, q)
    expected = np.stack([objective.design @ part.T for part in solved], axis=2)
    found = rows.own_products(design, slopes)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["first_order", "newton"])
def test_influence_is_that_of_the_factor(method, n_classes):
    X, X_test = sparse_rows(60, 150), sparse_rows(8, 150, seed=4)
    y = np.random.default_rng(1).integers(0, n_classes, 60)
    model = InfluenceLogisticRegression(max_iter=1000).fit(X, y)
    for options in ({"y_test": y[:8]}, {"target": "decision_function"}, {"train_indices": [3, 9]}):
        if "y_test" not in options and "target" not in options:
            options = {"y_test": y[:8], **options}
        found, exact = (
            model.influence(X_test, method=method, curvature=kind, **options)
            for kind in ("cg", "dense")
        )
        np.testing.assert_allclose(found, exact, atol=1e-8 * np.abs(exact).max())


def test_float32_passes_that_stall_go_on_in_float64(monkeypatch):
    objective = objective_of(C=1e3)
    dense = make_curvature(objective, "dense")
    V = np.random.default_rng(3).normal(size=(objective.n_parameters, 3))
    expected = dense.solve(V)
    kinds, conjugate = [], RowSpaceCurvature._conjugate

    def counted(self, R, goal, most):
        kinds.append(R.dtype)
        # What float32 returns where it has no correct digit left.
        X, used = conjugate(self, R, goal, most)
        return (X if R.dtype == np.float64 else 0 * X), used

    monkeypatch.setattr(RowSpaceCurvature, "_conjugate", counted)
    found = make_curvature(objective, "cg").solve(V)
    assert np.dtype(np.float64) in kinds
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())


def test_a_solve_that_does_not_converge_says_so(monkeypatch):
    curvature = make_curvature(objective_of(), "cg")
    monkeypatch.setattr(_row_space, "MAX_ITERATIONS", 1)
    with pytest.warns(ConvergenceWarning, match="relative residual"):
        curvature.solve(np.eye(curvature.objective.n_parameters, 2))


def test_an_undefined_right_hand_side_harms_no_other():
    curvature = make_curvature(objective_of(), "cg")
    V = np.random.default_rng(3).normal(size=(curvature.objective.n_parameters, 3))
    clean = curvature.solve(V)
    V[:, 1] = np.nan
    found = curvature.solve(V)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, [0, 2]], clean[:, [0, 2]], rtol=1e-12)


def test_the_operator_is_the_kernel():
    X = sparse_rows(30, 80)
    scale = np.random.default_rng(0).uniform(0.1, 2.0, 81)
    for intercept in (False, True):
        design = make_design(X, intercept)
        Z, s = design.dense(slice(None)), scale[: 80 + intercept]
        K = Z @ (s[:, None] * Z.T)
        V, left = np.random.default_rng(1).normal(size=(2, 30, 5))
        product = np.ones((30, 5))
        design.row_operator(s).with_rows_scaled(left[:, 0]).add_product(V, product)
        expected = 1.0 + left[:, :1] * (K @ (left[:, :1] * V))
        np.testing.assert_allclose(product, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(design.kernel_diagonal(s), K.diagonal())
        other = make_design(X[:4], intercept)
        np.testing.assert_allclose(design.cross_kernel(other, s), K[:, :4], atol=1e-12)


@pytest.mark.parametrize(
    ("n", "p", "per_row", "n_solves", "within"),
    # Kinds within 1.5 times of the fastest by `python -m benchmarks --problem choice`.
    [
        (20_000, 50, None, 20_050, {"dense"}),
        (2000, 300, None, 2050, {"dense"}),
        (500, 3000, None, 550, {"dual"}),
        (4000, 400, 20, 4050, {"dense"}),
        (2500, 50_000, 30, 50, {"cg"}),
        (2500, 50_000, 30, 2550, {"dual"}),
        (1200, 20_000, 20, 1220, {"dual"}),
        (3000, 1500, 20, 10, {"dense", "cg"}),
    ],
)
def test_the_kind_that_is_chosen_is_as_fast_as_the_best(n, p, per_row, n_solves, within):
    rng = np.random.default_rng(0)
    if per_row is None:
        X = rng.normal(size=(n, p))
    else:
        places = rng.integers(0, p, n * per_row)
        indptr = np.arange(0, n * per_row + 1, per_row)
        X = sp.csr_array((rng.normal(size=n * per_row), places, indptr), shape=(n, p))
    y, penalty = rng.integers(0, 2, n).astype(float), L2(np.r_[np.ones(p), 0.0])
    design, theta = make_design(X, True), np.zeros((1, p + 1))
    objective = Objective(BinaryLogLoss(), design, y, np.ones(n), penalty, theta)
    assert choose(objective, n_solves).kind in within


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"storage": sp.csr_matrix}])
def test_estimated_leverages_have_their_standard_error(options):
    objective = objective_of(**options)
    exact = make_curvature(objective, "dense").leverage()
    made = make_curvature(objective, "stochastic")
    found, error = made.leverage(), made.leverage_error(np.arange(60))
    missed = (found.one_minus - exact.one_minus)[:, 0, 0]
    # Rows that share no column are known without a probe; of the others the errors are as stated.
    known = error < 1e-6
    assert np.abs(missed[known]).max(initial=0.0) < 1e-5
    share = missed[~known] / error[~known]
    assert 0.7 < np.sqrt(np.mean(share**2)) < 1.3, np.sqrt(np.mean(share**2))
    assert np.abs(share).max() < 4.5
    assert error.max() < 0.02
    weight = objective.weights[:, 0, 0]
    np.testing.assert_allclose(
        found.quadratic[:, 0, 0], (1 - found.one_minus[:, 0, 0]) / weight, rtol=1e-12
    )
    again = make_curvature(objective, "stochastic").leverage(np.array([5, 2]))
    np.testing.assert_array_equal(again.one_minus, found.one_minus[[5, 2]])


def test_leave_one_out_by_estimated_leverages():
    X, rng = sparse_rows(300, 900), np.random.default_rng(1)
    y = (X @ rng.normal(size=900) + rng.normal(size=300) > 0).astype(int)
    clf = InfluenceLogisticRegression(max_iter=1000).fit(X, y)
    exact = clf.loo_estimate(method="newton")
    loo = clf.loo_estimate(method="newton", curvature="stochastic")
    missed = np.abs(loo.decision_function - exact.decision_function)
    assert np.isinf(loo.error_bound).all()
    assert 0 < missed.max() < 0.05 * exact.decision_function.std()
    assert np.mean(missed <= loo.error_estimate) > 0.65  # one standard error, and Newton's own
    assert np.mean(missed <= 3 * loo.error_estimate) > 0.98
    assert (loo.method == "newton").all()
    auto = clf.loo_estimate()
    assert np.isfinite(auto.error_bound).any()
    for method in ("auto", "exact"):
        with pytest.raises(ValueError, match="Use method='newton'"):
            clf.loo_estimate(method=method, curvature="stochastic")
    with pytest.raises(ValueError, match="curvature should be"):
        clf.influence(X[:2], y[:2], curvature="stochastic")
    dense = InfluenceLogisticRegression().fit(X.toarray()[:, :5], y)
    with pytest.raises(ValueError, match="is for sparse X"):
        dense.loo_estimate(method="newton", curvature="stochastic")
    with pytest.raises(ValueError, match="curvature should be"):
        clf.loo_estimate(groups=y, curvature="cg")
