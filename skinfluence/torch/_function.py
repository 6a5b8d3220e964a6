"""A network as a function of its parameters: outputs, derivatives of rows, products in chunks."""

import copy

import numpy as np
import torch
from torch.func import functional_call, grad, grad_and_value, vmap

from skinfluence._validation import check_count, listed
from skinfluence.torch._forward import attention_by_formula, check_eval_mode, is_out_of_memory
from skinfluence.torch._module import as_device, as_floating, trained_module

# Bytes that the gradients of one chunk of rows may take, by default.
CHUNK_BYTES = 2**27
# Rows whose losses are computed at once.
LOSS_ROWS = 512
PRECISIONS = (torch.float32, torch.float64)


class NetworkFunction:
    """The outputs of a trained module as a function of its parameters, in one flat vector.

    A copy: training the module further does not change it. Parameters that require no gradient are
    fixed. Dropout and batch statistics are refused, because a row's output would not be its own.

    Parameters
    ----------
    net : torch.nn.Module or fitted skorch net
    device : str or torch.device, default="auto"
        Where to compute: "auto" is where the module's parameters are.
    dtype : torch.dtype, optional
        Type of parameters and rows; the module's own by default.

    Attributes
    ----------
    names : list of str
        Names of the trainable parameters.
    theta : torch.Tensor of shape (P,)
        Their values.
    """

    def __init__(self, net, device="auto", dtype=None):
        module = trained_module(net)
        check_eval_mode(module)
        check_row_by_row(module)
        first = next(module.parameters())
        self.device = as_device(device) or first.device
        self.dtype = as_floating(dtype) or first.dtype
        if self.dtype not in PRECISIONS:
            raise ValueError(
                f"derivatives are computed in float32 or float64, not in {self.dtype}: pass "
                "dtype='float32'."
            )
        self.module = copy.deepcopy(module).to(self.device, self.dtype)
        trained = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError(
                f"no parameter of {type(module).__name__} requires a gradient: nothing was trained."
            )
        self.names = list(trained)
        self.shapes = [p.shape for p in trained.values()]
        self.sizes = [p.numel() for p in trained.values()]
        self.theta = torch.cat([p.detach().reshape(-1) for p in trained.values()])
        self.module.requires_grad_(False)

    @property
    def n_parameters(self):
        """Number P of trainable parameters."""
        return len(self.theta)

    def named(self, theta):
        """Parameters of the module by name, views of a flat vector."""
        parts = torch.split(theta, self.sizes)
        triples = zip(self.names, parts, self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in triples}

    def outputs(self, theta, rows):
        """Outputs (b, K) of a batch of rows; those of shape (b,) get an axis."""
        with attention_by_formula():
            outputs = functional_call(self.module, self.named(theta), (rows,))
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def output(self, theta, row):
        """Outputs (K,) of one row."""
        return self.outputs(theta, row[None])[0]

    def n_outputs(self, rows):
        """Number K of outputs of each row; raise where the outputs are no table.

        Raises
        ------
        TypeError, ValueError
            If the module does not give one row of numbers for each row of its input.
        """
        kind = type(self.module).__name__
        try:
            with torch.no_grad(), attention_by_formula():
                found = functional_call(self.module, self.named(self.theta), (rows[:2],))
        except (RuntimeError, IndexError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(
                f"{kind} does not take rows of shape {tuple(rows.shape[1:])} and type "
                f"{rows.dtype}: {error}"
            ) from error
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"{kind} should return one tensor; it returns {type(found).__name__}.")
        if found.ndim not in (1, 2) or len(found) != len(rows[:2]):
            raise ValueError(
                f"{kind} should return one row of outputs for each row of its input; for "
                f"{len(rows[:2])} rows it returns the shape {tuple(found.shape)}."
            )
        return 1 if found.ndim == 1 else found.shape[1]

    def rows(self, X, name="X", like=None):
        """Rows as a tensor: numbers of the type of the parameters, integers as they are.

        With the shape of those of the training, `like`, where these are given.
        """
        tensor = as_tensor(X, name)
        if tensor.ndim < 1 or not len(tensor):
            raise ValueError(f"{name} should have at least one row; got {tuple(tensor.shape)}.")
        if like is not None and tensor.shape[1:] != like.shape[1:]:
            raise ValueError(
                f"{name} should have rows of shape {tuple(like.shape[1:])}, as in fit; got "
                f"{tuple(tensor.shape[1:])}."
            )
        if tensor.is_floating_point():
            wrong = ~tensor.reshape(len(tensor), -1).isfinite().all(dim=1)
            if wrong.any():
                rows = listed(np.flatnonzero(wrong.cpu().numpy()))
                raise ValueError(f"{name} contains NaN or infinity, in row {rows}.")
            return tensor.to(self.device, self.dtype)
        return tensor.to(self.device)

    def gradients(self, function, rows, y, *, chunk=None, values=False, project=None):
        """Yield (slice, gradients (b, P)) of `function(output, y)` of each row, in chunks.

        Parameters
        ----------
        function : callable
            Of the outputs (K,) of one row and its label: a scalar.
        rows, y : torch.Tensor
        chunk : int, optional
            Rows at once, by memory by default. One that does not fit is halved.
        values : bool
            Whether pairs of the gradients and the values (b,) of the function are yielded.
        project : callable, optional
            What is done to the gradients of a chunk.
        """

        def of_row(theta, row, label):
            return function(self.output(theta, row), label)

        derivative = vmap((grad_and_value if values else grad)(of_row), in_dims=(None, 0, 0))

        def of_chunk(part):
            found = derivative(self.theta, rows[part], y[part])
            if project is None:
                return found
            return (project(found[0]), found[1]) if values else project(found)

        yield from in_chunks(of_chunk, len(rows), self.chunk(chunk))

    def check_losses(self, loss, rows, y, name="y"):
        """Raise unless a loss of the outputs (K,) of each row and its label is a finite number."""
        first = self.output(self.theta, rows[0])

        def of_chunk(part):
            with torch.no_grad():
                return vmap(loss)(self.outputs(self.theta, rows[part]), y[part])

        try:
            loss(first, y[0])  # whose errors say more without vmap
            values = torch.cat([found for _, found in in_chunks(of_chunk, len(rows), LOSS_ROWS)])
        except (RuntimeError, IndexError) as error:
            raise ValueError(
                f"the loss does not take the outputs of the network with the labels {name}: {error}"
            ) from error
        wrong = np.flatnonzero(~values.isfinite().cpu().numpy())
        if len(wrong):
            raise ValueError(
                f"the loss is NaN or infinite in {len(wrong)} rows ({listed(wrong)}): do the "
                f"labels {name} and the outputs fit it?"
            )

    def chunk(self, chunk=None, width=None):
        """Rows of a chunk: as given, or as many as `CHUNK_BYTES` has room for."""
        if chunk is not None:
            check_count("batch_size", chunk)
            return chunk
        width = self.n_parameters if width is None else width
        return max(1, min(512, CHUNK_BYTES // (width * self.theta.element_size())))


def in_chunks(compute, n, size):
    """Yield (slice, compute(slice)) over n rows, `size` at a time; what does not fit is halved.

    Raises
    ------
    MemoryError
        If even a single row does not fit.
    """
    start = 0
    while start < n:
        part = slice(start, min(start + size, n))
        try:
            found = compute(part)
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, MemoryError) or is_out_of_memory(error)):
                raise
            if size == 1:
                raise MemoryError("one row of this network does not fit in memory.") from error
            found, size = None, max(1, size // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        yield part, found
        start = part.stop


def check_row_by_row(module):
    """Raise for layers that torch.func has no derivatives of row by row, by their names."""
    found = [
        f"{called or 'module'} ({type(layer).__name__})"
        for called, layer in module.named_modules()
        if isinstance(layer, torch.nn.RNNBase)
    ]
    if found:
        raise ValueError(
            f"{listed(found)} of {type(module).__name__}: torch.func has no derivatives of "
            "recurrent layers row by row. Write the recurrence with LSTMCell, GRUCell or RNNCell, "
            "or put NeuralFeatures before a convex model."
        )


def as_tensor(values, name):
    """A tensor of numbers, from a tensor, an array or anything array-like."""
    if values is None:
        raise ValueError(f"{name} is None: pass the {'labels' if 'y' in name else 'rows'}.")
    if isinstance(values, torch.Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} should hold numbers; got {type(values).__name__} of dtype {array.dtype}. Pass "
            "a tensor or an array, with the rows in one order."
        )
    return torch.from_numpy(np.array(array))  # a copy: read-only arrays make warnings


def as_codes(y, n_rows, n_outputs, name="y"):
    """Class codes (n,) of rows: integers from 0 to the number of classes minus 1.

    Raises
    ------
    ValueError
        For another length, values that are no integers, or no classes of the network.
    """
    codes = as_tensor(y, name)
    if codes.shape != (n_rows,):
        raise ValueError(f"{name} should have shape ({n_rows},); got {tuple(codes.shape)}.")
    whole = codes.to(torch.int64)
    classes = max(2, n_outputs)
    wrong = (whole != codes) | (whole < 0) | (whole >= classes)
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(
            f"{name} should hold class codes from 0 to {classes - 1}, the columns of the network's "
            f"output; row {row} has {codes[row].item()!r}."
        )
    return whole
