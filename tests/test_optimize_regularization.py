"""The derivative of the leave-one-out loss against finite differences, and what it finds."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import Exact
from skinfluence.model_selection import optimize_regularization
from skinfluence.model_selection._regularization_path import (
    LeaveOneOutPath,
    _solve_deleted,
    exact_slope,
)


def data(n_classes=2, n=50, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.linspace(0.3, 3, p)
    logits = X @ rng.standard_normal((p, n_classes)) / np.sqrt(p)
    y = (logits + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    return X, y, rng.uniform(0.5, 2, n)


def path(method, n_classes=2, n=50, p=4, **settings):
    X, y, weight = data(n_classes, n, p)
    model = InfluenceLogisticRegression(**settings).fit(X, y, weight)
    return LeaveOneOutPath(model.__fitted_problem__().objective, weight, method)


def richardson(function, t, h):
    """Central differences of steps h and h / 2, extrapolated: error of order h^4."""

    def central(h):
        return (function(t + h) - function(t - h)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


@pytest.mark.parametrize("method", ["newton", "exact"])
@pytest.mark.parametrize(
    ("n_classes", "settings"),
    [
        (n_classes, settings)
        for n_classes in (2, 3)
        for settings in ({}, {"fit_intercept": False}, {"class_weight": {0: 2.0}})
    ]
    + [(2, {"solver": "liblinear", "intercept_scaling": 2.0})],
)
@pytest.mark.parametrize("t", [-2.0, 0.5, 3.0])
def test_derivative_is_that_of_the_loss(method, n_classes, settings, t):
    along = path(method, n_classes, **settings)
    derivative = along.evaluate(t)[1]
    difference = richardson(lambda t: along.evaluate(t)[0], t, 1e-2)
    assert derivative == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("method", ["newton", "exact"])
def test_derivative_of_more_columns_than_rows(method):
    X, y, _ = data(p=80, n=30)
    values = np.exp(np.linspace(-1, 1, 9))
    best = optimize_regularization(
        InfluenceLogisticRegression(), X, y, bounds=(values[0], values[-1]), method=method
    )
    for C, derivative in list(zip(best.values, best.derivatives, strict=True))[:3]:

        def loss(x):
            model = InfluenceLogisticRegression(C=np.exp(x)).fit(X, y)
            return model.loo_estimate(method=method, tol=1e-11).mean_loss

        assert derivative == pytest.approx(richardson(loss, np.log(C), 1e-2), rel=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_deleted_systems_are_solved_with_each_rows_own_curvature(n_classes):
    objective = path("exact", n_classes).objective
    rows = np.arange(10)
    deletion = Exact(objective, DenseCurvature(objective), rows)
    theta = objective.theta + deletion.steps(slice(0, 10))
    solved = _solve_deleted(objective, DenseCurvature(objective), rows, theta)
    for i in rows:
        own = DenseCurvature(objective.without(i).at(theta[i]))
        expected = own.solve((objective.penalty.strength * theta[i]).reshape(-1, 1))
        difference = solved[i] - expected.reshape(theta[i].shape)
        if n_classes > 2:  # intercepts are free to move together
            difference -= difference.mean(axis=0)
        assert np.abs(difference).max() < 1e-9 * np.abs(expected).max()


def test_rows_that_conjugate_gradients_miss_are_solved_one_by_one(monkeypatch):
    from skinfluence.model_selection import _regularization_path

    objective = path("exact").objective
    eta, slope = exact_slope(objective, DenseCurvature(objective))
    monkeypatch.setattr(_regularization_path, "MAX_ITERATIONS", 1)
    again, direct = exact_slope(objective, DenseCurvature(objective))
    np.testing.assert_array_equal(again, eta)
    np.testing.assert_allclose(direct, slope, rtol=1e-8)


@pytest.mark.parametrize("method", ["newton", "exact"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_optimum_beats_a_fine_grid(method, n_classes):
    X, y, weight = data(n_classes)
    best = optimize_regularization(
        InfluenceLogisticRegression(), X, y, method=method, sample_weight=weight
    )
    assert best.converged
    assert not best.at_bound
    assert abs(best.gradient) <= 1e-8
    for C in np.logspace(-4, 4, 41):
        model = InfluenceLogisticRegression(C=C).fit(X, y, weight)
        assert best.best_loss <= model.loo_estimate(method=method).mean_loss + 1e-10
    fitted = InfluenceLogisticRegression(C=best.best_value).fit(X, y, weight)
    np.testing.assert_allclose(best.estimator.coef_, fitted.coef_, atol=1e-8)
    estimate = fitted.loo_estimate(method=method)
    assert best.best_loss == pytest.approx(estimate.mean_loss, rel=1e-8)
    assert best.standard_error == pytest.approx(estimate.standard_error, rel=1e-6)
    assert (np.diff(best.values) > 0).all()
    assert best.best_loss == best.losses.min()


def test_exact_loss_is_that_of_refits():
    X, y, _ = data(n=40)
    best = optimize_regularization(LogisticRegression(), X, y, method="exact")
    refit = LogisticRegression(C=best.best_value, solver="newton-cholesky", tol=1e-12)
    proba = cross_val_predict(refit, X, y, cv=LeaveOneOut(), method="predict_proba")
    assert best.best_loss == pytest.approx(log_loss(y, proba), rel=1e-8)


def test_wrappings_agree():
    X, y, _ = data()
    Z = StandardScaler().fit_transform(X)
    plain = optimize_regularization(InfluenceLogisticRegression(), Z, y)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    for estimator, param, full in [
        (pipe, "C", "logisticregression__C"),
        (pipe, "logisticregression__C", "logisticregression__C"),
        (InfluenceExplainer(pipe), "C", "estimator__logisticregression__C"),
    ]:
        best = optimize_regularization(estimator, X, y, param=param)
        assert best.param == full
        assert best.best_value == pytest.approx(plain.best_value, rel=1e-6)
        assert best.estimator.get_params()[full] == best.best_value
    assert isinstance(optimize_regularization(pipe, X, y).estimator, Pipeline)
    sparse = optimize_regularization(InfluenceLogisticRegression(), scipy.sparse.csr_array(Z), y)
    assert sparse.best_value == pytest.approx(plain.best_value, rel=1e-6)


def test_noise_ends_at_the_lower_bound():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 10)), np.arange(60) % 2
    best = optimize_regularization(InfluenceLogisticRegression(), X, y, bounds=(0.1, 10))
    assert best.at_bound
    assert best.converged
    assert best.best_value == 0.1
    assert best.gradient > 0


def test_a_row_alone_in_its_class_is_left_out():
    X, y, _ = data(n=40)
    y = y.copy()
    y[7] = 2
    with pytest.warns(RuntimeWarning, match="without row 7"):
        best = optimize_regularization(InfluenceLogisticRegression(solver="newton-cholesky"), X, y)
    assert np.isfinite(best.losses).all()
    assert best.converged


def test_frame_and_progress():
    pytest.importorskip("pandas")
    X, y, _ = data()
    seen = []

    def progress(iterable, total=None):
        seen.append(total)
        return iterable

    best = optimize_regularization(InfluenceLogisticRegression(), X, y, progress=progress)
    assert seen == [9]
    frame = best.to_frame()
    assert list(frame.columns) == ["value", "loss", "standard_error", "derivative"]
    assert len(frame) == len(best.values)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"param": "tol"}, ValueError, "should be 'C', the strength of the last step"),
        ({"param": 3}, ValueError, "param should be"),
        ({"param": "other__C"}, ValueError, "param should be"),
        ({"bounds": (1.0, 0.1)}, ValueError, "bounds should be"),
        ({"bounds": (0.0, 1.0)}, ValueError, "bounds should be"),
        ({"bounds": 3}, ValueError, "bounds should be"),
        ({"method": "auto"}, ValueError, "method should be"),
        ({"tol": -1}, ValueError, "tol should be"),
    ],
)
def test_bad_input(options, error, match):
    X, y, _ = data()
    with pytest.raises(error, match=match):
        optimize_regularization(InfluenceLogisticRegression(), X, y, **options)


def test_without_any_leave_one_out_prediction_it_says_so():
    X, y, _ = data()
    rows = [np.flatnonzero(y == label)[0] for label in (0, 1)]
    with pytest.raises(ValueError, match="without any row a class is empty"):
        optimize_regularization(InfluenceLogisticRegression(), X[rows], y[rows])
