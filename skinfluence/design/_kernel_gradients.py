"""Gradients of kernels in the features of one of their rows."""

from functools import partial

import numpy as np
from scipy.sparse import issparse

from skinfluence.design._kernel import kernel_matrix
from skinfluence.design._origin import far_origin

# Kernels whose gradient in y is p(x, y) x - q(x, y) y.
DIFFERENTIABLE = ("linear", "rbf", "poly", "polynomial", "sigmoid")


class KernelGradients:
    """Sums of gradients d k(x_j, y_i) / d y_i over the rows x_j of a matrix, for some rows y_i.

    The gradient of a function f = sum_j c_j k(x_j, .) at y is the sum with weights c. k is
    differentiated in its second argument alone: of the training row that moves, the first stays.

    Parameters
    ----------
    space : KernelSpace
        Of the kernel.
    X : ndarray or CSR of shape (m, p)
        The rows x_j.
    Y : ndarray or CSR of shape (r, p)
        The rows y_i.

    Raises
    ------
    NotImplementedError
        For a kernel without a gradient that is known here.
    """

    def __init__(self, space, X, Y):
        kernel, options = named(space)
        K = kernel_matrix(space.kernel, X, Y, **space.options).T
        gamma = options.get("gamma")
        gamma = 1.0 / X.shape[1] if gamma is None else gamma
        self.X, self.rows, self.isotropic = X, None, None
        if kernel == "rbf":
            self.factor = 2.0 * gamma * K
            self.curvature, self.isotropic = 4.0 * gamma**2 * K, 2.0 * gamma * K
            # About an origin among the rows: x_j - y_i of columns far from zero is a difference
            # of sums that agree in their first digits.
            origin = None if issparse(X) else far_origin(X, None)
            self.rows = dense(Y)
            if origin is not None:
                self.X, self.rows = X - origin, self.rows - origin
        elif kernel == "linear":
            self.factor, self.curvature = np.ones_like(K), np.zeros_like(K)
        elif kernel == "sigmoid":
            self.factor = gamma * (1.0 - K**2)
            self.curvature = -2.0 * gamma * K * self.factor
        else:
            degree, inner = options["degree"], gamma * dense(Y @ X.T) + options["coef0"]
            self.factor = degree * gamma * inner ** (degree - 1)
            self.curvature = np.zeros_like(inner)
            if degree not in (0, 1):  # inner may be 0
                self.curvature = degree * (degree - 1) * gamma**2 * inner ** (degree - 2)

    def sums(self, weights):
        """Sums (r, p) with weights (r, m) of the gradients in each row y_i."""
        weights = weights * self.factor
        total = np.asarray(weights @ self.X)
        if self.rows is not None:
            total -= weights.sum(axis=1)[:, None] * self.rows
        return total

    def each(self, weights):
        """Gradients (m, r, p) themselves, times weights (r, m)."""
        weights = (weights * self.factor).T[:, :, None]
        each = weights * dense(self.X)[:, None, :]
        if self.rows is not None:
            each -= weights * self.rows
        return each

    def hessians(self, weights):
        """Second derivatives (r, p, p) in each row y_i of the sums with weights (r, m)."""
        X, p = dense(self.X), self.X.shape[1]
        found = np.empty((len(weights), p, p))
        for i, weight in enumerate(weights * self.curvature):
            about = X if self.rows is None else X - self.rows[i]
            found[i] = (about.T * weight) @ about
        if self.isotropic is not None:
            found -= np.sum(weights * self.isotropic, axis=1)[:, None, None] * np.eye(p)
        return found


def named(space):
    """Name and options of a space's kernel; raise where its gradient is not known."""
    kernel, options = space.kernel, space.options
    if isinstance(kernel, partial) and "metric" in kernel.keywords:
        options = kernel.keywords
        kernel = options["metric"]
    if isinstance(kernel, str) and kernel in DIFFERENTIABLE:
        return kernel, options
    if kernel == "precomputed":
        raise NotImplementedError(
            "kernel='precomputed' says nothing of the features of the rows: nothing is known of a "
            "move. Fit with a kernel by name."
        )
    told = f"kernel={kernel!r}" if isinstance(kernel, str) else "a callable kernel"
    raise NotImplementedError(
        f"the gradient of {told} in the features is not known. Fit with kernel='linear', 'rbf', "
        "'poly' or 'sigmoid', or pass a displacement, which needs the kernel alone."
    )


def dense(X):
    """Return a matrix as a float64 array."""
    return np.asarray(X.toarray() if issparse(X) else X, dtype=np.float64)
