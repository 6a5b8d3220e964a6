"""Kernel models with the influence methods."""

from skinfluence.kernel_models._classifier import (
    KernelClassifier,
    adapt_kernel_classifier,
    dual_change,
)
from skinfluence.kernel_models._logistic import KernelLogisticRegression
from skinfluence.kernel_models._machine import NewtonFittedMixin, fitted_space
from skinfluence.kernel_models._ridge import InfluenceKernelRidge

__all__ = [
    "InfluenceKernelRidge",
    "KernelClassifier",
    "KernelLogisticRegression",
    "NewtonFittedMixin",
    "adapt_kernel_classifier",
    "dual_change",
    "fitted_space",
]
