"""What a corrected label is worth: the change of a loss if a row had another label."""

import warnings

import numpy as np

from skinfluence import attribution
from skinfluence._parallel import row_blocks
from skinfluence.problem import changes


def relabelling_effects(problem, rows, labels, query):
    """Change of a mean loss if one row each had another label, by refits: (r,).

    Parameters
    ----------
    problem : FittedProblem
    rows : ndarray of int, shape (r,)
    labels : ndarray of shape (r,)
        New label of each, as the caller has them.
    query : Query or None
        The loss of validation rows; without it that of the other training rows, as labelled.

    Returns
    -------
    ndarray of shape (r,)
        After minus before; NaN where the change takes the last row of a class.
    """
    effects = np.full(len(rows), np.nan)
    for part in row_blocks(len(rows), 8 * 4 * problem.objective.n_rows * len(problem.classes)):
        some = rows[part]
        entering = changes.relabelling(problem, labels[part], some)
        with warnings.catch_warnings():  # NaN says it, in the row's own line
            warnings.simplefilter("ignore", RuntimeWarning)
            deletion = changes.row_changes(problem, some, entering, "exact")
        if query is not None:
            effects[part] = attribution.influence(deletion, query, "mean", linearised=False)
            continue
        change = attribution.influence(deletion, problem.own_query(), linearised=False)
        others = np.repeat(problem.sample_weight[:, None], len(some), axis=1)
        others[some, np.arange(len(some))] = 0.0
        effects[part] = (others * change).sum(axis=0) / others.sum(axis=0)
    return effects
