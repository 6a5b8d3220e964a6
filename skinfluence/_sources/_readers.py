"""One reader for each kind of source: how many rows its blocks have, and how a block is read.

Packages are imported here alone, and only pyarrow and dask: the collections of the others are asked
by their own methods.
"""

import copy
import hashlib
import json
import os
from itertools import islice
from pathlib import Path

import numpy as np

from skinfluence._sources._checks import check_numbers
from skinfluence._sources._files import FileStamp, MappedFile

# Bytes of a block of an array, unless the caller says how many rows.
BLOCK_BYTES = 2**24
# The fewest rows of such a block.
FEWEST_ROWS = 2048
# Chunks of dask whose answers are held at once.
WINDOW = 64


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
        return _ends(self)


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


class TableReader(Reader):
    """Blocks that are tables with named columns; a subclass says how one is read.

    Parameters
    ----------
    sizes : list of int
    names : list of str
        Of all columns.
    y, weight : str or None
        Columns of the labels and weights; the others are X.
    """

    def __init__(self, sizes, names, y, weight):
        self.sizes = np.asarray(sizes, dtype=np.int64)
        self.all_names, self.y, self.weight = [str(name) for name in names], y, weight
        for argument, name in (("y", y), ("sample_weight", weight)):
            if name is not None and name not in self.all_names:
                raise ValueError(
                    f"{argument}={name!r} is no column of the source; it has "
                    f"{', '.join(self.all_names[:10])}."
                )
        self.names = [name for name in self.all_names if name not in (y, weight)]

    def read(self, i):
        return self._parted(self._table(i, self.all_names))

    def _parted(self, table):
        """Rows, labels and weights of a table."""
        return (
            self._matrix(table),
            None if self.y is None else self._column(table, self.y),
            None if self.weight is None else self._column(table, self.weight),
        )

    def labels(self, i):
        """Return the labels and weights of a block, without its other columns."""
        table = self._table(i, [name for name in (self.y, self.weight) if name is not None])
        return tuple(
            None if name is None else self._column(table, name) for name in (self.y, self.weight)
        )

    def _matrix(self, table):
        """Columns side by side, each contiguous, in float32 if all of them are."""
        columns = []
        for name in self.names:
            column = np.asarray(self._column(table, name))
            check_numbers(column, name)
            columns.append(column)
        single = all(column.dtype == np.float32 for column in columns)
        X = np.empty((len(table), len(columns)), np.float32 if single else np.float64, order="F")
        for j, column in enumerate(columns):
            X[:, j] = column
        return X

    def _column(self, table, name):
        """One column of a table as an array."""
        return np.asarray(table[name])

    def __repr__(self):
        return type(self).__name__.removesuffix("Reader")


class ParquetReader(TableReader):
    """Row groups of parquet files: one block each.

    Parameters
    ----------
    source : str, Path or pyarrow Dataset
        A file, a folder of files, or a dataset of them.
    y, weight : str or None
    """

    def __init__(self, source, y, weight):
        self.source = source
        fragments = self._fragments()
        schema = fragments[0].physical_schema if fragments else self._dataset().schema
        files = sorted({fragment.path for fragment in fragments if _has_file(fragment)})
        self.stamps = [FileStamp(path) for path in files if os.path.exists(path)]
        super().__init__([_rows_of(f) for f in fragments], schema.names, y, weight)
        self._open = fragments

    def _dataset(self):
        """Return the pyarrow Dataset of the file, the folder or the object that was given."""
        if not isinstance(self.source, str | os.PathLike):
            return self.source
        import pyarrow.dataset

        return pyarrow.dataset.dataset(str(self.source), format="parquet")

    def _fragments(self):
        """Parts of the dataset, each at most one row group, in the order of the files' names."""
        found = sorted(self._dataset().get_fragments(), key=lambda f: getattr(f, "path", ""))
        return [
            group
            for fragment in found
            for group in (
                fragment.split_by_row_group()
                if hasattr(fragment, "split_by_row_group")
                else [fragment]
            )
        ]

    def _table(self, i, names):
        for stamp in self.stamps:
            stamp.check()
        if self._open is None:
            self._open = self._fragments()
        return self._open[i].to_table(columns=names)

    def _column(self, table, name):
        """A column; of a dictionary its words, and nulls as NaN or None."""
        column = table.column(name)
        if str(column.type).startswith("dictionary"):
            column = column.cast(column.type.value_type)
        return column.to_numpy()

    def __len__(self):
        return len(self.sizes)

    def identity(self):
        return [stamp.identity for stamp in self.stamps] or _ends(self)

    def __getstate__(self):
        """The open files stay behind."""
        return {**vars(self), "_open": None}


def _rows_of(fragment):
    """Rows of a part: of a row group by its own count, count_rows being that of the file."""
    groups = getattr(fragment, "row_groups", None)
    return fragment.count_rows() if groups is None else sum(g.num_rows for g in groups)


def _has_file(fragment):
    """Whether a fragment of a dataset is a file."""
    return bool(getattr(fragment, "path", ""))


class LazyFrameReader(TableReader):
    """Slices of a polars LazyFrame, collected one at a time."""

    def __init__(self, frame, y, weight, block_rows):
        self.frame = frame
        names = frame.collect_schema().names()
        last = frame.select(names[0]).with_row_index("__row").select("__row").tail(1).collect()
        n_rows = int(last["__row"][0]) + 1 if len(last) else 0
        self.edges = block_edges(n_rows, 8 * len(names), block_rows)
        super().__init__(np.diff(self.edges), names, y, weight)

    def _table(self, i, names):
        size = int(self.sizes[i])
        return self.frame.select(names).slice(int(self.edges[i]), size).collect()

    def _column(self, table, name):
        column = table[name]
        return np.asarray(column.to_list(), dtype=object) if _is_text(column) else column.to_numpy()


def _is_text(column):
    """Whether a column of polars holds words."""
    return str(column.dtype).startswith(("String", "Categorical", "Enum"))


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


def _ends(reader):
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
