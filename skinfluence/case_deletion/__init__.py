"""Case-deletion diagnostics of regression, as in textbooks, in closed form."""

from skinfluence.case_deletion._added_variable import added_variable
from skinfluence.case_deletion._compute import diagnose, is_covered
from skinfluence.case_deletion._diagnostics import CaseDeletionDiagnostics
from skinfluence.case_deletion._leverage import LeverageBlocks, leverage_blocks
from skinfluence.case_deletion._quantiles import residual_quantiles

__all__ = [
    "CaseDeletionDiagnostics",
    "LeverageBlocks",
    "added_variable",
    "diagnose",
    "is_covered",
    "leverage_blocks",
    "residual_quantiles",
]
