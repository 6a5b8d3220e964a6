"""Checks of what an audit is given."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import column_or_1d

from skinfluence._validation import (
    as_numbers,
    check_choice,
    check_same_length,
    encode_labels,
    listed,
    missing_rows,
    shown,
)
from skinfluence.labels._scores import NOISE_MODEL, SCORES

METHODS = ("auto", "exact", "newton")
REGULARIZATION = ("loo", None)


def check_audit(audit):
    """Raise on parameters of a LabelAudit that cannot be served."""
    if not is_classifier(audit.estimator):
        raise TypeError(
            f"LabelAudit needs a classifier; {type(audit.estimator).__name__} is none. Responses "
            "of a regressor have no classes to be wrong about: rank its rows by self_influence() "
            "or loo_estimate(), or look at case_deletion_diagnostics()."
        )
    if not callable(audit.score):
        check_choice("score", audit.score, (NOISE_MODEL, *SCORES))
    check_choice("regularization", audit.regularization, REGULARIZATION)
    check_choice("method", audit.method, METHODS)
    if isinstance(audit.estimator, FrozenEstimator):
        refits = audit.regularization is not None or audit.score == NOISE_MODEL
        if refits:
            names = ", ".join(repr(name) for name in SCORES)
            raise ValueError(
                "a FrozenEstimator is not refitted: use regularization=None and a score that "
                f"refits nothing, one of {names} or a callable; got regularization="
                f"{audit.regularization!r} and score={audit.score!r}."
            )


def check_labels(y, name="y"):
    """Return labels as a 1-D array; raise where some are missing."""
    rows = missing_rows(y) if np.ndim(y) else np.zeros(0, dtype=int)
    if len(rows):
        raise ValueError(
            f"{name} has no label (NaN) in row{'s' if len(rows) > 1 else ''} {listed(rows)}. Drop "
            "these rows before the audit, and predict their labels after it."
        )
    return column_or_1d(np.asarray(y), warn=False)


def check_one_decision_a_class(problem):
    """Raise where there is a decision for each pair of classes, which are no scores of classes."""
    if getattr(problem.link, "shape", None) == "ovo" and len(problem.classes) > 2:
        raise ValueError(
            "decision_function_shape='ovo' gives a decision for each pair of classes, and none for "
            "a class: pass an SVC with decision_function_shape='ovr', whose fit is the same."
        )


def check_validation(audit, X_val, y_val, y):
    """Raise unless validation rows and labels come together and are of known classes."""
    if (X_val is None) != (y_val is None):
        given, absent = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise ValueError(f"{given} is given without {absent}: pass both, or neither.")
    if X_val is None:
        if audit.score == "influence_on_validation":
            raise ValueError("score='influence_on_validation' needs X_val and y_val in fit.")
        return
    encode_labels(check_labels(y_val, "y_val"), np.unique(y), "y_val")
    check_same_length(X_val=X_val, y_val=y_val)


def check_budget(budget, n):
    """Return the budget as an int; raise unless it is from 0 to n."""
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer):
        raise TypeError(f"budget should be an integer number of rows; got {shown(budget)}.")
    if not 0 <= budget <= n:
        raise ValueError(f"budget should be from 0 to the {n} training rows; got {shown(budget)}.")
    return int(budget)


def row_position(row, n):
    """Return a position as a non-negative int; raise where there is no such row."""
    if isinstance(row, bool) or not isinstance(row, int | np.integer):
        raise TypeError(f"row should be an integer position; got {shown(row)}.")
    if not -n <= row < n:
        raise ValueError(f"row should be in [{-n}, {n - 1}]; got {shown(row)}.")
    return int(row) % n


def checked_scores(scores, n):
    """Return scores as float64 (n,); raise on another shape or on infinite scores downwards."""
    scores = as_numbers("what score returns", scores)
    if scores.shape != (n,):
        raise ValueError(
            f"score should return one number for each of the {n} training rows, larger for more "
            f"suspect ones; got an array of shape {scores.shape}."
        )
    return scores
