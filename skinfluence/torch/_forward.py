"""From a batch of rows to features: one layer of a network, pooled."""

import threading
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from skinfluence._validation import listed

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
NORMS += (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
DROPOUTS += (nn.FeatureAlphaDropout, nn.RReLU)
POOLS = ("mean", "max", "first_token", "mean_token")


def check_eval_mode(module, name="module"):
    """Raise if a layer that does something else in training is in training mode, by its name."""
    found = []
    for called, layer in module.named_modules():
        random = getattr(layer, "dropout", 0.0)
        inner = isinstance(layer, nn.RNNBase | nn.MultiheadAttention) and random > 0
        tracking = isinstance(layer, NORMS) and layer.track_running_stats
        if layer.training and (isinstance(layer, DROPOUTS) or inner or tracking):
            found.append(f"{called or name} ({type(layer).__name__})")
    if found:
        raise ValueError(
            f"{listed(found)} of {type(module).__name__} in training mode: outputs would depend "
            f"on chance, or on the other rows of a batch. Call {name}.eval() first."
        )


def layer_of(module, layer):
    """Layer of a name; raise with the names there are if there is none."""
    layers = dict(module.named_modules())
    layers.pop("")
    if layer not in layers:
        names = listed(list(layers), most=40) if layers else "none"
        raise ValueError(f"{type(module).__name__} has no layer {layer!r}; its layers: {names}.")
    return layers[layer]


def keeps_integers(module):
    """Whether integers are what a network takes, since it looks them up in a table."""
    return any(isinstance(layer, nn.Embedding | nn.EmbeddingBag) for layer in module.modules())


class _LayerReached(Exception):
    """The layer has given its output: nothing behind it needs to be computed."""


class FeatureMap:
    """Features of batches of rows: the output of a layer of a network, pooled to (b, d).

    Parameters
    ----------
    module : torch.nn.Module
    layer : str or None
        None for the output of the module itself.
    pool : {None, "mean", "max", "first_token", "mean_token"} or callable
    """

    def __init__(self, module, layer, pool):
        self.module, self.layer, self.pool = module, layer, pool
        self.target = None if layer is None else layer_of(module, layer)
        if not (pool is None or pool in POOLS or isinstance(pool, Callable)):
            raise ValueError(f"pool should be None, a callable or one of {POOLS}; got {pool!r}.")

    def __call__(self, batch):
        """Features (b, d) of a batch."""
        features = self._pooled(self._output(batch))
        if features.ndim != 2 or len(features) != len(batch):
            where = "pool" if callable(self.pool) else type(self.module).__name__
            raise ValueError(
                f"{where} should give one row of features for each of the {len(batch)} rows; got "
                f"shape {tuple(features.shape)}."
            )
        return features

    def calls(self, batch):
        """How many times the layer is called in one pass."""
        count = [0]
        if self.target is None:
            return 1

        def hook(layer, given, output):
            count[0] += 1

        with hooked(self.target, hook):
            self.module(batch)
        return count[0]

    def _output(self, batch):
        """What the layer gives for a batch."""
        if self.target is None:
            return self.module(batch)
        caught, thread = [], threading.get_ident()

        def hook(layer, given, output):
            if threading.get_ident() == thread:
                caught.append(output)
                raise _LayerReached

        with hooked(self.target, hook):
            try:
                self.module(batch)
            except _LayerReached:
                return caught[0]
        raise ValueError(
            f"layer {self.layer!r} of {type(self.module).__name__} takes no part in a forward pass."
        )

    def _pooled(self, output):
        """Features of an output."""
        where = "module" if self.layer is None else f"layer {self.layer!r}"
        if callable(self.pool):
            output = self.pool(output)
            where = "pool"
        if not isinstance(output, torch.Tensor):
            raise TypeError(
                f"{where} returns {type(output).__name__}, not a tensor: name another layer, or "
                "pass as pool a callable that makes a tensor (n, d) of it."
            )
        if callable(self.pool) or output.ndim == 0:
            return output
        if self.pool is None:
            return output.reshape(len(output), -1)
        if output.ndim < 3 or (self.pool.endswith("token") and output.ndim != 3):
            needs = "(n, tokens, d)" if self.pool.endswith("token") else "(n, channels, ...)"
            raise ValueError(
                f"pool={self.pool!r} is for outputs {needs}; {where} returns shape "
                f"{tuple(output.shape)}. Pass pool=None."
            )
        if self.pool == "first_token":
            return output[:, 0]
        if self.pool == "mean_token":
            return output.mean(1)
        output = output.flatten(2)
        return output.mean(2) if self.pool == "mean" else output.amax(2)


@contextmanager
def hooked(layer, hook):
    """Have a hook of the forward pass while it lasts."""
    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def deterministic():
    """Settings of cuDNN under which two passes agree to the last bit."""
    options = {"benchmark": False, "deterministic": True, "allow_tf32": False}
    return torch.backends.cudnn.flags(enabled=True, **options)


@contextmanager
def differentiable(module):
    """Settings under which a network in evaluation mode has a gradient in its input."""
    recurrent = any(isinstance(layer, nn.RNNBase) for layer in module.modules())
    with deterministic() if not recurrent else torch.backends.cudnn.flags(enabled=False):
        yield


@contextmanager
def attention_by_formula():
    """Settings under which attention is computed from its formula, which has every derivative."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def is_out_of_memory(error):
    """Whether an error says that there is no memory left, on a card or on the host."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
