"""Rows taken out of a fit and into it: against the frozen clone, with its certificate."""

import copy
import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import check_estimator

import skinfluence
from benchmarks.removal import FAMILIES, stream, true_optimum
from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
)
from skinfluence.deletion._joint_chord import (
    FactoredHessian,
    JointFactor,
    PairsOfOneFactor,
    joint_gradient,
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.optimum import polish
from skinfluence.robustness._distance import bound_from
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import CASES, build
from tests.oracles import dense

GONE = np.array([3, 7, 20, 55])


def regression(n=120):
    X, y = load_diabetes(return_X_y=True)
    return scale(X)[:n], scale(y)[:n]


def counts(n=120):
    X, _ = regression(n)
    return X, np.random.default_rng(0).poisson(np.exp(0.3 * X[:, 0] + 0.2 * X[:, 2])) * 1.0


def cancer(n=150):
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[:n, :8], y[:n]


def iris():
    return load_iris(return_X_y=True)


def two_responses():
    X, y = regression()
    return X, np.c_[y, counts()[1]]


# name: (estimator, data, whether a distance is proven)
ESTIMATORS = {
    "logistic": (InfluenceLogisticRegression(), cancer, True),
    "balanced": (InfluenceLogisticRegression(class_weight="balanced"), cancer, True),
    "softmax": (InfluenceLogisticRegression(C=0.1), iris, True),
    "liblinear": (InfluenceLogisticRegression(solver="liblinear", tol=1e-8), cancer, True),
    "unpenalised": (
        InfluencePoissonRegressor(alpha=0.0, solver="newton-cholesky", tol=1e-8),
        counts,
        True,
    ),
    "poisson": (InfluencePoissonRegressor(alpha=0.01), counts, True),
    "gamma": (InfluenceGammaRegressor(alpha=0.01), lambda: (counts()[0], counts()[1] + 1), True),
    "tweedie": (InfluenceTweedieRegressor(power=1.5, alpha=0.01), counts, True),
    "ridge": (InfluenceRidge(), regression, True),
    "ridge-two": (InfluenceRidge(), two_responses, True),
    "ridge-no-intercept": (InfluenceRidge(fit_intercept=False), regression, True),
    "least-squares": (InfluenceLinearRegression(), regression, True),
    "ridge-classifier": (InfluenceRidgeClassifier(class_weight="balanced"), iris, True),
    "elastic-net": (InfluenceElasticNet(alpha=0.05), regression, True),
    "lasso": (InfluenceLasso(alpha=0.05), regression, True),
    "huber": (InfluenceHuberRegressor(), regression, False),
    "quantile": (SmoothQuantileRegressor(alpha=0.01, temperature=0.1), regression, None),
    "kernel-ridge": (InfluenceKernelRidge(kernel="rbf", gamma=0.05), regression, True),
    "kernel-ridge-linear": (InfluenceKernelRidge(fit_intercept=True), two_responses, True),
    "kernel-logistic": (KernelLogisticRegression(class_weight="balanced"), cancer, True),
    "smooth-hinge": (SmoothHingeSVC(temperature=0.3), cancer, True),
    "smooth-hinge-rbf": (SmoothHingeSVC(kernel="rbf", temperature=0.2), iris, True),
    "hinge": (SmoothHingeSVC(loss="hinge", kernel="rbf"), cancer, False),
    "epsilon": (SmoothEpsilonSVR(temperature=0.2), regression, True),
}


def read(model, X):
    """Decision function or predictions, float."""
    ask = model.decision_function if hasattr(model, "decision_function") else model.predict
    return np.asarray(ask(X), dtype=float)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_is_the_refit_within_the_bound(name, weighted):
    estimator, data, proven = ESTIMATORS[name]
    X, y = data()
    w = np.random.default_rng(1).uniform(0.5, 2.0, len(y)) if weighted else None
    model = clone(estimator).fit(X, y, sample_weight=w)
    model.__fitted_problem__()  # a kernel machine makes its features with the first question
    before = pickle.dumps(model)
    kept = np.setdiff1d(np.arange(len(y)), GONE)
    weights = {} if w is None else {"sample_weight": w[kept]}
    rest = model.without(GONE)
    assert pickle.dumps(model) == before
    assert type(rest) is type(model)
    # The frozen clone: the parameters of the new estimator, fitted to the other rows.
    frozen = clone(rest)
    if isinstance(rest, SmoothHingeSVC):
        frozen.set_params(tol=1e-13)  # where the curvature is small, its own is not enough
    frozen.fit(X[kept], y[kept], **weights)
    moved = np.abs(read(frozen, X) - read(model, X)).max()
    error = np.abs(read(frozen, X) - read(rest, X))
    assert error.max() <= 1e-8 * max(1.0, moved)
    assert moved > 100 * error.max() or name == "hinge"
    certificate = rest.removal_certificate_
    check = certificate.verify(X[kept], y[kept], **weights)
    if proven:
        assert certificate.coefficient_bound < 1e-7
        assert certificate.prediction_bound(X).max() < 1e-6
        assert check.coefficient_bound < 1e-7
        assert bool(certificate.reason) is (certificate.method in ("newton", "refit"))
    elif proven is False:
        assert certificate.bound_by == check.bound_by == "none"
    # It is a model like any other: its attributes, its questions, its pickle, its copy.
    for attribute in vars(frozen):
        if attribute.endswith("_") and not attribute.startswith("_"):
            assert hasattr(rest, attribute), attribute
            if isinstance(getattr(frozen, attribute), np.ndarray):
                shape = np.shape(getattr(frozen, attribute))
                assert np.shape(getattr(rest, attribute)) == shape, attribute
    ask = {"method": "exact", "train_indices": [0, 5]}
    if name != "hinge":
        np.testing.assert_allclose(
            rest.influence(X[:4], y[:4], **ask), frozen.influence(X[:4], y[:4], **ask), atol=1e-7
        )
    for again in (pickle.loads(pickle.dumps(rest)), copy.deepcopy(rest)):
        np.testing.assert_array_equal(read(again, X), read(rest, X))
        assert again.without([0]).removal_certificate_.n_rows == len(kept) - 1
    weights = {} if w is None else {"sample_weight": w[GONE]}
    back = rest.with_rows(X[GONE], y[GONE], **weights)
    if name != "huber":
        np.testing.assert_allclose(read(back, X), read(model, X), atol=1e-8)


@pytest.mark.parametrize("name", [name for name in CASES if "unpenalised" not in name])
def test_every_storage_weight_and_penalty(name):
    X, y, w, clf = build(name)
    classes, first = np.unique(y, return_index=True)
    rows = np.setdiff1d(np.arange(12), first)[:5]
    rest = clf.without(rows)
    kept = np.setdiff1d(np.arange(len(y)), rows)
    frozen = clone(rest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen.fit(X[kept], y[kept], sample_weight=None if w is None else w[kept])
    scale = max(1.0, np.abs(frozen.coef_).max())
    np.testing.assert_allclose(rest.coef_, frozen.coef_, atol=1e-7 * scale)
    T = dense(X)
    error = np.abs(read(rest, T) - read(frozen, T)).reshape(len(T), -1).max(axis=1)
    bound = rest.removal_certificate_.prediction_bound(T)
    # The other fit is an optimum to its own tolerance, a gradient of 1e-10.
    assert (error <= 2 * bound + 1e-7 * scale).all()
    assert len(classes) == len(rest.classes_)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(900, 904))
def test_streams_of_removals_and_additions(family, seed):
    found = stream(family, seed)
    assert found.violations == 0
    assert found.drift < 1e-10
    assert found.proven


def test_a_thousand_rows_of_digits_softmax_and_their_groups():
    X, y = load_digits(return_X_y=True)
    X = X[:600] / 16.0
    y = y[:600]
    clf = InfluenceLogisticRegression(C=0.1).fit(X, y)
    rng = np.random.default_rng(0)
    groups = [rng.choice(len(y), size, replace=False) for size in (1, 20, 200)]
    exact = clf.group_influence(groups, X[:5], target="decision_function", method="exact")
    for position, group in enumerate(groups):
        rest = clf.without(group)
        change = rest.decision_function(X[:5]) - clf.decision_function(X[:5])
        np.testing.assert_allclose(exact[:, position], change, atol=1e-8)
        kept = np.setdiff1d(np.arange(len(y)), group)
        other = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
        other.fit(X[kept], y[kept])
        np.testing.assert_allclose(rest.predict_proba(X), other.predict_proba(X), atol=1e-8)
        assert rest.removal_certificate_.n_factors == 0


def test_a_chain_keeps_its_factor_and_works_without_copies():
    X, y = cancer(150)
    model = InfluenceLogisticRegression().fit(X, y)
    names, rest = np.arange(len(y)), model
    for row in (5, 17, 3):
        rest = rest.without([row])
        names = np.delete(names, row)
    certificate = rest.removal_certificate_
    np.testing.assert_array_equal(certificate.remaining, names)
    assert certificate.n_factors == 0
    at_once = model.without(np.setdiff1d(np.arange(len(y)), names))
    assert at_once.removal_certificate_.remaining_hash == certificate.remaining_hash
    np.testing.assert_allclose(rest.coef_, at_once.coef_, atol=1e-10)
    # Nothing is copied until something else is asked, and a pickle has the remaining rows alone.
    assert rest._training_data.stored.X is model._training_data.X
    assert len(pickle.loads(pickle.dumps(rest))._training_data.X) == 147
    assert rest._training_data.stored.X is None
    np.testing.assert_array_equal(rest._training_data.X, X[names])
    # Other parameters are another model.
    rest.set_params(C=2.0)
    with pytest.raises(RuntimeError, match="changed since it was fitted"):
        rest.without([0])


def test_a_kernel_machine_keeps_the_rows_that_remain():
    X, y = regression()
    rest = InfluenceKernelRidge(alpha=0.5, kernel="rbf", gamma=0.1).fit(X, y).without(GONE)
    kept = np.setdiff1d(np.arange(len(y)), GONE)
    refit = InfluenceKernelRidge(alpha=0.5, kernel="rbf", gamma=0.1).fit(X[kept], y[kept])
    assert len(pickle.loads(pickle.dumps(rest)).__fitted_problem__().labels) == len(kept)
    np.testing.assert_allclose(rest.dual_coef_, refit.dual_coef_, atol=1e-9)


def test_it_is_closer_to_the_refit_than_a_fit_by_lbfgs():
    X, y = load_breast_cancer(return_X_y=True)
    X, rows = scale(X), np.arange(0, 569, 7)
    rest = InfluenceLogisticRegression().fit(X, y).without(rows)
    kept = np.setdiff1d(np.arange(569), rows)
    coef, _ = true_optimum(rest, X[kept], y[kept], None)
    loose = LogisticRegression(tol=1e-8, max_iter=10_000).fit(X[kept], y[kept])
    errors = [np.abs(each.coef_ - coef).max() for each in (rest, loose)]
    assert errors[0] < 1e-10
    assert errors[0] < 1e-2 * errors[1]
    assert errors[0] <= rest.removal_certificate_.coefficient_bound < 1e-8


def test_new_factors_where_steps_stop_halving():
    X, y = cancer(569)
    model = InfluenceLogisticRegression(max_iter=1000).fit(X, y)
    wrong_first = np.argsort(model.decision_function(X) * (2 * y - 1))
    for count, method in ((10, "chord"), (60, "chord"), (400, "newton")):
        gone = np.sort(wrong_first[:count])
        rest = model.without(gone)
        certificate = rest.removal_certificate_
        assert certificate.method == method
        assert certificate.n_factors >= 1
        assert bool(certificate.reason) is (method == "newton")
        kept = np.setdiff1d(np.arange(len(y)), gone)
        other = LogisticRegression(tol=1e-12, max_iter=1000, solver="newton-cholesky")
        np.testing.assert_allclose(rest.coef_, other.fit(X[kept], y[kept]).coef_, atol=1e-8)
        assert certificate.coefficient_bound < 1e-7


@pytest.mark.parametrize("name", ["logistic", "ridge"])
def test_checks_of_scikit_learn_pass_on_what_is_left(name):
    estimator, data, _ = ESTIMATORS[name]
    rest = clone(estimator).fit(*data()).without([3])
    check_estimator(rest, on_skip=None)
    assert type(rest) is type(estimator)


def test_names_groups_and_masks():
    X, y = cancer(120)
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(120)])
    frame.columns = [f"x{j}" for j in range(X.shape[1])]
    model = InfluenceLogisticRegression().fit(frame, y)
    mask = np.zeros(120, dtype=bool)
    mask[[4, 9]] = True
    by_mask, by_name = model.without(mask), model.without(row_labels=["row 9", "row 4"])
    np.testing.assert_array_equal(by_mask.coef_, by_name.coef_)
    assert by_name.removal_certificate_.removed.tolist() == ["row 4", "row 9"]
    assert list(by_name.feature_names_in_) == list(frame.columns)
    assert by_name.without(row_labels=["row 5"]).removal_certificate_.n_rows == 117
    person = np.arange(120) // 3
    for asked in ({"rows": [7]}, {"row_labels": [2]}):
        rest = model.without(**asked, groups=person)
        assert rest.removal_certificate_.removed.tolist() == ["row 6", "row 7", "row 8"]
    line = json.loads(rest.removal_certificate_.to_json())
    assert line["removed"] == ["row 6", "row 7", "row 8"]
    assert line["n_rows"] == 117
    assert "remaining" not in line
    assert "\n" not in rest.removal_certificate_.to_json()
    assert "3 rows out, 117 left" in repr(rest.removal_certificate_)
    more = rest.with_rows(frame.iloc[6:9], y[6:9])
    assert more.removal_certificate_.added.tolist() == ["row 6", "row 7", "row 8"]


