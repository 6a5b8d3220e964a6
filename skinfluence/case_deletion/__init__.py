"""Case-deletion diagnostics of regression: what textbooks compute of each row, in closed form."""

from skinfluence.case_deletion._compute import diagnose, is_covered
from skinfluence.case_deletion._diagnostics import CaseDeletionDiagnostics
from skinfluence.case_deletion._leverage import LeverageBlocks, leverage_blocks

__all__ = ["CaseDeletionDiagnostics", "LeverageBlocks", "diagnose", "is_covered", "leverage_blocks"]
