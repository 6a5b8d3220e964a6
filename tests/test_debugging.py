"""Explanations of errors, and comparisons of models."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, InfluenceRidge
from skinfluence.debugging import GroupShares, compare_models, explain_errors
from skinfluence.kernel_models import KernelLogisticRegression
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem

X, y = problem(0, n=120)
X_train, y_train, X_test, y_test = X[:80], y[:80], X[80:], y[80:]


def model(**params):
    return InfluenceLogisticRegression(**params).fit(X_train, y_train)


def test_rows_and_features_behind_the_errors():
    clf = model()
    found = explain_errors(clf, X_test, y_test, k=4)
    errors = np.flatnonzero(clf.predict(X_test) != y_test)
    np.testing.assert_array_equal(found.errors, errors)
    np.testing.assert_array_equal(found.expected, y_test[errors])
    np.testing.assert_array_equal(found.predicted, 1 - y_test[errors])
    influence = clf.influence(X_test[errors], y_test[errors])
    np.testing.assert_allclose(found.influence, influence.mean(axis=0), atol=1e-12)
    order = np.argsort(found.influence)
    np.testing.assert_array_equal(found.indices, [*order[:4], *order[::-1][:4]])
    gradient = clf.feature_influence(X_test[errors], y_test[errors]).mean(axis=0)[found.indices]
    np.testing.assert_allclose(found.gradients, gradient, atol=1e-12)
    np.testing.assert_allclose(found.contributions, X_train[found.indices] * gradient, atol=1e-12)
    each = clf.most_influential(X_test[errors], y_test[errors], k=4)
    np.testing.assert_array_equal(found.most_influential.harmful_indices, each.harmful_indices)
    name, value = found.top_features(found.indices[0], 1)[0]
    assert abs(value) == np.abs(found.contributions[0]).max()
    assert name == f"x{np.abs(found.contributions[0]).argmax()}"
    frame = found.to_frame(k=2)
    assert frame["train"].tolist() == found.indices.tolist()
    assert frame["kind"].tolist() == ["harmful"] * 4 + ["helpful"] * 4
    assert list(frame.columns)[3:] == ["feature 1", "contribution 1", "feature 2", "contribution 2"]
    assert f"ErrorExplanation of {len(errors)} errors" in repr(found)
    assert f"harmful  row {found.indices[0]}" in repr(found)
    with pytest.raises(ValueError, match="contributions of the features of row -1 are not known"):
        found.top_features(-1)


def test_influence_by_a_column():
    clf = model()
    age = np.arange(80.0)
    age[3] = np.nan
    frame = pd.DataFrame({"age": age, "sex": list("fm") * 40})
    found = explain_errors(clf, X_test, y_test, X_train=frame, by="age", bins=4).groups
    assert isinstance(found, GroupShares)
    assert found.groups[-1] == "age missing"
    assert len(found.groups) == 5
    assert found.groups[0].startswith("age < ")
    assert found.groups[3].startswith("age >= ")
    assert found.n_rows.tolist()[-1] == 1
    assert found.n_rows.sum() == 80
    assert found.harmful.sum() == pytest.approx(1.0)
    assert found.helpful.sum() == pytest.approx(1.0)
    influence = explain_errors(clf, X_test, y_test).influence
    harmful = np.maximum(-influence, 0)
    for group in range(5):
        rows = found.codes == group
        assert found.harmful[group] == pytest.approx(harmful[rows].sum() / harmful.sum())
    limit = float(found.groups[0].split("<")[1])
    np.testing.assert_array_equal(found.codes == 0, age < limit)
    by_sex = explain_errors(clf, X_test, y_test, X_train=frame, by="sex").groups
    assert by_sex.groups == ["sex = f", "sex = m"]
    table = by_sex.to_frame()
    assert table.loc["sex = f", "rows"] == 40
    assert table.loc["sex = m", "harmful"] == by_sex.harmful[1]
    assert "of the harmful influence" in repr(by_sex)
    same = explain_errors(clf, X_test, y_test, by=frame["sex"]).groups
    np.testing.assert_array_equal(same.harmful, by_sex.harmful)
    own = explain_errors(clf, X_test, y_test, by=1, bins=2)
    assert len(own.groups.groups) == 2
    assert own.groups.name == "x1"
    assert "rows with x1" in repr(own)
    constant = explain_errors(clf, X_test, y_test, by=np.r_[np.zeros(75), 1:6], bins=3).groups
    assert constant.n_rows.sum() == 80


def test_columns_of_a_raw_frame_of_any_kind():
    """The Pipeline's last step has other columns; those of the frame are named as they are."""
    rng = np.random.default_rng(0)

    def raw(rows):
        frame = pd.DataFrame(rows, columns=list("abcd"))
        n = len(rows)
        frame["city"] = np.where(np.arange(n) % 3, "Rome", "Oslo").astype(object)
        frame["kind"] = pd.Categorical(np.where(np.arange(n) % 2, "u", "v"))
        frame["text"] = pd.array(frame["city"], dtype="string")
        frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n) % 2, unit="D")
        frame["count"] = pd.array(rng.integers(0, 50, n), dtype="Int64")
        return frame

    frame, test = raw(X_train), raw(X_test)
    columns = ColumnTransformer(
        [("city", OneHotEncoder(), ["city", "kind"]), ("numbers", StandardScaler(), list("abcd"))]
    )
    pipe = make_pipeline(columns, InfluenceLogisticRegression()).fit(frame, y_train)
    expected = {
        "city": ["city = Oslo", "city = Rome"],
        "kind": ["kind = u", "kind = v"],
        "text": ["text = Oslo", "text = Rome"],
    }
    influence = explain_errors(pipe, test, y_test).influence
    for by, names in expected.items():
        found = explain_errors(pipe, test, y_test, X_train=frame, by=by, k=3).groups
        assert found.groups == names
        harmful = np.maximum(-influence, 0)
        some = harmful[(frame[by] == names[0].split()[-1]).to_numpy()].sum() / harmful.sum()
        assert found.harmful[0] == pytest.approx(some)
        by_values = explain_errors(pipe, test, y_test, by=frame[by], k=3).groups
        np.testing.assert_array_equal(by_values.harmful, found.harmful)
        position = list(frame).index(by)
        by_place = explain_errors(pipe, test, y_test, X_train=frame.to_numpy(), by=position, k=3)
        np.testing.assert_array_equal(by_place.groups.harmful, found.harmful)
    days = explain_errors(pipe, test, y_test, X_train=frame, by="day", k=3).groups
    assert [group[:16] for group in days.groups] == ["day = 2020-01-01", "day = 2020-01-02"]
    counts = explain_errors(pipe, test, y_test, X_train=frame, by="count", bins=3, k=3).groups
    assert counts.groups[0].startswith("count < ")
    with pytest.raises(ValueError, match=r"by='town' is no column of X_train: \['a', 'b'"):
        explain_errors(pipe, test, y_test, X_train=frame, by="town")
    with pytest.raises(ValueError, match=r"one value for each of the 80 .*got shape \(80, 1\)"):
        explain_errors(pipe, test, y_test, by=frame[["city"]])
    with pytest.raises(ValueError, match=r"X_train should be a table .*got shape \(80,\)"):
        explain_errors(pipe, test, y_test, X_train=frame["city"], by=0)
    with pytest.raises(NotImplementedError, match="the step ColumnTransformer stops the gradient"):
        explain_errors(pipe, test, y_test, X_train=frame, features="input")


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA, pd.NaT])
def test_missing_labels_of_a_column_are_a_group_of_their_own(absent):
    sex = pd.Series(list("fm") * 40, dtype=object)
    sex[[0, 7]] = absent
    for by in (sex, sex.to_numpy(), sex.tolist()):
        found = explain_errors(model(), X_test, y_test, by=by).groups
        assert [name.split(" ")[-1] for name in found.groups] == ["f", "m", "missing"]
        assert found.n_rows.tolist() == [39, 39, 2]
        assert np.flatnonzero(found.codes == 2).tolist() == [0, 7]
    assert found.harmful.sum() == pytest.approx(1.0)


