"""Logistic regression with a kernel."""

from collections.abc import Callable

import numpy as np

from skinfluence._typing import MatrixLike
from skinfluence.adapters import register
from skinfluence.kernel_models._classifier import KernelClassifier, adapt_kernel_classifier
from skinfluence.kernel_models._machine import fitted_space
from skinfluence.losses import BinaryLogLoss, MultinomialLogLoss
from skinfluence.optimum import polish


class KernelLogisticRegression(KernelClassifier):
    r"""Kernel logistic regression with influence diagnostics.

    Minimises, over f in the space of the kernel and unpenalised intercepts b,

    .. math:: \sum_i s_i \, \ell(y_i, f(x_i) + b) + \frac{1}{2 C} \lVert f \rVert^2

    with the log loss of two classes, or of the softmax of K classes; s are sample weights times
    class weights. It is a support vector classifier with the loss of logistic regression, so it
    predicts probabilities.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty.
    kernel : {"linear", "rbf", "poly", "sigmoid", "precomputed"} or callable, default="rbf"
        As in scikit-learn's SVC; a callable takes two matrices.
    gamma : {"scale", "auto"} or float, default="scale"
        Parameter of "rbf", "poly" and "sigmoid". "scale" is 1 / (n_features * X.var()), with the
        variance weighted by the sample weights, computed in fit and held fixed when a row is
        deleted.
    degree : int, default=3
        Degree of "poly".
    coef0 : float, default=0.0
        Constant term of "poly" and "sigmoid".
    fit_intercept : bool, default=True
        Whether to fit the intercepts b.
    class_weight : dict or "balanced", optional
        Weights of the classes; those of "balanced" are held fixed when a row is deleted.
    tol : float, default=1e-10
        Tolerance of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=100
        Largest number of Newton steps.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients, for the linear kernel.
    dual_coef_ : ndarray of shape (1, n_samples) or (n_classes, n_samples)
        Dual coefficients for the other kernels, f(x) = sum_i dual_coef_i k(x_i, x). Their change is
        the `coef` of `parameter_influence`.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts b.
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
    skinfluence.svm.SmoothHingeSVC : Kernel classifier with a smooth hinge.

    Notes
    -----
    The kernel matrix of n rows takes 8 n^2 bytes, its factor up to n^3 / 3 multiplications. For K >
    2 classes the first question by "newton" or "auto" factors a matrix of K n rows, which is kept:
    24 (K n)^2 bytes at the peak, and three times the time of its Cholesky factor (n = 800, K = 10:
    1.5 GB, 20 s on one core); "auto" then refits rows within its budget. For more than about ten
    thousand rows, put ``sklearn.kernel_approximation.Nystroem`` before a linear model in a Pipeline
    and use :class:`skinfluence.InfluenceExplainer`. A pickle holds the training rows and not that
    matrix, which the first question computes again (for a precomputed kernel it holds a factor of
    the matrix).

    References
    ----------
    Cawley & Talbot, Efficient approximate leave-one-out cross-validation for kernel logistic
    regression, Machine Learning 71, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence.kernel_models import KernelLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = KernelLogisticRegression().fit(scale(X), y)
    >>> loo = clf.loo_estimate(method="newton")
    >>> print(f"{loo.mean_loss:.4f} {loo.score:.4f}")
    0.1511 0.9701
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        kernel: str | Callable = "rbf",
        gamma: float | str | None = "scale",
        degree: float = 3,
        coef0: float = 0.0,
        fit_intercept: bool = True,
        class_weight: dict | str | None = None,
        tol: float = 1e-10,
        max_iter: int = 100,
    ):
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def _losses(self, n_classes):
        loss = BinaryLogLoss() if n_classes == 2 else MultinomialLogLoss(n_classes)
        return loss, loss

    def _minimise(self, objective):
        return polish(objective, max_steps=self.max_iter, tolerance=self.tol)

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Return the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities, with sum 1 in each row.
        """
        return self._predictions(X).predict_proba(None)

    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Return the logarithm of the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Logarithm of :meth:`predict_proba`.
        """
        return self._predictions(X).predict_log_proba(None)


register(KernelLogisticRegression, inherited=True, space=fitted_space)(adapt_kernel_classifier)
