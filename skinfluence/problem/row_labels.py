"""Rows by their labels, looked up one by one: equal in value, and of a type that can be compared.

An array of labels would not do: NumPy makes texts of 1 and "1", and floats of large integers.
"""

from datetime import UTC, datetime, timedelta

import numpy as np

from skinfluence._validation import listed, shown

# Attoseconds of the units of NumPy's times: counts of one unit compare with those of another as
# integers, without rounding.
SECOND = 10**18
UNITS = {"W": 604_800 * SECOND, "D": 86_400 * SECOND, "h": 3_600 * SECOND, "m": 60 * SECOND}
PARTS = ["s", "ms", "us", "ns", "ps", "fs", "as"]
UNITS |= {unit: SECOND // 1000**k for k, unit in enumerate(PARTS)}


def rows_with_labels(labels, names, where):
    """Return the positions of the rows that have one of some labels, ascending.

    Parameters
    ----------
    labels : label, or iterable of these
        A tuple is one label where the names are tuples, as those of a MultiIndex.
    names : ndarray of shape (n,)
        Label of each row; rows of the same label are all found.
    where : str
        What the names are, for messages.
    """
    wanted = _listed_labels(labels, names)
    keys = [_key(label) for label in wanted]
    asked, found = set(keys) - {None}, set()
    rows = []
    for row, key in enumerate(label_keys(names)):
        if key in asked:
            found.add(key)
            rows.append(row)
    unknown = [label for label, key in zip(wanted, keys, strict=True) if key not in found]
    if unknown:
        raise ValueError(
            f"row_labels has labels that are not in {where}: {listed(_typed(unknown))}. A label "
            f"is found by its value and its type; {where} has "
            f"{listed(_typed(_one_of_each_type(names)))}."
        )
    return np.array(rows, dtype=np.intp)


def _listed_labels(labels, names):
    """Return labels as a list: a single one, an array, a set or an index alike."""
    names_are_tuples = names.dtype.kind == "O" and any(isinstance(name, tuple) for name in names)
    one_tuple = isinstance(labels, tuple) and not any(isinstance(part, tuple) for part in labels)
    if isinstance(labels, str | bytes) or (names_are_tuples and one_tuple):
        return [labels]
    if getattr(labels, "ndim", 1) > 1:
        raise ValueError(f"row_labels should be one-dimensional; got shape {labels.shape}.")
    if getattr(labels, "ndim", 1) == 0 or not hasattr(labels, "__iter__"):
        return [labels[()] if isinstance(labels, np.ndarray) else labels]
    return list(labels)


def label_keys(names):
    """Return what tells each name from others: equal keys are equal names, None is a missing one.

    Parameters
    ----------
    names : ndarray of shape (n,)
    """
    if names.dtype.kind in "iu":
        return [("number", name) for name in names.tolist()]
    if names.dtype.kind in "mM" and len(names):
        kind, size = _time_unit(names.dtype)
        counts = names.astype(np.int64).tolist()
        missing = np.isnat(names).tolist()
        return [None if gone else (kind, size * n) for gone, n in zip(missing, counts, strict=True)]
    return [_key(name) for name in names]


def _key(label):
    """Return what two labels have in common where they are the same; None of what equals nothing.

    True is not 1, and 1 is not "1". A float is the integer of its value as far as its type counts
    them one by one: above that it may have been another one before it was rounded.
    """
    if isinstance(label, str):
        return "text", str(label)
    # Before the numbers: NumPy's durations are integers of it.
    if isinstance(label, np.datetime64 | np.timedelta64 | datetime | timedelta):
        return _time_key(label)
    if isinstance(label, bool | np.bool_):
        return "flag", bool(label)
    if isinstance(label, int | np.integer):
        return "number", int(label)
    if isinstance(label, float | np.floating):
        exact = label == np.floor(label) and abs(label) < 2.0 ** (np.finfo(type(label)).nmant + 1)
        return ("number", int(label)) if exact else _own_key("fraction", float(label))
    if isinstance(label, tuple):
        parts = tuple(_key(part) for part in label)
        return None if None in parts else ("tuple", parts)
    label = label.item() if isinstance(label, np.generic) else label
    return _own_key(type(label), label)


def _own_key(kind, label):
    """Return a kind and a label; None where the label is missing, or cannot be looked up."""
    try:
        hash(label)
        return (kind, label) if label is not None and label == label else None
    except TypeError:  # a list has no hash, and pandas.NA is neither equal nor different
        return None


def _time_key(label):
    """Return the key of a time or a duration of NumPy, Python or pandas."""
    is_instant = isinstance(label, datetime) and label.tzinfo is not None
    if is_instant:
        label = label.astimezone(UTC).replace(tzinfo=None)
    if hasattr(label, "to_numpy"):  # of pandas, which counts nanoseconds; Python does not
        label = label.to_numpy()
    elif isinstance(label, datetime):
        label = np.datetime64(label)
    elif isinstance(label, timedelta):
        label = np.timedelta64(label)
    if np.isnat(label):
        return None
    kind, size = _time_unit(label.dtype)
    return "instant" if is_instant else kind, size * int(label.astype(np.int64))


def _time_unit(dtype):
    """Return what a count of NumPy's times is, and how many attoseconds long."""
    unit, count = np.datetime_data(dtype)
    kind = "time" if dtype.kind == "M" else "duration"
    # Months and years are of no fixed length.
    return (kind, count * UNITS[unit]) if unit in UNITS else (f"{kind} in {unit}", count)


def _one_of_each_type(names):
    """Return the first name of each type."""
    if names.dtype.kind != "O":
        return list(names[:1])
    return list({type(name): name for name in reversed(names.tolist())}.values())


def _typed(labels):
    """Return texts of labels with their types."""
    return [f"{label_text(label)} ({_type_name(label)})" for label in labels]


def label_text(label):
    """Return the text of a label for a message: times of NumPy as dates, numbers as numbers."""
    return str(label) if isinstance(label, np.datetime64 | np.timedelta64) else shown(label)


def _type_name(label):
    """Return the name of a label's type, of NumPy's numbers that of Python's."""
    times = np.datetime64 | np.timedelta64
    plain = isinstance(label, np.generic) and not isinstance(label, times)
    return type(label.item() if plain else label).__name__
