"""Compiled loops, the only package that imports numba.

Imported only inside the functions that use it, because importing numba takes 0.2 s. Signatures are
lazy, so that read-only memmaps and both index types are accepted; machine code is cached on disk.
"""

from skinfluence._kernels._csr import csr_row_quadratic, csr_weighted_gram
from skinfluence._kernels._elastic_net import elastic_net_sweeps
from skinfluence._kernels._hinge_path import drop, follow, gather, refine

__all__ = [
    "csr_row_quadratic",
    "csr_weighted_gram",
    "drop",
    "elastic_net_sweeps",
    "follow",
    "gather",
    "refine",
]
