"""`python -m benchmarks.whole_networks [--steps 120 400]`: the head or all layers?

A small convolutional network on 300 digits. Does an attribution predict what the networks do that
are retrained on random halves? `linear_datamodeling_score` of 40 test digits, from two networks a
half, with the ceiling that their randomness sets. Attributions of one network, and of the mean over
three. Finished halves and attributions are kept in a folder: an interrupted run goes on there.
doc/whole_networks_summary.txt is its output for 120 steps, the default, and for 400, which took 4
CPU minutes a seed on a busy machine.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import SubsetTruths, linear_datamodeling_score
from skinfluence.torch import TRAK, NetworkInfluence

N_TRAIN, N_TEST, DECAY, NETWORKS = 300, 40, 1e-3, 3
# Short of the minimum: after 400 steps .98 of the training rows are fitted (seen on seed 90 alone).
STEPS = (120,)


def data(seed):
    """Training rows and test rows of digits, with labels."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))[: N_TRAIN + N_TEST]
    X, y = (X[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8), y[order]
    return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]


class SmallNetwork(ClassifierMixin, BaseEstimator):
    """A network after a fixed number of steps on batches of 100, as an estimator."""

    def __init__(self, n_steps=STEPS[0], decay=DECAY, random_state=0):
        self.n_steps = n_steps
        self.decay = decay
        self.random_state = random_state

    def fit(self, X, y):
        """Train from weights that the random state gives."""
        torch.manual_seed(self.random_state)
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 8, 2), nn.ReLU(),
            nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(net.parameters(), 5e-3, weight_decay=self.decay)
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        for _ in range(self.n_steps):
            rows = torch.randint(0, len(y), (min(100, len(y)),))
            optimizer.zero_grad()
            cross_entropy(net(X[rows]), y[rows]).backward()
            optimizer.step()
        self.module_, self.classes_ = net.eval(), np.arange(10)
        return self

    def predict_proba(self, X):
        """Probabilities of the ten digits, in float64."""
        with torch.no_grad():
            return self.module_(torch.from_numpy(X)).double().softmax(dim=1).numpy()

    def predict(self, X):
        """The likeliest digits."""
        return self.predict_proba(X).argmax(axis=1)


def head(net, method):
    """Influence of a logistic regression on the features below the last layer."""
    below = net[:-1]

    def of(X, y, X_test, y_test):
        with torch.no_grad():
            rows, test = (below(torch.from_numpy(part)).numpy() for part in (X, X_test))
        clf = InfluenceLogisticRegression(C=1.0 / (DECAY * len(y))).fit(rows, y)
        return clf.influence(test, y_test, target="margin", method=method)

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


def kept(path, compute):
    """An array of a file, computed where there is none yet."""
    if not path.exists():
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, compute())
        unfinished.replace(path)
    return np.load(path)


def run(seed, n_steps, n_subsets, folder):
    """AttributionScores of every method with one and three networks, ceiling and accuracy."""
    rows = X, y, X_test, y_test = data(seed)
    folder = folder / f"seed_{seed}_{n_steps}_{n_subsets}"
    folder.mkdir(parents=True, exist_ok=True)
    options = {"n_subsets": n_subsets, "path": folder / "truths.npz", "random_state": seed}
    estimator = SmallNetwork(n_steps)
    truths = SubsetTruths.compute(estimator, *rows, method="refits", n_repeats=2, **options)
    models = [SmallNetwork(n_steps, random_state=10_000 + k).fit(X, y) for k in range(NETWORKS)]
    found = {}
    for name, of in METHODS.items():
        file = name.replace(",", "").replace(" ", "_")
        each = [
            kept(folder / f"{file}_{k}.npy", lambda of=of, model=model: of(model.module_)(*rows))
            for k, model in enumerate(models)
        ]
        found[name] = [
            linear_datamodeling_score(estimator, *rows, values, truths=truths)
            for values in (each[0], np.mean(each, axis=0))
        ]
        one, mean = found[name]
        print(f"  {n_steps} steps, seed {seed}, {name:26s} {one.score:.3f} {mean}", flush=True)
    accuracy = np.mean([model.score(X_test, y_test) for model in models])
    return found, np.nanmean(truths.ceiling), accuracy


def main():
    """Run the seeds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--folder", type=Path, default=Path("whole_networks_parts"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tables = [
        (n_steps, [run(seed, n_steps, asked.subsets, asked.folder) for seed in asked.seeds])
        for n_steps in asked.steps
    ]
    seeds = ", ".join(map(str, asked.seeds))
    print(
        f"digits, {N_TRAIN} training and {N_TEST} test rows, {asked.subsets} halves, two networks"
    )
    print(f"each, seeds {seeds}: linear datamodeling score, mean over the seeds (least - largest)")
    for n_steps, found in tables:
        show(n_steps, found)


def show(n_steps, found):
    """Print the table of the networks of some number of steps."""
    ceilings, accuracies = ([each[k] for each in found] for k in (1, 2))
    print(f"\nnetworks after {n_steps} steps")
    print(f"{'':26s} one network          mean of three        95 % of one seed")
    for name in METHODS:
        values = np.array([[each.score for each in scores[name]] for scores, *_ in found])
        columns = [f"{v.mean():.3f} ({v.min():.3f} - {v.max():.3f})" for v in values.T]
        low, high = found[0][0][name][1].interval
        print(f"{name:26s} {columns[0]}", columns[1], f"{low:.2f} - {high:.2f}", sep="  ")
    print(f"ceiling {', '.join(f'{value:.3f}' for value in ceilings)}", end="; ")
    print(f"accuracy of the networks {', '.join(f'{value:.3f}' for value in accuracies)}")


if __name__ == "__main__":
    main()
