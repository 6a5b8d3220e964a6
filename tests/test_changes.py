"""Relabelled, reweighted and added rows against refits of the changed data."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC

from skinfluence import (
    InfluenceExplainer,
    InfluenceHuberRegressor,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    explain,
)
from skinfluence.deletion import Entering, OneStep, RowChange, _change_rows
from skinfluence.evaluation import agreement
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.problem import fitted_problem
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import CASES, REGRESSORS, SETTINGS, build, build_regressor, problem, responses
from tests.oracles import dense, frozen

SIZES = {"first_order": 2.0, "newton": 0.7}


def stacked(X, rows):
    """X with further rows, dense, float64."""
    return np.vstack([dense(X), dense(rows)])


def quietly(call):
    """Call without warnings: a budget, or a refit that is not smooth."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


# -- every classifier of the table ---------------------------------------------------------------


class FrozenClassifier:
    """Refits of a logistic case with the class weights of its fit as numbers."""

    def __init__(self, name):
        self.X, self.y, self.w, self.clf = build(name)
        self.row_weight, self.model = frozen(self.clf)
        user = np.ones(len(self.y)) if self.w is None else self.w
        self.user = user
        self.class_weight = {
            c: (self.row_weight[(self.y == c) & (user > 0)] / user[(self.y == c) & (user > 0)])[0]
            for c in np.unique(self.y)
        }
        rng = np.random.default_rng(5)
        self.T = 0.8 * rng.normal(size=(7, self.X.shape[1]))
        self.new = 0.8 * rng.normal(size=(5, self.X.shape[1]))
        self.y_new = rng.permutation(np.resize(np.unique(self.y), 5))
        self.w_new = rng.uniform(0.3, 2.0, size=5)
        if sp.issparse(self.X):
            self.T, self.new = sp.csr_matrix(self.T), sp.csr_matrix(self.new)

    def decisions(self, X, y, weight):
        """Decision values at T of the refit with these rows and user weights."""
        row_weight = weight * np.array([self.class_weight[label] for label in y])
        kept = row_weight > 0
        self.model.fit(dense(X)[kept], y[kept], sample_weight=row_weight[kept])
        found = self.model.decision_function(dense(self.T))
        # The softmax is free to shift all its predictors by one number at C = inf.
        return found - (found.mean(axis=1, keepdims=True) if found.ndim == 2 else 0.0)


def gauged(values, is_multiclass):
    """Decision values with a mean of 0 over the classes, where there are several."""
    return values - values.mean(axis=-1, keepdims=True) if is_multiclass else values


@pytest.mark.parametrize("name", CASES)
def test_relabelled_rows_of_every_classifier(name):
    case = FrozenClassifier(name)
    classes, n = case.clf.classes_, case.X.shape[0]
    many = len(classes) > 2
    rows = np.r_[0, 5, 11, 17, n - 1]  # the last has no weight in some cases
    before = case.decisions(case.X, case.y, case.user)
    actual = np.zeros((7, len(rows), len(classes), *before.shape[1:]))
    for position, row in enumerate(rows):
        for k, label in enumerate(classes):
            y = case.y.copy()
            y[row] = label
            actual[:, position, k] = case.decisions(case.X, y, case.user) - before
    options = {"target": "decision_function", "train_indices": rows}
    for method in ("exact", "auto"):
        found = gauged(case.clf.relabel_influence(case.T, method=method, **options), many)
        assert found.shape == actual.shape
        np.testing.assert_allclose(found, actual, atol=2e-7 * max(1.0, np.abs(before).max()))
        own = [list(classes).index(case.y[row]) for row in rows]
        assert (found[:, np.arange(len(rows)), own] == 0.0).all()
    for method, size in SIZES.items():
        found = gauged(case.clf.relabel_influence(case.T, method=method, **options), many)
        figures = agreement(found, actual)
        assert figures.relative_rmse < (size if case.clf.C < 1e3 else 10.0), (method, figures)
        assert abs(figures.intercept) < 0.05 * np.abs(actual).max()


@pytest.mark.parametrize("name", CASES)
def test_added_rows_of_every_classifier(name):
    case = FrozenClassifier(name)
    many = len(case.clf.classes_) > 2
    before = case.decisions(case.X, case.y, case.user)
    actual = np.stack(
        [
            case.decisions(
                stacked(case.X, case.new[[i]]),
                np.append(case.y, case.y_new[i]),
                np.append(case.user, case.w_new[i]),
            )
            - before
            for i in range(5)
        ],
        axis=1,
    )

    def ask(method):
        return gauged(
            case.clf.addition_influence(
                case.new,
                case.y_new,
                case.T,
                sample_weight_new=case.w_new,
                target="decision_function",
                method=method,
            ),
            many,
        )

    np.testing.assert_allclose(
        ask("exact"), actual, atol=2e-7 * max(1.0, np.abs(before).max()), rtol=1e-7
    )
    newton, first = agreement(ask("newton"), actual), agreement(ask("first_order"), actual)
    assert newton.relative_rmse < 0.25
    assert newton.relative_rmse < first.relative_rmse
    assert abs(newton.slope - 1) < 0.25
    assert agreement(ask("auto"), actual).relative_rmse <= newton.relative_rmse + 1e-9


