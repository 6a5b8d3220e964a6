"""`python -m benchmarks.datamodeling`: do attributions predict what retraining on subsets does?

Prints the tables of doc/evaluation.rst. With `--state FOLDER` finished parts are kept there, and
the same command goes on where it was ended, for at most `--minutes` at a time; `--output` is
written when all parts are there, of one state of the sources:
`--output doc/datamodeling_summary.txt`.

With `--export FOLDER` the digits problem is written for other libraries, which
benchmarks/datamodeling_rivals.py asks in environments of their own; with `--rivals FOLDER` what
they answered is scored beside ours.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

import skinfluence
from skinfluence import InfluenceLogisticRegression
from skinfluence._store import Store, fingerprint_of
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


def joint(clf, truths, X_test, y_test, method, target="margin"):
    """(function from the rows kept to the changes predicted by the joint step, seconds of CPU)."""
    changes, seconds = timed(
        lambda: clf.reweight_influence(
            truths.subsets.astype(float), X_test, y_test, target=target, method=method
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


def of_digits(n_seeds):
    """The table of digits: sums of rows, and joint steps."""
    scores, seconds, refits = {}, {}, []
    for seed in range(SEED, SEED + n_seeds):
        data = digits(seed)
        clf = InfluenceLogisticRegression(max_iter=3000).fit(*data[:2])
        truths, took = timed(partial(SubsetTruths.compute, clf, *data, random_state=seed))
        refits.append(took)
        asked = {}
        for method in ("first_order", "newton", "exact"):
            asked[f"sum of rows, {method.replace('_', ' ')}"] = _rows(clf, data, method)
        asked["joint step, newton"] = joint(clf, truths, *data[2:], "newton")
        for name, (attributions, took) in asked.items():
            found = linear_datamodeling_score(clf, *data, attributions, truths=truths)
            scores.setdefault(name, []).append(found)
            seconds.setdefault(name, []).append(took)
    yield f"digits, multinomial, C = 1: 1,500 rows, 100 test rows, 100 halves, {n_seeds} seeds"
    yield HEADER
    for name in scores:
        yield line(name, scores[name], seconds[name])
    yield f"the retraining itself, by changes: {np.mean(refits):.2f} s of CPU"


def of_others(folder):
    """Other libraries on the digits of the first seed, whose output is the test loss."""
    data = digits(SEED)
    clf = InfluenceLogisticRegression(max_iter=3000).fit(*data[:2])
    truths = SubsetTruths.compute(clf, *data, target="loss", **CACHE)
    asked = {
        f"sum of rows, {method.replace('_', ' ')}": _rows(clf, data, method, "loss")
        for method in ("first_order", "newton")
    }
    asked["joint step, newton"] = joint(clf, truths, *data[2:], "newton", "loss")
    asked |= answers(folder)
    yield "digits, the test loss instead of the margin, 1 seed, and other libraries"
    yield HEADER
    for name, (attributions, took) in asked.items():
        score = linear_datamodeling_score(clf, *data, attributions, target="loss", truths=truths)
        yield line(name, [score], [took])


def answers(folder):
    """{name: (attributions, seconds)} of other libraries, in our sign."""
    found = {}
    for path in sorted(Path(folder).glob("answer-*.npz")):
        with np.load(path) as file:
            values = np.asarray(file["attributions"], dtype=float)
            found[str(file["name"])] = values, float(file["seconds"])
    return found


def speed(n_turns=3):
    """Truths by changes beside refits of scikit-learn at two tolerances, in turns."""
    yield f"100 retrained models, seconds of CPU, median of {n_turns} turns, and ratios"
    yield f"{'':<20}{'by changes':>12}{'refits, tol 1e-4':>18}{'1e-8':>9}{'ratios':>16}"
    settings = {"max_iter": 5000}
    asked = {
        "changes": InfluenceLogisticRegression(**settings),
        "refits": LogisticRegression(**settings),
        "refits, 1e-8": LogisticRegression(tol=1e-8, **settings),
    }
    for name, data in (("digits", digits(SEED)), ("breast cancer", cancer(SEED, 400))):
        times, outputs = {way: [] for way in asked}, {}
        for _ in range(n_turns):
            for way, model in asked.items():
                compute = partial(SubsetTruths.compute, model, *data, n_repeats=1, **CACHE)
                outputs[way], took = timed(partial(compute, method=way.split(",")[0]))
                times[way].append(took)
        ours, loose, tight = (np.median(took) for took in times.values())
        yield (
            f"{name:<20}{ours:12.2f}{loose:18.2f}{tight:9.2f}{ours / loose:10.2f}"
            f"{ours / tight:6.2f}"
        )
        exact = outputs.pop("refits, 1e-8").outputs
        far = [np.abs(found.outputs - exact).max() for found in outputs.values()]
        yield (
            f"{'':<20}largest difference of a margin from refits at 1e-8: by changes {far[0]:.0e}, "
            f"refits at 1e-4 {far[1]:.0e}"
        )


def against_lasso(n_subsets):
    """A datamodel of many refits beside one joint step, on subsets that neither has seen."""
    data = cancer(SEED, 200)
    clf = InfluenceLogisticRegression().fit(*data[:2])
    yield f"breast cancer, C = 1: 200 rows, 50 test rows, {n_subsets // 10} halves held back"
    yield HEADER
    for size in (n_subsets // 10, n_subsets):
        model = Datamodel(clone(clf), n_subsets=size, **CACHE)
        _, took = timed(partial(model.fit, *data))
        truths = model.held_back_
        yield line(f"LASSO datamodel, {size:,} refits", [model.score_], [took])
    for name, (attributions, took) in (
        ("sum of rows, first order", _rows(clf, data, "first_order")),
        ("sum of rows, newton", _rows(clf, data, "newton")),
        ("joint step, newton", joint(clf, truths, *data[2:], "newton")),
    ):
        score = linear_datamodeling_score(clf, *data, attributions, truths=truths)
        yield line(name, [score], [took])


def _rows(clf, data, method, target="margin"):
    """(influence matrix, seconds of CPU)."""
    return timed(partial(clf.influence, *data[2:], target=target, method=method))


def of_forest(n_subsets, store=None, deadline=np.inf):
    """A datamodel of a random forest, as a share of what its randomness leaves to explain.

    With a store the retrained forests are kept in its folder, and the seconds of every piece.
    """
    data = cancer(SEED, 300)
    model = Datamodel(RandomForestClassifier(), n_subsets=n_subsets, **CACHE)
    path = None if store is None else store.folder / "forest" / "truths"
    pieces = [] if store is None else [name for name in store.names() if "seconds" in name]
    start = time.process_time()
    try:
        model.fit(*data, path=path, progress=partial(until, deadline))
    finally:
        took = time.process_time() - start
        if store is not None:
            store.write(f"forest-seconds-{len(pieces)}", seconds=took)
    took += sum(float(store.read(name)["seconds"]) for name in pieces)
    score = model.score_
    yield f"breast cancer, a random forest of 100 trees: {n_subsets:,} subsets of 150 of 300 rows"
    yield (
        f"score on {score.n_subsets} held back {score.score:.3f}, ceiling {score.ceiling:.3f}, "
        f"share {score.share_of_ceiling:.2f}; {took:.0f} s of CPU"
    )


class OutOfTime(Exception):
    """The minutes of this call have passed; what is finished is kept."""


def until(deadline, blocks, total):
    """Iterate over blocks of work until the deadline, then raise OutOfTime."""
    for block in blocks:
        if time.monotonic() > deadline:
            raise OutOfTime
        yield block


def export(folder):
    """Write the digits problem of the first seed for other libraries."""
    X, y, X_test, y_test = digits(SEED)
    clf = InfluenceLogisticRegression(max_iter=3000).fit(X, y)
    Path(folder).mkdir(parents=True, exist_ok=True)
    arrays = {"X": X, "y": y, "X_test": X_test, "y_test": y_test}
    arrays |= {"coef": clf.coef_, "intercept": clf.intercept_}
    np.savez(Path(folder) / "problem.npz", **arrays)


def parsed():
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datamodeling", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of the digits (default: 3)")
    parser.add_argument("--refits", type=int, default=10_000, help="of the datamodel (10,000)")
    parser.add_argument("--forest", type=int, default=1000, help="subsets of the forest (1,000)")
    parser.add_argument("--only", nargs="+", help="some sections (default: all)")
    parser.add_argument("--state", help="folder of finished parts, to go on from")
    parser.add_argument("--minutes", type=float, default=np.inf, help="of this call, with --state")
    parser.add_argument("--output", help="file for the tables, when all are there")
    parser.add_argument("--export", help="folder for the problem that other libraries are asked")
    parser.add_argument("--rivals", help="folder with their answers")
    return parser.parse_args()


def state_of(options):
    """The store of finished parts, which belong to these options and these sources."""
    if options.state is None:
        return None
    files = [*sorted(Path(skinfluence.__file__).parent.rglob("*.py")), Path(__file__)]
    parameters = {name: getattr(options, name) for name in ("seeds", "refits", "forest", "rivals")}
    sources = fingerprint_of(*(np.array(path.read_bytes()) for path in files))
    return Store(options.state, parameters=parameters, fingerprint=sources)


def main():
    """Print the tables."""
    options = parsed()
    if options.export:
        export(options.export)
        return
    store, deadline = state_of(options), time.monotonic() + 60.0 * options.minutes
    sections = {
        "digits": lambda: of_digits(options.seeds),
        "others": lambda: of_others(options.rivals),
        "speed": speed,
        "lasso": lambda: against_lasso(options.refits),
        "forest": lambda: of_forest(options.forest, store, deadline),
    }
    if not options.rivals:
        del sections["others"]
    texts = []
    for name in options.only or sections:
        if store is not None and store.finished(name):
            texts.append(str(store.read(name)["text"]))
        elif time.monotonic() > deadline:
            sys.exit(f"The minutes have passed before {name!r}: the same command goes on there.")
        else:
            try:
                texts.append("\n".join(sections[name]()))
            except OutOfTime:
                sys.exit(f"The minutes have passed within {name!r}: the same command goes on.")
            if store is not None:
                store.write(name, text=np.array(texts[-1]))
        print(texts[-1] + "\n", flush=True)
    if options.output:
        Path(options.output).write_text("\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
