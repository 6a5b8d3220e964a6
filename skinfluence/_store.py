"""Finished blocks of long work, in a folder: written whole or not at all, read when it goes on.

A block is a few arrays in a file of its own. It is written to a temporary name in the same folder,
brought to the disk, and renamed: a process may be ended at any moment, and what bears the name of a
block is that block, complete. A manifest says what the blocks belong to, so that those of other
data, other parameters or another version of the library are refused, not mixed in.
"""

import hashlib
import json
import os
import re
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from skinfluence._version import __version__

MANIFEST = "manifest.json"
# What a block is called becomes a file name, on every system the same one.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Bytes of an array that are hashed at once.
HASH_BLOCK = 2**24


class Store:
    """Finished blocks of one computation, each a file of arrays in one folder.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there. A folder with other files in it is refused.
    parameters : dict
        What the blocks depend on beside the data: numbers, strings, None, lists and dicts of them.
    fingerprint : str
        Of the data, such as :func:`fingerprint_of` makes.

    Attributes
    ----------
    folder : Path

    Raises
    ------
    ValueError
        If the folder holds blocks of other parameters, other data or another version of the
        library: naming what differs, what is stored and what was asked for.
    TypeError
        If a parameter cannot be written down.
    """

    def __init__(self, folder, *, parameters, fingerprint):
        self.folder = Path(folder)
        asked = _as_stored(
            {"version": __version__, "fingerprint": fingerprint, "parameters": parameters}
        )
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file: pass the path of a folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / MANIFEST
        if not path.exists():
            others = sorted(each.name for each in self.folder.iterdir() if not _is_part(each))
            if others and not path.exists():  # another process may have made it meanwhile
                raise ValueError(
                    f"{self.folder} is no store of results: it has no {MANIFEST}, and other files "
                    f"({others[0]}). Pass an empty or a new folder."
                )
            text = json.dumps(asked, indent=1, sort_keys=True)
            write_whole(path, lambda file: file.write(text.encode()))
        _check_match(json.loads(path.read_text()), asked, self.folder)

    def __repr__(self):
        return f"Store({str(self.folder)!r}, {len(self.names())} blocks)"

    def names(self):
        """Names of the finished blocks, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.npz"))

    def finished(self, name):
        """Whether a block has been written."""
        return self._path(name).exists()

    def read(self, name):
        """Return the arrays of a finished block, by name.

        Raises
        ------
        KeyError
            If there is no such block.
        ValueError
            If its file has been damaged.
        """
        path = self._path(name)
        if not path.exists():
            raise KeyError(f"{self.folder} has no finished block {name!r}.")
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise ValueError(
                f"{path} is damaged ({error}). Delete it, and its block is computed again."
            ) from error

    def write(self, name, /, **arrays):
        """Write the arrays of a block; it is finished when this returns."""
        arrays = {key: np.asarray(value) for key, value in arrays.items()}
        for key, value in arrays.items():
            if value.dtype.hasobject:
                raise TypeError(f"array {key!r} of block {name!r} holds Python objects.")
        write_whole(self._path(name), lambda file: np.savez(file, **arrays))

    def once(self, name, compute):
        """Return the arrays of a block: read if it is finished, else computed, and written.

        Parameters
        ----------
        name : str
        compute : callable
            `compute()` returns the arrays by name.
        """
        if self.finished(name):
            return self.read(name)
        arrays = compute()
        self.write(name, **arrays)
        return arrays

    def _path(self, name):
        """File of a block."""
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise ValueError(
                f"a block's name should be of letters, digits, '.', '_' and '-'; got {name!r}."
            )
        return self.folder / f"{name}.npz"


def write_whole(path, write):
    """Let `write(file)` fill a file that appears under its name only when it is complete.

    What interrupted writers of the same name have left behind goes.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except FileNotFoundError:  # a second writer was faster, and took this file for a left one
        if not path.exists():
            raise
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)
    remove_parts(path)


def remove_parts(path):
    """Remove what interrupted writers of a file have left behind, where that is allowed."""
    own = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.part")
    with suppress(OSError):
        for left in path.parent.iterdir():
            if own.fullmatch(left.name):
                with suppress(OSError):  # on Windows a file that is open stays
                    left.unlink()


