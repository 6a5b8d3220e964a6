"""Kernels by name, as scikit-learn's SVC has them."""

import numbers

import numpy as np
from sklearn.metrics.pairwise import pairwise_kernels

from skinfluence.design import entry_variance

KERNELS = ("linear", "rbf", "poly", "sigmoid", "precomputed")


def resolved_gamma(gamma, X, weight):
    """Return the number that `gamma` stands for on these rows."""
    if isinstance(gamma, str):
        if gamma == "auto":
            return 1.0 / X.shape[1]
        if gamma == "scale":
            variance = entry_variance(X, weight)
            return 1.0 / (X.shape[1] * variance) if variance > 0 else 1.0
        raise ValueError(f"gamma should be 'scale', 'auto' or a number; got {gamma!r} instead.")
    if not isinstance(gamma, numbers.Real) or isinstance(gamma, bool):
        raise TypeError(f"gamma should be 'scale', 'auto' or a number; got {gamma!r} instead.")
    if not 0 <= gamma < np.inf:
        raise ValueError(f"gamma should be a finite number of at least 0; got {gamma!r}.")
    return float(gamma)


def kernel_matrix(kernel, X, Y, *, gamma, degree, coef0):
    """Kernel between the rows of X and of Y, (len(X), len(Y)), float64."""
    if callable(kernel):
        K = np.asarray(kernel(X, Y), dtype=np.float64)
        if K.shape != (X.shape[0], Y.shape[0]):
            raise ValueError(
                f"kernel(X, Y) should return shape {(X.shape[0], Y.shape[0])}; got {K.shape}."
            )
        return K
    options = {"gamma": gamma, "degree": degree, "coef0": coef0}
    return pairwise_kernels(_float64(X), _float64(Y), metric=kernel, filter_params=True, **options)


def _float64(X):
    """Upcast: kernels in float32 are positive semidefinite to 1e-6 only."""
    return X.astype(np.float64, copy=False)
