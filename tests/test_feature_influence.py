"""Gradients in the features, and moves of rows, against refits."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC

from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    SmoothQuantileRegressor,
    explain,
)
from skinfluence.design import KernelGradients, KernelSpace
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem, responses, weights

ROWS = [0, 7, 33]
SMOOTH = {"temperature": 0.2}
POLY = {"kernel": "poly", "degree": 2, "coef0": 1.0, **SMOOTH}
# name: (model, kind of labels, target)
MODELS = {
    "logistic": (InfluenceLogisticRegression(), 2, "loss"),
    "logistic, no intercept": (InfluenceLogisticRegression(fit_intercept=False), 2, "margin"),
    "balanced": (InfluenceLogisticRegression(class_weight="balanced"), 2, "loss"),
    "softmax": (InfluenceLogisticRegression(), 3, "loss"),
    "softmax probabilities": (InfluenceLogisticRegression(), 3, "predict_proba"),
    "ridge": (InfluenceRidge(alpha=0.7), "real", "loss"),
    "ridge classifier": (InfluenceRidgeClassifier(), 3, "loss"),
    "poisson": (InfluencePoissonRegressor(alpha=0.1), "count", "loss"),
    "gamma": (InfluenceGammaRegressor(alpha=0.1), "positive", "prediction"),
    "elastic net": (InfluenceElasticNet(alpha=0.02), "real", "loss"),
    "huber": (InfluenceHuberRegressor(alpha=0.1, max_iter=5000), "real", "prediction"),
    "quantile": (SmoothQuantileRegressor(alpha=0.0, temperature=0.5), "real", "prediction"),
    "smooth hinge": (SmoothHingeSVC(**SMOOTH), 2, "loss"),
    "smooth hinge rbf": (SmoothHingeSVC(kernel="rbf", **SMOOTH), 2, "margin"),
    "smooth hinge rbf, three": (SmoothHingeSVC(kernel="rbf", **SMOOTH), 3, "decision_function"),
    "smooth hinge poly": (SmoothHingeSVC(**POLY), 2, "loss"),
    "smooth hinge poly, no bias": (SmoothHingeSVC(fit_intercept=False, **POLY), 2, "loss"),
    "kernel logistic, no bias": (
        KernelLogisticRegression(kernel="rbf", gamma=0.2, fit_intercept=False),
        3,
        "loss",
    ),
    "svr rbf": (SmoothEpsilonSVR(kernel="rbf", **SMOOTH), "real", "loss"),
    "kernel ridge": (InfluenceKernelRidge(kernel="rbf", gamma=0.3), "real", "loss"),
    "kernel ridge, default gamma": (
        InfluenceKernelRidge(kernel="polynomial", fit_intercept=True),
        "two",
        "prediction",
    ),
    "kernel ridge, linear": (InfluenceKernelRidge(), "real", "loss"),
}


def data(kind, seed=0):
    """(X, y, sample_weight, X_test, y_test) of a kind of labels."""
    if kind in (2, 3):
        X, y = problem(seed, n_classes=kind)
    else:
        X, y = responses(seed, counts=kind == "count")
        y = np.exp(0.3 * y) if kind == "positive" else y
        y = np.c_[y, X[:, 0] - y] if kind == "two" else y
    X_test = np.random.default_rng(seed + 1).normal(size=(5, X.shape[1]))
    return X, y, weights(seed, len(X)), X_test, y[:5]


def at_test(model, X_test, y_test, target):
    """Values of a target at test rows, class axis last."""
    fitted = model.__fitted_problem__()
    query = fitted.query(X_test, y_test, target, "newton")
    return np.asarray(query.target.value(query.y, fitted.objective.native(query.eta)))


def with_frozen_gamma(model):
    """Clone of a fitted model, with "scale" as the number that it was."""
    frozen = clone(model)
    if getattr(model, "gamma", None) == "scale" and model.kernel != "linear":
        frozen.set_params(gamma=model.gamma_)
    if getattr(model, "class_weight", None) == "balanced":
        # As numbers: scikit-learn 1.6 computes them from counts of rows, later ones from weights.
        problem = model.__fitted_problem__()
        ratio = problem.objective.sample_weight / problem.sample_weight
        used = problem.sample_weight > 0
        of_class = {c: ratio[used & (problem.labels == c)][0] for c in model.classes_.tolist()}
        frozen.set_params(class_weight=of_class)
    return frozen


def refit_differences(model, X, y, w, X_test, y_test, target, rows, step=1e-4):
    """Central differences, (n_test, r, p) or (n_test, r, p, O), by refits."""
    model = with_frozen_gamma(model)

    def moved(row, column, size):
        Z = X.copy()
        Z[row, column] += size
        return at_test(clone(model).fit(Z, y, w), X_test, y_test, target)

    found = []
    for row in rows:
        each = []
        for column in range(X.shape[1]):
            each.append((moved(row, column, step) - moved(row, column, -step)) / (2 * step))
        found.append(np.stack(each, axis=1))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_refits(name):
    model, kind, target = MODELS[name]
    X, y, w, X_test, y_test = data(kind)
    model = clone(model).fit(X, y, w)
    labels = None if target in ("prediction", "predict_proba", "decision_function") else y_test
    found = model.feature_influence(X_test, labels, target=target, train_indices=ROWS)
    expected = refit_differences(model, X, y, w, X_test, labels, target, ROWS)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    for aggregate, sums in (("mean", found.mean(axis=0)), ("sum", found.sum(axis=0))):
        total = model.feature_influence(
            X_test, labels, target=target, train_indices=ROWS, aggregate=aggregate
        )
        np.testing.assert_allclose(total, sums, rtol=1e-9, atol=1e-12 * np.abs(found).max())


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "polynomial", "sigmoid"])
@pytest.mark.parametrize("gamma", [None, 0.4])
def test_gradients_of_kernels_are_differences(kernel, gamma):
    rng = np.random.default_rng(0)
    X, other, C = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.normal(size=(6, 4))
    options = {"gamma": gamma, "degree": 3, "coef0": 0.3}
    name = partial(pairwise_kernels, metric=kernel, filter_params=True, **options)
    space = KernelSpace(X, "linear" if kernel == "sigmoid" else name)  # indefinite
    space.kernel, space.options = (kernel, options) if kernel == "sigmoid" else (name, {**options})

    def functions(Z):
        return C @ pairwise_kernels(other, Z, metric=kernel, filter_params=True, **options)

    expected = np.empty((6, 3))
    each = np.empty((4, 6, 3))
    for j, unit in enumerate(1e-5 * np.eye(3)):
        expected[:, j] = np.diag(functions(X + unit) - functions(X - unit)) / 2e-5
        k = [
            pairwise_kernels(other, X + s * unit, metric=kernel, filter_params=True, **options)
            for s in (1, -1)
        ]
        each[:, :, j] = (k[0] - k[1]) / 2e-5 * C.T
    found = KernelGradients(space, other, X)
    np.testing.assert_allclose(found.sums(C), expected, atol=1e-8)
    np.testing.assert_allclose(found.each(C), each, atol=1e-8)


def coefficients(model, p):
    """(X, read) with which target decision_function gives the coefficients and the intercept."""
    X = np.vstack([np.zeros(p), np.eye(p)])
    return X, lambda values: np.concatenate([values[:1], values[1:] - values[:1]])


@pytest.mark.parametrize(
    "name", ["logistic", "logistic, no intercept", "softmax", "poisson", "ridge", "smooth hinge"]
)
@pytest.mark.parametrize("storage", ["dense", "csr", "float32"])
def test_exact_moves_are_refits(name, storage):
    model, kind, _ = MODELS[name]
    X, y, w, _, _ = data(kind)
    if storage == "csr":
        X = sp.csr_array(np.where(np.abs(X) > 0.3, X, 0.0))
    X = X.astype(np.float32) if storage == "float32" else X
    rng = np.random.default_rng(1)
    displacement = 0.7 * rng.normal(size=(len(ROWS), X.shape[1]))
    model = clone(model).fit(X, y, w)
    moved = model.__fitted_problem__()
    for position, row in enumerate(ROWS):
        Z = X.toarray() if storage == "csr" else X.copy()
        Z[row] = (Z[row].astype(float) + displacement[position]).astype(Z.dtype)
        Z = sp.csr_array(Z) if storage == "csr" else Z
        refit = clone(model).fit(Z, y, w).__fitted_problem__().objective
        there = refit.design.about_zero(refit.theta)
        here = moved.objective.design.about_zero(moved.objective.theta)
        X_unit, read = coefficients(model, X.shape[1])
        X_unit = X_unit.astype(X.dtype)
        target = "prediction" if kind in ("real", "count") else "decision_function"
        if kind == "count":  # of the logarithm
            target = np_log_target()
        found = model.feature_influence(
            X_unit, target=target, method="exact", displacement=displacement, train_indices=ROWS
        )[:, position]
        change = np.atleast_2d((there - here).T)
        expected = change[:-1] if model.fit_intercept else change
        got = read(found.reshape(len(found), -1))
        scale = max(1.0, np.abs(here).max())
        np.testing.assert_allclose(got[1:], expected, atol=1e-8 * scale)
        if model.fit_intercept:
            off = got[0] - change[-1]
            off = off - off.mean() if len(off) > 1 else off  # one number for all says nothing
            np.testing.assert_allclose(off, 0.0, atol=1e-8 * scale)


def np_log_target():
    """The linear predictor of a model with a log link, as a target."""
    from skinfluence.deletion.targets import Target

    class Predictor(Target):
        name, needs_labels = "predictor", False

        def value(self, y, eta):
            return eta

        def gradient(self, y, eta):
            return np.ones_like(eta)

    return Predictor()


KERNELS = ["smooth hinge rbf", "smooth hinge rbf, three", "smooth hinge poly", "svr rbf"]


@pytest.mark.parametrize("name", [*KERNELS, "kernel ridge"])
@pytest.mark.parametrize("storage", ["dense", "csr"])
def test_exact_moves_of_kernel_machines_are_refits(name, storage):
    model, kind, target = MODELS[name]
    X, y, w, X_test, y_test = data(kind)
    if storage == "csr":
        X = sp.csr_array(np.where(np.abs(X) > 0.3, X, 0.0))
    displacement = np.array([0.4, -0.3, 0.0, 0.5])
    model = clone(model).fit(X, y, w)
    labels = None if target == "decision_function" else y_test
    asked = {"target": target, "train_indices": ROWS, "displacement": displacement}
    found = model.feature_influence(X_test, labels, method="exact", **asked)
    before = at_test(model, X_test, labels, target)
    for position, row in enumerate(ROWS):
        Z = X.toarray() if storage == "csr" else X.copy()
        Z[row] += displacement
        refit = with_frozen_gamma(model).fit(sp.csr_array(Z) if storage == "csr" else Z, y, w)
        after = at_test(refit, X_test, labels, target)
        np.testing.assert_allclose(found[:, position], after - before, atol=1e-7)
    auto = model.feature_influence(X_test, labels, **asked)
    np.testing.assert_allclose(auto, found, atol=1e-7)


@pytest.mark.parametrize("method", ["newton", "exact", "auto"])
def test_a_move_that_separates_unpenalised_data_is_undefined(method):
    x = np.r_[np.arange(30.0), 12.5][:, None]
    y = np.r_[np.zeros(15), np.ones(16)].astype(int)
    clf = InfluenceLogisticRegression(C=np.inf, tol=1e-8).fit(x, y)
    move = np.r_[np.zeros(30), 5.0][:, None]  # the one label among the others
    with pytest.warns(RuntimeWarning, match="row 30"):
        found = clf.feature_influence(x[:2], y[:2], displacement=move, method=method)
    assert np.isnan(found[:, 30]).all()
    np.testing.assert_allclose(found[:, :30], 0.0, atol=1e-9)  # these rows stay where they are


def test_a_short_move_is_the_gradient_along_it():
    # Coordinates of a kernel are known to 1e-6: moves of that size are not.
    for name, step in (("softmax", 1e-4), ("smooth hinge rbf", 1e-2), ("kernel ridge", 1e-2)):
        model, kind, target = MODELS[name]
        X, y, w, X_test, y_test = data(kind)
        model = clone(model).fit(X, y, w)
        direction = np.random.default_rng(0).normal(size=(len(X), X.shape[1]))
        gradient = model.feature_influence(X_test, y_test, target=target)
        along = np.einsum("tij,ij->ti", gradient, direction)
        for method in ("first_order", "newton", "exact"):
            options = {"target": target, "method": method}
            up, down = (
                model.feature_influence(X_test, y_test, displacement=h * direction, **options)
                for h in (step, -step)
            )
            error = np.abs((up - down) / (2 * step) - along).max()
            assert error <= 20 * step * np.abs(along).max(), (name, method)


def test_the_implicit_step_is_closer_than_the_first_order_one():
    X, y = problem(3, n=200)
    model = InfluenceLogisticRegression().fit(X, y)
    displacement = np.random.default_rng(0).normal(size=X.shape)
    found = {
        method: model.feature_influence(X[:9], y[:9], displacement=displacement, method=method)
        for method in ("first_order", "newton", "exact", "auto")
    }
    np.testing.assert_allclose(found["auto"], found["exact"], atol=1e-9)
    size = np.linalg.norm(found["exact"])
    errors = {name: np.linalg.norm(found[name] - found["exact"]) / size for name in found}
    assert errors["newton"] < 0.5 * errors["first_order"], errors


@pytest.mark.parametrize(
    ("name", "shift"), [("logistic", 2.0**20), ("softmax", 2.0**20), ("smooth hinge rbf", 2.0**8)]
)
def test_columns_far_from_zero(name, shift):
    model, kind, target = MODELS[name]
    X, y, w, X_test, y_test = data(kind)
    X, X_test = np.round(X, 6), np.round(X_test, 6)
    near = clone(model).fit(X, y, w)
    gamma = getattr(near, "gamma_", None)
    model = clone(model).set_params(**({} if gamma is None else {"gamma": gamma}))
    far = clone(model).fit(X + shift, y, w)
    for options in ({}, {"displacement": [0.5, 0.0, -0.25, 0.0], "method": "exact"}):
        found = far.feature_influence(X_test + shift, y_test, target=target, **options)
        expected = near.feature_influence(X_test, y_test, target=target, **options)
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_storages_give_one_answer():
    X, y, w, X_test, y_test = data(3)
    X, X_test = (np.where(np.abs(Z) > 0.4, Z, 0.0) for Z in (X, X_test))
    expected = InfluenceLogisticRegression().fit(X, y, w).feature_influence(X_test, y_test)
    sparse = InfluenceLogisticRegression().fit(sp.csr_matrix(X), y, w)
    np.testing.assert_allclose(
        sparse.feature_influence(sp.csr_matrix(X_test), y_test), expected, atol=1e-9
    )
    moved = sparse.feature_influence(
        sp.csr_matrix(X_test), y_test, displacement=sp.csr_array(0.5 * X[::-1]), method="exact"
    )
    dense = InfluenceLogisticRegression().fit(X, y, w)
    np.testing.assert_allclose(
        moved,
        dense.feature_influence(X_test, y_test, displacement=0.5 * X[::-1], method="exact"),
        atol=1e-8,
    )
    single = InfluenceLogisticRegression().fit(X.astype(np.float32), y, w)
    found = single.feature_influence(X_test.astype(np.float32), y_test)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    for kernel in ("rbf", "poly"):
        options = {"kernel": kernel, "gamma": 0.2, "coef0": 1.0, "temperature": 0.2}
        model = SmoothHingeSVC(**options).fit(X, y, w)
        sparse = SmoothHingeSVC(**options).fit(sp.csr_matrix(X), y, w)
        np.testing.assert_allclose(
            sparse.feature_influence(sp.csr_matrix(X_test), y_test),
            model.feature_influence(X_test, y_test),
            atol=1e-8,
        )


def test_rows_without_weight_have_no_gradient():
    X, y, w, X_test, y_test = data(2)
    w[:3] = 0.0
    for model in (InfluenceLogisticRegression(), SmoothHingeSVC(kernel="rbf", **SMOOTH)):
        found = model.fit(X, y, w).feature_influence(X_test, y_test)
        assert not found[:, :3].any()
        assert found[:, 3:].any()
        moved = model.feature_influence(X_test, y_test, displacement=np.ones(X.shape[1]))
        assert not moved[:, :3].any()
        assert moved[:, 3:].any()


def test_hinge_trained_machines():
    # The gradient is that of the surrogate hinge near the machine's own optimum. Rows away from
    # the margin have none, those at the margin that of the refit to the surrogate's width.
    X, y = problem(1, n=60)
    model = SVC(kernel="rbf", gamma=0.2, tol=1e-8).fit(X, y)
    explainer = InfluenceExplainer(FrozenEstimator(model)).fit(X, y)
    found = explainer.feature_influence(X[:5], target="decision_function")
    expected = np.zeros_like(found)
    for row in model.support_:
        for column in range(X.shape[1]):
            values = []
            for step in (1e-4, -1e-4):
                Z = X.copy()
                Z[row, column] += step
                values.append(clone(model).fit(Z, y).decision_function(X[:5]))
            expected[:, row, column] = (values[0] - values[1]) / 2e-4
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


def test_a_kernel_ridge_of_scikit_learn():
    X, y, _, X_test, y_test = data("real")
    mine = InfluenceKernelRidge(kernel="rbf", gamma=0.3).fit(X, y)
    explainer = InfluenceExplainer(KernelRidge(kernel="rbf", gamma=0.3)).fit(X, y)
    np.testing.assert_allclose(
        explainer.feature_influence(X_test, y_test),
        mine.feature_influence(X_test, y_test),
        atol=1e-10,
    )


# -- through the steps of a pipeline ---------------------------------------------------------------


class Squared(TransformerMixin, BaseEstimator):
    """Columns and their squares, with a derivative."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.hstack([X, X**2])

    def input_vjp(self, X, cotangent):
        p = X.shape[1]
        return cotangent[:, :p] + 2 * X * cotangent[:, p:]


