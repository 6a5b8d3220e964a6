"""What one column has to say that the others do not."""

import numpy as np


def added_variable(objective, curvature, column):
    r"""Compute (x, y, slope, weight): a column and the responses, both without the others.

    With u = H^-1 c / c'H^-1 c, where c theta = theta_j is the caller's parameter of column j (c is
    e_j about zero), the column's part that the others do not explain is x = Z u; with
    the working residuals e = -l' / l'' the responses' part is y = e + theta_j x. Without a penalty
    these are the residuals of two weighted regressions on the other columns (Frisch & Waugh 1933),
    with weights W = w l'', and the weighted line through the origin has the slope theta_j.

    Parameters
    ----------
    objective : Objective
        At its optimum, of one output.
    curvature : Curvature
        Its own.
    column : int
        Position j in the design.

    Returns
    -------
    tuple of (ndarray of shape (n,), ndarray of shape (n,), float, ndarray of shape (n,))
        Rows without curvature have no working residual: NaN in y.
    """
    functional = objective.design.functional(column)
    direction = curvature.solve(functional[:, None])[:, 0]
    x = objective.design @ (direction / (functional @ direction))[:, None]
    weight = objective.weights[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        working = np.where(weight > 0, -objective.residuals[:, 0] / weight, np.nan)
    slope = float(functional @ objective.theta[0])
    return x[:, 0], working + slope * x[:, 0], slope, weight
