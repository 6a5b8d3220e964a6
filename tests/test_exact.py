"""Exact deletion against refits one at a time, where it is hard."""

import time

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression

from benchmarks.certificate import LOSSES, random_objective
from skinfluence import InfluenceLogisticRegression
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import Exact, _exact, _newton_cg
from skinfluence.losses import MultinomialLogLoss
from skinfluence.optimum import _continuation, polish
from tests.cases import problem, weights

SOLVER = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 10_000}


def parameters(model):
    """Coefficients and intercepts (K, p + 1); of the softmax the intercepts' gauge at zero mean."""
    return np.c_[model.coef_, model.intercept_ - model.intercept_.mean() * (len(model.coef_) > 1)]


def check_rows(clf, X, y, rows, sample_weight=None, atol=1e-8):
    """Deleted parameters of some rows against refits, relative to max(1, |theta|)."""
    after = clf.parameter_influence(method="exact", train_indices=rows)
    size = max(1.0, np.abs(parameters(clf)).max())
    model = LogisticRegression(
        C=clf.C, fit_intercept=clf.fit_intercept, class_weight=clf.class_weight, **SOLVER
    )
    for position, row in enumerate(rows):
        keep = np.arange(X.shape[0]) != row
        w = None if sample_weight is None else sample_weight[keep]
        model.fit(X[keep], y[keep], sample_weight=w)
        coef = clf.coef_ + after.coef[position]
        intercept = clf.intercept_ + after.intercept[position]
        intercept -= intercept.mean() * (len(coef) > 1)
        got = np.c_[coef, intercept]
        np.testing.assert_allclose(got / size, parameters(model) / size, atol=atol, rtol=0)


def longest(clf, k):
    """Rows of the longest predictor changes by a Newton step."""
    loo = clf.loo_estimate(method="newton")
    change = np.abs(loo.decision_function - clf.decision_function(clf._training_data.X))
    return np.argsort(-change.reshape(len(change), -1).max(axis=1))[:k]


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0, 1e2, 1e4])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_heavy_tails_weights_and_every_strength(C, n_classes):
    X, y = problem(seed=int(5 + np.log10(C)), n=70, p=5, n_classes=n_classes)
    X = X * np.random.default_rng(1).standard_t(2.5, size=(70, 1))
    w = weights(2, 70)
    clf = InfluenceLogisticRegression(C=C, **SOLVER).fit(X, y, sample_weight=w)
    rows = np.unique(np.r_[longest(clf, 5), 0, 20, 40])
    check_rows(clf, X, y, rows, sample_weight=w)


