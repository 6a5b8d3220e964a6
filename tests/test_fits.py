"""How optima are found: by chords, preconditioned steps and dual coefficients.

Each against Newton's method with a factor for every step.
"""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.preprocessing import scale

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression
from skinfluence.curvature import CGCurvature, DenseCurvature, _choose, _output_blocks, choose
from skinfluence.design import _csr, far_origin, make_design
from skinfluence.design._dense import SinglePrecisionDesign
from skinfluence.losses import BinaryLogLoss, MultinomialLogLoss, SquaredLoss
from skinfluence.objective import Objective
from skinfluence.optimum import _chord, polish
from skinfluence.penalties import L2
from skinfluence.svm import SmoothHingeSVC, _in_kernel

IRIS = load_iris(return_X_y=True)


def softmax_objective(n=90, p=4, K=3, *, seed=0, penalty=0.5, fit_intercept=True, make=np.asarray):
    """A softmax with weights, some of them 0, at theta = 0."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = (X[:, :1] * rng.normal(size=K) + rng.gumbel(size=(n, K))).argmax(axis=1)
    y[:K] = np.arange(K)
    weight = rng.exponential(size=n) + 0.2
    weight[-3:] = 0.0
    design = make_design(make(X), fit_intercept)
    strength = design.join(np.full(p, penalty), 0.0)[0]
    theta = np.zeros((K, design.shape[1]))
    return Objective(MultinomialLogLoss(K), design, y, weight, L2(strength), theta)


def plain(objective, tolerance=1e-14):
    """Optimum by Newton's method with a factor for every step."""
    for _ in range(60):
        if objective.stationarity <= tolerance:
            break
        step = DenseCurvature(objective).solve(-objective.gradient.reshape(-1, 1))
        size = 1.0
        while objective.at(objective.theta + size * step.reshape(objective.theta.shape)).value > (
            objective.value + 1e-12 * abs(objective.value)
        ):
            size *= 0.5
        objective = objective.at(objective.theta + size * step.reshape(objective.theta.shape))
    return objective


# -- chords ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [2, 4])
def test_chords_reach_the_same_optimum_with_fewer_factors(K, monkeypatch):
    rng = np.random.default_rng(K)
    X = rng.normal(size=(300, 8))
    y = (X @ rng.normal(size=(8, K)) + rng.gumbel(size=(300, K))).argmax(axis=1)
    made, make = [], _chord.step_curvature
    monkeypatch.setattr(
        _chord, "step_curvature", lambda *a, **given: made.append(1) or make(*a, **given)
    )
    for dear in ("DEAR", "DEAR_IN_DOUBLE"):
        monkeypatch.setattr(_chord, dear, np.inf)
    newton = InfluenceLogisticRegression().fit(X, y)
    n_newton = len(made)
    for dear in ("DEAR", "DEAR_IN_DOUBLE"):
        monkeypatch.setattr(_chord, dear, 0.0)
    made.clear()
    chord = InfluenceLogisticRegression().fit(X, y)
    assert len(made) == 1 < n_newton
    np.testing.assert_allclose(chord.coef_, newton.coef_, rtol=1e-12, atol=1e-13)
    assert chord.__optimum_record__().stationarity < 1e-13
    assert chord.__optimum_record__().converged


def test_chords_end_where_they_do_not_help(monkeypatch):
    """From far away no chord is taken; near an optimum of large steps a new factor is made."""
    for dear in ("DEAR", "DEAR_IN_DOUBLE"):
        monkeypatch.setattr(_chord, dear, 0.0)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(float)  # all but separable: each Newton step divides the loss by e
    design = make_design(X, True)
    penalty = L2(design.join(np.full(3, 1e-6), 0.0)[0])
    start = Objective(BinaryLogLoss(), design, y, np.ones(40), penalty, np.zeros((1, 4)))
    found = polish(start, max_steps=100)
    assert found.converged
    np.testing.assert_allclose(found.objective.theta, plain(start).theta, rtol=1e-8)


def test_a_quadratic_takes_one_step(monkeypatch):
    for dear in ("DEAR", "DEAR_IN_DOUBLE"):
        monkeypatch.setattr(_chord, dear, 0.0)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), rng.normal(size=50)
    design = make_design(X, True)
    penalty, theta = L2(design.join(np.ones(3), 0.0)[0]), np.zeros((1, 4))
    found = polish(Objective(SquaredLoss(), design, y, np.ones(50), penalty, theta))
    assert found.converged
    assert found.n_steps <= 2


# -- steps in single precision ---------------------------------------------------------------------


