"""Dense linear algebra of NumPy arrays, the only module that names BLAS and LAPACK routines.

Small on purpose: another array library would have to offer these functions and no others. Long
computations go through NumPy's BLAS alone. NumPy and SciPy bring one OpenBLAS each, whose threads
wait by spinning: a SciPy routine after a NumPy product finds the cores busy, and a Cholesky factor
of 300 columns that takes 1 ms alone took 17 to 230 ms.
"""

from itertools import pairwise

import numpy as np
from scipy.linalg import get_lapack_funcs

from skinfluence._parallel import n_threads, one_thread

# Up to this size LAPACK stays on one thread, so that it does not compete with the threads of NumPy.
SMALL = 64
PANEL = 256  # columns of a triangle that are multiplied together
ROWS = 64  # of a matrix that is read block by block


def add_gram(G, B, sign=1.0):
    """Add sign * B'B to G, in place; NumPy computes a matrix times its own transpose by syrk."""
    if B.shape[0]:
        product = gram(B)
        if sign == 1.0:
            G += product
        else:
            G -= product


def gram(B):
    """B'B."""
    return B.T @ B


def cholesky(H, *, overwrite=False):
    """Return the upper factor R with H = R'R, or None where H is not positive definite.

    `overwrite` allows to write R over a C-ordered H.
    """
    if len(H) and n_threads() == 1:
        # NumPy's copies the matrix column by column: at 4,000 columns half of its time.
        (potrf,) = get_lapack_funcs(("potrf",), (H,))
        own = H.T if overwrite else np.array(H.T, order="F")
        lower, info = potrf(own, lower=True, clean=True, overwrite_a=True)
        return lower.T if info == 0 else None
    try:
        with one_thread():
            return np.linalg.cholesky(H).T
    except np.linalg.LinAlgError:
        return None


def cholesky_solve(R, V, corners=None):
    """Return (R'R)^-1 V by block substitution, forward with R' and then backward with R.

    Only the diagonal blocks, of SMALL rows, are inverted; nearly all flops are matrix products.
    `corners` are those of an earlier call, see `corner_inverses`.
    """
    corners = corner_inverses(R) if corners is None else corners
    X = np.array(V, dtype=R.dtype, order="C")
    for rows, inverse in corners:
        if rows.start:
            X[rows] -= R[: rows.start, rows].T @ X[: rows.start]
        X[rows] = inverse.T @ X[rows]
    for rows, inverse in reversed(corners):
        if rows.stop < len(R):
            X[rows] -= R[rows, rows.stop :] @ X[rows.stop :]
        X[rows] = inverse @ X[rows]
    return X


def cholesky_inverse(R):
    """Return (R'R)^-1, symmetric; on one thread by LAPACK, in the memory of the result alone."""
    if len(R) == 0 or n_threads() > 1:
        inverse = inverse_factor(R)
        return inverse @ inverse.T
    (potri,) = get_lapack_funcs(("potri",), (R,))
    found, info = potri(np.array(R.T, order="F"), lower=True, overwrite_c=True)
    if info > 0:
        raise np.linalg.LinAlgError("singular triangular factor")
    upper = found.T
    for part in _panels(len(R)):  # LAPACK fills one triangle
        corner = upper[part, part]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T
        upper[part.stop :, part] = upper[part, part.stop :].T
    return upper


def corner_inverses(R):
    """Return (slice, inverse) of the diagonal blocks of a triangle, for `cholesky_solve`."""
    edges = [*range(0, len(R), SMALL), len(R)]
    return [
        (slice(start, stop), _small_inverse(R[start:stop, start:stop]))
        for start, stop in pairwise(edges)
    ]


def _small_inverse(R, overwrite=False):
    """R^-1 for an upper triangle by LAPACK, which takes one thread up to SMALL rows."""
    (trtri,) = get_lapack_funcs(("trtri",), (R,))
    lower = R.flags.c_contiguous  # its transpose is what LAPACK reads without a copy
    own = R.T if lower else np.asfortranarray(R)
    inverse, info = trtri(own, lower=lower, overwrite_c=overwrite)
    if info > 0:
        raise np.linalg.LinAlgError("singular triangular factor")
    return inverse.T if lower else inverse


