"""The audited fit: with the estimator's own penalty, or one chosen by leave-one-out."""

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import hinge_loss, make_scorer

from skinfluence.explainer import InfluenceExplainer, fit_params, fitted_view, unwrap
from skinfluence.labels._scores import NOISE_MODEL, WITHOUT_PROBABILITIES
from skinfluence.model_selection import strength_parameter, walk_to_best
from skinfluence.problem import fitted_problem

# Strengths of the penalty that are compared, in powers of ten of the estimator's own weakness.
DECADES = np.arange(-3, 2)
# What chooses where there are probabilities. It is bounded: by the log loss a few wrong labels that
# a model is sure about count for more than all others, and a penalty that leaves it unsure of
# everything wins.
BOUNDED = "neg_brier_score"
# What is minimised where there are no probabilities.
HINGE = make_scorer(hinge_loss, greater_is_better=False, response_method="decision_function")


def fitted_audited(audit, X, y, sample_weight, metadata):
    """Return the explainer of the audited model, fitted on all rows, and what chose its strength.

    Returns
    -------
    view : InfluenceExplainer
    chosen : float or None
        The strength of the penalty, where it was chosen.
    loo : LooPredictions or None
        By Newton steps from that model, where these chose it.

    Raises
    ------
    ValueError
        If there is no strength to choose, or the model does not have the score.
    """
    estimator, chosen, loo = audit.estimator, None, None
    view = start = None
    if isinstance(estimator, FrozenEstimator):
        view = InfluenceExplainer(estimator).fit(X, y, sample_weight)
        check_score(audit, view)
        return view, chosen, loo
    if audit.regularization is not None:
        name, grid = candidates(estimator)
        smooth = has_probabilities(estimator)
        walk = walk_to_best(
            estimator,
            (X, y, fit_params(audit, sample_weight, metadata)),
            name,
            grid,
            first_candidate(X),
            scoring=BOUNDED if smooth else HINGE,
            method="newton" if smooth else "auto",
        )
        chosen, view, start = walk.best, walk.view, walk.theta
        loo = walk.loo if smooth else None
        estimator = clone(estimator).set_params(**{name: chosen})
    if view is None:
        params = fit_params(audit, sample_weight, metadata)
        view = fitted_view(clone(estimator), X, y, params, start)
    check_score(audit, view)
    return view, chosen, loo


def candidates(estimator):
    """Full name of the penalty's strength, and the values to compare (5,)."""
    found = strength_parameter(estimator)
    if found is None:
        raise ValueError(
            f"regularization='loo' chooses C or alpha, and {type(unwrap(estimator)[-1]).__name__} "
            "has neither to choose. Use regularization=None, which keeps the estimator's penalty."
        )
    name, value = found
    is_number = isinstance(value, int | float | np.number) and 0 < value < np.inf
    centre, sign = float(value) if is_number else 1.0, 1.0 if name.endswith("C") else -1.0
    return name, centre * 10.0 ** (sign * DECADES)


def first_candidate(X):
    """Position of the strength that is looked at first: the given one, stronger for wide X."""
    given = int(np.flatnonzero(DECADES == 0)[0])
    return given - (len(np.shape(X)) == 2 and X.shape[1] > X.shape[0])


def has_probabilities(estimator):
    """Whether the last step's predictors say how probable the classes are.

    Those that SVC has fitted to its decision values (Platt) are of another model.
    """
    final = unwrap(estimator)[-1]
    return hasattr(final, "predict_proba") and not getattr(final, "probability", False)


def check_score(audit, view):
    """Raise where the classifier does not have the score."""
    problem = fitted_problem(view)
    has = problem.link.has_probabilities or callable(audit.score)
    if not has and audit.score not in WITHOUT_PROBABILITIES:
        names = " and ".join(repr(name) for name in WITHOUT_PROBABILITIES)
        default = " (the default)" if audit.score == NOISE_MODEL else ""
        raise ValueError(
            f"score={audit.score!r}{default} needs class probabilities, and "
            f"{type(problem.model).__name__} has none: its scores are {names}."
        )
