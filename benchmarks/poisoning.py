"""`python -m benchmarks.poisoning`: how often poisoned training rows flip a prediction.

Two digits, and test rows that a model classifies correctly, one attack each. A line of the table:
the model, how many training rows are moved, whether features stay in [0, 1], and the share of the
targets that are flipped, by the largest change of a feature (features are in [0, 1]). A target is
attacked at a smaller budget only if it fell at the next larger one, so that the shares are lower
bounds. Then how high the poisoned rows of successful attacks stand, among all training rows, in
what would be looked at first: 1 is at the top, .5 is chance; in brackets the share of them among
the first 5 %. `--output FILE` writes the table that the guide shows; a run with the same file goes
on where it was.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from skinfluence import InfluenceLogisticRegression
from skinfluence.attacks import PoisoningAttack
from skinfluence.labels import LabelAudit
from skinfluence.svm import SmoothHingeSVC

BUDGETS = (0.05, 0.1, 0.25, 0.5, 1.0)
FIRST = 0.05  # share of the rows that would be looked at
MODELS = {
    "logistic": InfluenceLogisticRegression(C=1.0, tol=1e-8, max_iter=1000),
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
    """Places of the poisoned rows by what would see them; None where the target was not flipped."""
    seed, row = target
    X, y, X_test, y_test = split(data, seed)
    attack = PoisoningAttack(
        model, n_rows=n_rows, epsilon=epsilon, bounds=bounds, n_iter=n_iter, target_rows=[row]
    )
    found = attack.run(X, y, X_test, y_test)
    if not found.success:
        return None
    poisoned = X.copy()
    poisoned[found.rows] = found.X_poisoned
    return _places(found, poisoned, y)


def _places(found, X, y):
    """Places of the poisoned rows, 1 at the top, by each of some scores: lists of numbers."""
    model = found.estimator
    scores = {"self_influence": model.self_influence(method="newton")}
    if isinstance(model, InfluenceLogisticRegression):
        scores["cooks_distance"] = model.case_deletion_diagnostics().cooks_distance
    audit = LabelAudit(InfluenceLogisticRegression(), regularization=None).fit(X, y)
    scores["LabelAudit"] = audit.scores_
    ranks = {name: np.argsort(np.argsort(score)) for name, score in scores.items()}
    return {name: (rank[found.rows] / (len(y) - 1)).tolist() for name, rank in ranks.items()}


def success(data, name, n_rows, bounded, asked):
    """One line of the table: shares of flipped targets by budget, and places."""
    targets = right_rows(data, MODELS[name], asked.targets)
    left, shares, places = targets, {}, {}
    for epsilon in sorted(asked.budgets, reverse=True):
        attack = partial(
            attacked,
            data=data,
            model=MODELS[name],
            epsilon=epsilon,
            n_rows=n_rows,
            n_iter=asked.iterations,
            bounds=(0.0, 1.0) if bounded else None,
        )
        with ProcessPoolExecutor(asked.processes) as pool:
            found = list(pool.map(attack, left))
        left = [target for target, places in zip(left, found, strict=True) if places]
        shares[epsilon] = len(left) / len(targets)
        for each in filter(None, found):
            for what, values in each.items():
                places.setdefault(what, []).extend(values)
        if not left:
            break
    return {
        "shares": [shares.get(epsilon, 0.0) for epsilon in sorted(asked.budgets)],
        "targets": len(targets),
        "places": {
            what: (float(np.mean(values)), float(np.mean(np.array(values) > 1 - FIRST)))
            for what, values in places.items()
        },
    }


def table(lines, budgets):
    """The lines measured, as text."""
    head = "".join(f"{f'epsilon {epsilon:g}':>14s}" for epsilon in sorted(budgets))
    rows = [f"{'data, model, rows, features in':44s}{'targets':>8s}{head}"]
    for key, line in lines.items():
        shares = "".join(f"{share:14.1%}" for share in line["shares"])
        rows.append(f"{key:44s}{line['targets']:8d}{shares}")
    rows += ["", "places of the poisoned rows (share among the first 5 %)"]
    for key, line in lines.items():
        seen = ", ".join(
            f"{what} {mean:.2f} ({first:.0%})" for what, (mean, first) in line["places"].items()
        )
        rows.append(f"{key:44s}{seen}")
    return "\n".join(rows) + "\n"


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
    parser.add_argument(
        "--bounds", nargs="+", choices=["free", "bounded"], default=["free", "bounded"]
    )
    parser.add_argument("--output", type=Path, help="where the table is written")
    asked = parser.parse_args()
    record = asked.output and asked.output.with_suffix(".json")
    lines = json.loads(record.read_text()) if record and record.exists() else {}
    for name in asked.models:
        for n_rows in asked.rows:
            for kind in asked.bounds:
                where = "[0, 1]" if kind == "bounded" else "reach"
                key = f"{asked.data}, {name}, {n_rows}, {where}"
                if key not in lines:
                    lines[key] = success(asked.data, name, n_rows, kind == "bounded", asked)
                    if record:
                        record.write_text(json.dumps(lines))
                        asked.output.write_text(table(lines, asked.budgets))
    print(table(lines, asked.budgets))


if __name__ == "__main__":
    main()