def logistic_objective(X, *, penalty=0.5, fit_intercept=True):
    """Two classes with weights, some of them 0, at theta = 0."""
    rng = np.random.default_rng(5)
    n, p = X.shape
    y = (X[:, 0] / np.abs(X[:, 0]).max() + 0.3 * rng.normal(size=n) > 0).astype(float)
    weight = rng.exponential(size=n) + 0.2
    weight[-3:] = 0.0
    design = make_design(X, fit_intercept, far_origin(X, weight) if fit_intercept else None)
    strength = design.join(np.full(p, penalty), 0.0)[0]
    theta = np.zeros((1, design.shape[1]))
    return Objective(BinaryLogLoss(), design, y, weight, L2(strength), theta)


def counted_factors(monkeypatch):
    """Designs of the factors that are made from now on, and a limit of 0 on what is dear."""
    made, init = [], DenseCurvature.__init__

    def counting(self, objective, damping=0.0):
        made.append(objective.design)
        init(self, objective, damping)

    monkeypatch.setattr(DenseCurvature, "__init__", counting)
    for dear in ("DEAR", "DEAR_IN_DOUBLE"):
        monkeypatch.setattr(_chord, dear, 0.0)
    return made


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_a_first_factor_in_single_precision_gives_the_same_optimum(
    shift, dtype, fit_intercept, monkeypatch
):
    X = (np.random.default_rng(1).normal(size=(3000, 6)) + shift * fit_intercept).astype(dtype)
    objective = logistic_objective(X, fit_intercept=fit_intercept)
    expected = plain(objective)
    made = counted_factors(monkeypatch)
    found = polish(objective)
    assert isinstance(made[0], SinglePrecisionDesign)
    assert not any(isinstance(design, SinglePrecisionDesign) for design in made[1:])
    assert found.converged
    assert found.objective.stationarity < 1e-12
    np.testing.assert_allclose(found.objective.eta, expected.eta, rtol=1e-10, atol=1e-10)


def test_the_gram_matrix_in_single_precision():
    X = np.random.default_rng(2).normal(size=(5000, 7)) * np.logspace(-6, 6, 7)
    w = np.random.default_rng(3).exponential(size=5000)
    w[:5] = 0.0
    for signed in (w, np.where(np.arange(5000) % 2, w, -w)):
        design = make_design(X, True)
        exact = design.sandwich(signed[:, None, None])
        found = design.in_single_precision().sandwich(signed[:, None, None])
        norm = np.sqrt(np.diag(design.sandwich(np.abs(signed)[:, None, None])))
        assert np.abs(found - exact).max() > 0 or (signed < 0).any()
        assert (np.abs(found - exact) <= 1e-6 * np.outer(norm, norm)).all()


@pytest.mark.parametrize("problem", ["collinear", "huge", "tiny"])
def test_where_single_precision_would_not_do_the_factor_is_in_double(problem, monkeypatch):
    X = np.random.default_rng(4).normal(size=(400, 4))
    if problem == "collinear":
        X[:, 3] = X[:, 2] + 1e-3 * X[:, 3]
    else:
        X[:, 1] *= {"huge": 1e25, "tiny": 1e-25}[problem]
    penalty = {"collinear": 1e-3, "huge": 1e30, "tiny": 0.0}[problem]
    objective = logistic_objective(X, penalty=penalty, fit_intercept=False)
    made = counted_factors(monkeypatch)
    found = polish(objective)
    assert not isinstance(made[-1], SinglePrecisionDesign)
    assert found.is_settled
    expected = plain(objective, 1e-12)
    np.testing.assert_allclose(found.objective.eta, expected.eta, rtol=1e-6, atol=1e-8)


