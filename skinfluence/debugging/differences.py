"""The features in which training rows differ from a test row, weighed by what they do to it."""

import numpy as np

from skinfluence._validation import naming
from skinfluence.problem import changes


def difference_effects(model, problem, X_test, y_test, rows, target="loss"):
    """Gradient times difference: first-order effect of giving training rows a test row's features.

    Entry (i, j) is the change of the target at the test row if feature j of training row i had the
    value of the test row.

    Parameters
    ----------
    model : estimator
        With the influence methods.
    problem : FittedProblem
        Of the model.
    X_test, y_test : array-like
        One test row and its label; None where the target needs none.
    rows : ndarray of int, shape (r,)
        Training rows.
    target : str
        Of the test row, with one output.

    Returns
    -------
    (effects, train_values, test_values) : ndarrays of shape (r, p), (r, p), (p,)
        In the features of the model itself.

    Raises
    ------
    NotImplementedError
        For kernels without a gradient.
    """
    gradient = model.feature_influence(X_test, y_test, target=target, train_indices=rows)[0]
    train = _dense(changes.features_of(problem, rows))
    with naming("X_test"):
        test = _dense(problem.transform(X_test))[0]
    return gradient * (test - train), train, test


def _dense(rows):
    """Rows as a dense float64 array."""
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64)
