"""Effects of small perturbations of the data."""

from skinfluence.perturbation._features import (
    FeatureGradients,
    KernelMachineGradients,
    LinearGradients,
)
from skinfluence.perturbation._inputs import InputDerivatives
from skinfluence.perturbation._local import PERTURBATIONS, LocalInfluence, local_influence
from skinfluence.perturbation._rows import MovableRows, named_moves

__all__ = [
    "PERTURBATIONS",
    "FeatureGradients",
    "InputDerivatives",
    "KernelMachineGradients",
    "LinearGradients",
    "LocalInfluence",
    "MovableRows",
    "local_influence",
    "named_moves",
]