# -- every regressor of the table ----------------------------------------------------------------


UNPENALISED = {"least squares", "quantile", "huber"}
# A step on the active set says little where rows are few and it changes.
KINKED = {"lasso", "elastic net", "sparse quantile"}


class ChangedRegressor:
    """A regressor of the table, what is asked of it, and its refits on changed data."""

    def __init__(self, name, setting):
        self.X, self.y, self.w, self.model = build_regressor(name, setting)
        rng = np.random.default_rng(3)
        self.T = 0.6 * rng.normal(size=(6, self.X.shape[1]))
        self.new = 0.6 * rng.normal(size=(3, self.X.shape[1]))
        if sp.issparse(self.X):
            self.T, self.new = sp.csr_matrix(self.T), sp.csr_matrix(self.new)
        self.user = np.ones(len(self.y)) if self.w is None else self.w
        self.rows = np.array([0, 3, 8, len(self.y) - 1])
        self.labels = self.y[self.rows] + np.array([1.0, 2.0, 1.0, 3.0])
        self.y_new, self.w_new = self.y[:3] + 1.0, np.array([1.0, 0.4, 1.7])
        self.before = self.predictions(self.X, self.y, self.user)

    def predictions(self, X, y, weight):
        """Predictions at T of a refit with these rows, without those of weight 0."""
        kept = weight > 0
        given = {} if (weight == 1).all() else {"sample_weight": weight[kept]}
        refit = quietly(lambda: clone(self.model).fit(dense(X)[kept], y[kept], **given))
        return refit.predict(dense(self.T))

    def relabelled(self):
        """Change of the predictions by each relabelling."""
        changes = []
        for row, label in zip(self.rows, self.labels, strict=True):
            y = np.where(np.arange(len(self.y)) == row, label, self.y)
            changes.append(self.predictions(self.X, y, self.user) - self.before)
        return np.stack(changes, axis=1)

    def added(self):
        """Change of the predictions by each addition."""
        changes = []
        for i in range(3):
            y, weight = np.append(self.y, self.y_new[i]), np.append(self.user, self.w_new[i])
            changes.append(self.predictions(stacked(self.X, self.new[[i]]), y, weight))
        return np.stack(changes, axis=1) - self.before[:, None]

    def relabel(self, method):
        """What the library says of the relabellings."""
        ask = {"labels": self.labels, "train_indices": self.rows, "method": method}
        return quietly(lambda: self.model.relabel_influence(self.T, target="prediction", **ask))

    def add(self, method):
        """What the library says of the additions."""
        ask = {"target": "prediction", "sample_weight_new": self.w_new, "method": method}
        return quietly(lambda: self.model.addition_influence(self.new, self.y_new, self.T, **ask))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", REGRESSORS)
def test_changed_rows_of_every_regressor(name, setting):
    if setting == "wide" and name in UNPENALISED:
        pytest.skip("has no unique optimum with more columns than rows")
    if (name, setting) == ("huber", "n just above p"):
        pytest.skip("after most of the changes the scale of the fit falls to 0")
    case = ChangedRegressor(name, setting)
    tolerance = 2e-6 * max(1.0, np.abs(case.before).max())
    limits = {"exact": 1e-5, "auto": 0.1, "newton": np.inf if name in KINKED else 0.7}
    for ask, actual in ((case.relabel, case.relabelled()), (case.add, case.added())):
        for method, limit in limits.items():
            found = ask(method)
            error, figures = np.abs(found - actual).max(), agreement(found, actual)
            assert figures.relative_rmse < limit or error < tolerance, (method, figures)


# -- kernels and hinges --------------------------------------------------------------------------

