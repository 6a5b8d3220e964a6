"""Columns by name, columns of text, and refused arguments, in tools that ask about features."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, InfluenceRidge, explain
from skinfluence.attacks import PoisoningAttack, adversarial_perturbation, input_curvature
from skinfluence.debugging import explain_errors
from skinfluence.labels import LabelAudit
from tests.cases import problem

X, y = problem(0, n=90, p=3)
TEXT = pd.Series(["oslo", "rome", None] * 30)


def table(rows):
    """Three columns of numbers, one of them whole, and two of text, with an index of strings."""
    frame = pd.DataFrame(X[rows], columns=["age", "dose", "weight"])
    frame.insert(1, "city", TEXT[rows].to_numpy())
    frame["ward"] = pd.Categorical(np.where(X[rows, 0] > 0, "a", "b"))
    frame["dose"] = frame["dose"].astype("Float64")
    return frame.set_axis([f"r{row}" for row in np.arange(90)[rows]])


FRAME, TEST = table(slice(0, 60)), table(slice(60, 90))
Y, Y_TEST = y[:60], y[60:]


def by_name(encode=False):
    """A Pipeline that selects columns by name; the texts dropped, or encoded."""
    parts = [("numbers", StandardScaler(), ["weight", "age"]), ("as is", "passthrough", ["dose"])]
    if encode:
        parts.append(("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]))
    return make_pipeline(ColumnTransformer(parts), InfluenceLogisticRegression()).fit(FRAME, Y)


def test_errors_by_every_column_of_a_raw_frame():
    pipe = by_name()
    for column in FRAME.columns:
        found = explain_errors(pipe, TEST, Y_TEST, X_train=FRAME, by=column)
        assert found.groups.name == column
        assert found.groups.n_rows.sum() == 60
    assert found.feature_names == ["numbers__weight", "numbers__age", "as is__dose"]
    own = explain_errors(pipe, TEST, Y_TEST, by="numbers__age").groups
    assert own.name == "numbers__age"
    last = explain_errors(pipe, TEST, Y_TEST, by=-1).groups
    assert last.name == "as is__dose"
    raw = explain_errors(pipe, TEST, Y_TEST, X_train=FRAME, features="input", k=4)
    assert raw.feature_names == list(FRAME.columns)
    assert (raw.contributions[:, [1, 4]] == 0).all()
    ages = FRAME["age"].to_numpy()[raw.indices]
    np.testing.assert_allclose(raw.contributions[:, 0], ages * raw.gradients[:, 0])


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (pd.array([1, 2, pd.NA] * 20, dtype="Int64"), ["c = 1", "c = 2", "c missing"]),
        (pd.array(["a", "b", pd.NA] * 20, dtype="string"), ["c = a", "c = b", "c missing"]),
        (pd.array([True, False, pd.NA] * 20, dtype="boolean"), ["c = False", "c = True", "c mi"]),
        (np.array(["2020-01-01", "NaT"] * 30, "M8[ns]"), ["c = 2020-01-01T", "c missing"]),
        ([np.nan] * 60, ["c missing"]),
    ],
    ids=["Int64", "string", "boolean", "dates", "all missing"],
)
def test_missing_values_are_a_group_of_their_own(values, groups):
    frame = FRAME.assign(c=values)
    found = explain_errors(by_name(), TEST, Y_TEST, X_train=frame, by="c").groups
    assert len(found.groups) == len(groups)
    assert all(one.startswith(start) for one, start in zip(found.groups, groups, strict=True))
    assert found.n_rows.sum() == 60


def test_cuts_are_told_apart_by_their_labels():
    values = 1e9 + np.arange(60) * 0.25
    found = explain_errors(by_name(), TEST, Y_TEST, by=values, bins=5).groups
    assert len(set(found.groups)) == 5
    edge = float(found.groups[0].split("<")[1])
    np.testing.assert_array_equal(found.codes == 0, values < edge)
    with_inf = np.r_[-np.inf, values[1:-1], np.inf]
    assert explain_errors(by_name(), TEST, Y_TEST, by=with_inf).groups.n_rows.min() >= 14


@pytest.mark.parametrize("encode", [False, True])
def test_moves_of_columns_by_name(encode):
    pipe = by_name(encode)
    view = explain(pipe)
    asked = {"features": "input", "X_train": FRAME, "train_indices": [0, 7], "method": "exact"}
    got = view.feature_influence(TEST, Y_TEST, displacement={"dose": [0.5, -1.0]}, **asked)
    steps, clf = pipe[:-1], pipe[-1]
    for column, (row, move) in enumerate(((0, 0.5), (7, -1.0))):
        moved = FRAME.copy()
        moved.iloc[row, moved.columns.get_loc("dose")] += move
        refit = LogisticRegression(solver="newton-cholesky", tol=1e-12)
        refit.fit(steps.transform(moved), Y)
        Z, own = steps.transform(TEST), np.arange(30)
        after = -refit.predict_log_proba(Z)[own, Y_TEST]
        before = -clf.predict_log_proba(Z)[own, Y_TEST]
        np.testing.assert_allclose(got[:, column], after - before, atol=1e-7)
    frame = pd.DataFrame({"dose": [0.5, -1.0]})
    np.testing.assert_array_equal(
        view.feature_influence(TEST, Y_TEST, displacement=frame, **asked), got
    )
    own = {"as is__dose": [0.5, -1.0]}
    inner = view.feature_influence(TEST, Y_TEST, displacement=own, **{**asked, "features": "model"})
    np.testing.assert_allclose(inner, got, atol=1e-12)
    for displacement, match in (
        ({"size": 1.0}, r"displacement names \['size'\], which are no columns: \['age'"),
        ({"city": 1.0}, r"moves the columns \['city'\], which hold no numbers"),
        ({"dose": [1.0]}, r"displacement\['dose'\] should be a number, or one for each of the 2"),
        ({"dose": "far"}, r"displacement\['dose'\] should hold numbers"),
        ("far", "displacement should hold numbers; got dtype <U3"),
        (["far"] * 5, "displacement should hold numbers"),
    ):
        with pytest.raises(ValueError, match=match):
            view.feature_influence(TEST, Y_TEST, displacement=displacement, **asked)


def test_attacks_on_frames_with_texts():
    pipe = by_name()
    found = adversarial_perturbation(pipe, TEST)
    assert found.flipped.all()
    assert found.perturbation.shape == (30, 5)
    assert (found.perturbation[:, [1, 4]] == 0).all()
    numbers = TEST[["age", "dose", "weight"]].astype(float)
    moved = TEST.copy()
    moved[["age", "dose", "weight"]] = numbers + found.perturbation[:, [0, 2, 3]]
    np.testing.assert_array_equal(pipe.predict(moved), found.after)
    with pytest.raises(NotImplementedError, match="the step ColumnTransformer stops the gradient"):
        adversarial_perturbation(by_name(encode=True), TEST)
    attack = PoisoningAttack(pipe, epsilon=2.0, n_iter=6, target_rows=[0, 1])
    poisoned = attack.run(FRAME, Y, TEST, pipe.predict(TEST))
    assert poisoned.losses[-1] > poisoned.losses[0]
    assert (poisoned.displacement[:, [1, 4]] == 0).all()
    np.testing.assert_array_equal(poisoned.estimator.predict(TEST.iloc[:2]), poisoned.after)


class Cubes(TransformerMixin, BaseEstimator):
    """Third powers, which know their derivative."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.asarray(X) ** 3

    def input_vjp(self, X, cotangent):
        return 3 * np.asarray(X) ** 2 * cotangent


