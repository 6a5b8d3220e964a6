"""The methods that every estimator gains."""

from skinfluence.base._mixin import InfluenceMixin
from skinfluence.base._query import QueryMixin
from skinfluence.base._removal import (
    certify_refit,
    copied_without_cache,
    frozen_settings,
    rows_asked,
)

__all__ = [
    "InfluenceMixin",
    "QueryMixin",
    "certify_refit",
    "copied_without_cache",
    "frozen_settings",
    "rows_asked",
]
