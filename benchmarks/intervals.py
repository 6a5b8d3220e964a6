"""The problem "intervals": jackknife+ from one fit beside the loop of n refits."""

import time

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks.measure import by_turns
from skinfluence import InfluenceRidge

ALPHA = 0.1
SAMPLED = 100  # refits that are timed; the loop takes n / SAMPLED times as long


def rows(quick):
    """Yield the line of the table."""
    n, p, m = (1000, 20, 200) if quick else (5000, 50, 1000)
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

    seconds = by_turns([question], 5, 5)[0]
    start = time.perf_counter()
    found = [refit(row) for row in range(SAMPLED)]
    loop = (time.perf_counter() - start) * n / SAMPLED
    own = model.loo_estimate().prediction[:SAMPLED]
    error = max(abs(own[row] - at_row[0]) for row, (_, at_row) in enumerate(found))
    assert error < 1e-8, error
    who = f"jackknife+, ridge, n = {n:,}, p = {p}, {m:,} test rows, against refits"
    line = {"problem": "intervals", "who": who, "seconds": seconds, "floor_seconds": loop}
    yield line | {"ratio": seconds / loop, "bar": 0.002}
