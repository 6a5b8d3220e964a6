"""Base class of the figures of case-deletion diagnostics."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import checked_labels
from skinfluence.case_deletion import CaseDeletionDiagnostics
from skinfluence.display._axes import plain
from skinfluence.functions import explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class DiagnosticsDisplay:
    """A figure of a CaseDeletionDiagnostics; `_arguments` selects the values to draw."""

    @classmethod
    def _arguments(cls, diagnostics):
        """Keyword arguments of the constructor, from diagnostics."""
        raise NotImplementedError

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the diagnostics of a fitted model and draw them.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
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
        display
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, NotImplementedError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and
            :meth:`InfluenceExplainer.case_deletion_diagnostics`.
        """
        view = explain(estimator)
        name = type(view.estimator_).__name__ if name is None else name
        return cls.from_diagnostics(
            view.case_deletion_diagnostics(), train_labels=train_labels, ax=ax, name=name, **kwargs
        )

    @classmethod
    def from_diagnostics(
        cls,
        diagnostics: CaseDeletionDiagnostics,
        *,
        train_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw diagnostics that are already computed.

        Parameters
        ----------
        diagnostics : CaseDeletionDiagnostics
            Result of `case_deletion_diagnostics`.
        train_labels : array-like of shape (n_train,), optional
            Names of the rows; the index that fit has seen by default, else positions.
        ax : matplotlib Axes, optional
            Axes to draw on; new axes by default.
        name : str, optional
            Name of the model, for the title.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        TypeError
            If `diagnostics` is something else, such as the leverage blocks of several classes.
        ValueError
            If the labels do not have the right length.
        """
        if not isinstance(diagnostics, CaseDeletionDiagnostics):
            raise TypeError(
                f"{cls.__name__} needs the CaseDeletionDiagnostics of a model with one response; "
                f"got {type(diagnostics).__name__}."
            )
        train_labels = diagnostics.row_names if train_labels is None else train_labels
        figure: Any = cls  # each figure has a constructor and a plot of its own
        display = figure(**cls._arguments(diagnostics), train_labels=train_labels, name=name)
        return display.plot(ax, **kwargs)


def titled(ax, name):
    """Write the name of the model above the axes, if it has one."""
    if name is not None:
        ax.set_title(plain(name), loc="left", fontsize="medium")


def most(size, n_labels, among=None):
    """Positions of at most `n_labels` largest sizes, optionally `among` some rows, without NaN."""
    size = np.nan_to_num(np.asarray(size, dtype=float), nan=-np.inf)
    if among is not None:
        size = np.where(among, size, -np.inf)
    order = np.argsort(-size, kind="stable")[:n_labels]
    return order[np.isfinite(size[order])]


def row_labels(train_labels, n):
    """Return the labels of n rows as an array; positions if there are none."""
    return checked_labels(train_labels, n, "train_labels")
