"""Rows out and in, against refits: `python -m benchmarks.removal`.

Streams: random problems, each with twenty removals and additions one after the other, whose bound
is compared with a refit at every step (`--streams`). Times: MNIST 3 against 8, as ratios to a
Newton fit and to scikit-learn's lbfgs (`--mnist`, with SKINFLUENCE_DATA), and groups of digits
under softmax (`--digits`).
"""

import argparse
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skinfluence import InfluenceLogisticRegression, InfluencePoissonRegressor, InfluenceRidge
from skinfluence.optimum import polish
from skinfluence.svm import SmoothHingeSVC

FAMILIES = ("logistic", "ridge", "poisson", "smooth hinge")
N_CHANGES = 20
# Rows from which none are taken out.
FEWEST = 24


@dataclass(frozen=True)
class StreamResult:
    """What a stream of changes has shown.

    Attributes
    ----------
    violations : int
        Steps at which a coefficient was further from the refit than the bound.
    drift : float
        Largest error of a coefficient after the last change, relative to the largest or 1.
    proven : bool
        Whether every step had a finite bound.
    looseness : float
        Median of bound over error, at steps with an error above rounding.
    """

    violations: int
    drift: float
    proven: bool
    looseness: float


def random_problem(family, seed):
    """(estimator, X, y) with a pool of rows, of which the first half is fitted."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(60, 200)), int(rng.integers(2, 9))
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2.0, size=p)
    if rng.random() < 0.3:
        X = X * rng.standard_t(3, size=(n, 1))
    score = X @ rng.normal(size=p) / np.sqrt(p) + rng.normal()
    intercept = bool(rng.random() < 0.7)
    C = float(10.0 ** rng.uniform(-2, 1))
    if family == "ridge":
        estimator = InfluenceRidge(alpha=1.0 / C, fit_intercept=intercept)
        return estimator, X, score + rng.normal(size=n)
    if family == "poisson":
        X = np.clip(X, -3.0, 3.0)
        y = rng.poisson(np.exp(np.clip(score, -3.0, 2.0))).astype(float)
        y[: n // 4] += 1.0
        solver = {"solver": "newton-cholesky", "max_iter": 1000}
        return InfluencePoissonRegressor(alpha=0.1 / C, fit_intercept=intercept, **solver), X, y
    y = (score + rng.logistic(size=n) > np.median(score)).astype(int)
    y[:8] = np.tile([0, 1], 4)
    if family == "smooth hinge":
        return SmoothHingeSVC(C=C, temperature=0.3, fit_intercept=intercept), X, y
    return InfluenceLogisticRegression(C=C, fit_intercept=intercept, max_iter=1000), X, y


def true_optimum(estimator, X, y, weight):
    """(coef, intercept) of a fit from scratch, polished to what float64 holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = clone(estimator).fit(X, y, sample_weight=weight)
    objective = fitted.__fitted_problem__().objective
    objective = polish(objective, tolerance=1e-16, max_steps=20).objective
    return objective.design.unpack(objective.theta)


