"""Warnings: where they point, which rows or groups they name, and which cause holds."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceHuberRegressor,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    influence,
)
from skinfluence.model_selection import LeaveOneOutSearchCV, approximate_cross_val_predict
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem

X, y = problem(0, n=40)
LAST = np.r_[1, np.zeros(39, dtype=int)]  # class 1 has one row


def said(call):
    """The one warning of a call, and the line of this file that it points at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (found,) = caught
    assert found.filename == __file__
    assert found.lineno == call.__code__.co_firstlineno
    return str(found.message)


def test_the_cause_that_holds():
    start = r"1 row left undefined (NaN): without row 0 "
    clf = InfluenceLogisticRegression().fit(X, LAST)
    message = said(lambda: clf.influence(X[:2], LAST[:2]))
    assert message == start + "a class is empty. Give the class more rows."
    alone = np.c_[X[:, :2], np.r_[1.0, np.zeros(39)]]
    least_squares = InfluenceLinearRegression().fit(alone, X[:, 2])
    message = said(lambda: least_squares.self_influence())
    advice = "Drop dependent columns, or fit with a penalty."
    assert message == start + "the columns lose their rank. " + advice
    line = np.linspace(-1, 1, 12)[:, None]
    crossed = np.r_[np.ones(1, int), np.zeros(5, int), np.ones(6, int)]
    free = InfluenceLogisticRegression(C=np.inf).fit(line, crossed)
    message = said(lambda: free.loo_estimate())
    assert "without row 0 the classes are separated" in message
    assert message.endswith("Fit with a penalty.")
    counts = InfluencePoissonRegressor(alpha=0.0).fit(X[:, :1], LAST)
    message = said(lambda: counts.loo_estimate())
    assert "without row 0 no row with a response above 0 is left" in message


def test_several_causes_are_told_apart():
    three = np.r_[2, 2, np.tile([0, 1], 19)]
    clf = InfluenceLogisticRegression().fit(X, three)
    groups = {"all": np.arange(40), "twos": [0, 1], "some": [4, 5]}
    message = said(lambda: clf.group_influence(groups, X[:2], three[:2]))
    assert message.startswith("2 groups left undefined (NaN): without group all, twos ")
    assert "no row is left (seen for all); a class is empty (seen for twos)" in message


def test_rows_and_changes_by_name():
    frame = pd.DataFrame(X, index=[f"r{i}" for i in range(40)]).add_prefix("c")
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    explainer = InfluenceExplainer(pipe).fit(frame, LAST)
    assert "without row r0 a class" in said(lambda: explainer.self_influence())
    other = np.zeros(40, dtype=int)
    message = said(lambda: explainer.relabel_influence(frame, LAST, labels=other))
    assert "after the relabelling of row r0 a class is empty" in message
    weight = np.r_[0, np.ones(39)]
    message = said(lambda: explainer.reweight_influence(weight, frame, LAST))
    assert "after reweighting 0 a class is empty" in message
    weight = np.r_[np.zeros(39), 1]
    groups = np.where(np.arange(40) < 4, "few", "many")
    message = said(lambda: explainer.loo_estimate(groups=groups))
    assert message.startswith("4 rows left undefined (NaN): without row r0, r1, r2, r3 a class is")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_searches_name_rows_and_the_cause(n_jobs):
    frame = pd.DataFrame(X, index=[f"r{i}" for i in range(40)]).add_prefix("c")
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0, 10.0]}
    search = LeaveOneOutSearchCV(pipe, grid, scoring="neg_log_loss", n_jobs=n_jobs)
    message = said(lambda: search.fit(frame, pd.Series(LAST, index=frame.index)))
    start = "1 row left undefined (NaN): without row r0 "
    assert message == start + "a class is empty. Give the class more rows."
    line = pd.DataFrame(np.linspace(-1, 1, 12)[:, None], index=list("abcdefghijkl"))
    crossed = np.r_[np.ones(1, int), np.zeros(5, int), np.ones(6, int)]
    free = InfluenceLogisticRegression()
    search = LeaveOneOutSearchCV(free, {"C": [1.0, np.inf]}, scoring="accuracy", n_jobs=n_jobs)
    message = said(lambda: search.fit(line, crossed))
    assert "without row a the classes are separated, so that" in message
    assert message.endswith("Fit with a penalty.")
    alone = np.c_[X[:, :2], np.r_[1.0, np.zeros(39)]]
    search = LeaveOneOutSearchCV(InfluenceLinearRegression(), {"copy_X": [True]}, n_jobs=n_jobs)
    search.set_params(scoring="neg_mean_squared_error")
    message = said(lambda: search.fit(alone, X[:, 2]))
    assert message.startswith("1 row left undefined (NaN): without row 0 the columns lose their")


@pytest.mark.parametrize(
    "call",
    [
        lambda: influence(InfluenceLogisticRegression().fit(X, LAST), X[:2], LAST[:2]),
        lambda: approximate_cross_val_predict(
            InfluenceLogisticRegression(), X, np.r_[1, 1, np.zeros(38, int)], cv=FOLDS
        ),
        lambda: InfluenceLogisticRegression(C=np.inf).fit(X[:, :1], (X[:, 0] > 0).astype(int)),
        lambda: SmoothHingeSVC(max_iter=1, temperature=1e-4).fit(X, y),
    ],
    ids=["function", "folds", "separable", "one step"],
)
def test_they_point_at_the_callers_line(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert caught
    assert {found.filename for found in caught} == {__file__}


FOLDS = [(np.arange(2, 40), np.arange(2)), (np.arange(2), np.arange(2, 40))]


def test_groups_of_a_frame():
    frame = pd.DataFrame(X).add_prefix("c").assign(city=list("ab") * 20, year=[1, 2, 3, 4] * 10)
    clf = InfluenceLogisticRegression().fit(X, y)
    indices = frame.groupby("city").indices
    got = clf.group_influence(indices, X[:3], y[:3])
    labels = clf.group_influence(frame["city"], X[:3], y[:3], as_frame=True)
    np.testing.assert_array_equal(got, labels)
    assert labels.columns.tolist() == ["a", "b"]
    own = {"later": frame.index[frame.year > 2], "first": frame.index[:2], "odd": frame.year == 1}
    named, info = clf.group_influence(own, X[:3], y[:3], as_frame=True, return_info=True)
    assert named.columns.tolist() == info.to_frame().index.tolist() == ["later", "first", "odd"]
    two = frame.groupby(["city", "year"]).indices
    both = clf.group_influence(two, X[:3], y[:3], as_frame=True)
    assert both.columns.tolist() == [("a", 1), ("a", 3), ("b", 2), ("b", 4)]
    with pytest.raises(ValueError, match="groups is an empty dict"):
        clf.group_influence({}, X, y)


@pytest.mark.parametrize("make", [HuberRegressor, InfluenceHuberRegressor])
def test_an_explainer_says_that_no_optimum_was_found(make):
    """At a threshold of 1.05 nine rows of ten are outliers: too few are left for a curvature."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(12, 1))
    model = InfluenceExplainer(make(epsilon=1.05))
    with pytest.warns(ConvergenceWarning, match="no optimum was found") as caught:
        model.fit(X, X[:, 0] + rng.normal(size=12))
    assert len(caught) == 1
