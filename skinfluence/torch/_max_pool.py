"""Max-pools whose gradient is shared by all places of a window's maximum.

A max-pool has no derivative where its maximum is attained twice, unless all these places move
alike: zeros behind a ReLU do, empty pixels do not. torch sends the gradient to one of the places.
Where the gradient that goes to all of them in equal parts leads to another derivative in the
input, there is none.
"""

import math

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_WINDOWS = {}
for _d in (1, 2, 3):
    for _where in (F, torch):
        for _name in (f"max_pool{_d}d", f"max_pool{_d}d_with_indices"):
            if hasattr(_where, _name):
                _WINDOWS[getattr(_where, _name)] = _d
_ADAPTIVE = {
    getattr(F, f"adaptive_max_pool{d}d{end}"): d for d in (1, 2, 3) for end in ("", "_with_indices")
}


class EvenMaxPool(TorchFunctionMode):
    """While it lasts, the gradient of a max-pool goes to all places of a maximum in equal parts.

    Attributes
    ----------
    n_pools : int
        How many max-pools were called.
    """

    def __init__(self):
        super().__init__()
        self.n_pools = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call a function; a max-pool with the other gradient."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func not in _WINDOWS and func not in _ADAPTIVE:
            return output
        self.n_pools += 1
        value, *rest = output if isinstance(output, tuple) else (output,)
        x = args[0] if args else kwargs["input"]
        if func in _ADAPTIVE:
            even = _adaptive(x, value.shape[-_ADAPTIVE[func] :])
        else:
            even = _windowed(x, value.shape, _WINDOWS[func], *_geometry(args, kwargs))
        return (even, *rest) if isinstance(output, tuple) else even


def _geometry(args, kwargs):
    """Kernel size, stride, padding and dilation of a call."""
    names = ("kernel_size", "stride", "padding", "dilation")
    given = dict(zip(names, args[1:5], strict=False)) | {
        name: kwargs[name] for name in names if name in kwargs
    }
    kernel = given["kernel_size"]
    stride = given.get("stride")
    stride = kernel if stride is None or stride in ((), []) else stride
    return kernel, stride, given.get("padding", 0), given.get("dilation", 1)


def _windowed(x, shape, n_dims, kernel, stride, padding, dilation):
    """Maxima of windows, by `amax`."""
    each = [(v,) * n_dims if isinstance(v, int) else tuple(v) * (n_dims // len(v))
            for v in (kernel, stride, padding, dilation)]  # fmt: skip
    pads, spans = [], []
    for dim in range(n_dims):
        k, s, p, d = (v[dim] for v in each)
        spans.append((d * (k - 1) + 1, s, d))
        needed = (shape[dim - n_dims] - 1) * s + spans[-1][0]
        pads = [p, needed - p - x.shape[dim - n_dims], *pads]
    x = F.pad(x, pads, value=-math.inf)
    first = x.ndim - n_dims
    for dim, (span, step, every) in enumerate(spans):
        x = x.unfold(first + dim, span, step)[..., ::every]
    return x.amax(dim=tuple(range(-n_dims, 0)))


def _adaptive(x, sizes):
    """Maxima of the windows that an adaptive pool lays, by `amax`."""
    for dim, size in enumerate(sizes, start=x.ndim - len(sizes)):
        n = x.shape[dim]
        cells = [
            x.narrow(dim, i * n // size, -(-(i + 1) * n // size) - i * n // size).amax(dim)
            for i in range(size)
        ]
        x = torch.stack(cells, dim=dim)
    return x
