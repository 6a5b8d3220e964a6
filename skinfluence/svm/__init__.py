"""Support vector machines with the influence methods."""

from skinfluence.svm._smooth_hinge import SmoothHingeSVC

__all__ = ["SmoothHingeSVC"]
