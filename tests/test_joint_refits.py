"""Many large changes of the weights, refitted together, against refits one by one."""

import numpy as np
import pytest

from skinfluence import InfluenceLogisticRegression
from skinfluence.deletion import (
    JointChange,
    _groups,
    _joint_quasi_newton,
    _joint_refits,
    _many_refits,
)
from skinfluence.problem import changes, fitted_problem
from tests.cases import CASES, build, build_regressor, problem
from tests.oracles import refit

M = 6


def halves(objective, seed=0):
    """(rows, deltas) of M changes: random halves of the rows go, the others' weights move."""
    rng, groups, deltas = np.random.default_rng(seed), [], []
    for _ in range(M):
        keep = rng.permutation(objective.n_rows) < objective.n_rows // 2
        keep[: objective.n_rows // 5] = True
        factor = np.where(keep, rng.uniform(0.8, 1.3, size=objective.n_rows), 0.0)
        delta = (factor - 1.0) * objective.sample_weight
        groups.append(np.flatnonzero(delta))
        deltas.append(delta[groups[-1]])
    return groups, deltas


@pytest.fixture(params=["quasi-newton", "newton-cg"])
def way(request, monkeypatch):
    """By which method changes are refitted together: the second does what the first leaves."""
    if request.param == "newton-cg":
        monkeypatch.setattr(_joint_quasi_newton, "MAX_PASSES", 1)
    return request.param


def both(model, monkeypatch):
    """JointChange of the halves: together, and one by one."""
    objective = fitted_problem(model).objective
    curvature = fitted_problem(model).curvature()
    parts = halves(objective)
    together = JointChange(objective, curvature, "exact", *parts)
    for module in (_joint_refits, _groups):
        monkeypatch.setattr(module, "FEWEST", 10**6)
    return objective, together, JointChange(objective, curvature, "exact", *parts)


@pytest.mark.parametrize("name", [name for name in CASES if "balanced" not in name])
def test_classifiers(name, way, monkeypatch):
    _, _, _, clf = build(name)
    objective, together, apart = both(clf, monkeypatch)
    np.testing.assert_array_equal(together.undefined, apart.undefined)
    found, expected = (each.on(objective.design)(slice(0, M)) for each in (together, apart))
    defined = ~apart.undefined
    assert defined.any() or "unpenalised" in name
    # Predictors: the coefficients of an unpenalised softmax are free up to a constant.
    if objective.n_outputs > 1:
        found, expected = (each - each.mean(axis=0) for each in (found, expected))
    np.testing.assert_allclose(found[..., defined], expected[..., defined], atol=2e-7, rtol=1e-7)


# Losses with a temperature or a scale, and kinked penalties, are refitted one by one.
SMOOTH = ["ridge", "kernel ridge", "poisson", "gamma", "tweedie"]


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("least squares", "weights"),
        *((name, setting) for name in SMOOTH for setting in ("weights", "wide")),
    ],
)
def test_regressors(name, setting, way, monkeypatch):
    _, _, _, model = build_regressor(name, setting)
    objective, together, apart = both(model, monkeypatch)
    np.testing.assert_array_equal(together.undefined, apart.undefined)
    found, expected = (each.on(objective.design)(slice(0, M)) for each in (together, apart))
    scale = np.abs(expected[..., ~apart.undefined]).max(initial=1.0)
    np.testing.assert_allclose(found, expected, atol=1e-6 * scale)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_they_are_the_refits_of_scikit_learn(n_classes, way, monkeypatch):
    X, y = problem(n=90, n_classes=n_classes, seed=4)
    clf = InfluenceLogisticRegression(C=3.0).fit(X, y)
    view, rng = fitted_problem(clf), np.random.default_rng(1)
    kept = [np.sort(rng.permutation(90)[:45]) for _ in range(5)]
    weights = np.zeros((5, 90))
    for weight, rows in zip(weights, kept, strict=True):
        weight[rows] = 1.0
    parts = changes.reweighting(view, weights)

    def never(*arguments):
        raise AssertionError("no refit of its own is needed")

    monkeypatch.setattr("skinfluence.deletion._groups.joint_refit", never)
    deletion = changes.joint_changes(view, *parts, "exact")
    eta = view.objective.eta.T[:, :, None] + deletion.on(view.objective.design)(slice(0, 5))
    for j, rows in enumerate(kept):
        model = refit(clf, X, y, np.setdiff1d(np.arange(90), rows))
        actual = model.decision_function(X).reshape(90, -1)
        np.testing.assert_allclose(eta[:, :, j].T, actual, atol=1e-6)


def test_blocks_change_nothing(way, monkeypatch):
    _, _, _, clf = build("softmax-weights")
    objective, curvature = fitted_problem(clf).objective, fitted_problem(clf).curvature()
    parts = halves(objective)
    whole = JointChange(objective, curvature, "exact", *parts).steps(slice(0, M))
    monkeypatch.setattr(_many_refits, "BLOCK_CHANGES", 2)
    monkeypatch.setattr(_joint_quasi_newton, "BLOCK_ELEMENTS", 100)
    blocks = JointChange(objective, curvature, "exact", *parts).steps(slice(0, M))
    np.testing.assert_allclose(blocks, whole, atol=1e-9)


def test_what_does_not_converge_is_refitted_alone(monkeypatch):
    _, _, _, clf = build("binary")
    monkeypatch.setattr(_joint_refits, "MAX_STEPS", 1)
    monkeypatch.setattr(_joint_quasi_newton, "MAX_PASSES", 1)
    _, stopped, apart = both(clf, monkeypatch)
    np.testing.assert_array_equal(stopped.steps(slice(0, M)), apart.steps(slice(0, M)))
