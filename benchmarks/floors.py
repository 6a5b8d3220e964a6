"""What no exact method can do without, as calls of one BLAS: SciPy's.

All in one library on purpose: NumPy and SciPy bring an OpenBLAS each, and the threads of one keep
spinning on the cores for a moment when the other begins.
"""

import numpy as np
from scipy.linalg.blas import dgemm, dsyrk, dtrsm


def _directions(problem, rows):
    """Any test-side solves S (rows, n_test), Fortran-ordered."""
    return np.asfortranarray(
        np.random.default_rng(2).standard_normal((rows, problem.X_test.shape[0]))
    )


def gram_and_product(problem):
    """Gram matrix of X (the class blocks', K (K + 1) / 2 of them) and one product with S."""
    X, K = np.ascontiguousarray(problem.X, dtype=np.float64), problem.n_classes
    K = K if K > 2 else 1
    wide = np.ascontiguousarray(np.tile(X, (1, K))) if K > 1 else X
    S = _directions(problem, wide.shape[1])

    def floor():
        for _ in range(K * (K + 1) // 2):
            dsyrk(1.0, X.T)
        dgemm(1.0, wide.T, S, trans_a=1)

    return floor


def gram_and_blocked_product(problem):
    """The same without ever holding the product."""
    X, S = problem.X, _directions(problem, problem.X.shape[1])

    def floor():
        dsyrk(1.0, X.T)
        for start in range(0, len(X), 4096):
            dgemm(1.0, X[start : start + 4096].T, S, trans_a=1)

    return floor


def gram_and_leverage(problem):
    """Gram matrix of X and one triangular solve with every row."""
    X = problem.X
    R = np.asfortranarray(np.linalg.cholesky(X.T @ X).T)

    def floor():
        dsyrk(1.0, X.T)
        dtrsm(1.0, R, X.T, trans_a=1)

    return floor


def gemm_pair(problem):
    """Predictors of n deleted models at n rows, and gradients of their residuals, in blocks."""
    X, n = problem.X, len(problem.y)
    T = _directions_of_rows(problem)

    def floor():
        for start in range(0, n, 512):
            eta = dgemm(1.0, X.T, T[:, start : start + 512], trans_a=1)
            dgemm(1.0, X.T, eta)

    return floor


def _directions_of_rows(problem):
    """Any step for each training row (p, n), Fortran-ordered."""
    return np.asfortranarray(np.random.default_rng(2).standard_normal(problem.X.shape[::-1]))


def sparse_product(problem):
    """One sparse product with S; an inverse takes a hundred or so."""
    X, S = problem.X, np.ascontiguousarray(_directions(problem, problem.X.shape[1]))
    return lambda: X @ S


FLOORS = {
    "dsyrk + dgemm": gram_and_product,
    "dsyrk + dgemm in blocks": gram_and_blocked_product,
    "dsyrk + dtrsm": gram_and_leverage,
    "one product X @ S": sparse_product,
    "a pair of products Z @ T, Z' @ R": gemm_pair,
}
