"""Case-deletion diagnostics against refits, R, SAS and statsmodels."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceTweedieRegressor,
    LeverageBlocks,
    case_deletion_diagnostics,
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, weights

REFERENCE = Path(__file__).parent / "reference"
FRAME = (
    *("leverage", "residual", "standardized_residual", "studentized_residual", "cooks_distance"),
    *("dffits", "dfbeta", "dfbetas", "covratio", "sigma_without", "deleted_residual"),
)


def data(n=40, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 2.0
    return X, X @ rng.normal(size=p) + 1.0 + rng.normal(size=n)


class Fitted:
    """Weighted ridge by the normal equations, on some of the rows: nothing is shared with us."""

    def __init__(self, X, y, w, alpha, fit_intercept=True):
        Z = np.column_stack([np.ones(len(X)), X]) if fit_intercept else X
        penalty = np.full(Z.shape[1], alpha)
        if fit_intercept:
            penalty[0] = 0.0
        self.H = Z.T @ (w[:, None] * Z) + np.diag(penalty)
        self.theta = np.linalg.solve(self.H, Z.T @ (w * y))
        self.inverse = np.linalg.inv(self.H)
        self.trace = np.trace(self.inverse @ Z.T @ (w[:, None] * Z))
        squares = np.sum(w * (y - Z @ self.theta) ** 2)
        self.s = np.sqrt(squares / ((w > 0).sum() - self.trace))
        self.Z = Z


MODELS = {
    "least squares": (lambda: InfluenceLinearRegression(), 0.0, True, False),
    "weighted": (lambda: InfluenceLinearRegression(), 0.0, True, True),
    "no intercept": (lambda: InfluenceLinearRegression(fit_intercept=False), 0.0, False, True),
    "ridge": (lambda: InfluenceRidge(alpha=3.0), 3.0, True, False),
    "weighted ridge": (lambda: InfluenceRidge(alpha=3.0), 3.0, True, True),
    "explained": (lambda: InfluenceExplainer(LinearRegression()), 0.0, True, True),
    "explained ridge": (lambda: InfluenceExplainer(Ridge(alpha=0.5)), 0.5, True, True),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_least_squares_against_refits(name, storage):
    make, alpha, fit_intercept, weighted = MODELS[name]
    X, y = data()
    w = weights(1, len(y), zeros=2) if weighted else np.ones(len(y))
    found = make().fit(storage(X), y, w if weighted else None).case_deletion_diagnostics()
    full = Fitted(X, y, w, alpha, fit_intercept)
    p, q = full.trace, len(full.theta)
    assert found.sigma == pytest.approx(full.s, rel=1e-11)
    assert found.n_effective_parameters == pytest.approx(p, rel=1e-11)
    np.testing.assert_allclose(
        found.standard_error, full.s * np.sqrt(np.diag(full.inverse)), rtol=1e-10
    )
    press = 0.0
    for i in np.flatnonzero(w > 0):
        keep = np.arange(len(y)) != i
        left = Fitted(X[keep], y[keep], w[keep], alpha, fit_intercept)
        d = full.theta - left.theta
        z = full.Z[i]
        expected = {
            "leverage": w[i] * z @ full.inverse @ z,
            "dfbeta": d,
            "dfbetas": d / (left.s * np.sqrt(np.diag(full.inverse))),
            "sigma_without": left.s,
            "deleted_residual": y[i] - z @ left.theta,
            "dffits": z @ d / (left.s * np.sqrt(z @ full.inverse @ z)),
            "cooks_distance": d @ full.H @ d / (p * full.s**2),
            "covratio": (left.s / full.s) ** (2 * q)
            * np.linalg.det(left.inverse)
            / np.linalg.det(full.inverse),
        }
        for key, value in expected.items():
            np.testing.assert_allclose(
                getattr(found, key)[i], value, rtol=1e-10, atol=1e-12, err_msg=key
            )
        # The t test of a mean shift: the deleted residual in its own standard error.
        if alpha == 0:
            error = left.s * np.sqrt(1 / w[i] + z @ left.inverse @ z)
            t = (y[i] - z @ left.theta) / error
            assert found.studentized_residual[i] == pytest.approx(t, rel=1e-10)
        press += w[i] * expected["deleted_residual"] ** 2
    assert found.press == pytest.approx(press, rel=1e-10)


def test_rows_of_weight_zero_are_no_part_of_the_fit():
    X, y = data()
    w = weights(1, len(y), zeros=2)
    found = InfluenceLinearRegression().fit(X, y, w).case_deletion_diagnostics()
    short = InfluenceLinearRegression().fit(X[:-2], y[:-2], w[:-2]).case_deletion_diagnostics()
    for name in FRAME:
        np.testing.assert_allclose(getattr(found, name)[:-2], getattr(short, name), rtol=1e-9)
    for name in ("leverage", "cooks_distance", "dffits", "dfbeta", "dfbetas"):
        assert (getattr(found, name)[-2:] == 0).all()
    assert (found.covratio[-2:] == 1).all()
    assert np.isnan(found.studentized_residual[-2:]).all()
    assert np.isnan(found.standardized_residual[-2:]).all()
    assert found.n_used == 38
    for rule in ("leverage", "high_leverage", "cooks", "dffits", "dfbetas", "covratio", "outlier"):
        assert not found.influential(rule)[-2:].any()


@pytest.mark.parametrize("C", [0.7, np.inf])
@pytest.mark.parametrize("explained", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_is_newtons_step(C, explained, weighted):
    X, y = problem(n=90, seed=6)
    w = weights(0, len(y), zeros=2) if weighted else None
    if explained:
        clf = InfluenceExplainer(LogisticRegression(C=C, tol=1e-10)).fit(X, y, w)
    else:
        clf = InfluenceLogisticRegression(C=C).fit(X, y, w)
    found = clf.case_deletion_diagnostics()
    newton = clf.parameter_influence(method="newton")
    np.testing.assert_allclose(found.dfbeta[:, 0], -newton.intercept[:, 0], atol=1e-12)
    np.testing.assert_allclose(found.dfbeta[:, 1:], -newton.coef[:, 0], atol=1e-12)
    loo = clf.loo_estimate(method="newton")
    np.testing.assert_allclose(found.leverage, loo.leverage, atol=1e-12)
    prob = 1 / (1 + np.exp(-loo.decision_function))
    np.testing.assert_allclose(found.deleted_residual, y - prob, atol=1e-12)
    # By hand, from the probabilities.
    w = np.ones(len(y)) if w is None else w
    used = w > 0
    mu = clf.predict_proba(X)[:, 1]
    V, h = mu * (1 - mu), found.leverage
    pearson = np.sqrt(w / V) * (y - mu)
    np.testing.assert_allclose(found.pearson_residual, pearson, atol=1e-5 if explained else 1e-10)
    pearson = found.pearson_residual
    np.testing.assert_allclose(
        found.standardized_residual[used], (pearson / np.sqrt(1 - h))[used], rtol=1e-9
    )
    Z = np.column_stack([np.ones(len(X)), X])
    strength = np.r_[0.0, np.full(4, 0.0 if np.isinf(C) else 1 / C)]
    p = h.sum()
    assert found.n_effective_parameters == pytest.approx(p, rel=1e-9)
    H = Z.T @ ((w * V)[:, None] * Z) + np.diag(strength)
    d = found.dfbeta
    cook = np.einsum("ij,jk,ik->i", d, H, d) / p
    np.testing.assert_allclose(found.cooks_distance, cook, rtol=1e-4, atol=1e-12)
    change = np.einsum("ij,ij->i", Z, d) / np.sqrt(
        np.einsum("ij,ji->i", Z, np.linalg.solve(H, Z.T))
    )
    np.testing.assert_allclose(found.dffits, change, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(found.covratio, np.where(used, 1 / (1 - h), 1.0), rtol=1e-9)
    # One-step determinants, the other rows' weights held.
    for i in (0, 11):
        ratio = np.linalg.det(H) / np.linalg.det(H - w[i] * V[i] * np.outer(Z[i], Z[i]))
        assert found.covratio[i] == pytest.approx(ratio, rel=1e-4)


def test_williams_residual_approximates_the_change_of_deviance():
    X, y = problem(n=90, seed=6)
    clf = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    found = clf.case_deletion_diagnostics()
    deviance = 2 * (-clf.predict_log_proba(X)[np.arange(90), y]).sum()
    for i in range(0, 90, 9):
        keep = np.arange(90) != i
        left = InfluenceLogisticRegression(C=np.inf).fit(X[keep], y[keep])
        change = deviance - 2 * (-left.predict_log_proba(X[keep])[np.arange(89), y[keep]]).sum()
        assert found.studentized_residual[i] ** 2 == pytest.approx(change, rel=0.03)


def reference(name):
    table = pd.read_csv(REFERENCE / f"{name}.csv")
    X = table[[c for c in table if c in ("x0", "x1", "x2")]]
    q = X.shape[1] + 1
    stacked = {
        key: table[[f"{key}_{j}" for j in range(m)]].to_numpy()
        for key, m in (("dfbeta", q), ("dfbetas", q), ("flag", q + 4))
    }
    return X, table, stacked


@pytest.mark.parametrize("name", ["stackloss", "stackloss_weighted", "duncan", "duncan_weighted"])
def test_least_squares_as_in_R(name):
    X, table, stacked = reference(name)
    found = InfluenceLinearRegression().fit(X, table.y, table.w).case_deletion_diagnostics()
    used = (table.w > 0).to_numpy()  # R leaves out the rows of weight 0
    pairs = {
        "hat": found.leverage,
        "rstandard": found.standardized_residual,
        "rstudent": found.studentized_residual,
        "cook": found.cooks_distance,
        "dffits": found.dffits,
        "covratio": found.covratio,
        "sigma": found.sigma_without,
    }
    for key, ours in pairs.items():
        np.testing.assert_allclose(ours[used], table[key][used], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.dfbeta[used], stacked["dfbeta"][used], rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(found.dfbetas[used], stacked["dfbetas"][used], rtol=1e-8, atol=1e-11)
    flagged = found.influential("R", table=True)
    np.testing.assert_array_equal(flagged[used], stacked["flag"][used].astype(bool))
    np.testing.assert_array_equal(found.influential("R"), flagged.any(axis=1))


def test_logistic_as_in_R_and_where_R_differs():
    X, table, stacked = reference("duncan_logistic")
    clf = InfluenceLogisticRegression(C=np.inf).fit(X, table.y)
    found = clf.case_deletion_diagnostics()
    pairs = {
        "hat": found.leverage,
        "pearson": found.pearson_residual,
        "deviance": found.deviance_residual,
        "standard_pearson": found.standardized_residual,
        "rstudent": found.studentized_residual,
        "cook": found.cooks_distance,
    }
    for key, ours in pairs.items():
        np.testing.assert_allclose(ours, table[key], rtol=2e-6, atol=1e-9, err_msg=key)
    # R's dfbeta of a glm steps along the deviance residual, the step of Newton along Pearson's.
    ratio = (found.pearson_residual / found.deviance_residual)[:, None]
    np.testing.assert_allclose(found.dfbeta, stacked["dfbeta"] * ratio, rtol=2e-6, atol=1e-9)
    exact = -clf.parameter_influence(method="exact").coef[:, 0]
    ours, theirs = (np.linalg.norm(d[:, 1:] - exact) for d in (found.dfbeta, stacked["dfbeta"]))
    assert ours < 0.9 * theirs
    # And it reads a scale without the row out of deviance residuals, for dffits and covratio.
    n, p, h, d = 45, 3, found.leverage, found.deviance_residual
    dffits = d * np.sqrt(h) / (table.sigma * (1 - h))
    np.testing.assert_allclose(dffits, table.dffits, rtol=2e-6)
    covratio = 1 / ((1 - h) * ((n - p - 1 + (d / table.sigma) ** 2 / (1 - h)) / (n - p)) ** p)
    np.testing.assert_allclose(covratio, table.covratio, rtol=2e-6)


@pytest.fixture
def occupations():
    X, table, _ = reference("duncan")
    return X, table.y, reference("duncan_weighted")[1].w


def test_least_squares_as_in_statsmodels(occupations):
    sm = pytest.importorskip("statsmodels.api")
    X, y, w = occupations
    results = sm.OLS(y, sm.add_constant(X)).fit()
    theirs = results.get_influence()
    model = InfluenceLinearRegression().fit(X, y)
    found = case_deletion_diagnostics(model)
    pd.testing.assert_frame_equal(found.summary_frame(), theirs.summary_frame(), rtol=1e-9)
    np.testing.assert_allclose(found.deleted_residual, theirs.resid_press, rtol=1e-9)
    np.testing.assert_allclose(found.covratio, theirs.cov_ratio, rtol=1e-9)
    np.testing.assert_allclose(found.dfbeta, theirs.dfbeta, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.outlier_p_value, results.outlier_test()["bonf(p)"], rtol=1e-9)
    # It offers nothing for weights: the same class over a WLS mixes weighted and unweighted rows.
    weighted = sm.WLS(y, sm.add_constant(X), weights=w).fit()
    assert not hasattr(weighted, "get_influence")


def test_logistic_as_in_statsmodels_and_where_it_differs(occupations):
    sm = pytest.importorskip("statsmodels.api")
    X, y, w = occupations
    y = (y > 40).astype(int)
    found = InfluenceLogisticRegression(C=np.inf).fit(X, y).case_deletion_diagnostics()
    weighted = InfluenceLogisticRegression(C=np.inf).fit(X, y, w).case_deletion_diagnostics()

    def glm(**options):
        family = sm.families.Binomial()
        results = sm.GLM(y, sm.add_constant(X), family=family, **options).fit(tol=1e-14, maxiter=99)
        return results.get_influence()

    for ours, theirs in ((found, glm()), (weighted, glm(var_weights=w))):
        table = theirs.summary_frame()
        ours_too = ours.summary_frame()[list(table)]
        pd.testing.assert_frame_equal(ours_too, table, rtol=1e-6, check_dtype=False)
        np.testing.assert_allclose(ours.dfbeta, theirs.d_params, rtol=1e-6, atol=1e-10)
    # With frequency weights its residuals are those of one copy beside a design of all of them:
    # neither the deletion of one copy (d / w to first order) nor that of the row.
    theirs = glm(freq_weights=w).summary_frame()
    ours = weighted.summary_frame()
    np.testing.assert_allclose(theirs["hat_diag"], ours["hat_diag"], rtol=1e-6)
    np.testing.assert_allclose(theirs["cooks_d"] * w, ours["cooks_d"], rtol=1e-6)
    np.testing.assert_allclose(theirs["dfb_x0"] * np.sqrt(w), ours["dfb_x0"], rtol=1e-6)


def test_logistic_as_in_SAS():
    """The vasoconstriction data of Finney (1947), with the diagnostics of PROC LOGISTIC."""
    if "SKINFLUENCE_DATA" not in os.environ:
        pytest.skip("SKINFLUENCE_DATA names no folder of data sets")
    folder = Path(os.environ["SKINFLUENCE_DATA"]) / "oracles" / "statsmodels"
    if not folder.exists():
        pytest.skip("the reference figures are not there")
    rows = pd.read_csv(folder / "binary_constrict.csv")
    sas = pd.read_csv(folder / "results_influence_logit.csv")
    X = rows[["log_rate", "log_volumne"]]
    found = InfluenceLogisticRegression(C=np.inf).fit(X, rows.constrict).case_deletion_diagnostics()
    pairs = {
        "resid_pearson": found.pearson_residual,
        "resid_deviance": found.deviance_residual,
        "hat_matrix_diagonal": found.leverage,
        "dfb_intercept": found.dfbetas[:, 0],  # SAS calls DFBETA what others call DFBETAS
        "dfb_lograte": found.dfbetas[:, 1],
        "dfb_logvolumne": found.dfbetas[:, 2],
        "Cooks C": 3 * found.cooks_distance,  # not divided by p
        "Cooks Cbar": 3 * found.cooks_distance * (1 - found.leverage),
        "d_pearson_chi2": found.standardized_residual**2,
    }
    for name, ours in pairs.items():
        np.testing.assert_allclose(ours, sas[name], rtol=2e-3, atol=1.2e-4, err_msg=name)
    # Its DIFDEV adds Cbar to the squared deviance residual: Williams's residual, squared.
    np.testing.assert_allclose(found.studentized_residual**2, sas["d_deviance"], rtol=2e-3)


def test_dfbeta_has_the_sign_of_the_textbooks():
    X, y = data()
    model = InfluenceLinearRegression().fit(X, y)
    found = model.case_deletion_diagnostics()
    left = LinearRegression().fit(X[1:], y[1:])
    before_minus_after = np.r_[model.intercept_ - left.intercept_, model.coef_ - left.coef_]
    np.testing.assert_allclose(found.dfbeta[0], before_minus_after, rtol=1e-9)
    np.testing.assert_allclose(found.dfbeta[:, 1:], -model.parameter_influence().coef, rtol=1e-9)
    change = model.predict(X[:1]) - left.predict(X[:1])
    assert np.sign(found.dffits[0]) == np.sign(change[0])


def test_a_row_of_leverage_one_is_nan_and_said_so():
    X, y = data()
    X = np.column_stack([X, np.zeros(len(y))])
    X[7, -1] = 1.0
    with pytest.warns(RuntimeWarning, match="1 row left undefined"):
        found = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    assert found.leverage[7] == pytest.approx(1.0)
    assert found.undefined[7]
    for name in FRAME[2:]:
        assert np.isnan(getattr(found, name)[7]).all(), name
        assert np.isfinite(np.delete(getattr(found, name), 7, axis=0)).all(), name
    np.testing.assert_allclose(found.leverage.sum(), 6.0, rtol=1e-9)
    assert np.flatnonzero(found.influential("R")).tolist().count(7) == 1
    # With a penalty there is a refit, and nothing is undefined.
    ridge = InfluenceRidge(alpha=1e-3).fit(X, y).case_deletion_diagnostics()
    assert not ridge.undefined.any()
    left = Ridge(alpha=1e-3, solver="cholesky").fit(np.delete(X, 7, 0), np.delete(y, 7))
    deleted = y[7] - left.predict(X[[7]])[0]
    assert ridge.deleted_residual[7] == pytest.approx(deleted, rel=1e-6)


def test_a_deletion_that_separates_is_nan():
    X = np.array([[-2.0], [-1.0], [0.5], [1.0], [2.0], [0.8]])
    y = np.array([0, 0, 0, 1, 1, 0])
    X[5], X[2] = 1.5, -0.5
    clf = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    with pytest.warns(RuntimeWarning, match="undefined"):
        found = clf.case_deletion_diagnostics()
    assert found.undefined[5]
    assert np.isnan(found.dfbeta[5]).all()
    assert np.isnan(found.cooks_distance[5])
    assert np.isfinite(found.standardized_residual[5])


def test_no_scale_without_a_row():
    X, y = data(n=6, p=4)
    with pytest.warns(RuntimeWarning, match=r"sigma_\(i\) is undefined"):
        found = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    assert np.isfinite(found.sigma)
    assert np.isfinite(found.cooks_distance).all()
    assert np.isnan(found.studentized_residual).all()
    # All rows but one on a line.
    X = np.arange(8.0)[:, None]
    y = 2.0 * X[:, 0] + 1.0
    y[3] += 1.0
    with pytest.warns(RuntimeWarning, match=r"sigma_\(i\) is undefined"):
        found = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    assert np.isnan(found.studentized_residual[3])
    assert not np.isinf(found.to_frame().to_numpy(dtype=float)).any()


def test_dependent_columns_leave_what_is_unique():
    X, y = data()
    model = InfluenceLinearRegression().fit(np.column_stack([X, X[:, 0]]), y)
    found = model.case_deletion_diagnostics()
    expected = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    np.testing.assert_allclose(found.cooks_distance, expected.cooks_distance, rtol=1e-8)
    assert np.isnan(found.dfbeta).all()


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 300)), rng.normal(size=12)
    found = InfluenceRidge(alpha=30.0).fit(X, y).case_deletion_diagnostics()
    full = Fitted(X, y, np.ones(12), 30.0)
    left = Fitted(X[1:], y[1:], np.ones(11), 30.0)
    np.testing.assert_allclose(found.dfbeta[0], full.theta - left.theta, atol=1e-12)
    np.testing.assert_allclose(found.sigma_without[0], left.s, rtol=1e-8)
    np.testing.assert_allclose(
        found.standard_error, full.s * np.sqrt(np.diag(full.inverse)), rtol=1e-8
    )


def test_small_leverages_of_several_outputs_keep_their_digits():
    X, y = problem(n_classes=3, p=2, seed=3)
    found = []
    for light in (1e-9, 1e-13):
        weight = np.ones(len(y))
        weight[4] = light
        model = InfluenceLogisticRegression().fit(X, y, sample_weight=weight)
        found.append(model.case_deletion_diagnostics().leverage[4] / light)
    np.testing.assert_allclose(*found, rtol=1e-7)


def test_several_outputs_have_leverage_blocks():
    X, y = problem(n_classes=3)
    clf = InfluenceLogisticRegression().fit(X, y)
    blocks = clf.case_deletion_diagnostics()
    assert isinstance(blocks, LeverageBlocks)
    assert blocks.block.shape == (len(y), 3, 3)
    np.testing.assert_allclose(blocks.leverage, clf.loo_estimate(method="newton").leverage)
    # By hand: the Hessian is singular along the intercepts together, where no row's curvature is.
    P, Z = clf.predict_proba(X), np.column_stack([X, np.ones(len(y))])
    W = np.einsum("ik,kl->ikl", P, np.eye(3)) - P[:, :, None] * P[:, None, :]
    H = np.einsum("ikl,ia,ib->kalb", W, Z, Z).reshape(15, 15)
    H += np.kron(np.eye(3), np.diag([1.0, 1.0, 1.0, 1.0, 0.0]))
    inverse = np.linalg.pinv(H, rcond=1e-12).reshape(3, 5, 3, 5)
    A = np.einsum("ia,kalb,ib->ikl", Z, inverse, Z)
    L = np.sqrt(P)[:, None, :] * (np.eye(3) - P[:, :, None])
    np.testing.assert_allclose(blocks.block, L.transpose(0, 2, 1) @ A @ L, atol=1e-10)
    for name in ("cooks_distance", "dfbetas", "summary_frame"):
        with pytest.raises(NotImplementedError, match="Available are leverage"):
            getattr(blocks, name)
    with pytest.raises(AttributeError):
        blocks.colour  # noqa: B018
    X, y = data()
    both = InfluenceLinearRegression().fit(X, np.column_stack([y, X[:, 0] ** 2]))
    single = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    np.testing.assert_allclose(
        both.case_deletion_diagnostics().leverage, 2 * single.leverage, rtol=1e-9
    )


@pytest.mark.parametrize(
    "model",
    [
        InfluenceKernelRidge(kernel="rbf"),
        InfluenceKernelRidge(),
        KernelLogisticRegression(kernel="rbf"),
        SmoothHingeSVC(),
        SmoothHingeSVC(kernel="rbf"),
    ],
    ids=str,
)
def test_what_is_not_available_says_what_is(model):
    X, y = problem()
    with pytest.raises(NotImplementedError, match=r"loo_estimate\(\)"):
        model.fit(X, y).case_deletion_diagnostics()


def test_names_of_columns_and_rows():
    X, y = data()
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    labels = [f"row {i}" for i in range(len(y))]
    found = InfluenceLinearRegression().fit(frame, y).case_deletion_diagnostics()
    assert found.names == ("const", "a", "b", "c", "d")
    table = found.summary_frame(labels)
    assert list(table)[:3] == ["dfb_const", "dfb_a", "dfb_b"]
    assert list(table.index) == labels
    assert list(found.to_frame(labels).index) == labels
    with pytest.raises(ValueError, match="train_labels"):
        found.summary_frame(labels[1:])
    pipe = make_pipeline(StandardScaler(), LinearRegression())
    scaled = InfluenceExplainer(pipe).fit(frame, y).case_deletion_diagnostics()
    assert scaled.names == ("const", "a", "b", "c", "d")  # a scaler keeps them
    np.testing.assert_allclose(scaled.cooks_distance, found.cooks_distance, rtol=1e-8)
    bare = InfluenceLinearRegression(fit_intercept=False).fit(X, y).case_deletion_diagnostics()
    assert bare.names == ("x0", "x1", "x2", "x3")


def test_rules():
    X, y = data()
    y[3] += 12.0
    X[5] += 6.0
    found = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    n, p = 40, 5
    expected = {
        "leverage": found.leverage > 2 * p / n,
        "high_leverage": found.leverage > 3 * p / n,
        "cooks": found.cooks_distance > 4 / n,
        "dffits": np.abs(found.dffits) > 2 * np.sqrt(p / n),
        "dfbetas": (np.abs(found.dfbetas) > 2 / np.sqrt(n)).any(axis=1),
        "covratio": np.abs(found.covratio - 1) > 3 * p / n,
    }
    for rule, flags in expected.items():
        np.testing.assert_array_equal(found.influential(rule), flags)
        assert flags.any(), rule
        assert not flags.all(), rule
    p_value = 2 * stats.t.sf(np.abs(found.studentized_residual), n - p - 1) * n
    np.testing.assert_allclose(found.outlier_p_value, np.minimum(p_value, 1.0), rtol=1e-9)
    assert np.flatnonzero(found.influential("outlier")).tolist() == [3]
    assert found.influential("outlier", level=1e-30).sum() == 0
    assert found.influential("dfbetas", table=True).shape == (n, p)
    with pytest.raises(ValueError, match="rule should be one of"):
        found.influential("cook")


FAMILIES = {
    "poisson": (InfluencePoissonRegressor, {}),
    "gamma": (InfluenceGammaRegressor, {}),
    "tweedie": (InfluenceTweedieRegressor, {"power": 1.5}),
}


def counts(family, n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    mean = np.exp(X @ [0.4, -0.3, 0.1] + 1.0)
    y = {
        "poisson": lambda: 1.0 * rng.poisson(mean),
        "gamma": lambda: mean * rng.gamma(3.0, size=n) / 3.0,
        "tweedie": lambda: mean * rng.poisson(2.0, size=n) * rng.gamma(2.0, size=n) / 4.0,
    }
    return X, y[family]()


@pytest.mark.parametrize("alpha", [0.0, 0.2])
@pytest.mark.parametrize("family", FAMILIES)
def test_generalised_linear_models_are_newtons_step(family, alpha):
    X, y = counts(family)
    w = weights(0, len(y), zeros=2)
    kind, params = FAMILIES[family]
    model = kind(alpha=alpha, max_iter=1000, **params).fit(X, y, w)
    found = model.case_deletion_diagnostics()
    step = model.parameter_influence(method="newton")
    np.testing.assert_allclose(found.dfbeta[:, 1:], -step.coef, atol=1e-12)
    np.testing.assert_allclose(found.dfbeta[:, 0], -step.intercept, atol=1e-12)
    moved = model.loo_estimate(method="newton").prediction
    np.testing.assert_allclose(found.deleted_residual, y - moved, atol=1e-10)
    objective = model.__fitted_problem__().objective
    Z = np.c_[np.ones(len(y)), X]
    inverse = np.linalg.inv(Z.T @ (objective.weights[:, 0, 0][:, None] * Z))
    mean = model.predict(X)
    power = {"poisson": 1.0, "gamma": 2.0, "tweedie": 1.5}[family]
    pearson = np.sqrt(w) * (y - mean) / mean ** (power / 2)
    np.testing.assert_allclose(found.pearson_residual, pearson, atol=1e-12)
    if alpha == 0:
        leverage = objective.weights[:, 0, 0] * np.einsum("ij,jk,ik->i", Z, inverse, Z)
        np.testing.assert_allclose(found.leverage, leverage, atol=1e-12)
        n_used, p = 58, 4
        scale = 1.0 if family == "poisson" else np.sum(pearson**2) / (n_used - p)
        assert found.sigma**2 == pytest.approx(scale)
        cook = pearson**2 * leverage / (1 - leverage) ** 2 / p / scale
        np.testing.assert_allclose(found.cooks_distance[:-2], cook[:-2], atol=1e-12)


@pytest.mark.parametrize("family", ["poisson", "gamma"])
def test_generalised_linear_models_as_in_statsmodels(family):
    """Where the link is canonical; elsewhere statsmodels takes the expected curvature."""
    api = pytest.importorskip("statsmodels.api")
    X, y = counts(family)
    kind, params = FAMILIES[family]
    found = kind(alpha=0, max_iter=1000, **params).fit(X, y).case_deletion_diagnostics()
    link = api.families.links.Log()
    known = {"poisson": api.families.Poisson, "gamma": api.families.Gamma}[family](link=link)
    theirs = api.GLM(y, api.add_constant(X), family=known).fit(tol=1e-14, maxiter=200)
    influence = theirs.get_influence(observed=False)
    np.testing.assert_allclose(found.pearson_residual, theirs.resid_pearson, atol=1e-9)
    np.testing.assert_allclose(found.deviance_residual, theirs.resid_deviance, atol=1e-9)
    assert found.sigma**2 == pytest.approx(theirs.scale)
    if family == "poisson":
        np.testing.assert_allclose(found.leverage, influence.hat_matrix_diag, atol=1e-10)
        np.testing.assert_allclose(found.standardized_residual, influence.resid_studentized, 1e-8)
        np.testing.assert_allclose(found.cooks_distance, influence.cooks_distance[0], atol=1e-10)
        np.testing.assert_allclose(found.dfbeta, influence.d_params, atol=1e-10)
        np.testing.assert_allclose(found.standard_error, theirs.bse, atol=1e-10)
    else:  # mean 1, but not the same
        assert found.leverage.sum() == pytest.approx(influence.hat_matrix_diag.sum())
        assert np.abs(found.leverage - influence.hat_matrix_diag).max() > 0.01


def test_williams_residual_approximates_the_change_of_deviance_of_counts():
    X, y = counts("poisson")
    found = InfluencePoissonRegressor(alpha=0).fit(X, y).case_deletion_diagnostics()

    def deviance(model, rows):
        return 2 * model.__fitted_problem__().objective.loss.value(
            y[rows], np.log(model.predict(X[rows]))
        )

    every = np.arange(len(y))
    full = deviance(InfluencePoissonRegressor(alpha=0).fit(X, y), every).sum()
    for row in range(0, 60, 7):
        keep = np.delete(every, row)
        change = (
            full - deviance(InfluencePoissonRegressor(alpha=0).fit(X[keep], y[keep]), keep).sum()
        )
        assert found.studentized_residual[row] ** 2 == pytest.approx(change, rel=0.05, abs=1e-3)


@pytest.mark.parametrize("model", [InfluenceLinearRegression(), InfluenceLogisticRegression()])
def test_blocks_of_rows_change_no_measure(model, monkeypatch):
    X = np.random.default_rng(0).normal(size=(500, 3))
    y = X[:, 0] + np.random.default_rng(1).normal(size=500)
    weight = np.where(np.arange(500) % 7, 1.5, 0.0)
    y = (y > 0).astype(int) if hasattr(model, "decision_function") else y
    fitted = model.fit(X, y, weight)
    whole = fitted.case_deletion_diagnostics().to_frame()
    monkeypatch.setattr("skinfluence._parallel.CACHE_ELEMENTS", 4 * 37)
    parts = fitted.case_deletion_diagnostics().to_frame()
    np.testing.assert_array_equal(whole.to_numpy(float), parts.to_numpy(float))
