"""Quantile-quantile plot of studentised residuals."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._frames import DataFrame, data_frame
from skinfluence.case_deletion import residual_quantiles
from skinfluence.display._axes import BLUE, GREY, annotate, axes, checked, diagonal, merged
from skinfluence.display._diagnostics import DiagnosticsDisplay, most, row_labels, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class QQResidualDisplay(DiagnosticsDisplay):
    """Externally studentised residuals, sorted, against the medians of their order statistics.

    Under the model of least squares each residual has Student's t distribution with n - p - 1
    degrees of freedom. If the dispersion is known (logistic and Poisson regression) the normal
    distribution is used instead; for generalised linear models both are approximations. The band
    contains each order statistic with a probability of 95 %. It is exact for independent residuals,
    and these are nearly independent if n is several times p. Of 100 rows five are expected outside
    the band.

    Make one by :meth:`from_estimator` or :meth:`from_diagnostics`. All parameters are kept as
    attributes.

    Parameters
    ----------
    studentized_residual : array-like of shape (n_train,)
        As in :class:`skinfluence.CaseDeletionDiagnostics`; NaN are not drawn.
    df : float
        Degrees of freedom of the t distribution; inf for the normal distribution.
    level : float, default=0.95
        Probability of the band.
    train_labels : array-like of shape (n_train,), optional
        Names of the rows; positions by default.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
        Rows with a residual, from the smallest to the largest.
    quantile, low, high : ndarray of shape (m,)
        Median and band of the order statistics.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_ : matplotlib PathCollection
    band_ : matplotlib PolyCollection
    line_ : matplotlib Line2D
        The diagonal.

    See Also
    --------
    CaseDeletionDiagnostics.outlier_p_value : A test of the largest residuals.

    References
    ----------
    Atkinson, Plots, Transformations and Regression, Oxford University Press, 1985.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> from skinfluence.display import QQResidualDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = QQResidualDisplay.from_estimator(InfluenceLinearRegression().fit(X, y))
    >>> display.df, display.rows[-3:].tolist()
    (430.0, [304, 359, 102])
    """

    def __init__(
        self,
        *,
        studentized_residual: ArrayLike,
        df: float,
        level: float = 0.95,
        train_labels: ArrayLike | None = None,
        name: str | None = None,
    ):
        (self.studentized_residual,) = checked(studentized_residual=studentized_residual)
        self.df, self.level = float(df), float(level)
        if not 0 < self.level < 1:
            raise ValueError(f"level should be between 0 and 1; got {level!r}.")
        if not self.df > 0:
            raise ValueError(f"df should be positive; got {df!r}: no row is left over.")
        self.train_labels = row_labels(train_labels, len(self.studentized_residual))
        self.name = name
        order = np.argsort(self.studentized_residual, kind="stable")
        self.rows = order[np.isfinite(self.studentized_residual[order])]
        self.quantile, self.low, self.high = residual_quantiles(len(self.rows), self.df, self.level)

    @classmethod
    def _arguments(cls, diagnostics):
        """Keyword arguments of the constructor: residuals and their degrees of freedom."""
        known = diagnostics.has_known_dispersion
        return {
            "studentized_residual": diagnostics.studentized_residual,
            "df": np.inf if known else round(diagnostics.df_residual - 1.0, 9),
        }

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        n_labels: int = 3,
        scatter_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        n_labels : int, default=3
            Number of rows to name, those with the largest residuals.
        scatter_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter.

        Returns
        -------
        QQResidualDisplay
            The display, with its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        values = self.studentized_residual
        style = {"s": 14, "color": BLUE, "alpha": 0.6, "linewidth": 0}
        self.band_ = ax.fill_between(
            self.quantile, self.low, self.high, color=GREY, alpha=0.3, linewidth=0, zorder=0
        )
        self.line_ = diagonal(ax)
        self.scatter_ = ax.scatter(
            self.quantile, values[self.rows], **merged(style, scatter_kwargs)
        )
        extreme = most(np.abs(values[self.rows]), n_labels)
        annotate(ax, self.quantile, values[self.rows], self.train_labels[self.rows], extreme)
        distribution = "normal" if np.isinf(self.df) else f"t with {self.df:g} degrees of freedom"
        ax.set_xlabel(f"quantile, {distribution}")
        ax.set_ylabel("studentised residual")
        titled(ax, self.name if name is None else name)
        return self

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns studentized_residual, quantile, low and high, from the smallest to the largest.
        """
        frame = data_frame(
            {
                "studentized_residual": self.studentized_residual[self.rows],
                "quantile": self.quantile,
                "low": self.low,
                "high": self.high,
            }
        )
        frame.index = self.train_labels[self.rows]
        return frame
