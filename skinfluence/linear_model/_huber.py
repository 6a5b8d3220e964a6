"""Huber regression with the influence methods."""

import numpy as np
from sklearn.linear_model import HuberRegressor

from skinfluence.adapters import adapt_huber, register
from skinfluence.linear_model._polished import RefinedFitMixin


class InfluenceHuberRegressor(RefinedFitMixin, HuberRegressor):
    r"""Robust regression that can say which training rows made it what it is.

    Minimises, over coefficients w, an unpenalised intercept b and a scale sigma > 0,

    .. math:: \sum_i s_i \Bigl(\sigma + \sigma H_\epsilon
        \bigl(\frac{y_i - w x_i - b}{\sigma}\bigr)\Bigr) + \alpha \lVert w \rVert^2,
        \qquad H_\epsilon(z) = \begin{cases} z^2 & \lvert z \rvert < \epsilon \\
        2 \epsilon \lvert z \rvert - \epsilon^2 & \text{else} \end{cases}

    with sample weights s. Every parameter, attribute and method of
    :class:`sklearn.linear_model.HuberRegressor`, whose solver runs first; Newton steps in float64
    polish the result. Deleting a row moves the scale with the coefficients.

    It differs from the original in this: ``coef_``, ``intercept_``, ``scale_`` and ``outliers_``
    are those of the optimum; negative sample weights raise; the training data are kept by
    reference, and pickles carry them. Where so many rows are fitted exactly that the scale falls to
    0, the fit is scikit-learn's and the influence methods raise.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    scale_ : float
        sigma.
    outliers_ : ndarray of bool, shape (n_samples,)
        Rows beyond epsilon times the scale.
    n_iter_ : int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    InfluenceRidge : Without the bound on the pull of a row.
    SmoothQuantileRegressor : The median, robust without a scale.

    Notes
    -----
    An outlier has no curvature, but a gradient: its leverage is 0, and its influence bounded.
    "newton" holds the set of outliers, and takes one step in the coefficients and the scale;
    "exact" finds both anew. `target="loss"` is a row's summand above; `decision_function` of
    ``loo_estimate()`` has the prediction and the scale, (n, 2).

    References
    ----------
    Huber, Robust Statistics, 1981. Owen, A robust hybrid of lasso and ridge regression,
    Contemporary Mathematics 443, 2007.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceHuberRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = InfluenceHuberRegressor(max_iter=1000).fit(X, y)
    >>> model.influence(X[:5], y[:5], target="absolute_error").shape
    (5, 442)
    """

    def fit(self, X, y, sample_weight=None):
        """Fit by scikit-learn's solver, then polish.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
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
        ValueError
            As scikit-learn, and for negative weights.
        """
        return self._fit_and_polish(super().fit, X, y, sample_weight)

    def _assign(self, coef, intercept):
        """The scale is the second predictor's intercept."""
        self.coef_, self.scale_ = coef[0], float(intercept[1])
        if self.fit_intercept:
            self.intercept_ = float(intercept[0])
        data = self._training_data
        predicted = np.asarray(data.X @ self.coef_, dtype=np.float64) + self.intercept_
        residual = np.abs(np.asarray(data.y, dtype=np.float64) - predicted)
        self.outliers_ = residual > self.scale_ * self.epsilon


register(InfluenceHuberRegressor, inherited=True)(adapt_huber)
