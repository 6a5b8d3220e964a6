"""Generalised linear models: mean of half the deviance, plus alpha / 2 |w|^2."""

from functools import partial

import numpy as np
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor

from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._registry import Adapted, register
from skinfluence.adapters._ridge import without_outputs
from skinfluence.existence import lost_a_class
from skinfluence.losses import SquaredLoss, TweedieLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2


def glm_loss(estimator):
    """Return the loss of a generalised linear model, from its settings."""
    if not hasattr(estimator, "power"):
        return TweedieLoss(2.0 if isinstance(estimator, GammaRegressor) else 1.0)
    power, link = estimator.power, estimator.link
    if link == "auto":
        link = "identity" if power <= 0 else "log"
    return SquaredLoss() if power == 0 and link == "identity" else TweedieLoss(power, link)


def _encode(y, name, *, loss):
    """Responses as float64; raise if one is outside the range of the distribution."""
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

    scikit-learn divides the sum of the losses by that of the weights, so every row has a share of
    the penalty.
    """
    loss = glm_loss(estimator)
    y = _encode(data.y, "y", loss=loss)
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(estimator.fit_intercept)
    alpha = L2(design.join(np.full(design.n_features, float(estimator.alpha)), 0.0)[0])
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(loss, design, y, weight, alpha.times(0.0), theta, row_penalty=alpha)
    if lost_a_class(objective):
        raise np.linalg.LinAlgError(
            "there is no optimum: all y of positive weight are 0, so that the fitted mean falls "
            "to 0 and the intercept falls without end. Add rows with positive y, or fit with "
            "fit_intercept=False."
        )
    objective.check_optimum()
    return Adapted(objective, None, partial(_encode, loss=loss), without_outputs)
