"""Theta without a row, three ways, and the targets it is read at."""

from skinfluence.deletion._active_set import ActiveSetExact, SeparateExact, set_changes
from skinfluence.deletion._base import (
    Deletion,
    dominant_rows,
    predictors_of_steps,
    warn_dominant,
    warn_undefined,
)
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._closed_form import ROUNDING, ClosedForm
from skinfluence.deletion._exact import Exact, in_row_space
from skinfluence.deletion._groups import GroupDeletion, without_group
from skinfluence.deletion._hinge import HingeExact
from skinfluence.deletion._one_step import OneStep

__all__ = [
    "ROUNDING",
    "ChordNewton",
    "ClosedForm",
    "Deletion",
    "Exact",
    "GroupDeletion",
    "HingeExact",
    "OneStep",
    "delete",
    "delete_exactly",
    "dominant_rows",
    "in_row_space",
    "needs_curvature",
    "predictors_of_steps",
    "set_changes",
    "warn_dominant",
    "warn_undefined",
    "without_group",
]


def delete(objective, curvature, method, rows, *, progress=None):
    """Return the Deletion of `rows` by "first_order", "newton" or "exact"."""
    if method == "exact":
        return delete_exactly(objective, curvature, rows, progress=progress)
    return OneStep(objective, curvature, rows, corrected=method == "newton")


def needs_curvature(objective, method):
    """Whether a method of deletion asks for the Hessian at all."""
    return method != "exact" or not objective.trained_loss.is_piecewise_linear


def delete_exactly(objective, curvature, rows, *, progress=None, **options):
    """Return the refits: along the dual's path, in one step, or by Newton's method."""
    if objective.trained_loss.is_piecewise_linear:
        return HingeExact(objective, rows, progress=progress)
    if objective.penalty.is_kinked:
        return _delete_on_active_sets(objective, curvature, rows, progress, options)
    if (
        objective.loss.is_quadratic
        and not objective.penalty_mismatch(rows, curvature.objective.penalty_weight_removed).any()
    ):
        return ClosedForm(objective, curvature, rows)
    return Exact(objective, curvature, rows, progress=progress, **options)


def _delete_on_active_sets(objective, curvature, rows, progress, options):
    """Return the refits under an L1 penalty; output by output where these share nothing."""

    def smooth(objective, curvature, rows):
        return delete_exactly(objective, curvature, rows, **options)

    if not objective.loss.is_separable:
        return ActiveSetExact(objective, curvature, rows, smooth, progress=progress)
    outputs = [
        ActiveSetExact(objective.output(k), part, rows, smooth, progress=progress)
        for k, part in enumerate(curvature.parts)
    ]
    return SeparateExact(objective, outputs, curvature.leverage(rows))
