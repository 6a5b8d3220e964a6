"""Least squares: half of sum_i s_i (y_i - f(x_i))^2 + alpha |w|^2."""

from functools import partial

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    LinearRegression,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
)
from sklearn.utils.class_weight import compute_sample_weight

from skinfluence._validation import (
    as_responses,
    check_classes_have_weight,
    check_sample_weight,
    encode_labels,
    label_encoder,
)
from skinfluence.adapters._registry import Adapted, register
from skinfluence.design import KernelSpace, named_kernel
from skinfluence.losses import OneVsRestLoss, SquaredLabelLoss, SquaredLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2


def _check_settings(estimator):
    """Raise for settings whose objective is not that of this module."""
    if getattr(estimator, "positive", False):
        raise NotImplementedError(
            "influence is not available with positive=True: the optimum lies on a constraint. Fit "
            "with positive=False."
        )


def least_squares(data, alpha, fit_intercept, theta=None):
    """Return the objective of a penalised least-squares fit at theta, by default 0.

    `alpha` is one number, or one number for each response.
    """
    y = as_responses(data.y, "y")
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(fit_intercept)
    penalty = l2_of(design, alpha)
    if theta is None:
        theta = np.zeros((n_outputs, design.shape[1]))
    return Objective(SquaredLoss(n_outputs), design, y, weight, penalty, theta)


def l2_of(design, alpha):
    """Return the penalty alpha / 2 |w|^2, with one alpha or one for each output."""
    each = np.ravel(np.asarray(alpha, dtype=float))
    strength = design.join(np.tile(each[:, None], (1, design.n_features)), np.zeros(len(each)))
    return L2(strength[0] if (each == each[0]).all() else strength)


def adapted_least_squares(objective, *, flat):
    """Return a least-squares objective in normal form; `flat` if coef_ has no axis of outputs."""
    encode = partial(as_responses, n_outputs=objective.n_outputs)
    return Adapted(objective, None, encode, without_outputs if flat else None)


def without_outputs(objective, rows, steps):
    """Changes of coef_ (p,) and of a single intercept."""
    coef, intercept = objective.design.unpack(steps)
    return coef[:, 0], intercept[:, 0]


@register(LinearRegression)
@register(Ridge)
@register(RidgeCV)
def adapt_ridge(estimator, data):
    """Return the objective of a fitted LinearRegression, Ridge or RidgeCV, at its chosen alpha."""
    _check_settings(estimator)
    alpha = getattr(estimator, "alpha_", getattr(estimator, "alpha", 0.0))
    objective = least_squares(data, alpha, estimator.fit_intercept)
    theta = objective.design.pack(estimator.coef_, estimator.intercept_)
    return adapted_least_squares(objective.at(theta), flat=np.ndim(estimator.coef_) == 1)


@register(RidgeClassifier)
@register(RidgeClassifierCV)
def adapt_ridge_classifier(estimator, data):
    """Return the objective of a fitted RidgeClassifier: least squares of -1 and 1 for each class.

    The class weights "balanced" are computed from counts of rows, not from sample weights, as in
    scikit-learn, and held fixed.
    """
    _check_settings(estimator)
    if np.ndim(data.y) > 1:
        raise NotImplementedError(
            "influence is not available for y with several labels for each row. Fit one "
            "RidgeClassifier for each label."
        )
    classes = estimator.classes_
    if len(classes) < 2:
        raise ValueError(
            f"influence on a classifier needs at least 2 classes; y has the 1 class {classes[0]}."
        )
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes))
    if estimator.class_weight:
        weight = weight * compute_sample_weight(estimator.class_weight, data.y)
    check_classes_have_weight(classes, codes, weight)
    binary = len(classes) == 2
    loss = SquaredLabelLoss() if binary else OneVsRestLoss(SquaredLabelLoss(), len(classes))
    design = data.design(estimator.fit_intercept)
    penalty = l2_of(design, getattr(estimator, "alpha_", getattr(estimator, "alpha", None)))
    y = codes.astype(np.float64) if binary else codes
    theta = design.pack(estimator.coef_, estimator.intercept_)
    objective = Objective(loss, design, y, weight, penalty, theta)
    parameters = flat_coefficients if np.ndim(estimator.coef_) == 1 else None
    return Adapted(objective, classes, label_encoder(classes, y.dtype), parameters)


def flat_coefficients(objective, rows, steps):
    """Changes of coef_ (p,) and of intercepts (1,)."""
    coef, intercept = objective.design.unpack(steps)
    return coef[:, 0], intercept


def kernel_ridge_space(estimator, X):
    """Return the space of a KernelRidge's kernel; None if linear."""
    if estimator.kernel in ("linear", "precomputed"):
        return None if estimator.kernel == "linear" else KernelSpace(X, "precomputed")
    if callable(estimator.kernel):
        options = estimator.kernel_params or {}
    else:
        names = ("gamma", "degree", "coef0")
        options = {name: getattr(estimator, name) for name in names}
    kernel = partial(named_kernel, metric=estimator.kernel, **options)
    return KernelSpace(X, kernel)


def check_penalised(alpha):
    """Raise where an alpha of a KernelRidge is 0."""
    if not np.all(np.asarray(alpha) > 0):
        raise NotImplementedError(
            f"influence on a kernel ridge regression with alpha={alpha} is not available: where "
            "the kernel has full rank it passes through all training rows. Fit with a positive "
            "alpha."
        )


@register(KernelRidge, space=kernel_ridge_space)
def adapt_kernel_ridge(estimator, data):
    """Return the objective of a fitted KernelRidge."""
    check_penalised(estimator.alpha)
    objective = least_squares(data, estimator.alpha, False)
    theta = objective.design.transpose_matmul(np.asarray(estimator.dual_coef_)).T
    theta = theta.reshape(objective.theta.shape)
    flat = np.ndim(estimator.dual_coef_) == 1
    return adapted_dual(objective.at(theta), alpha=estimator.alpha, flat=flat)


def adapted_dual(objective, *, alpha, flat):
    """Return a least-squares objective in normal form, with dual coefficients as parameters."""
    encode = partial(as_responses, n_outputs=objective.n_outputs)
    return Adapted(objective, None, encode, partial(_dual_change, alpha=alpha, flat=flat))


def _dual_change(objective, rows, steps, *, alpha, flat):
    """Change of the dual coefficients -g / alpha, (b, n, K) or (b, n), and of the intercepts.

    g are the weighted residuals after the step; that of the deleted row is 0.
    """
    alpha = np.asarray(alpha, dtype=np.float64)
    moved = np.stack([objective.design @ steps[:, k].T for k in range(objective.n_outputs)])
    moved = moved.transpose(2, 0, 1)
    change = -(objective.sample_weight * moved).transpose(0, 2, 1) / alpha
    at = np.arange(len(rows)), rows
    change[at] = objective.residuals[rows] / alpha
    change[~np.isfinite(moved).all(axis=(1, 2))] = np.nan
    intercept = objective.design.unpack(steps)[1]
    return (change[:, :, 0], intercept[:, 0]) if flat else (change, intercept)
