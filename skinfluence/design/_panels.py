"""Class blocks of a wide design, a few of its columns at a time.

A class block sum_i W_ikm z_i z_i' is symmetric, and so is, as far as its quadratic form goes, a
block of M: for every column a only the columns b >= a are multiplied. Rows that are 0 in all
columns of a panel, pixels or counts of words, take no part in it.
"""

import numpy as np

from skinfluence._parallel import row_blocks

# Columns of a panel: with fewer of them more rows are 0 in all, with more the products are wider.
PANEL = 4
# Rows a block, whose products with a panel stay in the cache.
ROWS = 2048
# Bytes of coefficients that are read for every block of rows.
GROUP_BYTES = 2**23
# Share of rows in a panel up to which they are copied out.
WORTH_COPYING = 0.8
# Rows from which the share of zeros is estimated.
SAMPLE = 256


def panel_share(design):
    """Estimated share of the rows that are not 0 in all columns of a panel, on average."""
    n, q = design.shape
    if not n:
        return 1.0
    Z = design.dense(np.linspace(0, n - 1, min(n, SAMPLE)).astype(int))
    return float(np.mean([Z[:, panel].any(axis=1).mean() for panel in _panels(0, q)]))


def panel_sandwich(parts, n_outputs, q):
    """sum_i W_i (x) z_i z_i', (Kq, Kq), from an iterable of (design of some rows, their W)."""
    K, panels = n_outputs, list(_panels(0, q))
    first, second = np.triu_indices(K)
    sums = _views([((p.stop - p.start) * len(first), q - p.start) for p in panels])
    for design, W in parts:
        for rows in row_blocks(design.shape[0], 8 * q, at_most=ROWS):
            Z, own = design.dense(rows), W[rows][:, first, second]
            for panel, total in zip(panels, sums, strict=True):
                some, columns = _nonzero(Z, panel)
                scaled = (columns[:, :, None] * own[some][:, None]).reshape(-1, len(total))
                total += scaled.T @ Z[some, panel.start :]
    H, upper = np.empty((K, q, K, q)), np.tri(q, dtype=bool).T
    block = np.empty((q, q))
    for j, (k, m) in enumerate(zip(first, second, strict=True)):
        for panel, total in zip(panels, sums, strict=True):
            block[panel, panel.start :] = total[j :: len(first)]
        H[k, :, m] = H[m, :, k] = np.where(upper, block, block.T)
    return H.reshape(K * q, K * q)


def panel_quadratic(design, M, n_outputs):
    """(I (x) z_i)' M (I (x) z_i), (n, K, K), for a symmetric M (Kq, Kq)."""
    (n, q), K = design.shape, n_outputs
    first, second = np.triu_indices(K)
    A = np.zeros((n, K, K))
    values = A.reshape(n, -1)[:, : len(first)]  # until all panels are added up
    width = PANEL * max(1, GROUP_BYTES // (8 * PANEL * q * len(first)))
    for start in range(0, q, width):
        group = [
            (panel, _coefficients(M.reshape(K, q, K, q), panel))
            for panel in _panels(start, min(start + width, q))
        ]
        for rows in row_blocks(n, 8 * q, at_most=ROWS):
            Z, own = design.dense(rows), values[rows]
            for panel, coefficients in group:
                some, columns = _nonzero(Z, panel)
                product = Z[some, panel.start :] @ coefficients.reshape(-1, q - panel.start).T
                product = product.reshape(*columns.shape, len(first))
                own[some] += np.matmul(columns[:, None], product)[:, 0]
    for rows in row_blocks(n, 8 * K * K, at_most=ROWS):
        own = values[rows].copy()
        A[rows, first, second] = A[rows, second, first] = own
    return A


def _panels(start, stop):
    """Yield slices of columns."""
    for column in range(start, stop, PANEL):
        yield slice(column, min(column + PANEL, stop))


def _views(shapes):
    """Return arrays of zeros, parts of one whose memory goes back to the system as a whole."""
    sizes = [rows * columns for rows, columns in shapes]
    parts = np.split(np.zeros(sum(sizes)), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _nonzero(Z, panel):
    """Return the rows of Z that are not 0 in a panel, and their columns there."""
    columns = Z[:, panel]
    rows = np.flatnonzero(columns.any(axis=1))
    if len(rows) > WORTH_COPYING * len(Z):
        return slice(None), columns
    return rows, columns[rows]


def _coefficients(blocks, panel):
    """Of the products z_a z_b with b >= a, for the columns a of a panel: (w, K (K + 1) / 2, b)."""
    first, second = np.triu_indices(len(blocks))
    columns, width = np.arange(panel.start, panel.stop), panel.stop - panel.start
    found = blocks[first[:, None], columns, second[:, None], panel.start :]
    found += blocks[second[:, None], columns, first[:, None], panel.start :]
    corner = found[:, :, :width]
    corner *= np.triu(np.ones((width, width))) - 0.5 * np.eye(width)
    return found.transpose(1, 0, 2).copy()
