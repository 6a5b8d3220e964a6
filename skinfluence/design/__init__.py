"""The design Z = [X, 1]: the only package that knows of sparsity, the intercept and the origin."""

from scipy.sparse import issparse

from skinfluence.design._base import Design
from skinfluence.design._csr import CSRDesign
from skinfluence.design._dense import DenseDesign
from skinfluence.design._dependence import Dependence, column_dependence
from skinfluence.design._kernel import KERNELS, KernelSpace, named_kernel, resolved_gamma
from skinfluence.design._kernel_features import FeatureDesign, KernelFeatures
from skinfluence.design._origin import far_origin

__all__ = [
    "KERNELS",
    "CSRDesign",
    "DenseDesign",
    "Dependence",
    "Design",
    "FeatureDesign",
    "KernelFeatures",
    "KernelSpace",
    "column_dependence",
    "far_origin",
    "make_design",
    "named_kernel",
    "resolved_gamma",
]


def make_design(X, fit_intercept, origin=None):
    """Return the design of a validated X, dense or CSR, without copying it.

    About an `origin` (p,), a CSR matrix is copied: its columns far from zero are stored centred.
    """
    return (CSRDesign if issparse(X) else DenseDesign)(X, fit_intercept, origin)
