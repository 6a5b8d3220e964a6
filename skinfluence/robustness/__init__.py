"""How firmly the training rows hold a model: rows taken out for good, with a proof."""

from skinfluence.robustness._certificate import (
    FitRecipe,
    RemovalCertificate,
    RemovalCheck,
    certificate_of,
    class_weights,
    row_factors,
)
from skinfluence.robustness._removal import Removal, check_remaining, refit_removal, row_removal

__all__ = [
    "FitRecipe",
    "Removal",
    "RemovalCertificate",
    "RemovalCheck",
    "certificate_of",
    "check_remaining",
    "class_weights",
    "refit_removal",
    "row_factors",
    "row_removal",
]
