"""Least squares with dependent columns: what is unique is answered, coefficients are refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence import InfluenceExplainer, InfluenceLinearRegression, InfluenceTweedieRegressor
from skinfluence.curvature import DenseCurvature
from skinfluence.design import column_dependence, make_design
from skinfluence.display import AddedVariableDisplay
from skinfluence.losses import SquaredLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from tests.cases import weights

N = 60


def table(seed=0):
    """Two categorical columns and a number; one category has a single row."""
    rng = np.random.default_rng(seed)
    city = np.array(["Bern", "Chur", "Genf"])[rng.integers(0, 3, N)]
    size = np.array(["big", "mid", "small"])[rng.integers(0, 3, N)]
    size[17] = "huge"
    X = pd.DataFrame({"city": city, "size": size, "age": rng.normal(50, 9, N)})
    y = X["age"] / 9 + (city == "Bern") + 2.0 * (size == "small") + rng.normal(size=N)
    return X, y.to_numpy()


def encoder(drop):
    return make_column_transformer(
        (OneHotEncoder(drop=drop, sparse_output=False), ["city", "size"]),
        (StandardScaler(), ["age"]),
    )


def both(weighted=False):
    """The deficient model, and that of as many columns as there are independent ones."""
    X, y = table()
    w = weights(3, N, zeros=4) if weighted else None
    options = {} if w is None else {"sample_weight": w}
    return (
        X,
        y,
        *(
            InfluenceExplainer(make_pipeline(encoder(drop), LinearRegression())).fit(
                X, y, **options
            )
            for drop in (None, "first")
        ),
    )


pytestmark = pytest.mark.filterwarnings("ignore:1 row left undefined:RuntimeWarning")


@pytest.mark.parametrize("weighted", [False, True])
def test_answers_are_those_of_the_full_rank_model(weighted):
    X, y, deficient, full = both(weighted)
    T, t = X[:9], y[:9]
    for method in ("auto", "exact", "newton", "first_order"):
        for target in ("loss", "squared_error", "prediction"):
            found = deficient.influence(T, t, target=target, method=method)
            expected = full.influence(T, t, target=target, method=method)
            np.testing.assert_allclose(found, expected, atol=1e-9)
            assert np.isnan(found[:, 17]).all() or method == "first_order"
    np.testing.assert_allclose(deficient.self_influence(), full.self_influence(), atol=1e-9)
    groups = [np.arange(5), np.arange(20, 30)]
    np.testing.assert_allclose(
        deficient.group_influence(groups, T, t), full.group_influence(groups, T, t), atol=1e-9
    )
    one, other = deficient.loo_estimate(), full.loo_estimate()
    for name in ("prediction", "loss", "leverage", "mean_loss", "score"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)
    found = deficient.prediction_interval(T)
    np.testing.assert_allclose(found, full.prediction_interval(T), atol=1e-9)
    found = deficient.score_influence(X, y)
    np.testing.assert_allclose(found, full.score_influence(X, y), atol=1e-9)
    top = deficient.most_influential(T, t, k=3)
    np.testing.assert_array_equal(
        top.helpful_indices, full.most_influential(T, t, k=3).helpful_indices
    )


def test_answers_are_those_of_refits():
    X, y, deficient, _ = both()
    found = deficient.influence(X, y, target="prediction")
    Z = deficient.estimator_[0].transform(X)
    for row in np.setdiff1d(np.arange(0, N, 5), [17]):
        keep = np.arange(N) != row
        refit = LinearRegression().fit(Z[keep], y[keep])
        # Rows of the category that is gone with row 17 would not be unique: there are none.
        np.testing.assert_allclose(
            found[:, row], refit.predict(Z) - deficient.predict(X), atol=1e-9
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_diagnostics_that_are_unique_and_those_that_are_not(weighted):
    _, _, deficient, full = both(weighted)
    one, other = (model.case_deletion_diagnostics() for model in (deficient, full))
    for name in (
        "leverage",
        "residual",
        "studentized_residual",
        "cooks_distance",
        "dffits",
        "covratio",
        "sigma",
        "n_effective_parameters",
        "press",
    ):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-7, atol=1e-9)
    assert np.isnan(one.dfbeta).all()
    assert np.isnan(one.dfbetas).all()
    assert np.isnan(one.standard_error).all()
    assert one.influential("cooks").sum() == other.influential("cooks").sum()


def test_coefficients_are_refused_by_the_names_of_the_columns():
    X, y, deficient, _ = both()
    Z = pd.DataFrame(
        deficient.estimator_[0].transform(X),
        columns=deficient.estimator_[0].get_feature_names_out(),
    )
    model = InfluenceLinearRegression().fit(Z, y)
    for ask in (
        model.parameter_influence,
        model.parameter_covariance,
        model.local_influence,
        lambda: AddedVariableDisplay.from_estimator(model, "standardscaler__age"),
    ):
        with pytest.raises(
            np.linalg.LinAlgError, match=r"not unique: the columns onehot.*city_Bern"
        ):
            ask()
    original = LinearRegression().fit(Z, y)
    np.testing.assert_allclose(model.predict(Z), original.predict(Z), atol=1e-9)


def test_rows_that_the_training_rows_do_not_determine():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    X = np.column_stack([X, X.sum(axis=1)])
    y = rng.normal(size=30)
    for make in (np.asarray, sp.csr_array, np.float32):
        model = InfluenceLinearRegression().fit(make(X), y)
        T = X[:5].copy()
        assert model.influence(make(T), y[:5]).shape == (5, 30)
        T[3, 2] += 0.5
        with pytest.raises(np.linalg.LinAlgError, match=r"x0, x1, x2.*not in row 3 of X_test"):
            model.influence(make(T), y[:5])


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_several_responses_constants_and_twins(fit_intercept, storage):
    rng = np.random.default_rng(1)
    B = np.where(rng.uniform(size=(40, 3)) > 0.4, rng.normal(size=(40, 3)), 0.0)
    X = np.column_stack([B[:, 0], np.zeros(40), B, B @ [1.0, -2.0, 3.0]])
    if fit_intercept:
        X = np.column_stack([X, np.full(40, 7.0)])
    Y = rng.normal(size=(40, 2))
    model = InfluenceLinearRegression(fit_intercept=fit_intercept).fit(storage(X), Y)
    basis = InfluenceLinearRegression(fit_intercept=fit_intercept).fit(storage(B), Y)
    np.testing.assert_allclose(
        model.influence(storage(X[:6]), Y[:6]), basis.influence(storage(B[:6]), Y[:6]), atol=1e-9
    )
    logged = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp)
    y = np.exp(Y[:, 0])
    found = InfluenceExplainer(logged).fit(X, y).influence(X[:6], y[:6], target="absolute_error")
    expected = InfluenceExplainer(logged).fit(B, y)
    if fit_intercept:
        np.testing.assert_allclose(
            found, expected.influence(B[:6], y[:6], target="absolute_error"), atol=1e-9
        )


def test_dependence_is_what_it_says():
    rng = np.random.default_rng(2)
    B = rng.normal(size=(50, 3)) * [1e-3, 1.0, 1e4] + [0.0, 5.0, 1e5]
    X = np.column_stack([B[:, 0], B[:, 1] - 2e3 * B[:, 0] + 4.0, B[:, 1:], np.ones(50)])
    w = weights(0, 50, zeros=5)
    X[-5:] += rng.normal(size=(5, 5))  # rows of weight 0 need not keep it
    design = make_design(X, True)
    found = column_dependence(design, w)
    assert len(found.kept) == 4
    assert found.kept[-1] == 5
    Z = design.dense(slice(0, 45))
    np.testing.assert_allclose(Z[:, found.kept] @ found.combination, Z[:, found.dropped], atol=1e-6)
    theta = rng.normal(size=(2, 6))
    np.testing.assert_allclose(
        Z[:, found.kept] @ found.parameters(theta).T, Z @ theta.T, rtol=1e-9, atol=1e-6
    )
    assert column_dependence(make_design(B, True), w) is None
    np.testing.assert_array_equal(found.broken_rows(design), np.arange(45, 50))


def test_as_many_columns_as_rows_are_refused():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(8, 12)), rng.normal(size=8)
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        InfluenceLinearRegression().fit(X, y).influence(X, y)


def test_least_squares_under_another_name_answers_in_dependent_columns():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    X[:, 1] = 3.0  # the intercept once more
    tweedie = InfluenceTweedieRegressor(power=0, link="identity", alpha=0.0, tol=1e-10).fit(X, y)
    linear = InfluenceLinearRegression().fit(X, y)
    found, expected = (
        model.influence(X[:3], target="prediction", method="exact") for model in (tweedie, linear)
    )
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_no_rounding_of_a_gram_matrix_makes_a_constant_column_independent():
    # In one of these the last pivot is 3e-8 of its column: more than rounding is taken to leave.
    rng = np.random.default_rng(0)
    for _ in range(150):
        X = rng.normal(size=(3, 3))
        X[:, 1] = X[0, 1]
        design = make_design(X.astype(np.float32), True)
        none = np.zeros((1, 4))
        rows = Objective(SquaredLoss(), design, np.zeros(3), np.ones(3), L2(none[0]), none)
        with pytest.raises(np.linalg.LinAlgError, match="rank 3 of 4"):
            DenseCurvature(rows)
