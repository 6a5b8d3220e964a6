"""A quantity along the removal of rows, up to its flip, and what is proven about their number."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skinfluence.display._axes import BLUE, GREY, RED, axes, in_lines, merged
from skinfluence.robustness import RobustnessAudit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class RobustnessDisplay:
    """Quantity after each removal, its level, the first-order count and the proven bound.

    Make one by :meth:`from_audit`. All parameters are kept as attributes.

    Parameters
    ----------
    audit : RobustnessAudit
        What `smallest_flip` returns.
    opposite : RobustnessAudit, optional
        That of another level or direction, drawn on the same axes.
    name : str, optional
        Name of the quantity, for the axis; the audit's `measure` by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_, opposite_line_ : matplotlib Line2D
        Paths; the second is None without an opposite.
    level_line_, first_order_line_ : matplotlib Line2D
        Level, and number of rows by first-order effects; the second is None where there is none.
    proven_ : matplotlib Polygon or None
        Numbers of rows that are proven not to be enough.

    See Also
    --------
    skinfluence.InfluenceExplainer.smallest_flip : The audit that is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> from skinfluence.display import RobustnessDisplay
    >>> from skinfluence.robustness import coefficient
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = InfluenceLinearRegression().fit(X[["s3"]], y)
    >>> display = RobustnessDisplay.from_audit(model.smallest_flip(coefficient("s3", -500.0)))
    >>> display.ax_.get_xlabel()
    'rows removed'
    """

    def __init__(
        self,
        *,
        audit: RobustnessAudit,
        opposite: RobustnessAudit | None = None,
        name: str | None = None,
    ):
        self.audit = audit
        self.opposite = opposite
        self.name = name

    @classmethod
    def from_audit(
        cls,
        audit: RobustnessAudit,
        *,
        opposite: RobustnessAudit | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw an audit.

        Parameters
        ----------
        audit : RobustnessAudit
            What `smallest_flip` returns.
        opposite : RobustnessAudit, optional
            That of another level or direction, drawn on the same axes.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the quantity, for the axis.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        RobustnessDisplay
            The display, drawn.
        """
        return cls(audit=audit, opposite=opposite, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, *, line_kwargs: dict | None = None) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        line_kwargs : dict, optional
            Keyword arguments of `ax.plot` for the path.

        Returns
        -------
        RobustnessDisplay
            The display itself.
        """
        self.ax_ = ax = axes(ax)
        audit, unit = self.audit, "rows" if self.audit.n_groups is None else "groups"
        style = merged({"color": BLUE, "marker": ".", "label": "after a refit"}, line_kwargs)
        (self.line_,) = ax.plot(np.arange(len(audit.path)), audit.path, **style)
        self.opposite_line_ = None
        if self.opposite is not None:
            path = self.opposite.path
            style = merged({**style, "color": RED, "label": "the other way"}, line_kwargs)
            (self.opposite_line_,) = ax.plot(np.arange(len(path)), path, **style)
            ax.axhline(self.opposite.level, color=GREY, linewidth=1.0, zorder=0)
        self.level_line_ = ax.axhline(audit.level, color=GREY, linewidth=1.0, zorder=0)
        self.first_order_line_ = self.proven_ = None
        if audit.first_order_count is not None:
            self.first_order_line_ = ax.axvline(
                audit.first_order_count, color=GREY, linestyle=":", label="first-order count"
            )
        if audit.at_least > 1:
            self.proven_ = ax.axvspan(
                0, audit.at_least - 1, color=GREY, alpha=0.15, linewidth=0, label="proven too few"
            )
        measured = audit.measure.removeprefix("the ") if self.name is None else self.name
        ax.set(xlabel=f"{unit} removed", ylabel=in_lines(measured))
        ax.legend(frameon=False)
        self.figure_ = ax.figure
        return self
