"""What a conclusion is about: quantities by name, bound to a fitted problem when they are asked."""

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from skinfluence._typing import MatrixLike
from skinfluence._validation import as_partition, check_choice
from skinfluence.robustness._bound import ClassMargin, Contrast, ScoreLevel
from skinfluence.robustness._interval import Interval
from skinfluence.uncertainty import KINDS


@dataclass(frozen=True)
class Quantity:
    """A number that a conclusion hangs on, as `coefficient` and its siblings return it.

    Attributes
    ----------
    kind : str
        Name of the function that made it.
    arguments : dict
        What that was called with.
    """

    kind: str
    arguments: dict

    def __repr__(self):
        """The call that made it."""
        given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.kind}({given})"


def coefficient(name: str | dict[str, float], value: float = 0.0) -> Quantity:
    """Conclude from which side of a value a coefficient, or a contrast of several, lies on.

    Parameters
    ----------
    name : str or dict
        Name of a coefficient: a feature, "const" for the intercept, with several outputs the class
        and a colon before it. A dict of names and multipliers is their contrast.
    value : float, default=0.0
        Level that the flipped coefficient has reached or passed.

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.

    Examples
    --------
    >>> from skinfluence.robustness import coefficient
    >>> coefficient("bp")
    coefficient(name='bp', value=0.0)
    """
    return Quantity("coefficient", {"name": name, "value": _number("value", value)})


def order(first: str, second: str) -> Quantity:
    """Conclude which of two coefficients is the larger.

    Parameters
    ----------
    first, second : str
        Names of the coefficients.

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.
    """
    return Quantity("order", {"first": first, "second": second})


def significance(
    name: str | dict[str, float],
    kind: str = "HC1",
    alpha: float = 0.05,
    groups: ArrayLike | None = None,
) -> Quantity:
    """Conclude whether the confidence interval of a coefficient excludes 0.

    Parameters
    ----------
    name : str or dict
        As in :func:`coefficient`.
    kind : str, default="HC1"
        Covariance, as in :meth:`InfluenceExplainer.parameter_covariance`.
    alpha : float, default=0.05
        One minus the confidence, of a normal distribution.
    groups : array-like of shape (n_train,), optional
        Clusters of "CR0" and "CR3".

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.
    """
    return Quantity("significance", _of_interval(name, kind, alpha, groups))


def sign_and_significance(
    name: str | dict[str, float],
    kind: str = "HC1",
    alpha: float = 0.05,
    groups: ArrayLike | None = None,
) -> Quantity:
    """Conclude that a coefficient is not significantly of the other sign.

    The flipped coefficient has the other sign, and its confidence interval excludes 0.

    Parameters
    ----------
    name, kind, alpha, groups
        As in :func:`significance`.

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.
    """
    return Quantity("sign_and_significance", _of_interval(name, kind, alpha, groups))


def prediction(x_row: MatrixLike, value: float | None = None) -> Quantity:
    """Conclude the label of one row, or from which side of a value a regressor's prediction lies.

    Parameters
    ----------
    x_row : array-like of shape (n_features,) or (1, n_features)
        The row, as `predict` takes it.
    value : float, optional
        Level of a regressor's prediction; a classifier has none.

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.
    """
    value = None if value is None else _number("value", value)
    return Quantity("prediction", {"x_row": x_row, "value": value})


def score(X: MatrixLike, y: ArrayLike, scoring: Any = None, value: float = 0.0) -> Quantity:
    """Conclude from which side of a value the score on labelled rows lies.

    Parameters
    ----------
    X, y : array-like
        Rows and labels.
    scoring : str or callable, optional
        Scikit-learn's metric; accuracy or R2 by default.
    value : float, default=0.0
        Level that the flipped score has reached or passed.

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.
    """
    given = {"X": X, "y": y, "scoring": scoring, "value": _number("value", value)}
    return Quantity("score", given)


def _number(name, value):
    """Return a finite number; raise on anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(value):
        raise ValueError(f"{name} should be a finite number; got {value!r}.")
    return float(value)


def _of_interval(name, kind, alpha, groups):
    """Return the checked arguments of a quantity of an interval."""
    kind = "HC0" if kind in ("sandwich", "infinitesimal_jackknife") else kind
    check_choice("kind", kind, KINDS)
    if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real) or not 0 < alpha < 1:
        raise ValueError(f"alpha should be a number between 0 and 1; got {alpha!r}.")
    if (groups is not None) != kind.startswith("CR"):
        raise ValueError(
            "groups are the clusters of 'CR0' and 'CR3', and needed there; got "
            f"kind={kind!r} and groups={'None' if groups is None else 'labels'}."
        )
    return {"name": name, "kind": kind, "alpha": float(alpha), "groups": groups}


# -- binding ---------------------------------------------------------------------------------------


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
        multiplier = _number(f"the multiplier of {part!r}", multiplier)
        c[place[part] // q] += multiplier * objective.design.functional(place[part] % q)
        of_caller[place[part]] += multiplier
    words = " ".join(f"{weight:+g} {part!r}" for part, weight in parts.items())
    return c, of_caller, words if isinstance(name, dict) else repr(name)


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
    z = float(norm.ppf(1.0 - alpha / 2.0))
    if both:
        what = f"{words} to be significant with the other sign"
        return Interval(c, of_caller, side, -z, 1.0, kind, groups, what)
    found = Interval(c, of_caller, side, z, 1.0, kind, groups, f"the significance of {words}")
    now = found.margin(objective)
    if not np.isfinite(now):
        raise ValueError(f"{words} has no standard error of kind={kind!r} with these rows.")
    if now > 0:
        return found
    what = f"{words}, which is not significant, to be so"
    return Interval(c, of_caller, side, z, -1.0, kind, groups, what)


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
        raise NotImplementedError(
            f"prediction() is not available for the link {link!r} with {objective.n_outputs} "
            "predictors."
        )
    what = "the prediction of the row"
    if link.n_classes:
        label = link.classes[int(link.predicted(eta[:, 0])[0])]
        what = f"the label {_said(label)} of the row"
    elif value is not None:
        what = f"the side of {value:g} that the prediction of the row is on"
    of_values = None if link.n_classes else link
    return _leveled(objective, design.dense(slice(None)), levels[link.name](value), what, of_values)


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
    design, labels, encoded = problem.test_rows(X, y, "score()")
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