def test_gradients_through_pipelines_in_pipelines():
    flat = make_pipeline(StandardScaler(), Cubes(), StandardScaler(), InfluenceLogisticRegression())
    inner = make_pipeline(StandardScaler(), make_pipeline(Cubes(), StandardScaler()))
    nested = make_pipeline(inner, InfluenceLogisticRegression())
    outer = make_pipeline(FrozenEstimator(inner.fit(X)), InfluenceLogisticRegression())
    asked = {"features": "input", "X_train": X, "aggregate": "mean"}
    expected = explain(flat.fit(X, y)).feature_influence(X, y, **asked)
    for pipe in (nested, outer):
        found = explain(pipe.fit(X, y)).feature_influence(X, y, **asked)
        np.testing.assert_allclose(found, expected, atol=1e-9)
    found = adversarial_perturbation(nested, X[:1], epsilon=0.01)
    assert not found.is_exact
    assert np.linalg.norm(found.perturbation) <= 0.01 * (1 + 1e-9)


def test_lengths_that_differ_are_named():
    pipe, message = by_name(), "inconsistent numbers of samples: "
    for call, names in (
        (lambda: explain_errors(pipe, TEST, Y_TEST[:-1]), "X_test has 30 rows, y_test 29"),
        (lambda: adversarial_perturbation(pipe, TEST, Y_TEST[:3]), "X has 30 rows, y 3"),
        (lambda: input_curvature(pipe, TEST, Y_TEST[:3]), "X has 30 rows, y 3"),
        (
            lambda: PoisoningAttack(pipe).run(FRAME, Y[:-1], TEST, Y_TEST),
            "X has 60 rows, y 59",
        ),
        (
            lambda: PoisoningAttack(pipe).run(FRAME, Y, TEST, Y_TEST[:-1]),
            "X_test has 30 rows, y_test 29",
        ),
        (
            lambda: LabelAudit(pipe).fit(FRAME, Y, X_val=TEST, y_val=Y_TEST[:-1]),
            "X_val has 30 rows, y_val 29",
        ),
    ):
        with pytest.raises(ValueError, match=message + names):
            call()
    errors = explain_errors(pipe, TEST, Y_TEST).errors
    column = explain_errors(pipe, TEST, Y_TEST[:, None]).errors
    np.testing.assert_array_equal(column, errors)
    with pytest.raises(ValueError, match=r"y_test should have shape \(n_test,\); got \(30, 2\)"):
        explain_errors(pipe, TEST, np.c_[Y_TEST, Y_TEST])
    with pytest.raises(ValueError, match="Expected 2D array"):
        adversarial_perturbation(InfluenceLogisticRegression().fit(X, y), X[0])


