"""The methods that every estimator gains."""

from skinfluence.base._mixin import InfluenceMixin
from skinfluence.base._query import QueryMixin

__all__ = ["InfluenceMixin", "QueryMixin"]
