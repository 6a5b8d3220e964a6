"""What a conclusion is about: quantities by name, bound to a problem when they are asked."""

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._typing import MatrixLike
from skinfluence._validation import check_choice, shown
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

    @property
    def measure(self) -> str:
        """What is measured, in words, such as "the coefficient of 'age'".

        Returns
        -------
        str
            Of the numbers in the path of an audit.
        """
        given = self.arguments
        if self.kind == "order":
            return f"the coefficient of {given['first']!r} less that of {given['second']!r}"
        if self.kind == "prediction":
            return f"the {'decision value' if given['value'] is None else 'prediction'} of the row"
        if self.kind == "score":
            scoring = given["scoring"]
            return "the score" if scoring is None else f"the score {_called(scoring)}"
        of = "the contrast" if isinstance(given["name"], dict) else "the coefficient of"
        ratio = "" if self.kind == "coefficient" else " over its standard error"
        return f"{of} {in_words(given['name'])}{ratio}"


def in_words(name):
    """Name of a coefficient in quotes, or the terms of a contrast."""
    if not isinstance(name, dict):
        return repr(name)
    return " ".join(f"{weight:+g} {part!r}" for part, weight in name.items())


def _called(scoring):
    """Name of a scorer, of a function that of its definition."""
    return scoring if isinstance(scoring, str) else getattr(scoring, "__name__", str(scoring))


def coefficient(name: str | dict[str, float], value: float = 0.0) -> Quantity:
    """Conclude from which side of a value a coefficient, or a contrast of several, lies on.

    Parameters
    ----------
    name : str or dict
        Name of a coefficient: a feature, or "const" for the intercept (``"const_"`` where a feature
        has this name); with several outputs the class and a colon before it. A dict of names and
        multipliers is their contrast.
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
    _check_name("name", name)
    return Quantity("coefficient", {"name": name, "value": finite_number("value", value)})


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

    Raises
    ------
    ValueError
        If both are the same.
    """
    for argument, name in (("first", first), ("second", second)):
        if not isinstance(name, str):
            raise TypeError(f"{argument} should be the name of a coefficient; got {shown(name)}.")
    if first == second:
        raise ValueError(f"first and second are both {first!r}: name two coefficients to compare.")
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
        One minus the confidence, by the distribution that `ParameterCovariance.summary` takes: t
        with the degrees of freedom of the rows that are left, or normal.
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
    value = None if value is None else finite_number("value", value)
    return Quantity("prediction", {"x_row": x_row, "value": value})


def score(X: MatrixLike, y: ArrayLike, scoring: Any = None, value: float = 0.0) -> Quantity:
    """Conclude from which side of a value the score on labelled rows lies.

    Parameters
    ----------
    X, y : array-like
        Rows and labels.
    scoring : str or callable, optional
        Scikit-learn's metric; by default accuracy, R2 of regressors, D2 of generalised linear
        models.
    value : float, default=0.0
        Level that the flipped score has reached or passed.

    Returns
    -------
    Quantity
        For :meth:`InfluenceExplainer.smallest_flip`.
    """
    given = {"X": X, "y": y, "scoring": scoring, "value": finite_number("value", value)}
    return Quantity("score", given)


def _check_name(argument, name):
    """Raise unless it can be the name of a coefficient, or names and multipliers."""
    if not isinstance(name, str | dict):
        raise TypeError(
            f"{argument} should be the name of a coefficient, or a dict of names and multipliers; "
            f"got {shown(name)}."
        )


def finite_number(name, value):
    """Return a finite number; raise on anything else."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not np.isfinite(value):
        raise ValueError(f"{name} should be a finite number; got {value!r}.")
    return float(value)


def _of_interval(name, kind, alpha, groups):
    """Return the checked arguments of a quantity of an interval."""
    _check_name("name", name)
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
