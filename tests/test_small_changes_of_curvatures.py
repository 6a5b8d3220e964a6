"""What a changed sign, bound or index of curvatures and covariances would break.

Each answer against its formula, or against one that is found another way.
"""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn import config_context

from skinfluence import InfluenceLinearRegression, InfluenceRidge
from skinfluence._backend import cholesky_inverse
from skinfluence._parallel import one_thread
from skinfluence.curvature import (
    CGCurvature,
    DenseCurvature,
    DualCurvature,
    choose,
    factor_flops,
    make_curvature,
    make_step_curvature,
)
from skinfluence.curvature import _choose as choose_module
from skinfluence.curvature import _dense as dense_module
from skinfluence.curvature import _output_blocks as blocks_module
from skinfluence.curvature import _row_space as row_space_module
from skinfluence.curvature._dual import SingleDualCurvature
from skinfluence.curvature._row_space import RowSpaceCurvature
from skinfluence.curvature._stochastic import PROBES, _regressed
from skinfluence.design import make_design
from skinfluence.design._dense import SinglePrecisionDesign
from skinfluence.losses import BinaryLogLoss, MultinomialLogLoss, SquaredLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from skinfluence.problem import fitted_problem
from skinfluence.uncertainty._covariance import ParameterCovariance
from tests.cases import weights
from tests.test_small_changes_of_the_base import bent_down, objective_of

# -- curvatures ------------------------------------------------------------------------------------


def test_a_regression_on_two_known_means_is_least_squares():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 3, PROBES))
    v += 0.5 * u
    y = 0.3 + 2.0 * u - v + rng.normal(size=(3, PROBES))
    sums = np.stack([y, u, v, y * y, u * u, v * v, y * u, y * v, u * v]).mean(axis=2)
    found, error = _regressed(sums)
    for row in range(3):
        A = np.c_[np.ones(PROBES), u[row], v[row]]
        coef, left, *_ = np.linalg.lstsq(A, y[row])
        assert found[row] == pytest.approx(coef[0], rel=1e-9)  # at u = v = 0
        spread = np.sqrt(left[0] / (PROBES - 3) / PROBES)
        assert error[row] == pytest.approx(spread, rel=1e-9)
    # Where u and v are one they are a single variable, and where both are 0 there is none.
    for k in (1.0, 0.0):
        some = np.stack(
            [y, k * u, k * u, y * y, k * u * u, k * u * u, k * y * u, k * y * u, k * u * u]
        )
        found, error = _regressed(some.mean(axis=2))
        A = np.c_[np.ones(PROBES), k * u[0]]
        coef, *_ = np.linalg.lstsq(A, y[0])
        assert found[0] == pytest.approx(coef[0], rel=1e-9)


def test_leverages_of_rows_that_share_no_column_are_known_without_an_error():
    size = np.random.default_rng(0).uniform(0.5, 3.0, 20)
    X, y = sp.csr_array(sp.diags(size, shape=(20, 30))), np.arange(20) % 2.0
    penalty, theta = L2(np.full(30, 0.5)), np.zeros((1, 30))
    design = make_design(X, False)
    objective = Objective(BinaryLogLoss(), design, y, weights(0, 20), penalty, theta)
    curvature = make_curvature(objective, "stochastic")
    expected = 1.0 / (1.0 + 0.25 * weights(0, 20) * size**2 / 0.5)
    np.testing.assert_allclose(curvature.leverage().one_minus[:, 0, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(curvature.leverage_error(np.arange(20)), 0.0, atol=1e-6)


def test_estimated_leverages_are_of_one_output():
    rng = np.random.default_rng(0)
    X = sp.random(20, 60, density=0.2, random_state=0, format="csr")
    y, penalty = rng.normal(size=(20, 2)), L2(np.ones(61))
    two = Objective(
        SquaredLoss(2), make_design(X, True), y, np.ones(20), penalty, np.zeros((2, 61))
    )
    with pytest.raises(ValueError, match="one output"):
        make_curvature(two, "stochastic")


def test_a_kernel_of_the_rows_is_not_chosen_where_it_has_no_root():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 60))
    up, down = (bent_down(X, np.full(20, y), 1.0) for y in (0.5, 9.0))
    assert [choose(each, 20).kind for each in (up, down)] == ["dual", "dense"]
    softmax = objective_of(n_classes=3, n=20, p=60)
    assert choose(softmax, 60).kind == "dual"
    strength = np.ones((3, 61)) * np.arange(1, 4)[:, None]  # each output's own
    assert choose(softmax._with(penalty=L2(strength)), 60).kind == "dense"


