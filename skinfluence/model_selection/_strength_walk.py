"""The best strength of a penalty on a path that is left where the scores only fall."""

import numpy as np

from skinfluence.model_selection._candidates import Path

# Tolerance of `Objective.stationarity` at the optima that Newton steps are taken from: these steps
# are off by far more.
STATIONARITY = 1e-6


def walk_to_best(estimator, data, name, values, *, scoring, method):
    """Return the value of a penalty with the best leave-one-out score, and its LooPredictions.

    Each model starts from its neighbour's optimum, the most penalised first: those are the fastest
    to fit. The walk ends at a score that is below the best by more than its standard error, or at
    the second in a row that is below the best. What lies beyond is fitted better and predicted
    worse.

    Parameters
    ----------
    estimator, data, scoring, method
        As in :class:`Path`; one scorer.
    name : str
        Full name of the parameter.
    values : array-like of float
        Candidates.

    Raises
    ------
    ValueError
        If no candidate has a score.
    """
    tolerance = {"tolerance": STATIONARITY} if method == "newton" else {}
    path = Path(estimator, data, {"score": scoring}, method, name, **tolerance)
    best, loo, best_score, n_below, failure = None, None, -np.inf, 0, ""
    for value in sorted(values, reverse=not name.endswith("C")):
        found = path.score({name: float(value)})
        pooled = found.of("score")
        failure = failure or found.failure or pooled.failure
        if np.isnan(pooled.score):
            continue
        if pooled.score > best_score:
            best, loo, best_score, n_below = float(value), path.left, pooled.score, 0
            continue
        n_below += 1
        if n_below == 2 or best_score - pooled.score > pooled.standard_error:
            break
    if best is None:
        raise ValueError(f"no candidate has a leave-one-out score: {failure}")
    return best, loo
