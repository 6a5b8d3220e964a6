"""Labels of groups: a missing one is an error that says which and where, in every method."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from skinfluence import InfluenceLogisticRegression, InfluenceRidge
from skinfluence.model_selection import approximate_cross_val_predict
from tests.cases import problem, responses

N = 24
NUMBERS, WORDS = np.repeat(np.arange(6.0), 4), np.repeat(list("abcdef"), 4)


def with_missing(labels, value):
    found = np.array(labels, dtype=object)
    found[[3, 9]] = value
    return found


MISSING = {
    "NaN": with_missing(NUMBERS, np.nan).astype(float),
    "NaN among objects": with_missing(WORDS, np.nan),
    "NaN in a list of strings": with_missing(WORDS, float("nan")).tolist(),
    "None": with_missing(WORDS, None),
    "None in a list of numbers": with_missing(NUMBERS, None).tolist(),
    "pandas.NA": pd.array(with_missing(NUMBERS, pd.NA), dtype="Int64"),
    "pandas.NA in a series": pd.Series(with_missing(WORDS, pd.NA), dtype="string"),
    "a category": pd.Series(with_missing(WORDS, None)).astype("category"),
    "NaT": pd.Series(with_missing(np.repeat(pd.date_range("2020", periods=6), 4), pd.NaT)),
    "datetime64": np.array(with_missing(["2020-01-01"] * N, "NaT"), dtype="datetime64[D]"),
    "masked": np.ma.masked_array(NUMBERS, mask=np.isin(np.arange(N), [3, 9])),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_labels_are_named_wherever_groups_are_taken(name):
    groups = MISSING[name]
    X, y = problem(n=N, p=2)
    clf = InfluenceLogisticRegression().fit(X, y)
    message = r"groups has 2 missing labels \(.*\) at row 3, 9\."
    with pytest.raises(ValueError, match=message):
        clf.group_influence(groups, X, y)
    with pytest.raises(ValueError, match=message):
        clf.loo_estimate(groups=groups)
    with pytest.raises(ValueError, match=message):
        approximate_cross_val_predict(clf, X, y, cv=GroupKFold(3), groups=groups)
    X, y = responses(n=N, p=2)
    for kind in ("CR0", "CR3"):
        with pytest.raises(ValueError, match=message):
            InfluenceRidge().fit(X, y).parameter_covariance(kind, groups=groups)


def test_labels_that_are_there_pass_in_every_form():
    X, y = problem(n=N, p=2)
    clf = InfluenceLogisticRegression().fit(X, y)
    expected = clf.group_influence(NUMBERS, X, y)
    for groups in (
        WORDS,
        WORDS.tolist(),
        pd.Series(WORDS),
        pd.Series(WORDS).astype("category"),
        pd.array(NUMBERS.astype(int), dtype="Int64"),
        NUMBERS.astype(int).tolist(),
    ):
        np.testing.assert_allclose(clf.group_influence(groups, X, y), expected)
    np.testing.assert_allclose(
        clf.group_influence([np.arange(4), np.arange(4, 8)], X, y), expected[:, :2]
    )
    one = [0] * 3 + [float("nan")]
    with pytest.raises(ValueError, match=r"1 missing label \(nan\) at row 3"):
        InfluenceRidge().fit(X[:4], y[:4]).loo_estimate(groups=one)
