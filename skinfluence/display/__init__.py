"""Figures of results, in the style of scikit-learn's Display classes."""

from skinfluence.display._added_variable import AddedVariableDisplay
from skinfluence.display._agreement import LeaveOneOutAgreementDisplay
from skinfluence.display._change import ChangeDisplay
from skinfluence.display._cooks_distance import CooksDistanceDisplay
from skinfluence.display._dfbetas import DfbetasDisplay
from skinfluence.display._influence import InfluenceDisplay
from skinfluence.display._influence_distance import InfluenceDistanceDisplay
from skinfluence.display._influence_plot import InfluencePlotDisplay
from skinfluence.display._label_review import LabelReviewDisplay
from skinfluence.display._leave_one_out import LeaveOneOutDisplay
from skinfluence.display._qq_residual import QQResidualDisplay
from skinfluence.display._regularization_curve import RegularizationCurveDisplay
from skinfluence.display._robustness import RobustnessDisplay
from skinfluence.display._score_influence import ScoreInfluenceDisplay
from skinfluence.display._self_influence import SelfInfluenceDisplay

__all__ = [
    "AddedVariableDisplay",
    "ChangeDisplay",
    "CooksDistanceDisplay",
    "DfbetasDisplay",
    "InfluenceDisplay",
    "InfluenceDistanceDisplay",
    "InfluencePlotDisplay",
    "LabelReviewDisplay",
    "LeaveOneOutAgreementDisplay",
    "LeaveOneOutDisplay",
    "QQResidualDisplay",
    "RegularizationCurveDisplay",
    "RobustnessDisplay",
    "ScoreInfluenceDisplay",
    "SelfInfluenceDisplay",
]
