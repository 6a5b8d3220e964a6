"""Huber regression with the influence methods."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import HuberRegressor

from skinfluence._typing import MatrixLike
from skinfluence._validation import as_responses
from skinfluence.adapters import adapt_huber, register
from skinfluence.linear_model._polished import RefinedFitMixin


class InfluenceHuberRegressor(RefinedFitMixin, HuberRegressor):
    r"""Huber regression with influence diagnostics.

    Minimises, over coefficients w, an unpenalised intercept b and a scale sigma > 0,

    .. math:: \sum_i s_i \Bigl(\sigma + \sigma H_\epsilon
        \bigl(\frac{y_i - w x_i - b}{\sigma}\bigr)\Bigr) + \alpha \lVert w \rVert^2,
        \qquad H_\epsilon(z) = \begin{cases} z^2 & \lvert z \rvert < \epsilon \\
        2 \epsilon \lvert z \rvert - \epsilon^2 & \text{else} \end{cases}

    with sample weights s. It has every parameter, attribute and method of
    :class:`sklearn.linear_model.HuberRegressor`, whose solver runs first; then Newton steps in
    float64 polish the result. Deleting a row changes the scale as well as the coefficients.

    It differs from the original in this: ``coef_``, ``intercept_``, ``scale_`` and ``outliers_``
    are those of the optimum; negative sample weights raise; the training data are kept by
    reference, and pickles contain them. If so many rows are fitted exactly that the scale tends to
    0, the fit is scikit-learn's and the influence methods raise.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    scale_ : float
        Scale sigma of the residuals.
    outliers_ : ndarray of bool, shape (n_samples,)
        Rows whose residual is larger than epsilon times the scale.
    n_iter_ : int
        Iterations of scikit-learn's solver; Newton steps where that gave up.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceRidge : Squared error, without a bound on the gradient of a row.
    SmoothQuantileRegressor : The median, robust without a scale.

    Notes
    -----
    An outlier has a gradient but no curvature: its leverage is 0, and its influence is bounded.
    "newton" holds the set of outliers fixed, and takes one step in the coefficients and the scale;
    "exact" finds both again. `target="loss"` is a row's summand above; `decision_function` of
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

    _needs_all_rows = (
        "its scale is found with all residuals at hand. Fit a sample of the rows, "
        "or, where there is room for all rows, pass the array blocks[:]."
    )

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
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
            If scikit-learn raises it, and for negative weights.
        """

        def fit(X, y, sample_weight):
            """Fit by scikit-learn's solver; keep the error where it gives up."""
            if y is not None and np.asarray(y).dtype.kind not in "biuf":
                y = as_responses(y, "y")
            try:
                super(InfluenceHuberRegressor, self).fit(X, y, sample_weight)
            except ValueError as error:
                if "convergence failed" not in str(error):
                    raise
                self._given_up = error
                # Newton's method begins where every row has curvature.
                self.coef_, self.intercept_ = np.zeros(self.n_features_in_), np.float64(0.0)
                self.scale_ = max(float(np.abs(y).max()), np.finfo(float).tiny)

        return self._fit_and_polish(fit, X, y, sample_weight)

    def _polish(self):
        """Raise scikit-learn's error where neither its solver nor Newton's method has arrived."""
        super()._polish()
        given_up = self.__dict__.pop("_given_up", None)
        if given_up is not None:
            if self._optimum is None or not self._optimum.converged:
                raise given_up
            self.n_iter_ = max(1, self._optimum.n_steps)

    def _assign(self, coef, intercept):
        """The scale is the second predictor's intercept."""
        self.coef_, self.scale_ = coef[0], np.float64(intercept[1])
        if self.fit_intercept:
            self.intercept_ = np.float64(intercept[0])
        data = self._training_data
        predicted = np.asarray(data.X @ self.coef_, dtype=np.float64) + self.intercept_
        residual = np.abs(np.asarray(data.y, dtype=np.float64) - predicted)
        self.outliers_ = residual > self.scale_ * self.epsilon


register(InfluenceHuberRegressor, inherited=True)(adapt_huber)
