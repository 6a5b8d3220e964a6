"""The room of networks: an import that says what is missing, and states without code."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from skinfluence.torch._module import trained_module  # noqa: E402
from skinfluence.torch._state import from_state, to_state  # noqa: E402


def test_without_torch_the_error_says_what_to_install():
    code = "import skinfluence, sys; sys.modules['torch'] = None; import skinfluence.torch"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install skinfluence[torch]" in run.stderr
    assert run.returncode != 0


# -- states ----------------------------------------------------------------------------------------


def network():
    torch.manual_seed(0)
    first, last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 3)
    last.weight = torch.nn.Parameter(torch.randn(3, 4), requires_grad=False)
    net = torch.nn.Sequential(first, torch.nn.BatchNorm1d(4), torch.nn.ReLU(), last)
    net.add_module("tied", torch.nn.Linear(3, 4))
    net.tied.weight = first.weight
    net.register_buffer("loose", torch.arange(3), persistent=False)
    return net


def test_a_state_gives_the_network_back():
    net = network()
    back = from_state(pickle.loads(pickle.dumps(to_state(net))))
    for (name, old), (other, new) in zip(
        net.named_parameters(), back.named_parameters(), strict=True
    ):
        assert name == other
        assert old.requires_grad == new.requires_grad
        torch.testing.assert_close(old, new, rtol=0, atol=0)
    assert back.tied.weight is back[0].weight
    torch.testing.assert_close(back.loose, net.loose)
    torch.testing.assert_close(back[1].running_var, net[1].running_var)


def test_equal_tensors_are_stored_once():
    net = network()
    one, two = (len(to_state(thing)["tensors"]) for thing in (net, [net, copy.deepcopy(net)]))
    assert one == two


def test_the_tensors_of_a_state_are_safetensors():
    from safetensors.torch import load

    state = to_state(torch.nn.Linear(3, 2).to(torch.bfloat16))
    assert {tensor.dtype for tensor in load(state["tensors"]).values()} == {torch.bfloat16}
    assert b"_rebuild_tensor" not in state["structure"]


# -- networks --------------------------------------------------------------------------------------


def test_networks_are_checked_by_name():
    net = network()
    assert trained_module(net) is net
    with pytest.raises(TypeError, match="the class Linear"):
        trained_module(torch.nn.Linear)
    with pytest.raises(TypeError, match="skorch net; got ndarray"):
        trained_module(np.zeros(3))
    with pytest.raises(ValueError, match="Flatten has no parameters"):
        trained_module(torch.nn.Flatten())
    with pytest.raises(ValueError, match="weight of LazyLinear is not initialised"):
        trained_module(torch.nn.LazyLinear(3))
    with torch.no_grad():
        net[0].bias[1] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 4 weights in 0\.bias of Sequential are NaN"):
        trained_module(net)


def test_a_skorch_net_is_asked_for_its_module():
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(torch.nn.Linear, module__in_features=2, module__out_features=2)
    with pytest.raises(ValueError, match="not fitted"):
        trained_module(net)
    net.initialize()
    assert trained_module(net) is net.module_
