"""The audit of labels against refits without each row, and loops over definitions."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeClassifier
from sklearn.metrics import average_precision_score, brier_score_loss, hinge_loss, log_loss
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC, LinearSVC

from skinfluence import InfluenceLogisticRegression
from skinfluence.kernel_models import KernelLogisticRegression
from skinfluence.labels import LabelAudit
from skinfluence.labels._confident_joint import (
    confident_counts,
    expected_errors,
    joint,
    noise_matrix,
)
from skinfluence.labels._noise_model import UPDATES, error_probability
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.model_selection import _strength_walk as walk
from skinfluence.svm import SmoothHingeSVC

SOLVER = {"solver": "newton-cholesky", "tol": 1e-13, "max_iter": 10_000}
ONE_FIT = {"score": "loo_loss", "regularization": None}


def data(n_classes=2, n=45, seed=0):
    """Rows and labels, a tenth of them wrong."""
    X, y = make_classification(
        n,
        5,
        n_informative=4,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        class_sep=1.3,
        flip_y=0.1,
        random_state=seed,
    )
    return X, y


def logistic(**options):
    return LogisticRegression(**{**SOLVER, **options})


def weighted(n, seed=1):
    return np.random.default_rng(seed).uniform(0.3, 2.0, n)


def loo_probabilities(model, X, y, weight, groups=None):
    """Probabilities of each row by refits without it, or without its group."""
    groups = np.arange(len(y)) if groups is None else groups
    P = np.empty((len(y), len(np.unique(y))))
    for group in np.unique(groups):
        kept, left = groups != group, groups == group
        fitted = clone(model).fit(X[kept], y[kept], sample_weight=weight[kept])
        P[left] = fitted.predict_proba(X[left])
    return P


def slow_noise_model(model, X, y, weight, groups=None):
    """Posteriors and last leave-one-out loss by the definition: loops of refits."""
    codes, K = np.searchsorted(np.unique(y), y), len(np.unique(y))

    def given(trust):
        return loo_probabilities(model, X, y, weight * trust, groups)

    def own(P, temperature=1.0):
        powers = P ** (1 / temperature)
        return (powers / powers.sum(axis=1, keepdims=True))[np.arange(len(y)), codes]

    def right(P, rho):
        return (1 - rho) * P / ((1 - rho) * P + rho * (1 - P) / (K - 1))

    P = given(np.ones(len(y)))
    rho = np.average(1 - own(P), weights=weight)
    for _ in range(UPDATES):
        trust = right(own(P), rho)
        rho = np.average(1 - trust, weights=weight)
        P = given(trust)

    def likelihood(log_temperature):
        right = own(P, np.exp(log_temperature))
        return weight @ np.log((1 - rho) * right + rho * (1 - right) / (K - 1))

    best, width = 0.0, 1.0
    for _ in range(14):  # a grid about the best of the coarser one
        grid = best + width * np.linspace(-3, 3, 61)
        grid, width = np.clip(grid, -3, 1), width / 5
        best = grid[np.argmax([likelihood(each) for each in grid])]
    return 1 - right(own(P, np.exp(best)), rho), -np.log(own(P))


# -- one fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("storage", ["dense", "csr"])
def test_probabilities_are_those_of_refits_without_each_row(n_classes, storage):
    X, y = data(n_classes)
    weight = weighted(len(y))
    given = sp.csr_array(X) if storage == "csr" else X
    audit = LabelAudit(logistic(), **ONE_FIT, method="exact").fit(given, y, sample_weight=weight)
    expected = loo_probabilities(logistic(), X, y, weight)
    np.testing.assert_allclose(audit.pred_probs_, expected, atol=1e-7)
    own = expected[np.arange(len(y)), y]
    np.testing.assert_allclose(audit.scores_, -np.log(own), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(audit.predicted_label_, expected.argmax(axis=1))
    expected[np.arange(len(y)), y] = -1.0
    np.testing.assert_array_equal(audit.suggested_label_, expected.argmax(axis=1))
    assert (np.diff(audit.scores_[audit.ranking_]) <= 0).all()


def test_groups_are_left_out_whole():
    X, y = data(n=60)
    groups = np.arange(60) % 12
    audit = LabelAudit(logistic(), **ONE_FIT).fit(X, y, groups=groups)
    expected = loo_probabilities(logistic(), X, y, np.ones(60), groups)
    np.testing.assert_allclose(audit.pred_probs_, expected, atol=1e-7)
    wrong, loss = slow_noise_model(logistic(), X, y, np.ones(60), groups)
    audit = LabelAudit(logistic(), regularization=None).fit(X, y, groups=groups)
    np.testing.assert_allclose(audit.scores_, loss, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(audit.error_probability_, wrong, atol=1e-5)


def test_the_steps_of_a_pipeline_before_the_last_are_held():
    X, y = data()
    X = X * [1, 10, 100, 0.1, 1] + 3.0
    pipe = make_pipeline(StandardScaler(), logistic())
    audit = LabelAudit(pipe, **ONE_FIT, method="exact").fit(X, y)
    expected = loo_probabilities(logistic(), scale(X), y, np.ones(len(y)))
    np.testing.assert_allclose(audit.pred_probs_, expected, atol=1e-7)


# -- scores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_noise_model_is_a_loop_of_refits(n_classes):
    X, y = data(n_classes)
    weight = weighted(len(y))
    pipe = make_pipeline(StandardScaler(), logistic(C=0.5))
    audit = LabelAudit(pipe, regularization=None, method="exact")
    audit.fit(X, y, sample_weight=weight)
    wrong, loss = slow_noise_model(logistic(C=0.5), scale(X), y, weight)
    np.testing.assert_allclose(audit.error_probability_, wrong, atol=1e-5)
    np.testing.assert_allclose(audit.scores_, loss, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(audit.label_quality_, 1 - wrong, atol=1e-5)
    assert set(audit.issues()) == set(np.flatnonzero(wrong > 0.5))
    assert len(audit.issues()) or n_classes == 3


def test_the_noise_model_by_newton_steps_is_near_that_by_refits():
    X, y = data(n=200)
    found = [
        LabelAudit(logistic(), regularization=None, method=method).fit(X, y)
        for method in ("exact", "newton", "auto")
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.error_probability_, found[0].error_probability_, atol=0.02)


def test_posteriors_are_calibrated():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(7)
    wrong = np.zeros(len(y), dtype=bool)
    wrong[rng.choice(len(y), 54, replace=False)] = True
    given = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    audit = LabelAudit(logistic(tol=1e-4), regularization=None).fit(X / 16, given)
    posterior = audit.error_probability_
    assert posterior.sum() == pytest.approx(wrong.sum(), rel=0.15)
    issues = audit.issues()
    assert wrong[issues].mean() > 0.9
    assert wrong[issues].sum() > 0.85 * wrong.sum()


def test_class_weights_are_held_by_the_noise_model():
    X, y = data(n=60, seed=3)
    keep = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:15]]
    X, y = X[keep], y[keep]
    audit = LabelAudit(logistic(class_weight="balanced"), regularization=None, method="exact")
    balanced = len(y) / (2 * np.bincount(y))
    frozen = logistic(class_weight=dict(enumerate(balanced)))
    wrong, _ = slow_noise_model(frozen, X, y, np.ones(len(y)))
    np.testing.assert_allclose(audit.fit(X, y).error_probability_, wrong, atol=1e-5)


def test_the_posterior_is_that_of_the_mixture():
    P = np.r_[0.0, 0.2, 1.0, np.nan]
    np.testing.assert_allclose(
        error_probability(P, 3, 0.1),
        np.r_[1.0, 0.1 * 0.4 / (0.1 * 0.4 + 0.9 * 0.2), 0.0, np.nan],
    )
    np.testing.assert_array_equal(error_probability(P, 3, 0.0), np.r_[0.0, 0.0, 0.0, np.nan])


def test_scores_of_one_fit_have_posteriors_with_the_expected_share():
    X, y = data(3)
    audit = LabelAudit(logistic(), **ONE_FIT).fit(X, y)
    P, share = audit.pred_probs_[np.arange(len(y)), y], audit.expected_errors_ / len(y)
    expected = share * (1 - P) / 2 / (share * (1 - P) / 2 + (1 - share) * P)
    np.testing.assert_allclose(audit.error_probability_, expected, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_one_fit_are_their_definitions(n_classes):
    X, y = data(n_classes, n=60)
    X, y, X_val, y_val = X[:45], y[:45], X[45:], y[45:]
    n, every = len(y), np.arange(45)
    full = logistic().fit(X, y)

    def audit(score):
        audit = LabelAudit(logistic(), score=score, regularization=None, method="exact")
        return audit.fit(X, y, X_val=X_val, y_val=y_val).scores_

    def validation_loss(model):
        return log_loss(y_val, model.predict_proba(X_val), labels=np.unique(y))

    def own_loss(model, i):
        return -np.log(model.predict_proba(X[[i]])[0, y[i]])

    P = loo_probabilities(logistic(), X, y, np.ones(n))[every, y]
    train = np.array([own_loss(full, i) for i in every])
    effect, slope = np.empty(n), np.empty(n)
    for i in every:
        without = logistic().fit(np.delete(X, i, 0), np.delete(y, i))
        effect[i] = validation_loss(without) - validation_loss(full)
        sides = [
            own_loss(logistic().fit(X, y, sample_weight=1.0 + step * (every == i)), i)
            for step in (-1e-4, 1e-4)
        ]
        slope[i] = (sides[0] - sides[1]) / 2e-4
    np.testing.assert_allclose(audit("train_loss"), train, rtol=1e-6)
    np.testing.assert_allclose(audit("loo_loss"), -np.log(P), rtol=1e-5)
    np.testing.assert_allclose(audit("self_influence"), slope, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(audit("probability_weighted"), (1 - P) * slope, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(audit("influence_on_validation"), -effect, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(audit("margin"), np.log(1 - P) - np.log(P), rtol=1e-5, atol=1e-6)


def test_a_callable_scores_the_fitted_problem():
    X, y = data()

    def score(problem, labels):
        np.testing.assert_array_equal(problem.labels, labels)
        return problem.objective.row_losses

    audit = LabelAudit(logistic(), score=score, regularization=None).fit(X, y)
    train = LabelAudit(logistic(), score="train_loss", regularization=None).fit(X, y)
    np.testing.assert_allclose(audit.scores_, train.scores_)
    order = audit.label_quality_[audit.ranking_]
    assert (np.diff(order) >= 0).all()
    assert order[0] == 1 / len(y)
    assert order[-1] == 1.0


# -- the strength of the penalty -------------------------------------------------------------------


def test_C_is_chosen_by_leave_one_out():
    X, y = data(n=60, seed=4)
    losses = {}
    for C in 10.0 ** np.arange(-3, 2):
        P = cross_val_predict(logistic(C=C), X, y, cv=LeaveOneOut(), method="predict_proba")
        losses[C] = brier_score_loss(y, P[:, 1])
    audit = LabelAudit(make_pipeline("passthrough", logistic()), score="loo_loss").fit(X, y)
    assert audit.regularization_ == pytest.approx(min(losses, key=losses.get))
    final = audit.estimator_.estimator_[-1]
    assert audit.regularization_ == final.C


@pytest.mark.parametrize("start", [0, 3, 4])
def test_the_search_ends_where_the_score_has_fallen(monkeypatch, start):
    X, y = data(n=60, seed=4)
    path, scored = walk.Path, []

    class Watched(path):
        def score(self, params):
            scored.append(params["C"])
            return super().score(params)

    monkeypatch.setattr(walk, "Path", Watched)
    grid = [1e-3, 1e-2, 1e-1, 1.0, 1e4]
    found = walk.walk_to_best(
        logistic(), (X, y, {}), "C", grid[::-1], start, scoring="neg_log_loss", method="newton"
    )
    search = LeaveOneOutSearchCV(
        logistic(), {"C": grid}, scoring="neg_log_loss", method="newton"
    ).fit(X, y)
    assert found.best == search.best_params_["C"]
    # From the start to the best and one further, and one on the other side where nothing was.
    best = grid.index(found.best)
    assert scored[0] == grid[start]
    if best < start:
        order = [*range(start, max(best - 2, -1), -1)]
    else:
        order = [start, *([start - 1] if start else []), *range(start + 1, min(best + 2, 5))]
    assert scored == [grid[i] for i in order]
    # What it hands on is of the best model, not of the last.
    expected = InfluenceLogisticRegression(C=found.best).fit(X, y)
    eta = expected.loo_estimate(method="newton").decision_function
    np.testing.assert_allclose(found.loo.eta[:, 0], eta, atol=1e-4)
    np.testing.assert_allclose(found.theta[0, :-1], expected.coef_[0], atol=1e-4)
    assert (found.view is None) == (best != start)


def wide(n=1100, p=1500, seed=0):
    """Sparse rows in more columns, of which 15 matter; 10 % of the labels are wrong."""
    rng = np.random.default_rng(seed)
    own = sp.random(n, 15, density=0.5, random_state=rng, format="csr")
    X = sp.hstack([own, sp.random(n, p, density=0.02, random_state=rng)], format="csr")
    predictor = own @ (10 * rng.normal(size=15))
    y = (predictor > np.median(predictor)).astype(int)
    wrong = rng.random(n) < 0.1
    return X, np.where(wrong, 1 - y, y), wrong


def test_wide_data_are_ranked_by_leverages_in_float32():
    X, y, wrong = wide()
    audit = LabelAudit(logistic()).fit(X, y)
    chosen = logistic(C=audit.regularization_)
    expected = InfluenceLogisticRegression(C=chosen.C, tol=1e-8).fit(X, y)
    P = expected.loo_estimate(method="newton").predict_proba
    np.testing.assert_allclose(audit.pred_probs_, P, atol=1e-4)
    # Its errors would be those of float32 too: nothing is said.
    assert np.isnan(audit.loo_estimate_.error_estimate).all()
    # With new leverages after each refit, all of them in float64, the ranking is as good.
    full = LabelAudit(chosen, regularization=None, method="newton").fit(X, y)
    scores = [average_precision_score(wrong, each.scores_) for each in (audit, full)]
    assert scores[0] > scores[1] - 0.01 > 0.3
    assert np.corrcoef(audit.scores_, full.scores_)[0, 1] > 0.98


@pytest.mark.parametrize(
    "estimator",
    [
        RidgeClassifier(),
        LinearSVC(tol=1e-8),
        SmoothHingeSVC(kernel="rbf", gamma=0.2),  # "scale" is held, not computed again
        SVC(kernel="linear"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_classifiers_without_probabilities_have_two_scores(estimator):
    X, y = data(n=40)
    for regularization in ("loo", None):
        for score in ("loo_loss", "margin"):
            audit = LabelAudit(estimator, score=score, regularization=regularization).fit(X, y)
            assert audit.pred_probs_ is None
            assert audit.error_probability_ is None
            assert np.isfinite(audit.scores_).all()
            assert len(audit.issues(budget=3)) == 3
    refits = np.array(
        [
            clone(audit.estimator_.estimator_ if hasattr(audit.estimator_, "estimator_") else 0)
            .fit(np.delete(X, i, 0), np.delete(y, i))
            .decision_function(X[[i]])[0]
            for i in range(40)
        ]
    )
    expected = -(2 * y - 1) * refits
    np.testing.assert_allclose(audit.scores_, expected, atol=2e-3 * np.abs(expected).max())
    frame = audit.to_frame()
    assert not frame["is_label_issue"].any()
    assert frame["error_probability"].isna().all()
    with pytest.raises(ValueError, match="Pass a budget"):
        audit.issues()
    with pytest.raises(ValueError, match="'loo_loss' and 'margin'"):
        LabelAudit(estimator).fit(X, y)


def test_the_penalty_of_a_classifier_without_probabilities_is_chosen_by_the_hinge():
    X, y = data(n=40)
    losses = {}
    for alpha in 10.0 ** np.arange(-1, 4):
        model = RidgeClassifier(alpha=alpha)
        decision = cross_val_predict(model, X, y, cv=LeaveOneOut(), method="decision_function")
        losses[alpha] = hinge_loss(y, decision)
    audit = LabelAudit(RidgeClassifier(), score="margin").fit(X, y)
    assert audit.regularization_ == pytest.approx(min(losses, key=losses.get))


def test_frozen_estimators_are_not_refitted():
    X, y = data()
    fitted = logistic().fit(X, y)
    audit = LabelAudit(FrozenEstimator(fitted), **ONE_FIT).fit(X, y)
    assert audit.estimator_.estimator_ is fitted
    fresh = LabelAudit(logistic(), **ONE_FIT).fit(X, y)
    np.testing.assert_allclose(audit.scores_, fresh.scores_, rtol=1e-9)
    for options in ({}, {"regularization": None}, {"score": "loo_loss"}):
        with pytest.raises(ValueError, match="one of 'loo_loss', 'train_loss'"):
            LabelAudit(FrozenEstimator(fitted), **options).fit(X, y)


@pytest.mark.parametrize(
    "estimator",
    [
        InfluenceLogisticRegression(),
        KernelLogisticRegression(kernel="rbf"),
        make_pipeline(StandardScaler(), InfluenceLogisticRegression(C=np.inf)),
    ],
    ids=["own", "kernel", "unpenalised"],
)
def test_classifiers_of_this_library(estimator):
    X, y = data(n=80, seed=5)
    labels = np.array(["no", "yes"])[y]
    audit = LabelAudit(estimator).fit(X, labels)
    assert set(audit.classes_) == {"no", "yes"}
    assert np.isfinite(audit.scores_).all()
    assert audit.regularization_ > 0
    again = pickle.loads(pickle.dumps(audit))
    np.testing.assert_array_equal(again.ranking_, audit.ranking_)


def test_a_row_whose_class_is_gone_without_it_is_never_a_winner():
    X, y = data(3, n=40)
    y[y == 2] = 0
    y[7] = 2
    with pytest.warns(RuntimeWarning, match="without row 7 a class is empty"):
        audit = LabelAudit(logistic(), regularization=None).fit(X, y)
    assert np.isnan(audit.scores_[7])
    assert np.isnan(audit.error_probability_[7])
    assert audit.ranking_[-1] == 7
    assert np.isfinite(np.delete(audit.scores_, 7)).all()
    assert np.isnan(audit.effect_of_fixing([7]))[0]
    assert 7 not in audit.issues()
    frame = audit.to_frame()
    assert frame["predicted_label"][7] == 2


# -- how many --------------------------------------------------------------------------------------


def slow_counts(P, codes):
    """The confident joint's counts, by loops."""
    n, K = P.shape
    thresholds = [P[codes == k, k].mean() for k in range(K)]
    counts = np.zeros((K, K), dtype=int)
    for i in range(n):
        sure = [k for k in range(K) if P[i, k] >= thresholds[k] - 1e-6]
        if sure:
            counts[codes[i], max(sure, key=lambda k: P[i, k])] += 1
    return counts


