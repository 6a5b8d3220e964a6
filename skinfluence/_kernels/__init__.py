"""Compiled loops, the only package that imports numba.

Imported only inside the functions that use it: numba takes 0.2 s. `_compiled` has the decorator of
all of them: machine code is cached on disk for the next process, where that is possible.
"""

from skinfluence._kernels._csr import (
    csr_conjugate_gradients,
    csr_kernel,
    csr_row_quadratic,
    csr_weighted_gram,
)
from skinfluence._kernels._elastic_net import elastic_net_optimum
from skinfluence._kernels._hinge_path import drop, follow, gather, refine
from skinfluence._kernels._row_space import add_kernel_product, conjugate_step

__all__ = [
    "add_kernel_product",
    "conjugate_step",
    "csr_conjugate_gradients",
    "csr_kernel",
    "csr_row_quadratic",
    "csr_weighted_gram",
    "drop",
    "elastic_net_optimum",
    "follow",
    "gather",
    "refine",
]