STEPS = {
    "scaler": [StandardScaler()],
    "scaler, PCA": [StandardScaler(), PCA(3, whiten=True)],
    "scalers, selection": [MinMaxScaler(), RobustScaler(), SelectKBest(f_classif, k=2)],
    "passthrough": ["passthrough", FunctionTransformer(), MaxAbsScaler()],
    "columns": [
        ColumnTransformer(
            [("b", StandardScaler(), [2, 0]), ("out", "drop", [1])],
            remainder="passthrough",
        )
    ],
    "union": [
        FeatureUnion([("a", PCA(2)), ("b", StandardScaler())], transformer_weights={"a": 2.0})
    ],
    "squares": [StandardScaler(), Squared(), StandardScaler()],
}


@pytest.mark.parametrize("name", STEPS)
def test_gradients_and_moves_in_the_features_of_the_input(name):
    X, y, _, X_test, y_test = data(2)
    pipe = make_pipeline(*(clone(s) if s != "passthrough" else s for s in STEPS[name]))
    Z = pipe.fit(X, y).transform(X)
    full = make_pipeline(*pipe, InfluenceLogisticRegression())
    explainer = InfluenceExplainer(full).fit(X, y)
    given = {"X_train": X} if name == "squares" else {}
    asked = {"features": "input", "train_indices": ROWS}
    found = explainer.feature_influence(X_test, y_test, **asked, **given)
    assert found.shape == (5, len(ROWS), X.shape[1])
    last = InfluenceLogisticRegression().fit(Z, y)
    before = at_test(last, pipe.transform(X_test), y_test, "loss")

    def after(row, displacement):
        moved = X.copy()
        moved[row] += displacement
        refit = InfluenceLogisticRegression().fit(pipe.transform(moved), y)
        return at_test(refit, pipe.transform(X_test), y_test, "loss")

    for position, row in enumerate(ROWS):
        for column, unit in enumerate(1e-4 * np.eye(X.shape[1])):
            expected = (after(row, unit) - after(row, -unit)) / 2e-4
            assert np.abs(found[:, position, column] - expected).max() <= 1e-5 * np.abs(found).max()
    displacement = np.array([0.3, -0.2, 0.1, 0.4])
    moves = explainer.feature_influence(
        X_test, y_test, displacement=displacement, X_train=X, method="exact", **asked
    )
    for position, row in enumerate(ROWS):
        np.testing.assert_allclose(moves[:, position], after(row, displacement) - before, atol=1e-8)
    inner = explainer.feature_influence(X_test, y_test, train_indices=ROWS)
    assert inner.shape == (5, len(ROWS), Z.shape[1])
    np.testing.assert_allclose(
        inner, last.feature_influence(pipe.transform(X_test), y_test, train_indices=ROWS), atol=1e-9
    )


