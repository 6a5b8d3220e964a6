"""Rows in blocks: one protocol for arrays, files, lazy frames and callables."""

import copy
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from skinfluence._sources._checks import (
    HALF,
    as_rows,
    check_like,
    missing_labels,
)
from skinfluence._sources._dask import DaskArrayReader, DaskFrameReader
from skinfluence._sources._files import FileStamp, MappedFile, is_npy
from skinfluence._sources._omitted import OmittingReader, keeps
from skinfluence._sources._one_block import LabelCode, OneBlock, check_finite, place
from skinfluence._sources._readers import (
    ArrayReader,
    CallableReader,
    ChainReader,
    SelectionReader,
    TransformedReader,
    altered,
    as_text,
    content_hash,
    suffix_of,
)
from skinfluence._sources._tables import FrameReader, LazyFrameReader, ParquetReader
from skinfluence._validation import shown

# Arguments that are labels and weights of the rows.
LABELS = ("y", "sample_weight")


class RowBlocks:
    """Rows that are read block by block, as often as it takes; made by :func:`as_blocks`.

    A pickle has the description of the source: the path and the time stamp of a file, not its
    values. Of arrays in memory the description is the array.

    Parameters
    ----------
    reader : object
        What reads a block of the source.
    y, sample_weight : array or None
        Labels and weights of all rows, where the source has none of its own.

    Attributes
    ----------
    n_blocks, n_rows : int
    sizes : ndarray of int, shape (n_blocks,)
        Rows of each block.
    shape : tuple of int
        (n_rows, n_features).
    dtype : dtype
        Of the rows as they are read, float32 or float64.
    names : list of str or None
        Of the features, where the source has names.
    """

    def __init__(self, reader: Any, y: Any = None, sample_weight: Any = None):
        self.reader, self.y, self.sample_weight = reader, y, sample_weight
        self.sizes = np.asarray(reader.sizes, dtype=np.int64)
        self.edges = np.concatenate([[0], np.cumsum(self.sizes)])
        self.names = reader.names
        self._last: tuple[Any, Any] = (None, None)
        self._labels: tuple[Any, Any] | None = None
        self._code: tuple[Any, ...] | None = None
        # Files that the labels and weights in memory were read from.
        self._label_files: list[FileStamp] = []
        self._checked = np.zeros(len(self.sizes), dtype=bool)
        filled = np.flatnonzero(self.sizes)
        if not len(filled):
            raise ValueError(f"{reader!r} has no rows.")
        for name, values in (("y", y), ("sample_weight", sample_weight)):
            if values is not None and len(values) != self.n_rows:
                raise ValueError(
                    f"{name} has {len(values)} rows, X has {self.n_rows}: the source and its "
                    "labels should be of one length."
                )
        self.dtype: Any = None
        self.n_features: Any = None
        first = self._rows(int(filled[0]), reader.read(int(filled[0]))[0])
        self.dtype, self.n_features = first.dtype, first.shape[1]
        self._is_sparse = hasattr(first, "tocsr")

    @property
    def n_blocks(self) -> int:
        """Number of blocks.

        Returns
        -------
        int
            Empty ones included.
        """
        return len(self.sizes)

    @property
    def n_rows(self) -> int:
        """Number of rows.

        Returns
        -------
        int
            Of all blocks.
        """
        return int(self.edges[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix that the blocks are rows of.

        Returns
        -------
        tuple of int
            (n_rows, n_features).
        """
        return self.n_rows, self.n_features

    def __repr__(self) -> str:
        n, p = self.shape
        return f"RowBlocks({self.reader!r}: {n} rows of {p} columns in {self.n_blocks} blocks)"

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """Raise: who asks would read all rows, as the transformers of scikit-learn do."""
        raise NotImplementedError(
            "rows in blocks are no array: what was given them works on arrays in memory. A "
            "Pipeline is fitted by InfluenceExplainer(pipeline).fit(blocks), its earlier steps "
            "frozen or with partial_fit; a fitted transformer transforms by "
            "blocks.transformed(transformer.transform); or, where there is room for all rows, pass "
            "blocks[:]."
        )

    def read(self, i: int) -> tuple[Any, Any, Any]:
        """Read a block.

        Parameters
        ----------
        i : int
            From 0 to n_blocks - 1.

        Returns
        -------
        X_i : ndarray or CSR of shape (sizes[i], n_features)
            Float32 or float64, finite.
        y_i, w_i : ndarray of shape (sizes[i],) or None
            Labels and weights.
        """
        X, y, weight = self.reader.read(i)
        rows = slice(int(self.edges[i]), int(self.edges[i + 1]))
        y = y if self.y is None else self.y[rows]
        weight = weight if self.sample_weight is None else self.sample_weight[rows]
        return self._rows(i, X), _array(y), _array(weight)

    def block(self, i: int) -> Any:
        """Return the rows of a block; the last one that was read is kept.

        Parameters
        ----------
        i : int
            From 0 to n_blocks - 1.

        Returns
        -------
        ndarray or CSR of shape (sizes[i], n_features)
            Of a file that can be mapped a view of it.
        """
        position, rows = self._last
        if position != i:
            rows = self._rows(i, self.reader.read(i)[0])
            self._last = i, rows
        return rows

    def __getitem__(self, rows: Any) -> Any:
        """Rows of a slice or an index array, in memory."""
        index = np.arange(self.n_rows)[rows]
        if hasattr(self.reader, "take"):
            return self._rows(None, self.reader.take(index))
        order = np.argsort(index, kind="stable")
        cuts = np.searchsorted(index[order], self.edges)
        parts = [
            self.block(i)[index[order[cuts[i] : cuts[i + 1]]] - self.edges[i]]
            for i in range(self.n_blocks)
            if cuts[i] < cuts[i + 1]
        ]
        if not parts:
            return self.empty()
        back = np.argsort(order, kind="stable")
        if hasattr(parts[0], "tocsr"):
            from scipy.sparse import vstack

            return vstack(parts, format="csr")[back]
        return np.concatenate(parts)[back]

    def empty(self, columns: Any = None) -> Any:
        """Return no rows of these columns.

        Parameters
        ----------
        columns : ndarray of int, optional
            Some of them.

        Returns
        -------
        ndarray or CSR of shape (0, n_features)
            Of the kind and type of the blocks.
        """
        filled = int(np.flatnonzero(self.sizes)[0])
        none = self.block(filled)[:0]
        return none if columns is None else none[:, columns]

    def selected(self, rows: Any = None, columns: Any = None) -> "RowBlocks":
        """Return blocks of some rows or columns, which are selected when they are read.

        Parameters
        ----------
        rows : ndarray of int, optional
            Ascending.
        columns : ndarray of int, optional
            Positions of columns.

        Returns
        -------
        RowBlocks
            Without labels.
        """
        return RowBlocks(SelectionReader(self, rows, columns))

    def transformed(self, function: Callable) -> "RowBlocks":
        """Return blocks that are sent through a function when they are read.

        Parameters
        ----------
        function : callable
            Of rows of a block, which keeps their number and order; its repr names it.

        Returns
        -------
        RowBlocks
            With the same labels and weights.
        """
        new = RowBlocks(TransformedReader(self.reader, function), self.y, self.sample_weight)
        new._label_files = self._label_files
        return new

    def without(self, gone: np.ndarray) -> "RowBlocks":
        """Return the blocks without some rows, of which a pickle has no values.

        Parameters
        ----------
        gone : ndarray of int
            Ascending.

        Returns
        -------
        RowBlocks
            With the labels and weights of the rows that are left.
        """
        both = self.y, self.sample_weight
        files = (each if isinstance(each, MappedFile) else None for each in both)
        new = copy.copy(self)
        new.reader = OmittingReader(self.reader, gone, *files)
        kept = (None if isinstance(each, MappedFile) else keeps(each, gone) for each in both)
        new.y, new.sample_weight = kept
        new.sizes = new.reader.sizes
        new.edges = np.concatenate([[0], np.cumsum(new.sizes)])
        new._last, new._labels, new._code = (None, None), None, None
        new._checked = self._checked.copy()
        return new

    def labelled(self, y: Any, sample_weight: Any) -> "RowBlocks":
        """Return the blocks with other labels and weights.

        Parameters
        ----------
        y, sample_weight : ndarray or None
            Of all rows.

        Returns
        -------
        RowBlocks
            Of the same rows.
        """
        new = copy.copy(self)
        new.y, new.sample_weight, new._labels, new._code = y, sample_weight, None, None
        return new

    def followed_by(self, X: Any) -> "RowBlocks":
        """Return the blocks with rows in memory, or further blocks, below them.

        Parameters
        ----------
        X : ndarray, CSR or RowBlocks
            Of the same columns.

        Returns
        -------
        RowBlocks
            Without labels.
        """
        below = X.reader if isinstance(X, RowBlocks) else ArrayReader(X, "auto", self.names)
        return RowBlocks(ChainReader([self.reader, below]))

    def labels(self) -> tuple[Any, Any]:
        """Return the labels and weights of all rows.

        Returns
        -------
        y : ndarray of shape (n_rows,) or None
            Of a file that can be mapped a view of it. Labels are read once, and kept.
        sample_weight : ndarray of shape (n_rows,) or None
            The same of the weights.
        """
        if self._labels is not None:
            return self._labels
        y, weight = self.y, self.sample_weight
        y, weight = (v.open() if isinstance(v, MappedFile) else v for v in (y, weight))
        if hasattr(self.reader, "labels"):
            found = [self.reader.labels(i) for i in range(self.n_blocks) if self.sizes[i]]
            own_y, own_weight = (
                None
                if any(part[k] is None for part in found)
                else np.concatenate([_array(part[k]) for part in found])
                for k in (0, 1)
            )
            y, weight = own_y if y is None else y, own_weight if weight is None else weight
        self._check_labels(y, "y")
        self._check_labels(weight, "sample_weight")
        self._labels = both = y, weight
        return both

    # -- by workers --------------------------------------------------------------------------------

    @property
    def is_thread_safe(self) -> bool:
        """Whether several threads may read at once.

        Returns
        -------
        bool
            False of callables, which may not be made for it.
        """
        return self.reader.is_thread_safe

    @property
    def computes(self) -> bool:
        """Whether blocks are computed on where they lie, by the source's own workers.

        Returns
        -------
        bool
            True of dask's collections.
        """
        return hasattr(self.reader, "compute")

    def map(self, function: Callable, tasks: Iterable) -> Any:
        """Yield the answers of tasks about blocks, by the workers of the source itself.

        Parameters
        ----------
        function : callable
            ``function(parts, *task)``, with what a OneBlock of the source is read from.
        tasks : iterable of tuple
            Each begins with a OneBlock.

        Yields
        ------
        object
            In order.
        """
        yield from self.reader.compute(function, tasks)

    def one(self, i: int) -> OneBlock:
        """Return the description of a block by itself.

        Parameters
        ----------
        i : int
            From 0 to n_blocks - 1.

        Returns
        -------
        OneBlock
            What a worker needs in order to read it.
        """
        return OneBlock(self, i, bool(self._checked[i]))

    def mark_checked(self, i: int) -> None:
        """Remember that a worker has found a block to be finite.

        Parameters
        ----------
        i : int
            From 0 to n_blocks - 1.
        """
        self._checked[i] = True

    def label_code(self, y: np.ndarray, weight: np.ndarray) -> tuple[Any, bool]:
        """Say how labels and weights of a fit follow from those that a block is read with.

        Parameters
        ----------
        y : ndarray of shape (n_rows,) or (n_rows, K)
            Encoded labels.
        weight : ndarray of shape (n_rows,)
            Weights of the rows.

        Returns
        -------
        code : LabelCode or None
            None where they are held in memory, or follow from no table.
        weights_are_read : bool
            Whether the weights are those of the source themselves.
        """
        if self._code is None or self._code[0] is not y or self._code[1] is not weight:
            self._code = y, weight, self._compared(y, weight)
        return self._code[2]

    def _compared(self, y, weight):
        """The code and whether weights are read, found by a look at all labels."""
        own = getattr(self.reader, "labels", None) is not None
        read, read_weight = self.labels()
        lies_there = isinstance(self.y, MappedFile) or (self.y is None and own)
        parts = [
            slice(int(self.edges[i]), int(self.edges[i + 1])) for i in np.flatnonzero(self.sizes)
        ]
        code = LabelCode.of(read, y, weight, parts) if lies_there and read is not None else None
        lies_there = isinstance(self.sample_weight, MappedFile) or (
            self.sample_weight is None and own
        )
        weights_are_read = (
            lies_there
            and read_weight is not None
            and all(np.array_equal(np.asarray(read_weight[p]), weight[p]) for p in parts)
        )
        return code, weights_are_read

    def fingerprint(self) -> str:
        """Hash of what identifies the source.

        Returns
        -------
        str
            Of files their names, sizes and time stamps; of arrays in memory their values; of
            sources that have neither, the values of their first and last blocks.
        """
        parts = [self.reader.identity(), _identity(self.y), _identity(self.sample_weight)]
        return as_text(parts, self.shape)

    # -- checks ------------------------------------------------------------------------------------

    def _rows(self, i, X):
        """Rows of a block as float32 or float64, checked when they are first read."""
        where = "X" if i is None else f"block {i} of X"
        X = as_rows(X, where, self.names)
        if self.n_features is not None:
            X = check_like(X, where, self.n_features, self.dtype)
        if i is not None and not self._checked[i]:
            check_finite(X, self.names, i, int(self.edges[i]))
            self._checked[i] = True
        return X

    def _check_labels(self, values, name):
        """Raise where labels or weights are of another length or type, or missing."""
        if values is None:
            return
        if len(values) != self.n_rows:
            raise ValueError(f"{name} has {len(values)} rows, X has {self.n_rows}.")
        if values.dtype == np.float16:
            raise TypeError(f"{name} is float16: {HALF}")
        for i in range(self.n_blocks):
            missing = missing_labels(np.asarray(values[self.edges[i] : self.edges[i + 1]]))
            if len(missing):
                where = place(i, int(missing[0]), int(self.edges[i]))
                raise ValueError(f"{name} contains NaN: {where}.")

    def __getstate__(self):
        """What was read stays behind."""
        return {**vars(self), "_last": (None, None), "_labels": None, "_code": None}


def _identity(values):
    """What tells labels from others: of a file its stamp, else the values."""
    if values is None:
        return None
    return values.stamp.identity if isinstance(values, MappedFile) else content_hash(values)


def _array(values):
    """An array of labels or weights; None stays None."""
    if values is None:
        return None
    values = np.asarray(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def as_blocks(
    X: Any, y: Any = None, sample_weight: Any = None, *, block_rows: int | str = "auto"
) -> RowBlocks:
    """Return rows in blocks, of data that need not fit in memory.

    Parameters
    ----------
    X : source
        One of

        - an array, a CSR matrix or a data frame of pandas or polars in memory, a NumPy memmap, or
          the path of a .npy file;
        - the path of a parquet file, or of a folder of them, or a pyarrow Dataset: a block is a
          row group. What was the index of a pandas data frame is no feature; the folders of a hive
          (``year=2019``) are columns;
        - a polars LazyFrame; a dask array or data frame, of which a block is a chunk;
        - a list of paths of files of one kind;
        - a callable ``read(i)`` that returns ``X_i``, ``(X_i, y_i)`` or ``(X_i, y_i, w_i)`` of
          block i, and None past the last. It is called once for each block here, to count the
          rows, and for each block in every pass.
    y : array-like, path of a .npy file, list of such paths, or str, optional
        Labels; of parquet and of frames the name of a column, which is then no feature. Of a list
        of as many files as X is, each belongs to the file in its place.
    sample_weight : array-like, path of a .npy file, list of such paths, or str, optional
        Weights, in the same way.
    block_rows : int or "auto", default="auto"
        Rows of a block, for sources that have no blocks of their own; by default blocks of 16 MiB.

    Returns
    -------
    RowBlocks
        For `X` in ``fit`` of linear estimators.

    Raises
    ------
    TypeError
        For a source of another kind, a generator, which cannot be read again, and float16.
    ValueError
        For a source without rows, of other columns from block to block, or with labels of another
        length; when a block is read, for values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence import InfluenceRidge
    >>> from skinfluence.blocks import as_blocks
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(5000, 3))
    >>> y = X @ [1.0, -1.0, 0.5] + rng.normal(size=5000)
    >>> blocks = as_blocks(X, y, block_rows=1000)
    >>> blocks.n_blocks, blocks.shape
    (5, (5000, 3))
    >>> model = InfluenceRidge().fit(blocks)
    >>> bool(np.allclose(model.coef_, InfluenceRidge().fit(X, y).coef_, rtol=1e-12))
    True
    """
    if isinstance(X, RowBlocks):
        if y is None and sample_weight is None:
            return X
        return RowBlocks(
            X.reader,
            X.y if y is None else _labels_of(y, "y"),
            X.sample_weight
            if sample_weight is None
            else _labels_of(sample_weight, "sample_weight"),
        )
    if block_rows != "auto" and (
        isinstance(block_rows, bool)
        or not isinstance(block_rows, int | np.integer)
        or block_rows < 1
    ):
        raise ValueError(
            f"block_rows should be a positive integer or 'auto'; got {shown(block_rows)}."
        )
    features = None
    if _is_frame(X):
        X, y, sample_weight, features = _arrays_of(X, y, sample_weight)
    lies_there = _lies_there(X)
    names = tuple(
        value if _is_column(value) or lies_there(value) else None for value in (y, sample_weight)
    )
    reader = _reader(X, names[0], names[1], block_rows)
    reader = reader if features is None else altered(reader, names=features)
    if any(isinstance(v, str) for v in names) and not hasattr(reader, "labels"):
        name = next(name for name in names if isinstance(name, str))
        raise ValueError(
            f"{name!r} is no column of X, which has no names: pass an array, or a .npy file."
        )
    per_file = None
    if isinstance(X, list | tuple):
        per_file = [(path, each.n_rows) for path, each in zip(X, reader.readers, strict=True)]
    for value, name in zip((y, sample_weight), LABELS, strict=True):
        _check_no_columns(value, name, reader)
    given = [
        None if name is not None else value
        for value, name in zip((y, sample_weight), names, strict=True)
    ]
    labels = (_labels_of(*each, per_file) for each in zip(given, LABELS, strict=True))
    new = RowBlocks(reader, *labels)
    new._label_files = [FileStamp(path) for each in map(_npy_files, given) for path in each]
    return new


def _is_column(value):
    """Whether labels are a column of the source, by its name."""
    return isinstance(value, str) and not is_npy(value)


def _is_frame(X):
    """Whether rows are a data frame in memory."""
    return type(X).__name__ == "DataFrame" and bool(_packages(X) & {"pandas", "polars"})


def _arrays_of(frame, y, weight):
    """Rows, labels and weights of a data frame, and the names of its features.

    An array, and not the frame, is kept: a pickle without some rows has no others then.
    """
    columns = [value if _is_column(value) else None for value in (y, weight)]
    table = FrameReader(frame, *columns)
    X, *own = table.read(0)
    both = zip((y, weight), columns, own, strict=True)
    y, weight = (given if name is None else found for given, name, found in both)
    return X, y, weight, table.names


def _lies_there(X):
    """Function that says whether labels are a dask collection, as the rows are."""
    if not _packages(X) & {"dask", "dask_expr"}:
        return lambda value: False
    return lambda value: hasattr(value, "__dask_graph__") and hasattr(X, "chunks")


def _packages(value):
    """Packages that the classes of a value come from."""
    return {cls.__module__.partition(".")[0] for cls in type(value).__mro__}


def _reader(X, y, weight, block_rows):
    """The reader of a source."""
    packages = _packages(X)
    if isinstance(X, str | os.PathLike):
        return _file_reader(X, y, weight, block_rows)
    if isinstance(X, list | tuple) and X and all(isinstance(v, str | os.PathLike) for v in X):
        return ChainReader([_file_reader(path, y, weight, block_rows) for path in X])
    if isinstance(X, np.ndarray) or hasattr(X, "tocsr"):
        return _array_reader(X, block_rows)
    if packages & {"dask", "dask_expr"} and hasattr(X, "chunks"):
        return DaskArrayReader(X, *(None if isinstance(v, str) else v for v in (y, weight)))
    if packages & {"dask", "dask_expr"}:
        return DaskFrameReader(X, y, weight)
    if "polars" in packages and type(X).__name__ == "LazyFrame":
        return LazyFrameReader(X, y, weight, block_rows)
    if "pyarrow" in packages and hasattr(X, "get_fragments"):
        return ParquetReader(X, y, weight)
    if hasattr(X, "__next__"):
        raise TypeError(
            "X can be read once only: give a source that can be read again, such as a list of "
            "files, or a callable read(i) that returns block i."
        )
    if callable(X):
        return CallableReader(X)
    is_list = isinstance(X, list | tuple | set)
    what = "a list of something else than paths" if is_list else type(X).__name__
    raise TypeError(
        f"X is {what}, which as_blocks does not know: pass an array, a CSR matrix, a data frame, "
        "the path of a .npy or parquet file, a list of paths, a pyarrow Dataset, a polars "
        "LazyFrame, a dask array or data frame, or a callable read(i)."
    )


def _array_reader(X, block_rows):
    """Reader of an array; of a memmap by its file, where it is a whole one."""
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    mapped = MappedFile.of(X) if isinstance(X, np.memmap) else None
    return ArrayReader(X if mapped is None else mapped, block_rows)


def _file_reader(path, y, weight, block_rows):
    """Reader of a file, by the suffix of its name."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} is not there.")
    suffix = suffix_of(path)
    if suffix == ".npy":
        return ArrayReader(MappedFile.npy(path), block_rows)
    if suffix in (".parquet", ".pq"):
        return ParquetReader(path, y, weight)
    raise ValueError(
        f"{path} should be a .npy or .parquet file, or a folder of the latter; its suffix is "
        f"{suffix!r}."
    )


