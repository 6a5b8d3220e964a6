"""The pytest plugin: which items say something of ours, and which are expected to fail."""

import re

import pytest
import scipy
from packaging.version import Version

from tests.drop_in.differences import DIFFERENCES
from tests.drop_in.excerpts import BY_THEMSELVES, PREFIX

# What an assertion of a test, and pytest.raises or pytest.warns, end in.
ASSERTED = (AssertionError, pytest.fail.Exception)


UNMATCHED = pytest.StashKey[list]()
OF_THE_LIST = "test_every_entry_is_a_test"


def of_ours(item):
    """Whether a test asks anything of an estimator of this library."""
    by_themselves = getattr(item.module, BY_THEMSELVES, [OF_THE_LIST])
    if item.originalname in by_themselves:
        return True
    given = item.callspec.params.values()
    helpers = {getattr(value, "__name__", None) for value in given}
    return PREFIX in repr(list(given)) or not helpers.isdisjoint(by_themselves)


def matches(item, name, expression):
    """Whether an item is a test of this name with parameters of this kind."""
    own = f"{item.module.__name__.rpartition('.')[-1]}.{item.originalname}"
    given = item.callspec.id if hasattr(item, "callspec") else ""
    return own == name and re.search(expression, given) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Drop what is not of ours; make what is listed a strict expected failure."""
    config.hook.pytest_deselected(items=[item for item in items if not of_ours(item)])
    items[:] = [item for item in items if of_ours(item)]
    if Version(scipy.__version__) < Version("1.14"):
        # Its tests of arrays look for array-api-compat, and not whether SciPy lets it dispatch.
        mark = pytest.mark.skip(reason="scikit-learn dispatches on arrays with SciPy 1.14 or newer")
        for item in items:
            if "array_api" in item.nodeid:
                item.add_marker(mark)
    config.stash[UNMATCHED] = []
    for difference in DIFFERENCES:
        mark = pytest.mark.xfail(
            raises=(*ASSERTED, *difference.errors),
            reason=difference.title,
            strict=not difference.by_rounding,
        )
        for name, expression in difference.here().items():
            found = [item for item in items if matches(item, name, expression)]
            if not found:
                config.stash[UNMATCHED].append(name)
            for item in found:
                item.add_marker(mark)


@pytest.fixture
def unmatched(request):
    """Entries of the list that no test of the installed scikit-learn answers to."""
    return request.config.stash[UNMATCHED]