def remove_finished(folder, blocks):
    """Remove the blocks of a store, by a pattern of their files' names, and what is left of it.

    The manifest goes last: a folder without one is no store, and only goes if it is empty.
    """
    manifest = folder / MANIFEST
    with suppress(OSError, ValueError):
        if {"version", "fingerprint", "parameters"} == set(json.loads(manifest.read_text())):
            for each in folder.iterdir():
                if _is_part(each) or re.fullmatch(blocks, each.name):
                    each.unlink()
            manifest.unlink()
    with suppress(OSError):
        folder.rmdir()


def fingerprint_of(*tables):
    """Return a hash of arrays, sparse matrices and data frames: values, types and shapes.

    Parameters
    ----------
    *tables : array-like, sparse matrix, data frame or None

    Returns
    -------
    str
        64 hexadecimal digits. Two equal ones are of the same data, in this process and in others.
    """
    digest = hashlib.blake2b(digest_size=32)
    for table in tables:
        digest.update(b"\1")
        for part in _parts(table):
            _add(digest, part)
    return digest.hexdigest()


def _parts(table):
    """The arrays that a table is made of."""
    if table is None:
        return []
    if hasattr(table, "tocsr"):
        rows = table.tocsr().copy()
        rows.sum_duplicates()
        indices = (rows.indices.astype(np.int64), rows.indptr.astype(np.int64))
        return [np.array(rows.shape), rows.data, *indices]
    if hasattr(table, "columns") and hasattr(table, "shape"):
        names = [str(name) for name in table.columns]
        return [np.array(names), *(np.asarray(table[name]) for name in table.columns)]
    return [np.asarray(table)]


def _add(digest, array):
    """Hash an array: its type, its shape, its bytes; of objects and texts their types and words."""
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.kind not in "biufcmMSV" or array.dtype.hasobject:
        for value in array.ravel().tolist():
            word = f"{type(value).__name__}:{value!r}".encode()
            digest.update(f"{len(word)}:".encode() + word)
        return
    width = max(1, array[:1].nbytes if array.ndim else array.nbytes)
    rows = max(1, HASH_BLOCK // width)
    for start in range(0, len(array), rows) if array.ndim else [...]:
        block = array[start : start + rows] if array.ndim else array
        digest.update(np.ascontiguousarray(block).tobytes())


def described(value):
    """Say what an estimator or a value is, equally in every process, as JSON.

    Estimators by class and parameters, arrays by a hash, functions by their names.
    """
    return json.dumps(_described(value), sort_keys=True)


def _described(value):
    """An estimator, a function or a value as strings, lists and dicts."""
    if hasattr(value, "get_params") and not isinstance(value, type):
        own = {key: _described(part) for key, part in value.get_params(deep=False).items()}
        return {type(value).__qualname__: own}
    if isinstance(value, dict):
        return {str(key): _described(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_described(part) for part in value]
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if hasattr(value, "shape"):
        return fingerprint_of(value)
    return repr(value)


def _as_stored(manifest):
    """Return a manifest as it will be read back; raise for what cannot be written down."""
    try:
        return json.loads(json.dumps(manifest, sort_keys=True, default=_plain))
    except TypeError as error:
        raise TypeError(
            f"parameters should be numbers, strings, None, and lists and dicts of them: {error}."
        ) from error


def _plain(value):
    """A NumPy number or array as Python's own."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"got {value!r} of type {type(value).__name__}")


def _check_match(stored, asked, folder):
    """Raise where two manifests differ, naming the first field that does."""
    stored, asked = dict(stored), dict(asked)
    pairs = [(name, stored.get(name), asked[name]) for name in ("version", "fingerprint")]
    kept, wanted = stored.get("parameters") or {}, asked["parameters"]
    pairs += [(name, kept.get(name), wanted.get(name)) for name in sorted({*kept, *wanted})]
    for name, one, other in pairs:
        if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):  # NaN equals NaN
            what = "the fingerprint of the data" if name == "fingerprint" else name
            raise ValueError(
                f"{folder} holds results of another computation: {what} is {one!r} there, and "
                f"{other!r} here. Pass another folder, or delete this one."
            )


def _is_part(path):
    """Whether a file is one that is being written, or was when its writer ended."""
    return path.name.startswith(".") and path.name.endswith(".part")


def _sync_folder(folder):
    """Bring a folder's entries to the disk, where the system can."""
    with suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
