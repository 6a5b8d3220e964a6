"""Added-variable plot of one coefficient."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, data_frame
from skinfluence.case_deletion import added_variable
from skinfluence.display._axes import BLUE, GREY, annotate, axes, checked, merged, short
from skinfluence.display._diagnostics import most, row_labels, titled
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class AddedVariableDisplay:
    """Responses against one feature, both adjusted for the other features.

    This is the partial regression plot. x and y are the residuals of the feature and of the
    responses, each from a regression on all other columns (with the intercept). The line through
    the origin has the coefficient as its slope, and the residuals from it are those of the model. A
    row far out in x has a large leverage on this coefficient.

    For weighted least squares the regressions are weighted. For logistic regression and other
    generalised linear models y are the working responses, with the weights of the last Newton step.
    With a ridge penalty the regressions are penalised as the model is; the line has the slope of
    the coefficient, but is not the least-squares line of the points.

    Make one by :meth:`from_estimator`. All parameters are kept as attributes.

    Parameters
    ----------
    x, y : array-like of shape (n_train,)
        Residuals of the feature and of the responses. NaN are not drawn.
    slope : float
        Coefficient of the feature.
    weight : array-like of shape (n_train,), optional
        Weights of the rows in the regressions; equal by default.
    feature : str
        Name of the feature, for the axes.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : matplotlib PathCollection
    line_ : matplotlib Line2D

    Raises
    ------
    ValueError
        If the arrays have different lengths.

    See Also
    --------
    DfbetasDisplay : The effect of each row on all coefficients.

    References
    ----------
    Frisch & Waugh, Partial time regressions as compared with individual trends, Econometrica 1,
    1933. Wang, Added variable plots in generalized linear models, Technometrics 27, 1985.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> from skinfluence.display import AddedVariableDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = InfluenceLinearRegression().fit(X, y)
    >>> display = AddedVariableDisplay.from_estimator(model, "bmi")
    >>> round(display.slope, 2), round(float(display.x @ display.y / (display.x @ display.x)), 2)
    (519.85, 519.85)
    """

    def __init__(
        self,
        *,
        x: ArrayLike,
        y: ArrayLike,
        slope: float,
        feature: str,
        weight: ArrayLike | None = None,
        train_labels: ArrayLike | None = None,
        name: str | None = None,
    ):
        weight = np.ones(np.shape(x)) if weight is None else weight
        self.x, self.y, self.weight = checked(x=x, y=y, weight=weight)
        self.slope, self.feature = float(slope), str(feature)
        self.train_labels = row_labels(train_labels, len(self.x))
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        feature: int | str,
        *,
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute both residuals of a fitted model and draw them.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        feature : str or int
            Name or position of a column of the X of the last step, or "const" for the intercept
            (``"const_"`` where a column has this name).
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
        AddedVariableDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the feature is unknown.
        NotImplementedError
            For models without coefficients, with several outputs, or with an L1 penalty.
        TypeError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain`.
        """
        view = explain(estimator)
        problem = fitted_problem(view)
        problem.check_coefficients("AddedVariableDisplay")
        objective = problem.objective
        if objective.n_outputs > 1 or objective.penalty.is_kinked:
            raise NotImplementedError(
                "AddedVariableDisplay needs a model with one output and no L1 penalty; this model "
                f"has {objective.n_outputs} output(s) and the loss {objective.loss!r}."
            )
        columns = problem.column_names
        if isinstance(feature, str) and feature not in columns:
            raise ValueError(f"feature should be one of {', '.join(columns)}; got {feature!r}.")
        column = columns.index(feature) if isinstance(feature, str) else int(feature)
        if not 0 <= column < len(columns):
            raise ValueError(f"feature should be below {len(columns)}; got {feature!r}.")
        curvature = problem.curvature(n_solves=1)
        x, y, slope, weight = added_variable(objective, curvature, column)
        name = type(view.estimator_).__name__ if name is None else name
        display = cls(
            x=x,
            y=y,
            slope=slope,
            weight=weight,
            feature=columns[column],
            train_labels=problem.row_names if train_labels is None else train_labels,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 2,
        scatter_kwargs: dict | None = None,
        line_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=2
            Number of rows to name, of those with the largest x and of those farthest from the line.
        scatter_kwargs, line_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter, and of the line.

        Returns
        -------
        AddedVariableDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        drawn = np.isfinite(self.x) & np.isfinite(self.y) & (self.weight > 0)
        style = {"s": 18, "color": BLUE, "alpha": 0.6, "linewidth": 0}
        self.scatter_ = ax.scatter(self.x[drawn], self.y[drawn], **merged(style, scatter_kwargs))
        style = {"color": GREY, "linewidth": 1.2, "zorder": 0}
        self.line_ = ax.axline((0.0, 0.0), slope=self.slope, **merged(style, line_kwargs))
        off = np.abs(self.y - self.slope * self.x)
        named = [most(size, n_labels, drawn) for size in (np.abs(self.x), off)]
        named = dict.fromkeys(np.concatenate(named).tolist())
        annotate(ax, self.x, self.y, self.train_labels, named)
        ax.set_xlabel(f"{short(self.feature)}, without the others")
        ax.set_ylabel("response, without the others")
        titled(ax, self.name if name is None else name)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns x, y and weight, one line for each row.
        """
        frame = data_frame({"x": self.x, "y": self.y, "weight": self.weight})
        frame.index = self.train_labels
        return frame
