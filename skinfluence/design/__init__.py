"""The design Z = [X, 1]: the only place that knows sparsity and where the intercept is."""

import numpy as np
from scipy.sparse import issparse

from skinfluence.design._base import Design
from skinfluence.design._csr import CSRDesign
from skinfluence.design._dense import DenseDesign
from skinfluence.design._kernel_features import KernelFeatures

__all__ = ["CSRDesign", "DenseDesign", "Design", "KernelFeatures", "entry_variance", "make_design"]


def entry_variance(X):
    """Variance of all entries of a matrix, stored or not."""
    if issparse(X):
        return float(X.multiply(X).mean() - X.mean() ** 2)
    return float(X.var(dtype=np.float64))


def make_design(X, fit_intercept):
    """Return the design of a validated X, dense or CSR, without copying it."""
    return (CSRDesign if issparse(X) else DenseDesign)(X, fit_intercept)
