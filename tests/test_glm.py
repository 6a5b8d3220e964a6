"""Generalised linear models, whose rows own a share of the penalty, against refits without them."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluencePoissonRegressor,
    InfluenceTweedieRegressor,
)
from skinfluence.curvature import make_curvature
from skinfluence.deletion import OneStep
from skinfluence.deletion.targets import target_names
from skinfluence.evaluation import agreement
from skinfluence.leave_one_out import leave_one_out
from skinfluence.penalties import L2
from skinfluence.problem import fitted_problem
from tests.cases import weights
from tests.oracles import differences

# The oracle's own Newton solver, asked for all digits, falls back on lbfgs at the last of them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inner solver of NewtonCholesky"),
    pytest.mark.filterwarnings("ignore:Line search of Newton solver"),
]
PRECISE = {"solver": "newton-cholesky", "tol": 1e-13, "max_iter": 1000}


def data(family="poisson", n=60, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    eta = X @ rng.normal(scale=0.4, size=p) + 0.7
    if family == "normal":
        return X, eta + rng.normal(size=n)
    mean = np.exp(eta)
    noise = {
        "poisson": lambda: rng.poisson(mean),
        "gamma": lambda: mean * rng.gamma(3.0, size=n) / 3.0,
        "compound": lambda: mean * rng.poisson(1.0, size=n) * rng.gamma(2.0, size=n),
        "positive": lambda: 4.0 + eta + rng.uniform(size=n),
        "lognormal": lambda: mean + 0.2 * rng.normal(size=n),
    }
    return X, noise[family]().astype(float)


# name: (model, the same by scikit-learn, distribution)
MODELS = {
    "poisson": (InfluencePoissonRegressor, PoissonRegressor, "poisson", {"alpha": 0.3}),
    "poisson-weak": (InfluencePoissonRegressor, PoissonRegressor, "poisson", {"alpha": 1e-6}),
    "poisson-none": (InfluencePoissonRegressor, PoissonRegressor, "poisson", {"alpha": 0}),
    "poisson-no-intercept": (
        InfluencePoissonRegressor,
        PoissonRegressor,
        "poisson",
        {"alpha": 0.2, "fit_intercept": False},
    ),
    "gamma": (InfluenceGammaRegressor, GammaRegressor, "gamma", {"alpha": 0.3}),
    "tweedie": (
        InfluenceTweedieRegressor,
        TweedieRegressor,
        "compound",
        {"power": 1.5, "alpha": 0.3},
    ),
    "normal": (InfluenceTweedieRegressor, TweedieRegressor, "normal", {"alpha": 0.3}),
    "normal-log": (
        InfluenceTweedieRegressor,
        TweedieRegressor,
        "lognormal",
        {"power": 0, "link": "log", "alpha": 0.1},
    ),
    "poisson-identity": (
        InfluenceTweedieRegressor,
        TweedieRegressor,
        "positive",
        {"power": 1, "link": "identity", "alpha": 0.3},
    ),
}


def build(name, *, weighted, seed=0, zeros=2):
    ours, theirs, family, params = MODELS[name]
    X, y = data(family, seed=seed)
    w = weights(seed, len(y), zeros=zeros) if weighted else None
    if params.get("link") == "identity":  # its Newton solver leaves the domain
        precise = {"solver": "lbfgs", "tol": 1e-12, "max_iter": 10_000}
    else:
        precise = PRECISE
    return X, y, w, ours(**params, max_iter=1000).fit(X, y, w), theirs(**params, **precise)


def refit(original, X, y, w, dropped):
    keep = np.setdiff1d(np.arange(len(y)), dropped)
    return clone(original).fit(X[keep], y[keep], None if w is None else w[keep])


def parameters(model):
    return np.r_[model.coef_, model.intercept_]


def changes(original, X, y, w, rows):
    full = parameters(clone(original).fit(X, y, w))
    return np.array([parameters(refit(original, X, y, w, row)) - full for row in rows])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_deletions_are_refits(name, weighted):
    X, y, w, model, original = build(name, weighted=weighted)
    precise = MODELS[name][3].get("link") != "identity" and name != "normal-log"
    tolerance = 3e-8 if precise else 1e-6  # of lbfgs
    full = clone(original).fit(X, y, w)
    np.testing.assert_allclose(parameters(model), parameters(full), atol=tolerance)
    rows = np.arange(0, len(y), 3)
    actual = changes(original, X, y, w, rows)
    found = {
        method: model.parameter_influence(method=method, train_indices=rows)
        for method in ("first_order", "newton", "exact")
    }
    found = {method: np.c_[each.coef, each.intercept] for method, each in found.items()}
    np.testing.assert_allclose(found["exact"], actual, atol=tolerance)
    newton = agreement(found["newton"], actual)
    first = agreement(found["first_order"], actual)
    assert abs(newton.slope - 1) < 0.05
    assert newton.relative_rmse < 0.1
    assert abs(newton.intercept) < 0.05 * np.std(actual)
    assert newton.relative_rmse < first.relative_rmse
    loo = model.loo_estimate()
    assert set(loo.method) == {"exact"}
    for position, row in enumerate(rows):
        without = refit(original, X, y, w, row)
        np.testing.assert_allclose(
            loo.prediction[row], without.predict(X[[row]])[0], rtol=10 * tolerance
        )
        np.testing.assert_allclose(
            model.influence(X[:5], target="prediction", method="exact")[:, row],
            without.predict(X[:5]) - full.predict(X[:5]),
            atol=1e2 * tolerance,
        )
        if position > 3:
            break


@pytest.mark.parametrize("weighted", [False, True])
def test_the_share_of_the_penalty_counts(weighted):
    """Median relative error of a coefficient's change below 1.5 % with it, above 5 % without."""
    with_share, without_share = [], []
    for seed in range(6):
        X, y, w, model, original = build("poisson", weighted=weighted, seed=seed, zeros=0)
        rows = np.arange(len(y))
        actual = changes(original, X, y, w, rows)[:, :-1]
        problem = model.__fitted_problem__()
        objective = problem.objective

        def error(curvature, objective, actual=actual, rows=rows):
            steps = OneStep(objective, curvature, rows, corrected=True).steps(slice(None))
            return np.median(np.abs(steps[:, 0, :-1] - actual) / np.abs(actual))

        curvature = problem.deletion_curvature("newton")
        with_share.append(error(curvature, objective))
        fixed = objective.with_fixed_penalty()
        without_share.append(error(problem.curvature(), fixed))
    assert np.median(with_share) < 0.015
    assert np.median(without_share) > 0.05