def test_through_a_pipeline():
    frame = pd.DataFrame(X_train, columns=list("abcd"), index=[f"r{i}" for i in range(80)])
    test = pd.DataFrame(X_test, columns=list("abcd"), index=[f"t{i}" for i in range(40)])
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(frame, y_train)
    found = explain_errors(pipe, test, y_test, X_train=frame, by="b", features="input", k=3)
    assert found.feature_names == list("abcd")
    assert found.groups.name == "b"
    values = frame.to_numpy()[found.indices]
    np.testing.assert_allclose(found.contributions, values * found.gradients)
    explainer = InfluenceExplainer(pipe).fit(frame, y_train)
    gradient = explainer.feature_influence(
        test.iloc[found.errors], y_test[found.errors], features="input", aggregate="mean"
    )
    np.testing.assert_allclose(found.gradients, gradient[found.indices], atol=1e-9)
    named = explain_errors(explainer, test, y_test, k=3)
    assert named.error_names[0].startswith("t")
    assert named.to_frame()["train"][0].startswith("r")
    inner = explain_errors(pipe, test, y_test, k=3)
    np.testing.assert_array_equal(inner.indices, found.indices)
    poly = make_pipeline(PolynomialFeatures(2), InfluenceLogisticRegression()).fit(X_train, y_train)
    assert explain_errors(poly, X_test, y_test, k=2).contributions.shape == (4, 15)
    with pytest.raises(NotImplementedError, match="PolynomialFeatures"):
        explain_errors(poly, X_test, y_test, features="input", X_train=X_train)