def noisy_probabilities(K, n=400):
    rng = np.random.default_rng(K)
    codes = rng.integers(0, K, n)
    P = rng.dirichlet(np.ones(K), n)
    P[np.arange(n), codes] += rng.exponential(1.0, n)
    return P / P.sum(axis=1, keepdims=True), codes


@pytest.mark.parametrize("K", [2, 3, 7])
def test_the_confident_joint_is_its_definition(K):
    P, codes = noisy_probabilities(K)
    counts = confident_counts(P, codes)
    np.testing.assert_array_equal(counts, slow_counts(P, codes))
    found = joint(counts, codes)
    np.testing.assert_allclose(found.sum(axis=1), np.bincount(codes))
    np.testing.assert_allclose(noise_matrix(found).sum(axis=0), 1.0)
    value, low, high = expected_errors(counts, codes)
    assert value == pytest.approx(found.sum() - np.trace(found))
    assert 0 <= low < value < high <= len(codes)


@pytest.mark.parametrize("K", [2, 3, 7])
def test_the_confident_joint_is_that_of_cleanlab(K):
    count = pytest.importorskip("cleanlab.count")
    P, codes = noisy_probabilities(K)
    theirs = count.compute_confident_joint(codes, P, calibrate=False)
    np.testing.assert_array_equal(confident_counts(P, codes), theirs)
    found = joint(confident_counts(P, codes), codes)
    rounded = len(codes) * count.estimate_joint(codes, P)  # to whole rows
    assert np.abs(found - rounded).max() < 1.0
    _, matrix, _ = count.estimate_latent(theirs, codes, py_method="cnt")
    np.testing.assert_allclose(noise_matrix(theirs), matrix, atol=1e-9)


