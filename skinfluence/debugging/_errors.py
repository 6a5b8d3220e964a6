"""The training rows behind a model's errors, and which of their features carry the influence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, Result, data_frame, row_names, take_rows
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_choice, check_same_length, naming, shown
from skinfluence.debugging._groups import GroupShares, group_shares
from skinfluence.functions import explain
from skinfluence.perturbation import MovableRows
from skinfluence.problem import changes, fitted_problem
from skinfluence.results import MostInfluential

# Share of a regressor's test rows that count as errors: those of the largest loss.
LARGEST = 0.1


@dataclass(frozen=True)
class ErrorExplanation(Result):
    """The training rows behind a model's errors on some test rows, and their features.

    Attributes
    ----------
    errors : ndarray of int, shape (e,)
        Positions of the misclassified test rows; of a regressor those of the largest losses.
    expected, predicted : ndarray of shape (e,)
        Their labels or responses, and what the model predicts.
    most_influential : MostInfluential
        The k most helpful and most harmful training rows of each error.
    influence : ndarray of shape (n_train,)
        Mean change of the errors' losses if a training row were removed: negative where the row is
        harmful. NaN where it is undefined.
    indices : ndarray of int, shape (2 k,)
        Training rows of the largest mean influence: the k most harmful ones, the most harmful
        first, then the k most helpful ones.
    gradients : ndarray of shape (2 k, p) or None
        Gradient of the errors' mean loss in the features of these rows; None where the kernel has
        no gradient that is known.
    contributions : ndarray of shape (2 k, p) or None
        The features of these rows times the gradients: how much of the mean loss each entry of a
        row carries to first order. Unlike a gradient it does not depend on a feature's unit.
    feature_names : list of str
        Names of the p features.
    groups : GroupShares or None
        The influence by a column, if one was asked for.
    row_names : ndarray of shape (n_train,)
        Names of the training rows.
    error_names : ndarray of shape (e,)
        Names of the errors.
    """

    errors: np.ndarray
    expected: np.ndarray
    predicted: np.ndarray
    most_influential: MostInfluential
    influence: np.ndarray
    indices: np.ndarray
    gradients: np.ndarray | None
    contributions: np.ndarray | None
    feature_names: list
    groups: GroupShares | None
    row_names: np.ndarray
    error_names: np.ndarray

    @property
    def k(self) -> int:
        """Number of harmful rows, and of helpful ones, that are looked at.

        Returns
        -------
        int
            Half of the length of `indices`.
        """
        return len(self.indices) // 2

    def top_features(self, row: int, k: int = 3) -> list:
        """Return the features of a training row that carry most of its influence.

        Parameters
        ----------
        row : int
            Position of one of the training rows in `indices`.
        k : int, default=3
            How many.

        Returns
        -------
        list of (str, float)
            Names and contributions, the largest in size first.

        Raises
        ------
        ValueError
            If the row is not among `indices`, or the contributions are not known.
        """
        where = np.flatnonzero(self.indices == row)
        if self.contributions is None or not len(where):
            raise ValueError(
                f"the contributions of the features of row {row} are not known; they are of the "
                f"rows {self.indices.tolist()}, where the kernel has a gradient."
            )
        own = self.contributions[where[0]]
        order = np.argsort(-np.abs(own), kind="stable")[:k]
        return [(self.feature_names[j], float(own[j])) for j in order]

    def to_frame(self, k: int = 3) -> DataFrame:
        """Return one line for each of the most harmful and the most helpful training rows.

        Parameters
        ----------
        k : int, default=3
            Features named for each row.

        Returns
        -------
        pandas.DataFrame
            Columns kind, train, influence, and feature 1, contribution 1, ... of the features that
            carry most of it.
        """
        columns: dict[str, Any] = {
            "kind": np.repeat(["harmful", "helpful"], self.k),
            "train": self.row_names[self.indices],
            "influence": self.influence[self.indices],
        }
        if self.contributions is not None:
            found = [self.top_features(row, k) for row in self.indices]
            for rank in range(min(k, len(self.feature_names))):
                columns[f"feature {rank + 1}"] = [each[rank][0] for each in found]
                columns[f"contribution {rank + 1}"] = [each[rank][1] for each in found]
        return data_frame(columns)

    def __repr__(self):
        """Counts, the first rows of either kind with their first features, and the groups."""
        lines = [
            f"ErrorExplanation of {len(self.errors)} error{'s' if len(self.errors) > 1 else ''}"
        ]
        for kind, rows in (
            ("harmful", self.indices[: self.k]),
            ("helpful", self.indices[self.k :]),
        ):
            for row in rows[:3]:
                line = f"  {kind}  row {self.row_names[row]}: {self.influence[row]:+.3g}"
                if self.contributions is not None:
                    name, value = self.top_features(row, 1)[0]
                    line += f", by {name} ({value:+.3g})"
                lines.append(line)
        if self.groups is not None:
            lines += [f"  {line}" for line in repr(self.groups).splitlines()]
        return "\n".join(lines)


def explain_errors(
    estimator: BaseEstimator,
    X_test: MatrixLike,
    y_test: ArrayLike,
    *,
    X_train: MatrixLike | None = None,
    by: Any = None,
    bins: int = 4,
    k: int = 10,
    features: str = "model",
    method: str = "auto",
) -> ErrorExplanation:
    """Find the training rows behind a model's errors, and which of their features carry it.

    Parameters
    ----------
    estimator : estimator
        Fitted, with the influence methods, or a Pipeline as in :func:`skinfluence.explain`.
    X_test, y_test : array-like
        Test rows and their labels or responses. Of a classifier the misclassified ones are
        explained, of a regressor the tenth with the largest losses.
    X_train : {array-like, sparse matrix, data frame} of shape (n_train, n_columns), optional
        The training rows as they were before any step, for `by` and ``features="input"``: a
        Pipeline's last step keeps the transformed ones alone. They are in the order of fit, which
        the index of a data frame is compared with where fit has seen one.
    by : str, int or array-like of shape (n_train,), optional
        Column of `X_train`, or values of the training rows, by which the influence is summed up.
        Without `X_train` a column is one of the model's own features.
    bins : int, default=4
        Groups that a column of more different numbers is cut into, at quantiles.
    k : int, default=10
        Rows of each kind.
    features : {"model", "input"}, default="model"
        As in :meth:`skinfluence.InfluenceExplainer.feature_influence`.
    method : {"auto", "first_order", "newton", "exact"}, default="auto"
        As in :meth:`skinfluence.InfluenceExplainer.influence`, for the removal of rows.

    Returns
    -------
    ErrorExplanation
        Rows, features and groups.

    Raises
    ------
    ValueError
        If there is no error, `by` is no column, or has another length; and for an index of
        `X_train` or `by` that is not that of the rows of fit.
    TypeError, NotImplementedError, numpy.linalg.LinAlgError, RuntimeError
        As the influence methods.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.debugging import explain_errors
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceLogisticRegression(C=0.1).fit(X[::2], y[::2])
    >>> found = explain_errors(clf, X[1::2], y[1::2], by=2, k=3)
    >>> len(found.errors), found.contributions.shape
    (3, (6, 4))
    """
    check_choice("features", features, ("model", "input"))
    model = estimator if hasattr(estimator, "__fitted_problem__") else explain(estimator)
    problem = fitted_problem(model)
    _check_count("bins", bins, 2)
    _check_count("k", k, 1, problem.objective.n_rows)
    for argument, table in (("X_train", X_train), ("by", by)):
        problem.check_row_names(table, argument)
    column = None if by is None else _column(problem, by, X_train)
    expected = _labels(problem, y_test, X_test)
    with naming("X_test"):
        predicted = np.asarray(model.predict(X_test))
    errors = _errors(problem, X_test, expected, predicted)
    wrong, labels = take_rows(X_test, errors), expected[errors]
    influence = model.influence(wrong, labels, method=method, aggregate="mean")
    known = np.where(np.isnan(influence), 0.0, influence)
    order = np.argsort(known, kind="stable")
    indices = np.concatenate([order[:k], order[::-1][:k]])
    names = row_names(X_test)
    gradients, contributions, feature_names = _carried(
        model, problem, wrong, labels, indices, features, X_train
    )
    return ErrorExplanation(
        errors,
        labels,
        predicted[errors],
        model.most_influential(wrong, labels, k=k, method=method),
        influence,
        indices,
        gradients,
        contributions,
        feature_names,
        None if column is None else group_shares(column[0], column[1], influence, bins),
        problem.row_names,
        errors if names is None else names[errors],
    )


def _labels(problem, y_test, X_test):
    """Return the labels of test rows as an array, one a row; raise for others."""
    y_test = np.asarray(y_test)
    if problem.classes is not None:
        if y_test.ndim not in (1, 2) or y_test.shape[1:] not in ((), (1,)):
            raise ValueError(f"y_test should have shape (n_test,); got {y_test.shape}.")
        y_test = y_test.ravel()
    check_same_length(X_test=X_test, y_test=y_test)
    return y_test


def _check_count(name, value, least, most=None):
    """Raise unless `value` is an integer in a range."""
    good = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not good or value < least or (most is not None and value > most):
        to = "" if most is None else f" and at most {most}"
        raise ValueError(
            f"{name} should be an integer of at least {least}{to}; got {shown(value)}."
        )


def _errors(problem, X_test, y_test, predicted):
    """Positions of the test rows that are explained; raise where there are none."""
    if problem.classes is not None:
        errors = np.flatnonzero(predicted != y_test)
        if not len(errors):
            raise ValueError(
                f"the model classifies all {len(y_test)} test rows correctly: there is no error to "
                "explain. Pass other rows."
            )
        return errors
    query = problem.query(X_test, y_test, "loss", "newton")
    loss = query.target.value(query.y, problem.objective.native(query.eta))
    count = int(np.ceil(LARGEST * len(loss)))
    return np.sort(np.argsort(-loss, kind="stable")[:count])


def _carried(model, problem, wrong, labels, rows, features, X_train):
    """Gradients of the errors' mean loss in rows' features, contributions, names of features."""
    asked = {"features": features, "train_indices": rows, "aggregate": "mean"}
    try:
        gradients = model.feature_influence(wrong, labels, X_train=X_train, **asked)
    except NotImplementedError:
        if features == "input":
            raise
        return None, None, []
    if features == "input":
        values = _values(X_train, rows) if X_train is not None else None
        names = getattr(model, "feature_names_in_", None)
        if values is None:
            raise ValueError("X_train is None, but features='input' needs the rows of fit.")
    else:
        values = changes.features_of(problem, rows)
        values = values.toarray() if hasattr(values, "toarray") else values
        if problem.dependence is not None:
            values = values[:, problem.dependence.kept[: gradients.shape[1]]]
        names = problem.feature_names
    p = gradients.shape[1]
    names = [f"x{j}" for j in range(p)] if names is None else list(names)
    return gradients, gradients * np.asarray(values, dtype=np.float64), names


def _values(X, rows):
    """Numbers of some rows of a caller's X, dense; 0 where a column holds none."""
    X = take_rows(X, rows)
    rows = MovableRows(X.toarray() if hasattr(X, "toarray") else X, "X_train")
    return np.where(rows.is_number, rows.values, 0.0)


