"""Influence plot: studentised residual against leverage."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._frames import DataFrame, data_frame
from skinfluence.display._axes import BLUE, GREY, annotate, axes, checked, merged
from skinfluence.display._diagnostics import DiagnosticsDisplay, most, row_labels, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_BUBBLE = 450.0  # square points


class InfluencePlotDisplay(DiagnosticsDisplay):
    """Studentised residual of each row against its leverage; the area is Cook's distance.

    Lines are at residuals of 2 and -2 and at leverages of 2p/n and 3p/n. The rows with the largest
    Cook's distances, leverages and residuals are named. Rows without a residual (of weight 0, or of
    leverage 1) are not drawn.

    Make one by :meth:`from_estimator` or :meth:`from_diagnostics`. All parameters are kept as
    attributes.

    Parameters
    ----------
    leverage, studentized_residual, cooks_distance : array-like of shape (n_train,)
        As in :class:`skinfluence.CaseDeletionDiagnostics`.
    mean_leverage : float
        Number p of parameters divided by the number n of rows.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : matplotlib PathCollection
        The bubbles.
    lines_ : list of matplotlib Line2D

    Raises
    ------
    ValueError
        If the arrays have different lengths.

    See Also
    --------
    CooksDistanceDisplay : Cook's distance of each row.

    References
    ----------
    Fox, Applied Regression Analysis and Generalized Linear Models, 3rd ed., Sage, 2016, ch. 11.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> from skinfluence.display import InfluencePlotDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = InfluencePlotDisplay.from_estimator(InfluenceLinearRegression().fit(X, y))
    >>> int(display.cooks_distance.argmax()), round(display.mean_leverage, 4)
    (382, 0.0249)
    """

    def __init__(
        self,
        *,
        leverage: ArrayLike,
        studentized_residual: ArrayLike,
        cooks_distance: ArrayLike,
        mean_leverage: float,
        train_labels: ArrayLike | None = None,
        name: str | None = None,
    ):
        self.leverage, self.studentized_residual, self.cooks_distance = checked(
            leverage=leverage,
            studentized_residual=studentized_residual,
            cooks_distance=cooks_distance,
        )
        self.mean_leverage = float(mean_leverage)
        self.train_labels = row_labels(train_labels, len(self.leverage))
        self.name = name

    @classmethod
    def _arguments(cls, diagnostics):
        """Keyword arguments of the constructor: three columns, and the mean leverage."""
        return {
            "leverage": diagnostics.leverage,
            "studentized_residual": diagnostics.studentized_residual,
            "cooks_distance": diagnostics.cooks_distance,
            "mean_leverage": diagnostics.n_effective_parameters / diagnostics.n_used,
        }

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 2,
        scatter_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=2
            Number of rows to name for each of the three quantities.
        scatter_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter.

        Returns
        -------
        InfluencePlotDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        x, y, cook = self.leverage, self.studentized_residual, self.cooks_distance
        drawn = np.isfinite(x) & np.isfinite(y) & np.isfinite(cook)
        largest = cook[drawn].max(initial=np.finfo(float).tiny)
        area = 6.0 + LARGEST_BUBBLE * cook[drawn] / largest
        style = {"s": area, "facecolor": BLUE, "edgecolor": BLUE, "alpha": 0.45, "linewidth": 0.8}
        self.scatter_ = ax.scatter(x[drawn], y[drawn], **merged(style, scatter_kwargs))
        style = {"color": GREY, "linewidth": 1.0, "zorder": 0}
        self.lines_ = [ax.axhline(at, linestyle="--", **style) for at in (-2.0, 2.0)]
        self.lines_ += [
            ax.axvline(k * self.mean_leverage, linestyle=kind, **style)
            for k, kind in ((2.0, "--"), (3.0, ":"))
        ]
        ax.axhline(0.0, **style)
        ax.margins(0.08)
        named = [most(np.abs(values), n_labels, drawn) for values in (cook, x, y)]
        annotate(ax, x, y, self.train_labels, dict.fromkeys(np.concatenate(named).tolist()))
        ax.set_xlabel("leverage")
        ax.set_ylabel("studentised residual")
        titled(ax, self.name if name is None else name)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns leverage, studentized_residual and cooks_distance, one line for each row.
        """
        names = ("leverage", "studentized_residual", "cooks_distance")
        frame = data_frame({name: getattr(self, name) for name in names})
        frame.index = self.train_labels
        return frame
