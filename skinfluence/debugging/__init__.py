"""What is behind a model's errors, and whether two models rely on the same rows."""

from skinfluence.debugging._comparison import ModelComparison, compare_models
from skinfluence.debugging._errors import ErrorExplanation, explain_errors
from skinfluence.debugging._groups import GroupShares

__all__ = [
    "ErrorExplanation",
    "GroupShares",
    "ModelComparison",
    "compare_models",
    "explain_errors",
]
