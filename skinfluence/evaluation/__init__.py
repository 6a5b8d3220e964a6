"""Attributions against what retraining does: agreement, datamodeling scores, removals."""

from skinfluence.evaluation._agreement import Agreement, agreement
from skinfluence.evaluation._datamodel import Datamodel
from skinfluence.evaluation._datamodeling_score import (
    AttributionScore,
    leave_one_out_correlation,
    linear_datamodeling_score,
)
from skinfluence.evaluation._removal import Brittleness, RemovalCurve, brittleness, removal_curve
from skinfluence.evaluation._truths import SubsetTruths

__all__ = [
    "Agreement",
    "AttributionScore",
    "Brittleness",
    "Datamodel",
    "RemovalCurve",
    "SubsetTruths",
    "agreement",
    "brittleness",
    "leave_one_out_correlation",
    "linear_datamodeling_score",
    "removal_curve",
]