MACHINES = {
    "hinge": SmoothHingeSVC(loss="hinge"),
    "smooth hinge": SmoothHingeSVC(temperature=0.1),
    "smooth hinge rbf": SmoothHingeSVC(kernel="rbf", gamma=0.3, temperature=0.1),
    "hinge rbf": SmoothHingeSVC(kernel="rbf", gamma=0.3, loss="hinge"),
    "log rbf": KernelLogisticRegression(kernel="rbf", gamma=0.3),
    "log poly, no intercept": KernelLogisticRegression(
        kernel="poly", degree=2, coef0=1.0, gamma=0.2, fit_intercept=False
    ),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", MACHINES)
def test_changed_rows_of_machines(name, n_classes):
    X, y = problem(seed=2, n=60, p=3, n_classes=n_classes)
    T, new = X[::9] + 0.1, 1.5 * X[5:9] - 0.2
    y_new = (y[5:9] + 1) % n_classes
    model = quietly(lambda: clone(MACHINES[name]).fit(X, y))
    before = model.decision_function(T)
    rows = np.array([1, 20, 41])
    labels = (y[rows] + 1) % n_classes

    def refit(X, y):
        return quietly(lambda: clone(model).fit(X, y).decision_function(T)) - before

    actual = np.stack(
        [
            refit(X, np.where(np.arange(60) == row, label, y))
            for row, label in zip(rows, labels, strict=True)
        ],
        axis=1,
    )
    found = model.relabel_influence(
        T, target="decision_function", labels=labels, train_indices=rows, method="exact"
    )
    np.testing.assert_allclose(found, actual, atol=1e-6)
    actual = np.stack(
        [refit(np.vstack([X, new[[i]]]), np.append(y, y_new[i])) for i in range(4)], axis=1
    )
    found = model.addition_influence(new, y_new, T, target="decision_function", method="exact")
    np.testing.assert_allclose(found, actual, atol=1e-6)
    if "hinge" not in name:
        newton = model.addition_influence(new, y_new, T, target="decision_function")
        assert agreement(newton, actual).relative_rmse < 0.05


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_pairs_of_machines_through_the_explainer(kernel):
    X, y = load_iris(return_X_y=True)
    X, T, y_test = X[::2], X[1::8], y[1::8]
    y = y[::2]
    model = SVC(kernel=kernel, tol=1e-10, decision_function_shape="ovo")
    pipe = make_pipeline(StandardScaler(), model)
    view = InfluenceExplainer(pipe).fit(X, y)
    rows, labels = np.array([0, 40]), np.array([1, 2])
    found = view.relabel_influence(
        T, target="decision_function", labels=labels, train_indices=rows, method="exact"
    )
    scaler, fitted = view.estimator_[0], view.estimator_[1]
    gamma = 1.0 if kernel == "linear" else fitted._gamma
    for position in range(2):
        other = y.copy()
        other[rows[position]] = labels[position]
        refit = clone(model).set_params(gamma=gamma).fit(scaler.transform(X), other)
        change = refit.decision_function(scaler.transform(T)) - view.decision_function(T)
        np.testing.assert_allclose(found[:, position], change, atol=1e-5)
    assert view.addition_influence(T, y_test, T, y_test, method="exact").shape == (19, 19)


def test_a_precomputed_kernel_takes_other_labels_and_no_rows():
    X, y = problem(seed=2, n=40, p=3)
    K = X @ X.T
    machine = KernelLogisticRegression(kernel="precomputed").fit(K, y)
    linear = KernelLogisticRegression(kernel="linear", fit_intercept=True).fit(X, y)
    found = machine.relabel_influence(K[:3], target="decision_function", method="exact")
    expected = linear.relabel_influence(X[:3], target="decision_function", method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-7)
    with pytest.raises(NotImplementedError, match="precomputed"):
        machine.addition_influence(K[:3], y[:3], K[:3], y[:3])


# -- removal is the change in which nothing enters -----------------------------------------------


@pytest.mark.parametrize("method", ["first_order", "newton"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_entering_without_weight_is_the_removal_itself(n_classes, method):
    X, y = problem(seed=1, n=60, p=4, n_classes=n_classes)
    found = fitted_problem(InfluenceLogisticRegression().fit(X, y))
    objective, curvature, rows = found.objective, found.curvature(), np.arange(60)
    nothing = Entering(rows, objective.y, np.zeros(60))
    removal = OneStep(objective, curvature, rows, corrected=method == "newton")
    change = RowChange(objective, curvature, rows, nothing, corrected=method == "newton")
    everything = slice(None)
    np.testing.assert_allclose(change.steps(everything), removal.steps(everything), rtol=1e-14)
    np.testing.assert_allclose(change.own_change(), removal.own_change(), rtol=1e-14)


def test_the_same_label_and_no_weight_are_no_change():
    X, y = problem(seed=1, n=50)
    w = np.where(np.arange(50) < 5, 0.0, 1.0)
    clf = InfluenceLogisticRegression().fit(X, y, sample_weight=w)
    for method in ("first_order", "newton", "exact", "auto"):
        found = clf.relabel_influence(X[:3], y[:3], labels=y, method=method)
        assert (found == 0.0).all()
        found, info = clf.relabel_influence(
            X[:3], y[:3], labels=1 - y, method=method, return_info=True
        )
        assert (found[:, :5] == 0.0).all()
        assert (info.method[:5] == "exact").all()
        assert (found[:, 5:] != 0.0).any(axis=0).all()


@pytest.mark.parametrize("method", ["first_order", "newton", "exact", "auto"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_added_without_weight_change_nothing(method, n_classes):
    X, y = problem(seed=1, n=60, n_classes=n_classes)
    clf = InfluenceLogisticRegression().fit(X, y)
    for weight in (np.zeros(8), np.r_[0.0, np.ones(7)]):
        found = clf.addition_influence(X[:8], y[:8], X, y, sample_weight_new=weight, method=method)
        np.testing.assert_array_equal(np.all(found == 0.0, axis=0), weight == 0)


# -- how good the implicit step is ---------------------------------------------------------------


def addition_errors(X, y, n_seeds, method):
    """Relative RMSE of the additions of 20 rows to 300 on test losses, for each split."""
    errors = []
    for seed in range(n_seeds):
        order = np.random.default_rng(20261126 + seed).permutation(len(y))
        train, new, test = order[:300], order[300:320], order[320:420]
        clf = InfluenceLogisticRegression(max_iter=1000).fit(X[train], y[train])
        ask = {"X_new": X[new], "y_new": y[new], "X_test": X[test], "y_test": y[test]}
        exact = clf.addition_influence(**ask, method="exact")
        errors.append(agreement(clf.addition_influence(**ask, method=method), exact))
    return np.array([each.relative_rmse for each in errors])


@pytest.mark.parametrize(
    ("load", "method", "median", "worst"),
    [
        (load_breast_cancer, "auto", 0.03, 0.15),
        (load_breast_cancer, "newton", 0.03, 0.15),
        (load_digits, "auto", 0.02, 0.03),
        (load_digits, "newton", 0.02, 0.03),
    ],
)
def test_additions_on_real_data(load, method, median, worst):
    X, y = load(return_X_y=True)
    X = scale(X) if load is load_breast_cancer else X / 16.0
    errors = addition_errors(X, y, 10, method)
    assert np.median(errors) <= median, errors
    assert errors.max() <= worst, errors


def test_every_relabelling_of_breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    clf = InfluenceLogisticRegression().fit(X, y)
    objective = fitted_problem(clf).objective
    found, info = clf.relabel_influence(
        X[:1], target="decision_function", labels=1 - y, method="exact", return_info=True
    )
    # In about half of the rows the chord stalls, and Newton's method goes on.
    assert 150 < np.count_nonzero(info.method == "refined") < 400
    entering = Entering(np.arange(569), 1.0 - objective.y, objective.sample_weight)
    exact = _change_rows.change_exactly(
        objective, fitted_problem(clf).curvature(), np.arange(569), entering
    )
    model = LogisticRegression(solver="newton-cholesky", tol=1e-13)
    for row in range(569):
        other = np.where(np.arange(569) == row, 1 - y, y)
        model.fit(X, other)
        theta = np.r_[model.coef_[0], model.intercept_]
        step = exact.steps(slice(row, row + 1))[0, 0]
        np.testing.assert_allclose(objective.theta[0] + step, theta, atol=1e-8)
        change = model.decision_function(X[:1]) - clf.decision_function(X[:1])
        np.testing.assert_allclose(found[:, row], change, atol=1e-7)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["newton", "exact", "auto"])
def test_no_bound_is_exceeded(n_classes, method):
    X, y = problem(seed=4, n=120, p=4, n_classes=n_classes)
    X = X * np.random.default_rng(1).standard_t(4, size=(120, 1))
    clf = InfluenceLogisticRegression(C=0.2).fit(X, y)
    objective = fitted_problem(clf).objective
    labels = (y + 1) % n_classes
    own = np.full((120, n_classes if n_classes > 2 else 1), np.nan)
    _, info = clf.relabel_influence(X[:1], y[:1], labels=labels, method=method, return_info=True)
    found = fitted_problem(clf)
    encoded = labels.astype(objective.y.dtype)
    entering = Entering(np.arange(120), encoded, objective.sample_weight)
    change = {
        name: _change_rows.change_rows(
            objective, found.curvature(), name, np.arange(120), entering
        ).own_change()
        for name in (method, "exact")
    }
    own = np.abs(change[method] - change["exact"])
    if n_classes > 2:  # the certificate is about differences of outputs too
        own = np.maximum(own.max(axis=1), np.ptp(change[method] - change["exact"], axis=1))
    own = own.reshape(120, -1).max(axis=1)
    certified = np.isfinite(info.error_bound)
    assert certified.mean() > (0.2 if method == "newton" else 0.5)
    assert (own[certified] <= info.error_bound[certified] + 1e-12).all()


# -- other weights of all rows -------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_reweighted_rows_of_every_classifier(name):
    case = FrozenClassifier(name)
    many, n = len(case.clf.classes_) > 2, len(case.user)
    rng = np.random.default_rng(1)
    few, copies = case.user.copy(), case.user.copy()
    few[[1, 4, 9]] = [0.0, 2.0, 0.7]
    copies[rng.permutation(n)[: n // 10]] *= 2.0
    weights = np.stack([few, copies, case.user * rng.uniform(0.5, 1.5, size=n), case.user])
    before = case.decisions(case.X, case.y, case.user)
    actual = np.stack([case.decisions(case.X, case.y, w) - before for w in weights], axis=1)
    for method in ("exact", "auto", "newton", "first_order"):
        found = case.clf.reweight_influence(
            weights, case.T, target="decision_function", method=method
        )
        found = gauged(found, many)
        assert (found[:, 3] == 0.0).all()
        figures = agreement(found[:, :3], actual[:, :3])
        if method in ("exact", "auto"):
            np.testing.assert_allclose(found, actual, atol=2e-7 * max(1.0, np.abs(before).max()))
        elif case.clf.C < 1e3:
            assert figures.relative_rmse < (0.4 if method == "newton" else 0.9), (method, figures)
    one = case.clf.reweight_influence(few, case.T, target="decision_function", method="exact")
    np.testing.assert_allclose(gauged(one, many), actual[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", REGRESSORS)
def test_reweighted_rows_of_every_regressor(name):
    case = ChangedRegressor(name, "weights")
    weights = np.stack([case.user, case.user])
    weights[0, [2, 7]] = [0.0, 3.0]
    weights[1] *= np.random.default_rng(1).uniform(0.6, 1.5, size=len(case.y))
    changed = [case.predictions(case.X, case.y, w) - case.before for w in weights]
    actual = np.stack(changed, axis=1)
    for method, limit in {"exact": 1e-5, "auto": 1e-5, "newton": 0.5}.items():
        found = quietly(
            lambda method=method: case.model.reweight_influence(
                weights, case.T, target="prediction", method=method
            )
        )
        figures = agreement(found, actual)
        small = np.abs(found - actual).max() < 2e-6 * max(1.0, np.abs(case.before).max())
        assert figures.relative_rmse < limit or small or (method == "newton" and name in KINKED), (
            method,
            figures,
        )


def test_weights_that_are_groups_or_copies():
    X, y = problem(seed=1, n=60)
    clf = InfluenceLogisticRegression().fit(X, y)
    groups = [[3, 4, 5], [20, 21]]
    weights = np.ones((2, 60))
    for position, group in enumerate(groups):
        weights[position, group] = 0.0
    for method in ("first_order", "newton", "exact", "auto"):
        found, info = clf.reweight_influence(weights, X[:4], y[:4], method=method, return_info=True)
        expected = clf.group_influence(groups, X[:4], y[:4], method=method)
        np.testing.assert_array_equal(found, expected)
        assert len(info.method) == 2
    copies = np.where(np.arange(60) == 7, 2.0, 1.0)
    found = clf.reweight_influence(copies, X[:4], y[:4], method="exact")
    added = clf.addition_influence(X[[7]], y[[7]], X[:4], y[:4], method="exact")
    np.testing.assert_allclose(found, added[:, 0], atol=1e-9)


def test_weights_without_a_model():
    X, y = problem(seed=1, n=60)
    clf = InfluenceLogisticRegression().fit(X, y)
    weights = np.stack([np.where(y == 1, 1.0, 0.0), np.zeros(60), np.full(60, 2.0)])
    for method in ("first_order", "newton", "exact", "auto"):
        with pytest.warns(RuntimeWarning, match="after reweighting 0, 1"):
            found = clf.reweight_influence(weights, X[:4], y[:4], method=method)
        assert np.isnan(found[:, :2]).all()
        assert np.isfinite(found[:, 2]).all()
    with pytest.raises(ValueError, match="one number for each of the 60"):
        clf.reweight_influence(np.ones(59), X, y)
    with pytest.raises(ValueError, match="at least 0; got -1 at row 3"):
        clf.reweight_influence(np.where(np.arange(60) == 3, -1.0, 1.0), X, y)
    with pytest.raises(ValueError, match="NaN"):
        clf.reweight_influence(np.full(60, np.nan), X, y)


# -- what has no model ---------------------------------------------------------------------------


def test_a_relabelling_that_empties_a_class_is_undefined():
    X, y = problem(seed=3, n=60, n_classes=3)
    y = np.where(y == 2, 1, y)
    y[7] = 2
    clf = InfluenceLogisticRegression().fit(X, y)
    for method in ("first_order", "newton", "exact", "auto"):
        with pytest.warns(RuntimeWarning, match="after the relabelling of row 7"):
            found, info = clf.relabel_influence(X[:4], y[:4], method=method, return_info=True)
        assert np.isnan(found[:, 7, :2]).all()
        assert (found[:, 7, 2] == 0).all()
        assert np.isfinite(np.delete(found, 7, axis=1)).all()
        undefined = info.method.reshape(60, 3)[7]
        assert undefined.tolist() == ["undefined", "undefined", "exact"]


def test_unpenalised_data_that_a_relabelling_separates():
    x = np.arange(12.0)[:, None]
    y = (x[:, 0] > 5).astype(int)
    y[3] = 1  # alone holds the classes together
    clf = InfluenceLogisticRegression(C=np.inf).fit(x, y)
    for method in ("newton", "exact", "auto"):
        with pytest.warns(RuntimeWarning, match="after the relabelling of row 3"):
            found = clf.relabel_influence(x[:3], y[:3], labels=1 - y, method=method)
        assert np.isnan(found[:, 3]).all()
        others = np.delete(found, 3, axis=1)
        assert np.isfinite(others).all()
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13)
    actual = model.fit(x, np.where(np.arange(12) == 8, 1 - y, y)).decision_function(x[:3])
    exact = clf.relabel_influence(
        x[:3], target="decision_function", labels=1 - y[[8]], train_indices=[8], method="exact"
    )
    np.testing.assert_allclose(exact[:, 0], actual - clf.decision_function(x[:3]), atol=1e-6)


def test_a_row_that_holds_a_column_alone_can_be_relabelled():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=20), np.arange(20) == 4])
    y = rng.normal(size=20)
    model = InfluenceLinearRegression().fit(X, y)
    labels = y + 1.0
    for method in ("newton", "exact", "auto"):
        found = model.relabel_influence(
            X[:6], target="prediction", labels=labels, method=method, train_indices=None
        )
        other = np.where(np.arange(20) == 4, labels, y)
        actual = InfluenceLinearRegression().fit(X, other).predict(X[:6]) - model.predict(X[:6])
        np.testing.assert_allclose(found[:, 4], actual, atol=1e-8)


def test_counts_whose_last_positive_one_falls_to_0():
    X, y = responses(seed=1, n=15, counts=True)
    y = np.zeros(15)
    y[6] = 3.0
    model = InfluencePoissonRegressor(alpha=0.1).fit(X, y)
    with pytest.warns(RuntimeWarning, match="row 6"):
        found = model.relabel_influence(X[:2], y[:2], labels=np.where(y > 0, 0.0, 1.0))
    assert np.isnan(found[:, 6]).all()
    assert np.isfinite(np.delete(found, 6, axis=1)).all()


# -- budgets, forms, and wrong arguments ---------------------------------------------------------


def test_beyond_the_budget_the_longest_are_refits(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    clf = InfluenceLogisticRegression().fit(X[:200], y[:200])
    monkeypatch.setattr(_change_rows, "ROUGH_FLOPS", 3e7)
    with pytest.warns(RuntimeWarning, match="are one implicit step, not a refit"):
        found, info = clf.relabel_influence(
            X[200:], y[200:], labels=1 - y[:200], return_info=True, aggregate="mean"
        )
    refined = info.method == "refined"
    assert 10 < np.count_nonzero(refined) < 190
    exact = clf.relabel_influence(
        X[200:], y[200:], labels=1 - y[:200], method="exact", aggregate="mean"
    )
    newton = clf.relabel_influence(
        X[200:], y[200:], labels=1 - y[:200], method="newton", aggregate="mean"
    )
    np.testing.assert_allclose(found[refined], exact[refined], atol=1e-9)
    np.testing.assert_allclose(found[~refined], newton[~refined], rtol=1e-12)


def test_targets_with_classes_and_aggregates():
    X, y = load_iris(return_X_y=True)
    clf = InfluenceLogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    T = X[1::10]
    full = clf.relabel_influence(T, target="predict_proba", method="newton")
    assert full.shape == (15, 75, 3, 3)
    mean = clf.relabel_influence(T, target="predict_proba", method="newton", aggregate="mean")
    np.testing.assert_allclose(mean, full.mean(axis=0), atol=1e-13)
    full = clf.addition_influence(X[1::7], y[1::7], T, target="predict_proba", method="newton")
    assert full.shape == (15, 22, 3)
    total = clf.addition_influence(
        X[1::7], y[1::7], T, target="predict_proba", method="newton", aggregate="sum"
    )
    np.testing.assert_allclose(total, full.sum(axis=0), atol=1e-13)


def test_unknown_labels_are_averaged_over_the_model_s_own_probabilities():
    X, y = load_iris(return_X_y=True)
    clf = InfluenceLogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    new, T, t = X[1::9], X[3::10], y[3::10]
    P = clf.predict_proba(new)
    expected = sum(
        P[:, k] * clf.addition_influence(new, np.full(len(new), label), T, t)
        for k, label in enumerate(clf.classes_)
    )
    np.testing.assert_allclose(clf.addition_influence(new, None, T, t), expected, atol=1e-14)
    with pytest.raises(ValueError, match="return_info"):
        clf.addition_influence(new, None, T, t, return_info=True)
    machine = SmoothHingeSVC(loss="hinge").fit(X[::2], y[::2])
    with pytest.raises(ValueError, match="y_new is None"):
        machine.addition_influence(new, None, T, t)


def test_frames_and_the_best_changes():
    pd = pytest.importorskip("pandas")
    X, y = load_breast_cancer(return_X_y=True)
    frame = pd.DataFrame(scale(X)).iloc[:150].add_prefix("x")
    frame.index = [f"r{i}" for i in range(150)]
    labels = np.where(y[:150] == 1, "benign", "malignant")
    train, test = frame.iloc[:100], frame.iloc[100:]
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    view = InfluenceExplainer(pipe).fit(train, labels[:100])
    inside = explain(clone(pipe).fit(train, labels[:100]))
    ask = {"aggregate": "mean", "method": "newton"}
    np.testing.assert_allclose(
        inside.relabel_influence(test, labels[100:], **ask),
        view.relabel_influence(test, labels[100:], **ask),
        rtol=1e-9,
    )
    values, info = view.relabel_influence(
        test, labels[100:], train_indices=[3, 5], as_frame=True, return_info=True
    )
    assert values.columns.tolist() == [
        (name, label) for name in ("r3", "r5") for label in ("benign", "malignant")
    ]
    assert values.index.tolist() == test.index.tolist()
    assert info.names.tolist() == values.columns.tolist()
    added = view.addition_influence(test[:4], labels[100:104], test, labels[100:], as_frame=True)
    assert added.columns.tolist() == ["r100", "r101", "r102", "r103"]
    every = view.relabel_influence(test, labels[100:], aggregate="mean")
    best = view.best_changes(test, labels[100:], k=4)
    other = np.where(labels[:100] == "benign", 1, 0)
    effects = every[np.arange(100), other]
    np.testing.assert_array_equal(best.indices, np.argsort(effects)[:4])
    np.testing.assert_allclose(best.values, np.sort(effects)[:4])
    assert (best.labels != labels[best.indices]).all()
    assert best.to_frame()["row"].tolist() == [f"r{i}" for i in best.indices]
    removal = view.best_changes(test, labels[100:], kind="removal", k=3)
    effects = view.influence(test, labels[100:], aggregate="mean")
    np.testing.assert_array_equal(removal.indices, np.argsort(effects)[:3])
    assert removal.labels is None
    bought = view.best_changes(
        test, labels[100:], kind="addition", k=2, X_new=test[:9], y_new=labels[100:109]
    )
    assert "addition" in repr(bought)
    margin = view.best_changes(test, labels[100:], target="margin", k=1)
    assert margin.values[0] > 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m, X, y: m.relabel_influence(X, y, labels=y[:5]), "one label for each of the 60"),
        (lambda m, X, y: m.relabel_influence(X, y, labels=y + 7), "labels contains previously"),
        (lambda m, X, y: m.relabel_influence(X, y, aggregate="median"), "aggregate should be"),
        (lambda m, X, y: m.relabel_influence(X, y, method="magic"), "method should be"),
        (lambda m, X, y: m.addition_influence(X, y + 7, X, y), "y_new contains previously"),
        (lambda m, X, y: m.addition_influence(X, y[:5], X, y), "X_new has 60 rows, y_new 5"),
        (lambda m, X, y: m.addition_influence(X[:, :2], y, X, y), "features"),
        (
            lambda m, X, y: m.addition_influence(X, y, X, y, sample_weight_new=-np.ones(60)),
            "sample_weight_new",
        ),
        (lambda m, X, y: m.best_changes(X, y, k=0), "k should be"),
        (lambda m, X, y: m.best_changes(X, y, kind="swap"), "kind should be"),
        (lambda m, X, y: m.best_changes(X, y, kind="addition"), "X_new and y_new"),
        (lambda m, X, y: m.best_changes(X, y, aggregate=None), "aggregate should be"),
    ],
)
def test_wrong_arguments(call, sentence):
    X, y = problem(seed=1, n=60)
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match=sentence):
        call(clf, X, y)


def test_a_regressor_needs_its_new_responses():
    X, y = responses(n=30)
    model = InfluenceLinearRegression().fit(X, y)
    with pytest.raises(ValueError, match="labels is None: a regressor"):
        model.relabel_influence(X, y)
    with pytest.raises(ValueError, match="y_new is None"):
        model.addition_influence(X, None, X, y)


def test_float32_rows_stay_float32_and_read_only():
    X, y = problem(seed=1, n=60)
    X = X.astype(np.float32)
    X.setflags(write=False)
    clf = InfluenceLogisticRegression().fit(X, y)
    found = fitted_problem(clf)
    rows = found.design_of(X[:3])
    assert found.objective.with_rows(rows, found.objective.y[:3]).design.X.dtype == np.float32
    assert np.isfinite(clf.addition_influence(X[:3], y[:3], X, y)).all()


def test_responses_of_several_targets():
    X, y = responses(n=30)
    Y = np.column_stack([y, y**2])
    model = InfluenceKernelRidge(alpha=0.5, kernel="rbf", gamma=0.3).fit(X, Y)
    labels = Y + 1.0
    found = model.relabel_influence(X[:4], target="prediction", labels=labels)
    other = Y.copy()
    other[9] = labels[9]
    change = clone(model).fit(X, other).predict(X[:4]) - model.predict(X[:4])
    np.testing.assert_allclose(found[:, 9], change, atol=1e-10)
    with pytest.raises(ValueError, match=r"one label for each|output"):
        model.relabel_influence(X[:4], target="prediction", labels=y)


def test_a_refit_that_fails_is_not_a_number(monkeypatch):
    X, y = responses(n=30)
    model = SmoothEpsilonSVR(temperature=0.3).fit(X, y)
    monkeypatch.setattr(_change_rows, "refit", None)
    assert np.isfinite(model.relabel_influence(X[:2], y[:2], labels=y + 1.0)).all()
    hinge = SmoothHingeSVC(loss="hinge").fit(*problem(n=30))
    monkeypatch.setattr(_change_rows, "exact_optimum", lambda objective: (objective, False))
    with pytest.warns(RuntimeWarning, match="did not converge"):
        found = hinge.relabel_influence(problem(n=30)[0][:2], target="decision_function")
    assert np.isnan(found[:, :, :].sum(axis=2)).all()


@pytest.mark.parametrize("far", [30.0, 300.0, 1000.0])
def test_a_row_that_enters_where_its_loss_is_astronomic(far):
    # The curvature of such a row says nothing of where it ends: the certificate must not count it.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    y = rng.poisson(np.exp(0.3 * X[:, 0])) + 0.0
    model = InfluencePoissonRegressor(alpha=0.1).fit(X, y)
    wider, new = np.vstack([X, [[far, 0.0]]]), [[far, 0.0]]
    refit = clone(model).fit(wider, np.append(y, 0.0))
    actual = refit.predict(X[:2]) - model.predict(X[:2])
    for method in ("exact", "auto"):
        found, info = model.addition_influence(
            new, [0.0], X[:2], target="prediction", method=method, return_info=True
        )
        np.testing.assert_allclose(found[:, 0], actual, atol=1e-6)
        assert info.error_estimate[0] < 1e-5
    moved = X + np.outer(np.arange(50) == 0, [far, 0.0])
    actual = clone(model).fit(moved, y).predict(X[:2]) - model.predict(X[:2])
    found = model.feature_influence(
        X[:2], displacement=[far, 0.0], train_indices=[0], target="prediction", method="exact"
    )
    np.testing.assert_allclose(found[:, 0], actual, atol=1e-6)


@pytest.mark.parametrize("method", ["newton", "exact"])
def test_bounds_of_rows_that_enter_far_away(method):
    X, y = problem(seed=1, n=60)
    clf = InfluenceLogisticRegression().fit(X, y)
    new = np.array([[8.0, 0.0, 0.0, 0.0], [0.0, -20.0, 0.0, 0.0], [0.3, 0.1, 0.0, 0.2]])
    ask = {"target": "decision_function", "return_info": True}
    found, info = clf.addition_influence(new, y[:3], new, method=method, **ask)
    exact, _ = clf.addition_influence(new, y[:3], new, method="exact", **ask)
    error = np.abs(np.diag(found) - np.diag(exact))
    assert (error <= info.error_bound + 1e-9).all()


def test_auto_refits_the_additions_that_it_can_afford():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(50, 2))
    y = X[:, 0] + 0.3 * rng.normal(size=50)
    model = InfluenceHuberRegressor().fit(X, y)
    new = [[far, 0.0] for far in (3.0, 10.0, 30.0, 100.0, 300.0)]
    ask = {"X_new": new, "y_new": np.full(5, -5.0), "X_test": X[:3], "target": "prediction"}
    found, exact = (
        quietly(lambda method=method: model.addition_influence(**ask, method=method))
        for method in ("auto", "exact")
    )
    assert np.isfinite(exact).all(axis=0).sum() >= 3  # Newton's method does not reach them all
    np.testing.assert_allclose(found, exact, atol=1e-7)


