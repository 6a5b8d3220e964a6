"""Answers do not depend on how and where Python runs: -O, the locale, a path with spaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

import skinfluence
from skinfluence import InfluenceLogisticRegression
from skinfluence.svm import SmoothHingeSVC

SCRIPT = """
import json, locale, sys
import numpy as np
from sklearn.datasets import load_iris
import skinfluence
from skinfluence import InfluenceLogisticRegression
from skinfluence.svm import SmoothHingeSVC

if len(sys.argv) > 1:
    locale.setlocale(locale.LC_ALL, "")
X, y = load_iris(return_X_y=True)
found = InfluenceLogisticRegression().fit(X, y).influence(X[:3], y[:3])
hinge = SmoothHingeSVC(loss="hinge", kernel="rbf").fit(X, y).self_influence(target="margin")
told = ""
try:
    InfluenceLogisticRegression().fit(X, y).influence(X[:3], y[:3], target="los")
except ValueError as error:
    told = str(error)
print(json.dumps([found.tolist(), hinge.tolist(), told, skinfluence.__file__]))
"""


def run(*arguments, path=None, **environment):
    """What the script prints in a process of its own."""
    root = Path(skinfluence.__file__).parent.parent if path is None else path
    variables = {**os.environ, "PYTHONPATH": str(root), **environment}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=variables,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here():
    X, y = load_iris(return_X_y=True)
    found = InfluenceLogisticRegression().fit(X, y).influence(X[:3], y[:3])
    hinge = SmoothHingeSVC(loss="hinge", kernel="rbf").fit(X, y)
    return found, hinge.self_influence(target="margin")


def same(found, here):
    np.testing.assert_allclose(found[0], here[0], atol=1e-12)
    np.testing.assert_allclose(found[1], here[1], atol=1e-9)
    assert "target should be one of 'loss'" in found[2]


def test_optimised_bytecode(here):
    same(run("-O", "-c", SCRIPT), here)


def test_another_locale(here):
    """The machine's, and one with a comma in its numbers where it is installed."""
    same(run("-c", SCRIPT, "set", LC_ALL="C"), here)
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    for name in set(listed.split()) & {"de_DE.utf8", "tr_TR.utf8", "fr_FR.utf8"}:
        same(run("-c", SCRIPT, "set", LC_ALL=name), here)


def test_a_path_with_spaces(here, tmp_path):
    root = tmp_path / "a path with späces"
    shutil.copytree(
        Path(skinfluence.__file__).parent,
        root / "skinfluence",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    found = run("-c", SCRIPT, path=root)
    assert str(root) in found[3]
    same(found, here)
