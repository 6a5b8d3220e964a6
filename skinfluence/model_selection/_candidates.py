"""Candidates of a search, in an order in which each can start from its neighbour's optimum."""

import time
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.base import clone

from skinfluence._parallel import blas_for
from skinfluence.adapters import adapt
from skinfluence.attribution import rows_to_score
from skinfluence.curvature import make_curvature
from skinfluence.deletion import LOOKED_AT, needs_curvature
from skinfluence.explainer import fitted_view
from skinfluence.leave_one_out import leave_one_out, resolve_auto
from skinfluence.linear_model import InfluenceRidge, InfluenceRidgeClassifier
from skinfluence.model_selection._pooled_score import PooledScore, PooledScorer
from skinfluence.model_selection._ridge_path import RidgePath
from skinfluence.model_selection._views import (
    STRENGTHS,
    final_prefix,
    is_strength,
    neighbour,
)
from skinfluence.problem import OptimumRecord, fitted_problem

# Tolerance of the coefficients of exact refits, relative to `Objective.coefficient_unit`.
TOLERANCE = 1e-8
# Bytes of the predictors of candidates that are scored together.
TOGETHER_BYTES = 2**22
# Estimators whose attributes are the parameters and what their rows give. A subclass may have more.
REFITTED_BY_A_STEP = InfluenceRidge, InfluenceRidgeClassifier


@dataclass(frozen=True)
class Scored:
    """The scores of one candidate, and how they were computed.

    Attributes
    ----------
    scores : dict of PooledScore
        Of the pooled leave-one-out predictions, by the names of the scorers; empty if no optimum
        was found.
    effective_parameters : float
        Sum of the leverages.
    undefined : dict of int to tuple
        Rows without a leave-one-out prediction: (name, why there is none, None where it was not
        looked for).
    fit_time, score_time : float
        Seconds.
    failure : str
        Why no optimum was found; empty if one was found.
    """

    scores: dict = field(default_factory=dict)
    effective_parameters: float = np.nan
    undefined: dict = field(default_factory=dict)
    fit_time: float = 0.0
    score_time: float = 0.0
    failure: str = ""

    def of(self, name):
        """Return the PooledScore of a scorer, NaN where there is none."""
        return self.scores.get(name, PooledScore(np.nan, np.nan))

    @property
    def score_failure(self):
        """Why a score, or its standard error, is missing; empty if none is."""
        return next((found.failure for found in self.scores.values() if found.failure), "")


def paths(estimator, candidates):
    """Group candidates that differ only in the strength of the penalty of the last step.

    Returns
    -------
    list of (str or None, list of int)
        The parameter that varies, and the positions of its candidates, from strong to weak
        penalties: the optimum of a strongly penalised model is the easiest to find, and a good
        start for the next.
    """
    prefix, given = final_prefix(estimator), estimator.get_params(deep=True)
    known = [prefix + short for short in STRENGTHS if prefix + short in given]
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
        (name, _strong_first(members, candidates, name) if name else members)
        for name, _, members in groups
    ]


def _strong_first(members, candidates, name):
    """Sort positions from strong to weak penalties, that is by ascending C or descending alpha."""
    weakness = 1.0 if name.endswith("C") else -1.0
    return sorted(members, key=lambda i: weakness * candidates[i][name])


def _varying(known, params):
    """Return the name of the candidate's penalty parameter, if it is a number.

    None if the candidate replaces a step by another estimator: a path has one model.
    """
    if any(hasattr(value, "fit") for value in params.values()):
        return None
    for name in known:
        if name in params and isinstance(params[name], int | float | np.number):
            return name
    return None


def _are_the_same(rows, others):
    """Whether two arrays of positions are equal."""
    return rows is others or np.array_equal(rows, others)


def _same(one, other):
    """Whether two settings have equal values, or the same objects as values."""
    if one.keys() != other.keys():
        return False
    for name, value in one.items():
        if value is other[name]:
            continue
        try:
            if not bool(value == other[name]):
                return False
        except (TypeError, ValueError):  # arrays and other values without a single truth value
            return False
    return True


def parts_of(groups, size):
    """Groups of candidates cut into parts of at most `size`, in their order."""
    return [
        (name, members[start : start + size])
        for name, members in groups
        for start in range(0, len(members), size)
    ]


def refitted(tasks, position, params):
    """A candidate of some paths fitted on all rows, see `Path.refitted`."""
    path = next(path for path, members in tasks if position in members)
    return path.refitted(params)


