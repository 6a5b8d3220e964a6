"""Smallest flips against all subsets: `python -m benchmarks.flips [--first-seed S] [--count N]`.

Random small problems, of which every set of up to four rows (or groups) is refitted by a batched
Newton's method of NumPy alone. A lower bound above the true optimum, an exact answer that is none,
or a set smaller than the smallest is a violation. `--record FILE` keeps the outcomes, and a run
that was ended goes on where it was; `--output FILE` writes the summary.
"""

import argparse
import hashlib
import json
import time
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np

import skinfluence
from skinfluence import (
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
)
from skinfluence.robustness import bind, coefficient
from skinfluence.robustness.search import Search

FAMILIES = ("least squares", "ridge", "logistic", "poisson")
LARGEST = 4  # removals that are tried out
ITERATIONS = 60


class Problem:
    """A random problem of one family.

    Parameters
    ----------
    seed : int

    Attributes
    ----------
    X, y, weight : ndarray
    groups : ndarray of int or None
        Labels of what leaves together.
    model : estimator
        Fitted.
    feature : int
        Whose coefficient is asked about.
    level : float
        That it is to reach.
    """

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.seed, self.family = seed, FAMILIES[seed % len(FAMILIES)]
        n, p = int(rng.integers(10, 19)), int(rng.integers(1, 4))
        heavy, twins = rng.random() < 0.3, rng.random() < 0.3
        X = rng.standard_t(2, (n, p)) if heavy else rng.standard_normal((n, p))
        if rng.random() < 0.25:
            X[:, 0] = X[:, 0] > np.median(X[:, 0])
        signal = X @ (rng.standard_normal(p) * 0.4) + rng.normal(0, 0.3)
        noise = rng.standard_t(3, n) if heavy else rng.standard_normal(n)
        if self.family == "logistic":
            y = (signal + noise > 0).astype(int)
            y[:2] = 0, 1
        elif self.family == "poisson":
            y = rng.poisson(np.exp(np.clip(signal, -2, 2))).astype(float)
            y[0] += 1
        else:
            y = signal + noise
        if twins:
            X[n // 2 : n // 2 + 3], y[n // 2 : n // 2 + 3] = X[:3], y[:3]
        self.X, self.y = X, y
        self.weight = rng.uniform(0.3, 2.0, n) if rng.random() < 0.4 else np.ones(n)
        self.fit_intercept = bool(rng.random() < 0.7)
        self.strength = float(10 ** rng.uniform(-2, 1))
        self.groups = None
        if rng.random() < 0.2:
            self.groups = np.sort(rng.integers(0, 8, n))
        self.feature, self.level = int(rng.integers(p)), 0.0
        if rng.random() < 0.25:
            self.level = float(rng.normal(0, 0.2))
        self.model = self._fitted()
        if self.model.coef_.ravel()[self.feature] == self.level:  # a column of zeros
            self.level += 0.1

    def _fitted(self):
        """Return the fitted estimator."""
        made = {
            "least squares": lambda: InfluenceLinearRegression(fit_intercept=self.fit_intercept),
            "ridge": lambda: InfluenceRidge(self.strength, fit_intercept=self.fit_intercept),
            "logistic": lambda: InfluenceLogisticRegression(
                C=1 / self.strength, fit_intercept=self.fit_intercept, max_iter=5000
            ),
            "poisson": lambda: InfluencePoissonRegressor(
                alpha=self.strength / 20, fit_intercept=self.fit_intercept, max_iter=5000
            ),
        }
        return made[self.family]().fit(self.X, self.y, sample_weight=self.weight)

    @property
    def units(self):
        """Index arrays of what leaves together."""
        if self.groups is None:
            return [np.array([row]) for row in range(len(self.y))]
        return [np.flatnonzero(self.groups == label) for label in np.unique(self.groups)]

    @property
    def quantity(self):
        """The quantity asked about."""
        return coefficient(f"x{self.feature}", value=self.level)

    def coefficients(self, weight):
        """Coefficient of the feature in refits with weights (b, n), NaN where none converges."""
        Z = self.X
        if self.fit_intercept:
            Z = np.column_stack([Z, np.ones(len(Z))])
        P = Z.shape[1]
        penalised = np.ones(P)
        if self.fit_intercept:
            penalised[-1] = 0.0
        fixed = {"least squares": 0.0, "ridge": self.strength, "logistic": self.strength}
        strength = fixed.get(self.family)
        if strength is None:
            strength = self.strength / 20 * weight.sum(axis=1)
        D = np.broadcast_to(np.reshape(strength, (-1, 1)), (len(weight), 1)) * penalised
        theta, size = np.zeros((len(weight), P)), np.full(len(weight), np.inf)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(ITERATIONS):
                mean, curvature = self._mean(np.clip(theta @ Z.T, -30, 30))
                gradient = (weight * (mean - self.y)) @ Z + D * theta
                H = np.einsum("bi,ij,ik->bjk", weight * curvature, Z, Z)
                H[:, np.arange(P), np.arange(P)] += D
                H[:, np.arange(P), np.arange(P)] += 1e-300
                finite = np.isfinite(H).all(axis=(1, 2))
                good = finite & (np.linalg.cond(np.where(finite[:, None, None], H, 0.0)) < 1e13)
                step = np.full(theta.shape, np.nan)
                step[good] = np.linalg.solve(H[good], gradient[good][:, :, None])[:, :, 0]
                size = np.abs(step).max(axis=1)
                theta = theta - step / np.maximum(1.0, size)[:, None]
                if ((size < 1e-10) | np.isnan(size)).all():
                    break
        lost = ~(size < 1e-9)
        if self.family == "logistic":
            lost |= (weight @ self.y == 0) | (weight @ (1 - self.y) == 0)
        if self.family == "poisson":
            lost |= weight @ self.y == 0
        return np.where(lost, np.nan, theta[:, self.feature])

    def _mean(self, eta):
        """Mean and curvature of the family at predictors."""
        if self.family == "logistic":
            p = 1 / (1 + np.exp(-eta))
            return p, p * (1 - p)
        if self.family == "poisson":
            return np.exp(eta), np.exp(eta)
        return eta, np.ones_like(eta)

    def optimum(self):
        """Least number of units whose removal flips the quantity, by all subsets; None above 4."""
        units = self.units
        before = self.coefficients(self.weight[None, :])[0] - self.level
        for size in range(1, LARGEST + 1):
            sets = list(combinations(range(len(units)), size))
            weight = np.tile(self.weight, (len(sets), 1))
            for position, chosen in enumerate(sets):
                weight[position, np.concatenate([units[unit] for unit in chosen])] = 0.0
            after = np.sign(before) * (self.coefficients(weight) - self.level)
            if (after <= 1e-11 * abs(before)).any():
                return size
        return None


def examine(seed, budget):
    """Return (problem, optimum, audit, units of the audit's set, units greedy needs)."""
    problem = Problem(seed)
    audit = problem.model.smallest_flip(problem.quantity, groups=problem.groups, budget=budget)
    number = None if audit.n_rows is None else audit.n_groups or audit.n_rows
    fitted = problem.model.__fitted_problem__()
    bound = bind(problem.quantity, fitted)
    greedy = Search(fitted.objective, bound, problem.units).greedy(len(problem.units) // 2)
    return problem, problem.optimum(), audit, number, len(greedy.order) if greedy.flips else None


def violations(optimum, audit, number):
    """List what an audit says that all subsets contradict."""
    found = []
    least = LARGEST + 1 if optimum is None else optimum
    if optimum is not None and audit.at_least > optimum:
        found.append(f"at_least={audit.at_least} above the optimum {optimum}")
    if number is not None and number < least:
        found.append(f"a set of {number} below the optimum {optimum}")
    if audit.is_exact and number <= LARGEST and number != optimum:
        found.append(f"exact {number}, the optimum is {optimum}")
    if audit.is_exact and optimum is not None and number != optimum:
        found.append(f"exact {number}, the optimum is {optimum}")
    return found


def outcome(seed, budget):
    """What one problem has shown, as a dict of plain numbers; of use with an optimum alone."""
    start = time.process_time()
    problem, optimum, audit, number, greedy = examine(seed, budget)
    return {
        "seed": seed,
        "budget": budget,
        "family": problem.family,
        "one_covariate": problem.X.shape[1] == 1,
        "optimum": optimum,
        "smallest": bool(number == optimum),
        "greedy": bool(greedy == optimum),
        "exact": bool(audit.is_exact),
        "at_least": int(audit.at_least),
        "violations": violations(optimum, audit, number),
        "seconds": time.process_time() - start,
    }


def recorded(path, budget):
    """Outcomes of earlier runs by seed, of the same budget and sources; {} without a file."""
    if path is None or not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [each for each in found if (each["budget"], each["sources"]) == (budget, sources())]
    return {each["seed"]: each for each in kept}


def sources():
    """Hash of the files of the library and of this command: other ones are run anew."""
    digest = hashlib.sha256()
    for path in sorted([*Path(skinfluence.__file__).parent.rglob("*.py"), Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(seeds, budget, record=None, minutes=np.inf):
    """Return outcomes of problems, those of a record first, until the time is over.

    Parameters
    ----------
    seeds : sequence of int
    budget : int
        Cells of branch and bound.
    record : Path, optional
        File of outcomes, one a line, which grows.
    minutes : float
        Of the clock, after which no further problem is begun.
    """
    known, start, version = recorded(record, budget), time.monotonic(), sources()
    for seed in seeds:
        if time.monotonic() - start > 60 * minutes:
            break
        if seed in known:
            continue
        known[seed] = {**outcome(seed, budget), "sources": version}
        if record is not None:
            with record.open("a") as file:
                file.write(json.dumps(known[seed]) + "\n")
    return [known[seed] for seed in seeds if seed in known]


def summary(outcomes):
    """Lines of the summary of outcomes."""
    found = [each for each in outcomes if each["optimum"] is not None]
    lines = [
        f"{len(outcomes)} problems, seeds {outcomes[0]['seed']} to {outcomes[-1]['seed']}; of "
        f"those with an optimum of at most {LARGEST} by all subsets ({len(found)}) the share:",
        "",
        f"{'family':15}{'problems':>9}{'smallest':>9}{'greedy':>8}{'exact':>7}{'half':>7}",
    ]
    for family in FAMILIES:
        own = [each for each in found if each["family"] == family]
        shares = [[each[name] for each in own] for name in ("smallest", "greedy", "exact")]
        shares.append([each["at_least"] >= 0.5 * each["optimum"] for each in own])
        cells = [np.mean(share) if share else np.nan for share in shares]
        row = "".join(f"{cell:>{w}.3f}" for cell, w in zip(cells, (9, 8, 7, 7), strict=True))
        lines.append(f"{family:15}{len(own):>9}{row}")
    easy = [each for each in found if each["family"] == "least squares" or each["one_covariate"]]
    half = np.mean([each["at_least"] >= 0.5 * each["optimum"] for each in easy]) if easy else np.nan
    wrong = [f"seed {each['seed']}: {line}" for each in outcomes for line in each["violations"]]
    return [
        *lines,
        "",
        "smallest: the verified set is a smallest one; greedy: already that of the greedy search;",
        "exact: proven so; half: the proven bound is at least half of the optimum.",
        f"half among least squares and problems of one covariate: {half:.3f} of {len(easy)}",
        f"violations: {len(wrong)}",
        *wrong,
        f"{sum(each['seconds'] for each in outcomes):.0f} s of processor time",
    ]


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--budget", type=int, default=2000, help="cells of branch and bound")
    parser.add_argument("--record", type=Path, help="file of outcomes, which a later run goes on")
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no problem after")
    parser.add_argument("--output", type=Path, help="file for the summary")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.count)
    lines = summary(run(seeds, options.budget, options.record, options.minutes))
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
