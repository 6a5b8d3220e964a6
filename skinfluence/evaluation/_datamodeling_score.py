"""The linear datamodeling score: whether attributions predict what retraining does."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import as_index, shown
from skinfluence.evaluation._attribution_score import AttributionScore
from skinfluence.evaluation._comparison import (
    checked_attributions,
    compare,
    predicted_changes,
    score_of,
)
from skinfluence.evaluation._retraining import (
    Task,
    outputs_of,
    retraining,
    warn_undefined_subsets,
)
from skinfluence.evaluation._subsets import seed_of
from skinfluence.evaluation._truths import SubsetTruths

# Training rows of which leave_one_out_correlation takes a sample.
SAMPLED_ROWS = 100


def linear_datamodeling_score(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    attributions: ArrayLike | Callable,
    *,
    n_subsets: int = 100,
    fraction: float = 0.5,
    target: str | Callable = "margin",
    sample_weight: ArrayLike | None = None,
    truths: SubsetTruths | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: Callable | None = None,
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
    n_subsets, fraction, target, sample_weight, random_state, n_jobs, progress
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
    attributions = checked_attributions(attributions, X, X_test)
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
            sample_weight=sample_weight,
            random_state=random_state,
            n_jobs=n_jobs,
            progress=progress,
        )
    elif not isinstance(truths, SubsetTruths):
        raise TypeError(
            f"truths should be a SubsetTruths; got {shown(truths)}. Read a file of truths by "
            "SubsetTruths.load(path)."
        )
    else:
        truths.check(estimator, X, y, X_test, y_test, target, sample_weight)
    return replace(score_of(attributions, truths), test_names=row_names(X_test))


def leave_one_out_correlation(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    attributions: ArrayLike,
    *,
    rows: ArrayLike | None = None,
    target: str | Callable = "margin",
    sample_weight: ArrayLike | None = None,
    method: str = "auto",
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: Callable | None = None,
) -> AttributionScore:
    """Rank correlation of attributions with the effects of leaving out single training rows.

    Parameters
    ----------
    estimator, X, y, X_test, y_test, attributions, target, sample_weight, method, n_jobs, progress
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
    attributions = checked_attributions(attributions, X, X_test)
    if callable(attributions):
        raise TypeError("attributions should be an array (n_test, n_train), one for each row.")
    task = Task.of(estimator, X, y, X_test, y_test, target, sample_weight)
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
    found = compare(predicted, outputs[~undefined], full, ceiling, seed)
    return replace(found, test_names=row_names(X_test))
