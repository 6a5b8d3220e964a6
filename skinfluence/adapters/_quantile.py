"""Quantile regression: mean of the pinball losses, plus alpha |w|_1."""

from functools import partial

from sklearn.linear_model import QuantileRegressor

from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._elastic_net import elastic_net
from skinfluence.adapters._registry import Adapted, refuse
from skinfluence.adapters._ridge import without_outputs
from skinfluence.losses import SmoothPinballLoss
from skinfluence.objective import Objective

refuse(
    QuantileRegressor,
    "its loss has no curvature, so that the fit passes through as many rows as it has coefficients "
    "and has no derivative in their weights. Fit SmoothQuantileRegressor",
)


def smooth_quantile(data, settings, theta):
    """Return the objective of a SmoothQuantileRegressor at theta = (coef, intercept).

    Its loss is a mean, so every row has a share of the penalty.
    """
    design = data.design(settings.fit_intercept)
    loss = SmoothPinballLoss(settings.quantile, settings.temperature_)
    y = as_responses(data.y, "y", n_outputs=1)
    weight = check_sample_weight(data.sample_weight, len(y))
    common = elastic_net(design, settings.alpha, 1.0)
    fixed = common.times(0.0)
    return Objective(loss, design, y, weight, fixed, design.pack(*theta), row_penalty=common)


def adapt_smooth_quantile(estimator, data):
    """Return the objective of a fitted SmoothQuantileRegressor."""
    objective = smooth_quantile(data, estimator, (estimator.coef_, estimator.intercept_))
    return Adapted(objective, None, partial(as_responses, n_outputs=1), without_outputs)
