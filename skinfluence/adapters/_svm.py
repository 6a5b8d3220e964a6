"""Support vector machines: C sum_i s_i max(0, 1 - y_i f(x_i)) + |w|^2 / 2, and variants.

LinearSVC has the hinge or its square, LinearSVR the square of the epsilon-insensitive loss; both
penalise (b / intercept_scaling)^2 too.
"""

from functools import partial

import numpy as np
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR

from skinfluence._validation import (
    as_responses,
    check_classes_have_weight,
    check_sample_weight,
    encode_labels,
    label_encoder,
)
from skinfluence.adapters._logistic import class_weights
from skinfluence.adapters._registry import Adapted, dense_coefficients, refuse, register
from skinfluence.adapters._ridge import without_outputs
from skinfluence.design import KernelSpace
from skinfluence.link import OneVsOneLink
from skinfluence.losses import (
    HingeLoss,
    OneVsOneLoss,
    OneVsRestLoss,
    SmoothHingeLoss,
    SquaredEpsilonInsensitiveLoss,
    SquaredHingeLoss,
)
from skinfluence.objective import Objective
from skinfluence.penalties import L2

# Smooth hinge whose derivatives stand for those of the hinge. At this temperature the effects in
# Koh & Liang's Figure 3 agree with refits.
SURROGATE_HINGE = SmoothHingeLoss(1e-3)

refuse(
    NuSVC,
    "nu fixes the share of support vectors, not the strength of a penalty, so that the penalty "
    "changes when a row is deleted. Fit skinfluence.svm.SmoothHingeSVC",
)


for _regressor in (SVR, NuSVR):
    refuse(
        _regressor,
        "its loss has no curvature between its kinks. Fit skinfluence.svm.SmoothEpsilonSVR",
    )


def _check_settings(estimator):
    """Raise for settings whose objective is not that of this module."""
    if estimator.penalty != "l2":
        raise NotImplementedError(
            "influence is not available for LinearSVC(penalty='l1'). Fit with penalty='l2'."
        )
    if len(estimator.classes_) > 2:
        if estimator.multi_class != "ovr":
            raise NotImplementedError(
                "influence is not available for LinearSVC(multi_class="
                f"{estimator.multi_class!r}). Use 'ovr'."
            )
        if estimator.class_weight is not None:
            raise NotImplementedError(
                "influence is not available for LinearSVC(class_weight=...) with more than two "
                "classes, whose weights differ between the binary models. Pass sample_weight, or "
                "fit one binary model for each class."
            )


@register(LinearSVC)
def adapt_linear_svc(estimator, data):
    """Return the objective of a fitted LinearSVC."""
    _check_settings(estimator)
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes))
    weight = weight * class_weights(estimator, data, weight)
    check_classes_have_weight(classes, codes, weight)
    squared = estimator.loss == "squared_hinge"
    binary, trained = (SquaredHingeLoss(),) * 2 if squared else (SURROGATE_HINGE, HingeLoss())
    loss, trained = (
        one if len(classes) == 2 else OneVsRestLoss(one, len(classes)) for one in (binary, trained)
    )
    trained = loss if squared else trained
    design = data.design(estimator.fit_intercept, centred=False)  # the intercept is penalised
    penalty = _with_intercept(estimator, design)
    y = codes.astype(np.float64) if loss.is_scalar else codes
    theta = design.pack(dense_coefficients(estimator), estimator.intercept_)
    objective = Objective(loss, design, y, weight, penalty, theta, trained)
    return Adapted(objective, classes, label_encoder(classes, y.dtype))


