"""Hashes of the training rows, by which an edit after the fit is noticed."""

import zlib
from functools import lru_cache

import numpy as np

from skinfluence.design import make_design

# Rows that a question which does not read all of X checks; all of them where there are no more.
CHECKED_ROWS = 1_000

# Multipliers of the hash are odd, so that multiplying by one is invertible modulo 2^64: an edit of
# a single value, label or weight always changes its row's hash. Two edits of one row cancel with a
# probability of about 2^-63. The seed is fixed because pickles carry the hashes.
_SEED = 20170806


class Fingerprint:
    """One 64-bit hash of the values, the label and the weight of each training row, in order.

    A hash a row instead of one number for all: a change names its rows, and a question about few
    rows checks few. The hash is a sum of the values' bit patterns times odd multipliers, modulo
    2^64: one multiplication for each value, between one and two times a matrix-vector product. A
    checksum of the bytes takes two times as long (zlib.crc32) to ten (hashlib.blake2b), see
    ``python -m benchmarks --problem fingerprint``.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n,)
    """

    def __init__(self, rows):
        self.rows = rows

    @classmethod
    def of(cls, data):
        """Hash all rows of TrainingData."""
        return cls(_row_hashes(data, slice(None)))

    def changed_rows(self, data, rows=None):
        """Positions of the rows whose hash differs now, among `rows` and a random sample.

        Parameters
        ----------
        data : TrainingData
        rows : ndarray of int, optional
            Rows that are read; all by default. With fewer than all, CHECKED_ROWS random rows are
            checked beside them.

        Returns
        -------
        ndarray of int, or None
            None where the number of rows is another.
        """
        n = len(self.rows)
        if data.n_rows != n or len(data.y) != n:
            return None
        if rows is None or n <= CHECKED_ROWS or len(rows) >= n:
            return np.flatnonzero(_row_hashes(data, slice(None)) != self.rows)
        rows = np.union1d(rows, np.random.default_rng().integers(n, size=CHECKED_ROWS))
        return rows[_row_hashes(data, rows) != self.rows[rows]]

    def differing_rows(self, other):
        """Positions of the rows whose hash is another in a Fingerprint of as many rows."""
        return np.flatnonzero(other.rows != self.rows)


class RowReader:
    """Hashes of all rows of TrainingData, of parts as they are read, for a Fingerprint.

    A pass over the rows has them in the cache, where a hash costs half of one by a pass of its own.

    Parameters
    ----------
    data : TrainingData
    """

    def __init__(self, data):
        self.data, self.n_left = data, data.n_rows
        self._design = None if data.space is not None else make_design(data.X, False)
        self._values = np.empty(data.n_rows, dtype=np.uint64)

    def read(self, rows):
        """Hash the values of a slice of rows; each row is to be read once."""
        if self._design is not None:
            multipliers = _multipliers(self._design.n_features, 0)
            self._values[rows] = self._design.row_hashes(multipliers, rows)
        self.n_left -= len(self._values[rows])

    def fingerprint(self):
        """Return the Fingerprint of all rows, once they are read."""
        own = _label_hashes(self.data, slice(None))
        return Fingerprint(own if self._design is None else own + self._values)


class SourceFingerprint:
    """What identifies rows in blocks: the names and time stamps of files, not their values.

    Parameters
    ----------
    source : str
    """

    def __init__(self, source):
        self.source = source

    def changed_rows(self, data, rows=None):
        """No positions; raise RuntimeError where the source is another one.

        Parameters
        ----------
        data : TrainingData
            In blocks.
        rows : ndarray of int, optional
            Rows that are read; the source is checked as a whole.
        """
        now = data.X.fingerprint()
        if now != self.source:
            raise RuntimeError(
                f"the training data have changed since the fit: {data.X!r} is another source now. "
                "Fit again."
            )
        return np.empty(0, dtype=np.intp)


def fingerprint_of_rows(data):
    """Return the fingerprint of TrainingData: of each row, or of the source of blocks."""
    return SourceFingerprint(data.X.fingerprint()) if data.is_in_blocks else Fingerprint.of(data)


@lru_cache(maxsize=16)
def _multipliers(size, stream):
    """Odd uint64 numbers (size,); those of a longer array begin with those of a shorter one."""
    random = np.random.default_rng((_SEED, stream))
    return random.integers(2**63, size=size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _row_hashes(data, rows):
    """Hash some rows (a slice or an index array) of TrainingData, (b,)."""
    total = _label_hashes(data, rows)
    if data.space is None:  # the coordinates of a kernel are ours: nobody else can edit them
        design = make_design(data.X, False)
        total += design.row_hashes(_multipliers(design.n_features, 0), rows)
    return total


def _label_hashes(data, rows):
    """Hash the labels and weights of some rows of TrainingData, (b,)."""
    total = _hash_labels(np.asarray(data.y)[rows])
    if data.sample_weight is not None:
        weight = np.ascontiguousarray(np.asarray(data.sample_weight)[rows], dtype=np.float64)
        total += weight.view(np.uint64) * _multipliers(1, 2)
    return total


def _hash_labels(y):
    """Hash labels (b,) or (b, K) of any type."""
    if y.dtype.kind in "biuf":
        bits = np.ascontiguousarray(y, dtype=np.float64).view(np.uint64)
        bits = bits.reshape(len(y), -1)
    else:  # Python's own hash of a string differs from process to process
        text = [str(label).encode() for label in y.ravel().tolist()]
        bits = np.array([zlib.crc32(label) for label in text], dtype=np.uint64)
        bits = bits.reshape(len(y), -1)
    multipliers = _multipliers(bits.shape[1], 1)
    # NumPy multiplies matrices of whole numbers by plain loops.
    return bits[:, 0] * multipliers[0] if len(multipliers) == 1 else bits @ multipliers
