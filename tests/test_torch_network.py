"""Influence on whole networks: solvers against all eigenvalues, and those against retraining."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy  # noqa: E402
from torch.utils import data  # noqa: E402

from skinfluence import InfluenceLogisticRegression  # noqa: E402
from skinfluence.evaluation import agreement  # noqa: E402
from skinfluence.torch import NetworkInfluence, _row_gradients  # noqa: E402
from skinfluence.torch._products import SumOfLosses  # noqa: E402
from tests.cases import problem  # noqa: E402

PENALTY = 0.05


def rows(n=60, seed=0):
    """Rows of four features and labels of two classes that no line separates."""
    X = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).long()


def small_net(seed=0, hidden=5):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 2)).double()


def minimise(net, X, y, weight, penalty=PENALTY, rounds=3):
    """Train in place to a minimum of the sum of the losses plus the penalty."""
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=300, tolerance_grad=1e-9, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        squares = sum((p**2).sum() for p in net.parameters())
        loss = weight @ cross_entropy(net(X), y, reduction="none") + penalty / 2 * squares
        loss.backward()
        return loss

    for _ in range(rounds):
        optimizer.step(closure)
    return net


@pytest.fixture(scope="module")
def minimum():
    """(network at a minimum, rows, labels, weights)."""
    X, y = rows()
    weight = torch.linspace(0.5, 1.5, 60, dtype=torch.float64)
    return minimise(small_net(), X, y, weight), X, y, weight


def of_vector(net, theta):
    """The network as a function of rows, with its parameters in one vector."""
    named = list(net.named_parameters())
    parts = zip(named, theta.split([p.numel() for _, p in named]), strict=True)
    values = {name: part.view(p.shape) for (name, p), part in parts}
    return lambda X: torch.func.functional_call(net, values, (X,))


def slow_influence(net, X, y, weight, X_test, y_test, damping=0.0, penalty=PENALTY):
    """By the dense Hessian of automatic differentiation, one row at a time."""
    theta = torch.cat([p.detach().reshape(-1) for p in net.parameters()])

    def losses(theta, X, y):
        return cross_entropy(of_vector(net, theta)(X), y, reduction="none")

    def total(theta):
        return weight @ losses(theta, X, y) + penalty / 2 * theta @ theta

    H = torch.autograd.functional.hessian(total, theta) + damping * torch.eye(
        len(theta), dtype=theta.dtype
    )
    own = torch.autograd.functional.jacobian(lambda t: losses(t, X, y), theta)
    test = torch.autograd.functional.jacobian(lambda t: losses(t, X_test, y_test), theta)
    return (test @ torch.linalg.solve(H, (weight[:, None] * own).T)).numpy()


def explained(fitted, solver="dense", curvature="hessian", damping="auto", **options):
    net, X, y, weight = fitted
    options = {"penalty": PENALTY, "max_iter": 1500, **options}
    model = NetworkInfluence(
        net, cross_entropy, solver=solver, curvature=curvature, damping=damping, **options
    )
    return model.fit(X, y, sample_weight=weight)


def test_the_oracle_against_automatic_differentiation(minimum):
    X_test, y_test = rows(7, seed=1)
    model = explained(minimum)
    assert model.damping_ == 0.0  # a minimum
    assert model.gradient_norm_ < 1e-5
    expected = slow_influence(*minimum, X_test, y_test)
    found, info = model.influence(X_test, y_test, return_info=True)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    assert info.residual.max() < 1e-10
    assert len(info.to_frame()) == 7
    assert "dense" in repr(info)
    damped = explained(minimum, damping=0.7).influence(X_test, y_test)
    expected = slow_influence(*minimum, X_test, y_test, damping=0.7)
    np.testing.assert_allclose(damped, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("solver", "curvature"),
    [
        ("cg", "hessian"),
        ("cg", "ggn"),
        ("arnoldi", "hessian"),
        ("arnoldi", "ggn"),
        ("lissa", "hessian"),
        ("lissa", "ggn"),
    ],
)
def test_every_solver_finds_what_the_oracle_finds(minimum, solver, curvature):
    X_test, y_test = rows(3, seed=1)
    options = {"damping": 3.0 if solver == "lissa" else 0.5, "curvature": curvature}
    oracle = explained(minimum, **options).influence(X_test, y_test)
    tol = 1e-3 if solver == "lissa" else 1e-7
    model = explained(minimum, solver, tol=tol, **options)
    found, info = model.influence(X_test, y_test, return_info=True)
    assert info.residual.max() <= 2 * tol
    np.testing.assert_allclose(found, oracle, atol=10 * tol * np.abs(oracle).max())


def test_the_residual_says_what_a_low_rank_drops(minimum):
    X_test, y_test = rows(7, seed=1)
    oracle = explained(minimum).influence(X_test, y_test)
    residuals, errors = [], []
    for rank in (4, 20, 37):
        found, info = explained(minimum, "arnoldi", rank=rank).influence(
            X_test, y_test, return_info=True
        )
        residuals.append(info.residual.max())
        errors.append(np.abs(found - oracle).max() / np.abs(oracle).max())
    assert residuals[0] > residuals[1] > 0.01 > 1e-5 > residuals[2]
    assert errors[0] > errors[1] > 1e-5 > errors[2]


def test_lissa_on_samples_of_the_rows(minimum):
    X_test, y_test = rows(3, seed=1)
    oracle = explained(minimum, damping=3.0).influence(X_test, y_test)
    model = explained(minimum, "lissa", damping=3.0, batch_size=30, max_iter=150)
    with pytest.warns(ConvergenceWarning, match="lissa has left a relative residual"):
        found, info = model.influence(X_test, y_test, return_info=True)
    assert agreement(found, oracle).r > 0.9
    assert 1e-3 < info.residual.max() < 1.0


def test_a_linear_module_is_the_logistic_regression():
    X, y = problem(seed=1, n=50)
    w = np.random.default_rng(0).uniform(0.5, 2.0, size=50)
    clf = InfluenceLogisticRegression(C=0.7).fit(X, y, sample_weight=w)
    module = nn.Linear(4, 1).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(clf.coef_))
        module.bias.copy_(torch.as_tensor(clf.intercept_))
    model = NetworkInfluence(
        module, binary_cross_entropy_with_logits, penalty={"weight": 1 / 0.7}
    ).fit(X, y, sample_weight=w)
    assert model.damping_ == 0.0
    for target in ("loss", "margin"):
        expected = clf.influence(X[:9], y[:9], target=target, method="first_order")
        found = model.influence(X[:9], y[:9], target=target)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-10)
        own = clf.self_influence(target=target, method="first_order")
        np.testing.assert_allclose(model.self_influence(target=target), own, rtol=1e-6, atol=1e-10)
        ranked = clf.most_influential(X[:9], y[:9], k=4, target=target, method="first_order")
        best = model.most_influential(X[:9], y[:9], k=4, target=target)
        np.testing.assert_array_equal(best.helpful_indices, ranked.helpful_indices)
        np.testing.assert_array_equal(best.harmful_indices, ranked.harmful_indices)


def test_a_linear_module_of_three_classes():
    X, y = problem(seed=2, n=60, n_classes=3)
    clf = InfluenceLogisticRegression(C=0.5).fit(X, y)
    module = nn.Linear(4, 3).double()
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(clf.coef_))
        module.bias.copy_(torch.as_tensor(clf.intercept_))
    # The sum of the intercepts is free: a little damping, which no answer feels.
    model = NetworkInfluence(module, cross_entropy, penalty={"weight": 2.0}, damping=1e-7).fit(X, y)
    expected = clf.influence(X[:9], y[:9], method="first_order")
    np.testing.assert_allclose(model.influence(X[:9], y[:9]), expected, rtol=1e-6, atol=1e-9)
    model = NetworkInfluence(module, cross_entropy, penalty={"weight": 2.0}).fit(X, y)
    assert model.damping_ > 0
    np.testing.assert_allclose(model.influence(X[:9], y[:9]), expected, rtol=1e-3, atol=1e-6)


def test_least_squares_with_several_responses():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    module = nn.Linear(3, 2, bias=False).double()
    B = np.linalg.solve(X.T @ X + 0.4 * np.eye(3), X.T @ Y)
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(B.T))

    def half_squares(outputs, y):
        return 0.5 * ((outputs - y) ** 2).sum(dim=1)

    model = NetworkInfluence(module, half_squares, penalty=0.4).fit(X, Y)
    found = model.influence(X[:4], Y[:4])
    A, r = X @ np.linalg.solve(X.T @ X + 0.4 * np.eye(3), X.T), X @ B - Y
    expected = (r[:4] @ r.T) * A[:4]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_retraining_from_the_minimum_with_less_of_a_row_and_without_it():
    """Koh & Liang's check of a model that is not convex, on rows of every size of influence."""
    X, y = rows()
    weight = torch.ones(60, dtype=torch.float64)
    net = minimise(small_net(), X, y, weight, penalty=1.0)
    X_test, y_test = rows(12, seed=1)
    test = cross_entropy(net(X_test), y_test, reduction="none").detach()
    model = NetworkInfluence(net, cross_entropy, penalty=1.0).fit(X, y)
    assert model.damping_ == 0.0
    estimate = model.influence(X_test, y_test)
    order = np.argsort(np.abs(estimate).max(axis=0))
    chosen, actual = order[[0, 20, 35, 45, 52, 55, 57, 58]], {0.02: [], 1.0: []}
    for share, changes in actual.items():
        for row in chosen:
            moved = small_net()
            moved.load_state_dict(net.state_dict())
            left = torch.where(torch.arange(60) == row, 1.0 - share, weight)
            minimise(moved, X, y, left, penalty=1.0, rounds=2)
            changes.append(cross_entropy(moved(X_test), y_test, reduction="none") - test)
    little, whole = (
        agreement(estimate[:, chosen], torch.stack(changes).detach().numpy().T / share)
        for share, changes in actual.items()
    )
    assert abs(little.slope - 1.0) < 0.02, little
    assert little.relative_rmse < 0.03, little
    # To first order the row's own curvature stays: estimates of long steps are too short.
    assert whole.r > 0.9, whole
    assert 0.5 < whole.slope < 1.0, whole
    newton = model.influence(X_test, y_test, method="newton", train_indices=chosen)
    found = agreement(newton, torch.stack(actual[1.0]).detach().numpy().T)
    assert abs(found.slope - 1.0) < 0.15, found
    assert found.relative_rmse < 0.85 * whole.relative_rmse, (found, whole)
    own = model.self_influence(method="newton")
    whole = model.influence(X, y, method="newton")
    np.testing.assert_allclose(own, np.diag(whole), rtol=1e-8, atol=1e-12)