def test_cleanlab_takes_the_probabilities():
    cleanlab_filter = pytest.importorskip("cleanlab.filter")
    X, y = data(3, n=200)
    audit = LabelAudit(logistic()).fit(X, y)
    issues = cleanlab_filter.find_label_issues(y, audit.pred_probs_)
    assert issues.dtype == bool
    assert issues[audit.ranking_[:3]].all()


def test_the_interval_covers_what_is_drawn():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        codes = np.repeat([0, 1], 150)
        wrong = rng.random(300) < np.where(codes == 0, 0.1, 0.05)
        counts = np.zeros((2, 2), dtype=int)
        sure = rng.random(300) < 0.8
        np.add.at(counts, (codes[sure], np.where(wrong, 1 - codes, codes)[sure]), 1)
        _, low, high = expected_errors(counts, codes)
        inside += low <= 22.5 <= high
    assert inside >= 0.92 * 200


def flipped(y, rate, seed):
    rng = np.random.default_rng(seed)
    K, rows = len(np.unique(y)), rng.choice(len(y), round(rate * len(y)), replace=False)
    given = y.copy()
    given[rows] = (y[rows] + rng.integers(1, K, len(rows))) % K
    return given, given != y


def test_flipped_labels_are_found_and_counted():
    X, y = load_breast_cancer(return_X_y=True)
    given, wrong = flipped(y, 0.1, 0)
    audit = LabelAudit(logistic()).fit(scale(X), given)
    assert average_precision_score(wrong, audit.scores_) > 0.94
    assert audit.expected_errors_ == pytest.approx(wrong.sum(), rel=0.2)
    low, high = audit.expected_errors_interval_
    assert low < wrong.sum() < high
    assert wrong[audit.issues()].mean() > 0.8


