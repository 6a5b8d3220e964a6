"""Loops of conjugate gradients in the space of the rows, many right-hand sides at once."""

import numpy as np

from skinfluence._kernels._compiled import compiled


@compiled
def add_kernel_product(values, indices, indptr, V, out):
    """Add A (A'V) to `out` (n, m), column by column of A in CSC order: no A'V is stored."""
    m = V.shape[1]
    along = np.empty(m, dtype=V.dtype)
    for j in range(indptr.shape[0] - 1):
        begin, end = indptr[j], indptr[j + 1]
        if begin == end:
            continue
        along[:] = 0
        for a in range(begin, end):
            i, value = indices[a], values[a]
            for c in range(m):
                along[c] += value * V[i, c]
        for a in range(begin, end):
            i, value = indices[a], values[a]
            for c in range(m):
                out[i, c] += value * along[c]


@compiled
def conjugate_step(D, HD, X, R, squares):
    """Take one step of conjugate gradients, in place, for columns of squared residuals `squares`.

    The next directions are written into D, and the next squares into `squares`. Sums over the rows
    are float64, whatever the arrays are. A column with R = 0 takes no step.
    """
    n, m = D.shape
    along = np.zeros(m)
    for i in range(n):
        for c in range(m):
            along[c] += D[i, c] * HD[i, c]
    step = np.where(along > 0.0, squares / np.where(along > 0.0, along, 1.0), 0.0).astype(D.dtype)
    new = np.zeros(m)
    for i in range(n):
        for c in range(m):
            X[i, c] += step[c] * D[i, c]
            R[i, c] -= step[c] * HD[i, c]
            new[c] += R[i, c] * R[i, c]
    turn = np.where(squares > 0.0, new / np.where(squares > 0.0, squares, 1.0), 0.0).astype(D.dtype)
    squares[:] = new
    for i in range(n):
        for c in range(m):
            D[i, c] = R[i, c] + turn[c] * D[i, c]
