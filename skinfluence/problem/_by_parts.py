"""Answers about every row of very many, part by part: no vector of all rows but the answer."""

import numpy as np

from skinfluence.attribution import Query, self_influence
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import OneStep, dominant_rows, warn_dominant
from skinfluence.existence import is_unpenalised, last_of_a_class, rows_of_classes
from skinfluence.objective import parts_of

# Rows in memory from which their answers are found part by part.
MANY_ROWS = 2**18
# Float64 values of a part: its vectors stay in a cache, and its calls are few beside its flops.
PART_VALUES, FEWEST_ROWS = 2**21, 1024


def has_many_rows(problem):
    """Whether the vectors of all rows are worth doing without."""
    return problem.record.data.is_in_blocks or problem.objective.n_rows >= MANY_ROWS


def goes_by_parts(problem, method, curvature):
    """Whether one step of every row is found part by part: by leverages and residuals alone.

    Not where undefined rows are found by the steps of all rows together.
    """
    objective = problem.objective
    return (
        has_many_rows(problem)
        and method in ("first_order", "newton")
        and isinstance(curvature, DenseCurvature)
        and objective.is_at_its_own_optimum
        and not is_unpenalised(objective)
        and not objective.penalty.is_kinked
    )


def steps_by_parts(problem, method, curvature, n_rows=None):
    """Yield (slice of rows, function that makes the OneStep of their deletions), part by part.

    The function is to be called before the next part is asked for.

    Parameters
    ----------
    problem : FittedProblem
    method : {"first_order", "newton"}
    curvature : Curvature
        Of all rows.
    n_rows : int, optional
        Of a part.
    """
    objective, corrected = problem.objective, method == "newton"
    classes = rows_of_classes(objective)
    if n_rows is None:
        n_rows = max(FEWEST_ROWS, PART_VALUES // objective.n_parameters)
    for rows, part in parts_of(objective, n_rows):

        def step(rows=rows, part=part):
            """The deletions of the rows of a part."""
            return OneStep(
                part,
                curvature,
                np.arange(part.n_rows),
                corrected=corrected,
                leverage=curvature.leverage_of_part(part, rows),
                final=corrected,
                last=last_of_a_class(part, classes),
            )

        yield rows, step


def self_influence_by_parts(problem, target, method, curvature):
    """Influence of each row on a target at itself, (n,) or (n, O); warn of undefined rows."""
    target, objective = problem.target(target, method), problem.objective
    shape = (objective.n_rows, target.n_outputs)[: 1 + (target.n_outputs > 1)]
    values, undefined, dominant = np.empty(shape), [], []
    for rows, make in steps_by_parts(problem, method, curvature):
        step = make()
        part = step.objective
        y = part.y if target.uses_encoded_labels else problem.adapted.labels(part.y)
        query = Query(part.design, y, part.eta, target)
        values[rows] = self_influence(step, query, linearised=method == "first_order")
        undefined.append(rows.start + np.flatnonzero(step.undefined))
        if method == "newton" and objective.loss.has_dominant_rows:
            dominant.append(rows.start + dominant_rows(part, step.rows, step.row_leverages))
    for found, say in (
        (np.concatenate(undefined), problem.warn_undefined),
        (np.concatenate(dominant or [[]]), lambda rows: warn_dominant(problem.row_names[rows])),
    ):
        if len(found):
            say(found)
    return values
