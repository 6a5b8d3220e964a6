"""Covariances against statsmodels and refits; prediction intervals against n refits."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import LeaveOneOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skinfluence
from skinfluence import (
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceTweedieRegressor,
)
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.svm import SmoothHingeSVC
from skinfluence.uncertainty import _intervals
from tests.cases import problem, weights


def data(n=50, p=3, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    noise = rng.normal(size=(n, n_outputs)) * (1.0 + np.abs(X[:, :1]))
    y = X @ rng.normal(size=(p, n_outputs)) + 1.0 + noise
    return X, (y[:, 0] if n_outputs == 1 else y)


def parameters(model):
    """Intercept first, class by class."""
    coef, intercept = np.atleast_2d(model.coef_), np.reshape(model.intercept_, (-1, 1))
    return np.hstack([np.broadcast_to(intercept, (len(coef), 1)), coef]).ravel()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["model", "HC0", "HC1", "HC2", "HC3"])
def test_least_squares_as_in_statsmodels(kind, weighted):
    api = pytest.importorskip("statsmodels.api")
    X, y = data()
    w = weights(0, len(y)) if weighted else np.ones(len(y))
    theirs = api.WLS(y, api.add_constant(X), weights=w).fit()
    expected = theirs.cov_params() if kind == "model" else getattr(theirs, f"cov_{kind}")
    found = InfluenceLinearRegression().fit(X, y, w).parameter_covariance(kind)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-9)
    np.testing.assert_allclose(found.estimate, theirs.params, rtol=1e-9)
    assert found.names == ("const", "x0", "x1", "x2")


@pytest.mark.parametrize("small_sample", [False, True])
def test_clusters_as_in_statsmodels(small_sample):
    api = pytest.importorskip("statsmodels.api")
    X, y = data()
    groups = np.arange(50) % 7
    theirs = api.OLS(y, api.add_constant(X)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": small_sample}
    )
    model = InfluenceLinearRegression().fit(X, y)
    found = model.parameter_covariance("CR0", groups=groups, small_sample=small_sample)
    np.testing.assert_allclose(found.matrix, theirs.cov_params(), rtol=1e-9)


@pytest.mark.parametrize("kind", ["model", "HC0"])
@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_likelihoods_as_in_statsmodels(family, kind):
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(0)
    X, y = data(n=120)
    if family == "logistic":
        y = (y + rng.logistic(size=120) > 1).astype(int)
        model = InfluenceLogisticRegression(C=np.inf).fit(X, y)
        known = api.families.Binomial()
    else:
        y = rng.poisson(np.exp(0.3 * X[:, 0] + 1))
        model, known = InfluencePoissonRegressor(alpha=0).fit(X, y), api.families.Poisson()
    theirs = api.GLM(y, api.add_constant(X), family=known).fit(
        tol=1e-13, maxiter=100, cov_type="nonrobust" if kind == "model" else "HC0"
    )
    found = model.parameter_covariance(kind)
    np.testing.assert_allclose(found.matrix, theirs.cov_params(), rtol=1e-7)


def test_gamma_has_an_estimated_dispersion_and_the_observed_curvature():
    rng = np.random.default_rng(0)
    X, _ = data(n=120)
    y = np.exp(0.3 * X[:, 0]) * rng.gamma(2.0, size=120)
    model = InfluenceGammaRegressor(alpha=0, max_iter=1000).fit(X, y)
    Z, mean = np.c_[np.ones(120), X], model.predict(X)
    H = Z.T @ ((y / mean)[:, None] * Z)
    phi = np.sum((y / mean - 1) ** 2) / (120 - 4)
    found = model.parameter_covariance("model")
    np.testing.assert_allclose(found.matrix, phi * np.linalg.inv(H), rtol=1e-9)


CASES = {
    "ridge": (InfluenceRidge(alpha=2.0), Ridge(alpha=2.0), 1),
    "two responses": (InfluenceRidge(alpha=2.0), Ridge(alpha=2.0), 2),
    "no intercept": (
        InfluenceLinearRegression(fit_intercept=False),
        LinearRegression(fit_intercept=False),
        1,
    ),
    "poisson": (
        InfluencePoissonRegressor(alpha=0.1),
        PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-12, max_iter=100),
        0,
    ),
}


def case(name):
    ours, theirs, n_outputs = CASES[name]
    X, y = data(n_outputs=max(1, n_outputs))
    if not n_outputs:
        y = np.random.default_rng(0).poisson(np.exp(0.5 * X[:, 0] + 0.5))
    return X, y, clone(ours), clone(theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_jackknives_are_sums_over_refits(name, weighted):
    X, y, ours, theirs = case(name)
    w = weights(0, len(y), zeros=3) if weighted else None
    model = ours.fit(X, y, w)
    used = np.arange(len(y) - 3) if weighted else np.arange(len(y))

    def fitted(keep):
        found = parameters(clone(theirs).fit(X[keep], y[keep], None if w is None else w[keep]))
        if name != "no intercept":
            return found
        return found[1:]

    full = fitted(used)
    refits = np.array([fitted(np.delete(used, i)) for i in range(len(used))])
    n = len(used)
    jackknife = model.parameter_covariance("jackknife").matrix
    expected = (n - 1) / n * (refits - refits.mean(axis=0)).T @ (refits - refits.mean(axis=0))
    np.testing.assert_allclose(jackknife, expected, rtol=1e-6, atol=1e-9)
    if name != "poisson":
        about = (refits - full).T @ (refits - full)
        np.testing.assert_allclose(model.parameter_covariance("HC3").matrix, about, rtol=1e-8)
    groups = np.arange(len(y)) % 6
    found = model.parameter_covariance("CR3", groups=groups).matrix
    clusters = np.array([fitted(used[groups[used] != g]) - full for g in range(6)])
    np.testing.assert_allclose(found, clusters.T @ clusters, rtol=1e-6, atol=1e-9)
    small = model.parameter_covariance("CR3", groups=groups, small_sample=True).matrix
    np.testing.assert_allclose(small, found * 5 / 6)
    infinitesimal = model.parameter_covariance("infinitesimal_jackknife").matrix
    first = model.parameter_influence(method="first_order")
    moved = np.concatenate(
        [
            np.reshape(first.intercept, (len(y), -1, 1)),
            np.reshape(first.coef, (len(y), -1, X.shape[1])),
        ],
        axis=2,
    )
    moved = moved[:, :, 1:] if name == "no intercept" else moved
    moved = moved.reshape(len(y), -1)
    np.testing.assert_allclose(infinitesimal, moved.T @ moved, rtol=1e-9)
    np.testing.assert_array_equal(model.parameter_covariance("sandwich").matrix, infinitesimal)


def test_correlated_responses_and_softmax():
    X, y = data(n_outputs=2)
    model = InfluenceLinearRegression().fit(X, y)
    Z = np.c_[np.ones(50), X]
    residual = y - model.predict(X)
    expected = np.kron(residual.T @ residual / (50 - 4), np.linalg.inv(Z.T @ Z))
    np.testing.assert_allclose(model.parameter_covariance("model").matrix, expected, rtol=1e-9)
    # A softmax without penalty: contrasts of classes as statsmodels' MNLogit has them.
    api = pytest.importorskip("statsmodels.api")
    X, y = problem(n=200, n_classes=3)
    model = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    found = model.parameter_covariance("model")
    theirs = api.MNLogit(y, api.add_constant(X)).fit(disp=0, tol=1e-10, method="newton")
    contrast = np.kron([[-1, 1, 0], [-1, 0, 1]], np.eye(5))
    np.testing.assert_allclose(
        contrast @ found.matrix @ contrast.T, np.asarray(theirs.cov_params()), rtol=1e-6
    )
    assert found.names[:2] == ("0: const", "0: x0")
    robust = model.parameter_covariance("HC2").matrix
    inner = model.parameter_covariance("HC0").matrix, model.parameter_covariance("HC3").matrix
    diagonals = [np.diag(m) for m in (inner[0], robust, inner[1])]
    assert (diagonals[0] < diagonals[1]).all()
    assert (diagonals[1] < diagonals[2]).all()


def test_covariances_say_what_they_cannot_do():
    X, y = data()
    model = InfluenceLinearRegression().fit(X, y)
    with pytest.raises(ValueError, match="kind should be one of"):
        model.parameter_covariance("HC9")
    with pytest.raises(ValueError, match="groups are the clusters"):
        model.parameter_covariance("CR0")
    with pytest.raises(ValueError, match="groups are the clusters"):
        model.parameter_covariance("HC0", groups=np.zeros(50))
    with pytest.raises(ValueError, match="at least two clusters"):
        model.parameter_covariance("CR3", groups=np.zeros(50))
    with pytest.raises(NotImplementedError, match="kernel machine"):
        InfluenceKernelRidge(kernel="rbf").fit(X, y).parameter_covariance()
    with pytest.raises(NotImplementedError, match="likelihood"):
        SmoothHingeSVC(temperature=0.5).fit(X, y > 1).parameter_covariance("model")
    with pytest.raises(NotImplementedError, match="kinks"):
        SmoothHingeSVC(loss="hinge").fit(X, y > 1).parameter_covariance("HC0")
    alone = np.c_[X, np.arange(50) == 3]
    lonely = InfluenceLinearRegression().fit(alone, y)
    with pytest.raises(np.linalg.LinAlgError, match="rows 3 have a leverage of 1"):
        lonely.parameter_covariance("HC3")
    with pytest.raises(ValueError, match="without rows 3"):
        lonely.parameter_covariance("jackknife")
    with pytest.raises(ValueError, match="more rows than parameters"):
        InfluenceRidge().fit(X[:4], y[:4]).parameter_covariance("HC1")


def test_frames_names_and_views():
    X, y = data()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = InfluenceRidge().fit(frame, y)
    found = model.parameter_covariance("HC3")
    table = found.to_frame()
    assert list(table.index) == list(table.columns) == ["const", "a", "b", "c"]
    np.testing.assert_array_equal(table.to_numpy(), found.matrix)
    np.testing.assert_allclose(found.standard_error**2, np.diag(found.matrix))
    sparse = InfluenceRidge().fit(sp.csr_matrix(X), y).parameter_covariance("HC3")
    np.testing.assert_allclose(sparse.matrix, found.matrix, rtol=1e-10)
    by_function = skinfluence.parameter_covariance(model, "HC3").matrix
    np.testing.assert_array_equal(by_function, found.matrix)
    lasso = InfluenceLasso(alpha=0.5).fit(X, y)
    variance = np.diag(lasso.parameter_covariance("HC0").matrix)
    assert ((variance > 0) == np.r_[True, lasso.coef_ != 0]).all()


# -- intervals -------------------------------------------------------------------------------------


def barber(original, X, y, w, T, alpha, method):
    """The definitions of Barber et al. (2021), from n refits."""
    used = np.flatnonzero(w > 0) if w is not None else np.arange(len(y))
    n = len(used)
    predictions, residuals = [], []
    for i in used:
        keep = np.setdiff1d(used, i)
        model = clone(original).fit(X[keep], y[keep], None if w is None else w[keep])
        predictions.append(model.predict(T))
        residuals.append(np.abs(y[i] - model.predict(X[[i]])[0]))
        if w is not None and isinstance(original, PoissonRegressor):  # w are exposures
            residuals[-1] *= np.sqrt(w[i])
    predictions, residuals = np.array(predictions), np.array(residuals)
    position = int(np.ceil(round((1 - alpha) * (n + 1), 9)))

    def largest(values):
        return np.sort(values, axis=0)[position - 1] if position <= n else np.inf

    if method == "jackknife+":
        extra = residuals.reshape(n, 1, *residuals.shape[1:])
        return -largest(-(predictions - extra)), largest(predictions + extra)
    width = largest(residuals)
    if method == "jackknife-minmax":
        return predictions.min(axis=0) - width, predictions.max(axis=0) + width
    full = clone(original).fit(X[used], y[used], None if w is None else w[used]).predict(T)
    return full - width, full + width


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["jackknife+", "jackknife", "jackknife-minmax"])
@pytest.mark.parametrize("name", CASES)
def test_intervals_are_those_of_refits(name, method, weighted):
    X, y, ours, theirs = case(name)
    w = weights(0, len(y), zeros=3) if weighted else None
    T = data(seed=5)[0][:8]
    model = ours.fit(X, y, w)
    for alpha in (0.1, 0.25, 0.5, 1 / 51):
        low, high = barber(theirs, X, y, w, T, alpha, method)
        low = np.maximum(low, 0.0) if name == "poisson" else low
        found = model.prediction_interval(T, alpha, method=method)
        np.testing.assert_allclose(found[:, 0], np.broadcast_to(low, found[:, 0].shape), atol=1e-6)
        np.testing.assert_allclose(found[:, 1], np.broadcast_to(high, found[:, 1].shape), atol=1e-6)
        if name != "poisson" and np.isfinite(found).all():
            np.testing.assert_allclose(found[:, 0], low, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_intervals_as_in_mapie(alpha):
    mapie = pytest.importorskip("mapie.regression")
    X, y = data()
    T = data(seed=5)[0]
    theirs = mapie.CrossConformalRegressor(
        Ridge(alpha=2.0), confidence_level=1 - alpha, method="plus", cv=LeaveOneOut()
    )
    expected = theirs.fit_conformalize(X, y).predict_interval(T)[1][:, :, 0]
    found = InfluenceRidge(alpha=2.0).fit(X, y).prediction_interval(T, alpha)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_small_alphas_have_infinite_ends():
    X, y = data(n=18)
    model = InfluenceRidge().fit(X, y)
    assert np.isinf(model.prediction_interval(X[:3], 0.05)).all()
    assert np.isfinite(model.prediction_interval(X[:3], 1 / 19)).all()


def test_coverage():
    """At least 1 - 2 alpha, near 1 - alpha; the minmax one more than that."""
    rng = np.random.default_rng(0)
    inside = {"jackknife+": [], "jackknife-minmax": []}
    for _ in range(150):
        X = rng.normal(size=(41, 20))
        y = X[:, 0] + rng.standard_t(4, size=41)
        model = InfluenceRidge(alpha=0.1).fit(X[:40], y[:40])
        for method, found in inside.items():
            low, high = model.prediction_interval(X[40:], 0.2, method=method)[0]
            found.append(low <= y[40] <= high)
    assert 0.74 < np.mean(inside["jackknife+"]) < 0.9
    assert np.mean(inside["jackknife-minmax"]) > 0.8


def test_intervals_of_pipelines_and_undefined_rows():
    X, y = data()
    pipe = make_pipeline(StandardScaler(), Ridge(alpha=2.0))
    explainer = InfluenceExplainer(pipe).fit(X, y)
    inner = InfluenceRidge(alpha=2.0).fit(StandardScaler().fit_transform(X), y)
    expected = inner.prediction_interval(StandardScaler().fit(X).transform(X[:4]), 0.2)
    np.testing.assert_allclose(explainer.prediction_interval(X[:4], 0.2), expected, atol=1e-12)
    lonely = InfluenceLinearRegression().fit(np.c_[X, np.arange(50) == 3], y)
    T = np.c_[X, np.zeros(50)]
    with pytest.warns(RuntimeWarning, match="row 3"):
        widest = lonely.prediction_interval(T, 0.1, method="jackknife-minmax")
    assert np.isinf(widest).all()
    with pytest.warns(RuntimeWarning, match="row 3"):
        assert np.isfinite(lonely.prediction_interval(T, 0.1)).all()


def test_an_undefined_row_counts_as_the_largest_residual():
    X, y = data()
    Z = np.c_[X, np.arange(50) == 3].astype(float)
    model, T = InfluenceLinearRegression().fit(Z, y), np.c_[X[:6], np.zeros(6)]
    residual = np.full(50, np.inf)
    for row in np.delete(np.arange(50), 3):
        rest = LinearRegression().fit(np.delete(Z, row, axis=0), np.delete(y, row))
        residual[row] = abs(y[row] - rest.predict(Z[[row]])[0])
    for level in (0.1, 0.5):
        width = np.sort(residual)[int(np.ceil((1 - level) * 51)) - 1]
        with pytest.warns(RuntimeWarning, match="row 3"):
            found = model.prediction_interval(T, level, method="jackknife")
        expected = model.predict(T)[:, None] + [-width, width]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_intervals_are_for_regressors_and_check_their_arguments():
    X, y = data()
    assert not hasattr(InfluenceLogisticRegression(), "prediction_interval")
    assert not hasattr(InfluenceExplainer(LogisticRegression()), "prediction_interval")
    assert hasattr(InfluenceExplainer(Ridge()), "prediction_interval")
    model = InfluenceRidge().fit(X, y)
    for alpha in (0, 1, -0.1, "a", True, np.nan):
        with pytest.raises(ValueError, match="alpha should be a number between"):
            model.prediction_interval(X, alpha)
    with pytest.raises(ValueError, match="method should be one of"):
        model.prediction_interval(X, method="cv+")
    kernel = InfluenceKernelRidge(kernel="rbf", alpha=0.1).fit(X, y)
    assert kernel.prediction_interval(X[:3]).shape == (3, 2)
    assert skinfluence.prediction_interval(model, X[:3]).shape == (3, 2)


# -- counts, exposures -----------------------------------------------------------------------------


def claims(seed, n=600, low=0.2, high=5.0):
    """Rows, rates of counts, exposures: half of them low, half high."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    exposure = np.where(rng.uniform(size=n) < 0.5, low, high) * rng.uniform(0.8, 1.25, size=n)
    counts = rng.poisson(exposure * np.exp(X @ [0.3, -0.2] + 1.2))
    return X, counts / exposure, exposure