# -- blocks of the outputs -------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("damping", [0.0, 0.3])
@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("make", [np.asarray, np.float32, scipy.sparse.csr_array])
def test_solves_with_blocks_are_those_of_the_factor(
    fit_intercept, damping, sampled, make, monkeypatch
):
    if sampled:
        monkeypatch.setattr(_output_blocks, "FEW_COLUMNS", 0)
        monkeypatch.setattr(_output_blocks, "ROWS_PER_COLUMN", 6)
    objective = polish(softmax_objective(fit_intercept=fit_intercept, make=make)).objective
    assert (_output_blocks.sampled_rows(objective) < objective.n_rows) == sampled
    V = np.random.default_rng(1).normal(size=(objective.n_parameters, 5))
    V[:, 4] = np.tile(V[: V.shape[0] // 3, 4], 3)  # along the null direction of the loss alone
    dense = DenseCurvature(objective, damping).solve(V)
    products = CGCurvature(objective, damping, blocks=True)
    assert products.blocks is not None
    np.testing.assert_allclose(products.solve(V), dense, rtol=1e-8, atol=1e-9)


def test_blocks_that_are_singular_are_not_used():
    """Two equal columns without penalty: the other preconditioner says so in a sentence."""
    objective = softmax_objective(penalty=0.0)
    X = np.column_stack([objective.design.X, objective.design.X[:, 0]])
    design = make_design(X, True)
    theta = np.zeros((3, 6))
    penalty = L2(np.zeros(6))
    weight = objective.sample_weight
    twice = Objective(objective.loss, design, objective.y, weight, penalty, theta)
    with pytest.raises(np.linalg.LinAlgError, match="columns that are not penalised"):
        CGCurvature(twice, blocks=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fit_intercept": False},
        {"n": 30, "p": 40},
        {"penalty": 1e-4},
        {"penalty": 1e3},
        {"make": scipy.sparse.csr_array},
        {"make": np.float32},
        {"K": 7, "n": 200},
    ],
    ids=str,
)
def test_preconditioned_steps_reach_the_same_optimum(options, monkeypatch):
    monkeypatch.setattr(_choose, "NOT_KEPT", -1.0)
    monkeypatch.setattr(_choose, "CHEAPER", 1e-9)
    monkeypatch.setattr(_choose, "uses_output_blocks", lambda *_: True)
    objective = softmax_objective(**options)
    assert choose(objective, 1, kept=False).kind == "cg"
    found = polish(objective)
    assert found.converged
    newton = polish(objective, kind="dense").objective
    assert found.objective.stationarity <= max(1e-13, 3 * newton.stationarity)
    expected = plain(objective).theta
    # An intercept common to all classes is not determined.
    intercept = objective.design.split(found.objective.theta - expected)[1]
    assert np.ptp(intercept) < 1e-8
    coef, known = (objective.design.split(t)[0] for t in (found.objective.theta, expected))
    np.testing.assert_allclose(coef, known, rtol=1e-8, atol=1e-10)


def test_the_factor_is_chosen_for_many_solves_and_products_for_one():
    X, y = load_digits(return_X_y=True)
    objective = InfluenceLogisticRegression(C=1e-2).fit(X, y).__fitted_problem__().objective
    assert choose(objective, 1).kind == "dense"  # which a second question reuses
    wide = make_design(np.repeat(X, 8, axis=1), True)
    theta = np.zeros((10, wide.shape[1]))
    penalty = L2(wide.join(np.ones(wide.n_features), 0.0)[0])
    weight = np.ones(len(y))
    objective = Objective(MultinomialLogLoss(10), wide, y, weight, penalty, theta)
    assert choose(objective, 1, kept=False).kind == "cg"
    assert choose(objective, objective.n_rows * 10).kind == "dense"


@pytest.mark.parametrize("squares", [True, False])
def test_leverages_of_several_outputs_by_both_ways(squares, monkeypatch):
    monkeypatch.setattr(DenseCurvature, "_prefers_squares", lambda *_: squares)
    objective = polish(softmax_objective(K=4)).objective
    inverse = np.linalg.inv(DenseCurvature(objective).factor.T @ DenseCurvature(objective).factor)
    Z = objective.design.dense(slice(None))
    q = Z.shape[1]
    blocks = inverse.reshape(4, q, 4, q)
    expected = np.einsum("ij,kjml,il->ikm", Z, blocks, Z)
    found = DenseCurvature(objective).row_quadratic(objective.design)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


# -- dual coefficients -----------------------------------------------------------------------------


class ByFeatures(SmoothHingeSVC):
    """The same machine, fitted in the features of its kernel."""

    def _by_dual_coefficients(self):
        return None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"C": 1e4},
        {"C": 0.1},
        {"temperature": 0.5},
        {"gamma": 5.0},
        {"class_weight": "balanced"},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_kernel_machine_by_its_dual_coefficients(options, n_classes, weighted):
    X, y = (part[IRIS[1] < n_classes] for part in IRIS)
    X, y = X[::2], y[::2]
    rng = np.random.default_rng(0)
    weight = rng.exponential(size=len(y)) * (rng.random(len(y)) > 0.2) if weighted else None
    model = SmoothHingeSVC(kernel="rbf", **options).fit(X, y, weight)
    other = ByFeatures(kernel="rbf", **options).fit(X, y, weight)
    assert model._space._features is None  # the fit did without
    size = np.abs(other.dual_coef_).max()
    np.testing.assert_allclose(model.dual_coef_, other.dual_coef_, rtol=1e-7, atol=1e-9 * size)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=1e-8, atol=1e-8)
    assert model.stationarity_ < 1e-10
    answers = (one.influence(X[:4], y[:4], method="newton") for one in (model, other))
    found, expected = answers
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8 * np.abs(expected).max())
    record = model.__optimum_record__()
    assert record.converged
    assert record.stationarity < 1e-10


