"""Jackknife intervals of predictions, from the predictions of all leave-one-out models."""

import numpy as np

from skinfluence._class_axis import classes_first, classes_last
from skinfluence._parallel import row_blocks
from skinfluence.deletion import OneStep
from skinfluence.link import IdentityLink

# Test rows in a block: enough for a GEMM, and few enough that their predictions by all models are
# still in cache when the order statistics are taken.
BLOCK_ROWS = 256
# Test rows in a block of screening, of about the same norm: all share the rows of the largest.
SCREENED_ROWS = 256
# Factor of bounds that makes up for the rounding of norms.
SAFE = 1.0 + 1e-6
INTERVALS = ("jackknife+", "jackknife", "jackknife-minmax")


def jackknife_interval(deletion, design, link, level, method, *, scale=None, limits=None):
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
    scale : (ndarray of shape (n,), ndarray of shape (m,)), optional
        Standard deviations of the responses of the deleted rows and of the test rows, but for a
        common factor: the quantiles are those of scaled residuals.
    limits : tuple of two floats, optional
        Range of the responses, to which the ends are clipped.
    """
    objective, n = deletion.objective, len(deletion)
    K = link.n_responses
    left = objective.eta[deletion.rows] + deletion.own_change()
    left[deletion.undefined] = np.nan
    residual = link.response(objective.y)[deletion.rows]
    residual = residual - link.mean(objective.native(left))
    residual = np.abs(residual).reshape(n, K)
    of_rows = np.ones(design.shape[0])
    if scale is not None:
        residual, of_rows = residual / scale[0][:, None], scale[1]
    residual[np.isnan(residual)] = np.inf  # undefined rows make the interval wider, never narrower
    if method == "jackknife+" and scale is None and _can_screen(deletion, link):
        ends = _screened_ends(deletion, design, residual[:, 0], level)[:, :, None]
        return ends if limits is None else np.clip(ends, *limits, out=ends)
    ends = np.empty((design.shape[0], 2, K))
    width = order_statistic(residual.T.copy(), level)  # (K,)
    lost = deletion.undefined
    parts = row_blocks(design.shape[0], 8 * 4 * n * K, at_most=BLOCK_ROWS)
    scratch = np.empty((K, parts[0].stop, n)) if parts else None  # allocated once for all blocks
    for part in parts:
        some = design.take(part)
        eta = objective.predictors(some).T  # (K, b)
        wide = width[:, None] * of_rows[part]
        if method == "jackknife":
            middle = _predictions(link, eta)
            low, high = middle - wide, middle + wide
        else:
            moved = deletion.on(some)(slice(None))  # (K, b, n)
            moved += eta[:, :, None]
            predictions, room = _predictions(link, moved), scratch[:, : eta.shape[1]]
            if method == "jackknife+":
                own = residual.T[:, None]
                own = own if scale is None else own * of_rows[part][:, None]
                low, high = _plus_ends(predictions, own, lost, level, room)
            else:
                low, high = _widest(predictions)
                low, high = low - wide, high + wide
        ends[part, 0], ends[part, 1] = low.T, high.T
    return ends if limits is None else np.clip(ends, *limits, out=ends)


def _can_screen(deletion, link):
    """Whether predictions move by x'd_i, bounded by norms: one step of one linear response."""
    objective = deletion.objective
    plain = type(link) is IdentityLink and objective.n_outputs == 1 and objective.loss.is_quadratic
    one_step = isinstance(deletion, OneStep) and deletion.penalty_step is None
    return plain and one_step and not deletion.undefined.any()


def _screened_ends(deletion, design, residual, level):
    """Ends (m, 2) of jackknife+, from the predictions of the models that may be at the ends only.

    The prediction without row i moves by at most |x|_{H^-1} times the norm of its step in H, so
    that r_i plus or minus that holds what either end takes its order statistic of. Rows whose
    range is all below, or all above, that of the statistic itself are counted and not computed.
    """
    n, m = len(deletion), design.shape[0]
    position = _position(n, level)
    if position > n:
        return np.tile([-np.inf, np.inf], (m, 1))
    length = np.sqrt(np.maximum(deletion.curvature.row_quadratic(design)[:, 0, 0], 0.0))
    reach = SAFE * np.sqrt(np.maximum(deletion.squared_step_norm, 0.0))
    order, ends = np.argsort(length), np.empty((m, 2))
    for part in row_blocks(m, 8 * 4 * n, at_most=SCREENED_ROWS):
        rows = order[part]
        spread = length[rows[-1]] * reach
        low, high = residual - spread, residual + spread
        least, most = (np.partition(side, position - 1)[position - 1] for side in (low, high))
        near = np.flatnonzero((high >= least) & (low <= most))
        rank = position - np.count_nonzero(high < least) - 1
        some = design.take(rows)
        moved = deletion.on(some)(near)[0]
        moved += deletion.objective.predictors(some)
        below, above = residual[near] - moved, residual[near] + moved
        for side in (below, above):
            side.partition(rank, axis=1)
        ends[rows, 0], ends[rows, 1] = -below[:, rank], above[:, rank]
    return ends


def _predictions(link, eta):
    """Predictions (n_responses, ...) from predictors (K, ...)."""
    mean = link.mean(classes_last(eta, link.is_scalar))
    return classes_first(mean, link.n_responses == 1)


def _plus_ends(moved, residual, undefined, level, scratch):
    """Ends (K, b) of jackknife+, from the predictions (K, b, n) and own residuals of all models."""
    below, above = np.subtract(residual, moved, out=scratch), moved
    above += residual
    if undefined.any():
        below[..., undefined] = above[..., undefined] = np.inf
    return -order_statistic(below, level), order_statistic(above, level)


def _widest(moved):
    """Least and largest prediction (K, b) of all models; infinite where one is undefined."""
    low, high = moved.min(axis=2), moved.max(axis=2)  # NaN where a model is undefined
    low[np.isnan(low)], high[np.isnan(high)] = -np.inf, np.inf
    return low, high


def order_statistic(values, level):
    """The ceil((1 - level) (n + 1))-th smallest value along the last axis; inf beyond the largest.

    The values are partially sorted in place.
    """
    n = values.shape[-1]
    position = _position(n, level)
    if position > n:
        return np.full(values.shape[:-1], np.inf)
    values.partition(position - 1, axis=-1)
    return values[..., position - 1]


def _position(n, level):
    """Place of the order statistic among n values, from 1."""
    # A product such as (1 - 0.1) * 10 may exceed its integer by a rounding error.
    return int(np.ceil((1.0 - level) * (n + 1) * (1.0 - 1e-12)))
