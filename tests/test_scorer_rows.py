"""Which rows a callable scorer may ask about, and what its estimator says that it is."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluenceRidge,
)
from skinfluence.blocks import as_blocks
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.linear_model import InfluenceRidgeClassifier
from skinfluence.link import IdentityLink, KnownRows, LogitLink
from skinfluence.model_selection import LeaveOneOutSearchCV
from tests.cases import problem

X, Y = problem(n=60, p=3)
FRAME = pd.DataFrame(X, columns=list("abc"), index=[f"r{i}" for i in range(60)])
ORDER = np.argsort(X[:, 1])


def error(estimator, rows, labels):
    """Minus the mean squared error, as any scorer may write it."""
    return -float(np.mean((labels - estimator.predict(rows)) ** 2))


def sorted_first(estimator, rows, labels):
    """The mean accuracy of the first rows by the second column."""
    column = rows["b"].to_numpy() if hasattr(rows, "iloc") else rows[:, 1]
    order = np.argsort(column)[:20]
    chosen = rows.iloc[order] if hasattr(rows, "iloc") else rows[order]
    return float(np.mean(estimator.predict(chosen) == np.asarray(labels)[order]))


def selected_after(estimator, rows, labels):
    """The same, of the predictions of all rows."""
    column = rows["b"].to_numpy() if hasattr(rows, "iloc") else rows[:, 1]
    order = np.argsort(column)[:20]
    return float(np.mean(estimator.predict(rows)[order] == np.asarray(labels)[order]))


def noisy(estimator, rows, labels):
    """An accuracy under noise, which needs a model."""
    return float(np.mean(estimator.predict(rows + 0.1) == labels))


@pytest.mark.parametrize("rows", [X, FRAME, FRAME.reset_index(drop=True)], ids=["X", "names", "0"])
def test_a_scorer_that_sorts_the_rows_is_answered_in_its_order(rows):
    clf = InfluenceLogisticRegression().fit(rows, Y)
    for ask in (
        lambda scoring: clf.score_influence(rows[:40], Y[:40], scoring=scoring),
        lambda scoring: clf.loo_estimate(scoring=scoring).score,
        lambda scoring: (
            LeaveOneOutSearchCV(InfluenceLogisticRegression(), {"C": [0.1, 1.0]}, scoring=scoring)
            .fit(rows, Y)
            .cv_results_["mean_test_score"]
        ),
    ):
        np.testing.assert_array_equal(ask(sorted_first), ask(selected_after))


@pytest.mark.parametrize("rows", [X, FRAME], ids=["array", "frame"])
def test_a_scorer_that_changes_the_rows_is_refused(rows):
    clf = InfluenceLogisticRegression().fit(rows, Y)
    search = LeaveOneOutSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=noisy)
    for ask in (
        lambda: clf.score_influence(rows, Y, scoring=noisy),
        lambda: clf.loo_estimate(scoring=noisy),
        lambda: search.fit(rows, Y),
    ):
        with pytest.raises(ValueError, match="is not among the 60 rows that the scorer was handed"):
            ask()


def known(table, values=None):
    """What is found of the positions 0, 1, ... of a table's rows."""
    values = np.arange(60.0) if values is None else values
    return lambda asked: KnownRows(table).of(asked, values)


@pytest.mark.parametrize(
    ("table", "equal"),
    [
        (X, X.copy()),
        (X, X.astype(np.float32)),
        (sp.csr_array(X), X),
        (X, sp.csr_array(X)),
        (sp.csr_array(X), sp.csc_array(X)),
        (X, X[:]),
        (X, X.tolist()),
        (X, np.asfortranarray(X)),
        (FRAME, FRAME.copy()),
        (FRAME, FRAME.to_numpy(copy=True)),
        (FRAME, FRAME.reset_index(drop=True)),
        (sp.csr_matrix(X), sp.coo_matrix(X)),
        (X.tolist(), X),
    ],
)
def test_equal_rows_are_the_rows(table, equal):
    np.testing.assert_array_equal(known(table)(equal), np.arange(60.0))


