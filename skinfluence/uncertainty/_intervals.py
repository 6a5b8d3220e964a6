"""Jackknife intervals of predictions, from the predictions of all leave-one-out models."""

import numpy as np

from skinfluence._class_axis import classes_first, classes_last
from skinfluence._parallel import row_blocks

# Test rows in a block: enough for a GEMM, and few enough that their predictions by all models are
# still in cache when the order statistics are taken.
BLOCK_ROWS = 256
INTERVALS = ("jackknife+", "jackknife", "jackknife-minmax")


def jackknife_interval(deletion, design, link, level, method):
    """Ends of the intervals of the rows of a design, (m, 2, K).

    Parameters
    ----------
    deletion : Deletion
        Deletion of the training rows of positive weight.
    design : Design
        Design of the test rows.
    link : Link
        Link from predictors to predictions, and to the responses in their units.
    level : float
        Probability alpha outside of an interval.
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
    residual[np.isnan(residual)] = np.inf  # undefined rows make the interval wider, never narrower
    ends = np.empty((design.shape[0], 2, K))
    width = order_statistic(residual.T.copy(), level)  # (K,)
    lost = deletion.undefined
    parts = row_blocks(design.shape[0], 8 * 4 * n * K, at_most=BLOCK_ROWS)
    scratch = np.empty((K, parts[0].stop, n)) if parts else None  # allocated once for all blocks
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
    """Predictions (n_responses, ...) from predictors (K, ...)."""
    mean = link.mean(classes_last(eta, link.is_scalar))
    return classes_first(mean, link.n_responses == 1)


def _ends(moved, residual, width, undefined, level, method, scratch):
    """Ends (K, b) from the predictions (K, b, n) and the own residuals (K, n) of all models."""
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
    """The ceil((1 - level) (n + 1))-th smallest value along the last axis; inf beyond the largest.

    The values are partially sorted in place.
    """
    n = values.shape[-1]
    # A product such as (1 - 0.1) * 10 may exceed its integer by a rounding error.
    position = int(np.ceil((1.0 - level) * (n + 1) * (1.0 - 1e-12)))
    if position > n:
        return np.full(values.shape[:-1], np.inf)
    values.partition(position - 1, axis=-1)
    return values[..., position - 1]
