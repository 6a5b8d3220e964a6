"""Candidates of a search in an order that lets each start from its neighbour's optimum."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from skinfluence.model_selection._standard_error import standard_error
from skinfluence.model_selection._views import STRENGTHS, final_parameter, fitted_view, neighbour


@dataclass(frozen=True)
class Scored:
    """What a search knows of one candidate.

    Attributes
    ----------
    score, standard_error : float
        Of the pooled leave-one-out predictions; NaN without an optimum.
    effective_parameters : float
        Sum of the leverages.
    undefined : ndarray of int
        Rows without a leave-one-out prediction.
    fit_time, score_time : float
        Seconds.
    failure : str
        Why there is no optimum; empty otherwise.
    """

    score: float = np.nan
    standard_error: float = np.nan
    effective_parameters: float = np.nan
    undefined: np.ndarray = ()
    fit_time: float = 0.0
    score_time: float = 0.0
    failure: str = ""


def paths(estimator, candidates):
    """Group positions of candidates that differ only in how strongly the last step is penalised.

    Returns
    -------
    list of (str or None, list of int)
        The parameter that varies, and the positions, from strong to weak penalties: the optimum of
        a strongly penalised model is the easiest to find, and a good start for the next.
    """
    groups = []
    for position, params in enumerate(candidates):
        varying = _varying(estimator, params)
        fixed = {name: value for name, value in params.items() if name != varying}
        for group in groups:
            if group[0] == varying is not None and _same(group[1], fixed):
                group[2].append(position)
                break
        else:
            groups.append((varying, fixed, [position]))
    return [
        (name, sorted(members, key=lambda i: candidates[i][name]) if name else members)
        for name, _, members in groups
    ]


def _varying(estimator, params):
    """Return the candidate's penalty parameter, if it has one and it is a number."""
    for short in STRENGTHS:
        name = final_parameter(clone(estimator).set_params(**params), short)
        if name in params and isinstance(params[name], int | float | np.number):
            return name
    return None


def _same(one, other):
    """Whether two settings are the same, by value or by being the same object."""
    if one.keys() != other.keys():
        return False
    for name, value in one.items():
        if value is other[name]:
            continue
        try:
            if not bool(value == other[name]):
                return False
        except (TypeError, ValueError):  # arrays and the like: a path of its own
            return False
    return True


class Path:
    """Scores candidates one after the other, each from the optimum of the last where it can.

    Parameters
    ----------
    estimator : estimator
    data : tuple of X, y, sample_weight
    scoring, method
        As in `loo_estimate`.
    varying : str or None
        The parameter in which the candidates differ, if a warm start can follow it.
    """

    def __init__(self, estimator, data, scoring, method, varying):
        self.estimator, self.data = estimator, data
        self.scoring, self.method, self.varying = scoring, method, varying
        self.view = None

    def score(self, params):
        """Fit and score one candidate."""
        start = time.perf_counter()
        view = self._fit(params)
        fitted = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # The search says it once, for all candidates.
                warnings.filterwarnings("ignore", ".*left undefined", RuntimeWarning)
                estimate = view.loo_estimate(method=self.method, scoring=self.scoring)
        except np.linalg.LinAlgError as error:
            return Scored(fit_time=fitted - start, failure=str(error))
        labels = view._training_data.y
        return Scored(
            estimate.score,
            standard_error(estimate, view.classes_, labels),
            float(np.nansum(estimate.leverage)),
            np.flatnonzero(estimate.method == "undefined"),
            fitted - start,
            time.perf_counter() - fitted,
        )

    def _fit(self, params):
        """Return the view of a fitted candidate."""
        if self.view is not None and self.varying is not None:
            short = self.varying.rpartition("__")[2]
            warm = neighbour(self.view, short, params[self.varying])
            if warm is not None:
                self.view = warm
                return warm
        candidate = clone(self.estimator).set_params(**clone(params, safe=False))
        self.view = fitted_view(candidate, *self.data)
        return self.view
