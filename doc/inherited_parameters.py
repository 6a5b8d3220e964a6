"""The parameters of scikit-learn's original on the pages of estimators that inherit them."""

import inspect
import re

HEADING = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


# References to scikit-learn's own pages, and what stands in their place.
FOREIGN = (
    (r":term:`([^`<]+?)\s*(?:<[^`]*>)?`", r"\1"),
    (r":ref:`([^`<]+?)\s*<[^`]*>`", r"*\1*"),
    (r":ref:`[^`]*`", "scikit-learn's User Guide"),
    (r"\n[ ]*\.\. version(?:added|changed)::[^\n]*", ""),
)


def section(text, name):
    """Lines of a section of a numpydoc docstring, with its heading; [] where there is none."""
    found = [(match.group(1), match.start()) for match in HEADING.finditer(text)]
    for position, (title, start) in enumerate(found):
        if title == name:
            end = found[position + 1][1] if position + 1 < len(found) else len(text)
            return text[start:end].rstrip().splitlines()
    return []


def original(cls):
    """The class of scikit-learn whose `__init__` an estimator of this library has; else None."""
    for base in cls.__mro__[1:]:
        if base.__module__.startswith("sklearn.") and "__init__" in vars(base):
            return base if cls.__init__ is base.__init__ else None
    return None


def insert(app, what, name, obj, options, lines):
    """Put the section before the first heading of a class that has none of its own."""
    if what != "class" or not obj.__module__.startswith("skinfluence."):
        return
    text = "\n".join(lines)
    base = original(obj)
    if base is None or section(text, "Parameters"):
        return
    wanted = "\n".join(section(inspect.getdoc(base), "Parameters"))
    for pattern, replacement in FOREIGN:
        wanted = re.sub(pattern, replacement, wanted)
    match = HEADING.search(text)
    at = len(lines) if match is None else text[: match.start()].count("\n")
    lines[at:at] = [*wanted.splitlines(), ""]


def setup(app):
    """Connect to Sphinx, before numpydoc reads the docstring."""
    app.connect("autodoc-process-docstring", insert, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