@pytest.mark.parametrize("method", ["jackknife+", "jackknife", "jackknife-minmax"])
def test_coverage_given_the_exposure(method):
    inside = {True: [], False: []}
    for seed in range(12):
        X, y, w = claims(seed)
        model = InfluencePoissonRegressor(alpha=1e-3).fit(X[:300], y[:300], w[:300])
        ends = model.prediction_interval(X[300:], 0.1, method=method, test_sample_weight=w[300:])
        covered = (ends[:, 0] <= y[300:]) & (y[300:] <= ends[:, 1])
        for is_low in inside:
            inside[is_low] += covered[(w[300:] < 1) == is_low].tolist()
    for covered in inside.values():  # .81 and 1.00 where residuals are not scaled
        assert 0.86 < np.mean(covered) < 0.95


def test_scaled_intervals_are_those_of_refits():
    X, y, w = claims(5, n=40)
    T, exposure = X[30:], w[30:]
    model = InfluencePoissonRegressor(alpha=0.1).fit(X[:30], y[:30], w[:30])
    found = model.prediction_interval(T, 0.2, test_sample_weight=exposure)
    low, high = [], []
    for row in range(30):
        keep = np.arange(30) != row
        left = PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=1000)
        left.fit(X[:30][keep], y[:30][keep], w[:30][keep])
        own = np.sqrt(w[row]) * abs(y[row] - left.predict(X[[row]])[0])
        low.append(left.predict(T) - own / np.sqrt(exposure))
        high.append(left.predict(T) + own / np.sqrt(exposure))
    k = int(np.ceil(0.8 * 31))
    expected = np.column_stack(
        [-np.sort(-np.array(low), axis=0)[k - 1], np.sort(high, axis=0)[k - 1]]
    )
    np.testing.assert_allclose(found, np.maximum(expected, 0.0), atol=1e-6)


