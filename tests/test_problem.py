"""The fitted problem: what is kept, what is noticed, and answers that do not depend on the past."""

import copy
import pickle
import threading

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    explain,
)
from skinfluence.problem import Fingerprint, fitted_problem
from skinfluence.problem._fingerprint import CHECKED_ROWS
from skinfluence.svm import SmoothHingeSVC


def data(n=60, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, (X[:, 0] + rng.standard_normal(n) > 0).astype(int), rng.uniform(0.5, 2.0, n)


FORMATS = {
    "C": lambda X: X,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "float32": lambda X: X.astype(np.float32),
    "csr": sparse.csr_array,
}


def values(X):
    """The array that holds X's values."""
    return X.data if sparse.issparse(X) else X


@pytest.mark.parametrize("name", FORMATS)
def test_every_edit_of_one_value_label_or_weight_is_noticed(name):
    X, y, w = data()
    X = FORMATS[name](X)
    model = InfluenceLogisticRegression().fit(X, y, w)
    problem, record = fitted_problem(model), model.__optimum_record__()
    kept = record.data.X
    assert not len(record.fingerprint.changed_rows(record.data))
    rng = np.random.default_rng(1)
    array = values(kept)
    for _ in range(200):
        place = tuple(rng.integers(size) for size in array.shape)
        old = array[place]
        # The smallest edit there is, the next number: hashes of bits see it, a sum would not.
        array[place] = np.nextafter(old, np.inf, dtype=array.dtype)
        assert len(record.fingerprint.changed_rows(record.data)) == 1
        array[place] = old
    for array in (y, w):
        old = array[7].copy()
        array[7] = 1 - old
        np.testing.assert_array_equal(record.fingerprint.changed_rows(record.data), [7])
        with pytest.raises(RuntimeError, match=r"training data have changed.*row 7\)"):
            problem.check_data()
        array[7] = old
    problem.check_data()


@pytest.mark.parametrize("question", ["influence", "self_influence", "loo_estimate"])
def test_two_rows_of_one_label_that_change_places_are_noticed(question):
    X, y, _ = data()
    model = InfluenceLogisticRegression().fit(X, y)
    ask = {"influence": lambda: model.influence(X[:2], y[:2])}
    ask = ask.get(question, getattr(model, question))
    ask()
    one, two = np.flatnonzero(y == 1)[:2]
    X[[one, two]] = X[[two, one]]
    with pytest.raises(RuntimeError, match=rf"rows {one}, {two}\)"):
        ask()


def test_string_labels_and_responses_of_several_columns_are_hashed():
    X, y, _ = data()
    for labels in (np.array(["no", "yes"])[y], np.array(["no", "yes"], dtype=object)[y]):
        model = InfluenceLogisticRegression().fit(X, labels)
        model.influence(X[:1], labels[:1])
        labels[3] = "yes" if labels[3] == "no" else "no"
        with pytest.raises(RuntimeError, match="row 3"):
            model.influence(X[:1], labels[:1])
    Y = np.c_[X[:, 0], X[:, 1]]
    model = InfluenceRidge().fit(X, Y)
    Y[5, 1] += 1e-9
    with pytest.raises(RuntimeError, match="row 5"):
        model.influence(X[:1], Y[:1])


def test_a_question_about_one_row_reads_that_row_and_a_sample(monkeypatch):
    n = 20 * CHECKED_ROWS
    X, y, _ = data(n=n)
    ask = {"train_indices": [5], "method": "newton"}  # the error of a step is a pass over X
    model = InfluenceLogisticRegression().fit(X, y)
    model.influence(X[:1], y[:1], **ask)
    checked = []
    original = Fingerprint.changed_rows

    def spied(self, data, rows=None):
        checked.append(rows)
        return original(self, data, rows)

    monkeypatch.setattr(Fingerprint, "changed_rows", spied)
    design = fitted_problem(model).objective.design
    monkeypatch.setattr(type(design), "transpose_matmul", None)  # a pass over X would need it
    model.influence(X[:1], y[:1], **ask)
    np.testing.assert_array_equal(checked[-1], [5])
    X[5, 0] += 1.0
    with pytest.raises(RuntimeError, match="row 5"):
        model.influence(X[:1], y[:1], **ask)


def test_small_changes_of_parameters_are_noticed():
    X, y, _ = data()
    model = InfluenceLogisticRegression().fit(X, y)
    model.set_params(C=1.0 + 1e-6)
    with pytest.raises(RuntimeError, match=r"parameters of .* have changed"):
        model.influence(X[:2], y[:2])
    model.set_params(C=1.0 + 1e-14)  # rounding of what a search has written
    model.influence(X[:2], y[:2])


def test_changed_parameters_are_noticed():
    X, y, _ = data()
    model = InfluenceLogisticRegression().fit(X, y)
    model.influence(X[:2], y[:2])
    model.set_params(verbose=1)  # of no objective
    model.influence(X[:2], y[:2])
    model.set_params(C=2.0)
    with pytest.raises(RuntimeError, match=r"parameters of .* have changed"):
        model.influence(X[:2], y[:2])
    model.set_params(C=1.0)
    model.influence(X[:2], y[:2])
    model.set_params(fit_intercept=False)
    with pytest.raises(RuntimeError, match="other coefficients"):
        model.influence(X[:2], y[:2])


def test_a_refit_is_another_problem():
    X, y, _ = data()
    model = InfluenceLogisticRegression().fit(X, y)
    before = model.influence(X[:2], y[:2])
    model.fit(X[:40], y[:40])
    assert model.influence(X[:2], y[:2]).shape == (2, 40)
    np.testing.assert_array_equal(model.fit(X, y).influence(X[:2], y[:2]), before)


QUESTIONS = {
    "few": lambda m, X, y: m.influence(X[:2], y[:2], method="first_order"),
    "all": lambda m, X, y: m.influence(X, y),
    "dual": lambda m, X, y: m.influence(X[:2], y[:2], curvature="dual"),
    "cg": lambda m, X, y: m.influence(X[:9], y[:9], curvature="cg", method="first_order"),
    "damped": lambda m, X, y: m.influence(X[:2], y[:2], damping=0.1),
    "loo": lambda m, X, y: m.loo_estimate(method="newton").decision_function,
    "report": lambda m, X, y: np.array(m.curvature().rcond),
}


@pytest.mark.parametrize("make", [InfluenceLogisticRegression, InfluencePoissonRegressor])
def test_answers_do_not_depend_on_the_order_of_questions(make):
    X, y, _ = data(n=40, p=50)
    answers = {name: ask(make().fit(X, y), X, y) for name, ask in QUESTIONS.items()}
    rng = np.random.default_rng(3)
    for _ in range(6):
        model = make().fit(X, y)
        for name in rng.permutation(list(QUESTIONS)):
            np.testing.assert_array_equal(QUESTIONS[name](model, X, y), answers[name])


def test_the_cache_keeps_few_curvatures_and_is_not_copied():
    X, y, _ = data()
    model = InfluenceLogisticRegression().fit(X, y)
    problem = fitted_problem(model)
    first = problem.curvature()
    assert problem.curvature() is first
    assert fitted_problem(model).curvature() is first
    for damping in (0.1, 0.2, 0.3):
        problem.curvature(damping=damping)
    assert problem.curvature() is not first  # three others were asked for since
    for other in (copy.copy(problem.curvatures), copy.deepcopy(problem.curvatures)):
        assert other.get(problem.objective, "dense", 0.0, 1, without_share=False) is not first
    assert len(pickle.dumps(problem.curvatures)) < 200
    assert b"CurvatureCache" not in pickle.dumps(model)
    with pytest.raises(AttributeError, match="cannot assign"):
        problem.objective = None


def test_threads_make_one_curvature():
    X, y, _ = data(n=400, p=30)
    problem = fitted_problem(InfluenceLogisticRegression().fit(X, y))
    made, barrier = [], threading.Barrier(8)

    def ask():
        barrier.wait()
        made.append(problem.curvature())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(curvature) for curvature in made}) == 1


