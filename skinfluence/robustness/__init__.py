"""How few rows overturn a conclusion: quantities, smallest verified sets, and proofs."""

from skinfluence.robustness._audit import most_influential_set, smallest_flip
from skinfluence.robustness._binding import bind
from skinfluence.robustness._quantities import (
    Quantity,
    coefficient,
    order,
    prediction,
    score,
    sign_and_significance,
    significance,
)
from skinfluence.robustness._results import InfluentialSet, RobustnessAudit

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
