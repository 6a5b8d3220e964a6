"""What results look like as text and in a notebook, and the summary of a covariance."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.svm import SVC

from skinfluence import (
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluenceRidge,
)
from skinfluence.attacks import PoisoningAttack, adversarial_perturbation, input_curvature
from skinfluence.debugging import compare_models, explain_errors
from skinfluence.evaluation import agreement
from skinfluence.labels import LabelAudit
from skinfluence.model_selection import approximate_cross_val_predict, optimize_regularization
from tests.cases import problem

X, y = problem(0, n=120)
NAMES = ["<img onerror=1>", "b & c", "d", "e"]
FRAME = pd.DataFrame(X, columns=NAMES, index=[f"<r{i}>" for i in range(120)])
TEST, Y_TEST = FRAME.iloc[:40], y[:40]


def every_result():
    clf = InfluenceLogisticRegression().fit(FRAME, y)
    ridge = InfluenceRidge().fit(FRAME, X[:, 0] + X[:, 1])
    audit = LabelAudit(InfluenceLogisticRegression(), regularization=None, score="loo_loss")
    audit.fit(FRAME, y)
    other = InfluenceLogisticRegression(C=9.0).fit(FRAME, y)
    wrong = 1 - clf.predict(TEST)
    errors = explain_errors(clf, TEST, wrong, by="d", k=3)
    attack = PoisoningAttack(InfluenceLogisticRegression(), epsilon=0.5, n_iter=2)
    return {
        "most influential": clf.most_influential(TEST, Y_TEST),
        "parameters": clf.parameter_influence(),
        "steps": clf.influence(TEST, Y_TEST, return_info=True)[1],
        "best": clf.best_changes(TEST, Y_TEST, k=3),
        "curvature": clf.curvature(),
        "loo": clf.loo_estimate(),
        "diagnostics": clf.case_deletion_diagnostics(),
        "covariance": clf.parameter_covariance(),
        "local": ridge.local_influence("response"),
        "agreement": agreement([1.0, 2.0, 2.0], [1.0, 2.0, 3.0]),
        "folds": approximate_cross_val_predict(InfluenceLogisticRegression(), FRAME, y),
        "regularization": optimize_regularization(InfluenceLogisticRegression(), FRAME, y),
        "review": audit.review_curve(1 - y),
        "evidence": audit.evidence(0),
        "errors": errors,
        "groups": errors.groups,
        "comparison": compare_models(clf, other, TEST, Y_TEST),
        "perturbation": adversarial_perturbation(clf, TEST),
        "input": input_curvature(clf, TEST),
        "poisoning": attack.run(X, y, X[:2], clf.predict(FRAME)[:2]),
    }


RESULTS = every_result()


KNOWN = set(["pre", "table", "thead", "tbody", "tr", "th", "td", "p", "div"])


class Tags(HTMLParser):
    """Tags that are opened, and lines of tables."""

    def __init__(self):
        super().__init__()
        self.opened = []

    def handle_starttag(self, tag, attrs):
        self.opened.append(tag)


@pytest.mark.parametrize("name", list(RESULTS))
def test_a_few_lines_of_text_and_a_table(name):
    result = RESULTS[name]
    text, page = repr(result), result._repr_html_()
    assert text.startswith(type(result).__name__) or name == "groups"
    assert len(text) < 1200
    assert len(text.splitlines()) <= 14
    assert "array(" not in text
    assert "np." not in text
    assert len(page) < 20_000
    tags = Tags()
    tags.feed(page)
    assert (
        {"pre", "table"}
        <= set(tags.opened)
        <= {*["pre", "table", "thead", "tbody", "tr", "th", "td", "p", "div"]}
    )
    assert 1 < tags.opened.count("tr") <= 13


def test_rows_and_columns_have_their_names():
    index = FRAME.index.tolist()
    for name in ("loo", "diagnostics", "local", "folds"):
        assert RESULTS[name].to_frame().index.tolist() == index or name == "local"
    loo = RESULTS["loo"]
    assert f"<r{int(loo.loss.argmax())}> (" in repr(loo)
    assert loo.to_frame(range(120)).index.tolist() == list(range(120))
    diagnostics = RESULTS["diagnostics"]
    assert f"row <r{int(diagnostics.cooks_distance.argmax())}> (" in repr(diagnostics)
    assert diagnostics.summary_frame().index.tolist() == index
    found = RESULTS["most influential"]
    assert f"test row <r0>: helpful row <r{found.helpful_indices[0, 0]}> (" in repr(found)
    chosen = RESULTS["curvature"].to_frame()
    assert chosen.index[chosen["chosen"]].tolist() == [RESULTS["curvature"].kind]


def test_the_best_change_has_a_name_and_rows_without_effect_have_none():
    best = RESULTS["best"]
    assert f"the best row <r{best.indices[0]}> to {best.labels[0]}: " in repr(best)
    found = InfluenceExplainer(SVC()).fit(FRAME, y)
    margin = (2 * y - 1) * found.decision_function(FRAME)
    far = int(np.argmax(margin))  # no hinge, whichever row is gone
    text = repr(found.most_influential(FRAME.iloc[[far]], y[[far]], k=2))
    assert text.count(f"test row <r{far}>: ") == text.count("none: no row changes the target") == 2
    clf = InfluenceLogisticRegression().fit(FRAME, y + (X[:, 0] > 1))
    text = repr(clf.most_influential(TEST, target="predict_proba", k=2))
    assert "test row <r0>, first class: helpful row <r" in text


def test_without_pandas_the_text_is_left(monkeypatch):
    def absent():
        raise ImportError("frames need pandas")

    monkeypatch.setattr("skinfluence._frames.pandas", absent)
    for name in ("loo", "agreement"):
        assert RESULTS[name]._repr_html_().startswith("<pre>")
        assert "<table" not in RESULTS[name]._repr_html_()


def test_the_summary_is_that_of_textbooks():
    """Least squares by hand; statsmodels' OLS(...).fit().summary() has these numbers."""
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = InfluenceLinearRegression().fit(X, y)
    found = model.parameter_covariance("model").summary(level=0.9)
    Z = np.c_[np.ones(442), X]
    beta, rss = np.linalg.lstsq(Z, y)[:2]
    error = np.sqrt(np.diag(np.linalg.inv(Z.T @ Z)) * rss / 431)
    np.testing.assert_allclose(found["coefficient"], beta, rtol=1e-8)
    np.testing.assert_allclose(found["standard_error"], error, rtol=1e-8)
    np.testing.assert_allclose(found["t"], beta / error, rtol=1e-7)
    expected = 2 * stats.t.sf(np.abs(beta / error), 431)
    np.testing.assert_allclose(found["p"], expected, rtol=1e-6)
    low, high = stats.t.interval(0.9, 431, beta, error)
    np.testing.assert_allclose(found[["lower", "upper"]], np.c_[low, high], rtol=1e-7)
    assert found.index.tolist() == ["const", *X.columns]


def test_which_distribution_a_test_has():
    X, y = problem(1, n=80)
    groups = np.arange(80) // 8
    logistic = InfluenceLogisticRegression().fit(X, y)
    assert "z" in logistic.parameter_covariance("model").summary()
    clustered = logistic.parameter_covariance("CR0", groups=groups)
    assert clustered.df == 9
    assert "t" in clustered.summary()
    gamma = InfluenceGammaRegressor(alpha=0.0).fit(X, np.exp(X[:, 0] + y))
    assert gamma.parameter_covariance("HC3").df == pytest.approx(75)
    wide = InfluenceLinearRegression().fit(X, X[:, 0] + y).parameter_covariance("HC0")
    half = wide.summary(0.5)
    quarter = stats.t.ppf(0.75, wide.df) * wide.standard_error
    np.testing.assert_allclose(half["upper"] - half["coefficient"], quarter, rtol=1e-9)
    for level in (0, 1, "a"):
        with pytest.raises(ValueError, match="level should be between 0 and 1"):
            wide.summary(level)
