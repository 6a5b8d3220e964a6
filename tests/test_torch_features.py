"""Features of networks: the layer's numbers, rows of every kind, and the exact head behind them."""

import copy
import pickle
import warnings
from functools import cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, explain
from skinfluence.attacks import PoisoningAttack, adversarial_perturbation
from skinfluence.debugging import compare_models
from skinfluence.kernel_models import KernelLogisticRegression
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.report import InfluenceReport
from skinfluence.robustness import prediction

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils import data  # noqa: E402

from skinfluence.torch import NeuralFeatures  # noqa: E402
from tests.test_report import contents  # noqa: E402

rng = np.random.default_rng(0)


def rebuilt(weights):
    """The network below, of its weights."""
    weights = {name: torch.tensor(values) for name, values in weights.items()}
    net = Pooled().to(next(iter(weights.values())).dtype)
    net.load_state_dict(weights)
    return net


class Pooled(nn.Sequential):
    """A network for rows of any length, with pickles of its values alone.

    scikit-learn's checks hash parameters by their pickles; those of tensors hold addresses.
    """

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.AdaptiveAvgPool1d(3), nn.Linear(3, 4), nn.Tanh())
        self.eval()

    def __reduce__(self):
        return rebuilt, ({name: value.numpy() for name, value in self.state_dict().items()},)


@parametrize_with_checks([NeuralFeatures(Pooled()), NeuralFeatures(Pooled(), dtype="float64")])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# -- features --------------------------------------------------------------------------------------


def largest(x, size):
    return F.max_pool2d(x, size)


class Convolutional(nn.Module):
    """A network for flattened or square images of 64 pixels, with functional and named layers."""

    def __init__(self, pool=largest):
        super().__init__()
        self.pool = pool
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(8 * 4, 16)
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        x = x.reshape(-1, 1, 8, 8)
        x = self.pool(F.relu(self.norm(self.first(x))), 2)
        x = F.relu(F.avg_pool2d(self.second(x), 2))
        return self.out(F.relu(self.hidden(self.drop(x.flatten(1)))))


@cache
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16.0).astype(np.float32), y


@cache
def trained(seed=0):
    """The network above, trained a little on digits that no test uses."""
    torch.manual_seed(seed)
    X, y = digits()
    X, y = torch.from_numpy(X[1000:]), torch.from_numpy(y[1000:])
    net = Convolutional()
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(4):
        for rows in torch.randperm(len(X)).split(64):
            adam.zero_grad()
            F.cross_entropy(net(X[rows]), y[rows]).backward()
            adam.step()
    return net.eval()


def test_features_are_the_outputs_of_the_layer():
    X, _ = digits()
    net = trained()
    with torch.no_grad():
        x = torch.from_numpy(X[:300]).reshape(-1, 1, 8, 8)
        first = net.first(x)
        pooled = F.max_pool2d(F.relu(net.norm(first)), 2)
        second = net.second(pooled)
        hidden = net.hidden(F.relu(F.avg_pool2d(second, 2)).flatten(1))
    expected = {
        (None, None): net.out(F.relu(hidden)).detach(),
        ("hidden", None): hidden,
        ("first", None): first.flatten(1),
        ("second", "mean"): second.mean((2, 3)),
        ("second", "max"): second.amax((2, 3)),
        ("second", lambda maps: maps[:, :2, 0, 0]): second[:, :2, 0, 0],
    }
    for (layer, pool), values in expected.items():
        features = NeuralFeatures(net, layer=layer, pool=pool, batch_size=70)
        found = features.fit_transform(X[:300])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)
        assert len(features.get_feature_names_out()) == found.shape[1]


def test_tokens_are_pooled_along_their_own_axis():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(20, 5)

        def forward(self, x):
            return self.words(x)

    net, X = Tokens().eval(), rng.integers(20, size=(7, 4))
    table = net.words.weight.detach().numpy()
    for pool, expected in (("first_token", table[X[:, 0]]), ("mean_token", table[X].mean(1))):
        np.testing.assert_allclose(NeuralFeatures(net, pool=pool).fit_transform(X), expected, 1e-6)


