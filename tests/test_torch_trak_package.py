"""TRAK beside its published formula with another projection, and beside the package traker."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from benchmarks.trak_package import (  # noqa: E402
    n_parameters,
    own_scores,
    package_scores,
    ranks,
)
from skinfluence.torch import TangentFeatures  # noqa: E402

# The package hands tensors to NumPy, of which PyTorch's build is newer than the oldest.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")


@pytest.fixture(scope="module")
def problem():
    """A network of 147 parameters, its 120 training rows with labels, and 15 other rows."""
    generator = torch.Generator().manual_seed(7)
    X = torch.randn(135, 5, generator=generator)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long() + (X[:, 3] > 0.8).long()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        cross_entropy(net(X[:120]), y[:120]).backward()
        optimizer.step()
    return net.eval(), X[:120], y[:120], X[120:], y[120:]


def gradients(net, X, y, X_test, y_test):
    """Gradients of the margins of training and test rows in float64, and 1 - p of the former."""
    features = TangentFeatures(net, proj_dim=None, dtype="float64").fit(X)
    with torch.no_grad():
        p = net(X).double().softmax(dim=1)[torch.arange(len(y)), y]
    return features.transform(X, y), features.transform(X_test, y_test), 1 - p.numpy()


def test_another_kind_of_projection_gives_the_same_scores_in_the_mean(problem):
    # 20 times 100 numbers of 147. Dense normal numbers agree with others of their own as well.
    net, *rows = problem
    G, G_test, gap = gradients(net, *rows)
    rng, parts = np.random.default_rng(0), []
    for _ in range(20):
        S = rng.normal(size=(G.shape[1], 100)) / 10
        phi = G @ S
        parts.append(G_test @ S @ np.linalg.solve(phi.T @ phi + 2 * np.eye(100), phi.T) * gap)
    theirs, ours = np.mean(parts, axis=0), own_scores([net] * 20, *rows, alpha=2, proj_dim=100)
    found = ranks(ours, theirs)
    assert np.median(found) >= 0.94
    assert found.min() >= 0.88
    assert (ours * theirs).sum() / (theirs**2).sum() == pytest.approx(1, abs=0.05)


def test_without_projection_the_scores_are_those_of_the_package(problem):
    pytest.importorskip("trak")
    net, *rows = problem
    theirs, _ = package_scores([net], *rows, alpha=1, proj_dim=None)
    G, *_ = gradients(net, *rows)
    inverse = np.linalg.inv(G.T @ G + np.eye(G.shape[1]))
    # The package has gradients over sqrt(P), and an inverse over its mean absolute entry.
    expected = own_scores(net, *rows, alpha=1, proj_dim=None)
    expected /= n_parameters(net) * np.abs(inverse).mean()
    # Its inverse is of single precision.
    np.testing.assert_allclose(theirs, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_with_its_projection_the_ranks_are_those_of_the_package(problem):
    pytest.importorskip("trak")
    net, *rows = problem
    theirs, _ = package_scores([net], *rows, alpha=1)
    found = ranks(own_scores(net, *rows, alpha=1), theirs)
    assert found.mean() >= 0.95
    assert found.min() >= 0.9


def test_with_projections_of_both_the_means_are_those_of_the_package(problem):
    pytest.importorskip("trak")
    net, *rows = problem
    options = {"alpha": 2, "proj_dim": 100}
    one, mean = package_scores([net] * 20, *rows, **options)
    assert np.median(ranks(own_scores(net, *rows, **options), one)) < 0.8  # each alone is noise
    found = ranks(own_scores([net] * 20, *rows, **options), mean)
    assert np.median(found) >= 0.94
    assert found.min() >= 0.88