def test_columns_by_name():
    X, y, _, X_test, y_test = data(2)
    names = ["a", "b", "c", "d"]
    frame, test = pd.DataFrame(X, columns=names), pd.DataFrame(X_test, columns=names)
    parts = [("one", StandardScaler(), ["c", "a"]), ("two", "passthrough", slice("d", "d"))]
    pipe = make_pipeline(ColumnTransformer(parts), InfluenceLogisticRegression())
    explainer = InfluenceExplainer(pipe).fit(frame, y)
    found = explainer.feature_influence(test, y_test, features="input", as_frame=True)
    assert list(found.columns) == names
    assert found.shape == (5 * len(y), 4)
    assert not found["b"].any()
    assert found["a"].any()
    model = explainer.feature_influence(test, y_test)
    scale = pipe.fit(frame, y)[0].named_transformers_["one"].scale_
    inputs = found.to_numpy().reshape(5, len(y), 4)
    np.testing.assert_allclose(inputs[..., 2], model[..., 0] / scale[0])
    np.testing.assert_allclose(inputs[..., 3], model[..., 2])
    moved = explainer.feature_influence(
        test, y_test, features="input", displacement=[0.1, 9.0, 0, 0], X_train=frame
    )
    step = [0.0, 0.1 / scale[1], 0.0]
    np.testing.assert_allclose(
        moved, explainer.feature_influence(test, y_test, displacement=step), atol=1e-9
    )


