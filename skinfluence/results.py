"""What methods return when one array is not enough: frozen dataclasses of arrays."""

from dataclasses import dataclass

import numpy as np

from skinfluence._frames import checked_labels, data_frame


@dataclass(frozen=True)
class MostInfluential:
    """The most helpful and the most harmful training rows of each test row.

    Indices are positions in the training data, values are influences (after removal minus before).
    A row is helpful if its removal makes the target worse. Rankings run from the most to the least
    helpful (harmful), ties in training order; where fewer than k rows can be ranked, the index is -1
    and the value NaN.

    Attributes
    ----------
    helpful_indices, harmful_indices : ndarray of int, shape (n_test, k)
        With a class axis last, (n_test, k, n_classes), for targets of one output a class.
    helpful_values, harmful_values : ndarray of float, same shape
    """

    helpful_indices: np.ndarray
    helpful_values: np.ndarray
    harmful_indices: np.ndarray
    harmful_values: np.ndarray

    def to_frame(self, train_labels=None, test_labels=None):
        """Return one line for each test row, kind and rank, as a pandas DataFrame.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            What to call the training rows; positions by default.
        test_labels : array-like of shape (n_test,), optional
            What to call the test rows; positions by default.

        Returns
        -------
        pandas.DataFrame
            Columns test, kind ("helpful" or "harmful"), rank (from 1), train, influence, and class
            where the target has a class axis.

        Raises
        ------
        ValueError
            If the labels do not have the right length.
        """
        n_test = len(self.helpful_indices)
        test = checked_labels(test_labels, n_test, "test_labels")
        kinds = (("helpful", "helpful_indices", "helpful_values"),
                 ("harmful", "harmful_indices", "harmful_values"))
        parts = []
        for kind, indices, values in kinds:
            indices, values = getattr(self, indices), getattr(self, values)
            grid = np.indices(indices.shape)
            part = {
                "test": test[grid[0].ravel()],
                "kind": np.full(indices.size, kind),
                "rank": grid[1].ravel() + 1,
                "train": _named(indices.ravel(), train_labels),
                "influence": values.ravel(),
            }
            if indices.ndim == 3:
                part["class"] = grid[2].ravel()
            parts.append(part)
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return data_frame(columns)


def _named(indices, labels):
    """Labels of positions; a position of -1 (no row) stays without one."""
    if labels is None:
        return indices
    labels = np.asarray(labels)
    if labels.ndim != 1 or indices.max(initial=-1) >= len(labels):
        raise ValueError(
            "train_labels should have shape (n_train,), one label a training row; "
            f"got {labels.shape}."
        )
    return np.where(indices >= 0, labels.astype(object)[indices], None)


@dataclass(frozen=True)
class ParameterInfluence:
    """Change of the fitted parameters when each training row is left out: after minus before.

    Attributes
    ----------
    coef : ndarray of shape (n_train, *coef_.shape)
    intercept : ndarray of shape (n_train, *intercept_.shape)
    """

    coef: np.ndarray
    intercept: np.ndarray

    def to_frame(self, train_labels=None, feature_names=None):
        """Return one line for each training row, one column for each parameter.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            Index of the lines; positions by default.
        feature_names : array-like of shape (n_features,), optional
            Names of the columns; x0, x1, ... by default.

        Returns
        -------
        pandas.DataFrame
            Several rows of coefficients are told apart by a suffix: ``x0[1]`` is x0 in row 1.

        Raises
        ------
        ValueError
            If labels or names do not have the right length.
        """
        n_train, n_outputs, n_features = self.coef.shape
        default = [f"x{j}" for j in range(n_features)]
        names = checked_labels(
            default if feature_names is None else feature_names, n_features, "feature_names"
        )
        columns = {}
        for k in range(n_outputs):
            suffix = f"[{k}]" if n_outputs > 1 else ""
            for j, name in enumerate(names):
                columns[f"{name}{suffix}"] = self.coef[:, k, j]
            columns[f"intercept{suffix}"] = self.intercept[:, k]
        frame = data_frame(columns)
        frame.index = checked_labels(train_labels, n_train, "train_labels")
        return frame


@dataclass(frozen=True)
class CurvatureReport:
    """Which representation of the Hessian serves a model, and why.

    Attributes
    ----------
    kind : {"dense", "dual", "cg"}
    reason : str
    n_rows, n_parameters : int
    flops, memory : dict
        Estimated floating-point operations and bytes of each candidate, for the leverages of all
        training rows.
    rcond : float or None
        Estimated reciprocal condition number of the Hessian scaled to a unit diagonal; None where
        it is not factored.
    residual : float
        Relative residual that solves leave; 0 for factorisations.
    stationarity : float
        Largest gradient of the objective at the fit, relative to its coordinate's scale.
    """

    kind: str
    reason: str
    n_rows: int
    n_parameters: int
    flops: dict
    memory: dict
    rcond: float | None
    residual: float
    stationarity: float
