"""Huber regression: sum_i s_i (sigma + sigma H((y_i - f(x_i)) / sigma)) + alpha |w|^2."""

from functools import partial

import numpy as np
from sklearn.linear_model import HuberRegressor

from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._registry import Adapted, register
from skinfluence.adapters._ridge import without_outputs
from skinfluence.losses import HuberLoss
from skinfluence.objective import Objective
from skinfluence.optimum import start_without_outliers
from skinfluence.penalties import L2


@register(HuberRegressor)
def adapt_huber(estimator, data):
    """Return the objective of a fitted HuberRegressor, in coefficients, intercept and scale.

    The scale is the intercept of a second predictor, whose other coefficients are fixed at zero.
    With fit_intercept=False the intercept of the first predictor is fixed at zero too.
    """
    y = as_responses(data.y, "y", n_outputs=1)
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(True, centred=estimator.fit_intercept)
    p = design.n_features
    of_mean = design.join(
        np.full(p, 2.0 * estimator.alpha), 0.0 if estimator.fit_intercept else np.inf
    )
    of_scale = design.join(np.full(p, np.inf), 0.0)
    theta = np.concatenate(
        [
            design.pack(estimator.coef_, estimator.intercept_),
            design.pack(np.zeros(p), estimator.scale_),
        ]
    )
    penalty = L2(np.concatenate([of_mean, of_scale]))
    objective = Objective(HuberLoss(estimator.epsilon), design, y, weight, penalty, theta)
    objective.check_optimum()
    encode = partial(as_responses, n_outputs=1)
    return Adapted(objective, None, encode, without_outputs, restart=start_without_outliers)
