"""Slope, intercept, correlation and relative error of an estimate."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._frames import DataFrame, Result, data_frame


@dataclass(frozen=True, repr=False)
class Agreement(Result):
    """Least-squares line of estimated on actual values, and the relative error.

    Attributes
    ----------
    slope, intercept : float
        Line estimated ~ slope * actual + intercept. 1 and 0 for a perfect estimate; a slope below 1
        for estimates that are too small.
    r : float
        Pearson correlation.
    relative_rmse : float
        Root mean square of estimated - actual, divided by that of actual.
    n : int
        Number of pairs.
    """

    slope: float
    intercept: float
    r: float
    relative_rmse: float
    n: int

    def to_frame(self) -> DataFrame:
        """Return the numbers as a pandas DataFrame of one line.

        Returns
        -------
        pandas.DataFrame
            Columns with the names of the attributes.
        """
        return data_frame({field.name: [getattr(self, field.name)] for field in fields(self)})

    def __repr__(self):
        """The numbers, after the name of the class."""
        return f"Agreement({self})"

    def __str__(self):
        """Return the numbers on one line."""
        return (
            f"slope {self.slope:.4f}, intercept {self.intercept:.2e}, r {self.r:.5f}, "
            f"relative RMSE {self.relative_rmse:.2%} (n = {self.n})"
        )


def agreement(estimated: ArrayLike, actual: ArrayLike) -> Agreement:
    """Compare estimated effects with actual ones, by slope, correlation and relative error.

    Parameters
    ----------
    estimated, actual : array-like of the same shape
        All entries are compared, whatever the shape.

    Returns
    -------
    Agreement
        Slope, intercept, r and relative RMSE.

    Raises
    ------
    ValueError
        If the shapes differ, fewer than two pairs are given, an entry is not finite, or the actual
        values are all equal.

    Examples
    --------
    >>> from skinfluence.evaluation import agreement
    >>> print(agreement([0.9, 2.1, 2.9], [1.0, 2.0, 3.0]))
    slope 1.0000, intercept -3.33e-02, r 0.99340, relative RMSE 4.63% (n = 3)
    """
    estimated, actual = np.asarray(estimated, dtype=float), np.asarray(actual, dtype=float)
    if estimated.shape != actual.shape:
        raise ValueError(
            f"estimated and actual should have the same shape; got {estimated.shape} and "
            f"{actual.shape}."
        )
    x, y = actual.ravel(), estimated.ravel()
    if len(x) < 2:
        raise ValueError(f"agreement needs at least two pairs; got {len(x)}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            "estimated and actual should be finite; leave undefined rows (NaN) out of both."
        )
    spread = x - x.mean()
    if not spread.any():
        raise ValueError("the actual values are all equal: there is no line to fit.")
    slope = float(spread @ (y - y.mean()) / (spread @ spread))
    norm = np.linalg.norm(y - y.mean()) * np.linalg.norm(spread)
    return Agreement(
        slope,
        float(y.mean() - slope * x.mean()),
        float(spread @ (y - y.mean()) / norm) if norm else np.nan,
        float(np.linalg.norm(y - x) / np.linalg.norm(x)),
        len(x),
    )
