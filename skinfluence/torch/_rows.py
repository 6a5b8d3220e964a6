"""Rows of a network in order, in batches: arrays, tensors, data sets, loaders, images."""

from itertools import islice

import numpy as np
import torch
from torch.utils import data

RANDOM = (data.RandomSampler, data.SubsetRandomSampler, data.WeightedRandomSampler)
# Of a pixel that is one byte.
LEVELS = 255.0


def is_table(X):
    """Whether X is what scikit-learn takes: an array or a data frame, or a list of numbers."""
    if isinstance(X, torch.Tensor | data.Dataset | data.DataLoader):
        return False
    return not (isinstance(X, list | tuple) and len(X) and _is_image(X[0]))


def row_batches(X, batch_size):
    """Return (number of rows or None, iterator over batches (b, ...) of them, in order).

    Parameters
    ----------
    X : ndarray, Tensor, Dataset, DataLoader or list of images
        Of items that are pairs of a row and its label, the row is taken. A loader has its own
        batches.
    batch_size : int

    Raises
    ------
    ValueError
        For a loader that shuffles, or leaves rows out.
    TypeError
        For items of other kinds.
    """
    if type(X) is data.TensorDataset:
        X = X.tensors[0]
    if isinstance(X, np.ndarray | torch.Tensor):
        return len(X), (X[start : start + batch_size] for start in range(0, len(X), batch_size))
    if isinstance(X, data.DataLoader):
        return _rows_of_loader(X), (_stacked_batch(batch) for batch in X)
    if isinstance(X, data.IterableDataset):
        return None, _groups(iter(X), batch_size)
    items = (X[i] for i in range(len(X)))
    return len(X), _groups(items, batch_size)


def rows_and_labels(X, y, name="y"):
    """Return rows and labels as they are, or both from the batches of a DataLoader.

    Raises
    ------
    ValueError
        For a loader that shuffles or leaves rows out, one beside other labels, and one without
        rows.
    TypeError
        For batches that are not pairs.
    """
    if not isinstance(X, data.DataLoader):
        return X, y
    if y is not None:
        raise ValueError(
            f"the DataLoader has the labels beside its rows: leave {name} at None, or pass the "
            "rows as a tensor."
        )
    _rows_of_loader(X)
    pairs = list(X)
    if not pairs:
        raise ValueError("the DataLoader has no rows.")
    wrong = next((b for b in pairs if not (isinstance(b, tuple | list) and len(b) == 2)), None)
    if wrong is not None:
        size = f" of {len(wrong)}" if isinstance(wrong, tuple | list) else ""
        raise TypeError(
            "batches of the DataLoader should be pairs of rows and labels; got "
            f"{type(wrong).__name__}{size}."
        )
    rows, labels = (
        torch.cat([torch.as_tensor(each) for each in part]) for part in zip(*pairs, strict=True)
    )
    return rows, labels


def _rows_of_loader(loader):
    """Number of rows that a loader gives, None if it does not know; raise if they are not all."""
    if isinstance(loader.dataset, data.IterableDataset):
        return None
    batches = loader.batch_sampler
    plain = type(batches) is data.BatchSampler
    sampler = batches.sampler if plain else batches or loader.sampler
    shuffled = isinstance(sampler, RANDOM) or bool(getattr(sampler, "shuffle", False))
    if not shuffled and not isinstance(sampler, data.SequentialSampler):
        shuffled = list(sampler) != list(sampler)
    if shuffled:
        raise ValueError(
            f"the DataLoader shuffles ({type(sampler).__name__}): answers would not be in the "
            "order of the rows. Pass one with shuffle=False."
        )
    if not plain:  # what its batches are is the loader's own affair
        return None
    n, size = len(sampler), loader.batch_size
    if loader.drop_last and size and n % size:
        raise ValueError(
            f"the DataLoader leaves out the last {n % size} of {n} rows: pass one with "
            "drop_last=False."
        )
    return n


def _groups(items, batch_size):
    """Yield stacked items, batch_size at a time."""
    while group := list(islice(items, batch_size)):
        yield _stacked([_row_of(item) for item in group])


def _row_of(item):
    """The row of an item of a data set, which may have labels beside it."""
    return item[0] if isinstance(item, tuple | list) and len(item) else item


def _stacked_batch(batch):
    """The rows of a batch of a loader."""
    rows = _row_of(batch)
    if isinstance(rows, torch.Tensor | np.ndarray):
        return rows
    if isinstance(rows, list | tuple) and len(rows):
        return _stacked(rows)
    raise TypeError(
        f"batches of the DataLoader should be tensors, or tuples that begin with one; got "
        f"{type(rows).__name__}. Wrap the module in one that takes a tensor."
    )


def _stacked(rows):
    """Rows as one tensor."""
    tensors = [_as_row(row) for row in rows]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    other = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise ValueError(
            f"rows should have one shape; of a batch, row 0 has {shapes[0]} and row {other} "
            f"{shapes[other]}."
        )
    return torch.stack(tensors)


def _as_row(row):
    """A row as a tensor: images of bytes as (channels, height, width) between 0 and 1."""
    if isinstance(row, torch.Tensor):
        return row
    if not _is_image(row):
        if isinstance(row, dict | str | bytes) or row is None:
            raise TypeError(
                f"rows should be tensors, arrays or images; got {type(row).__name__}. Pass a data "
                "set that makes tensors of them."
            )
        return torch.from_numpy(writable(np.asarray(row)))
    pixels = np.array(row.convert("L") if row.mode == "1" else row)
    if pixels.dtype != np.uint8:
        raise TypeError(
            f"images should have pixels of one byte; got mode {row.mode!r}. Convert it, by "
            "image.convert('L') or 'RGB'."
        )
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(LEVELS))


def _is_image(row):
    """Whether a row is an image of PIL."""
    return hasattr(row, "getbands") and hasattr(row, "mode")


def writable(array):
    """An array that torch takes without a word: in order, of the machine's byte order, writable."""
    array = np.ascontiguousarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # One row of a reversed array is contiguous, with a stride below zero.
    plain = array.flags.writeable and min(array.strides, default=1) >= 0
    return array if plain else array.copy()