@pytest.mark.parametrize("epsilon", [None, "a", True])
def test_an_epsilon_is_a_number(epsilon):
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.raises(TypeError, match="epsilon should be a positive number"):
        PoisoningAttack(clf, epsilon=epsilon).run(X, y, X, y)
    if epsilon is not None:
        with pytest.raises(TypeError, match="epsilon should be a positive number"):
            adversarial_perturbation(clf, X, epsilon=epsilon)


def test_attacks_that_cannot_do_anything():
    clf = InfluenceLogisticRegression().fit(X, y)
    pixels = np.clip(np.round(40 * X + 128), 0, 255).astype(np.uint8)
    for attack, rows, match in (
        (PoisoningAttack(clf, epsilon=0.5, constraint="uint8"), pixels, "epsilon should be at lea"),
        (PoisoningAttack(clf, target_rows=[]), X, "target_rows is empty"),
        (PoisoningAttack(FrozenEstimator(clf)), X, "a FrozenEstimator is not fitted again"),
        (
            PoisoningAttack(make_pipeline(StandardScaler(), FrozenEstimator(clf))),
            X,
            "a FrozenEstimator is not fitted again",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            attack.run(rows, y, rows, y)
    found = PoisoningAttack(clf, epsilon=1, constraint="uint8", n_iter=2).run(pixels, y, pixels, y)
    assert np.abs(found.displacement).max() == 1
    with pytest.raises(ValueError, match="norm should be 2 or 'inf'"):
        adversarial_perturbation(clf, X, norm=[2])


def test_changes_with_wrong_arguments():
    clf, ridge = InfluenceLogisticRegression().fit(X, y), InfluenceRidge().fit(X, X[:, 0])
    logs = TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp)
    logs = InfluenceExplainer(logs).fit(X, np.exp(X[:, 0]))
    asked = {"target": "prediction"}
    for call, match in (
        (lambda: clf.relabel_influence(X, y, labels=0), "labels should hold one label for each"),
        (lambda: clf.reweight_influence(["1"] * 90, X, y), "sample_weight should hold numbers"),
        (lambda: clf.reweight_influence([[1] * 90, [2]], X, y), "sample_weight should hold numbe"),
        (lambda: ridge.best_changes(X, X[:, 0]), "kind='relabel' needs a classifier"),
        (lambda: clf.best_changes(X, y, X_new=X, y_new=y), "X_new is for kind='addition'"),
        (lambda: clf.best_changes(X, y, kind="removal", y_new=y), "y_new is for kind='addition'"),
        (
            lambda: clf.best_changes(X, y, kind="addition", X_new=X, y_new=y, train_indices=[0]),
            "train_indices has no meaning with kind='addition'",
        ),
        (
            lambda: logs.relabel_influence(X, labels=np.r_[0.0, np.ones(89)], **asked),
            r"labels has responses that the transformer .* infinity: 0.0 at row 0",
        ),
        (
            lambda: logs.addition_influence(X[:2], [1.0, -1.0], X, **asked),
            "y_new has responses that the transformer",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_row_ids_do_not_depend_on_the_type_of_numbers():
    clf = LogisticRegression(max_iter=1000)
    ids = LabelAudit(clf).fit(X, y).row_ids().tolist()
    assert LabelAudit(clf).fit(X, y.astype(float)).row_ids().tolist() == ids
    texts = FRAME.reset_index(drop=True)[["age", "city"]]
    steps = ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough")
    whole = texts.assign(age=np.round(texts["age"]))
    pipe = make_pipeline(steps, LogisticRegression())
    ids = LabelAudit(pipe).fit(whole, Y).row_ids().tolist()
    ints = whole.assign(age=whole["age"].astype(int))
    assert LabelAudit(pipe).fit(ints, Y).row_ids().tolist() == ids


def test_a_scorer_finds_the_rows_by_their_names():
    seen = []

    def scorer(estimator, rows, labels):
        seen.append(rows)
        return float((estimator.predict(rows) == labels).mean())

    numbers = FRAME[["age", "weight"]]
    clf = InfluenceLogisticRegression().fit(numbers, Y)
    clf.loo_estimate(scoring=scorer)
    pd.testing.assert_frame_equal(seen[-1], numbers)
    InfluenceExplainer(by_name()).fit(FRAME, Y).loo_estimate(scoring=scorer)
    assert seen[-1].index.tolist() == FRAME.index.tolist()
    assert FRAME.loc[seen[-1].index, "city"].shape == (60,)
    assert seen[-1].shape == (60, 0)
