"""Lasso and elastic net: mean half squared error + alpha times an L1 and an L2 part."""

import numpy as np
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
)

from skinfluence import penalties
from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._registry import refuse, register
from skinfluence.adapters._ridge import adapted_least_squares
from skinfluence.losses import SquaredLoss
from skinfluence.objective import Objective


def elastic_net(design, strength, l1_ratio, intercept=0.0):
    """Return strength (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2) over the columns of a design."""
    features = np.full(design.n_features, float(strength))
    return penalties.ElasticNet(
        design.join((1.0 - l1_ratio) * features, 0.0)[0],
        design.join(l1_ratio * features, intercept)[0],
    )


@register(Lasso)
@register(LassoCV)
@register(ElasticNet)
@register(ElasticNetCV)
def adapt_elastic_net(estimator, data):
    """Return the objective of a fitted Lasso or ElasticNet, or of one chosen by cross-validation.

    scikit-learn divides the sum of the losses by that of the weights, so that every row owns a
    share of the penalty. A chosen alpha (and l1_ratio) is held.
    """
    if estimator.positive:
        raise NotImplementedError(
            "influence under positive=True is not available: the optimum lies on a constraint."
        )
    y = as_responses(data.y, "y")
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(estimator.fit_intercept)
    alpha = getattr(estimator, "alpha_", None)
    alpha = estimator.alpha if alpha is None else alpha
    l1_ratio = getattr(estimator, "l1_ratio_", getattr(estimator, "l1_ratio", 1.0))
    common = elastic_net(design, alpha, l1_ratio)
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(
        SquaredLoss(n_outputs), design, y, weight, common.times(0.0), theta, row_penalty=common
    )
    return adapted_least_squares(objective, flat=np.ndim(estimator.coef_) == 1)


for joint in (MultiTaskElasticNet, MultiTaskElasticNetCV, MultiTaskLasso, MultiTaskLassoCV):
    refuse(
        joint,
        "its penalty joins the outputs of a feature. Fit Lasso or ElasticNet, one response a model",
    )
