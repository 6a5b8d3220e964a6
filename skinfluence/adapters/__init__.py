"""Fitted scikit-learn estimators as objectives: the only place that reads their parameters."""

from skinfluence.adapters import _logistic, _ridge, _svm  # noqa: F401 - register themselves
from skinfluence.adapters._registry import (
    Adapted,
    TrainingData,
    adapt,
    is_supported,
    kernel_space,
    register,
    supported_estimators,
    unsupported,
)

__all__ = [
    "Adapted",
    "TrainingData",
    "adapt",
    "is_supported",
    "kernel_space",
    "register",
    "supported_estimators",
    "unsupported",
]
