"""The optimum of an objective: Newton's method, and active sets where coefficients may be 0."""

from skinfluence.optimum._continuation import (
    continuation,
    is_acceptable_refit,
    refit,
    response_spread,
    start_without_outliers,
)
from skinfluence.optimum._newton import (
    CERTIFIABLE,
    SETTLED,
    TOLERANCE,
    Optimum,
    has_light_rows,
    newton_step,
)
from skinfluence.optimum._passes import is_by_passes, polish_by_passes
from skinfluence.optimum._polish import polish, polish_intercepts

__all__ = [
    "CERTIFIABLE",
    "SETTLED",
    "TOLERANCE",
    "Optimum",
    "continuation",
    "has_light_rows",
    "is_acceptable_refit",
    "is_by_passes",
    "newton_step",
    "polish",
    "polish_by_passes",
    "polish_intercepts",
    "refit",
    "response_spread",
    "start_without_outliers",
]
