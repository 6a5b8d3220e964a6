"""Readers of tables with named columns: parquet files, and frames of pandas and polars."""

import json
import os
from collections import Counter

import numpy as np

from skinfluence._sources._checks import check_numbers
from skinfluence._sources._files import FileStamp
from skinfluence._sources._readers import (
    Reader,
    block_edges,
    end_hashes,
)


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
        twice = [name for name, count in Counter(self.all_names).items() if count > 1]
        if twice:
            raise ValueError(f"X has several columns named {twice[0]!r}: give each its own name.")
        for argument, name in (("y", y), ("sample_weight", weight)):
            if name is not None and name not in self.all_names:
                raise ValueError(
                    f"{argument}={name!r} is no column of the source; it has "
                    f"{', '.join(self.all_names[:10])}."
                )
        self.names = self.features = [name for name in self.all_names if name not in (y, weight)]

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
        for name in self.features:
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

    Columns that are the index of a pandas data frame are no features; they can be labels or
    weights. The folders of a hive (``year=2019``) are columns, as pandas reads them.

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
        self.keys = [name for name in _keys_of_all(fragments) if name not in schema.names]
        index = _index_of_pandas(schema) - {y, weight}
        files = sorted({fragment.path for fragment in fragments if _has_file(fragment)})
        self.stamps = [FileStamp(path) for path in files if os.path.exists(path)]
        names = [name for name in [*schema.names, *self.keys] if name not in index]
        super().__init__([_rows_of(f) for f in fragments], names, y, weight)
        for name in set(self.keys) & set(self.features):
            _check_number_keys(fragments, name)
        self._open = fragments

    def _dataset(self):
        """Return the pyarrow Dataset of the file, the folder or the object that was given."""
        if not isinstance(self.source, str | os.PathLike):
            return self.source
        from pyarrow import ArrowTypeError
        from pyarrow.dataset import dataset

        # Of one file the folders above it are not part of the data.
        hive = "hive" if os.path.isdir(self.source) else None
        try:
            return dataset(str(self.source), format="parquet", partitioning=hive)
        except ArrowTypeError:  # a folder is named as a column of the files, of another type
            return dataset(str(self.source), format="parquet")

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
        fragment = self._open[i]
        table = fragment.to_table(columns=[name for name in names if name not in self.keys])
        # Each file has types of its own: by those of the dataset, which are the first file's, it
        # would be cast. So the values of the folders are put beside what it holds.
        own = _keys_of(fragment)
        for name in names:
            if name in self.keys:
                table = table.append_column(name, [_repeated(own.get(name), table.num_rows)])
        return table

    def _column(self, table, name):
        """A column; of a dictionary its words, and nulls as NaN or None."""
        column = table.column(name)
        if str(column.type).startswith("dictionary"):
            column = column.cast(column.type.value_type)
        return column.to_numpy()

    def __len__(self):
        return len(self.sizes)

    def identity(self):
        return [stamp.identity for stamp in self.stamps] or end_hashes(self)

    def __getstate__(self):
        """The open files stay behind."""
        return {**vars(self), "_open": None}


def _index_of_pandas(schema):
    """Names of the columns that were the index of a data frame, where pandas has written a file."""
    described = (schema.metadata or {}).get(b"pandas")
    found = json.loads(described).get("index_columns", []) if described else []
    return {name for name in found if isinstance(name, str)}  # a range has no column


def _keys_of(fragment):
    """Values in the names of a file's folders, by name."""
    from pyarrow.dataset import get_partition_keys

    return get_partition_keys(fragment.partition_expression)


def _keys_of_all(fragments):
    """Names of the columns whose values are in the names of folders, in order."""
    return list(dict.fromkeys(name for fragment in fragments for name in _keys_of(fragment)))


def _check_number_keys(fragments, name):
    """Raise where folders are named by words, which are no feature."""
    for fragment in fragments:
        value = _keys_of(fragment).get(name)
        if not isinstance(value, int | float):
            raise TypeError(
                f"the folders of X have {name}={value!r}, which is no number: encode it in a "
                f"column of the files, or leave it out by passing the files as a list, whose own "
                "columns are the features."
            )


def _repeated(value, n_rows):
    """Return a column of one value."""
    import pyarrow

    return pyarrow.array([value] * n_rows)


def _rows_of(fragment):
    """Rows of a part: of a row group by its own count, count_rows being that of the file."""
    groups = getattr(fragment, "row_groups", None)
    return fragment.count_rows() if groups is None else sum(g.num_rows for g in groups)


def _has_file(fragment):
    """Whether a fragment of a dataset is a file."""
    return bool(getattr(fragment, "path", ""))


class FrameReader(TableReader):
    """A data frame of pandas or polars in memory, as one block; the index is no feature."""

    def __init__(self, frame, y, weight):
        names = [str(name) for name in frame.columns]
        self.frame = frame.set_axis(names, axis=1) if hasattr(frame, "set_axis") else frame
        super().__init__([len(frame)], names, y, weight)
        if not all(isinstance(name, str) for name in frame.columns):
            self.names = None  # as scikit-learn has it

    def _table(self, i, names):
        return self.frame[names]

    def _column(self, table, name):
        return _values_of(table[name])


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
        return _values_of(table[name])


def _values_of(column):
    """Values of a column of polars or pandas, of words as objects."""
    is_text = str(column.dtype).startswith(("String", "Categorical", "Enum"))
    return np.asarray(column.to_list(), dtype=object) if is_text else column.to_numpy()
