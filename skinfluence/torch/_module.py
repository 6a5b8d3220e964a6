"""What is asked of every network: a trained torch module, with weights that are numbers."""

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
