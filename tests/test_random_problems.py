"""Laws that hold for any problem, on problems drawn by hypothesis."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skinfluence import InfluenceLogisticRegression
from skinfluence.curvature import make_curvature
from tests.cases import problem
from tests.oracles import hessian

problems = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "n": st.integers(16, 40),
        "p": st.integers(1, 25),
        "n_classes": st.sampled_from([2, 2, 3, 4]),
    }
)
penalties = st.floats(-3, 3).map(lambda e: 10.0**e)
common = settings(max_examples=20, deadline=None, derandomize=True)


def fitted(arguments, C, intercept):
    """Data with heavy-tailed rows and random weights, and the model fitted on them."""
    X, y = problem(**arguments)
    rng = np.random.default_rng(arguments["seed"])
    X = X * np.minimum(np.abs(rng.standard_t(3, size=(len(y), 1))), 20)
    w = rng.exponential(size=len(y)) + 0.01
    clf = InfluenceLogisticRegression(C=C, fit_intercept=intercept, solver="newton-cholesky")
    return X, y, w, clf.fit(X, y, sample_weight=w)


@common
@given(problems, penalties, st.booleans())
def test_newton_is_the_explicit_step_and_steps_add_up(arguments, C, intercept):
    _X, _y, _w, clf = fitted(arguments, C, intercept)
    objective = clf.__fitted_problem__().objective
    Z = objective.design.dense(slice(None))
    K, H = objective.n_outputs, hessian(objective)
    parameters = clf.parameter_influence(train_indices=[0, 3], method="newton")
    for position, row in enumerate((0, 3)):
        without = H - np.kron(objective.weights[row], np.outer(Z[row], Z[row]))
        right = np.kron(objective.residuals[row], Z[row])
        step = np.linalg.lstsq(without, right, rcond=1e-13)[0].reshape(K, -1)
        coef, _ = objective.design.unpack(step)
        scale = max(1e-8, np.abs(coef).max())
        np.testing.assert_allclose(parameters.coef[position], coef, atol=1e-6 * scale)
    # sum_i H^-1 g_i z_i = -H^-1 R', because the gradient of the sum vanishes.
    steps = clf.parameter_influence(method="first_order").coef.sum(axis=0)
    expected = -make_curvature(objective, "dense").solve(
        objective.penalty.gradient(objective.theta).reshape(-1, 1)
    )
    expected, _ = objective.design.unpack(expected.reshape(K, -1))
    np.testing.assert_allclose(steps, expected, atol=1e-7 * max(1.0, np.abs(expected).max()))


@common
@given(problems, penalties)
def test_rotations_and_storage_change_nothing(arguments, C):
    X, y, w, clf = fitted(arguments, C, True)
    T, t = problem(**{**arguments, "seed": arguments["seed"] + 1})
    expected = clf.influence(T, t, method="newton")
    size = max(1e-6, np.abs(expected).max())
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(X.shape[1], X.shape[1])))[0]
    rotated = InfluenceLogisticRegression(C=C, solver="newton-cholesky").fit(X @ Q, y, w)
    np.testing.assert_allclose(
        rotated.influence(T @ Q, t, method="newton"), expected, atol=1e-6 * size
    )
    sparse = InfluenceLogisticRegression(C=C, solver="newton-cholesky").fit(sp.csr_array(X), y, w)
    np.testing.assert_allclose(
        sparse.influence(sp.csr_array(T), t, method="newton"), expected, atol=1e-6 * size
    )


@common
@given(problems, penalties, st.booleans())
def test_weight_zero_is_the_row_removed(arguments, C, intercept):
    X, y, w, _ = fitted(arguments, C, intercept)
    options = {"C": C, "fit_intercept": intercept, "solver": "newton-cholesky"}
    w[-3:] = 0.0
    idle = InfluenceLogisticRegression(**options).fit(X, y, w)
    gone = InfluenceLogisticRegression(**options).fit(X[:-3], y[:-3], w[:-3])
    T, t = problem(**{**arguments, "seed": arguments["seed"] + 1})
    for method in ("first_order", "newton"):
        effect = idle.influence(T, t, method=method)
        assert (effect[:, -3:] == 0.0).all()
        size = max(1e-6, np.abs(effect).max())
        np.testing.assert_allclose(
            effect[:, :-3], gone.influence(T, t, method=method), atol=1e-6 * size
        )
