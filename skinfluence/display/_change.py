"""Predicted against refitted effects of any change of the training data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, checked_labels, data_frame, row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_choice
from skinfluence.deletion.targets import Target
from skinfluence.display._axes import (
    BLUE,
    RED,
    annotate,
    axes,
    checked,
    diagonal,
    merged,
    short,
)
from skinfluence.display._diagnostics import most
from skinfluence.evaluation import agreement
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Method of the estimators that answers for a change, and what it is first asked with.
CHANGES = {
    "removal": ("influence", ()),
    "group": ("group_influence", ("groups",)),
    "relabel": ("relabel_influence", ()),
    "reweight": ("reweight_influence", ("sample_weight",)),
    "addition": ("addition_influence", ("X_new", "y_new")),
    "feature": ("feature_influence", ()),
}


class ChangeDisplay:
    """Effects of changes of the training data: predicted by one step, against refits.

    Rows removed, groups removed, labels changed, weights changed, rows added, rows moved. The title
    has the slope, the correlation and the relative root mean square error, because the correlation
    alone hides a wrong scale. The changes with the largest errors are named.

    Make one by :meth:`from_estimator` or :meth:`from_effects`. All parameters are kept as
    attributes.

    Parameters
    ----------
    predicted, refitted : array-like of shape (n,)
        Effects of n changes. Pairs with a NaN are not drawn.
    labels : array-like of shape (n,), optional
        Names of the changes; positions by default.
    change : str, default="change"
        What was changed, for the title.
    response : str, default="change of the mean loss"
        Name of the effect, for the axes.
    name : str, optional
        Name of the method, for the title.

    Attributes
    ----------
    agreement : Agreement or None
        Slope, intercept, r and relative RMSE of the pairs that are drawn; None for fewer than two
        of them, and where all refitted effects are equal.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : matplotlib PathCollection
    line_, fit_ : matplotlib Line2D
        The diagonal, and the least-squares line (None without agreement).

    See Also
    --------
    LeaveOneOutAgreementDisplay : Of removals, by the method of choice.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import ChangeDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = InfluenceLogisticRegression().fit(X[:100], y[:100])
    >>> display = ChangeDisplay.from_estimator(clf, X[400:], y[400:], "removal")
    >>> print(f"{display.agreement.slope:.2f} {display.agreement.relative_rmse:.1%}")
    1.00 2.6%
    """

    def __init__(
        self,
        *,
        predicted: ArrayLike,
        refitted: ArrayLike,
        labels: ArrayLike | None = None,
        change: str = "change",
        response: str = "change of the mean loss",
        name: str | None = None,
    ):
        self.predicted, self.refitted = checked(predicted=predicted, refitted=refitted)
        self.labels = checked_labels(labels, len(self.predicted), "labels")
        self.change = change
        self.response = response
        self.name = name
        known = np.isfinite(self.predicted) & np.isfinite(self.refitted)
        self.agreement = None
        if known.sum() > 1 and np.ptp(self.refitted[known]) > 0:
            self.agreement = agreement(self.predicted[known], self.refitted[known])

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X_test: MatrixLike,
        y_test: ArrayLike | None = None,
        change: str = "removal",
        *,
        target: str | Target = "loss",
        method: str = "newton",
        labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        plot_kwargs: dict | None = None,
        **asked: Any,
    ) -> Self:
        """Compute the effects of changes by a method and by refits, and draw them.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        X_test, y_test : array-like
            Test rows; the effect is that on the mean of the target over them.
        change : {"removal", "group", "relabel", "reweight", "addition", "feature"}, \
