"""Loops over the rows of CSR matrices."""

import numpy as np

from skinfluence._kernels._compiled import compiled


@compiled
def csr_weighted_gram(data, indices, indptr, weights, intercept, G):
    """Write Z' diag(weights) Z, Z = [X, 1], into the zeroed square array G (in place)."""
    last = G.shape[0] - 1
    # Each pair once, wherever its order puts it, diagonals by half; the transpose is added below.
    for i in range(indptr.shape[0] - 1):
        w = weights[i]
        if w == 0.0:
            continue
        for a in range(indptr[i], indptr[i + 1]):
            row = indices[a]
            scaled = w * data[a]
            G[row, row] += 0.5 * scaled * data[a]
            for b in range(a + 1, indptr[i + 1]):
                G[row, indices[b]] += scaled * data[b]
            if intercept:
                G[row, last] += scaled
        if intercept:
            G[last, last] += 0.5 * w
    for j in range(last + 1):
        for k in range(j + 1):
            G[j, k] = G[k, j] = G[j, k] + G[k, j]


@compiled
def csr_row_quadratic(data, indices, indptr, M, intercept, out):
    """Write z_i' M z_i, Z = [X, 1], for every row into out (in place); M is symmetric."""
    last = M.shape[0] - 1
    for i in range(indptr.shape[0] - 1):
        total = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            row = indices[a]
            inner = 0.0
            for b in range(indptr[i], a):
                inner += M[row, indices[b]] * data[b]
            inner = 2.0 * inner + M[row, row] * data[a]
            if intercept:
                inner += 2.0 * M[row, last]
            total += inner * data[a]
        if intercept:
            total += M[last, last]
        out[i] = total


@compiled
def csr_kernel(values, indices, indptr, rows_values, rows_indices, rows_indptr, scale, out):
    """X diag(scale) X' into `out` (n, n), from CSR (indptr of rows) and CSC (rows of columns).

    The lower triangle row by row, so that what is added to lies in the cache, then its mirror.
    """
    n = indptr.shape[0] - 1
    for i in range(n):
        own = out[i]
        own[: i + 1] = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            j, value = indices[a], values[a] * scale[indices[a]]
            for b in range(rows_indptr[j], rows_indptr[j + 1]):
                k = rows_indices[b]
                if k > i:
                    break
                own[k] += value * rows_values[b]
    for start in range(0, n, 64):
        for i in range(start, n):
            for k in range(start, min(i, start + 64)):
                out[k, i] = out[i, k]


@compiled
def add_weighted_product(values, indices, indptr, ones, weights, V, out):
    """Add A' diag(weights) A V to `out` (q,), A = [X, ones] and V (q,), in one pass over the rows.

    Indices are unsigned, so that none is asked whether it counts from the end; each row has two
    sums, so that no addition waits for the last one.
    """
    q, along_ones = V.shape[0], 0.0
    own = ones * V[q - 1]
    for i in range(indptr.shape[0] - 1):
        begin, end = np.uint64(indptr[i]), np.uint64(indptr[i + 1])
        even = begin + np.uint64(2) * ((end - begin) // np.uint64(2))
        inner, other = own, 0.0
        for a in range(begin, even, np.uint64(2)):
            b = a + np.uint64(1)
            inner += values[a] * V[np.uint64(indices[a])]
            other += values[b] * V[np.uint64(indices[b])]
        if even < end:
            inner += values[even] * V[np.uint64(indices[even])]
        inner = weights[i] * (inner + other)
        along_ones += inner
        for a in range(begin, end):
            out[np.uint64(indices[a])] += inner * values[a]
    out[q - 1] += ones * along_ones


@compiled
def csr_conjugate_gradients(values, indices, indptr, ones, weights, ridge, right, goal, most):
    """Conjugate gradients for (A' diag(weights) A + diag(ridge)) x = right, A = [X, ones].

    `ones` is the entry of the last column in every row, 0 if there is no such column. Ends at a
    residual of length `goal`, or after `most` iterations.

    Returns
    -------
    x : ndarray of shape (q,)
    convex : bool
        False where a direction of negative curvature has ended the iteration.
    """
    q = right.shape[0]
    x, R, D, HD = np.zeros(q), right.copy(), right.copy(), np.empty(q)
    rho = 0.0
    for j in range(q):
        rho += R[j] * R[j]
    for _ in range(most):
        if not rho > goal * goal:
            break
        for j in range(q):
            HD[j] = ridge[j] * D[j]
        add_weighted_product(values, indices, indptr, ones, weights, D, HD)
        along = 0.0
        for j in range(q):
            along += D[j] * HD[j]
        if along < 0.0:
            return x, False
        step, before, rho = rho / along if along > 0.0 else 0.0, rho, 0.0
        for j in range(q):
            x[j] += step * D[j]
            R[j] -= step * HD[j]
            rho += R[j] * R[j]
        turn = rho / before
        for j in range(q):
            D[j] = R[j] + turn * D[j]
    return x, True
