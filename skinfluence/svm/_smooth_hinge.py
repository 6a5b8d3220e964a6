"""Support vector classification by the smooth hinge."""

import numpy as np

from skinfluence.adapters import register
from skinfluence.kernel_models import KernelClassifier, adapt_kernel_classifier
from skinfluence.svm._continuation import hinge_optimum, minimise, smooth_hinge


class SmoothHingeSVC(KernelClassifier):
    r"""Support vector classifier with a smooth hinge, and the influence methods.

    Minimises, over w and an unpenalised intercept b,

    .. math:: \frac{1}{2} \lVert w \rVert^2
        + C \sum_i s_i \, T \log\bigl(1 + \exp((1 - y_i f(x_i)) / T)\bigr),
        \qquad f(x) = \langle w, \phi(x) \rangle + b,

    with labels y in {-1, 1}, sample weights times class weights s, and the temperature T. For T to
    0 it is the support vector machine of scikit-learn's ``SVC``; the smooth hinge is at most
    T log 2 above the hinge. Its second derivative does not vanish, and influence is defined.
    More than two classes are one such machine each, against the rest.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty.
    temperature : float, default=0.01
        T > 0, in units of the margin.
    kernel : {"linear", "rbf", "poly", "sigmoid", "precomputed"} or callable, default="linear"
        As in SVC; a callable takes two matrices. "linear" is solved in the columns of X, the others
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
    class_weight : dict or "balanced", optional
        Weights of the classes, those of "balanced" held when a row is deleted.
    tol : float, default=1e-10
        Of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=500
        Newton steps, over all temperatures on the way.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        w, for the linear kernel.
    dual_coef_ : ndarray of shape (1, n_samples) or (n_classes, n_samples)
        For other kernels, f(x) = sum_i dual_coef_i k(x_i, x) + b. `parameter_influence` then gives
        the change of these as its `coef`.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        b.
    intercept_is_identified_ : ndarray of bool, shape of `intercept_`
        False where no row is near the margin: any b of an interval does, and influence is not
        defined.
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
    InfluenceLogisticRegression : The same for the log loss.

    Notes
    -----
    The objective is self-concordant with M = 1 / T: at a small temperature certified error bounds
    are infinite for most rows, and reported so.

    References
    ----------
    Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence.svm import SmoothHingeSVC
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = SmoothHingeSVC(kernel="rbf").fit(X[:400], y[:400])
    >>> round(clf.score(X[400:], y[400:]), 2)
    0.98
    >>> clf.influence(X[400:], y[400:], target="margin").shape
    (169, 400)
    """

    def __init__(
        self,
        C=1.0,
        *,
        temperature=0.01,
        kernel="linear",
        gamma="scale",
        degree=3,
        coef0=0.0,
        fit_intercept=True,
        class_weight=None,
        tol=1e-10,
        max_iter=500,
    ):
        self.C = C
        self.temperature = temperature
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def _loss(self, n_classes):
        """Smooth hinge of two classes, or of each class against the rest."""
        return smooth_hinge(self.temperature, n_classes)

    def _minimise(self, objective):
        """Newton's method at falling temperatures, from the hinge's own optimum in a kernel."""
        options = {"tol": self.tol, "max_iter": self.max_iter}
        if self._features is None or not self.fit_intercept:
            return minimise(objective, **options)
        return minimise(hinge_optimum(objective, self._matrix, self.C), near=True, **options)

    def _positive_parameters(self):
        """The temperature too."""
        return (*super()._positive_parameters(), "temperature")

    def _solve(self):
        """Note whether the curvature of each intercept has vanished."""
        objective = super()._solve()
        total = np.einsum("ikk->k", objective.weights)
        flat = total <= 1e-12 * objective.sample_weight.sum() / self.temperature
        self.intercept_is_identified_ = ~(flat & self.fit_intercept)
        return objective

    def _explain(self, cached):
        """Return the fit as an objective at its optimum."""
        if not getattr(self, "intercept_is_identified_", np.array(True)).all():
            raise np.linalg.LinAlgError(
                "the intercept is not identified: no row is near the margin, so that its curvature "
                "vanishes and no influence is defined. Raise the temperature or C, or fit without "
                "an intercept."
            )
        return super()._explain(cached)


register(SmoothHingeSVC, inherited=True)(adapt_kernel_classifier)
