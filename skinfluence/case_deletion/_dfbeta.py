"""The coefficients that each deletion changes, found when they are asked for."""

import numpy as np


class CoefficientChanges:
    """Coefficients before minus after each deletion, (n, q), by a product with all rows.

    Parameters
    ----------
    step : OneStep
        Of all rows.
    curvature : Curvature
        The one that steps go through.
    order : ndarray of int
        Columns in the order of the table.
    multiplier : ndarray of shape (n,)
        Multiples v_i of z_i in the step, NaN for undefined rows.
    undefined : ndarray of bool, shape (n,)
        Rows that are NaN.
    check : callable
        Raises where the training data have changed.
    """

    def __init__(self, step, curvature, order, multiplier, undefined, check):
        self.step, self.curvature, self.order = step, curvature, order
        self.multiplier, self.undefined, self.check = multiplier, undefined, check

    def __call__(self):
        """Return the coefficients before minus after each deletion."""
        self.check()
        step, order, design = self.step, self.order, self.step.objective.design
        changes = _solved_rows(design, self.curvature, order)
        changes *= -self.multiplier[:, None]
        if step.penalty_step is not None:
            common = design.about_zero(step.penalty_step)[0, order]
            changes -= step.share[:, None] * common
        changes[self.undefined] = np.nan
        return changes


def _solved_rows(design, curvature, order):
    """H^-1 z_i of every row, (n, q), as a caller's parameters, with the columns in `order`."""
    inverse = curvature.known_inverse()
    if inverse is not None:
        return design @ design.about_zero(inverse)[:, order]
    solved = np.empty(design.shape)
    for part in design.blocks(n_columns=4):
        solved[part] = design.about_zero(curvature.solve(design.dense(part).T).T)[:, order]
    return solved