def _are_npy(values):
    """Whether a value is a list of paths of .npy files."""
    return isinstance(values, list | tuple) and bool(values) and all(map(is_npy, values))


def _npy_files(values):
    """Paths of a list of .npy files; none of anything else."""
    return list(values) if _are_npy(values) else []


def _check_no_columns(values, name, reader):
    """Raise for a few names of columns where there should be labels or weights."""
    if not isinstance(values, list | tuple) or _are_npy(values):
        return
    if all(isinstance(value, str) for value in values) and len(values) != reader.n_rows:
        raise ValueError(
            f"{name} is a list of {len(values)} texts, and X has {reader.n_rows} rows: pass an "
            "array of one label or response a row (of several responses a column each), the path "
            "of a .npy file, a list of these, or the name of one column of X."
        )


def _check_pairs(name, paths, values, per_file):
    """Raise where one of as many files of labels has other rows than that of X in its place."""
    for k, (path, own, (rows, n_rows)) in enumerate(zip(paths, values, per_file, strict=True)):
        if len(own) != n_rows:
            raise ValueError(
                f"{name}[{k}] ({path}) has {len(own)} rows, X[{k}] ({rows}) has {n_rows}: of as "
                "many files each should belong to the one in its place. Give both in one order."
            )


def _labels_of(values, name, per_file=None):
    """Labels or weights of all rows: an array, or a file of them that is mapped.

    `per_file` has the path and the number of rows of each file of X, where it is a list of these.
    """
    if values is None:
        return None
    if is_npy(values):
        values = MappedFile.npy(values)
    elif _are_npy(values):
        paths, values = values, [np.load(path, allow_pickle=False) for path in values]
        if per_file is not None and len(per_file) == len(paths):
            _check_pairs(name, paths, values, per_file)
        values = np.concatenate(values)
    elif isinstance(values, np.memmap):
        values = MappedFile.of(values) or np.asarray(values)
    elif isinstance(values, Callable):
        raise TypeError(f"{name} is a callable: let read(i) return (X_i, y_i, w_i).")
    elif hasattr(values, "compute"):
        values = np.asarray(values.compute())
    else:
        values = np.asarray(values)
    if len(values.shape) == 2 and values.shape[1] == 1:
        values = np.asarray(values[:, 0])
    return values