def _column(problem, by, X_train):
    """(name, values (n_train,)) of what the influence is summed up by."""
    n = problem.objective.n_rows
    if isinstance(by, str | int | np.integer) and not isinstance(by, bool):
        return _named(problem, by, X_train, n)
    # Among strings NaN would become the string "nan": a list keeps its objects.
    values = np.asarray(by, dtype=None if hasattr(by, "dtype") else object)
    if values.shape != (n,):
        raise ValueError(
            f"by should be a column of X_train or hold one value for each of the {n} training "
            f"rows; got shape {values.shape}."
        )
    return str(getattr(by, "name", None) or "value"), values


def _named(problem, by, X_train, n):
    """(name, values) of a column of X_train, or of the model's features, by name or position."""
    X = changes.features_of(problem, slice(None)) if X_train is None else X_train
    X = X if hasattr(X, "shape") else np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"X_train should be a table of rows and columns; got shape {X.shape}.")
    if X.shape[0] != n:
        raise ValueError(f"X_train should have the {n} rows of fit; got {X.shape[0]}.")
    p = X.shape[1]
    is_frame = hasattr(X, "iloc")
    names = list(X.columns) if is_frame else [f"x{j}" for j in range(p)]
    names = problem.feature_names if X_train is None else names
    if by in names:
        position = names.index(by)
    elif isinstance(by, str) or not -p <= by < p:
        raise ValueError(
            f"by={shown(by)} is no column of X_train: {names}."
            if X_train is not None
            else f"by={shown(by)} is no column that is known here. Pass X_train, a data frame with "
            "that column, or the values themselves."
        )
    else:
        position = int(by) % p
    if is_frame:
        return str(names[position]), X.iloc[:, position].to_numpy()
    values = X[:, [position]]
    values = values.toarray() if hasattr(values, "toarray") else values
    return str(names[position]), np.asarray(values)[:, 0]
