"""The public names, as doc/api.rst lists them; `python -m tests.public_names` prints them."""

import re
from pathlib import Path

API = Path(__file__).parents[1] / "doc" / "api.rst"


def public_names(section=None):
    """Names below skinfluence that have a page of their own, of one section or of all, sorted."""
    text = API.read_text()
    if section is not None:
        text = re.search(rf"^{section}\n-+\n(.*?)(?=^\w.*\n-+\n|\Z)", text, re.S | re.M)[1]
    lists = re.findall(r"\.\. autosummary::\n(?:    :.*\n)*\n((?:    .+\n)+)", text)
    return sorted(name for block in lists for name in block.split())


if __name__ == "__main__":
    print("\n".join(public_names()))
