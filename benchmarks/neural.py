"""`python -m benchmarks.neural`: features of a network against its forward pass, and refits.

Time: CPU seconds of `NeuralFeatures.transform` and of a plain loop of the module over the same
batches, by turns. Error: effects on test losses by each method against scikit-learn's own refits
of the head on the features, without one training row at a time; with `--all-rows` against
`method="exact"` over all of them, at strengths of which leave-one-out chooses two.
doc/neural_summary.txt is the output of `--all-rows`, of digits with `--seeds 6 7 8`, and of MNIST.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from benchmarks.measure import by_turns
from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import agreement
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.torch import NeuralFeatures

METHODS = ("first_order", "newton", "auto")
CANDIDATES = {"C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]}
STRENGTHS = {"C": np.logspace(-4, 2, 13)}
REFITS = 40


def images(name):
    """Images in [0, 1], and labels, of scikit-learn's digits or of MNIST (SKINFLUENCE_DATA)."""
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return (X / 16.0).reshape(-1, 1, 8, 8).astype(np.float32), y
    with np.load(Path(os.environ["SKINFLUENCE_DATA"]) / "mnist" / "mnist.npz") as data:
        X, y = data["x_train"][:12_000], data["y_train"][:12_000]
    return (X / 255.0).reshape(-1, 1, 28, 28).astype(np.float32), y


def trained(X, y, seed, width=16, hidden=32, epochs=6):
    """A network of two convolutions and a hidden layer, trained on images."""
    torch.manual_seed(seed)
    cells = (X.shape[-1] // 4) ** 2
    net = nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(2 * width * cells, hidden), nn.ReLU(), nn.Linear(hidden, 10)),
    )
    adam, (X, y) = torch.optim.Adam(net.parameters(), lr=3e-3), map(torch.from_numpy, (X, y))
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(64):
            adam.zero_grad()
            nn.functional.cross_entropy(net(X[rows]), y[rows].long()).backward()
            adam.step()
    return net.eval()


def streaming(net, X, repeats=5):
    """CPU seconds of the features of rows, and of the module's own forward pass."""
    tensor = torch.from_numpy(X)
    features = NeuralFeatures(net).fit(X)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(tensor), batch_size=256)

    def forward():
        with torch.inference_mode():
            return [net(batch) for batch in tensor.split(256)]

    kinds = {"array": X, "tensor": tensor, "DataLoader": loader}

    def plain_loader():
        with torch.inference_mode():
            return [net(batch) for (batch,) in loader]

    calls = [forward, plain_loader]
    calls += [lambda rows=rows: features.transform(rows) for rows in kinds.values()]
    seconds = by_turns(calls, repeats, 120.0, "cpu")
    bases = {"array": seconds[0], "tensor": seconds[0], "DataLoader": seconds[1]}
    return {kind: s / bases[kind] for kind, s in zip(kinds, seconds[2:], strict=True)}


def errors(net, X, y, X_test, y_test, layer, C=None, seed=0):
    """(C, {method: Agreement}) of the effects on test losses with refits of the head."""
    Z, Z_test = scaled_features(net, X, X_test, layer)
    model = InfluenceLogisticRegression(solver="newton-cholesky", max_iter=1000)
    if C is None:
        search = LeaveOneOutSearchCV(model, CANDIDATES, scoring="neg_log_loss").fit(Z, y)
        C = search.best_params_["C"]
    model.set_params(C=C).fit(Z, y)
    asked = np.random.default_rng(seed).choice(len(y), REFITS, replace=False)
    codes = np.searchsorted(model.classes_, y_test)
    Z, Z_test = Z.astype(np.float64), Z_test.astype(np.float64)

    def losses(kept):
        refit = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
        p = refit.fit(Z[kept], y[kept]).predict_proba(Z_test)
        return -np.log(p[np.arange(len(codes)), codes])

    every = np.arange(len(y))
    base = losses(every)
    actual = np.stack([losses(every != row) - base for row in asked], axis=1)
    found = {m: model.influence(Z_test, y_test, method=m)[:, asked] for m in METHODS}
    return C, {m: agreement(values.ravel(), actual.ravel()) for m, values in found.items()}


def scaled_features(net, X, X_test, layer):
    """Features of training and test rows, scaled as a Pipeline does it."""
    features = NeuralFeatures(net, layer=layer).fit(X)
    scaler = StandardScaler().fit(features.transform(X))
    return (scaler.transform(features.transform(rows)) for rows in (X, X_test))


