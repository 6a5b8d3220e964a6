"""InfluenceMixin: all that an estimator gains."""

from skinfluence.base._attribution import AttributionMixin
from skinfluence.base._case_deletion import CaseDeletionMixin
from skinfluence.base._changes import ChangesMixin
from skinfluence.base._features import FeaturesMixin
from skinfluence.base._leave_one_out import LeaveOneOutMixin
from skinfluence.base._removal import RemovalMixin
from skinfluence.base._robustness import RobustnessMixin
from skinfluence.base._uncertainty import UncertaintyMixin


class InfluenceMixin(
    AttributionMixin,
    ChangesMixin,
    FeaturesMixin,
    LeaveOneOutMixin,
    RemovalMixin,
    CaseDeletionMixin,
    UncertaintyMixin,
    RobustnessMixin,
):
    """The influence methods. A new method goes into one of the mixins by subject, nowhere else."""
