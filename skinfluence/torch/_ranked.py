"""The most influential rows of an influence that is computed in blocks of test rows."""

import numpy as np

from skinfluence._parallel import row_blocks
from skinfluence.results import MostInfluential


def check_k(k, n_train):
    """Raise unless k is a number of training rows."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= n_train:
        raise ValueError(
            f"k should be an integer from 1 to the {n_train} training rows; got {k!r} instead."
        )


def most_influential(influence, n_test, n_train, k, greater_is_better):
    """Return the k most helpful and most harmful rows as a MostInfluential.

    Parameters
    ----------
    influence : callable
        Of a slice of the test rows: their influence (b, n_train).
    n_test, n_train, k : int
    greater_is_better : bool
        Of the target.
    """
    check_k(k, n_train)
    found = [np.empty((n_test, k), dtype=kind) for kind in (np.intp, float, np.intp, float)]
    for part in row_blocks(n_test, 4 * 8 * n_train):
        values = influence(part)
        harm = values if greater_is_better else -values
        for at, sign in ((0, 1.0), (2, -1.0)):
            order = np.argsort(sign * harm, axis=1, kind="stable")[:, :k]
            found[at][part] = order
            found[at + 1][part] = np.take_along_axis(values, order, axis=1)
    return MostInfluential(*found)