def test_the_view_of_a_fitted_pipeline():
    X, y, _, X_test, y_test = data(2)
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X, y)
    found = explain(pipe).feature_influence(X_test, y_test, features="input")
    inner = explain(pipe).feature_influence(X_test, y_test)
    np.testing.assert_allclose(found, inner / pipe[0].scale_)


def test_a_step_that_stops_the_gradient_is_named():
    X, y, _, X_test, y_test = data(2)
    pipe = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression())
    explainer = InfluenceExplainer(pipe).fit(X, y)
    assert explainer.feature_influence(X_test, y_test).shape == (5, len(X), 15)
    with pytest.raises(NotImplementedError, match="PolynomialFeatures stops the gradient"):
        explainer.feature_influence(X_test, y_test, features="input")
    function = FunctionTransformer(np.exp)
    explainer = InfluenceExplainer(make_pipeline(function, LogisticRegression())).fit(X, y)
    with pytest.raises(NotImplementedError, match="FunctionTransformer stops the gradient"):
        explainer.feature_influence(X_test, y_test, features="input")
    pipe = make_pipeline(Squared(), LogisticRegression())
    explainer = InfluenceExplainer(pipe).fit(X, y)
    with pytest.raises(ValueError, match=r"Squared.input_vjp needs the rows.*X_train"):
        explainer.feature_influence(X_test, y_test, features="input")
    with pytest.raises(ValueError, match="X_train are not the rows of fit"):
        explainer.feature_influence(X_test, y_test, features="input", X_train=X[::-1])
    with pytest.raises(ValueError, match=f"X_train should have the {len(X)} rows"):
        explainer.feature_influence(X_test, y_test, features="input", X_train=X[1:])
    with pytest.raises(ValueError, match="displacement with features='input' needs the rows"):
        explainer.feature_influence(X_test, y_test, features="input", displacement=np.ones(4))


