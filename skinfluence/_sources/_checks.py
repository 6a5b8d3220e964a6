"""What a block may be: numbers of one type, in the same columns, finite."""

import numpy as np

HALF = (
    "its three digits are too few for a fit. Convert to float32, and check that nothing has "
    "overflowed."
)
# Rows whose sum is looked at before each of their values is.
STRIDE = 4096


def as_rows(X, where, names=None):
    """Return a block as float32 or float64, an array or a CSR matrix; `where` names it in errors.

    Parameters
    ----------
    X : array, sparse matrix or data frame
    where : str
    names : list of str, optional
        Columns of the first block, which those of a data frame should be.
    """
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        X = _frame_rows(X, names, where)
    X = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"{where} should have two dimensions; it has shape {X.shape}.")
    if X.dtype == np.float16:
        raise TypeError(f"{where} is float16: {HALF}")
    if X.dtype.kind not in "biuf":
        raise TypeError(f"{where} holds {X.dtype} values: pass rows of numbers.")
    return X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)


def check_like(X, where, n_features, dtype):
    """Return a block in the type of those before; raise for other columns, and wider types."""
    if X.shape[1] != n_features:
        raise ValueError(f"{where} has {X.shape[1]} columns, the blocks before have {n_features}.")
    if X.dtype == dtype:
        return X
    if dtype == np.float32:
        raise TypeError(
            f"{where} is float64, and the blocks before are float32: all should have one type."
        )
    return X.astype(dtype)


def _frame_rows(frame, names, where):
    """Values of a data frame, its columns being those of the first block."""
    found = [str(name) for name in frame.columns]
    if names is not None and found != list(names):
        raise ValueError(
            f"{where} has the columns {found}, the first block {list(names)}: all should have the "
            "same ones, in the same order."
        )
    for name in frame.columns:
        check_numbers(np.asarray(frame[name]), str(name))
    return frame.to_numpy()


def check_numbers(column, name):
    """Raise where a column of a table holds no numbers, or too short ones."""
    if column.dtype.kind not in "biuf":
        raise TypeError(
            f"column {name!r} holds {column.dtype} values, not numbers: encode it before "
            "(OneHotEncoder, OrdinalEncoder), in a callable read(i) for instance, or leave it out."
        )
    if column.dtype == np.float16:
        raise TypeError(f"column {name!r} is float16: {HALF}")


def first_not_finite(X):
    """(row, column) of the first value that is NaN or infinite; None where all are finite."""
    values = X.data if hasattr(X, "tocsr") else X
    for start in range(0, len(values), STRIDE):
        part = values[start : start + STRIDE]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(part.sum(dtype=np.float64)):
                continue
        bad = np.argwhere(~np.isfinite(part))
        if len(bad) and hasattr(X, "tocsr"):
            entry = start + int(bad[0, 0])
            return int(np.searchsorted(X.indptr, entry, "right")) - 1, int(X.indices[entry])
        if len(bad):
            return start + int(bad[0, 0]), int(bad[0, 1])
    return None


def missing_labels(part):
    """Positions of labels or weights that are missing or not finite."""
    if part.dtype.kind == "O":
        bad = [value is None or value != value for value in part.ravel()]
        return np.flatnonzero(np.array(bad, dtype=bool))
    if part.dtype.kind == "f" and len(part):
        return np.flatnonzero(~np.isfinite(part.reshape(len(part), -1)).all(axis=1))
    return np.empty(0, dtype=np.intp)
