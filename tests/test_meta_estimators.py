"""Our estimators inside scikit-learn's, weights routed; ours around scikit-learn's, likewise."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, get_config, set_config
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RANSACRegressor, Ridge
from sklearn.metrics import balanced_accuracy_score, make_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, InfluenceRidge
from skinfluence.labels import LabelAudit
from skinfluence.model_selection import LeaveOneOutSearchCV
from tests.cases import problem

X, y = problem(5, n=60, p=4)
THREE = problem(5, n=60, p=4, n_classes=3)[1]
RESPONSE = X[:, 0] + np.sin(3 * X[:, 1])
WEIGHT = np.random.default_rng(0).uniform(0.1, 3.0, 60)
GRID = {"C": [0.1, 1.0]}


def request(estimator, routed):
    """The estimator, which requests weights where they are routed."""
    if not routed:
        return estimator
    return estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)


def tuned(estimator):
    """A tuned threshold, whose scorer asks for weights where they are routed."""
    scorer = make_scorer(balanced_accuracy_score)
    if get_config()["enable_metadata_routing"]:
        scorer = scorer.set_score_request(sample_weight=True)
    return TunedThresholdClassifierCV(estimator, cv=3, scoring=scorer)


# (name, function of the estimator inside, labels, whether weights reach it without routing)
CLASSIFIERS = [
    ("calibration", lambda e: CalibratedClassifierCV(e, cv=3), y, True),
    ("voting", lambda e: VotingClassifier([("a", e)]), y, True),
    ("stacking", lambda e: StackingClassifier([("a", e)], LogisticRegression(), cv=3), y, False),
    ("bagging", lambda e: BaggingClassifier(e, 3, random_state=0), y, True),
    ("boosting", lambda e: AdaBoostClassifier(e, n_estimators=3, random_state=0), y, True),
    ("one against the rest", lambda e: OneVsRestClassifier(e), THREE, False),
    ("pairs", lambda e: OneVsOneClassifier(e), THREE, False),
    ("codes", lambda e: OutputCodeClassifier(e, random_state=0), THREE, False),
    ("outputs", lambda e: MultiOutputClassifier(e), np.c_[y, 1 - y], True),
    ("chain", lambda e: ClassifierChain(e), np.c_[y, THREE > 0], False),
    ("grid", lambda e: GridSearchCV(e, GRID, cv=3), y, True),
    ("random", lambda e: RandomizedSearchCV(e, GRID, n_iter=2, cv=3, random_state=0), y, True),
    ("halving", lambda e: HalvingGridSearchCV(e, GRID, cv=3, random_state=0), y, True),
    ("random halving", lambda e: HalvingRandomSearchCV(e, GRID, cv=3, random_state=0), y, True),
    ("tuned threshold", tuned, y, False),
    ("threshold", lambda e: FixedThresholdClassifier(e, threshold=0.3), y, False),
    ("self-training", lambda e: SelfTrainingClassifier(e), np.where(WEIGHT > 2.5, -1, y), False),
    ("pipeline", lambda e: make_pipeline(PCA(), e), y, False),
    ("nested", lambda e: GridSearchCV(GridSearchCV(e, GRID, cv=3), {"cv": [2, 3]}), y, True),
    ("frozen", lambda e: CalibratedClassifierCV(FrozenEstimator(clone(e).fit(X, y))), y, False),
    ("RFE", lambda e: RFE(e, n_features_to_select=2), y, True),
    ("RFECV", lambda e: RFECV(e, cv=3), y, False),
]
SELECTORS = [
    ("union", lambda e: FeatureUnion([("a", SelectFromModel(e)), ("b", "passthrough")])),
    ("columns", lambda e: ColumnTransformer([("a", SelectFromModel(e), [0, 1, 2])])),
    ("model", lambda e: SelectFromModel(e)),
    ("forward", lambda e: SequentialFeatureSelector(e, n_features_to_select=2, cv=3)),
]
REGRESSORS = [
    ("voting", lambda e: VotingRegressor([("a", e)]), RESPONSE, True),
    ("stacking", lambda e: StackingRegressor([("a", e)], Ridge(), cv=3), RESPONSE, False),
    ("bagging", lambda e: BaggingRegressor(e, 3, random_state=0), RESPONSE, True),
    ("boosting", lambda e: AdaBoostRegressor(e, n_estimators=3, random_state=0), RESPONSE, True),
    ("outputs", lambda e: MultiOutputRegressor(e), np.c_[RESPONSE, X[:, 2]], True),
    ("chain", lambda e: RegressorChain(e), np.c_[RESPONSE, X[:, 2]], False),
    ("consensus", lambda e: RANSACRegressor(e, random_state=0, min_samples=20), RESPONSE, True),
    (
        "transformed",
        lambda e: TransformedTargetRegressor(e, func=np.arcsinh, inverse_func=np.sinh),
        RESPONSE,
        True,
    ),
]
NOT_ROUTED = {  # meta-estimators without metadata routing in the oldest or the newest version
    "boosting",
    "columns",
    "codes",
    "RFE",
    "RFECV",
    "frozen",
    "self-training",
    "stacking",
}
TIGHT = {"tol": 1e-10, "solver": "newton-cholesky"}


def fitted(make, estimator, labels, weight, routed):
    """A meta-estimator around an estimator; weights that it does not route are left out."""
    with config_context(enable_metadata_routing=routed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(request(estimator, routed))
        params = {} if weight is None else {"sample_weight": weight}
        return model.fit(X, labels, **params).predict(X)


@pytest.mark.parametrize("routed", [False, True], ids=["plain", "routed"])
@pytest.mark.parametrize("case", CLASSIFIERS, ids=lambda case: case[0])
def test_classifiers(case, routed):
    name, make, labels, takes = case
    takes = name not in NOT_ROUTED if routed else takes
    weight = WEIGHT if takes else None
    expected = fitted(make, LogisticRegression(**TIGHT), labels, weight, routed)
    got = fitted(make, InfluenceLogisticRegression(**TIGHT), labels, weight, routed)
    np.testing.assert_array_equal(got, expected)
    if name in ("RFE", "RFECV"):  # these read coef_
        return
    if name in ("grid", "random", "halving", "random halving", "nested"):
        return  # the explainer has C inside: see the test of the searches
    around = fitted(explained(make), LogisticRegression(**TIGHT), labels, weight, routed)
    np.testing.assert_array_equal(around, expected)


def explained(make):
    """A meta-estimator around an explainer of an estimator."""
    return lambda estimator: make(InfluenceExplainer(estimator))


@pytest.mark.parametrize("routed", [False, True], ids=["plain", "routed"])
@pytest.mark.parametrize("case", REGRESSORS, ids=lambda case: case[0])
def test_regressors(case, routed):
    name, make, labels, takes = case
    takes = name not in NOT_ROUTED if routed else takes
    weight = WEIGHT if takes else None
    expected = fitted(make, Ridge(), labels, weight, routed)
    got = fitted(make, InfluenceRidge(), labels, weight, routed)
    np.testing.assert_allclose(got, expected, atol=1e-8)
    around = fitted(explained(make), Ridge(), labels, weight, routed)
    np.testing.assert_allclose(around, expected, atol=1e-8)


@pytest.mark.parametrize("case", SELECTORS, ids=lambda case: case[0])
def test_selectors_and_set_output(case):
    _, make = case
    frame = pd.DataFrame(X, columns=list("abcd"))
    for final in (LogisticRegression(**TIGHT), InfluenceLogisticRegression(**TIGHT)):
        steps = make_pipeline(StandardScaler(), make(final)).set_output(transform="pandas")
        found = steps.fit_transform(frame, y)
        assert isinstance(found, pd.DataFrame)
    pipe = make_pipeline(steps, InfluenceLogisticRegression(**TIGHT)).fit(frame, y)
    assert pipe[-1].feature_names_in_.tolist() == found.columns.tolist()
    assert pipe[-1].influence(found[:3], y[:3]).shape == (3, 60)


def routed_pipe(final):
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    return make_pipeline(scaler, final.set_fit_request(sample_weight=True))


@pytest.fixture
def routing():
    set_config(enable_metadata_routing=True)
    yield
    set_config(enable_metadata_routing=False)


def test_ours_around_a_pipeline(routing):
    pipe = routed_pipe(LogisticRegression(**TIGHT))
    expected = clone(pipe).fit(X, y, sample_weight=WEIGHT)
    explainer = InfluenceExplainer(pipe).fit(X, y, sample_weight=WEIGHT)
    np.testing.assert_allclose(explainer.predict_proba(X), expected.predict_proba(X), atol=1e-9)
    change = explainer.influence(X[:5], target="predict_proba", method="exact")
    Z = expected[:-1].transform(X)
    for row in (0, 17):
        refit = LogisticRegression(**TIGHT)
        refit.fit(np.delete(Z, row, 0), np.delete(y, row), np.delete(WEIGHT, row))
        moved = refit.predict_proba(Z[:5])[:, 1] - expected.predict_proba(X[:5])[:, 1]
        np.testing.assert_allclose(change[:, row], moved, atol=1e-8)
    ours = routed_pipe(InfluenceLogisticRegression(**TIGHT))
    grid = {"influencelogisticregression__C": [0.1, 1.0]}
    search = LeaveOneOutSearchCV(ours, grid, scoring="neg_log_loss").fit(X, y, WEIGHT)
    set_config(enable_metadata_routing=False)
    plain = LeaveOneOutSearchCV(ours, grid, scoring="neg_log_loss").fit(X, y, WEIGHT)
    set_config(enable_metadata_routing=True)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"], atol=1e-10
    )
    np.testing.assert_allclose(search.predict_proba(X), plain.predict_proba(X), atol=1e-9)
    audit = LabelAudit(pipe).fit(X, y, sample_weight=WEIGHT)
    set_config(enable_metadata_routing=False)
    same = LabelAudit(pipe).fit(X, y, sample_weight=WEIGHT)
    np.testing.assert_allclose(audit.pred_probs_, same.pred_probs_, atol=1e-8)


def test_weights_reach_those_who_ask(routing):
    """A weight that only the scaler asks for is none of the model's; one of another name is."""
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    refuses = LogisticRegression(**TIGHT).set_fit_request(sample_weight=False)
    explainer = InfluenceExplainer(make_pipeline(scaler, refuses)).fit(X, y, sample_weight=WEIGHT)
    assert explainer.__fitted_problem__().record.data.sample_weight is None
    renamed = LogisticRegression(**TIGHT).set_fit_request(sample_weight="importance")
    explainer = InfluenceExplainer(make_pipeline(refuse_scaler(), renamed))
    explainer.fit(X, y, importance=WEIGHT)
    np.testing.assert_array_equal(explainer.__fitted_problem__().sample_weight, WEIGHT)
    unasked = InfluenceExplainer(LogisticRegression())
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        unasked.fit(X, y, sample_weight=WEIGHT)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        LeaveOneOutSearchCV(LogisticRegression(), GRID).fit(X, y, sample_weight=WEIGHT)
    frozen = FrozenEstimator(LogisticRegression(**TIGHT).fit(X, y, WEIGHT))
    attached = InfluenceExplainer(frozen).fit(X, y, WEIGHT)
    np.testing.assert_array_equal(attached.__fitted_problem__().sample_weight, WEIGHT)


