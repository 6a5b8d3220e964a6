"""Fitted models with influence methods, and their neighbours on a regularisation path."""

from copy import copy

import numpy as np
from sklearn.compose import TransformedTargetRegressor

from skinfluence.adapters import adapt
from skinfluence.optimum import polish
from skinfluence.problem import fitted_problem

# Parameters of a final step that are the strength of its penalty.
STRENGTHS = ("C", "alpha")


def final_prefix(estimator):
    """What the names of the parameters of the final step begin with: `step__`, or nothing."""
    return _final(estimator)[0]


def final_step(estimator):
    """Return the last step of a Pipeline, an explainer or a model of transformed responses."""
    return _final(estimator)[1]


def _final(estimator):
    """(prefix of its parameters, the final step itself)."""
    prefix, step = "", estimator
    while True:
        if hasattr(step, "steps"):
            own, step = step.steps[-1]
        elif hasattr(step, "estimator"):
            own, step = "estimator", step.estimator
        elif isinstance(step, TransformedTargetRegressor):
            own, step = "regressor", step.regressor
        else:
            return prefix, step
        prefix += f"{own}__"


def final_parameter(estimator, name):
    """Full name (`step__C`) of a parameter of the final step; None if the step has no such one."""
    full = final_prefix(estimator) + name
    return full if full in estimator.get_params(deep=True) else None


def strength_parameter(estimator):
    """Full name and value of the strength of the final step's penalty; None if it has none."""
    for short in STRENGTHS:
        name = final_parameter(estimator, short)
        if name is not None:
            return name, estimator.get_params(deep=True)[name]
    return None


def neighbour(view, curvature, name, value, **tolerance):
    """Return the objective of a fitted view at another penalty, at its optimum.

    One step with the given curvature, then Newton's method with its own; scikit-learn fits nothing,
    because the transformed rows do not change. None if Newton's method does not converge, or if
    `value` is not a positive finite number.

    Parameters
    ----------
    view : InfluenceExplainer
        Explainer fitted with some penalty.
    curvature : Curvature
        Curvature of the same model at its optimum, with a penalty near the one asked for.
    name, value : str, float
        Parameter of the last step.
    **tolerance
        As in `polish`.
    """
    if not is_strength(value):
        return None
    problem = fitted_problem(view)
    final = copy(problem.model).set_params(**{name: value})
    start = adapt(final, problem.record.data).objective.at(curvature.objective.theta)
    if not start.is_at_its_own_optimum:
        return None
    step = curvature.solve(-start.gradient.reshape(-1, 1)).reshape(start.theta.shape)
    moved = start.at(start.theta + step)
    optimum = polish(moved if moved.value <= start.value else start, **tolerance)
    return optimum.objective if optimum.converged else None


def is_strength(value):
    """Whether a value is a positive finite number."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return bool(number and 0 < value < np.inf)
