"""What small changes of the data do to the model."""

from skinfluence.perturbation._local import PERTURBATIONS, LocalInfluence, local_influence

__all__ = ["PERTURBATIONS", "LocalInfluence", "local_influence"]
