"""`python -m benchmarks.datamodeling`: do attributions predict what retraining on subsets does?

Prints the tables of doc/evaluation.rst (doc/datamodeling_summary.txt is its last output). With
`--export FOLDER` the digits problem is written for other libraries, which
benchmarks/datamodeling_rivals.py asks in an environment of their own; with `--rivals FOLDER` what
they answered is scored beside ours.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import Datamodel, SubsetTruths, linear_datamodeling_score

SEED = 20261126  # nothing was tuned on this seed and those that follow
CACHE = {"random_state": SEED}


def digits(seed):
    """(X, y, X_test, y_test): 1,500 rows and 100 test rows."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:1500], order[1500:1600]
    return X[train] / 16.0, y[train], X[test] / 16.0, y[test]


def cancer(seed, n, n_test=50):
    """(X, y, X_test, y_test) of breast cancer, standardised."""
    X, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:n], order[n : n + n_test]
    X = scale(X)
    return X[train], y[train], X[test], y[test]


def timed(function):
    """(result, seconds of CPU)."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def joint(clf, truths, X_test, y_test, method):
    """(function from the rows kept to the changes predicted by the joint step, seconds of CPU)."""
    changes, seconds = timed(
        lambda: clf.reweight_influence(
            truths.subsets.astype(float), X_test, y_test, target="margin", method=method
        )
    )
    keys = [np.flatnonzero(subset).tobytes() for subset in truths.subsets]
    found = dict(zip(keys, changes.T, strict=True))
    return lambda kept: found[kept.tobytes()], seconds


def line(name, scores, seconds):
    """One line: mean score over the seeds and its range, magnitudes, seconds."""
    values = [each.score for each in scores]
    slope = np.mean([each.magnitude.slope for each in scores])
    rmse = np.mean([each.magnitude.relative_rmse for each in scores])
    low, high = scores[0].interval
    return (
        f"{name:<36}{np.mean(values):7.3f}  {min(values):5.3f} - {max(values):5.3f}  "
        f"{low:6.3f} - {high:5.3f}{slope:9.2f}{rmse:9.3f}{np.mean(seconds):9.2f}"
    )


HEADER = (
    f"{'':<36}{'score':>7}  {'over seeds':>13}  {'95 % of one':>14}{'slope':>9}{'rel.RMSE':>9}"
    f"{'CPU s':>9}"
)


def of_digits(n_seeds, rivals):
    """The table of digits: sums of rows, joint steps, and other libraries."""
    scores, seconds, refits = {}, {}, []
    for seed in range(SEED, SEED + n_seeds):
        data = digits(seed)
        clf = InfluenceLogisticRegression(max_iter=3000).fit(*data[:2])
        truths, took = timed(
            lambda data=data, clf=clf, seed=seed: SubsetTruths.compute(
                clf, *data, random_state=seed
            )
        )
        refits.append(took)
        asked = {}
        for method in ("first_order", "newton", "exact"):
            name = f"sum of rows, {method.replace('_', ' ')}"
            asked[name] = timed(
                lambda method=method, clf=clf, data=data: clf.influence(
                    *data[2:], target="margin", method=method
                )
            )
        asked["joint step, newton"] = joint(clf, truths, *data[2:], "newton")
        if rivals and seed == SEED:
            asked |= answers(rivals)
        for name, (attributions, took) in asked.items():
            found = linear_datamodeling_score(clf, *data, attributions, truths=truths)
            scores.setdefault(name, []).append(found)
            seconds.setdefault(name, []).append(took)
    print(f"digits, multinomial, C = 1: 1,500 rows, 100 test rows, 100 halves, {n_seeds} seeds")
    print(HEADER)
    for name in scores:
        print(line(name, scores[name], seconds[name]))
    print(f"the retraining itself, by changes: {np.mean(refits):.2f} s of CPU\n", flush=True)


def answers(folder):
    """{name: (attributions, seconds)} of other libraries, in our sign."""
    found = {}
    for path in sorted(Path(folder).glob("answer-*.npz")):
        with np.load(path) as file:
            values = np.asarray(file["attributions"], dtype=float)
            found[str(file["name"])] = values, float(file["seconds"])
    return found


def speed():
    """Truths by changes beside refits of scikit-learn, at two tolerances."""
    print("100 retrained models, seconds of CPU")
    print(f"{'':<20}{'by changes':>12}{'refits, tol 1e-4':>18}{'1e-8':>9}{'ratios':>16}")
    problems = {
        "digits": (digits(SEED), {"max_iter": 5000}),
        "breast cancer": (cancer(SEED, 400), {"max_iter": 5000}),
    }
    for name, (data, settings) in problems.items():
        times = []
        for model, method in (
            (InfluenceLogisticRegression(**settings), "changes"),
            (LogisticRegression(**settings), "refits"),
            (LogisticRegression(tol=1e-8, **settings), "refits"),
        ):
            _, took = timed(
                lambda model=model, method=method, data=data: SubsetTruths.compute(
                    model, *data, method=method, n_repeats=1, **CACHE
                )
            )
            times.append(took)
        ours, loose, tight = times
        print(
            f"{name:<20}{ours:12.2f}{loose:18.2f}{tight:9.2f}{ours / loose:10.2f}"
            f"{ours / tight:6.2f}",
            flush=True,
        )
    print()


def against_lasso(n_subsets):
    """A datamodel of many refits beside one joint step, on subsets that neither has seen."""
    data = cancer(SEED, 200)
    clf = InfluenceLogisticRegression().fit(*data[:2])
    print(f"breast cancer, C = 1: 200 rows, 50 test rows, {n_subsets // 10} halves held back")
    print(HEADER)
    for size in (n_subsets // 10, n_subsets):
        model = Datamodel(clone(clf), n_subsets=size, **CACHE)
        _, took = timed(lambda model=model: model.fit(*data))
        if size == n_subsets:
            truths = model.held_back_
        score = model.score_
        print(line(f"LASSO datamodel, {size:,} refits", [score], [took]), flush=True)
    for name, attributions, took in (
        ("sum of rows, first order", *_rows(clf, data, "first_order")),
        ("sum of rows, newton", *_rows(clf, data, "newton")),
        ("joint step, newton", *joint(clf, truths, *data[2:], "newton")),
    ):
        score = linear_datamodeling_score(clf, *data, attributions, truths=truths)
        print(line(name, [score], [took]), flush=True)
    print()


def _rows(clf, data, method):
    """(influence matrix, seconds of CPU)."""
    return timed(lambda: clf.influence(*data[2:], target="margin", method=method))


def of_forest(n_subsets):
    """A datamodel of a random forest, as a share of what its randomness leaves to explain."""
    data = cancer(SEED, 300)
    model = Datamodel(RandomForestClassifier(), n_subsets=n_subsets, **CACHE)
    _, took = timed(lambda: model.fit(*data))
    score = model.score_
    print(f"breast cancer, a random forest of 100 trees: {n_subsets:,} subsets of 150 of 300 rows")
    print(
        f"score on {score.n_subsets} held back {score.score:.3f}, ceiling {score.ceiling:.3f}, "
        f"share {score.share_of_ceiling:.2f}; {took:.0f} s of CPU\n",
        flush=True,
    )


def export(folder):
    """Write the digits problem of the first seed for other libraries."""
    X, y, X_test, y_test = digits(SEED)
    clf = InfluenceLogisticRegression(max_iter=3000).fit(X, y)
    Path(folder).mkdir(parents=True, exist_ok=True)
    arrays = {"X": X, "y": y, "X_test": X_test, "y_test": y_test}
    arrays |= {"coef": clf.coef_, "intercept": clf.intercept_}
    np.savez(Path(folder) / "problem.npz", **arrays)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datamodeling", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of the digits (default: 3)")
    parser.add_argument("--refits", type=int, default=10_000, help="of the datamodel (10,000)")
    parser.add_argument("--forest", type=int, default=1000, help="subsets of the forest (1,000)")
    parser.add_argument("--only", nargs="+", help="of digits, speed, lasso, forest (default: all)")
    parser.add_argument("--export", help="folder for the problem that other libraries are asked")
    parser.add_argument("--rivals", help="folder with their answers")
    options = parser.parse_args()
    if options.export:
        export(options.export)
        return
    sections = {
        "digits": lambda: of_digits(options.seeds, options.rivals),
        "speed": speed,
        "lasso": lambda: against_lasso(options.refits),
        "forest": lambda: of_forest(options.forest),
    }
    for name in options.only or sections:
        sections[name]()


if __name__ == "__main__":
    main()
