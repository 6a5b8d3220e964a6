"""What the model says of each training row, and what it would say had it never seen it."""

import numpy as np

from skinfluence._frames import checked_labels, data_frame
from skinfluence.display._axes import BLUE, RED, annotate, axes, checked, diagonal, merged
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem

LABELLED = 12  # flipped rows, those that moved farthest


class LeaveOneOutDisplay:
    """Leave-one-out prediction of each training row against the fitted one.

    Rows on the diagonal do not depend on having been seen. Rows far below it are predicted well
    only because the model was trained on them; those whose predicted label changes are marked, and
    the twelve that move farthest are named.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one. All parameters are kept as
    attributes.

    Parameters
    ----------
    fitted, left_out : ndarray of shape (n_train,)
        Prediction of each row by the full model and by the model without it: the probability of the
        row's own label, or its margin over the others where the model has no probabilities. NaN for
        rows without a leave-one-out prediction, which are not drawn.
    flipped : ndarray of bool, shape (n_train,), optional
        Rows whose predicted label changes; none by default.
    train_labels : array-like of shape (n_train,), optional
        What to call the rows; positions by default.
    response : str, default="probability of the own label"
        What is predicted, for the axes.
    name : str, optional
        Of the model, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    scatter_, flipped_ : matplotlib PathCollection
        Points of all rows, and of the flipped ones.
    line_ : matplotlib Line2D
        The diagonal.

    Raises
    ------
    ValueError
        If the arrays have different lengths.

    See Also
    --------
    LeaveOneOutAgreementDisplay : Whether the estimates are true.

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
        fitted,
        left_out,
        flipped=None,
        train_labels=None,
        response="probability of the own label",
        name=None,
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
        cls, estimator, *, method="auto", train_labels=None, ax=None, name=None, **kwargs
    ):
        """Compute and draw the leave-one-out predictions of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        method : {"auto", "exact", "newton", "first_order"}, default="auto"
            As in :meth:`InfluenceExplainer.loo_estimate`.
        train_labels : array-like of shape (n_train,), optional
            What to call the rows.
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        name : str, optional
            Of the model; its class by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        LeaveOneOutDisplay
            Drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.loo_estimate`.
        """
        view = explain(estimator)
        left = view.loo_estimate(method=method)
        problem = fitted_problem(view)
        objective, output = problem.objective, problem.adapted.output
        before, after = objective.native(objective.eta), left.decision_function
        labels = objective.y.astype(int)
        flipped = ~np.isnan(left.loss)
        flipped[flipped] = output.at(before[flipped]).predict(None) != output.at(
            after[flipped]
        ).predict(None)
        fitted, left_out = (_own(output, decision, labels) for decision in (before, after))
        what = "probability" if output.has_probabilities else "margin"
        display = cls(
            fitted=fitted,
            left_out=left_out,
            response=f"{what} of the own label",
            flipped=flipped,
            train_labels=train_labels,
            name=type(view.estimator_).__name__ if name is None else name,
        )
        return display.plot(ax, **kwargs)

    @classmethod
    def from_predictions(
        cls, fitted, left_out, *, flipped=None, train_labels=None, ax=None, name=None, **kwargs
    ):
        """Draw predictions at hand.

        Parameters
        ----------
        fitted, left_out : array-like of shape (n_train,)
            Predictions by the full model and by the model without each row.
        flipped : array-like of bool, shape (n_train,), optional
            Rows to mark.
        train_labels : array-like of shape (n_train,), optional
            What to call the rows.
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        name : str, optional
            Of the model, for the legend.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        LeaveOneOutDisplay
            Drawn.

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

    def plot(self, ax=None, *, name=None, scatter_kwargs=None, flipped_kwargs=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; new axes by default.
        name : str, optional
            Of the model, for the legend; the display's own by default.
        scatter_kwargs, flipped_kwargs : dict, optional
            Keyword arguments of matplotlib's scatter, for all rows and for the flipped ones.

        Returns
        -------
        LeaveOneOutDisplay
            With its artists as attributes.
        """
        self.ax_ = ax = axes(ax)
        self.figure_ = ax.figure
        name = self.name if name is None else name
        style = {"s": 14, "color": BLUE, "alpha": 0.6, "linewidth": 0}
        x, y, flipped = self.fitted, self.left_out, self.flipped
        label = "rows" if name is None else name
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

    def to_frame(self):
        """Return what is drawn, as a pandas DataFrame.

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


def _own(output, decision, labels):
    """Probability of each row's own label, or its predictor's lead over the best other."""
    rows = np.arange(len(labels))
    if output.has_probabilities:
        return output.probabilities(decision)[rows, labels]
    if decision.ndim == 1:
        return (2 * labels - 1) * decision
    others = decision.copy()
    others[rows, labels] = -np.inf
    return decision[rows, labels] - others.max(axis=1)
