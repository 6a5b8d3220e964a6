"""Dense linear algebra, the one place that names BLAS and LAPACK routines.

Small on purpose: what is here is all that a different array library would have to offer.
"""

import numpy as np
from scipy.linalg import get_lapack_funcs
from scipy.linalg.blas import dsyrk


def add_gram(G, B, sign=1.0):
    """Add sign * B'B to the upper triangle of the Fortran-ordered G, in place; B is C-ordered.

    dsyrk does half the work of a GEMM, and reads B.T of a C-ordered block without a copy.
    """
    if B.shape[0]:
        dsyrk(sign, B.T, beta=1.0, c=G, overwrite_c=1)


def symmetrise(G):
    """Copy the upper triangle of G onto the lower one, in place, and return G."""
    # By column panels: indexing with a whole triangle would build two index arrays as large as G.
    size, step = G.shape[0], 512
    for start in range(0, size, step):
        stop = min(start + step, size)
        square = G[start:stop, start:stop]
        lower = np.tril_indices(stop - start, -1)
        square[lower] = square.T[lower]
        G[stop:, start:stop] = G[start:stop, stop:].T
    return G


def cholesky(H):
    """Return the upper factor R with H = R'R, or None where H is not positive definite."""
    (potrf,) = get_lapack_funcs(("potrf",), (H,))
    R, info = potrf(H, lower=False, clean=True, overwrite_a=False)
    return R if info == 0 else None


def cholesky_solve(R, V):
    """Return (R'R)^-1 V."""
    (potrs,) = get_lapack_funcs(("potrs",), (R, V))
    x, info = potrs(R, V, lower=False)
    if info != 0:  # pragma: no cover - only for illegal arguments
        raise ValueError(f"potrs: illegal argument {-info}")
    return x


def inverse_factor(R):
    """Return R^-1, upper triangular."""
    (trtri,) = get_lapack_funcs(("trtri",), (R,))
    inverse, info = trtri(R, lower=False)
    if info > 0:
        raise np.linalg.LinAlgError("singular triangular factor")
    return inverse


def reciprocal_condition(R):
    """Estimate 1 / cond(R'R) in the 1-norm, after scaling R'R to a unit diagonal.

    The scaling takes units of measurement out of the answer: Cholesky's own error does not see
    them either.
    """
    if R.shape[0] == 0:
        return 1.0
    scaled = R / np.sqrt(np.einsum("ij,ij->j", R, R))
    norm = np.abs(scaled.T @ scaled).sum(axis=0).max()
    (pocon,) = get_lapack_funcs(("pocon",), (scaled,))
    rcond, _ = pocon(np.asfortranarray(scaled), norm)
    return float(rcond)


def solve_blocks(A, B):
    """Solve A_i x_i = b_i for stacks A (n, K, K) and B (n, K)."""
    if A.shape[1] == 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            return B / A[:, :, 0]
    return np.linalg.solve(A, B[:, :, None])[:, :, 0]


def apply_blocks(A, B):
    """Return A_i b_i for stacks A (n, K, K) and B (n, K)."""
    if A.shape[1] == 1:
        return A[:, :, 0] * B
    return np.matmul(A, B[:, :, None])[:, :, 0]
