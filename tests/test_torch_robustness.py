"""Curvature in the inputs against closed forms and finite differences."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy, softmax  # noqa: E402

from skinfluence import InfluenceLogisticRegression  # noqa: E402
from skinfluence.attacks import input_curvature as of_estimator  # noqa: E402
from skinfluence.torch import (  # noqa: E402
    adversarial_step,
    curvature_regularizer,
    input_curvature,
)
from tests.cases import problem  # noqa: E402


def smooth_net(seed=0, inputs=(1, 4, 4)):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)]
    return nn.Sequential(*layers).double().eval()


def images(n=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 4, 4, generator=generator, dtype=torch.float64)


def test_the_spectrum_of_a_linear_module_is_that_of_the_regression():
    X, y = problem(seed=1, n=60, n_classes=3)
    clf = InfluenceLogisticRegression().fit(X, y)
    module = nn.Linear(4, 3).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(clf.coef_))
        module.bias.copy_(torch.as_tensor(clf.intercept_))
    expected, found = of_estimator(clf, X[:8]), input_curvature(module, X[:8])
    np.testing.assert_allclose(found.eigenvalues[:, :2], expected.eigenvalues[:, :2], atol=1e-10)
    np.testing.assert_allclose(found.eigenvalues[:, 2:], 0.0, atol=1e-12)
    np.testing.assert_allclose(found.direction, expected.direction, atol=1e-7)
    given = input_curvature(module, X[:8], y[:8])
    np.testing.assert_allclose(given.trace, of_estimator(clf, X[:8], y[:8]).trace, atol=1e-10)


def test_the_spectrum_against_finite_differences():
    net, X = smooth_net(), images(3)
    y, step = torch.tensor([0, 2, 1]), 1e-5
    found = input_curvature(net, X, y, batch_size=2)
    for i in range(3):
        columns = []
        for j in range(16):
            slopes = []
            for sign in (-1, 1):
                x = X[[i]].clone()
                x.view(-1)[j] += sign * step
                x.requires_grad_()
                slopes.append(torch.autograd.grad(cross_entropy(net(x), y[[i]]), x)[0].view(-1))
            columns.append((slopes[1] - slopes[0]) / (2 * step))
        H = torch.stack(columns).numpy()
        expected = np.linalg.eigvalsh(0.5 * (H + H.T))[::-1]
        np.testing.assert_allclose(found.eigenvalues[i], expected, atol=1e-8)


def test_the_penalty_is_the_curvature_along_the_signs_of_the_gradient():
    net, X, y = smooth_net(), images(), torch.arange(9) % 3
    x = X.clone().requires_grad_()
    slope = torch.autograd.grad(cross_entropy(net(x), y, reduction="sum"), x)[0]
    z = (slope.sign() / 4.0).reshape(9, -1)  # of 16 signs the length is 4
    expected = []
    for i in range(9):
        H = torch.autograd.functional.hessian(
            lambda row, i=i: cross_entropy(net(row.view(1, 1, 4, 4)), y[[i]]), X[i].view(-1)
        )
        expected.append(float(((H @ z[i]) ** 2).sum()))
    for loss in (cross_entropy, nn.CrossEntropyLoss(reduction="none")):
        found = curvature_regularizer(net, loss, h=1e-5)(X, y)
        np.testing.assert_allclose(float(found.detach()), np.mean(expected), rtol=1e-3)


def test_the_penalty_lowers_the_curvature_it_measures():
    """Its gradient in the weights is that of finite differences, and a step along it lowers it."""
    net, X, y = smooth_net(), images(), torch.arange(9) % 3
    penalty = curvature_regularizer(net, cross_entropy, h=0.3)
    before = penalty(X, y)
    slopes = torch.autograd.grad(before, list(net.parameters()))
    weight, step = net[3].weight, 1e-6
    with torch.no_grad():
        weight[1, 5] += step
    after = penalty(X, y)
    np.testing.assert_allclose(
        float((after - before).detach() / step), float(slopes[2][1, 5]), rtol=1e-3
    )
    with torch.no_grad():
        weight[1, 5] -= step
        for parameter, slope in zip(net.parameters(), slopes, strict=True):
            parameter -= 0.05 * slope
    assert float(penalty(X, y).detach()) < float(before.detach())


def test_steps_raise_the_loss_and_stay_within_the_radius():
    net, X, y = smooth_net(), images(), torch.arange(9) % 3
    before = cross_entropy(net(X), y, reduction="none")
    reached = {}
    for norm in ("inf", "2"):
        for steps in (1, 10):
            moved = adversarial_step(net, cross_entropy, X, y, eps=0.3, norm=norm, steps=steps)
            change = (moved - X).flatten(1)
            size = change.abs().amax(dim=1) if norm == "inf" else change.norm(dim=1)
            assert float(size.max()) <= 0.3 + 1e-12
            assert not moved.requires_grad
            after = cross_entropy(net(moved), y, reduction="none")
            assert (after > before).all()
            reached[norm, steps] = float(after.detach().sum())
        assert reached[norm, 10] >= reached[norm, 1]


def test_one_step_on_a_linear_module_is_the_worst_case():
    torch.manual_seed(0)
    module = nn.Linear(5, 2).double()
    X, y = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 2
    moved = adversarial_step(module, cross_entropy, X, y, eps=0.2)
    w = module.weight[1] - module.weight[0]
    sign = 1 - 2.0 * y.double()
    torch.testing.assert_close(moved, X + 0.2 * sign[:, None] * w.sign())
    assert (
        softmax(module(moved), dim=1)[torch.arange(6), y]
        .lt(softmax(module(X), dim=1)[torch.arange(6), y])
        .all()
    )


def test_bad_input():
    net, X, y = smooth_net(), images(), torch.arange(9) % 3
    with pytest.raises(ValueError, match="h should"):
        curvature_regularizer(net, cross_entropy, h=0.0)
    for options in ({"eps": 0.0}, {"eps": 0.1, "norm": "1"}, {"eps": 0.1, "steps": 0}):
        with pytest.raises(ValueError, match=list(options)[-1]):
            adversarial_step(net, cross_entropy, X, y, **options)
    with pytest.raises(ValueError, match="class codes"):
        input_curvature(net, X, y + 1)
