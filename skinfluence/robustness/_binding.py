"""Quantities bound to a fitted problem, by its names, rows and labels."""

from dataclasses import replace

import numpy as np

from skinfluence._validation import as_partition
from skinfluence.robustness._bound import ClassMargin, Contrast, ScoreLevel
from skinfluence.robustness._interval import Interval
from skinfluence.robustness._quantities import Quantity, finite_number, in_words


def bind(quantity, problem):
    """Return a quantity as a function of an objective.

    Parameters
    ----------
    quantity : Quantity
    problem : FittedProblem
        That knows names, rows and labels; its objective is at the optimum.

    Raises
    ------
    TypeError
        If `quantity` is not one.
    ValueError
        For unknown names, and where the quantity is at its level already.
    """
    if not isinstance(quantity, Quantity):
        raise TypeError(
            "quantity should be made by a function of skinfluence.robustness, such as "
            f"coefficient('age'); got {quantity!r}."
        )
    return BINDERS[quantity.kind](problem, **quantity.arguments)


def _contrast(problem, name):
    """Return (c of theta (K, q), c of a caller's parameters (K q,), the name in words)."""
    problem.check_coefficients("smallest_flip() of a coefficient")
    objective = problem.objective
    names, positions = problem.parameter_names()
    place = dict(zip(names, positions, strict=True))
    parts = name if isinstance(name, dict) else {name: 1.0}
    unknown = [part for part in parts if part not in place]
    if unknown or not parts:
        raise ValueError(
            f"there is no coefficient {unknown[0]!r}. The coefficients are {list(names)}."
            if unknown
            else "name should be a coefficient, or a dict of at least one; got an empty dict."
        )
    K, q = objective.theta.shape
    c, of_caller = np.zeros((K, q)), np.zeros(K * q)
    for part, multiplier in parts.items():
        multiplier = finite_number(f"the multiplier of {part!r}", multiplier)
        c[place[part] // q] += multiplier * objective.design.functional(place[part] % q)
        of_caller[place[part]] += multiplier
    return c, of_caller, in_words(name)


def _leveled(objective, c, level, what, link=None):
    """Return the Contrast of a level; raise where it is reached already."""
    now = float(np.sum(c * objective.theta))
    if now == level:
        raise ValueError(f"{what} is at its level {level:g} already: there is nothing to flip.")
    return Contrast(c, float(level), 1.0 if now > level else -1.0, what, link)


def _bind_coefficient(problem, name, value):
    """Bind the side of a value on which a contrast lies."""
    c, _, words = _contrast(problem, name)
    what = f"the sign of {words}" if value == 0 else f"the side of {value:g} that {words} is on"
    return _leveled(problem.objective, c, value, what)


def _bind_order(problem, first, second):
    """Bind the order of two coefficients."""
    c, _, _ = _contrast(problem, {first: 1.0, second: -1.0})
    return _leveled(problem.objective, c, 0.0, f"the order of {first!r} and {second!r}")


def _bind_interval(problem, name, kind, alpha, groups, both):
    """Bind the end of an interval."""
    objective = problem.objective
    if objective.n_outputs > 1 or objective.penalty.is_kinked:
        raise NotImplementedError(
            "significance is available for models with one output and without an L1 penalty. Ask "
            "about coefficient(...)."
        )
    c, of_caller, words = _contrast(problem, name)
    if groups is not None:
        groups = as_partition(groups, objective.n_rows)
    side = np.copysign(1.0, float(np.sum(c * objective.theta)))
    if both:
        what = f"{words} to be significant with the other sign"
        return Interval(c, of_caller, side, alpha, -1.0, 1.0, kind, groups, what)
    what = f"the significance of {words}"
    found = Interval(c, of_caller, side, alpha, 1.0, 1.0, kind, groups, what)
    now = found.margin(objective)
    if not np.isfinite(now):
        raise ValueError(f"{words} has no standard error of kind={kind!r} with these rows.")
    if now > 0:
        return found
    what = f"{words}, which is not significant, to be so"
    return replace(found, sign=-1.0, what=what)


def _bind_prediction(problem, x_row, value):
    """Bind the label, or the side of a value, of one row."""
    row = x_row if np.ndim(x_row) == 2 or hasattr(x_row, "iloc") else np.atleast_2d(x_row)
    if hasattr(row, "to_frame") and np.ndim(row) == 1:
        row = row.to_frame().T
    design, _, _ = problem.test_rows(row)
    if design.shape[0] != 1:
        raise ValueError(f"x_row should be one row; got {design.shape[0]}.")
    link, objective = problem.link, problem.objective
    if link.n_classes and value is not None:
        raise ValueError(
            f"value is for regressors: a classifier's label flips by itself; got value={value!r}."
        )
    if not link.n_classes and value is None:
        raise ValueError("value is needed: the level that the regressor's prediction is to reach.")
    eta = design @ objective.theta.T
    if link.n_classes and objective.n_outputs > 1:
        code = int(link.predicted(eta)[0])
        return ClassMargin(design, link, code, f"the label {_said(link.classes[code])} of the row")
    levels = {"logit": lambda _: 0.0, "decision": lambda _: 0.0}
    levels |= {"identity": lambda value: value, "log": _log_of}
    if objective.n_outputs > 1 or link.name not in levels:
        raise NotImplementedError(_no_prediction(problem))
    what = "the prediction of the row"
    if link.n_classes:
        label = link.classes[int(link.predicted(eta[:, 0])[0])]
        what = f"the label {_said(label)} of the row"
    elif value is not None:
        what = f"the side of {value:g} that the prediction of the row is on"
    of_values = None if link.n_classes else link
    return _leveled(objective, design.dense(slice(None)), levels[link.name](value), what, of_values)


def _no_prediction(problem):
    """Say why the predictions of a regressor have no level, and what to ask instead."""
    name = type(problem.model).__name__
    if problem.record.data.response is not None:
        of, name = "of transformed responses", f"a TransformedTargetRegressor of {name}"
        advice = "Fit its regressor on the transformed responses, and ask that about the row"
    elif problem.link.n_responses > 1:
        of, advice = "of several responses", "Fit one model for each response"
    else:
        of = "that fits a scale beside its coefficients"
        advice = "Ask about a coefficient, coefficient('age')"
    return f"prediction() is not available for a model {of} ({name}). {advice}."


def _said(label):
    """A label in words, strings in quotes."""
    return repr(str(label)) if isinstance(label, str) else str(label)


def _log_of(value):
    """Logarithm of a level of a positive response."""
    if value <= 0:
        raise ValueError(f"value should be positive: predictions are; got {value!r}.")
    return float(np.log(value))


def _bind_score(problem, X, y, scoring, value):
    """Bind the side of a value on which a score lies."""
    design, labels, encoded = problem.test_rows(X, y, "score()", ("X", "y"))
    scoring = problem.link.scoring if scoring is None else scoring
    what = f"the side of {value:g} that {scoring} is on"
    found = ScoreLevel(design, labels, encoded, X, problem.link, scoring, value, 1.0, f"{what}")
    now = found.value(problem.objective)
    if not np.isfinite(now):
        raise ValueError(f"scoring={scoring!r} gives no number on these rows.")
    if now == value:
        raise ValueError(f"{scoring} is at its level {value:g} already: there is nothing to flip.")
    sign = 1.0 if now > value else -1.0
    return ScoreLevel(design, labels, encoded, X, problem.link, scoring, value, sign, what)


BINDERS = {
    "coefficient": _bind_coefficient,
    "order": _bind_order,
    "significance": lambda problem, **given: _bind_interval(problem, both=False, **given),
    "sign_and_significance": lambda problem, **given: _bind_interval(problem, both=True, **given),
    "prediction": _bind_prediction,
    "score": _bind_score,
}
