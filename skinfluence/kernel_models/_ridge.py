"""Kernel ridge regression."""

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._frames import row_names
from skinfluence._validation import check_positive, check_sample_weight
from skinfluence.adapters import (
    TrainingData,
    adapted_dual,
    kernel_ridge_space,
    least_squares,
    register,
)
from skinfluence.kernel_models._machine import KernelMachineMixin
from skinfluence.optimum import polish
from skinfluence.problem import OptimumRecord


class InfluenceKernelRidge(KernelMachineMixin, MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Kernel ridge regression that can say which training rows made it what it is.

    Minimises, over f in the space of the kernel and, with `fit_intercept`, an unpenalised b,

    .. math:: \sum_i s_i \, (y_i - f(x_i) - b)^2 + \alpha \lVert f \rVert^2

    with sample weights s, for one response or several: :class:`sklearn.kernel_ridge.KernelRidge`
    with its parameters, and an intercept where one is asked for (a least-squares support vector
    machine then, Suykens & Vandewalle 1999). Without any row the optimum is known in closed form:
    the methods "newton" and "exact" are the same here, and exact.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, positive.
    kernel : str or callable, default="linear"
        As in KernelRidge: a name of `pairwise_kernels`, "precomputed", or a function of two rows.
    gamma : float, optional
        Of the kernels that have it; each kernel's own default.
    degree : float, default=3
        Of "poly".
    coef0 : float, default=1
        Of "poly" and "sigmoid".
    kernel_params : dict, optional
        Further arguments of a callable kernel.
    fit_intercept : bool, default=False
        Whether there is a b.

    Attributes
    ----------
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        f(x) = sum_i dual_coef_i k(x_i, x). `parameter_influence` gives the change of these as
        its `coef`.
    intercept_ : float or ndarray of shape (n_targets,)
        b.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    skinfluence.linear_model.InfluenceRidge : With coefficients of the columns.

    Notes
    -----
    A kernel that is not positive semidefinite raises: its objective has no minimum.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence.kernel_models import InfluenceKernelRidge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = InfluenceKernelRidge(alpha=1.0, kernel="rbf", gamma=0.02, fit_intercept=True)
    >>> print(f"{model.fit(scale(X), y).loo_estimate().score:.3f}")
    0.506
    """

    def __init__(
        self,
        alpha=1.0,
        *,
        kernel="linear",
        gamma=None,
        degree=3,
        coef0=1,
        kernel_params=None,
        fit_intercept=False,
    ):
        self.alpha = alpha
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.fit_intercept = fit_intercept

    def fit(self, X, y, sample_weight=None):
        """Fit by one Newton step.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows; for kernel="precomputed" their kernel matrix.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Responses.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            For a bad alpha or weights, or an indefinite kernel matrix.
        """
        check_positive("alpha", self.alpha)
        self._forget_problem()
        names = row_names(X, y)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **self._accepted())
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X.shape[0])
        self._space = kernel_ridge_space(self, X)
        rows = X if self._space is None else self._space.features.features
        self._training_data = TrainingData(rows, y, weight, self._space, row_names=names)
        found = polish(least_squares(self._training_data, self.alpha, self.fit_intercept))
        objective = found.objective
        self._optimum = OptimumRecord.at(
            objective, self._training_data, converged=not found.failure, n_steps=found.n_steps
        )
        dual = -objective.residuals / self.alpha
        self.dual_coef_ = dual[:, 0] if y.ndim == 1 else dual
        intercept = objective.design.unpack(objective.theta)[1]
        self.intercept_ = float(intercept[0]) if y.ndim == 1 else intercept
        return self

    def predict(self, X):
        """Predict the responses.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; for kernel="precomputed" their kernel with the training rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            f(x) + b.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **self._accepted())
        if self._space is None:
            coef = self._training_data.X.T @ self.dual_coef_
            return np.asarray(X @ coef, dtype=np.float64) + self.intercept_
        return self._space.with_training_rows(X) @ self.dual_coef_ + self.intercept_


@register(InfluenceKernelRidge, inherited=True)
def adapt_influence_kernel_ridge(estimator, data):
    """Return the objective of an InfluenceKernelRidge."""
    theta = data.theta
    objective = least_squares(data, estimator.alpha, estimator.fit_intercept, theta)
    return adapted_dual(objective, alpha=estimator.alpha, flat=data.y.ndim == 1)
