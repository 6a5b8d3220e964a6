"""Results of methods that return several arrays: frozen dataclasses."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._frames import (
    DataFrame,
    Result,
    checked_labels,
    data_frame,
    free_name,
    named_frame,
)
from skinfluence._parallel import cache_blocks
from skinfluence._validation import listed

# A printed estimate counts the rows whose bound is below this share of the predictors' spread: a
# bound that is finite and large proves nothing.
CERTIFIED_WITHIN = 1e-3


@dataclass(frozen=True)
class StepInfo(Result):
    """How the models without some rows were found, and how far they may be from the refits.

    Attributes
    ----------
    method : ndarray of str, shape (r,)
        For each row, group or change: "exact", "refined", "newton", "first_order" or "undefined".
    error_estimate : ndarray of shape (r,)
        Estimated error of the row's own predictor without the row, for a group the largest at its
        rows; NaN if it was not computed.
    error_bound : ndarray of shape (r,)
        Certified bound of the error of this predictor; inf without a certificate. Where it is
        finite, it replaces the estimate.
    names : ndarray of shape (r,)
        Names of the rows, groups or changes.
    """

    method: np.ndarray
    error_estimate: np.ndarray
    error_bound: np.ndarray
    names: np.ndarray

    def to_frame(self):
        """Return one line for each row, group or change, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns method, error_estimate and error_bound, indexed by the names.
        """
        columns = {name: getattr(self, name) for name in ("method", "error_estimate")}
        frame = data_frame({**columns, "error_bound": self.error_bound})
        frame.index = self.names
        return frame

    def __repr__(self):
        """Counts of the methods, and the largest error."""
        kinds, counts = np.unique(self.method, return_counts=True)
        found = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        known = self.error_estimate[~np.isnan(self.error_estimate)]
        largest = f"{known.max():.1e}" if len(known) else "not computed"
        return f"StepInfo({found}; largest estimated error {largest})"


@dataclass(frozen=True)
class BestChanges(Result):
    """The changes of the training data, one row each, that improve a target most.

    Attributes
    ----------
    kind : {"relabel", "removal", "addition"}
    indices : ndarray of int, shape (k,)
        Positions of the rows, best first: of the training rows, or of the rows that may be added.
    labels : ndarray of shape (k,) or None
        Labels after the change; None for removals.
    values : ndarray of shape (k,)
        Effect of each change alone: after it minus before.
    info : StepInfo
        How the model after each change was found.
    row_names : ndarray of shape (n_train,) or None
        Names of the training rows.
    """

    kind: str
    indices: np.ndarray
    labels: np.ndarray | None
    values: np.ndarray
    info: StepInfo
    row_names: np.ndarray | None = None

    def to_frame(self):
        """Return one line for each change, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns row, label (but for removals) and effect, best first.
        """
        rows = self.indices if self.row_names is None else self.row_names[self.indices]
        columns = {"row": rows}
        if self.labels is not None:
            columns["label"] = self.labels
        return data_frame({**columns, "effect": self.values})

    def __repr__(self):
        """The kind, the number and the best of the changes."""
        if not len(self.values):
            return f"BestChanges({self.kind}: none)"
        label = "" if self.labels is None else f" to {self.labels[0]}"
        row = _named(self.indices[:1], self.row_names)[0]
        return (
            f"BestChanges({len(self.values)} of kind {self.kind}, the best row "
            f"{row}{label}: {self.values[0]:+.3g})"
        )


@dataclass(frozen=True, repr=False)
class MostInfluential(Result):
    """The most helpful and the most harmful training rows of each test row.

    Indices are positions in the training data, values are influences (after removal minus before).
    A row is helpful if its removal makes the target worse. Rows are ranked from the most to the
    least helpful (harmful), ties in training order. If fewer than k rows can be ranked, the
    remaining indices are -1 and their values NaN.

    Attributes
    ----------
    helpful_indices, harmful_indices : ndarray of int, shape (n_test, k)
        With a class axis last, (n_test, k, n_classes), for targets with one value for each class.
    helpful_values, harmful_values : ndarray of float, same shape
    info : StepInfo
        How the model without each training row was found. Errors that cost more than the step
        itself are not computed here; :meth:`InfluenceExplainer.influence` with
        ``return_info=True`` has them.
    row_names : ndarray of shape (n_train,)
        Names of the training rows.
    test_names : ndarray of shape (n_test,) or None
        Names of the test rows; None if X_test has none.
    """

    helpful_indices: np.ndarray
    helpful_values: np.ndarray
    harmful_indices: np.ndarray
    harmful_values: np.ndarray
    info: StepInfo | None = None
    row_names: np.ndarray | None = None
    test_names: np.ndarray | None = None

    @classmethod
    def of_extremes(
        cls, extremes: tuple[np.ndarray, ...], greater_is_better: bool, **parts: Any
    ) -> "MostInfluential":
        """Return the result of the indices and values of the largest and the smallest influences.

        Parameters
        ----------
        extremes : tuple of ndarray
            Indices and values of the largest influences, then those of the smallest.
        greater_is_better : bool
            Whether the target is better where it is greater.
        **parts : object
            The other attributes.

        Returns
        -------
        MostInfluential
            The smallest ones helpful where greater is better, else the largest.
        """
        up, down = extremes[:2], extremes[2:]
        helpful, harmful = (down, up) if greater_is_better else (up, down)
        return cls(helpful[0], helpful[1], harmful[0], harmful[1], **parts)

    def __repr__(self):
        """The numbers of rows, and the first rows of either kind of the first test row."""
        n_test, k = self.helpful_indices.shape[:2]
        lines = [f"MostInfluential of {n_test} test row{'s'[: n_test != 1]}, {k} of each kind"]
        if not n_test:
            return lines[0]
        name = 0 if self.test_names is None else self.test_names[0]
        for kind in ("helpful", "harmful"):
            indices, values = (getattr(self, f"{kind}_{part}")[0] for part in ("indices", "values"))
            first = indices.reshape(k, -1)[:3, 0], values.reshape(k, -1)[:3, 0]
            named = zip(_named(first[0], self.row_names), first[1], strict=True)
            found = ", ".join(f"row {row} ({value:+.3g})" for row, value in named if value)
            if not found:
                found = "none: no row changes the target"
            else:
                found += ", ..." if k > 3 else ""
            of_class = ", first class" if indices.ndim > 1 else ""
            lines.append(f"  test row {name}{of_class}: {kind} {found}")
        return "\n".join(lines)

    def to_frame(
        self, train_labels: ArrayLike | None = None, test_labels: ArrayLike | None = None
    ) -> DataFrame:
        """Return one line for each test row, kind and rank, as a pandas DataFrame.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            Names of the training rows; the index of X in fit by default, else positions.
        test_labels : array-like of shape (n_test,), optional
            Names of the test rows; the index of X_test by default, else positions.

        Returns
        -------
        pandas.DataFrame
            Columns test, kind ("helpful" or "harmful"), rank (from 1), train, influence, and class
            if the target has a class axis.

        Raises
        ------
        ValueError
            If the labels do not have the right length.
        """
        train_labels = self.row_names if train_labels is None else train_labels
        test_labels = self.test_names if test_labels is None else test_labels
        n_test = len(self.helpful_indices)
        test = checked_labels(test_labels, n_test, "test_labels")
        kinds = (
            ("helpful", "helpful_indices", "helpful_values"),
            ("harmful", "harmful_indices", "harmful_values"),
        )
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
    """Labels of positions; None for a position of -1, which is no row."""
    if labels is None:
        return indices
    labels = np.asarray(labels)
    if labels.ndim != 1 or indices.max(initial=-1) >= len(labels):
        raise ValueError(
            "train_labels should have shape (n_train,), one label for each training row; "
            f"got {labels.shape}."
        )
    if (indices >= 0).all():
        return labels[indices]
    return np.where(indices >= 0, labels.astype(object)[indices], None)


@dataclass(frozen=True, repr=False)
class ParameterInfluence(Result):
    """Change of the fitted parameters when each training row is removed: after minus before.

    Attributes
    ----------
    coef : ndarray of shape ``(n_train, *coef_.shape)``
    intercept : ndarray of shape ``(n_train, *intercept_.shape)``
    info : StepInfo
        How the model without each row was found; errors as in :class:`MostInfluential`.
    row_names : ndarray of shape (n_train,)
        Names of the training rows.
    feature_names : list of str
        Names of the features; dual coefficients have none.
    """

    coef: np.ndarray
    intercept: np.ndarray
    info: StepInfo | None = None
    row_names: np.ndarray | None = None
    feature_names: list | None = None

    def __repr__(self):
        """The shapes, and the row that moves the coefficients most."""
        size = np.abs(self.coef.reshape(len(self.coef), -1)).max(axis=1, initial=0.0)
        text = f"ParameterInfluence of {len(size)} rows: coef {self.coef.shape}"
        if not np.isfinite(size).any():
            return text
        row = int(np.nanargmax(size))
        name = row if self.row_names is None else self.row_names[row]
        return f"{text}; row {name} moves a coefficient most, by {size[row]:.3g}"

    def to_frame(
        self, train_labels: ArrayLike | None = None, feature_names: ArrayLike | None = None
    ) -> DataFrame:
        """Return one line for each training row, one column for each parameter.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            Index of the lines; the index that fit has seen by default, else positions.
        feature_names : array-like of shape (n_features,), optional
            Names of the columns; those that fit has seen by default, else x0, x1, ...

        Returns
        -------
        pandas.DataFrame
            The features, then "intercept", ``"intercept_"`` where a feature is named so. If `coef_`
            has several rows, the row stands in brackets: ``x0[1]`` is x0 in row 1.

        Raises
        ------
        ValueError
            If labels or names do not have the right length.
        """
        n_train = len(self.coef)
        intercept = self.intercept.reshape(n_train, -1)
        n_outputs = intercept.shape[1]
        coef = self.coef if self.coef.ndim == 3 else self.coef[:, None, :]
        if coef.shape[1] != n_outputs:  # dual coefficients (n_samples, n_targets)
            coef = np.moveaxis(coef, 2, 1)
        n_features = coef.shape[2]
        if self.feature_names is not None and len(self.feature_names) == n_features:
            feature_names = self.feature_names if feature_names is None else feature_names
        train_labels = self.row_names if train_labels is None else train_labels
        default = [f"x{j}" for j in range(n_features)]
        names = checked_labels(
            default if feature_names is None else feature_names, n_features, "feature_names"
        )
        names = [*names, free_name("intercept", names)]
        suffixes = [f"[{k}]" if n_outputs > 1 else "" for k in range(n_outputs)]
        columns = [f"{name}{suffix}" for suffix in suffixes for name in names]
        values = np.concatenate([coef, intercept[:, :, None]], axis=2).reshape(n_train, -1)
        rows = checked_labels(train_labels, n_train, "train_labels")
        return named_frame(values, rows, columns)


@dataclass(frozen=True, repr=False)
class CurvatureReport(Result):
    """The representation of the Hessian that is used for a model, and why.

    Attributes
    ----------
    kind : {"dense", "dual", "cg"}
    reason : str
    n_rows, n_parameters : int
    flops, memory : dict
        Estimated floating-point operations and bytes of each candidate, for the leverages of all
        training rows.
    rcond : float or None
        Estimated reciprocal condition number of what is factored, scaled to a unit diagonal: the
        Hessian, or the n x n matrix that replaces it ("dual"); None if nothing is.
    residual : float
        Largest relative residual of solves; 0 for factorisations.
    stationarity : float
        Largest coordinate of the gradient at the fit, relative to the terms that cancel in it.
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

    def __repr__(self):
        """The choice and its reason, the condition and the accuracy."""
        condition = "" if self.rcond is None else f"; reciprocal condition {self.rcond:.1e}"
        return (
            f"CurvatureReport: {self.kind} for {self.n_rows} rows and {self.n_parameters} "
            f"parameters ({self.reason}){condition}; gradient {self.stationarity:.1e} of its terms"
        )

    def to_frame(self) -> DataFrame:
        """Return one line for each candidate, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns flops, memory and chosen, indexed by the candidates.
        """
        kinds = list(self.flops)
        columns = {name: [getattr(self, name)[kind] for kind in kinds] for name in ("flops",)}
        columns |= {"memory": [self.memory.get(kind) for kind in kinds]}
        frame = data_frame({**columns, "chosen": [kind == self.kind for kind in kinds]})
        frame.index = kinds
        return frame


