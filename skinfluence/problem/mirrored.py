"""First-order influence of rows that come in blocks, which need not be those of the fit."""

from collections.abc import Iterable

import numpy as np

from skinfluence._validation import check_sample_weight, shown
from skinfluence.attribution import MirroredQuery
from skinfluence.robustness import class_weights, row_factors


def mirrored(problem, X_test, y_test, stream, target):
    """Return first-order influence (n_test, n_stream) of a stream's rows on a target at test rows.

    Parameters
    ----------
    problem : FittedProblem
    X_test, y_test, target
        As in the influence methods.
    stream : iterable of (X, y) or (X, y, sample_weight)
    """
    objective = problem.objective
    if not objective.is_at_its_own_optimum:
        raise NotImplementedError(
            "mirrored_influence() needs the gradient of every row at the optimum of its own loss; "
            "this model was trained by a hinge. Fit it with loss='smooth_hinge'."
        )
    if not isinstance(stream, Iterable):
        raise TypeError(
            f"stream should be an iterable of blocks (X, y) of training rows; got {shown(stream)}."
        )
    query = problem.query(X_test, y_test, target, "first_order")
    n_solves = len(query) * query.target.n_outputs
    asked = MirroredQuery(objective, problem.curvature(n_solves=n_solves), query)
    factors = class_weights(objective, problem.sample_weight)
    found = []
    for number, block in enumerate(stream):
        if not isinstance(block, tuple | list) or len(block) not in (2, 3):
            raise ValueError(
                "stream should yield blocks (X, y) or (X, y, sample_weight); block "
                f"{number} is a {type(block).__name__}."
            )
        X, y, weight = (*block, None)[:3]
        design = problem.design_of(problem.transform(X), "stream")
        codes = problem.adapted.encode(y, f"y of block {number}")
        if len(codes) != design.shape[0]:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X of block "
                f"{number} has {design.shape[0]} rows, y {len(codes)}."
            )
        weight = check_sample_weight(weight, len(codes)) * row_factors(factors, codes)
        found.append(asked.at(design, codes, weight))
    if not found:
        raise ValueError("stream has no block. Pass an iterable of (X, y).")
    return np.concatenate(found, axis=1)
