"""Huber regression: sum_i s_i (sigma + sigma H((y_i - f(x_i)) / sigma)) + alpha |w|^2."""

from functools import partial

import numpy as np
from sklearn.linear_model import HuberRegressor

from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._registry import Adapted, register
from skinfluence.adapters._ridge import without_outputs
from skinfluence.losses import HuberLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2

# Scale relative to the largest y under which it is on its way to 0.
COLLAPSED = 1e-7


@register(HuberRegressor)
def adapt_huber(estimator, data):
    """Return the objective of a fitted HuberRegressor, in coefficients, intercept and scale.

    The scale is the intercept of a second predictor, whose other coefficients are held at 0; so is
    the first one's intercept where there is none.
    """
    y = as_responses(data.y, "y", n_outputs=1)
    weight = check_sample_weight(data.sample_weight, len(y))
    if not estimator.scale_ > COLLAPSED * np.abs(y).max():  # its solver stops some way above 0
        raise NotImplementedError(
            f"the scale of the fit has collapsed to {estimator.scale_:.1e}: so many rows are "
            "fitted exactly that the objective falls to its bound, where it has no derivative. "
            "Raise alpha, or use fewer features."
        )
    design = data.design(True)
    p = design.n_features
    of_mean = design.pack(
        np.full(p, 2.0 * estimator.alpha), 0.0 if estimator.fit_intercept else np.inf
    )
    of_scale = design.pack(np.full(p, np.inf), 0.0)
    theta = np.concatenate(
        [
            design.pack(estimator.coef_, estimator.intercept_),
            design.pack(np.zeros(p), estimator.scale_),
        ]
    )
    penalty = L2(np.concatenate([of_mean, of_scale]))
    objective = Objective(HuberLoss(estimator.epsilon), design, y, weight, penalty, theta)
    return Adapted(objective, None, partial(as_responses, n_outputs=1), without_outputs)
