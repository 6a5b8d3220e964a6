"""Influence of each training row on itself."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, checked_labels, data_frame
from skinfluence.deletion.targets import Target
from skinfluence.display._axes import annotate, axes, checked, scatter_by_class
from skinfluence.display._diagnostics import most, titled
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SelfInfluenceDisplay:
    """Change of each training row's own loss on its removal, the largest first.

    A few rows far above the others are those that the rest does not expect: wrong labels and
    outliers come first. The points are coloured by class; the first ones are named.

    Make one by :meth:`from_estimator` or :meth:`from_self_influence`. All parameters are kept as
    attributes.

    Parameters
    ----------
    self_influence : array-like of shape (n_train,)
        As `self_influence` returns it. Rows with a NaN are not drawn.
    classes : array-like of shape (n_train,), optional
        Labels of the rows, by which the points are coloured.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    response : str, default="change of the own loss"
        Name of the values, for the axis.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : list of matplotlib PathCollection
        One for each class.
    ranking_ : ndarray of int
        Positions of the rows that are drawn, from left to right.

    See Also
    --------
    skinfluence.labels.LabelAudit : Which labels are wrong.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import SelfInfluenceDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(scale(X), y)
    >>> display = SelfInfluenceDisplay.from_estimator(clf)
    >>> display.ranking_[:3].tolist()
    [213, 297, 190]
    """

    def __init__(
        self,
        *,
        self_influence: ArrayLike,
        classes: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        response: str = "change of the own loss",
        name: str | None = None,
    ):
        (self.self_influence,) = checked(self_influence=self_influence)
        n = len(self.self_influence)
        self.classes = None if classes is None else checked_labels(classes, n, "classes")
        self.train_labels = checked_labels(train_labels, n, "train_labels")
        self.response = response
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        target: str | Target = "loss",
        method: str = "auto",
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the self-influences of a fitted model, and draw them.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        target, method
            As in :meth:`InfluenceExplainer.self_influence`; a target with one number for each row.
        train_labels : array-like of shape (n_train,), optional
            Names of the rows; the index that fit has seen by default, else positions.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model; that of its class by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        SelfInfluenceDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.self_influence`.
        """
        view = explain(estimator)
        problem = fitted_problem(view)
        what = target if isinstance(target, str) else getattr(target, "__name__", "target")
        return cls.from_self_influence(
            view.self_influence(target=target, method=method),
            classes=None if problem.classes is None else problem.labels,
            train_labels=problem.row_names if train_labels is None else train_labels,
            response=f"change of the own {what.replace('_', ' ')} without the row",
            ax=ax,
            name=type(view.estimator_).__name__ if name is None else name,
            **kwargs,
        )

    @classmethod
    def from_self_influence(
        cls,
        self_influence: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        response: str = "change of the own loss without the row",
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw self-influences that are already computed.

        Parameters
        ----------
        self_influence, classes, train_labels, response, name
            As in the class.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        SelfInfluenceDisplay
            The display, drawn.
        """
        display = cls(
            self_influence=self_influence,
            classes=classes,
            train_labels=train_labels,
            response=response,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 8,
        scatter_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=8
            Number of rows to name, the first ones.
        scatter_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter.

        Returns
        -------
        SelfInfluenceDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        self.ranking_ = rows = most(self.self_influence, len(self.self_influence))
        rank, height = np.arange(1, len(rows) + 1), self.self_influence[rows]
        classes = None if self.classes is None else self.classes[rows]
        self.scatter_ = scatter_by_class(ax, rank, height, classes, scatter_kwargs)
        ax.margins(x=0.04, y=0.1)
        annotate(ax, rank, height, self.train_labels[rows], range(min(n_labels, len(rows))))
        ax.set_xlabel("rank")
        ax.set_ylabel(self.response)
        titled(ax, self.name if name is None else name)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns self_influence and, with classes, label, one line for each training row.
        """
        columns = {"self_influence": self.self_influence}
        if self.classes is not None:
            columns["label"] = self.classes
        frame = data_frame(columns)
        frame.index = self.train_labels
        return frame
