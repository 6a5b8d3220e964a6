"""Quantile regression by the smooth pinball loss."""

import numbers
import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._frames import row_names
from skinfluence._validation import check_positive, check_sample_weight
from skinfluence.adapters import TrainingData, adapt_smooth_quantile, register, smooth_quantile
from skinfluence.linear_model._polished import RefinedFitMixin
from skinfluence.optimum import continuation
from skinfluence.problem import OptimumRecord

# Temperature relative to the spread of y, by default.
SHARE = 0.01


class SmoothQuantileRegressor(RefinedFitMixin, RegressorMixin, BaseEstimator):
    r"""Quantile regression with a smooth pinball loss, and the influence methods.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{\sum_i s_i} \sum_i s_i \,
        \bigl(\tau r_i + T \log(1 + \exp(-r_i / T))\bigr) + \alpha \lVert w \rVert_1,
        \qquad r_i = y_i - w x_i - b,

    with sample weights s, the quantile tau, and the temperature T. For T to 0 it is scikit-learn's
    :class:`sklearn.linear_model.QuantileRegressor`; the smooth loss is at most T log 2 above the
    pinball loss, and so is the objective at its optimum above the other's. Its second derivative
    does not vanish, and influence is defined.

    Parameters
    ----------
    quantile : float, default=0.5
        0 < tau < 1.
    alpha : float, default=1.0
        Strength of the L1 penalty, at least 0.
    temperature : "scale" or float, default="scale"
        T > 0, in the units of y. The prediction is a quantile of y plus noise of that scale: take
        a tenth of the residuals' spread or less. "scale" is a hundredth of the weighted standard
        deviation of y, computed at fit and held at that number when a row is deleted.
    fit_intercept : bool, default=True
        Whether there is a b.
    tol : float, default=1e-10
        Of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=500
        Newton steps, over all temperatures on the way.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        w.
    intercept_ : float
        b; 0.0 without.
    temperature_ : float
        T.
    stationarity_ : float
        Largest coordinate of the gradient at the fit, relative to the terms that cancel in it.
    n_iter_ : int
        Newton steps.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    InfluenceLasso : The mean under the same penalty.

    Notes
    -----
    At a low temperature the fit passes close to some rows, about as many as there are coefficients,
    which hold it by their curvature: their leverage is near 1. One Newton step says little of
    their deletion; at a thousandth of the residuals' spread it is some twenty times too short.
    Where it is asked for it warns, and names the rows of a leverage above 0.5; "exact" refits, and
    ``loo_estimate()`` refits these rows before any other.

    The mean of the losses is penalised, not their sum: a row that goes takes its share of the
    penalty with it, as a refit without it does. `target="pinball"` is the pinball loss itself.

    The objective is self-concordant with M = 1 / T: at a small temperature certified error bounds
    are infinite for most rows, and reported so.

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
        quantile=0.5,
        alpha=1.0,
        temperature="scale",
        fit_intercept=True,
        tol=1e-10,
        max_iter=500,
    ):
        self.quantile = quantile
        self.alpha = alpha
        self.temperature = temperature
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y, sample_weight=None):
        """Fit by Newton's method, from the spread of y down to the temperature.

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
            For bad parameters, negative weights, or data that scikit-learn's validation refuses.
        """
        self._check_parameters()
        self._forget_problem()
        dtype = [np.float64, np.float32]
        names = row_names(X, y)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=dtype, y_numeric=True)
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X.shape[0])
        self._training_data = TrainingData(X, y, weight, row_names=names)
        found = self._minimise()
        objective = found.objective
        settled = found.converged or (found.stalled and objective.stationarity < 1e-7)
        self._optimum = OptimumRecord.at(
            objective, self._training_data, converged=settled, n_steps=found.n_steps
        )
        coef, intercept = objective.design.unpack(objective.theta)
        self.coef_, self.intercept_ = coef[0], float(intercept[0])
        self.n_iter_, self.stationarity_ = max(1, found.n_steps), objective.stationarity
        if not settled:
            advice = "raise the temperature, or max_iter."
            warnings.warn(
                f"no optimum was found in {found.n_steps} Newton steps (relative gradient "
                f"{objective.stationarity:.1e}): {found.failure or advice}",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _minimise(self):
        """Cool, from all coefficients 0 and the intercept at the quantile of y."""
        y = np.asarray(self._training_data.y, dtype=float)
        weight = check_sample_weight(self._training_data.sample_weight, len(y))
        spread = float(
            np.sqrt(np.average((y - np.average(y, weights=weight)) ** 2, weights=weight))
        )
        scale = SHARE * spread if spread > 0 else 1.0  # of one row, or of equal ones: any will do
        self.temperature_ = scale if self.temperature == "scale" else float(self.temperature)
        start = np.quantile(y[weight > 0], self.quantile) if self.fit_intercept else 0.0
        zeros = np.zeros(self.n_features_in_)
        objective = smooth_quantile(self._training_data, self, (zeros, start))
        return continuation(objective, spread, tolerance=self.tol, max_steps=self.max_iter)

    def _check_parameters(self):
        """Raise for parameters out of range."""
        if self.temperature != "scale":
            check_positive("temperature", self.temperature)
        check_positive("tol", self.tol)
        for name, low, high in (("quantile", 0.0, 1.0), ("alpha", -np.finfo(float).tiny, np.inf)):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"{name} should be a number; got {value!r} instead.")
            if not low < value < high:
                allowed = "between 0 and 1" if name == "quantile" else "finite and at least 0"
                raise ValueError(f"{name} should be {allowed}; got {value!r}.")

    def predict(self, X):
        """Predict the quantile.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            The quantile, w x + b.
        """
        check_is_fitted(self)
        return np.asarray(self.__design_rows__(X) @ self.coef_, dtype=np.float64) + self.intercept_

    def __sklearn_tags__(self):
        """Sparse X will do."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


register(SmoothQuantileRegressor, inherited=True)(adapt_smooth_quantile)
