"""What a changed sign, bound or index of objectives and designs would break.

Each answer against its formula, at sizes at which blocks of rows are uneven.
"""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics.pairwise import rbf_kernel

from skinfluence import InfluenceLogisticRegression
from skinfluence import _kernels as kernels
from skinfluence.blocks import as_blocks
from skinfluence.design import (
    DenseDesign,
    FeatureDesign,
    KernelGradients,
    KernelSpace,
    column_dependence,
    make_design,
    named_kernel,
)
from skinfluence.design import _csr as csr_module
from skinfluence.design import _dense as dense_module
from skinfluence.design import _kernel as kernel_module
from skinfluence.design import _panels as panels_module
from skinfluence.losses import (
    BinaryLogLoss,
    MultinomialLogLoss,
    OneVsOneLoss,
    SmoothHingeLoss,
    TweedieLoss,
)
from skinfluence.objective import Objective, _parts, row_sums
from skinfluence.objective import _objective as objective_module
from skinfluence.penalties import L2
from skinfluence.problem import fitted_problem
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, weights
from tests.test_blocks import pieces


def objective_of(n_classes=2, n=40, p=4, **options):
    """Objective of a weighted logistic regression."""
    X, y = problem(n=n, p=p, n_classes=n_classes)
    clf = InfluenceLogisticRegression(**options).fit(X, y, sample_weight=weights(0, n))
    return fitted_problem(clf).objective


def bent_down(X, y, strength=0.0):
    """Objective of normal responses of mean exp(eta): a row of y > 2 exp(eta) bends downwards."""
    q = X.shape[1] + 1
    theta = 0.1 * np.random.default_rng(1).normal(size=(1, q))
    penalty = L2(np.full(q, strength))
    return Objective(TweedieLoss(0), make_design(X, True), y, weights(0, len(y)), penalty, theta)


# -- objectives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["memory", "blocks"])
def test_sums_over_the_rows_are_those_of_all_parts(storage, monkeypatch):
    monkeypatch.setattr(_parts, "PART_BYTES", 1)
    monkeypatch.setattr(_parts, "FEWEST_ROWS", 16)
    X, y = np.random.default_rng(0).normal(size=(90, 3)), np.where(np.arange(90) < 40, 1.0, 9.0)
    objective = bent_down(X if storage == "memory" else as_blocks(X, block_rows=35), y)
    Z, w, mu = np.c_[X, np.ones(90)], objective.sample_weight, np.exp(objective.eta[:, 0])
    slope, curvature = w * mu * (mu - y), w * mu * (2 * mu - y)
    found = row_sums(objective)
    assert found.loss == pytest.approx(0.5 * w @ (y - mu) ** 2, rel=1e-10)
    np.testing.assert_allclose(found.gradient[0], Z.T @ slope, rtol=1e-10)
    np.testing.assert_allclose(found.hessian, Z.T @ (curvature[:, None] * Z), rtol=1e-10)
    assert (found.terms >= np.abs(Z).T @ np.abs(slope) * (1 - 1e-12)).all()
    assert found.n_curved == 90
    assert not found.is_convex
    up = row_sums(objective.take(np.arange(40)))
    assert up.is_convex
    assert not up.plus(found).is_convex
    terms = np.full((1, 4), 7.0)
    again = row_sums(objective, terms)
    np.testing.assert_array_equal(again.terms, terms)
    np.testing.assert_array_equal(again.hessian, found.hessian)


