"""The design Z = [X, 1]: the only place that knows sparsity and where the intercept is."""

from scipy.sparse import issparse

from skinfluence.design._base import Design
from skinfluence.design._csr import CSRDesign
from skinfluence.design._dense import DenseDesign
from skinfluence.design._kernel_features import FeatureDesign, KernelFeatures

__all__ = [
    "CSRDesign",
    "DenseDesign",
    "Design",
    "FeatureDesign",
    "KernelFeatures",
    "entry_variance",
    "make_design",
]


def entry_variance(X, weight):
    """Variance of all entries of a matrix, stored or not, rows counted by their weights."""
    share = weight / (weight.sum() * X.shape[1])
    if issparse(X):
        mean = float((X.T @ share).sum())
        return float((X.multiply(X).T @ share).sum()) - mean**2
    mean = float((share @ X).sum())
    return float((share @ (X - mean) ** 2).sum())


def make_design(X, fit_intercept):
    """Return the design of a validated X, dense or CSR, without copying it."""
    return (CSRDesign if issparse(X) else DenseDesign)(X, fit_intercept)
