"""The problem "choice": the kind of curvature that is chosen beside the fastest, in CPU seconds."""

import time

import numpy as np

from benchmarks.problems import _binary, _sparse
from skinfluence import InfluenceLogisticRegression

# (rows, columns, entries a row or None for dense rows, test rows, method)
SHAPES = [
    (20_000, 50, None, 50, "newton"),
    (2000, 300, None, 50, "newton"),
    (500, 3000, None, 50, "newton"),
    (4000, 400, 20, 50, "newton"),
    (2500, 50_000, 30, 50, "first_order"),
    (2500, 50_000, 30, 50, "newton"),
    (1200, 20_000, 20, 20, "newton"),
    (3000, 1500, 20, 10, "first_order"),
]


def _seconds(model, problem, method, kind):
    """CPU seconds of a question with nothing cached; the second of two calls, if they are short."""
    for _ in range(2):
        model.__dict__.pop("_problem_cache", None)
        start = time.process_time()
        model.influence(problem.X_test, problem.y_test, method=method, curvature=kind)
        seconds = time.process_time() - start
        if seconds > 5:
            break
    return seconds


def rows(quick):
    """Yield lines of the table."""
    for n, p, per_row, m, method in SHAPES:
        n = n // 4 if quick else n
        make = (_binary, n, p, m) if per_row is None else (_sparse, n, p, per_row, m)
        problem = make[0]("choice", *make[1:])
        model = InfluenceLogisticRegression(max_iter=1000).fit(problem.X, problem.y)
        choice = model.__fitted_problem__()
        known = {}
        wide = {"dense": p > 4000, "dual": n > 4000}
        # Leverages of dense or narrow rows by products take minutes.
        wide["cg"] = method == "newton" and (per_row is None or p < n)
        for kind in ("dense", "dual", "cg"):
            if wide[kind]:
                continue
            known[kind] = _seconds(model, problem, method, kind)
        chosen = choice.curvature("auto", n_solves=m + (n if method == "newton" else 0)).kind
        best = min(known, key=known.get)
        line = {"problem": "choice", "seconds": known[chosen], "floor_seconds": known[best]}
        shape = f"{n:,} x {p:,}{f', {per_row} a row' if per_row else ''}, {m} tests, {method}"
        line |= {"who": f"{shape}: {chosen}, fastest {best}", "bar": 1.5}
        yield line | {"ratio": known[chosen] / known[best]}
        del problem, model, choice


if __name__ == "__main__":
    for line in rows(False):
        print(line["who"], np.round([line["seconds"], line["floor_seconds"], line["ratio"]], 3))
