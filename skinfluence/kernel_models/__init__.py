"""Kernel machines with the influence methods."""

from skinfluence.kernel_models._classifier import (
    KernelClassifier,
    adapt_kernel_classifier,
    dual_change,
)
from skinfluence.kernel_models._logistic import KernelLogisticRegression
from skinfluence.kernel_models._machine import SolvedMachine
from skinfluence.kernel_models._ridge import InfluenceKernelRidge

__all__ = [
    "InfluenceKernelRidge",
    "KernelClassifier",
    "KernelLogisticRegression",
    "SolvedMachine",
    "adapt_kernel_classifier",
    "dual_change",
]
