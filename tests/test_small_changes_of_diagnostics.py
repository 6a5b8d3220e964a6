"""What a changed sign or bound of the diagnostics would break and no other test would see."""

import numpy as np
import pytest

from skinfluence import (
    InfluenceGammaRegressor,
    InfluenceLinearRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
)
from skinfluence.case_deletion import _compute as compute_module
from skinfluence.case_deletion._added_variable import added_variable
from skinfluence.case_deletion._compute import is_covered
from skinfluence.curvature import DenseCurvature
from skinfluence.losses import SquaredLoss
from skinfluence.objective import Objective
from tests.cases import weights
from tests.test_small_changes_of_deletion import optimum


@pytest.mark.parametrize("column", [0, 2])
def test_added_variables_are_residuals_of_regressions_on_the_others(column):
    """By weighted least squares, of light rows too; without a weight nothing is worked with."""
    objective = optimum(n=40)
    plain = objective.penalty.times(0.0)
    objective = Objective(
        objective.loss,
        objective.design,
        objective.y,
        0.1 * objective.sample_weight,
        plain,
        objective.theta,
    )
    x, y, slope, weight = added_variable(objective, DenseCurvature(objective), column)
    Z, W = objective.design.dense(slice(None)), objective.weights[:, 0, 0]
    others = np.delete(Z, column, axis=1)
    live = W > 0
    root = np.sqrt(W[live])[:, None]
    fitted = np.linalg.lstsq(root * others[live], root[:, 0] * Z[live, column], rcond=None)[0]
    np.testing.assert_allclose(x, Z[:, column] - others @ fitted, atol=1e-9)
    working = -objective.residuals[live, 0] / W[live]
    np.testing.assert_allclose(y[live], working + objective.theta[0, column] * x[live], rtol=1e-9)
    np.testing.assert_array_equal(np.isnan(y), ~live)
    assert slope == pytest.approx(objective.theta[0, column])
    np.testing.assert_allclose(weight, W)


def test_least_squares_whose_rows_share_a_penalty_are_not_covered():
    objective = optimum()
    parts = SquaredLoss(), objective.design, objective.y, np.full(30, 0.5)
    none = objective.penalty.times(0.0)
    for penalty, common, covered in ((objective.penalty, None, True), (none, none, False)):
        common = None if common is None else objective.penalty
        made = Objective(*parts, penalty, objective.theta, row_penalty=common)
        assert is_covered(made) is covered


@pytest.mark.parametrize("weighted", [False, True])
def test_large_and_small_leverages_are_those_of_the_hat_matrix(weighted):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    X[0] *= 4.0
    X[1] *= 30.0
    w = weights(0, 20) if weighted else np.ones(20)
    found = InfluenceLinearRegression().fit(X, y, w).case_deletion_diagnostics()
    Z = np.column_stack([np.ones(20), X])
    hat = w * np.einsum("ij,jk,ik->i", Z, np.linalg.inv(Z.T @ (w[:, None] * Z)), Z)
    assert (hat > 0.5).sum() > 0
    assert 0.5 < hat.max() < 1.0 - 1e-6
    np.testing.assert_allclose(found.leverage, hat, rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_scales_from_the_residuals_of_the_others_are_those_of_the_formula(alpha, monkeypatch):
    """The others' leverages without a row are left where its share of a sum would be most of it."""
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(25, 4)), rng.normal(size=25), weights(0, 25)
    model = InfluenceRidge(alpha=alpha).fit(X, y, w)
    expected = model.case_deletion_diagnostics().sigma_without
    monkeypatch.setattr(compute_module, "FEW_LEFT", 1e9)
    found = model.case_deletion_diagnostics().sigma_without
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert (found != expected).any()


def test_leverages_of_a_shared_penalty_are_of_the_whole_objective():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(15, 2)), weights(0, 15)
    y = 1.0 * rng.poisson(np.exp(0.4 * X[:, 0]))
    model = InfluencePoissonRegressor(alpha=0.3).fit(X, y, w)
    found = model.case_deletion_diagnostics()
    Z, mu = np.column_stack([X, np.ones(15)]), model.predict(X)
    H = Z.T @ ((w * mu)[:, None] * Z) + w.sum() * 0.3 * np.diag([1.0, 1.0, 0.0])
    inverse = np.linalg.inv(H)
    np.testing.assert_allclose(
        found.leverage, w * mu * np.einsum("ij,jk,ik->i", Z, inverse, Z), rtol=1e-8
    )
    np.testing.assert_allclose(found.unscaled_error, np.sqrt(inverse.diagonal())[[2, 0, 1]])


def test_a_deviance_residual_is_0_where_the_residual_is_and_nowhere_else():
    """Counts of 0 and 2 about a mean of exactly 1, and one of 1."""
    X = np.array([[1.0], [1.0], [-1.0], [-1.0], [0.0]])
    y = np.array([0.0, 2.0, 0.0, 2.0, 1.0])
    found = InfluencePoissonRegressor(alpha=0.0).fit(X, y).case_deletion_diagnostics()
    np.testing.assert_array_equal(found.residual, [-1.0, 1.0, -1.0, 1.0, 0.0])
    above = np.sqrt(2.0 * (2.0 * np.log(2.0) - 1.0))
    expected = [-np.sqrt(2.0), above, -np.sqrt(2.0), above, 0.0]
    np.testing.assert_allclose(found.deviance_residual, expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:.*sigma_:RuntimeWarning")
def test_without_a_degree_of_freedom_there_is_no_scale():
    """Four rows for three coefficients: three of them leave none."""
    X = np.array([[0.0, 0.0], [1.0, 0.2], [0.3, 1.0], [1.0, 1.4]])
    y = np.array([1.0, 2.5, 1.5, 2.0])
    found = InfluenceGammaRegressor(alpha=0.0, max_iter=1000).fit(X, y).case_deletion_diagnostics()
    assert np.isfinite(found.sigma)
    assert np.isnan(found.sigma_without).all()
    X = np.r_[X, [[0.5, 0.1]]]
    found = InfluenceGammaRegressor(alpha=0.0, max_iter=1000).fit(X, np.r_[y, 1.8])
    assert np.isfinite(found.case_deletion_diagnostics().sigma_without).any()
