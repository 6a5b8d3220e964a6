"""Support vector regression by the smooth epsilon-insensitive loss."""

import numbers
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.svm import SVR
from sklearn.utils.validation import validate_data

from skinfluence._frames import row_names
from skinfluence._validation import as_responses, check_sample_weight
from skinfluence.adapters import Adapted, TrainingData, register, without_outputs
from skinfluence.kernel_models import NewtonFittedMixin, dual_change
from skinfluence.losses import SmoothEpsilonInsensitiveLoss
from skinfluence.objective import Objective
from skinfluence.optimum import continuation
from skinfluence.penalties import L2
from skinfluence.svm._continuation import started_by_libsvm

# Temperature at which Newton's method leaves the optimum of the loss that is not smooth, relative
# to the spread of y.
NEAR = 0.02


class SmoothEpsilonSVR(NewtonFittedMixin, RegressorMixin, BaseEstimator):
    r"""Support vector regression with a smooth epsilon-insensitive loss, and the influence methods.

    Minimises, over w and an unpenalised intercept b,

    .. math:: \frac{1}{2} \lVert w \rVert^2 + C \sum_i s_i \, T \bigl[
        \log\bigl(1 + \exp((r_i - \epsilon) / T)\bigr)
        + \log\bigl(1 + \exp((-r_i - \epsilon) / T)\bigr) \bigr],
        \qquad r_i = y_i - \langle w, \phi(x_i) \rangle - b,

    with sample weights s and the temperature T. For T to 0 it is the support vector machine of
    scikit-learn's :class:`sklearn.svm.SVR`; the smooth loss is at most 2 T log 2 above
    max(0, \|r\| - epsilon). Its second derivative does not vanish, and influence is defined.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty.
    epsilon : float, default=0.1
        Half the width of the tube, at least 0, in the units of y.
    temperature : float, default=0.01
        T > 0, in the units of y.
    kernel : {"linear", "rbf", "poly", "sigmoid", "precomputed"} or callable, default="linear"
        As in SVR; a callable takes two matrices. "linear" is solved in the columns of X, the others
        in the span of the training rows.
    gamma : {"scale", "auto"} or float, default="scale"
        Of "rbf", "poly" and "sigmoid". "scale" is 1 / (n_features * X.var()), the variance weighted
        by the sample weights, computed at fit and held at that number when a row is deleted.
    degree : int, default=3
        Of "poly".
    coef0 : float, default=0.0
        Of "poly" and "sigmoid".
    fit_intercept : bool, default=True
        Whether there is a b.
    tol : float, default=1e-10
        Of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=500
        Newton steps, over all temperatures on the way.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        w, for the linear kernel.
    dual_coef_ : ndarray of shape (n_samples,)
        For other kernels, f(x) = sum_i dual_coef_i k(x_i, x) + b. `parameter_influence` then gives
        the change of these as its `coef`.
    intercept_ : float
        b.
    gamma_ : float
        What `gamma` stood for; for kernels with one.
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
    SmoothHingeSVC : The same for classes.
    skinfluence.SmoothQuantileRegressor : With the pinball loss and an L1 penalty.

    Notes
    -----
    At a low temperature rows on the edge of the tube hold the fit by their curvature, and one
    Newton step says little of their deletion: where it is asked for it warns, and names the rows of
    a leverage above 0.5; "exact" refits, and ``loo_estimate()`` refits these rows before any other.
    Colder still, the step is rough for rows of any leverage, because each deletion changes which
    rows are on the edge: ask for "exact".

    The objective is self-concordant with M = 1 / T: at a small temperature certified error bounds
    are infinite for most rows, and reported so.

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
        C=1.0,
        *,
        epsilon=0.1,
        temperature=0.01,
        kernel="linear",
        gamma="scale",
        degree=3,
        coef0=0.0,
        fit_intercept=True,
        tol=1e-10,
        max_iter=500,
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

    def fit(self, X, y, sample_weight=None):
        """Fit by Newton's method at falling temperatures.

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
            For bad parameters or weights, or an indefinite kernel matrix.
        """
        self._check_parameters()
        self._forget_problem()
        names = row_names(X, y)
        X, y = validate_data(self, X, y, y_numeric=True, **self._accepted())
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X.shape[0])
        self._space = self._coordinates(X, weight)
        rows = X if self._space is None else self._space.features.features
        self._training_data = TrainingData(rows, y, weight, self._space, row_names=names)
        self._solve()
        self.intercept_ = float(self.intercept_[0])
        if self._space is None:
            self.coef_ = self.coef_[0]
        else:
            self.dual_coef_ = self.dual_coef_[0]
        return self

    def predict(self, X):
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
        """The temperature too."""
        return ("C", "temperature", "tol")

    def _check_parameters(self):
        """Epsilon may be 0."""
        super()._check_parameters()
        if isinstance(self.epsilon, bool) or not isinstance(self.epsilon, numbers.Real):
            raise TypeError(f"epsilon should be a number; got {self.epsilon!r} instead.")
        if not 0 <= self.epsilon < np.inf:
            raise ValueError(f"epsilon should be finite and at least 0; got {self.epsilon!r}.")

    def _start(self):
        """At 0 and the median."""
        objective = smooth_epsilon(self, self._training_data)
        live = objective.y[objective.sample_weight > 0]
        middle = np.median(live) if self.fit_intercept else 0.0
        design = objective.design
        return objective.at(design.pack(np.zeros(design.n_features), middle))

    def _minimise(self, objective):
        """Cool, from the spread of y; in a kernel from near the optimum that is not smooth."""
        y, weight = objective.y, objective.sample_weight
        spread = np.sqrt(np.average((y - np.average(y, weights=weight)) ** 2, weights=weight))
        options = {"tolerance": self.tol, "max_steps": self.max_iter}
        if self._space is not None and self.fit_intercept:
            found = continuation(self._near(objective), float(NEAR * spread), **options)
            if found.converged or found.failure:
                return found
        return continuation(objective, float(spread), **options)

    def _near(self, objective):
        """Where libsvm ends, which has its intercept always.

        Without the rows of no weight: it would drop them and count its support vectors anew.
        """
        live = np.flatnonzero(objective.sample_weight > 0)
        machine = SVR(kernel="precomputed", C=self.C, epsilon=self.epsilon)
        K = self._space.matrix[np.ix_(live, live)]
        started_by_libsvm(machine, K, objective.y[live], objective.sample_weight[live])
        coef = machine.dual_coef_[0] @ self._space.features.features[live[machine.support_]]
        return objective.at(objective.design.pack(coef, machine.intercept_[0]))


def smooth_epsilon(estimator, data):
    """Objective of a SmoothEpsilonSVR at 0."""
    design = data.design(estimator.fit_intercept)
    y = as_responses(data.y, "y", n_outputs=1)
    weight = check_sample_weight(data.sample_weight, len(y))
    penalty = L2(design.pack(np.full(design.n_features, 1.0 / estimator.C), 0.0)[0])
    loss = SmoothEpsilonInsensitiveLoss(estimator.epsilon, estimator.temperature)
    return Objective(loss, design, y, weight, penalty, np.zeros((1, design.shape[1])))


def adapt_smooth_epsilon(estimator, data):
    """Return the objective of a fitted SmoothEpsilonSVR."""
    objective = smooth_epsilon(estimator, data).at(data.theta)
    return Adapted(objective, None, partial(as_responses, n_outputs=1), parameters_of(estimator))


def parameters_of(estimator):
    """Changes of coef_ or dual_coef_, flat, and of a single intercept."""
    if estimator.kernel == "linear":
        return without_outputs

    def parameters(objective, rows, steps):
        """Of the dual coefficients."""
        change, intercept = dual_change(objective, rows, steps, C=estimator.C)
        return change[:, 0], intercept[:, 0]

    return parameters


register(SmoothEpsilonSVR, inherited=True)(adapt_smooth_epsilon)