def test_rows_of_no_weight_add_nothing_even_where_they_are_infinite():
    objective = objective_of().without(3).without(17)
    w, values = objective.sample_weight, np.random.default_rng(0).normal(size=(40, 2))
    values[[3, 17]] = np.inf, np.nan
    expected = w[:, None] * np.where(w[:, None] > 0, values, 0.0)
    np.testing.assert_array_equal(objective.weigh(values), expected)
    np.testing.assert_array_equal(objective.weigh(values.T, axis=1), expected.T)
    np.testing.assert_array_equal(objective.weigh(values.T, axis=-1), expected.T)


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_an_intercept_may_be_lost_where_a_millionth_of_its_curvature_is_left(share):
    X, y = problem(n=30, p=2)
    model = SmoothHingeSVC(temperature=0.4).fit(X, y, sample_weight=weights(0, 30))
    objective, rows = fitted_problem(model).objective, np.arange(0, 30, 3)
    curvature, total = objective.weights[:, 0, 0], objective.sample_weight.sum()
    np.testing.assert_allclose(objective.intercept_curvatures, [0.4 * curvature.sum() / total])
    left = curvature.sum() - curvature
    change = 0.4 * np.log(0.4 * left / (1e-6 * total))  # exp(-change / 0.4) is left
    found = objective.may_lose_intercepts(rows, share * change[rows])
    np.testing.assert_array_equal(found, share > 1)
    smooth = objective_of()  # curved everywhere
    assert not smooth.may_lose_intercepts(rows, np.full(10, 100.0)).any()


def test_objectives_of_the_outputs_add_up_to_that_of_all():
    X, y = problem(n=40, p=3, n_classes=3)
    loss, rng = OneVsOneLoss(SmoothHingeLoss(0.5), 3), np.random.default_rng(0)
    theta, strength = rng.normal(size=(3, 4)), rng.uniform(size=(3, 4))
    w, offset = weights(0, 40), rng.normal(size=(40, 3))
    row_penalty = L2(rng.uniform(size=(3, 4)))
    objective = Objective(
        loss, make_design(X, True), y, w, L2(strength), theta, None, row_penalty, offset=offset
    )
    assert objective.output(0).sample_weight.sum() == pytest.approx(w[y != 2].sum())
    # A row takes its share of the common penalty in the pairs of its class.
    pairs = np.array([w[y != left_out].sum() for left_out in (2, 1, 0)])
    missing = 0.5 * ((w.sum() - pairs)[:, None] * row_penalty.strength * theta**2).sum()
    parts = [objective.output(k) for k in range(3)]
    assert sum(part.value for part in parts) + missing == pytest.approx(objective.value)
    added = (w.sum() - pairs)[:, None] * row_penalty.strength * theta
    gradient = np.concatenate([part.gradient for part in parts])
    np.testing.assert_allclose(gradient + added, objective.gradient, rtol=1e-10)


def test_gradients_are_zero_where_a_parameter_is_fixed_at_zero():
    objective = objective_of(n_classes=3)._with(penalty=L2(np.array([1.0, np.inf, 2.0, 1.0, 0.0])))
    stack = np.random.default_rng(0).normal(size=(2, 7, 3, 5))
    expected = stack.copy()
    expected[..., 1] = 0.0
    np.testing.assert_array_equal(objective.freed(stack), expected)
    np.testing.assert_array_equal(objective.gradient[:, 1], 0.0)


def test_a_reweighted_objective_has_the_sum_of_the_weights():
    objective, delta = objective_of(), weights(1, 40)
    objective.residuals.sum()  # kept with the objective, and not to be taken over
    again = objective.reweighted(delta)
    w, Z = objective.sample_weight + delta, objective.design.dense(slice(None))
    penalty = objective.penalty.gradient(objective.theta)
    expected = (w[:, None] * objective.row_gradients).T @ Z + penalty
    np.testing.assert_allclose(again.gradient, expected, rtol=1e-10)
    value = w @ objective.row_losses + objective.penalty.value(objective.theta)
    assert again.value == pytest.approx(value, rel=1e-12)


def test_least_squares_of_an_objective_are_those_of_its_first_column():
    objective, rng = objective_of(), np.random.default_rng(0)
    for offset in (None, rng.normal(size=(40, 1))):
        found = objective._with(offset=offset).least_squares()
        residual = objective.design @ objective.theta[0] - objective.y
        residual += 0.0 if offset is None else offset[:, 0]
        assert found.loss_sum == pytest.approx(0.5 * objective.sample_weight @ residual**2)


def test_rows_in_memory_are_their_own_description():
    objective = objective_of()
    assert objective.described()() is objective


