"""method="auto": near retraining where one Newton step is not, for little more."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression, InfluencePoissonRegressor, InfluenceRidge
from skinfluence.deletion import Exact, MixedDeletion, _auto, _delete
from skinfluence.evaluation import agreement
from skinfluence.problem import _curvatures, fitted_problem
from skinfluence.svm import SmoothHingeSVC
from tests.cases import CASES, build


def test_splits_of_the_breast_cancer_data():
    """Seeds other than those the constants were chosen on."""
    X, y = load_breast_cancer(return_X_y=True)
    found = []
    for train, test in StratifiedShuffleSplit(20, train_size=300, random_state=7).split(X, y):
        scaler = StandardScaler().fit(X[train])
        clf = InfluenceLogisticRegression(C=1.0).fit(scaler.transform(X[train]), y[train])
        T = scaler.transform(X[test])
        auto, exact = (
            clf.influence(T, y[test], aggregate="mean", method=method)
            for method in ("auto", "exact")
        )
        found.append(agreement(auto, exact))
    assert min(each.r for each in found) > 0.998
    errors = [each.relative_rmse for each in found]
    assert np.median(errors) < 0.01
    assert max(errors) < 0.03


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_third_as_many_columns_as_rows(noise):
    rng = np.random.default_rng(5)
    X, T = rng.standard_normal((240, 80)), rng.standard_normal((50, 80))
    w = rng.standard_normal(80) * 2 / np.sqrt(80)
    y, t = ((Z @ w + noise * rng.logistic(size=len(Z)) > 0).astype(int) for Z in (X, T))
    clf = InfluenceLogisticRegression(C=100.0, max_iter=1000).fit(X, y)
    auto, info = clf.influence(T, t, method="auto", return_info=True)
    exact = clf.influence(T, t, method="exact")
    assert np.sqrt(np.mean((auto - exact) ** 2) / np.mean(exact**2)) < 0.02
    assert 0.05 < np.mean(info.method == "refined") < 0.6


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_between_newton_and_the_refits(name):
    X, y, _, model = build(name)
    T, t = X[:7], y[:7]
    exact = model.influence(T, t, method="exact")
    errors = {}
    for method in ("newton", "auto"):
        found = model.influence(T, t, method=method)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
        errors[method] = np.sqrt(np.nanmean((found - exact) ** 2))
    size = np.sqrt(np.nanmean(exact**2))
    assert errors["auto"] <= errors["newton"] + 1e-12 * size
    assert errors["auto"] <= 0.02 * size
    auto, info = model.self_influence(method="auto", return_info=True)
    rows = np.flatnonzero(info.method == "refined")
    own = model.self_influence(method="exact")
    np.testing.assert_allclose(auto[rows], own[rows], rtol=1e-6, atol=1e-8 * size)
    change = model.parameter_influence(method="auto").coef
    refit = model.parameter_influence(method="exact").coef
    np.testing.assert_allclose(
        change[rows], refit[rows], atol=1e-6 * np.abs(refit[rows]).max(initial=1.0)
    )


def test_blocks_and_subsets_read_the_same_refits(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf = InfluenceLogisticRegression(C=10.0).fit(X, y)
    whole = clf.influence(X[:9], y[:9], method="auto")
    monkeypatch.setattr("skinfluence.attribution._read.BLOCK_DELETIONS", 7)
    np.testing.assert_allclose(clf.influence(X[:9], y[:9], method="auto"), whole, atol=1e-15)
    total = clf.influence(X[:9], y[:9], method="auto", aggregate="sum")
    np.testing.assert_allclose(total, whole.sum(axis=0), atol=1e-12)
    most = clf.most_influential(X[:9], y[:9], method="auto", k=3)
    refits = clf.influence(X[:9], y[:9], method="exact")  # its candidates are refits, not all rows
    np.testing.assert_allclose(most.helpful_values, -np.sort(-refits, axis=1)[:, :3], atol=1e-9)
    problem = fitted_problem(clf)
    deletion = problem.deletion("auto", [213, 5, 489])
    assert isinstance(deletion, MixedDeletion)
    assert deletion.routes[0] == "refined"
    exact = problem.deletion("exact", [213])
    np.testing.assert_allclose(deletion.steps(slice(0, 1)), exact.steps(slice(0, 1)), atol=1e-8)


def test_the_budget_takes_the_longest_steps_first(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf = InfluenceLogisticRegression(C=10.0).fit(X, y)
    taken = []
    for share in (1.0, 0.5, 0.2, 0.05, 0.0):
        each = _auto.refit_flops(fitted_problem(clf).objective)
        monkeypatch.setattr(_auto, "COST_SHARE", 0.0)
        monkeypatch.setattr(_auto, "FREE_FLOPS", 20 * share * each)
        _, info = clf.influence(X[:3], y[:3], method="auto", return_info=True)
        taken.append(set(np.flatnonzero(info.method == "refined")))
    assert [len(rows) for rows in taken] == [20, 10, 4, 1, 0]
    assert all(less <= more for more, less in pairwise(taken))


def test_refits_of_all_rows_serve_the_next_question(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf, made = InfluenceLogisticRegression().fit(X[:300], y[:300]), []
    monkeypatch.setattr(
        _delete, "Exact", lambda *given, **options: made.append(1) or Exact(*given, **options)
    )
    first = clf.influence(X[300:], y[300:])
    margin = clf.influence(X[300:310], y[300:310], target="margin")
    np.testing.assert_array_equal(clf.influence(X[300:], y[300:]), first)
    assert len(made) == 1
    clf.influence(X[300:], y[300:], train_indices=np.arange(299))
    assert len(made) == 2  # of some rows they are found anew
    alone = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(alone.influence(X[300:310], y[300:310], target="margin"), margin)
    assert len(made) == 3  # a copy keeps none
    monkeypatch.setattr(_curvatures, "REFITS_BYTES", 8 * 31)
    alone = pickle.loads(pickle.dumps(clf))
    for _ in range(2):  # too large to be kept
        np.testing.assert_array_equal(alone.influence(X[300:], y[300:]), first)
    assert len(made) == 5
    X[7] += 1.0
    with pytest.raises(RuntimeError, match="row 7"):
        clf.influence(X[300:], y[300:])


def test_closed_forms_damping_and_kernels():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3))
    y = X[:, 0] + rng.standard_normal(50)
    _, info = InfluenceRidge().fit(X, y).influence(X, y, method="auto", return_info=True)
    assert set(info.method) == {"exact"}
    labels = (y > 0).astype(int)
    clf = InfluenceLogisticRegression(C=50.0).fit(X, labels)
    damped = clf.influence(X, labels, method="auto", damping=0.5)
    np.testing.assert_array_equal(damped, clf.influence(X, labels, method="newton", damping=0.5))
    hinge = SmoothHingeSVC(loss="hinge", kernel="rbf", gamma=0.5).fit(X, labels)
    np.testing.assert_array_equal(
        hinge.influence(X, labels, method="auto"), hinge.influence(X, labels, method="exact")
    )
    counts = InfluencePoissonRegressor(alpha=1e-3).fit(
        X, rng.poisson(1.0, 50), np.linspace(1, 3, 50)
    )
    auto, exact = (counts.influence(X, labels, method=m) for m in ("auto", "exact"))
    assert np.sqrt(np.mean((auto - exact) ** 2) / np.mean(exact**2)) < 0.01


def test_groups_are_refitted_while_the_budget_lasts(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf = InfluenceLogisticRegression().fit(X, y)
    groups = np.arange(len(y)) % 20
    auto, info = clf.group_influence(groups, X[:5], y[:5], method="auto", return_info=True)
    exact = clf.group_influence(groups, X[:5], y[:5], method="exact")
    # Groups that are refitted together take other last steps than one after the other.
    size = np.abs(exact).max()
    np.testing.assert_allclose(auto, exact, atol=1e-7 * size, rtol=0)
    assert set(info.method) == {"refined"}
    monkeypatch.setattr("skinfluence.deletion._groups.AUTO_FLOPS", 4.2 * 4 * 569 * 31**2)
    some, info = clf.group_influence(groups, X[:5], y[:5], method="auto", return_info=True)
    refined = info.method == "refined"
    assert refined.sum() == 4
    np.testing.assert_allclose(some[:, refined], exact[:, refined], atol=1e-7 * size, rtol=0)
    newton = clf.group_influence(groups, X[:5], y[:5], method="newton")
    np.testing.assert_array_equal(some[:, ~refined], newton[:, ~refined])


@pytest.mark.parametrize("name", [name for name in CASES if "tiny" not in name])
def test_the_most_influential_rows_are_refits_and_few_others_are(name):
    X, y, _, model = build(name)
    T, t = X[:5], y[:5]
    matrix = model.influence(T, t, method="exact")
    for k in (1, 3):
        most = model.most_influential(T, t, k=k, method="exact")
        order = np.argsort(-np.nan_to_num(matrix, nan=-np.inf), axis=1, kind="stable")[:, :k]
        size = np.nanmax(np.abs(matrix))
        np.testing.assert_allclose(
            most.helpful_values, np.take_along_axis(matrix, order, axis=1), atol=1e-7 * size
        )
        np.testing.assert_allclose(
            most.helpful_values,
            np.take_along_axis(matrix, most.helpful_indices, axis=1),
            atol=1e-7 * size,
        )
        returned = np.unique([most.helpful_indices, most.harmful_indices])
        assert not (most.info.method[returned] == "newton").any()
    auto = model.most_influential(T, t, k=3)
    same = np.mean(auto.helpful_indices == most.helpful_indices)
    assert same > 0.8
    np.testing.assert_allclose(auto.helpful_values, most.helpful_values, atol=0.02 * size)


def test_candidates_alone_are_refitted():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf = InfluenceLogisticRegression(C=10.0).fit(X, y)
    expected = clf.influence(X[:4], y[:4], method="exact")
    for rows in (None, np.arange(500, 100, -3)):
        most = clf.most_influential(X[:4], y[:4], k=5, method="exact", train_indices=rows)
        refitted = np.isin(most.info.method, ["refined", "exact"])
        assert refitted.mean() < 0.4
        asked = np.arange(569) if rows is None else rows
        order = asked[np.argsort(-expected[:, asked], axis=1)[:, :5]]
        np.testing.assert_array_equal(most.helpful_indices, order)
    # No row comes up only because its Newton step is wrong.
    newton = clf.most_influential(X[:4], y[:4], k=5, method="newton")
    assert (newton.helpful_indices != most.helpful_indices).any()


def test_most_influential_keeps_to_the_budget_of_auto(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf = InfluenceLogisticRegression(C=100.0).fit(X, y)
    monkeypatch.setattr(_auto, "FREE_FLOPS", 0.0)
    monkeypatch.setattr(_auto, "COST_SHARE", 0.5)
    objective = fitted_problem(clf).objective
    budget = int(0.5 * _auto.question_flops(objective, 569, 30) / _auto.refit_flops(objective))
    most = clf.most_influential(X[:30], y[:30], k=5)
    assert 0 < (most.info.method == "refined").sum() <= budget
    several = clf.most_influential(X[:6], target="predict_proba", k=2, method="exact")
    matrix = clf.influence(X[:6], target="predict_proba", method="exact")
    np.testing.assert_allclose(
        several.helpful_values[:, 0], np.sort(matrix, axis=1)[:, 0], atol=1e-8
    )
