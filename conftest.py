"""What pytest does not collect where a package is missing, and what it leaves behind."""

import sys
from importlib.util import find_spec

import pytest

collect_ignore_glob = []
if find_spec("torch") is None or find_spec("safetensors") is None:
    collect_ignore_glob = [
        "skinfluence/torch/*",
        "doc/torch.rst",
        "doc/whole_networks.rst",
        "tests/test_torch*",
    ]


@pytest.fixture(autouse=True)
def closed_figures():
    """Close the figures of each test: of more than twenty Matplotlib warns."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
