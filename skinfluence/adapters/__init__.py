"""Fitted scikit-learn estimators as objectives: the only package that reads their parameters."""

from skinfluence.adapters import (  # noqa: F401 - register themselves
    _elastic_net,
    _glm,
    _huber,
    _logistic,
    _quantile,
    _ridge,
    _stochastic,
    _svm,
)
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
from skinfluence.adapters._response import ResponseScale
from skinfluence.adapters._svm import change_in_span

__all__ = [
    "Adapted",
    "ResponseScale",
    "TrainingData",
    "adapt",
    "change_in_span",
    "is_supported",
    "kernel_space",
    "register",
    "supported_estimators",
    "unsupported",
]
