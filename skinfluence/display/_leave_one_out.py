"""Leave-one-out predictions against fitted predictions."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, checked_labels, data_frame
from skinfluence._validation import METHODS, check_choice
from skinfluence.display._axes import BLUE, RED, annotate, axes, checked, diagonal, merged, plain
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = 12  # largest number of named rows: flipped rows whose prediction changes most


class LeaveOneOutDisplay:
    """Leave-one-out prediction of each training row against the fitted one.

    Rows on the diagonal are predicted as well without being in the training data. Rows far below it
    are predicted well only because the model was trained on them. Rows whose predicted label
    changes are marked, and the twelve of them with the largest change are named.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`. All parameters are kept as
    attributes.

    Parameters
    ----------
    fitted, left_out : ndarray of shape (n_train,)
        Prediction of each row by the full model and by the model without it: the probability of the
        row's own label, or its margin over the others if the model has no probabilities. NaN for
        rows without a leave-one-out prediction, which are not drawn.
    flipped : ndarray of bool, shape (n_train,), optional
        Rows whose predicted label changes; none by default.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    response : str, default="probability of the own label"
        Name of the prediction, for the axes.
    name : str, optional
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_, flipped_ : matplotlib PathCollection
        Points of all rows, and of the flipped rows.
    line_ : matplotlib Line2D
        The diagonal.

    Raises
    ------
    ValueError
        If the arrays have different lengths.

    See Also
    --------
    LeaveOneOutAgreementDisplay : Estimated effects against exact ones.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import LeaveOneOutDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(scale(X), y)
    >>> display = LeaveOneOutDisplay.from_estimator(clf)
    >>> int(display.flipped.sum())
    5
    """

    def __init__(
        self,
        *,
        fitted: ArrayLike,
        left_out: ArrayLike,
        flipped: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        response: str = "probability of the own label",
        name: str | None = None,
    ):
        self.fitted, self.left_out = checked(fitted=fitted, left_out=left_out)
        n = len(self.fitted)
        self.flipped = np.zeros(n, dtype=bool) if flipped is None else np.asarray(flipped)
        if self.flipped.shape != (n,) or self.flipped.dtype != bool:
            raise ValueError(
                f"flipped should be boolean of shape ({n},); got {self.flipped.dtype} "
                f"{self.flipped.shape}."
            )
        self.train_labels = checked_labels(train_labels, n, "train_labels")
        self.response = response
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        method: str = "auto",
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute and draw the leave-one-out predictions of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        method : {"auto", "exact", "newton", "first_order"}, default="auto"
            As in :meth:`InfluenceExplainer.loo_estimate`.
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
        LeaveOneOutDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.loo_estimate`.
        """
        view = explain(estimator)
        problem = fitted_problem(view)
        objective, link = problem.objective, problem.link
        if not link.n_classes:
            raise TypeError(
                "LeaveOneOutDisplay.from_estimator needs a classifier; got "
                f"{type(view.estimator_).__name__}. Use LeaveOneOutDisplay.from_predictions("
                "model.predict(X), model.loo_estimate().prediction)."
            )
        check_choice("method", method, ("auto", *METHODS))
        loo = problem.leave_one_out(method)
        before, after = objective.native(objective.eta), objective.native(loo.eta)
        labels = objective.y.astype(int)
        flipped = link.predicted(before) != link.predicted(after)
        flipped &= loo.route != "undefined"
        fitted, left_out = (_own(link, eta, labels) for eta in (before, after))
        what = "probability" if link.has_probabilities else "margin"
        display = cls(
            fitted=fitted,
            left_out=left_out,
            response=f"{what} of the own label",
            flipped=flipped,
            train_labels=problem.row_names if train_labels is None else train_labels,
            name=type(view.estimator_).__name__ if name is None else name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        fitted: ArrayLike,
        left_out: ArrayLike,
        *,
        flipped: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw predictions that are already computed.

        Parameters
        ----------
        fitted, left_out : array-like of shape (n_train,)
            Predictions by the full model and by the model without each row.
        flipped : array-like of bool, shape (n_train,), optional
            Rows to mark.
        train_labels : array-like of shape (n_train,), optional
            Names of the rows; positions by default.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model, for the legend.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        LeaveOneOutDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the arrays have different lengths.
        """
        display = cls(
            fitted=fitted,
            left_out=left_out,
            flipped=flipped,
            train_labels=train_labels,
            name=name,
            response="prediction",
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        scatter_kwargs: dict | None = None,
        flipped_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model, for the legend; that of the display by default.
        scatter_kwargs, flipped_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter, for all rows and for the flipped rows.

        Returns
        -------
        LeaveOneOutDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        style = {"s": 14, "color": BLUE, "alpha": 0.6, "linewidth": 0}
        x, y, flipped = self.fitted, self.left_out, self.flipped
        label = "rows" if name is None else plain(name)
        self.line_ = diagonal(ax)
        self.scatter_ = ax.scatter(x, y, **merged({**style, "label": label}, scatter_kwargs))
        marked = {"s": 42, "facecolor": "none", "edgecolor": RED, "label": "label flips"}
        self.flipped_ = ax.scatter(x[flipped], y[flipped], **merged(marked, flipped_kwargs))
        ax.set_xlabel(f"{self.response}, fitted")
        ax.set_ylabel(f"{self.response}, left out")
        moved = np.where(flipped, np.abs(x - y), -1.0)
        farthest = np.argsort(-moved, kind="stable")[: min(LABELLED, int(flipped.sum()))]
        annotate(ax, x, y, self.train_labels, farthest)
        if name is not None or flipped.any():
            ax.legend(frameon=False, loc="best")
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns fitted, left_out and flipped, one line for each training row.
        """
        frame = data_frame(
            {"fitted": self.fitted, "left_out": self.left_out, "flipped": self.flipped}
        )
        frame.index = self.train_labels
        return frame


def _own(link, eta, labels):
    """Probability of each row's own label, or its score minus the largest of the others."""
    rows = np.arange(len(labels))
    if link.has_probabilities:
        return link.probabilities(eta)[rows, labels]
    scores = link.scores(eta)
    if link.is_scalar:
        return (2 * labels - 1) * scores
    others = scores.copy()
    others[rows, labels] = -np.inf
    return scores[rows, labels] - others.max(axis=1)
