"""The k largest of each row of a matrix that is seen in blocks of columns."""

import numpy as np

# Entries of one query that wait to be sorted, at most about so many, and times k: those of all
# queries are sorted in one array, with as much room for each as the fullest has entries.
MOST_WAITING, TIMES_K = 512, 8


class RunningTopK:
    """Keep the k largest values of each query, and where they were.

    A block's entries are looked at only where they beat the query's k-th best so far: after a few
    blocks almost none do, and the cost is one comparison an entry. NaN beats nothing. Ties go to
    the earlier column.

    Parameters
    ----------
    n_queries, k : int
    sign : {1.0, -1.0}
        -1 for the k smallest: values are those of the negative matrix, which is never formed.

    Attributes
    ----------
    values : ndarray of shape (n_queries, k)
        In falling order; NaN where there are fewer.
    positions : ndarray of int, shape (n_queries, k)
        Columns; -1 where there are fewer.
    """

    def __init__(self, n_queries, k, sign=1.0):
        self.k, self.sign = k, sign
        self._values = np.full((n_queries, k), -np.inf)
        self._positions = np.full((n_queries, k), -1, dtype=np.intp)
        self._pending, self._fullest = [], 0

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
            known = self.sign * block[new]
            known[np.isnan(known)] = -np.inf
            own = np.partition(known, -self.k, axis=1)[:, -self.k]
            lowest[new] = np.nextafter(own, -np.inf)  # ties with the k-th stay
        return lowest[:, None]

    def update(self, queries, block, first_column):
        """Look at a block (len(queries), b); its columns start at `first_column`, rising."""
        threshold = self._threshold(queries, block)
        beats = block > threshold if self.sign > 0 else block < -threshold
        # Of a matrix `nonzero` is a loop that asks every entry for its indices.
        hit_rows, hit_columns = np.divmod(np.flatnonzero(beats), block.shape[1])
        if not len(hit_rows):
            return
        values = self.sign * block[hit_rows, hit_columns]
        self._pending.append((queries[hit_rows], values, hit_columns + first_column))
        self._fullest += np.bincount(hit_rows).max()
        # A threshold that is a little old lets a few more entries in; sorting in every block would
        # cost more.
        waiting = sum(len(rows) for rows, _, _ in self._pending)
        if waiting >= self.k * len(queries) or self._fullest >= max(MOST_WAITING, TIMES_K * self.k):
            self._merge()

    def _merge(self):
        """Sort what has beaten a threshold into the k best of its queries."""
        if not self._pending:
            return
        rows, values, columns = (
            np.concatenate(parts) for parts in zip(*self._pending, strict=True)
        )
        self._pending.clear()
        self._fullest = 0
        chosen, rows = np.unique(rows, return_inverse=True)
        # Behind the best of each query what is new of it: a stable sort leaves ties to the earlier.
        order, counts = np.argsort(rows, kind="stable"), np.bincount(rows)
        rows, values, columns = rows[order], values[order], columns[order]
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = len(chosen), self.k + counts.max()
        value, column = np.full(shape, -np.inf), np.full(shape, -1)
        value[:, : self.k], column[:, : self.k] = self._values[chosen], self._positions[chosen]
        value[rows, self.k + place], column[rows, self.k + place] = values, columns
        best = np.argsort(-value, axis=1, kind="stable")[:, : self.k]
        self._values[chosen] = np.take_along_axis(value, best, axis=1)
        self._positions[chosen] = np.take_along_axis(column, best, axis=1)