# -- forms and errors ------------------------------------------------------------------------------


def test_frames_and_info():
    X, y, _, X_test, y_test = data(3)
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"r{i}" for i in range(len(X))])
    test = pd.DataFrame(X_test, columns=list("abcd"), index=list("uvwxy"))
    model = InfluenceLogisticRegression().fit(frame, y)
    asked = {"target": "predict_proba", "train_indices": ROWS}
    found = model.feature_influence(test, as_frame=True, **asked)
    assert found.index.tolist()[:2] == [("u", "r0"), ("u", "r7")]
    assert found.columns.tolist()[:4] == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
    array = model.feature_influence(test, **asked)
    np.testing.assert_array_equal(found.to_numpy().reshape(array.shape), array)
    mean = model.feature_influence(test, y_test, aggregate="mean", as_frame=True)
    assert mean.index.tolist()[:2] == ["r0", "r1"]
    assert list(mean.columns) == list("abcd")
    moved, info = model.feature_influence(
        test, y_test, displacement=np.ones(4), as_frame=True, return_info=True
    )
    assert moved.shape == (5, len(X))
    assert moved.columns[0] == "r0"
    assert moved.index[0] == "u"
    assert set(info.method) <= {"exact", "refined"}
    assert info.names[0] == "r0"
    kernel = SmoothHingeSVC(kernel="rbf").fit(frame, y)
    found = kernel.feature_influence(test, y_test, train_indices=ROWS, as_frame=True)
    assert list(found.columns) == list("abcd")


