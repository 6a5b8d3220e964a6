"""Losses and targets, row by row."""

from math import factorial

import numpy as np
import pytest
from scipy.special import log_expit, log_softmax
from sklearn.metrics import mean_tweedie_deviance

from skinfluence import make_target
from skinfluence.deletion.targets import resolve_target, target_names
from skinfluence.losses import (
    BinaryLogLoss,
    HingeLoss,
    HuberLoss,
    MultinomialLogLoss,
    OneVsOneLoss,
    OneVsRestLoss,
    SmoothEpsilonInsensitiveLoss,
    SmoothHingeLoss,
    SmoothPinballLoss,
    SquaredEpsilonInsensitiveLoss,
    SquaredHingeLoss,
    SquaredLabelLoss,
    SquaredLoss,
    TweedieLoss,
)
from tests.oracles import differences

LOSSES = {
    "binary": BinaryLogLoss(),
    "softmax3": MultinomialLogLoss(3),
    "softmax2": MultinomialLogLoss(2),
    "smooth hinge": SmoothHingeLoss(0.8),
    "squared hinge": SquaredHingeLoss(),
    "hinge": HingeLoss(),
    "smooth hinge, one against one": OneVsOneLoss(SmoothHingeLoss(1.2), 3),
    "smooth hinge, one against the rest": OneVsRestLoss(SmoothHingeLoss(1.2), 3),
    "squared": SquaredLoss(),
    "squared, of labels": SquaredLabelLoss(),
    "squared, of labels, one against the rest": OneVsRestLoss(SquaredLabelLoss(), 3),
    "smooth pinball": SmoothPinballLoss(0.3, 0.7),
    "smooth epsilon-insensitive": SmoothEpsilonInsensitiveLoss(0.5, 0.7),
    "squared epsilon-insensitive": SquaredEpsilonInsensitiveLoss(0.5),
    "huber": HuberLoss(1.35),
    "poisson": TweedieLoss(1.0),
    "gamma": TweedieLoss(2.0),
    "tweedie": TweedieLoss(1.7),
    "inverse gaussian": TweedieLoss(3.0),
    "normal, logarithm": TweedieLoss(0.0),
    "poisson, identity": TweedieLoss(1.0, "identity"),
    "tweedie, identity": TweedieLoss(1.5, "identity"),
}


