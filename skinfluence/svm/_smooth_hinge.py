"""Support vector classification with the smooth hinge."""

import numbers
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinfluence._validation import check_choice, encode_labels, shown
from skinfluence.adapters import register
from skinfluence.design import PROVEN_KERNELS
from skinfluence.kernel_models import KernelClassifier, adapt_kernel_classifier, fitted_space
from skinfluence.optimum import polish, polish_intercepts
from skinfluence.problem import Fingerprint, OptimumRecord
from skinfluence.svm._hinge_optimum import hinge_minimum, hinge_optimum, minimise, smooth_hinge
from skinfluence.svm._in_kernel import kernel_optimum


class SmoothHingeSVC(KernelClassifier):
    r"""Smoothed support vector classifier with influence diagnostics.

    Minimises, over w and an unpenalised intercept b,

    .. math:: \frac{1}{2} \lVert w \rVert^2
        + C \sum_i s_i \, T \log\bigl(1 + \exp((1 - y_i f(x_i)) / T)\bigr),
        \qquad f(x) = \langle w, \phi(x) \rangle + b,

    with labels y in {-1, 1}, sample weights times class weights s, and the temperature T. In the
    limit T -> 0 it is scikit-learn's ``SVC``. The smooth hinge is at most T log 2 above the hinge.
    Its second derivative is positive, so influence is defined. For more than two classes there is
    one such machine for each class against the rest.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty.
    temperature : float, default=0.01
        Temperature T > 0, in units of the margin; 0 is allowed with loss="hinge".
    kernel : {"linear", "rbf", "poly", "sigmoid", "precomputed"} or callable, default="linear"
        As in SVC; a callable takes two matrices. The problem is solved in the columns of X for
        "linear", and in the span of the training rows for other kernels.
    gamma : {"scale", "auto"} or float, default="scale"
        Parameter of "rbf", "poly" and "sigmoid". "scale" is 1 / (n_features * X.var()), with the
        variance weighted by the sample weights, computed in fit and held fixed when a row is
        deleted.
    degree : int, default=3
        Degree of "poly".
    coef0 : float, default=0.0
        Constant term of "poly" and "sigmoid".
    loss : {"smooth_hinge", "hinge"}, default="smooth_hinge"
        Loss that is minimised. "hinge" is max(0, 1 - y f(x)), as in SVC, minimised exactly through
        the dual; "first_order" and "newton" then use the derivatives of the smooth hinge at
        `temperature`, as in Koh & Liang, see Notes.
    fit_intercept : bool, default=True
        Whether to fit the intercept b.
    class_weight : dict or "balanced", optional
        Weights of the classes; those of "balanced" are held fixed when a row is deleted.
    tol : float, default=1e-10
        Tolerance of each coordinate of the gradient, relative to the terms that cancel in it.
    max_iter : int, default=500
        Largest number of Newton steps, over all temperatures of the continuation.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients w; only for the linear kernel.
    dual_coef_ : ndarray of shape (1, n_samples) or (n_classes, n_samples)
        Dual coefficients for other kernels, f(x) = sum_i dual_coef_i k(x_i, x) + b. Their change is
        the `coef` of `parameter_influence`.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts b.
    intercept_is_identified_ : ndarray of bool, shape of `intercept_`
        False if no row is near the margin. Then every b of an interval is optimal, and effects that
        need a curvature are undefined.
    gamma_ : float
        Value of `gamma`; only for kernels that use it.
    stationarity_ : float
        Largest coordinate of the gradient of the smooth objective at the fit, relative to the terms
        that cancel in it. With loss="hinge" it is not near 0, because the fit is not the optimum of
        the smooth objective.
    n_iter_ : int
        Number of Newton steps.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceLogisticRegression : Linear classifier with the log loss.

    Notes
    -----
    The objective is self-concordant with M = 1 / T: at a low temperature most certified error
    bounds are infinite, and reported so.

    The training data are kept, and pickles contain them: rows, labels and weights, for a
    precomputed kernel a factor of its matrix. With the linear kernel `without_training_data` makes
    a copy that does not.

    With ``loss="hinge"``:

    - "exact" follows the optimum of the dual from kink to kink while a row is deleted (Cauwenberghs
      & Poggio 2000), until all margin conditions hold to 1e-9. The deletion of a row that is no
      support vector changes nothing if some support vector is on the margin. If none is, b is the
      middle of the interval of optimal values, whose ends any row may determine.
    - "newton" is the step with the deletion minus the step without it, which is not 0 because the
      model is not at the optimum of the smooth hinge. In the limit T -> 0 this is the span estimate
      (Vapnik & Chapelle 2000), which is exact if no row reaches or leaves the margin, and
      inaccurate otherwise: use "exact", or the smooth hinge.
    - At T = 0 only the penalty has curvature, and "first_order" fails as in Koh & Liang's Figure 3.
      The intercept has no curvature: use ``fit_intercept=False``.
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
        C: float = 1.0,
        *,
        temperature: float = 0.01,
        kernel: str | Callable = "linear",
        gamma: float | str | None = "scale",
        degree: float = 3,
        coef0: float = 0.0,
        loss: str = "smooth_hinge",
        fit_intercept: bool = True,
        class_weight: dict | str | None = None,
        tol: float = 1e-10,
        max_iter: int = 500,
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
        """Smooth hinge, and the loss that is minimised: the smooth hinge or the hinge."""
        smooth = smooth_hinge(self.temperature, n_classes)
        return smooth, (smooth if self.loss == "smooth_hinge" else smooth_hinge(0.0, n_classes))

    def _solve(self):
        """Minimise by the dual coefficients where that is possible, else in the features.

        The features of the kernel, a factor of its matrix that costs more than the fit, are
        computed with the first question then, and the optimum in their coordinates.
        """
        self._of_fit = None
        found = self._by_dual_coefficients()
        if found is None:
            super()._solve()
            return
        self._optimum = None
        self._of_fit = Fingerprint.of(self._training_data)
        self.dual_coef_ = np.stack([one.alpha for one in found])
        self.intercept_ = np.array([one.intercept for one in found])
        self.stationarity_ = max(one.stationarity for one in found)
        self.n_iter_ = max(1, sum(one.n_steps for one in found))
        self.intercept_is_identified_ = np.ones(len(found), dtype=bool)

    def _by_dual_coefficients(self):
        """Optima of the binary machines; None where they are not found, or K may be indefinite."""
        if self.kernel not in PROVEN_KERNELS or self.loss == "hinge" or not self.fit_intercept:
            return None
        data, loss = self._training_data, self._losses(len(self.classes_))[0]
        codes = encode_labels(data.y, self.classes_, "y")
        weight = self._class_weight[codes]
        weight = weight if data.sample_weight is None else weight * data.sample_weight
        found = []
        for k in range(loss.n_outputs):
            own, y = loss.output(codes, k)[:2] if loss.is_separable else (loss, codes)
            y = np.asarray(y, dtype=np.float64)
            one = kernel_optimum(data.space.matrix, own, y, weight, self.C, self.tol)
            if one is None or sum(part.n_steps for part in [*found, one]) > self.max_iter:
                return None
            found.append(one)
        return found

    def __optimum_record__(self):
        check_is_fitted(self)
        if self._optimum is None:
            start = self._start()
            coef = self.dual_coef_ @ self._space.features.features
            start = start.at(start.design.pack(coef, self.intercept_))
            found = polish(start, max_steps=self.max_iter, tolerance=self.tol)
            found = polish_intercepts(found)
            record = OptimumRecord.at(
                found.objective,
                self._training_data,
                converged=found.is_settled,
                n_steps=self.n_iter_,
            )
            self._optimum = replace(record, fingerprint=self._of_fit)
        return self._optimum

    def _minimise(self, objective):
        """Minimise by continuation in the temperature, with a kernel from the hinge's optimum."""
        if self.loss == "hinge":
            K = None if self._space is None else self._space.matrix
            found, self._signed_alpha = hinge_minimum(objective, K, self)
            return found
        options = {"tol": self.tol, "max_iter": self.max_iter}
        if self._space is None or not self.fit_intercept:
            return minimise(objective, **options)
        return minimise(hinge_optimum(objective, self._space.matrix, self.C), near=True, **options)

    def _dual_coef(self, objective):
        """Dual coefficients (K, n); with loss="hinge" C times the signed dual variables."""
        if self.loss == "hinge":
            return self.C * self._signed_alpha
        return super()._dual_coef(objective)

    def _check_parameters(self):
        """Raise for parameters that are not in their range, those of the loss included."""
        super()._check_parameters()
        check_choice("loss", self.loss, ("smooth_hinge", "hinge"))
        value = self.temperature
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise TypeError(f"temperature should be a number; got {shown(value)} instead.")
        if not 0 <= value < np.inf or (value == 0 and self.loss != "hinge"):
            raise ValueError(
                "temperature should be a finite positive number, or 0 with loss='hinge'; got "
                f"{shown(value)}."
            )

    def _take(self, objective, n_steps):
        """Set the fitted attributes, and whether each intercept is identified."""
        super()._take(objective, n_steps)
        self.intercept_is_identified_ = ~objective.vanished_intercepts


register(SmoothHingeSVC, inherited=True, space=fitted_space)(adapt_kernel_classifier)
