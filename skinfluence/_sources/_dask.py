"""Readers of dask's collections, whose chunks are computed where they lie."""

from itertools import islice

import numpy as np

from skinfluence._sources._readers import Reader, altered
from skinfluence._sources._tables import TableReader

# Chunks whose answers are held at once.
WINDOW = 64


def computed_by_dask(function, tasks):
    """Yield ``function(*task)`` of tasks about chunks, by dask where the chunks lie, in order.

    Parameters
    ----------
    function : callable
    tasks : iterable of tuple
        Dask collections, and what goes with them.
    """
    import dask

    later = dask.delayed(function, pure=False, traverse=False)
    calls = (later(*task) for task in tasks)
    while window := list(islice(calls, WINDOW)):
        yield from dask.compute(*window)


class DaskFrameReader(TableReader):
    """Partitions of a dask data frame."""

    def __init__(self, frame, y, weight):
        self.frame = frame
        sizes = list(frame.map_partitions(len, meta=("n", "i8")).compute())
        super().__init__(sizes, list(frame.columns), y, weight)

    def only(self, i):
        return altered(self, frame=None, sizes=self.sizes[i : i + 1])

    def read(self, i, table=None):
        return self._parted(self._table(i, self.all_names) if table is None else table)

    def compute(self, function, tasks):
        """Yield the answers of tasks about partitions; what a OneBlock is read from is given."""
        yield from computed_by_dask(
            function, ((self.frame.partitions[task[0].i], None, None, *task) for task in tasks)
        )

    def _table(self, i, names):
        return self.frame[names].partitions[i].compute()


class DaskArrayReader(Reader):
    """Chunks of rows of a dask array, with labels and weights in memory or of dask, too."""

    def __init__(self, X, y=None, weight=None):
        if X.ndim != 2:
            raise ValueError(f"X should have two dimensions; it has shape {X.shape}.")
        if any(np.isnan(size) for size in X.chunks[0]):
            X = X.compute_chunk_sizes()
        self.X = X.rechunk({1: -1})
        self.sizes = np.asarray(self.X.chunks[0], dtype=np.int64)
        self.own = tuple(self._chunked(values) for values in (y, weight))
        if any(values is not None for values in self.own):
            self.labels = self._labels

    def _chunked(self, values):
        """Labels or weights in chunks of the same rows; None where they are not dask's."""
        if values is None:
            return None
        values = getattr(values, "to_dask_array", lambda lengths: values)(lengths=True)
        if values.shape[0] != self.X.shape[0]:
            raise ValueError(
                f"labels or weights have {values.shape[0]} rows, X has {self.X.shape[0]}."
            )
        return values.rechunk({0: self.X.chunks[0]})

    def read(self, i, X=None, y=None, weight=None):
        if X is None:
            X, (y, weight) = self.X.blocks[i].compute(), self._labels(i)
        # In one order of memory, whatever way it has come: sums depend on it in the last bit.
        return (X if hasattr(X, "tocsr") else np.ascontiguousarray(X)), y, weight

    def _labels(self, i):
        """Labels and weights of a chunk."""
        return tuple(None if v is None else v.blocks[i].compute() for v in self.own)

    def only(self, i):
        nothing = {"X": None, "own": (None, None), "labels": None}
        return altered(self, sizes=self.sizes[i : i + 1], **nothing)

    def compute(self, function, tasks):
        """Yield the answers of tasks about chunks; what a OneBlock is read from is given."""

        def parts(i):
            """Chunks of rows, labels and weights."""
            return [None if v is None else v.blocks[i] for v in (self.X, *self.own)]

        yield from computed_by_dask(function, ((*parts(task[0].i), *task) for task in tasks))

    def __repr__(self):
        return "a dask array"
