"""Features of trained networks, and influence beyond convex models (PyTorch).

Importing this package imports torch; importing skinfluence does not.
"""

try:
    import torch  # noqa: F401  (the other modules of this package need it)
except ImportError as error:
    raise ImportError(
        "skinfluence.torch needs PyTorch, which is not installed: pip install skinfluence[torch]"
    ) from error

from skinfluence.torch._features import NeuralFeatures
from skinfluence.torch._network import NetworkInfluence, SolveInfo
from skinfluence.torch._robustness import (
    adversarial_step,
    curvature_regularizer,
    input_curvature,
)
from skinfluence.torch._tangent import TangentFeatures
from skinfluence.torch._trak import TRAK

__all__ = [
    "TRAK",
    "NetworkInfluence",
    "NeuralFeatures",
    "SolveInfo",
    "TangentFeatures",
    "adversarial_step",
    "curvature_regularizer",
    "input_curvature",
]
