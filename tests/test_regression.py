"""Least squares, penalised or not, in columns or a kernel, against refits without the row."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.metrics import get_scorer
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import skinfluence
from skinfluence import InfluenceExplainer, InfluenceLinearRegression, InfluenceRidge
from skinfluence.deletion.targets import target_names
from skinfluence.kernel_models import InfluenceKernelRidge
from tests.cases import weights

RBF = {"kernel": "rbf", "gamma": 0.2}
# name: (model, what scikit-learn fits instead)
MODELS = {
    "ridge": (InfluenceRidge(alpha=0.7), Ridge(alpha=0.7)),
    "ridge-no-intercept": (
        InfluenceRidge(alpha=2.0, fit_intercept=False),
        Ridge(alpha=2.0, fit_intercept=False),
    ),
    "ridge-lsqr": (InfluenceRidge(alpha=0.7, solver="lsqr"), Ridge(alpha=0.7)),
    "least squares": (InfluenceLinearRegression(), LinearRegression()),
    "kernel": (InfluenceKernelRidge(alpha=0.3, **RBF), KernelRidge(alpha=0.3, **RBF)),
    "kernel-linear": (InfluenceKernelRidge(alpha=0.3), KernelRidge(alpha=0.3)),
    "explained ridge": (InfluenceExplainer(Ridge(alpha=0.1)), Ridge(alpha=0.1)),
    "explained least squares": (InfluenceExplainer(LinearRegression()), LinearRegression()),
    "explained kernel": (
        InfluenceExplainer(KernelRidge(alpha=0.3, kernel="laplacian")),
        KernelRidge(alpha=0.3, kernel="laplacian"),
    ),
    "explained linear kernel": (InfluenceExplainer(KernelRidge()), KernelRidge()),
}


def data(n=40, p=4, n_outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X @ rng.normal(size=(p, n_outputs)) + 1.0 + rng.normal(size=(n, n_outputs))
    return X, (y[:, 0] if n_outputs == 1 else y)


def refit(model, X, y, row, w=None):
    keep = np.arange(len(y)) != row
    return clone(model).fit(X[keep], y[keep], None if w is None else w[keep])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_every_method_against_refits(name, n_outputs, weighted):
    model, original = MODELS[name]
    X, y = data(n_outputs=n_outputs)
    w = weights(0, len(y), zeros=2) if weighted else None
    model = clone(model).fit(X, y, w)
    np.testing.assert_allclose(model.predict(X), clone(original).fit(X, y, w).predict(X), atol=1e-9)
    exact = model.influence(X, target="prediction", method="exact")
    np.testing.assert_array_equal(model.influence(X, target="prediction"), exact)
    squared = model.influence(X, y, target="squared_error", method="exact")
    score = model.score_influence(X, y)
    left = model.loo_estimate()
    assert set(left.method) == {"exact"}
    for row in range(0, len(y), 3):
        without = refit(original, X, y, row, w)
        change = without.predict(X) - model.predict(X)
        np.testing.assert_allclose(exact[:, row], change, atol=1e-10)
        np.testing.assert_allclose(left.prediction[row], without.predict(X[[row]])[0], atol=1e-10)
        error = (y - without.predict(X)) ** 2 - (y - model.predict(X)) ** 2
        error = error if error.ndim == 1 else error.mean(axis=1)
        np.testing.assert_allclose(squared[:, row], error, atol=1e-9)
        np.testing.assert_allclose(score[row], without.score(X, y) - model.score(X, y), atol=1e-10)
    if weighted:
        assert (exact[:, -2:] == 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_parameters_against_refits(name):
    model, original = MODELS[name]
    for n_outputs in (1, 3):
        X, y = data(n_outputs=n_outputs)
        model = clone(model).fit(X, y)
        change = model.parameter_influence()
        for row in (0, 7, 39):
            without = refit(original, X, y, row)
            final = getattr(model, "estimator_", model)
            if hasattr(without, "coef_"):
                np.testing.assert_allclose(change.coef[row], without.coef_ - final.coef_, atol=1e-9)
                expected = without.intercept_ - final.intercept_
                np.testing.assert_allclose(change.intercept[row], expected, atol=1e-9)
            else:
                dual = np.insert(without.dual_coef_, row, 0.0, axis=0)
                np.testing.assert_allclose(change.coef[row], dual - final.dual_coef_, atol=1e-9)


def test_bias_and_weights_of_the_kernel_by_the_normal_equations():
    """The system of a least-squares support vector machine, solved anew without each row."""
    X, y = data(n=30)
    w = weights(1, 30)
    K, alpha = rbf_kernel(X, gamma=0.2), 0.4

    def solve(keep):
        m = len(keep)
        A = np.zeros((m + 1, m + 1))
        A[:m, :m] = K[np.ix_(keep, keep)] + alpha * np.diag(1.0 / w[keep])
        A[:m, m] = A[m, :m] = 1.0
        return np.linalg.solve(A, np.r_[y[keep], 0.0])

    model = InfluenceKernelRidge(alpha=alpha, fit_intercept=True, **RBF).fit(X, y, w)
    full = solve(np.arange(30))
    np.testing.assert_allclose(np.r_[model.dual_coef_, model.intercept_], full, atol=1e-10)
    left = model.loo_estimate(method="exact")
    for row in range(30):
        keep = np.delete(np.arange(30), row)
        without = solve(keep)
        expected = K[row, keep] @ without[:-1] + without[-1]
        np.testing.assert_allclose(left.prediction[row], expected, atol=1e-10)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_loo_is_ridge_cv(fit_intercept):
    """To 1e-12, unweighted; with weights RidgeCV stores w e^2."""
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), y / 100
    for alpha in (1e-3, 1.0, 100.0):
        model = InfluenceRidge(alpha=alpha, fit_intercept=fit_intercept).fit(X, y)
        left = model.loo_estimate()
        cv = RidgeCV(alphas=[alpha], store_cv_results=True, fit_intercept=fit_intercept).fit(X, y)
        np.testing.assert_allclose(2 * left.loss, cv.cv_results_[:, 0], rtol=1e-11, atol=1e-12)
        assert 2 * left.mean_loss == pytest.approx(cv.cv_results_.mean(), abs=1e-12)
    w = weights(0, len(y))
    left = InfluenceRidge(alpha=1.0).fit(X, y, w).loo_estimate()
    cv = RidgeCV(alphas=[1.0], store_cv_results=True).fit(X, y, w)
    np.testing.assert_allclose(2 * w * left.loss, cv.cv_results_[:, 0], rtol=1e-10, atol=1e-12)


def test_press_is_the_textbook():
    """e_i / (1 - h_ii), and the leverages are the hat matrix's diagonal."""
    X, y = data()
    model = InfluenceLinearRegression().fit(X, y)
    Z = np.c_[X, np.ones(len(y))]
    hat = np.diag(Z @ np.linalg.pinv(Z))
    left = model.loo_estimate()
    np.testing.assert_allclose(left.leverage, hat, atol=1e-13)
    np.testing.assert_allclose(y - left.prediction, (y - model.predict(X)) / (1 - hat), rtol=1e-11)


