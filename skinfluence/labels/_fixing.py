"""What a corrected label is worth: the change of a loss if a row had another label."""

import numpy as np

from skinfluence.objective import Objective
from skinfluence.optimum import polish


def class_weights(problem, codes):
    """Class weight of each class (K,), as the fit had it; 1 where no row of it has a weight."""
    own, given = problem.objective.sample_weight, problem.sample_weight
    weights = np.ones(len(problem.classes))
    for code in range(len(weights)):
        rows = np.flatnonzero((codes == code) & (given > 0))
        if len(rows):
            weights[code] = own[rows[0]] / given[rows[0]]
    return weights


def relabelling_effects(problem, rows, labels, codes, new_codes, query):
    """Change of a mean loss if one row each had another label, by refits: (r,).

    Parameters
    ----------
    problem : FittedProblem
    rows : ndarray of int, shape (r,)
    labels : ndarray of shape (r,)
        New label of each, as the caller has them.
    codes : ndarray of int, shape (n,)
        Given labels.
    new_codes : ndarray of int, shape (r,)
    query : Query or None
        The loss of validation rows; without it that of the other training rows, as labelled.

    Returns
    -------
    ndarray of shape (r,)
        After minus before; NaN where the change takes the last row of a class.
    """
    objective = problem.objective
    encoded = problem.adapted.encode(labels, "labels")
    factor = class_weights(problem, codes)
    size = np.bincount(codes, weights=problem.sample_weight > 0, minlength=len(factor))
    read = _mean_loss(problem, query)
    effects = np.full(len(rows), np.nan)
    for position, row in enumerate(rows):
        old, new = codes[row], new_codes[position]
        if size[old] <= 1 and problem.sample_weight[row] > 0 and old != new:
            continue
        y, weight = objective.y.copy(), objective.sample_weight.copy()
        y[row] = encoded[position]
        weight[row] *= factor[new] / factor[old]
        optimum = polish(_relabelled(objective, y, weight))
        if optimum.is_settled:
            effects[position] = read(optimum.objective.theta, row)
    return effects


def _relabelled(objective, y, weight):
    """Objective of the same rows with other labels and weights, at the same parameter."""
    return Objective(
        objective.loss,
        objective.design,
        y,
        weight,
        objective.fixed_penalty,
        objective.theta,
        row_penalty=objective.row_penalty,
    )


def _mean_loss(problem, query):
    """Return a function of (theta, row): change of the mean loss that is asked about."""
    objective = problem.objective
    if query is not None:
        before = query.target.value(query.y, objective.native(query.eta)).mean()

        def at_validation(theta, row):
            eta = objective.native(query.design @ theta.T)
            return query.target.value(query.y, eta).mean() - before

        return at_validation
    own, weight = objective.row_losses, problem.sample_weight

    def at_others(theta, row):
        others = weight.copy()
        others[row] = 0.0
        eta = objective.native(objective.design @ theta.T)
        return np.average(objective.loss.value(objective.y, eta) - own, weights=others)

    return at_others
