"""Changes of the training data other than removals, as the deletion room takes them."""

from dataclasses import replace

import numpy as np

from skinfluence._validation import as_index, naming, shown
from skinfluence.deletion import (
    Entering,
    JointChange,
    causes,
    change_rows,
    needs_curvature,
    same_labels,
    warn_undefined,
)
from skinfluence.problem._curvatures import CurvatureCache


def encoded_weight(problem, y, sample_weight):
    """Weights of rows with encoded labels in the objective, class weights multiplied in."""
    return problem.objective.weights_as_fitted(y, sample_weight, problem.sample_weight)


def relabelling(problem, labels, rows, name="labels"):
    """Return the rows with other labels, an Entering; raise for labels the model does not know.

    Parameters
    ----------
    problem : FittedProblem
    labels : array-like of shape (r,)
        As the caller has them.
    rows : ndarray of int, shape (r,)
    name : str
        What an error calls them.
    """
    if not np.ndim(labels):
        raise ValueError(
            f"{name} should hold one label for each of the {len(rows)} training rows asked about; "
            f"got {shown(labels)}. For one label for all pass np.full({len(rows)}, "
            f"{shown(labels)})."
        )
    y = problem.adapted.encode(labels, name)
    if len(y) != len(rows):
        raise ValueError(
            f"{name} should hold one label for each of the {len(rows)} training rows asked about; "
            f"got {len(y)}."
        )
    # Of a label that stays the weight is the same number, to the last digit.
    weight = np.where(
        same_labels(problem.objective.y[rows], y),
        problem.objective.sample_weight[rows],
        encoded_weight(problem, y, problem.sample_weight[rows]),
    )
    return Entering(rows, y, weight)


def extended(problem, X, y):
    """Return the problem with further rows of weight 0 behind its own, for rows that enter.

    Parameters
    ----------
    problem : FittedProblem
    X : {array-like, sparse matrix, data frame} of shape (m, n_features)
        As a caller has them: they go through the steps of a pipeline.
    y : ndarray of shape (m,)
        Encoded labels.
    """
    with naming("X_new"):
        X = problem.transform(X)
    return with_features(problem, X, y)


def with_features(problem, X, y):
    """As :func:`extended`, for rows (m, p) in the features of the model itself."""
    space, record = problem.record.data.space, problem.record
    if space is None:
        rows = problem.design_of(X, "X_new")
    else:
        space = space.extended(X)
        features = space.features.features[problem.objective.n_rows :]
        rows = problem.objective.design.like(features)
        record = replace(record, data=replace(record.data, space=space))
    return replace(
        problem,
        objective=problem.objective.with_rows(rows, y),
        record=record,
        curvatures=CurvatureCache(),
    )


def features_of(problem, rows):
    """Features (r, p) of training rows, in the storage of X, before a kernel.

    Raises
    ------
    NotImplementedError
        Under a precomputed kernel, which has none.
    """
    data = problem.record.data
    if data.space is None:
        return data.X[rows]
    if data.space.rows is None:
        raise NotImplementedError(
            "kernel='precomputed' says nothing of the features of the rows. Fit with a kernel by "
            "name, or a callable."
        )
    return data.space.rows[rows]


def reweighting(problem, sample_weight):
    """Return (rows, deltas) of joint changes to other weights (m, n), times class weights."""
    objective, fitted = problem.objective, problem.sample_weight
    groups, deltas = [], []
    for weight in sample_weight:
        wanted = objective.weights_as_fitted(objective.y, weight, fitted)
        # Of a weight that stays the number is the same, to the last digit.
        change = np.where(weight == fitted, 0.0, wanted - objective.sample_weight)
        groups.append(np.flatnonzero(change))
        deltas.append(change[groups[-1]])
    return groups, deltas


def joint_changes(problem, groups, deltas, method, *, curvature="auto", damping=0.0, progress=None):
    """Return the JointChange of sets of rows by changes of their weights; warn of undefined ones.

    Parameters
    ----------
    problem : FittedProblem
    groups, deltas : lists of ndarray
        As of :func:`reweighting`.
    method, curvature, damping, progress
        As in the influence methods.
    """
    objective, damping = problem.objective, problem.check_method(method, damping)
    if method == "auto" and damping > 0:
        method = "newton"  # a refit has no damping
    problem.check_data()
    made = None
    if needs_curvature(objective, method):
        made = problem.curvature(curvature, damping, sum(map(len, groups)) * objective.n_outputs)
    found = JointChange(objective, made, method, groups, deltas, progress=progress)
    undefined = np.flatnonzero(found.undefined)
    after = map(found.changed, undefined)
    warn_undefined(undefined, causes(objective, after), "reweighting", "after")
    return found


def row_changes(
    problem,
    rows,
    entering,
    method,
    *,
    is_rough=True,
    what="change of row",
    first_row=0,
    names=None,
    n_test=0,
    curvature="auto",
    damping=0.0,
    progress=None,
):
    """Return the Deletion of rows in whose place others enter; warn of undefined changes.

    Parameters
    ----------
    problem : FittedProblem
        Of which the rows are; see :func:`extended` for rows that are not yet among its own.
    rows : ndarray of int, shape (r,)
    entering : Entering
    method : {"auto", "first_order", "newton", "exact"}
    is_rough : bool
        Whether one step is a poor estimate of these changes.
    what : str
        What a warning calls a change.
    first_row : int
        Position that it calls 0.
    names : ndarray of shape (r,), optional
        Names of the changes in a warning; those of the rows by default.
    n_test : int
        Test rows that it will be read at.
    curvature, damping, progress
        As in the influence methods.
    """
    objective = problem.objective
    damping = problem.check_method(method, damping)
    if method == "auto" and damping > 0:
        method = "newton"  # a refit has no damping
    made = None
    kinked = objective.trained_loss.is_piecewise_linear
    if not (kinked and method == "exact"):
        n_solves = (n_test + 2 * len(rows)) * objective.n_outputs
        made = problem.curvature(curvature, damping, n_solves)
    rows = as_index(rows, objective.n_rows)
    found = change_rows(
        objective,
        made,
        method,
        rows,
        entering,
        is_rough=is_rough,
        n_test=n_test,
        progress=progress,
    )
    undefined = np.flatnonzero(found.undefined)
    each = (entering.take(np.array([k])) for k in undefined)
    after = (
        objective.changed(rows[[k]], one.rows, one.y, one.weight)
        for k, one in zip(undefined, each, strict=True)
    )
    if names is None:
        names = problem.row_names[rows] if not first_row else rows - first_row
    warn_undefined(names[undefined], causes(objective, after), what, "after the")
    return found
