"""Data frames: the only module that imports pandas, and only when a frame is asked for."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Lines and columns of a table in a notebook.
HTML_ROWS, HTML_COLUMNS = 10, 14

DataFrame: TypeAlias = "pd.DataFrame"  # for annotations, which must not import pandas
Series: TypeAlias = "pd.Series"


def row_names(*tables):
    """Return the index of the first table that has one (n,), as pandas objects do; else None."""
    for table in tables:
        index = getattr(table, "index", None)
        if index is not None and not callable(index):  # a list has a method of that name
            return np.asarray(index)
    return None


def free_name(name, taken):
    """Return `name`, with as many underscores behind it as tell it from the names that are taken.

    Parameters
    ----------
    name : str
    taken : iterable
        Names that are there already, such as those of the features.
    """
    taken = {str(other) for other in taken}
    while name in taken:
        name += "_"
    return name


def take_rows(table, rows):
    """Return some rows of an array, a sparse matrix, a data frame or a list of rows.

    Parameters
    ----------
    table : array-like
    rows : ndarray of int
    """
    if hasattr(table, "iloc"):
        return table.iloc[rows]
    if hasattr(table, "tocsr"):  # some sparse formats have no rows to take
        table = table.tocsr()
    return (table if hasattr(table, "shape") else np.asarray(table))[rows]


def with_changes(series, rows, values):
    """Return a Series of pandas with other values (r,) at some positions, of its type."""
    found = series.copy()
    found.iloc[rows] = values
    return found


class Result:
    """A result that prints in a few lines, and is a table in a notebook.

    A class that uses it is a dataclass with ``repr=False`` and a method `to_frame`.
    """

    def __repr__(self):
        """The names of its parts, with the shapes of arrays."""
        parts = [f"{field.name}={_short(getattr(self, field.name))}" for field in fields(self)]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self):
        """The text and the first and last lines of the frame; the text alone without pandas."""
        text = f"<pre>{html.escape(repr(self))}</pre>"
        try:
            table = self.to_frame()
        except ImportError:
            return text
        return text + table.to_html(max_rows=HTML_ROWS, max_cols=HTML_COLUMNS, border=0)


def _short(value):
    """One word for a value: an array by its shape, a long list or table by its length."""
    if isinstance(value, np.ndarray):
        return f"<{' x '.join(map(str, value.shape)) or 'scalar'}>"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, str | int | bool | np.integer | None):
        return repr(value)
    return f"<{type(value).__name__}>"


@dataclass(frozen=True)
class Pairs:
    """Names of the lines or columns of a frame that are pairs, each first one with every second.

    Attributes
    ----------
    first, second : sequence
        Names.
    levels : tuple of str
        What the first and the second are.
    """

    first: Sequence
    second: Sequence
    levels: tuple


def named_frame(values, rows, columns=None, classes=None, name="value", level="train"):
    """Return a frame of an array (r,) or (r, c), with a last axis of classes if `classes` is given.

    Parameters
    ----------
    values : ndarray
    rows : ndarray of shape (r,) or Pairs
        Index of the frame.
    columns : ndarray of shape (c,) or Pairs, optional
        Names of the second axis.
    classes : sequence, optional
        Names of the last axis; with `columns` the last level of the frame's columns.
    name : str
        Name of the column of an array (r,).
    level : str
        What the columns are, for the name of their level beside the classes.
    """
    rows = _product(rows)
    if columns is None:
        found = [name] if classes is None else list(classes)
    else:
        found = _product(columns, classes, level)
    return pandas().DataFrame(values.reshape(len(rows), len(found)), index=rows, columns=found)


def _product(names, classes=None, level=None):
    """Names themselves, or the MultiIndex of pairs, each with every class if there are classes."""
    pairs = isinstance(names, Pairs)
    if not pairs and classes is None:
        return names
    parts, levels = ([names.first, names.second], names.levels) if pairs else ([names], (level,))
    if classes is not None:
        parts, levels = [*parts, classes], (*levels, "class")
    return pandas().MultiIndex.from_product(parts, names=list(levels))


def without_columns(names):
    """Return a frame (n, 0) of rows with these names; None for None."""
    return None if names is None else named_frame(np.empty((len(names), 0)), names, [])


def pandas():
    """Return the module pandas; ImportError says how to install it."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "frames need pandas, which is not installed: pip install pandas"
        ) from error
    return pd


def data_frame(columns, rows=None):
    """Return a pandas DataFrame of a dict of equally long columns, with the names of its rows."""
    frame = pandas().DataFrame(columns)
    if rows is not None:
        frame.index = rows
    return frame


def checked_labels(labels, size, name):
    """Return `labels` as an array of length `size`; the positions 0, 1, ... if `labels` is None."""
    if labels is None:
        return np.arange(size)
    labels = np.asarray(labels)
    if labels.shape != (size,):
        raise ValueError(f"{name} should have shape ({size},); got {labels.shape}.")
    return labels
