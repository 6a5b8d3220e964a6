"""One problem: fitted, asked, judged; and many, with a table."""

from collections import Counter
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLasso,
    InfluenceLogisticRegression,
    explain,
)
from skinfluence.svm import SmoothHingeSVC
from tests.fuzz.asking import ask
from tests.fuzz.existence import independent, is_penalised
from tests.fuzz.losses import Squared
from tests.fuzz.models import MODELS, make_spec
from tests.fuzz.oracle import Oracle
from tests.fuzz.pooled import PooledQuestions
from tests.fuzz.problems import dense, make_data
from tests.fuzz.questions import METHODS, WITHOUT_CURVATURE, Judge, Tally

ASKED = (
    "influence",
    "self_influence",
    "parameter_influence",
    "most_influential",
    "group_influence",
    "score_influence",
)


# Of what is asked of least squares with dependent columns: coefficients are not unique.
UNIQUE = (*ASKED[:2], *ASKED[3:], "loo_estimate", "prediction_interval")


def warm_up():
    """Compile what is compiled, before anything is timed."""
    X, y = np.arange(8.0).reshape(-1, 1) % 3, np.arange(8) % 2
    for model in (SmoothHingeSVC(kernel="rbf", loss="hinge"), SmoothHingeSVC(loss="hinge")):
        model.fit(X, y).influence(X[:1], y[:1], method="exact")
    InfluenceLasso(0.1).fit(X, y.astype(float)).influence(X[:1], y[:1], method="exact")
    sparse = sp.csr_array(X)
    InfluenceLogisticRegression().fit(sparse, y).influence(sparse[:1], y[:1])


def build(problem, original=False):
    """(model to fit, name of its argument of weights); optionally scikit-learn's own."""
    model = MODELS[problem.model]
    if problem.through == "explainer":
        final = model.original(problem)
        return final if original else InfluenceExplainer(final), "sample_weight"
    final = model.original(problem) if original else model.own(problem)
    if problem.through == "pipeline":
        pipe = Pipeline(
            [
                ("scale", StandardScaler(with_mean=not problem.storage.startswith("csr"))),
                ("last", final),
            ]
        )
        return pipe, "last__sample_weight"
    return final, "sample_weight"


def run(problem, only=None):
    """Tally of one problem."""
    tally = Tally()
    judge = Judge(problem, tally)
    model = MODELS[problem.model]
    data = make_data(problem, model.response)
    estimator, name = build(problem)
    weights = {} if data.weights is None else {name: data.weights}
    fitted = ask(lambda: estimator.fit(data.X, data.y, **weights))
    if fitted.leaks:
        fitted = _without_leaks_of_the_original(problem, data, weights, fitted)
    if not judge.answered("fit", fitted):
        return tally
    view = explain(estimator) if problem.through == "pipeline" else estimator
    final, rows, rows_test = _last_step(problem, estimator, data)
    spec = make_spec(problem, model, final, rows, rows_test, data)
    own = ask(view.__fitted_problem__)
    if own.error is None:
        spec.origin = own.value.objective.design.origin
        spec.fitted = own.value.objective.eta
    oracle = Oracle(spec)
    asked = ASKED if problem.damping else (*ASKED, *WITHOUT_CURVATURE)
    if not oracle.exists:
        oracle = _of_unique_predictions(oracle)
        if oracle is None:
            _refusals(problem, view, data, tally)
            return tally
        problem, asked = problem.but(damping=0.0), UNIQUE
    with np.errstate(all="ignore"):
        sure = oracle.is_sure
    if not sure:
        tally.count("unsure")
        return tally
    questions = PooledQuestions(problem, oracle, view, data, tally, fitted.is_announced)
    for question in asked:
        if only is None or question in only:
            questions.put(question)
    if problem.through == "model" and (only is None or "views" in only):
        _views(problem, estimator, data, questions)
    return tally


def _without_leaks_of_the_original(problem, data, weights, fitted):
    """The answer, with those leaks that scikit-learn's own estimator has not on the same data."""
    if MODELS[problem.model].original is None:
        return fitted
    estimator, _ = build(problem, original=True)
    theirs = ask(lambda: estimator.fit(data.X, data.y, **weights)).leaks
    return replace(fitted, leaks=tuple(leak for leak in fitted.leaks if leak not in theirs))


def some_questions(rng, n=5):
    """Names of some questions."""
    names = (*ASKED, *WITHOUT_CURVATURE, "views")
    return tuple(names[k] for k in rng.permutation(len(names))[:n])


def _last_step(problem, estimator, data):
    """(final fitted model, the rows that it was given, and the test rows)."""
    if problem.through == "pipeline":
        before = estimator[:-1]
        return (
            estimator[-1],
            dense(before.transform(data.X)),
            dense(before.transform(data.X_test)),
        )
    X, X_test = data.X, data.X_test
    X = X.to_numpy() if hasattr(X, "to_numpy") else X
    X_test = X_test.to_numpy() if hasattr(X_test, "to_numpy") else X_test
    final = getattr(estimator, "estimator_", estimator)
    return getattr(final, "regressor_", final), dense(X), dense(X_test)