@pytest.mark.parametrize("weighted", [False, True])
def test_first_order_is_the_derivative_in_the_weight(weighted):
    X, y, w, model, original = build("poisson", weighted=weighted, zeros=0)
    w = np.ones(len(y)) if w is None else w
    found = model.parameter_influence(method="first_order")

    def fitted(weight):
        return parameters(clone(original).fit(X, y, weight))

    for row in range(0, len(y), 10):
        move = np.zeros(len(y))
        move[row] = 1e-4 * w[row]
        slope = -(fitted(w + move) - fitted(w - move)) / 2e-4
        np.testing.assert_allclose(np.r_[found.coef[row], found.intercept[row]], slope, atol=1e-7)


@pytest.mark.parametrize("name", ["poisson", "gamma", "tweedie", "normal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_target_against_refits(name, weighted):
    X, y, w, model, original = build(name, weighted=weighted)
    T, t = data(MODELS[name][2], seed=3)
    T, t = T[:7], t[:7]
    rows = np.arange(0, len(y), 6)
    full = clone(original).fit(X, y, w)
    half = {
        "loss": lambda y, m: model.__fitted_problem__().objective.loss.value(
            y, m if name == "normal" else np.log(m)
        ),
        "prediction": lambda y, m: m,
        "residual": lambda y, m: y - m,
        "squared_error": lambda y, m: (y - m) ** 2,
        "absolute_error": lambda y, m: np.abs(y - m),
    }
    for target in target_names(regressor=True):
        if target not in half:
            continue
        actual = np.stack(
            [
                half[target](t, refit(original, X, y, w, row).predict(T))
                - half[target](t, full.predict(T))
                for row in rows
            ],
            axis=1,
        )
        found = model.influence(T, t, target=target, method="exact", train_indices=rows)
        np.testing.assert_allclose(found, actual, atol=1e-6)
        newton = model.influence(T, t, target=target, train_indices=rows, method="newton")
        assert agreement(newton, actual).relative_rmse < 0.1
        first = model.influence(T, t, target=target, method="first_order")
        total = model.influence(T, t, target=target, method="first_order", aggregate="sum")
        np.testing.assert_allclose(total, first.sum(axis=0), atol=1e-11)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["poisson", "tweedie", "normal"])
def test_groups_are_refits(name, weighted):
    X, y, w, model, original = build(name, weighted=weighted)
    groups = [[0, 1, 2], [5], list(range(20, 40))]
    full = clone(original).fit(X, y, w)
    actual = np.stack(
        [refit(original, X, y, w, g).predict(X[:9]) - full.predict(X[:9]) for g in groups], axis=1
    )
    exact = model.group_influence(groups, X[:9], target="prediction", method="exact")
    np.testing.assert_allclose(exact, actual, atol=1e-7)
    newton = model.group_influence(groups, X[:9], target="prediction", method="newton")
    assert agreement(newton, actual).relative_rmse < 0.2
    if name == "normal":  # quadratic: the joint step is the refit, whatever the weights
        np.testing.assert_allclose(newton, actual, atol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["poisson", "poisson-weak", "gamma", "tweedie", "normal"])
def test_no_error_bound_is_violated(name, weighted):
    n_finite = 0
    for seed in range(4):
        X, y, w, model, original = build(name, weighted=weighted, seed=seed)
        problem = model.__fitted_problem__()
        objective = problem.objective
        rows = np.arange(len(y))
        steps = changes(original, X, y, w, rows)
        own = objective.eta[:, 0] + np.einsum("ij,ij->i", steps, np.c_[X, np.ones(len(X))])
        for method in ("first_order", "newton", "exact"):
            curvature = problem.deletion_curvature(method)
            left = leave_one_out(objective, curvature, method, tolerance=1e-8).with_errors()
            error = np.abs(left.eta[:, 0] - own)
            assert (error <= left.error_bound + 1e-9).all()
            n_finite += np.isfinite(left.error_bound).sum()
    assert n_finite > 4 * 3 * 60 * 0.8


def test_heavy_rows_are_certified_too():
    """A row with half of all the weight takes half of the penalty with it."""
    X, y = data()
    w = np.ones(len(y))
    w[7] = 30.0
    original = PoissonRegressor(alpha=0.3, **PRECISE)
    model = InfluencePoissonRegressor(alpha=0.3).fit(X, y, w)
    actual = changes(original, X, y, w, np.arange(len(y)))
    exact = model.parameter_influence(method="exact")
    np.testing.assert_allclose(exact.coef, actual[:, :-1], atol=1e-8)
    loo = model.loo_estimate(method="newton")
    own = np.log(model.predict(X)) + np.einsum("ij,ij->i", actual, np.c_[X, np.ones(len(X))])
    assert (np.abs(np.log(loo.prediction) - own) <= loo.error_bound + 1e-9).all()
    exact = model.loo_estimate(method="exact")
    assert (np.abs(np.log(exact.prediction) - own) <= exact.error_bound + 1e-9).all()
    assert np.isfinite(exact.error_bound).all()


@pytest.mark.parametrize("storage", ["csr", "float32", "wide", "read-only"])
def test_storages(storage):
    X, y = data(n=40, p=60 if storage == "wide" else 4)
    w = weights(0, len(y))
    original = PoissonRegressor(alpha=0.5, **PRECISE)
    given = X
    if storage == "csr":
        X = np.where(np.abs(X) > 0.4, X, 0.0)
        given = sp.csr_matrix(X)
    elif storage == "float32":
        given = X.astype(np.float32)
        X = given.astype(float)
    elif storage == "read-only":
        given.flags.writeable = False
    model = InfluencePoissonRegressor(alpha=0.5).fit(given, y, w)
    rows = np.arange(0, 40, 5)
    actual = changes(original, X, y, w, rows)
    for kind in ("dense", "dual") if storage == "wide" else ("dense",):
        found = model.influence(
            given[:6], target="prediction", method="newton", train_indices=rows, curvature=kind
        )
        full = clone(original).fit(X, y, w)
        moved = np.exp(X[:6] @ (full.coef_ + actual[:, :-1]).T + full.intercept_ + actual[:, -1])
        moved -= full.predict(X[:6])[:, None]
        assert agreement(found, moved).relative_rmse < 0.05
    exact = model.parameter_influence(method="exact", train_indices=rows)
    np.testing.assert_allclose(exact.coef, actual[:, :-1], atol=1e-8)


def test_the_last_positive_count_has_no_deletion():
    X, y = data(n=30)
    y = np.zeros(30)
    y[4] = 2.0
    for alpha in (0.0, 0.5):
        with pytest.warns(RuntimeWarning, match="row 4"):
            found = InfluencePoissonRegressor(alpha=0.5).fit(X, y).self_influence()
        assert np.flatnonzero(np.isnan(found)).tolist() == [4], alpha
    kept = InfluencePoissonRegressor(alpha=0.5, fit_intercept=False).fit(X, y)
    original = PoissonRegressor(alpha=0.5, fit_intercept=False, **PRECISE)
    exact = kept.parameter_influence(method="exact").coef[4]
    assert np.abs(kept.coef_ + exact).max() < 1.0
    np.testing.assert_allclose(exact, changes(original, X, y, None, [4])[0, :-1], atol=1e-8)


def test_the_last_positive_count_of_a_dummy_column():
    X, y = data(n=40)
    X = np.c_[X[:, :2], np.arange(40) < 5]
    y[:5] = [3.0, 0, 0, 0, 0]
    with pytest.warns(RuntimeWarning, match="1 row left undefined"):
        found = InfluencePoissonRegressor(alpha=0).fit(X, y).self_influence()
    assert np.flatnonzero(np.isnan(found)).tolist() == [0]
    model = InfluencePoissonRegressor(alpha=1e-2).fit(X, y)
    original = PoissonRegressor(alpha=1e-2, **PRECISE)
    exact = model.parameter_influence(method="exact").coef
    np.testing.assert_allclose(exact[0], changes(original, X, y, None, [0])[0, :-1], atol=1e-7)


def test_an_indefinite_curvature_is_an_error():
    """Far from its minimum a deviance that is not convex bends downwards."""
    X, y = data("gamma", n=40)
    model = InfluenceTweedieRegressor(power=3, alpha=0.0).fit(X, y)
    objective = model.__fitted_problem__().objective
    far = objective.theta + np.array([0, 0, 0, 0, 3.0])
    with pytest.raises(np.linalg.LinAlgError, match="indefinite"):
        make_curvature(objective.at(far))
    for row in (0, 20):
        exact = model.parameter_influence(method="exact", train_indices=[row]).coef[0]
        rest = np.arange(40) != row
        without = InfluenceTweedieRegressor(power=3, alpha=0.0).fit(X[rest], y[rest])
        np.testing.assert_allclose(exact, without.coef_ - model.coef_, atol=1e-7)


def test_bad_labels_are_named():
    X, y = data()
    model = InfluencePoissonRegressor().fit(X, y)
    with pytest.raises(ValueError, match=r"y_test should be non-negative .*got -1"):
        model.influence(X[:2], [1.0, -1.0])
    with pytest.raises(ValueError, match="out of the valid range"):
        InfluenceGammaRegressor().fit(X, np.zeros(len(X)))


def test_pipelines_scores_and_frozen_models():
    X, y, w, _model, _original = build("poisson", weighted=True)
    pipe = make_pipeline(StandardScaler(), PoissonRegressor(alpha=0.1, **PRECISE))
    explainer = InfluenceExplainer(pipe).fit(X, y, w)
    fitted = StandardScaler().fit_transform(X)
    scorer = get_scorer("neg_mean_poisson_deviance")
    original = PoissonRegressor(alpha=0.1, **PRECISE)
    full = clone(original).fit(fitted, y, w)
    found = explainer.score_influence(
        X, y, scoring="neg_mean_poisson_deviance", method="exact", train_indices=[3, 8]
    )
    for position, row in enumerate([3, 8]):
        change = scorer(refit(original, fitted, y, w, row), fitted, y) - scorer(full, fitted, y)
        np.testing.assert_allclose(found[position], change, atol=1e-8)


def test_penalties_add_up():
    one, other = L2(np.array([1.0, 0.0, np.inf])), L2(np.array([0.5, 2.0, 0.0]))
    theta = np.array([[2.0, -1.0, 0.0]])
    total = one.plus(other.times(3.0))
    np.testing.assert_array_equal(total.strength, [2.5, 6.0, np.inf])
    assert total.value(theta) == pytest.approx(one.value(theta) + 3.0 * other.value(theta))
    slope = differences(lambda t: total.values(t[..., None, :]), theta)
    np.testing.assert_allclose(total.gradient(theta), slope, atol=1e-9)


def _unequal_weights(rng, n, p, alpha):
    """A small Poisson model whose rows have weights from .2 to 5."""
    X = rng.normal(size=(n, p))
    y = 1.0 + rng.poisson(np.exp(0.5 * X[:, 0]))
    return InfluencePoissonRegressor(alpha=alpha).fit(X, y, rng.choice([0.2, 1.0, 5.0], n))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_newton_with_unequal_weights_estimates_its_error(alpha):
    # One factor serves all rows: it has lost the mean row's share of the penalty, not each row's
    # own. The error estimate, by the row's own gradient at the step, counts that as well.
    rng, truth, estimate, of_share = np.random.default_rng(0), [], [], []
    for _ in range(12):
        problem = fitted_problem(_unequal_weights(rng, 12, 3, alpha))
        objective, newton = problem.objective, problem.deletion("newton")
        refits = problem.deletion("exact").own_change()[:, 0]
        step = newton.own_change()[:, 0]
        truth.append(np.abs(step - refits))
        estimate.append(problem.step_info(newton, "newton").error_estimate)
        Z, weight = objective.design.dense(slice(None)), objective.sample_weight
        penalty = alpha * np.diag([1.0, 1.0, 1.0, 0.0])
        H = (Z.T * objective.weights[:, 0, 0]) @ Z + weight.sum() * penalty
        own = []
        for i, (z, w) in enumerate(zip(Z, weight, strict=True)):
            G = H - objective.weights[i, 0, 0] * np.outer(z, z) - w * penalty
            right = objective.residuals[i, 0] * z + w * penalty @ objective.theta[0]
            own.append(z @ np.linalg.solve(G, right))
        of_share.append(np.abs(step - own) / np.sqrt(np.mean(refits**2)))
    truth, estimate = np.concatenate(truth), np.concatenate(estimate)
    assert np.sqrt(np.mean(np.square(of_share))) < 0.1  # the documented few per cent
    assert np.mean(estimate > 0.5 * truth) > 0.9
    assert 0.8 < np.median(estimate / truth) < 1.5
