"""A linear model of what any estimator does when it is trained on a subset of the rows."""

from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.linear_model import lasso_path
from sklearn.utils.validation import check_is_fitted

from skinfluence._parallel import map_jobs
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_count, check_positive
from skinfluence.evaluation._datamodeling_score import score_of
from skinfluence.evaluation._truths import SubsetTruths, seed_of

# Penalties of a path, from the smallest under which all weights are 0, down to this share of it.
N_ALPHAS, SMALLEST = 25, 1e-2
FOLDS = 4
# Subsets that are held back to score the datamodel, as a share of those that it is fitted to.
HELD_BACK, FEWEST_HELD_BACK = 0.1, 20
# Test rows a block of the fits.
BLOCK = 16


class Datamodel(MetaEstimatorMixin, BaseEstimator):
    """Sparse linear map from the subset that a model is trained on to its output at each test row.

    The estimator is retrained on random subsets of the training rows, and for each test row a
    LASSO predicts the output from the indicator of the subset: 1 for a row that is in it, 0 for one
    that is not. It asks nothing of the estimator but `fit` and predictions: trees, boosting and
    neighbours have no influence function. What it costs is the retraining.

    Parameters
    ----------
    estimator : estimator
        Any classifier or regressor; clones of it are fitted.
    n_subsets : int, default=1000
        Subsets that the datamodel is fitted to. A tenth as many, at least 20, are held back: they
        say how well it predicts.
    fraction : float, default=0.5
        Share of the training rows in each, above 0 and below 1.
    alpha : float or "cv", default="cv"
        Strength of the L1 penalty, on the mean squared error of outputs over their standard
        deviation; "cv": that of the smallest error in cross-validation, for each test row.
    target : str or callable, default="margin"
        The output, as in :meth:`SubsetTruths.compute`.
    random_state : int, RandomState instance or None, default=None
        Of the subsets, and of the fits.
    n_jobs : int, optional
        Workers for refits and for the LASSO, as in joblib.

    Attributes
    ----------
    coef_ : ndarray of shape (n_test, n_train)
        Weight of each training row: what its presence adds to the output.
    intercept_ : ndarray of shape (n_test,)
        Output predicted for the empty subset.
    alpha_ : ndarray of shape (n_test,)
        Strength of the penalty.
    truths_ : SubsetTruths
        Outputs that the datamodel was fitted to.
    held_back_ : SubsetTruths
        Outputs of subsets that it has not seen.
    score_ : AttributionScore
        Linear datamodeling score on those, with its noise ceiling.

    References
    ----------
    Ilyas, Park, Engstrom, Leclerc & Madry, Datamodels: predicting predictions from training data,
    ICML 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skinfluence.evaluation import Datamodel
    >>> X, y = load_iris(return_X_y=True)
    >>> datamodel = Datamodel(DecisionTreeClassifier(max_depth=2), n_subsets=40, random_state=0)
    >>> datamodel.fit(X[::2], y[::2], X[1::10], y[1::10]).influence().shape
    (15, 75)
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        n_subsets: int = 1000,
        fraction: float = 0.5,
        alpha: float | str = "cv",
        target="margin",
        random_state=None,
        n_jobs: int | None = None,
    ):
        self.estimator = estimator
        self.n_subsets = n_subsets
        self.fraction = fraction
        self.alpha = alpha
        self.target = target
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        X_test: MatrixLike,
        y_test: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        path=None,
        progress=None,
    ) -> Self:
        """Retrain the estimator on random subsets, and fit the linear maps.

        Parameters
        ----------
        X, y : array-like
            Training rows and labels.
        X_test, y_test : array-like
            Rows and labels at which the target is read.
        sample_weight : array-like of shape (n_train,), optional
            Weights of the training rows.
        path : str or Path, optional
            Beginning of the names of two files, ``{path}.fit.npz`` and ``{path}.held_back.npz``, in
            which the outputs are kept and from which interrupted work is resumed. Needs an integer
            `random_state`.
        progress : callable, optional
            Wraps the iteration over blocks of subsets, such as ``tqdm.auto.tqdm``.

        Returns
        -------
        self
            The fitted datamodel.

        Raises
        ------
        ValueError
            As :meth:`SubsetTruths.compute`; also for an `alpha` that is neither positive nor "cv".

        Warns
        -----
        RuntimeWarning
            If subsets have no model, such as those without a class.
        """
        check_count("n_subsets", self.n_subsets)
        if self.alpha != "cv":
            check_positive("alpha", self.alpha)
        seed = seed_of(self.random_state, path)
        held_seed = int(np.random.default_rng([seed, 0, 0, 2]).integers(2**31 - 1))
        compute = partial(
            SubsetTruths.compute,
            self.estimator,
            X,
            y,
            X_test,
            y_test,
            fraction=self.fraction,
            target=self.target,
            sample_weight=sample_weight,
            n_jobs=self.n_jobs,
            progress=progress,
        )
        files = [None if path is None else f"{path}.{part}.npz" for part in ("fit", "held_back")]
        self.truths_ = compute(
            n_subsets=self.n_subsets, n_repeats=1, random_state=seed, path=files[0]
        )
        n_held_back = max(FEWEST_HELD_BACK, round(HELD_BACK * self.n_subsets))
        self.held_back_ = compute(n_subsets=n_held_back, random_state=held_seed, path=files[1])
        self._fit_maps()
        self.score_ = score_of(self.influence(), self.held_back_)
        return self

    def influence(self) -> np.ndarray:
        """Predicted change of each output if a training row were removed.

        Returns
        -------
        ndarray of shape (n_test, n_train)
            Minus the weights: after the removal minus before.
        """
        check_is_fitted(self)
        return -self.coef_

    def predict(self, subsets: ArrayLike) -> np.ndarray:
        """Predict the outputs of models trained on given subsets.

        Parameters
        ----------
        subsets : array-like of bool, shape (n_subsets, n_train)
            Which rows each subset has.

        Returns
        -------
        ndarray of shape (n_subsets, n_test)
            The predicted outputs.

        Raises
        ------
        ValueError
            If the subsets are not booleans of this shape.
        """
        check_is_fitted(self)
        subsets, n = np.asarray(subsets), self.coef_.shape[1]
        if subsets.ndim != 2 or subsets.shape[1] != n or subsets.dtype != bool:
            raise ValueError(
                f"subsets should be booleans of shape (n_subsets, {n}); got shape {subsets.shape} "
                f"and dtype {subsets.dtype}."
            )
        return subsets @ self.coef_.T + self.intercept_

    def _fit_maps(self):
        """Fit a LASSO to the outputs of each test row."""
        kept = np.flatnonzero(~self.truths_.undefined)
        outputs = self.truths_.mean_outputs[kept]
        folds = np.arange(len(kept)) % FOLDS if self.alpha == "cv" else None
        problem = _Lassos.of(self.truths_.subsets[kept].astype(float), folds)
        columns = list(outputs.T)
        blocks = [columns[start : start + BLOCK] for start in range(0, len(columns), BLOCK)]
        fit = partial(problem.fit, alpha=self.alpha)
        found = [each for block in map_jobs(fit, blocks, self.n_jobs) for each in block]
        coef, self.intercept_, self.alpha_ = (np.array(part) for part in zip(*found, strict=True))
        self.coef_ = coef


@dataclass(frozen=True)
class _Lassos:
    """The LASSO problems of all test rows: the same indicators, other outputs.

    Attributes
    ----------
    indicators : ndarray of shape (m, n)
    gram : ndarray of shape (n, n)
        Of the centred indicators.
    folds : list of (ndarray of int, ndarray of int, ndarray)
        Subsets that are fitted, those that are left out, and the Gram matrix of the first.
    """

    indicators: np.ndarray
    gram: np.ndarray
    folds: list

    @classmethod
    def of(cls, indicators, folds):
        """Compute the Gram matrices once for all test rows."""
        parts = []
        if folds is not None:
            for fold in range(min(FOLDS, len(indicators))):
                fitted, left = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                parts.append((fitted, left, _gram(indicators[fitted])))
        return cls(indicators, _gram(indicators), parts)

    def fit(self, outputs, alpha):
        """(weights (n,), intercept, alpha) of the outputs (m,) of one test row."""
        scale = outputs.std()
        if not scale > 0:  # the same output whatever the subset
            return np.zeros(self.indicators.shape[1]), float(outputs.mean()), np.nan
        values = (outputs - outputs.mean()) / scale
        alphas = np.array([alpha]) if alpha != "cv" else self._alphas(values)
        if len(alphas) > 1:
            errors = np.zeros(len(alphas))
            for fitted, left, gram in self.folds:
                Z, some = self.indicators[fitted], values[fitted]
                weights = _path(Z, some, gram, alphas)
                shift = some.mean() - Z.mean(axis=0) @ weights
                predicted = self.indicators[left] @ weights + shift
                errors += ((values[left][:, None] - predicted) ** 2).sum(axis=0)
            alphas = alphas[: int(np.argmin(errors)) + 1]
        weights = scale * _path(self.indicators, values, self.gram, alphas)[:, -1]
        intercept = outputs.mean() - self.indicators.mean(axis=0) @ weights
        return weights, float(intercept), float(alphas[-1])

    def _alphas(self, values):
        """Descending strengths, from the smallest under which all weights are 0."""
        centred = self.indicators - self.indicators.mean(axis=0)
        largest = np.abs(centred.T @ values).max() / len(values)
        return largest * np.geomspace(1.0, SMALLEST, N_ALPHAS)


def _gram(indicators):
    """Gram matrix of centred indicators."""
    centred = indicators - indicators.mean(axis=0)
    return centred.T @ centred


def _path(indicators, values, gram, alphas):
    """Weights (n, n_alphas) of a LASSO path on centred data."""
    centred = indicators - indicators.mean(axis=0)
    values = values - values.mean()
    _, weights, _ = lasso_path(
        centred, values, alphas=alphas, precompute=gram, Xy=centred.T @ values, max_iter=10_000
    )
    return weights