def _of_unique_predictions(oracle):
    """The oracle of least squares in independent columns; None where there is none.

    The predictions of least squares are unique whatever the columns, for rows in which the columns
    depend on each other as they do in training: other rows are refused.
    """
    spec, objective = oracle.spec, oracle.objective
    live = np.flatnonzero(oracle.w > 0)
    if type(spec.loss) is not Squared or is_penalised(objective) or not len(live):
        return None
    kept = [k for k in independent(objective.Z[live]) if k < spec.X.shape[1]]
    if not kept and not spec.intercept:
        return None
    columns = {"X": spec.X[:, kept], "X_test": spec.X_test[:, kept]}
    return Oracle(replace(spec, **columns, damping=0.0, origin=None))


def _refusals(problem, view, data, tally):
    """Where there is no optimum, no number is one."""
    judge = Judge(problem, tally)
    for method in METHODS:
        question = f"influence {method} without an optimum"
        answer = ask(lambda m=method: view.influence(data.X_test, data.y_test, method=m))
        if judge.answered(question, answer):
            numbers = np.asarray(answer.value)
            idle = data.row_weights == 0
            numbers = numbers[:, ~idle]
            if not np.isnan(numbers).all() and not answer.is_announced:
                tally.find("undefined", question, f"{float(np.nanmax(np.abs(numbers))):.3g}")
    answer = ask(lambda: view.loo_estimate())
    judge.answered("loo_estimate without an optimum", answer)


def _views(problem, estimator, data, questions):
    """explain(model) and a Pipeline of one step say what the model says, answer or error."""
    method = METHODS[problem.seed % 4]
    wrapped = [("explain", lambda: explain(estimator))]
    weights = {} if data.weights is None else {"last__sample_weight": data.weights}
    model = MODELS[problem.model]

    def piped():
        steps = [("same", FunctionTransformer(accept_sparse=True)), ("last", model.own(problem))]
        return explain(Pipeline(steps).fit(data.X, data.y, **weights))

    wrapped.append(("pipeline", piped))
    asked = [
        ("influence", lambda view: view.influence(data.X_test, data.y_test, method=method)),
        ("self_influence", lambda view: view.self_influence(method=method)),
        ("loo_estimate", lambda view: view.loo_estimate(method=method).decision_function),
        ("parameter_influence", lambda view: view.parameter_influence(method=method).coef),
    ]
    for label, function in asked:
        own = ask(lambda function=function: function(estimator))
        for name, make in wrapped:
            question = f"views {label} {method} {name}"
            other = ask(lambda function=function, make=make: function(make()))
            if (own.error is None) != (other.error is None) or (
                own.error is not None
                and (type(own.error) is not type(other.error) or str(own.error) != str(other.error))
            ):
                left, right = (
                    "an answer" if a.error is None else f"{type(a.error).__name__}: {a.error}"
                    for a in (own, other)
                )
                questions.tally.find("unlike", question, f"{left[:120]} | {right[:120]}")
            elif own.error is None:
                # A curvature kept from another question may be in another representation.
                values = [np.asarray(answer.value) for answer in (other, own)]
                if label == "loo_estimate" and questions.oracle.objective.gauge.any():
                    values = [value - value.mean(axis=1, keepdims=True) for value in values]
                size = np.abs(np.nan_to_num(values[1])).max(initial=0.0)
                questions._same(question, *values, size, tolerance=1e-6)


def minimal(problem, kind, question):
    """The smallest settings that still show a finding of this kind at this question."""

    def fails(candidate):
        try:
            found = run(candidate).findings
        except Exception:
            return False
        word = question.split()[0]
        return any(f.kind == kind and f.question.split()[0] == word for f in found)

    changed = True
    while changed:
        changed = False
        for candidate in _simpler(problem):
            if fails(candidate):
                problem, changed = candidate, True
                break
    return problem


# What a problem is shrunk to, thing by thing.
PLAIN = {
    "storage": "C",
    "through": "model",
    "curvature": "auto",
    "damping": 0.0,
    "weights": "none",
    "scale": "one",
    "shift": 0.0,
    "y_scale": 1.0,
    "y_shift": 0.0,
    "labels": "int",
    "data": "normal",
}


def _simpler(problem):
    """Settings with one thing less, the largest steps first."""
    model = MODELS[problem.model]
    for name, value in PLAIN.items():
        needed = name == "through" and model.own is None
        if getattr(problem, name) != value and not needed:
            yield problem.but(**{name: value})
    if problem.weights not in ("none", "uniform"):
        yield problem.but(weights="uniform")
    if "class_weight" in problem.settings:
        yield problem.but(
            options=tuple(item for item in problem.options if item[0] != "class_weight")
        )
    yield from _smaller(problem, 2 if model.is_classifier else 1)


def _smaller(problem, least):
    """Settings of less data; a classifier has at least two classes."""
    if problem.outputs > least:
        yield problem.but(outputs=least)
    for n in (3, 4, 6, problem.n // 2, problem.n - 1):
        if 1 <= n < problem.n:
            yield problem.but(n=n)
    for p in (1, problem.p // 2, problem.p - 1):
        if 1 <= p < problem.p:
            yield problem.but(p=p)
    if problem.m > 1:
        yield problem.but(m=1)
    if problem.strength not in (0.0, 1.0, np.inf):
        yield problem.but(strength=1.0)
    if problem.shift > 1e3:
        yield problem.but(shift=problem.shift / 10)


def summary(tallies):
    """Counts over tallies."""
    total = Counter()
    for tally in tallies:
        total.update(tally.counts)
    return total


__all__ = ["build", "make_pipeline", "minimal", "replace", "run", "summary"]
