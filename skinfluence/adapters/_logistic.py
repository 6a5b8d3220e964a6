"""LogisticRegression: sum_i s_i log loss + 1 / (2 C) ||w||^2."""

import inspect

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.utils.class_weight import compute_class_weight

from skinfluence._validation import check_sample_weight, encode_labels, label_encoder
from skinfluence.adapters._elastic_net import elastic_net
from skinfluence.adapters._registry import Adapted, register
from skinfluence.losses import BinaryLogLoss, MultinomialLogLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2


def penalty_of(estimator):
    """Return (1 / C, share of L1) of a LogisticRegression's settings, in any scikit-learn from 1.6.

    `penalty` is 'l2' by default up to 1.7, 'deprecated' in 1.8 and 1.9, and gone in 1.10, where
    `l1_ratio` and C = inf say what it said.
    """
    params = estimator.get_params(deep=False)
    penalty, l1_ratio = params.get("penalty", "deprecated"), params.get("l1_ratio") or 0.0
    C = params.get("C")
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
    """Raise for settings whose objective is another one."""
    if not getattr(estimator, "refit", True):
        raise NotImplementedError(
            "LogisticRegressionCV(refit=False) averages the coefficients of the folds, which "
            "minimise nothing together: use refit=True."
        )
    multi_class = estimator.get_params(deep=False).get("multi_class", "deprecated")
    n_classes = len(estimator.classes_)
    one_vs_rest = multi_class == "ovr" or estimator.solver == "liblinear"
    if n_classes > 2 and one_vs_rest:
        raise NotImplementedError(
            f"{n_classes} classes one against the rest (multi_class='ovr' or solver='liblinear') "
            "are separate models: fit a softmax with another solver, or one binary model a class."
        )
    if n_classes == 2 and multi_class == "multinomial":
        raise NotImplementedError(
            "multi_class='multinomial' with two classes is not available: leave it at its default."
        )


def class_weights(estimator, data, sample_weight):
    """Return each row's class weight, as scikit-learn's fit computed it.

    "balanced" is read as the numbers it stood for on the training rows: they stay when a row goes.
    Up to scikit-learn 1.6 it counts rows, later it adds weights; the installed one is asked.
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
    """Penalty of the settings."""
    strength, l1_ratio = penalty_of(estimator)
    # liblinear's intercept is intercept_scaling times the last of its penalised coefficients.
    scaling = np.float64(estimator.intercept_scaling if estimator.solver == "liblinear" else np.inf)
    if l1_ratio > 0:
        return elastic_net(design, strength, l1_ratio, l1_ratio * strength / scaling)
    features = np.full(design.n_features, strength)
    return L2(design.join(features, strength / scaling**2)[0])


@register(LogisticRegression)
@register(LogisticRegressionCV)
def adapt_logistic(estimator, data):
    """Return the objective of a fitted LogisticRegression, or of a class that only adds methods.

    Of a LogisticRegressionCV at the C that it chose, which is held.
    """
    _check_settings(estimator)
    classes = estimator.classes_
    y = encode_labels(data.y, classes, "y")
    sample_weight = check_sample_weight(data.sample_weight, len(y))
    sample_weight = sample_weight * class_weights(estimator, data, sample_weight)
    empty = np.bincount(y, weights=sample_weight, minlength=len(classes)) == 0
    if empty.any():
        raise ValueError(
            f"class {classes[empty].tolist()[0]!r} has no row of positive weight: the model "
            "without it is another one. Drop its rows before fitting."
        )
    binary = len(classes) == 2
    loss = BinaryLogLoss() if binary else MultinomialLogLoss(len(classes))
    free = estimator.fit_intercept and estimator.solver != "liblinear"
    design = data.design(estimator.fit_intercept, centred=free)
    penalty = _penalty(estimator, design)
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(
        loss, design, y.astype(np.float64) if binary else y, sample_weight, penalty, theta
    )
    encode = label_encoder(classes, objective.y.dtype)
    return Adapted(objective, classes, encode)
