"""Blocks without some rows: those that have left a model, which no pickle should have."""

import numpy as np

from skinfluence._sources._files import MappedFile
from skinfluence._sources._readers import ArrayReader, OneOfReader, Reader, altered, content_hash


def keeps(values, gone):
    """Return an array in memory without some rows; None, and of a file its description.

    Parameters
    ----------
    values : ndarray, MappedFile or None
    gone : ndarray of int, ascending
    """
    if values is None or isinstance(values, MappedFile):
        return values
    return np.delete(np.asarray(values), gone, axis=0)


class OmittingReader(Reader):
    """Blocks of another source without some of its rows, by their positions among all.

    A pickle of a source in memory has the rows that are left, and no others.

    Parameters
    ----------
    source : Reader
    gone : ndarray of int, ascending
    y, sample_weight : MappedFile or None
        Files of labels and weights, of all rows of the source.
    """

    def __init__(self, source, gone, y=None, sample_weight=None):
        self.source, self.names = source, source.names
        self.is_thread_safe = source.is_thread_safe
        self.edges = np.concatenate([[0], np.cumsum(source.sizes)]).astype(np.int64)
        self.cuts, self.gone = np.searchsorted(gone, self.edges), np.asarray(gone)
        self.sizes = np.diff(self.edges) - np.diff(self.cuts)
        self.files = y, sample_weight
        own = getattr(source, "labels", None) is not None
        if own or any(each is not None for each in self.files):
            self.labels = self._labels

    def _left(self, i):
        """Rows of a block of the source that are left: a mask, or all."""
        own = self.gone[self.cuts[i] : self.cuts[i + 1]] - self.edges[i]
        if not len(own):
            return slice(None)
        mask = np.ones(int(self.edges[i + 1] - self.edges[i]), dtype=bool)
        mask[own] = False
        return mask

    def read(self, i):
        X, *values = self.source.read(i)
        left = self._left(i)
        return (X.tocsr() if hasattr(X, "tocsr") else X)[left], *self._with_files(i, values, left)

    def _with_files(self, i, values, left):
        """Labels and weights of the rows of a block that are left."""
        rows = slice(int(self.edges[i]), int(self.edges[i + 1]))
        both = (v if f is None else f[rows] for v, f in zip(values, self.files, strict=True))
        return tuple(None if each is None else np.asarray(each)[left] for each in both)

    def _labels(self, i):
        """Labels and weights of a block."""
        own = getattr(self.source, "labels", None)
        return self._with_files(i, (None, None) if own is None else own(i), self._left(i))

    def only(self, i):
        one = self.gone[self.cuts[i] : self.cuts[i + 1]]
        return OneOfReader(altered(self, gone=one, cuts=self.cuts - self.cuts[i]), i)

    @property
    def _in_memory(self):
        """Whether the source is an array in memory."""
        source = self.source
        return isinstance(source, ArrayReader) and not isinstance(source.X, MappedFile)

    def identity(self):
        if self._in_memory:  # the same before and after a pickle, which has no other rows
            return content_hash(*(self.read(i)[0] for i in range(len(self.sizes))))
        files = [None if each is None else each.stamp.identity for each in self.files]
        return [self.source.identity(), files, content_hash(self.gone)]

    def __reduce__(self):
        """Rows in memory are those that are left; other sources are described."""
        source, gone = self.source, self.gone
        if self._in_memory:
            mask = np.ones(source.X.shape[0], dtype=bool)
            mask[gone] = False
            edges = np.concatenate([[0], np.cumsum(self.sizes)])
            source, gone = altered(source, X=source.X[mask], edges=edges), gone[:0]
        return OmittingReader, (source, gone, *self.files)

    def __repr__(self):
        n = len(self.gone)
        return f"{self.source!r} without {n} row{'s' if n != 1 else ''}"
