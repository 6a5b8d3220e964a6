"""The training rows that a test score depends on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring

from skinfluence._frames import DataFrame, checked_labels, data_frame
from skinfluence._typing import MatrixLike
from skinfluence.display._axes import axes, checked, cut, plain, signed_bars, told_apart
from skinfluence.display._diagnostics import titled
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreInfluenceDisplay:
    """The training rows whose removal lowers a score most, and those whose removal raises it most.

    Rows that the score needs (blue) on top, rows that hurt it (red) below. Rows whose removal
    leaves the score as it is are not drawn.

    Make one by :meth:`from_estimator` or :meth:`from_score_influence`. All parameters are kept as
    attributes.

    Parameters
    ----------
    score_influence : array-like of shape (n_train,)
        As `score_influence` returns it: the score without the row minus the score.
    score : float, optional
        Score of the model with all rows, for the title.
    scoring : str, default="score"
        Name of the score.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
    rows_ : ndarray of int
        Positions of the rows that are drawn, from top to bottom.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import ScoreInfluenceDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = InfluenceLogisticRegression().fit(X[:400], y[:400])
    >>> display = ScoreInfluenceDisplay.from_estimator(clf, X[400:], y[400:], scoring="roc_auc")
    >>> bool((display.score_influence[display.rows_[:3]] < 0).all())
    True
    """

    def __init__(
        self,
        *,
        score_influence: ArrayLike,
        score: float | None = None,
        scoring: str = "score",
        train_labels: ArrayLike | None = None,
        name: str | None = None,
    ):
        (self.score_influence,) = checked(score_influence=score_influence)
        self.score = score
        self.scoring = scoring
        n = len(self.score_influence)
        self.train_labels = checked_labels(train_labels, n, "train_labels")
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X_test: MatrixLike,
        y_test: ArrayLike,
        *,
        scoring: str | Callable | None = None,
        method: str = "auto",
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the score without each training row, and draw the largest changes.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        X_test, y_test, scoring, method
            As in :meth:`InfluenceExplainer.score_influence`.
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
        ScoreInfluenceDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.score_influence`.
        """
        view = explain(estimator)
        values = view.score_influence(X_test, y_test, scoring=scoring, method=method)
        words = getattr(scoring, "__name__", scoring)
        if scoring is None:
            words = fitted_problem(view).link.scoring
        return cls.from_score_influence(
            values,
            score=float(check_scoring(view, scoring)(view, X_test, y_test)),
            scoring=str(words),
            train_labels=fitted_problem(view).row_names if train_labels is None else train_labels,
            ax=ax,
            name=type(view.estimator_).__name__ if name is None else name,
            **kwargs,
        )

    @classmethod
    def from_score_influence(
        cls,
        score_influence: ArrayLike,
        *,
        score: float | None = None,
        scoring: str = "score",
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw changes of a score that are already computed.

        Parameters
        ----------
        score_influence, score, scoring, train_labels, name
            As in the class.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        ScoreInfluenceDisplay
            The display, drawn.
        """
        display = cls(
            score_influence=score_influence,
            score=score,
            scoring=scoring,
            train_labels=train_labels,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        k: int = 10,
        bar_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        k : int, default=10
            Largest number of rows of each kind.
        bar_kwargs : dict, optional
            Keyword arguments of matplotlib's barh.

        Returns
        -------
        ScoreInfluenceDisplay
            The display, with its artists as attributes.
        """
        new = ax is None
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        known = np.nan_to_num(self.score_influence)
        order = np.argsort(known, kind="stable")
        needed = [row for row in order[:k] if known[row] < 0]
        hurting = [row for row in order[::-1][:k][::-1] if known[row] > 0]
        self.rows_ = np.array([*needed, *hurting], dtype=np.intp)
        labels = told_apart(self.train_labels[self.rows_])
        if new:
            self.figure_.set_size_inches(6.4, max(2.2, 1.2 + 0.2 * len(labels)))
        values = self.score_influence[self.rows_]
        self.bars_ = signed_bars(ax, values, labels, values > 0, bar_kwargs)
        if not len(labels):
            ax.text(0.5, 0.5, "no row changes the score", transform=ax.transAxes, ha="center")
            ax.set_ylim(1.0, -1.0)
        ax.set_xlabel(plain(f"change of the {self.scoring} without the row"))
        name = self.name if name is None else name
        parts = [] if name is None else [cut(name, 40)]
        parts += [] if self.score is None else [f"{self.scoring} {self.score:.4g}"]
        titled(ax, ", ".join(parts) or None)
        return self

    def to_frame(self) -> DataFrame:
        """Return the values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Column score_influence, one line for each training row.
        """
        frame = data_frame({"score_influence": self.score_influence})
        frame.index = self.train_labels
        return frame