def test_frozen_settings_are_parameters_of_the_new_model():
    X, y = cancer()
    rest = InfluenceLogisticRegression(class_weight="balanced").fit(X, y).without(GONE)
    wanted = len(y) / (2 * np.bincount(y))
    assert rest.class_weight == pytest.approx(dict(enumerate(wanted)))
    assert rest.removal_certificate_.frozen == {"class_weight": rest.class_weight}
    model = SmoothHingeSVC(kernel="rbf", temperature=0.2).fit(X, y)
    rest = model.without(GONE)
    assert rest.gamma == model.gamma_
    assert model.gamma == "scale"


def test_a_certificate_notices_other_data():
    X, y = cancer()
    rest = InfluenceLogisticRegression().fit(X, y).without([0])
    certificate = rest.removal_certificate_
    right = certificate.verify(X[1:], y[1:])
    assert right.coefficient_bound < 1e-8
    assert right.n_rows == certificate.n_rows
    assert certificate.verify(X, y).parameter_bound > 1e3 * right.parameter_bound
    with pytest.raises(ValueError, match="unseen labels"):
        certificate.verify(X[1:], y[1:] + 5)
    with pytest.raises(ValueError, match="y_rest 3"):
        certificate.verify(X[1:], y[1:4])
    for few in (X[1:, :3], sp.csr_array(X[1:, :3])):
        with pytest.raises(ValueError, match="3 features, but the model has 8: pass them as"):
            certificate.verify(few, y[1:])
        with pytest.raises(ValueError, match="3 features, but the model has 8: pass them as"):
            certificate.prediction_bound(few)
    with pytest.raises(ValueError, match=r"2D array of rows; got an array of shape \(8,\)"):
        certificate.prediction_bound(X[0])


