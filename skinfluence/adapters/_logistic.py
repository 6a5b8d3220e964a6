"""LogisticRegression: sum_i s_i (log loss of row i) + 1 / (2 C) |w|^2."""

import inspect

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.utils.class_weight import compute_class_weight

from skinfluence._validation import (
    check_classes_have_weight,
    check_sample_weight,
    encode_labels,
    label_encoder,
)
from skinfluence.adapters._elastic_net import elastic_net
from skinfluence.adapters._registry import Adapted, dense_coefficients, register
from skinfluence.losses import BinaryLogLoss, MultinomialLogLoss
from skinfluence.objective import Objective
from skinfluence.optimum import CERTIFIABLE, polish
from skinfluence.penalties import L2

# Penalty of the first optimum on the way to that of a weak one, a unit of weight, the factor from
# one to the next, and the Newton steps that each may take: an e-fold a step, and room for a few.
FIRST_PENALTY, NEXT_PENALTY = 1e-3, 1e-3
RESTARTED_STEPS = 30


def penalty_of(estimator):
    """Return (1 / C, l1_ratio) of a LogisticRegression, for any scikit-learn from 1.6.

    `penalty` is 'l2' by default up to 1.7 and 'deprecated' in 1.8 and 1.9; it is removed in 1.10,
    where `l1_ratio` and C = inf take its place.
    """
    # Not by get_params: it reads the signature of __init__, a tenth of the fit of some rows.
    penalty = getattr(estimator, "penalty", "deprecated")
    l1_ratio, C = getattr(estimator, "l1_ratio", None) or 0.0, getattr(estimator, "C", None)
    if C is None:  # chosen by cross-validation, the same for all classes
        C = float(np.ravel(estimator.C_)[0])
        l1_ratio = np.ravel(estimator.l1_ratio_)[0] or 0.0
    if penalty is None or np.isinf(C):
        return 0.0, 0.0
    if penalty == "l2":
        l1_ratio = 0.0
    elif penalty == "l1":
        l1_ratio = 1.0
    return 1.0 / C, float(l1_ratio)


def _check_settings(estimator):
    """Raise for settings whose objective is not that of this module."""
    if not getattr(estimator, "refit", True):
        raise NotImplementedError(
            "influence is not available for LogisticRegressionCV(refit=False): it averages the "
            "coefficients of the folds, which is no optimum. Use refit=True."
        )
    multi_class = getattr(estimator, "multi_class", "deprecated")
    n_classes = len(estimator.classes_)
    one_vs_rest = multi_class == "ovr" or estimator.solver == "liblinear"
    if n_classes > 2 and one_vs_rest:
        raise NotImplementedError(
            f"influence is not available for {n_classes} classes one against the rest "
            "(multi_class='ovr' or solver='liblinear'). Fit a softmax with another solver, or one "
            "binary model for each class."
        )
    if n_classes == 2 and multi_class == "multinomial":
        raise NotImplementedError(
            "influence is not available for two classes with multi_class='multinomial'. Leave "
            "multi_class at its default."
        )


def class_weights(estimator, data, sample_weight):
    """Return the class weight of each row, as scikit-learn's fit computed it.

    For "balanced" these are the numbers computed from the training rows, held fixed when a row is
    deleted. scikit-learn up to 1.6 computes them from counts of rows, later versions from sample
    weights; the installed version decides.
    """
    if estimator.class_weight is None:
        return np.ones(len(data.y))
    weighted = {}
    if "sample_weight" in inspect.signature(compute_class_weight).parameters:
        weighted["sample_weight"] = sample_weight
    per_class = compute_class_weight(
        estimator.class_weight, classes=estimator.classes_, y=data.y, **weighted
    )
    if (per_class < 0).any():
        raise ValueError(
            f"class_weight should not be negative; got {per_class.min():g} for class "
            f"{estimator.classes_[per_class.argmin()]!r}."
        )
    return per_class[encode_labels(data.y, estimator.classes_, "y")]


def _penalty(estimator, design):
    """Penalty of a LogisticRegression on the columns of a design."""
    strength, l1_ratio = penalty_of(estimator)
    # liblinear adds a column of intercept_scaling and penalises its coefficient c like the others.
    # The intercept is intercept_scaling * c, so its strength is theirs over intercept_scaling^2.
    scaling = np.float64(estimator.intercept_scaling if estimator.solver == "liblinear" else np.inf)
    if l1_ratio > 0:
        return elastic_net(design, strength, l1_ratio, l1_ratio * strength / scaling)
    features = np.full(design.n_features, strength)
    return L2(design.join(features, strength / scaling**2)[0])


@register(LogisticRegression)
@register(LogisticRegressionCV)
def adapt_logistic(estimator, data):
    """Return the objective of a fitted LogisticRegression or LogisticRegressionCV.

    The C that a LogisticRegressionCV has chosen is held fixed.
    """
    _check_settings(estimator)
    classes = estimator.classes_
    y = encode_labels(data.y, classes, "y")
    sample_weight = check_sample_weight(data.sample_weight, len(y))
    sample_weight = sample_weight * class_weights(estimator, data, sample_weight)
    check_classes_have_weight(classes, y, sample_weight)
    binary = len(classes) == 2
    loss = BinaryLogLoss() if binary else MultinomialLogLoss(len(classes))
    free = estimator.fit_intercept and estimator.solver != "liblinear"
    design = data.design(estimator.fit_intercept, centred=free)
    penalty = _penalty(estimator, design)
    theta = design.pack(dense_coefficients(estimator), estimator.intercept_)
    objective = Objective(
        loss, design, y.astype(np.float64) if binary else y, sample_weight, penalty, theta
    )
    encode = label_encoder(classes, objective.y.dtype)
    weak = not penalty.is_kinked and not penalty.is_none
    restart = _from_stronger_penalties if weak else None
    return Adapted(objective, classes, encode, restart=restart)


def _from_stronger_penalties(objective):
    """At the optimum of a penalty in reach of its own, along those of falling ones.

    Separable data under a next to vanishing penalty: where the solver stops, far too short, the
    curvature of the rows is 1e20 times that of the penalty, and a step has no digit left.
    """
    if objective.stationarity <= CERTIFIABLE:  # it has stopped at the floor of float64
        return objective
    strength, theta = FIRST_PENALTY * objective.sample_weight.sum(), np.zeros_like(objective.theta)
    weakest = objective.penalty.strength[objective.penalty.strength > 0].min()
    while strength > weakest:
        stronger = objective.at(theta).penalised_at_least(strength)
        theta = polish(stronger, max_steps=RESTARTED_STEPS).objective.theta
        strength *= NEXT_PENALTY
    return objective.at(theta)
