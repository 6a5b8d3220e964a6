"""Support vector machines with the influence methods."""

from skinfluence.svm._smooth_epsilon import SmoothEpsilonSVR
from skinfluence.svm._smooth_hinge import SmoothHingeSVC

__all__ = ["SmoothEpsilonSVR", "SmoothHingeSVC"]
