"""The linear datamodeling score: does an attribution predict what retraining on subsets does?"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, data_frame
from skinfluence._typing import MatrixLike
from skinfluence._validation import as_index, as_numbers, listed
from skinfluence.evaluation._agreement import Agreement, agreement
from skinfluence.evaluation._retraining import Task, retraining, warn_undefined_subsets
from skinfluence.evaluation._truths import SubsetTruths, rank_correlation, seed_of

# Draws of a bootstrap, and the share of them outside of its interval.
DRAWS, OUTSIDE = 1000, 0.05
# Training rows of which leave_one_out_correlation takes a sample.
SAMPLED_ROWS = 100


@dataclass(frozen=True)
class AttributionScore:
    """How well an attribution predicts the outputs of retrained models.

    Attributes
    ----------
    score : float
        Mean over the test rows of the Spearman correlations.
    interval : tuple of float
        95 % bootstrap interval of the score, for other subsets and other test rows.
    ceiling : float
        Mean of the correlations that a perfect prediction would have: 1 of a model without a random
        state; NaN where nothing says how random the outputs are.
    correlations : ndarray of shape (n_test,)
        Spearman correlation of the predicted with the actual outputs of each test row, over the
        subsets; NaN where one of them is constant.
    ceilings : ndarray of shape (n_test,)
    magnitude : Agreement
        Of predicted with actual changes of the outputs, all test rows together: a rank says nothing
        of their size.
    n_subsets : int
        Retrained models that the outputs were compared with.
    """

    score: float
    interval: tuple
    ceiling: float
    correlations: np.ndarray
    ceilings: np.ndarray
    magnitude: Agreement
    n_subsets: int

    @property
    def share_of_ceiling(self) -> float:
        """The score as a share of the ceiling."""
        return self.score / self.ceiling

    def to_frame(self) -> DataFrame:
        """Return one line for each test row, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns correlation and ceiling.
        """
        return data_frame({"correlation": self.correlations, "ceiling": self.ceilings})

    def __repr__(self):
        """The score, its interval, the ceiling, and how large the predictions are."""
        low, high = self.interval
        return (
            f"AttributionScore({self.score:.3f}, 95 % from {low:.3f} to {high:.3f}, ceiling "
            f"{self.ceiling:.3f}; magnitudes: slope {self.magnitude.slope:.3f}, relative RMSE "
            f"{self.magnitude.relative_rmse:.3f}; {self.n_subsets} retrained models)"
        )


def linear_datamodeling_score(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    attributions,
    *,
    n_subsets: int = 100,
    fraction: float = 0.5,
    target="margin",
    truths: SubsetTruths | None = None,
    random_state=None,
    n_jobs: int | None = None,
    progress=None,
) -> AttributionScore:
    """Rank correlation of predicted with actual outputs of models retrained on random subsets.

    An attribution predicts the output of the model of a subset: by the sum of the attributions of
    the rows that are left out. The score is the mean over the test rows of the Spearman
    correlations of these sums with the outputs of the retrained models.

    Parameters
    ----------
    estimator : estimator
        Any classifier or regressor; clones of it are retrained.
    X, y : array-like
        Training rows and labels.
    X_test, y_test : array-like
        Rows and labels at which the target is read.
    attributions : array-like of shape (n_test, n_train), or callable
        What the removal of each training row adds to each output, as
        :meth:`InfluenceExplainer.influence` returns it for the same target (after minus before). Or
        a function of the positions of the rows that a subset keeps, which returns the predicted
        changes (n_test,) against the model of all rows: for predictions that are no sums.
    n_subsets, fraction, target, random_state, n_jobs, progress
        As in :meth:`SubsetTruths.compute`; the first two are not used with `truths`.
    truths : SubsetTruths, optional
        Outputs of retrained models that are known already: those of other data, another target or
        another estimator are refused.

    Returns
    -------
    AttributionScore
        The score, its interval, the noise ceiling, the correlation of each test row, and how the
        magnitudes agree.

    Raises
    ------
    ValueError
        For attributions of another shape, truths of other data, a fraction outside (0, 1), and as
        :meth:`SubsetTruths.compute`.

    Warns
    -----
    RuntimeWarning
        If the score is negative (the attributions have the opposite sign), attributions are NaN
        (counted as 0), or subsets have no model.

    References
    ----------
    Ilyas, Park, Engstrom, Leclerc & Madry, Datamodels: predicting predictions from training data,
    ICML 2022. Park, Georgiev, Ilyas, Leclerc & Madry, TRAK: attributing model behavior at scale,
    ICML 2023. Of the interval: Owen, The pigeonhole bootstrap, Ann. Appl. Stat. 1 (2007).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.evaluation import linear_datamodeling_score
    >>> X, y = load_iris(return_X_y=True)
    >>> X, X_test, y, y_test = X[::2], X[1::2], y[::2], y[1::2]
    >>> clf = InfluenceLogisticRegression().fit(X, y)
    >>> rows = clf.influence(X_test, y_test, target="margin", method="first_order")
    >>> found = linear_datamodeling_score(
    ...     clf, X, y, X_test, y_test, rows, n_subsets=20, random_state=0
    ... )
    >>> found.score > 0.9, found.ceiling
    (True, 1.0)
    """
    attributions = _checked_attributions(attributions, X, X_test)
    if truths is None:
        truths = SubsetTruths.compute(
            estimator,
            X,
            y,
            X_test,
            y_test,
            n_subsets=n_subsets,
            fraction=fraction,
            target=target,
            random_state=random_state,
            n_jobs=n_jobs,
            progress=progress,
        )
    else:
        truths.check(estimator, X, y, X_test, y_test, target)
    return score_of(attributions, truths)


def score_of(attributions, truths):
    """Return the AttributionScore of checked attributions."""
    kept = np.flatnonzero(~truths.undefined)
    predicted = predicted_changes(attributions, truths.subsets[kept])
    actual = truths.mean_outputs[kept]
    return compare(predicted, actual, truths.full, truths.ceiling, truths.seed)


def leave_one_out_correlation(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    attributions: ArrayLike,
    *,
    rows: ArrayLike | None = None,
    target="margin",
    method: str = "auto",
    random_state=None,
    n_jobs: int | None = None,
    progress=None,
) -> AttributionScore:
    """Rank correlation of attributions with the effects of leaving out single training rows.

    Parameters
    ----------
    estimator, X, y, X_test, y_test, attributions, target, method, n_jobs, progress
        As in :func:`linear_datamodeling_score` and :meth:`SubsetTruths.compute`; the attributions
        are an array.
    rows : array-like of int or bool mask, optional
        Training rows that are left out, one at a time; by default all, or a random sample of 100.
    random_state : int, RandomState instance or None, default=None
        Of the sample, and of the fits.

    Returns
    -------
    AttributionScore
        With the `rows` in the place of subsets. The ceiling of a model with a random state is NaN:
        what one row does is mostly less than another random state.

    Raises
    ------
    ValueError
        As :func:`linear_datamodeling_score`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.evaluation import leave_one_out_correlation
    >>> X, y = load_iris(return_X_y=True)
    >>> X, X_test, y, y_test = X[::2], X[1::2], y[::2], y[1::2]
    >>> clf = InfluenceLogisticRegression().fit(X, y)
    >>> newton = clf.influence(X_test, y_test, target="margin", method="newton")
    >>> found = leave_one_out_correlation(clf, X, y, X_test, y_test, newton)
    >>> found.score > 0.99
    True
    """
    attributions = _checked_attributions(attributions, X, X_test)
    if callable(attributions):
        raise TypeError("attributions should be an array (n_test, n_train), one for each row.")
    task = Task.of(estimator, X, y, X_test, y_test, target)
    seed = seed_of(random_state)
    if rows is None and task.n_train > SAMPLED_ROWS:
        rows = np.sort(np.random.default_rng(seed).permutation(task.n_train)[:SAMPLED_ROWS])
    rows = as_index(rows, task.n_train, "rows")
    ways = retraining(task, method)
    subsets = np.ones((len(rows), task.n_train), dtype=bool)
    subsets[np.arange(len(rows)), rows] = False
    outputs = outputs_of(ways, subsets, seed, n_jobs, progress)
    undefined = np.isnan(outputs).any(axis=1)
    warn_undefined_subsets(undefined, task, subsets)
    full = ways.full(np.random.default_rng([seed, len(rows)]))
    ceiling = np.full(task.n_test, np.nan if ways.is_random else 1.0)
    predicted = predicted_changes(attributions, subsets[~undefined])
    return compare(predicted, outputs[~undefined], full, ceiling, seed)


def outputs_of(ways, subsets, seed, n_jobs=None, progress=None):
    """Outputs (m, n_test) of a model retrained on given subsets, booleans (m, n_train)."""
    pairs = [
        (np.flatnonzero(subset), np.random.default_rng([seed, j]))
        for j, subset in enumerate(subsets)
    ]
    blocks = [pairs[start : start + ways.block] for start in range(0, len(pairs), ways.block)]
    if not blocks:
        return np.zeros((0, ways.task.n_test))
    return np.concatenate(list(ways.outputs(blocks, n_jobs, progress)))


def predicted_changes(attributions, subsets):
    """Changes (m, n_test) that attributions predict for subsets, booleans (m, n_train)."""
    if not callable(attributions):
        return ~subsets @ attributions.T
    found = [
        as_numbers("what attributions returns", attributions(np.flatnonzero(subset)))
        for subset in subsets
    ]
    return np.array(found)


def compare(predicted, actual, full, ceiling, seed):
    """Return the AttributionScore of predicted changes and actual outputs, (m, n_test) each."""
    if predicted.shape != actual.shape:
        raise ValueError(
            f"attributions should return one number for each of the {actual.shape[1]} test rows; "
            f"got shape {predicted.shape[1:]}."
        )
    correlations = rank_correlation(predicted, actual)
    known = ~np.isnan(correlations)
    if not known.any():
        raise ValueError(
            "the predicted or the actual outputs are constant at every test row: there is nothing "
            "to rank. Use a finer target, such as 'margin', or smaller subsets."
        )
    score = float(correlations[known].mean())
    interval = _interval(predicted[:, known], actual[:, known], score, seed)
    if score < 0:
        warnings.warn(
            f"the mean correlation is {score:.3f}: the attributions predict the opposite. They "
            "should be the output after the removal of a row minus before, and of the same target; "
            "attributions in the other sign (a row's contribution) have to be negated.",
            RuntimeWarning,
            stacklevel=4,
        )
    return AttributionScore(
        score,
        interval,
        float(np.mean(ceiling[known])),
        correlations,
        ceiling,
        agreement(predicted, actual - full),
        len(actual),
    )


def _interval(predicted, actual, score, seed):
    """Bootstrap interval of the mean correlation: subsets and test rows are both drawn anew.

    A subset that is drawn twice is a tie in the ranks, by which the correlations of the draws are
    a little smaller in the mean: the interval is moved by that much.
    """
    rng, (m, k) = np.random.default_rng([seed, 0, 0, 1]), actual.shape
    codes = [
        rankdata(each, axis=0, method="dense").astype(np.intp) - 1 for each in (predicted, actual)
    ]
    means = np.empty(DRAWS)
    for draw in range(DRAWS):
        counts = np.bincount(rng.integers(m, size=m), minlength=m).astype(float)
        drawn = np.bincount(rng.integers(k, size=k), minlength=k)
        a, b = (_counted_ranks(each, counts) for each in codes)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (counts @ (a * b)) / np.sqrt((counts @ a**2) * (counts @ b**2))
        known = np.isfinite(found) & (drawn > 0)
        means[draw] = np.average(found[known], weights=drawn[known]) if known.any() else np.nan
    low, high = np.nanquantile(means, [OUTSIDE / 2, 1 - OUTSIDE / 2]) + score - np.nanmean(means)
    return float(low), min(float(high), 1.0)


def _counted_ranks(codes, counts):
    """Centred ranks (m, k) of columns of codes 0, 1, ... whose rows are there `counts` (m,) times.

    Equal codes share the mean of their ranks.
    """
    k, size = codes.shape[1], int(codes.max()) + 1
    places = codes + size * np.arange(k)
    weights = np.broadcast_to(counts[:, None], codes.shape).ravel()
    each = np.bincount(places.ravel(), weights=weights, minlength=size * k).reshape(k, size)
    ranks = np.cumsum(each, axis=1) - each / 2
    return ranks.ravel()[places] - counts.sum() / 2


def _checked_attributions(attributions, X, X_test):
    """Attributions (n_test, n_train) without NaN, or the callable; raise for another shape."""
    if callable(attributions):
        return attributions
    n_train, n_test = (t.shape[0] if hasattr(t, "shape") else len(t) for t in (X, X_test))
    attributions = as_numbers("attributions", attributions)
    if attributions.shape != (n_test, n_train):
        turned = " It is the transpose of that." if attributions.shape == (n_train, n_test) else ""
        raise ValueError(
            f"attributions should have shape ({n_test}, {n_train}), one row for each test row and "
            f"one column for each training row; got {attributions.shape}.{turned}"
        )
    undefined = ~np.isfinite(attributions)
    if undefined.any():
        rows = np.flatnonzero(undefined.any(axis=0))
        warnings.warn(
            f"{len(rows)} training rows have attributions that are not finite, row {listed(rows)}: "
            "they count as 0.",
            RuntimeWarning,
            stacklevel=4,
        )
        attributions = np.where(undefined, 0.0, attributions)
    return attributions
