"""How few rows overturn a conclusion: quantities, smallest verified sets, and proofs."""

from skinfluence.robustness._audit import (
    InfluentialSet,
    RobustnessAudit,
    most_influential_set,
    smallest_flip,
)
from skinfluence.robustness._quantities import (
    Quantity,
    bind,
    coefficient,
    order,
    prediction,
    score,
    sign_and_significance,
    significance,
)

__all__ = [
    "InfluentialSet",
    "Quantity",
    "RobustnessAudit",
    "bind",
    "coefficient",
    "most_influential_set",
    "order",
    "prediction",
    "score",
    "sign_and_significance",
    "significance",
    "smallest_flip",
]
