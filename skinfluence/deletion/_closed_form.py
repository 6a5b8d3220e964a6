"""Theta without a row of a quadratic objective: one Newton step, and there it is."""

import numpy as np

from skinfluence.deletion._one_step import OneStep

# Rounding of a predictor, relative to max(1, |eta|), where nothing amplifies it.
ROUNDING = 16 * np.finfo(float).eps


class ClosedForm(OneStep):
    """The refit without each row, eta_-i = eta_i + A_i (I - W_i A_i)^-1 g_i, exactly.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "exact" or "undefined".
    own_error, own_bound : ndarray of shape (r,)
        Rounding, as 1 / (1 - leverage) amplifies it.
    """

    def __init__(self, objective, curvature, rows):
        super().__init__(objective, curvature, rows, corrected=True)
        self.routes = np.where(self.undefined, "undefined", "exact").astype("<U9")

    @property
    def own_error(self):
        """Rounding."""
        spare = np.linalg.eigvalsh(self.leverage.one_minus)[:, 0]
        eta = np.abs(self.objective.eta[self.rows]).max(axis=1)
        with np.errstate(divide="ignore"):
            return ROUNDING * np.maximum(1.0, eta) / np.maximum(spare, 0.0)

    own_bound = own_error
