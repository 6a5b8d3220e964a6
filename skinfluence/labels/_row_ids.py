"""Names of rows that last: of the frame where it has unique ones, else hashes of their values."""

import numbers
from collections import Counter
from hashlib import blake2b

import numpy as np
from sklearn.utils import check_array

from skinfluence._frames import row_names
from skinfluence._parallel import row_blocks
from skinfluence.design import make_design

DIGEST_BYTES = 8


def row_ids(X, y, names):
    """Return an id for each row (n,), the same for the same rows in another order.

    The names that fit has seen in an index, where none is there twice; else a hash of the row's
    values and label, and a running number among equal rows.
    """
    has_index = row_names(X) is not None or not np.array_equal(names, np.arange(len(names)))
    if has_index and len(set(names.tolist())) == len(names):
        return names
    seen, ids = Counter(), []
    for digest, label in zip(_digests(X), np.asarray(y).ravel().tolist(), strict=True):
        text = blake2b(digest + _text(label), digest_size=DIGEST_BYTES).hexdigest()
        ids.append(f"{text}-{seen[text]}")
        seen[text] += 1
    return np.array(ids)


def _text(value):
    """Bytes of a label or value: of a number by value, whatever its type."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value:
        whole = float(value).is_integer()
        value = int(value) if whole else float(value)
    return repr(value).encode()


def _digests(X):
    """Yield bytes of each row's values; numbers by value, whatever their type and storage."""
    try:
        X = check_array(X, accept_sparse="csr", dtype=np.float64, ensure_all_finite=False)
    except (TypeError, ValueError):  # texts, frames with strings
        for row in np.asarray(X, dtype=object):
            values = np.atleast_1d(row).tolist()
            yield b",".join(_text(value) for value in values)
        return
    design = make_design(X, False)
    for rows in row_blocks(design.shape[0], 8 * design.shape[1]):
        for row in design.dense(rows) + 0.0:  # -0. becomes 0.
            yield row.tobytes()
