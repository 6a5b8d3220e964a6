"""Rows of tables that move: their columns by name, and as they were where they hold no numbers."""

import numpy as np

from skinfluence._frames import pandas
from skinfluence._validation import as_numbers


class MovableRows:
    """Rows of a table as a matrix of numbers, whose rows may be moved, and back in its own form.

    A column of a data frame that holds no numbers has the positions of its rows in the matrix:
    rows that move in other columns alone have their own entry of it in the end.

    Parameters
    ----------
    table : array-like or data frame of shape (n, p)
    name : str
        What an error calls it.

    Attributes
    ----------
    is_number : ndarray of bool, shape (p,)
        Which columns hold numbers.
    values : ndarray of shape (n, p)
    """

    def __init__(self, table, name="X"):
        self.table = table if hasattr(table, "iloc") else None
        if self.table is None:
            self.values = as_numbers(name, table)
            if self.values.ndim != 2:
                raise ValueError(
                    f"Expected 2D array: {name} should have shape (n_rows, n_features); got "
                    f"{self.values.shape}. Reshape your data."
                )
            self.is_number = np.ones(self.values.shape[1], dtype=bool)
            return
        kinds = [getattr(dtype, "kind", "O") for dtype in table.dtypes]
        self.is_number = np.array([kind in "iufb" for kind in kinds], dtype=bool)
        self.values = np.empty(table.shape)
        for j, is_number in enumerate(self.is_number):
            column = table.iloc[:, j]
            own = np.arange(len(table))
            self.values[:, j] = (
                column.to_numpy(dtype=np.float64, na_value=np.nan) if is_number else own
            )

    def like_table(self, values):
        """Return rows of such numbers in the form of the table, with its columns' names.

        Parameters
        ----------
        values : ndarray of shape (m, p)
        """
        if self.table is None:
            return values
        if self.is_number.all():
            return type(self.table)(values, columns=self.table.columns)
        parts = []
        for j, is_number in enumerate(self.is_number):
            column = self.table.iloc[:, j]
            if is_number:
                parts.append(pandas().Series(values[:, j]))
            else:
                parts.append(column.iloc[values[:, j].astype(np.intp)].reset_index(drop=True))
        found = pandas().concat(parts, axis=1)
        found.columns = self.table.columns
        return found


def named_moves(moves, names, n_rows):
    """Return an array (n_rows, p) of a dict or a data frame of moves by column; else `moves`.

    Columns that are not named stay where they are.

    Parameters
    ----------
    moves : array-like, data frame, or dict of numbers or arrays of shape (n_rows,)
    names : list of str
        Of the p columns.
    n_rows : int
    """
    if hasattr(moves, "iloc"):
        if getattr(moves, "columns", None) is None:  # a series has one move for each column
            moves = moves.to_dict()
        else:
            moves = {name: moves[name].to_numpy() for name in moves.columns}
    if not isinstance(moves, dict):
        return moves
    names = list(names)
    unknown = [name for name in moves if name not in names]
    if unknown:
        raise ValueError(f"displacement names {unknown}, which are no columns: {names}.")
    found = np.zeros((n_rows, len(names)))
    for name, values in moves.items():
        values = as_numbers(f"displacement[{name!r}]", values)
        if values.shape not in ((), (n_rows,)):
            raise ValueError(
                f"displacement[{name!r}] should be a number, or one for each of the {n_rows} "
                f"training rows asked about; got shape {values.shape}."
            )
        found[:, names.index(name)] = values
    return found
