"""Where the columns of X lie: an origin for those that are far from zero against their spread.

Years, identifiers, time stamps: with x = m + d, |d| much smaller than |m|, the Gram matrix holds
m^2 + 2 m d + d^2, and d^2 is what the fit is about. Taken about m, nothing is lost, since x - m is
exact in float64. A Gram matrix that is corrected after it was formed has lost it already.
"""

import numpy as np
from scipy.sparse import csr_array, issparse

# Rows that are looked at, drawn in proportion to their weights.
SAMPLE = 100
# Share of the rows left out at either end: a missing year that was coded as 0 is no spread.
TAIL = 0.1
# A column is far from zero where its median is more than so many spreads away. The spread of the
# middle rows is 2.6 standard deviations of normal data: at ten of them a Gram matrix about zero
# loses two digits, which nobody can tell from its rounding.
FAR = 4.0
# The same in standard deviations, for columns of which the middle rows are all equal.
FAR_STANDARD = 10.0


def far_origin(X, weight):
    """Return an origin (p,) of the columns of X: a median where that is far from zero, else 0.

    Any point among the rows serves. A median is one even where a few rows are elsewhere, so that
    the fit without them is centred too.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, p)
    weight : ndarray of shape (n,) or None
        Non-negative.

    Returns
    -------
    ndarray of shape (p,), or None
        None where no column is far from zero.
    """
    columns, values = _one_sided(X, _sampled_rows(X.shape[0], weight))
    if not len(columns):
        return None
    values = np.sort(values, axis=0)
    m = len(values)
    middle, spread = values[m // 2], values[m - 1 - int(TAIL * m)] - values[int(TAIL * m)]
    limit = np.where(spread > 0, FAR * spread, FAR_STANDARD * values.std(axis=0))
    far = np.abs(middle) > limit
    if not far.any():
        return None
    origin = np.zeros(X.shape[1])
    origin[columns[far]] = middle[far]
    return origin


def centred(X, origin):
    """Return X - origin, float64; of a CSR matrix the columns with one are stored in full.

    Nearly all of their entries are stored anyway, since a column with many implicit zeros is not
    far from zero: a rank-one term for the others would save nothing.
    """
    if not issparse(X):
        return X - origin
    kind, kept = X.indices.dtype, origin[X.indices] == 0
    far, every = np.flatnonzero(origin).astype(kind), np.arange(X.shape[0], dtype=kind)
    block = X[:, far].toarray() - origin[far]
    rows = np.repeat(every, np.diff(X.indptr))[kept]
    rows = np.concatenate([rows, np.repeat(every, len(far))])
    columns = np.concatenate([X.indices[kept], np.tile(far, X.shape[0])])
    values = np.concatenate([X.data[kept], block.ravel()])
    return csr_array((values, (rows, columns)), shape=X.shape)


def _sampled_rows(n, weight):
    """Positions of rows drawn in proportion to their weights, one at random of each stratum."""
    at = (np.arange(SAMPLE) + np.random.default_rng(0).random(SAMPLE)) / SAMPLE
    if weight is None:
        return (at * n).astype(np.intp)
    total = np.cumsum(np.asarray(weight, dtype=np.float64))
    return np.minimum(np.searchsorted(total, at * total[-1], side="right"), n - 1)


def _one_sided(X, rows):
    """Columns of which most of the sampled values have one sign, and these values, float64."""
    enough = (1.0 - TAIL) * len(rows)
    X = X[rows]
    if issparse(X):
        X = X.tocsc()
        columns = np.flatnonzero(np.diff(X.indptr) >= enough)
        values = X[:, columns].toarray()
    else:
        values = X
        columns = np.arange(X.shape[1])
    positive, negative = (values > 0).sum(axis=0), (values < 0).sum(axis=0)
    kept = np.maximum(positive, negative) >= enough
    return columns[kept], np.asarray(values[:, kept], dtype=np.float64)
