"""Influence of all training rows on one test row, against their distance from it."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import pairwise_distances

from skinfluence._frames import DataFrame, checked_labels, data_frame, row_names
from skinfluence._typing import MatrixLike
from skinfluence.deletion.targets import Target
from skinfluence.display._axes import GREY, annotate, axes, checked, cut, scatter_by_class
from skinfluence.display._diagnostics import most, titled
from skinfluence.functions import explain
from skinfluence.problem import changes, fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class InfluenceDistanceDisplay:
    """Influence of each training row on one test row, against its distance from it.

    Rows that are near need not matter, and rows that matter need not be near: what nearest
    neighbours would not say. The points are coloured by class; the largest influences are named.

    Make one by :meth:`from_estimator` or :meth:`from_influence`. All parameters are kept as
    attributes.

    Parameters
    ----------
    influence, distance : array-like of shape (n_train,)
        Influence on the test row, and distance from it. Rows with a NaN are not drawn.
    classes : array-like of shape (n_train,), optional
        Labels of the training rows, by which the points are coloured.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    response : str, default="change of the loss"
        Name of the influence, for the axis.
    name : str, optional
        Name of the test row, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : list of matplotlib PathCollection
        One for each class.
    line_ : matplotlib Line2D
        No influence.

    See Also
    --------
    InfluenceDisplay : The largest influences, as bars.

    References
    ----------
    Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017, figure 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import InfluenceDistanceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(X[::2], y[::2])
    >>> display = InfluenceDistanceDisplay.from_estimator(clf, X[77:78], y[77:78])
    >>> display.distance.shape
    (75,)
    """

    def __init__(
        self,
        *,
        influence: ArrayLike,
        distance: ArrayLike,
        classes: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        response: str = "change of the loss",
        name: str | None = None,
    ):
        self.influence, self.distance = checked(influence=influence, distance=distance)
        n = len(self.influence)
        self.classes = None if classes is None else checked_labels(classes, n, "classes")
        self.train_labels = checked_labels(train_labels, n, "train_labels")
        self.response = response
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X_test: MatrixLike,
        y_test: ArrayLike | None = None,
        *,
        target: str | Target = "loss",
        method: str = "auto",
        metric: str = "euclidean",
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute influences on one test row and distances from it, and draw them.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        X_test : {array-like, sparse matrix, data frame} of shape (1, n_features)
            The test row.
        y_test : array-like of shape (1,), optional
            Its label.
        target, method
            As in :meth:`InfluenceExplainer.influence`; a target with one number for each test row.
        metric : str, default="euclidean"
            As in :func:`sklearn.metrics.pairwise_distances`, between the features that the model
            itself sees: behind a scaler the scaled ones.
        train_labels : array-like of shape (n_train,), optional
            Names of the rows; the index that fit has seen by default, else positions.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the test row, for the title; that of its index by default, if it has one.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        InfluenceDistanceDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.influence`; ValueError also
            for several test rows.
        """
        view = explain(estimator)
        problem = fitted_problem(view)
        rows = X_test.shape[0] if hasattr(X_test, "shape") else np.shape(X_test)[0]
        if rows != 1:
            raise ValueError(
                f"InfluenceDistanceDisplay draws one test row; X_test has {rows}. Pass one, such "
                "as X_test[:1]."
            )
        influence = view.influence(X_test, y_test, target=target, method=method)
        if influence.ndim != 2:
            raise ValueError(
                f"target={target!r} has {influence.shape[2]} numbers for a test row. Use one with "
                'a single number, such as "loss" or "margin".'
            )
        train, test = changes.features_of(problem, slice(None)), problem.transform(X_test)
        what = target if isinstance(target, str) else getattr(target, "__name__", "target")
        return cls.from_influence(
            influence[0],
            pairwise_distances(train, test, metric=metric)[:, 0],
            classes=None if problem.classes is None else problem.labels,
            train_labels=problem.row_names if train_labels is None else train_labels,
            response=f"change of the {what.replace('_', ' ')} without the row",
            ax=ax,
            name=_test_name(X_test) if name is None else name,
            **kwargs,
        )

    @classmethod
    def from_influence(
        cls,
        influence: ArrayLike,
        distance: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        response: str = "change of the loss without the row",
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw influences and distances that are already computed.

        Parameters
        ----------
        influence, distance, classes, train_labels, response, name
            As in the class.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        InfluenceDistanceDisplay
            The display, drawn.
        """
        display = cls(
            influence=influence,
            distance=distance,
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
        n_labels: int = 6,
        scatter_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=6
            Number of rows to name, those with the largest influence in size.
        scatter_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter.

        Returns
        -------
        InfluenceDistanceDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        known = np.isfinite(self.influence) & np.isfinite(self.distance)
        classes = None if self.classes is None else self.classes[known]
        self.line_ = ax.axhline(0.0, color=GREY, linewidth=1.0, zorder=0)
        self.scatter_ = scatter_by_class(
            ax, self.distance[known], self.influence[known], classes, scatter_kwargs
        )
        chosen = most(np.abs(self.influence), n_labels, known)
        ax.margins(x=0.08, y=0.1)
        annotate(ax, self.distance, self.influence, self.train_labels, chosen)
        ax.set_xlabel("distance from the test row")
        ax.set_ylabel(self.response)
        titled(ax, self.name if name is None else name)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns distance, influence and, with classes, label, one line for each training row.
        """
        columns = {"distance": self.distance, "influence": self.influence}
        if self.classes is not None:
            columns["label"] = self.classes
        frame = data_frame(columns)
        frame.index = self.train_labels
        return frame


def _test_name(X_test):
    """Title of a test row of a frame; None for one without a name."""
    names = row_names(X_test)
    return None if names is None else f"test row {cut(names[0])}"
