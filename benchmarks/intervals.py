"""The problem "intervals": jackknife+ from one fit beside the loop of n refits."""

import time

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks.measure import by_turns
from skinfluence import InfluenceRidge

ALPHA = 0.1
SAMPLED = 100  # refits that are timed; the loop takes n / SAMPLED times as long


# Rows, columns and test rows: the share of models that may be at an end depends on all three.
SHAPES = (5000, 50, 1000), (2000, 400, 1000), (500, 50, 1000)


def rows(quick):
    """Yield lines of the table, in CPU seconds."""
    for n, p, m in [(1000, 20, 200)] if quick else SHAPES:
        yield _line(n, p, m)


def _line(n, p, m):
    """Intervals of one shape against refits."""
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((n, p)), rng.standard_normal((m, p))
    y = X @ rng.standard_normal(p) / np.sqrt(p) + rng.standard_normal(n)
    model = InfluenceRidge(alpha=1.0).fit(X, y)

    def question():
        model.__dict__.pop("_problem_cache", None)
        return model.prediction_interval(T, ALPHA)

    def refit(row):
        keep = np.arange(n) != row
        left = Ridge(alpha=1.0).fit(X[keep], y[keep])
        return left.predict(T), left.predict(X[[row]])

    seconds = by_turns([question], 5, 5, "cpu")[0]
    start = time.process_time()
    found = [refit(row) for row in range(SAMPLED)]
    loop = (time.process_time() - start) * n / SAMPLED
    own = model.loo_estimate().prediction[:SAMPLED]
    error = max(abs(own[row] - at_row[0]) for row, (_, at_row) in enumerate(found))
    assert error < 1e-8, error
    who = f"jackknife+, ridge, n = {n:,}, p = {p}, {m:,} test rows, against refits"
    line = {"problem": "intervals", "who": who, "seconds": seconds, "floor_seconds": loop}
    return line | {"ratio": seconds / loop, "bar": 0.0005 if n == SHAPES[0][0] else None}