@pytest.mark.parametrize(
    "model", [InfluenceLogisticRegression(), KernelLogisticRegression(kernel="rbf", gamma=0.3)]
)
def test_sparse_rows_beside_dense_ones(model):
    X, y = problem(seed=1, n=60)
    for fitted, new in ((X, sp.csr_matrix(X[:4])), (sp.csr_matrix(X), X[:4])):
        view = clone(model).fit(fitted, y)
        found = view.addition_influence(new, y[:4], X[:5], y[:5], method="newton")
        expected = (
            clone(model).fit(X, y).addition_influence(X[:4], y[:4], X[:5], y[:5], method="newton")
        )
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-10)
    assert clone(model).fit(X, y).reweight_influence(np.empty((0, 60)), X, y).shape == (60, 0)


ESTIMATED = {
    "logistic": (InfluenceLogisticRegression(C=1.0), 6),
    "logistic, weak penalty": (InfluenceLogisticRegression(C=100.0), 6),
    "logistic, many columns": (InfluenceLogisticRegression(C=1.0), 30),
    "poisson": (InfluencePoissonRegressor(alpha=0.01), 5),
    "huber": (InfluenceHuberRegressor(), 4),
    "kernel hinge": (SmoothHingeSVC(gamma=0.5, temperature=0.1), 2),
    "kernel hinge, all but kinked": (SmoothHingeSVC(gamma=0.5), 2),
}