@pytest.mark.parametrize("class_weight", [None, {0: 2.0, 1: 0.5}])
@pytest.mark.parametrize("are_read", [False, True])
def test_a_worker_makes_an_objective_anew_from_what_its_rows_are_read_from(are_read, class_weight):
    X, y = problem(n=60, p=3)
    source = as_blocks(pieces(X, y, 25, 40)) if are_read else as_blocks(X, y, block_rows=25)
    model = InfluenceLogisticRegression(class_weight=class_weight).fit(source)
    objective = fitted_problem(model).objective
    again = objective.described()()
    assert again is not objective
    np.testing.assert_array_equal(again.y, y)
    weight = np.ones(60) if class_weight is None else np.where(y == 0, 2.0, 0.5)
    np.testing.assert_array_equal(again.sample_weight, weight)
    np.testing.assert_array_equal(again.eta, objective.at(objective.theta).eta)


def test_blocks_of_weights_fill_the_bytes_they_may_take(monkeypatch):
    """K x K numbers a row."""
    softmax = objective_of(n_classes=3)
    monkeypatch.setattr(objective_module, "KEPT_BYTES", 0)
    monkeypatch.setattr(objective_module, "BLOCK_BYTES", 8 * 3 * 3 * 15)
    assert [len(rows) for _, rows in softmax.weight_blocks(np.arange(1, 36))] == [15, 15, 5]


@pytest.mark.parametrize(("p", "n_classes"), [(255, 2), (127, 3)])
def test_a_part_of_the_rows_is_two_megabytes_of_what_is_known_of_them(p, n_classes):
    rng, K = np.random.default_rng(0), 1 if n_classes == 2 else n_classes
    loss = BinaryLogLoss() if K == 1 else MultinomialLogLoss(K)
    design, y = make_design(rng.normal(size=(9, p)), True), np.arange(9) % n_classes
    penalty, theta = L2(np.ones(p + 1)), np.zeros((K, p + 1))
    n_rows = _parts.part_rows(Objective(loss, design, y, np.ones(9), penalty, theta))
    size = 8 * K * (p + 1)
    assert n_rows * size <= 2**21 < (n_rows + 1) * size


def test_products_with_many_vectors_are_by_the_weights_that_are_kept(monkeypatch):
    """A softmax multiplies one vector by its curvatures without them, in fewer flops."""
    objective, calls = objective_of(n_classes=3), []
    matmul = type(objective.loss).curvature_matmul
    monkeypatch.setattr(
        type(objective.loss),
        "curvature_matmul",
        lambda self, state, U: calls.append(U.shape[2]) or matmul(self, state, U),
    )
    V = np.random.default_rng(0).normal(size=(15, 6))
    many = objective.hessian_matmul(V)
    assert calls == []
    np.testing.assert_allclose(objective.hessian_matmul(V[:, :1]), many[:, :1], rtol=1e-10)
    assert set(calls) == {1}