def draw(loss, n=40, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    if isinstance(loss, TweedieLoss):
        y = rng.gamma(2.0, size=n) if loss.power >= 2 else 1.0 * rng.poisson(1.0, size=n)
        eta = np.clip(scale, 0, 3) / 3 * rng.normal(size=n)
        return y, eta if loss.link.name == "log" else 0.5 + np.abs(eta)
    if isinstance(loss, HuberLoss):
        eta = np.stack([scale * rng.normal(size=n), rng.uniform(0.5, 2.0, size=n)], axis=1)
        return rng.normal(size=n), eta
    if loss.is_scalar:
        return rng.integers(0, 2, n).astype(float), scale * rng.normal(size=n)
    return rng.integers(0, loss.n_outputs, n), scale * rng.normal(size=(n, loss.n_outputs))


def as_vector(loss, function):
    """The function of eta with the axis of predictors always there."""
    return (lambda eta: function(eta[..., 0])) if loss.is_scalar else function


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_are_differences(name):
    loss = LOSSES[name]
    y, eta = draw(loss)
    eta = eta.reshape(len(y), -1)
    K = loss.n_outputs
    gradient = as_vector(loss, lambda e: loss.gradient(y, e))(eta).reshape(len(y), K)
    curvature = as_vector(loss, lambda e: loss.curvature(y, e))(eta).reshape(len(y), K, K)
    third = as_vector(loss, lambda e: loss.third(y, e))(eta).reshape(len(y), K, K, K)
    value = as_vector(loss, lambda e: loss.value(y, e))
    np.testing.assert_allclose(gradient, differences(value, eta), atol=1e-9)
    for k in range(K):
        part = as_vector(loss, lambda e: loss.gradient(y, e).reshape(len(y), K)[:, k])  # noqa: B023
        np.testing.assert_allclose(curvature[:, k], differences(part, eta), atol=1e-9)
        for m in range(K):
            part = as_vector(loss, lambda e: loss.curvature(y, e).reshape(-1, K, K)[:, k, m])  # noqa: B023
            np.testing.assert_allclose(third[:, k, m], differences(part, eta), atol=1e-9)


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name].is_convex])
def test_roots_and_splits_give_the_curvature(name):
    loss = LOSSES[name]
    y, eta = draw(loss)
    W = loss.curvature(y, eta)
    L = loss.curvature_root(y, eta)
    square = L**2 if loss.is_scalar else L @ L.transpose(0, 2, 1)
    np.testing.assert_allclose(square, W, atol=1e-15)
    if isinstance(loss, HuberLoss):  # of rank one, with nothing beside it
        assert loss.curvature_split(y, eta) is None
    elif not loss.is_scalar:
        d, f = loss.curvature_split(y, eta)
        np.testing.assert_allclose(
            d[:, :, None] * np.eye(loss.n_outputs) - f[:, :, None] * f[:, None], W, atol=1e-15
        )
        if loss.null_direction is not None:
            np.testing.assert_allclose(W @ loss.null_direction, 0.0, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_the_diagonal_and_products_are_those_of_the_curvature(name):
    loss = LOSSES[name]
    y, eta = draw(loss)
    W = loss.curvature(y, eta)
    if loss.is_scalar:
        np.testing.assert_array_equal(loss.curvature_diagonal(y, eta), W)
        return
    diagonal = np.einsum("ikk->ik", W)
    np.testing.assert_allclose(loss.curvature_diagonal(y, eta), diagonal, rtol=1e-14)
    U = np.random.default_rng(1).normal(size=(len(y), loss.n_outputs, 3))
    np.testing.assert_allclose(
        loss.curvature_matmul(loss.curvature_state(y, eta), U), W @ U, rtol=1e-12, atol=1e-15
    )


def test_products_keep_their_digits_where_one_class_is_certain():
    rng = np.random.default_rng(0)
    eta, U = rng.normal(size=(30, 4)), rng.normal(size=(30, 4, 2))
    eta[np.arange(30), np.arange(30) % 4] += np.linspace(0, 60, 30)
    # Of u less u of the likeliest class, exactly: p (u - p'u), and 1 - p by the others' sum.
    odds = np.exp(eta - eta.max(axis=1)[:, None])
    p = odds / odds.sum(axis=1)[:, None]
    others = np.where(np.eye(4, dtype=bool), 0.0, p[:, None, :]).sum(axis=2)
    expected = np.empty_like(U)
    for k in range(4):
        expected[:, k] = sum(
            (p[:, k] * p[:, m])[:, None] * (U[:, k] - U[:, m]) for m in range(4) if m != k
        )
    loss, y = MultinomialLogLoss(4), np.zeros(30, dtype=int)
    np.testing.assert_allclose(loss.curvature_diagonal(y, eta), p * others, rtol=1e-13)
    size = np.abs(expected).max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(
        loss.curvature_matmul(loss.curvature_state(y, eta), U) / size, expected / size, atol=1e-13
    )


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_predictors_are_finite(name):
    loss = LOSSES[name]
    y, eta = draw(loss, n=200)
    eta = np.sign(eta) * 10 ** np.abs(eta)
    eta = np.clip(eta, -1e4, 1e4)
    if isinstance(loss, TweedieLoss):  # means of exp(1e4) are no floats
        eta = np.clip(eta, -150, 150)
    methods = (loss.value, loss.gradient, loss.curvature, loss.third)
    for method in (*methods, loss.curvature_root) if loss.is_convex else methods:
        assert np.isfinite(method(y, eta)).all()
    assert (loss.value(y, eta) >= 0).all()


@pytest.mark.parametrize("temperature", [1.0, 0.1, 1e-2, 1e-4, 1e-6])
def test_smooth_hinge_at_every_temperature(temperature):
    loss = SmoothHingeLoss(temperature)
    # Near the kink, where everything happens within a few temperatures.
    u = np.linspace(-30, 30, 241)
    for y in (0.0, 1.0):
        sign = 2 * y - 1
        eta = sign * (1 - temperature * u)
        near, h = np.full(len(u), y), 1e-4 * temperature
        for function, derivative, size in (
            (loss.value, loss.gradient, 1.0),
            (loss.gradient, loss.curvature, temperature),
            (loss.curvature, loss.third, temperature**2),
        ):
            slope = (function(near, eta + h) - function(near, eta - h)) / (2 * h)
            found = derivative(near, eta)
            # Margins of 1 - T u have lost eps / T of u.
            noise = 1e-7 + 1e-11 / temperature
            np.testing.assert_allclose(size * slope, size * found, atol=noise)
        bound = loss.self_concordance * loss.curvature(near, eta)
        assert (np.abs(loss.third(near, eta)) <= bound * (1 + 1e-12)).all()
    margin = np.r_[-np.geomspace(1e-3, 1e4, 30), np.geomspace(1e-3, 1e4, 30)]
    y = np.tile([0.0, 1.0], 30)
    eta = (2 * y - 1) * margin
    hinge = np.maximum(0.0, 1.0 - margin)
    value = loss.value(y, eta)
    assert (value >= hinge * (1 - 1e-15)).all()
    assert (value <= hinge + temperature * np.log(2) * (1 + 1e-12) + 1e-12 * hinge).all()
    for method in (loss.gradient, loss.curvature, loss.third, loss.curvature_root):
        assert np.isfinite(method(y, eta)).all()
    assert (np.abs(loss.gradient(y, eta)) <= 1).all()


@pytest.mark.parametrize("name", ["binary", "smooth hinge", "poisson", "gamma", "tweedie"])
def test_series_of_the_gradient(name):
    loss = LOSSES[name]
    y, eta = draw(loss)
    terms = loss.gradient_series(y, eta, 8)
    change = 0.05 * loss.series_radius * np.cos(np.arange(len(y)))
    total = loss.gradient(y, eta) + sum(c * change ** (k + 1) for k, c in enumerate(terms))
    np.testing.assert_allclose(total, loss.gradient(y, eta + change), atol=1e-12)


def test_values_against_scipy():
    y, eta = draw(LOSSES["binary"], scale=20)
    np.testing.assert_allclose(
        LOSSES["binary"].value(y, eta), -log_expit((2 * y - 1) * eta), rtol=1e-14
    )
    y, eta = draw(LOSSES["softmax3"], scale=20)
    expected = -log_softmax(eta, axis=1)[np.arange(len(y)), y]
    np.testing.assert_allclose(LOSSES["softmax3"].value(y, eta), expected, rtol=1e-12, atol=1e-15)


def test_two_softmax_classes_are_the_binary_loss():
    y, eta = draw(LOSSES["binary"])
    both = np.column_stack([np.zeros_like(eta), eta])
    soft, binary = LOSSES["softmax2"], LOSSES["binary"]
    np.testing.assert_allclose(soft.value(y.astype(int), both), binary.value(y, eta), rtol=1e-13)
    np.testing.assert_allclose(
        soft.gradient(y.astype(int), both)[:, 1], binary.gradient(y, eta), rtol=1e-13
    )
    np.testing.assert_allclose(
        soft.curvature(y.astype(int), both)[:, 1, 1], binary.curvature(y, eta), rtol=1e-13
    )


@pytest.mark.parametrize("name", ["poisson", "gamma", "tweedie"])
def test_self_concordance_of_the_exponential_family(name):
    loss = LOSSES[name]
    y, eta = draw(loss, n=400)
    bound = loss.self_concordance * loss.curvature(y, eta)
    assert (np.abs(loss.third(y, eta)) <= bound * (1 + 1e-12)).all()


@pytest.mark.parametrize("link", ["log", "identity"])
@pytest.mark.parametrize("power", [0.0, 1.0, 1.3, 2.0, 3.0])
def test_values_are_half_the_deviance(power, link):
    rng = np.random.default_rng(0)
    y, mean = rng.gamma(2.0, size=50), rng.gamma(2.0, size=50)
    if power < 2:
        y[:5] = 0.0
    eta = np.log(mean) if link == "log" else mean
    value = TweedieLoss(power, link).value(y, eta)
    for i in range(50):
        expected = mean_tweedie_deviance(y[[i]], mean[[i]], power=power)
        assert value[i] == pytest.approx(expected / 2, abs=1e-13)


@pytest.mark.parametrize("link", ["log", "identity"])
@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0])
def test_deviances_keep_their_digits_beside_large_labels(power, link):
    # The sum of such losses decides whether a step is taken; near the optimum nothing else is left.
    y = np.repeat([3.0, 3173.0, 1e6], 6)
    d = np.tile([1e-2, -1e-2, 1e-4, -1e-4, 1e-5, -1e-5], 3)
    eta = np.log(y) + d if link == "log" else y * np.exp(d)
    found = TweedieLoss(power, link).value(y, eta)
    d = (eta if link == "log" else np.log(eta)) - np.log(y)
    # y^(2-p) times d^2 / 2 and the next terms of the series, in d as it was rounded.
    a, b = 2.0 - power, 1.0 - power
    series = sum((a**k - b**k) * d ** (k + 1) / factorial(k + 1) for k in range(1, 8))
    np.testing.assert_allclose(found, y**a * series, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name in LOSSES if LOSSES[name].residual_is_gradient])
