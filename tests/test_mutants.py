"""The runner of mutants: what it changes, and that each module has tests."""

import ast
from pathlib import Path

from tests.mutants.changes import mutants
from tests.mutants.living import LIVING
from tests.mutants.run import ROOT
from tests.mutants.subjects import concerned, modules

SOURCE = b"""def f(x: int, rows):
    if x < 1 and not rows:
        raise ValueError(f"{x + 1}")
    return -x + rows[x:]
"""


def test_every_kind_of_change_is_made_once_and_no_text_is_changed():
    found = {(each.kind, each.before, each.after) for each in mutants("module.py", SOURCE)}
    assert found == {
        ("comparison", "x < 1", "x >= 1"),
        ("constant", "1", "2"),
        ("and/or", "x < 1 and (not rows)", "x < 1 or not rows"),
        ("sign", "not rows", "rows"),
        ("sign", "-x", "x"),
        ("operator", "-x + rows[x:]", "-x - rows[x:]"),
        ("term", "-x + rows[x:]", "-x"),
        ("slice's begin", "rows[x:]", "rows[x + 1:]"),
    }


def test_mutants_of_the_core_are_modules_with_names_of_their_own_and_tests():
    names = set()
    for path in modules():
        source = (ROOT / "skinfluence" / path).read_bytes()
        found = mutants(path, source)
        for each in found[:: max(1, len(found) // 5)]:
            assert each.applied(source) != source
            ast.parse(each.applied(source))
        assert len({each.name for each in found}) == len(found)
        names |= {each.name for each in found}
        assert all(Path(ROOT, tests).exists() for tests in concerned(path))
    assert set(LIVING) <= names