def test_missing_values_texts_and_negative_zeros_are_values():
    gaps = np.where(X > 1.0, np.nan, X)
    gaps[0] = [0.0, 1.0, 2.0]
    same = gaps.copy()
    same[0, 0] = -0.0
    np.testing.assert_array_equal(known(gaps)(same[ORDER]), ORDER)
    mixed = FRAME.assign(city=[None, "x", np.nan] * 20, when=pd.Timestamp("2020-01-01"))
    mixed.loc["r3", "when"] = pd.NaT
    np.testing.assert_array_equal(known(mixed)(mixed.iloc[ORDER]), ORDER)
    anew = mixed.iloc[ORDER].reset_index(drop=True)
    np.testing.assert_array_equal(known(mixed)(anew), ORDER)
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"a": X[:, 0], "b": [f"text {i}" for i in range(60)]})
    np.testing.assert_array_equal(known(table)(table[ORDER.tolist()]), ORDER)


@pytest.mark.parametrize(
    ("table", "other"),
    [
        (X, X + 1e-9),
        (X, X[:, :2]),
        (X, X[:, [1, 0, 2]]),
        (X, 5),
        (FRAME, FRAME.rename(columns={"a": "z"})),
        (FRAME, FRAME.assign(a=FRAME["a"] + 1.0)),
        (FRAME, FRAME.iloc[ORDER].set_axis(FRAME.index).assign(a=0.0)),
        (sp.csr_array(X), 2.0 * sp.csr_array(X)),
        (FRAME[[]], FRAME),
        ([{"a": i} for i in range(60)], [{"a": i} for i in range(60)]),
    ],
)
def test_other_rows_are_refused(table, other):
    with pytest.raises(ValueError, match="not among the 60 rows that the scorer was handed"):
        known(table)(other)


def test_rows_of_no_columns_are_known_by_their_index_alone():
    bare = FRAME[[]]
    np.testing.assert_array_equal(known(bare)(bare.iloc[ORDER]), ORDER)
    nameless = np.empty((60, 0))
    assert known(nameless)(nameless)[-1] == 59.0
    # In another order an array of them is the same.
    for other in (nameless[ORDER], np.asarray(bare)):
        with pytest.raises(ValueError, match="have no columns, and are known by their index"):
            known(bare if other is not nameless else nameless)(other)
    with pytest.raises(ValueError, match="have no columns, and are known by their index"):
        known(bare.set_axis(["r"] * 60))(bare.set_axis(["r"] * 60))


def test_a_copy_is_seen_at_once_and_labels_go_before_values():
    """A copy needs no key for each row; equal rows that change places have their labels."""
    rows = KnownRows(FRAME)
    np.testing.assert_array_equal(rows.of(FRAME.copy(), np.arange(60.0)), np.arange(60.0))
    assert rows._row_keys is None
    twins = pd.DataFrame({"a": [1.0, 1.0, 2.0], "b": ["x", "x", "y"]})
    found = KnownRows(twins).of(twins.iloc[[1, 0, 2]], np.arange(3.0))
    np.testing.assert_array_equal(found, [1.0, 0.0, 2.0])
    gaps = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": ["x", None, "z"]})
    np.testing.assert_array_equal(KnownRows(gaps).of(gaps.copy(), np.arange(3.0)), np.arange(3.0))