def scored_in_turn(tasks, candidates):
    """Yield (position, Scored) of the candidates of paths, one after the other."""
    for path, members in tasks:
        scores = path.scores([candidates[position] for position in members])
        yield from zip(members, scores, strict=True)


def score_path(path, candidates):
    """Return the Scored of some candidates of a path, in their order."""
    return list(path.scores(candidates))


class Path:
    """Scores candidates one after the other, from the optimum of the previous one if possible.

    Parameters
    ----------
    estimator : estimator
    data : tuple of X, y and the keyword arguments of fit
    scoring : dict of str, callable or None
        Scorers by name, as in `loo_estimate`.
    method
        As in `loo_estimate`.
    varying : str or None
        The penalty parameter in which the candidates differ; None if there is no common one.
    single : bool, default=False
        Whether leverages to a few digits are enough, as in `make_curvature`.
    **tolerance
        As in `polish`, of the optima reached from a neighbour's.
    """

    def __init__(self, estimator, data, scoring, method, varying, *, single=False, **tolerance):
        self.single, self.tolerance = single, tolerance
        self.estimator, self.data = estimator, data
        self.scoring, self.method, self.varying = scoring, method, varying
        self.view = self.problem = self.curvature = self.ridge = None
        self.weighted_rows = None
        self.scorers = None  # rows with a prediction, and the scorers of these
        self.left = None  # LooPredictions of the last candidate
        self.flops = np.inf  # flops of a Gram matrix, known after the first fit
        self.causes = {}  # why there is no model without a row, asked once for a path

    def scores(self, candidates):
        """Yield the Scored of some candidates, in their order; those of a `RidgePath` together."""
        done, opening = 0, self._open_ridge(candidates)
        while done < len(candidates):
            rest = candidates[done : done + self._n_together()]
            if self.ridge is not None and all(self._follows_ridge(params) for params in rest):
                found = self._scored_together(rest)
            else:
                found = [self.score(candidates[done])]
            yield replace(found[0], fit_time=found[0].fit_time + opening)
            yield from found[1:]
            opening = 0.0
            done += len(found)

    def _open_ridge(self, candidates):
        """Fit the first of several candidates that a `RidgePath` scores together; seconds."""
        start, known = time.perf_counter(), type(self.estimator) in REFITTED_BY_A_STEP
        if not known or self.varying is None or len(candidates) < 2 or self.ridge is not None:
            return 0.0
        if self.method != "first_order" and is_strength(candidates[0][self.varying]):
            with suppress(np.linalg.LinAlgError):  # scored alone, it says so
                self.ridge = RidgePath(self._fit(candidates[0]))
        return time.perf_counter() - start

    def _n_together(self):
        """Number of candidates whose predictors fit in a block of memory."""
        objective = None if self.ridge is None else self.ridge.objective
        return 1 if objective is None else max(1, TOGETHER_BYTES // (8 * objective.eta.size))

    def _scored_together(self, candidates):
        """Return the Scored of candidates of the `RidgePath`, each as `score` would."""
        start, used = time.perf_counter(), self._weighted_rows()
        with blas_for(self.flops):
            alphas = np.array([float(params[self.varying]) for params in candidates])
            eta, one_minus = self.ridge.predictors(alphas)
            if not np.isfinite(eta).all():  # which rows have no prediction, and why
                return [self.score(params) for params in candidates]
            leverage = eta.shape[2] * (1.0 - one_minus)
            every = [self.ridge.objective.native(each) for each in eta]
            scores = self._scores(every, used)
        seconds = (time.perf_counter() - start) / len(candidates)
        return [
            Scored(found, float(own.sum()), {}, 0.0, seconds)
            for found, own in zip(scores, leverage, strict=True)
        ]

    def score(self, params):
        """Fit and score one candidate."""
        with blas_for(self.flops):
            return self._score(params)

    def _score(self, params):
        """Fit and score one candidate, with the number of BLAS threads already set."""
        start = time.perf_counter()
        try:
            objective = self._fit(params)
            fitted = time.perf_counter()
            if self.method in ("newton", "first_order"):
                self.flops = float(objective.n_rows) * objective.n_parameters**2
            left = self.left = self._left_out(objective, params)
        except np.linalg.LinAlgError as error:
            self.curvature = None
            return Scored(fit_time=time.perf_counter() - start, failure=str(error))
        lost, used = np.empty(0, dtype=int), self._weighted_rows()
        if not np.isfinite(left.eta).all():
            without = np.isnan(left.eta[used]).any(axis=1)
            lost, used = used[without], used[~without]
        (scores,) = self._scores([objective.native(left.eta)], used)
        return Scored(
            scores,
            float(np.nansum(left.leverage)),
            self._undefined(objective, lost),
            fitted - start,
            time.perf_counter() - fitted,
        )

    def _weighted_rows(self):
        """Rows of positive weight."""
        if self.weighted_rows is None:
            self.weighted_rows = np.flatnonzero(self.problem.sample_weight > 0)
        return self.weighted_rows

    def _scores(self, every, used):
        """PooledScore of each of several predictors of some rows, by the names of the scorers."""
        if self.scorers is None or not _are_the_same(self.scorers[0], used):
            problem = self.problem
            link, labels = problem.adapted.link, problem.adapted.labels(problem.objective.y)[used]
            weight = problem.sample_weight[used]
            made = {}
            for name, scoring in self.scoring.items():
                X, own = rows_to_score(scoring, self.data[0], used), scoring or link.scoring
                made[name] = PooledScorer(link, labels, own, X=X, weight=weight)
            self.scorers = used, made
        every = [eta if len(used) == len(eta) else eta[used] for eta in every]
        found = {name: scorer.of_several(every) for name, scorer in self.scorers[1].items()}
        return [dict(zip(found, own, strict=True)) for own in zip(*found.values(), strict=True)]

    def _undefined(self, objective, rows):
        """Names of rows without a leave-one-out prediction, and why there is none, by position."""
        if not len(rows):
            return {}
        problem = self.problem
        new = [row for row in rows[:LOOKED_AT].tolist() if row not in self.causes]
        self.causes |= zip(new, problem.causes_without(new, objective), strict=True)
        return {row: (problem.row_names[row], self.causes.get(row)) for row in rows.tolist()}

    def _left_out(self, objective, params):
        """LooPredictions of a candidate; a path under squared error needs one decomposition."""
        if self._follows_ridge(params):
            self.ridge = self.ridge or RidgePath(objective)
            return self.ridge.left_out(float(params[self.varying]))
        method = resolve_auto(objective, self.method)
        needed = needs_curvature(objective, method)
        lighter = objective if method == "first_order" else objective.without_mean_penalty_share()
        few = {"single": True, "beside": self.curvature} if self.single else {}
        self.curvature = make_curvature(lighter, **few) if needed else None
        return leave_one_out(objective, self.curvature, method, tolerance=TOLERANCE)

    def start_from(self, curvature):
        """Let the next candidate start from the optimum of an earlier one, by its curvature."""
        self.curvature = curvature

    def refitted(self, params):
        """A candidate fitted on all rows by a step from its path; None if it has to be fitted anew.

        The first fit of the path has checked and kept the rows, and a step on them is what a fit of
        these classes ends with: its optimum does not depend on where the step starts.
        """
        if self.ridge is None or type(self.estimator) not in REFITTED_BY_A_STEP:
            return None
        final, data = copy(self.problem.model).set_params(**params), self.problem.record.data
        adapted = adapt(final, data)
        objective = adapted.objective.at(self.ridge.theta(float(params[self.varying])))
        record = OptimumRecord.of(replace(adapted, objective=objective), data)
        if not record.converged:
            return None
        return final.__moved__(record.data, record, objective.at(record.theta), 1)

    def _follows_ridge(self, params):
        """Whether `RidgePath` applies: a quadratic objective and a path of penalty strengths."""
        if self.varying is None or self.problem is None or self.method == "first_order":
            return False
        objective = self.problem.objective
        quadratic = objective.loss.is_quadratic and objective.row_penalty is None
        return quadratic and is_strength(params[self.varying])

    def _fit(self, params):
        """Return a candidate's objective at its optimum, by a warm start if possible."""
        if self._follows_ridge(params) and self.ridge is not None:
            return self.ridge.objective  # the path needs the data, not the optimum
        if self.curvature is not None and self.varying is not None:
            name = self.varying.rpartition("__")[2]
            value = params[self.varying]
            warm = neighbour(self.view, self.curvature, name, value, **self.tolerance)
            if warm is not None:
                return warm
        candidate = clone(self.estimator).set_params(**clone(params, safe=False))
        self.view, self.scorers = fitted_view(candidate, *self.data), None
        self.weighted_rows = None
        self.problem = fitted_problem(self.view)
        return self.problem.objective
