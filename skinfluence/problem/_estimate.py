"""The estimate that leave-one-out predictors make: losses, their mean, a score."""

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skinfluence._validation import warn
from skinfluence.attribution import rows_to_score, score_of
from skinfluence.results import LeaveOneOutEstimate


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
    defined = ~np.isnan(loo.eta).any(axis=1)
    loss = np.full(objective.n_rows, np.nan)
    eta = objective.native(loo.eta)
    loss[defined] = objective.trained_loss.value(objective.y[defined], eta[defined])
    scoring = scoring or link.scoring
    used = np.flatnonzero(defined & (weight > 0))
    score, failure = score_of(
        link,
        eta[used],
        problem.labels[used],
        scoring,
        X=rows_to_score(scoring, X, used),
        weight=weight[used],
        encoded=(objective.y if link.n_classes else problem.labels)[used],
    )
    if failure and len(used):  # of undefined rows there has been a warning
        warn(f"the leave-one-out score is NaN: {failure}.", UndefinedMetricWarning)
    return LeaveOneOutEstimate.of_rows(
        leverage=loo.leverage,
        method=loo.route,
        error_source=_errors_of(loo) if loo.step is None else _Errors(problem, loo),
        decision_function=link.decision(eta),
        predict_proba=link.probabilities(eta) if link.has_probabilities else None,
        prediction=None if link.n_classes else link.mean(eta),
        loss=loss,
        weight=weight,
        train_loss=float(weight @ objective.trained().row_losses / weight.sum()),
        score=score,
        scoring=scoring,
        score_failure=failure,
        row_names=problem.row_names,
    )
