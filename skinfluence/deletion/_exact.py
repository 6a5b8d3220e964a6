"""Refits: Newton's method on the objective without each row, one row after the other."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skinfluence._parallel import tracked
from skinfluence.deletion._base import Deletion
from skinfluence.deletion._one_step import OneStep, predictors_of_steps
from skinfluence.optimum import polish

MAX_STEPS = 100
# Of Objective.stationarity, where no step lowers it further: the floor of badly scaled data.
ACCEPTED = 1e-8


class Exact(Deletion):
    """theta_-i to the accuracy of the fit itself: started from the Newton step, solved to the end."""

    def __init__(self, objective, curvature, rows, *, progress=None):
        start = OneStep(objective, curvature, rows, corrected=True)
        super().__init__(objective, rows, start.undefined)
        self._steps = np.zeros((len(rows), *objective.theta.shape))
        unconverged = []
        for position in tracked(range(len(rows)), progress):
            row = rows[position]
            if self.undefined[position] or objective.sample_weight[row] == 0:
                continue
            optimum = _refit(objective.without(row), start.steps(slice(position, position + 1))[0])
            self._steps[position] = optimum.objective.theta - objective.theta
            if not optimum.converged and optimum.objective.stationarity > ACCEPTED:
                unconverged.append(row)
                self._steps[position] = np.nan
        if unconverged:
            warnings.warn(
                f"the refits without rows {unconverged[:10]} did not converge; they are NaN.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def steps(self, part):
        """Slices of what was computed."""
        return self._steps[part]

    def on(self, design):
        """One GEMM with the steps."""
        return lambda part: predictors_of_steps(design, self._steps[part])

    def own_change(self):
        """Predictor of each step at its own row."""
        change = np.empty((len(self), self.objective.n_outputs))
        for part in self.objective.design.blocks(n_columns=2 * self.objective.n_outputs):
            part = slice(part.start, min(part.stop, len(self)))
            if part.start < part.stop:
                Z = self.objective.design.dense(self.pick(part))
                change[part] = np.einsum("ikj,ij->ik", self._steps[part], Z)
        return change


def _refit(objective, step):
    """Optimum of the objective without the row, from the Newton step where that is an improvement."""
    moved = objective.at(objective.theta + step)
    better = np.isfinite(moved.eta).all() and moved.value <= objective.value
    return polish(moved if better else objective, max_steps=MAX_STEPS)