# -- designs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("kind", ["plain", "float32", "centred"])
def test_blocks_of_rows_of_which_the_last_is_shorter(kind, fit_intercept, monkeypatch):
    for name in ("BLOCK_ROWS", "PASS_ROWS", "NORM_ROWS", "SINGLE_ROWS"):
        monkeypatch.setattr(dense_module, name, 8)
    monkeypatch.setattr(dense_module, "PASS_BYTES", 8 * 8 * 6)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(23, 5)).astype(np.float32 if kind == "float32" else np.float64)
    origin = rng.normal(size=5) if kind == "centred" else None
    design = DenseDesign(X, fit_intercept, origin)
    Z = np.hstack([X - (0.0 if origin is None else origin), np.ones((23, int(fit_intercept)))])
    q = Z.shape[1]
    V, U, T = rng.normal(size=(q, 3)), rng.normal(size=(23, 3)), rng.normal(size=(q, q))
    w = np.r_[rng.uniform(size=8), -rng.uniform(size=8), rng.normal(size=7)]
    eta, back, beside = design.forward_back_beside(V, lambda rows, eta: eta * U[rows], T)
    single = design.in_single_precision()
    rounding = single.gram_rounding(np.abs(w))
    for got, expected in (
        (eta, Z @ V),
        (back, Z.T @ (Z @ V * U)),
        (beside, Z @ T),
        (design.transpose_matmul(U), Z.T @ U),
        (design.absolute_sum(U), np.abs(U).T @ np.abs(Z)),
        (design.squared_columns(U), U.T @ Z**2),
        (design._gram(w), Z.T @ (w[:, None] * Z)),
        (design._gram(np.abs(w)), Z.T @ (np.abs(w)[:, None] * Z)),
        (design._gram(np.full(23, -0.5)), -0.5 * Z.T @ Z),
        (single._gram(w), Z.T @ (w[:, None] * Z)),
        (design.row_norms(np.triu(T)), ((Z @ np.triu(T)) ** 2).sum(axis=1)),
        (design.row_quadratic(T + T.T), np.einsum("ij,jk,ik->i", Z, T + T.T, Z)),
        (
            design.squared_sums(T, U[:2, :1] + V.T[:2], V[:, 0])[0],
            (U[:2, :1] + V.T[:2]) @ (Z @ T).T ** 2,
        ),
        (design.squared_sums(T, V.T, V[:, 0])[1], Z @ T @ V[:, 0]),
        (design.row_squares(), (Z**2).sum(axis=1)),
        (design.kernel(V[:, 0] ** 2), (Z * V[:, 0] ** 2) @ Z.T),
        (np.vstack([part.dense(slice(None)) for _, part in design.parts(9)]), Z),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)
    off = single._gram(np.abs(w)) - Z.T @ (np.abs(w)[:, None] * Z)
    assert 0 < np.linalg.norm(off, 2) < rounding < 1e-5 * np.abs(w) @ (Z**2).sum(axis=1)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_a_design_about_an_origin_knows_parameters_about_zero(storage):
    rng = np.random.default_rng(0)
    X, origin = rng.normal(size=(30, 3)), np.array([0.0, 1e6, 0.0])
    X += origin
    design, theta = make_design(storage(X), True, origin), rng.normal(size=(1, 4))
    coef, intercept = design.unpack(theta)
    found = [design.functional(j) @ theta[0] for j in range(4)]
    np.testing.assert_allclose(found, [*coef[0], intercept[0]], rtol=1e-12)
    np.testing.assert_allclose(design @ theta[0], X @ coef[0] + intercept[0], atol=1e-8)
    w = weights(0, 30)
    size = np.sqrt(w @ (X[:, 1] - 1e6) ** 2 / w.sum())
    rounding = design.rounding(design.squared_columns(w[:, None]), np.array([w.sum()]))
    assert rounding == pytest.approx(np.finfo(float).eps * 1e6 / size, rel=1e-6)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_added_features_come_before_the_intercept(shape, fit_intercept):
    design = make_design(np.zeros((4, 3)), fit_intercept)
    array = np.random.default_rng(0).normal(size=(*shape, 3 + fit_intercept))
    own, end = array[..., :3], array[..., 3:]
    assert design.widened(array, 0) is array
    for value, added in ((0.5, np.full((*shape, 2), 0.5)), (None, own[..., [-1, -1]])):
        expected = np.concatenate([own, added, end], axis=-1)
        np.testing.assert_array_equal(design.widened(array, 2, value=value), expected)


def test_stored_entries_are_those_of_the_rows_and_the_ones():
    X = sp.random(30, 7, density=0.2, random_state=0, format="csr")
    assert [make_design(X, one).n_stored for one in (False, True)] == [X.nnz, X.nnz + 30]


def test_rows_in_memory_are_sent_to_workers():
    X = np.ones((4, 2))
    assert all(make_design(rows, True).can_be_sent for rows in (X, sp.csr_array(X)))


def test_a_gram_matrix_in_float32_is_so_whatever_the_weights():
    weight = np.random.default_rng(0).uniform(0.1, 0.9, size=30)
    design = make_design(np.random.default_rng(1).normal(size=(30, 4)), True).in_single_precision()
    found = design.sandwich(weight[:, None, None])
    np.testing.assert_array_equal(found, found.astype(np.float32))
    Z = design.dense(slice(None))
    np.testing.assert_allclose(found, (Z.T * weight) @ Z, rtol=1e-5, atol=1e-5)


