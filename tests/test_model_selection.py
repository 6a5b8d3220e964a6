"""Searches and K-fold predictions against the refits that they stand for."""

import pickle
from unittest import SkipTest

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import f1_score, get_scorer, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, explain
from skinfluence.model_selection import (
    FullSample,
    LeaveOneOutSearchCV,
    approximate_cross_val_predict,
    loo_scorer,
)

GRID = {"C": [10.0, 0.1, 1.0]}
SOLVER = {"solver": "newton-cholesky", "tol": 1e-12}


def data(n_classes=2, n=50, seed=0):
    return make_classification(
        n,
        5,
        n_informative=3,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        flip_y=0.2,
        random_state=seed,
    )


def search(estimator=None, grid=GRID, **options):
    estimator = InfluenceLogisticRegression(**SOLVER) if estimator is None else estimator
    return LeaveOneOutSearchCV(estimator, grid, **{"method": "exact", **options})


CHECKS = list(
    estimator_checks_generator(LeaveOneOutSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}))
)


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=[getattr(c, "func", c).__name__ for _, c in CHECKS]
)
@pytest.mark.filterwarnings("ignore:1 row left undefined:RuntimeWarning")
def test_scikit_learn_checks(estimator, check):
    try:
        check(estimator)
    except SkipTest as reason:
        pytest.skip(str(reason))


# -- the search against n refits -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_classes", "scoring"), [(2, None), (2, "neg_brier_score"), (3, None), (3, "accuracy")]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_means_over_rows_are_those_of_grid_search(n_classes, scoring, weighted):
    X, y = data(n_classes, n=40)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y)) if weighted else None
    grid = [{"C": [10.0, 0.1]}, {"fit_intercept": [False]}]
    theirs = GridSearchCV(
        LogisticRegression(**SOLVER), grid, scoring=scoring, cv=LeaveOneOut(), error_score="raise"
    )
    theirs.fit(X, y, sample_weight=weight)
    ours = search(grid=grid, scoring=scoring).fit(X, y, weight)
    if weighted:  # theirs weights the rows of a split, each of which has but one
        rows = np.stack([theirs.cv_results_[f"split{i}_test_score"] for i in range(len(y))])
        expected = np.average(rows, axis=0, weights=weight)
        np.testing.assert_allclose(ours.cv_results_["mean_test_score"], expected, atol=1e-8)
        theirs.best_estimator_ = LogisticRegression(**SOLVER, **ours.best_params_)
        theirs.best_estimator_.fit(X, y, weight)
    else:
        for key in ("mean_test_score", "rank_test_score"):
            np.testing.assert_allclose(ours.cv_results_[key], theirs.cv_results_[key], atol=1e-8)
        np.testing.assert_allclose(
            ours.cv_results_["standard_error_test_score"],
            theirs.cv_results_["std_test_score"] / np.sqrt(len(y) - 1),
            atol=1e-8,
        )
        assert ours.best_params_ == theirs.best_params_
        assert ours.best_index_ == theirs.best_index_
        assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-8)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_other_scores_are_those_of_pooled_predictions(n_classes):
    X, y = data(n_classes)
    names = ["neg_log_loss", "roc_auc" if n_classes == 2 else "f1_macro"]
    proba = {
        C: cross_val_predict(
            LogisticRegression(C=C, **SOLVER), X, y, cv=LeaveOneOut(), method="predict_proba"
        )
        for C in GRID["C"]
    }
    for name in names:
        found = search(scoring=name).fit(X, y).cv_results_["mean_test_score"]
        for C, score in zip(GRID["C"], found, strict=True):
            if name == "neg_log_loss":
                expected = -log_loss(y, proba[C])
            elif name == "roc_auc":
                expected = roc_auc_score(y, proba[C][:, 1])
            else:
                metric = get_scorer(name)
                expected = metric._score_func(y, proba[C].argmax(axis=1), **metric._kwargs)
            assert score == pytest.approx(expected, abs=1e-8)


