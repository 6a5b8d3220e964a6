"""Quantile regression with the smooth pinball loss."""

import numbers
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._frames import row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import (
    as_responses,
    check_count,
    check_flag,
    check_positive,
    check_resolution,
    check_sample_weight,
    shown,
    warn,
)
from skinfluence.adapters import TrainingData, adapt_smooth_quantile, register, smooth_quantile
from skinfluence.linear_model._polished import RefinedFitMixin
from skinfluence.optimum import continuation, response_spread
from skinfluence.problem import OptimumRecord

# Temperature relative to the spread of y, by default.
SHARE = 0.01


class SmoothQuantileRegressor(RefinedFitMixin, RegressorMixin, BaseEstimator):
    r"""Smoothed quantile regression with influence diagnostics.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{\sum_i s_i} \sum_i s_i \,
        \bigl(\tau r_i + T \log(1 + \exp(-r_i / T))\bigr) + \alpha \lVert w \rVert_1,
        \qquad r_i = y_i - w x_i - b,

    with sample weights s, the quantile tau, and the temperature T. In the limit T -> 0 it is
    scikit-learn's :class:`sklearn.linear_model.QuantileRegressor`. The smooth loss is at most
    T log 2 above the pinball loss, and so is the minimum of the objective above that of the pinball
    objective. Its second derivative is positive, so influence is defined.

    Parameters
    ----------
    quantile : float, default=0.5
        The quantile tau, between 0 and 1.
    alpha : float, default=1.0
        Strength of the L1 penalty, at least 0.
    temperature : "scale" or float, default="scale"
        Temperature T > 0, in the units of y. The prediction is a quantile of y plus noise of that
        scale: take a tenth of the standard deviation of the residuals or less. "scale" is a
        hundredth of the weighted standard deviation of y, computed in fit and held fixed when a row
        is deleted.
    fit_intercept : bool, default=True
        Whether to fit the intercept b.
    tol : float, default=1e-10
        Tolerance of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=500
        Largest number of Newton steps, over all temperatures of the continuation.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients w.
    intercept_ : float
        Intercept b; 0.0 with ``fit_intercept=False``.
    temperature_ : float
        Temperature T.
    stationarity_ : float
        Largest coordinate of the gradient at the fit, relative to the terms that cancel in it.
    n_iter_ : int
        Number of Newton steps.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceLasso : Regression of the mean with the same penalty.

    Notes
    -----
    At a low temperature the fit passes close to about as many rows as there are coefficients. These
    rows have nearly all the curvature, and a leverage near 1. One Newton step is a poor estimate of
    their deletion: at a thousandth of the standard deviation of the residuals it is some twenty
    times too short. "newton" warns, and names the rows with a leverage above 0.5; "exact" refits,
    and ``loo_estimate()`` refits these rows before any other.

    The objective is a mean of the losses plus a penalty: the deletion of a row removes its share of
    the penalty too, as a refit without the row does. `target="pinball"` is the pinball loss itself.

    The objective is self-concordant with M = 1 / T: at a low temperature most certified error
    bounds are infinite, and reported so.

    The training data are kept by reference, and pickles contain them; see `without_training_data`.

    References
    ----------
    Koenker & Bassett, Regression quantiles, Econometrica 46, 1978.
    Zheng, Gradient descent algorithms for quantile regression with smooth approximation,
    International Journal of Machine Learning and Cybernetics 2, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence import SmoothQuantileRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(200, 1))
    >>> y = X[:, 0] * (1.0 + rng.normal(size=200))
    >>> upper = SmoothQuantileRegressor(quantile=0.9, alpha=0.0, temperature=0.02).fit(X, y)
    >>> float(np.mean(y <= upper.predict(X)))
    0.91
    >>> upper.influence(X[:5], y[:5], target="pinball", method="exact").shape
    (5, 200)
    """

    def __init__(
        self,
        *,
        quantile: float = 0.5,
        alpha: float = 1.0,
        temperature: float | str = "scale",
        fit_intercept: bool = True,
        tol: float = 1e-10,
        max_iter: int = 500,
    ):
        self.quantile = quantile
        self.alpha = alpha
        self.temperature = temperature
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit by Newton's method, at temperatures from the standard deviation of y down to T.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Responses.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            For invalid parameters, negative weights, or data that scikit-learn refuses.
        """
        self._check_parameters()
        self._begin_fit(X, y, sample_weight)
        dtype = [np.float64, np.float32]
        names = row_names(X, y)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=dtype, y_numeric=True)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X.shape[0])
        y = as_responses(y, "y")
        if not self._scaled:
            check_resolution(y, self.temperature)
        self._training_data = TrainingData(X, y, weight, row_names=names)
        found = self._minimise()
        objective = found.objective
        self._optimum = OptimumRecord.at(
            objective, self._training_data, converged=found.is_settled, n_steps=found.n_steps
        )
        coef, intercept = objective.design.unpack(objective.theta)
        self.coef_, self.intercept_ = coef[0], float(intercept[0])
        self.n_iter_, self.stationarity_ = max(1, found.n_steps), objective.stationarity
        if not found.is_settled:
            advice = "raise the temperature, or max_iter."
            warn(
                f"no optimum was found in {found.n_steps} Newton steps (relative gradient "
                f"{objective.stationarity:.1e}): {found.failure or advice}",
                ConvergenceWarning,
            )
        return self

    def __moved__(self, data, record, objective, n_steps):
        new = super().__moved__(data, record, objective, n_steps)
        new.stationarity_ = record.stationarity
        return new

    def _assign(self, coef, intercept):
        """Take coefficients (1, p) and intercepts (1,)."""
        self.coef_, self.intercept_ = coef[0], float(intercept[0])

    def _minimise(self):
        """Continuation, from all coefficients 0 and the intercept at the quantile of y."""
        y = np.asarray(self._training_data.y, dtype=float)
        weight = check_sample_weight(self._training_data.sample_weight, len(y))
        spread = response_spread(y, weight)
        scale = SHARE * spread if spread > 0 else 1.0  # of one row, or of equal ones: any will do
        self.temperature_ = scale if self._scaled else float(self.temperature)
        start = np.quantile(y[weight > 0], self.quantile) if self.fit_intercept else 0.0
        zeros = np.zeros(self.n_features_in_)
        objective = smooth_quantile(self._training_data, self, (zeros, start))
        return continuation(objective, spread, tolerance=self.tol, max_steps=self.max_iter)

    @property
    def _scaled(self):
        """Whether the temperature is in units of the responses' spread."""
        return isinstance(self.temperature, str) and self.temperature == "scale"

    def _check_parameters(self):
        """Raise for parameters that are not in their range."""
        if not self._scaled:
            check_positive("temperature", self.temperature)
        check_positive("tol", self.tol)
        check_count("max_iter", self.max_iter)
        check_flag("fit_intercept", self.fit_intercept)
        for name, low, high in (("quantile", 0.0, 1.0), ("alpha", -np.finfo(float).tiny, np.inf)):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"{name} should be a number; got {shown(value)} instead.")
            if not low < value < high:
                allowed = "between 0 and 1" if name == "quantile" else "finite and at least 0"
                raise ValueError(f"{name} should be {allowed}; got {shown(value)}.")

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict the quantile.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predicted quantile, w x + b.
        """
        check_is_fitted(self)
        return np.asarray(self.__design_rows__(X) @ self.coef_, dtype=np.float64) + self.intercept_

    def __sklearn_tags__(self):
        """Tags of a regressor that accepts sparse X."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


register(SmoothQuantileRegressor, inherited=True)(adapt_smooth_quantile)
