"""RidgeClassifier with the influence methods."""

import numpy as np
from sklearn.linear_model import RidgeClassifier

from skinfluence.adapters import adapt_ridge_classifier, register
from skinfluence.linear_model._polished import RefinedFitMixin, RegressorShapes
from skinfluence.linear_model._ridge import _iterations


class InfluenceRidgeClassifier(RegressorShapes, RefinedFitMixin, RidgeClassifier):
    r"""Classifier by least squares that can say which training rows made it what it is.

    Minimises, for each class against the rest (once for two classes), over coefficients w and an
    unpenalised intercept b,

    .. math:: \sum_i s_i \, (y_i - w x_i - b)^2 + \alpha \lVert w \rVert^2

    with labels y of -1 and 1, and sample weights times class weights s. Every parameter, attribute
    and method of :class:`sklearn.linear_model.RidgeClassifier`, whose solver runs first; a Newton
    step in float64 polishes the result. Without any row the optimum is known in closed form: the
    methods "newton" and "exact" are the same here, and exact.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished;
    negative sample weights raise; arrays of other libraries than NumPy are not passed through; the
    training data are kept by reference, and pickles carry them. Under ``positive=True``, or with
    several labels a row, the fit is scikit-learn's and the influence methods raise.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_classes, n_features)
        Coefficients; flat for two classes, as scikit-learn has them.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts; 0.0 without.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_iter_ : ndarray of int
        Iterations of scikit-learn's solver, 1 where it is direct.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    InfluenceLogisticRegression : With probabilities.

    Notes
    -----
    `target="loss"` is half the squared error of the labels -1 and 1, summed over the classes. The
    class weights "balanced" are those that the fit computed, from counts of rows; they are held
    when a row is deleted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceRidgeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceRidgeClassifier().fit(X, y)
    >>> round(clf.loo_estimate().score, 3)
    0.827
    """

    def fit(self, X, y, sample_weight=None):
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
            As scikit-learn, for negative weights, and for fewer than two classes.
        """
        self._fit_and_polish(super().fit, X, y, sample_weight)
        self.n_iter_ = _iterations(self)
        return self

    def _remember(self, X, y, sample_weight):
        """Keep references to the training data; one class makes no classifier."""
        if np.ndim(self.classes_) and len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes; y has the one class "
                f"{self.classes_[0]!r}."
            )
        super()._remember(X, y, sample_weight)


register(InfluenceRidgeClassifier, inherited=True)(adapt_ridge_classifier)
