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
        design.join((1.0 - l1_ratio) * features, 0.0)[0],
        design.join(l1_ratio * features, intercept)[0],
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


def duality_gaps(objective):
    """Gap between the mean squared-error objective and its dual, one for each response.

    Parameters
    ----------
    objective : Objective
        Of a Lasso or an ElasticNet, anywhere.

    Returns
    -------
    ndarray of shape (n_targets,)
        Bounds on how far the objective, as scikit-learn scales it, is above its minimum.

    Notes
    -----
    The dual point are the residuals u, with an intercept at their mean. Under a part of the penalty
    that is quadratic every u is admissible; without one the slopes X'u must not exceed the penalty,
    and u is scaled down until they do not.
    """
    weight = objective.sample_weight / objective.sample_weight.sum()
    y = objective.y.reshape(len(weight), -1)
    residual = y - objective.eta
    penalty = objective.row_penalty
    if objective.design.fit_intercept:  # unpenalised: the residuals' mean is 0 at the optimum
        residual = residual - weight @ residual
        y = y - weight @ y
    slope = objective.design.transpose_matmul(weight[:, None] * residual).T  # (K, q)
    features = slice(objective.design.n_features)
    slope, theta = slope[:, features], objective.theta[:, features]
    absolute, strength = penalty.absolute[features], penalty.strength[features]
    size = np.abs(slope)
    if (strength > 0).all():
        scale = np.ones(len(theta))
        conjugate = 0.5 * np.sum(np.maximum(size - absolute, 0.0) ** 2 / strength, axis=1)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(absolute > 0, absolute / size, 1.0).min(axis=1, initial=1.0)
        scale, conjugate = np.fmin(1.0, room), 0.0
    primal = 0.5 * weight @ residual**2 + np.array(
        [penalty.value(each[None]) for each in objective.theta]
    )
    dual = 0.5 * (weight @ y**2 - weight @ (y - scale * residual) ** 2) - conjugate
    return primal - dual


for joint in (MultiTaskElasticNet, MultiTaskElasticNetCV, MultiTaskLasso, MultiTaskLassoCV):
    refuse(
        joint,
        "its penalty joins all responses in each feature. Fit one Lasso or ElasticNet for each",
    )
