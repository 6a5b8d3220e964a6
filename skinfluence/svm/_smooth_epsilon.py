"""Support vector regression with the smooth epsilon-insensitive loss."""

import numbers
from collections.abc import Callable
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.svm import SVR
from sklearn.utils.validation import validate_data

from skinfluence._frames import row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import as_responses, check_resolution, check_sample_weight, shown
from skinfluence.adapters import Adapted, TrainingData, register, without_outputs
from skinfluence.kernel_models import NewtonFittedMixin, dual_change, fitted_space
from skinfluence.losses import SmoothEpsilonInsensitiveLoss
from skinfluence.objective import Objective
from skinfluence.optimum import continuation, response_spread
from skinfluence.penalties import L2
from skinfluence.svm._hinge_optimum import started_by_libsvm

# First temperature, relative to the standard deviation of y, of the continuation that starts at the
# optimum of the loss that is not smooth.
NEAR = 0.02


class SmoothEpsilonSVR(NewtonFittedMixin, RegressorMixin, BaseEstimator):
    r"""Smoothed support vector regression with influence diagnostics.

    Minimises, over w and an unpenalised intercept b,

    .. math:: \frac{1}{2} \lVert w \rVert^2 + C \sum_i s_i \, T \bigl[
        \log\bigl(1 + \exp((r_i - \epsilon) / T)\bigr)
        + \log\bigl(1 + \exp((-r_i - \epsilon) / T)\bigr) \bigr],
        \qquad r_i = y_i - \langle w, \phi(x_i) \rangle - b,

    with sample weights s and the temperature T. In the limit T -> 0 it is scikit-learn's
    :class:`sklearn.svm.SVR`. The smooth loss is at most 2 T log 2 above max(0, \|r\| - epsilon).
    Its second derivative is positive, so influence is defined.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty.
    epsilon : float, default=0.1
        Half the width of the tube, at least 0, in the units of y.
    temperature : float, default=0.01
        Temperature T > 0, in the units of y.
    kernel : {"linear", "rbf", "poly", "sigmoid", "precomputed"} or callable, default="linear"
        As in SVR; a callable takes two matrices. The problem is solved in the columns of X for
        "linear", and in the span of the training rows for other kernels.
    gamma : {"scale", "auto"} or float, default="scale"
        Parameter of "rbf", "poly" and "sigmoid". "scale" is 1 / (n_features * X.var()), with the
        variance weighted by the sample weights, computed in fit and held fixed when a row is
        deleted.
    degree : int, default=3
        Degree of "poly".
    coef0 : float, default=0.0
        Constant term of "poly" and "sigmoid".
    fit_intercept : bool, default=True
        Whether to fit the intercept b.
    tol : float, default=1e-10
        Tolerance of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=500
        Largest number of Newton steps, over all temperatures of the continuation.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients w; only for the linear kernel.
    dual_coef_ : ndarray of shape (n_samples,)
        Dual coefficients for other kernels, f(x) = sum_i dual_coef_i k(x_i, x) + b. Their change is
        the `coef` of `parameter_influence`.
    intercept_ : float
        Intercept b.
    gamma_ : float
        Value of `gamma`; only for kernels that use it.
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
    SmoothHingeSVC : Support vector classification with a smooth hinge.
    skinfluence.SmoothQuantileRegressor : With the pinball loss and an L1 penalty.

    Notes
    -----
    At a low temperature the rows at the edge of the tube have nearly all the curvature, and one
    Newton step is a poor estimate of their deletion. "newton" warns, and names the rows with a
    leverage above 0.5; "exact" refits, and ``loo_estimate()`` refits these rows before any other.
    At still lower temperatures the step is inaccurate for rows of any leverage, because each
    deletion changes which rows are at the edge: use "exact".

    The training data are kept, and pickles contain them: rows, labels and weights, for a
    precomputed kernel a factor of its matrix. With the linear kernel `without_training_data` makes
    a copy that does not.

    The objective is self-concordant with M = 1 / T: at a low temperature most certified error
    bounds are infinite, and reported so.

    References
    ----------
    Lee, Hsieh & Huang, epsilon-SSVR: a smooth support vector machine for epsilon-insensitive
    regression, IEEE Transactions on Knowledge and Data Engineering 17, 2005.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence.svm import SmoothEpsilonSVR
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X, y = scale(X), scale(y)
    >>> model = SmoothEpsilonSVR(kernel="rbf", temperature=0.1).fit(X[:300], y[:300])
    >>> round(model.score(X[300:], y[300:]), 2)
    0.5
    >>> model.influence(X[300:], y[300:], target="absolute_error", method="exact").shape
    (142, 300)
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        epsilon: float = 0.1,
        temperature: float = 0.01,
        kernel: str | Callable = "linear",
        gamma: float | str | None = "scale",
        degree: float = 3,
        coef0: float = 0.0,
        fit_intercept: bool = True,
        tol: float = 1e-10,
        max_iter: int = 500,
    ):
        self.C = C
        self.epsilon = epsilon
        self.temperature = temperature
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit by Newton's method, at temperatures that fall to T.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows; for kernel="precomputed" their kernel matrix.
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
            For invalid parameters or weights, or an indefinite kernel matrix.
        """
        self._check_parameters()
        self._begin_fit(X, y, sample_weight)
        names = row_names(X, y)
        X, y = validate_data(self, X, y, y_numeric=True, **self._accepted())
        y = as_responses(y, "y")
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X.shape[0])
        check_resolution(y, self.temperature)
        self._space = self._coordinates(X, weight)
        rows = X if self._space is None else None
        self._training_data = TrainingData(rows, y, weight, self._space, row_names=names)
        self._solve()
        return self

    def _take(self, objective, n_steps):
        super()._take(objective, n_steps)
        self.intercept_ = float(self.intercept_[0])
        if self._space is None:
            self.coef_ = self.coef_[0]
        else:
            self.dual_coef_ = self.dual_coef_[0]

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict the responses.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; for kernel="precomputed" their kernel with the training rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions f(x) + b.
        """
        return self._predictors(X)[:, 0]

    def _positive_parameters(self):
        return ("C", "temperature", "tol")

    def _check_parameters(self):
        """Raise for parameters that are not in their range; epsilon may be 0."""
        super()._check_parameters()
        if isinstance(self.epsilon, bool) or not isinstance(self.epsilon, numbers.Real):
            raise TypeError(f"epsilon should be a number; got {shown(self.epsilon)} instead.")
        if not 0 <= self.epsilon < np.inf:
            raise ValueError(f"epsilon should be finite and at least 0; got {shown(self.epsilon)}.")

    def _start(self):
        """Objective at coefficients 0 and the median of y as the intercept."""
        objective = smooth_epsilon(self, self._training_data)
        live = objective.y[objective.sample_weight > 0]
        middle = np.median(live) if self.fit_intercept else 0.0
        design = objective.design
        return objective.at(design.pack(np.zeros(design.n_features), middle))

    def _minimise(self, objective):
        """Continuation from the spread of y, or in a kernel from near libsvm's optimum at T = 0."""
        spread = response_spread(objective.y, objective.sample_weight)
        options = {"tolerance": self.tol, "max_steps": self.max_iter}
        if self._space is not None and self.fit_intercept:
            found = continuation(self._near(objective), NEAR * spread, **options)
            if found.converged or found.failure:
                return found
        return continuation(objective, spread, **options)

    def _near(self, objective):
        """Return the objective at libsvm's optimum of the loss that is not smooth.

        Without the rows of no weight: libsvm drops them and counts its support vectors anew.
        """
        live = np.flatnonzero(objective.sample_weight > 0)
        machine = SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon)
        K = self._space.matrix[np.ix_(live, live)]
        started_by_libsvm(machine, K, objective.y[live], objective.sample_weight[live])
        coef = machine.dual_coef_[0] @ self._space.features.features[live[machine.support_]]
        return objective.at(objective.design.pack(coef, machine.intercept_[0]))