@register(LinearSVR)
def adapt_linear_svr(estimator, data):
    """Return the objective of a fitted LinearSVR with the squared loss."""
    if estimator.loss != "squared_epsilon_insensitive":
        raise NotImplementedError(
            f"influence is not available for LinearSVR(loss={estimator.loss!r}), which has no "
            "curvature between its kinks. Fit with loss='squared_epsilon_insensitive', or fit "
            "skinfluence.svm.SmoothEpsilonSVR."
        )
    y = as_responses(data.y, "y", n_outputs=1)
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(estimator.fit_intercept, centred=False)  # the intercept is penalised
    penalty = _with_intercept(estimator, design)
    theta = design.pack(dense_coefficients(estimator), estimator.intercept_)
    loss = SquaredEpsilonInsensitiveLoss(estimator.epsilon)
    objective = Objective(loss, design, y, weight, penalty, theta)
    return Adapted(objective, None, partial(as_responses, n_outputs=1), without_outputs)


def _with_intercept(estimator, design):
    """Return liblinear's penalty 1 / C, of the intercept b that of (b / intercept_scaling)^2."""
    strength = 1.0 / estimator.C
    intercept = strength / np.float64(estimator.intercept_scaling) ** 2
    return L2(design.join(np.full(design.n_features, strength), intercept)[0])


def svc_space(estimator, X):
    """Return the space of an SVC's kernel; None for the linear kernel."""
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
    """Return the objective of a fitted SVC, one machine for each pair of classes."""
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    sample_weight = check_sample_weight(data.sample_weight, len(codes))
    weight = sample_weight * estimator.class_weight_[codes]
    check_classes_have_weight(classes, codes, weight)
    loss, trained, link = SURROGATE_HINGE, HingeLoss(), None
    if len(classes) > 2:
        loss, trained = (OneVsOneLoss(one, len(classes)) for one in (loss, trained))
        shape, ties = estimator.decision_function_shape, estimator.break_ties
        link = OneVsOneLink(len(classes), shape, break_ties=ties)
    design = data.design(True)
    penalty = L2(design.join(np.full(design.n_features, 1.0 / estimator.C), 0.0)[0])
    alpha = _signed_alpha(estimator, codes, sample_weight)
    theta = np.zeros((loss.n_outputs, design.shape[1]))
    for k in range(len(theta)):
        coef = design.transpose_matmul(alpha[k])[: design.n_features]
        theta[k] = design.pack(coef, estimator.intercept_[k])[0]
    y = codes.astype(np.float64) if loss.is_scalar else codes
    objective = Objective(loss, design, y, weight, penalty, theta, trained)
    parameters = None
    if data.space is not None:
        parameters = partial(change_in_span, features=data.space.features)
    encode = label_encoder(classes, y.dtype)
    return Adapted(objective, classes, encode, parameters, own_link=link)


def _signed_alpha(estimator, codes, weight):
    """Signed dual variables of every machine on all training rows, (machines, n).

    libsvm stores those of the pair (i, j) in row j - 1 for the training rows of class i, and in row
    i for those of class j. It drops rows of weight 0 before it numbers its support vectors.
    """
    kept = np.flatnonzero(weight > 0)
    dual, support = estimator.dual_coef_, estimator.support_
    if support.max(initial=-1) >= len(kept) or estimator.shape_fit_[0] != len(codes):
        raise ValueError(
            f"the SVC was fitted on {estimator.shape_fit_[0]} rows; got {len(codes)} rows, "
            f"{len(kept)} of them with positive weight. Pass the rows and weights of its fit."
        )
    support = kept[support]
    dual = dual @ np.eye(dual.shape[1])  # dual_coef_ is sparse if X is; the product is an array
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
    """Return steps as dual coefficients (b, K, n) of the pivot rows, which span the others.

    Parameters
    ----------
    objective : Objective
        Objective in the features of a kernel.
    rows : ndarray of int, shape (b,)
        The deleted rows.
    steps : ndarray of shape (b, K, q)
        theta without each of these rows, minus theta.
    features : KernelFeatures
        Features of the training rows.

    Returns
    -------
    coef, intercept : ndarray of shape (b, K, n), ndarray of shape (b, K)
        Changes of the dual coefficients and the intercepts that give the change of the decision
        function.
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