def test_nothing_behind_the_layer_is_computed():
    net = copy.deepcopy(trained())
    passed = []
    net.out.register_forward_hook(lambda *_: passed.append(1))
    features = NeuralFeatures(net, layer="hidden").fit(digits()[0][:5])
    passed.clear()
    features.transform(digits()[0][:5])
    assert not passed


def test_neither_the_module_nor_its_later_training_matter():
    X, net = digits()[0][:20], copy.deepcopy(trained())
    features = NeuralFeatures(net).fit(X)
    before = features.transform(X)
    assert all(p.requires_grad for p in net.parameters())
    net.train()
    with torch.no_grad():
        net.out.bias += 1.0
    np.testing.assert_array_equal(features.transform(X), before)
    assert net.training


def test_memory_that_runs_out_halves_the_batch(monkeypatch):
    X = digits()[0][:50]
    features = NeuralFeatures(trained()).fit(X)
    expected, sizes, forward = features.transform(X), [], Convolutional.forward

    def small(self, x):
        sizes.append(len(x))
        if len(x) > 20:
            raise torch.OutOfMemoryError("not enough memory")
        return forward(self, x)

    monkeypatch.setattr(Convolutional, "forward", small)
    np.testing.assert_allclose(features.transform(X), expected, rtol=1e-4, atol=1e-5)
    assert sizes == [50, 25, 12, 13, 25, 12, 13]
    monkeypatch.setattr(Convolutional, "forward", lambda self, x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        features.transform(X)


# -- rows of every kind ----------------------------------------------------------------------------


class Items(data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i], i % 2


class Stream(data.IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def kinds():
    """The same images as rows of every kind, by name."""
    Image = pytest.importorskip("PIL.Image")
    pixels = (digits()[0][:30] * 255).astype(np.uint8)
    X = pixels / np.float32(255)
    tensor = torch.from_numpy(X)
    images = [Image.fromarray(row.reshape(8, 8)) for row in pixels]
    frozen = X.copy()
    frozen.flags.writeable = False
    return {
        "array": X,
        "float64": X.astype(np.float64),
        "Fortran": np.asfortranarray(X),
        "other bytes": X.astype(">f4"),
        "reversed": X[::-1].copy()[::-1],
        "read-only": frozen,
        "list": X.tolist(),
        "images as arrays": X.reshape(-1, 1, 8, 8),
        "tensor": tensor,
        "TensorDataset": data.TensorDataset(tensor, torch.arange(30)),
        "Dataset": Items(tensor),
        "Dataset of arrays": Items(X),
        "Dataset of images": Items(images),
        "IterableDataset": Stream(tensor),
        "DataLoader": data.DataLoader(Items(X), batch_size=7),
        "DataLoader of a stream": data.DataLoader(Stream(X), batch_size=7),
        "DataLoader without batches": data.DataLoader(Items(tensor.split(10)), batch_size=None),
        "images": images,
    }


def test_rows_of_every_kind_have_the_same_features():
    given = kinds()
    expected = NeuralFeatures(trained()).fit_transform(given["array"])
    for name, X in given.items():
        found = NeuralFeatures(trained(), batch_size=8).fit_transform(X)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=name)


def test_data_frames_have_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(digits()[0][:30]).add_prefix("pixel ")
    features = NeuralFeatures(trained()).fit(X).set_output(transform="pandas")
    assert features.feature_names_in_[3] == "pixel 3"
    assert list(features.transform(X).columns) == [f"neuralfeatures{j}" for j in range(10)]
    with pytest.raises(ValueError, match="feature names"):
        features.transform(X[X.columns[::-1]])
    features.fit(torch.from_numpy(X.to_numpy().copy()))
    assert not hasattr(features, "feature_names_in_")


# -- copies ----------------------------------------------------------------------------------------


def test_pickles_and_clones():
    X = digits()[0][:20]
    features = NeuralFeatures(trained(), layer="hidden").set_output(transform="default").fit(X)
    expected = features.transform(X)
    data_ = pickle.dumps(features)
    np.testing.assert_array_equal(pickle.loads(data_).transform(X), expected)
    assert len(data_) < 2 * sum(4 * p.numel() for p in trained().parameters()) + 20_000
    other = clone(features)
    assert other.module is features.module
    assert not hasattr(other, "module_")
    np.testing.assert_array_equal(other.fit_transform(X), expected)
    assert other._sklearn_output_config == features._sklearn_output_config
    np.testing.assert_array_equal(copy.deepcopy(features).transform(X), expected)


def test_a_fitted_skorch_net_is_an_extractor():
    skorch = pytest.importorskip("skorch")
    X, y = digits()
    net = skorch.NeuralNetClassifier(
        Convolutional, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0, train_split=None
    )
    net.fit(X[:200], y[:200])
    pipe = make_pipeline(
        NeuralFeatures(net, layer="hidden"), StandardScaler(), InfluenceLogisticRegression()
    )
    explainer = InfluenceExplainer(pipe).fit(X[200:400], y[200:400])
    assert explainer.influence(X[:3], y[:3]).shape == (3, 200)
    expected = net.predict_proba(X[:5])
    logits = clone(NeuralFeatures(net)).fit_transform(X[:5])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if expected.sum(axis=1).round(3).tolist() == [1.0] * 5:
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    back = pickle.loads(pickle.dumps(explainer))
    np.testing.assert_array_equal(back.influence(X[:3], y[:3]), explainer.influence(X[:3], y[:3]))


# -- the cache -------------------------------------------------------------------------------------


class Counted(nn.Linear):
    """A layer that counts the rows it is asked about, and may end."""

    rows, at_most = 0, np.inf

    def forward(self, x):
        Counted.rows += len(x)
        if Counted.rows > Counted.at_most:
            raise KeyboardInterrupt
        return super().forward(x)


def test_an_extraction_that_was_interrupted_goes_on(tmp_path, monkeypatch):
    torch.manual_seed(0)
    net, X = Counted(64, 5).eval(), digits()[0][:100]
    expected = NeuralFeatures(net).fit_transform(X)
    features = NeuralFeatures(net, batch_size=10, cache=tmp_path / "features").fit(X)
    monkeypatch.setattr(Counted, "rows", 0)
    monkeypatch.setattr(Counted, "at_most", 65)
    with pytest.raises(KeyboardInterrupt):
        features.transform(X)
    monkeypatch.setattr(Counted, "rows", 0)
    np.testing.assert_allclose(features.transform(X), expected, rtol=1e-5, atol=1e-6)
    assert Counted.rows == 40
    loader = data.DataLoader(Items(X), batch_size=10)
    np.testing.assert_allclose(features.transform(loader), expected, rtol=1e-5, atol=1e-6)
    assert Counted.rows == 40


def test_the_cache_knows_weights_rows_and_settings(tmp_path):
    X = digits()[0][:30]
    net = copy.deepcopy(trained())

    def features(X, **settings):
        features = NeuralFeatures(net, cache=tmp_path, **settings)
        found = features.fit_transform(X)
        np.testing.assert_array_equal(features.set_params(cache=None).transform(X), found)
        return found

    first = features(X)
    assert not np.array_equal(features(X + np.float32(1e-3)), first)
    assert features(X, layer="hidden").shape == (30, 16)
    assert features(X, layer="second", pool="mean").shape == (30, 8)
    assert features(X, layer="second", pool="max").shape == (30, 8)
    assert features(X, dtype="float64").dtype == np.float64
    with torch.no_grad():
        net.norm.running_mean += 0.1
    assert not np.array_equal(features(X), first)


# -- the head --------------------------------------------------------------------------------------


def head(cls=InfluenceLogisticRegression, **settings):
    """A Pipeline with the hidden layer of the network before a logistic regression."""
    features = NeuralFeatures(trained(), layer="hidden", **settings)
    return make_pipeline(features, StandardScaler(), cls(C=0.1, tol=1e-10, max_iter=1000))


def against_refits(X, y, method, n_train):
    """(relative RMSE, slope) of influence on test losses, against refits of the head."""
    X, y, X_test, y_test = X[:n_train], y[:n_train], X[-40:], y[-40:]
    pipe = head().fit(X, y)
    found = explain(pipe).influence(X_test, y_test, method=method)
    Z, Z_test = (pipe[:-1].transform(rows).astype(float) for rows in (X, X_test))
    model = LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-12, max_iter=200)

    def losses(rows):
        p = model.fit(Z[rows], y[rows]).predict_proba(Z_test)
        return -np.log(p[np.arange(len(y_test)), np.searchsorted(model.classes_, y_test)])

    every = np.arange(n_train)
    asked = np.random.default_rng(0).choice(n_train, 12, replace=False)
    base = losses(every)
    actual = np.stack([losses(every[every != i]) - base for i in asked], axis=1)
    found = found[:, asked]
    size = (actual**2).sum()
    return np.sqrt(((found - actual) ** 2).sum() / size), (found * actual).sum() / size


