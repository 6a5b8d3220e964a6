"""Which of the rows that a scorer was handed it asks about."""

import math
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

# Predictions that differ by less, relative to the largest, are equal but for rounding.
ROUNDING = 1e-12


class KnownRows:
    """Rows of which something is known, and how they are found again.

    The table itself is known at sight. Other rows are found by the labels of a data frame's index
    and by their values, so that they may be some of the rows, or all in another order, but no
    changed ones.

    Parameters
    ----------
    table : array-like of n rows
        What the scorer is handed.
    """

    def __init__(self, table):
        self.table = table
        self._row_keys = self._first = None

    def of(self, X, known):
        """Return what is known of some rows.

        Parameters
        ----------
        X : array-like of m rows
        known : ndarray of shape (n, ...)
            Of the rows of the table, in their order.

        Returns
        -------
        ndarray of shape (m, ...)
            Of the rows of X; `known` itself where X is the table.

        Raises
        ------
        ValueError
            For rows that are not in the table, and for equal ones of which other things are known.
        """
        if X is self.table or _is_same_memory(X, self.table) or self._is_copy(X):
            return known
        if hasattr(self.table, "tocsr") and not hasattr(X, "tocsr"):
            X = csr_array(X) if isinstance(X, np.ndarray) and X.ndim == 2 else X
        keys = _keys(X)
        if _differ_in_columns(X, self.table):
            raise self._unknown("X, of other columns or in another order of them,")
        if keys is None or self._keys() is None:
            raise self._unknown("X")
        rows = self._by_label(X, keys)
        if rows is None and self._is_bare:
            raise self._unknown("X")
        return known[self._by_value(keys, known) if rows is None else rows]

    def _is_copy(self, X):
        """Whether X has the values of the table: equal rows are then where they were.

        Column by column, which takes no time beside a key for each row.
        """
        if self._is_bare or _differ_in_columns(X, self.table):
            return False
        names = [getattr(table, "index", None) for table in (X, self.table)]
        if all(hasattr(index, "equals") for index in names) and not names[0].equals(names[1]):
            return False
        if hasattr(X, "tocsr") or hasattr(self.table, "tocsr"):
            return _is_sparse_copy(X, self.table)
        shape = getattr(self.table, "shape", None)
        if shape is None or getattr(X, "shape", None) != shape or len(shape) != 2:
            return False
        columns = zip(_columns(X), _columns(self.table), strict=True)
        return all(_are_equal(one, other) for one, other in columns)

    @property
    def _is_bare(self):
        """Whether the rows have no columns, so that all are equal."""
        shape = getattr(self.table, "shape", ())
        return len(shape) == 2 and shape[1] == 0

    def _keys(self):
        """Return the keys of the table's rows, found once."""
        if self._row_keys is None:
            self._row_keys = _keys(self.table)
        return self._row_keys

    def _by_label(self, X, keys):
        """Positions of the rows of a data frame by its index; None unless the values agree."""
        index, asked = (getattr(table, "index", None) for table in (self.table, X))
        if not (hasattr(index, "get_indexer") and hasattr(asked, "get_indexer")):
            return None
        if not index.is_unique:
            return None
        rows, own = index.get_indexer(asked), self._keys()
        agree = all(row >= 0 and own[row] == key for row, key in zip(rows, keys, strict=True))
        return rows if agree else None

    def _by_value(self, keys, known):
        """Positions of the rows with these keys; raise where they are none, or not told apart."""
        if self._first is None:
            first = {}
            twins = [first.setdefault(key, row) for row, key in enumerate(self._keys())]
            self._first = first, np.array(twins, dtype=int)
        first, twins = self._first
        strange = next((row for row, key in enumerate(keys) if key not in first), None)
        if strange is not None:
            raise self._unknown(f"row {strange} of {len(keys)}")
        rows = np.array([first[key] for key in keys], dtype=int)
        atol = ROUNDING * np.abs(known[np.isfinite(known)]).max(initial=0.0)
        same = np.isclose(known, known[twins], rtol=ROUNDING, atol=atol, equal_nan=True)
        other = np.flatnonzero(~same.reshape(len(twins), -1).all(axis=1) & np.isin(twins, rows))
        if len(other):
            raise ValueError(
                f"rows {twins[other[0]]} and {other[0]} of X have the same values and other "
                "predictions, each by the model without it, so that a scorer cannot ask for one of "
                "them by its values. Pass X itself to predict, and select from what it returns; or "
                "take rows of a data frame whose index has no label twice."
            )
        return rows

    def _unknown(self, what):
        """Return the error for what is not among the rows."""
        shape = getattr(self.table, "shape", None) or (len(self.table),)
        bare = " They have no columns, and are known by their index alone."
        names = bare if self._is_bare else ""
        return ValueError(
            f"{what} is not among the {shape[0]} rows that the scorer was handed.{names} Its "
            "estimator has predictions for these rows as they are, all, some or in another order, "
            "and no model for others: pass X or rows of X to predict, unchanged, and change what "
            "it returns."
        )


