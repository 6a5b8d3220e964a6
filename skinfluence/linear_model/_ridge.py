"""Ridge and least-squares regression with the influence methods."""

from numbers import Real
from typing import Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.linear_model import LinearRegression, Ridge

from skinfluence._typing import MatrixLike
from skinfluence.adapters import adapt_ridge, register
from skinfluence.linear_model._array_fit import ArrayFitMixin
from skinfluence.linear_model._polished import RefinedFitMixin, RegressorShapes


def _iterations(model):
    """`n_iter_` of a fitted Ridge; 1 for each response if its solver is direct and reports none."""
    if model.n_iter_ is not None:
        return model.n_iter_
    array_model = model.__array_model__()
    if array_model is not None:
        return array_model.problem.library.positions([1])
    return np.ones(1 if np.ndim(model.coef_) == 1 else len(model.coef_), dtype=int)


class _LeastSquares(RegressorShapes, RefinedFitMixin):
    """Base class of ridge and least-squares regression."""


class InfluenceRidge(RegressorShapes, ArrayFitMixin, Ridge):
    r"""Ridge regression with influence diagnostics.

    Minimises, over coefficients w and unpenalised intercepts b,

    .. math:: \sum_i s_i \, (y_i - w x_i - b)^2 + \alpha \lVert w \rVert^2

    with sample weights s, for one response or several. It has every parameter, attribute and method
    of :class:`sklearn.linear_model.Ridge`, whose solver runs first; then a Newton step in float64
    polishes the result. The refit without a row is known in closed form, so the methods "newton"
    and "exact" are the same, and exact.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished; the
    training data are kept by reference, and pickles contain them. With ``positive=True`` the fit is
    scikit-learn's and the influence methods raise. Arrays of PyTorch and CuPy are computed on where
    they lie, under scikit-learn's ``array_api_dispatch`` with ``solver="svd"`` and one response;
    `coef_` has the type of X there.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts.
    n_iter_ : ndarray of int, shape (n_targets,)
        Iterations of scikit-learn's solver; 1 if it is direct.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceLinearRegression : Without a penalty.
    skinfluence.kernel_models.InfluenceKernelRidge : With a kernel.

    Notes
    -----
    `target="loss"` is half the squared error, summed over the responses; the targets
    "squared_error" and "absolute_error" are means over them, as in scikit-learn's metrics.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import RidgeCV
    >>> from skinfluence import InfluenceRidge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> loo = InfluenceRidge(alpha=0.1).fit(X, y).loo_estimate()
    >>> cv = RidgeCV(alphas=[0.1], store_cv_results=True).fit(X, y)
    >>> bool(abs(2 * loo.mean_loss - cv.cv_results_.mean()) < 1e-8)
    True
    """

    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit by scikit-learn's solver, then polish.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
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
            If scikit-learn raises it, and for negative weights.
        """
        self._fit_and_polish(super().fit, X, y, sample_weight)
        self.n_iter_ = _iterations(self)
        return self

    def _array_penalty(self):
        if not self._original_takes_arrays():
            self._refuse_on_device(f"solver={self.solver!r} by scikit-learn {sklearn.__version__}")
        if self.positive:
            self._refuse_on_device("positive=True")
        if not isinstance(self.alpha, Real):
            self._refuse_on_device("several values of alpha")
        return float(self.alpha)


class InfluenceLinearRegression(_LeastSquares, LinearRegression):
    r"""Least-squares regression with influence diagnostics.

    Minimises :math:`\sum_i s_i (y_i - w x_i - b)^2`, for one response or several. It has every
    parameter, attribute and method of :class:`sklearn.linear_model.LinearRegression`.

    The refit without a row is known in closed form, so the methods "newton" and "exact" are the
    same, and exact. If the leverage of a row is 1, the other rows do not determine the
    coefficients: its effects are NaN, with a warning. If the columns are linearly dependent,
    scikit-learn's fit is the one of smallest norm: what does not depend on the coefficients, such
    as predictions, losses and leverages, is answered, and what does raises.

    The training data are kept by reference, and pickles contain them.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts.
    rank_ : int
        Rank of X.
    singular_ : ndarray of shape (min(n_samples, n_features),)
        Singular values of X; only for dense X.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceRidge : With a penalty.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = InfluenceLinearRegression().fit(X, y)
    >>> model.influence(X[:5], y[:5], target="squared_error").shape
    (5, 442)
    """

    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit by scikit-learn's solver, then polish.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
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
            If scikit-learn raises it, and for negative weights.
        """
        return self._fit_and_polish(super().fit, X, y, sample_weight)

    def _count_steps(self, n_steps):
        """The rank and the singular values are those of the rows at hand."""
        super()._count_steps(n_steps)
        if getattr(self, "singular_", None) is None:
            return
        data = self._training_data
        X = np.asarray(data.X, dtype=np.float64)
        weight = np.ones(len(X)) if data.sample_weight is None else data.sample_weight
        if self.fit_intercept:
            X = X - np.average(X, axis=0, weights=weight)
        self.singular_ = np.linalg.svd(np.sqrt(weight)[:, None] * X, compute_uv=False)
        cut = np.finfo(np.float64).eps * max(X.shape) * self.singular_.max(initial=0.0)
        self.rank_ = int((self.singular_ > cut).sum())


register(InfluenceRidge, inherited=True)(adapt_ridge)
register(InfluenceLinearRegression, inherited=True)(adapt_ridge)
