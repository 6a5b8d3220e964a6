"""The design Z = [X, 1]: the only package that knows of sparsity, the intercept and the origin."""

import numpy as np
from scipy.sparse import csr_array, issparse

from skinfluence._sources import RowBlocks
from skinfluence._validation import as_numbers
from skinfluence.design._base import Design
from skinfluence.design._blocks import BlocksDesign
from skinfluence.design._csr import CSRDesign
from skinfluence.design._dense import DenseDesign
from skinfluence.design._dependence import Dependence, column_dependence
from skinfluence.design._kernel import (
    KERNELS,
    PROVEN_KERNELS,
    KernelSpace,
    named_kernel,
    resolved_gamma,
)
from skinfluence.design._kernel_features import FeatureDesign, KernelFeatures
from skinfluence.design._kernel_gradients import KernelGradients
from skinfluence.design._origin import far_origin

__all__ = [
    "KERNELS",
    "PROVEN_KERNELS",
    "BlocksDesign",
    "CSRDesign",
    "DenseDesign",
    "Dependence",
    "Design",
    "FeatureDesign",
    "KernelFeatures",
    "KernelGradients",
    "KernelSpace",
    "column_dependence",
    "dense_design",
    "far_origin",
    "make_design",
    "moved_rows",
    "named_kernel",
    "resolved_gamma",
]


def make_design(X, fit_intercept, origin=None):
    """Return the design of a validated X, dense, CSR or in blocks, without copying it.

    About an `origin` (p,), a CSR matrix is copied: its columns far from zero are stored centred.
    """
    if isinstance(X, RowBlocks):
        return BlocksDesign(X, fit_intercept, origin)
    return (CSRDesign if issparse(X) else DenseDesign)(X, fit_intercept, origin)


def dense_design(Y, like, largest_kernel=0.0):
    """Return the design of a dense matrix of any width, with an intercept if another has one.

    Where Y are features found from a kernel matrix, of which `largest_kernel` is the largest entry,
    they have its rounding.
    """
    return DenseDesign(Y, like.fit_intercept, largest_kernel=largest_kernel)


def moved_rows(X, displacement):
    """Return rows (r, p) of X plus a displacement (r, p) or (p,), in the storage of X.

    Raises
    ------
    ValueError
        For a displacement of another shape, or one that is not finite.
    """
    if not issparse(displacement):
        displacement = as_numbers("displacement", displacement)
    if displacement.shape not in (X.shape, X.shape[1:]):
        raise ValueError(
            f"displacement should have shape {X.shape}, one row for each training row asked about, "
            f"or {X.shape[1:]}; got {displacement.shape}."
        )
    values = displacement.data if issparse(displacement) else displacement
    if not np.isfinite(values).all():
        raise ValueError("displacement should be finite; it contains NaN or infinity.")
    if not issparse(X):
        added = displacement.toarray() if issparse(displacement) else displacement
        return (X.astype(np.float64) + added).astype(X.dtype)
    if displacement.ndim == 1:
        displacement = np.broadcast_to(displacement, X.shape)
    return csr_array((X.astype(np.float64) + csr_array(displacement)).astype(X.dtype))
