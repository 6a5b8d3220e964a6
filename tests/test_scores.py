"""Scores of leave-one-out predictions: weights, missing classes, and what a scorer is handed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluenceRidge,
    influence,
)
from skinfluence.model_selection import FullSample, LeaveOneOutSearchCV, loo_scorer
from tests.cases import problem, responses, weights

MAX_ERROR = "neg_max_error" if "neg_max_error" in get_scorer_names() else "max_error"
EXACT = {"solver": "newton-cholesky", "tol": 1e-12}


def classes(seed=0, n=60):
    X, y = problem(seed=seed, n=n, p=3, n_classes=3)
    return X, y, weights(seed, n, zeros=9)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", "f1_macro", "roc_auc_ovr", MAX_ERROR])
@pytest.mark.parametrize("method", ["exact", "newton"])
def test_rows_of_no_weight_count_as_if_they_were_dropped(scoring, method):
    if scoring == MAX_ERROR:  # takes no weights
        X, y = responses()
        w, model, grid = weights(0, len(y), zeros=9), Ridge(), {"alpha": [0.1, 10.0]}
    else:
        X, y, w = classes()
        model, grid = LogisticRegression(**EXACT), {"C": [0.1, 10.0]}
        y[-9:] = (y[-9:] + 1) % 3  # wrong labels: their scores would show
    X[-9:] *= 30.0
    search = LeaveOneOutSearchCV(model, grid, scoring=scoring, method=method)
    found = search.fit(X, y, w).cv_results_
    dropped = search.fit(X[:-9], y[:-9], w[:-9]).cv_results_
    for key in ("mean_test_score", "standard_error_test_score", "effective_parameters"):
        np.testing.assert_allclose(found[key], dropped[key], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "f1_macro", "roc_auc_ovr"])
def test_scores_are_weighted_like_those_of_one_split(scoring):
    X, y, w = classes(1)
    w[-9:] = 0.3
    model = InfluenceLogisticRegression(**EXACT)
    search = LeaveOneOutSearchCV(model, {"C": [0.2, 5.0]}, scoring=scoring, method="exact")
    found = search.fit(X, y, w).cv_results_
    grid = GridSearchCV(
        model, {"C": [0.2, 5.0]}, scoring=loo_scorer(scoring, method="exact"), cv=FullSample()
    )
    grid.fit(X, y, sample_weight=w)
    np.testing.assert_allclose(
        found["mean_test_score"], grid.cv_results_["mean_test_score"], rtol=1e-7
    )
    for C, score in zip((0.2, 5.0), found["mean_test_score"], strict=True):
        proba = np.empty((len(y), 3))
        for i in range(len(y)):
            keep = np.arange(len(y)) != i
            one = LogisticRegression(C=C, **EXACT).fit(X[keep], y[keep], w[keep])
            proba[i] = one.predict_proba(X[[i]])[0]

        class Given(LogisticRegression):
            def predict_proba(self, X, proba=proba):
                return proba

            def predict(self, X, proba=proba):
                return proba.argmax(axis=1)

        given = Given().fit(X, y)
        expected = get_scorer(scoring)(given, X, y, sample_weight=w)
        assert score == pytest.approx(expected, abs=1e-7)
        assert abs(score - get_scorer(scoring)(given, X, y)) > 1e-4


def one_class_of_one_row(n=40):
    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    keep = np.r_[rng.choice(100, n, replace=False), 120]
    return X[keep], y[keep]


def test_a_score_without_a_class_is_nan_with_its_reason():
    X, y = one_class_of_one_row()
    clf = InfluenceLogisticRegression().fit(X, y)
    with (
        pytest.warns(RuntimeWarning, match="undefined"),
        pytest.warns(UndefinedMetricWarning, match="roc_auc_ovr without a row of class 2"),
    ):
        loo = clf.loo_estimate(scoring="roc_auc_ovr")
    assert np.isnan(loo.score)
    assert "class 2" in loo.score_failure
    assert "class 2" in repr(loo)
    assert np.isnan(loo.loss).sum() == 1
    assert np.isfinite(loo.mean_loss)
    with pytest.warns(RuntimeWarning, match="undefined"):
        fine = clf.loo_estimate()
    assert fine.score_failure == ""
    assert fine.score > 0.8
    np.testing.assert_array_equal(fine.loss, loo.loss)


@pytest.mark.filterwarnings("ignore:1 row left undefined:RuntimeWarning")
def test_a_search_says_why_candidates_have_no_score():
    X, y = one_class_of_one_row()
    search = LeaveOneOutSearchCV(
        LogisticRegression(), {"C": [0.1, 1.0]}, scoring="roc_auc_ovr", method="newton"
    )
    with (
        pytest.warns(UndefinedMetricWarning, match="2 of 2 candidates have no score"),
        pytest.raises(ValueError, match="all are NaN"),
    ):
        search.fit(X, y)
    # Two rows of a class: their score is defined, that of a jackknife's group may not be.
    X, y = load_iris(return_X_y=True)
    keep = np.r_[:20, 50:70, 100, 101]
    search.set_params(param_grid={"C": [0.1]})
    found = search.fit(X[keep], y[keep])
    assert np.isfinite(found.best_score_)
    assert np.isfinite(found.cv_results_["standard_error_test_score"][0])


def test_errors_that_are_not_about_a_class_are_raised():
    X, y, _ = classes()
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="multiclass"):
        clf.loo_estimate(scoring="precision")


def gap(estimator, X, y):
    """Difference of the rates of class 1 between rows with a positive first column and others."""
    group = np.asarray(X)[:, 0] > 0
    predicted = estimator.predict_proba(X)[:, 1]
    return predicted[group].mean() - predicted[~group].mean()


@pytest.mark.parametrize("frame", [False, True])
def test_a_scorer_is_handed_the_callers_rows(frame):
    X, y = problem(n=70, p=3)
    X[:, 0] = 5.0 + 3.0 * X[:, 0]  # scaled rows would have other signs
    X = pd.DataFrame(X, columns=list("abc")) if frame else X
    train, test = X[:50], X[50:]
    pipe = make_pipeline(StandardScaler(), LogisticRegression(**EXACT))
    explainer = InfluenceExplainer(pipe).fit(train, y[:50])

    def scorer(estimator, rows, labels):
        assert rows is test
        return gap(estimator, rows, labels)

    found = explainer.score_influence(test, y[50:], scoring=scorer, method="exact")
    scaler, Z = explainer.estimator_[0], explainer.estimator_[0].transform(train)
    full = LogisticRegression(**EXACT).fit(Z, y[:50])

    def score(model):
        predicted = model.predict_proba(scaler.transform(test))[:, 1]
        group = np.asarray(test)[:, 0] > 0
        return predicted[group].mean() - predicted[~group].mean()

    for row in range(0, 50, 7):
        keep = np.arange(50) != row
        after = score(LogisticRegression(**EXACT).fit(Z[keep], y[:50][keep]))
        assert found[row] == pytest.approx(after - score(full), abs=1e-8)


def test_leave_one_out_and_searches_hand_rows_to_a_scorer_too():
    X, y = problem(n=50, p=3)
    w = weights(0, 50, zeros=5)
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y, w)
    loo = clf.loo_estimate(scoring=gap, method="exact")
    group, live = X[:, 0] > 0, w > 0
    expected = (
        loo.predict_proba[group & live, 1].mean() - loo.predict_proba[~group & live, 1].mean()
    )
    assert loo.score == pytest.approx(expected)
    pipe = make_pipeline(StandardScaler(), LogisticRegression(**EXACT))
    search = LeaveOneOutSearchCV(pipe, {"logisticregression__C": [1.0]}, scoring=gap)
    for rows in (X, pd.DataFrame(X)):
        found = search.fit(rows, y, w)
        assert np.isfinite(found.best_score_)
        assert found.cv_results_["standard_error_test_score"][0] > 0


def test_a_scorer_may_select_rows_before_or_after():
    X, y = problem(n=50, p=3)
    for model in (InfluenceLogisticRegression(), InfluenceRidge()):
        model.fit(X, y)
        after = model.score_influence(X, y, scoring=lambda m, X, y: m.predict(X)[:10].mean())
        for select in (lambda X: X[:10], lambda X: list(X)[:10]):
            before = model.score_influence(
                X, y, scoring=lambda m, X, y, select=select: m.predict(select(X)).mean()
            )
            np.testing.assert_array_equal(before, after)
    assert influence(model, X[:2], y[:2]).shape == (2, 50)


def test_a_log_loss_keeps_the_digits_of_a_first_class_that_is_next_to_impossible():
    X = np.r_[np.linspace(-2.0, -0.5, 6), np.linspace(0.4, 2.0, 6)][:, None]
    y = np.repeat([0, 1], 6)
    model = InfluenceLogisticRegression(C=1e3).fit(X, y)
    far = np.array([[33.0], [0.1]]) / model.coef_[0]
    found = model.score_influence(far, [0, 1], scoring="neg_log_loss", method="exact")
    # Minus the mean log loss is the mean change of minus the loss.
    expected = -model.influence(far, [0, 1], method="exact").mean(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14)
