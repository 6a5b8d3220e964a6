"""`python -m benchmarks.whole_networks [--subsets 40] [--seeds 0 1 2]`: the head or all layers?

A small convolutional network on 300 digits. Does an attribution predict what the networks do that
are retrained on random halves? For each of 20 test digits the Spearman correlation, over the
subsets, of the predicted with the actual margin (of two networks); the score is the mean over
the digits (the linear datamodeling score of Park et al. 2023). The ceiling is the correlation that
a perfect prediction of the expected margin would have, by Spearman and Brown's formula from that
of the two networks. Attributions of one network and of a mean over three.
"""

import argparse

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from skinfluence import InfluenceLogisticRegression
from skinfluence.torch import TRAK, NetworkInfluence

N_TRAIN, N_TEST, STEPS, DECAY = 300, 20, 120, 1e-3


def data(seed):
    """Training rows and test rows of digits, with labels."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))[: N_TRAIN + N_TEST]
    X = torch.from_numpy((X[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8))
    y = torch.from_numpy(y[order])
    return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]


def train(X, y, seed):
    """A network after a fixed number of steps on batches of 100."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 8, 2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 5e-3, weight_decay=DECAY)
    for _ in range(STEPS):
        rows = torch.randint(0, len(y), (min(100, len(y)),))
        optimizer.zero_grad()
        cross_entropy(net(X[rows]), y[rows]).backward()
        optimizer.step()
    return net.eval()


def margins(net, X, y):
    """Log odds of the labels, (n,)."""
    with torch.no_grad():
        outputs = net(X).double()
    own = outputs[torch.arange(len(y)), y]
    outputs[torch.arange(len(y)), y] = -torch.inf
    return (own - outputs.logsumexp(dim=1)).numpy()


def head(net, method):
    """Influence of a logistic regression on the features below the last layer."""
    below = net[:-1]

    def of(X, y, X_test, y_test):
        with torch.no_grad():
            clf = InfluenceLogisticRegression(C=1.0 / (DECAY * len(y)))
            clf.fit(below(X).numpy(), y.numpy())
            rows = below(X_test).numpy()
        return clf.influence(rows, y_test.numpy(), target="margin", method=method)

    return of


def whole(net, **options):
    """Influence of the Gauss-Newton matrix of all layers."""

    def of(X, y, X_test, y_test):
        model = NetworkInfluence(
            net, cross_entropy, curvature="ggn", penalty=DECAY * len(y), **options
        )
        return model.fit(X, y).influence(X_test, y_test, target="margin")

    return of


def trak(net, **options):
    """Influence of TRAK with one checkpoint."""

    def of(X, y, X_test, y_test):
        model = TRAK(net, **options).fit(X, y)
        return model.influence(X_test, y_test, target="margin")

    return of


METHODS = {
    "head, first order": lambda net: head(net, "first_order"),
    "head, Newton": lambda net: head(net, "newton"),
    "TRAK, W inside": lambda net: trak(net),
    "TRAK, W inside, leverages": lambda net: trak(net, method="newton"),
    "TRAK, as published": lambda net: trak(net, curvature="gram"),
    "Gauss-Newton": lambda net: whole(net),
    "Gauss-Newton, damping 1": lambda net: whole(net, damping=1.0),
    "Gauss-Newton, damping 10": lambda net: whole(net, damping=10.0),
}


def score(influence, kept, actual):
    """Mean over the test rows of the rank correlation with the margins of the subsets."""
    predicted = influence @ ~kept.T
    return np.mean([spearmanr(*pair)[0] for pair in zip(predicted, actual.T, strict=True)])


def run(seed, n_subsets):
    """Scores of every method with one and three networks, and the ceiling."""
    X, y, X_test, y_test = data(seed)
    rng = np.random.default_rng(seed + 1000)
    kept = np.array([rng.permutation(N_TRAIN) < N_TRAIN // 2 for _ in range(n_subsets)])
    found = np.array(
        [
            [margins(train(X[rows], y[rows], 2 * k + r), X_test, y_test) for r in (0, 1)]
            for k, rows in enumerate(kept)
        ]
    )
    actual = found.mean(axis=1)
    between = np.mean([spearmanr(found[:, 0, t], found[:, 1, t])[0] for t in range(N_TEST)])
    ceiling = np.sqrt(2 * between / (1 + between))
    nets = [train(X, y, 10_000 + k) for k in range(3)]
    scores = {}
    for name, of in METHODS.items():
        each = [of(net)(X, y, X_test, y_test) for net in nets]
        scores[name] = score(each[0], kept, actual), score(np.mean(each, axis=0), kept, actual)
        print(f"  seed {seed}, {name:26s} {scores[name][0]:.3f} {scores[name][1]:.3f}", flush=True)
    accuracy = np.mean(margins(nets[0], X_test, y_test) > -np.log(9))
    print(f"  seed {seed}: ceiling {ceiling:.3f}, test margins above chance {accuracy:.2f}")
    return scores, ceiling


def main():
    """Run the seeds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = [run(seed, asked.subsets) for seed in asked.seeds]
    print(f"{'':26s} one network    three networks   (ceiling", end=" ")
    print(", ".join(f"{ceiling:.2f}" for _, ceiling in found) + ")")
    for name in METHODS:
        values = np.array([scores[name] for scores, _ in found])
        columns = (f"{v.mean():.3f} ({v.min():.2f}-{v.max():.2f})" for v in values.T)
        print(f"{name:26s}", *columns)


if __name__ == "__main__":
    main()