# -- why, and what it is worth ---------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("validation", [True, False])
def test_the_effect_of_fixing_is_that_of_a_refit(n_classes, validation):
    X, y = data(n_classes, n=60)
    X, y, X_val, y_val = X[:45], y[:45], X[45:], y[45:]
    weight = weighted(45)
    model = logistic(class_weight="balanced")
    audit = LabelAudit(model, **ONE_FIT)
    options = {"X_val": X_val, "y_val": y_val} if validation else {}
    audit.fit(X, y, sample_weight=weight, **options)
    full = clone(model).fit(X, y, sample_weight=weight)
    counts = np.bincount(y, weights=weight) if _balanced_by_weight(weight) else np.bincount(y)
    frozen = logistic(class_weight=dict(enumerate(counts.sum() / (n_classes * counts))))
    labels = np.unique(y)
    np.testing.assert_allclose(frozen.fit(X, y, sample_weight=weight).coef_, full.coef_, rtol=1e-6)

    def loss(model, others):
        if validation:
            return log_loss(y_val, model.predict_proba(X_val), labels=labels)
        P = model.predict_proba(X[others])
        return log_loss(y[others], P, labels=labels, sample_weight=weight[others])

    rows = audit.ranking_[:8]
    expected = []
    for row in rows:
        corrected, others = y.copy(), np.arange(45) != row
        corrected[row] = audit.suggested_label_[row]
        fixed = clone(frozen).fit(X, corrected, sample_weight=weight)
        expected.append(loss(fixed, others) - loss(full, others))
    np.testing.assert_allclose(audit.effect_of_fixing(rows), expected, rtol=1e-5, atol=1e-9)


