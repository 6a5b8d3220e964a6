"""Effects of small perturbations of the data."""

from skinfluence.perturbation._local import PERTURBATIONS, LocalInfluence, local_influence

__all__ = ["PERTURBATIONS", "LocalInfluence", "local_influence"]