def smooth_epsilon(estimator, data):
    """Return the objective of a SmoothEpsilonSVR at theta = 0."""
    design = data.design(estimator.fit_intercept)
    y = as_responses(data.y, "y", n_outputs=1)
    weight = check_sample_weight(data.sample_weight, len(y))
    penalty = L2(design.join(np.full(design.n_features, 1.0 / estimator.C), 0.0)[0])
    loss = SmoothEpsilonInsensitiveLoss(estimator.epsilon, estimator.temperature)
    return Objective(loss, design, y, weight, penalty, np.zeros((1, design.shape[1])))


def adapt_smooth_epsilon(estimator, data):
    """Return the objective of a fitted SmoothEpsilonSVR."""
    objective = smooth_epsilon(estimator, data).at(data.theta)
    return Adapted(objective, None, partial(as_responses, n_outputs=1), parameters_of(estimator))


def parameters_of(estimator):
    """Return the function from steps to changes of coef_ or dual_coef_ (1-D) and intercept_."""
    if estimator.kernel == "linear":
        return without_outputs

    def parameters(objective, rows, steps):
        """Changes of the dual coefficients (b, n) and of the intercept (b,)."""
        change, intercept = dual_change(objective, rows, steps, C=estimator.C)
        return change[:, 0], intercept[:, 0]

    return parameters


register(SmoothEpsilonSVR, inherited=True, space=fitted_space)(adapt_smooth_epsilon)