default="removal"
            What is changed: the effects are those of :meth:`InfluenceExplainer.influence`,
            `group_influence`, `relabel_influence`, `reweight_influence`, `addition_influence` or
            `feature_influence`.
        target : str or callable, default="loss"
            A target with one number for each test row.
        method : {"newton", "first_order"}, default="newton"
            The method under test.
        labels : array-like of shape (n,), optional
            Names of the changes; by default those of the rows that are changed, or of the groups.
            For "relabel" they are the other labels, as in `relabel_influence`.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the method, for the title; `method` by default.
        plot_kwargs : dict, optional
            As in :meth:`plot`.
        **asked
            What the method of the change asks for: `train_indices` of rows that are removed,
            relabelled or moved, `groups`, `sample_weight`, `X_new` and `y_new`, `displacement`.

        Returns
        -------
        ChangeDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and the method of the change; ValueError also for an
            unknown change, and for one that misses what it asks for.
        """
        check_choice("change", change, tuple(CHANGES))
        view = explain(estimator)
        function, first = CHANGES[change]
        for needed in (*first, *(["displacement"] if change == "feature" else [])):
            if asked.get(needed) is None:
                raise ValueError(f"change={change!r} needs {needed}=; pass it by keyword.")
        if change == "relabel":
            asked, labels = {**asked, "labels": labels}, None
        options = {key: value for key, value in asked.items() if key not in first}
        options |= {"target": target, "aggregate": "mean"}
        arguments = [*(asked[key] for key in first), X_test, y_test]
        effects = [
            np.asarray(getattr(view, function)(*arguments, method=how, **options))
            for how in (method, "exact")
        ]
        names = _names(change, fitted_problem(view), asked, effects[0].shape)
        what = target if isinstance(target, str) else getattr(target, "__name__", "target")
        return cls.from_effects(
            effects[0].ravel(),
            effects[1].ravel(),
            labels=names if labels is None else labels,
            change=change,
            response=f"change of the mean {what.replace('_', ' ')}",
            ax=ax,
            name=method if name is None else name,
            **(plot_kwargs or {}),
        )

    @classmethod
    def from_effects(
        cls,
        predicted: ArrayLike,
        refitted: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        change: str = "change",
        response: str = "change of the mean loss",
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw effects that are already computed, such as those of refits by scikit-learn.

        Parameters
        ----------
        predicted, refitted, labels, change, response, name
            As in the class.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        ChangeDisplay
            The display, drawn.
        """
        display = cls(
            predicted=predicted,
            refitted=refitted,
            labels=labels,
            change=change,
            response=response,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 5,
        scatter_kwargs: dict | None = None,
        fit_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the method, for the title; that of the display by default.
        n_labels : int, default=5
            Number of changes to name, those with the largest errors.
        scatter_kwargs, fit_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter, and of the least-squares line.

        Returns
        -------
        ChangeDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        self.line_, self.fit_ = diagonal(ax), None
        style = {"s": 16, "color": BLUE, "alpha": 0.6, "linewidth": 0}
        self.scatter_ = ax.scatter(self.refitted, self.predicted, **merged(style, scatter_kwargs))
        ax.margins(x=0.08, y=0.08)
        title = self.change if name is None else f"{self.change}, {short(name, 40)}"
        if self.agreement is not None:
            found = self.agreement
            line = {"color": RED, "linewidth": 1.0, "linestyle": "--"}
            at = (0.0, found.intercept)
            self.fit_ = ax.axline(at, slope=found.slope, **merged(line, fit_kwargs))
            title += (
                f"\nslope {found.slope:.3f}, r {found.r:.4f}, "
                f"relative RMSE {found.relative_rmse:.1%}"
            )
        off = np.abs(self.predicted - self.refitted)
        annotate(ax, self.refitted, self.predicted, self.labels, most(off, n_labels))
        ax.set_xlabel(f"{self.response}, refitted")
        ax.set_ylabel(f"{self.response}, predicted")
        ax.set_title(title, fontsize="medium")
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns predicted and refitted, one line for each change.
        """
        frame = data_frame({"predicted": self.predicted, "refitted": self.refitted})
        frame.index = self.labels
        return frame


def _names(change, problem, asked, shape):
    """Names of the changes: of rows where rows are changed, else positions."""
    if change == "group" and isinstance(asked["groups"], Mapping):
        return np.array([str(name) for name in asked["groups"]])
    if change == "addition":
        return row_names(asked["X_new"])
    if change in ("group", "reweight"):
        return None
    rows = problem.row_names
    if asked.get("train_indices") is not None:
        rows = rows[np.asarray(asked["train_indices"])]
    if len(shape) == 2:  # every row with every label
        return np.array([f"{row}: {label}" for row in rows for label in problem.classes])
    return rows
