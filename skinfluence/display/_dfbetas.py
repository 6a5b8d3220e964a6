"""DFBETAS: the effect of each row on each coefficient."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._frames import DataFrame, data_frame
from skinfluence.display._axes import BLUE, GREY, apart, axes, merged, told_apart
from skinfluence.display._diagnostics import DiagnosticsDisplay, most, row_labels, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class DfbetasDisplay(DiagnosticsDisplay):
    """DFBETAS of each row, a strip for each coefficient, with thresholds and names beyond them.

    As in all case-deletion diagnostics the sign is before minus after the deletion: a row on the
    right makes the coefficient larger.

    Make one by :meth:`from_estimator` or :meth:`from_diagnostics`. All parameters are kept as
    attributes.

    Parameters
    ----------
    dfbetas : array-like of shape (n_train, q)
        As in :class:`skinfluence.CaseDeletionDiagnostics`. NaN for undefined rows, which are not
        drawn.
    coefficients : sequence of str, length q
        Names of the columns of `dfbetas`.
    threshold : float
        Position of the lines, on both sides of 0.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : list of matplotlib Line2D
        Points of each coefficient.
    lines_ : list of matplotlib Line2D
        Lines at the thresholds.

    Raises
    ------
    ValueError
        If `dfbetas` does not have one column for each coefficient.

    See Also
    --------
    AddedVariableDisplay : All rows and one coefficient.

    References
    ----------
    Belsley, Kuh & Welsch, Regression Diagnostics, Wiley, 1980.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> from skinfluence.display import DfbetasDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = InfluenceLinearRegression().fit(X[["bmi", "bp"]], y)
    >>> display = DfbetasDisplay.from_estimator(model)
    >>> display.coefficients, round(display.threshold, 3)
    (('const', 'bmi', 'bp'), 0.095)
    """

    def __init__(
        self,
        *,
        dfbetas: ArrayLike,
        coefficients: Sequence[str],
        threshold: float,
        train_labels: ArrayLike | None = None,
        name: str | None = None,
    ):
        self.dfbetas = np.asarray(dfbetas, dtype=float)
        self.coefficients = tuple(coefficients)
        if self.dfbetas.ndim != 2 or self.dfbetas.shape[1] != len(self.coefficients):
            raise ValueError(
                f"dfbetas should have a column for each of the {len(self.coefficients)} "
                f"coefficients; got the shape {self.dfbetas.shape}."
            )
        self.threshold = float(threshold)
        self.train_labels = row_labels(train_labels, len(self.dfbetas))
        self.name = name

    @classmethod
    def _arguments(cls, diagnostics):
        """Keyword arguments of the constructor: DFBETAS, and the threshold 2 / sqrt(n)."""
        return {
            "dfbetas": diagnostics.dfbetas,
            "coefficients": diagnostics.names,
            "threshold": 2.0 / np.sqrt(diagnostics.n_used),
        }

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 3,
        point_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=3
            Largest number of rows beyond the threshold to name for each coefficient.
        point_kwargs : dict, optional
            Keyword arguments of matplotlib's plot.

        Returns
        -------
        DfbetasDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        style = {"color": BLUE, "alpha": 0.5, "markersize": 4, "markeredgewidth": 0}
        self.points_ = []
        for j, values in enumerate(self.dfbetas.T):
            drawn = np.isfinite(values)
            heights = np.full(int(drawn.sum()), float(j))
            self.points_ += ax.plot(values[drawn], heights, "o", **merged(style, point_kwargs))
        style = {"color": GREY, "linewidth": 1.0, "zorder": 0}
        self.lines_ = [
            ax.axvline(sign * self.threshold, linestyle="--", **style) for sign in (-1.0, 1.0)
        ]
        ax.axvline(0.0, **style)
        ax.set_yticks(range(len(self.coefficients)), told_apart(self.coefficients))
        ax.set_ylim(len(self.coefficients) - 0.4, -0.6)
        ax.set_xlabel("DFBETAS")
        ax.margins(x=0.08)
        for j, values in enumerate(self.dfbetas.T):
            beyond = np.isfinite(values) & (np.abs(values) > self.threshold)
            self._name(ax, j, values, most(np.abs(values), n_labels, beyond))
        titled(ax, self.name if name is None else name)
        return self

    def _name(self, ax, strip, values, rows):
        """Write the labels of rows alternately above and below a strip."""
        heights, ordered = np.full(len(values), float(strip)), rows[np.argsort(values[rows])]
        for above in (True, False):
            side = ordered[0 if above else 1 :: 2]
            for row, text in apart(ax, np.nan_to_num(values), heights, self.train_labels, side):
                ax.annotate(
                    text,
                    (values[row], strip),
                    xytext=(0, 5 if above else -5),
                    textcoords="offset points",
                    ha="left" if values[row] < 0 else "right",  # within the axes
                    va="bottom" if above else "top",
                    fontsize="small",
                )

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            A column for each coefficient, one line for each row.
        """
        frame = data_frame(dict(enumerate(self.dfbetas.T)))
        frame.columns = list(self.coefficients)
        frame.index = self.train_labels
        return frame