@pytest.mark.filterwarnings("ignore:Scoring failed", "ignore:One or more of the test scores")
def test_the_documented_differences_from_grid_search():
    X, y = data(n=40)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, 40)

    def both(scoring, weight=None, **given):
        model, grid = LogisticRegression(**SOLVER, **given), {"C": [0.1, 1.0]}
        searches = (
            LeaveOneOutSearchCV(model, grid, scoring=scoring, method="exact"),
            GridSearchCV(model, grid, scoring=scoring, cv=LeaveOneOut()),
        )
        return [one.fit(X, y, sample_weight=weight).cv_results_ for one in searches]

    def scores(*given, **options):
        return [found["mean_test_score"] for found in both(*given, **options)]

    ours, theirs = scores("neg_brier_score")
    np.testing.assert_allclose(ours, theirs, atol=1e-7)
    pooled, alone = scores(make_scorer(f1_score, zero_division=0.0))
    assert np.abs(pooled - alone).min() > 0.05
    pooled, alone = scores("neg_log_loss")
    assert np.isfinite(pooled).all()
    assert np.isnan(alone).all()
    ours, theirs = scores("neg_brier_score", weight)
    assert np.abs(ours - theirs).min() > 1e-3
    # The weights of the classes are those of all rows.
    n = np.bincount(y)
    held = scores("neg_brier_score", class_weight=dict(enumerate(len(y) / (2 * n))))
    balanced = scores("neg_brier_score", class_weight="balanced")
    np.testing.assert_allclose([held[0], balanced[0]], [held[1], held[1]], atol=1e-7)
    assert np.abs(balanced[0] - balanced[1]).min() > 1e-5


def test_brier_score_of_several_classes_has_the_rows_standard_error():
    X, y = data(3)
    found = search(grid={"C": [1.0]}, scoring="neg_brier_score").fit(X, y).cv_results_
    proba = cross_val_predict(
        LogisticRegression(**SOLVER), X, y, cv=LeaveOneOut(), method="predict_proba"
    )
    rows = -np.sum((proba - np.eye(3)[y]) ** 2, axis=1)
    assert found["mean_test_score"][0] == pytest.approx(rows.mean(), abs=1e-8)
    expected = rows.std(ddof=1) / np.sqrt(len(y))
    assert found["standard_error_test_score"][0] == pytest.approx(expected, abs=1e-8)


def test_a_pipeline_holds_its_earlier_steps_fixed():
    X, y = data()
    X = X * [1, 10, 100, 0.1, 5]
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression(**SOLVER))
    name = "influencelogisticregression__C"
    ours = search(pipe, {name: GRID["C"]}, scoring="neg_brier_score").fit(X, y)
    fixed = search(scoring="neg_brier_score").fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], fixed.cv_results_["mean_test_score"], atol=1e-10
    )
    assert isinstance(ours.best_estimator_, Pipeline)
    assert ours.best_params_ == {name: fixed.best_params_["C"]}
    assert explain(ours).loo_estimate().loss.shape == (50,)


@pytest.mark.parametrize(
    ("estimator", "prefix"),
    [
        (LogisticRegression(**SOLVER), ""),
        (InfluenceExplainer(LogisticRegression(**SOLVER)), "estimator__"),
        (
            InfluenceExplainer(Pipeline([("lr", LogisticRegression(**SOLVER))])),
            "estimator__lr__",
        ),
        (Pipeline([("e", InfluenceExplainer(LogisticRegression(**SOLVER)))]), "e__estimator__"),
    ],
)
def test_every_wrapping_gives_the_same_search(estimator, prefix):
    X, y = data()
    expected = search(scoring="neg_log_loss").fit(X, y).cv_results_
    ours = search(estimator, {f"{prefix}C": GRID["C"]}, scoring="neg_log_loss").fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], expected["mean_test_score"], atol=1e-10
    )
    assert type(ours.best_estimator_) is type(estimator)
    assert not hasattr(estimator, "classes_")


@pytest.mark.parametrize("method", ["auto", "newton", "first_order"])
def test_warm_starts_change_no_score(method):
    X, y = data(3)
    values = np.logspace(-4, 4, 9)
    warm = search(grid={"C": values}, scoring="neg_log_loss", method=method).fit(X, y)
    cold = [
        InfluenceLogisticRegression(C=C, **SOLVER)
        .fit(X, y)
        .loo_estimate(method=method, scoring="neg_log_loss")
        .score
        for C in values
    ]
    np.testing.assert_allclose(warm.cv_results_["mean_test_score"], cold, rtol=1e-8)