def test_sparse_rows_kernels_and_regressors():
    sparse = InfluenceLogisticRegression().fit(sp.csr_matrix(X_train), y_train)
    found = explain_errors(sparse, sp.csr_matrix(X_test), y_test, by=0)
    expected = explain_errors(model(), X_test, y_test, by=0)
    np.testing.assert_allclose(found.contributions, expected.contributions, atol=1e-9)
    np.testing.assert_allclose(found.groups.harmful, expected.groups.harmful, atol=1e-9)
    kernel = SmoothHingeSVC(kernel="rbf", temperature=0.2).fit(X_train, y_train)
    assert explain_errors(kernel, X_test, y_test, k=2).contributions.shape == (4, 4)
    custom = SmoothHingeSVC(kernel=lambda A, B: A @ B.T + 1.0).fit(X_train, y_train)
    found = explain_errors(custom, X_test, y_test, k=2)
    assert found.contributions is None
    assert "harmful" in repr(found)
    assert list(found.to_frame().columns) == ["kind", "train", "influence"]
    ridge = InfluenceRidge().fit(X_train[:, 1:], X_train[:, 0])
    found = explain_errors(ridge, X_test[:, 1:], X_test[:, 0], k=2)
    residual = np.abs(ridge.predict(X_test[:, 1:]) - X_test[:, 0])
    np.testing.assert_array_equal(found.errors, np.sort(np.argsort(-residual)[:4]))


def test_bad_questions_about_errors():
    clf = model()
    right = clf.predict(X_test)
    with pytest.raises(ValueError, match="classifies all 40 test rows correctly"):
        explain_errors(clf, X_test, right)
    with pytest.raises(
        ValueError, match=r"by should be a column.*each of the 80.*got shape \(3,\)"
    ):
        explain_errors(clf, X_test, y_test, by=[1, 2, 3])
    with pytest.raises(
        ValueError, match=r"by='age' is no column that is known here\. Pass X_train"
    ):
        explain_errors(clf, X_test, y_test, by="age")
    with pytest.raises(ValueError, match="by='age' is no column of X_train"):
        explain_errors(clf, X_test, y_test, by="age", X_train=pd.DataFrame(X_train))
    with pytest.raises(ValueError, match="X_train should have the 80 rows of fit; got 40"):
        explain_errors(clf, X_test, y_test, by=0, X_train=X_test)
    with pytest.raises(ValueError, match="bins should be an integer of at least 2; got 1"):
        explain_errors(clf, X_test, y_test, bins=1)
    with pytest.raises(ValueError, match="k should be an integer of at least 1 and at most 80"):
        explain_errors(clf, X_test, y_test, k=81)
    with pytest.raises(ValueError, match="features should be one of"):
        explain_errors(clf, X_test, y_test, features="raw")
    with pytest.raises(TypeError, match="does not keep its training data"):
        explain_errors(LogisticRegression().fit(X_train, y_train), X_test, y_test)


# -- comparison ------------------------------------------------------------------------------------


def test_a_model_relies_on_the_rows_that_it_relies_on():
    found = compare_models(model(), model(), X_test, y_test)
    np.testing.assert_allclose(found.correlation, 1.0)
    np.testing.assert_allclose(found.rank_correlation, 1.0)
    np.testing.assert_array_equal(found.overlap, 1.0)
    assert found.indices_a.shape == (40, 10)


def test_two_models():
    linear = model()
    kernel = KernelLogisticRegression(kernel="rbf").fit(X_train, y_train)
    found = compare_models(linear, kernel, X_test, y_test, k=5, target="margin", method="newton")
    a = linear.influence(X_test, y_test, target="margin", method="newton")
    b = kernel.influence(X_test, y_test, target="margin", method="newton")
    expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(a, b, strict=True)]
    np.testing.assert_allclose(found.correlation, expected)
    ranks = [
        np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1]
        for one, other in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(found.rank_correlation, ranks)
    top = [[set(np.argsort(-np.abs(row))[:5]) for row in values] for values in (a, b)]
    shared = [len(one & other) / 5 for one, other in zip(*top, strict=True)]
    np.testing.assert_allclose(found.overlap, shared)
    np.testing.assert_array_equal(found.values_a[:, 0], a[np.arange(40), found.indices_a[:, 0]])
    assert list(found.to_frame().columns)[2:] == ["overlap", "first_a", "first_b"]
    assert "by chance 6%" in repr(found)
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X_train, y_train)
    assert np.median(compare_models(linear, pipe, X_test, y_test).correlation) > 0.99


