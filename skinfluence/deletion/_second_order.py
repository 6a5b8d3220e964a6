r"""Steps of refits by the quadratic terms of their gradients, from one tensor of third derivatives.

With u_j = z_j'd the changes of slopes are W_j u_j + c_j u_j^2 + ..., and the quadratic terms of all
rows add up to sum_ab S_abk d_a d_b, where S = sum_j c_j z_j (x) z_j (x) z_j has q^3 / 6 different
numbers and knows no deletion. It replaces a pass over all rows for each deletion by a product with
the pairs of its step's entries. It is in float32: where it leads is a better place to start from,
and the gradient there is computed from all rows.
"""

import numpy as np

from skinfluence._parallel import row_blocks

# Bytes of the products of pairs of columns that are held at once.
PAIR_BYTES = 3 * 2**19
# Share of a pass over all rows that the tensor may cost.
LARGEST_SHARE = 0.5


class QuadraticTerms:
    """The quadratic terms of the changes of a gradient of one output.

    Parameters
    ----------
    columns : ndarray of float32, shape (q, n)
        Of the design, over some `scale`.
    coefficients : ndarray of float32, shape (n,)
        c_j.
    scale : ndarray of shape (q,)
    """

    def __init__(self, columns, coefficients, scale):
        self._columns, self._coefficients, self._scale = columns, coefficients, scale
        q, n = columns.shape
        self._n_pairs = q * (q + 1) // 2
        self._tensor = np.zeros((q, self._n_pairs), dtype=np.float32)
        for part in self._parts(n):
            block = columns[:, part]
            self._tensor += (block * coefficients[part]) @ self._pairs(block).T

    @staticmethod
    def pays(n_columns, n_rows, n_deletions):
        """Whether the tensor and the products with it take less time than a pass over the rows."""
        made = float(n_columns) ** 2 * (n_rows + n_deletions)
        return made <= LARGEST_SHARE * 4.0 * n_rows * n_deletions

    def gradients(self, D):
        """sum_j c_j u_j^2 z_j of all rows at steps D (a, q), (a, q)."""
        scaled = (D * self._scale).T.astype(np.float32)
        found = np.empty(scaled.shape, dtype=np.float32)
        for part in self._parts(len(D)):
            pairs = self._pairs(scaled[:, part])
            first = 0
            for a in range(len(scaled)):  # each pair of two columns stands for two
                pairs[first + 1 : first + len(scaled) - a] *= 2.0
                first += len(scaled) - a
            np.matmul(self._tensor, pairs, out=found[:, part])
        return found.T * self._scale

    def _parts(self, size):
        """Slices of so many columns that their pairs stay in the cache."""
        return row_blocks(size, 4, at_most=max(16, PAIR_BYTES // (4 * self._n_pairs)))

    def _pairs(self, columns):
        """Products of rows a <= b of columns (q, m), (n_pairs, m)."""
        q = len(columns)
        pairs = np.empty((self._n_pairs, columns.shape[1]), dtype=np.float32)
        first = 0
        for a in range(q):
            np.multiply(columns[a:], columns[a], out=pairs[first : first + q - a])
            first += q - a
        return pairs
