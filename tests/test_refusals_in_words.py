"""What errors and printed results say, where it was false or of no use."""

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLogisticRegression,
    InfluenceRidge,
)
from skinfluence.display import RegularizationCurveDisplay
from skinfluence.model_selection import optimize_regularization
from skinfluence.robustness import prediction
from tests.cases import problem

X, y = problem(7, n=40, p=3)
RESPONSE = X[:, 0] + 0.5 * np.random.default_rng(0).standard_normal(40)


@pytest.mark.parametrize("estimator", [Ridge(), InfluenceLasso(), InfluenceExplainer(Ridge())])
@pytest.mark.parametrize("param", ["alpha", "C"])
def test_a_model_without_c_is_told_which_strength_is_supported(estimator, param):
    name = "InfluenceLasso" if isinstance(estimator, InfluenceLasso) else "Ridge"
    match = rf"the strength C .* {name} has no C; got param='{param}'.*LeaveOneOutSearchCV"
    with pytest.raises(ValueError, match=match):
        optimize_regularization(estimator, X, RESPONSE, param=param)


def test_an_unknown_parameter_of_a_model_with_c_is_told_its_names():
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ValueError, match=r"'C' or 'logisticregression__C', the .*; got 'tol'"):
        optimize_regularization(pipe, X, y, param="tol")
    with pytest.raises(ValueError, match=r"should be 'C', the strength .*; got 3"):
        optimize_regularization(LogisticRegression(), X, y, param=3)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_only_labels_that_were_not_seen_are_called_unseen(missing):
    names = np.array(["a", "b"])[y]
    model = InfluenceLogisticRegression().fit(X, names)
    with pytest.raises(ValueError, match="y_test contains missing labels") as raised:
        model.influence(X[:3], np.array(["a", missing, "b"], dtype=object))
    assert "'a'" not in str(raised.value).partition("fitted on")[0]
    both = np.array(["a", missing, "z"], dtype=object)
    with pytest.raises(ValueError, match=r"unseen labels: 'z'\. "):
        model.influence(X[:3], both)
    with pytest.raises(ValueError, match=r"unseen labels: 3\. "):
        model.influence(X[:2], np.array(["a", 3], dtype=object))


def test_an_estimate_without_a_defined_row_prints_no_empty_line():
    model = InfluenceLogisticRegression().fit(X[:2], [0, 1])
    with pytest.warns(match="a class is empty"):
        found = model.loo_estimate()
    text = repr(found)
    assert "look at" not in text
    assert "certified" not in text
    assert "undefined    0, 1" in text
    shown = repr(InfluenceLogisticRegression().fit(X, y).loo_estimate())
    assert "look at" in shown
    assert "certified" in shown


def test_with_damping_auto_says_that_it_took_newton_steps():
    model = InfluenceLogisticRegression().fit(X, y)
    test, asked = (X[:2], y[:2]), {"damping": 1.0, "return_info": True}
    found = [
        model.influence(*test, **asked)[1],
        model.self_influence(**asked)[1],
        model.relabel_influence(*test, **asked)[1],
        model.addition_influence(*test, *test, **asked)[1],
        model.group_influence(np.arange(40) // 4, *test, **asked)[1],
        model.most_influential(*test, k=2, damping=1.0).info,
        model.parameter_influence(damping=1.0).info,
    ]
    for info in found:
        assert set(info.method) <= {"newton", "exact"}
        assert "newton" in info.method


@pytest.mark.parametrize("rows", [[7, 7, 9], [39, 3, -1]])
def test_a_ranking_has_each_row_once(rows):
    model = InfluenceLogisticRegression().fit(X, y)
    twice = 7 if 7 in rows else 39
    match = f"train_indices names a row twice: position {twice}"
    for method in ("auto", "newton"):
        with pytest.raises(ValueError, match=match):
            model.most_influential(X[:1], y[:1], k=2, train_indices=rows, method=method)
    with pytest.raises(ValueError, match=match):
        model.best_changes(X[:1], y[:1], k=2, train_indices=rows)
    assert model.influence(X[:1], y[:1], train_indices=rows).shape == (1, 3)


def test_models_whose_predictions_have_no_level_are_named_in_plain_words():
    transformed = TransformedTargetRegressor(Ridge(), func=np.cbrt, inverse_func=lambda v: v**3)
    fitted = {
        "of transformed responses": InfluenceExplainer(transformed).fit(X, RESPONSE),
        "of several responses": InfluenceRidge().fit(X, np.c_[RESPONSE, X[:, 1]]),
        "that fits a scale beside": InfluenceHuberRegressor().fit(X, RESPONSE),
    }
    for words, model in fitted.items():
        with pytest.raises(NotImplementedError, match=f"a model {words}") as raised:
            model.smallest_flip(prediction(X[:1], 0.0))
        assert "Link" not in str(raised.value)


@pytest.mark.parametrize("param", ["C", "logisticregression__C"])
def test_a_curve_of_a_pipeline_takes_the_short_name_of_its_parameter(param):
    pytest.importorskip("matplotlib").use("Agg")
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    drawn = RegularizationCurveDisplay.from_estimator(
        pipe, X, y, param=param, values=[0.1, 1.0], cv=2
    )
    assert drawn.param == "logisticregression__C"
    with pytest.raises(ValueError, match="Invalid parameter 'gamma'"):
        RegularizationCurveDisplay.from_estimator(pipe, X, y, param="gamma", values=[1.0])
