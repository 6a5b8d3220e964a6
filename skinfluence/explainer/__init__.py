"""InfluenceExplainer: the influence methods for a Pipeline, a search, or a fitted model."""

from skinfluence.explainer._explainer import InfluenceExplainer, explainer_of, fitted_view
from skinfluence.explainer._models import (
    estimator_router,
    fit_params,
    score_weight,
    unwrap,
    weight_name,
    weight_params,
)
from skinfluence.explainer._removal import model_with, model_without

__all__ = [
    "InfluenceExplainer",
    "estimator_router",
    "explainer_of",
    "fit_params",
    "fitted_view",
    "model_with",
    "model_without",
    "score_weight",
    "unwrap",
    "weight_name",
    "weight_params",
]
