"""The extensions of CONTRIBUTING.md: probabilities, certificates and scores against refits."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, extending
from skinfluence.adapters import _registry
from skinfluence.deletion import targets
from skinfluence.svm import SmoothHingeSVC
from tests.small_estimator import BinaryRegression

GUIDE = Path(__file__).parent.parent / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def guide():
    """Names that the blocks of the guide define; what they register is taken back."""
    if not GUIDE.exists():
        pytest.skip("the guide is not beside an installed package")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
    names = {}
    tables = (targets.BINARY, targets.MULTICLASS)
    exec("\n".join(blocks), names)
    yield names
    for table in tables:
        del table["entropy"]
    del _registry._ADAPTERS[BinaryRegression]


def data(seed=0, n=80, p=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    mu = np.exp(0.8 * X @ rng.normal(size=p) - 0.3)
    return X, (rng.random(n) < -np.expm1(-mu)).astype(int), rng.uniform(0.5, 2.0, n)


ROWS = [0, 7, 31, 50]


def refits(link, X, y, w):
    """Fits of the small estimator without each of ROWS."""
    for row in ROWS:
        keep = np.delete(np.arange(len(y)), row)
        yield BinaryRegression(link=link).fit(X[keep], y[keep], w[keep])


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_probabilities_losses_and_scores_are_those_of_refits(guide, link):
    X, y, w = data()
    T, t, _ = data(seed=1, n=40)
    explainer = InfluenceExplainer(BinaryRegression(link=link)).fit(X, y, w)
    whole = BinaryRegression(link=link).fit(X, y, w)
    options = {"method": "exact", "train_indices": ROWS}

    def each(model):
        p = model.predict_proba(T)
        return {
            "predict_proba": p[:, 1],
            "loss": -np.log(p[np.arange(len(t)), t]),
            "brier": (p[:, 1] - t) ** 2,
            "zero_one": (model.predict(T) != t).astype(float),
            "decision_function": model.decision_function(T),
            "entropy": -(p * np.log(p)).sum(axis=1),
        }

    def scores(model):
        p = model.predict_proba(T)
        return {
            "neg_log_loss": -log_loss(t, p),
            "neg_brier_score": -brier_score_loss(t, p[:, 1]),
            "accuracy": model.score(T, t),
        }

    before, score = each(whole), scores(whole)
    after = list(refits(link, X, y, w))
    for target, value in before.items():
        actual = np.stack([each(model)[target] - value for model in after], axis=1)
        found = explainer.influence(T, t, target=target, **options)
        np.testing.assert_allclose(found, actual, atol=1e-6, err_msg=target)
    for scoring, value in score.items():
        actual = [scores(model)[scoring] - value for model in after]
        found = explainer.score_influence(T, t, scoring=scoring, **options)
        np.testing.assert_allclose(found, actual, atol=1e-6, err_msg=scoring)


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_a_certificate_where_the_loss_has_one_and_none_where_it_has_not(guide, link):
    X, y, w = data()
    explainer = InfluenceExplainer(BinaryRegression(link=link)).fit(X, y, w)
    loo = explainer.loo_estimate(method="newton")
    own = [
        model.decision_function(X[[row]])[0]
        for row, model in zip(ROWS, refits(link, X, y, w), strict=True)
    ]
    error = np.abs(loo.decision_function[ROWS] - own)
    if link == "logit":
        assert np.isfinite(loo.error_bound).mean() > 0.5
    else:
        assert np.isinf(loo.error_bound).all()
    assert (error <= loo.error_bound[ROWS] + 1e-6).all()
    assert (loo.error_estimate[ROWS] > 0.1 * error - 1e-6).all()


def test_derivatives_of_the_target_and_its_refusal(guide):
    X, y, _ = data()
    three = np.tile(["a", "b", "c"], 27)[: len(y)]
    for labels in (y, three):
        clf = InfluenceLogisticRegression().fit(X, labels)
        first = clf.influence(X[:5], target="entropy", method="first_order")
        exact = clf.influence(X[:5], target="entropy", method="exact")
        assert np.corrcoef(first.ravel(), exact.ravel())[0, 1] > 0.98
        assert 0.5 < (first.ravel() @ exact.ravel()) / (exact.ravel() @ exact.ravel()) < 1.2
    with pytest.raises(ValueError, match=r"'entropy' needs class probabilities"):
        SmoothHingeSVC().fit(X, y).influence(X[:5], target="entropy")
    with pytest.raises(ValueError, match="'entropy' already"):
        extending.register_target(type("Again", (extending.Target,), {"name": "entropy"}))


def test_the_adapted_model_works_in_a_pipeline(guide):
    X, y, _ = data()
    pipe = make_pipeline(StandardScaler(), BinaryRegression(link="cloglog"))
    explainer = InfluenceExplainer(pipe).fit(X + 3.0, y)
    alone = InfluenceExplainer(BinaryRegression(link="cloglog"))
    alone.fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_allclose(explainer.self_influence(), alone.self_influence(), atol=1e-9)


def test_extenders_need_no_underscored_name():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
    modules = re.findall(r"from (skinfluence[\w.]*) import", "\n".join(blocks))
    assert "skinfluence.extending" in modules
    assert not any("._" in module for module in modules)
    assert sorted(extending.__all__) == sorted(set(extending.__all__))
    assert all(hasattr(extending, name) for name in extending.__all__)
