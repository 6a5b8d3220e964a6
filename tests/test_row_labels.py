"""Rows that leave by their labels: each is found by its value and its type, or is named."""

import datetime
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from skinfluence import InfluenceLogisticRegression
from tests.cases import problem

N = 40
X, Y = problem(n=N, p=2)
BIG = 2**60


def fitted(index):
    return InfluenceLogisticRegression().fit(pd.DataFrame(X, index=index), Y)


def with_first(*labels):
    return pd.Index([*labels, *(f"r{i}" for i in range(len(labels), N))], dtype=object)


DATES = pd.date_range("2020-01-01", periods=N)
DAYS = pd.Index([datetime.date(1970, 1, 1) + datetime.timedelta(i) for i in range(N)])
FOUND = {
    "texts beside numbers": (with_first(0, "0"), [0, "0"], [0, 1]),
    "a number and a text": (with_first(1, "A0"), [1, "A0"], [0, 1]),
    "floats of integers": (pd.RangeIndex(10, 10 + N), [11.0, 13.0], [1, 3]),
    "integers of floats": (pd.Index(np.arange(10.0, 10 + N)), [11, np.int8(13)], [1, 3]),
    "large integers": (pd.Index(np.arange(BIG, BIG + N)), [BIG + 1, np.uint64(BIG + 3)], [1, 3]),
    "floats": (pd.Index(np.arange(N) + 0.5), np.array([1.5, 3.5]), [1, 3]),
    "a set": (pd.RangeIndex(N), {1, 3}, [1, 3]),
    "an index": (pd.RangeIndex(N), pd.Index([1, 3]), [1, 3]),
    "a series": (DATES, pd.Series(DATES[[1, 3]]), [1, 3]),
    "one label": (with_first("a", "b"), "b", [1]),
    "one number": (pd.RangeIndex(N), np.array(3), [3]),
    "tuples": (pd.MultiIndex.from_product([range(20), list("ab")]), [(0, "b"), (1.0, "b")], [1, 3]),
    "a tuple": (pd.MultiIndex.from_product([range(20), list("ab")]), (1, "b"), [3]),
    "a MultiIndex": (
        pd.MultiIndex.from_product([DATES[:20], list("ab")]),
        pd.MultiIndex.from_product([DATES[:2], ["b"]]),
        [1, 3],
    ),
    "a tuple of labels": (pd.RangeIndex(N), (1, 3), [1, 3]),
    "times": (
        DATES,
        [pd.Timestamp("2020-01-02"), datetime.datetime(2020, 1, 4), np.datetime64("2020-01-06")],
        [1, 3, 5],
    ),
    "instants": (
        DATES.tz_localize("UTC"),
        [pd.Timestamp("2020-01-02", tz="UTC"), pd.Timestamp("2020-01-04 01:00", tz="Europe/Rome")],
        [1, 3],
    ),
    "durations": (
        pd.to_timedelta(np.arange(N), unit="h"),
        [pd.Timedelta("1h"), datetime.timedelta(hours=3), np.timedelta64(300, "m")],
        [1, 3, 5],
    ),
    "nanoseconds": (
        pd.DatetimeIndex(np.arange(N), dtype="datetime64[ns]"),
        [pd.Timestamp(3), np.datetime64(5, "ns")],
        [3, 5],
    ),
    "dates": (DAYS, [datetime.date(1970, 1, 4)], [3]),
    "flags": (with_first(0, 1, False, True), [True], [3]),
    "categories": (pd.CategoricalIndex(with_first("a", "b")), ["b"], [1]),
    "other objects": (with_first(Decimal(1), uuid.UUID(int=1), "1"), [uuid.UUID(int=1)], [1]),
    "a label of several rows": (pd.Index(np.arange(N) // 2), [1], [2, 3]),
}


@pytest.mark.parametrize("case", FOUND)
def test_a_label_is_the_rows_of_its_value_and_type(case):
    index, labels, expected = FOUND[case]
    rest = fitted(index).without(row_labels=labels)
    expected_rest = fitted(index).without(expected)
    np.testing.assert_array_equal(rest.coef_, expected_rest.coef_)
    assert rest.removal_certificate_.n_rows == N - len(expected)


NOT_FOUND = {
    "a text of a number": (pd.RangeIndex(N), ["1"], r"'1' \(str\)\..* has 0 \(int\)"),
    "many texts": (pd.RangeIndex(N), [str(i) for i in range(30)], r"'0' \(str\), '1' \(str\)"),
    "a number of a text": (with_first("1"), [1], r"1 \(int\)\..* has '1' \(str\)"),
    "a rounded integer": (pd.Index(np.arange(BIG, BIG + N)), [float(BIG)], r"e\+18 \(float\)"),
    "a rounded float32": (pd.RangeIndex(2**25, 2**25 + N), [np.float32(2**25)], r"\(float\)"),
    "a flag": (pd.RangeIndex(N), [True], r"True \(bool\)"),
    "a text of a date": (
        DATES,
        ["2020-01-04"],
        r"'2020-01-04' \(str\)\..* has 2020-01-01T00:00:00\S* \(datetime64\)",
    ),
    "a time without a zone": (
        DATES.tz_localize("UTC"),
        [pd.Timestamp("2020-01-02")],
        r"Timestamp\('2020-01-02 00:00:00'\) \(Timestamp\)",
    ),
    "a date for times": (DATES, [datetime.date(2020, 1, 4)], r"\(date\)"),
    "a part of a tuple": (pd.MultiIndex.from_product([range(20), list("ab")]), [1], r"1 \(int\)"),
    "a missing label": (with_first(None, "a"), [None, np.nan, pd.NaT, pd.NA], "None .NoneType."),
    "a list": (pd.RangeIndex(N), [[1, 2]], r"\[1, 2\] \(list\)"),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_a_label_of_another_type_is_named_with_it(case):
    index, labels, message = NOT_FOUND[case]
    with pytest.raises(ValueError, match="not in the index of the training rows: .*" + message):
        fitted(index).without(row_labels=labels)


def test_labels_in_two_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"row_labels should be one-dimensional; got shape \(1, 2"):
        fitted(pd.RangeIndex(N)).without(row_labels=np.array([[1, 2]]))


def test_labels_of_groups_are_found_in_the_same_way():
    model = fitted(None)
    numbers, dates = np.arange(N) // 4, DATES[np.arange(N) // 4]
    half = model.without([4, 5, 6, 7])
    for groups, label in (
        (numbers, 1),
        (numbers.tolist(), 1.0),
        (numbers.astype(str), "1"),
        (dates, pd.Timestamp("2020-01-02")),
        (pd.Series(dates), np.datetime64("2020-01-02")),
    ):
        for asked in ({"row_labels": {label}}, {"rows": [5]}):
            np.testing.assert_array_equal(half.coef_, model.without(**asked, groups=groups).coef_)
    for groups, label in ((numbers, "5"), (numbers.astype(str), 5), (dates, "2020-01-02")):
        with pytest.raises(ValueError, match=r"labels that are not in groups: .* \((str|int)\)\."):
            model.without(row_labels=[label], groups=groups)


def test_groups_of_several_types_are_told_apart_by_a_removal():
    """Elsewhere labels of groups have to sort; here each is looked up by itself."""
    model = InfluenceLogisticRegression().fit(X, Y)
    labels = [1, "1", b"1", 2.5] * 10
    for groups in (labels, np.array(labels, dtype=object), pd.Series(labels, dtype=object)):
        for k, label in enumerate(labels[:4]):
            found = model.without(row_labels=label, groups=groups).coef_
            np.testing.assert_array_equal(found, model.without(np.arange(k, 40, 4)).coef_)
            np.testing.assert_array_equal(found, model.without([k], groups=groups).coef_)
    texts = np.array([b"a", b"b"] * 20)
    found = model.without(row_labels=b"a", groups=texts).coef_
    np.testing.assert_array_equal(found, model.without(np.arange(0, 40, 2)).coef_)
