"""Figures of answers already computed, after scikit-learn's Display convention."""

from skinfluence.display._agreement import LeaveOneOutAgreementDisplay
from skinfluence.display._leave_one_out import LeaveOneOutDisplay
from skinfluence.display._regularization_curve import RegularizationCurveDisplay

__all__ = ["LeaveOneOutAgreementDisplay", "LeaveOneOutDisplay", "RegularizationCurveDisplay"]
