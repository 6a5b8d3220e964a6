"""Fitted scikit-learn estimators as objectives: the only package that reads their parameters."""

from skinfluence.adapters import _stochastic  # noqa: F401 - registers its refusals
from skinfluence.adapters._elastic_net import adapt_elastic_net, duality_gaps
from skinfluence.adapters._glm import adapt_glm
from skinfluence.adapters._huber import adapt_huber
from skinfluence.adapters._logistic import adapt_logistic
from skinfluence.adapters._quantile import adapt_smooth_quantile, smooth_quantile
from skinfluence.adapters._registry import (
    WITHOUT_ROWS,
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
from skinfluence.adapters._ridge import (
    adapt_ridge,
    adapt_ridge_classifier,
    adapted_dual,
    check_penalised,
    kernel_ridge_space,
    least_squares,
    without_outputs,
)
from skinfluence.adapters._steps import InputGradients, linear_map
from skinfluence.adapters._svm import change_in_span

__all__ = [
    "WITHOUT_ROWS",
    "Adapted",
    "InputGradients",
    "ResponseScale",
    "TrainingData",
    "adapt",
    "adapt_elastic_net",
    "adapt_glm",
    "adapt_huber",
    "adapt_logistic",
    "adapt_ridge",
    "adapt_ridge_classifier",
    "adapt_smooth_quantile",
    "adapted_dual",
    "change_in_span",
    "check_penalised",
    "duality_gaps",
    "is_supported",
    "kernel_ridge_space",
    "kernel_space",
    "least_squares",
    "linear_map",
    "register",
    "smooth_quantile",
    "supported_estimators",
    "unsupported",
    "without_outputs",
]