@dataclass(frozen=True)
class LeaveOneOutEstimate(Result):
    """Predictions of each training row by the model without it, their losses and their errors.

    Attributes
    ----------
    decision_function : ndarray of shape (n,) or (n, n_classes)
        Linear predictor; the prediction of a regressor is its inverse link of it. NaN for undefined
        rows, as are all other values of such rows.
    prediction : ndarray of shape (n,) or (n, n_outputs), or None
        Prediction of a regressor; None for classifiers.
    loss : ndarray of shape (n,)
        Unweighted loss.
    leverage : ndarray of shape (n,)
        Trace of the row's leverage block; their sum is the effective number of parameters.
    method : ndarray of str, shape (n,)
        "exact", "refined", "newton", "first_order" or "undefined".
    weight : ndarray of shape (n,)
        Sample weights of the rows in the means.
    mean_loss, standard_error : float
        Weighted mean of the losses of the defined rows, and its standard error.
    train_loss : float
        Weighted mean of the losses under the full fit.
    score : float
        Score of the pooled predictions of the defined rows of positive weight, with the sample
        weights if the scorer takes any; NaN where a class that the score needs has no such row.
    scoring : str or callable
        Scorer of `score`.
    score_failure : str
        Why `score` is NaN; empty if it is not.
    """

    decision_function: np.ndarray
    probability_source: Any = field(repr=False)
    prediction: np.ndarray | None
    loss: np.ndarray
    leverage: np.ndarray
    method: np.ndarray
    error_source: Any = field(repr=False)
    weight: np.ndarray
    mean_loss: float
    standard_error: float
    train_loss: float
    score: float
    scoring: object
    score_failure: str = ""
    name_source: Any = field(default=None, repr=False)

    def __getstate__(self):
        """Return the numbers alone: a pickle or a copy carries no training data."""
        found = {"error_source": self._errors, "probability_source": self._probabilities}
        return {**vars(self), **found, "name_source": self._names}

    @cached_property
    def _names(self):
        """Names of the rows; positions of many rows only when asked for."""
        return self.name_source() if callable(self.name_source) else self.name_source

    @property
    def row_names(self) -> np.ndarray | None:
        """Return the names of the rows.

        Returns
        -------
        ndarray of shape (n,) or None
            The index that fit has seen, else positions; found at the first access, and kept.
        """
        return self._names

    @cached_property
    def _probabilities(self):
        """Probabilities of the classes, or None; computed when asked for."""
        source = self.probability_source
        return source() if callable(source) else source

    @property
    def predict_proba(self) -> np.ndarray | None:
        """Return the class probabilities of the predictions.

        Returns
        -------
        ndarray of shape (n, n_classes) or None
            Computed at the first access, and kept; None for models without probabilities.
        """
        return self._probabilities

    @cached_property
    def _errors(self):
        """Estimates, bounds and changes of the active set; of one step computed when asked for."""
        return self.error_source() if callable(self.error_source) else self.error_source

    @property
    def error_estimate(self) -> np.ndarray:
        """Return the estimated errors of the predictors.

        Returns
        -------
        ndarray of shape (n,)
            The size of the next step; NaN if it was not computed. Of "newton" and "first_order"
            computed from the training data at the first access of an error, and kept.

        Raises
        ------
        RuntimeError
            If the training data have changed since the fit.
        """
        return self._errors[0]

    @property
    def error_bound(self) -> np.ndarray:
        """Return certified bounds of the errors of the predictors.

        Returns
        -------
        ndarray of shape (n,)
            Of the predictor's range over the classes; inf if there is no certificate. Where it is
            finite, it replaces the estimate.
        """
        return self._errors[1]

    @property
    def active_set_changes(self) -> np.ndarray | None:
        """Return whether the set of nonzero coefficients is another one without each row.

        Returns
        -------
        ndarray of bool, shape (n,), or None
            One step is wrong for these rows. None without an L1 penalty, and if the errors of the
            steps were not computed.
        """
        return self._errors[2]

    @classmethod
    def of_rows(
        cls,
        *,
        leverage,
        method,
        error_source,
        decision_function,
        predict_proba,
        prediction,
        loss,
        weight,
        train_loss,
        score,
        scoring,
        score_failure="",
        row_names=None,
    ):
        """Return the estimate from arrays over rows, with mean loss and standard error.

        Probabilities and names may be functions that find them.
        """
        used = ~np.isnan(loss) & (weight > 0)
        n = int(used.sum())
        known, share = (loss, weight) if n == len(used) else (loss[used], weight[used])
        total = share.sum()
        mean = float(share @ known / total) if n else np.nan
        spread = 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # inf - inf
            for rows in cache_blocks(n, 1):
                apart = share[rows] * (known[rows] - mean)
                spread += float(apart @ apart)
        error = np.sqrt(spread / total**2 * n / (n - 1)) if n > 1 else np.nan
        return cls(
            decision_function,
            predict_proba,
            prediction,
            loss,
            leverage,
            method,
            error_source,
            weight,
            mean,
            float(error),
            train_loss,
            score,
            scoring,
            score_failure,
            row_names,
        )

    def to_frame(self, train_labels: ArrayLike | None = None) -> DataFrame:
        """Return one line for each training row, as a pandas DataFrame.

        Parameters
        ----------
        train_labels : array-like of shape (n,), optional
            Index of the lines; `row_names` by default.

        Returns
        -------
        pandas.DataFrame
            Columns decision_function (with the class in brackets if there are several), loss,
            leverage, method, error_estimate and error_bound.

        Raises
        ------
        ValueError
            If the labels do not have the right length.
        """
        decision = self.decision_function
        if decision.ndim == 1:
            columns = {"decision_function": decision}
        else:
            columns = {f"decision_function[{k}]": decision[:, k] for k in range(decision.shape[1])}
        for name in ("loss", "leverage", "method", "error_estimate", "error_bound"):
            columns[name] = getattr(self, name)
        frame = data_frame(columns)
        train_labels = self.row_names if train_labels is None else train_labels
        frame.index = checked_labels(train_labels, len(self.loss), "train_labels")
        return frame

    def _spread(self):
        """Standard deviation of the defined predictors, the least of several columns."""
        columns = self.decision_function.reshape(len(self.loss), -1)
        defined = columns[~np.isnan(columns).any(axis=1)]
        return float(defined.std(axis=0).min()) if len(defined) else 0.0

    def __repr__(self):
        """Return a table of results."""
        kinds, counts = np.unique(self.method, return_counts=True)
        rows = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        order = np.argsort(np.where(np.isnan(self.loss), -np.inf, -self.loss), kind="stable")
        worst = [row for row in order if not np.isnan(self.loss[row])][:5]
        names = np.arange(len(self.loss)) if self.row_names is None else self.row_names
        look = ", ".join(f"{names[row]} ({self.loss[row]:.2f})" for row in worst)
        undefined = np.flatnonzero(np.isnan(self.loss))
        tolerance = CERTIFIED_WITHIN * self._spread()
        certified = int((self.error_bound <= tolerance).sum())
        lines = [
            "LeaveOneOutEstimate",
            f"  mean loss    {self.mean_loss:.6g} +- {self.standard_error:.2g}"
            f"   (training {self.train_loss:.6g})",
            f"  score        {self.score:.6g}   ({self.score_failure or self.scoring})",
            f"  rows         {rows}",
        ]
        if worst:  # without a defined row there is nothing to certify, and nothing to look at
            lines += [
                f"  certified    {certified} of {len(self.loss)} within {tolerance:.1e}, "
                f"{CERTIFIED_WITHIN:.1%} of the predictors' spread (median bound "
                f"{np.median(self.error_bound):.0e})",
                f"  look at      {look}   (largest losses)",
            ]
        if len(undefined):
            lines.append(f"  undefined    {listed(names[undefined])}")
        return "\n".join(lines)
