"""The problem "loo-sparse": one-step leave-one-out of all sparse rows, beside a sparse product."""

import numpy as np

from benchmarks.measure import by_turns, peak_of
from benchmarks.problems import sparse
from skinfluence import InfluenceLogisticRegression

TEST_COLUMNS = 50  # of the product that is counted in


def rows(quick):
    """Yield the line of the table."""
    problem = sparse(quick)
    model = InfluenceLogisticRegression(max_iter=1000).fit(problem.X, problem.y)
    S = np.random.default_rng(1).standard_normal((problem.X.shape[1], TEST_COLUMNS))

    def question():
        model.__dict__.pop("_problem_cache", None)
        return model.loo_estimate(method="newton", curvature="stochastic")

    product = by_turns([lambda: problem.X @ S], 9, 10, "cpu")[0]
    seconds = by_turns([question], 1, 0, "cpu")[0]
    _, peak = peak_of(question)
    who = f"leave-one-out, newton, stochastic leverages, {problem.shape()}, in products X @ S"
    line = {"problem": "loo-sparse", "who": who, "seconds": seconds, "floor_seconds": product}
    line |= {"peak_bytes": peak, "ratio": seconds / product}
    yield line if quick else line | {"bar": 400.0, "peak_bar": 2000.0}