def test_ends_are_in_the_range_of_the_responses():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = rng.poisson(np.exp(0.2 * X[:, 0]))
    for method in ("jackknife+", "jackknife", "jackknife-minmax"):
        found = InfluencePoissonRegressor().fit(X, y).prediction_interval(X, 0.1, method=method)
        assert (found[:, 0] == 0).any()
        assert (found >= 0).all()
        normal = InfluenceTweedieRegressor(power=0).fit(X, y - 1.0)
        assert (normal.prediction_interval(X, 0.1, method=method)[:, 0] < 0).all()
    assert (InfluenceRidge().fit(X, y).prediction_interval(X)[:, 0] < 0).any()


def test_weights_of_test_rows_are_checked():
    X, y, w = claims(1, n=30)
    model = InfluencePoissonRegressor().fit(X, y, w)
    with pytest.raises(ValueError, match=r"test_sample_weight should be positive.*row 2"):
        model.prediction_interval(X, test_sample_weight=np.where(np.arange(30) == 2, 0.0, 1.0))
    with pytest.raises(ValueError, match="test_sample_weight are exposures"):
        InfluenceRidge().fit(X, y).prediction_interval(X, test_sample_weight=w)
    with pytest.raises(ValueError, match=r"should have shape \(3,\)"):
        model.prediction_interval(X[:3], test_sample_weight=w)


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.5, 0.9])
def test_screened_intervals_are_those_of_all_models(alpha, monkeypatch):
    rng = np.random.default_rng(0)
    for n, p, weighted in ((40, 3, False), (300, 20, True), (60, 80, False)):
        X, T = rng.normal(size=(n, p)), rng.normal(size=(50, p))
        X[0], T[1] = 20.0 * X[0], 100.0 * T[1]  # rows far out, in training and in test
        y = X @ rng.normal(size=p) + rng.normal(size=n)
        weight = rng.integers(0, 3, n).astype(float) if weighted else None
        model = InfluenceRidge(alpha=2.0).fit(X, y, sample_weight=weight)
        found = model.prediction_interval(T, alpha=alpha)
        with monkeypatch.context() as patch:
            patch.setattr(_intervals, "_can_screen", lambda *_: False)
            expected = model.prediction_interval(T, alpha=alpha)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
