"""The methods that every estimator gains."""

from skinfluence.base._explained import Explained, Explanation
from skinfluence.base._mixin import InfluenceMixin

__all__ = ["Explained", "Explanation", "InfluenceMixin"]