def test_few_rows_and_several_outputs_have_a_kernel_in_float64():
    for n_classes in (2, 3):
        objective = objective_of(n_classes=n_classes, n=20, p=60)
        found = make_curvature(objective, "dual", single=True)
        assert found.base_kernel.dtype == np.float64
        assert found.has_all_digits


@pytest.mark.parametrize("ratio", [2.0**-30, 1.0, 2.0**30])
def test_kernels_are_shared_between_penalties_of_one_ratio_and_no_others(ratio):
    objective, rng = objective_of(n=20, p=30), np.random.default_rng(0)
    strength = np.r_[rng.uniform(1.0, 3.0, 30), 0.0]
    beside = DualCurvature(objective._with(penalty=L2(strength)))
    uneven, weak = strength * rng.uniform(1.0, 1.001, 31), strength.copy()
    weak[4] = 0.0
    Z = objective.design.dense(slice(None))
    for other, is_shared in ((strength, True), (uneven, False), (weak, False)):
        found = DualCurvature(objective._with(penalty=L2(ratio * other)), beside=beside)
        assert (found.base_kernel is beside.base_kernel) == is_shared
        inverse = np.where(other > 0, 1.0 / np.where(other > 0, ratio * other, 1.0), 0.0)
        kernel = (Z * inverse) @ Z.T
        np.testing.assert_allclose(found.kernel_columns(slice(None)), kernel, rtol=1e-11)


def test_blocks_of_a_sample_of_the_rows_are_near_those_of_all(monkeypatch):
    objective = objective_of(n_classes=3, n=2000, p=4)
    diagonal = np.tile(objective.penalty.hessian_diagonal, (3, 1))
    whole = blocks_module.OutputBlocks(objective, diagonal).inverses
    monkeypatch.setattr(blocks_module, "FEW_COLUMNS", 0)
    assert blocks_module.sampled_rows(objective) == 80
    some = blocks_module.OutputBlocks(objective, diagonal).inverses
    for one, other in zip(whole, some, strict=True):
        ratio = np.linalg.eigvals(np.linalg.solve(one, other)).real
        assert 1 / 2.8 < ratio.min() < ratio.max() < 2.8


def test_sums_with_the_penalty_are_quadratic_forms():
    objective = objective_of(C=0.2)
    curvature, Z = DenseCurvature(objective), objective.design.dense(slice(None))
    inverse, R = np.linalg.inv(curvature @ np.eye(5)), np.diag(objective.penalty.strength)
    form, norm, pull = curvature.penalty_sums(objective.design)
    np.testing.assert_allclose(form, np.einsum("ij,jk,ik->i", Z, inverse, Z), rtol=1e-9)
    inner = inverse @ R @ inverse
    np.testing.assert_allclose(norm, np.einsum("ij,jk,ik->i", Z, inner, Z), rtol=1e-9)
    np.testing.assert_allclose(pull, Z @ inverse @ R @ objective.theta[0], rtol=1e-9, atol=1e-14)