def test_hashes_of_sparse_rows_copy_no_entries_that_are_float64_already():
    X, peak = sp.random(400, 500, density=0.5, random_state=0, format="csr"), {}
    for dtype in (np.float32, np.float64):
        design, multipliers = make_design(X.astype(dtype), False), np.arange(500, dtype=np.uint64)
        tracemalloc.start()
        try:
            design.row_hashes(multipliers, slice(None))
            peak[dtype] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak[np.float64] < peak[np.float32] - 7 * X.nnz


def test_threads_take_the_entries_of_their_own_rows(monkeypatch):
    """A compiled loop past its rows would write into those of another thread."""
    X = sp.random(50, 7, density=0.3, random_state=0, format="csr")
    design, M = make_design(X, True), np.random.default_rng(0).normal(size=(8, 8))
    Z, M, parts, own = design.dense(slice(None)), M + M.T, [], kernels.csr_row_quadratic
    monkeypatch.setattr(csr_module, "SHARED", 0)
    monkeypatch.setattr(csr_module, "n_threads", lambda: 3)
    monkeypatch.setattr(
        kernels, "csr_row_quadratic", lambda *a: parts.append((len(a[2]), len(a[5]))) or own(*a)
    )
    np.testing.assert_allclose(design.row_quadratic(M), np.einsum("ij,jk,ik->i", Z, M, Z))
    assert len(parts) == 3
    assert all(edges == rows + 1 for edges, rows in parts)


def test_threads_share_the_columns_of_a_product_that_has_several(monkeypatch):
    X, shares = sp.random(50, 7, density=0.3, random_state=0, format="csr"), []
    design, U = make_design(X, False), np.random.default_rng(0).normal(size=(50, 4))
    map_ordered = csr_module.map_ordered
    monkeypatch.setattr(csr_module, "SHARED", 0)
    monkeypatch.setattr(csr_module, "n_threads", lambda: 2)
    monkeypatch.setattr(
        csr_module, "map_ordered", lambda f, parts: shares.append(parts) or map_ordered(f, parts)
    )
    np.testing.assert_allclose(design.transpose_matmul(U), X.T @ U)
    assert shares == [[slice(0, 2), slice(2, 4)]]
    np.testing.assert_allclose(design.transpose_matmul(U[:, :1]), X.T @ U[:, :1])
    assert len(shares) == 1  # of one there is nothing to share


def test_coefficients_of_a_group_of_panels_are_read_from_the_cache(monkeypatch):
    """Eight megabytes of them, of K (K + 1) / 2 blocks and all columns each."""
    sizes, groups, coefficients = [], [0], panels_module._coefficients
    row_blocks = panels_module.row_blocks

    def recorded(M, panel):
        sizes.append((panel.stop - panel.start) * 6 * 500 * 8)
        return coefficients(M, panel)

    def blocks(*arguments, **options):
        groups.append(len(sizes))
        return row_blocks(*arguments, **options)

    monkeypatch.setattr(panels_module, "_coefficients", recorded)
    monkeypatch.setattr(panels_module, "row_blocks", blocks)
    panels_module.panel_quadratic(make_design(np.ones((2, 500)), False), np.zeros((1500, 1500)), 3)
    assert sum(sizes) == 500 * 6 * 500 * 8
    assert max(np.diff(groups)) * max(sizes) <= 2**23


def test_columns_that_others_depend_on_are_named_and_no_further():
    X = np.random.default_rng(0).normal(size=(20, 5))
    X[:, 3] = X[:, 1] - 2.0 * X[:, 4]
    found = column_dependence(make_design(X, True), weights(0, 20))
    assert found.involved.tolist() == [1, 3, 4]
    assert len(found.dropped) == 1