def test_newton_steps_by_their_formula(minimum):
    net, X, y, weight = minimum
    model = explained(minimum, curvature="ggn", damping=0.2)
    inverse = model._inverse.decomposed
    H = inverse.vectors @ np.diag(inverse.values + 0.2) @ inverse.vectors.T
    theta = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    J = torch.autograd.functional.jacobian(lambda t: of_vector(net, t)(X), theta)
    p = net(X).detach().softmax(dim=1)
    X_test, y_test = rows(5, seed=1)
    before = cross_entropy(net(X_test), y_test, reduction="none").detach()
    expected = []
    for i in range(6):
        curvature = torch.diag(p[i]) - torch.outer(p[i], p[i])
        slope = p[i] - torch.eye(2, dtype=torch.float64)[y[i]]
        rest = torch.as_tensor(H) - weight[i] * J[i].T @ curvature @ J[i]
        step = torch.linalg.solve(rest, weight[i] * J[i].T @ slope)
        after = cross_entropy(of_vector(net, theta + step)(X_test), y_test, reduction="none")
        expected.append((after - before).detach().numpy())
    found = model.influence(X_test, y_test, method="newton", train_indices=np.arange(6))
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-7, atol=1e-11)
    mean = model.influence(X_test, y_test, method="newton", aggregate="mean")
    np.testing.assert_allclose(mean[:6], np.mean(expected, axis=1), rtol=1e-7, atol=1e-11)
    size = model.influence(
        target=lambda named: sum((part**2).sum() for part in named.values()), method="newton"
    )
    assert size.shape == (1, 60)


