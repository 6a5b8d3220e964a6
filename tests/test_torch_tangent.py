"""Tangent features against automatic differentiation row by row; TRAK against its definition."""

import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.utils import data  # noqa: E402

from skinfluence import InfluenceLogisticRegression  # noqa: E402
from skinfluence.torch import TRAK, TangentFeatures, _sketch  # noqa: E402  # noqa: E402
from tests.cases import problem  # noqa: E402


def digits_like(n=40, classes=3, seed=0, dtype=torch.float64):
    """Images (n, 1, 6, 6) and labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 1, 6, 6, generator=generator, dtype=dtype)
    y = (X[:, 0, :3].sum(dim=(1, 2)) > 0).long() + (X[:, 0, 0, 0] > 0.6).long()
    return X, y % classes


def small_cnn(seed=0, outputs=3, dtype=torch.float64, width=4):
    """A small convolutional network."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, width, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16 * width, outputs)]
    return nn.Sequential(*layers).to(dtype).eval()


def trained(seed=0, n=120, hidden=16, steps=150):
    """A network of three classes on five features, trained a while, with its rows."""
    generator = torch.Generator().manual_seed(7)
    X = torch.randn(n, 5, generator=generator)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long() + (X[:, 3] > 0.8).long()
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(5, hidden), nn.Tanh(), nn.Linear(hidden, 3))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(net(X), y).backward()
        optimizer.step()
    return net, X, y


def slow_gradients(net, X, scalar):
    """Gradient of `scalar(output, i)` in the parameters, row by row."""
    rows = []
    for i in range(len(X)):
        net.zero_grad()
        scalar(net(X[i : i + 1])[0], i).backward()
        rows.append(torch.cat([p.grad.reshape(-1) for p in net.parameters()]))
    return torch.stack(rows).numpy()


def test_the_features_of_a_linear_model_are_its_rows():
    X = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    X.setflags(write=False)
    found = TangentFeatures(nn.Linear(4, 1, bias=False)).fit_transform(X)
    np.testing.assert_array_equal(found, X)
    with_intercept = TangentFeatures(nn.Linear(4, 1), dtype="float64").fit(X)
    np.testing.assert_array_equal(with_intercept.transform(X), np.c_[X, np.ones(9)])
    assert with_intercept.transform(X).dtype == np.float64
    assert len(with_intercept.get_feature_names_out()) == 5
    assert with_intercept.n_features_in_ == 4


def test_margins_and_single_outputs_against_a_loop():
    net, (X, y) = small_cnn(), digits_like(12)

    def margin(output, i):
        others = [output[k] for k in range(3) if k != y[i]]
        return output[y[i]] - torch.logsumexp(torch.stack(others), dim=0)

    found = TangentFeatures(net, proj_dim=None).fit(X).transform(X, y)
    np.testing.assert_allclose(found, slow_gradients(net, X, margin), atol=1e-12)
    found = TangentFeatures(net, proj_dim=None, output=2).fit_transform(X)
    np.testing.assert_allclose(found, slow_gradients(net, X, lambda o, i: o[2]), atol=1e-12)
    two = small_cnn(outputs=2)  # of two classes no labels are needed
    found = TangentFeatures(two, proj_dim=None).fit_transform(X)
    expected = slow_gradients(two, X, lambda o, i: o[1] - o[0])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_parameters_that_were_not_trained_do_not_count():
    net, (X, y) = small_cnn(), digits_like(6)
    whole = TangentFeatures(net, proj_dim=None).fit(X).transform(X, y)
    net[0].requires_grad_(False)
    head = TangentFeatures(net, proj_dim=None).fit(X).transform(X, y)
    np.testing.assert_allclose(head, whole[:, -head.shape[1] :], atol=1e-13)
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="requires a gradient"):
        TangentFeatures(net).fit(X)