def test_a_head_and_a_machine_on_the_pixels_are_compared_row_by_row():
    X, y = two_classes()
    X, y, X_test, y_test = X[:200], y[:200], X[-20:], y[-20:]
    pipe = head().fit(X, y)
    machine = KernelLogisticRegression(kernel="rbf", gamma=0.05).fit(X, y)
    found = compare_models(machine, pipe, X_test, y_test, k=8, target="margin", method="newton")
    # The head by hand: the network's numbers, and a model of them.
    Z, Z_test = (pipe[:-1].transform(rows) for rows in (X, X_test))
    alone = InfluenceLogisticRegression(C=0.1, tol=1e-10, max_iter=1000).fit(Z, y)
    a = machine.influence(X_test, y_test, target="margin", method="newton")
    b = alone.influence(Z_test, y_test, target="margin", method="newton")
    expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(a, b, strict=True)]
    np.testing.assert_allclose(found.correlation, expected, atol=1e-6)
    top = [[set(np.argsort(-np.abs(row))[:8]) for row in values] for values in (a, b)]
    shared = [len(one & other) / 8 for one, other in zip(*top, strict=True)]
    np.testing.assert_allclose(found.overlap, shared)
    assert found.correlation.max() < 0.99
    for rows in (np.arange(150), np.arange(200)[::-1]):
        other = KernelLogisticRegression(kernel="rbf", gamma=0.05).fit(X[rows], y[rows])
        with pytest.raises(ValueError, match=r"different rows|another order"):
            compare_models(other, pipe, X_test, y_test)


