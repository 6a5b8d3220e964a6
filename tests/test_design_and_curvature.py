"""Designs and curvatures against dense arithmetic."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning

from skinfluence import InfluenceLinearRegression, InfluenceLogisticRegression, InfluenceRidge
from skinfluence._backend import (
    cholesky,
    cholesky_inverse,
    cholesky_solve,
    inverse_factor,
    reciprocal_condition,
    unit_norm,
)
from skinfluence.curvature import (
    KINDS,
    CGCurvature,
    DenseCurvature,
    DualCurvature,
    choose,
    make_curvature,
    make_step_curvature,
)
from skinfluence.design import _dense as dense_module
from skinfluence.design import make_design
from skinfluence.penalties import L2
from skinfluence.problem import fitted_problem
from tests.cases import CASES, build, problem
from tests.oracles import hessian

STORAGES = {
    "C": lambda X: X,
    "F": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "csr_matrix": sp.csr_matrix,
    "csr_array": sp.csr_array,
    "csr32": lambda X: sp.csr_matrix(X.astype(np.float32)),
}


@pytest.fixture(params=STORAGES)
def designs(request, monkeypatch):
    """(design, the same Z dense) in each storage, with and without intercept, in small blocks."""
    monkeypatch.setattr(dense_module, "BLOCK_ROWS", 7)
    X = np.where(np.random.default_rng(0).random((23, 5)) < 0.5, 0.0, problem(n=23, p=5)[0])
    stored = STORAGES[request.param](X)
    if not sp.issparse(stored):
        stored.setflags(write=False)
    exact = np.asarray(stored.toarray() if sp.issparse(stored) else stored, dtype=float)
    return [
        (
            make_design(stored, intercept),
            np.hstack([exact, np.ones((23, 1))]) if intercept else exact,
        )
        for intercept in (True, False)
    ]


def test_design_products(designs):
    rng = np.random.default_rng(1)
    for design, Z in designs:
        q = Z.shape[1]
        V, U, w = rng.normal(size=(q, 3)), rng.normal(size=(23, 2)), rng.normal(size=23)
        M = rng.normal(size=(q, q))
        M = M + M.T
        T, along = np.triu(rng.normal(size=(q, q))), rng.normal(size=q)
        for got, expected in (
            (design @ V, Z @ V),
            (design @ V[:, 0], Z @ V[:, 0]),
            (design.transpose_matmul(U), Z.T @ U),
            (design.absolute_sum(U), (np.abs(Z).T @ np.abs(U)).T),
            (design._gram(w), Z.T @ (w[:, None] * Z)),
            (design.row_quadratic(M), np.einsum("ij,jk,ik->i", Z, M, Z)),
            (design._gram(np.full(23, 0.7)), 0.7 * Z.T @ Z),
            (design.row_norms(T), ((Z @ T) ** 2).sum(axis=1)),
            (design.squared_sums(M, V.T, along)[0], V.T @ ((Z @ M) ** 2).T),
            (design.squared_sums(M, V.T, along)[1], Z @ M @ along),
            (design.kernel(np.abs(V[:, 0])), (Z * np.abs(V[:, 0])) @ Z.T),
            (design.dense([3, 1]), Z[[3, 1]]),
            (design.take(slice(2, 9)) @ V, Z[2:9] @ V),
        ):
            np.testing.assert_allclose(got, expected, atol=1e-11)
        assert design.n_stored <= Z.size


def test_design_blocks_of_several_outputs(designs):
    rng = np.random.default_rng(2)
    K = 3
    roots = rng.normal(size=(23, K, K))
    W = roots @ roots.transpose(0, 2, 1)
    S, V = rng.normal(size=(4, K, 6)), rng.normal(size=(23, K))
    for design, Z in designs:
        q = Z.shape[1]
        expected = sum(np.kron(W[i], np.outer(Z[i], Z[i])) for i in range(23))
        np.testing.assert_allclose(design.sandwich(W), expected, atol=1e-10)
        M = expected
        blocks = np.stack([[np.kron(np.eye(K), z) @ M @ np.kron(np.eye(K), z).T] for z in Z])[:, 0]
        np.testing.assert_allclose(design.block_quadratic(M, K), blocks, rtol=1e-9)
        outer = np.stack([np.kron(V[i], Z[i]) for i in range(23)])
        np.testing.assert_allclose(design.outer(V, slice(None)), outer, atol=1e-12)
        flat = S[:, :, :q].reshape(4, -1)
        for rows in (slice(5, 17), np.array([4, 0, 22])):
            got = design.contract(S[:, :, :q].copy(), V[rows], rows)
            np.testing.assert_allclose(got, flat @ outer[rows].T, atol=1e-11)
            out = np.empty((4, got.shape[1]))
            design.contract(S[:, :, :q].copy(), V[rows], rows, out=out)
            np.testing.assert_array_equal(out, got)
        Y, lift, lower, _ = design.row_space(np.full(5, 0.5))
        np.testing.assert_allclose(Y @ Y.T, 0.5 * Z[:, :5] @ Z[:, :5].T, atol=1e-10)
        D = rng.normal(size=(Y.shape[1], 2))
        np.testing.assert_allclose(Z[:, :5] @ lift(D), Y @ D, atol=1e-9)
        c = rng.normal(size=(5, 2))
        np.testing.assert_allclose(Y @ lower(c), Z[:, :5] @ c, atol=1e-9)


@pytest.mark.parametrize("narrow", [0, 128])
def test_class_blocks_together_and_one_by_one(narrow, monkeypatch):
    monkeypatch.setattr("skinfluence.design._dense.NARROW", narrow)
    monkeypatch.setattr("skinfluence.design._pairs.BLOCK_BYTES", 1)  # several blocks of 32 rows
    rng = np.random.default_rng(3)
    X, K = rng.normal(size=(101, 7)), 4
    Z = np.hstack([X, np.ones((101, 1))])
    roots = rng.normal(size=(101, K, K))
    W = roots + roots.transpose(0, 2, 1)  # of any sign
    design = make_design(X, True)
    H = design.sandwich(W)
    np.testing.assert_allclose(H, sum(np.kron(W[i], np.outer(Z[i], Z[i])) for i in range(101)))
    np.testing.assert_array_equal(H, H.T)
    blocks = np.einsum("ia,kamb,ib->ikm", Z, H.reshape(K, 8, K, 8), Z)
    np.testing.assert_allclose(design.block_quadratic(H, K), blocks, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("columns", ["plain", "intercept", "centred"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_class_blocks_by_panels_of_columns(columns, dtype, monkeypatch):
    monkeypatch.setattr("skinfluence.design._dense.NARROW", 0)
    monkeypatch.setattr("skinfluence.design._dense.MANY_ROWS", 1)
    monkeypatch.setattr("skinfluence.design._panels.ROWS", 32)
    monkeypatch.setattr("skinfluence.design._panels.GROUP_BYTES", 1)  # a panel a group
    rng = np.random.default_rng(4)
    n, q, K = 101, 23, 3
    X = np.asarray(np.where(rng.random((n, q)) < 0.1, rng.normal(size=(n, q)), 0.0), dtype=dtype)
    X[:, 8:12], X[40:75] = 0.0, 0.0  # no row counts in a panel; no panel counts in a block of rows
    shift = rng.normal(size=q) if columns == "centred" else None
    ones = np.ones((n, int(columns != "plain")))
    Z = np.hstack([X - (0.0 if shift is None else shift), ones])
    roots = rng.normal(size=(n, K, K))
    W = roots + roots.transpose(0, 2, 1)  # of any sign
    design = make_design(X, columns != "plain")
    design.origin = shift
    used = []
    for name in ("panel_sandwich", "panel_quadratic"):
        own = getattr(dense_module, name)
        monkeypatch.setattr(
            dense_module, name, lambda *a, own=own: used.append(own.__name__) or own(*a)
        )
    H = design.sandwich(W)
    expected = np.einsum("ikm,ia,ib->kamb", W, Z, Z).reshape(H.shape)
    np.testing.assert_allclose(H, expected, atol=1e-10)
    np.testing.assert_array_equal(H, H.T)
    blocks = np.einsum("ia,kamb,ib->ikm", Z, H.reshape(K, Z.shape[1], K, -1), Z)
    np.testing.assert_allclose(design.block_quadratic(H, K), blocks, rtol=1e-9, atol=1e-9)
    few_zeros = columns == "centred"
    assert used == ["panel_sandwich", "panel_quadratic"][few_zeros:]
    assert design.block_quadratic(H, K).shape == (n, K, K)
    assert design.take(np.arange(0)).block_quadratic(H, K).shape == (0, K, K)


@pytest.mark.parametrize("order", ["C", "F"])
def test_more_rows_than_two_blocks(order):
    rng = np.random.default_rng(0)
    n = 2 * dense_module.BLOCK_ROWS + 100
    X, w = rng.normal(size=(n, 3)).copy(order), rng.uniform(size=n)
    design, Z, T = make_design(X, True), np.c_[X, np.ones(n)], np.triu(rng.normal(size=(4, 4)))
    np.testing.assert_allclose(design._gram(w), Z.T @ (w[:, None] * Z), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(design.row_norms(T), ((Z @ T) ** 2).sum(axis=1), rtol=1e-10)


@pytest.mark.parametrize("q", [1, 7, 8, 19, 20, 55, 56, 57, 63, 64, 71, 127, 128, 129, 200])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("origin", [False, True])
def test_row_norms_of_every_panel(q, fit_intercept, origin):
    rng = np.random.default_rng(q)
    X = rng.normal(size=(37, q - fit_intercept))
    away = rng.normal(size=X.shape[1]) if origin else None
    design, T = dense_module.DenseDesign(X, fit_intercept, away), np.triu(rng.normal(size=(q, q)))
    rows = X - away if origin else X
    Z = np.c_[rows, np.ones(37)] if fit_intercept else rows
    np.testing.assert_allclose(design.row_norms(T), ((Z @ T) ** 2).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("pairs", [0.0, 1e9])
def test_csr_gram_by_pairs_and_by_dense_blocks(pairs, monkeypatch):
    monkeypatch.setattr("skinfluence.design._csr.DENSE_PAIRS", pairs)
    monkeypatch.setattr("skinfluence.design._csr.BLOCK_ROWS", 9)
    rng = np.random.default_rng(3)
    X, w = sp.random(40, 12, 0.4, "csr", random_state=rng), rng.normal(size=40)
    for fit_intercept in (True, False):
        design = make_design(X, fit_intercept)
        Z = design.dense(slice(None))
        np.testing.assert_allclose(design._gram(w), Z.T @ (w[:, None] * Z), atol=1e-12)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_triangles_by_blocks(size):
    rng = np.random.default_rng(size)
    A = rng.normal(size=(size, size + 3))
    H, V = A @ A.T + np.eye(size), rng.normal(size=(size, 4))
    R = cholesky(H)
    np.testing.assert_allclose(R.T @ R, H, rtol=1e-10, atol=1e-10)
    expected = np.linalg.solve(H, V)
    tolerance = 1e-13 * np.linalg.cond(H)
    np.testing.assert_allclose(cholesky_solve(R, V), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(inverse_factor(R) @ R, np.eye(size), atol=tolerance)
    with pytest.raises(np.linalg.LinAlgError, match="singular triangular"):
        cholesky_solve(np.zeros((size, size)), V)
    assert cholesky(-H) is None


def test_csr_duplicates_and_order():
    X = sp.csr_matrix(
        (np.array([1.0, 2.0, 4.0, 3.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(2, 3)
    )
    design, Z = make_design(X, True), np.hstack([X.toarray(), np.ones((2, 1))])
    M = np.arange(16.0).reshape(4, 4)
    M = M + M.T
    np.testing.assert_allclose(design.row_quadratic(M), np.einsum("ij,jk,ik->i", Z, M, Z))
    np.testing.assert_allclose(design._gram(np.array([0.5, -2.0])), Z.T @ np.diag([0.5, -2.0]) @ Z)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 40, 600])
def test_inverse_and_condition_of_a_cholesky_factor(size, threads, monkeypatch):
    monkeypatch.setattr("skinfluence._backend._dense.n_threads", lambda: threads)
    B = np.random.default_rng(0).normal(size=(size + 5, size))
    H = B.T @ B + 0.1 * np.eye(size)
    scale, norm = unit_norm(H)
    unit = scale[:, None] * H * scale
    np.testing.assert_allclose(norm, np.linalg.norm(unit, 1))
    R, own = cholesky(H), H.copy()
    over = cholesky(own, overwrite=True)
    np.testing.assert_array_equal(over, R)
    assert np.shares_memory(over, own) == (threads == 1)
    kept = R.copy()
    inverse = cholesky_inverse(R)
    np.testing.assert_array_equal(R, kept)
    np.testing.assert_array_equal(inverse, inverse.T)
    np.testing.assert_allclose(H @ inverse, np.eye(size), atol=1e-8)
    rcond = 1.0 / np.linalg.cond(unit, 1)
    assert rcond * (1 - 1e-8) <= reciprocal_condition(R, scale, norm) <= 3 * rcond


@pytest.mark.parametrize("large", [1, 10**9])
def test_a_curvature_that_is_factored_in_place_falls_back_alike(large, monkeypatch):
    monkeypatch.setattr("skinfluence.curvature._dense.LARGE", large)
    year = np.arange(1950.0, 2021.0)
    X, y = np.c_[year, year**2, year**3], np.sin(year)
    objective = fitted_problem(InfluenceLinearRegression().fit(X, y)).objective
    curvature, Z = DenseCurvature(objective), objective.design.dense(slice(None))
    assert curvature.by_rows
    leverage = curvature.leverage().quadratic[:, 0, 0]
    np.testing.assert_allclose(leverage, (np.linalg.qr(Z)[0] ** 2).sum(axis=1), rtol=1e-6)
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(8, 12)), rng.normal(size=8)
    objective = fitted_problem(InfluenceLinearRegression().fit(X, y)).objective
    with pytest.raises(np.linalg.LinAlgError, match="rank 8 of 13"):
        DenseCurvature(objective)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_curvature_against_the_dense_inverse(name, kind):
    _X, y, _w, clf = build(name)
    objective = clf.__fitted_problem__().objective
    if kind == "dual" and not (objective.penalty.strength > 0).any():
        with pytest.raises(ValueError, match="columns with an L2 penalty"):
            make_curvature(objective, kind)
        return
    K, H = objective.n_outputs, hessian(objective)
    rng = np.random.default_rng(0)
    V = rng.normal(size=(K, H.shape[0] // K, 3))
    if K > 1:  # gradients of the softmax have no component in the gauge
        V -= V.mean(axis=0)
    V = V.reshape(-1, 3)
    curvature = make_curvature(objective, kind)
    inverse = np.linalg.pinv(H, rcond=1e-13, hermitian=True)
    tight = 1e-6 if kind == "cg" else 1e-8
    scale = np.abs(inverse @ V).max()
    np.testing.assert_allclose(curvature.solve(V), inverse @ V, atol=tight * scale)
    np.testing.assert_allclose(curvature.solve(V), curvature.solve(V), rtol=0, atol=0)
    np.testing.assert_allclose(curvature.solve(curvature @ V), V, atol=1e-6)
    Z = objective.design.dense(slice(None))
    leverage = curvature.leverage()
    L = objective.weight_roots
    null = np.eye(K) - np.full((K, K), 1 / K) if K > 1 else np.eye(1)
    for i in range(0, len(y), 7):
        unit = np.kron(null, Z[i][:, None])
        A = unit.T @ inverse @ unit
        got = null @ leverage.quadratic[i] @ null
        np.testing.assert_allclose(got, A, atol=tight * max(1.0, np.abs(A).max()))
        expected = np.eye(K) - L[i].T @ leverage.quadratic[i] @ L[i]
        np.testing.assert_allclose(leverage.one_minus[i], expected, atol=1e-7)
    some = curvature.leverage(np.array([5, 2]))
    np.testing.assert_allclose(some.quadratic, leverage.quadratic[[5, 2]], rtol=1e-5, atol=1e-9)


def test_the_residual_is_that_of_a_solve_whatever_was_asked_before(monkeypatch):
    objective = build("binary")[3].__fitted_problem__().objective
    assert make_curvature(objective, "dense").residual == 0.0
    asked, fresh = make_curvature(objective, "cg"), make_curvature(objective, "cg")
    asked.solve(np.eye(objective.n_parameters))
    assert asked.residual == fresh.residual <= 1e-10
    monkeypatch.setattr("skinfluence.curvature._cg.MAX_ITERATIONS", 0)
    with pytest.warns(ConvergenceWarning, match="relative residual of 1"):
        assert make_curvature(objective, "cg").residual == pytest.approx(1.0)


def test_damping_is_added_to_the_whole_diagonal():
    objective = build("binary")[3].__fitted_problem__().objective
    H = hessian(objective) + 0.7 * np.eye(objective.n_parameters)
    V = np.eye(objective.n_parameters)
    for kind in KINDS:
        curvature = make_curvature(objective, kind, damping=0.7)
        np.testing.assert_allclose(curvature.solve(V), np.linalg.inv(H), atol=1e-8)


def test_dual_keeps_the_digits_of_one_minus_a_leverage_near_one():
    X, y = problem(seed=3, n=12, p=30)
    X[4] *= 1e5
    objective = InfluenceLogisticRegression(C=10.0).fit(X, y).__fitted_problem__().objective
    dual, dense = (make_curvature(objective, kind).leverage() for kind in ("dual", "dense"))
    np.testing.assert_allclose(dual.one_minus, dense.one_minus, rtol=1e-6)


def test_dual_keeps_the_little_that_a_heavy_row_moves():
    X, y = problem(seed=3, n=12, p=30)
    weight = np.where(np.arange(12) < 6, 1e6, 1.0)
    model = InfluenceRidge(alpha=0.05, fit_intercept=False)
    model.fit(X, y.astype(float), sample_weight=weight)
    objective = model.__fitted_problem__().objective
    right = objective.design.outer(np.ones((1, 1)), np.array([0])).T
    moved = weight * (objective.design @ make_curvature(objective, "dual").solve(right))[:, 0]
    # W z'H^-1 z_0 is e_0 - B^-1 e_0 with B = I + W K, where nothing cancels.
    expected = -np.linalg.inv(np.eye(12) + weight[:, None] * (X @ X.T / 0.05))[:, 0]
    expected[0] += 1.0
    np.testing.assert_allclose(moved, expected, atol=1e-9)


@pytest.mark.parametrize(("kind", "n_classes"), [("dual", 2), ("dual", 3), ("cg", 2), ("cg", 3)])
def test_woodbury_keeps_them_of_a_row_that_settles_the_intercept_alone(kind, n_classes):
    rng = np.random.default_rng(3)
    X, y = sp.csr_array(rng.normal(size=(12, 30))), np.arange(12) % n_classes
    weight = np.full(12, 1e-7)
    weight[4] = 1e6
    model = InfluenceLogisticRegression(C=1e-5).fit(X, y, sample_weight=weight)
    objective = model.__fitted_problem__().objective
    objective = objective.at(np.zeros_like(objective.theta))  # where every class has curvature
    found, dense = (make_curvature(objective, name).leverage() for name in (kind, "dense"))
    least, wanted = (np.linalg.eigvalsh(each.one_minus)[:, 0] for each in (found, dense))
    assert wanted[4] < 1e-11
    # Of a block with entries of 1 the least eigenvalue is known to eps.
    np.testing.assert_allclose(least, wanted, rtol=1e-6, atol=0 if n_classes == 2 else 1e-15)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_products_keep_them_where_a_row_is_nearly_alone(storage):
    X, y = problem(seed=3, n=12, p=3)
    weight = np.full(12, 1e-6)
    weight[4] = 1e6
    model = InfluenceLogisticRegression(C=1e-6).fit(storage(X), y, sample_weight=weight)
    objective = model.__fitted_problem__().objective
    found, dense = (make_curvature(objective, kind).leverage() for kind in ("cg", "dense"))
    assert dense.one_minus[4, 0, 0] < 1e-10
    np.testing.assert_allclose(found.one_minus, dense.one_minus, rtol=1e-6)


@pytest.mark.parametrize("kind", ["dense", "dual", "cg"])
@pytest.mark.parametrize("name", ["binary", "softmax"])
def test_solves_of_no_column(name, kind):
    objective = build(name)[3].__fitted_problem__().objective
    found = make_curvature(objective, kind).solve(np.zeros((objective.n_parameters, 0)))
    assert found.shape == (objective.n_parameters, 0)


def test_dense_keeps_the_digits_of_one_minus_a_leverage_near_one():
    X, y = problem(seed=3, n=12, p=3)
    X[4] *= 1e5
    model = InfluenceRidge(alpha=0.5, fit_intercept=False).fit(X, y)
    found = make_curvature(model.__fitted_problem__().objective, "dense").leverage()
    rest = np.delete(X, 4, axis=0)
    a = X[4] @ np.linalg.solve(rest.T @ rest + 0.5 * np.eye(3), X[4])
    np.testing.assert_allclose(found.one_minus[4], 1.0 / (1.0 + a), rtol=1e-10)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_dense_keeps_them_of_a_heavy_row(n_classes, storage):
    X, y = problem(seed=0, n=12, p=3)
    weight, y = np.ones(12), np.arange(12) % n_classes
    weight[4] = 1e6
    model = InfluenceLogisticRegression(fit_intercept=False).fit(storage(X), y, weight)
    objective = model.__fitted_problem__().objective
    objective = objective.at(np.zeros_like(objective.theta))  # where W of all rows is one share
    curvature = make_curvature(objective, "dense")
    share = 0.25 if n_classes == 2 else 1 / 3
    rest = np.eye(3) + share * np.delete(X, 4, axis=0).T @ np.delete(X, 4, axis=0)
    wanted = 1.0 / (1.0 + share * 1e6 * X[4] @ np.linalg.solve(rest, X[4]))
    assert not curvature.by_rows
    for block in (curvature.leverage().one_minus[4], curvature.leverage([4]).one_minus[0]):
        least = np.linalg.eigvalsh(block)[: n_classes - 1]
        np.testing.assert_allclose(least, wanted, rtol=1e-8)


def test_hardly_penalised_columns_do_not_drown_the_kernel():
    X, y = problem(seed=3, n=12, p=30)
    options = {"solver": "liblinear", "intercept_scaling": 1e6, "max_iter": 10_000}
    model = InfluenceLogisticRegression(**options).fit(X, y)
    objective = model.__fitted_problem__().objective
    strength = objective.penalty.strength
    assert 0 < strength.min() < 1e-10 * strength.max()
    V = np.random.default_rng(0).normal(size=(31, 2))
    H = hessian(objective)
    np.testing.assert_allclose(
        make_curvature(objective, "dual").solve(V), np.linalg.solve(H, V), 1e-8
    )


def test_singular_and_indefinite_curvature_say_why():
    objective = build("binary-unpenalised")[3].__fitted_problem__().objective
    X = objective.design.X.copy()
    X[:, 3] = X[:, 0] + X[:, 1]
    singular = type(objective)(
        objective.loss,
        make_design(X, True),
        objective.y,
        objective.sample_weight,
        objective.penalty,
        objective.theta,
    )
    with pytest.raises(np.linalg.LinAlgError, match=r"rank 4 of 5.*column 0, column 1, column 3"):
        make_curvature(singular, "dense")
    with pytest.raises(np.linalg.LinAlgError, match="singular: columns that are not penalised"):
        make_curvature(singular, "cg")
    assert np.isfinite(make_curvature(singular, "cg", damping=1e-6).residual)
    flipped = objective.reweighted(-2 * objective.sample_weight)
    with pytest.raises(np.linalg.LinAlgError, match="indefinite"):
        make_curvature(flipped, "dense")
    with pytest.raises(np.linalg.LinAlgError):
        make_curvature(flipped, "cg")


def sized(n, q, stored, strength=1.0, n_outputs=1):
    """What `choose` reads of an objective of a given size."""
    return SimpleNamespace(
        n_rows=n,
        n_curved=n,
        loss=SimpleNamespace(is_separable=False),
        n_outputs=n_outputs,
        n_parameters=q * n_outputs,
        design=SimpleNamespace(shape=(n, q), n_stored=stored, has_row_operator=False),
        penalty=L2(np.r_[np.full(q - 1, strength), 0.0]),
        has_real_roots=True,
    )


def test_choice_counts_flops_and_memory(monkeypatch):
    monkeypatch.setattr("skinfluence.curvature._choose.memory_budget", lambda: 8 * 2**30)
    for objective, n_solves, kind, reason in (
        (sized(1000, 20, 20_000), 1000, "dense", "fewest flops"),
        (sized(500, 5000, 2_500_000), 500, "dual", "fewest flops"),
        (sized(500, 5000, 2_500_000, strength=0.0), 500, "dense", "the only factorisation"),
        (sized(10_000, 100_000, 500_000), 10_000, "dual", "the only factorisation"),
        (sized(10_000, 100_000, 500_000), 5, "cg", "cost less than factoring"),
        (sized(20_000, 100_000, 500_000), 20_000, "cg", "no factorisation fits"),
    ):
        choice = choose(objective, n_solves)
        assert choice.kind == kind
        assert reason in choice.reason
        assert set(choice.flops) == set(choice.memory) == set(KINDS)
    tight = choose(sized(10_000, 100_000, 500_000), 10_000, budget=2**30)
    assert (tight.kind, tight.reason) == ("cg", "no factorisation fits in memory")


def test_choice_counts_the_memory_of_every_output():
    outputs, one = 5, sized(1000, 400, 400_000)
    several = SimpleNamespace(
        loss=SimpleNamespace(is_separable=True), n_outputs=outputs, output=lambda k: one
    )
    memory = choose(one, 1000).memory["dense"]
    assert choose(several, 5000).memory["dense"] == outputs * memory
    assert choose(several, 5000, budget=outputs * memory).kind == "dense"
    assert choose(several, 5000, budget=outputs * memory - 1).kind == "cg"


def test_memory_blocks_change_nothing():
    objective = build("softmax")[3].__fitted_problem__().objective
    whole = make_curvature(objective, "cg").leverage()
    with config_context(working_memory=0.001):
        parts = make_curvature(objective, "cg").leverage()
    np.testing.assert_allclose(parts.quadratic, whole.quadratic, atol=1e-8)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_kernel_of_sparse_rows(fit_intercept):
    rng = np.random.default_rng(3)
    X = sp.random(150, 90, density=0.1, random_state=3, format="csr")
    X.indices[: X.indptr[1]] = X.indices[: X.indptr[1]][::-1]  # unsorted entries of the first row
    X.data[: X.indptr[1]] = X.data[: X.indptr[1]][::-1]
    scale = rng.uniform(0.5, 2.0, 90 + fit_intercept)
    Z = np.hstack([X.toarray(), np.ones((150, int(fit_intercept)))])
    found = make_design(X, fit_intercept).kernel(scale)
    np.testing.assert_allclose(found, (Z * scale) @ Z.T, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)


def test_a_pickle_of_sparse_rows_has_each_entry_once():
    design = make_design(sp.random(300, 200, density=0.1, random_state=0, format="csr"), True)
    before = len(pickle.dumps(design))
    design.transpose_matmul(np.ones(300))
    assert len(pickle.dumps(design)) == before


def test_a_truncated_direction_is_as_good_as_its_tolerance():
    rng = np.random.default_rng(5)
    X = sp.random(900, 2000, density=0.01, random_state=5, format="csr")
    y = (X @ rng.normal(size=2000) + 0.1 * rng.normal(size=900) > 0).astype(int)
    objective = fitted_problem(InfluenceLogisticRegression().fit(X, y)).objective
    V = rng.normal(size=(2001, 1))
    exact = make_curvature(objective, "dual").solve(V)
    steps = make_step_curvature(objective)  # fewer flops than a factor
    for tolerance in (1e-2, 1e-6):
        found = steps.rough_solve(V, tolerance)
        residual = make_curvature(objective, "dual") @ found - V
        assert 1e-3 * tolerance < np.linalg.norm(residual) / np.linalg.norm(V) < 10 * tolerance
    np.testing.assert_allclose(steps.solve(V), exact, atol=1e-7)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_one_column_of_sparse_rows_is_solved_for_as_several_are(fit_intercept, index):
    rng = np.random.default_rng(7)
    X = sp.random(200, 500, density=0.03, random_state=7, format="csr")
    X = sp.vstack([X, sp.csr_matrix((1, 500))], format="csr")  # a row without entries
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    y = (X @ rng.normal(size=500) > 0).astype(int)
    weight = rng.uniform(0.5, 2.0, 201)
    clf = InfluenceLogisticRegression(fit_intercept=fit_intercept).fit(X, y, weight)
    objective = fitted_problem(clf).objective
    V = rng.normal(size=(objective.n_parameters, 2))
    exact = make_curvature(objective, "dense").solve(V)
    for deflate in (True, False):  # with 24 leading vectors, and with the intercept at most
        products = CGCurvature(objective, deflate=deflate)
        one = np.hstack([products.solve(V[:, [k]]) for k in (0, 1)])
        np.testing.assert_allclose(one, exact, atol=1e-8)
        np.testing.assert_allclose(products.solve(V), exact, atol=1e-8)
    undefined = products.solve(np.full((objective.n_parameters, 1), np.nan))
    assert np.isnan(undefined).all()
    assert not products.solve(np.zeros((objective.n_parameters, 1))).any()


def test_a_direction_of_negative_curvature_is_an_error():
    X = sp.random(50, 90, density=0.1, random_state=0, format="csr")
    clf = InfluenceLogisticRegression().fit(X, np.arange(50) % 2)
    objective = fitted_problem(clf).objective
    products = CGCurvature(objective, deflate=False)
    vars(products.objective)["weights"] = -1e3 * objective.weights
    for columns in (1, 2):
        with pytest.raises(np.linalg.LinAlgError, match="indefinite"):
            products.solve(np.ones((objective.n_parameters, columns)))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_dual_factor_in_float32_has_four_digits_of_the_leverages(sparse, fit_intercept):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1050, 1300)) * (rng.random((1050, 1300)) < 0.1)
    y = X @ rng.normal(size=1300) + 0.5 > 0
    X = sp.csr_array(X) if sparse else X
    models = [
        InfluenceLogisticRegression(C=C, fit_intercept=fit_intercept).fit(X, y) for C in (0.1, 1.0)
    ]
    weak, strong = (fitted_problem(model).objective for model in models)
    beside = make_curvature(weak, single=True)
    rough, full = make_curvature(strong, single=True, beside=beside), make_curvature(strong)
    assert full.kind == rough.kind == "dual"
    assert full.has_all_digits
    assert not rough.has_all_digits
    assert rough.base_kernel.dtype == np.float32
    assert rough.base_kernel is beside.base_kernel
    a, b = rough.leverage(), full.leverage()
    np.testing.assert_allclose(a.one_minus, b.one_minus, rtol=3e-4)
    np.testing.assert_allclose(a.quadratic, b.quadratic, rtol=3e-3)
    V = rng.normal(size=(strong.n_parameters, 2))
    np.testing.assert_allclose(
        rough.solve(V), full.solve(V), atol=1e-4 * np.abs(full.solve(V)).max()
    )
    # The kernel of the other strength is scaled, not computed again.
    rows = np.arange(0, 1050, 50)
    np.testing.assert_allclose(
        rough.kernel_columns(rows), full.kernel_columns(rows), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("intercept", [True, False])
def test_own_predictors_of_a_dual_solution_are_right_also_of_rows_of_little_curvature(intercept):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(30, 60)), rng.integers(0, 2, 30)
    weight = np.where(np.arange(30) < 4, 1e-12, 1.0)
    weight[29] = 0.0
    clf = InfluenceLogisticRegression(C=5.0, fit_intercept=intercept).fit(X, y, weight)
    objective = fitted_problem(clf).objective
    design, slopes = objective.design.take(np.arange(5, 9)), rng.normal(size=(4, 1))
    dual, dense = DualCurvature(objective), DenseCurvature(objective)
    H = dense @ np.eye(objective.n_parameters)
    Z = objective.design.dense(slice(None))
    expected = Z @ np.linalg.solve(H, (slopes * design.dense(slice(None))).T)
    found = dual.own_products(design, slopes)[:, 0]
    for rows in (slice(0, 4), slice(4, None)):
        scale = np.abs(expected[rows]).max()
        np.testing.assert_allclose(found[rows], expected[rows], rtol=0, atol=1e-11 * scale)
    assert np.abs(dual.inner.weights[:4]).max() < 1e-11 * dual.inner.weights.max()