def test_later_training_does_not_change_what_was_fitted():
    net, (X, y) = small_cnn(), digits_like(6)
    features = TangentFeatures(net).fit(X)
    before = features.transform(X, y)
    with torch.no_grad():
        net[0].weight.mul_(2.0)
    np.testing.assert_array_equal(features.transform(X, y), before)


def test_the_projection_repeats_for_any_chunk_and_seed(monkeypatch):
    monkeypatch.setattr(_sketch, "BLOCK", 100)  # many blocks, the last one not full
    net, (X, y) = small_cnn(), digits_like(20)
    found = {
        size: TangentFeatures(net, proj_dim=32, batch_size=size).fit(X).transform(X, y)
        for size in (1, 7, 20, None)
    }
    for size in (1, 7, 20):
        np.testing.assert_allclose(found[size], found[None], rtol=1e-12, atol=1e-12)
    other = TangentFeatures(net, proj_dim=32, random_state=1).fit(X).transform(X, y)
    assert np.abs(other - found[None]).max() > 0.1


@pytest.mark.parametrize("n_in", [700, 5000])
def test_the_projection_keeps_inner_products(n_in):
    x = torch.randn(30, n_in, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:15, 0] += 40.0  # one large number must not spoil it
    x /= x.norm(dim=1, keepdim=True)
    exact, d = x @ x.T, 500
    off = []
    for seed in range(20):
        projected = _sketch.Sketch(n_in, d, seed, torch.device("cpu"))(x)
        off.append((projected @ projected.T - exact).numpy())
    off = np.array(off)
    assert abs(off.mean()) < 0.004
    assert off.std() < 1.1 * np.sqrt(2 / d)
    assert np.abs(off).max() < 7 / np.sqrt(d)


def test_what_does_not_fit_in_memory_is_halved(monkeypatch):
    net, (X, y) = small_cnn(), digits_like(20)
    expected = TangentFeatures(net).fit(X).transform(X, y)
    seen, sketch = [], _sketch.Sketch.__call__

    def small_memory(self, rows):
        seen.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sketch(self, rows)

    monkeypatch.setattr(_sketch.Sketch, "__call__", small_memory)
    found = TangentFeatures(net, batch_size=16).fit(X).transform(X, y)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert seen[:4] == [16, 8, 4, 2]
    assert set(seen[3:]) == {2}

    def no_memory(self, rows):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")

    monkeypatch.setattr(_sketch.Sketch, "__call__", no_memory)
    with pytest.raises(MemoryError, match="one row"):
        TangentFeatures(net).fit(X).transform(X, y)


def test_features_cost_little_more_than_forward_and_backward():
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    ).eval()  # fmt: skip
    X, y = torch.randn(256, 1, 8, 8), torch.randint(0, 10, (256,))
    features = TangentFeatures(net).fit(X)
    features.transform(X[:8], y[:8])

    def one_by_one():
        for i in range(len(X)):
            net.zero_grad()
            cross_entropy(net(X[i : i + 1]), y[i : i + 1]).backward()

    times = []
    for work in (one_by_one, lambda: features.transform(X, y)):
        best = np.inf
        for _ in range(2):
            start = time.process_time()
            work()
            best = min(best, time.process_time() - start)
        times.append(best)
    assert times[1] <= 3.0 * times[0], times


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_projection_is_that_of_the_cpu_on_a_gpu():
    net, (X, y) = small_cnn(), digits_like(20)
    here = TangentFeatures(net, proj_dim=32).fit(X).transform(X, y)
    there = TangentFeatures(net, proj_dim=32, device="cuda").fit(X).transform(X, y)
    np.testing.assert_allclose(there, here, rtol=1e-9, atol=1e-9)
    scores = [
        TRAK(net, device=device).fit(X, y).influence(X[:5], y[:5]) for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-10)


