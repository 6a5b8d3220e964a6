"""Support vector classification by the smooth hinge."""

import numbers

import numpy as np

from skinfluence._validation import check_choice
from skinfluence.adapters import register
from skinfluence.kernel_models import KernelClassifier, adapt_kernel_classifier
from skinfluence.svm._continuation import hinge_minimum, hinge_optimum, minimise, smooth_hinge


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
        T > 0, in units of the margin; 0 is allowed with loss="hinge".
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
    loss : {"smooth_hinge", "hinge"}, default="smooth_hinge"
        What is minimised. With "hinge" it is the hinge max(0, 1 - y f(x)) itself, as in SVC, solved
        exactly in its dual, and the smooth one at `temperature` lends its derivatives to
        "first_order" and "newton", as in Koh & Liang; see Notes.
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
        False where no row is near the margin: any b of an interval does, and nothing that asks
        for a curvature is defined.
    gamma_ : float
        What `gamma` stood for; for kernels with one.
    stationarity_ : float
        Largest coordinate of the gradient of the smooth objective at the fit, relative to the terms
        that cancel in it: what Newton's method has left, or with loss="hinge" how far the smooth
        hinge is from balancing the penalty there.
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

    With ``loss="hinge"``:

    - "exact" follows the optimum of the dual from kink to kink while a row is taken out
      (Cauwenberghs & Poggio 2000), to margins right within 1e-9. Rows that are no support vectors
      change nothing where some support vector is on the margin; where none is, b is the middle of
      the interval that the rows leave it, and they may.
    - "newton" is the step with the deletion minus the step without, which does not vanish because
      the model is not at the optimum of the smooth hinge. For T to 0 this is the span estimate
      (Vapnik & Chapelle 2000), which is right where no row reaches or leaves the margin and rough
      elsewhere: take "exact", or the smooth hinge.
    - At T = 0 there is no curvature but the penalty's, and "first_order" fails as it does in Koh &
      Liang's Figure 3. An intercept has none at all: fit without.
    - `target="loss"` is the hinge. There is no certificate.

    References
    ----------
    Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017.
    Cauwenberghs & Poggio, Incremental and decremental support vector machine learning, NIPS 2000.
    Vapnik & Chapelle, Bounds on error expectation for support vector machines, Neural Computation
    12, 2000.

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
        loss="smooth_hinge",
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
        self.loss = loss
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter

    def _losses(self, n_classes):
        """Smooth hinge of two classes, or of each class against the rest; or the hinge itself."""
        smooth = smooth_hinge(self.temperature, n_classes)
        return smooth, (smooth if self.loss == "smooth_hinge" else smooth_hinge(0.0, n_classes))

    def _minimise(self, objective):
        """Newton's method at falling temperatures, from the hinge's own optimum in a kernel."""
        if self.loss == "hinge":
            K = None if self._space is None else self._space.matrix
            found, self._signed_alpha = hinge_minimum(objective, K, self)
            return found
        options = {"tol": self.tol, "max_iter": self.max_iter}
        if self._space is None or not self.fit_intercept:
            return minimise(objective, **options)
        return minimise(hinge_optimum(objective, self._space.matrix, self.C), near=True, **options)

    def _dual_coef(self, objective):
        """Those of the hinge are its dual variables."""
        if self.loss == "hinge":
            return self.C * self._signed_alpha
        return super()._dual_coef(objective)

    def _check_parameters(self):
        """The loss and its temperature too."""
        super()._check_parameters()
        check_choice("loss", self.loss, ("smooth_hinge", "hinge"))
        value = self.temperature
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise TypeError(f"temperature should be a number; got {value!r} instead.")
        if not 0 <= value < np.inf or (value == 0 and self.loss != "hinge"):
            raise ValueError(
                "temperature should be a finite positive number, or 0 with loss='hinge'; got "
                f"{value!r}."
            )

    def _solve(self):
        """Note whether the curvature of each intercept has vanished."""
        objective = super()._solve()
        self.intercept_is_identified_ = ~objective.vanished_intercepts
        return objective


register(SmoothHingeSVC, inherited=True)(adapt_kernel_classifier)
