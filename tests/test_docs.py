"""The extensions of the documentation: offline pages, formulas, scikit-learn's parameters."""

import inspect
import re
import sys
import zlib
from pathlib import Path

import pytest

import skinfluence

DOC = Path(__file__).parents[1] / "doc"
if not (DOC / "conf.py").exists():
    pytest.skip("the documentation is not beside an installed package", allow_module_level=True)


@pytest.fixture
def extension(monkeypatch):
    """A function that imports an extension of the documentation by name."""
    monkeypatch.setattr(sys, "path", [str(DOC), *sys.path])
    return lambda name: __import__(name)


def test_what_comes_from_a_network_fails_the_build(extension, tmp_path):
    pytest.importorskip("sphinx")
    offline = extension("offline")
    (tmp_path / "good.html").write_text(
        '<a href="https://scikit-learn.org">there</a><script src="_static/a.js"></script>'
        '<img src="a.png" alt="Two lines"><img src="a_thumb.png" alt="">'
        '<link rel="canonical" href="https://example.org">'
    )
    assert offline.problems_of(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<script src="https://cdn.example.org/a.js"></script><img src="//x.org/b.png" alt="b">'
        '<link rel="stylesheet" href="http://example.org/c.css"><img src="a.png" alt=" ">'
    )
    (tmp_path / "bad.css").write_text("@import url(https://fonts.example.org/d.css);")
    found = offline.problems_of(tmp_path)
    assert len(found) == 5
    assert found[0] == "bad.html: script from https://cdn.example.org/a.js"
    assert "bad.html: img without alt: a.png" in found


def test_every_formula_is_known(extension):
    pytest.importorskip("latex2mathml")
    pytest.importorskip("sphinx")
    mathml = extension("mathml")
    found = 0
    for path in [*DOC.glob("*.rst"), *Path(skinfluence.__file__).parent.rglob("*.py")]:
        text = path.read_text()
        for latex in re.findall(r":math:`([^`]*)`", text):
            assert mathml.markup(latex, "inline").startswith("<math")
            found += 1
        for latex in re.findall(r"\.\. math::\n((?:\n|[ ]+.*\n)+)", text):
            assert mathml.markup(latex, "block").startswith("<math")
            found += 1
    assert found > 200
    with pytest.raises(ValueError, match="a command of this formula is not known"):
        mathml.markup(r"\nosuchcommand x", "inline")


def test_estimators_show_the_parameters_that_they_inherit(extension):
    inherited = extension("inherited_parameters")
    cls = skinfluence.InfluenceLogisticRegression
    lines = inspect.getdoc(cls).splitlines()
    inherited.insert(None, "class", "", cls, None, lines)
    text = "\n".join(lines)
    names = inspect.signature(cls).parameters
    assert all(re.search(rf"^{name} : ", text, re.MULTILINE) for name in names)
    assert text.index("Parameters\n---") < text.index("Attributes\n---")
    assert not re.search(":term:|:ref:|versionadded", text.split("Attributes\n---")[0])
    own = skinfluence.svm.SmoothHingeSVC
    lines = before = inspect.getdoc(own).splitlines()
    inherited.insert(None, "class", "", own, None, lines)
    assert lines == before


def test_linked_names_are_in_the_stored_inventories():
    known = ""
    for path in (DOC / "inventories").glob("*.inv"):
        known += zlib.decompress(path.read_bytes().split(b"zlib.\n", 1)[1]).decode()
    files = [*DOC.glob("*.rst"), *Path(skinfluence.__file__).parent.rglob("*.py")]
    roles = r":(?:class|func|exc):`~?((?:sklearn|numpy|pandas)\.[\w.]+)`"
    linked = {name for path in files for name in re.findall(roles, path.read_text())}
    assert len(linked) > 10
    assert [name for name in linked if f"{name} py:" not in known] == []