def _balanced_by_weight(weight):
    """Whether this scikit-learn balances classes by their weights, or by their counts."""
    X, y = np.r_[0.0, 1.0, 2.0, 3.0][:, None], np.r_[0, 0, 1, 1]
    w = np.r_[1.0, 1.0, 3.0, 3.0]
    balanced = logistic(class_weight="balanced").fit(X, y, sample_weight=w)
    by_count = logistic().fit(X, y, sample_weight=w)
    return not np.allclose(balanced.coef_, by_count.coef_)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_evidence_is_the_change_without_each_witness(n_classes):
    X, y = data(n_classes)
    audit = LabelAudit(logistic(), **ONE_FIT, method="exact").fit(X, y)
    row = int(audit.ranking_[0])
    given, other = y[row], audit.suggested_label_[row]

    def odds(kept):
        P = logistic().fit(X[kept], y[kept]).predict_log_proba(X[[row]])[0]
        return P[given] - P[other]

    every = np.arange(len(y))
    weight = odds(every >= 0) - np.array([odds(every != i) for i in every])
    weight[row] = 0.0
    order = np.argsort(-weight)
    found = audit.evidence(row, k=4)
    np.testing.assert_array_equal(found.given_indices, order[:4])
    np.testing.assert_allclose(found.given_weights, weight[order[:4]], rtol=1e-4)
    np.testing.assert_array_equal(found.suggested_indices, order[::-1][:4])
    np.testing.assert_allclose(found.suggested_weights, -weight[order[::-1][:4]], rtol=1e-4)
    assert found.given_total == pytest.approx(weight[weight > 0].sum(), rel=1e-4)
    assert found.suggested_total == pytest.approx(-weight[weight < 0].sum(), rel=1e-4)
    assert found.given_label == given
    assert found.suggested_label == other
    assert list(found.to_frame()["label"]) == [*y[order[:4]], *y[order[::-1][:4]]]
    assert f"row {row}" in repr(found)


