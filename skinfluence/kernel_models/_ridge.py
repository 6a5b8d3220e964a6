"""Kernel ridge regression."""

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._frames import row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_at_least_zero, check_flag, check_sample_weight, shown
from skinfluence.adapters import (
    TrainingData,
    adapted_dual,
    check_penalised,
    kernel_ridge_space,
    least_squares,
    register,
)
from skinfluence.kernel_models._machine import KernelMachineMixin, fitted_space
from skinfluence.optimum import polish
from skinfluence.problem import OptimumRecord


class InfluenceKernelRidge(KernelMachineMixin, MultiOutputMixin, RegressorMixin, BaseEstimator):
    r"""Kernel ridge regression with influence diagnostics.

    Minimises, over f in the space of the kernel and, with `fit_intercept`, an unpenalised b,

    .. math:: \sum_i s_i \, (y_i - f(x_i) - b)^2 + \alpha \lVert f \rVert^2

    with sample weights s, for one response or several. It has the parameters of
    :class:`sklearn.kernel_ridge.KernelRidge`, and optionally an intercept; it is then a
    least-squares support vector machine (Suykens & Vandewalle 1999). The refit without a row is
    known in closed form, so the methods "newton" and "exact" are the same, and exact.

    Parameters
    ----------
    alpha : float or array-like of shape (n_targets,), default=1.0
        Strength of the penalty, or one for each response.
    kernel : str or callable, default="linear"
        As in KernelRidge: a name of `pairwise_kernels`, "precomputed", or a function of two rows.
    gamma : float, optional
        Parameter of the kernels that use it; each kernel has its own default.
    degree : float, default=3
        Degree of "poly".
    coef0 : float, default=1
        Constant term of "poly" and "sigmoid".
    kernel_params : dict, optional
        Further arguments of a callable kernel.
    fit_intercept : bool, default=False
        Whether to fit the intercept b.

    Attributes
    ----------
    dual_coef_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Dual coefficients, f(x) = sum_i dual_coef_i k(x_i, x). Their change is the `coef` of
        `parameter_influence`.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept b.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    skinfluence.linear_model.InfluenceRidge : With coefficients of the columns.

    Notes
    -----
    At ``alpha=0``, and with a kernel that is not positive semidefinite, there is no optimum that
    training rows could move: the fit is scikit-learn's, and the influence methods raise. With an
    intercept, which scikit-learn has not, ``fit`` raises.

    The training data are kept, and pickles contain them: rows, responses and weights, for a
    precomputed kernel a factor of its matrix.

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
        alpha: float = 1.0,
        *,
        kernel: str | Callable = "linear",
        gamma: float | str | None = None,
        degree: float = 3,
        coef0: float = 1,
        kernel_params: dict | None = None,
        fit_intercept: bool = False,
    ):
        self.alpha = alpha
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.fit_intercept = fit_intercept

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
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
            For a bad alpha or weights; with an intercept also for an alpha of 0 or an indefinite
            kernel matrix.
        """
        check_flag("fit_intercept", self.fit_intercept)
        if self.gamma is not None:
            check_at_least_zero("gamma", self.gamma)
        self._begin_fit(X, y, sample_weight)
        names = row_names(X, y)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **self._accepted())
        alpha = self._checked_alpha(1 if y.ndim == 1 else y.shape[1])
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X.shape[0])
        self._optimum = self._refused = self._original = None
        try:
            check_penalised(alpha)
            self._space = kernel_ridge_space(self, X)
        except (NotImplementedError, ValueError) as error:
            if self.fit_intercept:
                raise ValueError(*error.args) from error
            return self._fit_original(X, y, weight, error)
        rows = X if self._space is None else None
        self._training_data = TrainingData(rows, y, weight, self._space, row_names=names)
        found = polish(least_squares(self._training_data, alpha, self.fit_intercept))
        objective = found.objective
        self._optimum = OptimumRecord.at(
            objective, self._training_data, converged=not found.failure, n_steps=found.n_steps
        )
        self._take(objective, found.n_steps)
        return self

    def _take(self, objective, n_steps):
        flat = np.ndim(self._training_data.y) == 1
        dual = -objective.residuals / self._checked_alpha(objective.n_outputs)
        self.dual_coef_ = dual[:, 0] if flat else dual
        intercept = objective.design.unpack(objective.theta)[1]
        self.intercept_ = np.float64(intercept[0]) if flat else intercept

    def _checked_alpha(self, n_targets):
        """Penalties, a number or one a response; raise for others."""
        alpha = np.asarray(self.alpha)
        if alpha.dtype.kind not in "iuf" or isinstance(self.alpha, bool):
            raise TypeError(f"alpha should be a number, or one a target; got {shown(self.alpha)}.")
        if not ((alpha >= 0) & np.isfinite(alpha)).all():
            raise ValueError(f"alpha should be finite and at least 0; got {shown(self.alpha)}.")
        if alpha.size != 1 and alpha.shape != (n_targets,):
            raise ValueError(
                f"alpha should be a number, or one for each of the {n_targets} targets; got "
                f"{alpha.size} of them."
            )
        return alpha.astype(np.float64)

    def _fit_original(self, X, y, weight, error):
        """Where there is no optimum, fit as scikit-learn does; the influence methods raise."""
        names = ("alpha", "kernel", "gamma", "degree", "coef0", "kernel_params")
        self._original = KernelRidge(**{name: getattr(self, name) for name in names})
        self._original.fit(X, y, weight)
        self._space, self._training_data = None, TrainingData(X, y, weight)
        self._refused, self.dual_coef_ = error, self._original.dual_coef_
        self.intercept_ = np.float64(0.0) if y.ndim == 1 else np.zeros(y.shape[1])
        return self

    def __optimum_record__(self):
        check_is_fitted(self)
        if self._optimum is None:
            raise type(self._refused)(*self._refused.args)
        return self._optimum

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict the responses.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; for kernel="precomputed" their kernel with the training rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions f(x) + b.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **self._accepted())
        if self._original is not None:
            return self._original.predict(X)
        if self._space is None:
            # X'a is this too, but where the columns are far from zero its sum cancels.
            coef = self.__optimum_record__().theta[:, : self.n_features_in_].T
            coef = coef[:, 0] if np.ndim(self.dual_coef_) == 1 else coef
            return np.asarray(X @ coef, dtype=np.float64) + self.intercept_
        return self._space.with_training_rows(X) @ self.dual_coef_ + self.intercept_


@register(InfluenceKernelRidge, inherited=True, space=fitted_space)
def adapt_influence_kernel_ridge(estimator, data):
    """Return the objective of an InfluenceKernelRidge."""
    theta = data.theta
    objective = least_squares(data, estimator.alpha, estimator.fit_intercept, theta)
    return adapted_dual(objective, alpha=estimator.alpha, flat=data.y.ndim == 1)
