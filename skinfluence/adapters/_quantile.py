"""Quantile regression: mean pinball loss + alpha |w|_1."""

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
    "it passes through as many rows as it has coefficients, and changes only when another row "
    "takes a place among them: there is no curvature. Fit SmoothQuantileRegressor",
)


def smooth_quantile(data, settings, theta):
    """Objective of a SmoothQuantileRegressor at theta, (p,) and b; a row owns a share of alpha."""
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
