"""Deletion of rows of a quadratic objective, in closed form."""

import numpy as np

from skinfluence._backend import symmetric_eigenvalues
from skinfluence.deletion._one_step import OneStep
from skinfluence.deletion._rounding import rounding_floor

# Rounding error of a predictor, relative to the largest predictor, in a well-conditioned design.
ROUNDING = 64 * np.finfo(float).eps


class ClosedForm(OneStep):
    """The refit without each row, exactly: eta_-i = eta_i + A_i (I - W_i A_i)^-1 g_i.

    If the rows share a penalty, this holds for rows of equal weight.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" or "undefined".
    own_error, own_bound : ndarray of shape (r,)
        Estimated rounding error of each row's own predictor.
    """

    def __init__(self, objective, curvature, rows):
        super().__init__(objective, curvature, rows, corrected=True)
        self.routes = np.where(self.undefined, "undefined", "exact").astype("<U9")

    @property
    def own_error(self):
        """Rounding error of each row's own predictor, (r,).

        The condition number of the design, the root of that of H, and 1 / (1 - leverage) amplify
        the rounding of a predictor.
        """
        one_minus = symmetric_eigenvalues(self.leverage.one_minus)[:, 0]
        size = max(1.0, float(np.abs(self.objective.eta).max(initial=0.0)))
        floor = rounding_floor(self, self.curvature)
        with np.errstate(divide="ignore"):
            return floor + (
                ROUNDING * size / np.sqrt(self.curvature.rcond or 1.0) / np.maximum(one_minus, 0.0)
            )

    own_bound = own_error
