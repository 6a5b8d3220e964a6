"""Added-variable (partial regression) plots: one column adjusted for the others."""

import numpy as np


def added_variable(objective, curvature, column):
    r"""Compute (x, y, slope, weight): a column and the responses, adjusted for the other columns.

    With u = H^-1 c / c'H^-1 c, where c theta is the caller's coefficient theta_j of column j (e_j
    for columns about zero), the part of column j that the others do not explain is x = Z u; with
    the working residuals e = -l' / l'' that of the responses is y = e + theta_j x. Without a
    penalty these are the residuals of two weighted regressions on the other columns (Frisch & Waugh
    1933), with weights W = w l'', and the weighted least-squares line through the origin has the
    slope theta_j.

    Parameters
    ----------
    objective : Objective
        Objective of one output, at its optimum.
    curvature : Curvature
        Curvature of the objective.
    column : int
        Position j in the design.

    Returns
    -------
    tuple of (ndarray of shape (n,), ndarray of shape (n,), float, ndarray of shape (n,))
        The entries of y are NaN for rows without curvature, which have no working residual.
    """
    functional = objective.design.functional(column)
    direction = curvature.solve(functional[:, None])[:, 0]
    x = objective.design @ (direction / (functional @ direction))[:, None]
    weight = objective.weights[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        working = np.where(weight > 0, -objective.residuals[:, 0] / weight, np.nan)
    slope = float(functional @ objective.theta[0])
    return x[:, 0], working + slope * x[:, 0], slope, weight
