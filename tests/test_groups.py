"""Groups left out together: influence and leave-one-group-out, against refits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skinfluence import InfluenceLogisticRegression
from skinfluence.deletion.targets import target_names
from tests.cases import build, problem, weights
from tests.oracles import dense, hessian, refit

CASES = ["binary-weights", "binary-unpenalised", "softmax-weights", "binary-wide", "softmax-wide"]


def group_list(n):
    """A pair, a third of the rows, one row, nothing, and one that overlaps."""
    return [[0, 5], np.arange(3, 3 + n // 3), [7], [], [5, 6, 7, 8]]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("curvature", ["dense", "dual", "cg"])
def test_newton_is_the_explicit_joint_step(name, curvature):
    X, y, _w, clf = build(name)
    if name == "binary-unpenalised" and curvature == "dual":
        with pytest.raises(ValueError, match="needs columns with an L2 penalty"):
            clf.group_influence([[0]], X, y, curvature=curvature)
        return
    objective = clf.__fitted_problem__().objective
    groups = group_list(len(y))
    T = dense(X)[:9]
    got = clf.group_influence(
        groups, T, target="decision_function", curvature=curvature, method="newton"
    )
    Z = objective.design.dense(slice(None))
    test = objective.design.like(T)
    for position, group in enumerate(groups):
        group = np.asarray(group, dtype=int)
        G = hessian(objective)
        for row in group:
            G -= np.kron(objective.weights[row], np.outer(Z[row], Z[row]))
        right = (objective.residuals[group].T @ Z[group]).ravel()
        step = np.linalg.lstsq(G, right, rcond=1e-13)[0].reshape(objective.theta.shape)
        change = objective.native(test @ step.T)
        expected = change - change.mean(axis=1, keepdims=True) if change.ndim == 2 else change
        found = got[:, position]
        if found.ndim == 2:
            found = found - found.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-8 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["binary-weights", "softmax-weights", "binary-wide"])
@pytest.mark.parametrize("target", target_names())
def test_every_target_and_method(name, target):
    X, y, _w, clf = build(name)
    T, t = dense(X)[:12], y[:12]
    groups = group_list(len(y))
    exact = clf.group_influence(groups, T, t, target=target, method="exact")
    newton = clf.group_influence(groups, T, t, target=target, method="newton")
    assert (exact[:, 3] == 0).all()
    assert (newton[:, 3] == 0).all()
    np.testing.assert_allclose(
        newton[:, 2],
        clf.influence(T, t, target=target, train_indices=[7], method="newton")[:, 0],
        atol=1e-9,
    )
    np.testing.assert_allclose(
        exact[:, 2],
        clf.influence(T, t, target=target, method="exact", train_indices=[7])[:, 0],
        atol=1e-7,
    )
    # The change that models refitted without the group show, through the target of one row.
    for position in (0, 1, 4):
        kept = np.setdiff1d(np.arange(len(y)), np.asarray(groups[position], dtype=int))
        other = InfluenceLogisticRegression(C=clf.C, solver="newton-cholesky", tol=1e-12)
        row_weight = clf.__fitted_problem__().objective.sample_weight[kept]
        other.fit(dense(X)[kept], y[kept], sample_weight=row_weight)
        change = _value(other, T, t, target) - _value(clf, T, t, target)
        np.testing.assert_allclose(exact[:, position], change, atol=1e-7)
    for aggregate, function in (("mean", np.mean), ("sum", np.sum)):
        got = clf.group_influence(groups, T, t, target=target, aggregate=aggregate, method="newton")
        np.testing.assert_allclose(got, function(newton, axis=0), atol=1e-11)
    if target == "zero_one":
        with pytest.raises(ValueError, match="has no derivative"):
            clf.group_influence(groups, T, t, target=target, method="first_order")
        return
    first = clf.group_influence(groups, T, t, target=target, method="first_order")
    rows = clf.influence(T, t, target=target, method="first_order")
    for position, group in enumerate(groups):
        total = rows[:, np.asarray(group, dtype=int)].sum(axis=1)
        np.testing.assert_allclose(first[:, position], total, atol=1e-10)


def _value(clf, T, t, target):
    """A target by the words of the conventions page."""
    eta = clf.decision_function(T)
    p = clf.predict_proba(T)
    own = np.searchsorted(clf.classes_, t)
    at = np.arange(len(t)), own
    if target == "decision_function":
        return eta
    if target == "predict_proba":
        return p[:, 1] if p.shape[1] == 2 else p
    if target == "loss":
        return -np.log(p[at])
    if target == "zero_one":
        return (clf.predict(T) != t).astype(float)
    if target == "brier":
        return (
            p[:, 0] ** 2 * own + p[:, 1] ** 2 * (1 - own)
            if p.shape[1] == 2
            else (((p - np.eye(p.shape[1])[own]) ** 2).sum(axis=1))
        )
    if eta.ndim == 1:
        margin = raw = (2 * own - 1) * eta
    else:
        others = np.where(np.eye(p.shape[1], dtype=bool)[own], -np.inf, eta)
        margin = eta[at] - np.log(np.exp(others).sum(axis=1))
        raw = eta[at] - others.max(axis=1)
    if target == "margin":
        return margin
    if "hinge" in target:
        return np.maximum(0.0, 1.0 - raw) ** (2 if "squared" in target else 1)
    raise AssertionError(f"no words for {target}")


def test_labels_lists_and_matrices_say_the_same():
    X, y, _w, clf = build("binary-weights")
    labels = np.array(["b", "a", "c"])[np.arange(len(y)) % 3]
    lists = [np.flatnonzero(labels == name) for name in "abc"]
    matrix = np.stack([labels == name for name in "abc"])
    expected = clf.group_influence(lists, X, y)
    assert expected.shape == (len(y), 3)
    for groups in (
        labels,
        labels.tolist(),
        matrix,
        [list(map(int, g)) for g in lists],
        list(matrix),
    ):
        np.testing.assert_array_equal(clf.group_influence(groups, X, y), expected)
    seen = []

    def progress(groups, total):
        seen.append(total)
        return groups

    np.testing.assert_array_equal(clf.group_influence(labels, X, y, progress=progress), expected)
    assert seen == [3]


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (np.zeros(3), "one label for each"),
        (np.zeros((2, 60)), "groups should be labels"),
        ([[0, 1], [2, 2]], r"groups\[1\] names a row twice"),
        ([[0, 61]], r"groups\[0\] should lie"),
        ([[0.5, 1.0]], "1-D array of integer positions"),
        (np.zeros((2, 7), dtype=bool), "mask of length 60"),
    ],
)
def test_bad_groups(groups, match):
    X, y, _w, clf = build("binary-weights")
    with pytest.raises(ValueError, match=match):
        clf.group_influence(groups, X, y)


def test_bad_words_and_damping():
    X, y, _w, clf = build("binary-weights")
    with pytest.raises(ValueError, match="method should be one of"):
        clf.group_influence([[0]], X, y, method="best")
    with pytest.raises(ValueError, match="aggregate should be one of"):
        clf.group_influence([[0]], X, y, aggregate="median")
    with pytest.raises(ValueError, match="y_test is None"):
        clf.group_influence([[0]], X)
    with pytest.raises(ValueError, match="damping has no meaning"):
        clf.group_influence([[0]], X, y, method="exact", damping=1.0)
    damped = clf.group_influence([[3], [4]], X, y, damping=2.0)
    np.testing.assert_allclose(damped, clf.influence(X, y, damping=2.0)[:, [3, 4]], atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
def test_groups_without_a_model_are_nan_and_named(n_classes, method):
    X, y = problem(n_classes=n_classes, seed=4)
    w = weights(0, len(y))
    last = np.flatnonzero(y == 1)
    w[last[2:]] = 0.0  # two rows of the class are left
    clf = InfluenceLogisticRegression().fit(X, y, sample_weight=w)
    groups = [last[:2], last[:1], np.r_[0, last], last[2:]]
    with pytest.warns(RuntimeWarning, match="2 groups left undefined.*without group 0, 2"):
        effect = clf.group_influence(groups, X, y, method=method)
    assert np.isnan(effect[:, [0, 2]]).all()
    assert np.isfinite(effect[:, 1]).all()
    assert (effect[:, 3] == 0).all()
    with pytest.warns(RuntimeWarning, match="2 groups"):
        total = clf.group_influence(groups, X, y, method=method, aggregate="mean")
    np.testing.assert_array_equal(np.isnan(total), [True, False, True, False])


@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
def test_an_unpenalised_group_whose_removal_separates(method):
    x = np.array([-3.0, -2.0, -1.0, 0.5, 1.0, -0.5, 2.0, 3.0, 4.0])
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    clf = InfluenceLogisticRegression(C=np.inf).fit(x[:, None], y)
    groups = [[3, 4], [0, 8], [5], [0, 5]]
    with pytest.warns(RuntimeWarning, match="3 groups left undefined.*group 0, 2, 3"):
        effect = clf.group_influence(groups, x[:, None], y, method=method)
    np.testing.assert_array_equal(np.isnan(effect).all(axis=0), [True, False, True, True])
    assert np.isfinite(effect[:, 1]).all()


@pytest.mark.parametrize("name", CASES)
def test_leave_one_group_out(name):
    X, y, _w, clf = build(name)
    labels = np.arange(len(y)) % 6
    loo = {m: clf.loo_estimate(groups=labels, method=m) for m in ("auto", "exact", "newton")}
    np.testing.assert_array_equal(loo["auto"].decision_function, loo["exact"].decision_function)
    size = max(1.0, np.abs(clf.decision_function(X)).max())
    for label in range(6):
        rows = np.flatnonzero(labels == label)
        model = refit(clf, X, y, rows)
        expected = model.decision_function(dense(X)[rows])
        got = loo["exact"].decision_function[rows]
        np.testing.assert_allclose(got, expected, atol=1e-7 * size)
        np.testing.assert_allclose(
            loo["exact"].predict_proba[rows], model.predict_proba(dense(X)[rows]), atol=1e-7
        )
    assert set(loo["newton"].method) == {"newton"}
    assert set(loo["auto"].method) == {"exact"}
    # Every row alone is leave-one-out.
    single = clf.loo_estimate(groups=np.arange(len(y)), method="newton")
    plain = clf.loo_estimate(method="newton")
    np.testing.assert_allclose(single.decision_function, plain.decision_function, atol=1e-8 * size)
    with pytest.raises(ValueError, match="one label for each"):
        clf.loo_estimate(groups=labels[:-1])


def test_a_group_that_holds_a_class_leaves_its_rows_undefined():
    X, y = problem(n_classes=3, seed=1)
    labels = np.where(y == 2, 7, np.arange(len(y)) % 4)
    clf = InfluenceLogisticRegression().fit(X, y)
    for method in ("auto", "newton", "first_order"):
        with pytest.warns(RuntimeWarning, match="undefined"):
            loo = clf.loo_estimate(groups=labels, method=method)
        np.testing.assert_array_equal(loo.method == "undefined", y == 2)
        np.testing.assert_array_equal(np.isnan(loo.loss), y == 2)
        assert np.isnan(loo.decision_function[y == 2]).all()
        assert loo.mean_loss == pytest.approx(loo.loss[y != 2].mean())
        assert loo.score == pytest.approx((loo.decision_function.argmax(1) == y)[y != 2].mean())


def test_large_groups_are_factored_and_small_ones_corrected(monkeypatch):
    import skinfluence.deletion._groups as module

    factored = []
    make = module.make_curvature
    monkeypatch.setattr(
        module, "make_curvature", lambda *a, **k: (factored.append(1), make(*a, **k))[1]
    )
    X, y = problem(n=80, p=10)
    clf = InfluenceLogisticRegression().fit(X, y)
    clf.group_influence([np.arange(3)], X, y)
    assert not factored
    large = clf.group_influence([np.arange(30)], X, y, method="newton")
    assert len(factored) == 1
    np.testing.assert_allclose(
        large,
        clf.group_influence([np.arange(30)], X, y, curvature="dual", method="newton"),
        atol=1e-9,
    )


def test_class_weights_stay_frozen():
    X, y = problem(seed=2)
    clf = InfluenceLogisticRegression(class_weight="balanced").fit(X, y)
    counts = np.bincount(y)
    frozen = {k: len(y) / (2 * counts[k]) for k in (0, 1)}
    group = np.flatnonzero(y == 0)[:15]
    kept = np.setdiff1d(np.arange(len(y)), group)
    model = LogisticRegression(class_weight=frozen, solver="newton-cholesky", tol=1e-12)
    change = model.fit(X[kept], y[kept]).decision_function(X) - clf.decision_function(X)
    got = clf.group_influence([group], X, target="decision_function", method="exact")
    np.testing.assert_allclose(got[:, 0], change, atol=1e-8)