def test_sparse_rows_and_a_list_of_grids():
    X, y = data()
    grid = [{"C": [0.1, 1.0]}, {"class_weight": [None, "balanced", {0: 1.0, 1: 3.0}]}]
    dense = search(grid=grid, scoring="neg_log_loss").fit(X, y)
    sparse = search(grid=grid, scoring="neg_log_loss").fit(scipy.sparse.csr_array(X), y)
    np.testing.assert_allclose(
        sparse.cv_results_["mean_test_score"], dense.cv_results_["mean_test_score"], atol=1e-8
    )
    assert dense.cv_results_["param_C"].mask.tolist() == [False, False, True, True, True]
    assert dense.cv_results_["param_class_weight"][4] == {0: 1.0, 1: 3.0}
    assert [set(params) for params in dense.cv_results_["params"]] == [{"C"}] * 2 + [
        {"class_weight"}
    ] * 3


def test_results_have_grid_searchs_keys():
    X, y = data()
    ours, theirs = search().fit(X, y), GridSearchCV(LogisticRegression(), GRID, cv=3).fit(X, y)
    shared = {key for key in theirs.cv_results_ if not key.startswith("split")}
    assert shared - {"std_test_score"} <= set(ours.cv_results_)
    assert ours.cv_results_["param_C"].dtype == theirs.cv_results_["param_C"].dtype
    assert ours.cv_results_["rank_test_score"].dtype == theirs.cv_results_["rank_test_score"].dtype
    assert (ours.cv_results_["mean_fit_time"] > 0).all()


# -- standard errors and what is chosen ------------------------------------------------------------


def test_the_jackknife_of_a_mean_is_its_standard_error():
    X, y = data(n=30)
    rows = search(scoring="neg_brier_score").fit(X, y).cv_results_
    brier = make_scorer(
        lambda y, p: -np.mean((p - y) ** 2), response_method="predict_proba"
    )  # the same by another name: nothing says that it is a mean
    jackknife = search(scoring=brier).fit(X, y).cv_results_
    for key in ("mean_test_score", "standard_error_test_score"):
        np.testing.assert_allclose(jackknife[key], rows[key], rtol=1e-10)


def test_the_one_standard_error_rule_takes_the_simplest_of_the_near():
    X, y = data(n=60)
    grid = {"C": np.logspace(-4, 3, 8)}
    plain = search(grid=grid, scoring="neg_log_loss").fit(X, y)
    simple = search(grid=grid, scoring="neg_log_loss", refit="one_standard_error").fit(X, y)
    results = plain.cv_results_
    threshold = plain.best_score_ - results["standard_error_test_score"][plain.best_index_]
    near = [i for i in range(8) if results["mean_test_score"][i] >= threshold]
    assert plain.one_standard_error_index_ == min(near) < plain.best_index_
    assert simple.best_index_ == simple.one_standard_error_index_ == min(near)
    assert simple.best_score_ == results["mean_test_score"][min(near)]
    assert grid["C"][min(near)] == simple.best_estimator_.C
    assert (np.diff(results["effective_parameters"]) > 0).all()


def test_refit_false_and_a_callable():
    X, y = data()
    none = search(refit=False).fit(X, y)
    assert not hasattr(none, "best_estimator_")
    assert not hasattr(none, "classes_")
    assert none.best_params_ in none.cv_results_["params"]
    with pytest.raises(AttributeError, match="refit=False"):
        none.predict(X)
    chosen = search(refit=lambda results: 1).fit(X, y)
    assert chosen.best_index_ == 1
    assert chosen.best_estimator_.C == 0.1
    assert not hasattr(chosen, "best_score_")
    with pytest.raises(IndexError, match="out of range"):
        search(refit=lambda results: 7).fit(X, y)
    with pytest.raises(TypeError, match="not an integer"):
        search(refit=lambda results: 0.5).fit(X, y)


# -- the estimator's manners -----------------------------------------------------------------------


def test_clone_pickle_verbose_and_progress(capsys):
    X, y = data()
    seen = []

    def progress(iterable, total=None):
        seen.append(total)
        return iterable

    fitted = clone(search(verbose=2, progress=progress)).fit(X, y)
    assert seen == [3]
    assert capsys.readouterr().out.count("\n") == 4
    fitted.progress = None
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(
        again.cv_results_["mean_test_score"], fitted.cv_results_["mean_test_score"]
    )