def chosen_strengths(Z, y):
    """C by the best leave-one-out log loss, and by the one-standard-error rule."""
    model = InfluenceLogisticRegression(solver="newton-cholesky", max_iter=1000)
    search = LeaveOneOutSearchCV(model, STRENGTHS, scoring="neg_log_loss").fit(Z, y)
    found = (search.best_index_, search.one_standard_error_index_)
    return tuple(search.cv_results_["params"][k]["C"] for k in found)


def errors_over_all_rows(Z, y, Z_test, y_test, C):
    """Relative RMSE of "newton" and "auto" over all training rows, against "exact", and where.

    Returns
    -------
    dict of str to float
        Beside the two: how many rows "auto" refits, the share of the squared error of "newton" that
        lies in ten rows, and its median over the rows, each against the row's own effects.
    """
    model = InfluenceLogisticRegression(C=C, solver="newton-cholesky", max_iter=1000).fit(Z, y)
    exact = model.influence(Z_test, y_test, method="exact")
    newton = model.influence(Z_test, y_test, method="newton")
    auto, info = model.influence(Z_test, y_test, return_info=True)
    squares = ((newton - exact) ** 2).sum(axis=0)
    return {
        "newton": agreement(newton.ravel(), exact.ravel()).relative_rmse,
        "auto": agreement(auto.ravel(), exact.ravel()).relative_rmse,
        "refitted": int((info.method == "refined").sum()),
        "in_ten": np.sort(squares)[-10:].sum() / squares.sum(),
        "median": float(np.median(np.sqrt(squares / (exact**2).sum(axis=0)))),
    }


def heads(y, half):
    """Yield the classes of each head, with its training and its test rows, of the second half."""
    for classes in ((4, 9), tuple(range(10))):
        keep = half + np.flatnonzero(np.isin(y[half:], classes))
        yield classes, keep[: min(1000, len(keep) - 60)], keep[-60:]


def table_over_all_rows(name, seeds):
    """Print a line for each head: no sample of rows, of which the longest steps may not be one."""
    X, y = images(name)
    half = len(X) // 2
    print(f"{name}: relative RMSE of effects on 60 test losses over all training rows of the head")
    print("seed classes rows       C  newton    auto  refitted  in ten rows  median row")
    for seed in seeds:
        net = trained(X[:half], y[:half], seed)
        for classes, train, test in heads(y, half):
            Z, Z_test = scaled_features(net, X[train], X[test], "8")
            best, simple = chosen_strengths(Z, y[train])
            for C in sorted({0.001, 0.01, 0.1, 1.0, 10.0, best, simple}):
                found = errors_over_all_rows(Z, y[train], Z_test, y[test], C)
                marks = {best: "  chosen"}
                marks[simple] = marks.get(simple, "") + "  one standard error"
                print(
                    f"{seed:4d} {len(classes):7d} {len(train):4d} {C:7.4g} {found['newton']:7.2%} "
                    f"{found['auto']:7.2%} {found['refitted']:9d} {found['in_ten']:12.0%} "
                    f"{found['median']:11.2%}{marks.get(C, '')}",
                    flush=True,
                )


def table(name, seeds):
    """Print ratios of time, and a line of errors for each head."""
    X, y = images(name)
    half, layer = len(X) // 2, "8"
    print("| classes | rows | C | first_order | newton | auto |\n|---|---|---|---|---|---|")
    for seed in seeds:
        net = trained(X[:half], y[:half], seed)
        for classes, train, test in heads(y, half):
            for C in (None, 0.1, 0.001):
                data = X[train], y[train], X[test], y[test]
                used, found = errors(net, *data, layer, C)
                said = f"{used:g} (leave-one-out)" if C is None else f"{used:g}"
                cells = [f"{f.relative_rmse:.2%}, slope {f.slope:.3f}" for f in found.values()]
                print(
                    f"| {len(classes)} | {len(train)} | {said} | {' | '.join(cells)} |", flush=True
                )
    ratios = streaming(net, X[:3000])
    print(
        {kind: round(ratio, 3) for kind, ratio in ratios.items()}, f"times the forward pass, {name}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--all-rows", action="store_true", help='against "exact", no sample')
    given = parser.parse_args()
    (table_over_all_rows if given.all_rows else table)(given.data, given.seeds)
