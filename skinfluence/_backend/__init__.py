"""Dense linear algebra: of NumPy arrays, and of the arrays of other libraries where they lie."""

from skinfluence._backend._array_api import (
    HAS_ARRAY_API,
    ArrayLibrary,
    array_library,
    as_numpy,
)
from skinfluence._backend._dense import (
    add_gram,
    apply_blocks,
    cholesky,
    cholesky_inverse,
    cholesky_solve,
    corner_inverses,
    gram,
    integer_power,
    inverse_factor,
    reciprocal_condition,
    solve_blocks,
    symmetric_eigenvalues,
    unit_norm,
)

__all__ = [
    "HAS_ARRAY_API",
    "ArrayLibrary",
    "add_gram",
    "apply_blocks",
    "array_library",
    "as_numpy",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "corner_inverses",
    "gram",
    "integer_power",
    "inverse_factor",
    "reciprocal_condition",
    "solve_blocks",
    "symmetric_eigenvalues",
    "unit_norm",
]
