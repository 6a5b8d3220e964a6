"""Answers about every row of very many, part by part: no vector of all rows but the answer."""

import numpy as np

from skinfluence.attribution import Query, self_influence
from skinfluence.curvature import DenseCurvature, RowsElsewhere
from skinfluence.deletion import OneStep, dominant_rows, warn_dominant
from skinfluence.existence import is_unpenalised, last_of_a_class
from skinfluence.objective import parts_of

# Rows in memory from which their answers are found part by part.
MANY_ROWS = 2**18
# Float64 values of a part: its vectors stay in a cache, and its calls are few beside its flops.
PART_VALUES, FEWEST_ROWS = 2**19, 1024


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
    objective = problem.objective
    classes = objective.class_counts
    for rows, part in parts_of(objective, _part_rows(objective, n_rows)):

        def step(rows=rows, part=part):
            """The deletions of the rows of a part."""
            return step_of_part(part, rows, curvature, classes, corrected=method == "newton")

        yield rows, step


def count_parts(objective):
    """Return the number of parts of `steps_by_parts`, without a look at the rows."""
    return sum(1 for _ in objective.design.part_slices(_part_rows(objective)))


def _part_rows(objective, n_rows=None):
    """Rows of a part."""
    return max(FEWEST_ROWS, PART_VALUES // objective.n_parameters) if n_rows is None else n_rows


def step_of_part(part, rows, curvature, classes, *, corrected):
    """OneStep of the rows of a part."""
    return OneStep(
        part,
        curvature,
        np.arange(part.n_rows),
        corrected=corrected,
        leverage=curvature.leverage_of_part(part, rows),
        final=corrected,
        last=last_of_a_class(part, classes),
    )


def self_influence_by_parts(problem, target, method, curvature):
    """Influence of each row on a target at itself, (n,) or (n, O); warn of undefined rows."""
    target, objective = problem.target(target, method), problem.objective
    shape = (objective.n_rows, target.n_outputs)[: 1 + (target.n_outputs > 1)]
    values, undefined, dominant = np.empty(shape), [], []
    asked = target, method == "newton", objective.class_counts
    labels = None if target.uses_encoded_labels else problem.adapted.labels
    here = labels is not None  # a function of one's own, that a worker may not know
    told = curvature if here else curvature.without_rows()
    for rows, found in objective.map_blocks(_own_influence, told, *asked, labels, here=here):
        if found is None:
            part = objective.take(rows)
            found = _own_influence(rows.start, part, curvature, *asked, labels)
        values[rows] = found[0]
        undefined.append(rows.start + found[1])
        dominant.append(rows.start + found[2])
    for found, say in (
        (np.concatenate(undefined), problem.warn_undefined),
        (np.concatenate(dominant), lambda rows: warn_dominant(problem.row_names[rows])),
    ):
        if len(found):
            say(found)
    return values


def _own_influence(start, objective, curvature, target, corrected, classes, labels):
    """(Values, undefined rows, dominant rows) of a block; None where it needs the other blocks."""
    shape = (objective.n_rows, target.n_outputs)[: 1 + (target.n_outputs > 1)]
    values, undefined, dominant = np.empty(shape), [], []
    for rows, part in parts_of(objective, _part_rows(objective)):
        try:
            at = slice(start + rows.start, start + rows.stop)
            step = step_of_part(part, at, curvature, classes, corrected=corrected)
        except RowsElsewhere:
            return None
        y = part.y if labels is None else labels(part.y)
        query = Query(part.design, y, part.eta, target)
        values[rows] = self_influence(step, query, linearised=not corrected)
        undefined.append(rows.start + np.flatnonzero(step.undefined))
        own = np.empty(0, dtype=np.intp)
        if corrected and objective.loss.has_dominant_rows:
            own = dominant_rows(part, step.rows, step.row_leverages)
        dominant.append(rows.start + own)
    return values, np.concatenate(undefined), np.concatenate(dominant)
