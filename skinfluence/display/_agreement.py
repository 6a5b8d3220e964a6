"""Estimated against exact effects."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, checked_labels, data_frame
from skinfluence._typing import MatrixLike
from skinfluence._validation import as_index
from skinfluence.deletion.targets import Target
from skinfluence.display._axes import BLUE, RED, annotate, axes, checked, diagonal, merged, plain
from skinfluence.evaluation import agreement
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LeaveOneOutAgreementDisplay:
    """Estimated effect of each row's removal against the exact effect.

    The title has the slope, the correlation and the relative root mean square error, because the
    correlation alone hides a wrong scale. The rows with the largest errors are named.

    Make one by :meth:`from_estimator` or :meth:`from_predictions`. All parameters are kept as
    attributes.

    Parameters
    ----------
    estimated, actual : ndarray of shape (n,)
        Effects by the method under test, and by refits. Pairs with a NaN are not drawn.
    train_indices : ndarray of int, shape (n,), optional
        Training rows of the effects; 0, ..., n - 1 by default.
    train_labels : array-like of shape (n,), optional
        Names of those rows; `train_indices` by default.
    response : str, default="change of the loss"
        Name of the effect, for the axes.
    name : str, optional
        Name of the method, for the title.

    Attributes
    ----------
    agreement : Agreement
        Slope, intercept, r and relative RMSE of the pairs that are drawn.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : matplotlib PathCollection
    line_, fit_ : matplotlib Line2D
        The diagonal, and the least-squares line.

    Raises
    ------
    ValueError
        If the arrays have different lengths, or fewer than two pairs are finite.

    See Also
    --------
    skinfluence.evaluation.agreement : The numbers without the figure.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import LeaveOneOutAgreementDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(scale(X), y)
    >>> display = LeaveOneOutAgreementDisplay.from_estimator(clf, method="first_order")
    >>> print(f"{display.agreement.slope:.2f} {display.agreement.relative_rmse:.0%}")
    0.33 76%
    """

    def __init__(
        self,
        *,
        estimated: ArrayLike,
        actual: ArrayLike,
        train_indices: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        response: str = "change of the loss",
        name: str | None = None,
    ):
        self.estimated, self.actual = checked(estimated=estimated, actual=actual)
        n = len(self.actual)
        self.train_indices = np.arange(n) if train_indices is None else np.asarray(train_indices)
        if self.train_indices.shape != (n,):
            raise ValueError(
                f"train_indices should have shape ({n},); got {self.train_indices.shape}."
            )
        self.train_labels = self.train_indices
        if train_labels is not None:
            self.train_labels = checked_labels(train_labels, n, "train_labels")
        self.response = response
        self.name = name
        defined = np.isfinite(self.estimated) & np.isfinite(self.actual)
        self.agreement = agreement(self.estimated[defined], self.actual[defined])

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X_test: MatrixLike = None,
        y_test: ArrayLike | None = None,
        *,
        target: str | Target = "loss",
        method: str = "newton",
        train_indices: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute effects by a method and by refits, and draw them against each other.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        X_test, y_test : array-like, optional
            Test rows, for the mean effect on them; by default the effect of each training row on
            itself.
        target : str or callable, default="loss"
            Target with one number for each row, as in :meth:`InfluenceExplainer.influence`.
        method : {"newton", "first_order"}, default="newton"
            The method under test.
        train_indices : array-like of int, optional
            Training rows to compare, all by default; a few hundred if refits are slow.
        train_labels : array-like of shape (n,), optional
            Names of those rows; the index that fit has seen by default, else positions.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the method, for the title; `method` by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        LeaveOneOutAgreementDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.influence`.
        """
        view = explain(estimator)

        def effects(method):
            options = {"target": target, "method": method, "train_indices": train_indices}
            if X_test is None:
                return view.self_influence(**options)
            return view.influence(X_test, y_test, aggregate="mean", **options)

        estimated = effects(method)
        if estimated.ndim != 1:
            raise ValueError(
                f"target={target!r} has one number for each class, shape {estimated.shape}. Use a "
                'target with one number for each row, such as "loss" or "margin".'
            )
        what = target if isinstance(target, str) else getattr(target, "__name__", "target")
        names = fitted_problem(view).row_names
        rows = as_index(train_indices, len(names))
        display = cls(
            estimated=estimated,
            actual=effects("exact"),
            train_indices=rows,
            train_labels=names[rows] if train_labels is None else train_labels,
            response=f"change of the {what.replace('_', ' ')}",
            name=method if name is None else name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        estimated: ArrayLike,
        actual: ArrayLike,
        *,
        train_indices: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw effects that are already computed, such as those of refits by scikit-learn.

        Parameters
        ----------
        estimated, actual : array-like of shape (n,)
            Effects by the method under test, and by refits.
        train_indices : array-like of int, shape (n,), optional
            Training rows of the effects; 0, ..., n - 1 by default.
        train_labels : array-like of shape (n,), optional
            Names of those rows; `train_indices` by default.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the method, for the title.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        LeaveOneOutAgreementDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the arrays have different lengths, or fewer than two pairs are finite.
        """
        display = cls(
            estimated=estimated,
            actual=actual,
            train_indices=train_indices,
            train_labels=train_labels,
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
            Number of rows to name, those with the largest errors.
        scatter_kwargs, fit_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter, and of the least-squares line.

        Returns
        -------
        LeaveOneOutAgreementDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        found = self.agreement
        self.line_ = diagonal(ax)
        style = {"s": 14, "color": BLUE, "alpha": 0.6, "linewidth": 0}
        self.scatter_ = ax.scatter(self.actual, self.estimated, **merged(style, scatter_kwargs))
        line = {"color": RED, "linewidth": 1.0, "linestyle": "--"}
        self.fit_ = ax.axline((0.0, found.intercept), slope=found.slope, **merged(line, fit_kwargs))
        off = np.nan_to_num(np.abs(self.estimated - self.actual))
        farthest = np.argsort(-off, kind="stable")[:n_labels]
        annotate(ax, self.actual, self.estimated, self.train_labels, farthest)
        ax.set_xlabel(f"{self.response}, exact")
        ax.set_ylabel(f"{self.response}, estimated")
        figures = (
            f"slope {found.slope:.3f}, r {found.r:.4f}, relative RMSE {found.relative_rmse:.1%}"
        )
        ax.set_title(figures if name is None else f"{plain(name)}\n{figures}", fontsize="medium")
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns estimated and actual, one line for each training row.
        """
        frame = data_frame({"estimated": self.estimated, "actual": self.actual})
        frame.index = self.train_labels
        return frame