def test_strong_convexity_needs_no_curvature():
    X, y = cancer()
    rest = InfluenceLogisticRegression(fit_intercept=False).fit(X, y).without([0])
    check = rest.removal_certificate_.verify(X[1:], y[1:])
    gradient = rest.__fitted_problem__().objective.gradient
    assert check.gradient_norm >= np.linalg.norm(gradient)
    assert check.parameter_bound <= check.gradient_norm * rest.C * (1 + 1e-12)


def test_pipelines_searches_and_responses():
    X, y = load_breast_cancer(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X, y)
    rest = skinfluence.without(pipe, GONE)
    kept = np.setdiff1d(np.arange(len(y)), GONE)
    frozen = clone(pipe[-1]).fit(pipe[0].transform(X)[kept], y[kept])
    np.testing.assert_allclose(rest[-1].coef_, frozen.coef_, atol=1e-8)
    assert rest[0] is pipe[0]
    assert type(rest) is type(pipe)
    anew = skinfluence.without(pipe, GONE, refit_steps=True, X=X, y=y)
    np.testing.assert_allclose(
        anew.decision_function(X),
        clone(pipe).fit(X[kept], y[kept]).decision_function(X),
        atol=1e-10,
    )
    certificate = anew[-1].removal_certificate_
    assert certificate.method == "refit"
    assert certificate.reason == "all steps were fitted again"
    assert certificate.verify(anew[0].transform(X[kept]), y[kept]).coefficient_bound < 1e-7
    with pytest.raises(ValueError, match="pass all rows and labels"):
        skinfluence.without(pipe, GONE, refit_steps=True)
    with pytest.raises(ValueError, match="should be the 569 rows"):
        skinfluence.without(pipe, GONE, refit_steps=True, X=X[:9], y=y[:9])
    with pytest.raises(ValueError, match=r"^X are not the rows that the model was fitted on"):
        skinfluence.without(pipe, GONE, refit_steps=True, X=X[::-1], y=y)
    single = X.astype(np.float32)  # a decomposition's fit_transform is not quite its transform
    steps = StandardScaler(), PCA(5, svd_solver="randomized", random_state=0)
    reduced = make_pipeline(*steps, InfluenceLogisticRegression()).fit(single, y)
    again = skinfluence.without(reduced, GONE, refit_steps=True, X=single, y=y)
    assert again[-1].removal_certificate_.n_rows == len(kept)
    with pytest.raises(ValueError, match=r"^y are not the labels"):
        skinfluence.without(pipe, GONE, refit_steps=True, X=X, y=1 - y)
    with pytest.raises(ValueError, match=r"^sample_weight are not those"):
        skinfluence.without(pipe, GONE, refit_steps=True, X=X, y=y, sample_weight=1.0 + y)
    with pytest.raises(TypeError, match="refit_steps should be True or False"):
        skinfluence.without(pipe, GONE, refit_steps="yes", X=X, y=y)
    back = skinfluence.with_rows(rest, X[GONE], y[GONE])
    np.testing.assert_allclose(back.decision_function(X), pipe.decision_function(X), atol=1e-8)
    search = GridSearchCV(pipe, {"influencelogisticregression__C": [0.1, 1.0]}).fit(X, y)
    rest = skinfluence.without(search, GONE)
    assert rest.best_params_ == search.best_params_
    C = search.best_estimator_[-1].C
    assert rest.best_estimator_[-1].C == C
    X, y = regression()
    model = TransformedTargetRegressor(InfluenceRidge(), transformer=StandardScaler()).fit(X, y)
    rest = skinfluence.without(model, GONE)
    kept = np.setdiff1d(np.arange(len(y)), GONE)
    z = model.transformer_.transform(y.reshape(-1, 1))[:, 0]
    frozen = InfluenceRidge().fit(X[kept], z[kept])
    np.testing.assert_allclose(rest.regressor_.coef_, frozen.coef_, atol=1e-10)


