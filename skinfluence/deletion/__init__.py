"""The model without some rows, by three methods, and the targets of its effects."""

from skinfluence.deletion._active_set import set_changes
from skinfluence.deletion._auto import question_flops, refit_flops, refits_within_budget
from skinfluence.deletion._base import (
    Deletion,
    dominant_rows,
    warn_dominant,
)
from skinfluence.deletion._causes import LOOKED_AT, causes, warn_undefined
from skinfluence.deletion._change_rows import change_rows, refitted
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._closed_form import ROUNDING, ClosedForm
from skinfluence.deletion._delete import (
    delete,
    delete_exactly,
    has_closed_form,
    needs_curvature,
    refits_on_demand,
    refits_some,
)
from skinfluence.deletion._deleted_curvature import DeletedCurvature, conjugate_gradients
from skinfluence.deletion._exact import Exact, in_row_space
from skinfluence.deletion._groups import GroupDeletion, JointChange, first_factor, without_group
from skinfluence.deletion._hinge import HingeExact
from skinfluence.deletion._joint_chord import (
    JointFactor,
    JointRefit,
    SecantPairs,
    joint_refit,
    largest_change,
)
from skinfluence.deletion._mixed import MixedDeletion
from skinfluence.deletion._newton_error import RESIDUAL_FLOPS, NewtonError
from skinfluence.deletion._one_step import OneStep
from skinfluence.deletion._rounding import COARSE_KERNEL, rounding_floor
from skinfluence.deletion._row_change import Entering, RowChange, same_labels
from skinfluence.deletion._step_errors import next_group_change, one_step_errors, step_errors

__all__ = [
    "COARSE_KERNEL",
    "LOOKED_AT",
    "RESIDUAL_FLOPS",
    "ROUNDING",
    "ChordNewton",
    "ClosedForm",
    "DeletedCurvature",
    "Deletion",
    "Entering",
    "Exact",
    "GroupDeletion",
    "HingeExact",
    "JointChange",
    "JointFactor",
    "JointRefit",
    "MixedDeletion",
    "NewtonError",
    "OneStep",
    "RowChange",
    "SecantPairs",
    "causes",
    "change_rows",
    "conjugate_gradients",
    "delete",
    "delete_exactly",
    "dominant_rows",
    "first_factor",
    "has_closed_form",
    "in_row_space",
    "joint_refit",
    "largest_change",
    "needs_curvature",
    "next_group_change",
    "one_step_errors",
    "question_flops",
    "refit_flops",
    "refits_on_demand",
    "refits_some",
    "refits_within_budget",
    "refitted",
    "rounding_floor",
    "same_labels",
    "set_changes",
    "step_errors",
    "warn_dominant",
    "warn_undefined",
    "without_group",
]