def test_equal_rows_of_other_predictions_are_told_apart_or_refused():
    twice = np.r_[X[:30], X[:30]]
    frame = pd.DataFrame(twice, columns=list("abc"))
    np.testing.assert_array_equal(known(frame)(frame.iloc[ORDER]), ORDER)
    np.testing.assert_array_equal(known(twice)(twice[:]), np.arange(60.0))
    np.testing.assert_array_equal(known(twice)(twice.copy()), np.arange(60.0))
    with pytest.raises(ValueError, match="rows 0 and 30 of X have the same values"):
        known(twice)(twice[ORDER])
    # One model says the same of equal rows.
    one = np.tile(np.arange(30.0), 2)
    np.testing.assert_array_equal(known(twice, one)(twice[ORDER]), one[ORDER])
    # A leave-one-out prediction is by the model without that very row.
    clf = InfluenceLogisticRegression().fit(twice, Y)
    with pytest.raises(ValueError, match="select from what it returns"):
        clf.loo_estimate(scoring=sorted_first)
    clf.score_influence(twice, Y, scoring=sorted_first)


def test_a_pipeline_and_a_kernel_know_their_rows_by_name():
    def by_label(estimator, rows, labels):
        """A score in the order of a column of the caller's table."""
        order = np.argsort(FRAME.loc[rows.index, "b"].to_numpy())
        return error(estimator, rows.iloc[order], labels[order] ** 3 * np.arange(60))

    def in_place(estimator, rows, labels):
        order = np.argsort(FRAME.loc[rows.index, "b"].to_numpy())
        wanted = labels[order] ** 3 * np.arange(60)
        return -float(np.mean((wanted - estimator.predict(rows)[order]) ** 2))

    target = X[:, 0] + Y
    pipe = InfluenceExplainer(make_pipeline(StandardScaler(), InfluenceRidge())).fit(FRAME, target)
    kernel = InfluenceKernelRidge(kernel="rbf").fit(FRAME, target)
    for model in (pipe, kernel):
        found = [model.loo_estimate(scoring=scoring).score for scoring in (by_label, in_place)]
        assert found[0] == pytest.approx(found[1])
        with pytest.raises(ValueError, match="They have no columns"):
            model.loo_estimate(scoring=lambda m, rows, y: m.predict(FRAME.loc[rows.index]).mean())
    blocks = InfluenceRidge().fit(as_blocks(X, target, block_rows=25))
    plain = InfluenceRidge().fit(X, target).loo_estimate(scoring="neg_mean_squared_error").score
    for rows in (slice(None), ORDER):
        found = blocks.loo_estimate(scoring=lambda m, X, y, rows=rows: error(m, X[rows], y[rows]))
        assert found.score == pytest.approx(plain)


def test_an_attribute_that_is_none_is_said_to_be_none():
    clf = InfluenceLogisticRegression().fit(X, Y)
    with pytest.raises(AttributeError, match=r"no 'coef_': .* has predict, decision_f"):
        clf.score_influence(X, Y, scoring=lambda m, X, y: m.coef_[0, 0])
    ridge = InfluenceRidge().fit(X, X[:, 0])
    with pytest.raises(AttributeError, match=r"it has predict and score\."):
        ridge.loo_estimate(scoring=lambda m, X, y: m.coef_[0])
    seen = {}

    def scorer(estimator, rows, labels):
        for name in ("predict", "predict_proba", "decision_function", "classes_", "coef_"):
            seen[name] = hasattr(estimator, name)
        return accuracy_score(labels, estimator.predict(rows))

    InfluenceRidgeClassifier().fit(X, Y).loo_estimate(scoring=scorer)
    assert seen == {
        "predict": True,
        "predict_proba": False,
        "decision_function": True,
        "classes_": True,
        "coef_": False,
    }
    with pytest.raises(AttributeError, match="has no 'predict_proba'"):
        InfluenceRidgeClassifier().fit(X, Y).loo_estimate(
            scoring=lambda m, X, y: m.predict_proba(X)[0, 0]
        )


@pytest.mark.parametrize("link", [LogitLink(), IdentityLink()])
def test_the_estimator_of_a_scorer_copies_and_pickles(link):
    given = link.predictions(np.arange(4.0) - 1.5, KnownRows(X[:4]))
    for other in (copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        np.testing.assert_array_equal(other.predict(X[:4]), given.predict(None))
    assert given.score(X[:4], given.predict(X[:4])) == 1.0