def test_model_pipeline_and_explainer_answer_alike():
    X, y, _ = data()
    final = InfluenceLogisticRegression()
    alone = final.fit(X, y).influence(X[:3], y[:3])
    np.testing.assert_array_equal(explain(final).influence(X[:3], y[:3]), alone)
    pipe = make_pipeline(InfluenceLogisticRegression()).fit(X, y)
    np.testing.assert_array_equal(explain(pipe).influence(X[:3], y[:3]), alone)
    explainer = InfluenceExplainer(InfluenceLogisticRegression()).fit(X, y)
    np.testing.assert_array_equal(explainer.influence(X[:3], y[:3]), alone)


def test_an_intercept_that_nothing_identifies_is_refused_by_every_view():
    X, y = data()[0][:40], np.tile([0, 1], 20)
    model = SmoothHingeSVC(C=1e-7, temperature=1e-3).fit(X, y)
    for view in (model, explain(model), explain(make_pipeline(model))):
        with pytest.raises(np.linalg.LinAlgError, match="intercept is not identified"):
            view.influence(X, y)


def test_names_come_from_the_data():
    pd = pytest.importorskip("pandas")
    X, y, _ = data()
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"r{i}" for i in range(60)])
    new = frame.iloc[:3].rename(index=lambda name: f"new {name}")
    for model in (
        InfluenceLogisticRegression().fit(frame, y),
        explain(
            make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(
                frame, pd.Series(y, index=frame.index)
            )
        ),
        InfluenceExplainer(LogisticRegression()).fit(frame, y),
    ):
        found = model.influence(new, y[:3], as_frame=True)
        assert list(found.index) == list(new.index)
        assert list(found.columns) == list(frame.index)
        np.testing.assert_array_equal(found, model.influence(new, y[:3]))
        some = model.influence(new, y[:3], train_indices=[4, 2], aggregate="mean", as_frame=True)
        assert list(some.index) == ["r4", "r2"]
        assert list(some.columns) == ["influence"]
        own = model.self_influence(as_frame=True)
        assert list(own.index) == list(frame.index)
        score = model.score_influence(new, y[:3], as_frame=True)
        assert list(score.columns) == ["score_influence"]
        groups = model.group_influence([[0, 1], [2]], new, y[:3], as_frame=True)
        assert groups.shape == (3, 2)
        assert model.most_influential(new, y[:3], k=1).to_frame()["train"].iloc[0].startswith("r")
        assert model.parameter_influence().to_frame().index[5] == "r5"