def test_newton_is_within_one_percent_of_refits_of_the_head():
    error, slope = against_refits(*two_classes(), "newton", 290)
    assert error < 0.01
    assert abs(slope - 1) < 0.01


def test_auto_is_within_one_percent_of_refits_of_ten_classes():
    error, slope = against_refits(*digits(), "auto", 600)
    assert error < 0.01
    assert abs(slope - 1) < 0.01


def test_auto_is_within_one_percent_over_all_rows_where_newton_is_not():
    """At the strength that leave-one-out chooses a few rows move the head far: "auto" refits them.

    Newton's step is within one percent of all rows at a strong penalty alone.
    """
    X, y = digits()
    X, y, X_test, y_test = X[:400], y[:400], X[400:440], y[400:440]
    features = NeuralFeatures(trained(13), layer="hidden").fit(X)
    scaler = StandardScaler().fit(features.transform(X))
    Z, Z_test = (scaler.transform(features.transform(rows)) for rows in (X, X_test))
    model = InfluenceLogisticRegression(solver="newton-cholesky", max_iter=1000)
    search = LeaveOneOutSearchCV(model, {"C": [0.1, 1.0, 10.0]}, scoring="neg_log_loss").fit(Z, y)
    chosen = search.best_params_["C"]
    for C in (0.001, chosen):
        clf = clone(model).set_params(C=C).fit(Z, y)
        exact, newton, auto = (
            clf.influence(Z_test, y_test, method=method) for method in ("exact", "newton", "auto")
        )
        size, squares = (exact**2).sum(), ((newton - exact) ** 2).sum(axis=0)
        assert np.sqrt(((auto - exact) ** 2).sum() / size) < 0.01
        if chosen > C:
            assert np.sqrt(squares.sum() / size) < 0.01
        else:
            assert np.sort(squares)[-20:].sum() > 0.8 * squares.sum()
            assert np.median(np.sqrt(squares / (exact**2).sum(axis=0))) < 0.01