def test_models_of_different_rows_are_refused():
    linear = model()
    other = InfluenceLogisticRegression().fit(X_train[:60], y_train[:60])
    with pytest.raises(ValueError, match="different rows: 80 and 60"):
        compare_models(linear, other, X_test, y_test)
    other = InfluenceLogisticRegression().fit(X_train[::-1], y_train[::-1])
    with pytest.raises(ValueError, match=r"in another order: their labels differ, first at \d+"):
        compare_models(linear, other, X_test, y_test)
    order = np.arange(80)
    a, b = np.flatnonzero(y_train == 1)[:2]
    order[[a, b]] = order[[b, a]]
    for storage in (np.asarray, sp.csr_matrix):
        fitted = InfluenceLogisticRegression().fit(storage(X_train), y_train)
        other = InfluenceLogisticRegression().fit(storage(X_train[order]), y_train[order])
        with pytest.raises(ValueError, match="same rows in another order"):
            compare_models(fitted, other, X_test, y_test)
    names = pd.DataFrame(X_train, index=np.arange(80) + 1)
    other = InfluenceLogisticRegression().fit(names, y_train)
    with pytest.raises(ValueError, match="row names differ, first at 0"):
        compare_models(linear, other, X_test, y_test)
    with pytest.raises(ValueError, match="k should be an integer from 1 to the 80"):
        compare_models(linear, linear, X_test, y_test, k=0)
    three = InfluenceLogisticRegression().fit(*problem(n_classes=3))
    with pytest.raises(ValueError, match="has a value for each class"):
        compare_models(three, three, X_test, target="predict_proba")


# -- real data -------------------------------------------------------------------------------------


def test_breast_cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    train, test = np.arange(len(y)) % 3 > 0, np.arange(len(y)) % 3 == 0
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X[train], y[train])
    found = explain_errors(pipe, X[test], y[test], X_train=X[train], by="mean area", k=5)
    assert found.to_frame()["feature 1"].isin(X.columns).all()
    assert found.groups.n_rows.min() > 80


def hospital():
    """Koh & Liang's split, without all but one of the children that were not readmitted."""
    folder = os.environ.get("SKINFLUENCE_DATA")
    if not folder or not (Path(folder) / "diabetes130").is_dir():
        pytest.skip("SKINFLUENCE_DATA is not set: the folder with diabetes130")
    with np.load(Path(folder) / "diabetes130" / "hospital_kl_split.npz", allow_pickle=True) as data:
        X, y = data["x_train"].astype(float), data["y_train"]
        names = [str(name) for name in data["feature_names"]]
        test = data["x_test"].astype(float)[[1742]], data["y_test"][[1742]]
    child = X[:, names.index("age_[0-10)")] == 1
    dropped = np.flatnonzero(child & (y == -1))[:-1]
    keep = np.setdiff1d(np.arange(len(y)), dropped)
    return pd.DataFrame(X[keep], columns=names), y[keep], *test


def test_the_hospital_case():
    X, y, X_test, y_test = hospital()
    X_test = pd.DataFrame(X_test, columns=X.columns)
    assert len(y) == 19_980
    clf = InfluenceLogisticRegression(
        C=1 / (len(y) * 1e-4), fit_intercept=False, solver="newton-cholesky"
    )
    clf.fit(X, y)
    assert clf.score(X, y) == pytest.approx(0.62427, abs=1e-5)
    assert clf.predict(X_test) != y_test
    for method in ("first_order", "auto"):
        found = explain_errors(clf, X_test, y_test, by="age_[0-10)", method=method)
        assert found.errors.tolist() == [0]
        harmful, helpful = found.indices[:10].tolist(), found.indices[10:].tolist()
        assert harmful[:3] == [13685, 9366, 11116]
        assert helpful[0] == 19590
        assert set(harmful[:3]) | {19590} == set(np.flatnonzero(X["age_[0-10)"] == 1))
        assert (found.influence[harmful[:3]] <= 20 * found.influence[harmful[3]]).all()
        assert found.influence[19590] >= 20 * found.influence[helpful[1]]
        for row in (*harmful[:3], 19590):
            (first, most), (_, next_one) = found.top_features(row, 2)
            assert first == "age_[0-10)"
            assert abs(next_one) <= 0.5 * abs(most)
        children = found.groups.groups.index("age_[0-10) = 1.0")
        assert found.groups.n_rows[children] == 4
        if method == "first_order":
            assert harmful == [13685, 9366, 11116, 5825, 13027, 1912, 15190, 13061, 6890, 1132]
            assert helpful[:9] == [19590, 11641, 14549, 19107, 4849, 17796, 3421, 5282, 18404]
