"""Arrays in files: opened when they are read, and described by their place and time stamp."""

import os
from pathlib import Path

import numpy as np


class FileStamp:
    """Path, size and time of a file, by which a changed one is told.

    Parameters
    ----------
    path : str or Path
    """

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.size, self.time = self._now()

    def _now(self):
        """Size and time of last change, in nanoseconds."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.path} is not there: the rows are read from it, block by block. Put it back "
                "where it was, or fit again with as_blocks of its new path."
            ) from error
        return found.st_size, found.st_mtime_ns

    def check(self):
        """Raise RuntimeError where the file is another one than it was."""
        if self._now() != (self.size, self.time):
            raise RuntimeError(
                f"{self.path} has changed since as_blocks was called with it: its size or its time "
                "stamp is another. Call as_blocks again, and fit again."
            )

    @property
    def identity(self):
        """What the fingerprint is made of, without the folder; raise where the file has changed."""
        self.check()
        return [Path(self.path).name, self.size, self.time]


class MappedFile:
    """An array in a file, mapped into memory anew whenever it is read.

    Parameters
    ----------
    path : str or Path
    offset : int
        Bytes before the values.
    dtype : dtype
    shape : tuple of int
    fortran : bool
        Whether columns are contiguous.
    """

    def __init__(self, path, offset, dtype, shape, fortran):
        self.stamp = FileStamp(path)
        self.offset, self.dtype, self.shape = int(offset), np.dtype(dtype), tuple(shape)
        self.fortran = bool(fortran)

    @classmethod
    def of(cls, mapped):
        """Describe a NumPy memmap; None for a part of one, which has no place of its own."""
        plain = mapped.flags.c_contiguous or mapped.flags.f_contiguous
        if mapped.filename is None or not plain or mapped.size == 0:
            return None
        base = mapped
        while isinstance(base.base, np.memmap):
            base = base.base
        start = mapped.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        fortran = not mapped.flags.c_contiguous
        return cls(mapped.filename, base.offset + start, mapped.dtype, mapped.shape, fortran)

    @classmethod
    def npy(cls, path):
        """Describe a .npy file by its header."""
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{path} is no .npy file of numbers: {error}") from error
        if not isinstance(mapped, np.memmap):
            raise ValueError(f"{path} should hold one array, as numpy.save writes it.")
        fortran = mapped.flags.f_contiguous and not mapped.flags.c_contiguous
        return cls(path, mapped.offset, mapped.dtype, mapped.shape, fortran)

    def open(self):
        """Return the array, read-only, mapped; raise where the file has changed."""
        self.stamp.check()
        order = "F" if self.fortran else "C"
        return np.memmap(self.stamp.path, self.dtype, "r", self.offset, self.shape, order=order)

    def __len__(self):
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, rows):
        """Return rows, of a slice without reading them yet."""
        return self.open()[rows]


def is_npy(value):
    """Whether a value is the path of a .npy file."""
    return isinstance(value, str | os.PathLike) and Path(value).suffix == ".npy"


def files_of(*sources):
    """Return the paths of the files that arrays and rows in blocks are read from.

    Parameters
    ----------
    *sources : array, RowBlocks, Reader or object
        What is no source has no files; nor has a callable, or a collection of other workers.
    """
    found, waiting = set(), list(sources)
    while waiting:
        source = waiting.pop()
        if isinstance(source, FileStamp):
            found.add(source.path)
        elif isinstance(source, np.ndarray):  # a view of a map has it as its base
            found |= {source.filename} if isinstance(source, np.memmap) else set()
            waiting.append(source.base)
        elif isinstance(source, list | tuple | set):
            waiting += source
        elif hasattr(source, "tocsr"):
            waiting.append(getattr(source, "data", None))
        elif type(source).__module__.startswith(f"{__package__}."):
            waiting += vars(source).values()
    return {os.fspath(path) for path in found if path is not None}