def test_the_frame_has_the_names_of_cleanlab_and_of_the_rows():
    pd = pytest.importorskip("pandas")
    X, y = data()
    names = [f"mail {i}" for i in range(len(y))]
    frame = pd.DataFrame(X, index=names)
    audit = LabelAudit(logistic()).fit(frame, pd.Series(y, index=names))
    found = audit.to_frame()
    assert list(found.columns[:4]) == [
        "is_label_issue", "label_quality", "given_label", "predicted_label",
    ]  # fmt: skip
    assert list(found.index) == names
    np.testing.assert_array_equal(np.flatnonzero(found["is_label_issue"]), np.sort(audit.issues()))
    np.testing.assert_array_equal(found["given_label"], y)
    P = audit.pred_probs_[np.arange(len(y)), y]
    np.testing.assert_allclose(found["loo_probability"], P)
    np.testing.assert_array_equal(found["effect_of_fixing"].notna(), found["is_label_issue"])
    all_rows = audit.to_frame(effect_rows=np.arange(len(y)))
    assert all_rows["effect_of_fixing"].notna().all()
    np.testing.assert_allclose(
        all_rows["effect_of_fixing"][found["is_label_issue"]],
        found["effect_of_fixing"][found["is_label_issue"]],
    )


# -- review ----------------------------------------------------------------------------------------


def test_row_ids_follow_their_rows():
    pd = pytest.importorskip("pandas")
    X, y = data()
    X[3], y[3] = X[5], y[5]
    order = np.random.default_rng(0).permutation(len(y))
    audit = LabelAudit(logistic(), **ONE_FIT)
    ids = audit.fit(X, y).row_ids()
    assert len(set(ids.tolist())) == len(y)
    assert ids[3].split("-")[0] == ids[5].split("-")[0]
    assert set(ids) == set(audit.fit(X[order], y[order]).row_ids())
    distinct = np.setdiff1d(np.arange(len(y)), [3, 5])
    moved = audit.row_ids()[np.argsort(order)]
    np.testing.assert_array_equal(moved[distinct], ids[distinct])
    np.testing.assert_array_equal(audit.fit(sp.csr_array(X), y).row_ids(), ids)
    twice = pd.DataFrame(X, index=["a"] * len(y))
    np.testing.assert_array_equal(audit.fit(twice, y).row_ids(), ids)
    named = pd.DataFrame(X, index=np.arange(len(y)) + 100)
    np.testing.assert_array_equal(audit.fit(named, y).row_ids(), np.arange(len(y)) + 100)


def test_texts_have_ids():
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["buy now", "see you", "buy cheap", "meet you now", "cheap cheap", "see you soon"] * 3
    y = np.tile([1, 0], 9)
    audit = LabelAudit(make_pipeline(CountVectorizer(), logistic()), **ONE_FIT).fit(texts, y)
    ids = audit.row_ids()
    assert len(set(ids.tolist())) == 18
    assert ids[0].split("-")[0] == ids[6].split("-")[0]


def test_decisions_become_labels_and_weights():
    X, y = data(3)
    labels = np.array(["a", "b", "c"])[y]
    audit = LabelAudit(logistic(), **ONE_FIT).fit(X, labels, sample_weight=weighted(len(y)))
    ids = audit.row_ids()
    decisions = {
        ids[0]: "keep", ids[4]: "drop", ids[7]: "relabel", ids[9]: ("relabel", "c"),
    }  # fmt: skip
    found, weight = audit.apply(decisions)
    expected, kept = labels.copy(), weighted(len(y))
    expected[7], expected[9], kept[4] = audit.suggested_label_[7], "c", 0.0
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(weight, kept)
    found, _ = audit.apply(list(decisions.items()))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["category", object, "string"])
