"""Cook's local influence against the likelihood displacement of models really perturbed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skinfluence import (
    InfluenceGammaRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    local_influence,
)
from skinfluence.kernel_models import KernelLogisticRegression
from tests.cases import problem, weights

MODELS = {
    "least squares": InfluenceLinearRegression(),
    "ridge": InfluenceRidge(alpha=1.5),
    "ridge-no-intercept": InfluenceRidge(alpha=1.5, fit_intercept=False),
    "poisson": InfluencePoissonRegressor(alpha=0.1),
    "gamma": InfluenceGammaRegressor(alpha=0.1),
    "logistic": InfluenceLogisticRegression(),
    "softmax": InfluenceLogisticRegression(C=0.5),
}


def data(name, n=30, seed=0):
    rng = np.random.default_rng(seed)
    if name in ("logistic", "softmax"):
        return problem(seed=seed, n=n, p=3, n_classes=3 if name == "softmax" else 2)
    X = rng.normal(size=(n, 3))
    eta = X @ [0.5, -0.3, 0.2] + 1.0
    if name == "poisson":
        return X, rng.poisson(np.exp(eta)) + 0.5
    if name == "gamma":
        return X, np.exp(eta) * rng.gamma(3.0, size=n)
    return X, eta + rng.normal(size=n)


def displaced(model, X, y, w, moved, objective):
    """2 (F(theta_omega) - F(theta)), F of the unperturbed data."""
    X_moved, y_moved, w_moved = moved
    other = clone(model).fit(X_moved, y_moved, w_moved).__fitted_problem__().objective.theta
    return 2.0 * (objective.at(other).value - objective.value)


@pytest.mark.parametrize("perturbation", ["weights", "response", "feature"])
@pytest.mark.parametrize("name", MODELS)
def test_curvature_of_the_displacement(name, perturbation):
    X, y = data(name)
    w = weights(0, len(y))
    model = clone(MODELS[name]).fit(X, y, w)
    classes = name in ("logistic", "softmax")
    if perturbation == "response" and classes:
        with pytest.raises(NotImplementedError, match="classes"):
            model.local_influence("response")
        return
    feature = 1 if perturbation == "feature" else None
    local = model.local_influence(perturbation, feature=feature, scale=0.7)
    objective = model.__fitted_problem__().objective
    dispersion = 1.0
    if name not in ("logistic", "softmax", "poisson"):
        sigma = model.case_deletion_diagnostics().sigma if name != "gamma" else None
        dispersion = None if sigma is None else sigma**2
    B = local.matrix()
    rng = np.random.default_rng(1)
    ratios = []
    for direction in (local.direction, rng.normal(size=len(y))):
        d = direction / np.linalg.norm(direction)
        size = 2e-3

        def move(t, d=d):
            if perturbation == "weights":
                return X, y, w * (1 + t * d)
            if perturbation == "response":
                return X, y + 0.7 * t * d, w
            other = X.copy()
            other[:, 1] += 0.7 * t * d
            return other, y, w

        both = [displaced(model, X, y, w, move(t), objective) for t in (size, -size)]
        ratios.append(np.mean(both) / size**2 / (d @ B @ d))
        assert local.normal_curvature(d) == pytest.approx(2 * d @ B @ d)
    # In units of the dispersion, the same for every direction.
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=2e-3)
    if dispersion is not None:
        np.testing.assert_allclose(ratios, dispersion, rtol=2e-3)
    values, vectors = np.linalg.eigh(B)
    assert local.curvature == pytest.approx(2 * values[-1])
    np.testing.assert_allclose(np.abs(vectors[:, -1]), np.abs(local.direction), atol=1e-7)
    np.testing.assert_allclose(local.row_curvature, 2 * np.diag(B))
    kept = min(len(local.eigenvalues), len(values))
    np.testing.assert_allclose(local.eigenvalues[:kept], values[::-1][:kept], atol=1e-9)
    assert local.direction[np.abs(local.direction).argmax()] > 0


def test_names_frames_and_refusals():
    X, y = data("ridge")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = InfluenceRidge().fit(frame, y)
    by_name = model.local_influence("feature", feature="b")
    by_position = model.local_influence("feature", feature=-2)
    np.testing.assert_array_equal(by_name.direction, by_position.direction)
    table = by_name.to_frame(train_labels=[f"row {i}" for i in range(30)])
    assert table.shape == (30, 2)
    assert table.index[3] == "row 3"
    by_function = local_influence(model, "weights").direction
    np.testing.assert_array_equal(by_function, model.local_influence().direction)
    with pytest.raises(ValueError, match="feature should be one of"):
        model.local_influence("feature", feature="z")
    with pytest.raises(ValueError, match="feature should be one of"):
        model.local_influence("feature", feature=3)
    with pytest.raises(ValueError, match="feature goes with"):
        model.local_influence("weights", feature=1)
    with pytest.raises(ValueError, match="feature goes with"):
        model.local_influence("feature")
    with pytest.raises(ValueError, match="perturbation should be one of"):
        model.local_influence("labels")
    with pytest.raises(ValueError, match="scale should be"):
        model.local_influence("weights", scale=0)
    with pytest.raises(ValueError, match="direction should have shape"):
        by_name.normal_curvature(np.zeros(30))
    with pytest.raises(NotImplementedError, match="L1"):
        InfluenceLasso(alpha=0.1).fit(X, y).local_influence()
    with pytest.raises(NotImplementedError, match="kernel machine"):
        KernelLogisticRegression(kernel="rbf").fit(X, y > 1).local_influence()