def test_a_class_axis_becomes_the_last_level_of_the_columns():
    pytest.importorskip("pandas")
    X, _, _ = data()
    y = np.tile(["a", "b", "c"], 20)
    model = InfluenceLogisticRegression().fit(X, y)
    found = model.influence(X[:2], target="predict_proba", as_frame=True)
    plain = model.influence(X[:2], target="predict_proba")
    assert found.columns.names == ["train", "class"]
    np.testing.assert_array_equal(found[(7, "b")], plain[:, 7, 1])
    own = model.self_influence(target="predict_proba", as_frame=True)
    assert list(own.columns) == ["a", "b", "c"]


@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
def test_info_tells_method_and_error_of_each_row(method):
    X, y, w = data()
    w[3] = 0.0
    model = InfluenceLogisticRegression(C=3.0).fit(X, y, w)
    values, info = model.influence(X[:4], y[:4], method=method, return_info=True)
    assert values.shape == (4, 60)
    assert set(info.method) <= {method, "exact", "refined"}
    assert info.method[3] == "exact"
    assert info.error_estimate[3] == 0.0
    loo = model.loo_estimate(method=method)
    others = np.arange(60) != 3  # whose effect is 0, and whose prediction has its rounding
    np.testing.assert_allclose(info.error_estimate[others], loo.error_estimate[others])
    np.testing.assert_allclose(info.error_bound[others], loo.error_bound[others])
    assert loo.error_bound[3] < 1e-12
    _, part = model.self_influence(method=method, train_indices=[8, 5], return_info=True)
    if method != "exact":  # of few rows it is the next step itself, of many their norms' ratio
        assert (part.error_estimate <= info.error_estimate[[8, 5]] * (1 + 1e-9)).all()
    assert list(part.names) == [8, 5]
    assert method in repr(info)
    assert model.parameter_influence(method=method).info.method[0] in (method, "refined")
    assert model.most_influential(X[:2], y[:2], method=method).info.error_bound.shape == (60,)


def test_info_of_groups_is_the_next_step():
    X, y, _ = data()
    model = InfluenceLogisticRegression(C=3.0).fit(X, y)
    groups = [np.arange(10), np.arange(10, 12)]
    ask = {"target": "decision_function", "method": "newton", "return_info": True}
    newton, info = model.group_influence(groups, X, **ask)
    exact = model.group_influence(groups, X, target="decision_function", method="exact")
    for column, group in enumerate(groups):
        error = np.abs(newton - exact)[group, column].max()
        assert 0.5 * error < info.error_estimate[column] < 2 * error
    _, info = model.group_influence(groups, X, y, method="exact", return_info=True)
    assert (info.error_estimate < 1e-7).all()