def test_bad_arguments():
    X, y, _, X_test, y_test = data(2)
    model = InfluenceLogisticRegression().fit(X, y)
    ask = model.feature_influence
    with pytest.raises(ValueError, match=r"displacement should have shape \(60, 4\).*got \(3,\)"):
        ask(X_test, y_test, displacement=np.ones(3))
    with pytest.raises(ValueError, match="displacement should be finite"):
        ask(X_test, y_test, displacement=[0, np.nan, 0, 0])
    with pytest.raises(ValueError, match="method='exact' has no meaning for gradients"):
        ask(X_test, y_test, method="exact")
    with pytest.raises(ValueError, match="return_info has no meaning for gradients"):
        ask(X_test, y_test, return_info=True)
    with pytest.raises(ValueError, match="features should be one of 'model', 'input'"):
        ask(X_test, y_test, features="raw")
    with pytest.raises(ValueError, match="has no derivative"):
        ask(X_test, y_test, target="zero_one")
    with pytest.raises(ValueError, match="aggregate should be one of"):
        ask(X_test, y_test, aggregate="max")
    with pytest.raises(ValueError, match="damping has no meaning"):
        ask(X_test, y_test, method="exact", damping=1.0, displacement=np.ones(4))
    model.coef_ = model.coef_ + 1.0
    X[0] += 1.0
    with pytest.raises(RuntimeError, match="changed since the fit"):
        ask(X_test, y_test)