def test_a_row_that_holds_the_network_alone_has_no_newton_step():
    X, y = rows(4)
    model = NetworkInfluence(small_net(), cross_entropy, curvature="ggn", damping=0.5).fit(X, y)
    assert np.isfinite(model.influence(X, y, method="newton")).all()
    smallest = NetworkInfluence(small_net(), cross_entropy).fit(X, y)._inverse.decomposed.values[0]
    indefinite = NetworkInfluence(small_net(), cross_entropy, damping=-1.001 * smallest).fit(X, y)
    with pytest.warns(RuntimeWarning, match="leverage 1 or more"):
        found = indefinite.self_influence(method="newton")
    assert np.isnan(found).any()


def test_at_weights_that_are_no_minimum_it_is_the_proximal_bregman_response():
    """By its definition: minimise the objective with a little of one row's loss taken away."""
    X, y = rows(30)
    net, damping, row, epsilon = small_net(hidden=3), 0.3, 4, 1e-3
    start = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    before = net(X).detach().requires_grad_()
    slopes = torch.autograd.grad(cross_entropy(before, y, reduction="sum"), before)[0]

    def at_minimum(epsilon):
        def objective(theta):
            outputs = of_vector(net, theta)(X)
            bregman = cross_entropy(outputs, y, reduction="sum") - (slopes * outputs).sum()
            own = cross_entropy(outputs[row], y[row])
            return bregman + damping / 2 * (theta - start) @ (theta - start) - epsilon * own

        theta = start.clone()
        for _ in range(8):  # Newton's method, from where it is the minimum for epsilon = 0
            H = torch.autograd.functional.hessian(objective, theta)
            theta = theta - torch.linalg.solve(H, torch.func.grad(objective)(theta))
        assert torch.func.grad(objective)(theta).norm() < 1e-10
        return theta

    expected = ((at_minimum(epsilon) - at_minimum(-epsilon)) / (2 * epsilon)).numpy()
    model = NetworkInfluence(net, cross_entropy, curvature="ggn", damping=damping).fit(X, y)
    assert model.gradient_norm_ > 1.0
    for j in (0, 5, 20):  # weights, as targets

        def weight_j(parameters, j=j):
            return torch.cat([p.reshape(-1) for p in parameters.values()])[j]

        found = model.influence(target=weight_j, train_indices=[row])
        np.testing.assert_allclose(found[0, 0], expected[j], rtol=1e-4, atol=1e-8)


