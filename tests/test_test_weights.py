"""Weights of test rows: a weight of 2 is the row twice, in sums, means, gradients and scores."""

import numpy as np
import pytest
from sklearn.metrics import get_scorer

from skinfluence import InfluenceLogisticRegression, InfluenceRidge
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem

X, y = problem(0, n=70, n_classes=3)
X_TRAIN, Y_TRAIN, X_TEST, Y_TEST = X[:50], y[:50], X[50:], y[50:]
WEIGHT = np.array([0, 1, 2, 3] * 5)
REPEATED = np.repeat(np.arange(20), WEIGHT)
CLF = InfluenceLogisticRegression().fit(X_TRAIN, Y_TRAIN)


def questions(clf, X_test, y_test, **options):
    """Every method that sums over the test rows."""
    asked = {"target": "loss", "method": "newton", **options}
    step = np.full(X.shape[1], 0.1)
    return {
        "influence": clf.influence(X_test, y_test, **asked),
        "linear": clf.influence(X_test, y_test, **{**asked, "method": "first_order"}),
        "classes": clf.influence(X_test, **{**asked, "target": "predict_proba"}),
        "groups": clf.group_influence(np.arange(50) % 7, X_test, y_test, **asked),
        "relabel": clf.relabel_influence(X_test, y_test, **asked),
        "reweight": clf.reweight_influence(np.arange(50.0), X_test, y_test, **asked),
        "add": clf.addition_influence(X[:3], y[:3], X_test, y_test, **asked),
        "move": clf.feature_influence(X_test, y_test, displacement=step, **asked),
        "gradient": clf.feature_influence(X_test, y_test, **{**asked, "method": "auto"}),
        "best": clf.best_changes(X_test, y_test, k=5, **asked).values,
    }


@pytest.mark.parametrize("aggregate", ["mean", "sum"])
def test_a_weight_of_two_is_the_row_twice(aggregate):
    options = {"aggregate": aggregate, "test_sample_weight": WEIGHT}
    weighted = questions(CLF, X_TEST, Y_TEST, **options)
    rows = X_TEST[REPEATED], Y_TEST[REPEATED]
    for name, expected in questions(CLF, *rows, aggregate=aggregate).items():
        np.testing.assert_allclose(weighted[name], expected, atol=1e-12, err_msg=name)


def test_gradients_of_a_kernel_machine():
    machine = SmoothHingeSVC(kernel="rbf", gamma=0.5).fit(X_TRAIN, Y_TRAIN)
    asked = {"aggregate": "mean", "train_indices": [0, 3]}
    got = machine.feature_influence(X_TEST, Y_TEST, test_sample_weight=WEIGHT, **asked)
    expected = machine.feature_influence(X_TEST[REPEATED], Y_TEST[REPEATED], **asked)
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize(
    "scoring", ["accuracy", "neg_log_loss", "roc_auc_ovr", "roc_auc", "neg_brier_score", "f1"]
)
def test_scores_are_weighted_as_scikit_learn_weighs_them(scoring):
    two = scoring in ("roc_auc", "neg_brier_score", "f1")
    Y = (Y_TRAIN > 0).astype(int) if two else Y_TRAIN
    y_test = (Y_TEST > 0).astype(int) if two else Y_TEST
    clf = InfluenceLogisticRegression().fit(X_TRAIN, Y)
    options = {"scoring": scoring, "train_indices": [1, 4, 9], "method": "exact"}
    got = clf.score_influence(X_TEST, y_test, test_sample_weight=WEIGHT, **options)
    scorer = get_scorer(scoring)
    before = scorer(clf, X_TEST, y_test, sample_weight=WEIGHT)
    for row, effect in zip((1, 4, 9), got, strict=True):
        refit = InfluenceLogisticRegression().fit(np.delete(X_TRAIN, row, 0), np.delete(Y, row))
        after = scorer(refit, X_TEST, y_test, sample_weight=WEIGHT)
        np.testing.assert_allclose(effect, after - before, atol=1e-8)
    same = clf.score_influence(X_TEST, y_test, test_sample_weight=np.full(20, 3.0), **options)
    np.testing.assert_allclose(same, clf.score_influence(X_TEST, y_test, **options), atol=1e-12)


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error", "neg_mean_absolute_error"])
def test_scores_of_regressors(scoring):
    model = InfluenceRidge().fit(X_TRAIN, X_TRAIN[:, 0] ** 2)
    response = X_TEST[:, 0] ** 2
    got = model.score_influence(
        X_TEST, response, scoring=scoring, test_sample_weight=WEIGHT, train_indices=[2]
    )
    refit = InfluenceRidge().fit(np.delete(X_TRAIN, 2, 0), np.delete(X_TRAIN[:, 0] ** 2, 2))
    values = [
        get_scorer(scoring)(each, X_TEST, response, sample_weight=WEIGHT) for each in (model, refit)
    ]
    np.testing.assert_allclose(got, values[1] - values[0], atol=1e-10)


