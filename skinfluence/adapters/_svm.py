"""LinearSVC: sum_i s_i max(0, 1 - y_i f(x_i))^2 + (|w|^2 + (b / intercept_scaling)^2) / (2 C)."""

import numpy as np
from sklearn.svm import SVC, LinearSVC, NuSVC

from skinfluence._validation import check_sample_weight, encode_labels, label_encoder
from skinfluence.adapters._logistic import class_weights
from skinfluence.adapters._registry import Adapted, refuse, register
from skinfluence.design import make_design
from skinfluence.losses import OneVsRestLoss, SquaredHingeLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2

refuse(SVC, "its hinge has no curvature: fit skinfluence.svm.SmoothHingeSVC with the same kernel")
refuse(
    NuSVC,
    "its nu fixes the share of support vectors, not a penalty: without a row the objective is "
    "another one. Fit skinfluence.svm.SmoothHingeSVC",
)


def _check_settings(estimator):
    """Raise for settings whose objective is another one."""
    if estimator.loss != "squared_hinge":
        raise NotImplementedError(
            f"LinearSVC(loss={estimator.loss!r}) has no curvature, and no influence: fit "
            "loss='squared_hinge', or skinfluence.svm.SmoothHingeSVC."
        )
    if estimator.penalty != "l2":
        raise NotImplementedError(
            "influence under an L1 penalty is not yet available: fit LinearSVC with penalty='l2'."
        )
    if len(estimator.classes_) > 2:
        if estimator.multi_class != "ovr":
            raise NotImplementedError(
                f"LinearSVC(multi_class={estimator.multi_class!r}) is not available: use 'ovr'."
            )
        if estimator.class_weight is not None:
            raise NotImplementedError(
                "class_weight weighs each class against the rest differently in a LinearSVC of "
                "more than two classes: pass sample_weight, or fit one binary model a class."
            )


@register(LinearSVC)
def adapt_linear_svc(estimator, data):
    """Return the objective of a fitted LinearSVC."""
    _check_settings(estimator)
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes))
    weight = weight * class_weights(estimator, data, weight)
    binary = SquaredHingeLoss()
    loss = binary if len(classes) == 2 else OneVsRestLoss(binary, len(classes))
    design = make_design(data.X, estimator.fit_intercept)
    strength = 1.0 / estimator.C
    intercept = strength / np.float64(estimator.intercept_scaling) ** 2
    penalty = L2(design.pack(np.full(data.X.shape[1], strength), intercept)[0])
    y = codes.astype(np.float64) if loss.is_scalar else codes
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(loss, design, y, weight, penalty, theta)
    return Adapted(objective, classes, label_encoder(classes, y.dtype))
