"""Theta without a row, three ways, and the targets it is read at."""

from skinfluence.deletion._base import Deletion, predictors_of_steps, warn_undefined
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._exact import Exact, in_row_space
from skinfluence.deletion._groups import GroupDeletion, without_group
from skinfluence.deletion._one_step import OneStep

__all__ = [
    "ChordNewton",
    "Deletion",
    "Exact",
    "GroupDeletion",
    "OneStep",
    "delete",
    "in_row_space",
    "predictors_of_steps",
    "warn_undefined",
    "without_group",
]


def delete(objective, curvature, method, rows, *, progress=None):
    """Return the Deletion of `rows` by "first_order", "newton" or "exact"."""
    if method == "exact":
        return Exact(objective, curvature, rows, progress=progress)
    return OneStep(objective, curvature, rows, corrected=method == "newton")
