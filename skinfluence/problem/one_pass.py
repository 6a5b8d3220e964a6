"""Several answers by one pass over the rows: each part is read once, by all that are asked."""

from dataclasses import replace
from functools import partial

import numpy as np

from skinfluence._parallel import check_progress, tracked
from skinfluence._validation import check_k
from skinfluence.attribution import Extremes, Query, check_matrix, influence, self_influence
from skinfluence.case_deletion import is_covered
from skinfluence.curvature import Leverage
from skinfluence.deletion import delete, dominant_rows, step_errors, warn_dominant
from skinfluence.leave_one_out import found_by_parts, step_of_all
from skinfluence.problem._by_parts import count_parts, goes_by_parts, steps_by_parts
from skinfluence.results import StepInfo


class OwnInfluence:
    """Influence of each row on itself.

    Parameters
    ----------
    problem : FittedProblem
    method : {"newton", "first_order"}
    target : str or callable
    """

    def __init__(self, problem, method, target="loss"):
        self.target, self.linearised = problem.target(target, method), method == "first_order"
        self._labels = None if self.target.uses_encoded_labels else problem.adapted.labels
        n, outputs = problem.objective.n_rows, self.target.n_outputs
        self.result = np.empty((n, outputs)[: 1 + (outputs > 1)])

    def read(self, rows, step):
        """Read the deletions of a part, which are the rows of a slice."""
        part = step.objective
        y = part.y if self._labels is None else self._labels(part.y)
        query = Query(part.design, y, part.eta, self.target)
        self.result[rows] = self_influence(step, query, linearised=self.linearised)


