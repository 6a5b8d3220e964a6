"""Products of pairs of columns: all K (K + 1) / 2 class blocks of a narrow design by one GEMM.

A class block sum_i W_ikm z_i z_i' is linear in the q (q + 1) / 2 products z_ia z_ib, and so is a
quadratic form z_i' M_km z_i. The products are computed once for all blocks, with one multiplication
each. A small syrk for every block would run far below the speed of one large product, and the wide
syrk of f (x) z, for weights diag(d) - f f', needs twice the flops.
"""

import numpy as np

from skinfluence._parallel import row_blocks

# Bytes of the products of a block of rows, small enough for the caches of one core.
BLOCK_BYTES = 2**21


def _blocks(design):
    """Yield (rows, products (q (q + 1) / 2, b)) of a design, pairs in the order of triu_indices."""
    q = design.shape[1]
    size = q * (q + 1) // 2
    at_most = int(np.clip(BLOCK_BYTES // (8 * max(1, size)), 32, 512))
    parts = row_blocks(design.shape[0], 8 * size, at_most=at_most)
    # One buffer for all blocks: the system zeroes new memory page by page before it is used.
    buffer = np.empty(size * min(at_most, design.shape[0]))
    for rows in parts:
        columns = np.ascontiguousarray(design.dense(rows).T)
        products, start = buffer[: size * columns.shape[1]].reshape(size, columns.shape[1]), 0
        for j in range(q):
            stop = start + q - j
            np.multiply(columns[j], columns[j:], out=products[start:stop])
            start = stop
        yield rows, products


def pair_sandwich(parts, n_outputs, q):
    """sum_i W_i (x) z_i z_i', (Kq, Kq), from an iterable of (design of some rows, their W)."""
    K = n_outputs
    first, second = np.triu_indices(K)
    total = np.zeros((len(first), q * (q + 1) // 2))
    for some, W in parts:
        weights = np.ascontiguousarray(W[:, first, second].T)
        for rows, products in _blocks(some):
            total += weights[:, rows] @ products.T
    H = np.empty((K, q, K, q))
    where = _places(q)
    for k, m, block in zip(first, second, total, strict=True):
        H[k, :, m] = block[where]
        H[m, :, k] = H[k, :, m]
    return H.reshape(K * q, K * q)


def pair_quadratic(design, M, n_outputs):
    """(I (x) z_i)' M (I (x) z_i), (n, K, K), for a symmetric M (Kq, Kq)."""
    K, q = n_outputs, design.shape[1]
    first, second = np.triu_indices(K)
    blocks = M.reshape(K, q, K, q)
    a, b = np.triu_indices(q)
    coefficients = np.empty((len(first), len(a)))
    for row, (k, m) in enumerate(zip(first, second, strict=True)):
        block = blocks[k, :, m] + blocks[k, :, m].T
        block[np.diag_indices(q)] *= 0.5
        coefficients[row] = block[a, b]
    A = np.empty((design.shape[0], K, K))
    for rows, products in _blocks(design):
        values = (coefficients @ products).T
        A[rows, first, second] = values
        A[rows, second, first] = values
    return A


def _places(q):
    """Position of every entry (q, q) of a symmetric matrix in its upper triangle, row by row."""
    where = np.empty((q, q), dtype=np.intp)
    a, b = np.triu_indices(q)
    where[a, b] = where[b, a] = np.arange(len(a))
    return where
