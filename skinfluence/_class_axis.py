"""The order of the axis of classes (predictors, responses): here, and nowhere else.

Whoever calls the library, and every loss, link and target, has it last: (..., K), and no such axis
where there is one predictor a row (`is_scalar`). Blocks of many deletions have it first in memory,
(K, m, b): what is done for each row and deletion then runs through long rows, and so do the sums
over the classes. Both functions return views.
"""

import numpy as np


def classes_last(block, is_scalar):
    """(K, ...) as a loss, link or target takes it: (..., K), or (...) of one scalar predictor."""
    if len(block) == 1:
        return block[0] if is_scalar else block[0][..., None]
    return np.moveaxis(block, 0, -1)


def classes_first(values, is_scalar, n_axes=1):
    """What a loss, link or target returns as a block (K, ...); (K, K, ...) of two axes."""
    if is_scalar:
        return values[(None,) * n_axes]
    return np.moveaxis(values, tuple(range(-n_axes, 0)), tuple(range(n_axes)))
