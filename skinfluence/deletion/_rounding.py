"""What float64 leaves of a step: a floor under every estimate of its error, and every bound."""

import numpy as np

# Rounding of a product, in units of the last place: for what is summed on the way.
ROUNDING = 16 * np.finfo(float).eps


def rounding_floor(objective, curvature, rows, change, one_minus, *, refitted=False):
    """Error of the predictor of each row without it that is due to rounding alone, (r,).

    Three parts: the predictor is a sum of terms as much larger than itself as the condition of the
    design; the change by the deletion is found through the curvature, and its relative error grows
    by 1 / (1 - leverage); and the parameter is the optimum only as far as the gradient vanishes.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    rows : ndarray of int, shape (r,)
    change : ndarray of shape (r, K)
        Of the predictors, by the deletions.
    one_minus : ndarray of shape (r,)
        Least eigenvalue of one minus the leverage.
    refitted : bool
        Whether the parameters without each row are optima of their own, whatever the full fit's is.
    """
    extent = objective.loss.predictor_norm
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = 1.0 / np.maximum(one_minus, 0.0)
    eta = np.abs(objective.eta[rows]).max(axis=1, initial=0.0)
    floor = ROUNDING * np.maximum(1.0, eta) / np.sqrt(curvature.rcond or 1.0)
    floor = floor + ROUNDING * curvature.amplification * extent(change) * lost
    if objective.is_at_its_own_optimum and not refitted:
        left = curvature.solve(objective.gradient.reshape(-1, 1)).reshape(objective.theta.shape)
        floor = floor + extent(objective.design.take(rows) @ left.T) * lost
    return np.where(np.isfinite(floor), floor, np.inf)
