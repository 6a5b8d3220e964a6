"""Comparison of estimated influences with refits."""

from skinfluence.evaluation._agreement import Agreement, agreement

__all__ = ["Agreement", "agreement"]
