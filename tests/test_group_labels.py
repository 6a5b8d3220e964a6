"""Labels of groups: a missing one is an error that says which and where, in every method."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from skinfluence import InfluenceLogisticRegression, InfluenceRidge
from skinfluence.model_selection import approximate_cross_val_predict
from skinfluence.robustness import coefficient
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


BIG = 2**60
MIXED = {
    "numbers and words": [1, "1", "a"],
    "bytes and words": [b"a", "a", "b"],
    "flags and numbers": [True, 1, 0],
    "flags and words": [True, "True", "a"],
    "large integers and a fraction": [BIG, BIG + 1, 1.5],
    "large integers of NumPy and a fraction": [np.int64(BIG), np.int64(BIG + 1), 1.5],
}


@pytest.mark.parametrize("name", MIXED)
def test_a_list_of_labels_of_several_types_is_refused_wherever_groups_are_taken(name):
    groups = MIXED[name] * (N // 3)
    X, y = problem(n=N, p=2)
    clf = InfluenceLogisticRegression().fit(X, y)
    message = "groups should hold labels that sort: all numbers or all strings"
    for given in (groups, tuple(groups)):
        for call in (
            lambda given=given: clf.group_influence(given, X, y),
            lambda given=given: clf.loo_estimate(groups=given),
            lambda given=given: clf.parameter_covariance("CR0", groups=given),
            lambda given=given: clf.smallest_flip(coefficient("x0"), groups=given),
            lambda given=given: approximate_cross_val_predict(
                clf, X, y, cv=GroupKFold(3), groups=given
            ),
        ):
            with pytest.raises(ValueError, match=message):
                call()


def test_objects_of_several_types_are_refused_as_a_list_of_them_is():
    X, y = problem(n=N, p=2)
    clf = InfluenceLogisticRegression().fit(X, y)
    groups = [1, "1", "a"] * (N // 3)
    for given in (pd.Series(groups), np.array(groups, dtype=object)):
        with pytest.raises(ValueError, match=r"all strings; got labels of the types int, str"):
            clf.group_influence(given, X, y)


def test_a_list_of_numbers_of_several_types_is_one_of_numbers():
    X, y = problem(n=N, p=2)
    clf = InfluenceLogisticRegression().fit(X, y)
    expected = clf.group_influence(NUMBERS, X, y)
    for given in (
        [int(label) if i % 2 else label for i, label in enumerate(NUMBERS)],
        [np.float32(label) if i % 2 else label for i, label in enumerate(NUMBERS.tolist())],
        [np.str_(label) if i % 2 else str(label) for i, label in enumerate(WORDS)],
        [BIG + int(label) for label in NUMBERS],
    ):
        np.testing.assert_allclose(clf.group_influence(given, X, y), expected)


def test_smallest_flip_takes_a_series_of_any_index():
    X, y = responses(n=N, p=2)
    model = InfluenceRidge().fit(X, y)
    asked = {"certify": "never", "max_rows": 2}
    quantity = coefficient("x0")
    expected = model.smallest_flip(quantity, groups=WORDS, **asked)
    series = pd.Series(WORDS, index=np.arange(100, 100 + N))
    for groups in (series, series.astype("category"), WORDS.tolist(), tuple(WORDS)):
        found = model.smallest_flip(quantity, groups=groups, **asked)
        assert found.groups == expected.groups
        np.testing.assert_array_equal(found.path, expected.path)
    parts = {str(label): np.flatnonzero(label == WORDS) for label in np.unique(WORDS)}
    assert model.smallest_flip(quantity, groups=parts, **asked).groups == expected.groups
    found = model.smallest_flip(quantity, groups=list(parts.values()), **asked)
    assert [list(parts)[k] for k in found.groups] == list(expected.groups)
