"""How firmly the rows hold a model: smallest flips with proofs, rows taken out for good."""

from skinfluence.robustness._audit import most_influential_set, smallest_flip
from skinfluence.robustness._binding import bind
from skinfluence.robustness._certificate import (
    FitRecipe,
    RemovalCertificate,
    RemovalCheck,
    certificate_of,
    class_weights,
    row_factors,
)
from skinfluence.robustness._quantities import (
    Quantity,
    coefficient,
    order,
    prediction,
    score,
    sign_and_significance,
    significance,
)
from skinfluence.robustness._removal import Removal, check_remaining, refit_removal, row_removal
from skinfluence.robustness._results import InfluentialSet, RobustnessAudit

__all__ = [
    "FitRecipe",
    "InfluentialSet",
    "Quantity",
    "Removal",
    "RemovalCertificate",
    "RemovalCheck",
    "RobustnessAudit",
    "bind",
    "certificate_of",
    "check_remaining",
    "class_weights",
    "coefficient",
    "most_influential_set",
    "order",
    "prediction",
    "refit_removal",
    "row_factors",
    "row_removal",
    "score",
    "sign_and_significance",
    "significance",
    "smallest_flip",
]
