"""Pickles whose tensors are one block of safetensors, which runs no code when it is read."""

import io
import pickle

import torch
from safetensors.torch import load, save


class _Writer(pickle.Pickler):
    """Pickler that sets tensors aside, each content once."""

    def __init__(self, file):
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.numbers, self.keys, self.tensors = {}, {}, {}

    def persistent_id(self, obj):
        """Number of a tensor, and what is needed to make it again; None for all else."""
        if not isinstance(obj, torch.Tensor) or obj.layout != torch.strided or obj.is_meta:
            return None
        number = self.numbers.setdefault(id(obj), len(self.numbers))
        content = obj.detach().cpu().contiguous()
        raw = bytes(content.reshape(-1).view(torch.uint8).numpy().data)
        key = self.keys.setdefault((obj.dtype, obj.shape, raw), str(len(self.keys)))
        self.tensors[key] = content.clone()
        return number, key, isinstance(obj, torch.nn.Parameter), obj.requires_grad


class _Reader(pickle.Unpickler):
    """Unpickler that puts tensors back; what was one object is one again."""

    def __init__(self, file, tensors):
        super().__init__(file)
        self.tensors, self.made = tensors, {}

    def persistent_load(self, pid):
        """Tensor of a number, made once."""
        number, key, is_parameter, requires_grad = pid
        if number not in self.made:
            tensor = self.tensors[key].clone()
            if is_parameter:
                tensor = torch.nn.Parameter(tensor, requires_grad=requires_grad)
            self.made[number] = tensor.requires_grad_(requires_grad)
        return self.made[number]


def to_state(thing):
    """Return {"structure": bytes, "tensors": bytes}: anything that holds tensors, for a pickle.

    Tensors come back on the CPU.
    """
    file = io.BytesIO()
    writer = _Writer(file)
    writer.dump(thing)
    return {"structure": file.getvalue(), "tensors": save(writer.tensors)}


def from_state(state):
    """What `to_state` was given."""
    return _Reader(io.BytesIO(state["structure"]), load(state["tensors"])).load()