def test_methods_are_those_of_the_estimator():
    X, y = data()
    fitted = search().fit(X, y)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(
            getattr(fitted, name)(X), getattr(fitted.best_estimator_, name)(X)
        )
    assert fitted.n_features_in_ == 5
    assert fitted.classes_.tolist() == [0, 1]
    assert not hasattr(fitted, "transform")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"method": "loo"}, ValueError, "method should be one of"),
        ({"refit": "best"}, ValueError, "refit should be one of"),
        ({"scoring": ["accuracy", "roc_auc"]}, ValueError, "refit should name the one"),
        ({"scoring": "no_such_score"}, ValueError, "scoring"),
        ({"grid": {"D": [1]}}, ValueError, "Invalid parameter"),
        ({"grid": {"C": [-1.0, 1.0]}}, ValueError, "C"),
        ({"estimator": Perceptron()}, TypeError, "Perceptron is not supported"),
        ({"progress": 3}, TypeError, "progress"),
    ],
)
def test_bad_settings(options, error, match):
    X, y = data()
    with pytest.raises(error, match=match):
        search(**options).fit(X, y)


@pytest.mark.filterwarnings("ignore:the training data are linearly separable")
def test_a_candidate_without_optimum_is_nan_with_one_warning():
    x = np.linspace(-1, 1, 20)[:, None]
    y = (x[:, 0] > 0).astype(int)
    with pytest.warns(
        FitFailedWarning, match="no optimum was found for 1 of 2 candidates"
    ) as caught:
        fitted = search(grid={"C": [np.inf, 1.0]}).fit(x, y)
    assert len([w for w in caught if w.category is FitFailedWarning]) == 1
    assert np.isnan(fitted.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert fitted.cv_results_["rank_test_score"].tolist() == [2, 1]
    assert fitted.best_params_ == {"C": 1.0}
    with pytest.raises(ValueError, match="no candidate has a leave-one-out score"):
        search(grid={"C": [np.inf]}).fit(x, y)


def test_undefined_rows_are_left_out_of_the_score_with_one_warning():
    X, y = data(n=40)
    y = y.copy()
    y[7] = 2
    with pytest.warns(RuntimeWarning, match="without row 7") as caught:
        fitted = search(scoring="neg_log_loss").fit(X, y)
    assert len(caught) == 1
    assert np.isfinite(fitted.cv_results_["mean_test_score"]).all()
    assert fitted.cv_results_["n_undefined"].tolist() == [1, 1, 1]


# -- leave-one-out inside GridSearchCV -------------------------------------------------------------


@pytest.mark.parametrize("scoring", ["neg_log_loss", "roc_auc", None])
def test_loo_scorer_in_grid_search_is_the_search(scoring):
    X, y = data()
    pipe = Pipeline([("s", StandardScaler()), ("lr", InfluenceLogisticRegression(**SOLVER))])
    grid = {"lr__C": GRID["C"]}
    theirs = GridSearchCV(pipe, grid, cv=FullSample(), scoring=loo_scorer(scoring)).fit(X, y)
    ours = search(pipe, grid, scoring=scoring).fit(X, y)
    np.testing.assert_allclose(
        theirs.cv_results_["mean_test_score"], ours.cv_results_["mean_test_score"], atol=1e-8
    )
    assert theirs.best_params_ == ours.best_params_


def test_loo_scorer_refuses_real_folds():
    X, y = data()
    options = {"scoring": loo_scorer("accuracy"), "error_score": "raise"}
    with pytest.raises(ValueError, match="cv=FullSample"):
        GridSearchCV(InfluenceLogisticRegression(), GRID, cv=KFold(2), **options).fit(X, y)
    model = InfluenceLogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="not the 50 training rows"):  # as many rows, other labels
        loo_scorer()(model, X, 1 - y)
    with pytest.raises(ValueError, match="not the 50 training rows"):  # same labels, other rows
        loo_scorer()(model, X[:-1], y)
    with pytest.raises(TypeError, match="does not keep its training data"):
        loo_scorer()(LogisticRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="method should be"):
        loo_scorer(method="loo")


def test_loo_scorer_and_splitter_pickle_and_print():
    X, y = data()
    scorer = pickle.loads(pickle.dumps(loo_scorer("neg_log_loss", method="newton")))
    assert repr(scorer) == "loo_scorer('neg_log_loss', method='newton')"
    model = InfluenceLogisticRegression().fit(X, y)
    expected = model.loo_estimate(method="newton", scoring="neg_log_loss").score
    assert scorer(model, X, y) == expected
    splitter = FullSample()
    assert repr(splitter) == "FullSample()"
    assert splitter.get_n_splits() == 1
    ((train, test),) = splitter.split([[0], [1]])
    assert train.tolist() == test.tolist() == [0, 1]


