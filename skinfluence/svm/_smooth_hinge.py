"""Support vector classification by the smooth hinge."""

import numbers
import warnings
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._validation import check_choice, check_sample_weight, encode_labels
from skinfluence.adapters import Adapted, TrainingData, register
from skinfluence.base import Explanation, InfluenceMixin
from skinfluence.design import KernelFeatures, make_design
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from skinfluence.svm._continuation import minimise, smooth_hinge
from skinfluence.svm._kernel import KERNELS, kernel_matrix, resolved_gamma


class SmoothHingeSVC(InfluenceMixin, ClassifierMixin, BaseEstimator):
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
    0.96
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

    def fit(self, X, y, sample_weight=None):
        """Fit by Newton's method, at falling temperatures.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows; for kernel="precomputed" their kernel matrix.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            For bad parameters or weights, a single class, or an indefinite kernel matrix.
        """
        self._check_parameters()
        self.__dict__.pop("_explained_cache", None)
        X, y = validate_data(self, X, y, **self._accepted())
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        weight = check_sample_weight(sample_weight, X.shape[0])
        mass = np.bincount(codes, weights=weight)
        if len(self.classes_) < 2 or (mass == 0).any():
            found = int((mass > 0).sum())
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes with rows of positive weight; "
                f"got {found} class{'' if found == 1 else 'es'} of {len(self.classes_)}."
            )
        if sample_weight is not None:
            sample_weight = np.asarray(weight)
        self._class_weight = self._frozen_class_weight(codes, weight)
        self._training_data = TrainingData(self._coordinates(X, weight), y, sample_weight)
        self._solve()
        return self

    def _check_parameters(self):
        """Raise for parameters out of range."""
        for name in ("C", "temperature", "tol"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"{name} should be a positive number; got {value!r} instead.")
            if not 0 < value < np.inf:
                raise ValueError(f"{name} should be a finite positive number; got {value!r}.")
        if not isinstance(self.max_iter, numbers.Integral) or self.max_iter < 1:
            raise ValueError(f"max_iter should be a positive integer; got {self.max_iter!r}.")
        if not callable(self.kernel):
            check_choice("kernel", self.kernel, KERNELS)

    def _accepted(self):
        """What the validation of X lets through."""
        sparse = False if self.kernel == "precomputed" else "csr"
        dtype = [np.float64, np.float32] if self.kernel == "linear" else np.float64
        return {"accept_sparse": sparse, "dtype": dtype}

    def _frozen_class_weight(self, codes, weight):
        """Weight of each class (K,), the numbers that "balanced" stands for."""
        weighted = {} if self.class_weight != "balanced" else {"sample_weight": weight}
        try:
            return compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[codes], **weighted
            )
        except TypeError:  # scikit-learn 1.6 counts rows
            return compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[codes]
            )

    def _coordinates(self, X, weight):
        """Training rows in which the machine is linear: X itself, or features of the kernel."""
        self._features = None
        for name in ("coef_", "dual_coef_", "gamma_"):
            self.__dict__.pop(name, None)
        if self.kernel == "linear":
            return X
        if self.kernel == "precomputed":
            self._features = KernelFeatures(X)
        else:
            self.gamma_ = resolved_gamma(self.gamma, X, weight)
            self._features = KernelFeatures(self._kernel(X, X))
            # A copy: the rows are needed again, and nobody could tell whether they have changed.
            self._pivot_rows = X[self._features.pivots].copy()
            self._rows = X.copy()
        return self._features.features

    def _kernel(self, X, Y):
        """Kernel of two matrices."""
        options = {"gamma": self.gamma_, "degree": self.degree, "coef0": self.coef0}
        return kernel_matrix(self.kernel, X, Y, **options)

    def _solve(self):
        """Go to the optimum and say what was reached."""
        start = adapt_smooth_hinge(self, self._training_data, np.zeros)
        optimum = minimise(start.objective, tol=self.tol, max_iter=self.max_iter)
        objective = optimum.objective
        reached = optimum.converged or (optimum.stalled and objective.stationarity < 1e-7)
        self._explanation = Explanation(
            self._training_data,
            objective.theta,
            objective.stationarity,
            objective.gradient_scale,
            reached,
            False,
            optimum.n_steps,
        )
        self.n_iter_ = max(1, optimum.n_steps)
        self.stationarity_ = objective.stationarity
        coef, self.intercept_ = objective.design.unpack(objective.theta)
        self.intercept_is_identified_ = self._identified(objective)
        if self._features is None:
            self.coef_ = coef
        else:
            # The gradient vanishes: w = -C sum_i g_i phi(x_i).
            self.dual_coef_ = -self.C * objective.residuals.T
        if not reached:
            warnings.warn(
                f"Newton's method stopped after {optimum.n_steps} steps with a relative gradient "
                f"of {objective.stationarity:.1e}, not {self.tol:.1e}. Raise max_iter or the "
                "temperature, lower C, or scale the data.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _identified(self, objective):
        """Whether the curvature of each intercept has not vanished."""
        if not self.fit_intercept:
            return np.ones(objective.n_outputs, dtype=bool)
        total = np.einsum("ikk->k", objective.weights)
        return total > 1e-12 * objective.sample_weight.sum() / self.temperature

    # -- predictions -------------------------------------------------------------------------------

    def decision_function(self, X):
        """f(x), one a class where there are more than two.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; for kernel="precomputed" their kernel with the training rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive for the second of two classes.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **self._accepted())
        if self.kernel == "linear":
            decision = X @ self.coef_.T.astype(np.float64)
        else:
            K = X if self.kernel == "precomputed" else self._kernel(X, self._rows)
            decision = K @ self.dual_coef_.T
        decision = np.asarray(decision, dtype=np.float64) + self.intercept_
        return decision[:, 0] if len(self.classes_) == 2 else decision

    def predict(self, X):
        """Return the label of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels; of several classes that of the largest f.
        """
        decision = self.decision_function(X)
        if decision.ndim == 1:
            return self.classes_[(decision > 0).astype(int)]
        return self.classes_[decision.argmax(axis=1)]

    # -- what InfluenceMixin asks ------------------------------------------------------------------

    def _explain(self, cached):
        """Return the fit as an objective at its optimum."""
        check_is_fitted(self)
        if not self.intercept_is_identified_.all():
            raise np.linalg.LinAlgError(
                "the intercept is not identified: no row is near the margin, so that its curvature "
                "vanishes and no influence is defined. Raise the temperature or C, or fit without "
                "an intercept."
            )
        return self._explanation.explained(self, cached)

    def _test_array(self, X):
        """Return X_test in the coordinates of the training rows."""
        X = validate_data(self, X, reset=False, **self._accepted())
        if self.kernel == "linear":
            return X
        if self.kernel == "precomputed":
            return self._features.map(X[:, self._features.pivots])
        return self._features.map(self._kernel(X, self._pivot_rows))

    def __sklearn_tags__(self):
        """Sparse unless precomputed, which is pairwise."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.kernel != "precomputed"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags


def adapt_smooth_hinge(estimator, data, theta=None):
    """Return the objective of a SmoothHingeSVC, at its parameters or at `theta(shape)`."""
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes)) * estimator._class_weight[codes]
    loss = smooth_hinge(estimator.temperature, len(classes))
    design = make_design(data.X, estimator.fit_intercept)
    penalty = L2(design.pack(np.full(data.X.shape[1], 1.0 / estimator.C), 0.0)[0])
    y = codes.astype(np.float64) if loss.is_scalar else codes
    shape = (loss.n_outputs, design.shape[1])
    theta = estimator._explanation.theta if theta is None else theta(shape)
    objective = Objective(loss, design, y, weight, penalty, theta)
    encode = partial(_encode, classes=classes, dtype=y.dtype)
    dual = None if estimator.kernel == "linear" else partial(_dual_change, C=estimator.C)
    return Adapted(objective, classes, encode, dual)


def _dual_change(objective, rows, steps, *, C):
    """Change of the dual coefficients -C g, (b, K, n), and of the intercepts.

    g are the residuals at the moved predictors; the deleted row's own is gone.
    """
    change = np.empty((len(rows), objective.n_outputs, objective.n_rows))
    for position, row in enumerate(rows):
        moved = objective.at(objective.theta + steps[position])
        residuals = moved.residuals.T.copy()
        residuals[:, row] = 0.0
        change[position] = C * (objective.residuals.T - residuals)
    return change, objective.design.unpack(steps)[1]


def _encode(y, name, *, classes, dtype):
    """Labels as positions in `classes`, of the dtype that the loss works with."""
    return encode_labels(y, classes, name).astype(dtype)


register(SmoothHingeSVC, inherited=True)(adapt_smooth_hinge)
