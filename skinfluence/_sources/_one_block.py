"""One block of a source by itself: what a worker is sent in place of the rows."""

import numpy as np

from skinfluence._sources._checks import as_rows, check_like, first_not_finite
from skinfluence._sources._files import MappedFile

# More labels than this are numbers, not classes, and no table of them is sent.
MOST_CLASSES = 1024


def place(i, row, start):
    """Say where a row of a block is, which begins at row `start` of all."""
    return f"in block {i}, row {row} of it, which is row {start + row} of all"


def check_finite(X, names, i, start):
    """Raise where a block has a value that is not finite, naming its row."""
    found = first_not_finite(X)
    if found is not None:
        row, column = found
        raise ValueError(
            f"X contains NaN or infinity: {place(i, row, start)}, column "
            f"{names[column] if names else column!r}. Leave such rows out, or impute "
            "them, where the blocks are made."
        )


class OneBlock:
    """The description of a block, which is read where it is needed.

    Labels and weights that lie in files, or in the source itself, are described too.

    Parameters
    ----------
    blocks : RowBlocks
    i : int
    is_checked : bool
        Whether the block was found to be finite before.
    """

    def __init__(self, blocks, i, is_checked):
        self.i, self.start, self.stop = i, int(blocks.edges[i]), int(blocks.edges[i + 1])
        self.reader, self.is_checked = blocks.reader.only(i), is_checked
        self.names, self.n_features, self.dtype = blocks.names, blocks.n_features, blocks.dtype
        self.y, self.sample_weight = (
            values if isinstance(values, MappedFile) else None
            for values in (blocks.y, blocks.sample_weight)
        )

    def read(self, parts=()):
        """Return the rows, and the labels and weights where they are described.

        Parameters
        ----------
        parts : tuple
            What the reader makes them of, where it does not read them itself.
        """
        X, y, weight = self.reader.read(0, *parts)
        where = f"block {self.i} of X"
        X = as_rows(X, where, self.names)
        X = check_like(X, where, self.n_features, self.dtype)
        if not self.is_checked:
            check_finite(X, self.names, self.i, self.start)
        rows = slice(self.start, self.stop)
        y = y if self.y is None else self.y[rows]
        weight = weight if self.sample_weight is None else self.sample_weight[rows]
        return X, y, weight


class LabelCode:
    """How the labels of a source become those of an objective: as numbers, or by a table.

    Parameters
    ----------
    classes : ndarray of shape (C,) or None
        Labels of the source, sorted; None for numbers.
    encoded : ndarray of shape (C, ...)
        Those of the objective; of numbers only their type.
    weights : ndarray of shape (C,) or None
        Weight of a row of each class, where it is that alone.
    """

    def __init__(self, classes, encoded, weights):
        self.classes, self.encoded, self.weights = classes, encoded, weights

    @classmethod
    def of(cls, read, y, weight, parts):
        """Return the code that makes y and weights of labels; None where no table does.

        Parameters
        ----------
        read : array of shape (n,)
            Labels as the source gives them.
        y : ndarray of shape (n,) or (n, K)
        weight : ndarray of shape (n,)
        parts : list of slice
            Rows that are looked at together.
        """
        numbers = None
        if y.ndim == 1 and np.asarray(read[parts[0]]).dtype.kind in "biuf":
            same = bool((weight == weight[0]).all())
            if all(np.array_equal(_numbers(read[rows], y), y[rows]) for rows in parts):
                numbers = cls(None, y[:0], weight[:1].copy() if same else None)
                if same:
                    return numbers
        return cls._by_table(read, y, weight, parts) or numbers

    @classmethod
    def _by_table(cls, read, y, weight, parts):
        """The code by a table; None where labels are many, or of one kind encoded as several."""
        classes = np.unique(np.asarray(read[parts[0]]))
        for rows in parts[1:]:
            if len(classes) > MOST_CLASSES:
                return None
            classes = np.union1d(classes, np.asarray(read[rows]))
        encoded = np.zeros((len(classes), *y.shape[1:]), y.dtype)
        weights = np.zeros(len(classes))
        for rows in parts:
            codes = np.searchsorted(classes, np.asarray(read[rows]))
            encoded[codes], weights[codes] = y[rows], weight[rows]
        by_class = True
        for rows in parts:
            codes = np.searchsorted(classes, np.asarray(read[rows]))
            if not np.array_equal(encoded[codes], y[rows]):
                return None
            by_class = by_class and np.array_equal(weights[codes], weight[rows])
        return cls(classes, encoded, weights if by_class else None)

    def labels(self, read):
        """Labels of the objective, of those of a block."""
        if self.classes is None:
            return _numbers(read, self.encoded)
        return self.encoded[np.searchsorted(self.classes, np.asarray(read))]

    def row_weights(self, read):
        """Weights of the rows of a block, by their labels."""
        if self.classes is None:
            return np.repeat(self.weights, len(read))
        return self.weights[np.searchsorted(self.classes, np.asarray(read))]


def _numbers(read, y):
    """Labels that are read, in the type of others."""
    return np.asarray(read).astype(y.dtype)
