"""Linear models with the influence methods."""

from skinfluence.linear_model._elastic_net import InfluenceElasticNet, InfluenceLasso
from skinfluence.linear_model._glm import (
    InfluenceGammaRegressor,
    InfluencePoissonRegressor,
    InfluenceTweedieRegressor,
)
from skinfluence.linear_model._huber import InfluenceHuberRegressor
from skinfluence.linear_model._logistic import InfluenceLogisticRegression
from skinfluence.linear_model._quantile import SmoothQuantileRegressor
from skinfluence.linear_model._ridge import InfluenceLinearRegression, InfluenceRidge
from skinfluence.linear_model._ridge_classifier import InfluenceRidgeClassifier

__all__ = [
    "InfluenceElasticNet",
    "InfluenceGammaRegressor",
    "InfluenceHuberRegressor",
    "InfluenceLasso",
    "InfluenceLinearRegression",
    "InfluenceLogisticRegression",
    "InfluencePoissonRegressor",
    "InfluenceRidge",
    "InfluenceRidgeClassifier",
    "InfluenceTweedieRegressor",
    "SmoothQuantileRegressor",
]
