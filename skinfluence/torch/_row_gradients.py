"""What belongs to each training row, in blocks, kept on the disk and read for the next question."""

from pathlib import Path

import numpy as np
import torch

from skinfluence._store import Store, fingerprint_of

# Bytes of a block.
BLOCK_BYTES = 2**26


class Blocks:
    """Tensors of blocks of the training rows: computed once and kept, or computed each time.

    Parameters
    ----------
    compute : callable
        Of a slice of the rows: tensors (b, ...) by name.
    n_rows : int
    like : torch.Tensor of shape (P,)
        Of the device, type and width of a row.
    store : Store, optional
        Where finished blocks are kept. An interrupted pass goes on after them.
    keep : bool
        Whether blocks are kept in memory where there is no store.
    width : int
        Vectors of a row while it is computed, which count for the size of a block.
    """

    def __init__(self, compute, n_rows, like, store=None, *, keep=False, width=1):
        self.compute, self.like, self.store = compute, like, store
        self.kept = {} if keep and store is None else None
        # Of the number of parameters alone: blocks of an earlier pass are those of this one.
        size = max(1, BLOCK_BYTES // (width * like.numel() * like.element_size()))
        self.parts = [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]

    def __iter__(self):
        """Yield (slice, tensors by name) over all rows."""
        for part in self.parts:
            yield part, self.read(part)

    def read(self, part):
        """Tensors of one of the blocks, by name."""
        if self.store is not None:
            found = self.store.once(f"rows-{part.start:09d}", lambda: self._arrays(part))
            return {name: self._tensor(array) for name, array in found.items()}
        if self.kept is None:
            return self.compute(part)
        if part.start not in self.kept:
            self.kept[part.start] = self.compute(part)
        return self.kept[part.start]

    def _arrays(self, part):
        """Tensors of a block, as arrays for the store."""
        return {name: each.cpu().numpy() for name, each in self.compute(part).items()}

    def _tensor(self, array):
        """An array of the store as a tensor."""
        return torch.as_tensor(array, device=self.like.device)


def store_of(folder, name, parameters, tensors):
    """Store of one kind of blocks below a folder, for exactly these parameters and tensors.

    None without a folder.
    """
    if folder is None:
        return None
    arrays = (np.ascontiguousarray(each.detach().cpu().numpy()) for each in tensors)
    return Store(Path(folder) / name, parameters=parameters, fingerprint=fingerprint_of(*arrays))
