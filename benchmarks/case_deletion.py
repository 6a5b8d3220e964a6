"""The problem "diagnostics": case-deletion diagnostics beside the algebra that none can avoid."""

import time
from importlib.util import find_spec

import numpy as np
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from benchmarks.measure import by_turns
from skinfluence import InfluenceLinearRegression, InfluenceLogisticRegression, InfluenceRidge

MODELS = {
    "least squares": InfluenceLinearRegression(),
    "ridge": InfluenceRidge(alpha=1.0),
    "logistic": InfluenceLogisticRegression(),
}


def _problem(n, p, name):
    """Gaussian rows, and responses with noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    y = X @ rng.standard_normal(p) / np.sqrt(p) + rng.standard_normal(n)
    return X, (y > 0).astype(int) if name == "logistic" else y


def _floor(X):
    """Gram matrix, Cholesky factor, one triangular solve with all rows."""
    Z = np.column_stack([X, np.ones(len(X))])

    def floor():
        factor = np.linalg.cholesky(Z.T @ Z)
        return solve_triangular(factor, Z.T, lower=True, check_finite=False)

    return floor


def _question(model, scaled):
    """The diagnostics, from a fitted model with nothing cached; DFBETAS where asked for."""

    def question():
        model.__dict__.pop("_problem_cache", None)
        found = model.case_deletion_diagnostics()
        return (found.dfbetas, found) if scaled else found

    return question


def rows(quick):
    """Yield lines of the table."""
    n, p = (5000, 20) if quick else (100_000, 50)
    for name, model in MODELS.items():
        X, y = _problem(n, p, name)
        fitted = model.fit(X, y)
        for scaled in (False, True):
            best = by_turns([_question(fitted, scaled), _floor(X)], 25, 30, "cpu")
            what = f"diagnostics, {name}, n = {n:,}, p = {p}{', with dfbetas' if scaled else ''}"
            yield _line(what, *best, None if scaled else 1.3)  # they are one more pass
    yield from _statsmodels(500 if quick else 2000)


def _statsmodels(n):
    """DFBETAS of least squares against OLSInfluence, which refits in a loop over the rows.

    On one thread: its thousands of small products take ten times as long on two that are busy.
    """
    who = f"dfbetas, n = {n:,}, p = 20, against statsmodels"
    if find_spec("statsmodels") is None:
        yield {"problem": "diagnostics", "who": who, "skipped": "statsmodels is not installed"}
        return
    import statsmodels.api as sm

    X, y = _problem(n, 20, "least squares")
    fitted = InfluenceLinearRegression().fit(X, y)
    question = _question(fitted, True)
    results = sm.OLS(y, sm.add_constant(X)).fit()
    with threadpool_limits(1):
        ours = by_turns([question], 7, 5, "cpu")[0]
        start = time.process_time()
        theirs = results.get_influence().dfbetas
        seconds = time.process_time() - start
    assert np.allclose(question()[0], theirs, rtol=1e-8, atol=1e-12)
    yield _line(who, ours, seconds, 0.002)


def _line(who, seconds, floor, bar):
    """A line of two times."""
    line = {"problem": "diagnostics", "who": who, "seconds": seconds, "floor_seconds": floor}
    return line | {"ratio": seconds / floor, "bar": bar}
