"""Kernels by name, as in scikit-learn's SVC, and the coordinates of a kernel's space."""

import numbers

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics.pairwise import pairwise_kernels

from skinfluence._memory import check_memory
from skinfluence.design._kernel_features import FeatureDesign, KernelFeatures

KERNELS = ("linear", "rbf", "poly", "sigmoid", "precomputed")


def resolved_gamma(gamma, X, weight):
    """Return the value of `gamma` for these rows, "scale" with the weighted variance of X."""
    if isinstance(gamma, str):
        if gamma == "auto":
            return 1.0 / X.shape[1]
        if gamma == "scale":
            variance = _entry_variance(X, weight)
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


class KernelSpace:
    """The space of a kernel, in coordinates Phi of the training rows with Phi Phi' = K.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, p)
        Training rows, copied; their kernel matrix for kernel="precomputed".
    kernel : str or callable
    gamma : float or None
        A number, see `resolved_gamma`.
    degree, coef0 : float
        Parameters of the kernels that have them.

    Attributes
    ----------
    features : KernelFeatures
    matrix : ndarray of shape (n, n) or None
        K; None after unpickling.

    Raises
    ------
    ValueError
        If K is not symmetric, or indefinite.
    """

    def __init__(self, X, kernel, *, gamma=None, degree=3, coef0=0.0):
        self.kernel = kernel
        self.options = {"gamma": gamma, "degree": degree, "coef0": coef0}
        precomputed = kernel == "precomputed"
        check_memory(
            8 * 3 * X.shape[0] ** 2,
            f"the kernel matrix of {X.shape[0]} rows and its factor",
            "fit fewer rows, or a linear model on the features of "
            "sklearn.kernel_approximation.Nystroem",
        )
        self.matrix = X if precomputed else kernel_matrix(kernel, X, X, **self.options)
        self.features = KernelFeatures(self.matrix)
        # Copies: predictions need these rows, and a later change of X could not be noticed.
        self.rows = None if precomputed else X.copy()
        self.pivot_rows = None if precomputed else X[self.features.pivots].copy()

    def with_training_rows(self, X):
        """Kernel of rows with the training rows, (len(X), n)."""
        return X if self.rows is None else kernel_matrix(self.kernel, X, self.rows, **self.options)

    def map(self, X):
        """Features of any rows, (len(X), r)."""
        if self.rows is None:
            return self.features.map(X[:, self.features.pivots])
        return self.features.map(kernel_matrix(self.kernel, X, self.pivot_rows, **self.options))

    def design(self, fit_intercept):
        """Return the design of the training rows."""
        return FeatureDesign(self.features.features, fit_intercept, self.matrix)

    def __getstate__(self):
        """State without the kernel matrix, which is Phi Phi'."""
        return {**self.__dict__, "matrix": None}


def _entry_variance(X, weight):
    """Variance of all entries of a matrix, zeros included, with rows weighted by `weight`."""
    share = weight / (weight.sum() * X.shape[1])
    if issparse(X):
        mean = float((X.T @ share).sum())
        return float((X.multiply(X).T @ share).sum()) - mean**2
    mean = float((share @ X).sum())
    return float((share @ (X - mean) ** 2).sum())


def _float64(X):
    """Upcast to float64: kernels in float32 are positive semidefinite only to 1e-6."""
    return X.astype(np.float64, copy=False)
