"""Linear models with the influence methods."""

from skinfluence.linear_model._logistic import InfluenceLogisticRegression

__all__ = ["InfluenceLogisticRegression"]
