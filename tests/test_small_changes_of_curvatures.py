"""What a changed sign, bound or index of curvatures and covariances would break.

Each answer against its formula, or against one that is found another way.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from skinfluence import InfluenceLinearRegression, InfluenceRidge
from skinfluence.curvature import DenseCurvature, DualCurvature, choose, make_curvature
from skinfluence.curvature import _choose as choose_module
from skinfluence.curvature import _output_blocks as blocks_module
from skinfluence.curvature._stochastic import PROBES, _regressed
from skinfluence.design import make_design
from skinfluence.losses import BinaryLogLoss, SquaredLoss
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