@pytest.mark.parametrize(
    ("storage", "options"),
    [
        ("dense", {"class_weight": {0: 0.2, 1: 3.0, 2: 1.0}}),
        ("dense", {"fit_intercept": False, "C": 10.0}),
        ("sparse", {"C": 50.0}),
        ("wide", {"C": 20.0}),
        ("wide sparse", {"C": 5.0}),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_storage_and_options(storage, options, n_classes):
    n, p = (40, 90) if "wide" in storage else (80, 6)
    X, y = problem(seed=8, n=n, p=p, n_classes=n_classes, spread=2.0 / np.sqrt(p))
    if "class_weight" in options:
        options = {"class_weight": {k: options["class_weight"][k] for k in range(n_classes)}}
    if "sparse" in storage:
        X = sp.csr_array(np.where(np.abs(X) > 0.7, X, 0.0))
    clf = InfluenceLogisticRegression(**options, **SOLVER).fit(X, y)
    check_rows(clf, X, y, np.unique(np.r_[longest(clf, 4), 1, 30]))


@pytest.mark.parametrize("C", [1.0, 1e4])
def test_breast_cancer_unscaled(C):
    X, y = load_breast_cancer(return_X_y=True)
    clf = InfluenceLogisticRegression(C=C, **SOLVER).fit(X, y)
    check_rows(clf, X, y, np.r_[longest(clf, 4), 7, 400])


def test_digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300] / 16, y[:300]
    clf = InfluenceLogisticRegression(C=1.0, **SOLVER).fit(X, y)
    check_rows(clf, X, y, longest(clf, 2))


class Spy:
    """Counts of the rows that Newton-CG took, and of those left for a refit alone."""

    def __init__(self, monkeypatch):
        self.together, self.alone = 0, 0
        run, refit = _newton_cg.NewtonCG.run, _exact.refit

        def counted_run(newton, deletions, steps):
            self.together += len(deletions)
            return run(newton, deletions, steps)

        def counted_refit(*arguments):
            self.alone += 1
            return refit(*arguments)

        monkeypatch.setattr(_newton_cg.NewtonCG, "run", counted_run)
        monkeypatch.setattr(_exact, "refit", counted_refit)


def noisy(n=500, p=300, n_classes=2):
    """Labels without a signal: the chord loses a quarter of the rows at C = 1."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, p)), rng.integers(0, n_classes, n)


def test_nearly_separable_data_by_newton_cg(monkeypatch):
    X, y = noisy()
    clf = InfluenceLogisticRegression(C=1.0, **SOLVER).fit(X, y)
    clf.__fitted_problem__()
    spy, start = Spy(monkeypatch), time.process_time()  # however busy the machine is
    loo = clf.loo_estimate(method="exact")
    elapsed = time.process_time() - start
    assert elapsed < 10.0
    refined = np.flatnonzero(loo.method == "refined")
    assert spy.together == len(refined) > 80
    assert spy.alone == 0
    assert np.isfinite(loo.error_bound).mean() > 0.95
    assert np.median(loo.error_bound) < 1e-5
    check_rows(clf, X, y, np.r_[refined[:4], refined[np.argmax(loo.loss[refined])], 1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_that_stray_from_the_chord_in_every_form(n_classes, monkeypatch):
    spy = Spy(monkeypatch)
    rng = np.random.default_rng(3)
    for n, p, C in ((90, 12, 50.0), (40, 60, 100.0)):
        X, y = rng.normal(size=(n, p)), rng.integers(0, n_classes, n)
        X = X * rng.standard_t(2.0, size=(n, 1))
        w = weights(1, n)
        clf = InfluenceLogisticRegression(C=C, **SOLVER).fit(X, y, sample_weight=w)
        before = spy.together
        loo = clf.loo_estimate(method="exact")
        refined = np.flatnonzero(loo.method == "refined")
        assert spy.together - before >= 3
        check_rows(clf, X, y, refined[:4], sample_weight=w)


def test_the_three_roads_meet(monkeypatch):
    """Chord, Newton-CG from any start, and Newton alone; with steps halved on the way."""
    for name, loss in LOSSES.items():
        objective = random_objective(loss, 14)
        curvature, rows = DenseCurvature(objective), np.arange(objective.n_rows)
        exact = Exact(objective, curvature, rows, tolerance=1e-10)
        truth = exact.steps(slice(None))
        size = max(1.0, np.abs(objective.theta).max())
        chord = _exact.ChordNewton(
            _exact.OneStep(objective, curvature, rows, corrected=True), 1e-10
        )
        starts = np.random.default_rng(0).normal(size=truth.shape) * 30.0
        starts[3] = np.nan
        for start in (starts, np.zeros_like(truth), truth):
            found = _newton_cg.NewtonCG(chord).run(rows, start)
            assert found.converged.all(), name
            np.testing.assert_allclose(found.steps / size, truth / size, atol=1e-9)
            assert (found.own_error < 1e-6).all()
        with monkeypatch.context() as patch:
            patch.setattr(_exact, "NewtonCG", lambda chord: _Unavailable)
            patch.setattr("skinfluence.deletion._chord.MAX_PASSES", 1)
            alone = Exact(objective, curvature, rows, tolerance=1e-10)
        assert (alone.routes == "refined").sum() > 10
        np.testing.assert_allclose(alone.steps(slice(None)) / size, truth / size, atol=1e-9)


class _Unavailable:
    is_available = False


def test_without_a_split_of_the_curvature_nothing_changes():
    class Unsplit(MultinomialLogLoss):
        def curvature_split(self, y, eta):
            return None

    steps = []
    for loss in (MultinomialLogLoss(3), Unsplit(3)):
        objective = random_objective(loss, 2)
        rows = np.arange(objective.n_rows)
        curvature = DenseCurvature(objective)
        chord = _exact.ChordNewton(_exact.OneStep(objective, curvature, rows, corrected=True), 1e-9)
        rest = np.zeros((len(rows), *objective.theta.shape))
        steps.append(_newton_cg.NewtonCG(chord).run(rows, rest).steps)
    assert np.abs(steps[0]).max() > 0.1
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-8)


def test_blocks_and_progress_change_nothing(monkeypatch):
    X, y = noisy(n=80, p=40)
    clf = InfluenceLogisticRegression(C=10.0, **SOLVER).fit(X, y)
    seen = []

    def progress(blocks, total):
        seen.append(total)
        return blocks

    whole = clf.parameter_influence(method="exact", progress=progress)
    assert seen == [1]
    monkeypatch.setattr("skinfluence.deletion._chord.BLOCK_DELETIONS", 7)
    monkeypatch.setattr(_newton_cg, "BLOCK_DELETIONS", 3)
    with config_context(working_memory=1):
        cut = clf.parameter_influence(method="exact", progress=progress)
    assert seen[1] == 12
    size = max(1.0, np.abs(clf.coef_).max())
    np.testing.assert_allclose(cut.coef / size, whole.coef / size, atol=1e-8)
    some = clf.parameter_influence(method="exact", train_indices=[50, 3])
    np.testing.assert_allclose(some.coef / size, whole.coef[[50, 3]] / size, atol=1e-8)


def test_what_does_not_converge_is_nan_and_said(monkeypatch):
    X, y = problem(seed=2)
    clf = InfluenceLogisticRegression(**SOLVER).fit(X, y)
    monkeypatch.setattr("skinfluence.deletion._chord.MAX_PASSES", 0)
    monkeypatch.setattr(_newton_cg, "MAX_STEPS", 0)
    monkeypatch.setattr(
        _continuation, "polish", lambda objective, **_: polish(objective, max_steps=0)
    )
    with pytest.warns(RuntimeWarning, match=r"left undefined .*row 0, 1, 2.* did not converge"):
        after = clf.parameter_influence(method="exact")
    assert np.isnan(after.coef).all()
    assert (after.info.method == "undefined").all()
