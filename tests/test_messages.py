"""Errors that name the nearest way, numbers in messages, and packages that load when touched."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, explain
from skinfluence.labels import LabelAudit
from skinfluence.model_selection import LeaveOneOutSearchCV
from tests.cases import problem

# An audit that fits its model and chooses nothing.
AS_IT_IS = {"regularization": None, "score": "loo_loss"}

X, y = problem(0, n=60)
LR = InfluenceLogisticRegression()
WAYS = [
    (OneVsRestClassifier(LR), "Ask each of them"),
    (CalibratedClassifierCV(LR), r"explain\(fitted.calibrated_classifiers_\[0\].estimator\)"),
    (VotingClassifier([("a", LR)]), r"explain\(fitted.estimators_\[0\]\)"),
    (BaggingClassifier(LR), r"explain\(fitted.estimators_\[0\]\)"),
    (StackingClassifier([("a", LR)]), "cross_val_predict"),
    (FixedThresholdClassifier(LR), r"explain\(fitted.estimator_\)"),
    (RandomForestClassifier(), "trees have no gradient.*RandomTreesEmbedding"),
    (DecisionTreeClassifier(), "trees have no gradient"),
    (GradientBoostingClassifier(), "trees have no gradient"),
    (HistGradientBoostingRegressor(), "trees have no gradient"),
    (KNeighborsClassifier(), "delete the row and predict again"),
    (MLPClassifier(), "Hold its hidden layers fixed"),
    (GaussianNB(), "delete the row and fit again"),
    (LinearDiscriminantAnalysis(), "InfluenceLogisticRegression"),
    (GaussianProcessRegressor(), r"InfluenceKernelRidge\(kernel=fitted.kernel_"),
]


@pytest.mark.parametrize(("estimator", "way"), WAYS, ids=lambda value: type(value).__name__)
def test_what_is_not_supported_names_the_nearest_way(estimator, way):
    name = type(estimator).__name__
    for call in (
        lambda: InfluenceExplainer(estimator).fit(X, y),
        lambda: InfluenceExplainer(make_pipeline(StandardScaler(), estimator)).fit(X, y),
        lambda: LeaveOneOutSearchCV(estimator, {}).fit(X, y),
    ):
        with pytest.raises(TypeError, match=f"{name} is not supported: .*{way}"):
            call()


def test_the_nearest_ways_lead_there():
    rest = OneVsRestClassifier(LR).fit(X, y + (X[:, 0] > 0))
    shapes = [explain(one).influence(X[:2], [0, 1]).shape for one in rest.estimators_]
    assert shapes == [(2, 60)] * 3
    calibrated = CalibratedClassifierCV(LR, cv=2).fit(X, y)
    inside = calibrated.calibrated_classifiers_[0].estimator
    assert explain(inside).influence(X[:2], y[:2]).shape == (2, 30)
    voting = VotingClassifier([("a", LR)]).fit(X, y)
    assert explain(voting.estimators_[0]).influence(X[:2], y[:2]).shape == (2, 60)
    columns = cross_val_predict(LR, X, y, method="predict_proba", cv=5)[:, 1:]
    stacked = StackingClassifier([("a", LR)], LogisticRegression(), cv=5).fit(X, y)
    last = InfluenceExplainer(LogisticRegression()).fit(columns, y)
    np.testing.assert_allclose(last.estimator_.coef_, stacked.final_estimator_.coef_, rtol=1e-9)
    threshold = FixedThresholdClassifier(LR).fit(X, y)
    assert explain(threshold.estimator_).influence(X[:2], y[:2]).shape == (2, 60)


def test_a_class_is_no_estimator():
    for call in (
        lambda: InfluenceExplainer(LogisticRegression).fit(X, y),
        lambda: explain(InfluenceLogisticRegression),
        lambda: LeaveOneOutSearchCV(LogisticRegression, {"C": [1]}).fit(X, y),
    ):
        with pytest.raises(TypeError, match="is a class, and no estimator: pass an instance"):
            call()
    with pytest.raises(TypeError, match="'svc' is no estimator"):
        explain("svc")


def test_a_fitted_model_inside_is_named():
    fitted = InfluenceExplainer(LogisticRegression().fit(X, y))
    with pytest.raises(NotFittedError, match=r"the LogisticRegression inside is.*FrozenEstimator"):
        fitted.influence(X, y)
    with pytest.raises(NotFittedError, match=r"is not fitted yet\. Call 'fit'"):
        InfluenceExplainer(LogisticRegression()).influence(X, y)


def test_numbers_are_numbers():
    clf = InfluenceLogisticRegression().fit(X, y)
    for call in (
        lambda: clf.influence(X, np.full(60, 7)),
        lambda: clf.most_influential(X, y, k=np.int64(99)),
        lambda: clf.influence(X, y, damping=np.float64(-1)),
        lambda: clf.influence(X, y, train_indices=[np.int64(60)]),
        lambda: clf.relabel_influence(X, y, labels=np.int64(1)),
        lambda: clf.parameter_covariance().summary(np.float64(2)),
    ):
        with pytest.raises(ValueError, match=r"got|labels") as raised:
            call()
        assert "np." not in str(raised.value).replace("np.full", "")
        assert "array(" not in str(raised.value)


@pytest.mark.parametrize("wrong", ["columns", "NaN", "one axis", "three axes", "no rows", "text"])
@pytest.mark.parametrize("kind", ["model", "explainer", "pipeline"])
def test_the_argument_is_named_and_not_the_X_of_a_step(kind, wrong):
    estimator, of_ours = LogisticRegression(), InfluenceLogisticRegression()
    model = {
        "model": lambda: of_ours.fit(X, y),
        "explainer": lambda: InfluenceExplainer(make_pipeline(StandardScaler(), estimator)).fit(
            X, y
        ),
        "pipeline": lambda: explain(make_pipeline(StandardScaler(), of_ours).fit(X, y)),
    }[kind]()
    rows = {
        "columns": X[:3, :2],
        "NaN": np.full((3, X.shape[1]), np.nan),
        "one axis": X[0],
        "three axes": X[:4, None],
        "no rows": X[:0],
        "text": np.full((3, X.shape[1]), "a"),
    }[wrong]
    labels = y[: len(rows)]
    addition = {"kind": "addition", "X_new": rows, "y_new": labels}
    calls = {
        "X_test": [
            lambda: model.influence(rows, labels),
            lambda: model.relabel_influence(rows, labels),
            lambda: model.feature_influence(rows, labels),
            lambda: model.score_influence(rows, labels),
            lambda: model.addition_influence(X[:2], y[:2], rows, labels),
        ],
        "X_new": [
            lambda: model.addition_influence(rows, labels, X, y),
            lambda: model.addition_influence(rows, None, X, y),
            lambda: model.with_rows(rows, labels),
            lambda: model.best_changes(X, y, **addition),
        ],
        "X_val": [lambda: LabelAudit(model, **AS_IT_IS).fit(X, y, X_val=rows, y_val=labels)],
    }
    for name, asked in calls.items():
        for call in asked:
            with pytest.raises(ValueError, match=name):
                call()


def test_packages_load_when_they_are_touched():
    code = (
        "import sys, skinfluence\n"
        "rooms = ('display', 'model_selection', 'labels', 'debugging', 'attacks')\n"
        "assert not [room for room in rooms if f'skinfluence.{room}' in sys.modules]\n"
        "skinfluence.display.DfbetasDisplay, skinfluence.model_selection.FullSample\n"
        "assert 'matplotlib' not in sys.modules\n"
        "assert set(rooms) <= set(skinfluence.__all__) <= set(dir(skinfluence))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
