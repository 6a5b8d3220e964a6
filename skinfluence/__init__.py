"""skinfluence: which training rows made this model do that, and what would it do without them?

Start with :class:`InfluenceLogisticRegression`, or with :class:`InfluenceExplainer` around a
Pipeline.
"""

from importlib import import_module

from skinfluence import kernel_models, svm
from skinfluence._version import __version__
from skinfluence.adapters import supported_estimators
from skinfluence.case_deletion import CaseDeletionDiagnostics, LeverageBlocks
from skinfluence.deletion.targets import make_target
from skinfluence.explainer import InfluenceExplainer
from skinfluence.functions import (
    addition_influence,
    best_changes,
    case_deletion_diagnostics,
    explain,
    feature_influence,
    group_influence,
    influence,
    local_influence,
    loo_estimate,
    mirrored_influence,
    most_influential,
    parameter_covariance,
    parameter_influence,
    prediction_interval,
    relabel_influence,
    reweight_influence,
    score_influence,
    self_influence,
    smallest_flip,
    with_rows,
    without,
)
from skinfluence.linear_model import (
    InfluenceElasticNet,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
)
from skinfluence.perturbation import LocalInfluence
from skinfluence.results import (
    CurvatureReport,
    LeaveOneOutEstimate,
    MostInfluential,
    ParameterInfluence,
)
from skinfluence.uncertainty import ParameterCovariance

__all__ = [
    "CaseDeletionDiagnostics",
    "CurvatureReport",
    "InfluenceElasticNet",
    "InfluenceExplainer",
    "InfluenceGammaRegressor",
    "InfluenceHuberRegressor",
    "InfluenceLasso",
    "InfluenceLinearRegression",
    "InfluenceLogisticRegression",
    "InfluencePoissonRegressor",
    "InfluenceReport",
    "InfluenceRidge",
    "InfluenceRidgeClassifier",
    "InfluenceTweedieRegressor",
    "LeaveOneOutEstimate",
    "LeverageBlocks",
    "LocalInfluence",
    "MostInfluential",
    "ParameterCovariance",
    "ParameterInfluence",
    "SmoothQuantileRegressor",
    "__version__",
    "addition_influence",
    "attacks",
    "best_changes",
    "case_deletion_diagnostics",
    "debugging",
    "display",
    "evaluation",
    "explain",
    "feature_influence",
    "group_influence",
    "influence",
    "kernel_models",
    "labels",
    "local_influence",
    "loo_estimate",
    "make_target",
    "mirrored_influence",
    "model_selection",
    "most_influential",
    "parameter_covariance",
    "parameter_influence",
    "prediction_interval",
    "relabel_influence",
    "reweight_influence",
    "robustness",
    "score_influence",
    "self_influence",
    "smallest_flip",
    "supported_estimators",
    "svm",
    "with_rows",
    "without",
]


_ON_FIRST_TOUCH = (
    "attacks",
    "debugging",
    "display",
    "evaluation",
    "labels",
    "model_selection",
    "robustness",
)


def __getattr__(name):
    """Import a package when it is first used, so that `import skinfluence` is fast."""
    if name in _ON_FIRST_TOUCH:
        return import_module(f"skinfluence.{name}")
    if name == "InfluenceReport":
        return import_module("skinfluence.report").InfluenceReport
    raise AttributeError(f"module 'skinfluence' has no attribute {name!r}")


def __dir__():
    """Names of the package, also of what is not loaded yet."""
    return sorted({*globals(), *__all__})