def plain(estimator, X, y):
    """A scorer without weights."""
    return float(np.mean(estimator.predict(X) == y))


def weighted(estimator, X, y, sample_weight=None):
    """The same with weights."""
    return float(np.average(estimator.predict(X) == y, weights=sample_weight))


def test_weights_that_a_scorer_does_not_take_are_refused():
    options = {"test_sample_weight": WEIGHT, "method": "newton"}
    with pytest.raises(ValueError, match="takes no sample_weight: leave test_sample_weight out"):
        CLF.score_influence(X_TEST, Y_TEST, scoring=plain, **options)
    ridge = InfluenceRidge().fit(X_TRAIN, X_TRAIN[:, 0])
    with pytest.raises(ValueError, match="'neg_max_error' takes no sample_weight"):
        ridge.score_influence(X_TEST, X_TEST[:, 1], scoring="neg_max_error", **options)
    found = CLF.score_influence(X_TEST, Y_TEST, scoring=weighted, **options)
    expected = CLF.score_influence(X_TEST, Y_TEST, scoring="accuracy", **options)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_type_error_of_the_scorer_itself_is_raised_as_it_is():
    def broken(estimator, X, y, sample_weight=None):
        raise TypeError("no such thing")

    with pytest.raises(TypeError, match="no such thing"):
        CLF.score_influence(X_TEST, Y_TEST, scoring=broken, test_sample_weight=WEIGHT)


def test_weights_of_the_fit_are_left_out_of_a_score_without_weights():
    w = np.linspace(0.5, 2.0, len(Y_TRAIN))
    clf = InfluenceLogisticRegression().fit(X_TRAIN, Y_TRAIN, w)
    by_name, mean = clf.loo_estimate(scoring="accuracy"), clf.loo_estimate(scoring=plain)
    right = clf.classes_[by_name.predict_proba.argmax(axis=1)] == Y_TRAIN
    assert by_name.score == pytest.approx(np.average(right, weights=w))
    assert mean.score == pytest.approx(right.mean())
    assert clf.loo_estimate(scoring=weighted).score == pytest.approx(by_name.score)


def test_wrong_weights():
    for options, match in (
        ({"test_sample_weight": WEIGHT}, "test_sample_weight are weights of the test rows in the"),
        ({"aggregate": "mean", "test_sample_weight": WEIGHT[:3]}, "test_sample_weight should have"),
        ({"aggregate": "mean", "test_sample_weight": -WEIGHT}, "Negative values in test_sample_w"),
        ({"aggregate": "sum", "test_sample_weight": 0 * WEIGHT}, "test_sample_weight should have"),
        ({"aggregate": "sum", "test_sample_weight": ["a"] * 20}, "test_sample_weight should hold"),
    ):
        with pytest.raises(ValueError, match=match):
            CLF.influence(X_TEST, Y_TEST, **options)
    with pytest.raises(ValueError, match="test_sample_weight should have shape"):
        CLF.score_influence(X_TEST, Y_TEST, test_sample_weight=WEIGHT[:2])