@pytest.mark.parametrize("name", ESTIMATED)
def test_errors_of_additions_are_near_their_estimates(name):
    """Of the predictor of the row that enters; few are above, none by half."""
    model, p = ESTIMATED[name]
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(70, p))
        y = X[:, 0] + rng.logistic(size=70)
        if name == "poisson":
            y = rng.poisson(np.exp(0.5 * X[:, 0] + 0.5))
        elif name != "huber":
            y = (y > 0).astype(int)
        model.fit(X[:60], y[:60])
        target = "prediction" if name in ("poisson", "huber") else "decision_function"
        about = X[60:], y[60:], X[60:]
        found, info = model.addition_influence(
            *about, target=target, method="newton", return_info=True
        )
        exact = model.addition_influence(*about, target=target, method="exact")
        if name == "poisson":
            before = model.predict(X[60:])[:, None]
            found, exact = np.log(found + before), np.log(exact + before)
        error = np.abs(found - exact).diagonal()
        some = (info.method == "newton") & (error > 1e-7)
        ratios.append((error / info.error_estimate)[some])
    ratios = np.concatenate(ratios)
    assert len(ratios) >= (3 if "kinked" in name else 20)
    assert (ratios > 1.0).mean() < 0.15
    assert ratios.max() < 1.5
    assert np.median(ratios) > 0.15