class TestInfluence:
    """Influence of each row on test rows: the matrix, or its sum or mean over them.

    Parameters
    ----------
    problem : FittedProblem
    method : {"newton", "first_order"}
    query : Query
    aggregate : {None, "sum", "mean"}
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    def __init__(self, problem, method, query, aggregate):
        self.query, self.aggregate = query, aggregate
        self.linearised = method == "first_order"
        n, outputs = problem.objective.n_rows, query.target.n_outputs
        if aggregate is None:
            check_matrix(query, n)
        shape = (n,) if aggregate else (len(query), n)
        self.result = np.empty((*shape, outputs) if outputs > 1 else shape)

    def read(self, rows, step):
        """Read the deletions of a part, which are the rows of a slice."""
        found = influence(step, self.query, self.aggregate, linearised=self.linearised)
        self.result[rows if self.aggregate else (slice(None), rows)] = found


class LargestInfluences:
    """The k largest and the k smallest influences on each test row.

    Parameters
    ----------
    problem : FittedProblem
    method : {"newton", "first_order"}
    query : Query
    k : int
    """

    def __init__(self, problem, method, query, k):
        check_k(k, problem.objective.n_rows)
        self._problem, self._method, self._errors = problem, method, []
        self.query, self._extremes = query, Extremes(query, int(k))

    def read(self, rows, step):
        """Read the deletions of a part, which are the rows of a slice."""
        self._extremes.read(step, rows.start, linearised=self._method == "first_order")
        self._errors.append(step_errors(step, self._method, quick=True))

    @property
    def info(self):
        """StepInfo of all rows."""
        errors = (np.concatenate(parts) for parts in zip(*self._errors, strict=True))
        return StepInfo(*errors, self._problem.row_names)

    @property
    def result(self):
        """What `influence_topk` returns."""
        return self._extremes.found(np.arange(self._problem.objective.n_rows))


class OwnPrediction:
    """Predictor of each row under the model without it, and its leverage.

    Parameters
    ----------
    problem : FittedProblem
    method : {"newton", "first_order"}
    curvature : str
        Kind of the curvature, for the errors of the steps.
    """

    def __init__(self, problem, method, curvature="auto"):
        self._problem, self._how = problem, (method, curvature)
        n, K = problem.objective.n_rows, problem.objective.n_outputs
        self._eta, self._leverage = np.empty((n, K)), np.empty(n)
        self._undefined, self._idle = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)

    def read(self, rows, step):
        """Read the deletions of a part, which are the rows of a slice."""
        np.add(step.objective.eta, step.own_change(), out=self._eta[rows])
        self._leverage[rows] = step.row_leverages
        self._undefined[rows], self._idle[rows] = step.undefined, step.idle

    @property
    def result(self):
        """LooPredictions, whose errors are found by passes of their own if they are asked for."""
        found = self._eta, self._leverage, self._how[0], self._undefined, self._idle
        return found_by_parts(*found, partial(_step_of_all, self._problem, *self._how))


def _step_of_all(problem, method, curvature):
    """One-step deletion of every row of a problem; of rows in blocks by what a pass finds."""
    known = problem.with_row_values(method, curvature)
    made = known.deletion_curvature(method, curvature)
    return step_of_all(known.objective, made, method)


class RowValues:
    """Predictors and leverages of all rows, of which diagnostics and errors of steps are made.

    Parameters
    ----------
    problem : FittedProblem
    curvature : Curvature
    """

    def __init__(self, problem, curvature):
        objective = problem.objective
        n, K = objective.n_rows, objective.n_outputs
        self.problem, self.curvature = problem, curvature
        self.eta, self._quadratic = np.empty((n, K)), np.empty((n, K, K))
        self._one_minus, self._sums = np.empty((n, K, K)), None
        least_squares = is_covered(objective) and objective.loss.family == "least squares"
        if least_squares and objective.penalty.strength.any() and hasattr(curvature, "factor"):
            self._sums = np.empty(n), np.empty(n), np.empty(n)

    def read(self, rows, step):
        """Read the deletions of a part, which are the rows of a slice."""
        leverage = step.leverage
        self.eta[rows], self._quadratic[rows] = step.objective.eta, leverage.quadratic
        self._one_minus[rows] = leverage.one_minus
        if self._sums is not None:
            found = self.curvature.penalty_sums(step.objective.design)
            for values, own in zip(self._sums, found, strict=True):
                values[rows] = own

    @property
    def result(self):
        """The FittedProblem with what was found: questions about these need no other pass."""
        objective = self.problem.objective.knowing(self.eta)
        found = self._quadratic, self._one_minus
        for array in found:
            array.setflags(write=False)
        leverage = Leverage(*found)
        known = self.curvature.knowing(
            self.curvature.objective.knowing(self.eta), leverage, self._sums
        )
        cache = self.problem.curvatures.replacing(self.curvature, known)
        return replace(self.problem, objective=objective, curvatures=cache)


def read_in_one_pass(problem, method, curvature, readers, progress=None, *, warns=True):
    """Let readers read one step of every row, part by part.

    Parameters
    ----------
    problem : FittedProblem
    method : {"newton", "first_order"}
    curvature : Curvature
    readers : list
        Of objects with `read(rows, step)`.
    progress : callable, optional
    warns : bool
        Whether there is a warning of undefined rows.
    """
    check_progress(progress)
    problem.check_data()
    objective, undefined, dominant = problem.objective, [], []
    if goes_by_parts(problem, method, curvature):
        parts, total = steps_by_parts(problem, method, curvature), count_parts(objective)
    else:
        every = np.arange(objective.n_rows)
        parts = [(slice(0, len(every)), lambda: delete(objective, curvature, method, every))]
        total = len(parts)
    for rows, make in tracked(parts, progress, total=total):
        step = make()
        for reader in readers:
            reader.read(rows, step)
        undefined.append(rows.start + np.flatnonzero(step.undefined))
        if method == "newton" and objective.loss.has_dominant_rows:
            own = dominant_rows(step.objective, step.rows, step.row_leverages)
            dominant.append(rows.start + own)
    if warns:
        problem.warn_undefined(np.concatenate(undefined))
    if dominant and warns:
        warn_dominant(problem.row_names[np.concatenate(dominant)])