def test_what_has_no_curvature_is_fitted_in_features():
    """At a temperature of 1e-4 few rows curve: the search over intercepts has the last word."""
    X, y = IRIS
    model = SmoothHingeSVC(kernel="rbf", temperature=1e-5).fit(X, y)
    other = ByFeatures(kernel="rbf", temperature=1e-5).fit(X, y)
    np.testing.assert_allclose(model.dual_coef_, other.dual_coef_, atol=1e-8)
    np.testing.assert_array_equal(model.intercept_is_identified_, other.intercept_is_identified_)


def test_one_row_of_each_class_and_rows_far_apart():
    X = np.array([[0.0], [1.0], [100.0]])
    for y in ([0, 1, 1], [1, 0, 1]):
        for rows in (slice(0, 2), slice(None)):
            model = SmoothHingeSVC(kernel="rbf", gamma=1.0).fit(X[rows], y[rows])
            other = ByFeatures(kernel="rbf", gamma=1.0).fit(X[rows], y[rows])
            np.testing.assert_allclose(model.dual_coef_, other.dual_coef_, atol=1e-9)


def test_steps_that_fail_leave_the_fit_to_the_features(monkeypatch):
    X, y = IRIS
    monkeypatch.setattr(_in_kernel, "cholesky", lambda B: None)
    model = SmoothHingeSVC(kernel="rbf").fit(X, y)
    assert model._of_fit is None
    assert model.stationarity_ < 1e-10


def test_a_pickle_from_before_the_first_question_answers_it():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = scale(X)[:150], y[:150]
    model = SmoothHingeSVC(kernel="rbf").fit(X, y)
    early = pickle.loads(pickle.dumps(model))
    answer = model.influence(X[:3], y[:3], method="newton")
    late = pickle.loads(pickle.dumps(model))
    for one in (early, late):
        np.testing.assert_allclose(one.decision_function(X), model.decision_function(X), atol=1e-12)
        found = one.influence(X[:3], y[:3], method="newton")
        np.testing.assert_allclose(found, answer, rtol=1e-7, atol=1e-12)


def test_an_edit_after_the_fit_is_noticed_at_the_first_question():
    X, y = IRIS
    y = y.copy()
    model = SmoothHingeSVC(kernel="rbf").fit(X, y)
    model._training_data.y[3] = 1
    with pytest.raises(RuntimeError, match=r"changed since the fit \(row 3\)"):
        model.influence(X[:3], y[:3])


def test_an_explainer_of_such_a_machine_says_the_same():
    X, y = IRIS
    model = SmoothHingeSVC(kernel="rbf").fit(X, y)
    explainer = InfluenceExplainer(SmoothHingeSVC(kernel="rbf")).fit(X, y)
    found = explainer.influence(X[:3], y[:3], method="newton")
    np.testing.assert_allclose(
        found, model.influence(X[:3], y[:3], method="newton"), rtol=1e-8, atol=1e-12
    )


# -- sparse products -------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_sparse_products_do_not_depend_on_the_threads(fit_intercept, monkeypatch):
    rng = np.random.default_rng(0)
    X = scipy.sparse.random(300, 40, density=0.1, random_state=0, format="csr")
    X = scipy.sparse.vstack([X, scipy.sparse.csr_array((5, 40))], format="csr")  # empty rows last
    design = make_design(X, fit_intercept)
    V, U = rng.normal(size=(design.shape[1], 7)), rng.normal(size=(305, 7))
    M = rng.normal(size=(design.shape[1],) * 2)
    M += M.T
    alone = design @ V, design.transpose_matmul(U), design.row_quadratic(M)
    monkeypatch.setattr(_csr, "n_threads", lambda: 3)
    monkeypatch.setattr(_csr, "SHARED", 0.0)
    assert len(design._row_parts(1)) == 3
    shared = design @ V, design.transpose_matmul(U), design.row_quadratic(M)
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)
    out = np.empty((305, 7))
    np.testing.assert_array_equal(design.matmul(V, out), alone[0])
    np.testing.assert_allclose(alone[0], design.dense(slice(None)) @ V, atol=1e-12)
