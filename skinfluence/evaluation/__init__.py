"""How near estimates of influence come to what retraining gives."""

from skinfluence.evaluation._agreement import Agreement, agreement

__all__ = ["Agreement", "agreement"]