def test_a_residual_that_is_minus_the_gradient(name):
    loss, y = LOSSES[name], np.array([0.0, 1.0, 0.0, 1.0])
    eta = np.array([-40.0, -0.3, 0.7, 35.0])
    expected = y - loss.link.mean(eta) if loss.n_classes == 0 else y - 1 / (1 + np.exp(-eta))
    np.testing.assert_allclose(loss.response_residual(y, eta), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(loss.response_residual(y, eta), -loss.gradient(y, eta))


@pytest.mark.parametrize("name", LOSSES)
def test_labels_broadcast_against_columns(name):
    loss = LOSSES[name]
    y, eta = draw(loss, n=6)
    many = np.stack([eta + 0.1 * j for j in range(5)], axis=1)
    for method in (loss.value, loss.gradient):
        together = method(y[:, None], many)
        for j in range(5):
            np.testing.assert_allclose(together[:, j], method(y, many[:, j]), rtol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_recession_multipliers_rebuild_the_residual(name):
    loss = LOSSES[name]
    y, eta = draw(loss)
    residual = loss.gradient(y, eta).reshape(len(y), -1)
    c = loss.recession_multipliers(y, residual)
    flat = loss.is_piecewise_linear or loss.kink_distance(y, eta) is not None  # beyond its kink
    assert (c >= 0 if flat else c > 0).all()
    np.testing.assert_allclose(
        -np.einsum("ir,irk->ik", c, loss.recession_cone_normals(y)), residual, atol=1e-15
    )


def test_gradient_series_converges_to_the_gradient():
    loss = LOSSES["binary"]
    y, eta = draw(loss, scale=4)
    c = loss.gradient_series(y, eta, 8)
    for u in (-0.2, 0.01, 0.2):
        series = sum(ck * u ** (k + 1) for k, ck in enumerate(c))
        np.testing.assert_allclose(
            series, loss.gradient(y, eta + u) - loss.gradient(y, eta), atol=1e-11
        )


@pytest.mark.parametrize("loss", [LOSSES["binary"], LOSSES["softmax3"]], ids=["binary", "softmax"])
@pytest.mark.parametrize("name", target_names())
def test_target_gradients_are_differences(loss, name):
    target = resolve_target(name, loss.link, loss)
    if not target.is_differentiable:
        with pytest.raises(ValueError, match="derivative"):
            target.gradient(None, None)
        return
    y, eta = draw(loss, scale=1.5)
    columns = eta.reshape(len(y), -1)
    gradient = np.asarray(target.gradient(y, eta)).reshape(len(y), target.n_outputs, -1)
    for o in range(target.n_outputs):
        part = as_vector(loss, lambda e: np.asarray(target.value(y, e)).reshape(len(y), -1)[:, o])  # noqa: B023
        np.testing.assert_allclose(gradient[:, o], differences(part, columns), atol=1e-8)


def test_multiclass_definitions():
    loss = LOSSES["softmax3"]
    y, eta = np.array([0, 2]), np.array([[2.0, 0.5, 1.0], [0.3, 0.1, 0.2]])
    p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[y]
    expected = {
        "margin": np.log([p[0, 0] / (1 - p[0, 0]), p[1, 2] / (1 - p[1, 2])]),
        "hinge": [max(0, 1 - (2.0 - 1.0)), max(0, 1 - (0.2 - 0.3))],
        "brier": ((p - one_hot) ** 2).sum(axis=1),
        "zero_one": [0.0, 1.0],
        "predict_proba": p,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(
            resolve_target(name, loss.link, loss).value(y, eta), value, rtol=1e-12, atol=1e-15
        )


def test_targets_at_their_corners():
    """A score of 0 is the first class; slopes at kinks are 0; no deviance of a mean below 0."""
    y, zero = np.array([0.0, 1.0]), np.zeros(2)
    for name in ("binary", "smooth hinge", "squared hinge", "hinge"):
        found = resolve_target("zero_one", LOSSES[name].link, LOSSES[name])
        np.testing.assert_array_equal(found.value(y, zero), [0.0, 1.0])
        np.testing.assert_array_equal(found.value(y, zero + 1e-12), [1.0, 0.0])
    quantile, squared = LOSSES["smooth pinball"], LOSSES["squared"]
    pinball = resolve_target("pinball", quantile.link, quantile)
    absolute = resolve_target("absolute_error", squared.link, squared)
    y, mean = np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(np.ravel(pinball.gradient(y, mean)), [-0.3, 0.0, 0.7])
    np.testing.assert_allclose(np.ravel(pinball.value(y, mean)), [0.3, 0.0, 0.7])
    np.testing.assert_allclose(np.ravel(absolute.gradient(y, mean)), [-1.0, 0.0, 1.0])
    deviance = resolve_target("poisson_deviance", squared.link, squared)
    y, mean = np.array([0.0, 2.0, 0.0, 2.0, 2.0]), np.array([-1.0, -1.0, 0.0, 0.0, 2.0])
    found = np.ravel(deviance.value(y, mean))
    np.testing.assert_array_equal(found, [np.inf, np.inf, np.inf, np.inf, 0.0])


def test_custom_target_is_differentiated_and_checked():
    loss = LOSSES["softmax3"]
    y, eta = draw(loss)
    target = resolve_target(lambda y, f: (f**2).sum(axis=1), loss.link, loss)
    np.testing.assert_allclose(target.gradient(y, eta), 2 * eta, rtol=1e-7, atol=1e-9)
    given = make_target(lambda y, f: (f**2).sum(axis=1), gradient=lambda y, f: 2 * f)
    given = resolve_target(given, loss.link, loss)
    np.testing.assert_array_equal(given.gradient(y, eta), 2 * eta)
    with pytest.raises(ValueError, match=r"one value a test row"):
        resolve_target(lambda y, f: f, loss.link, loss).value(y, eta)
    with pytest.raises(TypeError, match="function should be callable"):
        make_target(3)
