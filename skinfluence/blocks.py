"""Rows in blocks: data that need not fit in memory, and several answers by one pass over them."""

from collections.abc import Callable
from typing import Any

from skinfluence._frames import row_names
from skinfluence._sources import RowBlocks, as_blocks
from skinfluence._validation import check_aggregate, check_choice, shown
from skinfluence.problem import fitted_problem
from skinfluence.problem.one_pass import (
    LargestInfluences,
    OwnInfluence,
    OwnPrediction,
    RowValues,
    TestInfluence,
    read_in_one_pass,
)
from skinfluence.results import MostInfluential

__all__ = ["RowBlocks", "as_blocks", "in_one_pass"]

# Questions that are read from the steps of the rows, and those of the predictors and leverages of
# all rows: these are the methods themselves, which find both at hand.
OF_STEPS = {
    "self_influence": {"target"},
    "influence": {"X_test", "y_test", "target", "aggregate", "test_sample_weight"},
    "most_influential": {"X_test", "y_test", "target", "k"},
    "loo_estimate": {"scoring"},
}
OF_ROWS = ("case_deletion_diagnostics",)
STEPS = ("newton", "first_order")


def in_one_pass(
    model: Any,
    questions: dict[str, dict | list[dict]],
    *,
    method: str = "newton",
    progress: Callable | None = None,
) -> dict[str, Any]:
    """Answer several questions by one pass over the training rows.

    Each question by itself is a pass, or two. Here every block of rows is read once, the leverages
    of its rows are computed once, and all questions are answered from these.

    Parameters
    ----------
    model : estimator
        Fitted, with the influence methods.
    questions : dict
        Names of methods and the arguments of their calls, a list of these for several calls:
        "self_influence", "influence", "most_influential", "loo_estimate" and
        "case_deletion_diagnostics".
    method : {"newton", "first_order"}, default="newton"
        One step for every row, see :meth:`InfluenceExplainer.influence`. Diagnostics are those of
        "newton".
    progress : callable, optional
        Wraps the iteration over parts of the rows, such as `tqdm.auto.tqdm`.

    Returns
    -------
    dict
        What each method returns, by its name; a list for a list.

    Raises
    ------
    ValueError
        For other questions and arguments, and as the methods themselves.
    numpy.linalg.LinAlgError, RuntimeError
        As the methods.

    Notes
    -----
    The diagnostics of models whose penalty is relative to the mean loss (Poisson, gamma, Tweedie)
    take further passes, and so do DFBETA and the errors of estimates where they are asked for.
    Models without a penalty, and what has no dense curvature, are answered in several passes, with
    the same numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.blocks import as_blocks, in_one_pass
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=50))
    >>> asked = {"X_test": X[:2], "y_test": y[:2]}
    >>> answers = in_one_pass(clf, {"most_influential": asked, "self_influence": {}})
    >>> answers["most_influential"].helpful_indices.shape, answers["self_influence"].shape
    ((2, 10), (150,))
    """
    check_choice("method", method, STEPS)
    calls = [(name, call) for name, given in _checked(questions).items() for call in _calls(given)]
    problem = fitted_problem(model)
    objective = problem.objective
    curvature = problem.deletion_curvature(
        method, "auto", 0.0, objective.n_rows * objective.n_outputs
    )
    readers = [
        _reader(problem, method, name, **call) if name in OF_STEPS else None for name, call in calls
    ]
    values = None
    if any(name in OF_ROWS for name, _ in calls):
        values = RowValues(problem, curvature)
    read = [reader for reader in (*readers, values) if reader is not None]
    read_in_one_pass(problem, method, curvature, read, progress)
    if values is not None:
        model.__keep_problem__(values.result)
    found = [
        getattr(model, name)(**call) if reader is None else _answer(model, problem, reader, call)
        for reader, (name, call) in zip(readers, calls, strict=True)
    ]
    found = iter(found)
    return {
        name: [next(found) for _ in given] if isinstance(given, list) else next(found)
        for name, given in questions.items()
    }


def _checked(questions):
    """Return the questions; raise for others than are known."""
    if not (isinstance(questions, dict) and questions):
        raise ValueError(
            "questions should be a dict of names of methods and their arguments, such as "
            f"{{'self_influence': {{}}}}; got {shown(questions)}."
        )
    for name, given in questions.items():
        check_choice("a question", name, (*OF_STEPS, *OF_ROWS))
        for call in _calls(given):
            _check_call(name, call)
    return questions


def _check_call(name, call):
    """Raise for arguments that a question has not, or lacks."""
    if not isinstance(call, dict):
        raise ValueError(f"the arguments of {name} should be a dict; got {shown(call)}.")
    known = OF_STEPS.get(name)
    if known is None:
        return
    unknown = sorted(set(call) - known)
    if unknown:
        raise ValueError(
            f"{name} takes {', '.join(sorted(known))} here; got {unknown[0]}. Ask for it by a call "
            "of the method, which is a pass of its own."
        )
    if "X_test" in known and "X_test" not in call:
        raise ValueError(f"{name} needs X_test, the test rows.")


def _calls(given):
    """Arguments of each call."""
    return given if isinstance(given, list) else [given]


def _reader(problem, method, name, **given):
    """What reads the answer to a question."""
    if name == "self_influence":
        return OwnInfluence(problem, method, **given)
    if name == "loo_estimate":
        return OwnPrediction(problem, method)
    X, y = given.pop("X_test"), given.pop("y_test", None)
    target, weight = given.pop("target", "loss"), given.pop("test_sample_weight", None)
    if name == "influence":
        aggregate = given.pop("aggregate", None)
        check_aggregate(aggregate, weight)
    query = problem.query(X, y, target, method, weight)
    if name == "influence":
        return TestInfluence(problem, method, query, aggregate, **given)
    return LargestInfluences(problem, method, query, given.pop("k", 10), **given)


def _answer(model, problem, reader, call):
    """What a method returns, of what was read."""
    if isinstance(reader, OwnPrediction):
        scoring = call.get("scoring")
        rows = model.__scored_rows__() if callable(scoring) else None
        return problem.estimate(reader.result, scoring, rows)
    if not isinstance(reader, LargestInfluences):
        return reader.result
    return MostInfluential.of_extremes(
        reader.result,
        reader.query.target.greater_is_better,
        info=reader.info,
        row_names=problem.row_names,
        test_names=row_names(call["X_test"]),
    )
