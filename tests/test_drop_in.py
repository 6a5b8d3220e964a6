"""scikit-learn's tests on our estimators: what is copied, and where the differences are printed."""

import ast
from pathlib import Path

import pytest
import sklearn
from sklearn.linear_model import HuberRegressor, LogisticRegression, RidgeCV

from skinfluence import InfluenceHuberRegressor, InfluenceLogisticRegression
from tests.drop_in.excerpts import FILES, rebind, source
from tests.drop_in.page import page

PAGE = Path(__file__).parents[1] / "doc" / "how_we_differ.rst"


@pytest.mark.skipif(not PAGE.exists(), reason="no documentation beside an installed package")
def test_the_page_is_the_list():
    # python -m tests.drop_in --page > doc/how_we_differ.rst
    assert PAGE.read_text() == page()


def test_estimators_are_bound_to_ours_by_any_name():
    namespace = {"LogisticRegressionDefault": LogisticRegression, "RidgeCV": RidgeCV, "x": 1}
    namespace["HuberRegressor"] = HuberRegressor
    rebind(namespace)
    assert namespace == {
        "LogisticRegressionDefault": InfluenceLogisticRegression,
        "HuberRegressor": InfluenceHuberRegressor,
        "RidgeCV": RidgeCV,
        "x": 1,
    }


@pytest.mark.parametrize("name", FILES)
def test_excerpts_keep_the_tests_of_ours_and_the_lines(name):
    path = Path(sklearn.__file__).parent / name
    text = source(path)
    whole, kept = ast.parse(path.read_text()), ast.parse(text)
    tests = {
        node.name: node.lineno
        for node in whole.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    left = {
        node.name: node.lineno
        for node in kept.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert left
    assert left.items() <= tests.items()
    assert text.count("rebind(globals())") == 1
    if name.endswith("test_huber.py"):
        assert set(tests) - set(left) == {"test_huber_gradient"}  # of a private function alone