def test_every_answer_is_that_of_the_head_on_its_features():
    X, y = two_classes()
    X, y, X_test, y_test = X[:120], y[:120], X[-4:], y[-4:]
    pipe = head().fit(X, y)
    groups, weights = np.arange(120) // 40, np.where(np.arange(120) < 5, 0.5, 1.0)
    Z, Z_test = (pipe[:-1].transform(rows) for rows in (X, X_test))
    answers = []
    for model, rows in ((explain(pipe), X_test), (explain(clone(pipe[-1]).fit(Z, y)), Z_test)):
        flip = model.smallest_flip(prediction(rows[:1]))
        answers.append([
            model.addition_influence(rows, y_test, rows, y_test),
            model.reweight_influence(weights, rows, y_test),
            model.relabel_influence(rows, y_test, train_indices=[0, 1]),
            model.group_influence(groups, rows, y_test),
            model.best_changes(rows, y_test, k=3).values,
            model.most_influential_set(3, prediction(rows[:1])).rows,
            flip.rows,
            model.case_deletion_diagnostics().cooks_distance,
            model.local_influence().direction,
            model.parameter_covariance().matrix,
            model.without([1, 2]).predict_proba(rows),
            model.with_rows(rows, y_test).predict_proba(rows),
            model.without_training_data().predict_proba(rows),
        ])  # fmt: skip
    for through, alone in zip(*answers, strict=True):
        np.testing.assert_allclose(through, alone, rtol=1e-9, atol=1e-12)


def test_a_report_has_the_images_behind_the_network():
    X, y = two_classes()
    images = np.round(X * 255).astype(np.uint8).reshape(-1, 8, 8)
    report = InfluenceReport(
        head().fit(X[:120], y[:120]), X[-4:], y[-4:], images=(images[:120], images[-4:])
    )
    assert contents(report)["test"]["images"]["shape"][1:] == [8, 8]
    assert "InfluenceReport of 4 test rows and 120 training rows" in repr(report)


