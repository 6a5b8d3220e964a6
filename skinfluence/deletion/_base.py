"""What the three methods of deletion have in common."""

import warnings
from abc import ABC, abstractmethod

import numpy as np


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
    """

    def __init__(self, objective, rows, undefined):
        self.objective = objective
        self.rows = rows
        self.undefined = undefined
        self._everything = len(rows) == objective.n_rows and np.array_equal(
            rows, np.arange(objective.n_rows)
        )

    def __len__(self):
        """Number of deletions."""
        return len(self.rows)

    def pick(self, part):
        """Return the training rows of a slice of the deletions: a slice where that is possible."""
        return part if self._everything else self.rows[part]

    @abstractmethod
    def steps(self, part):
        """theta_-i - theta for a slice of the deletions, (b, K, q)."""

    @abstractmethod
    def on(self, design):
        """Return a function of a slice of the deletions: the change of the predictors of a design's rows.

        It gives (K, m, b) for m rows and b deletions.
        """

    @abstractmethod
    def own_change(self):
        """Change of each row's own predictor on its deletion, (r, K)."""

    def poison(self, block, part):
        """Write NaN for undefined deletions into the last axis of a block, in place."""
        if self.undefined[part].any():
            block[..., self.undefined[part]] = np.nan
        return block


def warn_undefined(rows):
    """Say once which rows no method can speak for."""
    if not len(rows):
        return
    listed = ", ".join(str(row) for row in rows[:10]) + (", ..." if len(rows) > 10 else "")
    warnings.warn(
        f"{len(rows)} row{'s' if len(rows) > 1 else ''} left undefined (NaN): without row "
        f"{listed} a class is empty, or the unpenalised fit has no finite optimum.",
        RuntimeWarning,
        stacklevel=2,
    )