def _columns(table):
    """Yield the columns of a data frame or an array as arrays."""
    if hasattr(table, "columns"):
        for name in range(table.shape[1]):
            yield np.asarray(table.iloc[:, name] if hasattr(table, "iloc") else table[:, name])
    else:
        yield from np.asarray(table).T


def _are_equal(one, other):
    """Whether two columns have the same values: NaN equals NaN, float32 its own rounding."""
    numbers = one.dtype.kind in "biuf" and other.dtype.kind in "biuf"
    if not numbers:
        pairs = zip(one.tolist(), other.tolist(), strict=True)
        try:
            return all(a is b or a == b or (_is_nan(a) and _is_nan(b)) for a, b in pairs)
        except TypeError:  # pandas.NA is neither equal nor different
            return False
    single = np.float32 in (one.dtype, other.dtype) and one.dtype != other.dtype
    dtype = np.float32 if single else np.float64
    with np.errstate(over="ignore"):
        return np.array_equal(one.astype(dtype), other.astype(dtype), equal_nan=True)


def _is_sparse_copy(one, other):
    """Whether two matrices, one of which is sparse, have the same values."""
    if getattr(one, "shape", None) != other.shape or len(other.shape) != 2:
        return False
    if not all(isinstance(each, np.ndarray) or hasattr(each, "tocsr") for each in (one, other)):
        return False
    ours, theirs = (csr_array(each) for each in (one, other))
    return not (ours != theirs).nnz


def _is_same_memory(one, other):
    """Whether two arrays are views of the same values; not for arrays without any."""
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.size):
        return False
    alike = one.shape == other.shape and one.dtype == other.dtype and one.strides == other.strides
    return alike and one.ctypes.data == other.ctypes.data


def _differ_in_columns(one, other):
    """Whether two tables have columns of other names."""
    names = [getattr(table, "columns", None) for table in (one, other)]
    return all(name is not None for name in names) and list(names[0]) != list(names[1])


def _keys(table):
    """Return a key for each row, equal where its values are; None where rows have none."""
    try:
        keys = _keys_of_csr(table.tocsr()) if hasattr(table, "tocsr") else _keys_of_array(table)
        hash(tuple(keys))
    except (TypeError, ValueError):  # no rows, or entries that are no values
        return None
    return keys


def _keys_of_array(table):
    """Return the bytes of each row of numbers, else its entries."""
    values = np.asarray(table)
    values = values.reshape(len(values), math.prod(values.shape[1:]))
    if values.dtype.kind in "biuf":
        values = values.astype(np.float64) + 0.0  # -0 equals 0
        values[np.isnan(values)] = np.nan  # of one sign
        return [row.tobytes() for row in values]
    return [tuple(None if _is_nan(entry) else entry for entry in row) for row in values.tolist()]


def _is_nan(entry):
    """Whether an entry is a float that does not equal itself; other gaps are one object each."""
    return isinstance(entry, float) and entry != entry


def _keys_of_csr(rows):
    """Return the columns and values of each row, in their order and without zeros."""
    rows = rows.copy()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    columns, data = rows.indices.astype(np.int64), rows.data.astype(np.float64)
    ends = rows.indptr.tolist()
    return [
        (columns[start:end].tobytes(), data[start:end].tobytes()) for start, end in pairwise(ends)
    ]
