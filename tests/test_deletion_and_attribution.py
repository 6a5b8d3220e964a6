"""Deletions and attributions against models really refitted: slope, intercept, relative RMSE."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import get_scorer
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression, make_target
from skinfluence.attribution import _read
from skinfluence.attribution._topk import RunningTopK
from skinfluence.deletion.targets import resolve_target, target_names
from skinfluence.evaluation import agreement
from tests.cases import CASES, build, problem
from tests.oracles import dense, frozen, refit

TARGETS = [name for name in target_names() if name != "zero_one"]
# Intercepts of the linear fit are compared with the spread of the effects.
ROWS = np.arange(0, 28, 3)


def test_data(name):
    """Eleven test rows of a case, in its storage."""
    arguments, storage = CASES[name][:2]
    X, y = problem(**{**arguments, "seed": 99, "n": max(16, 4 * arguments.get("n_classes", 2))})
    return X[:11].astype(np.float32) if storage == "float32" else X[:11], y[:11]


test_data.__test__ = False


def decisions(model, X):
    """Decision values (m, K) of a scikit-learn model, K = 1 for two classes."""
    return model.decision_function(X).reshape(len(X), -1)


def actual_change(clf, X, y, T, t, target, rows):
    """Change of a target at T by refits without each row, (m, rows[, K])."""
    loss = clf.__fitted_problem__().objective.loss
    target = resolve_target(target, loss.link, loss)
    native = (lambda e: e[:, 0]) if loss.is_scalar else (lambda e: e)
    encoded = np.searchsorted(clf.classes_, t)
    encoded = encoded.astype(float) if loss.is_scalar else encoded
    before = target.value(encoded, native(decisions(refit(clf, X, y, []), T)))
    after = [target.value(encoded, native(decisions(refit(clf, X, y, [r]), T))) for r in rows]
    return np.stack([value - before for value in after], axis=1)


@pytest.mark.parametrize("name", CASES)
def test_exact_is_the_refit(name):
    X, y, _w, clf = build(name)
    parameters = clf.parameter_influence(method="exact", train_indices=ROWS)
    full = refit(clf, X, y, [])
    size = max(1.0, np.abs(full.coef_).max())
    np.testing.assert_allclose(clf.coef_, full.coef_, atol=1e-8 * size)
    for position, row in enumerate(ROWS):
        model = refit(clf, X, y, [row])
        coef, intercept = model.coef_ - full.coef_, model.intercept_ - full.intercept_
        np.testing.assert_allclose(parameters.coef[position], coef, atol=1e-8 * size)
        np.testing.assert_allclose(parameters.intercept[position], intercept, atol=1e-8 * size)


@pytest.mark.parametrize("name", CASES)
def test_estimates_of_the_decision_function(name):
    X, y, _w, clf = build(name)
    T, t = test_data(name)
    actual = actual_change(clf, X, y, T, t, "decision_function", ROWS)
    options = {"target": "decision_function", "train_indices": ROWS}
    exact = clf.influence(T, method="exact", **options)
    np.testing.assert_allclose(exact, actual, atol=1e-7 * max(1.0, np.abs(actual).max()))
    newton = agreement(clf.influence(T, method="newton", **options), actual)
    first = agreement(clf.influence(T, method="first_order", **options), actual)
    # One step falls short where the penalty hardly holds the curvature up.
    assert abs(newton.slope - 1) < (0.15 if clf.C <= 100 else 0.25)
    assert abs(newton.intercept) < 0.05 * np.std(actual)
    assert newton.relative_rmse < 0.2
    assert first.slope < 1.01
    assert first.relative_rmse > newton.relative_rmse
    wide = clf.__fitted_problem__().objective.n_rows <= clf.n_features_in_
    assert first.relative_rmse < (1.0 if wide or clf.C > 100 else 0.5)


@pytest.mark.parametrize("name", ["binary-weights", "softmax-weights", "binary-wide"])
@pytest.mark.parametrize("target", target_names())
def test_every_target_against_refits(name, target):
    X, y, _w, clf = build(name)
    T, t = test_data(name)
    actual = actual_change(clf, X, y, T, t, target, ROWS)
    options = {"target": target, "train_indices": ROWS}
    exact = clf.influence(T, t, method="exact", **options)
    np.testing.assert_allclose(exact, actual, atol=1e-7)
    if target == "zero_one":
        return
    newton = agreement(clf.influence(T, t, method="newton", **options), actual)
    assert abs(newton.slope - 1) < 0.15
    assert newton.relative_rmse < 0.25
    for method in ("first_order", "newton"):
        full = clf.influence(T, t, method=method, target=target)
        np.testing.assert_allclose(
            clf.influence(T, t, method=method, **options), full[:, ROWS], rtol=1e-9, atol=1e-13
        )
        total = clf.influence(T, t, method=method, target=target, aggregate="sum")
        np.testing.assert_allclose(total, full.sum(axis=0), atol=1e-11)
        mean = clf.influence(T, t, method=method, target=target, aggregate="mean")
        np.testing.assert_allclose(mean, full.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("name", ["binary-weights", "softmax", "binary-wide-csr"])
@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
def test_self_influence_is_the_diagonal(name, method):
    X, y, _w, clf = build(name)
    for target in (
        "loss",
        "predict_proba",
        make_target(lambda y, f: np.tanh(f).reshape(len(y), -1)[:, 0]),
    ):
        full = clf.influence(X, y, target=target, method=method)
        diagonal = full[np.arange(len(y)), np.arange(len(y))]
        got = clf.self_influence(target=target, method=method)
        np.testing.assert_allclose(got, diagonal, atol=1e-8)
        some = clf.self_influence(target=target, method=method, train_indices=[4, 1])
        np.testing.assert_allclose(some, diagonal[[4, 1]], atol=1e-8)


@pytest.mark.parametrize("name", ["binary-weights", "softmax-weights", "binary-csr"])
def test_rows_of_weight_zero_change_nothing_and_blocks_neither(name, monkeypatch):
    _X, _y, w, clf = build(name)
    T, t = test_data(name)
    idle = np.flatnonzero(w == 0)
    for method in ("first_order", "newton", "exact"):
        influence = clf.influence(T, t, method=method)
        assert (influence[:, idle] == 0.0).all()
        assert (clf.self_influence(method=method)[idle] == 0.0).all()
        assert (clf.parameter_influence(method=method).coef[idle] == 0.0).all()
        with monkeypatch.context() as patch, config_context(working_memory=0.01):
            patch.setattr(_read, "BLOCK_DELETIONS", 5)
            patch.setattr("skinfluence._parallel.CACHE_ELEMENTS", 7)
            np.testing.assert_allclose(clf.influence(T, t, method=method), influence, atol=1e-12)
            order = np.random.default_rng(0).permutation(len(t))
            np.testing.assert_allclose(
                clf.influence(T[order], t[order], method=method), influence[order], atol=1e-12
            )
            np.testing.assert_allclose(
                clf.influence(T[:2], t[:2], method=method), influence[:2], atol=1e-12
            )


@pytest.mark.parametrize("name", ["binary-weights", "softmax", "binary-wide"])
def test_curvatures_agree(name):
    _X, _y, _w, clf = build(name)
    T, t = test_data(name)
    reference = clf.influence(T, t, curvature="dense")
    for kind in ("dual", "cg"):
        np.testing.assert_allclose(clf.influence(T, t, curvature=kind), reference, atol=1e-8)


def test_weight_two_is_the_row_twice_and_sparse_is_dense():
    X, y = problem(seed=4)
    w = np.ones(len(y))
    w[:5] = 2.0
    T, t = problem(seed=5, n=12)
    doubled = InfluenceLogisticRegression().fit(np.vstack([X, X[:5]]), np.r_[y, y[:5]])
    weighted = InfluenceLogisticRegression().fit(X, y, sample_weight=w)
    np.testing.assert_allclose(
        doubled.influence(T, t, method="newton")[:, 5 : len(y)],
        weighted.influence(T, t, method="newton")[:, 5:],
        atol=1e-12,
    )
    both = doubled.group_influence([[i, len(y) + i] for i in range(5)], T, t, method="newton")
    np.testing.assert_allclose(both, weighted.influence(T, t, method="newton")[:, :5], atol=1e-12)
    _, _, _, sparse = build("binary-csr")
    X, y, w, _ = build("binary-csr")
    same = InfluenceLogisticRegression(C=2.0, max_iter=5000).fit(dense(X), y, sample_weight=w)
    np.testing.assert_allclose(sparse.influence(T, t), same.influence(T, t), atol=1e-11)


def test_koh_and_liang():
    X, y = problem(seed=6)
    T, t = problem(seed=7, n=9)
    for w in (None, np.random.default_rng(0).uniform(0.5, 2, len(y))):
        clf = InfluenceLogisticRegression(C=0.7).fit(X, y, sample_weight=w)
        weight = np.ones(len(y)) if w is None else w
        Z, Z_test = np.c_[X, np.ones(len(y))], np.c_[T, np.ones(len(t))]
        p, p_test = expit(clf.decision_function(X)), expit(clf.decision_function(T))
        penalty = np.diag([1 / 0.7] * 4 + [0.0])
        H_mean = (Z.T * (weight * p * (1 - p)) @ Z + penalty) / weight.sum()
        gradient, gradient_test = (p - y)[:, None] * Z, (p_test - t)[:, None] * Z_test
        up_loss = -gradient_test @ np.linalg.solve(H_mean, gradient.T)
        ours = clf.influence(T, t, method="first_order")
        np.testing.assert_allclose(up_loss, -weight.sum() * ours / weight, rtol=1e-9)


def test_top_k_is_the_sorted_matrix(monkeypatch):
    monkeypatch.setattr(_read, "BLOCK_DELETIONS", 7)
    _X, y, _w, clf = build("softmax")
    T, t = test_data("softmax")
    T = np.vstack([T, T[:1]])
    t = np.r_[t, t[:1]]
    for target, up in (("loss", True), ("margin", False)):
        matrix = clf.influence(T, t, target=target, method="newton")  # of "auto" see test_auto
        most = clf.most_influential(T, t, k=6, target=target, method="newton")
        order = np.argsort(-matrix if up else matrix, axis=1, kind="stable")
        np.testing.assert_array_equal(most.helpful_indices, order[:, :6])
        np.testing.assert_array_equal(
            most.helpful_values, np.take_along_axis(matrix, order[:, :6], axis=1)
        )
        harmful = np.argsort(matrix if up else -matrix, axis=1, kind="stable")[:, :6]
        np.testing.assert_array_equal(most.harmful_indices, harmful)
    most = clf.most_influential(T, target="predict_proba", k=2, method="newton")
    matrix = clf.influence(T, target="predict_proba", method="newton")
    assert most.helpful_indices.shape == (12, 2, 3)
    np.testing.assert_array_equal(most.helpful_values[:, 0], matrix.min(axis=1))
    frame = most.to_frame(train_labels=[f"r{i}" for i in range(len(y))])
    assert set(frame.columns) == {"test", "kind", "rank", "train", "influence", "class"}
    assert len(frame) == 12 * 2 * 2 * 3


def test_top_k_ties_go_to_the_earlier_row_and_nan_never_wins():
    X, y = problem(seed=8, n=40)
    X, y = np.vstack([X, X]), np.r_[y, y]
    clf = InfluenceLogisticRegression().fit(X, y)
    most = clf.most_influential(X[:3], y[:3], k=1, method="first_order")
    assert (most.helpful_indices < 40).all()
    X, y = problem(seed=9, n=20)
    y[:] = 0
    y[[3, 7]] = 1, 2
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.warns(RuntimeWarning, match="2 rows left undefined"):
        most = clf.most_influential(X, y, k=20)
    assert not np.isin([3, 7], most.helpful_indices).any()
    assert (most.helpful_indices[:, -2:] == -1).all()
    assert np.isnan(most.harmful_values[:, -2:]).all()


@pytest.mark.parametrize("name", ["binary-weights", "softmax"])
@pytest.mark.parametrize(
    "scoring", ["accuracy", "neg_log_loss", "neg_brier_score", "roc_auc", "f1_macro"]
)
def test_scores_against_refits(name, scoring):
    X, y, _w, clf = build(name)
    if scoring in ("neg_brier_score", "roc_auc") and len(clf.classes_) > 2:
        scoring = "roc_auc_ovr"
    T, t = problem(**{**CASES[name][0], "seed": 50, "n": 40})
    scorer = get_scorer(scoring)
    before = scorer(refit(clf, X, y, []), T, t)
    actual = np.array([scorer(refit(clf, X, y, [r]), T, t) for r in ROWS]) - before
    got = clf.score_influence(T, t, scoring=scoring, method="exact", train_indices=ROWS)
    np.testing.assert_allclose(got, actual, atol=1e-8)
    np.testing.assert_allclose(
        clf.score_influence(T, t, scoring=scorer, method="exact", train_indices=ROWS),
        actual,
        atol=1e-8,
    )


def test_auc_counts_ties_by_half():
    X, y = problem(seed=10)
    T = np.repeat(problem(seed=11, n=8)[0], 3, axis=0)
    t = np.tile([0, 1, 1], 8)
    clf = InfluenceLogisticRegression().fit(X, y)
    fast = clf.score_influence(T, t, scoring="roc_auc")
    np.testing.assert_allclose(
        fast, clf.score_influence(T, t, scoring=get_scorer("roc_auc")), atol=1e-12
    )


def test_newton_ranks_breast_cancer_as_refits_do():
    X, y = load_breast_cancer(return_X_y=True)
    splits = StratifiedShuffleSplit(5, train_size=300, random_state=0).split(X, y)
    for (train, test), reference in zip(splits, (0.967, 0.999, 0.994, 1.0, 0.988), strict=True):
        scaler = StandardScaler().fit(X[train])
        clf = InfluenceLogisticRegression(C=1.0).fit(scaler.transform(X[train]), y[train])
        T = scaler.transform(X[test])
        actual = clf.influence(T, y[test], aggregate="mean", method="exact")
        figures = agreement(clf.influence(T, y[test], aggregate="mean", method="newton"), actual)
        assert figures.r > 0.96
        assert abs(figures.r - reference) < 0.001
        assert abs(figures.slope - 1) < 0.1
        _row_weight, model = frozen(clf)
        for row in np.argsort(-np.abs(actual))[:3]:
            keep = np.arange(300) != row
            model.fit(scaler.transform(X[train])[keep], y[train][keep])
            full = clf.predict_proba(T)[np.arange(len(test)), y[test]]
            change = -np.log(model.predict_proba(T)[np.arange(len(test)), y[test]]) + np.log(full)
            np.testing.assert_allclose(actual[row], change.mean(), atol=1e-9)


def test_fifteen_longest_steps_refitted_are_enough():
    X, y = load_breast_cancer(return_X_y=True)
    for train, test in StratifiedShuffleSplit(20, train_size=300, random_state=1).split(X, y):
        scaler = StandardScaler().fit(X[train])
        clf = InfluenceLogisticRegression(C=1.0).fit(scaler.transform(X[train]), y[train])
        T = scaler.transform(X[test])
        problem = clf.__fitted_problem__()
        leverage = problem.curvature().leverage()
        g = np.abs(problem.objective.residuals[:, 0])
        length = g * np.sqrt(leverage.quadratic[:, 0, 0] / leverage.one_minus[:, 0, 0])
        longest = np.argsort(-length)[:15]
        estimated = clf.influence(T, y[test], aggregate="mean", method="newton")
        estimated[longest] = clf.influence(
            T, y[test], aggregate="mean", train_indices=longest, method="exact"
        )
        actual = clf.influence(T, y[test], aggregate="mean", method="exact")
        assert agreement(estimated, actual).r > 0.998


def test_digits_against_refits():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    clf = InfluenceLogisticRegression(max_iter=1000).fit(X[:600], y[:600])
    rows = np.random.default_rng(0).choice(600, 40, replace=False)
    T, t = X[600:700], y[600:700]
    exact = clf.influence(T, t, train_indices=rows, method="exact")
    full = refit(clf, X[:600], y[:600], [])
    for position, row in enumerate(rows[:2]):
        model = refit(clf, X[:600], y[:600], [row])
        change = [
            np.log(softmax(m.decision_function(T), axis=1))[np.arange(100), t]
            for m in (full, model)
        ]
        np.testing.assert_allclose(exact[:, position], change[0] - change[1], atol=1e-8)
    newton = agreement(clf.influence(T, t, train_indices=rows, method="newton"), exact)
    assert abs(newton.slope - 1) < 0.03
    assert newton.relative_rmse < 0.05


@pytest.mark.parametrize("method", ["newton", "exact"])
def test_a_row_may_be_asked_about_more_often_than_there_are_rows(method):
    X, y = problem(n=30)
    clf = InfluenceLogisticRegression().fit(X, y)
    often = {"train_indices": np.tile([3, 1], 40), "method": method}
    once = {"train_indices": [3, 1], "method": method}
    coef = clf.parameter_influence(**once).coef
    np.testing.assert_allclose(clf.parameter_influence(**often).coef, np.tile(coef, (40, 1, 1)))
    own = clf.self_influence(**once)
    np.testing.assert_allclose(clf.self_influence(**often), np.tile(own, 40))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("k", [1, 4, 9])
def test_running_top_k_is_the_sorted_matrix_with_ties_and_nan(k, sign):
    rng = np.random.default_rng(k)
    values = rng.integers(-4, 5, (30, 60)).astype(float)  # many ties
    values[rng.random(values.shape) < 0.1] = np.nan
    values[3], values[4, :50], values[5, 0] = np.nan, np.nan, np.inf
    top, rows = RunningTopK(30, k, sign), np.arange(30)
    for start in range(0, 60, 7):
        for some in (rows[:11], rows[11:]):
            top.update(some, values[some, start : start + 7].copy(), start)
    values = sign * values
    ranked = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(values, order, axis=1)
    np.testing.assert_array_equal(top.values, best)
    np.testing.assert_array_equal(top.positions, np.where(np.isnan(best), -1, order))


def test_a_query_whose_entries_rise_takes_no_room_for_those_of_all_others():
    # Each block beats what is known of the first query; of the others one entry does.
    top, block = RunningTopK(100, 200), np.full((100, 500), -1.0)
    tracemalloc.start()
    for start in range(0, 25_000, 500):
        block[:, 0] = start
        block[0] = np.arange(start, start + 500)
        top.update(np.arange(100), block, start)
    assert top.values[0, 0] == 24_999.0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    np.testing.assert_array_equal(top.positions[0], np.arange(24_999, 24_799, -1))
    np.testing.assert_array_equal(top.positions[99, :50], np.arange(24_500, -500, -500))
