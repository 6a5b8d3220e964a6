"""What pytest does not collect where a package is missing."""

from importlib.util import find_spec

collect_ignore_glob = []
if find_spec("torch") is None or find_spec("safetensors") is None:
    collect_ignore_glob = [
        "skinfluence/torch/*",
        "doc/torch.rst",
        "doc/whole_networks.rst",
        "tests/test_torch*",
    ]
