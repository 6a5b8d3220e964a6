"""What is asked of every network: a trained torch module, with weights that are numbers."""

import numbers

import numpy as np
import torch


def trained_module(net, name="module"):
    """Torch module of a network: itself, or that of a fitted skorch net.

    Parameters
    ----------
    net : torch.nn.Module or skorch.NeuralNet
    name : str
        Of the argument, for errors.

    Raises
    ------
    TypeError
        If it is neither, or a class in place of an object.
    ValueError
        If a skorch net is not fitted, if there are no parameters, or some are no numbers.
    """
    if isinstance(net, type):
        raise TypeError(f"{name} should be a trained module, not the class {net.__name__}.")
    module = net
    if not isinstance(net, torch.nn.Module):
        if not (hasattr(net, "initialize") and hasattr(net, "module")):
            raise TypeError(
                f"{name} should be a torch.nn.Module or a fitted skorch net; got "
                f"{type(net).__name__}."
            )
        module = getattr(net, "module_", None)
        if module is None:
            raise ValueError(f"the skorch net given as {name} is not fitted: call its fit first.")
    check_weights(module, name)
    return module


def check_weights(module, name="module"):
    """Raise unless a module has parameters, and all its parameters and buffers are finite."""
    kind = type(module).__name__
    if next(module.parameters(), None) is None:
        raise ValueError(f"{name} should be a trained network; {kind} has no parameters.")
    for called, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if isinstance(tensor, torch.nn.UninitializedParameter | torch.nn.UninitializedBuffer):
            raise ValueError(
                f"{called} of {kind} is not initialised: call {name} on a batch first."
            )
        wrong = 0 if not tensor.is_floating_point() else int((~tensor.isfinite()).sum())
        if wrong:
            raise ValueError(
                f"{wrong} of {tensor.numel()} weights in {called} of {kind} are NaN or infinite: "
                "training has diverged. Pass a network that has been trained well."
            )


def as_device(device):
    """A torch.device; None for "auto", where the module is.

    Raises
    ------
    ValueError
        If torch does not know it, or sees no such card.
    """
    if isinstance(device, str) and device == "auto":
        return None
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device should be 'auto' or one of torch's, such as 'cpu' or 'cuda:0'; got {device!r}."
        ) from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch sees no CUDA device here.")
    return found


def as_floating(dtype):
    """A floating type of torch, from one or from a name of torch's or NumPy's; None for None."""
    found = dtype
    if isinstance(dtype, str):
        found = getattr(torch, dtype, None)
    elif dtype is not None and not isinstance(dtype, torch.dtype):
        try:
            found = getattr(torch, np.dtype(dtype).name, None)
        except TypeError:
            found = False
    if found is None and dtype is None:
        return None
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            f"dtype should be None or a floating type such as 'float32' or torch.float64; got "
            f"{dtype!r}."
        )
    return found


def check_seed(random_state):
    """Raise unless a random state is an integer of at least 0: every call draws the same."""
    whole = isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool)
    if not whole or random_state < 0:
        raise ValueError(f"random_state should be an integer of at least 0; got {random_state!r}.")
