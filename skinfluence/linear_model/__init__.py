"""Linear models with the influence methods."""

from skinfluence.linear_model._glm import (
    InfluenceGammaRegressor,
    InfluencePoissonRegressor,
    InfluenceTweedieRegressor,
)
from skinfluence.linear_model._logistic import InfluenceLogisticRegression
from skinfluence.linear_model._ridge import InfluenceLinearRegression, InfluenceRidge

__all__ = [
    "InfluenceGammaRegressor",
    "InfluenceLinearRegression",
    "InfluenceLogisticRegression",
    "InfluencePoissonRegressor",
    "InfluenceRidge",
    "InfluenceTweedieRegressor",
]
