"""The methods that every estimator gains."""

from skinfluence.base._mixin import InfluenceMixin
from skinfluence.base._query import QueryMixin
from skinfluence.base._removal import copied_without_cache

__all__ = ["InfluenceMixin", "QueryMixin", "copied_without_cache"]
