"""Fits of rows in blocks: scikit-learn's solver on some of the rows, then Newton steps on all."""

import warnings

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning

from skinfluence._frames import named_frame
from skinfluence._sources import as_blocks
from skinfluence._validation import check_sample_weight

# Rows of the first fit: so many for each column and class, within limits of rows and of bytes. The
# start is then off by sqrt(P / m) standard errors of a row: three Newton steps from the optimum.
ROWS_PER_PARAMETER = 1_000
FEWEST_ROWS, MOST_ROWS, MOST_BYTES = 20_000, 200_000, 2**26


def fit_blocks(model, fit, X, y, sample_weight):
    """Fit a model to some of the rows by its own solver, and return all of them and their labels.

    Parameters
    ----------
    model : estimator
    fit : callable
        `fit(X, y, sample_weight)` of the estimator's original.
    X : RowBlocks
    y, sample_weight : array-like or None
        Where the blocks have none of their own.

    Returns
    -------
    (RowBlocks, ndarray, ndarray or None)
    """
    blocks = as_blocks(X, y, sample_weight)
    y, weight = blocks.labels()
    if y is None:
        raise ValueError(
            "fit needs labels: give as_blocks the y of the rows, as an array, a .npy file or the "
            "name of a column, or let read(i) return (X_i, y_i)."
        )
    if weight is not None:
        check_sample_weight(np.asarray(weight), blocks.n_rows)
    rows = _starting_rows(model, blocks, y, weight)
    some = blocks[rows]
    own = np.ones(len(rows)) if weight is None else np.asarray(weight[rows], dtype=np.float64)
    total = blocks.n_rows if weight is None else float(np.sum(weight, dtype=np.float64))
    scale = total / own.sum() if own.sum() > 0 else 1.0
    if blocks.names is not None and isinstance(some, np.ndarray):
        some = named_frame(some, np.arange(len(rows)), blocks.names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is a start
        fit(
            some,
            np.asarray(y[rows]),
            None if len(rows) == blocks.n_rows and weight is None else own * scale,
        )
    return blocks, y, weight


def _starting_rows(model, blocks, y, weight):
    """Positions of the rows of the first fit: one of each stratum, and one of each class."""
    n, p = blocks.shape
    classes, first = (), ()
    if is_classifier(model):
        live = np.arange(n) if weight is None else np.flatnonzero(np.asarray(weight) > 0)
        classes, first = np.unique(np.asarray(y) if weight is None else y[live], return_index=True)
        first = live[first]
    wanted = np.clip(
        ROWS_PER_PARAMETER * (p + 1) * max(1, len(classes) - 1), FEWEST_ROWS, MOST_ROWS
    )
    m = int(max(min(wanted, MOST_BYTES // (8 * (p + 1))), 4 * (p + 1)))
    if m >= n:
        return np.arange(n)
    at = (np.arange(m) + np.random.default_rng(0).random(m)) / m
    return np.union1d((at * n).astype(np.intp), first).astype(np.intp)


def checked_blocks(model, X):
    """Return RowBlocks of test rows; raise where they have other columns than the model."""
    if X.n_features != model.n_features_in_:
        raise ValueError(
            f"X_test has {X.n_features} features, but {type(model).__name__} is expecting "
            f"{model.n_features_in_} features as input."
        )
    seen = getattr(model, "feature_names_in_", None)
    if seen is not None and X.names is not None and list(seen) != list(X.names):
        raise ValueError(
            f"X_test has the columns {X.names}, and fit has seen {list(seen)}: the same ones in "
            "the same order are needed."
        )
    return X
