"""Fitted models with the influence methods, cold or from the optimum of a neighbour."""

from copy import copy
from dataclasses import replace

import numpy as np

from skinfluence.adapters import adapt
from skinfluence.base import Explanation, InfluenceMixin
from skinfluence.explainer import InfluenceExplainer, _unwrap, _weight_name
from skinfluence.functions import explain

# Parameters of a final step that say how strongly it is penalised and nothing else.
STRENGTHS = ("C",)


def fit_with_weights(estimator, X, y, sample_weight):
    """Fit an estimator or a Pipeline; weights go to the last step."""
    weights = {} if sample_weight is None else {_weight_name(estimator): sample_weight}
    return estimator.fit(X, y, **weights)


def fitted_view(estimator, X, y, sample_weight):
    """Fit an unfitted estimator and return the influence methods for it."""
    if isinstance(_unwrap(estimator)[1], InfluenceMixin):
        return explain(fit_with_weights(estimator, X, y, sample_weight))
    return InfluenceExplainer(estimator).fit(X, y, sample_weight)


def final_parameter(estimator, name):
    """Full name (`step__C`) of a parameter of the final step; None if it has none of that name."""
    prefix, step = "", estimator
    while hasattr(step, "steps") or hasattr(step, "estimator"):
        own, step = step.steps[-1] if hasattr(step, "steps") else ("estimator", step.estimator)
        prefix += f"{own}__"
    return prefix + name if prefix + name in estimator.get_params(deep=True) else None


def neighbour(view, name, value):
    """Return the view of the same model at another penalty, by Newton steps from this optimum.

    The steps before the last and the rows are the same; nothing is fitted by scikit-learn. None
    where Newton does not arrive, or `value` is none that a warm start can speak for.
    """
    if view._explanation is None or not _is_strength(value):
        return None
    moved = copy(view)
    moved.__dict__.pop("_explained_cache", None)
    moved._final = copy(view._final).set_params(**{name: value})
    adapted = adapt(moved._final, view._training_data)
    adapted = replace(adapted, objective=adapted.objective.at(view._explanation.theta))
    moved._explanation = Explanation.of(adapted, view._training_data)
    return moved if moved._explanation.converged else None


def _is_strength(value):
    """Whether a value is a positive finite number."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and 0 < value < np.inf)
