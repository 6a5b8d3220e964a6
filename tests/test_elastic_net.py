"""Models under an L1 penalty, whose active set may change with a row, against refits without it."""

import time

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    LogisticRegression,
    MultiTaskLasso,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceLasso,
    InfluenceLogisticRegression,
)
from skinfluence.adapters import TrainingData, adapt, duality_gaps
from skinfluence.model_selection import LeaveOneOutSearchCV, optimize_regularization
from skinfluence.optimum._active_set import solve_elastic_net
from tests.cases import problem, weights

PRECISE = {"tol": 1e-13, "max_iter": 1_000_000}
OLD = sklearn.__version__ < "1.8"


def logistic(kind, C, l1_ratio, solver="saga"):
    """A LogisticRegression or ours with such a penalty, in any scikit-learn."""
    name = {"l1_ratio": l1_ratio}
    if OLD:
        name["penalty"] = "l1" if l1_ratio == 1 else "elasticnet"
    if OLD and l1_ratio == 1:
        del name["l1_ratio"]
    precise = {"random_state": 0}
    if kind is LogisticRegression:
        precise |= {"tol": 1e-9 if solver == "liblinear" else 1e-12, "max_iter": 300_000}
    return kind(C=C, solver=solver, **name, **{"max_iter": 20_000, **precise})