# -- TRAK ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["loss", "margin"])
def test_trak_of_a_linear_module_is_the_first_order_influence_of_the_regression(target):
    X, y = problem(seed=1, n=50)
    w = np.random.default_rng(0).uniform(0.5, 2.0, size=50)
    clf = InfluenceLogisticRegression(C=0.7, fit_intercept=False).fit(X, y, sample_weight=w)
    module = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(clf.coef_))
    trak = TRAK(module, alpha=1 / 0.7).fit(X, y, sample_weight=w)
    found = trak.influence(X[:9], y[:9], target=target)
    # The margin of binary models is that of the label here, in both.
    expected = clf.influence(X[:9], y[:9], target=target, method="first_order")
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    newton = TRAK(module, alpha=1 / 0.7, method="newton").fit(X, y, sample_weight=w)
    np.testing.assert_allclose(
        newton.influence(X[:9], y[:9], target=target),
        clf.influence(X[:9], y[:9], target=target, method="newton"), rtol=1e-6, atol=1e-12,
    )  # fmt: skip
    own = clf.self_influence(target=target, method="first_order")
    np.testing.assert_allclose(trak.self_influence(target=target), own, rtol=1e-6, atol=1e-12)
    ranked = clf.most_influential(X[:9], y[:9], k=4, target=target, method="first_order")
    best = trak.most_influential(X[:9], y[:9], k=4, target=target)
    np.testing.assert_array_equal(best.helpful_indices, ranked.helpful_indices)
    np.testing.assert_allclose(best.harmful_values, ranked.harmful_values, rtol=1e-6, atol=1e-12)
    assert len(best.to_frame()) == 2 * 4 * 9


@pytest.mark.parametrize("curvature", ["hessian", "gram"])
def test_trak_by_its_formula_and_over_checkpoints(curvature):
    (one, X, y), (two, _, _) = trained(0), trained(1)
    alpha, parts = 3.0, []
    for net in (one, two):
        phi = TangentFeatures(net, proj_dim=None, dtype="float64").fit(X).transform(X, y)
        with torch.no_grad():
            p = net.double()(X.double()).softmax(dim=1)[torch.arange(len(y)), y].numpy()
        net.float()
        weight = p * (1 - p) if curvature == "hessian" else np.ones(len(p))
        H = phi.T @ (phi * weight[:, None]) + alpha * np.eye(phi.shape[1])
        parts.append(-phi[:6] @ np.linalg.solve(H, phi.T) * (1 - p))
    options = {"proj_dim": None, "alpha": alpha, "dtype": torch.float64, "curvature": curvature}
    found = TRAK([one, two], **options).fit(X, y).influence(X[:6], y[:6], target="margin")
    np.testing.assert_allclose(found, np.mean(parts, axis=0), rtol=1e-8, atol=1e-12)
    summed = (
        TRAK([one, two], **options)
        .fit(X, y)
        .influence(X[:6], y[:6], target="margin", aggregate="sum")
    )
    np.testing.assert_allclose(summed, found.sum(axis=0), rtol=1e-8, atol=1e-12)


