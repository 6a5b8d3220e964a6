"""Tables of the training rows that are given once more: their index is that of fit, or none."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression
from skinfluence.debugging import explain_errors
from tests.cases import problem

N = 60
COLUMNS = list("abc")
X, Y = problem(n=N + 20, p=3)
DATES = pd.date_range("2020-01-01", periods=N, freq="3D")
INDICES = {
    "texts": pd.Index([f"p{i}" for i in range(N)]),
    "a split": pd.Index(np.random.default_rng(0).permutation(2 * N)[:N]),
    "a shuffle": pd.Index(np.random.default_rng(0).permutation(N)),
    "dates": DATES,
    "pairs": pd.MultiIndex.from_arrays([np.arange(N) // 2, np.arange(N) % 2]),
    "pairs with missing": pd.MultiIndex.from_arrays([[np.nan, *range(1, N)], np.arange(N)]),
    "missing": pd.Index([np.nan, *range(1, N)]),
}
RANDOM = np.random.default_rng(1).permutation(N)


def tables(index):
    """A data frame with a column that the model does not see, labels, and test rows."""
    frame = pd.DataFrame(X[:N], columns=COLUMNS, index=index)
    frame["city"] = np.where(np.arange(N) % 3, "A", "B")
    return frame, Y[:N], pd.DataFrame(X[N:], columns=COLUMNS).assign(city="A"), 1 - Y[N:]


def pipeline(frame, y):
    step = make_column_transformer((StandardScaler(), COLUMNS), verbose_feature_names_out=False)
    step.set_output(transform="pandas")
    return make_pipeline(step, InfluenceLogisticRegression()).fit(frame, y)


def groups(model, test, y_test, **asked):
    return explain_errors(model, test, y_test, k=3, **asked).groups.to_frame()


@pytest.mark.parametrize("index", INDICES)
def test_columns_of_the_rows_in_another_order_are_refused(index):
    frame, y, test, y_test = tables(INDICES[index])
    model = pipeline(frame, y)
    expected = groups(model, test, y_test, by=frame["city"].to_numpy())
    plain = frame.reset_index(drop=True)
    for rows in (frame, frame.copy(), frame.to_numpy()):
        by = 3 if rows is not frame else "city"
        found = groups(model, test, y_test, X_train=rows, by=by)
        np.testing.assert_allclose(found["helpful"], expected["helpful"])
    found = groups(model, test, y_test, by=frame["city"])
    np.testing.assert_allclose(found["helpful"], expected["helpful"])
    wrong = [frame.iloc[RANDOM], frame.sort_values("a")]
    if index == "a shuffle":
        wrong += [frame.sort_index(), plain]  # the rows before they were shuffled
    else:
        found = groups(model, test, y_test, X_train=plain, by="city")
        np.testing.assert_allclose(found["helpful"], expected["helpful"])
    for rows in wrong:
        with pytest.raises(ValueError, match="the rows of X_train are not the rows of fit, in the"):
            groups(model, test, y_test, X_train=rows, by="city")
        with pytest.raises(ValueError, match="the rows of by are not the rows of fit"):
            groups(model, test, y_test, by=rows["city"])


def test_a_message_names_the_first_row_that_is_another():
    frame, y, test, y_test = tables(INDICES["texts"])
    model = pipeline(frame, y)
    order = np.r_[0, 2, 1, 3:N]
    with pytest.raises(ValueError, match=r"row 1 is 'p2', in fit it was 'p1'"):
        groups(model, test, y_test, X_train=frame.iloc[order], by="city")
    with pytest.raises(ValueError, match="X_train should have the 60 rows of fit; got 59"):
        groups(model, test, y_test, X_train=frame[1:], by="city")


@pytest.mark.parametrize("index", INDICES)
def test_moves_of_rows_in_another_order_are_refused(index):
    frame, y, test, y_test = tables(INDICES[index])
    frame, test = frame[COLUMNS], test[COLUMNS]
    model = InfluenceLogisticRegression().fit(frame, y)
    moves = pd.DataFrame(np.random.default_rng(2).normal(size=(N, 3)), frame.index, COLUMNS)

    def effects(displacement, **asked):
        asked = {"displacement": displacement, "method": "newton", **asked}
        return model.feature_influence(test, y_test, **asked)

    expected = effects(moves.to_numpy())
    accepted = [moves, moves[["c", "a", "b"]], {name: moves[name] for name in COLUMNS}]
    refused = [moves.iloc[RANDOM], {"a": moves["a"], "b": moves["b"].iloc[RANDOM]}]
    plain = moves.reset_index(drop=True)
    (refused if index == "a shuffle" else accepted).append(plain)
    for given in accepted:
        np.testing.assert_array_equal(effects(given), expected)
    for given in refused:
        with pytest.raises(ValueError, match=r"rows of displacement\S* are not the rows of fit"):
            effects(given)
    rows = RANDOM[:5]
    some = moves.iloc[rows]
    np.testing.assert_allclose(effects(some, train_indices=rows), expected[:, rows])
    np.testing.assert_array_equal(
        effects(some.iloc[0], train_indices=rows),
        effects(some.iloc[0].to_numpy(), train_indices=rows),
    )
    with pytest.raises(ValueError, match="the rows of displacement are not the rows of fit"):
        effects(some[::-1], train_indices=rows)
    with pytest.raises(ValueError, match=r"displacement\['a'\] should be a number, or one"):
        effects(some[:4], train_indices=rows)


def test_rows_without_names_are_taken_in_their_order():
    frame, y, test, y_test = tables(INDICES["texts"])
    model = pipeline(frame.reset_index(drop=True), y)
    expected = groups(model, test, y_test, by=frame["city"].to_numpy())
    found = groups(model, test, y_test, X_train=frame, by="city")
    np.testing.assert_allclose(found["helpful"], expected["helpful"])
    arrays = InfluenceLogisticRegression().fit(frame[COLUMNS].to_numpy(), y)
    test = test[COLUMNS].to_numpy()
    found = groups(arrays, test, y_test, X_train=frame, by="city")
    np.testing.assert_allclose(
        found["helpful"], groups(arrays, test, y_test, by=frame["city"].to_list())["helpful"]
    )