def test_explainers_of_scikit_learn():
    X, y = cancer()
    pipe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=1000))
    explainer = InfluenceExplainer(pipe).fit(X, y)
    rest = explainer.without(GONE)
    kept = np.setdiff1d(np.arange(len(y)), GONE)
    Z = explainer.estimator_[0].transform(X)
    frozen = InfluenceLogisticRegression().fit(Z[kept], y[kept])
    np.testing.assert_allclose(rest.decision_function(X), frozen.decision_function(Z), atol=1e-8)
    assert rest.estimator_ is not explainer.estimator_
    assert rest.without([3]).removal_certificate_.n_rows == len(kept) - 1
    back = rest.with_rows(X[GONE], y[GONE])
    np.testing.assert_allclose(back.decision_function(X), explainer.decision_function(X), atol=1e-5)
    machine = InfluenceExplainer(SVC(gamma=0.1)).fit(X, y)
    rest = machine.without(GONE)
    np.testing.assert_array_equal(
        rest.decision_function(X), SVC(gamma=0.1).fit(X[kept], y[kept]).decision_function(X)
    )
    assert rest.removal_certificate_.method == "refit"
    assert rest.removal_certificate_.reason


def test_dependent_columns_are_fitted_again():
    X, y = regression()
    X = np.c_[X, X[:, 0] + X[:, 1]]
    model = InfluenceLinearRegression().fit(X, y)
    rest = model.without(GONE)
    kept = np.setdiff1d(np.arange(len(y)), GONE)
    np.testing.assert_allclose(
        rest.predict(X), InfluenceLinearRegression().fit(X[kept], y[kept]).predict(X), atol=1e-10
    )
    assert "dependent" in rest.removal_certificate_.reason


