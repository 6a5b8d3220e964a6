"""The best strength of a penalty, looked for from one of the candidates on, to both sides."""

import numpy as np

from skinfluence.model_selection._candidates import Path

# Tolerance of `Objective.stationarity` at the optima that Newton steps are taken from: these steps
# are off by far more.
STATIONARITY = 1e-5


def walk_to_best(estimator, data, name, values, start, *, scoring, method):
    """Return the _Walk to the value of a penalty with the best leave-one-out score.

    It starts at one of the values and goes to stronger penalties while the score rises; where
    the first of these is no better it turns to weaker ones, and ends where the score falls. Each
    model starts from its neighbour's optimum. Of five candidates it looks at three or four.

    Parameters
    ----------
    estimator, data, scoring, method
        As in :class:`Path`; one scorer.
    name : str
        Full name of the parameter.
    values : array-like of float
        Candidates.
    start : int
        Position of the first one to look at, counted from the strongest penalty.

    Raises
    ------
    ValueError
        If no candidate has a score.
    """
    rough = {"tolerance": STATIONARITY, "single": True} if method == "newton" else {}
    walk = _Walk(Path(estimator, data, {"score": scoring}, method, name, **rough), name)
    values = sorted(map(float, values), reverse=not name.endswith("C"))  # strong penalties first
    walk.visit(values[start])
    curvature = walk.path.curvature
    if not walk.climb(reversed(values[:start])):
        walk.path.start_from(curvature)
        walk.climb(values[start + 1 :])
    if walk.best is None:
        raise ValueError(f"no candidate has a leave-one-out score: {walk.failure}")
    return walk


class _Walk:
    """The best of the values of a penalty that were visited, and what is known of its model.

    Attributes
    ----------
    best, score : float
    loo : LooPredictions
    view : InfluenceExplainer or None
        The model of all rows, where the value is the first, which alone is fitted as users do.
    theta : ndarray of shape (K, q), or None
        Its parameter, near the optimum.
    """

    def __init__(self, path, name):
        self.path, self.name = path, name
        self.best, self.score, self.failure = None, -np.inf, ""
        self.loo = self.view = self.theta = None

    def visit(self, value):
        """Score a value; say whether it is the best so far."""
        known = self.path.view
        found = self.path.score({self.name: value})
        pooled = found.of("score")
        self.failure = self.failure or found.failure or pooled.failure
        if not pooled.score > self.score:  # NaN is not either
            return False
        self.best, self.loo, self.score = value, self.path.left, pooled.score
        self.view = self.path.view if self.path.view is not known else None
        curvature = self.path.curvature
        self.theta = None if curvature is None else curvature.objective.theta
        return True

    def climb(self, values):
        """Visit values in turn until the score falls; say whether it has risen at all."""
        risen = False
        for value in values:
            if self.visit(value):
                risen = True
            elif self.best is not None:
                break
        return risen
