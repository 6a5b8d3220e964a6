"""`python -m benchmarks.steps`: how good steps are, of removals, relabellings and additions.

Against refits by method="exact", on splits whose seeds nothing was tuned on; and what relabelling
every row exactly takes beside exact leave-one-out.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler, scale

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import agreement

SEED = 20261126
METHODS = ("first_order", "newton", "auto")


def splits(y, sizes, n):
    """(train, other, test) positions of n random splits."""
    ends = np.cumsum(sizes)
    for seed in range(SEED, SEED + n):
        order = np.random.default_rng(seed).permutation(len(y))
        yield np.split(order[: ends[-1]], ends[:-1])


def removals(n):
    """Effect of each removal on the mean test loss, breast cancer at C = 1."""
    X, y = load_breast_cancer(return_X_y=True)
    found = {method: [] for method in METHODS}
    for train, test in splits(y, (300, 269), n):
        scaler = StandardScaler().fit(X[train])
        clf = InfluenceLogisticRegression().fit(scaler.transform(X[train]), y[train])
        ask = {"X_test": scaler.transform(X[test]), "y_test": y[test], "aggregate": "mean"}
        exact = clf.influence(**ask, method="exact")
        for method in METHODS:
            found[method].append(agreement(clf.influence(**ask, method=method), exact))
    return found


def many_columns(n, noise):
    """The whole matrix where p / n = 1/3 and C = 100; labels of a score with noise or without."""
    found = {method: [] for method in METHODS}
    for seed in range(SEED, SEED + n):
        rng = np.random.default_rng(seed)
        X, w = rng.normal(size=(400, 100)), rng.normal(size=100)
        y = (X @ w + noise * rng.logistic(size=400) * np.linalg.norm(w) > 0).astype(int)
        clf = InfluenceLogisticRegression(C=100.0, max_iter=5000).fit(X[:300], y[:300])
        exact = clf.influence(X[300:], y[300:], method="exact")
        for method in METHODS:
            values = clf.influence(X[300:], y[300:], method=method)
            found[method].append(agreement(values, exact))
    return found


def changes(load, kind, n):
    """Effect of each change on each test loss: 300 rows, 60 to be added, 100 test rows."""
    X, y = load(return_X_y=True)
    X = scale(X) if load is load_breast_cancer else X / 16.0
    found = {method: [] for method in METHODS}
    for train, new, test in splits(y, (300, 60, 100), n):
        clf = InfluenceLogisticRegression(max_iter=3000).fit(X[train], y[train])
        other = (y[train] + 1) % (y.max() + 1)

        def ask(method, clf=clf, new=new, test=test, other=other):
            if kind == "addition":
                return clf.addition_influence(X[new], y[new], X[test], y[test], method=method)
            return clf.relabel_influence(X[test], y[test], labels=other, method=method)

        exact = ask("exact")
        for method in METHODS:
            found[method].append(agreement(ask(method), exact))
    return found


def line(name, found):
    """One line of the table: for each method r at worst, relative RMSE in the median, at worst."""
    cells = [f"{name:<34}"]
    for method in METHODS:
        rmse = [each.relative_rmse for each in found[method]]
        worst = min(each.r for each in found[method])
        cells.append(f"{worst:8.5f} {np.median(rmse):8.2%} {max(rmse):8.2%}")
    return "   ".join(cells)


def relabelling_times():
    """Seconds for the relabelling and for the leave-one-out of every row, exactly."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(5000, 50))
    y = (X @ rng.normal(size=50) * 0.5 + rng.logistic(size=5000) > 0).astype(int)
    clf = InfluenceLogisticRegression().fit(X, y)
    ask = {"X_test": X[:10], "y_test": y[:10], "method": "exact"}
    times = []
    for _ in range(3):
        start = time.process_time()
        clf.influence(**ask)
        middle = time.process_time()
        clf.relabel_influence(**ask, labels=1 - y)
        times.append((middle - start, time.process_time() - middle))
    removal, relabelling = np.median(times, axis=0)
    X, y = load_breast_cancer(return_X_y=True)
    clf = InfluenceLogisticRegression().fit(scale(X), y)
    _, info = clf.relabel_influence(
        scale(X)[:2], y[:2], labels=1 - y, method="exact", return_info=True
    )
    return removal, relabelling, int((info.method == "refined").sum()), len(y)


def costs(repeats=3):
    """Median CPU time of "auto" over that of "newton", at (n, p, rows asked about).

    Twice: of the first question to a model, and of the next ones to the same.
    """
    rng, data = np.random.default_rng(SEED), []
    for n, p, m in ((20_000, 300, 500), (300, 30, 500)):  # labels by a logistic rule, noisy
        w = 2.0 * rng.standard_normal(p) / np.sqrt(p)
        drawn = rng.standard_normal((n + m, p))
        data.append((drawn, (drawn @ w + rng.logistic(size=n + m) > 0).astype(int), n))
    cancer, diagnosis = load_breast_cancer(return_X_y=True)
    train, test = next(splits(diagnosis, (300, 269), 1))
    order = np.concatenate([train, test])
    data.append((scale(cancer)[order], diagnosis[order], 300))
    found = {}
    for X, y, n in data:
        X, X_test, y, y_test = X[:n], X[n:], y[:n], y[n:]
        clf = InfluenceLogisticRegression().fit(X, y)
        clf.influence(X_test, y_test)  # what the first call of all prepares
        times = 3 if n > 1000 else 40
        for again in (False, True):
            ratios = [_ratio(clf, X_test, y_test, times, again=again) for _ in range(repeats)]
            found[n, X.shape[1], len(X_test), "again" if again else "first"] = ratios
    return found


def _ratio(clf, X_test, y_test, times, *, again):
    """CPU time of "auto" over that of "newton", in turns: what else is running slows both."""
    spent = {"newton": [], "auto": []}
    for _ in range(times):
        for method, each in spent.items():
            if not again:
                clf.__dict__.pop("_problem_cache", None)
            start = time.process_time()
            clf.influence(X_test, y_test, method=method)
            each.append(time.process_time() - start)
    return np.median(spent["auto"]) / np.median(spent["newton"])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--splits", type=int, default=100, help="of the removals (default: 100)")
    parser.add_argument("--costs", action="store_true", help="the cost of auto, and nothing else")
    options = parser.parse_args()
    if options.costs:
        for (n, p, m, when), ratios in costs().items():
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"{n} x {p}, {m} rows, {when}: auto / newton {shown} of CPU", flush=True)
        return
    few = max(2, options.splits // 10)
    print(" " * 34 + "   ".join(f"{method:^26}" for method in METHODS))
    print(" " * 34 + "   ".join(["worst r   median    worst"] * 3))
    print(line("removal, breast cancer, mean loss", removals(options.splits)))
    print(line("removal, p/n = 1/3, separable", many_columns(few, 0.0)))
    print(line("removal, p/n = 1/3, noisy", many_columns(few, 0.5)))
    for kind in ("addition", "relabel"):
        for load in (load_breast_cancer, load_digits):
            name = load.__name__.removeprefix("load_").replace("_", " ")
            print(line(f"{kind}, {name}", changes(load, kind, few)), flush=True)
    removal, relabelling, stalled, n = relabelling_times()
    print(
        f"\nexactly, 5,000 x 50: relabelling {relabelling:.1f} s of CPU, leave-one-out "
        f"{removal:.1f} s, ratio {relabelling / removal:.2f}; breast cancer: {stalled} of {n} "
        "relabelled rows by Newton's own method, the others by the chord"
    )


if __name__ == "__main__":
    main()
