"""Several answers by one pass: those of the methods, and how often the rows are read."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
)
from skinfluence.blocks import as_blocks, in_one_pass
from skinfluence.linear_model import _blocks as fitting
from skinfluence.problem import _by_parts
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, responses, weights
from tests.test_block_removal import counted

N = 260


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Fits start from 60 rows; parts of 50 rows, several in a block."""
    monkeypatch.setattr(fitting, "MOST_ROWS", 60)
    monkeypatch.setattr(_by_parts, "PART_VALUES", 1)
    monkeypatch.setattr(_by_parts, "FEWEST_ROWS", 50)


def models():
    X, y = problem(n=N, p=4)
    X3, y3 = problem(n=N, p=3, n_classes=3)
    R, r = responses(n=N)
    _, counts = responses(n=N, counts=True)
    w = weights(1, N, zeros=5)
    return {
        "logistic": (InfluenceLogisticRegression(C=0.5), X, y, w),
        "sparse": (InfluenceLogisticRegression(), sp.csr_array(X), y, None),
        "softmax": (InfluenceLogisticRegression(C=0.5), X3, y3, None),
        "ridge": (InfluenceRidge(alpha=2.0), R, r, w),
        "two responses": (InfluenceRidge(), R, np.column_stack([r, r**2]), None),
        "least squares": (InfluenceLinearRegression(), R, r, None),
        "poisson": (InfluencePoissonRegressor(alpha=0.1), R, counts, w),
        "in memory": (InfluenceLogisticRegression(), X, y, None),
        "kernel": (SmoothHingeSVC(), X, y, None),
    }


def fitted(name):
    model, X, y, w = models()[name]
    if name in ("in memory", "kernel"):
        return model.fit(X, y), X, y
    return model.fit(as_blocks(X, y, w, block_rows=120)), X, y


def asked(X, y):
    """Questions of every kind, some of them twice."""
    test = {"X_test": X[:7], "y_test": y[:7]}
    return {
        "self_influence": {},
        "influence": [
            test,
            {**test, "aggregate": "mean"},
            {**test, "aggregate": "sum", "test_sample_weight": np.arange(7.0)},
            {"X_test": X[9:12], "target": "decision_function"},
        ],
        "most_influential": [{**test, "k": 4}, {**test, "k": 60, "target": "loss"}],
        "loo_estimate": {},
    }


def plain(value):
    """Arrays of an answer."""
    if isinstance(value, np.ndarray):
        return {"values": value}
    fields = ("helpful_indices", "helpful_values", "harmful_indices", "harmful_values")
    fields += ("loss", "leverage", "decision_function", "cooks_distance", "dffits", "dfbetas")
    fields += ("block", "sigma_without", "covratio", "error_estimate")
    found = {
        each: getattr(value, each, None)
        for each in fields
        if hasattr(type(value), each) or each in getattr(value, "__dataclass_fields__", {})
    }
    return {name: each for name, each in found.items() if isinstance(each, np.ndarray)}


@pytest.mark.parametrize("method", ["newton", "first_order"])
@pytest.mark.parametrize("name", models())
def test_the_answers_are_those_of_the_methods(name, method):
    model, X, y = fitted(name)
    alone, _, _ = fitted(name)
    questions = asked(X, y)
    if name not in ("kernel", "two responses"):
        questions["case_deletion_diagnostics"] = {}
    if not hasattr(model, "classes_"):
        questions["influence"][3]["target"] = "prediction"
    found = in_one_pass(model, questions, method=method)
    assert list(found) == list(questions)
    for question, given in questions.items():
        calls = given if isinstance(given, list) else [given]
        answers = found[question] if isinstance(given, list) else [found[question]]
        for call, answer in zip(calls, answers, strict=True):
            how = {} if question == "case_deletion_diagnostics" else {"method": method}
            known = getattr(alone, question)(**call, **how)
            expected, own = plain(known), plain(answer)
            if question == "most_influential":
                np.testing.assert_array_equal(answer.info.method, known.info.method)
                np.testing.assert_array_equal(answer.info.error_bound, known.info.error_bound)
            assert own.keys() == expected.keys()
            assert own
            for part, values in expected.items():
                scale = np.nanmax(np.abs(values))
                np.testing.assert_allclose(
                    own[part], values, rtol=1e-7, atol=1e-9 * scale, err_msg=f"{question} {part}"
                )
    again = pickle.loads(pickle.dumps(model))  # what is kept of the rows is not in a pickle
    assert len(pickle.dumps(model)) <= len(pickle.dumps(alone)) + 100
    np.testing.assert_allclose(
        again.self_influence(method=method), found["self_influence"], rtol=1e-7
    )


