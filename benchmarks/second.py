"""The problem "second": a question to the same model beside another one, in CPU seconds."""

import time

import numpy as np

from benchmarks.measure import by_turns
from benchmarks.problems import _binary, sparse_dual
from skinfluence import InfluenceLogisticRegression
from skinfluence.kernel_models import KernelLogisticRegression


def _asked(model, X_test, y_test, **options):
    """Seconds of one question."""
    start = time.process_time()
    model.influence(X_test, y_test, method="newton", **options)
    return time.process_time() - start


def _line(who, model, X_test, y_test, **options):
    """A line: the second question's seconds over the first's, about other test rows."""
    half = len(y_test) // 2
    first = _asked(model, X_test[:half], y_test[:half], **options)
    second = min(_asked(model, X_test[half:], y_test[half:], **options) for _ in range(3))
    line = {"problem": "second", "who": who, "seconds": second, "floor_seconds": first}
    return line | {"ratio": second / first, "bar": 0.1}


def rows(quick):
    """Yield lines of the table."""
    problem = sparse_dual(quick)
    for kind in ("dual", "cg"):
        model = InfluenceLogisticRegression(max_iter=1000).fit(problem.X, problem.y)
        who = f"second question, newton, {problem.shape()}, curvature={kind!r}"
        yield _line(who, model, problem.X_test, problem.y_test, curvature=kind)
    n = 600 if quick else 3000
    X = np.random.default_rng(0).normal(size=(n + 50, 10))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = KernelLogisticRegression().fit(X[:n], y[:n])
    yield _line(f"second question, newton, kernel, n = {n:,}", model, X[n:], y[n:])
    yield _largest(quick)


def _largest(quick):
    """A line: the ten largest influences of each test row over the whole matrix."""
    problem = _binary("largest", *((4000, 20, 500) if quick else (20_000, 50, 5000)))
    model = InfluenceLogisticRegression().fit(problem.X, problem.y)
    test, options = (problem.X_test, problem.y_test), {"method": "first_order"}
    ways = [lambda: model.most_influential(*test, k=10, **options)]
    ways.append(lambda: model.influence(*test, **options))
    ours, matrix = by_turns(ways, 3, 20, "cpu")
    line = {"problem": "second", "who": f"most_influential, {problem.shape()}, against influence"}
    line |= {"seconds": ours, "floor_seconds": matrix}
    return line | {"ratio": ours / matrix, "bar": 1.3}
