"""Wrong labels found, and test accuracy, against the share of rows checked."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._typing import MatrixLike
from skinfluence._validation import check_choice
from skinfluence.display._axes import BLUE, GREY, axes, merged, plain
from skinfluence.labels import LabelAudit, ReviewCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = ("found", "accuracy")
Y_LABELS = {"found": "share of the wrong labels found", "accuracy": "test accuracy"}


class LabelReviewDisplay:
    """Wrong labels found, or test accuracy, against the share of rows checked.

    Make one by :meth:`from_audit`. All parameters are kept as attributes.

    Parameters
    ----------
    curve : ReviewCurve
        What :meth:`skinfluence.labels.LabelAudit.review_curve` returns.
    name : str, optional
        Name of the score or the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_, random_line_ : matplotlib Line2D
        Curves in order of suspicion and in random order.

    See Also
    --------
    skinfluence.labels.LabelAudit : The ranking that is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence.display import LabelReviewDisplay
    >>> from skinfluence.labels import LabelAudit
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> y_given = np.where(np.arange(len(y)) % 10 == 0, 1 - y, y)
    >>> audit = LabelAudit(LogisticRegression()).fit(scale(X), y_given)
    >>> display = LabelReviewDisplay.from_audit(audit, y)
    >>> display.curve.n_errors
    57
    """

    def __init__(self, *, curve: ReviewCurve, name: str | None = None):
        self.curve = curve
        self.name = name

    @classmethod
    def from_audit(
        cls,
        audit: LabelAudit,
        y_true: ArrayLike,
        *,
        X_test: MatrixLike | None = None,
        y_test: ArrayLike | None = None,
        n_points: int = 11,
        n_random: int = 3,
        random_state: int | np.random.RandomState | None = 0,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the review curve of a fitted audit, and draw it.

        Parameters
        ----------
        audit : LabelAudit
            Fitted.
        y_true : array-like of shape (n_train,)
            True labels.
        X_test, y_test, n_points, n_random, random_state
            As in :meth:`skinfluence.labels.LabelAudit.review_curve`.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name for the legend.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        LabelReviewDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As :meth:`skinfluence.labels.LabelAudit.review_curve`.
        """
        curve = audit.review_curve(
            y_true,
            X_test=X_test,
            y_test=y_test,
            n_points=n_points,
            n_random=n_random,
            random_state=random_state,
        )
        return cls(curve=curve, name=name).plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        quantity: str = "found",
        name: str | None = None,
        line_kwargs: dict | None = None,
        random_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        quantity : {"found", "accuracy"}, default="found"
            What is drawn.
        name : str, optional
            Name for the legend; that of the display by default.
        line_kwargs, random_kwargs : dict, optional
            Keyword arguments of the two curves; ``{"visible": False}`` hides one.

        Returns
        -------
        LabelReviewDisplay
            The display, with its artists as attributes.

        Raises
        ------
        ValueError
            For an unknown quantity, or the accuracy of a curve without test rows.
        """
        check_choice("quantity", quantity, QUANTITIES)
        curve = self.curve
        if quantity == "accuracy" and curve.accuracy is None:
            raise ValueError(
                "the curve has no accuracy: it was computed without X_test and y_test."
            )
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        share = curve.checked / curve.n_rows
        style = {"color": BLUE, "label": "most suspect first" if name is None else plain(name)}
        (self.line_,) = ax.plot(share, getattr(curve, quantity), **merged(style, line_kwargs))
        style = {"color": GREY, "linestyle": "--", "linewidth": 1.0, "label": "random order"}
        (self.random_line_,) = ax.plot(
            share, getattr(curve, f"random_{quantity}"), **merged(style, random_kwargs)
        )
        ax.set_xlabel("share of the rows checked")
        ax.set_ylabel(Y_LABELS[quantity])
        ax.legend(frameon=False)
        return self