def test_bad_input():
    net, X, y = trained()
    with pytest.raises(ValueError, match="no parameters"):
        TangentFeatures(nn.Flatten()).fit(X)
    with pytest.raises(
        ValueError, match=r"1 \(Dropout\) of Sequential in training mode.*module.eval"
    ):
        TangentFeatures(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5))).fit(X)
    batch = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=r"BatchNorm1d.*the other rows"):
        TRAK(batch).fit(X, y)
    assert TRAK(batch.eval()).fit(X, y).influence(X[:2], y[:2]).shape == (2, 120)
    with pytest.raises(ValueError, match="labels y"):
        TangentFeatures(net).fit_transform(X)
    with pytest.raises(ValueError, match=r"from 0 to 2.*row 4 has 3"):
        TRAK(net).fit(X, torch.where(torch.arange(120) == 4, 3, y))
    with pytest.raises(ValueError, match=r"y_test.*0\.5"):
        TRAK(net).fit(X, y).influence(X[:2], [0.5, 1])
    with pytest.raises(ValueError, match="output should be 'margin' or an integer from 0 to 2"):
        TangentFeatures(net, output=3).fit(X)
    with pytest.raises(ValueError, match="one row of outputs"):
        TangentFeatures(nn.Conv1d(1, 2, 1)).fit(torch.randn(4, 1, 3))
    broken = nn.Linear(5, 3)
    with torch.no_grad():
        broken.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="weight of Linear are NaN"):
        TRAK(broken).fit(X, y)
    shuffled = data.DataLoader(data.TensorDataset(X, y), batch_size=7, shuffle=True)
    with pytest.raises(TypeError, match=r"X should hold.*DataLoader"):
        TangentFeatures(net, output=0).fit(shuffled, y)
    with pytest.raises(ValueError, match=r"shuffles \(RandomSampler\)"):
        TRAK(net).fit(shuffled)
    with pytest.raises(ValueError, match="y is None: pass the labels"):
        TRAK(net).fit(X)
    for each in (TRAK, TangentFeatures):
        with pytest.raises(ValueError, match="random_state should be an integer of at least 0"):
            each(net, random_state=None).fit(X, y)
    with pytest.raises(ValueError, match=r"X_test should have rows of shape \(5,\)"):
        TRAK(net).fit(X, y).influence(X[:2, :4], y[:2])
    with pytest.raises(ValueError, match=r"X contains NaN or infinity, in row 3"):
        TRAK(net).fit(torch.where(torch.arange(120)[:, None] == 3, torch.nan, X), y)
    with pytest.raises(ValueError, match="k should be an integer from 1 to the 120"):
        TRAK(net).fit(X, y).most_influential(X[:2], y[:2], k=200)
    with pytest.raises(ValueError, match="empty"):
        TRAK([]).fit(X, y)
    with pytest.raises(ValueError, match="target"):
        TRAK(net).fit(X, y).influence(X[:2], y[:2], target="brier")
    with pytest.raises(ValueError, match="rows of shape"):
        TangentFeatures(net).fit(X).transform(X[:, :4])


def test_loaders_and_lists_of_modules_are_what_they_hold():
    (one, X, y), (two, _, _) = trained(0), trained(1)
    known = TRAK([one, two], proj_dim=20).fit(X, y)
    loader = data.DataLoader(data.TensorDataset(X, y), batch_size=7)
    test = data.DataLoader(data.TensorDataset(X[:5], y[:5]), batch_size=2)
    found = TRAK(nn.ModuleList([one, two]), proj_dim=20).fit(loader)
    np.testing.assert_array_equal(found.influence(test), known.influence(X[:5], y[:5]))
    np.testing.assert_array_equal(
        found.most_influential(test, k=3).helpful_indices,
        known.most_influential(X[:5], y[:5], k=3).helpful_indices,
    )


def test_small_problems_of_trak():
    net, X, y = trained()
    one_class = TRAK(net, proj_dim=20).fit(X, torch.zeros_like(y))
    assert np.isfinite(one_class.influence(X[:3], y[:3])).all()
    single = TRAK(net, proj_dim=20).fit(X, y).influence(X[:3], y[:3])
    double = TRAK(net, proj_dim=20, dtype="float64").fit(X, y).influence(X[:3], y[:3])
    np.testing.assert_allclose(single, double, atol=1e-3 * np.abs(double).max())
    whole, one, two = (
        TRAK(net, proj_dim=size, random_state=seed).fit(X, y).influence(X[:9], y[:9]).ravel()
        for size, seed in ((None, 0), (100, 0), (100, 1))
    )
    assert not np.array_equal(one, two)
    assert min(np.corrcoef(each, whole)[0, 1] for each in (one, two)) > 0.8
    with pytest.warns(RuntimeWarning, match=r"1 rows are undefined \(NaN\): 0"):
        assert np.isnan(TRAK(net).fit(X[:1], y[:1]).influence(X[:3], y[:3])).all()
