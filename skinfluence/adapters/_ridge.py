"""Least squares: sum_i s_i (y_i - f(x_i))^2 + alpha |w|^2, halved."""

import numbers
from functools import partial

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics.pairwise import pairwise_kernels

from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters._registry import Adapted, register
from skinfluence.design import KernelSpace
from skinfluence.losses import SquaredLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2


def _check_settings(estimator):
    """Raise for settings whose objective is another one."""
    if getattr(estimator, "positive", False):
        raise NotImplementedError(
            "influence under positive=True is not available: the optimum lies on a constraint."
        )
    alpha = getattr(estimator, "alpha", 0.0)
    if not isinstance(alpha, numbers.Real):
        raise NotImplementedError(
            f"an alpha for each target is not available; got {alpha!r}. Fit one model a target."
        )


def least_squares(data, alpha, fit_intercept, theta=None):
    """Objective of a penalised least-squares fit at theta, by default 0."""
    y = as_responses(data.y, "y")
    n_outputs = 1 if y.ndim == 1 else y.shape[1]
    weight = check_sample_weight(data.sample_weight, len(y))
    design = data.design(fit_intercept)
    penalty = L2(design.pack(np.full(design.n_features, float(alpha)), 0.0)[0])
    if theta is None:
        theta = np.zeros((n_outputs, design.shape[1]))
    return Objective(SquaredLoss(n_outputs), design, y, weight, penalty, theta)


def adapted_least_squares(objective, *, flat):
    """Return the normal form; `flat` where coef_ has no axis of outputs."""
    encode = partial(as_responses, n_outputs=objective.n_outputs)
    return Adapted(objective, None, encode, without_outputs if flat else None)


def without_outputs(objective, rows, steps):
    """Changes of coef_ (p,) and of a single intercept."""
    coef, intercept = objective.design.unpack(steps)
    return coef[:, 0], intercept[:, 0]


@register(LinearRegression)
@register(Ridge)
def adapt_ridge(estimator, data):
    """Return the objective of a fitted Ridge or LinearRegression."""
    _check_settings(estimator)
    objective = least_squares(data, getattr(estimator, "alpha", 0.0), estimator.fit_intercept)
    theta = objective.design.pack(estimator.coef_, estimator.intercept_)
    return adapted_least_squares(objective.at(theta), flat=np.ndim(estimator.coef_) == 1)


def kernel_ridge_space(estimator, X):
    """Space of a KernelRidge's kernel, as scikit-learn computes it; None for the linear one."""
    if estimator.kernel in ("linear", "precomputed"):
        return None if estimator.kernel == "linear" else KernelSpace(X, "precomputed")
    if callable(estimator.kernel):
        options = estimator.kernel_params or {}
    else:
        names = ("gamma", "degree", "coef0")
        options = {name: getattr(estimator, name) for name in names}
    kernel = partial(pairwise_kernels, metric=estimator.kernel, filter_params=True, **options)
    return KernelSpace(X, kernel)


@register(KernelRidge, space=kernel_ridge_space)
def adapt_kernel_ridge(estimator, data):
    """Return the objective of a fitted KernelRidge."""
    _check_settings(estimator)
    objective = least_squares(data, estimator.alpha, False)
    theta = objective.design.transpose_matmul(np.asarray(estimator.dual_coef_)).T
    theta = theta.reshape(objective.theta.shape)
    flat = np.ndim(estimator.dual_coef_) == 1
    return adapted_dual(objective.at(theta), alpha=estimator.alpha, flat=flat)


def adapted_dual(objective, *, alpha, flat):
    """The same, with parameters in the span of the training rows."""
    encode = partial(as_responses, n_outputs=objective.n_outputs)
    return Adapted(objective, None, encode, partial(_dual_change, alpha=alpha, flat=flat))


def _dual_change(objective, rows, steps, *, alpha, flat):
    """Change of the dual coefficients -g / alpha, (b, n, K) or (b, n), and of the intercepts.

    g are the residuals at the moved predictors; the deleted row's own is gone.
    """
    moved = np.moveaxis(
        np.stack([objective.design @ steps[:, k].T for k in range(objective.n_outputs)]), 2, 0
    )
    change = -(objective.sample_weight * moved).transpose(0, 2, 1) / alpha
    at = np.arange(len(rows)), rows
    change[at] = objective.residuals[rows] / alpha
    intercept = objective.design.unpack(steps)[1]
    return (change[:, :, 0], intercept[:, 0]) if flat else (change, intercept)
