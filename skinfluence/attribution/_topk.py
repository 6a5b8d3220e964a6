"""The k largest of each row of a matrix that is seen in blocks of columns."""

import numpy as np


class RunningTopK:
    """Keep the k largest values of each query, and where they were.

    A block's entries are looked at only where they beat the query's k-th best so far: after a few
    blocks almost none do, and the cost is one comparison an entry. NaN beats nothing. Ties go to
    the earlier column.

    Attributes
    ----------
    values : ndarray of shape (n_queries, k)
        In falling order; NaN where there are fewer.
    positions : ndarray of int, shape (n_queries, k)
        Columns; -1 where there are fewer.
    """

    def __init__(self, n_queries, k):
        self.k = k
        self._values = np.full((n_queries, k), -np.inf)
        self._positions = np.full((n_queries, k), -1, dtype=np.intp)
        self._pending = []

    @property
    def positions(self):
        """Columns of the values; -1 for none."""
        self._merge()
        return self._positions

    @property
    def values(self):
        """Values found, NaN for none."""
        return np.where(self.positions >= 0, self._values, np.nan)

    def _threshold(self, queries, block):
        """What an entry has to beat, (len(queries), 1): the k-th best so far, or of the block.

        Without it every entry of the first block would be sorted.
        """
        lowest = self._values[queries, -1]
        new = np.flatnonzero(lowest == -np.inf)
        if len(new) and block.shape[1] > self.k:
            known = np.where(np.isnan(block[new]), -np.inf, block[new])
            own = np.partition(known, -self.k, axis=1)[:, -self.k]
            lowest[new] = np.nextafter(own, -np.inf)  # ties with the k-th stay
        return lowest[:, None]

    def update(self, queries, block, first_column):
        """Look at a block (len(queries), b); its columns start at `first_column`, rising."""
        beats = block > self._threshold(queries, block)
        hit_rows, hit_columns = np.nonzero(beats)
        if not len(hit_rows):
            return
        hits = queries[hit_rows], block[hit_rows, hit_columns], hit_columns + first_column
        self._pending.append(hits)
        # A threshold that is a little old lets a few more entries in; sorting in every block would
        # cost more.
        if sum(len(rows) for rows, _, _ in self._pending) >= self.k * len(queries):
            self._merge()

    def _merge(self):
        """Sort what has beaten a threshold into the k best of its queries."""
        if not self._pending:
            return
        rows, values, columns = (
            np.concatenate(parts) for parts in zip(*self._pending, strict=True)
        )
        self._pending.clear()
        chosen, rows = np.unique(rows, return_inverse=True)
        row = np.concatenate([np.repeat(np.arange(len(chosen)), self.k), rows])
        value = np.concatenate([self._values[chosen].ravel(), values])
        column = np.concatenate([self._positions[chosen].ravel(), columns])
        order = np.lexsort((column, -value, row))
        starts = np.searchsorted(row[order], np.arange(len(chosen)))
        best = order[starts[:, None] + np.arange(self.k)]
        self._values[chosen] = value[best]
        self._positions[chosen] = column[best]