def test_forms_of_separate_outputs_are_the_diagonal_of_those_of_all():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    objective = fitted_problem(InfluenceRidge(alpha=np.array([1.0, 3.0])).fit(X, Y)).objective
    curvature = make_curvature(objective)
    Z, inverse = np.c_[X, np.ones(20)], np.linalg.inv(curvature @ np.eye(8))
    expected = np.einsum("ij,kjml,il->ikm", Z, inverse.reshape(2, 4, 2, 4), Z)
    design = objective.design
    np.testing.assert_allclose(curvature.row_quadratic(design), expected, atol=1e-12)
    np.testing.assert_allclose(curvature.leverage().quadratic, expected, atol=1e-12)
    one_minus = np.eye(2) - expected
    np.testing.assert_allclose(curvature.leverage().one_minus, one_minus, atol=1e-12)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_forms_of_rows_that_a_heavy_twin_pins_down_keep_their_digits(fit_intercept):
    objective = objective_of(n=12, p=30, C=10.0, fit_intercept=fit_intercept)
    X, weight = objective.design.X.copy(), np.ones(12)
    X[5], weight[4], weight[5] = X[4], 1e9, 1e-7
    y, design = np.arange(12) % 2.0, make_design(X, fit_intercept)
    theta = np.zeros_like(objective.theta)
    twins = objective._with(design=design, y=y, sample_weight=weight, theta=theta)
    rest = make_curvature(twins.without(4), "dense").row_quadratic(design)[4, 0, 0]
    expected = rest / (1.0 + 0.25e9 * rest)  # by the formula for one more row
    found = make_curvature(twins, "dual").leverage(np.array([5, 7]))
    assert expected < 1e-6 * 30
    assert found.quadratic[0, 0, 0] == pytest.approx(expected, rel=1e-6)
    assert 1 - found.one_minus[1, 0, 0] == pytest.approx(0.25 * found.quadratic[1, 0, 0], rel=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_row_that_alone_sees_a_column_without_penalty_has_a_leverage_of_1(n_classes):
    """What the kernel of the others leaves of it is rounding."""
    objective = objective_of(n_classes=n_classes, n=20, p=30)
    X, strength = objective.design.X.copy(), np.r_[np.ones(30), 0.0]
    X[:, 3], strength[3] = 0.0, 0.0
    X[7, 3] = 1.0
    objective = objective._with(design=make_design(X, True), penalty=L2(strength))
    one_minus = make_curvature(objective, "dual").leverage().one_minus
    assert not one_minus[7].any()
    assert (np.einsum("ikk->i", np.delete(one_minus, 7, axis=0)) > 1e-3).all()


@pytest.mark.parametrize("apart", [0.0, 3e-8])
def test_columns_without_penalty_that_depend_on_each_other_have_no_kernel(apart):
    objective = objective_of(n=20, p=30)
    X, strength = objective.design.X.copy(), np.r_[np.ones(30), 0.0]
    X[:, 3] = 2.0 * X[:, 1] + apart * X[:, 2]
    strength[[1, 3]] = 0.0
    objective = objective._with(design=make_design(X, True), penalty=L2(strength))
    with pytest.raises(np.linalg.LinAlgError, match="column 1, column 3"):
        DualCurvature(objective)


@pytest.mark.parametrize("C", [1.0, np.inf])
def test_solves_with_blocks_of_the_outputs_are_those_of_the_factor(C, monkeypatch):
    monkeypatch.setattr(choose_module, "uses_output_blocks", lambda *_: True)
    objective = objective_of(n_classes=3, n=60, p=3, C=C)
    products, dense = (make_curvature(objective, kind) for kind in ("cg", "dense"))
    assert isinstance(products.blocks, blocks_module.OutputBlocks)
    V = np.random.default_rng(0).normal(size=(12, 5))
    V[:, 3] = 0.0
    np.testing.assert_allclose(products.solve(V), dense.solve(V), rtol=1e-7, atol=1e-9)


# -- what they cost --------------------------------------------------------------------------------


def softmax_of(n, p, strength=1.0):
    """Objective of three classes at theta = 0, an intercept included."""
    rng, q = np.random.default_rng(0), p + 1
    loss, design = MultinomialLogLoss(3), make_design(rng.normal(size=(n, p)), True)
    penalty, y = L2(np.full(q, strength)), rng.integers(0, 3, size=n)
    return Objective(loss, design, y, np.ones(n), penalty, np.zeros((3, q)))


def sparse_of(n, p, n_entries):
    """Objective of two classes at theta = 0, of so many stored entries."""
    rng, place = np.random.default_rng(0), np.random.default_rng(1).permutation(n * p)[:n_entries]
    X = sp.csr_array((rng.normal(size=n_entries), (place // p, place % p)), shape=(n, p))
    loss, penalty, theta = BinaryLogLoss(), L2(np.ones(p)), np.zeros((1, p))
    return Objective(loss, make_design(X, False), np.arange(n) % 2.0, np.ones(n), penalty, theta)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_flops_of_factors_are_those_of_their_products_and_cubes(n_classes):
    """H: n q^2 for each pair of outputs, P^3 / 3 for R, P^3 with R^-1; its solves 2 P^2 each."""
    objective = objective_of(n_classes=n_classes, n=20, p=4)
    n, q, K, P = 20, 5, objective.n_outputs, objective.n_parameters
    gram, kernel, cube = n * q**2 * K * (K + 1) / 2, n**2 * q, (n * K) ** 3
    assert factor_flops(objective, "dense") == pytest.approx(gram + P**3 / 3)
    assert factor_flops(objective, "dual") == pytest.approx(kernel + cube / 3)
    flops = choose(objective, 7).flops
    assert flops["dense"] == pytest.approx(gram + P**3 + 7 * 2 * P**2)
    assert flops["dual"] == pytest.approx(kernel + (1 if K == 1 else 2) * cube)
    # Leverages are products with parts of the triangle R^-1: (K + 1) / K^2 of a column's solve.
    own = n * K * P**2 * (2.0 if K == 1 else (K + 1) / K**2)
    assert choose(objective, n * K).flops["dense"] == pytest.approx(gram + P**3 + own)


def test_flops_of_products_are_four_for_each_entry_and_as_often_as_they_are_made():
    """Few vectors at once read as much memory as many; an entry of sparse rows takes longer."""
    objective, n, q = objective_of(n=20, p=4), 20, 5
    for n_solves, slow in ((100, 1.0), (2, choose_module.MEMORY_BOUND / 2)):
        iteration = 4 * n * q * slow + choose_module.PASSES * q
        expected = iteration * (choose_module.CG_ITERATIONS * n_solves + 100)
        assert choose(objective, n_solves).flops["cg"] == pytest.approx(expected)
    rows = sparse_of(20, 60, 100)  # fewer than columns: their space
    iteration = 4 * 100 * choose_module.ROW_SPARSE + choose_module.ROW_PASSES * 20
    expected = choose_module.ROW_ITERATIONS * iteration * (5 + 8)
    assert choose(rows, 5).flops["cg"] == pytest.approx(expected)


@pytest.mark.parametrize("n_solves", [1, 100])
def test_flops_of_products_with_blocks_of_the_outputs(n_solves, monkeypatch):
    monkeypatch.setattr(choose_module, "uses_output_blocks", lambda *_: True)
    n, q, K = 60, 5, 3
    slow = max(1.0, choose_module.MEMORY_BOUND / (K * n_solves))
    iteration = 4 * n * q * slow + choose_module.ELEMENTS * n
    iteration += 2 * q**2 * choose_module.MEMORY_BOUND
    made = K * (n * q**2 + 1.5 * q**3)
    expected = made + choose_module.BLOCK_ITERATIONS * K * n_solves * iteration
    assert choose(softmax_of(n, 4), n_solves).flops["cg"] == pytest.approx(expected)


def test_blocks_of_the_outputs_are_made_where_four_arrays_of_them_fit(monkeypatch):
    objective, size = softmax_of(60, 4), 8 * 4 * 3 * 5**2
    for budget, is_made in ((size - 1, False), (size, True)):
        monkeypatch.setattr(choose_module, "memory_budget", lambda budget=budget: budget)
        assert choose_module.uses_output_blocks(objective, 100) is is_made


def test_a_step_of_few_rows_in_many_columns_is_by_their_kernel():
    """Products have few entries there, and passes over vectors of all columns."""
    few, many = sparse_of(150, 2000, 300), sparse_of(2000, 400, 4000)
    assert make_step_curvature(few).kind == "dual"
    assert make_step_curvature(many).kind == "cg"


@pytest.mark.parametrize("kind", ["auto", "dense"])
def test_a_rough_factor_of_a_step_is_of_float32_and_no_second_question_reuses_it(kind, monkeypatch):
    objective, asked = objective_of(), []

    def recorded(*arguments, **options):
        asked.append(options)
        return choose(*arguments, **options)

    monkeypatch.setattr(choose_module, "choose", recorded)
    found = make_step_curvature(objective, kind, single=True)
    assert isinstance(found.objective.design, SinglePrecisionDesign)
    assert asked == ([{"kept": False}] if kind == "auto" else [])


def test_forms_of_several_outputs_are_found_by_the_fewer_flops(monkeypatch):
    """With R^-1, of which output k sees the columns from k q on, or with the blocks of H^-1."""
    made = []

    def inverse(factor):
        made.append(len(factor))
        return cholesky_inverse(factor)

    monkeypatch.setattr(dense_module, "cholesky_inverse", inverse)
    objective, K, q, P, ways = softmax_of(40, 19), 3, 20, 60, set()
    for n in (5, 14, 18, 20, 21, 24, 28, 36):
        made.clear()
        DenseCurvature(objective).row_quadratic(objective.design.take(np.arange(n)))
        squares = P**3 / 3 + n * (sum(2 * q * (P - k * q) for k in range(K)) + 2 * K**2 * P)
        blocks = 2 * P**3 / 3 + n * K * (K + 1) / 2 * q**2
        assert made == ([] if squares < blocks else [P])
        ways.add(squares < blocks)
    assert len(ways) == 2


def test_weights_of_a_block_of_leverages_fit_the_working_memory(monkeypatch):
    objective, K, sizes = softmax_of(40, 4), 3, []
    roots_of = Objective.weight_roots_of

    def recorded(self, rows):
        sizes.append(len(rows))
        return roots_of(self, rows)

    monkeypatch.setattr(Objective, "weight_roots_of", recorded)
    with config_context(working_memory=8 * 3 * K**2 * 7 / 2**20):  # three K x K arrays, seven rows
        DenseCurvature(objective).leverage()
    assert sizes == [7] * 5 + [5]


def test_a_bound_of_the_diagonal_solves_for_as_many_columns_as_fit():
    objective, widths = objective_of(p=6, C=np.inf), []
    curvature = CGCurvature(objective)
    solve = curvature.solve
    curvature.solve = lambda V: widths.append(V.shape[1]) or solve(V)
    with config_context(working_memory=4 * 8 * 7 * 3 / 2**20):  # four vectors a column
        bound = curvature.inverse_diagonal_bound()
    assert widths == [3, 3, 1]
    H = curvature @ np.eye(7)
    np.testing.assert_allclose(bound, np.linalg.inv(H).diagonal(), rtol=1e-7)


@pytest.mark.parametrize(("p", "n_products"), [(5, 1), (120, 4 * 24 + 24 + 1)])
def test_few_parameters_have_no_leading_vectors_in_the_preconditioner(p, n_products, monkeypatch):
    """H is multiplied with the intercept, the least penalised; of many four times with 24 more."""
    widths, matmul = [], Objective.hessian_matmul
    monkeypatch.setattr(
        Objective, "hessian_matmul", lambda self, V: widths.append(V.shape[1]) or matmul(self, V)
    )
    objective = objective_of(n=20, p=p)
    widths.clear()
    found = CGCurvature(objective)
    assert sum(widths) == n_products
    assert found.Q.shape[1] == (1 if p == 5 else 25)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_preconditioner_is_the_same_whatever_the_unit_of_the_objective(unit):
    objective = objective_of()
    strength = unit * objective.penalty.strength
    scaled = objective._with(sample_weight=unit * objective.sample_weight, penalty=L2(strength))
    expected = CGCurvature(objective).Q
    assert expected.shape[1] == 1
    np.testing.assert_allclose(CGCurvature(scaled).Q, expected, rtol=1e-7)


def test_a_second_pass_of_a_solve_goes_no_further_than_the_tolerance(monkeypatch):
    """In float64 it has as many digits to find as the first had in float32, not all there are."""
    monkeypatch.setattr(row_space_module, "STALLED", 0.0)
    used, conjugate = [], RowSpaceCurvature._conjugate

    def recorded(self, R, *arguments):
        found = conjugate(self, R, *arguments)
        used.append((R.dtype, found[1]))
        return found

    monkeypatch.setattr(RowSpaceCurvature, "_conjugate", recorded)
    curvature = RowSpaceCurvature(sparse_of(60, 150, 900))
    V = np.random.default_rng(0).normal(size=(150, 3))
    np.testing.assert_allclose(curvature @ curvature.solve(V), V, atol=1e-8)
    (first, before), (second, after) = used
    assert (first, second) == (np.float32, np.float64)
    assert 3 < after <= 1.5 * before


def test_an_inverse_is_made_for_more_columns_than_parameters(monkeypatch):
    made = []
    monkeypatch.setattr(
        dense_module, "cholesky_inverse", lambda R: made.append(len(R)) or cholesky_inverse(R)
    )
    curvature, V = DenseCurvature(objective_of()), np.random.default_rng(0).normal(size=(5, 2))
    for n_columns, expected in ((5, []), (6, [5]), (600, [5])):  # once for all
        found = curvature.solver(n_columns)(V)
        assert made == expected
        np.testing.assert_allclose(curvature @ found, V, atol=1e-10)


def test_a_rough_kernel_keeps_two_arrays_in_float32():
    """The kernel, and the inverse of the factor in its place."""
    objective, size = objective_of(n=300, p=10), 4 * 300**2
    with one_thread():
        tracemalloc.start()
        try:
            curvature = SingleDualCurvature(objective)
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert curvature.inverse_factor.dtype == np.float32
    assert kept < 2.5 * size


def test_a_kernel_has_its_factor_in_the_place_of_its_matrix():
    """K, B or its factor, and a scaled copy by which the condition is estimated: three arrays."""
    objective, size = objective_of(n=300, p=10), 8 * 300**2
    with one_thread():  # several have a factor of their own
        tracemalloc.start()
        try:
            DualCurvature(objective)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 3.5 * size


# -- covariances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [np.inf, 7.0])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_a_summary_has_the_tests_and_the_intervals_of_its_distribution(df, level):
    matrix, estimate = np.diag([4.0, 0.25, 9.0]), np.array([1.0, -2.0, 30.0])
    found = ParameterCovariance(matrix, ("const", "a", "b"), "HC0", estimate, df).summary(level)
    error, law = np.sqrt(matrix.diagonal()), stats.norm if np.isinf(df) else stats.t(df)
    name = "z" if np.isinf(df) else "t"
    assert list(found.columns) == ["coefficient", "standard_error", name, "p", "lower", "upper"]
    for column, expected in (
        ("coefficient", estimate),
        ("standard_error", error),
        (name, estimate / error),
        ("p", 2.0 * law.sf(np.abs(estimate / error))),
        ("lower", estimate - law.ppf(0.5 + level / 2) * error),
        ("upper", estimate + law.ppf(0.5 + level / 2) * error),
    ):
        np.testing.assert_allclose(found[column], expected, rtol=1e-10)


def test_tests_of_clusters_have_one_degree_less_than_there_are():
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = InfluenceRidge().fit(X, X.sum(axis=1))
    for kind in ("CR0", "CR3"):
        assert model.parameter_covariance(kind, groups=np.arange(30) % 6).df == 5.0


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_screened_ends_are_order_statistics_of_all_refits(alpha):
    """Of test rows near zero, whose predictions move by less than residuals lie apart."""
    rng = np.random.default_rng(0)
    x, y, T = rng.normal(size=80), rng.normal(size=80), 1e-3 * rng.normal(size=9)
    model = InfluenceRidge(alpha=1.0, fit_intercept=False).fit(x[:, None], y)
    square, product = x @ x + 1.0, x @ y
    without = (product - x * y) / (square - x**2)
    residual, moved = np.abs(y - without * x), T[:, None] * without
    position = int(np.ceil(round((1 - alpha) * 81, 9))) - 1
    low = -np.sort(residual - moved, axis=1)[:, position]
    high = np.sort(residual + moved, axis=1)[:, position]
    found = model.prediction_interval(T[:, None], alpha=alpha)
    np.testing.assert_allclose(found, np.c_[low, high], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["model", "HC0"])
def test_the_covariance_of_far_columns_is_of_parameters_about_zero(kind):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    near = InfluenceLinearRegression().fit(X, y).parameter_covariance(kind).matrix
    model = InfluenceLinearRegression().fit(X + np.array([0.0, 1e5]), y)
    assert fitted_problem(model).objective.design.is_centred
    move = np.eye(3)
    move[0, 2] = -1e5  # the intercept comes first
    found = model.parameter_covariance(kind).matrix
    np.testing.assert_allclose(found, move @ near @ move.T, rtol=1e-9)