def test_sparse_rows_far_from_zero_join():
    rng = np.random.default_rng(0)
    X = np.c_[rng.integers(1990, 2020, 200), rng.normal(size=(200, 3))].astype(float)
    y = (X[:, 1] + rng.normal(size=200) > 0).astype(int)
    whole = InfluenceLogisticRegression(max_iter=10_000).fit(X, y)
    for storage in (np.asarray, sp.csr_array):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = InfluenceLogisticRegression().fit(storage(X[20:]), y[20:])
        more = model.with_rows(storage(X[:20]), y[:20])
        np.testing.assert_allclose(more.coef_, whole.coef_, atol=1e-7)
        again = pickle.loads(pickle.dumps(more))
        np.testing.assert_allclose(dense(again._training_data.X), np.r_[X[20:], X[:20]])
        assert again.influence(storage(X[:2]), y[:2]).shape == (2, 200)


def test_a_precomputed_kernel_loses_rows_and_columns():
    X, y = cancer(80)
    K = X @ X.T + 1.0
    model = KernelLogisticRegression(kernel="precomputed").fit(K, y)
    rest = model.without([2, 30])
    kept = np.setdiff1d(np.arange(80), [2, 30])
    frozen = clone(model).fit(K[np.ix_(kept, kept)], y[kept])
    np.testing.assert_allclose(
        rest.decision_function(K[:, kept]), frozen.decision_function(K[:, kept]), atol=1e-8
    )
    assert rest.n_features_in_ == 78
    with pytest.raises(NotImplementedError, match="precomputed"):
        rest.with_rows(K[:2][:, kept], y[:2])


def test_mirrored_influence_is_first_order():
    X, y = cancer()
    Xi, yi = iris()
    w = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    weighted = {"sample_weight": w}
    models = [
        (InfluenceLogisticRegression(class_weight="balanced"), X, y, weighted),
        (InfluenceLogisticRegression(), Xi, yi, {}),
        (InfluencePoissonRegressor(alpha=0.1), *counts(), {}),
        (InfluenceRidge(), *two_responses(), {}),
        (InfluenceElasticNet(alpha=0.05), *regression(), {}),
        (KernelLogisticRegression(), X, y, weighted),
        (InfluenceLogisticRegression(), sp.csr_array(X), y, {}),
    ]
    for model, X, y, weights in models:
        model.fit(X, y, **weights)
        parts = [slice(0, 40), slice(40, 41), slice(41, len(y))]
        blocks = [(X[part], y[part], *(each[part] for each in weights.values())) for part in parts]
        targets = ["loss", "decision_function" if hasattr(model, "classes_") else "squared_error"]
        for target in targets:
            found = skinfluence.mirrored_influence(model, X[:7], y[:7], iter(blocks), target=target)
            wanted = model.influence(X[:7], y[:7], target=target, method="first_order")
            np.testing.assert_allclose(found, wanted, atol=1e-10 * np.abs(wanted).max())
    with pytest.raises(ValueError, match="no block"):
        skinfluence.mirrored_influence(model, X[:2], y[:2], [])
    with pytest.raises(TypeError, match=r"stream should be an iterable of blocks \(X, y\).*got 3"):
        skinfluence.mirrored_influence(model, X[:2], y[:2], 3)
    with pytest.raises(ValueError, match="should yield blocks"):
        skinfluence.mirrored_influence(model, X[:2], y[:2], [dense(X)])
    with pytest.raises(ValueError, match="y of block 0 contains previously unseen"):
        skinfluence.mirrored_influence(model, X[:2], y[:2], [(X[:2], [7, 8])])
    with pytest.raises(ValueError, match="inconsistent numbers"):
        skinfluence.mirrored_influence(model, X[:2], y[:2], [(X[:2], y[:3])])


