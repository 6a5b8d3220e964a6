"""The pytest plugin: which items say something of ours, and which are expected to fail."""

import re

import pytest

from tests.drop_in.differences import DIFFERENCES
from tests.drop_in.excerpts import BY_THEMSELVES, PREFIX


def of_ours(item):
    """Whether a test asks anything of an estimator of this library."""
    if item.originalname in getattr(item.module, BY_THEMSELVES):
        return True
    return PREFIX in repr(list(item.callspec.params.values()))


def expected(item):
    """Return the differences that a test is expected to fail on."""
    name = f"{item.module.__name__.rpartition('.')[-1]}.{item.originalname}"
    given = item.callspec.id if hasattr(item, "callspec") else ""
    return [
        difference
        for difference in DIFFERENCES
        if name in difference.tests and re.search(difference.tests[name], given)
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Drop what is not of ours; make what is listed a strict expected failure."""
    kept = [item for item in items if of_ours(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept
    for item in items:
        for difference in expected(item):
            mark = pytest.mark.xfail(reason=difference.title, strict=not difference.by_rounding)
            item.add_marker(mark)
