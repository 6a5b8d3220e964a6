"""The interface of deletions, and the warnings about rows that a method cannot handle."""

from abc import ABC, abstractmethod

import numpy as np

from skinfluence._memory import check_memory
from skinfluence._parallel import row_blocks
from skinfluence._validation import listed, warn

# Leverage of a row that has more curvature than all others together, along its own direction.
DOMINANT = 0.5


class Deletion(ABC):
    """The change of parameters and predictors when each of some training rows is left out.

    Every change is after minus before. Changes are exactly 0 for rows of weight 0, and NaN for
    undefined rows.

    Attributes
    ----------
    objective : Objective
        Objective at its optimum.
    rows : ndarray of int, shape (r,)
        The training rows to delete, one at a time.
    undefined : ndarray of bool, shape (r,)
        Whether there is no model without the row.
    idle : ndarray of bool, shape (r,)
        Whether the row has weight 0.
    is_everything : bool
        Whether `rows` are all training rows in order.
    """

    def __init__(self, objective, rows, undefined, idle=None):
        self.objective = objective
        self.rows = rows
        self.undefined = undefined
        self.is_everything = len(rows) == objective.n_rows and np.array_equal(
            rows, np.arange(objective.n_rows)
        )
        self.idle = objective.sample_weight[self.pick(slice(None))] == 0 if idle is None else idle

    def __len__(self):
        """Number of deletions, one for each row or group."""
        return len(self.rows)

    def pick(self, part):
        """Return the training rows of a slice of the deletions, as a slice if possible."""
        return part if self.is_everything else self.rows[part]

    @abstractmethod
    def steps(self, part):
        """theta_-i - theta for a slice of the deletions, (b, K, q)."""

    @abstractmethod
    def on(self, design):
        """Return a function from a slice of the deletions to changes of a design's predictors.

        The changes are (K, m, b) for m rows of the design and b deletions.
        """

    def along_rows(self, design, slopes):
        """Return a function from a slice to inner products with directions v_to (x) z_t: (O m, b).

        Parameters
        ----------
        design : Design of shape (m, q)
            The rows z_t.
        slopes : ndarray of shape (m, O, K)
            v_to.
        """
        return self.along(design.outer_all(slopes))

    @abstractmethod
    def own_change(self):
        """Change of each row's own predictor on its deletion, (r, K)."""

    @property
    def row_leverages(self):
        """Trace of W_i A_i of each row, (r,)."""
        return self.objective.weighted_traces(self.leverage.quadratic, self.rows)

    def mask_undefined(self, block, part):
        """Set undefined deletions to NaN and idle ones to 0 along the last axis, in place."""
        if self.idle[part].any():  # a target evaluated twice at one predictor may differ by an ulp
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
        return self._steps[part]

    def along(self, directions):
        """Return a function from a slice to inner products with directions (m, K, q): (m, b)."""
        flat = directions.reshape(len(directions), -1)

        def change(part, out=None):
            return np.matmul(flat, self.steps(part).reshape(-1, flat.shape[1]).T, out=out)

        return change

    def on(self, design):
        return lambda part: design.predictors_of(self.steps(part))

    def own_change(self):
        change = np.empty((len(self), self.objective.n_outputs))
        for part in row_blocks(len(self), 8 * 4 * self.objective.n_parameters):
            Z = self.objective.design.dense(self.pick(part))
            change[part] = np.einsum("ikj,ij->ik", self.steps(part), Z)
        return change


def steps_to_fill(objective, n_deletions, value=np.nan):
    """Array of the steps of so many deletions, (r, K, q); raise where memory has no room for it."""
    check_memory(
        8 * 2 * n_deletions * objective.n_parameters,
        f"the refits without each of {n_deletions} rows or groups, of {objective.n_parameters} "
        "parameters,",
        "ask about fewer (train_indices), or pass method='newton'",
    )
    return np.full((n_deletions, *objective.theta.shape), value)


def warn_dominant(names):
    """Warn once of the rows for which one Newton step is unreliable because of their leverage."""
    if not len(names):
        return
    warn(
        f"{len(names)} row{'s have' if len(names) > 1 else ' has'} a leverage above {DOMINANT:g}: "
        f"one Newton step is unreliable for row {listed(names)}. Use method='exact', or a higher "
        "temperature.",
        RuntimeWarning,
    )


def dominant_rows(objective, rows, leverage):
    """Rows of leverage above 1/2, if the loss has all its curvature near a kink; else none."""
    return rows[leverage > DOMINANT] if objective.loss.has_dominant_rows else rows[:0]