@pytest.mark.parametrize("name", ["ridge", "least squares", "kernel", "explained kernel"])
@pytest.mark.parametrize("storage", ["csr", "float32", "frame", "read-only"])
def test_storages(name, storage):
    X, y = data()
    model = clone(MODELS[name][0])
    expected = clone(model).fit(X, y).influence(X[:5], y[:5])
    make = {
        "csr": sp.csr_array,
        "float32": lambda X: X.astype(np.float32),
        "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
        "read-only": lambda X: np.lib.stride_tricks.as_strided(X, writeable=False),
    }[storage]
    found = model.fit(make(X), y).influence(make(X[:5]), y[:5])
    np.testing.assert_allclose(found, expected, atol=1e-4 if storage == "float32" else 1e-10)


def test_wide_designs_and_centred_data():
    X, y = data(n=20, p=60)
    model = InfluenceRidge(alpha=0.5).fit(X, y)
    exact = model.influence(X, target="prediction", method="exact")
    for row in range(20):
        change = refit(Ridge(alpha=0.5), X, y, row).predict(X) - model.predict(X)
        np.testing.assert_allclose(exact[:, row], change, atol=1e-10)
    far = X[:, :3] + 1e4  # an intercept far from the data
    model = InfluenceLinearRegression().fit(far, y)
    left = model.loo_estimate()
    expected = [refit(LinearRegression(), far, y, i).predict(far[[i]])[0] for i in range(20)]
    np.testing.assert_allclose(left.prediction, expected, atol=1e-5)