@pytest.mark.parametrize("rows", [[2, 5, 7, 9], [9, 2], [0, 1, 2, 3], [4]])
def test_some_rows_of_blocks_are_these(rows):
    """Also where they are as many as there are columns."""
    X = np.random.default_rng(0).normal(size=(50, 3))
    design = make_design(as_blocks(X, block_rows=20), True)
    some = design.take(np.array(rows))
    np.testing.assert_array_equal(some.dense(slice(None))[:, :3], X[rows])


def test_parts_of_blocks_are_cut_within_their_block():
    X = np.random.default_rng(0).normal(size=(50, 3))
    design = make_design(as_blocks(X, block_rows=20), True)
    slices = [(rows.start, rows.stop) for rows in design.part_slices(8)]
    assert slices == [(0, 8), (8, 16), (16, 20), (20, 28), (28, 36), (36, 40), (40, 48), (48, 50)]
    for rows, part in design.parts(8):
        np.testing.assert_array_equal(part.dense(slice(None))[:, :3], X[rows])
    starts = [(rows.start, start) for rows, start in design.map_blocks(_start, (None, None))]
    assert starts == [(0, 0), (20, 20), (40, 40)]
    whole = make_design(X, True)
    assert [found for _, found in whole.map_blocks(_start, (None, None))] == [0]


def _start(start, design, *values):
    """Position of the first row of a block."""
    return start


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_an_extended_kernel_space_has_the_rows_of_both(storage):
    rng = np.random.default_rng(0)
    X, added, others = (rng.normal(size=(m, 3)) for m in (12, 5, 4))
    space = KernelSpace(storage(X), "rbf", gamma=0.3).extended(storage(added))
    assert sp.issparse(space.rows) == (storage is sp.csr_array)
    expected = rbf_kernel(others, np.vstack([X, added]), gamma=0.3)
    np.testing.assert_allclose(space.with_training_rows(storage(others)), expected, rtol=1e-12)
    features = space.map(storage(others)) @ space.features.features.T
    np.testing.assert_allclose(features, expected, rtol=1e-8)


def test_a_kernel_and_its_features_are_three_matrices(monkeypatch):
    asked = []
    monkeypatch.setattr(kernel_module, "check_memory", lambda size, *_: asked.append(size))
    KernelSpace(np.eye(7), "linear")
    assert asked == [3 * 49 * 8]


def test_features_without_a_kernel_matrix_are_dense_columns():
    X = np.random.default_rng(0).normal(size=(9, 4))
    plain, known = FeatureDesign(X, True, None), FeatureDesign(X, True, X @ X.T)
    assert plain.largest_kernel == 0.0
    assert known.largest_kernel == (X @ X.T).diagonal().max()
    scale = np.full(5, 0.7)
    for design in (plain, known.take(slice(None))):
        np.testing.assert_allclose(design.kernel(scale), 0.7 * (X @ X.T + 1.0), rtol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "degree"),
    [("linear", 3), ("rbf", 3), ("sigmoid", 3), ("poly", 1), ("poly", 2), ("poly", 3)],
)
def test_gradients_of_kernels_are_limits_of_differences(kernel, degree):
    rng = np.random.default_rng(0)
    X, y, weight, step = rng.normal(size=(6, 3)), rng.normal(size=3), rng.normal(size=(1, 6)), 1e-4
    options = {"gamma": 0.4, "degree": degree, "coef0": 0.5}
    space = SimpleNamespace(kernel=kernel, options=options)

    def value(y):
        return (weight @ named_kernel(X, y[None], kernel, **options)).item()

    found = KernelGradients(space, X, y[None])
    gradient, hessian = found.sums(weight)[0], found.hessians(weight)[0]
    np.testing.assert_allclose(found.each(weight)[:, 0].sum(axis=0), gradient, rtol=1e-12)
    E = step * np.eye(3)
    expected = [(value(y + e) - value(y - e)) / (2 * step) for e in E]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    expected = [
        [(value(y + e + f) - value(y + e - f) - value(y - e + f) + value(y - e - f)) for f in E]
        for e in E
    ]
    expected = np.array(expected) / (4 * step**2)
    np.testing.assert_allclose(hessian, expected, rtol=1e-4, atol=1e-5)
