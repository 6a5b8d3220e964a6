"""Intervals of predictions from all leave-one-out models at once."""

import numpy as np

from skinfluence._parallel import row_blocks

# Test rows a block: enough for a GEMM, few enough that their predictions by all models are reused
# while they are near.
BLOCK_ROWS = 256
INTERVALS = ("jackknife+", "jackknife", "jackknife-minmax")


def jackknife_interval(deletion, design, link, level, method):
    """Ends of the intervals of the rows of a design, (m, 2, K).

    Parameters
    ----------
    deletion : Deletion
        Of the training rows that count.
    design : Design
        Of the test rows.
    reading : Loss
        Says what is predicted, and the labels in these units.
    level : float
        alpha, the probability outside.
    method : str
        One of INTERVALS.
    """
    objective, n = deletion.objective, len(deletion)
    K = link.n_responses
    left = objective.eta[deletion.rows] + deletion.own_change()
    left[deletion.undefined] = np.nan
    residual = link.response(objective.y)[deletion.rows]
    residual = residual - link.mean(objective.native(left))
    residual = np.abs(residual).reshape(n, K)
    residual[np.isnan(residual)] = np.inf  # nothing is known of them: the widest interval
    ends = np.empty((design.shape[0], 2, K))
    width = order_statistic(residual.T.copy(), level)  # (K,)
    lost = deletion.undefined
    parts = row_blocks(design.shape[0], 8 * 4 * n * K, at_most=BLOCK_ROWS)
    scratch = np.empty((K, parts[0].stop, n)) if parts else None  # fresh pages cost a pass
    for part in parts:
        some = design.take(part)
        eta = (some @ objective.theta.T).T  # (K, b)
        if method == "jackknife":
            middle = _predictions(link, eta)
            low, high = middle - width[:, None], middle + width[:, None]
        else:
            moved = deletion.on(some)(slice(None))  # (K, b, n)
            moved += eta[:, :, None]
            predictions, room = _predictions(link, moved), scratch[:, : eta.shape[1]]
            low, high = _ends(predictions, residual.T, width, lost, level, method, room)
        ends[part, 0], ends[part, 1] = low.T, high.T
    return ends


def _predictions(link, eta):
    """Predictions of predictors (K, ...)."""
    if link.is_scalar:
        return link.mean(eta)
    if link.n_responses == 1:
        return link.mean(np.moveaxis(eta, 0, -1))[None]
    return np.moveaxis(link.mean(np.moveaxis(eta, 0, -1)), -1, 0)


def _ends(moved, residual, width, undefined, level, method, scratch):
    """Ends (K, b) from the predictions (K, b, n) of all models, and their own residuals (K, n)."""
    if method == "jackknife+":
        below, above = np.subtract(residual[:, None], moved, out=scratch), moved
        above += residual[:, None]
        if undefined.any():
            below[..., undefined] = above[..., undefined] = np.inf
        return -order_statistic(below, level), order_statistic(above, level)
    low, high = moved.min(axis=2), moved.max(axis=2)  # NaN where a model is undefined
    low[np.isnan(low)], high[np.isnan(high)] = -np.inf, np.inf
    return low - width[:, None], high + width[:, None]


def order_statistic(values, level):
    """The ceil((1 - level) (n + 1))-th smallest along the last axis; inf beyond the largest.

    Puts the values in another order.
    """
    n = values.shape[-1]
    # A product such as .9 * 10 may exceed its integer by a rounding.
    position = int(np.ceil((1.0 - level) * (n + 1) * (1.0 - 1e-12)))
    if position > n:
        return np.full(values.shape[:-1], np.inf)
    values.partition(position - 1, axis=-1)
    return values[..., position - 1]
