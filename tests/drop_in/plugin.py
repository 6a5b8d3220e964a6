"""The pytest plugin: which items say something of ours, and which are expected to fail."""

import re

import pytest

from tests.drop_in.differences import DIFFERENCES
from tests.drop_in.excerpts import BY_THEMSELVES, PREFIX

# What an assertion of a test, and pytest.raises or pytest.warns, end in.
ASSERTED = (AssertionError, pytest.fail.Exception)


def of_ours(item):
    """Whether a test asks anything of an estimator of this library."""
    if item.originalname in getattr(item.module, BY_THEMSELVES):
        return True
    return PREFIX in repr(list(item.callspec.params.values()))


def matches(item, name, expression):
    """Whether an item is a test of this name with parameters of this kind."""
    own = f"{item.module.__name__.rpartition('.')[-1]}.{item.originalname}"
    given = item.callspec.id if hasattr(item, "callspec") else ""
    return own == name and re.search(expression, given) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Drop what is not of ours; make what is listed a strict expected failure."""
    kept = [item for item in items if of_ours(item)]
    config.hook.pytest_deselected(items=[item for item in items if not of_ours(item)])
    items[:] = kept
    for difference in DIFFERENCES:
        mark = pytest.mark.xfail(
            raises=(*ASSERTED, *_as_tuple(difference.error)),
            reason=difference.title,
            strict=not difference.by_rounding,
        )
        for name, expression in difference.here().items():
            found = [item for item in items if matches(item, name, expression)]
            if not found:
                raise pytest.UsageError(f"{difference.title!r} lists {name}: no such test.")
            for item in found:
                item.add_marker(mark)


def _as_tuple(error):
    """Errors of a Difference."""
    return error if isinstance(error, tuple) else (error,)
