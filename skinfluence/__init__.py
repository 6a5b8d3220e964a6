"""skinfluence: which training rows made this model do that, and what would it do without them?

Start with :class:`InfluenceLogisticRegression`, or with :class:`InfluenceExplainer` around a
Pipeline.
"""

from skinfluence import evaluation, model_selection
from skinfluence._version import __version__
from skinfluence.adapters import supported_estimators
from skinfluence.deletion.targets import make_target
from skinfluence.explainer import InfluenceExplainer
from skinfluence.functions import (
    explain,
    group_influence,
    influence,
    loo_estimate,
    most_influential,
    parameter_influence,
    score_influence,
    self_influence,
)
from skinfluence.linear_model import InfluenceLogisticRegression
from skinfluence.results import (
    CurvatureReport,
    LeaveOneOutEstimate,
    MostInfluential,
    ParameterInfluence,
)

__all__ = [
    "CurvatureReport",
    "InfluenceExplainer",
    "InfluenceLogisticRegression",
    "LeaveOneOutEstimate",
    "MostInfluential",
    "ParameterInfluence",
    "__version__",
    "evaluation",
    "explain",
    "group_influence",
    "influence",
    "loo_estimate",
    "make_target",
    "model_selection",
    "most_influential",
    "parameter_influence",
    "score_influence",
    "self_influence",
    "supported_estimators",
]
