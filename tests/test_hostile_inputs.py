"""Inputs on the edge of a model: NaN with a warning, or a sentence that says why; never a crash."""

import time
import warnings

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    HuberRegressor,
    LogisticRegression,
    PoissonRegressor,
    TweedieRegressor,
)
from sklearn.svm import SVC, LinearSVC

from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.problem import fitted_problem
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC

METHODS = ["first_order", "newton", "exact", "auto"]
UNDEFINED = r"left undefined \(NaN\)"


def data(n=12, p=2, seed=0):
    """Rows, and responses that they explain."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X @ np.arange(1.0, p + 1) + rng.normal(size=n)


# -- classes without weight ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        InfluenceLogisticRegression(),
        InfluenceExplainer(SVC()),
        InfluenceExplainer(SVC(kernel="linear")),
        InfluenceExplainer(LinearSVC()),
        InfluenceExplainer(LogisticRegression()),
        SmoothHingeSVC(),
        SmoothHingeSVC(loss="hinge", kernel="rbf"),
        KernelLogisticRegression(),
    ],
    ids=str,
)
def test_a_class_wholly_of_weight_0(model):
    X, _ = data()
    y = np.repeat(["a", "b", "c"], 4)
    weight = np.repeat([1.0, 1.0, 0.0], 4)
    with pytest.raises(ValueError, match="class 'c' has no row of positive weight"):
        model.fit(X, y, weight).influence(X, y)


# -- rows without which nothing is left ------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "model",
    [
        InfluenceRidge(),
        InfluenceElasticNet(alpha=0.1),
        InfluencePoissonRegressor(),
        InfluenceGammaRegressor(),
        InfluenceKernelRidge(fit_intercept=True),
        InfluenceKernelRidge(fit_intercept=True, kernel="rbf"),
    ],
    ids=str,
)
def test_the_only_row(model, method):
    X = np.array([[1.0, 2.0]])
    model.fit(X, [3.0])
    with pytest.warns(RuntimeWarning, match=f"1 row {UNDEFINED}"):
        assert np.isnan(model.influence(X, [3.0], method=method)).all()
    with pytest.warns(RuntimeWarning, match=f"1 group {UNDEFINED}"):
        assert np.isnan(model.group_influence([[0]], X, [3.0], method=method)).all()
    with pytest.warns(RuntimeWarning, match=f"1 row {UNDEFINED}"):
        assert model.loo_estimate(method=method).method.tolist() == ["undefined"]


@pytest.mark.parametrize("method", METHODS)
def test_the_only_row_of_positive_weight(method):
    X, y = data()
    weight = np.zeros(12)
    weight[3] = 2.0
    model = InfluenceRidge().fit(X, y, weight)
    with pytest.warns(RuntimeWarning, match=f"1 row {UNDEFINED}"):
        influence = model.influence(X, y, method=method)
    assert np.isnan(influence[:, 3]).all()
    np.testing.assert_array_equal(np.delete(influence, 3, axis=1), 0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "model",
    [
        InfluenceRidge(),
        InfluenceRidge(fit_intercept=False),
        InfluenceLinearRegression(),
        InfluenceElasticNet(alpha=0.05, fit_intercept=False),
        InfluenceLogisticRegression(),
        InfluenceLogisticRegression(fit_intercept=False),
        InfluencePoissonRegressor(),
        InfluencePoissonRegressor(fit_intercept=False),
        InfluenceTweedieRegressor(power=1.1),
        InfluenceGammaRegressor(fit_intercept=False),
        InfluenceHuberRegressor(fit_intercept=False),
        SmoothQuantileRegressor(temperature=0.1, fit_intercept=False),
        InfluenceKernelRidge(kernel="rbf"),
        KernelLogisticRegression(kernel="rbf"),
        SmoothHingeSVC(fit_intercept=False),
        SmoothHingeSVC(loss="hinge", kernel="rbf"),
        SmoothEpsilonSVR(fit_intercept=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("p", [2, 20])
def test_a_group_of_all_rows(model, method, p):
    X, y = data(12, p)
    if isinstance(model, InfluenceLinearRegression | InfluenceHuberRegressor) and p == 20:
        return  # no model to begin with
    y = (y > 0).astype(int) if is_classifier(model) else abs(y)
    model.fit(X, y)
    with pytest.warns(RuntimeWarning, match=rf"1 group {UNDEFINED}: without group 1 ") as said:
        influence, info = model.group_influence(
            [[0, 1], range(12)], X, y, method=method, return_info=True
        )
    assert len(said) == 1
    assert np.isfinite(influence[:, 0]).all()
    assert np.isnan(influence[:, 1]).all()
    assert info.method[1] == "undefined"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [InfluenceRidge(fit_intercept=False), InfluenceKernelRidge()])
def test_the_only_row_of_a_model_through_the_origin(model, method):
    # Its objective has an optimum without a row, 0; but there is no fit to no rows.
    X, y = np.array([[1.0, 2.0]]), [3.0]
    model.fit(X, y)
    with pytest.warns(RuntimeWarning, match=f"1 row {UNDEFINED}"):
        assert np.isnan(model.influence(X, y, target="prediction", method=method)).all()


@pytest.mark.parametrize("power", [1.0, 1.1, 1.9])
def test_group_refits_that_exist(power):
    # Columns twice, next to no penalty, and rows of the group so far out after the refit that their
    # loss overflows: it has no part in it.
    rng = np.random.default_rng(3)
    for _ in range(12):
        X = rng.normal(size=(12, 3)) * 100.0
        X = np.c_[X, X]
        y = rng.poisson(1.5, 12) * rng.gamma(2.0, 1.0, 12)
        model = InfluenceTweedieRegressor(power=power, alpha=1e-7, solver="newton-cholesky")
        model.fit(X, y)
        groups = [rng.permutation(12)[:8] for _ in range(5)]
        groups = [group for group in groups if np.delete(y, group).any()]
        problem = fitted_problem(model)
        deletion = problem.group_deletion(groups, "exact")
        coef, intercept = problem.objective.design.unpack(
            problem.objective.theta + deletion.steps(slice(None))
        )
        for group, w, b in zip(groups, coef[:, 0], intercept[:, 0], strict=True):
            kept = np.setdiff1d(np.arange(12), group)
            mu = np.exp(X[kept] @ w + b)
            slope = mu ** (2 - power) - y[kept] * mu ** (1 - power)
            gradient = X[kept].T @ slope + 4e-7 * w
            terms = np.abs(X[kept]).T @ (mu ** (2 - power) + y[kept] * mu ** (1 - power))
            assert (np.abs(gradient) <= 1e-8 * terms).all()


# -- coefficients that are all 0 -------------------------------------------------------------------

NOTHING_ACTIVE = {
    "liblinear": InfluenceLogisticRegression(C=0.01, solver="liblinear"),
    "saga": InfluenceLogisticRegression(C=0.01, solver="saga", fit_intercept=False),
    "lasso": InfluenceLasso(alpha=100.0, fit_intercept=False),
    "elastic net": InfluenceElasticNet(alpha=100.0, fit_intercept=False),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NOTHING_ACTIVE)
def test_nothing_is_active(name, method, capfd):
    X, y = data()
    model = NOTHING_ACTIVE[name]
    if name in ("liblinear", "saga"):
        y = (y > 0).astype(int)
        # The penalty is L1 by l1_ratio from scikit-learn 1.8, by its name before.
        newer = model.get_params().get("penalty", "deprecated") == "deprecated"
        model = model.set_params(**({"l1_ratio": 1.0} if newer else {"penalty": "l1"}))
    model.fit(X, y)
    assert not model.coef_.any()
    np.testing.assert_array_equal(model.influence(X, y, method=method), 0.0)
    np.testing.assert_array_equal(model.self_influence(method=method), 0.0)
    assert not model.parameter_influence(method=method).coef.any()
    left = model.loo_estimate(method=method)
    np.testing.assert_allclose(left.loss.mean(), left.train_loss)
    assert capfd.readouterr() == ("", "")


# -- fits that collapse ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:R.2 score is not well-defined")  # of the one row that is left
@pytest.mark.parametrize("alpha", [0.0, 1e-4])
@pytest.mark.parametrize("method", METHODS)
def test_a_huber_scale_that_falls_to_0(method, alpha):
    # Without any of the rows the others lie on a line but for one at most.
    X, y = np.arange(4.0)[:, None], np.array([0.0, 1.0, 2.0, 5.0])
    model = InfluenceHuberRegressor(alpha=alpha, max_iter=1000).fit(X, y)
    if method == "first_order":
        assert np.isfinite(model.influence(X, y, method=method)).all()
        return
    with pytest.warns((RuntimeWarning, UserWarning), match="NaN"):
        influence = model.influence(X, y, method=method)
    assert not np.isinf(influence).any()
    assert np.isnan(influence[:, [0, 1, 3]]).all()
    if method == "exact":
        assert np.isnan(influence).all()
    with pytest.warns((RuntimeWarning, UserWarning), match="NaN"):
        groups = model.group_influence([[0], [1], [3]], X, y, method=method)
    assert np.isnan(groups).all()
    with pytest.warns((RuntimeWarning, UserWarning), match="NaN"):
        left = model.loo_estimate(method=method)
    assert not np.isinf(left.loss).any()
    assert np.isnan(left.loss[[0, 1, 3]]).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("far", [1.0, 1e8])
def test_a_huber_row_of_weight_0(method, far):
    # A row of weight 0, however far out, is as one that is not there: no warning, no refusal.
    X, y = data(30)
    weight = (np.arange(30) != 5).astype(float)
    y[5] *= far
    model = InfluenceHuberRegressor(max_iter=1000, tol=1e-9).fit(X, y, weight)
    dropped = InfluenceHuberRegressor(max_iter=1000, tol=1e-9).fit(X[weight > 0], y[weight > 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        left = model.loo_estimate(method=method)
        influence = model.influence(X[:3], y[:3], method=method)
    assert left.error_estimate[5] < 1e-11  # rounding
    expected = dropped.influence(X[:3], y[:3], method=method)
    size = np.abs(expected).max()
    np.testing.assert_allclose(influence[:, weight > 0], expected, atol=1e-6 * size)
    np.testing.assert_array_equal(influence[:, 5], 0.0)


def test_a_huber_scale_of_0():
    X = np.arange(3.0)[:, None]
    model = InfluenceHuberRegressor(alpha=0.0).fit(X, X[:, 0])
    for asked in (model, InfluenceExplainer(HuberRegressor(alpha=0.0)).fit(X, X[:, 0])):
        with pytest.raises(NotImplementedError, match="scale of the fit tends to 0"):
            asked.influence(X, X[:, 0])


# -- no optimum ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [InfluencePoissonRegressor(), InfluenceTweedieRegressor(power=1.5)], ids=str
)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_positive_count(model, weighted):
    X, _ = data()
    y, weight = np.zeros(12), None
    if weighted:
        y[4], weight = 3.0, np.ones(12)
        weight[4] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's solver divides by 0
        model.fit(X, y, weight)
        frozen = InfluenceExplainer(FrozenEstimator(PoissonRegressor().fit(X, y, weight)))
        frozen.fit(X, y, weight)
    for asked in (model, frozen):
        with pytest.raises(np.linalg.LinAlgError, match="no optimum: all y of positive weight"):
            asked.influence(X, y)


def test_no_positive_count_without_an_intercept():
    X, _ = data()
    model = InfluencePoissonRegressor(fit_intercept=False).fit(X, np.zeros(12))
    exact = model.influence(X, np.zeros(12), method="exact")
    refit = PoissonRegressor(fit_intercept=False, tol=1e-12, max_iter=1000)
    refit.fit(X[1:], np.zeros(11))
    np.testing.assert_allclose(
        exact[:, 0], np.exp(X @ refit.coef_) - np.exp(X @ model.coef_), atol=1e-6
    )


def test_a_fitted_mean_that_is_none():
    X = np.linspace(-3.0, 3.0, 12)[:, None]
    y = np.exp(X[:, 0])
    fitted = TweedieRegressor(power=1.5, link="identity", alpha=1.0)
    fitted.coef_, fitted.intercept_, fitted.n_features_in_ = np.array([2.0]), 1.0, 1
    explainer = InfluenceExplainer(FrozenEstimator(fitted)).fit(X, y)
    with pytest.raises(np.linalg.LinAlgError, match=r"no optimum was found.* link='identity'"):
        explainer.influence(X, y)


# -- sizes that float64 does not resolve -----------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        SmoothEpsilonSVR(),
        SmoothEpsilonSVR(kernel="rbf"),
        SmoothQuantileRegressor(temperature=0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1e16, 1e200])
def test_responses_that_drown_the_temperature(model, size):
    X, y = data(14)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"temperature=0.*below the rounding of y"):
        model.fit(X, size * y)
    assert time.perf_counter() - start < 5.0


# -- other shapes of the same ----------------------------------------------------------------------


def test_influence_after_sparsify():
    X, y = data()
    y = (y > 0).astype(int)
    model = InfluenceLogisticRegression().fit(X, y)
    influence, coef = model.influence(X, y), model.parameter_influence().coef
    model.sparsify()
    np.testing.assert_array_equal(model.influence(X, y), influence)
    np.testing.assert_array_equal(model.parameter_influence().coef, coef)
    linear = LinearSVC(loss="squared_hinge", tol=1e-8).fit(X, y)
    influence = InfluenceExplainer(FrozenEstimator(linear)).fit(X, y).influence(X, y)
    linear.sparsify()
    again = InfluenceExplainer(FrozenEstimator(linear)).fit(X, y).influence(X, y)
    np.testing.assert_allclose(again, influence, atol=1e-12)


def test_a_single_class_has_no_influence():
    X, _ = data()
    model = InfluenceRidgeClassifier().fit(X, np.ones(12))  # as scikit-learn's does
    np.testing.assert_array_equal(model.predict(X), 1.0)
    with pytest.raises(ValueError, match=r"needs at least 2 classes; y has the 1 class"):
        model.influence(X, np.ones(12))


@pytest.mark.parametrize("model", [InfluenceRidge(), InfluenceLinearRegression()], ids=str)
def test_weights_of_two_dimensions(model):
    X, y = data()
    with pytest.raises(ValueError, match=r"Sample weights must be 1D .* shape \(12, 1\)"):
        model.fit(X, y, np.ones((12, 1)))


@pytest.mark.parametrize("C", [1e20, 1e100])
def test_separable_data_under_next_to_no_penalty(C):
    # scikit-learn stops at a loss of 1e-4; the optimum is where the penalty is felt.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(10, 20)), np.repeat([0, 1], 5)
    model = InfluenceLogisticRegression(C=C).fit(X, y)  # no warning
    residual = model.predict_proba(X)[:, 1] - y
    log_odds = np.abs(model.decision_function(X))
    # At the optimum w = -C sum_i g_i x_i: sizes of 1e-18 and less, right to their last digits.
    gradient = np.where(y, -1, 1) * np.exp(-np.logaddexp(0.0, log_odds))
    expected = -C * gradient @ X
    np.testing.assert_allclose(model.coef_[0], expected, atol=1e-8 * np.abs(expected).max())
    assert np.abs(residual).max() < 1e-15
    assert abs(gradient.sum()) < 1e-8 * np.abs(gradient).sum()
