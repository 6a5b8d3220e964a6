"""The default score of generalised linear models: D2, as their own `score` is."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor
from sklearn.metrics import d2_tweedie_score, r2_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import skinfluence
from skinfluence import InfluenceExplainer, InfluencePoissonRegressor
from skinfluence.display import ScoreInfluenceDisplay
from skinfluence.link import DevianceExplained
from skinfluence.model_selection import LeaveOneOutSearchCV, loo_scorer
from skinfluence.robustness import score

EXACT = {"tol": 1e-10, "max_iter": 10_000}
MODELS = {
    "poisson": (PoissonRegressor(**EXACT), 1.0),
    "gamma": (GammaRegressor(**EXACT), 2.0),
    "tweedie": (TweedieRegressor(power=1.5, **EXACT), 1.5),
    "inverse gaussian": (TweedieRegressor(power=3.0, alpha=3.0, **EXACT), 3.0),
    "normal, log": (TweedieRegressor(power=0.0, link="log", **EXACT), 0.0),
    "normal": (TweedieRegressor(power=0.0, **EXACT), 0.0),
}


def data(power, n=40):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 3))
    mean = np.exp(0.5 * X[:, 0] + 1.0)
    y = rng.poisson(mean) if power in (1.0, 1.5) else rng.gamma(3.0, mean / 3.0) + 0.1
    return X, y.astype(float), rng.uniform(0.2, 3.0, n)


@pytest.mark.parametrize("name", MODELS)
def test_a_search_scores_by_the_estimators_own_score(name):
    model, power = MODELS[name]
    X, y, _ = data(power)
    grid = {"alpha": [0.1, 1.0]}
    search = LeaveOneOutSearchCV(model, grid, method="exact").fit(X, y)
    for alpha, found in zip(grid["alpha"], search.cv_results_["mean_test_score"], strict=True):
        model.set_params(alpha=alpha)
        predicted = cross_val_predict(model, X, y, cv=LeaveOneOut())
        assert found == pytest.approx(d2_tweedie_score(y, predicted, power=power), abs=1e-6)
    assert np.isfinite(search.cv_results_["standard_error_test_score"]).all()
    best = search.best_estimator_
    own = d2_tweedie_score(y, best.predict(X), power=power)
    assert search.score(X, y) == pytest.approx(own) == pytest.approx(best.score(X, y))
    view = InfluenceExplainer(best).fit(X, y)
    assert view.loo_estimate(method="exact").score == pytest.approx(search.best_score_)
    assert view.score(X, y) == pytest.approx(own)


@pytest.mark.parametrize("name", ["poisson", "gamma", "tweedie"])
def test_weights_are_those_of_the_deviance(name):
    model, power = MODELS[name]
    X, y, weight = data(power)
    view = InfluenceExplainer(model).fit(X, y, sample_weight=weight)
    loo = view.loo_estimate(method="newton")
    expected = d2_tweedie_score(y, loo.prediction, power=power, sample_weight=weight)
    assert loo.score == pytest.approx(expected, rel=1e-12)
    found = view.score_influence(
        X[:20], y[:20], test_sample_weight=weight[:20], method="exact", train_indices=[1, 30]
    )
    before = model.fit(X, y, weight).score(X[:20], y[:20], weight[:20])
    for row, effect in zip((1, 30), found, strict=True):
        kept = np.arange(len(y)) != row
        after = model.fit(X[kept], y[kept], weight[kept]).score(X[:20], y[:20], weight[:20])
        assert effect == pytest.approx(after - before, abs=1e-6)


def test_the_default_is_one_everywhere():
    X, y, _ = data(1.0)
    model = InfluencePoissonRegressor(**EXACT).fit(X, y)
    own = DevianceExplained(1.0)
    default = model.score_influence(X, y)
    np.testing.assert_array_equal(default, model.score_influence(X, y, scoring=own))
    np.testing.assert_allclose(default, model.score_influence(X, y, scoring=by_hand), atol=1e-12)
    loo = model.loo_estimate()
    assert loo_scorer()(model, X, y) == loo.score == model.loo_estimate(scoring=own).score
    assert loo.scoring == own
    assert "(D2 of the poisson deviance)" in repr(loo)
    display = ScoreInfluenceDisplay.from_estimator(model, X, y)
    assert display.score == model.score(X, y)
    assert display.scoring == "D2 of the poisson deviance"
    audit = model.smallest_flip(score(X, y, value=model.score(X, y) - 1e-3))
    assert "D2 of the poisson deviance" in repr(audit)
    for other in (copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        assert other == own


def by_hand(estimator, X, y):
    """What scikit-learn says of the predictions."""
    return d2_tweedie_score(y, estimator.predict(X), power=1)


def test_transformed_responses_and_other_names_are_scored_by_r2():
    X, y, _ = data(2.0)
    model = TransformedTargetRegressor(
        PoissonRegressor(**EXACT), func=np.sqrt, inverse_func=np.square
    )
    loo = skinfluence.loo_estimate(InfluenceExplainer(model).fit(X, y))
    assert loo.score == pytest.approx(r2_score(y, loo.prediction))
    loo = InfluencePoissonRegressor().fit(X, y).loo_estimate(scoring="r2")
    assert loo.score == pytest.approx(r2_score(y, loo.prediction))


@pytest.mark.parametrize("power", [-0.5, 0.0, 1.0, 1.3, 2.0, 2.7])
def test_the_score_is_that_of_scikit_learn(power):
    rng = np.random.default_rng(0)
    y, mean = rng.gamma(2.0, size=30), rng.gamma(2.0, size=(30, 4))
    y[0] = 0.0 if power < 2 else y[0]
    for weight in (None, rng.uniform(size=30)):
        found = DevianceExplained(power).of_columns(y, mean, weight)
        for column, each in zip(mean.T, found, strict=True):
            expected = d2_tweedie_score(y, column, power=power, sample_weight=weight)
            assert each == pytest.approx(expected, rel=1e-10)


def test_means_that_are_none_have_no_deviance():
    y = np.array([0.0, 1.0, 3.0])
    poisson = DevianceExplained(1.0)
    bad = np.array([[0.0, -1.0, 0.5, np.inf], [1.0, 1.0, 0.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    np.testing.assert_array_equal(poisson.of_columns(y, bad), [1.0, -np.inf, -np.inf, -np.inf])
    assert np.isnan(poisson.of_columns(np.ones(3), np.ones((3, 1))))