@pytest.mark.parametrize("method", ["newton", "first_order"])
@pytest.mark.parametrize("name", ["logistic", "sparse", "softmax", "ridge", "poisson"])
def test_many_rows_in_memory_are_left_out_part_by_part(name, method, monkeypatch):
    model, X, y, w = models()[name]
    model.fit(X, y, w)
    expected = model.loo_estimate(method=method)
    bounds = expected.error_bound
    monkeypatch.setattr(_by_parts, "MANY_ROWS", N)
    found = model.fit(X, y, w).loo_estimate(method=method)
    assert callable(found.error_source)
    for part in ("decision_function", "loss", "leverage", "error_estimate"):
        np.testing.assert_allclose(
            getattr(found, part), getattr(expected, part), rtol=1e-7, atol=1e-12, err_msg=part
        )
    np.testing.assert_array_equal(found.method, expected.method)
    np.testing.assert_allclose(found.error_bound, bounds, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["logistic", "sparse", "softmax", "least squares"])
def test_progress_is_told_how_many_parts_there_are(name):
    model, X, y = fitted(name)
    told, seen = [], []

    def progress(parts, total):
        told.append(total)
        seen.append(0)
        for part in parts:
            seen[-1] += 1
            yield part

    model.loo_estimate(method="newton", progress=progress)
    model.most_influential(X[:2], y[:2], method="newton", progress=progress)
    model.influence(X[:2], y[:2], method="first_order", aggregate="mean", progress=progress)
    in_one_pass(model, {"self_influence": {}}, progress=progress)
    assert told == seen
    assert len(seen) >= 2
    assert max(seen) == (1 if name == "least squares" else 7)


def test_a_pipeline_and_undefined_rows():
    X, y = problem(n=N, p=4)
    y = np.zeros(N, dtype=int)
    y[77] = 1
    pipe = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), InfluenceLogisticRegression())
    explainer = InfluenceExplainer(pipe).fit(as_blocks(X, y, block_rows=70))
    with pytest.warns(RuntimeWarning, match="without row 77 a class is empty") as caught:
        found = in_one_pass(
            explainer,
            {"self_influence": {}, "most_influential": {"X_test": X[:3], "y_test": y[:3], "k": N}},
        )
    assert len(caught) == 1
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found["self_influence"])), [77])
    top = found["most_influential"]
    assert (top.helpful_indices[:, -1] == -1).all()
    assert not (top.helpful_indices == 77).any()


def test_each_question_is_a_pass_and_all_of_them_are_one(monkeypatch):
    monkeypatch.setattr(fitting, "MOST_ROWS", 2000)
    monkeypatch.setattr(_by_parts, "FEWEST_ROWS", 1000)
    for model in (InfluenceLogisticRegression(), InfluenceRidge()):
        X, y = problem(n=20_000, p=5)
        questions = asked(X, y)
        questions["influence"] = questions["influence"][1:3]
        questions["case_deletion_diagnostics"] = {}

        def passes(ask, model=model):
            """Passes that a question to a new fit makes, and what it answers."""
            fitted, source, _ = counted(model, n=20_000)
            source.n_read = 0
            ask(fitted)
            return source.n_read / 20_000

        one = passes(lambda fitted, q=questions: in_one_pass(fitted, q))
        assert one <= 1.5  # the first and the last block of 20 for fingerprints, a few times
        for name, calls in questions.items():
            call = calls[0] if isinstance(calls, list) else calls
            how = {} if name == "case_deletion_diagnostics" else {"method": "newton"}
            own = passes(lambda fitted, n=name, c=call, h=how: getattr(fitted, n)(**c, **h))
            assert own <= 1.3, name


def test_wrong_questions():
    model, X, y = fitted("logistic")
    for questions, sentence in (
        ([], "questions should be a dict of names of methods"),
        ({}, "questions should be a dict of names of methods"),
        ({"influences": {}}, "a question should be one of"),
        ({"influence": 3}, "the arguments of influence should be a dict; got 3"),
        ({"influence": {}}, "influence needs X_test"),
        ({"influence": {"X_test": X, "train_indices": [1]}}, "got train_indices"),
        ({"influence": {"X_test": X, "y_test": y, "aggregate": "max"}}, "aggregate"),
        ({"most_influential": {"X_test": X, "y_test": y, "k": 0}}, "k should be an integer"),
        ({"self_influence": {"target": "nothing"}}, "target"),
        ({"influence": {"X_test": X}}, "needs the labels"),
    ):
        with pytest.raises(ValueError, match=sentence):
            in_one_pass(model, questions)
    with pytest.raises(ValueError, match="method"):
        in_one_pass(model, {"self_influence": {}}, method="exact")
    with pytest.raises(TypeError, match="has no influence methods"):
        in_one_pass(StandardScaler(), {"self_influence": {}})