def test_every_method_answers_through_the_network():
    pd = pytest.importorskip("pandas")
    X, y = digits()
    frame = pd.DataFrame(X[:200], index=[f"image {i}" for i in range(200)])
    frame.columns = [f"pixel {j}" for j in range(64)]
    model = InfluenceExplainer(head()).fit(frame, y[:200])
    test = frame.iloc[:4]
    assert model.influence(test, y[:4]).shape == (4, 200)
    assert model.influence(test, target="decision_function").shape == (4, 200, 10)
    assert model.most_influential(test, y[:4], k=3).helpful_indices.shape == (4, 3)
    assert model.self_influence().shape == (200,)
    assert model.parameter_influence().coef.shape == (200, 10, 16)
    assert model.score_influence(test, y[:4], scoring="accuracy").shape == (200,)
    assert model.group_influence(np.arange(200) // 100, test, y[:4]).shape == (4, 2)
    assert model.relabel_influence(test, y[:4], train_indices=[0, 1]).shape[:2] == (4, 2)
    assert model.loo_estimate().loss.shape == (200,)
    assert "Curvature" in repr(model.curvature())
    table = model.influence(test, y[:4], as_frame=True)
    assert table.columns[1] == "image 1"


def test_data_sets_and_loaders_go_through_the_whole_pipeline():
    X, y = digits()
    train, test = data.TensorDataset(torch.from_numpy(X[:200])), Items(X[200:205])
    loader = data.DataLoader(test, batch_size=2)
    expected = explain(head().fit(X[:200], y[:200])).influence(X[200:205], y[200:205])
    for model in (
        InfluenceExplainer(head()).fit(train, y[:200]),
        explain(head().fit(train, y[:200])),
    ):
        for rows in (test, loader):
            found = model.influence(rows, y[200:205])
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
        assert model.most_influential(loader, y[200:205], k=2).harmful_indices.shape == (5, 2)
        assert model.score_influence(test, y[200:205], scoring="accuracy").shape == (200,)
        assert model.influence(loader, y[200:205], as_frame=True).shape == (5, 200)
        assert model.predict(loader).shape == (5,)
    with pytest.raises(ValueError, match="5 rows"):
        model.influence(loader, y[200:204])


# -- gradients in the input ------------------------------------------------------------------------


def finite_differences(features, X, cotangent, step=1e-6):
    """Derivative of <features, cotangent> in every number of X, by central differences."""
    found = np.empty(X.shape)
    flat, out = X.reshape(len(X), -1), found.reshape(len(X), -1)
    for j in range(flat.shape[1]):
        moved = []
        for sign in (1, -1):
            other = flat.copy()
            other[:, j] += sign * step
            moved.append((features.transform(other.reshape(X.shape)) * cotangent).sum(axis=1))
        out[:, j] = (moved[0] - moved[1]) / (2 * step)
    return found


def smooth(x, size):
    return F.avg_pool2d(x, size)


def adaptive(x, size):
    return F.adaptive_max_pool2d(x, 4)


@pytest.mark.parametrize("pool", [largest, smooth, adaptive])
@pytest.mark.parametrize("layer", [None, "hidden"])
def test_input_gradients_are_those_of_finite_differences(pool, layer):
    torch.manual_seed(1)
    net = Convolutional(pool).eval()
    X = rng.normal(size=(5, 64))
    features = NeuralFeatures(net, layer=layer, dtype="float64", batch_size=2).fit(X)
    cotangent = rng.normal(size=features.transform(X).shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features.input_vjp(X, cotangent)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, finite_differences(features, X, cotangent), atol=1e-7)
    images = X.reshape(-1, 1, 8, 8)
    same = NeuralFeatures(net, layer=layer, dtype="float64").fit(images)
    np.testing.assert_allclose(
        same.input_vjp(images, cotangent).reshape(5, 64), found, rtol=0, atol=1e-12
    )
    single = NeuralFeatures(net, layer=layer).fit(X)
    np.testing.assert_allclose(single.input_vjp(X, cotangent), found, rtol=1e-3, atol=1e-4)


POOLS = {
    "overlapping": nn.MaxPool2d(3, stride=2, padding=1),
    "dilated": nn.MaxPool2d(2, dilation=2),
    "ceil": nn.MaxPool2d(3, ceil_mode=True),
    "adaptive": nn.AdaptiveMaxPool2d((3, 2)),
    "along rows": nn.Sequential(nn.Flatten(2), nn.MaxPool1d(3)),
    "adaptive along rows": nn.Sequential(nn.Flatten(2), nn.AdaptiveMaxPool1d(5)),
    "solid": nn.Sequential(nn.Unflatten(2, (2, 4)), nn.MaxPool3d(2)),
}


@pytest.mark.parametrize("name", POOLS)
def test_ties_of_max_pools_are_warned_about_where_they_matter(name):
    net = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 1, 1), POOLS[name], nn.Flatten())
    net = net.eval().double()
    with torch.no_grad():
        net[1].weight[:], net[1].bias[:] = 1.0, 0.0
    X = rng.normal(size=(4, 64))
    features = NeuralFeatures(net).fit(X)
    cotangent = rng.uniform(1, 2, size=features.transform(X).shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features.input_vjp(X, cotangent)
    np.testing.assert_allclose(found, finite_differences(features, X, cotangent), atol=1e-7)
    X[2] = 0.0  # an empty image
    with pytest.warns(UserWarning, match=r"in 1 rows \(2\), and the features have no derivative"):
        features.input_vjp(X, cotangent)


def test_ties_that_a_relu_has_made_are_no_ties():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Unflatten(1, (1, 4)), nn.MaxPool1d(2))
    net = net.append(nn.Flatten()).eval().double()
    with torch.no_grad():
        net[0].bias[:] = torch.tensor([-9.0, -8.0, 5.0, 4.0])
    X = rng.normal(size=(6, 3))
    features = NeuralFeatures(net).fit(X)
    cotangent = np.ones((6, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features.input_vjp(X, cotangent)
    np.testing.assert_allclose(found, finite_differences(features, X, cotangent), atol=1e-7)


def smooth_pipe():
    """A Pipeline without kinks: two classes of digits."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 6), nn.Tanh()).eval()
    model = InfluenceLogisticRegression(tol=1e-10)
    return make_pipeline(NeuralFeatures(net, dtype="float64"), StandardScaler(), model)


@cache
def two_classes():
    X, y = digits()
    pair = np.isin(y, (3, 8))
    return X[pair].astype(np.float64), y[pair]


def test_feature_influence_reaches_the_pixels():
    X, y = two_classes()
    X, y, X_test, y_test = X[:60], y[:60], X[60:63], y[60:63]
    pipe = smooth_pipe().fit(X, y)
    model = explain(pipe)
    found = model.feature_influence(X_test, y_test, features="input", X_train=X, train_indices=[4])
    extractor, final = pipe[:-1], pipe[-1]

    def losses(moved):
        rows = X.copy()
        rows[4] = moved
        refit = clone(final).fit(extractor.transform(rows), y)
        p = refit.predict_proba(extractor.transform(X_test))
        return -np.log(p[np.arange(3), np.searchsorted(final.classes_, y_test)])

    for j in (20, 35, 43):
        step = np.zeros(64)
        step[j] = 1e-3
        actual = (losses(X[4] + step) - losses(X[4] - step)) / 2e-3
        np.testing.assert_allclose(found[:, 0, j], actual, rtol=1e-3, atol=1e-8)


def test_adversarial_changes_reach_the_pixels():
    X, y = two_classes()
    pipe = smooth_pipe().fit(X[:100], y[:100])
    found = adversarial_perturbation(pipe, X[100:105])
    assert found.flipped.all()
    assert not found.is_exact
    short = 0.98 * found.perturbation
    np.testing.assert_array_equal(pipe.predict(X[100:105] + short), pipe.predict(X[100:105]))


def test_poisoning_reaches_the_pixels():
    X, y = two_classes()
    attack = PoisoningAttack(smooth_pipe(), n_rows=3, epsilon=0.3, n_iter=3, target_rows=[0])
    found = attack.run(X[:60], y[:60], X[60:65], y[60:65])
    assert found.losses[-1] > found.losses[0]
    assert np.abs(found.displacement).max() <= 0.3 + 1e-12


# -- what is refused -------------------------------------------------------------------------------


class Noisy(nn.Linear):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, training=True)


class Batchwise(nn.Linear):
    def forward(self, x):
        x = super().forward(x)
        return x - x.mean(dim=0)


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


class Twice(nn.Linear):
    def __init__(self):
        super().__init__(64, 64)
        self.act = nn.Tanh()
        self.idle = nn.Linear(3, 3)

    def forward(self, x):
        return self.act(super().forward(self.act(x)))


class Total(nn.Linear):
    def forward(self, x):
        return super().forward(x).sum()


class Pair(nn.Linear):
    def forward(self, x):
        return (super().forward(x),)


def dropped():
    net = nn.Sequential(nn.Linear(64, 4), nn.Dropout())
    return net


REFUSED = {
    "training Dropout": (dropped(), {}, r"1 \(Dropout\) of Sequential in training mode"),
    "training BatchNorm": (Convolutional(), {}, r"norm \(BatchNorm2d\), drop \(Dropout\)"),
    "training LSTM": (nn.LSTM(64, 3, 2, dropout=0.1), {}, r"module \(LSTM\)"),
    "no layer": (nn.Sequential(nn.Linear(64, 4)), {"layer": "fc"}, "no layer 'fc'; its layers: 0"),
    "idle layer": (Twice(), {"layer": "idle"}, "'idle' of Twice takes no part"),
    "layer twice": (Twice(), {"layer": "act"}, "'act' of Twice is called 2 times"),
    "by chance": (Noisy(64, 50), {}, "Noisy gives different features for the same rows"),
    "by the batch": (Batchwise(64, 3), {}, "other features for a row when other rows"),
    "batch_size": (nn.Linear(64, 3), {"batch_size": 0}, "batch_size should be a positive"),
    "dtype": (nn.Linear(64, 3), {"dtype": "int64"}, "dtype should be None or a floating"),
    "pool": (nn.Linear(64, 3), {"pool": "median"}, "pool should be None, a callable or one of"),
    "pool of rows": (nn.Linear(64, 3), {"pool": "mean"}, r"outputs \(n, channels, ...\)"),
    "a loss": (Total(64, 3), {}, r"Total should give one row of features .* got shape \(\)"),
    "pool's shape": (nn.Linear(64, 3), {"pool": lambda z: z.sum()}, "one row of features for"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_are_refused(name):
    net, settings, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        NeuralFeatures(net, **settings).fit(digits()[0][:5])


def test_outputs_that_are_no_tensors_are_refused():
    with pytest.raises(TypeError, match="module returns tuple, not a tensor"):
        NeuralFeatures(Pair(64, 3)).fit(digits()[0][:5])
    first = NeuralFeatures(Pair(64, 3), pool=lambda output: output[0]).fit(digits()[0][:5])
    assert first.transform(digits()[0][:5]).shape == (5, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no card is there")
def test_the_features_are_the_same_on_a_gpu():
    X = digits()[0][:40]
    host = NeuralFeatures(trained(), layer="hidden", dtype="float64").fit(X)
    card = NeuralFeatures(trained(), layer="hidden", dtype="float64", device="cuda").fit(X)
    assert next(trained().parameters()).device.type == "cpu"
    expected = host.transform(X)
    np.testing.assert_allclose(card.transform(X), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(card)).transform(X), expected, atol=1e-9)
    cotangent = rng.normal(size=expected.shape)
    np.testing.assert_allclose(
        card.input_vjp(X, cotangent), host.input_vjp(X, cotangent), rtol=1e-9, atol=1e-9
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is there")
def test_a_card_that_is_not_there():
    with pytest.raises(ValueError, match="device='cuda': torch sees no CUDA device"):
        NeuralFeatures(trained(), device="cuda").fit(digits()[0][:5])


def test_rows_that_are_refused():
    X = digits()[0][:30]
    features = NeuralFeatures(trained(), batch_size=8).fit(X)
    loaders = {
        r"shuffles \(RandomSampler\)": data.DataLoader(Items(X), batch_size=7, shuffle=True),
        "leaves out the last 2 of 30": data.DataLoader(Items(X), batch_size=7, drop_last=True),
        "rows of shape": torch.zeros(3, 65),
        "one row for each sample": torch.zeros(64),
        "X has no rows": Items(X[:0]),
        r"row 1 \(9,\)": Items([np.zeros(8), np.zeros(9)]),
        "gives NaN or infinite features for 1 rows": torch.full((1, 64), torch.nan),
        "has 65 features": np.zeros((3, 65)),
    }
    for words, rows in loaders.items():
        with pytest.raises(ValueError, match=words):
            features.transform(rows)
    with pytest.raises(TypeError, match="got dict"):
        features.transform(Items([{"pixels": X[0]}]))
    wide = NeuralFeatures(trained(), layer="first").fit(X.reshape(-1, 1, 8, 8))
    with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 8\), as in fit"):
        wide.transform(X.reshape(-1, 8, 8))


class Shuffled(data.Sampler):
    def __len__(self):
        return 30

    def __iter__(self):
        return iter(torch.randperm(30).tolist())


def test_a_sampler_of_ones_own_is_asked_twice():
    X = digits()[0][:30]
    features = NeuralFeatures(trained()).fit(X)
    with pytest.raises(ValueError, match=r"shuffles \(Shuffled\)"):
        features.transform(data.DataLoader(Items(X), batch_size=7, sampler=Shuffled()))
    backwards = data.DataLoader(Items(X), batch_size=7, sampler=list(range(29, -1, -1)))
    np.testing.assert_allclose(features.transform(backwards)[::-1], features.transform(X), 1e-3)


def test_gradients_that_are_refused():
    X = digits()[0][:5]
    features = NeuralFeatures(trained()).fit(X)
    with pytest.raises(ValueError, match=r"cotangent should have shape \(5, 10\)"):
        features.input_vjp(X, np.zeros((5, 9)))
    with pytest.raises(ValueError, match="Detached stops the gradient"):
        NeuralFeatures(Detached(64, 3)).fit(X).input_vjp(X, np.zeros((5, 3)))
    words = nn.Sequential(nn.Embedding(20, 5), nn.Flatten())
    tokens = rng.integers(20, size=(5, 4))
    with pytest.raises(ValueError, match="rows of integers"):
        NeuralFeatures(words).fit(tokens).input_vjp(tokens, np.zeros((5, 20)))
