"""Generalised linear models: mean half deviance + alpha / 2 |w|^2."""

from functools import partial

import numpy as np
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor

from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._registry import Adapted, register
from skinfluence.adapters._ridge import without_outputs
from skinfluence.losses import SquaredLoss, TweedieLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2


def glm_loss(estimator):
    """Return the loss of a generalised linear model's settings."""
    params = estimator.get_params(deep=False)
    if "power" not in params:
        return TweedieLoss(2.0 if isinstance(estimator, GammaRegressor) else 1.0)
    power, link = params["power"], params["link"]
    if link == "auto":
        link = "identity" if power <= 0 else "log"
    return SquaredLoss() if power == 0 and link == "identity" else TweedieLoss(power, link)


def _encode(y, name, *, loss):
    """Responses in the range of the family."""
    y = as_responses(y, name, n_outputs=1)
    if isinstance(loss, TweedieLoss) and not loss.in_range(y).all():
        row = int(np.flatnonzero(~loss.in_range(y))[0])
        least = "non-negative" if loss.power < 2 else "positive"
        raise ValueError(f"{name} should be {least} for the {loss.name}; got {y[row]:g}.")
    return y


@register(PoissonRegressor)
@register(GammaRegressor)
@register(TweedieRegressor)
def adapt_glm(estimator, data):
    """Return the objective of a fitted PoissonRegressor, GammaRegressor or TweedieRegressor.

    scikit-learn divides the sum of the losses by that of the weights, so that every row owns a
    share of the penalty.
    """
    loss = glm_loss(estimator)
    y = _encode(data.y, "y", loss=loss)
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(estimator.fit_intercept)
    alpha = L2(design.join(np.full(design.n_features, float(estimator.alpha)), 0.0)[0])
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(loss, design, y, weight, alpha.times(0.0), theta, row_penalty=alpha)
    return Adapted(objective, None, partial(_encode, loss=loss), without_outputs)