def test_a_series_of_labels_stays_one(dtype):
    pd = pytest.importorskip("pandas")
    X, y = data(3)
    index = [f"p{i}" for i in range(len(y))]
    labels = pd.Series(np.array(["a", "b", "c"])[y], index=index, name="kind", dtype=dtype)
    before = labels.copy()
    audit = LabelAudit(logistic(), **ONE_FIT).fit(X, labels)
    found, weight = audit.apply({"p7": ("relabel", "c"), "p8": ("relabel", "a"), "p9": "drop"})
    expected = before.copy()
    expected.iloc[[7, 8]] = ["c", "a"]
    pd.testing.assert_series_equal(found, expected)
    pd.testing.assert_series_equal(labels, before)
    assert weight[9] == 0
    numbers = pd.Series(y, index=index, dtype="Int64")
    found, _ = LabelAudit(logistic(), **ONE_FIT).fit(X, numbers).apply({"p7": ("relabel", 2)})
    assert found.dtype == "Int64"
    assert found["p7"] == 2


def test_the_review_curve_counts_what_is_found():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    given, wrong = flipped(y, 0.2, 1)
    audit = LabelAudit(logistic(), **ONE_FIT).fit(X[:400], given[:400])
    curve = audit.review_curve(y[:400])
    assert list(curve.checked) == list(range(401))
    found = [wrong[:400][audit.ranking_[:m]].sum() / wrong[:400].sum() for m in range(401)]
    np.testing.assert_allclose(curve.found, found)
    np.testing.assert_allclose(curve.random_found, np.arange(401) / 400)
    assert curve.n_errors == wrong[:400].sum()
    assert curve.accuracy is None

    curve = audit.review_curve(y[:400], X_test=X[400:], y_test=y[400:], n_points=3, n_random=2)
    assert list(curve.checked) == [0, 200, 400]
    corrected = given[:400].copy()
    rows = audit.ranking_[:200]
    corrected[rows] = y[rows]
    half = logistic().fit(X[:400], corrected).score(X[400:], y[400:])
    ends = [logistic().fit(X[:400], end[:400]).score(X[400:], y[400:]) for end in (given, y)]
    np.testing.assert_allclose(curve.accuracy, [ends[0], half, ends[1]])
    np.testing.assert_allclose(curve.random_accuracy[[0, 2]], ends)
    assert list(curve.to_frame().columns) == [
        "checked", "found", "random_found", "accuracy", "random_accuracy",
    ]  # fmt: skip


def test_the_display_draws_the_curve():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot as plt

    from skinfluence.display import LabelReviewDisplay

    X, y = load_digits(return_X_y=True)
    keep = np.isin(y, (3, 8))
    X, y = X[keep] / 16, y[keep] // 8
    given, _ = flipped(y, 0.1, 2)
    audit = LabelAudit(logistic(), **ONE_FIT).fit(X[:300], given[:300])
    display = LabelReviewDisplay.from_audit(audit, y[:300], name="digits")
    curve = audit.review_curve(y[:300])
    np.testing.assert_allclose(display.line_.get_xdata(), curve.checked / 300)
    np.testing.assert_allclose(display.line_.get_ydata(), curve.found)
    np.testing.assert_allclose(display.random_line_.get_ydata(), curve.random_found)
    assert "digits" in display.line_.get_label()
    with pytest.raises(ValueError, match="X_test and y_test"):
        display.plot(quantity="accuracy")
    with pytest.raises(ValueError, match="quantity should be one of"):
        display.plot(quantity="loss")
    tested = LabelReviewDisplay.from_audit(
        audit, y[:300], X_test=X[300:], y_test=y[300:], n_points=3, quantity="accuracy"
    )
    np.testing.assert_allclose(tested.line_.get_ydata(), tested.curve.accuracy)
    plt.close("all")


# -- what is refused -------------------------------------------------------------------------------


def fit(estimator=None, X=None, y=None, *, audit=None, **options):
    own_X, own_y = data()
    estimator = logistic() if estimator is None else estimator
    audit = LabelAudit(estimator, **{**ONE_FIT, **(audit or {})})
    return audit.fit(own_X if X is None else X, own_y if y is None else y, **options)


WITH_NAN = np.where(np.arange(45) == 4, np.nan, data()[1])
WITH_NONE = np.array([None if i == 4 else str(label) for i, label in enumerate(data()[1])])
VALIDATION = {"X_val": data()[0][:3], "y_val": data()[1][:3]}


