"""Every regressor in every setting of the table: fits without each row, by slope and error."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from skinfluence.evaluation import agreement
from tests.cases import REGRESSORS, SETTINGS, build_regressor

# No penalty on more columns than rows, and so many columns that a robust scale falls to 0.
WITHOUT_OPTIMUM = {
    ("least squares", "wide"),
    ("quantile", "wide"),
    ("huber", "wide"),
    ("huber", "n just above p"),
}


def refit(model, X, y, w, row):
    """The clone fitted without the row, what was computed from the data held."""
    held = {"temperature": "temperature_", "gamma": "gamma_"}
    other = clone(model).set_params(
        **{name: getattr(model, own) for name, own in held.items() if hasattr(model, own)}
    )
    keep = np.delete(np.arange(len(y)), row)
    keep = keep if w is None else keep[w[keep] > 0]
    return other.fit(X[keep], y[keep], None if w is None else w[keep])


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", REGRESSORS)
def test_exact_newton_and_leave_one_out_against_refits(name, setting):
    if (name, setting) in WITHOUT_OPTIMUM:
        pytest.skip("nothing is left to be determined by the data")
    X, y, w, model = build_regressor(name, setting)
    rows = np.arange(0, len(y), max(1, len(y) // 10))
    full = model.predict(X)
    actual = np.array([refit(model, X, y, w, row).predict(X) - full for row in rows]).T
    tolerance = 1e-7 * max(1.0, np.abs(full).max())
    exact = model.influence(X, target="prediction", method="exact", train_indices=rows)
    np.testing.assert_allclose(exact, actual, atol=tolerance)
    loo = model.loo_estimate(method="exact")
    own = full[rows] + actual[rows, np.arange(len(rows))]
    np.testing.assert_allclose(loo.prediction[rows], own, atol=tolerance)
    with warnings.catch_warnings():  # rows that hold a fit are named, where there are any
        warnings.filterwarnings("ignore", "[0-9]+ rows? ha(s|ve) a leverage above 0.5")
        newton = model.influence(X, target="prediction", train_indices=rows, method="newton")
    if setting in ("plain", "weights", "csr", "no intercept"):
        found = agreement(newton.T, actual.T)
        error = REGRESSORS[name][2] * (1 if setting == "plain" else 2.5)
        assert abs(found.slope - 1) < max(error, 1e-9), found
        assert abs(found.intercept) < max(error, 1e-9) * np.std(actual), found
        assert found.relative_rmse < max(error, 1e-9), found
    if w is not None and (w == 0).any():
        gone = np.flatnonzero(w == 0)
        assert (model.influence(X, target="prediction", train_indices=gone) == 0).all()
