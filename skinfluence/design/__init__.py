"""The design Z = [X, 1]: the only package that asks whether X is sparse or has an intercept."""

from scipy.sparse import issparse

from skinfluence.design._base import Design
from skinfluence.design._csr import CSRDesign
from skinfluence.design._dense import DenseDesign
from skinfluence.design._kernel import KERNELS, KernelSpace, resolved_gamma
from skinfluence.design._kernel_features import FeatureDesign, KernelFeatures

__all__ = [
    "KERNELS",
    "CSRDesign",
    "DenseDesign",
    "Design",
    "FeatureDesign",
    "KernelFeatures",
    "KernelSpace",
    "make_design",
    "resolved_gamma",
]


def make_design(X, fit_intercept):
    """Return the design of a validated X, dense or CSR, without copying it."""
    return (CSRDesign if issparse(X) else DenseDesign)(X, fit_intercept)