def test_leverage_of_one_is_undefined():
    X, y = data()
    X[:, 0] = 0.0
    X[3, 0] = 1.0
    model = InfluenceLinearRegression().fit(X, y)
    with pytest.warns(RuntimeWarning, match=r"1 row left undefined.*row 3"):
        left = model.loo_estimate()
    assert left.method[3] == "undefined"
    assert np.isnan(left.prediction[3])
    assert np.isfinite(np.delete(left.prediction, 3)).all()
    # A penalty makes it defined.
    assert np.isfinite(InfluenceRidge(alpha=1e-3).fit(X, y).loo_estimate().prediction).all()


def test_dependent_columns_fit_like_the_original_and_have_no_influence_on_coefficients():
    X, y = data()
    basis = InfluenceLinearRegression().fit(X, y).influence(X, y)
    X = np.c_[X, X[:, 0]]
    model = InfluenceLinearRegression().fit(X, y)
    np.testing.assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, atol=1e-10)
    np.testing.assert_allclose(model.influence(X, y), basis, atol=1e-10)
    with pytest.raises(np.linalg.LinAlgError, match="not unique"):
        model.parameter_influence()


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("target", target_names(regressor=True))
def test_targets_and_their_derivatives(target, n_outputs):
    """First order is the derivative of the target in the weight of the row."""
    X, y = data(n_outputs=n_outputs)
    y = np.abs(y) + 5.0
    model = InfluenceRidge(alpha=0.5).fit(X, y)
    first = model.influence(X[:6], y[:6], target=target, method="first_order")
    step = 1e-5
    for row in (0, 3, 11):
        moved = []
        for sign in (1.0, -1.0):
            w = np.ones(len(y))
            w[row] -= sign * step
            other = InfluenceRidge(alpha=0.5).fit(X, y, w)
            base = {"loss": lambda f: 0.5 * ((y[:6] - f) ** 2).reshape(6, -1).sum(axis=1)}
            error = {
                "prediction": lambda f: f,
                "residual": lambda f: y[:6] - f,
                "squared_error": lambda f: (y[:6] - f) ** 2,
                "absolute_error": lambda f: np.abs(y[:6] - f),
                "pinball": lambda f: 0.5 * np.abs(y[:6] - f),
                "poisson_deviance": lambda f: 2 * (y[:6] * np.log(y[:6] / f) - y[:6] + f),
            }
            value = {**error, **base}[target](other.predict(X[:6]))
            if n_outputs > 1 and target not in ("loss", "prediction", "residual"):
                value = value.mean(axis=1)
            moved.append(value)
        derivative = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(first[:, row], derivative, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("scoring", ["r2", "neg_mean_squared_error", "neg_mean_absolute_error"])
def test_scores(scoring):
    X, y = data()
    T, t = data(seed=1)
    model = InfluenceRidge().fit(X, y)
    found = model.score_influence(T, t, scoring=scoring)
    for row in (0, 9):
        without = refit(Ridge(), X, y, row)
        expected = get_scorer(scoring)(without, T, t) - get_scorer(scoring)(model, T, t)
        assert found[row] == pytest.approx(expected, abs=1e-11)
    assert model.loo_estimate(scoring=scoring).scoring == scoring


def test_groups_and_callable_targets():
    X, y = data()
    model = InfluenceRidge().fit(X, y)
    groups = np.arange(40) // 8
    joint = model.group_influence(groups, X, target="prediction", method="exact")
    np.testing.assert_allclose(
        model.group_influence(groups, X, target="prediction"), joint, atol=1e-12
    )
    left = model.loo_estimate(groups=groups)
    for k in range(5):
        keep = groups != k
        without = Ridge().fit(X[keep], y[keep])
        np.testing.assert_allclose(joint[:, k], without.predict(X) - model.predict(X), atol=1e-11)
        np.testing.assert_allclose(left.prediction[~keep], without.predict(X[~keep]), atol=1e-11)
    cubes = model.influence(X[:4], y[:4], target=lambda y, f: np.abs(y - f) ** 3)
    exact = model.influence(X[:4], target="prediction")
    before = model.predict(X[:4])[:, None]
    expected = np.abs(y[:4, None] - before - exact) ** 3 - np.abs(y[:4, None] - before) ** 3
    np.testing.assert_allclose(cubes, expected, atol=1e-10)


def test_pipelines_searches_and_frozen_models():
    X, y = data()
    pipe = make_pipeline(StandardScaler(), Ridge(alpha=0.3))
    explainer = InfluenceExplainer(pipe).fit(X, y)
    assert explainer.influence(X[:3], y[:3]).shape == (3, 40)
    frozen = InfluenceExplainer(FrozenEstimator(pipe.fit(X, y))).fit(X, y)
    np.testing.assert_allclose(frozen.influence(X[:3], y[:3]), explainer.influence(X[:3], y[:3]))
    search = GridSearchCV(InfluenceRidge(), {"alpha": [0.1, 1.0]}).fit(X, y)
    assert search.best_estimator_.loo_estimate().score > 0
    kernel = InfluenceExplainer(make_pipeline(StandardScaler(), KernelRidge(kernel="rbf")))
    assert kernel.fit(X, y).loo_estimate().prediction.shape == (40,)


def test_precomputed_kernels():
    X, y = data()
    K, alpha = laplacian_kernel(X), 0.3
    model = InfluenceKernelRidge(alpha=alpha, kernel="precomputed", fit_intercept=True).fit(K, y)
    named = InfluenceKernelRidge(alpha=alpha, kernel="laplacian", fit_intercept=True).fit(X, y)
    np.testing.assert_allclose(
        model.influence(K[:4], y[:4]), named.influence(X[:4], y[:4]), atol=1e-11
    )
    explained = InfluenceExplainer(KernelRidge(alpha=alpha, kernel="precomputed")).fit(K, y)
    assert explained.influence(K[:4], y[:4]).shape == (4, 40)
    result = cross_validate(model, K, y, return_estimator=True)
    assert result["estimator"][0].dual_coef_.shape == (32,)
    with pytest.raises(ValueError, match="indefinite"):  # scikit-learn has no such intercept
        InfluenceKernelRidge(kernel="precomputed", fit_intercept=True).fit(-K, y)
    original = KernelRidge(kernel="precomputed", alpha=0.5)
    with pytest.warns(UserWarning, match="Singular matrix"):
        original.fit(-K, y)
    with pytest.warns(UserWarning, match="Singular matrix"):
        indefinite = InfluenceKernelRidge(kernel="precomputed", alpha=0.5).fit(-K, y)
    np.testing.assert_array_equal(indefinite.predict(-K), original.predict(-K))
    with pytest.raises(ValueError, match="indefinite"):
        indefinite.influence(-K, y)

    def rows(a, b):
        return float(a @ b + 1.0)

    by_function = InfluenceKernelRidge(kernel=rows, alpha=alpha).fit(X, y)
    expected = KernelRidge(kernel=rows, alpha=alpha).fit(X, y).predict(X[:5])
    np.testing.assert_allclose(by_function.predict(X[:5]), expected, atol=1e-9)


def test_frames_of_parameters_and_one_weight_for_all():
    X, y = data()
    Y = np.c_[y, y**2]
    flat = InfluenceRidge().fit(X, y).parameter_influence()
    np.testing.assert_array_equal(flat.to_frame()["x2"], flat.coef[:, 2])
    several = InfluenceRidge().fit(X, Y).parameter_influence()
    np.testing.assert_array_equal(several.to_frame()["x2[1]"], several.coef[:, 1, 2])
    dual = InfluenceKernelRidge(kernel="rbf").fit(X, Y).parameter_influence()
    np.testing.assert_array_equal(dual.to_frame()["x7[1]"], dual.coef[:, 7, 1])
    one = InfluenceRidge(alpha=2.0).fit(X, y, 2.0).loo_estimate()
    np.testing.assert_allclose(one.loss, InfluenceRidge().fit(X, y).loo_estimate().loss)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_kernel_ridge_without_a_penalty_is_scikit_learns(kernel):
    X, y = data()
    original, model = (
        KernelRidge(alpha=0.0, kernel=kernel),
        InfluenceKernelRidge(alpha=0.0, kernel=kernel),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of a singular kernel
        original.fit(X, y)
        model.fit(X, y)
        explainer = InfluenceExplainer(original).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), original.predict(X))
    assert model.dual_coef_.shape == (40,)
    for asked in (model, skinfluence.explain(model), explainer):
        with pytest.raises(NotImplementedError, match=r"alpha=0\.0 is not available"):
            asked.influence(X, y)
    again = model.set_params(alpha=1.0).fit(X, y)
    assert np.isfinite(again.influence(X, y)).all()


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_kernel_ridge_with_an_alpha_for_each_target(fit_intercept):
    X, y = data()
    Y, w = np.c_[y, y**2], np.r_[np.full(20, 2.0), np.ones(20)]
    options = {"kernel": "rbf", "gamma": 0.2}
    intercept = {"fit_intercept": True} if fit_intercept else {}
    model = InfluenceKernelRidge(alpha=[0.3, 2.0], **options, **intercept).fit(X, Y, w)
    influence = model.influence(X[:5], Y[:5], target="prediction", method="exact")
    change = model.parameter_influence(method="exact")
    for k, alpha in enumerate((0.3, 2.0)):
        one = InfluenceKernelRidge(alpha=alpha, **options, **intercept).fit(X, Y[:, k], w)
        np.testing.assert_allclose(model.dual_coef_[:, k], one.dual_coef_, atol=1e-11)
        own = one.influence(X[:5], Y[:5, k], target="prediction", method="exact")
        np.testing.assert_allclose(influence[..., k], own, atol=1e-11)
        own = one.parameter_influence(method="exact").coef
        np.testing.assert_allclose(change.coef[:, :, k], own, atol=1e-10)
    if not fit_intercept:
        original = KernelRidge(alpha=[0.3, 2.0], **options).fit(X, Y, w)
        np.testing.assert_allclose(model.dual_coef_, original.dual_coef_, atol=1e-10)
        again = InfluenceExplainer(KernelRidge(alpha=[0.3, 2.0], **options)).fit(X, Y, w)
        again = again.influence(X[:5], Y[:5], target="prediction", method="exact")
        np.testing.assert_allclose(again, influence, atol=1e-10)
        keep = np.arange(40) != 7
        refit = KernelRidge(alpha=[0.3, 2.0], **options).fit(X[keep], Y[keep], w[keep])
        np.testing.assert_allclose(
            influence[:, 7], refit.predict(X[:5]) - model.predict(X[:5]), atol=1e-10
        )


