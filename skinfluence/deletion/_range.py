"""Steps that leave the range of a loss: without a row, the mean of another would be none."""

import numpy as np

from skinfluence._parallel import row_blocks


def has_range(objective):
    """Whether the loss is infinite beyond some predictor."""
    return bool(np.isfinite(objective.loss.predictor_range).any())


def outside(objective, theta):
    """Whether a row that counts has an infinite loss at theta (K, q)."""
    low, high = objective.loss.predictor_range
    eta = objective.at(theta).eta[objective.sample_weight > 0]
    return bool(((eta <= low) | (eta >= high)).any())


def leaving_range(objective, steps, rows, entering=None):
    """Mask (r,) of the steps that put a row which counts after the change outside the range.

    Parameters
    ----------
    objective : Objective
        Before the changes.
    steps : callable
        `steps(part)` are those of a slice of the changes, (b, K, q).
    rows : ndarray of int, shape (r,)
        The rows that leave.
    entering : Entering, optional
        Rows that enter in their place.
    """
    found = np.zeros(len(rows), dtype=bool)
    if not has_range(objective):
        return found
    low, high = objective.loss.predictor_range
    live = objective.sample_weight > 0
    for part in row_blocks(len(rows), 8 * 3 * objective.eta.size):
        at = np.arange(len(rows))[part]
        eta = objective.design.predictors_of(steps(part)) + objective.eta.T[:, :, None]
        with np.errstate(invalid="ignore"):
            beyond = ((eta <= low) | (eta >= high)).any(axis=0)
        counts = np.repeat(live[:, None], len(at), axis=1)
        counts[rows[at], np.arange(len(at))] = False
        if entering is not None:
            counts[entering.rows[at], np.arange(len(at))] = entering.weight[at] > 0
        found[part] = (beyond & counts).any(axis=0)
    return found