def test_modes_batches_weights_and_aggregates_agree(minimum):
    X_test, y_test = rows(7, seed=1)
    model = explained(minimum)
    whole = model.influence(X_test, y_test)
    for options in ({"solve_for": "train"}, {"batch_size": 7}):
        found = explained(minimum, **options).influence(X_test, y_test)
        np.testing.assert_allclose(found, whole, rtol=1e-8, atol=1e-12)
    mean = model.influence(X_test, y_test, aggregate="mean", train_indices=[3, 1])
    np.testing.assert_allclose(mean, whole.mean(axis=0)[[3, 1]], rtol=1e-9)
    _, X, y, _ = minimum
    np.testing.assert_allclose(
        model.self_influence(), np.diag(model.influence(X, y)), rtol=1e-8, atol=1e-12
    )
    assert (model.self_influence() >= 0).all()
    again = model.influence(X_test, y_test, target=cross_entropy)  # the loss, as another loss
    np.testing.assert_allclose(again, whole, rtol=1e-12)


def test_gradients_are_kept_on_the_disk_and_an_interrupted_pass_goes_on(
    minimum, tmp_path, monkeypatch
):
    monkeypatch.setattr(_row_gradients, "BLOCK_BYTES", 8 * 37 * 10)  # blocks of ten rows
    X_test, y_test = rows(4, seed=1)
    whole = explained(minimum).influence(X_test, y_test)
    computed, real = [], SumOfLosses.row_gradients

    def interrupted(self, part):
        if len(computed) == 3:
            raise KeyboardInterrupt
        computed.append(part.start)
        return real(self, part)

    monkeypatch.setattr(SumOfLosses, "row_gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explained(minimum, cache=tmp_path).influence(X_test, y_test)
    monkeypatch.setattr(
        SumOfLosses, "row_gradients", lambda s, part: computed.append(part.start) or real(s, part)
    )
    model = explained(minimum, cache=tmp_path)
    np.testing.assert_allclose(model.influence(X_test, y_test), whole, rtol=1e-10)
    assert computed == [0, 10, 20, 30, 40, 50]
    for mode in ("test", "train", "train"):  # gradients are read, then solutions too
        found = explained(minimum, cache=tmp_path, solve_for=mode).influence(X_test[:2], y_test[:2])
        np.testing.assert_allclose(found, whole[:2], rtol=1e-8, atol=1e-12)
    assert len(computed) == 6
    _, X, y, weight = minimum
    with pytest.raises(ValueError, match="another computation"):
        explained((small_net(1), X, y, weight), cache=tmp_path)


@pytest.mark.parametrize("solver", ["dense", "cg", "lissa"])
def test_a_saddle_is_refused_and_damped_by_auto(solver):
    X, y = rows(40)
    net = small_net()  # not trained
    model = NetworkInfluence(net, cross_entropy, solver=solver, damping=0.0, max_iter=50)
    with pytest.raises(np.linalg.LinAlgError, match=r"not positive definite|negative curvature"):
        model.fit(X, y).influence(X, y)
    model = NetworkInfluence(net, cross_entropy, solver=solver, max_iter=100, tol=1e-2).fit(X, y)
    assert model.damping_ > 0
    assert np.isfinite(model.influence(X[:2], y[:2])).all()
    assert NetworkInfluence(net, cross_entropy, curvature="ggn").fit(X, y).damping_ > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("solver", ["dense", "cg", "arnoldi"])
def test_on_a_gpu_it_is_the_same(minimum, solver):
    X_test, y_test = rows(4, seed=1)
    found = explained(minimum, solver, device="cuda").influence(X_test, y_test)
    np.testing.assert_allclose(
        found, explained(minimum, solver).influence(X_test, y_test), rtol=1e-5, atol=1e-9
    )


def test_a_loader_has_rows_and_labels(minimum):
    net, X, y, weight = minimum
    X_test, y_test = rows(9, seed=1)
    known = NetworkInfluence(net, cross_entropy, penalty=PENALTY).fit(X, y, weight)
    loader = data.DataLoader(data.TensorDataset(X, y), batch_size=7)
    test = data.DataLoader(data.TensorDataset(X_test, y_test), batch_size=4)
    found = NetworkInfluence(net, cross_entropy, penalty=PENALTY).fit(loader, sample_weight=weight)
    np.testing.assert_array_equal(found.influence(test), known.influence(X_test, y_test))
    np.testing.assert_array_equal(
        found.most_influential(test, k=3).helpful_indices,
        known.most_influential(X_test, y_test, k=3).helpful_indices,
    )


def test_products_that_do_not_fit_in_memory_are_halved(minimum, monkeypatch):
    net, X, y, weight = minimum
    options = {"solver": "cg", "penalty": PENALTY, "batch_size": 32}
    expected = NetworkInfluence(net, cross_entropy, **options).fit(X, y, sample_weight=weight)
    expected = expected.influence(X[:3], y[:3])
    seen, product = [], SumOfLosses._hessian_product

    def small_memory(self, V, part):
        seen.append(len(self.rows[part]))
        if seen[-1] > 10:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return product(self, V, part)

    monkeypatch.setattr(SumOfLosses, "_hessian_product", small_memory)
    found = NetworkInfluence(net, cross_entropy, **options).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(found.influence(X[:3], y[:3]), expected, rtol=1e-6, atol=1e-9)
    assert seen[:3] == [32, 16, 8]


def test_loaders_that_are_refused(minimum):
    net, X, y, _ = minimum
    model, pairs = NetworkInfluence(net, cross_entropy, penalty=PENALTY), data.TensorDataset(X, y)
    with pytest.raises(ValueError, match=r"shuffles \(RandomSampler\).*shuffle=False"):
        model.fit(data.DataLoader(pairs, batch_size=7, shuffle=True))
    with pytest.raises(ValueError, match="leaves out the last 4 of 60"):
        model.fit(data.DataLoader(pairs, batch_size=8, drop_last=True))
    with pytest.raises(ValueError, match="leave y at None"):
        model.fit(data.DataLoader(pairs, batch_size=8), y)
    with pytest.raises(TypeError, match="pairs of rows and labels; got list of 1"):
        model.fit(data.DataLoader(data.TensorDataset(X), batch_size=8))
    with pytest.raises(ValueError, match="y is None, and X is no DataLoader"):
        model.fit(X)
    model.fit(X, y)
    with pytest.raises(ValueError, match=r"shuffles \(RandomSampler\)"):
        model.influence(data.DataLoader(pairs, batch_size=7, shuffle=True))


def test_bad_input(minimum):
    net, X, y, _ = minimum

    def fit(module=net, loss=cross_entropy, X=X, y=y, **options):
        return NetworkInfluence(module, loss, **options).fit(X, y)

    with pytest.raises(ValueError, match="no parameters"):
        fit(nn.Flatten())
    with pytest.raises(ValueError, match="training mode"):
        fit(nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.1)).double())
    with pytest.raises(ValueError, match=r"class codes from 0 to 1.*row 5 has 2"):
        fit(y=torch.where(torch.arange(60) == 5, 2, y))
    with pytest.raises(ValueError, match="one number for each row"):
        fit(loss=lambda outputs, y: outputs)
    with pytest.raises(TypeError, match="callable"):
        fit(loss="cross_entropy")
    with pytest.raises(ValueError, match=r"penalty has 'weigth'.*0\.weight"):
        fit(penalty={"weigth": 1.0})
    with pytest.raises(ValueError, match="labels for 60 rows"):
        fit(loss=nn.MSELoss(), y=np.zeros((3, 2)))
    for name, value in (
        ("solver", "magic"), ("curvature", "fisher"), ("solve_for", "all"), ("damping", -1.0),
        ("rank", 0), ("tol", 0.0), ("penalty", -1.0), ("batch_size", 0),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=name):
            fit(**{name: value})
    model = fit(penalty=PENALTY)
    with pytest.raises(ValueError, match="y_test is None"):
        model.influence(X[:2])
    with pytest.raises(ValueError, match="X_test is None"):
        model.influence()
    with pytest.raises(ValueError, match="one number as a tensor"):
        model.influence(target=lambda parameters: 1.0)
    with pytest.raises(ValueError, match="target should be"):
        model.influence(X[:2], y[:2], target="brier")
    with pytest.raises(ValueError, match="X_test contains NaN"):
        model.influence(torch.full((1, 4), torch.nan), y[:1])
    with torch.no_grad():
        broken = small_net()
        broken[0].weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit(broken)


