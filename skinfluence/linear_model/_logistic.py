"""LogisticRegression with the influence methods."""

from typing import Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression

from skinfluence._typing import MatrixLike
from skinfluence.adapters import adapt_logistic, register
from skinfluence.linear_model._array_fit import ArrayFitMixin


class InfluenceLogisticRegression(ArrayFitMixin, LogisticRegression):
    r"""Logistic regression with influence diagnostics.

    Minimises, over coefficients w and unpenalised intercepts b,

    .. math:: \sum_i s_i \, \ell(y_i, w x_i + b) + \frac{1}{2 C} \lVert w \rVert^2

    with the log loss of two classes, or of the softmax of K classes; s are sample weights times
    class weights. With ``solver="liblinear"`` the intercept is penalised as in scikit-learn, by
    ``1 / (2 C) (b / intercept_scaling)^2``.

    It has every parameter, attribute and method of
    :class:`sklearn.linear_model.LogisticRegression`, whose solver runs first. Then Newton steps in
    float64 polish the result until each coordinate of the gradient is below 1e-10 of the terms that
    cancel in it, because influence is defined only at the optimum.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished;
    negative sample weights raise; ``solver="liblinear"`` with ``C=inf`` raises (it may never
    return); the training data are kept by reference, and pickles contain them. Arrays of PyTorch
    and CuPy are computed on where they lie, under scikit-learn's ``array_api_dispatch``: dense,
    with ``solver="lbfgs"`` and a penalty, answered by one step; `coef_` has the type of X there.

    For ``l1_ratio > 0`` the penalty is that of an elastic net, 1 / C times
    :math:`\rho \lVert w \rVert_1 + (1 - \rho) / 2 \lVert w \rVert^2`, and the notes of
    :class:`InfluenceElasticNet` on active sets hold here too.

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Coefficients.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_iter_ : ndarray of int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X has names.

    See Also
    --------
    InfluenceExplainer : The same methods for a Pipeline or a fitted model.

    Notes
    -----
    Deleting a row means refitting the same model without it, with class weights (also "balanced")
    held fixed at their values.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = InfluenceLogisticRegression(C=1.0).fit(X[:400], y[:400])
    >>> round(clf.score(X[400:], y[400:]), 2)
    0.97
    >>> most = clf.most_influential(X[400:], y[400:], k=5)
    >>> most.helpful_indices.shape
    (169, 5)
    """

    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit by scikit-learn's solver, then polish.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
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
            If scikit-learn raises it, for negative weights, and for solver="liblinear" with C=inf.
        """
        self._refuse_endless_fit()
        return self._fit_and_polish(super().fit, X, y, sample_weight)

    def _refuse_endless_fit(self):
        """Raise for liblinear without a penalty, which never returns in scikit-learn 1.6."""
        if self.solver == "liblinear" and isinstance(self.C, float) and np.isinf(self.C):
            raise ValueError(
                "penalty=None is not supported for the liblinear solver: it needs a finite C; got "
                "C=inf. Use solver='newton-cholesky' or 'lbfgs' for a fit without penalty."
            )

    def _array_penalty(self):
        penalty, ratio = getattr(self, "penalty", "l2"), getattr(self, "l1_ratio", None)
        if not self._original_takes_arrays():
            self._refuse_on_device(f"solver={self.solver!r} by scikit-learn {sklearn.__version__}")
        if not np.isfinite(self.C) or penalty is None:
            self._refuse_on_device("no penalty (C=inf)")
        if ratio:
            self._refuse_on_device(f"l1_ratio={ratio}")
        if self.class_weight is not None:
            self._refuse_on_device(f"class_weight={self.class_weight!r}")
        return 1.0 / float(self.C)


register(InfluenceLogisticRegression, inherited=True)(adapt_logistic)
