"""Leave-one-out and K-fold scores over the strength of the penalty."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.model_selection import BaseCrossValidator, GridSearchCV

from skinfluence._frames import DataFrame, data_frame
from skinfluence._typing import MatrixLike
from skinfluence.display._axes import BLUE, GREY, RED, axes, checked, merged, plain
from skinfluence.model_selection import LeaveOneOutSearchCV, final_parameter

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class RegularizationCurveDisplay:
    """Leave-one-out score, its standard error and the K-fold score over a penalty parameter.

    Make one by :meth:`from_estimator` or :meth:`from_search`. All parameters are kept as
    attributes.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values of the parameter, positive, in ascending order.
    scores, standard_errors : ndarray of shape (n_values,)
        Leave-one-out scores and their standard errors.
    fold_scores, fold_errors : ndarray of shape (n_values,), optional
        Scores of K-fold cross-validation and their standard errors over folds.
    param : str, default="C"
        Name of the parameter, for the axis.
    scoring : str, default="score"
        Name of the score. If it begins with ``"neg_"``, its negative, a loss, is drawn.
    best_value, simplest_value : float, optional
        Values to mark: that with the best score, and that of the simplest model within one standard
        error of it.
    name : str, optional
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_, fold_line_ : matplotlib Line2D
        Curves of leave-one-out and of K-fold; the second is None without K-fold scores.
    band_ : matplotlib PolyCollection
        Band of plus and minus one standard error.
    best_line_, simplest_line_ : matplotlib Line2D or None
        Lines at `best_value` and `simplest_value`.

    Raises
    ------
    ValueError
        If the arrays have different lengths, or a value is not positive.

    See Also
    --------
    skinfluence.model_selection.optimize_regularization : The best value on a continuous scale.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import RegularizationCurveDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> display = RegularizationCurveDisplay.from_estimator(
    ...     InfluenceLogisticRegression(), scale(X), y, values=[0.01, 0.1, 1.0, 10.0], cv=None
    ... )
    >>> display.best_value, display.scores.round(3)
    (1.0, array([-0.167, -0.092, -0.076, -0.114]))
    """

    values: np.ndarray
    scores: np.ndarray
    standard_errors: np.ndarray

    def __init__(
        self,
        *,
        values: ArrayLike,
        scores: ArrayLike,
        standard_errors: ArrayLike,
        fold_scores: ArrayLike | None = None,
        fold_errors: ArrayLike | None = None,
        param: str = "C",
        scoring: str = "score",
        best_value: float | None = None,
        simplest_value: float | None = None,
        name: str | None = None,
    ):
        arrays = {"values": values, "scores": scores, "standard_errors": standard_errors}
        self.fold_scores = self.fold_errors = None
        if fold_scores is not None:
            unknown = np.zeros(np.shape(fold_scores))
            arrays["fold_scores"] = fold_scores
            arrays["fold_errors"] = unknown if fold_errors is None else fold_errors
        for key, array in zip(arrays, checked(**arrays), strict=True):
            setattr(self, key, array)
        if not (self.values > 0).all():
            raise ValueError(f"values should be positive; got {self.values.min()!r}.")
        self.param = param
        self.scoring = scoring
        self.best_value = best_value
        self.simplest_value = simplest_value
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        y: ArrayLike,
        *,
        values: ArrayLike | None = None,
        param: str = "C",
        scoring: str | Callable | None = "neg_log_loss",
        method: str = "newton",
        cv: int | BaseCrossValidator | Iterable = 5,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Score every value by leave-one-out and by K-fold, and draw both.

        Parameters
        ----------
        estimator : estimator
            As in :class:`skinfluence.model_selection.LeaveOneOutSearchCV`.
        X, y : array-like
            Training rows and labels.
        values : array-like of shape (n_values,), optional
            Values of the parameter; 17 from 1e-4 to 1e4 by default.
        param : str, default="C"
            Parameter of the estimator or of the last step, by its short or its full name
            (``step__param``).
        scoring : str, default="neg_log_loss"
            Scorer of leave-one-out and of K-fold.
        method : {"newton", "auto", "exact", "first_order"}, default="newton"
            Method of leave-one-out.
        cv : int, splitter or None, default=5
            Folds of K-fold, which are refitted; None for leave-one-out only.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model, for the legend.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        RegularizationCurveDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            If LeaveOneOutSearchCV raises it.
        """
        values = np.logspace(-4, 4, 17) if values is None else values
        if param not in estimator.get_params():  # the short name, of a Pipeline's last step
            param = final_parameter(estimator, param) or param
        grid = {param: np.sort(np.asarray(values, dtype=float))}
        search = LeaveOneOutSearchCV(estimator, grid, scoring=scoring, method=method, refit=False)
        folds = None
        search.fit(X, y)
        if cv is not None:
            folds = GridSearchCV(estimator, grid, scoring=scoring, cv=cv, refit=False).fit(X, y)
        return cls.from_search(search, folds=folds, ax=ax, name=name, **kwargs)

    @classmethod
    def from_search(
        cls,
        search: LeaveOneOutSearchCV,
        *,
        folds: BaseEstimator | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw a fitted search over one parameter.

        Parameters
        ----------
        search : LeaveOneOutSearchCV
            Fitted search over one numeric parameter.
        folds : GridSearchCV, optional
            Fitted search over the same values, to draw beside it.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model, for the legend.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        RegularizationCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a search is not over one numeric parameter, or the two are over different values.
        """
        param, values, results = _curve(search)
        order = np.argsort(values, kind="stable")
        given = {}
        if folds is not None:
            other, fold_values, fold_results = _curve(folds)
            if other != param or not np.array_equal(np.sort(fold_values), values[order]):
                raise ValueError("folds should be over the same parameter and values as search.")
            at = np.argsort(fold_values, kind="stable")
            error = fold_results["std_test_score"] / np.sqrt(max(folds.n_splits_ - 1, 1))
            given = {
                "fold_scores": fold_results["mean_test_score"][at],
                "fold_errors": error[at],
            }
        scoring = search.scoring
        display = cls(
            values=values[order],
            scores=results["mean_test_score"][order],
            standard_errors=results["standard_error_test_score"][order],
            param=param,
            scoring="score" if scoring is None else getattr(scoring, "__name__", str(scoring)),
            best_value=float(values[np.nanargmax(results["mean_test_score"])]),
            simplest_value=float(values[search.one_standard_error_index_]),
            name=name,
            **given,
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        line_kwargs: dict | None = None,
        fold_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model, for the legend; that of the display by default.
        line_kwargs, fold_kwargs : dict, optional
            Keyword arguments of the curves of leave-one-out and of K-fold.

        Returns
        -------
        RegularizationCurveDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        sign = -1.0 if self.scoring.startswith("neg_") else 1.0
        y, x = sign * self.scores, self.values
        label = "leave-one-out" if name is None else f"{plain(name)}, leave-one-out"
        style = {"color": BLUE, "marker": "o", "markersize": 3.5, "label": label}
        (self.line_,) = ax.plot(x, y, **merged(style, line_kwargs))
        low, high = y - self.standard_errors, y + self.standard_errors
        colour = self.line_.get_color()
        self.band_ = ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        self.fold_line_ = None
        if self.fold_scores is not None:
            style = {"color": RED, "linestyle": "--", "marker": "s", "markersize": 3}
            style |= {"label": "K-fold", "capsize": 2, "elinewidth": 0.8}
            folds = sign * self.fold_scores
            drawn = ax.errorbar(x, folds, yerr=self.fold_errors, **merged(style, fold_kwargs))
            self.fold_line_ = drawn.lines[0]
        self.best_line_ = _mark(ax, self.best_value, "best", ":")
        self.simplest_line_ = _mark(ax, self.simplest_value, "one standard error", "-.")
        ax.set_xscale("log")
        ax.set_xlabel(self.param)
        ax.set_ylabel(self.scoring.removeprefix("neg_").replace("_", " "))
        ax.legend(frameon=False)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns value, score, standard_error, and fold_score and fold_error if there are folds.
        """
        columns = {
            "value": self.values,
            "score": self.scores,
            "standard_error": self.standard_errors,
        }
        if self.fold_scores is not None:
            columns |= {"fold_score": self.fold_scores, "fold_error": self.fold_errors}
        return data_frame(columns)


def _mark(ax, value, label, style):
    """Draw a value of the parameter as a vertical line."""
    if value is None:
        return None
    text = f"{label}: {value:.3g}"
    return ax.axvline(value, color=GREY, linestyle=style, linewidth=1.0, label=text, zorder=0)


def _curve(search):
    """Name and values (float) of the one parameter of a fitted search, and its results."""
    results = search.cv_results_
    names = [key for key in results if key.startswith("param_")]
    if len(names) != 1 or results[names[0]].dtype.kind not in "iuf":
        found = ", ".join(name.removeprefix("param_") for name in names)
        raise ValueError(f"search should be over one numeric parameter; got {found or 'none'}.")
    return names[0].removeprefix("param_"), np.asarray(results[names[0]], dtype=float), results