def test_bad_removals_say_what_is_wrong():
    X, y = cancer(60)
    model = InfluenceLogisticRegression().fit(X, y)
    for arguments, message in (
        ({}, "got neither"),
        ({"rows": [1], "row_labels": [1]}, "got both"),
        ({"rows": []}, "no row is named"),
        ({"rows": np.zeros(60, dtype=bool)}, "no row is named"),
        ({"rows": [60]}, "rows should lie in"),
        ({"rows": [0.5]}, "rows should be a 1-D array"),
        ({"rows": np.arange(60)}, "all 60 training rows"),
        ({"rows": [1], "groups": np.zeros(3)}, "one label for each of the 60"),
        ({"rows": [1], "groups": [[1, 2], [3]]}, "groups should hold one label for each"),
        ({"groups": y}, "got neither"),
        ({"rows": 3}, "rows should be a 1-D array"),
        ({"rows": np.ones(3, dtype=bool)}, "a boolean mask of length 60"),
        ({"row_labels": ["a"]}, "fit was given none"),
        ({"row_labels": [9], "groups": y}, "not in groups: 9"),
        ({"rows": np.flatnonzero(y == 1)}, "class 1 has no row left"),
    ):
        with pytest.raises(ValueError, match=message):
            model.without(**arguments)
    with pytest.raises(ValueError, match="unseen labels"):
        model.with_rows(X[:1], [5])
    with pytest.raises(ValueError, match=r"sample_weight should have shape \(2,\)"):
        model.with_rows(X[:2], y[:2], sample_weight=[1.0])
    with pytest.raises(ValueError, match="weights of at least 0; got -1 at row 1"):
        model.with_rows(X[:2], y[:2], sample_weight=[1.0, -1.0])
    with pytest.raises(ValueError, match="y_new should be finite"):
        InfluenceRidge().fit(X, y).with_rows(X[:1], [np.nan])
    with pytest.raises(ValueError, match="X_new has 2 rows, y_new 1"):
        model.with_rows(X[:2], y[:1])
    with pytest.raises(ValueError, match="features"):
        model.with_rows(X[:2, :3], y[:2])
    frame = pd.DataFrame(X, index=np.arange(100, 160))
    with pytest.raises(ValueError, match="not in the index of the training rows: 1000"):
        InfluenceRidge().fit(frame, y).without(row_labels=[1000, 101])
    with pytest.raises(ValueError, match="4 are left, fewer than the 9 coefficients"):
        InfluenceLinearRegression().fit(X, y).without(np.arange(56))
    z = np.zeros(60)
    z[:2] = 3.0
    with pytest.raises(ValueError, match="no row with a positive response is left"):
        InfluencePoissonRegressor(alpha=0.5).fit(X, z).without([0, 1])
    x = np.r_[np.arange(30.0), 12.5][:, None]
    t = np.r_[np.zeros(15), np.ones(15), 1.0].astype(int)
    free = InfluenceLogisticRegression(C=np.inf, tol=1e-8).fit(x, t)
    with pytest.raises(np.linalg.LinAlgError, match="the fit diverges"):
        free.without([30])
    changed = X.copy()
    model = InfluenceLogisticRegression().fit(changed, y)
    rest = model.without([0])
    changed[0] = 0.0  # a row that has left may be erased
    assert rest.without([0]).removal_certificate_.n_rows == 58
    changed[5] = 0.0
    with pytest.raises(RuntimeError, match=r"changed since the fit \(row 5\)"):
        rest.without([0])
    refused = InfluenceRidge(positive=True).fit(X, y)
    with pytest.raises(NotImplementedError):
        refused.without([0])


@pytest.mark.parametrize("storage", [np.asarray, np.float32, sp.csr_array])
def test_rows_are_checked_as_the_refit_reads_them(storage):
    """An edit in any block of rows, of a label or a weight is named, in what has left is not."""
    rng = np.random.default_rng(3)
    X, weight = rng.normal(size=(700, 4)), rng.uniform(0.5, 2.0, 700)
    y = (X[:, 0] + rng.normal(size=700) > 0).astype(int)
    X = storage(X)
    model = InfluenceLogisticRegression().fit(X, y, sample_weight=weight)
    values = X.data.reshape(700, 4) if hasattr(X, "tocsr") else X
    for edited, row in ((values[:, 2], 650), (y, 300), (weight, 2)):
        before = edited[row]
        edited[row] = np.nextafter(before, 9) if edited.dtype.kind == "f" else 1 - before
        with pytest.raises(RuntimeError, match=rf"changed since the fit \(row {row}\)"):
            model.without([0, 699])
        rest = model.fit(X, y, sample_weight=weight).without([row])
        edited[row] = before  # of a row that has left
        assert rest.without([1]).removal_certificate_.n_rows == 698
        model.fit(X, y, sample_weight=weight)
    values[:] = np.inf
    with pytest.raises(RuntimeError, match="changed since the fit"), np.errstate(all="ignore"):
        model.without([5])


def test_scikit_learn_estimators_have_no_rows_to_leave():
    X, y = regression()
    with pytest.raises(TypeError, match="keep its training data"):
        skinfluence.without(Ridge().fit(X, y), [0])


