"""How far two models rely on the same training rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, Result, data_frame, row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import shown
from skinfluence.functions import explain
from skinfluence.problem import changes, fitted_problem


@dataclass(frozen=True)
class ModelComparison(Result):
    """How far two models rely on the same training rows, for each of some test rows.

    Attributes
    ----------
    correlation : ndarray of shape (n_test,)
        Pearson correlation of the influences of all training rows in the two models.
    rank_correlation : ndarray of shape (n_test,)
        Spearman correlation.
    overlap : ndarray of shape (n_test,)
        Share of the k training rows of the largest influence, by size, that the models have in
        common; k / n_train by chance.
    k : int
    indices_a, indices_b : ndarray of int, shape (n_test, k)
        These rows, the largest first.
    values_a, values_b : ndarray of shape (n_test, k)
        Their influence.
    row_names : ndarray of shape (n_train,)
    test_names : ndarray of shape (n_test,)
    """

    correlation: np.ndarray
    rank_correlation: np.ndarray
    overlap: np.ndarray
    k: int
    indices_a: np.ndarray
    indices_b: np.ndarray
    values_a: np.ndarray
    values_b: np.ndarray
    row_names: np.ndarray
    test_names: np.ndarray

    def to_frame(self) -> DataFrame:
        """Return one line for each test row, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns correlation, rank_correlation, overlap, and the first row of either model.
        """
        columns = {name: getattr(self, name) for name in ("correlation", "rank_correlation")}
        columns |= {"overlap": self.overlap, "first_a": self.row_names[self.indices_a[:, 0]]}
        frame = data_frame({**columns, "first_b": self.row_names[self.indices_b[:, 0]]})
        frame.index = self.test_names
        return frame

    def __repr__(self):
        """Medians over the test rows, and the overlap that chance would give."""
        chance = self.k / len(self.row_names)
        return (
            f"ModelComparison of {len(self.overlap)} test rows: median correlation "
            f"{np.nanmedian(self.correlation):.2f}, of ranks "
            f"{np.nanmedian(self.rank_correlation):.2f}; {np.mean(self.overlap):.0%} of the "
            f"{self.k} most influential rows in common (by chance {chance:.0%})"
        )


def compare_models(
    model_a: BaseEstimator,
    model_b: BaseEstimator,
    X_test: MatrixLike,
    y_test: ArrayLike | None = None,
    *,
    target: str = "loss",
    method: str = "auto",
    k: int = 10,
) -> ModelComparison:
    """Compare the training rows that two models rely on for their predictions.

    Parameters
    ----------
    model_a, model_b : estimator
        Fitted on the same training rows in the same order, with the influence methods, or
        Pipelines as in :func:`skinfluence.explain`. Their features may differ.
    X_test, y_test : array-like
        Test rows, which both models take, and their labels.
    target, method : str
        As in :meth:`skinfluence.InfluenceExplainer.influence`; a target with one value a row.
    k : int, default=10
        Number of most influential rows that are compared.

    Returns
    -------
    ModelComparison
        Correlations and overlap for each test row.

    Raises
    ------
    ValueError
        If the models were fitted on different rows, or in another order; for a `k` out of range.
    TypeError, NotImplementedError, numpy.linalg.LinAlgError, RuntimeError
        As the influence methods.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.debugging import compare_models
    >>> from skinfluence.kernel_models import KernelLogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> linear = InfluenceLogisticRegression().fit(X[::2], y[::2])
    >>> kernel = KernelLogisticRegression().fit(X[::2], y[::2])
    >>> compare_models(linear, kernel, X[1::2], y[1::2]).overlap.shape
    (75,)
    """
    models = [
        model if hasattr(model, "__fitted_problem__") else explain(model)
        for model in (model_a, model_b)
    ]
    problems = [fitted_problem(model) for model in models]
    _check_same_rows(*problems)
    n = problems[0].objective.n_rows
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= n:
        raise ValueError(f"k should be an integer from 1 to the {n} training rows; got {shown(k)}.")
    found = [model.influence(X_test, y_test, target=target, method=method) for model in models]
    if found[0].ndim != 2:
        raise ValueError(
            f"target={target!r} has a value for each class: compare one with one value a row, such "
            "as 'loss'."
        )
    known = ~np.isnan(found[0]).any(axis=0) & ~np.isnan(found[1]).any(axis=0)
    a, b = (values[:, known] for values in found)
    ranks = [rankdata(values, axis=1) for values in (a, b)]
    top = [
        np.argsort(-np.abs(np.nan_to_num(values)), axis=1, kind="stable")[:, :k] for values in found
    ]
    pairs = zip(*top, strict=True)
    overlap = np.array([len(np.intersect1d(one, other)) / k for one, other in pairs])
    names = row_names(X_test)
    return ModelComparison(
        _correlation(a, b),
        _correlation(*ranks),
        overlap,
        int(k),
        top[0],
        top[1],
        np.take_along_axis(found[0], top[0], axis=1),
        np.take_along_axis(found[1], top[1], axis=1),
        problems[0].row_names,
        np.arange(len(overlap)) if names is None else names,
    )


def _correlation(a, b):
    """Pearson correlation of each row of a with that of b, (m,); NaN where one is constant."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(a * b, axis=1) / np.sqrt(np.sum(a * a, axis=1) * np.sum(b * b, axis=1))


def _check_same_rows(one, other):
    """Raise where two problems are of different rows, or of the same in another order."""
    n, m = one.objective.n_rows, other.objective.n_rows
    if n != m:
        raise ValueError(
            f"the models were fitted on different rows: {n} and {m}. Fit both on the same."
        )
    parts = [("labels", one.labels, other.labels), ("row names", one.row_names, other.row_names)]
    for what, mine, its in parts:
        if mine.shape != its.shape or (mine != its).any():
            different = "" if mine.shape != its.shape else f", first at {_first(mine != its)}"
            raise ValueError(
                f"the models were fitted on different rows, or in another order: their {what} "
                f"differ{different}. Fit both on the same rows in the same order."
            )
    try:
        mine, its = (changes.features_of(each, slice(None)) for each in (one, other))
    except NotImplementedError:  # precomputed kernels
        return
    if _is_reordered(mine, its):
        raise ValueError(
            "the models were fitted on the same rows in another order: rows of equal labels have "
            "changed places. Fit both in the same order."
        )


def _first(mask):
    """Position of the first row that differs."""
    return int(np.flatnonzero(mask if mask.ndim == 1 else mask.any(axis=1))[0])


def _is_reordered(mine, its):
    """Whether two matrices have the same rows, in another order."""
    if mine.shape != its.shape or hasattr(mine, "toarray") != hasattr(its, "toarray"):
        return False
    direction = np.random.default_rng(0).normal(size=mine.shape[1])
    # Equal rows have equal sums to the last bit: no BLAS, whose order depends on the place.
    sparse = hasattr(mine, "toarray")
    one, other = (X @ direction if sparse else (X * direction).sum(axis=1) for X in (mine, its))
    return not np.array_equal(one, other) and np.array_equal(np.sort(one), np.sort(other))
