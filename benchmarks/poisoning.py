"""`python -m benchmarks.poisoning`: how often poisoned training rows flip a prediction.

Two digits, and the test rows that a model classifies correctly, one attack each. A line of the
table: the largest change of a feature (features are in [0, 1]), and how many training rows are
moved. Then how high the poisoned rows stand, among all training rows, in what would be looked at
first: 1 is at the top, .5 is chance.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from skinfluence import InfluenceLogisticRegression
from skinfluence.attacks import PoisoningAttack
from skinfluence.svm import SmoothHingeSVC

BUDGETS = (0.05, 0.1, 0.25, 0.5, 1.0)
MODELS = {
    "logistic": InfluenceLogisticRegression(C=1.0, solver="newton-cholesky"),
    "smooth hinge": SmoothHingeSVC(C=1.0, temperature=0.1),
}


def digits(seed):
    """Digits 3 and 8 of scikit-learn, half of them to train on."""
    X, y = load_digits(return_X_y=True)
    keep = np.isin(y, (3, 8))
    return _halves(X[keep] / 16.0, y[keep], keep.sum() // 2, seed)


def mnist(seed, n_train=1000):
    """Digits 1 and 7 of MNIST, from the folder named by SKINFLUENCE_DATA."""
    with np.load(Path(os.environ["SKINFLUENCE_DATA"]) / "mnist" / "mnist.npz") as data:
        X, y = data["x_train"].reshape(-1, 784), data["y_train"]
    keep = np.isin(y, (1, 7))
    return _halves(X[keep] / 255.0, y[keep], n_train, seed)


def _halves(X, y, n_train, seed):
    """(X, y, X_test, y_test) of a random split."""
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:n_train], order[n_train:]
    return X[train], y[train], X[test], y[test]


@cache
def split(name, seed):
    """One of the random splits of some data."""
    return {"digits": digits, "mnist": mnist}[name](seed)


def right_rows(data, model, count):
    """(seed, test row) of rows that the model classifies correctly, of one split after another."""
    found, seed = [], 0
    while len(found) < count:
        X, y, X_test, y_test = split(data, seed)
        right = np.flatnonzero(clone(model).fit(X, y).predict(X_test) == y_test)
        found += [(seed, row) for row in right]
        seed += 1
    return found[:count]


def attacked(target, *, data, model, epsilon, n_rows, n_iter, bounds):
    """(whether the target was flipped, places of the poisoned rows by what would see them)."""
    seed, row = target
    X, y, X_test, y_test = split(data, seed)
    attack = PoisoningAttack(
        model, n_rows=n_rows, epsilon=epsilon, bounds=bounds, n_iter=n_iter, target_rows=[row]
    )
    found = attack.run(X, y, X_test, y_test)
    poisoned = X.copy()
    poisoned[found.rows] = found.X_poisoned
    return found.success, _places(found, poisoned, y)


def _places(found, X, y):
    """Mean place of the poisoned rows, 1 at the top, by each of some scores."""
    model = found.estimator
    scores = {"self_influence": model.self_influence(method="newton")}
    if isinstance(model, InfluenceLogisticRegression):
        scores["cooks_distance"] = model.case_deletion_diagnostics().cooks_distance
    try:
        from skinfluence.labels import LabelAudit
    except ImportError:
        pass
    else:
        audit = LabelAudit(InfluenceLogisticRegression(), regularization=None).fit(X, y)
        scores["LabelAudit"] = -np.asarray(audit.to_frame()["label_quality"])
    ranks = {name: np.argsort(np.argsort(score)) for name, score in scores.items()}
    return {name: float(np.mean(rank[found.rows]) / (len(y) - 1)) for name, rank in ranks.items()}


def success(data, model, epsilon, n_rows, targets, n_iter, bounds, pool):
    """(share of flipped targets, mean places) over some targets."""
    options = {"n_rows": n_rows, "n_iter": n_iter, "bounds": bounds}
    attack = partial(attacked, data=data, model=model, epsilon=epsilon, **options)
    found = list(pool.map(attack, targets))
    places = {name: float(np.mean([each[name] for _, each in found])) for name in found[0][1]}
    return float(np.mean([flipped for flipped, _ in found])), places


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poisoning", description=__doc__)
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS))
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--bounded", action="store_true", help="features stay in [0, 1]")
    asked = parser.parse_args()
    bounds = (0.0, 1.0) if asked.bounded else None
    X, y = split(asked.data, 0)[:2]
    print(f"{asked.data}: {len(y)} training rows of {X.shape[1]} features")
    with ProcessPoolExecutor(asked.processes) as pool:
        for name in asked.models:
            targets = right_rows(asked.data, MODELS[name], asked.targets)
            for n_rows in asked.rows:
                for epsilon in asked.budgets:
                    ask = asked.data, MODELS[name], epsilon, n_rows, targets
                    share, places = success(*ask, asked.iterations, bounds, pool)
                    seen = "  ".join(f"{what} {place:.2f}" for what, place in places.items())
                    print(
                        f"{name:13s} {n_rows:3d} rows, epsilon {epsilon:4g}: {share:4.0%} of "
                        f"{len(targets)} flipped; places: {seen}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