@pytest.mark.parametrize("C", [0.01, 0.1, 1.0, 100.0])
def test_a_model_with_a_moved_row_answers(C):
    """The last step of a chord leaves 1e-8 to 1e-6 of the gradient's terms, not evaluated."""
    X, y = load_digits(return_X_y=True)
    X, y = X[np.isin(y, (3, 8))] / 16, y[np.isin(y, (3, 8))]
    rng, clf = np.random.default_rng(0), InfluenceLogisticRegression(C=C).fit(X, y)
    for row in range(6):
        moved = X[[row]] + 0.3 * rng.choice([-1, 1], size=(1, 64))
        new = clf.without([row]).with_rows(moved, y[[row]])
        rest = np.arange(len(y)) != row
        X_new, y_new = np.vstack([X[rest], moved]), np.append(y[rest], y[row])
        refit = InfluenceLogisticRegression(C=C).fit(X_new, y_new)
        found, expected = (m.influence(X[:3], y[:3], method="exact") for m in (new, refit))
        np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())
        with pytest.raises(RuntimeError, match="have changed"):
            new.set_params(C=1.5 * C).influence(X[:3], y[:3])


# -- the factor at hand, and the last step ---------------------------------------------------------


def wide(n=900, p=330, seed=0):
    """(X, y) of so many columns that the products of many rows are taken in float32."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) / np.sqrt(p)
    return X, (X @ rng.standard_normal(p) + rng.logistic(size=n) > 0).astype(int)


def test_products_in_float32_are_part_of_the_bound():
    X, y = wide(n=2200)
    kind = {"C": 0.2, "solver": "newton-cholesky"}
    clf = InfluenceLogisticRegression(**kind).fit(X, y)
    rows = np.arange(1200)
    # The factor of the rest is off by float32's rounding, and knows by how much at most.
    fit = clf._live_fit()
    factor = fit._factor().reweighted(rows, -np.ones(1200), fit.objective.design.take(rows))
    rest = factor.objective
    hessian = rest.loss_hessian() + np.diag(rest.hessian_diagonal)
    off = np.linalg.norm(factor.hessian - hessian, 2)
    assert 1e-12 * np.linalg.norm(hessian, 2) < off < factor.off
    share = factor.off * factor.variances()[1]
    assert share < 0.01
    relative = np.linalg.eigvals(np.linalg.solve(hessian, factor.hessian)).real
    assert (1 - 2 * share) * relative.max() <= 1 <= relative.min() / (1 - share)
    # The chord does not need its last digits, and the bound holds with the share of it.
    left = clf.without(rows)
    again = left.without(np.arange(300)).with_rows(X[:50], y[:50])
    for model, kept in ((left, np.arange(1200, 2200)), (again, np.r_[1500:2200, 0:50])):
        refit = InfluenceLogisticRegression(**kind).fit(X[kept], y[kept])
        error = np.abs(model.coef_ - refit.coef_).max()
        assert error < 1e-10
        certificate = model.removal_certificate_
        assert error < certificate.coefficient_bound < 1e-7
        assert certificate.n_factors == 0


def test_float32_is_not_taken_where_it_would_be_felt():
    X, y = wide()
    rows, delta = np.arange(350), -np.ones(350)
    for C, exact in ((0.2, False), (1e4, True)):
        clf = InfluenceLogisticRegression(C=C, solver="newton-cholesky", max_iter=500).fit(X, y)
        objective = clf.__fitted_problem__().objective
        factor = JointFactor.at(objective).reweighted(rows, delta, objective.design.take(rows))
        assert (factor.off == 0) is exact
    overflowing = objective.design.like(1e20 * X).in_single_precision()
    assert overflowing.gram_rounding(np.ones(900)) == np.inf
    ridge = InfluenceRidge(50.0).fit(X, y)
    fit = ridge._live_fit()
    exact = fit._factor().reweighted(rows, delta, fit.objective.design.take(rows))
    assert exact.off == 0


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_of_a_factor_that_is_off(seed):
    """A matrix up to a fifth off, and a last step that is none of its own: the distance holds."""
    rng = np.random.default_rng(seed)
    n, p = 150, int(rng.integers(2, 7))
    X = rng.standard_normal((n, p))
    y = rng.poisson(np.exp(0.4 * X[:, 0])) if seed % 2 else (X[:, 0] + rng.logistic(size=n) > 0)
    kind = InfluencePoissonRegressor if seed % 2 else InfluenceLogisticRegression
    setting = {"alpha": 0.1} if seed % 2 else {"C": 0.5}
    model = kind(**setting, solver="newton-cholesky").fit(X, y.astype(int))
    objective = model.__fitted_problem__().objective
    optimum = polish(objective, tolerance=1e-16, max_steps=20).objective.theta
    objective = objective.at(optimum + 1e-3 * rng.standard_normal(optimum.shape))
    hessian = objective.loss_hessian() + np.diag(objective.hessian_diagonal)
    smallest = np.linalg.eigvalsh(hessian)[0]
    for size in (0.0, 0.02, 0.2):
        turned = np.linalg.qr(rng.standard_normal((p + 1, p + 1)))[0]
        signs = rng.choice([-1.0, 1.0], p + 1)
        error = size * smallest * (turned * signs) @ turned.T
        base = FactoredHessian(hessian + error)
        factor = JointFactor(objective, base, off=np.linalg.norm(error, 2))
        plain = factor.solve(-objective.gradient.reshape(-1, 1))[:, 0]
        length = float(np.sqrt(-plain @ objective.gradient.ravel()))
        for other in (0.0, 0.1):
            moved = other * length * rng.standard_normal(p + 1) / np.sqrt(np.diag(hessian))
            apart = float(np.sqrt(moved @ factor.hessian @ moved))
            known = objective, factor, length, 0.0
            found = bound_from(*known, stepped=True, apart=apart)
            end = objective.theta + (plain + moved).reshape(optimum.shape)
            assert np.linalg.norm(end - optimum) <= found.parameter
            assert np.abs(end - optimum).max() <= found.coefficient
            if size == 0.0:
                at = bound_from(*known, stepped=False)
                assert np.linalg.norm(objective.theta - optimum) <= at.parameter
    far = replace_off(factor, 1e3 * smallest)
    assert bound_from(objective, far, length, 0.0, stepped=True).coefficient == np.inf


def replace_off(factor, off):
    """The same factor, of which less is known."""
    return JointFactor(factor.objective, factor.base, off=off)


def test_the_difference_of_the_steps_of_a_chord():
    """What H makes of a step is known without a product, for the norm of the difference."""
    X, y = wide(n=300, p=12)
    objective = InfluenceLogisticRegression(C=1.0).fit(X, y).__fitted_problem__().objective
    factor = JointFactor.at(objective)
    hessian = objective.loss_hessian() + np.diag(objective.hessian_diagonal)
    rng, pairs = np.random.default_rng(0), PairsOfOneFactor(starts_here=True)
    theta = objective.theta + 0.05 * rng.standard_normal(objective.theta.shape)
    for _ in range(4):
        at = objective.at(theta)
        move = pairs.next_step(at.gradient, factor)
        difference = move.step - move.plain
        assert move.apart == pytest.approx(np.sqrt(difference @ hessian @ difference), abs=1e-14)
        assert move.length == pytest.approx(np.sqrt(move.plain @ hessian @ move.plain))
        theta = theta + move.step.reshape(theta.shape)
    first = objective.at(objective.theta + 0.05).gradient
    assert np.abs(objective.at(theta).gradient).max() < 1e-5 * np.abs(first).max()


def test_a_loose_bound_is_worth_another_pass(monkeypatch):
    """Every coefficient is proven within 1e-8, where passes can do that, and no factor is made."""
    X, y = wide(n=600, p=30)
    clf = InfluenceLogisticRegression(C=10.0, solver="newton-cholesky").fit(5.0 * X, y)
    loose = 0
    for start in range(0, 120, 8):
        rows = np.arange(start, start + 8)
        with monkeypatch.context() as patch:
            patch.setattr("skinfluence.deletion._joint_chord.MAX_MORE", 0)
            patch.setattr("skinfluence.robustness._removal.LOOSE", 1.0)
            first = clf.without(rows).removal_certificate_
        certificate = clf.without(rows).removal_certificate_
        assert certificate.coefficient_bound < 1e-8
        assert certificate.n_factors == 0
        more = int(first.coefficient_bound > 1e-8)
        assert certificate.n_passes == first.n_passes + more
        loose += more
    assert 0 < loose < 15


def test_the_curvature_at_the_end_of_the_first_step():
    """Twice the change of a gradient less H d is what the curvature at the end makes of d."""
    ratios = []
    for seed in range(5):
        X, y = wide(n=1000, p=40, seed=seed)
        X = 5.0 * X
        clf = InfluenceLogisticRegression(C=1.0, solver="newton-cholesky").fit(X, y)
        rows, delta = np.arange(60), -np.ones(60)
        fit = clf._live_fit()
        design = fit.objective.design.take(rows)
        factor = fit._factor().reweighted(rows, delta, design)
        start = joint_gradient(fit.objective, rows, delta, design)
        lengths = []
        for here in (True, False):
            pairs, at = PairsOfOneFactor(starts_here=here), factor.objective
            move = pairs.next_step(start, factor)
            for _ in range(2):
                at = at.at(at.theta + move.step.reshape(at.theta.shape))
                move = pairs.next_step(at.gradient, factor)
            lengths.append(move.length)
        ratios.append(lengths[0] / lengths[1])
    assert max(ratios) < 0.9
    assert np.median(ratios) < 0.7


@pytest.mark.parametrize("sparse", [False, True])
def test_the_bound_of_predictions_has_the_rounding_of_predict(sparse):
    """Columns at 1e6: coefficients are right to 1e-15, x'coef + intercept to 1e-10."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(20, 2)) + 1e6, rng.normal(size=(40, 2)) + 1e6
    y = rng.normal(size=20) + X[:, 0] - 1e6
    given = sp.csr_array(X) if sparse else X
    rest = InfluenceLinearRegression().fit(given, y).without([0, 1])
    bound = rest.removal_certificate_.prediction_bound(sp.csr_array(T) if sparse else T)
    # Differences to 1e6 are exact in float64, so that these refits are right to 1e-15.
    exact = LinearRegression().fit(X[2:] - 1e6, y[2:]).predict(T - 1e6)
    error = np.abs(rest.predict(T) - exact)
    assert error.max() > 1e-13
    assert (error <= bound).all()
    assert bound.max() < 1e-8
