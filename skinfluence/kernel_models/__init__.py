"""Kernel machines with the influence methods."""

from skinfluence.kernel_models._classifier import KernelClassifier, adapt_kernel_classifier
from skinfluence.kernel_models._logistic import KernelLogisticRegression

__all__ = ["KernelClassifier", "KernelLogisticRegression", "adapt_kernel_classifier"]