def test_class_weights_of_a_mean_are_not_lost(minimum):
    net, X, y, _ = minimum
    weights = torch.tensor([1.0, 3.0], dtype=torch.float64)
    found = NetworkInfluence(net, nn.CrossEntropyLoss(weight=weights), damping=3.0).fit(X, y)
    expected = NetworkInfluence(net, cross_entropy, damping=3.0).fit(X, y, sample_weight=weights[y])
    of_loss = found.influence(X[:5], y[:5], target=cross_entropy)
    np.testing.assert_allclose(of_loss, expected.influence(X[:5], y[:5]), rtol=1e-9)


def of_autodiff(net, X, y, X_test, y_test, damping):
    """Influence by the dense Hessian of automatic differentiation, for parameters by name."""
    names, shapes = zip(*((name, p.shape) for name, p in net.named_parameters()), strict=True)
    theta = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    sizes = [shape.numel() for shape in shapes]

    def losses(theta, X, y):
        parts = zip(names, theta.split(sizes), shapes, strict=True)
        values = {name: part.view(shape) for name, part, shape in parts}
        return cross_entropy(torch.func.functional_call(net, values, (X,)), y, reduction="none")

    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
        H = torch.autograd.functional.hessian(lambda t: losses(t, X, y).sum(), theta)
    H = H + damping * torch.eye(len(theta), dtype=theta.dtype)
    own = torch.autograd.functional.jacobian(lambda t: losses(t, X, y), theta)
    test = torch.autograd.functional.jacobian(lambda t: losses(t, X_test, y_test), theta)
    return (test @ torch.linalg.solve(H, own.T)).numpy()