def test_pickles_keep_the_answers():
    X, y = data()
    for model in (InfluenceRidge(), InfluenceKernelRidge(kernel="rbf", gamma=0.2)):
        model.fit(X, y)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_allclose(again.influence(X, y), model.influence(X, y), atol=1e-13)


def test_overwriting_fits_keep_the_data():
    X, y = data()
    kept = X.copy()
    model = InfluenceRidge(copy_X=False).fit(X, y)
    np.testing.assert_array_equal(X, kept)
    assert np.isfinite(model.influence(X, y)).all()


def test_refusals():
    X, y = data()
    with pytest.raises(NotImplementedError, match="positive=True"):
        InfluenceRidge(positive=True).fit(X, y).influence(X, y)
    Y = np.c_[y, y]
    model = InfluenceRidge().fit(X, y)
    with pytest.raises(ValueError, match="y_test has 2 outputs"):
        model.influence(X, Y)
    with pytest.raises(ValueError, match="target should be one of 'loss', 'prediction'"):
        model.influence(X, y, target="margin")
    with pytest.raises(ValueError, match="alpha should be finite and at least 0"):
        InfluenceKernelRidge(alpha=-1.0).fit(X, y)
    with pytest.raises(TypeError, match="alpha should be a number, or one a target"):
        InfluenceKernelRidge(alpha="1").fit(X, y)
    with pytest.raises(ValueError, match="one for each of the 2 targets; got 3"):
        InfluenceKernelRidge(alpha=[1.0, 2.0, 3.0]).fit(X, Y)
    with pytest.raises(ValueError, match=r"alpha=0\.0 is not available"):
        InfluenceKernelRidge(alpha=0.0, fit_intercept=True).fit(X, y)
    with pytest.raises(ValueError, match="y_test should be finite"):
        model.influence(X[:1], [np.nan])