def refuse_scaler():
    return StandardScaler().set_fit_request(sample_weight=False)


def test_searches_route_weights_to_the_scorer_that_asks(routing):
    clf = InfluenceLogisticRegression().set_fit_request(sample_weight=True)
    clf.set_score_request(sample_weight=True)
    inner = LeaveOneOutSearchCV(clf, GRID)
    nested = GridSearchCV(inner, {"method": ["newton", "exact"]}, cv=3)
    nested.fit(X, y, sample_weight=WEIGHT)
    assert nested.best_estimator_.best_estimator_.classes_.tolist() == [0, 1]
    scores = cross_validate(inner, X, y, cv=3, params={"sample_weight": WEIGHT})
    assert np.isfinite(scores["test_score"]).all()
    explainer = InfluenceExplainer(
        LogisticRegression()
        .set_fit_request(sample_weight=True)
        .set_score_request(sample_weight=True)
    ).fit(X, y, sample_weight=WEIGHT)
    expected = explainer.estimator_.score(X, y, WEIGHT)
    assert explainer.score(X, y, sample_weight=WEIGHT) == expected


def test_metadata_needs_routing():
    for model in (InfluenceExplainer(LogisticRegression()), LabelAudit(LogisticRegression())):
        with pytest.raises(ValueError, match=r"'colour'.* are passed but are not understood"):
            model.fit(X, y, colour=WEIGHT)
    with pytest.raises(ValueError, match=r"'colour'.* are passed but are not understood"):
        LeaveOneOutSearchCV(LogisticRegression(), GRID).fit(X, y, colour=WEIGHT)
