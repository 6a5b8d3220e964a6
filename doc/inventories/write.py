"""Write inventories of other projects' names that these pages link to, without a network.

``python doc/inventories/write.py`` stores one file a project beside this script. Addresses follow
from the names: each project has one page for each of its public names.
"""

import zlib
from itertools import takewhile
from pathlib import Path

import sklearn
from sklearn.utils.discovery import all_estimators, all_functions

HEADER = (
    "# Sphinx inventory version 2\n# Project: {project}\n# Version: {version}\n"
    "# The remainder of this file is compressed using zlib.\n"
)
# (name, role) of the few names of other projects that are linked.
NUMPY = [("numpy.ndarray", "class"), ("numpy.linalg.LinAlgError", "exception")]
PANDAS = [("pandas.DataFrame", "class"), ("pandas.Series", "class")]


def public_name(item):
    """The name by which a class or function of scikit-learn is imported."""
    module = takewhile(lambda part: not part.startswith("_"), item.__module__.split("."))
    return ".".join([*module, item.__name__])


def write(project, version, names, page):
    """Write an inventory of (name, role) pairs, with ``page.format(name)`` as their addresses."""
    lines = [f"{name} py:{role} 1 {page.format(name)}#$ -\n" for name, role in sorted(set(names))]
    header = HEADER.format(project=project, version=version).encode()
    path = Path(__file__).with_name(f"{project}.inv")
    path.write_bytes(header + zlib.compress("".join(lines).encode(), 9))


if __name__ == "__main__":
    found = [(public_name(item), "class") for _, item in all_estimators()]
    found += [(public_name(item), "function") for _, item in all_functions()]
    found += [("sklearn.model_selection.GridSearchCV", "class")]
    found += [("sklearn.metrics.pairwise_distances", "function")]
    write("scikit-learn", sklearn.__version__, found, "modules/generated/{}.html")
    write("numpy", "", NUMPY, "reference/generated/{}.html")
    write("pandas", "", PANDAS, "reference/api/{}.html")
