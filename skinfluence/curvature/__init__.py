"""The curvature of an objective and its inverse, as operators: factor once, apply many times."""

from skinfluence.curvature._base import Curvature, Leverage, RowsElsewhere
from skinfluence.curvature._baseline import make_dense
from skinfluence.curvature._cg import CGCurvature
from skinfluence.curvature._choose import (
    KINDS,
    Choice,
    choose,
    factor_flops,
    make_curvature,
    make_step_curvature,
)
from skinfluence.curvature._dense import DenseCurvature
from skinfluence.curvature._dual import DualCurvature

__all__ = [
    "KINDS",
    "CGCurvature",
    "Choice",
    "Curvature",
    "DenseCurvature",
    "DualCurvature",
    "Leverage",
    "RowsElsewhere",
    "choose",
    "factor_flops",
    "make_curvature",
    "make_dense",
    "make_step_curvature",
]