class Tied(nn.Module):
    """Two layers with one matrix of weights."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight, self.out = self.first.weight, nn.Linear(4, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Attentive(nn.Module):
    """A layer of a transformer on rows of two tokens."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(2, 1, 3, dropout=0.0, batch_first=True)
        self.out = nn.Linear(2, 2)

    def forward(self, x):
        return self.out(self.layer(x.reshape(-1, 2, 2)).mean(dim=1))


class Cells(nn.Module):
    """A recurrence written with its cell."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRUCell(2, 3), nn.Linear(3, 2)

    def forward(self, x):
        state = x.new_zeros(len(x), 3)
        for part in (x[:, :2], x[:, 2:]):
            state = self.cell(part, state)
        return self.out(state)


@pytest.mark.parametrize("kind", [Tied, Attentive, Cells])
@pytest.mark.parametrize("solver", ["dense", "cg"])
def test_networks_of_other_layers_against_automatic_differentiation(kind, solver):
    torch.manual_seed(0)
    net, (X, y), (X_test, y_test) = kind().double().eval(), rows(30), rows(4, seed=1)
    expected = of_autodiff(net, X, y, X_test, y_test, damping=40.0)
    model = NetworkInfluence(net, cross_entropy, solver=solver, damping=40.0, tol=1e-10).fit(X, y)
    found = model.influence(X_test, y_test)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("solver", ["dense", "cg", "arnoldi", "lissa"])
def test_small_problems_and_single_precision(solver):
    net, (X, y) = small_net(), rows(30)

    def found(net, X, y, **options):
        options = {"curvature": "ggn", "damping": 20.0, "solver": solver, "tol": 1e-5, **options}
        return NetworkInfluence(net, cross_entropy, **options).fit(X, y).influence(X[:3], y[:3])

    whole = found(net, X, y, solver="dense")
    assert found(net, X[:1], y[:1]).shape == (1, 1)  # one row, one class
    single = found(small_net().float(), X, y)
    np.testing.assert_allclose(single, whole, atol=1e-3 * np.abs(whole).max())
    one_class = found(net, X, torch.zeros_like(y))
    expected = found(net, X, torch.zeros_like(y), solver="dense")
    np.testing.assert_allclose(one_class, expected, atol=1e-3 * np.abs(expected).max())


def test_no_training_rows_are_an_empty_answer(minimum):
    X_test, y_test = rows(3, seed=1)
    found = explained(minimum).influence(X_test, y_test, train_indices=[])
    assert found.shape == (3, 0)


@pytest.mark.parametrize("solver", ["cg", "lissa"])
def test_a_solve_that_ended_too_early_warns(minimum, solver):
    X_test, y_test = rows(3, seed=1)
    model = explained(minimum, solver, damping=3.0, max_iter=1, rank=1)
    with pytest.warns(ConvergenceWarning, match=rf"{solver} has left .* max_iter=1 products"):
        model.influence(X_test, y_test)


def test_labels_that_the_loss_does_not_take_are_named(minimum):
    net, X, y, _ = minimum

    def another(outputs, labels):
        return cross_entropy(outputs, labels)

    def fit(y, loss=another, module=net):
        return NetworkInfluence(module, loss, penalty=PENALTY).fit(X, y)

    for wrong in (y + 5, torch.where(torch.arange(60) == 7, 5, y)):
        with pytest.raises(ValueError, match=r"does not take the outputs .* with the labels y"):
            fit(wrong)
    with pytest.raises(ValueError, match=r"NaN or infinite in 1 rows \(7\)"):
        fit(torch.where(torch.arange(60) == 7, -100, y))  # cross_entropy leaves such rows out
    one = nn.Linear(4, 1).double()
    with pytest.raises(ValueError, match=r"between 0 and 1 for a binary cross-entropy; row"):
        fit(y + 1, binary_cross_entropy_with_logits, one)
    with pytest.raises(ValueError, match="labels y_test"):
        fit(y).influence(X[:3], y[:3] + 5, target=another)


def test_settings_and_rows_that_are_refused(minimum):
    net, X, y, _ = minimum

    def fit(module=net, X=X, y=y, **options):
        options = {"penalty": PENALTY, **options}
        return NetworkInfluence(module, cross_entropy, **options).fit(X, y)

    for name, value in (
        ("random_state", None), ("random_state", -1), ("random_state", "a"), ("device", "gpu"),
        ("dtype", "int64"), ("dtype", "double precision"), ("dtype", torch.bfloat16),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            fit(**{name: value})
    assert fit(dtype=np.float32).influence(X[:2], y[:2]).shape == (2, 60)
    with pytest.raises(ValueError, match=r"Sequential does not take rows of shape \(3,\)"):
        fit(X=X[:, :3])
    with pytest.raises(ValueError, match=r"X_test should have rows of shape \(4,\), as in fit"):
        fit().influence(X[:2, :3], y[:2])
    recurrent = nn.ModuleDict({"memory": nn.LSTM(4, 2)})
    with pytest.raises(ValueError, match=r"memory \(LSTM\).*recurrent layers.*LSTMCell"):
        fit(recurrent.double().eval())
