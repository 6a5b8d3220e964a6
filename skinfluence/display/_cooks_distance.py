"""Cook's distance of each row."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._frames import DataFrame, data_frame
from skinfluence.display._axes import BLUE, GREY, annotate, axes, checked, merged
from skinfluence.display._diagnostics import DiagnosticsDisplay, most, row_labels, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CooksDistanceDisplay(DiagnosticsDisplay):
    """Cook's distance of each row as a stem, with a threshold and the names of rows above it.

    Make one by :meth:`from_estimator` or :meth:`from_diagnostics`. All parameters are kept as
    attributes.

    Parameters
    ----------
    cooks_distance : array-like of shape (n_train,)
        As in :class:`skinfluence.CaseDeletionDiagnostics`, with leverages that include the
        intercept. NaN for undefined rows, which are not drawn.
    threshold : float
        Height of the line.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    stems_ : matplotlib LineCollection
    markers_, line_ : matplotlib Line2D
        Heads of the stems, and the threshold.

    See Also
    --------
    InfluencePlotDisplay : Leverage and residual separately.
    CaseDeletionDiagnostics.influential : Other thresholds.

    References
    ----------
    Cook, Detection of influential observation in linear regression, Technometrics 19, 1977.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> from skinfluence.display import CooksDistanceDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = CooksDistanceDisplay.from_estimator(InfluenceLinearRegression().fit(X, y))
    >>> int((display.cooks_distance > display.threshold).sum()), round(display.threshold, 4)
    (22, 0.009)
    """

    def __init__(
        self,
        *,
        cooks_distance: ArrayLike,
        threshold: float,
        train_labels: ArrayLike | None = None,
        name: str | None = None,
    ):
        (self.cooks_distance,) = checked(cooks_distance=cooks_distance)
        self.threshold = float(threshold)
        self.train_labels = row_labels(train_labels, len(self.cooks_distance))
        self.name = name

    @classmethod
    def _arguments(cls, diagnostics):
        """Keyword arguments of the constructor: the distances, and the threshold 4/n."""
        return {
            "cooks_distance": diagnostics.cooks_distance,
            "threshold": 4.0 / diagnostics.n_used,
        }

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 8,
        stem_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=8
            Largest number of rows above the threshold to name.
        stem_kwargs : dict, optional
            Keyword arguments of matplotlib's vlines.

        Returns
        -------
        CooksDistanceDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        size, rows = self.cooks_distance, np.arange(len(self.cooks_distance))
        drawn = np.isfinite(size)
        style = {"color": BLUE, "linewidth": 1.0}
        self.stems_ = ax.vlines(rows[drawn], 0.0, size[drawn], **merged(style, stem_kwargs))
        (self.markers_,) = ax.plot(rows[drawn], size[drawn], "o", color=BLUE, markersize=3)
        self.line_ = ax.axhline(self.threshold, color=GREY, linewidth=1.0, linestyle="--", zorder=0)
        ax.margins(y=0.1)
        ax.set_ylim(bottom=0.0)
        flagged = most(size, n_labels, drawn & (size > self.threshold))
        annotate(ax, rows, size, self.train_labels, flagged)
        ax.set_xlabel("position of the row")
        ax.set_ylabel("Cook's distance")
        titled(ax, self.name if name is None else name)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns cooks_distance and flagged, one line for each row.
        """
        flagged = self.cooks_distance > self.threshold
        frame = data_frame({"cooks_distance": self.cooks_distance, "flagged": flagged})
        frame.index = self.train_labels
        return frame