def inverse_factor(R, *, overwrite=False):
    """Return R^-1, upper triangular, by recursion on halves; nearly all flops are products.

    On one thread LAPACK takes no more flops than these. `overwrite` allows to write it over R.
    """
    if len(R) and n_threads() == 1:
        return _small_inverse(R, overwrite)
    inverse = np.zeros(R.shape)
    if len(R):
        _invert_into(R, inverse)
    return inverse


def _invert_into(R, inverse):
    """Write R^-1 into an array of zeros: [[A, B], [0, D]]^-1 = [[A^-1, -A^-1 B D^-1], [0, D^-1]].

    The products with the triangles A^-1 and D^-1 leave out most of their zeros, panel by panel.
    """
    size = len(R)
    if size <= SMALL:
        inverse[...] = _small_inverse(R)
        return
    half = size // 2
    first, last = inverse[:half, :half], inverse[half:, half:]
    _invert_into(R[:half, :half], first)
    _invert_into(R[half:, half:], last)
    product = np.empty((half, size - half))
    for part in _panels(size - half):
        rows = slice(half, half + part.stop)
        np.matmul(R[:half, rows], last[: part.stop, part], out=product[:, part])
    for part in _panels(half):
        corner = inverse[part, half:]
        np.matmul(first[part, part.start :], product[part.start :], out=corner)
        np.negative(corner, out=corner)


def _panels(size):
    """Cut range(size) into a few slices, none of them narrow."""
    return [slice(i, min(i + PANEL, size)) for i in range(0, size, PANEL)]


def unit_norm(H):
    """Return the scale s that gives s H s a unit diagonal, and the 1-norm of that."""
    scale = 1.0 / np.sqrt(np.diag(H))
    # By blocks of rows: a copy of all of H may be a large part of the memory.
    sums = sum(scale[i : i + ROWS] @ np.abs(H[i : i + ROWS]) for i in range(0, len(H), ROWS))
    return scale, (sums * scale).max(initial=0.0)


def reciprocal_condition(R, scale, norm):
    """Estimate 1 / cond(H) in the 1-norm, H = R'R scaled to a unit diagonal as by `unit_norm`.

    The scaling makes the answer independent of the units of the columns. The error of a Cholesky
    factorisation does not depend on them either (Higham, Accuracy and Stability of Numerical
    Algorithms, section 10.1), so the scaled condition number says how many digits a solve has lost.
    """
    if R.shape[0] == 0:
        return 1.0
    scaled = R * scale
    (pocon,) = get_lapack_funcs(("pocon",), (scaled,))
    lower = scaled.flags.c_contiguous  # its transpose is what LAPACK reads without a copy
    rcond, _ = pocon(scaled.T if lower else scaled, norm, uplo="L" if lower else "U")
    return float(rcond)


def solve_blocks(A, B):
    """Solve A_i x_i = b_i for stacks A (n, K, K) and B (n, K); NaN where A_i is singular."""
    if A.shape[1] == 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            return B / A[:, :, 0]
    try:
        return np.linalg.solve(A, B[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # NumPy gives no solution of any if one is singular
        # The blocks are I - L'AL or alike, with eigenvalues of order 1: eps is a relative bound.
        smallest = np.linalg.svd(A, compute_uv=False)[:, -1]
        singular = smallest <= np.finfo(float).eps
        safe = np.where(singular[:, None, None], np.eye(A.shape[1]), A)
        solved = np.linalg.solve(safe, B[:, :, None])[:, :, 0]
        solved[singular] = np.nan
        return solved


def apply_blocks(A, B):
    """Return A_i b_i for stacks A (n, K, K) and B (n, K)."""
    if A.shape[1] == 1:
        return A[:, :, 0] * B
    return np.matmul(A, B[:, :, None])[:, :, 0]


def symmetric_eigenvalues(A):
    """Return the eigenvalues (n, K) of a stack of symmetric blocks A (n, K, K), ascending."""
    return A[:, :, 0] if A.shape[1] == 1 else np.linalg.eigvalsh(A)


def integer_power(x, exponent):
    """Return x ** exponent for an integer exponent >= 0, by repeated squaring: pow is ten slower.

    Its relative error is about the exponent times eps, that of the power of a rounded x.
    """
    result, square = np.ones_like(x), x
    while exponent:
        if exponent & 1:
            result = result * square
        exponent >>= 1
        if exponent:
            square = square * square
    return result
