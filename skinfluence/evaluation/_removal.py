"""Removing the rows that an attribution names, and looking at the model that is left."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier

from skinfluence._frames import DataFrame, Result, data_frame, row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import as_numbers, check_choice, check_count
from skinfluence.evaluation._comparison import checked_attributions
from skinfluence.evaluation._outputs import is_higher_better
from skinfluence.evaluation._retraining import Task, outputs_of, retraining
from skinfluence.evaluation._subsets import seed_of

# Shares of the training rows that are removed where the caller names no numbers.
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, repr=False)
class RemovalCurve(Result):
    """The mean output of a model without its most helpful or most harmful rows, and without others.

    Attributes
    ----------
    kind : {"helpful", "harmful"}
    n_removed : ndarray of int, shape (k,)
    before : float
        Mean output over the test rows of the model of all rows.
    removed : ndarray of shape (k,)
        That of the model retrained without the rows that come first; NaN without a model.
    random : ndarray of shape (k, n_random)
        That of models retrained without as many random rows.
    order : ndarray of int, shape (n_train,)
        The training rows, those that are removed first first.
    """

    kind: str
    n_removed: np.ndarray
    before: float
    removed: np.ndarray
    random: np.ndarray
    order: np.ndarray

    @property
    def effect(self) -> np.ndarray:
        """Change of the output by removing the rows beyond that by removing random ones.

        Returns
        -------
        ndarray of shape (k,)
            For each number of removed rows.
        """
        return self.removed - np.nanmean(self.random, axis=1)

    def to_frame(self) -> DataFrame:
        """Return one line for each number of removed rows, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns n_removed, removed, random_mean and random_sd.
        """
        columns = {"n_removed": self.n_removed, "removed": self.removed}
        columns["random_mean"] = np.nanmean(self.random, axis=1)
        return data_frame({**columns, "random_sd": np.nanstd(self.random, axis=1, ddof=1)})

    def __repr__(self):
        """The largest removal, against the random ones."""
        random = self.random[-1]
        return (
            f"RemovalCurve({self.kind}: {self.before:.4g} before, {self.removed[-1]:.4g} without "
            f"{self.n_removed[-1]} rows, {np.nanmean(random):.4g} without as many random ones)"
        )


@dataclass(frozen=True, repr=False)
class Brittleness(Result):
    """How few removed rows change the predicted label of each test row.

    Attributes
    ----------
    n_removed : ndarray of int, shape (n_test,)
        Smallest number of rows, in the order of the attributions, without which the retrained model
        predicts another label, while without one row less it predicts the same; -1 where none up to
        `max_removed` does.
    predicted : ndarray of shape (n_test,)
        Labels that the model of all rows predicts.
    flipped : ndarray of shape (n_test,)
        Labels that the model without these rows predicts; the same where nothing was found.
    max_removed : int
    n_refits : int
        Models that were retrained to verify this.
    test_names : ndarray of shape (n_test,) or None
        Names of the test rows; None if X_test has none.
    """

    n_removed: np.ndarray
    predicted: np.ndarray
    flipped: np.ndarray
    max_removed: int
    n_refits: int
    test_names: np.ndarray | None = None

    def share_flipped(self, n_removed: ArrayLike) -> np.ndarray:
        """Share of the test rows whose label flips without at most so many rows.

        Parameters
        ----------
        n_removed : array-like of int
            Numbers of rows.

        Returns
        -------
        ndarray
            Of the shape of `n_removed`.
        """
        least = np.asarray(n_removed)[..., None]
        return ((self.n_removed > 0) & (self.n_removed <= least)).mean(axis=-1)

    def to_frame(self) -> DataFrame:
        """Return one line for each test row, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns n_removed, predicted and flipped, indexed by the names of the test rows.
        """
        names = ("n_removed", "predicted", "flipped")
        return data_frame({name: getattr(self, name) for name in names}, self.test_names)

    def __repr__(self):
        """How many test rows flip, and the median of the removals."""
        found = self.n_removed[self.n_removed > 0]
        median = f", of these the median without {np.median(found):g} rows" if len(found) else ""
        return (
            f"Brittleness({len(found)} of {len(self.n_removed)} test rows flip without at most "
            f"{self.max_removed} rows{median}; {self.n_refits} refits)"
        )


def removal_curve(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    attributions: ArrayLike,
    *,
    n_removed: ArrayLike | None = None,
    kind: str = "helpful",
    target: str | Callable = "loss",
    greater_is_better: bool | None = None,
    n_random: int = 5,
    sample_weight: ArrayLike | None = None,
    method: str = "auto",
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: Callable | None = None,
) -> RemovalCurve:
    """Retrain without the rows that an attribution puts first, and without random ones.

    Parameters
    ----------
    estimator, X, y, X_test, y_test, sample_weight, method, n_jobs, progress
        As in :meth:`SubsetTruths.compute`.
    attributions : array-like of shape (n_test, n_train) or (n_train,)
        After the removal minus before, of the same target; of several test rows the mean counts.
    n_removed : array-like of int, optional
        Numbers of rows to remove; by default 1, 2, 5, 10 and 20 % of the training rows.
    kind : {"helpful", "harmful"}, default="helpful"
        Which rows go first: those whose removal makes the target worse, or those whose removal
        makes it better.
    target : str or callable, default="loss"
        As in :meth:`SubsetTruths.compute`.
    greater_is_better : bool, optional
        Which way a target that is a function, or "prediction" or "decision_function", is better.
    n_random : int, default=5
        Random removals of each number.
    random_state : int, RandomState instance or None, default=None
        Of the random removals, and of the fits.

    Returns
    -------
    RemovalCurve
        The mean target over the test rows after each removal.

    Raises
    ------
    ValueError
        For attributions of another shape, or numbers that leave no row.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.evaluation import removal_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> X, X_test, y, y_test = X[::2], X[1::2], y[::2], y[1::2]
    >>> clf = InfluenceLogisticRegression().fit(X, y)
    >>> rows = clf.influence(X_test, y_test, aggregate="mean")
    >>> curve = removal_curve(clf, X, y, X_test, y_test, rows, n_removed=[5, 10], random_state=0)
    >>> bool((curve.effect > 0).all())
    True
    """
    check_choice("kind", kind, ("helpful", "harmful"))
    check_count("n_random", n_random)
    task = Task.of(estimator, X, y, X_test, y_test, target, sample_weight)
    values = as_numbers("attributions", attributions)
    if values.shape != (task.n_train,):
        values = checked_attributions(attributions, X, X_test).mean(axis=0)
    order = _order(values, kind, target, greater_is_better)
    counts = _counts(n_removed, task.n_train)
    seed, ways = seed_of(random_state), retraining(task, method)
    rng = np.random.default_rng([seed, 0])
    orders = [order, *(rng.permutation(task.n_train) for _ in range(n_random))]
    subsets = np.ones((len(counts) * len(orders), task.n_train), dtype=bool)
    for j, (count, each) in enumerate((count, each) for count in counts for each in orders):
        subsets[j, each[:count]] = False
    outputs = outputs_of(ways, subsets, seed, n_jobs, progress).mean(axis=1)
    outputs = outputs.reshape(len(counts), len(orders))
    before = float(ways.full(np.random.default_rng([seed, len(subsets)])).mean())
    return RemovalCurve(kind, counts, before, outputs[:, 0], outputs[:, 1:], order)


def brittleness(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    attributions: ArrayLike,
    *,
    max_removed: int | None = None,
    sample_weight: ArrayLike | None = None,
    method: str = "auto",
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: Callable | None = None,
) -> Brittleness:
    """How few removed rows, in the order of an attribution, flip the label of each test row.

    The number is searched by doubling and then by halving, for all test rows at once, and every
    answer is that of a retrained model. It is the smallest in this order if the rows that follow do
    not flip the label back; sets in another order may be smaller.

    Parameters
    ----------
    estimator : estimator
        A classifier; clones of it are retrained.
    X, y, X_test, y_test, sample_weight, method, n_jobs, progress
        As in :meth:`SubsetTruths.compute`.
    attributions : array-like of shape (n_test, n_train)
        After the removal minus before, of a target that grows with the score of the label, such as
        "margin" or "probability". Rows whose removal speaks most against the predicted label go
        first.
    max_removed : int, optional
        At most so many rows are removed; half of the training rows by default.
    random_state : int, RandomState instance or None, default=None
        Of the fits.

    Returns
    -------
    Brittleness
        The smallest number for each test row.

    Raises
    ------
    ValueError
        For a regressor, or attributions of another shape.

    References
    ----------
    Ilyas, Park, Engstrom, Leclerc & Madry, Datamodels: predicting predictions from training data,
    ICML 2022, section 4.1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.evaluation import brittleness
    >>> X, y = load_iris(return_X_y=True)
    >>> X, X_test, y, y_test = X[::2], X[1::10], y[::2], y[1::10]
    >>> clf = InfluenceLogisticRegression().fit(X, y)
    >>> margins = clf.influence(X_test, y_test, target="margin")
    >>> found = brittleness(clf, X, y, X_test, y_test, margins)
    >>> found.n_removed.shape
    (15,)
    """
    if not is_classifier(estimator):
        raise ValueError(f"brittleness is about labels; {type(estimator).__name__} predicts none.")
    task = Task.of(estimator, X, y, X_test, y_test, _predicted_codes, sample_weight)
    values = checked_attributions(attributions, X, X_test)
    if callable(values):
        raise TypeError("attributions should be an array (n_test, n_train), one for each row.")
    most = task.n_train // 2 if max_removed is None else max_removed
    check_count("max_removed", most)
    most = min(most, task.n_train - 1)
    seed, ways = seed_of(random_state), retraining(task, method)
    classes = np.unique(np.asarray(y))
    before = ways.full(np.random.default_rng([seed, 0])).astype(int)
    # Of a label that is not predicted a lower margin says nothing: the predicted one is to fall.
    sign = np.where(classes[before] == np.asarray(y_test), 1.0, -1.0)
    order = np.argsort(sign[:, None] * values, axis=1, kind="stable")
    search = _Search(ways, order, before, seed, n_jobs, progress)
    low, high = search.doubled(most)
    after = search.halved(low, high)
    flipped = np.where(high > 0, after, before)
    labels = classes[before], classes[flipped]
    return Brittleness(high, *labels, most, search.n_refits, row_names(X_test))


class _Search:
    """The smallest number of removed rows that flips each test row, by retrained models.

    Parameters
    ----------
    ways : Refits or Changes
        Whose outputs are codes of predicted labels.
    order : ndarray of int, shape (n_test, n_train)
    before : ndarray of int, shape (n_test,)
    seed, n_jobs, progress
    """

    def __init__(self, ways, order, before, seed, n_jobs, progress):
        self.ways, self.order, self.before = ways, order, before
        self.seed, self.options = seed, (n_jobs, progress)
        self.n_refits = 0
        self.codes = before.copy()

    def flips(self, rows, counts):
        """Whether each of some test rows has another label without so many rows of its order."""
        subsets = np.ones((len(rows), self.order.shape[1]), dtype=bool)
        for subset, row, count in zip(subsets, rows, counts, strict=True):
            subset[self.order[row, :count]] = False
        self.n_refits += len(rows)
        outputs = outputs_of(self.ways, subsets, self.seed, *self.options)
        found = outputs[np.arange(len(rows)), rows]
        flipped = np.isfinite(found) & (found != self.before[rows])
        self.codes[rows[flipped]] = found[flipped]
        return flipped

    def doubled(self, most):
        """(low, high): a number that does not flip, and one that does or -1, for each test row."""
        n_test = len(self.order)
        low, high = np.zeros(n_test, dtype=int), np.full(n_test, -1)
        rows, count = np.arange(n_test), 1
        while len(rows):
            flipped = self.flips(rows, np.full(len(rows), count))
            high[rows[flipped]] = count
            low[rows[~flipped]] = count
            rows = rows[~flipped] if count < most else rows[:0]
            count = min(2 * count, most)
        return low, high

    def halved(self, low, high):
        """Bring `high` down, in place, to `low` + 1; return the code that each then predicts."""
        while True:
            rows = np.flatnonzero((high > 0) & (high - low > 1))
            if not len(rows):
                return self.codes
            middle = (low[rows] + high[rows]) // 2
            flipped = self.flips(rows, middle)
            high[rows[flipped]] = middle[flipped]
            low[rows[~flipped]] = middle[~flipped]


def _predicted_codes(model, X_test, y_test):
    """Positions of the predicted labels among the classes."""
    return np.searchsorted(model.classes_, model.predict(X_test)).astype(float)


def _order(values, kind, target, greater_is_better):
    """Training rows, those that are removed first first."""
    if target in ("prediction", "decision_function") or not isinstance(target, str):
        if greater_is_better is None:
            raise ValueError(
                "greater_is_better should say whether greater values of the target are better; got "
                "None."
            )
    else:
        greater_is_better = is_higher_better(target)
    # Without a helpful row a target that should be great is small: its attribution is negative.
    sign = 1.0 if greater_is_better == (kind == "helpful") else -1.0
    return np.argsort(sign * values, kind="stable")


def _counts(n_removed, n_train):
    """Ascending numbers of rows to remove; raise for those that leave no row."""
    if n_removed is None:
        return np.unique(np.maximum(1, np.round(np.array(SHARES) * n_train)).astype(int))
    counts = np.atleast_1d(np.asarray(n_removed))
    whole = counts.ndim == 1 and counts.dtype.kind in "iu" and counts.size
    if not whole or counts.min() < 1 or counts.max() >= n_train:
        raise ValueError(
            f"n_removed should hold numbers of rows from 1 to {n_train - 1}; got {n_removed!r}."
        )
    return np.unique(counts)