@pytest.mark.parametrize(
    ("kind", "match", "call"),
    [
        (TypeError, "LabelAudit needs a classifier; Ridge is none", lambda: fit(Ridge())),
        (ValueError, r"y has no label \(NaN\) in row 4", lambda: fit(y=WITH_NAN)),
        (ValueError, r"y has no label \(NaN\) in row 4", lambda: fit(y=WITH_NONE)),
        (ValueError, "y_val is given without X_val", lambda: fit(y_val=[0, 1])),
        (ValueError, "X_val is given without y_val", lambda: fit(X_val=data()[0])),
        (
            ValueError,
            "y_val contains previously unseen labels: .*7",
            lambda: fit(X_val=data()[0][:3], y_val=[0, 1, 7]),
        ),
        (
            ValueError,
            "needs X_val and y_val",
            lambda: fit(audit={"score": "influence_on_validation"}),
        ),
        (
            ValueError,
            "y_val has no label",
            lambda: fit(X_val=data()[0][:2], y_val=[0, np.nan]),
        ),
        (
            ValueError,
            "X_val has 3 rows, y_val 2",
            lambda: fit(X_val=data()[0][:3], y_val=[0, 1]),
        ),
        (
            ValueError,
            "X_val has 2 features, but LogisticRegression is expecting 5",
            lambda: fit(X_val=data()[0][:2, :2], y_val=[0, 1]),
        ),
        (
            ValueError,
            "Input X_val contains NaN",
            lambda: fit(X_val=np.full((2, 5), np.nan), y_val=[0, 1]),
        ),
        (ValueError, "score should be one of", lambda: fit(audit={"score": "loss"})),
        (
            ValueError,
            "what score returns should hold numbers",
            lambda: fit(audit={"score": lambda problem, y: ["a"] * 45}),
        ),
        (ValueError, "sample_weight should have shape", lambda: fit(sample_weight=[1.0])),
        (ValueError, "Negative values in sample_weight", lambda: fit(sample_weight=-np.ones(45))),
        (
            ValueError,
            "regularization should be one of",
            lambda: fit(audit={"regularization": "cv"}),
        ),
        (ValueError, "method should be one of", lambda: fit(audit={"method": "fast"})),
        (
            ValueError,
            "LogisticRegressionCV has neither",
            lambda: fit(LogisticRegressionCV(), audit={"regularization": "loo"}),
        ),
        (
            ValueError,
            "score should return one number for each of the 45",
            lambda: fit(audit={"score": lambda problem, y: np.ones(3)}),
        ),
        (ValueError, "all are zero", lambda: fit(sample_weight=np.zeros(45))),
        (ValueError, "groups should hold one label", lambda: fit(groups=[1, 2])),
        (ValueError, "budget should be from 0 to the 45", lambda: fit().issues(-1)),
        (ValueError, "budget should be from 0 to the 45", lambda: fit().issues(46)),
        (TypeError, "budget should be an integer", lambda: fit().issues(0.1)),
        (ValueError, r"row should be in \[-45, 44\]", lambda: fit().evidence(45)),
        (TypeError, "row should be an integer", lambda: fit().evidence("a")),
        (ValueError, "k should be an integer from 1 to the 44", lambda: fit().evidence(0, k=45)),
        (ValueError, "rows should lie in", lambda: fit().effect_of_fixing([50])),
        (ValueError, "no wrong label to find", lambda: fit().review_curve(data()[1])),
        (ValueError, "one label for each of the 45", lambda: fit().review_curve([0, 1])),
        (
            ValueError,
            "y_true contains previously unseen",
            lambda: fit().review_curve(data()[1] + 1),
        ),
        (
            ValueError,
            "X_test and y_test go together",
            lambda: fit().review_curve(1 - data()[1], X_test=data()[0]),
        ),
        (
            ValueError,
            "X_test has 45 rows, y_test 2",
            lambda: fit().review_curve(1 - data()[1], X_test=data()[0], y_test=[0, 1]),
        ),
        (
            ValueError,
            "n_random should be an integer from 1",
            lambda: fit().review_curve(
                1 - data()[1], X_test=data()[0], y_test=data()[1], n_random=0
            ),
        ),
        (ValueError, "has not seen: 'x'", lambda: fit().apply({"x": "keep"})),
        (
            ValueError,
            "name rows twice",
            lambda: fit().apply([(fit().row_ids()[0], "keep"), (fit().row_ids()[0], "drop")]),
        ),
        (
            ValueError,
            "should be 'keep', 'drop', 'relabel'",
            lambda: fit().apply({fit().row_ids()[0]: "fix"}),
        ),
        (
            ValueError,
            r"gives it the label 5, which is not among the classes \[0, 1\]",
            lambda: fit().apply({fit().row_ids()[0]: ("relabel", 5)}),
        ),
        (ValueError, "decisions should be a mapping", lambda: fit().apply([1, 2])),
        (ValueError, "keyed by the ids", lambda: fit().apply([([1], "keep")])),
        (
            ValueError,
            "drop every row",
            lambda: fit().apply(dict.fromkeys(fit().row_ids(), "drop")),
        ),
    ],
)
def test_bad_input_is_a_sentence(kind, match, call):
    with pytest.raises(kind, match=match):
        call()


def test_an_audit_that_was_not_fitted_says_so():
    audit = LabelAudit(logistic())
    for name in ("issues", "to_frame", "row_ids", "effect_of_fixing"):
        with pytest.raises(NotFittedError):
            getattr(audit, name)()


def test_missing_labels_and_pairs_of_classes_are_named():
    X, y = data(3, n=60)
    logistic = LogisticRegression()
    for missing in (["a", "b", np.nan] * 20, ["a", "b", None] * 20):
        with pytest.raises(ValueError, match=r"y has no label .* in rows 2, 5, 8"):
            LabelAudit(logistic).fit(X, missing)
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"y has no label .* in rows 2, 5, 8"):
        LabelAudit(logistic).fit(X, pd.Series(["a", "b", None] * 20, dtype="string"))
    pairs = SVC(decision_function_shape="ovo")
    with pytest.raises(ValueError, match="a decision for each pair of classes"):
        LabelAudit(pairs, score="margin", regularization=None).fit(X, y)
