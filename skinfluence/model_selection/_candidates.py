"""Candidates of a search in an order that lets each start from its neighbour's optimum."""

import time
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone

from skinfluence._parallel import blas_for
from skinfluence.attribution import Output
from skinfluence.curvature import make_curvature
from skinfluence.leave_one_out import leave_one_out
from skinfluence.model_selection._pooled_score import pooled_score
from skinfluence.model_selection._views import STRENGTHS, final_parameter, fitted_view, neighbour

# Of the coefficients of exact refits, relative to max(1, |theta|).
TOLERANCE = 1e-8


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
    undefined: tuple = ()
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
    known = [final_parameter(estimator, short) for short in STRENGTHS]
    groups = []
    for position, params in enumerate(candidates):
        varying = _varying(known, params)
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


def _varying(known, params):
    """Return the candidate's penalty parameter, if it is a number and no step is replaced."""
    if any(hasattr(value, "fit") for value in params.values()):
        return None
    for name in known:
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
        self.scoring, self.method, self.varying = scoring or "accuracy", method, varying
        self.view = self.curvature = None
        self.flops = np.inf  # of a Gram matrix, known after the first fit

    def score(self, params):
        """Fit and score one candidate."""
        with blas_for(self.flops):
            return self._score(params)

    def _score(self, params):
        """Do it."""
        start = time.perf_counter()
        try:
            objective = self._fit(params)
            fitted = time.perf_counter()
            if self.method in ("newton", "first_order"):
                self.flops = float(objective.n_rows) * objective.n_parameters**2
            self.curvature = make_curvature(objective)
            left = leave_one_out(
                objective, self.curvature, self.method, tolerance=TOLERANCE, errors=False
            )
        except np.linalg.LinAlgError as error:
            self.curvature = None
            return Scored(fit_time=time.perf_counter() - start, failure=str(error))
        eta, defined = objective.native(left.eta), ~np.isnan(left.eta).any(axis=1)
        labels = self.view._training_data.y
        output = Output(self.view.classes_, objective.loss.has_probabilities)
        found = pooled_score(output, eta[defined], labels[defined], self.scoring)
        return Scored(
            *found,
            float(np.nansum(left.leverage)),
            np.flatnonzero(~defined),
            fitted - start,
            time.perf_counter() - fitted,
        )

    def _fit(self, params):
        """Return a candidate's objective at its optimum, warm if that is possible."""
        if self.curvature is not None and self.varying is not None:
            name = self.varying.rpartition("__")[2]
            warm = neighbour(self.view, self.curvature, name, params[self.varying])
            if warm is not None:
                return warm
        candidate = clone(self.estimator).set_params(**clone(params, safe=False))
        self.view = fitted_view(candidate, *self.data)
        return self.view._explained().objective