def data(n=50, p=12, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X[:, :4] @ rng.normal(size=(4, n_outputs)) + 1.0 + rng.normal(size=(n, n_outputs))
    return X, (y[:, 0] if n_outputs == 1 else y)


# name: (model, the same by scikit-learn, data)
MODELS = {
    "lasso": (InfluenceLasso(alpha=0.1), Lasso(alpha=0.1, **PRECISE), {}),
    "lasso-wide": (InfluenceLasso(alpha=0.2), Lasso(alpha=0.2, **PRECISE), {"n": 30, "p": 60}),
    "lasso-no-intercept": (
        InfluenceLasso(alpha=0.05, fit_intercept=False),
        Lasso(alpha=0.05, fit_intercept=False, **PRECISE),
        {},
    ),
    "lasso-two-responses": (
        InfluenceLasso(alpha=0.2),
        Lasso(alpha=0.2, **PRECISE),
        {"n_outputs": 2},
    ),
    "elastic net": (
        InfluenceElasticNet(alpha=0.2, l1_ratio=0.4),
        ElasticNet(alpha=0.2, l1_ratio=0.4, **PRECISE),
        {},
    ),
    "elastic net-wide": (
        InfluenceElasticNet(alpha=0.3, l1_ratio=0.5),
        ElasticNet(alpha=0.3, l1_ratio=0.5, **PRECISE),
        {"n": 30, "p": 60},
    ),
    "explained lasso": (
        InfluenceExplainer(Lasso(alpha=0.1)),
        Lasso(alpha=0.1, **PRECISE),
        {},
    ),
    "logistic": (
        logistic(InfluenceLogisticRegression, 0.5, 1.0),
        logistic(LogisticRegression, 0.5, 1.0),
        {"n_classes": 2},
    ),
    "logistic-liblinear": (
        logistic(InfluenceLogisticRegression, 0.5, 1.0, "liblinear"),
        logistic(LogisticRegression, 0.5, 1.0, "liblinear"),
        {"n_classes": 2},
    ),
    "logistic-elastic-net": (
        logistic(InfluenceLogisticRegression, 0.5, 0.5),
        logistic(LogisticRegression, 0.5, 0.5),
        {"n_classes": 2},
    ),
    "softmax": (
        logistic(InfluenceLogisticRegression, 0.4, 1.0),
        logistic(LogisticRegression, 0.4, 1.0),
        {"n_classes": 3},
    ),
    "softmax-elastic-net": (
        logistic(InfluenceLogisticRegression, 0.5, 0.5),
        logistic(LogisticRegression, 0.5, 0.5),
        {"n_classes": 3},
    ),
}


def build(name, *, weighted, zeros=2):
    model, original, arguments = MODELS[name]
    if "n_classes" in arguments:
        X, y = problem(seed=3, n=70, p=8, **arguments)
    else:
        X, y = data(**arguments)
    w = weights(0, len(y), zeros=zeros) if weighted else None
    return X, y, w, clone(model).fit(X, y, w), clone(original)


def coefficients(model):
    final = getattr(model, "estimator_", model)
    return np.hstack([np.atleast_2d(final.coef_), np.reshape(final.intercept_, (-1, 1))])


def changes(original, X, y, w, rows):
    full = coefficients(clone(original).fit(X, y, w))
    found = []
    for row in rows:
        keep = np.arange(len(y)) != row
        without = clone(original).fit(X[keep], y[keep], None if w is None else w[keep])
        found.append(coefficients(without) - full)
    return np.array(found)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_deletions_are_refits(name, weighted):
    X, y, w, model, original = build(name, weighted=weighted)
    # scikit-learn's saga stops between 1e-10 and 1e-8, liblinear earlier.
    tolerance = 3e-6 if "liblinear" in name else 2e-8
    clone(original).fit(X, y, w)
    objective = model.__fitted_problem__().objective
    np.testing.assert_allclose(
        objective.theta[:, : X.shape[1]],
        coefficients(clone(original).fit(X, y, w))[:, :-1],
        atol=tolerance,
    )
    rows = np.arange(0, len(y) - 2, 3)
    actual = changes(original, X, y, w, rows)
    loo = model.loo_estimate()
    np.testing.assert_array_equal(loo.method == "refined", loo.active_set_changes)
    full = coefficients(clone(original).fit(X, y, w))
    quadratic = "n_classes" not in MODELS[name][2]
    if quadratic:  # saga and liblinear leave coefficients that should be 0
        really = ((full + actual == 0) != (full == 0)).any(axis=(1, 2))
        np.testing.assert_array_equal(loo.active_set_changes[rows], really)
        assert really.any()
    exact_step = quadratic and not weighted
    if exact_step:
        newton = model.loo_estimate(method="newton")
        np.testing.assert_array_equal(loo.active_set_changes, newton.active_set_changes)
    for method in ("newton", "exact") if exact_step else ("exact",):
        found = model.parameter_influence(method=method, train_indices=rows)
        coef = found.coef.reshape(actual[:, :, :-1].shape)
        where = slice(None) if method == "exact" else ~loo.active_set_changes[rows]
        np.testing.assert_allclose(coef[where], actual[where][:, :, :-1], atol=tolerance)
        intercept = found.intercept.reshape(len(rows), -1)
        np.testing.assert_allclose(intercept[where], actual[where][:, :, -1], atol=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_the_optimality_conditions_hold(name, weighted):
    _X, _y, _w, model, _original = build(name, weighted=weighted)
    assert model.__fitted_problem__().objective.stationarity <= 1e-10


@pytest.mark.parametrize("name", MODELS)
def test_no_error_bound_is_violated(name):
    for weighted in (False, True):
        _X, _y, _w, model, _original = build(name, weighted=weighted)
        exact = model.loo_estimate().decision_function
        for method in ("first_order", "newton"):
            loo = model.loo_estimate(method=method)
            error = np.abs(loo.decision_function - exact).reshape(len(exact), -1)
            error = error.max(axis=1) if "softmax" not in name else np.ptp(error, axis=1)
            assert (error <= loo.error_bound + 1e-9).all()
            if "lasso" in name and method == "newton" and not weighted:
                assert np.isfinite(loo.error_bound).any()


def test_the_share_of_the_penalty_counts():
    """e / (1 - h), at the same total penalty, is 2 to 20 % of the effect off; with it nothing."""
    X, y, _w, model, original = build("elastic net", weighted=False)
    stays = np.flatnonzero(~model.loo_estimate().active_set_changes)
    actual = changes(original, X, y, None, stays)[:, 0]
    E = np.flatnonzero(model.coef_)
    Z = np.c_[X[:, E], np.ones(len(y))]
    alpha, ratio, n = 0.2, 0.4, len(y)
    G = Z.T @ Z + n * alpha * (1 - ratio) * np.diag(np.r_[np.ones(len(E)), 0.0])
    residual = y - model.predict(X)
    leverage = np.einsum("ij,jk,ik->i", Z, np.linalg.inv(G), Z)
    textbook = -np.linalg.solve(G, Z.T) * (residual / (1 - leverage))
    textbook = textbook[:-1, stays].T
    off = np.linalg.norm(textbook - actual[:, E]) / np.linalg.norm(actual[:, E])
    assert 0.02 < off < 0.2
    found = model.parameter_influence(train_indices=stays, method="newton").coef
    np.testing.assert_allclose(found, actual[:, :-1], atol=1e-12)


@pytest.mark.parametrize("name", ["lasso", "elastic net", "softmax", "lasso-two-responses"])
@pytest.mark.parametrize("weighted", [False, True])
def test_first_order_is_the_derivative_in_the_weight(name, weighted):
    X, y, w, model, _original = build(name, weighted=weighted, zeros=0)
    w = np.ones(len(y)) if w is None else w
    rows = np.arange(0, len(y), 9)
    found = model.parameter_influence(method="first_order", train_indices=rows)
    for position, row in enumerate(rows):
        move = np.zeros(len(y))
        move[row] = 1e-5 * w[row]
        slope = coefficients(clone(model).fit(X, y, w - move))
        slope = (slope - coefficients(clone(model).fit(X, y, w + move))) / 2e-5
        coef = found.coef[position].reshape(slope[:, :-1].shape)
        np.testing.assert_allclose(coef, slope[:, :-1], atol=1e-6)


@pytest.mark.parametrize("name", ["lasso", "elastic net-wide", "logistic", "softmax"])
def test_groups_are_refits(name):
    X, y, _w, model, original = build(name, weighted=False)
    groups = [[0, 1, 2], [5], list(range(10, 20))]
    full = clone(original).fit(X, y)
    predicted = "prediction" if hasattr(full, "sparse_coef_") else "decision_function"
    read = (lambda m: m.predict(X[:9])) if predicted == "prediction" else None
    read = read or (lambda m: m.decision_function(X[:9]))
    found = model.group_influence(groups, X[:9], target=predicted, method="exact")
    for position, group in enumerate(groups):
        keep = np.setdiff1d(np.arange(len(y)), group)
        change = read(clone(original).fit(X[keep], y[keep])) - read(full)
        np.testing.assert_allclose(found[:, position], change, atol=1e-7)


@pytest.mark.parametrize("storage", ["csr", "float32", "read-only", "fortran"])
def test_storages(storage):
    X, y = data()
    w = weights(0, len(y))
    given = X
    if storage == "csr":
        X = np.where(np.abs(X) > 0.4, X, 0.0)
        given = sp.csr_matrix(X)
    elif storage == "float32":
        given = X.astype(np.float32)
        X = given.astype(float)
    elif storage == "fortran":
        given = np.asfortranarray(X)
    else:
        given.flags.writeable = False
    model = InfluenceLasso(alpha=0.1).fit(given, y, w)
    rows = np.arange(0, 48, 7)
    actual = changes(Lasso(alpha=0.1, **PRECISE), X, y, w, rows)[:, 0]
    exact = model.parameter_influence(method="exact", train_indices=rows)
    np.testing.assert_allclose(exact.coef, actual[:, :-1], atol=1e-9)
    stays = ~model.loo_estimate().active_set_changes[rows]
    newton = model.influence(given[:5], target="prediction", train_indices=rows, method="newton")
    moved = X[:5] @ actual[:, :-1].T + actual[:, -1]
    np.testing.assert_allclose(newton[:, stays], moved[:, stays], atol=2e-3)


def test_nothing_active():
    X, y = data()
    model = InfluenceLasso(alpha=10.0).fit(X, y)
    assert not model.coef_.any()
    found = model.influence(X[:3], target="prediction")
    np.testing.assert_allclose(found, np.tile((y.mean() - y) / (len(y) - 1), (3, 1)), atol=1e-13)
    empty = InfluenceLasso(alpha=10.0, fit_intercept=False).fit(X, y)
    assert not empty.influence(X[:3], y[:3]).any()
    assert not empty.loo_estimate().prediction.any()


def test_cross_validated_models_and_pipelines():
    X, y = load_diabetes(return_X_y=True)
    X = X[:150] * 20.0
    y = y[:150]
    for chosen, plain in (
        (LassoCV(cv=3, random_state=0), lambda m: Lasso(alpha=m.alpha_, **PRECISE)),
        (
            ElasticNetCV(cv=3, l1_ratio=[0.3, 0.7]),
            lambda m: ElasticNet(alpha=m.alpha_, l1_ratio=m.l1_ratio_, **PRECISE),
        ),
    ):
        pipe = make_pipeline(StandardScaler(), chosen)
        explainer = InfluenceExplainer(pipe).fit(X, y)
        original = plain(explainer.estimator_[-1])
        actual = changes(original, scale(X), y, None, [4, 77])[:, 0]
        exact = explainer.parameter_influence(method="exact", train_indices=[4, 77])
        np.testing.assert_allclose(exact.coef, actual[:, :-1], atol=1e-7)
        fitted = clone(chosen).fit(X, y)
        frozen = InfluenceExplainer(FrozenEstimator(fitted)).fit(X, y)
        assert frozen.loo_estimate().loss.shape == (150,)


def test_searches_and_refusals():
    X, y = data()
    search = LeaveOneOutSearchCV(InfluenceLasso(), {"alpha": [0.05, 0.1, 0.4]}).fit(X, y)
    losses = [
        InfluenceLasso(alpha=alpha).fit(X, y).loo_estimate().mean_loss for alpha in (0.05, 0.1, 0.4)
    ]
    assert search.best_params_["alpha"] == (0.05, 0.1, 0.4)[int(np.argmin(losses))]
    with pytest.raises(NotImplementedError, match="LeaveOneOutSearchCV"):
        optimize_regularization(logistic(InfluenceLogisticRegression, 1.0, 1.0), X, y > 1)
    with pytest.raises(NotImplementedError, match="positive=True"):
        InfluenceLasso(positive=True).fit(X, y).influence(X[:2], y[:2])
    with pytest.raises(TypeError, match="joins all responses"):
        InfluenceExplainer(MultiTaskLasso()).fit(X, np.c_[y, y])
    with pytest.raises(NotImplementedError, match="L1"):
        InfluenceLasso(alpha=0.1).fit(X, y).case_deletion_diagnostics()


def test_the_quadratic_model_is_minimised():
    rng = np.random.default_rng(0)
    for m, rank in ((1, 1), (5, 5), (30, 30), (20, 8)):
        root = rng.normal(size=(m, rank))
        H, g = root @ root.T, rng.normal(size=m)
        g = H @ rng.normal(size=m) + 0.3 * np.sign(g)
        theta, absolute = rng.normal(size=m) * (rng.uniform(size=m) < 0.5), np.full(m, 0.4)
        absolute[0] = 0.4 if rank < m else 0.0
        step = solve_elastic_net(H, g, theta, absolute)
        slope, at = g + H @ step, theta + step
        np.testing.assert_allclose(slope[at != 0], -(absolute * np.sign(at))[at != 0], atol=1e-9)
        assert (np.abs(slope) <= absolute + 1e-9).all()


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_columns_that_are_next_to_dependent(l1_ratio, noise):
    # Sweeps alone take millions of rounds here: the penalty alone says which column is to have it.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    X = np.c_[X, X[:, :3] @ rng.normal(size=(3, 3)) + noise * rng.normal(size=(300, 3))]
    y = X[:, :6].sum(axis=1) + 3.0 * rng.normal(size=300) > 0
    model = logistic(InfluenceLogisticRegression, 1e6, l1_ratio).set_params(tol=1e-2).fit(X, y)
    record = model.__optimum_record__()
    assert record.converged
    assert record.n_steps <= 12
    if l1_ratio == 1.0:
        assert np.count_nonzero(model.coef_) <= 12  # a vertex: no dependent columns among them


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
@pytest.mark.parametrize("weighted", [False, True])
def test_duality_gaps(l1_ratio, fit_intercept, weighted, sparse):
    X, Y = data(n_outputs=2)
    w = weights(0, len(Y)) if weighted else None
    kind = {"alpha": 0.1, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept}
    at = sp.csr_array(X) if sparse else X
    model = InfluenceElasticNet(**kind).fit(at, Y, w)
    assert model.dual_gap_.shape == (2,)
    assert np.abs(model.dual_gap_).max() < 1e-13
    # Away from the optimum it bounds how far the objective is above its minimum.
    objective = model.__fitted_problem__().objective
    mass = objective.sample_weight.sum()
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1, 1.0):
        coef = model.coef_ + size * rng.normal(size=model.coef_.shape)
        moved = objective.design.pack(coef, np.zeros(2))
        residual = Y - objective.at(moved).eta
        best = np.average(residual, axis=0, weights=w) if fit_intercept else np.zeros(2)
        moved = objective.design.pack(coef, best)
        gaps = duality_gaps(objective.at(moved))
        excess = [
            (objective.output(k).at(moved[[k]]).value - objective.output(k).value) / mass
            for k in range(2)
        ]
        assert (gaps >= np.array(excess) - 1e-12).all()
    single = InfluenceElasticNet(**kind).fit(at, Y[:, 0], w)
    assert np.ndim(single.dual_gap_) == 0
    # It is scikit-learn's under L1 alone, and below it where there is an L2 part to make use of.
    original = ElasticNet(**kind, max_iter=2, tol=1e-12)
    with pytest.warns(ConvergenceWarning):
        original.fit(X, Y[:, 0], w)
    gap = duality_gaps(adapt(original, TrainingData(X, Y[:, 0], w)).objective)[0]
    if l1_ratio == 1.0:
        np.testing.assert_allclose(gap, original.dual_gap_, rtol=1e-9)
    else:
        assert 0 < gap < original.dual_gap_


def test_the_rows_need_no_check_and_stay_as_they_are():
    X, y = data()
    expected = InfluenceLasso(alpha=0.1).fit(X, y).coef_
    for order in "CF":
        for options in ({"copy_X": False}, {"copy_X": True}):
            rows = np.array(X, order=order)
            if order == "C":  # scikit-learn's solver refuses them
                with pytest.raises(ValueError, match="should be in Fortran order"):
                    InfluenceLasso(alpha=0.1, **options).fit(rows, y, check_input=False)
                continue
            model = InfluenceLasso(alpha=0.1, **options).fit(rows, y, check_input=False)
            np.testing.assert_array_equal(rows, X)
            np.testing.assert_allclose(model.coef_, expected, atol=1e-12)
            assert np.isfinite(model.influence(X[:2], y[:2])).all()


def test_newton_at_a_leverage_of_1_is_undefined_and_said():
    # As many coefficients are active as there are rows: without a row others become active, of
    # which one step knows nothing.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 60))
    y = X[:, :5].sum(axis=1) + 0.5 * rng.normal(size=30)
    model = InfluenceLasso(alpha=3e-4, max_iter=100_000).fit(X, y)
    with pytest.warns(RuntimeWarning, match="30 rows left undefined"):
        influence, info = model.influence(X, y, method="newton", return_info=True)
    assert np.isnan(influence).all()
    assert (info.method == "undefined").all()
    influence, info = model.influence(X, y, return_info=True)
    assert np.isfinite(influence).all()
    assert (info.method == "refined").all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_leaving_rows_out_at_a_tiny_penalty_takes_less_than_refitting(seed):
    """Without each row the active set is another (p > n): every row is a refit of its own."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, 60))
    y = X[:, :5] @ rng.standard_normal(5) + 0.5 * rng.standard_normal(30)
    model = InfluenceLasso(alpha=3e-4, max_iter=100_000).fit(X, y)
    model.loo_estimate()

    def spent(function):
        start = time.process_time()
        result = function()
        return time.process_time() - start, result

    def refits():
        kept = [np.delete(np.arange(30), row) for row in range(30)]
        fits = [Lasso(alpha=3e-4, max_iter=100_000).fit(X[rows], y[rows]) for rows in kept]
        return np.array([fit.predict(X[[row]])[0] for row, fit in enumerate(fits)])

    turns = [(spent(model.loo_estimate), spent(refits)) for _ in range(5)]
    ours, theirs = (min(took for took, _ in part) for part in zip(*turns, strict=True))
    estimate = turns[0][0][1]
    assert set(estimate.method) <= {"refined", "exact"}
    assert ours < theirs  # at scikit-learn's default tolerance, which is a looser one
    row = 7
    rows = np.delete(np.arange(30), row)
    tight = Lasso(alpha=3e-4, max_iter=10_000_000, tol=1e-12).fit(X[rows], y[rows])
    np.testing.assert_allclose(
        estimate.decision_function[row], tight.predict(X[[row]])[0], atol=1e-5
    )


def test_what_rounding_leaves_of_a_coefficient_of_zero_is_zero():
    X, y = np.eye(2), np.array([1.04872701, 0.68938707])
    assert 0 < abs(Lasso(alpha=0.00253).fit(X, y).coef_[1]) < 1e-15  # scikit-learn leaves 1e-17
    model = InfluenceLasso(alpha=0.00253).fit(X, y)
    assert model.coef_[1] == 0
    assert np.isfinite(model.influence(X, y, curvature="cg")).all()


@pytest.mark.parametrize("kept", range(7))
def test_what_is_left_is_one_row(kept):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(7, 1)) + 1000.0, rng.normal(size=7)
    X[6] = X[:6].mean()  # a row that is nearly the mean: its centred column is all but 0
    model = InfluenceLasso(alpha=0.03).fit(X, y)
    assert model.coef_[0] != 0
    others = np.setdiff1d(np.arange(7), kept)
    effect = model.group_influence([others], X, target="prediction", method="exact")
    np.testing.assert_allclose(effect[:, 0] + model.predict(X), y[kept], atol=1e-9)


def test_dependent_columns_under_an_l1_penalty_are_told_what_an_l2_part_does():
    X, _ = problem(7, n=40, p=3)
    response = X[:, 0] + 0.5 * np.random.default_rng(0).standard_normal(40) > 0
    twice = np.c_[X[:, 1], X[:, 0], X[:, 2], X[:, 0]]
    model = logistic(InfluenceLogisticRegression, 1.0, 1.0).fit(twice, response)
    assert (model.coef_ != 0).tolist() == [[False, True, False, True]]
    with pytest.raises(np.linalg.LinAlgError, match="An L1 penalty leaves open") as raised:
        model.influence(twice[:2], response[:2])
    assert "column 1, column 3" in str(raised.value)  # not their positions in the active set
    assert "a positive alpha" not in str(raised.value)
    assert "elastic net" in str(raised.value)
    with pytest.raises(ValueError, match="needs columns with an L2 penalty"):
        InfluenceLasso(alpha=0.1).fit(X, X[:, 0]).influence(X, X[:, 0], curvature="dual")