def test_kernels_without_a_known_gradient():
    X, y, _, X_test, y_test = data(2)
    K = X @ X.T
    model = SmoothHingeSVC(kernel="precomputed").fit(K, y)
    with pytest.raises(NotImplementedError, match="precomputed"):
        model.feature_influence(X_test @ X.T, y_test)
    with pytest.raises(NotImplementedError, match="precomputed"):
        model.feature_influence(X_test @ X.T, y_test, displacement=np.ones(4))
    model = SmoothHingeSVC(kernel=lambda A, B: A @ B.T + 1.0).fit(X, y)
    with pytest.raises(NotImplementedError, match="gradient of a callable kernel"):
        model.feature_influence(X_test, y_test)
    assert model.feature_influence(X_test, y_test, displacement=np.ones(4)).shape == (5, len(X))
    model = InfluenceKernelRidge(kernel="laplacian").fit(X, y * 1.0)
    with pytest.raises(NotImplementedError, match="gradient of kernel='laplacian'"):
        model.feature_influence(X_test, y_test * 1.0)


def test_memory_is_asked_for_first(monkeypatch):
    X, y, _, X_test, y_test = data(2)
    model = InfluenceLogisticRegression().fit(X, y)
    monkeypatch.setattr("skinfluence._memory.fits", lambda n_bytes: n_bytes < 8 * 5 * 60 * 4)
    with pytest.raises(MemoryError, match="the gradients in 4 features of 60 training rows"):
        model.feature_influence(X_test, y_test)
    assert model.feature_influence(X_test, y_test, aggregate="sum").shape == (60, 4)


def test_blocks_and_progress():
    from sklearn import config_context

    X, y, w, X_test, _ = data(3)
    for model in (InfluenceLogisticRegression(), SmoothHingeSVC(kernel="rbf", **SMOOTH)):
        model = model.fit(X, y, w)
        target = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
        expected = model.feature_influence(X_test, target=target)
        seen = []

        def progress(blocks, total, seen=seen):
            for block in blocks:
                seen.append(total)
                yield block

        with config_context(working_memory=0.001):
            found = model.feature_influence(X_test, target=target, progress=progress)
            summed = model.feature_influence(X_test, target=target, aggregate="sum")
        assert len(seen) > 1
        assert len(seen) == seen[0]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        np.testing.assert_allclose(summed, expected.sum(axis=0), atol=1e-12)
