"""One reader for each kind of source: how many rows its blocks have, and how a block is read.

Those of tables are in `_tables`, those of dask in `_dask`. Packages are imported there alone, and
only pyarrow and dask: the collections of the others are asked by their own methods.
"""

import copy
import hashlib
import json
from pathlib import Path

import numpy as np

from skinfluence._sources._files import MappedFile

# Bytes of a block of an array, unless the caller says how many rows.
BLOCK_BYTES = 2**24
# The fewest rows of such a block.
FEWEST_ROWS = 2048


def block_edges(n_rows, row_bytes, block_rows):
    """Ascending row numbers (n_blocks + 1,) at which an array of n rows is cut."""
    if block_rows == "auto":
        block_rows = max(FEWEST_ROWS, BLOCK_BYTES // max(1, row_bytes))
    return np.append(np.arange(0, max(n_rows, 1), block_rows), n_rows)


def content_hash(*arrays):
    """Hash of the values of arrays, sparse matrices or None."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        parts = [array]
        if hasattr(array, "tocsr"):
            rows = array.tocsr()
            parts = [rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)]
        for part in parts:
            values = np.asarray(part)
            digest.update(f"{values.dtype.str}{values.shape}".encode())
            if values.dtype.hasobject:
                digest.update("\0".join(map(str, values.ravel().tolist())).encode())
            else:
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def altered(reader, **changes):
    """Return a copy of a reader with other attributes."""
    new = copy.copy(reader)
    vars(new).update(changes)
    return new


class Reader:
    """What reads the blocks of one kind of source.

    Attributes
    ----------
    sizes : ndarray of int
        Rows of each block.
    names : list of str or None
        Of the features, where the source has names.
    """

    names = None
    #: Whether several threads may read at once.
    is_thread_safe = True

    def read(self, i):
        """Return the rows of a block, its labels and its weights, None where there are none."""
        raise NotImplementedError

    @property
    def n_rows(self):
        """Rows of all blocks."""
        return int(np.sum(self.sizes))

    def only(self, i):
        """Return the reader of one block, its block 0, with no other's rows."""
        return OneOfReader(self, i)

    def identity(self):
        """Return what tells the source from others: names and time stamps of files, or a hash."""
        return end_hashes(self)


class OneOfReader(Reader):
    """One block of a source that is described as a whole."""

    def __init__(self, reader, i):
        self.reader, self.i = reader, i

    def read(self, i):
        return self.reader.read(self.i)


class ArrayReader(Reader):
    """Rows of an array in memory or of a file that is mapped, or of a CSR matrix.

    Parameters
    ----------
    X : ndarray, CSR or MappedFile of shape (n, p)
    block_rows : int or "auto"
    names : list of str, optional
    """

    def __init__(self, X, block_rows, names=None):
        if len(X.shape) != 2:
            raise ValueError(f"X should have two dimensions; it has shape {tuple(X.shape)}.")
        self.X, self.names = X, names
        row_bytes = X.dtype.itemsize * X.shape[1]
        if hasattr(X, "indptr"):
            row_bytes = (X.dtype.itemsize + 4) * X.nnz // max(1, X.shape[0])
        self.edges = block_edges(X.shape[0], row_bytes, block_rows)

    @property
    def sizes(self):
        """Rows of each block."""
        return np.diff(self.edges)

    def read(self, i):
        return self.X[self.edges[i] : self.edges[i + 1]], None, None

    def only(self, i):
        first, last = (int(edge) for edge in self.edges[i : i + 2])
        if isinstance(self.X, MappedFile):
            return altered(self, edges=np.array([first, last]))
        return altered(self, X=self.X[first:last], edges=np.array([0, last - first]))

    def take(self, rows):
        """Return some rows, an index array, without reading their blocks."""
        return self.X[rows]

    def identity(self):
        if isinstance(self.X, MappedFile):
            return self.X.stamp.identity
        return content_hash(self.X)

    def __repr__(self):
        kind = "a file" if isinstance(self.X, MappedFile) else "memory"
        return self.X.stamp.path if kind == "a file" else "an array in memory"


class CallableReader(Reader):
    """Blocks of `read(i)`: X_i, or (X_i, y_i), or (X_i, y_i, w_i), and None past the last."""

    is_thread_safe = False

    def __init__(self, function):
        self.function = function
        self.sizes, self.has_labels, self.has_weights = [], False, False
        while (found := self._block(len(self.sizes))) is not None:
            X, y, weight = found
            self.names = [str(name) for name in X.columns] if hasattr(X, "columns") else self.names
            self.has_labels |= y is not None
            self.has_weights |= weight is not None
            self.sizes.append(X.shape[0])
        self.sizes = np.asarray(self.sizes, dtype=np.int64)

    def _block(self, i):
        """A block as a triple; None past the last."""
        try:
            found = self.function(i)
        except IndexError:
            return None
        if found is None:
            return None
        found = found if isinstance(found, tuple) else (found,)
        if not 1 <= len(found) <= 3 or not hasattr(found[0], "shape"):
            raise TypeError(
                f"read({i}) should return an array X_i, or a tuple (X_i, y_i) or (X_i, y_i, w_i), "
                f"and None past the last block; got {type(found[0]).__name__}."
            )
        return (*found, None, None)[:3]

    def read(self, i):
        found = self._block(i)
        if found is None or found[0].shape[0] != self.sizes[i]:
            now = "none" if found is None else found[0].shape[0]
            raise RuntimeError(
                f"read({i}) has returned {now} rows, and {self.sizes[i]} before: give a source "
                "that can be read again, with the same rows each time."
            )
        return found

    def labels(self, i):
        """Return the labels and weights of a block."""
        return self.read(i)[1:]

    def __repr__(self):
        return f"read(i) of {getattr(self.function, '__name__', 'a callable')}"


class ChainReader(Reader):
    """Sources one below the other: several files.

    Parameters
    ----------
    readers : list of readers
    """

    def __init__(self, readers):
        self.readers = readers
        self.names = readers[0].names
        for k, reader in enumerate(readers):
            if reader.names != self.names:
                raise ValueError(
                    f"source {k} has the columns {reader.names}, and source 0 {self.names}: all "
                    "files should have the same ones, in the same order."
                )
        self.sizes = np.concatenate([reader.sizes for reader in readers])
        owners = [(k, i) for k, reader in enumerate(readers) for i in range(len(reader.sizes))]
        self.owners = owners
        self.is_thread_safe = all(reader.is_thread_safe for reader in readers)
        if all(hasattr(reader, "labels") for reader in readers):
            self.labels = self._labels

    def read(self, i):
        k, own = self.owners[i]
        return self.readers[k].read(own)

    def only(self, i):
        k, own = self.owners[i]
        return self.readers[k].only(own)

    def _labels(self, i):
        """Labels and weights of a block."""
        k, own = self.owners[i]
        return self.readers[k].labels(own)

    def identity(self):
        return [reader.identity() for reader in self.readers]

    def __repr__(self):
        return f"{len(self.readers)} files"


class TransformedReader(Reader):
    """Rows of another source, sent through a function when they are read.

    Parameters
    ----------
    source : Reader
    function : callable
        Of rows, which keeps their number and order.
    """

    def __init__(self, source, function):
        self.source, self.function, self.sizes = source, function, source.sizes
        self.is_thread_safe = source.is_thread_safe
        if getattr(source, "labels", None) is not None:
            self.labels = source.labels

    def read(self, i):
        X, y, weight = self.source.read(i)
        return (self.function(X) if X.shape[0] else X), y, weight

    def only(self, i):
        if hasattr(self.source, "compute"):  # a chunk is told by its collection
            return OneOfReader(self, i)
        return altered(self, source=self.source.only(i), sizes=self.sizes[i : i + 1], labels=None)

    def identity(self):
        return [self.source.identity(), repr(self.function)]

    def __repr__(self):
        return f"{self.source!r} by {self.function!r}"


class SelectionReader(Reader):
    """Some rows, ascending, and some columns of other blocks.

    Parameters
    ----------
    blocks : RowBlocks
    rows : ndarray of int, ascending, or None
    columns : ndarray of int or None
    """

    def __init__(self, blocks, rows=None, columns=None):
        self.blocks, self.rows, self.columns = blocks, rows, columns
        self.is_thread_safe = blocks.is_thread_safe
        self.sizes = np.asarray(blocks.sizes)
        if rows is not None:
            self.cuts = np.searchsorted(rows, blocks.edges)
            self.sizes = np.diff(self.cuts)

    def read(self, i):
        if not self.sizes[i]:
            return self.blocks.empty(self.columns), None, None
        X = self.blocks.block(i)
        if self.rows is not None:
            X = X[self.rows[self.cuts[i] : self.cuts[i + 1]] - self.blocks.edges[i]]
        return (X if self.columns is None else X[:, self.columns]), None, None

    def identity(self):
        return [self.blocks.fingerprint(), content_hash(self.rows, self.columns)]

    def __repr__(self):
        return f"some of {self.blocks!r}"


def end_hashes(reader):
    """Hash of the first and the last block: where a source has no name and no time stamp."""
    filled = np.flatnonzero(reader.sizes)
    return [content_hash(*reader.read(int(i))[:2]) for i in sorted({*filled[:1], *filled[-1:]})]


def as_text(identity, shape):
    """Fingerprint of what identifies a source and its shape."""
    text = json.dumps([list(map(int, shape)), identity], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def suffix_of(path):
    """Suffix of a path, of a folder that of the files in it."""
    path = Path(path)
    if path.is_dir():
        inside = sorted(each.suffix for each in path.rglob("*") if each.suffix)
        return inside[0] if inside else ""
    return path.suffix
