"""What the three methods of deletion have in common."""

import warnings
from abc import ABC, abstractmethod

import numpy as np

# Leverage of a row that has more curvature than all others together, along its own direction.
DOMINANT = 0.5


class Deletion(ABC):
    """The change of parameters and predictors when each of some training rows is left out.

    Every change is after minus before. Rows of weight 0 change nothing, exactly; undefined rows
    change everything by NaN.

    Attributes
    ----------
    objective : Objective
        At its optimum.
    rows : ndarray of int, shape (r,)
        The training rows to delete, one at a time.
    undefined : ndarray of bool, shape (r,)
        Those without a model after their deletion.
    idle : ndarray of bool, shape (r,)
        Those that take no weight away.
    is_everything : bool
        Whether `rows` are all training rows in order.
    """

    def __init__(self, objective, rows, undefined, idle=None):
        self.objective = objective
        self.rows = rows
        self.undefined = undefined
        self.idle = objective.sample_weight[rows] == 0 if idle is None else idle
        self.is_everything = len(rows) == objective.n_rows and np.array_equal(
            rows, np.arange(objective.n_rows)
        )

    def __len__(self):
        """Number of deletions."""
        return len(self.rows)

    def pick(self, part):
        """Return the training rows of a slice of the deletions: a slice where that is possible."""
        return part if self.is_everything else self.rows[part]

    @abstractmethod
    def steps(self, part):
        """theta_-i - theta for a slice of the deletions, (b, K, q)."""

    @abstractmethod
    def on(self, design):
        """Return a function of a slice of the deletions: how they change a design's predictors.

        It gives (K, m, b) for m rows and b deletions.
        """

    @abstractmethod
    def own_change(self):
        """Change of each row's own predictor on its deletion, (r, K)."""

    @property
    def row_leverages(self):
        """Trace of W_i A_i of each row, (r,)."""
        return np.einsum("ikl,ilk->i", self.objective.weights[self.rows], self.leverage.quadratic)

    def mask_undefined(self, block, part):
        """Write NaN for undefined deletions, 0 for idle ones, into the last axis, in place."""
        if self.idle[part].any():  # a target of the same predictor may differ by an ulp
            block[..., self.idle[part]] = 0.0
        if self.undefined[part].any():
            block[..., self.undefined[part]] = np.nan
        return block


class StoredSteps(Deletion):
    """Deletions whose steps have been computed, (r, K, q)."""

    def __init__(self, objective, rows, undefined, steps, idle=None):
        super().__init__(objective, rows, undefined, idle)
        self._steps = steps

    def steps(self, part):
        """Slices of what was computed."""
        return self._steps[part]

    def along(self, directions):
        """Inner products with directions (m, K, q), as a function of a slice: (m, b)."""
        flat = directions.reshape(len(directions), -1)

        def change(part, out=None):
            return np.matmul(flat, self.steps(part).reshape(-1, flat.shape[1]).T, out=out)

        return change

    def on(self, design):
        """One GEMM with the steps."""
        return lambda part: predictors_of_steps(design, self.steps(part))

    def own_change(self):
        """Predictor of each step at its own row."""
        change = np.empty((len(self), self.objective.n_outputs))
        for part in self.objective.design.blocks(n_columns=4 * self.objective.n_outputs):
            part = slice(part.start, min(part.stop, len(self)))
            if part.start < part.stop:
                Z = self.objective.design.dense(self.pick(part))
                change[part] = np.einsum("ikj,ij->ik", self.steps(part), Z)
        return change


def predictors_of_steps(design, steps):
    """Change of the predictors of a design's rows (K, m, b) for steps (b, K, q)."""
    change = np.empty((steps.shape[1], design.shape[0], len(steps)))
    for k in range(len(change)):
        design.matmul(steps[:, k].T, out=change[k])
    return change


def warn_dominant(rows):
    """Warn once of the rows for which one Newton step is unreliable because of their leverage."""
    if not len(rows):
        return
    listed = ", ".join(str(row) for row in rows[:10]) + (", ..." if len(rows) > 10 else "")
    warnings.warn(
        f"{len(rows)} row{'s have' if len(rows) > 1 else ' has'} a leverage above {DOMINANT:g}: "
        f"one Newton step is unreliable for row {listed}. Use method='exact', or a higher "
        "temperature.",
        RuntimeWarning,
        stacklevel=3,
    )


def dominant_rows(objective, rows, leverage):
    """Rows of leverage above 1/2, for a loss that has all its curvature near a kink."""
    return rows[leverage > DOMINANT] if objective.loss.has_dominant_rows else rows[:0]


def warn_undefined(rows, what="row"):
    """Say once which rows (or groups) no method can speak for."""
    if not len(rows):
        return
    listed = ", ".join(str(row) for row in rows[:10]) + (", ..." if len(rows) > 10 else "")
    warnings.warn(
        f"{len(rows)} {what}{'s' if len(rows) > 1 else ''} left undefined (NaN): without {what} "
        f"{listed} no row is left, a class is empty, the columns lose their rank, or the fit has "
        "no finite optimum.",
        RuntimeWarning,
        stacklevel=3,
    )