# -- K-fold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["newton", "first_order"])
def test_refined_folds_are_refits(n_classes, method):
    X, y = data(n_classes, n=60)
    cv = StratifiedKFold(4, shuffle=True, random_state=0)
    found = approximate_cross_val_predict(LogisticRegression(**SOLVER), X, y, cv=cv, method=method)
    refit = LogisticRegression(**SOLVER)
    for name, ours in [
        ("decision_function", found.decision_function),
        ("predict_proba", found.predict_proba),
    ]:
        theirs = cross_val_predict(refit, X, y, cv=cv, method=name)
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    np.testing.assert_array_equal(found.prediction, cross_val_predict(refit, X, y, cv=cv))
    assert found.mean_loss == pytest.approx(log_loss(y, found.predict_proba), rel=1e-10)
    assert found.error_estimate.max() < 1e-8
    assert found.method == "exact"
    for position, (_, test) in enumerate(cv.split(X, y)):
        assert (found.fold[test] == position).all()


def test_unrefined_folds_know_their_error():
    X, y = data(n=80)
    options = {"cv": 5, "refine": False}
    exact = approximate_cross_val_predict(LogisticRegression(), X, y, cv=5)
    errors = {}
    for method in ("newton", "first_order"):
        found = approximate_cross_val_predict(LogisticRegression(), X, y, method=method, **options)
        errors[method] = np.abs(found.decision_function - exact.decision_function)
        assert 0.5 < np.median(found.error_estimate / errors[method]) < 2.0
        assert found.method == method
    assert errors["newton"].max() < errors["first_order"].max()
    assert exact.error_estimate.max() < 1e-8


def test_weighted_pipelines_and_groups():
    X, y = data(n=60)
    weight = np.random.default_rng(0).uniform(0.5, 2, 60)
    groups = np.arange(60) % 4
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression(**SOLVER))
    found = approximate_cross_val_predict(
        pipe, X, y, cv=GroupKFold(4), groups=groups, sample_weight=weight
    )
    Z = StandardScaler().fit_transform(X)
    for group in range(4):
        kept, left = groups != group, groups == group
        refit = LogisticRegression(**SOLVER).fit(Z[kept], y[kept], weight[kept])
        np.testing.assert_allclose(
            found.decision_function[left], refit.decision_function(Z[left]), atol=1e-8
        )
    assert found.mean_loss == pytest.approx(
        log_loss(y, found.predict_proba, sample_weight=weight), rel=1e-10
    )


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 200)), np.arange(40) % 2
    found = approximate_cross_val_predict(LogisticRegression(C=0.1), X, y, cv=4)
    refit = cross_val_predict(
        LogisticRegression(C=0.1, **SOLVER), X, y, cv=4, method="decision_function"
    )
    np.testing.assert_allclose(found.decision_function, refit, atol=1e-8)


def test_a_fold_that_empties_a_class_is_undefined():
    X, y = data(n=40)
    y = y.copy()
    y[[3, 4]] = 2
    with pytest.warns(RuntimeWarning, match="1 fold left undefined"):
        found = approximate_cross_val_predict(
            InfluenceLogisticRegression(**SOLVER), X, y, cv=KFold(4)
        )
    gone = found.fold == 0
    assert np.isnan(found.decision_function[gone]).all()
    assert np.isnan(found.predict_proba[gone]).all()
    assert all(label is None for label in found.prediction[gone])
    assert np.isnan(found.error_estimate[gone]).all()
    assert np.isfinite(found.decision_function[~gone]).all()
    assert np.isfinite(found.mean_loss)


def test_cross_val_frame():
    pytest.importorskip("pandas")
    for n_classes, columns in [(2, 5), (3, 7)]:
        X, y = data(n_classes)
        found = approximate_cross_val_predict(InfluenceLogisticRegression(), X, y)
        frame = found.to_frame([f"row {i}" for i in range(50)])
        assert frame.shape == (50, columns)
        assert frame.index[3] == "row 3"


def test_bad_folds():
    X, y = data()
    model = LogisticRegression()
    with pytest.raises(ValueError, match="partition"):
        approximate_cross_val_predict(model, X, y, cv=ShuffleSplit(3, random_state=0))
    with pytest.raises(ValueError, match="train sets"):
        approximate_cross_val_predict(model, X, y, cv=FullSample())
    with pytest.raises(ValueError, match="method should be"):
        approximate_cross_val_predict(model, X, y, method="auto")
    with pytest.raises(TypeError, match="not supported"):
        approximate_cross_val_predict(Perceptron(), X, y)
