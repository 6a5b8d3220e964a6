"""The estimate that leave-one-out predictors make: losses, their mean, a score."""

from functools import partial

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skinfluence._parallel import row_blocks
from skinfluence._validation import warn
from skinfluence.attribution import rows_to_score, score_of
from skinfluence.results import LeaveOneOutEstimate

# Rows whose losses and probabilities are found together, with temporaries that stay in a cache.
MOST_ROWS = 2**14


def _errors_of(loo):
    """Estimates, bounds and changes of the active set of LooPredictions."""
    return loo.error_estimate, loo.error_bound, loo.set_changes


class _Errors:
    """Errors of LooPredictions by one step, computed when they are asked for.

    Parameters
    ----------
    problem : FittedProblem
    loo : LooPredictions
    """

    def __init__(self, problem, loo):
        self.problem, self.loo = problem, loo

    def __call__(self):
        """Return the errors; raise where the training data have changed."""
        self.problem.check_data()
        return _errors_of(self.loo.with_errors())


def leave_one_out_estimate(problem, loo, scoring=None, X=None):
    """Return the LeaveOneOutEstimate of the LooPredictions of a FittedProblem."""
    objective, link, weight = problem.objective, problem.link, problem.sample_weight
    eta, n = objective.native(loo.eta), objective.n_rows
    eta.setflags(write=False)  # probabilities are found of them later: nobody may change them
    defined = ~np.isnan(loo.eta).any(axis=1)
    every, used = _all_or_some(defined), _all_or_some(defined & (weight > 0))
    loss = _by_blocks(objective.trained_loss.value, objective.y[every], eta[every])
    if every is defined:
        loss, known = np.full(n, np.nan), loss
        loss[defined] = known
    scoring = scoring or link.scoring
    score, failure = score_of(
        link,
        eta[used],
        lambda: problem.labels[used],
        scoring,
        X=rows_to_score(scoring, X, np.arange(n)[used]) if callable(scoring) else None,
        weight=weight[used],
        encoded=(objective.y if link.n_classes else problem.labels)[used],
    )
    if failure and len(weight[used]):  # of undefined rows there has been a warning
        warn(f"the leave-one-out score is NaN: {failure}.", UndefinedMetricWarning)
    return LeaveOneOutEstimate.of_rows(
        leverage=loo.leverage,
        method=loo.route,
        error_source=_errors_of(loo) if loo.step is None else _Errors(problem, loo),
        decision_function=link.decision(eta),
        predict_proba=partial(_by_blocks, link.probabilities, eta)
        if link.has_probabilities
        else None,
        prediction=None if link.n_classes else link.mean(eta),
        loss=loss,
        weight=weight,
        train_loss=_mean_loss(objective.trained(), weight),
        score=score,
        scoring=scoring,
        score_failure=failure,
        row_names=lambda: problem.row_names,
    )


def _by_blocks(function, *arrays):
    """What a function says of rows, found a block of them at a time."""
    blocks = row_blocks(len(arrays[0]), 0, at_most=MOST_ROWS)
    if len(blocks) < 2:
        return function(*arrays)
    found = None
    for rows in blocks:
        part = function(*(array[rows] for array in arrays))
        if found is None:
            found = np.empty((len(arrays[0]), *part.shape[1:]), dtype=part.dtype)
        found[rows] = part
    return found


def _all_or_some(mask):
    """Return a mask of rows, or the slice of all: with many rows each copy of some is felt."""
    return slice(None) if mask.all() else mask


def _mean_loss(objective, weight):
    """Mean loss of the rows by a caller's weights; the objective's own sum where these are its.

    A row of weight 0 may have a mean outside the range of the response, and no finite loss.
    """
    if objective.sums is not None and np.array_equal(objective.sample_weight, weight):
        return objective.loss_sum / weight.sum()
    losses = objective.row_losses
    if not weight.all():
        losses = np.where(weight > 0, losses, 0.0)
    return float(weight @ losses / weight.sum())