def stream(family, seed):
    """Return the StreamResult of twenty changes of a random problem."""
    estimator, X, y = random_problem(family, seed)
    rng = np.random.default_rng(10_000 + seed)
    weight = rng.uniform(0.5, 2.0, len(y)) if seed % 2 else None
    order = list(range(len(y) // 2))
    pool = list(range(len(y) // 2, len(y)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator.fit(X[order], y[order], None if weight is None else weight[order])
    violations, proven, ratios = 0, True, []
    for _ in range(N_CHANGES):
        if len(pool) < 2 or (rng.random() < 0.5 and len(order) > FEWEST):
            size = int(rng.integers(1, 4))
            rows = np.sort(rng.choice(np.arange(8, len(order)), size, replace=False))
            model = model.without(rows)
            order = [row for position, row in enumerate(order) if position not in rows]
        else:
            new, pool = pool[:2], pool[2:]
            extra = {} if weight is None else {"sample_weight": weight[new]}
            model = model.with_rows(X[new], y[new], **extra)
            order += new
        w = None if weight is None else weight[order]
        coef, intercept = true_optimum(model, X[order], y[order], w)
        error = float(np.abs(np.ravel(model.coef_) - np.ravel(coef)).max())
        off = float(np.abs(np.ravel(model.intercept_) - np.ravel(intercept)).max())
        bound = model.removal_certificate_.coefficient_bound
        proven = proven and np.isfinite(bound)
        # The intercept is a coefficient of the design where no column is far from zero.
        violations += error > bound or off > bound
        ratios.append(bound / max(error, 1e-16))
    size = max(1.0, float(np.abs(coef).max()))
    return StreamResult(int(violations), max(error, off) / size, proven, float(np.median(ratios)))


def clock(function):
    """(CPU seconds, answer)."""
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def three_and_eight():
    """MNIST 3 against 8, rows of norm at most 1."""
    with np.load(Path(os.environ["SKINFLUENCE_DATA"]) / "mnist" / "mnist.npz") as data:
        X, y = data["x_train"].reshape(-1, 784), data["y_train"]
    wanted = (y == 3) | (y == 8)
    X = X[wanted] / 255.0
    return X / np.linalg.norm(X, axis=1).max(), (y[wanted] == 3).astype(int)


def mnist(turns=7):
    """Lines of the table of MNIST 3 against 8: removals and the fits they replace, in turns."""
    X, y = three_and_eight()
    n, rng = len(y), np.random.default_rng(0)
    C = 1.0 / (1e-3 * n)
    newton = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-8)
    lbfgs = LogisticRegression(C=C, tol=1e-8, max_iter=100_000)
    model = InfluenceLogisticRegression(C=C, solver="newton-cholesky").fit(X, y)
    first, _ = clock(lambda: model.without([0]))
    worst = np.argmax(np.abs(model.decision_function(X)) * (model.predict(X) != y))
    asked = {
        "one row": [[row] for row in rng.choice(n, turns, replace=False)],
        "the row furthest on the wrong side": [[worst]] * turns,
        "100 rows": [rng.choice(n, 100, replace=False) for _ in range(turns)],
        "1,000 rows": [rng.choice(n, 1000, replace=False) for _ in range(turns)],
    }
    times, found = {}, {name: [] for name in asked}
    for turn in range(turns):
        kept = np.delete(np.arange(n), asked["1,000 rows"][turn])
        kept = X[kept], y[kept]  # the copy is not part of the refit
        jobs = {
            "newton": lambda: clone(newton).fit(X, y),
            "lbfgs": lambda: clone(lbfgs).fit(X, y),
            "refit": lambda kept=kept: clone(newton).fit(*kept),
        }
        for name, job in jobs.items():
            times.setdefault(name, []).append(clock(job)[0])
        for name, sets in asked.items():
            tries = [clock(lambda some=sets[turn]: model.without(some)) for _ in range(3)]
            times.setdefault(name, []).append(np.median([seconds for seconds, _ in tries]))
            found[name].append(tries[0][1])
    typical = {name: float(np.median(each)) for name, each in times.items()}
    yield f"MNIST 3 v 8: n = {n}, p = {X.shape[1]}, l2 = 1e-3 n; CPU seconds, one thread"
    yield (
        f"fits at tol 1e-8, medians of {turns} turns: newton-cholesky {typical['newton']:.3f}, "
        f"lbfgs {typical['lbfgs']:.3f}; newton-cholesky without 1,000 rows {typical['refit']:.3f}"
    )
    yield f"first removal, with the factor of the fit: {first:.3f}"
    for name, sets in asked.items():
        kept = np.delete(np.arange(n), sets[-1])
        coef, _ = true_optimum(found[name][-1], X[kept], y[kept], None)
        loose = clone(lbfgs).fit(X[kept], y[kept])
        errors = [np.abs(each.coef_ - coef).max() for each in (found[name][-1], loose)]
        against = "refit" if name == "1,000 rows" else "newton"
        ratios = 100 * np.divide(times[name], times[against])
        certificates = [rest.removal_certificate_ for rest in found[name]]
        yield (
            f"{name}: {typical[name]:.4f} s, {np.median(ratios):.2f} % of Newton (turns "
            f"{ratios.min():.2f} to {ratios.max():.2f}), "
            f"{100 * typical[name] / typical['lbfgs']:.1f} % of lbfgs, "
            f"{np.median([each.n_passes for each in certificates]):g} passes; proven "
            f"{max(each.coefficient_bound for each in certificates):.1e}, true error "
            f"{errors[0]:.1e}, that of lbfgs {errors[1]:.1e}"
        )
    chain, spent = model, []
    for row in range(10):
        seconds, chain = clock(lambda chain=chain, row=row: chain.without([1000 * row]))
        spent.append(seconds)
    yield f"ten removals one after the other: {np.median(spent):.4f} s each"


def digits(n_groups=30, size=20):
    """Lines of the table of groups of digits under softmax."""
    X, y = load_digits(return_X_y=True)
    X, rng = X / 16.0, np.random.default_rng(0)
    model = InfluenceLogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(X, y)
    groups = [rng.choice(len(y), size, replace=False) for _ in range(n_groups)]
    ask = {"target": "decision_function", "method": "exact"}
    model.group_influence(groups[:1], X[:5], **ask)
    ours, change = clock(lambda: model.group_influence(groups, X[:50], **ask))
    yield f"digits softmax, C = 1, {size} rows a group: {ours / n_groups:.4f} s a group"
    kept = [np.setdiff1d(np.arange(len(y)), group) for group in groups]
    for tol in (1e-4, 1e-6, 1e-8):
        spent, errors = 0.0, []
        for position, rows in enumerate(kept):
            other = LogisticRegression(C=1.0, tol=tol, max_iter=10_000, warm_start=True)
            other.coef_, other.intercept_ = model.coef_.copy(), model.intercept_.copy()
            other.classes_ = model.classes_
            seconds, _ = clock(lambda other=other, rows=rows: other.fit(X[rows], y[rows]))
            spent += seconds
            moved = other.decision_function(X[:50]) - model.decision_function(X[:50])
            errors.append(np.abs(moved - change[:, position]).max())
        yield (
            f"warm lbfgs at tol {tol:g}: {spent / n_groups:.4f} s a group, ours {ours / spent:.2f} "
            f"of it; largest error of lbfgs {max(errors):.1e}"
        )


def streams(n_streams, families=FAMILIES):
    """Lines of the table of random streams."""
    each = n_streams // len(families)
    yield f"{n_streams} streams of {N_CHANGES} changes, {each} a family"
    for family in families:
        seeds = range(each)
        found = [stream(family, seed) for seed in seeds]
        yield (
            f"{family}: bound violated {sum(each.violations for each in found)} times in "
            f"{len(found) * N_CHANGES}, finite in {sum(each.proven for each in found)} of "
            f"{len(found)} streams, median looseness "
            f"{np.median([each.looseness for each in found]):.1e}; largest drift after "
            f"{N_CHANGES} changes {max(each.drift for each in found):.1e}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--no-mnist", action="store_true")
    parser.add_argument("--no-digits", action="store_true")
    parser.add_argument("--output", type=Path, help="file for the summary")
    options = parser.parse_args()
    lines = []
    parts = [streams(options.streams)] if options.streams else []
    parts += [] if options.no_digits else [digits()]
    parts += [] if options.no_mnist or "SKINFLUENCE_DATA" not in os.environ else [mnist()]
    for part in parts:
        for line in part:
            print(line, flush=True)
            lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
