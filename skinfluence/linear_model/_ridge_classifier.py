"""RidgeClassifier with the influence methods."""

from typing import Self

from numpy.typing import ArrayLike
from sklearn.linear_model import RidgeClassifier

from skinfluence._typing import MatrixLike
from skinfluence.adapters import adapt_ridge_classifier, register
from skinfluence.linear_model._polished import RefinedFitMixin, RegressorShapes
from skinfluence.linear_model._ridge import _iterations


class InfluenceRidgeClassifier(RegressorShapes, RefinedFitMixin, RidgeClassifier):
    r"""Ridge classifier with influence diagnostics.

    Minimises, for each class against the rest (once for two classes), over coefficients w and an
    unpenalised intercept b,

    .. math:: \sum_i s_i \, (y_i - w x_i - b)^2 + \alpha \lVert w \rVert^2

    with labels y of -1 and 1, and sample weights times class weights s. It has every parameter,
    attribute and method of :class:`sklearn.linear_model.RidgeClassifier`, whose solver runs first;
    then a Newton step in float64 polishes the result. The refit without a row is known in closed
    form, so the methods "newton" and "exact" are the same, and exact.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished;
    negative sample weights raise; arrays of other libraries than NumPy are not passed through; the
    training data are kept by reference, and pickles carry them. Under ``positive=True``, with
    several labels a row, or with a single class, the fit is scikit-learn's and the influence
    methods raise.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_classes, n_features)
        Coefficients; one-dimensional for two classes, as in scikit-learn.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts; 0.0 with ``fit_intercept=False``.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_iter_ : ndarray of int
        Iterations of scikit-learn's solver; 1 if it is direct.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceLogisticRegression : With probabilities.

    Notes
    -----
    `target="loss"` is half the squared error of the labels -1 and 1, summed over the classes. The
    class weights "balanced" are computed in fit from counts of rows; they are held fixed when a row
    is deleted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceRidgeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceRidgeClassifier().fit(X, y)
    >>> round(clf.loo_estimate().score, 3)
    0.827
    """

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
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
            As scikit-learn, and for negative weights.
        """
        self._fit_and_polish(super().fit, X, y, sample_weight)
        self.n_iter_ = _iterations(self)
        return self


register(InfluenceRidgeClassifier, inherited=True)(adapt_ridge_classifier)
