"""Support vector machines: C sum_i s_i max(0, 1 - y_i f(x_i)) + |w|^2 / 2 and its relatives.

LinearSVC has the hinge or its square, and penalises (b / intercept_scaling)^2 as well.
"""

from functools import partial

import numpy as np
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR

from skinfluence._validation import check_sample_weight, encode_labels, label_encoder
from skinfluence.adapters._logistic import class_weights
from skinfluence.adapters._registry import Adapted, refuse, register
from skinfluence.design import KernelSpace, make_design
from skinfluence.losses import (
    HingeLoss,
    OneVsOneLoss,
    OneVsRestLoss,
    SmoothHingeLoss,
    SquaredHingeLoss,
)
from skinfluence.objective import Objective
from skinfluence.penalties import L2

# What lends the hinge a curvature: at this temperature Koh & Liang's Figure 3 agrees with refits.
SURROGATE_HINGE = SmoothHingeLoss(1e-3)

refuse(
    NuSVC,
    "its nu fixes the share of support vectors, not a penalty: without a row the objective is "
    "another one. Fit skinfluence.svm.SmoothHingeSVC",
)


for _regressor in (SVR, NuSVR):
    refuse(
        _regressor,
        "between the kinks of its loss there is no curvature: what a row changes is decided by the "
        "rows on the edge of the tube alone. Fit skinfluence.svm.SmoothEpsilonSVR",
    )

refuse(
    LinearSVR,
    "of its losses the first has no curvature between its kinks, and the squared one is not "
    "covered. Fit skinfluence.svm.SmoothEpsilonSVR",
)


def _check_settings(estimator):
    """Raise for settings whose objective is another one."""
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
    squared = estimator.loss == "squared_hinge"
    binary, trained = (SquaredHingeLoss(),) * 2 if squared else (SURROGATE_HINGE, HingeLoss())
    loss, trained = (
        one if len(classes) == 2 else OneVsRestLoss(one, len(classes)) for one in (binary, trained)
    )
    trained = loss if squared else trained
    design = make_design(data.X, estimator.fit_intercept)
    strength = 1.0 / estimator.C
    intercept = strength / np.float64(estimator.intercept_scaling) ** 2
    penalty = L2(design.pack(np.full(data.X.shape[1], strength), intercept)[0])
    y = codes.astype(np.float64) if loss.is_scalar else codes
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(loss, design, y, weight, penalty, theta, trained)
    return Adapted(objective, classes, label_encoder(classes, y.dtype))


def svc_space(estimator, X):
    """Space of an SVC's kernel; None for the linear one."""
    if estimator.kernel == "linear":
        return None
    return KernelSpace(
        X,
        estimator.kernel,
        gamma=estimator._gamma,
        degree=estimator.degree,
        coef0=estimator.coef0,
    )


@register(SVC, space=svc_space)
def adapt_svc(estimator, data):
    """Return the objective of a fitted SVC, one against one where it has more than two classes."""
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes))
    weight = weight * estimator.class_weight_[codes]
    loss, trained = SURROGATE_HINGE, HingeLoss()
    if len(classes) > 2:
        options = {"shape": estimator.decision_function_shape, "break_ties": estimator.break_ties}
        loss, trained = (OneVsOneLoss(one, len(classes), **options) for one in (loss, trained))
    design = data.design(True)
    penalty = L2(design.pack(np.full(design.n_features, 1.0 / estimator.C), 0.0)[0])
    alpha = _signed_alpha(estimator, codes, check_sample_weight(data.sample_weight, len(codes)))
    theta = np.zeros((loss.n_outputs, design.shape[1]))
    for k in range(len(theta)):
        coef = design.transpose_matmul(alpha[k])[: design.n_features]
        theta[k] = design.pack(coef, estimator.intercept_[k])[0]
    y = codes.astype(np.float64) if loss.is_scalar else codes
    objective = Objective(loss, design, y, weight, penalty, theta, trained)
    parameters = None
    if data.space is not None:
        parameters = partial(change_in_span, features=data.space.features)
    return Adapted(objective, classes, label_encoder(classes, y.dtype), parameters)


def _signed_alpha(estimator, codes, weight):
    """Signed dual variables of every machine on all training rows, (machines, n).

    libsvm keeps those of pair (i, j) in row j - 1 for the rows of class i, in row i for class j. It
    drops the rows without weight before it counts its support vectors.
    """
    kept = np.flatnonzero(weight > 0)
    dual, support = estimator.dual_coef_, estimator.support_
    if support.max(initial=-1) >= len(kept) or estimator.shape_fit_[0] != len(codes):
        raise ValueError(
            f"the SVC was fitted on {estimator.shape_fit_[0]} rows: pass these, and the weights it "
            f"was fitted with; got {len(codes)} rows, {len(kept)} of them of positive weight."
        )
    support = kept[support]
    dual = dual @ np.eye(dual.shape[1])  # sparse where X is; the product is an array
    if len(estimator.classes_) == 2:
        alpha = np.zeros((1, len(codes)))
        alpha[0, support] = dual[0]
        return alpha
    pairs = np.transpose(np.triu_indices(len(estimator.classes_), k=1))
    alpha = np.zeros((len(pairs), len(codes)))
    for k, (i, j) in enumerate(pairs):
        for own, row in ((i, j - 1), (j, i)):
            at = np.flatnonzero(codes[support] == own)
            alpha[k, support[at]] = dual[row, at]
    return alpha


def change_in_span(objective, rows, steps, *, features):
    """Dual coefficients (b, K, n) of the steps themselves, on the rows that span the others.

    Parameters
    ----------
    objective : Objective
        In the features of a kernel.
    rows : ndarray of int, shape (b,)
        The deleted rows.
    steps : ndarray of shape (b, K, q)
        theta without each of them, minus theta.
    features : KernelFeatures
        Of the training rows.

    Returns
    -------
    coef, intercept : ndarray of shape (b, K, n), ndarray of shape (b, K)
        Changes with which the decision function changes as it does without the rows.
    """
    coef, intercept = objective.design.unpack(steps)
    change = np.full((*coef.shape[:2], objective.n_rows), np.nan)
    defined = np.isfinite(coef).all(axis=(1, 2))  # undefined deletions have no coefficients
    kept = coef[defined]
    change[defined] = 0.0
    change[np.ix_(defined, np.arange(coef.shape[1]), features.pivots)] = features.span(
        kept.reshape(-1, kept.shape[-1])
    ).reshape(kept.shape)
    return change, intercept
