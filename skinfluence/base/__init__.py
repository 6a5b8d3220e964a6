"""The methods that every estimator gains."""

from skinfluence.base._explained import FittedProblem, OptimumRecord
from skinfluence.base._mixin import InfluenceMixin

__all__ = ["FittedProblem", "InfluenceMixin", "OptimumRecord"]
