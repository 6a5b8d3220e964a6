"""Lasso and elastic net: mean of half the squared error, plus alpha times an L1 and an L2 norm."""

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
    """Return the penalty strength (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2) on a design."""
    features = np.full(design.n_features, float(strength))
    return penalties.ElasticNet(
        design.pack((1.0 - l1_ratio) * features, 0.0)[0],
        design.pack(l1_ratio * features, intercept)[0],
    )


@register(Lasso)
@register(LassoCV)
@register(ElasticNet)
@register(ElasticNetCV)
def adapt_elastic_net(estimator, data):
    """Return the objective of a fitted Lasso, ElasticNet, LassoCV or ElasticNetCV.

    scikit-learn divides the sum of the losses by that of the weights, so every row has a share of
    the penalty. An alpha (and l1_ratio) chosen by cross-validation is held fixed.
    """
    if estimator.positive:
        raise NotImplementedError(
            "influence is not available with positive=True: the optimum lies on a constraint. Fit "
            "with positive=False."
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
        "its penalty joins all responses in each feature. Fit one Lasso or ElasticNet for each",
    )
