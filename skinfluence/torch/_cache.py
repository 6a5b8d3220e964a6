"""Features of batches on disk, by the weights of the network and the values of the rows."""

import hashlib
import json
from pathlib import Path

import torch

from skinfluence._store import Store, fingerprint_of
from skinfluence._version import __version__


class FeatureCache:
    """Features of batches, computed once for the same network and the same rows.

    A block is called by the values of its rows. So an extraction that was interrupted goes on where
    it ended, and rows that were never seen as a whole, since they are a stream, are found again.

    Parameters
    ----------
    folder : str or Path
        Holds one folder for each network.
    module : torch.nn.Module
    settings : dict
        What the features depend on beside weights and rows.
    """

    def __init__(self, folder, module, settings):
        parameters = settings | {"network": repr(module), "torch": torch.__version__}
        weights = [*module.named_parameters(), *module.named_buffers()]
        names = [name for name, _ in weights]
        fingerprint = fingerprint_of(names, *(as_bytes(tensor) for _, tensor in weights))
        key = json.dumps([__version__, parameters, fingerprint], sort_keys=True)
        key = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        self.store = Store(Path(folder) / key, parameters=parameters, fingerprint=fingerprint)

    def once(self, batch, compute):
        """Features of a batch: read, or computed and written."""
        tensor = torch.as_tensor(batch)
        kind = [str(tensor.dtype), *map(str, tensor.shape)]
        name = fingerprint_of(kind, as_bytes(tensor))
        return self.store.once(name, lambda: {"features": compute(batch)})["features"]


def as_bytes(tensor):
    """Values of a tensor of any type, as NumPy has them."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else flat.new_zeros(0).float().numpy()
