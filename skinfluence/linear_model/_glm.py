"""Generalised linear models with the influence methods."""

from typing import Self

from numpy.typing import ArrayLike
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor

from skinfluence._typing import MatrixLike
from skinfluence.adapters import adapt_glm, register
from skinfluence.linear_model._polished import RefinedFitMixin, RegressorShapes


class _GeneralizedLinear(RegressorShapes, RefinedFitMixin):
    """`fit` of all generalised linear models."""

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit by scikit-learn's solver, then polish.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Responses, in the range of the distribution.
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
        # scikit-learn's class comes after this one in every subclass.
        fit = super().fit  # pyrefly: ignore[missing-attribute]
        return self._fit_and_polish(fit, X, y, sample_weight)


class InfluencePoissonRegressor(_GeneralizedLinear, PoissonRegressor):
    r"""Poisson regression with influence diagnostics.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, d(y_i, \exp(w x_i + b))
        + \frac{\alpha}{2} \lVert w \rVert^2

    with the unit deviance :math:`d(y, \mu) = 2 (y \log(y / \mu) - y + \mu)` and sample weights s.
    It has every parameter, attribute and method of :class:`sklearn.linear_model.PoissonRegressor`,
    whose solver runs first; then Newton steps in float64 polish the result.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished;
    negative sample weights raise; the training data are kept by reference, and pickles contain
    them.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceGammaRegressor : For positive responses of constant coefficient of variation.
    InfluenceTweedieRegressor : For other powers of the mean as variance.

    Notes
    -----
    The objective is a mean of the losses plus a penalty: the deletion of a row removes its share
    :math:`s_i \alpha / 2 \lVert w \rVert^2` of the penalty too, as a refit without the row does.
    `target="loss"` is half the deviance.

    The last row with a positive count is undefined: without it the fitted mean tends to 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence import InfluencePoissonRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> y = rng.poisson(np.exp(X @ [0.5, -0.2, 0.0] + 1.0))
    >>> model = InfluencePoissonRegressor(alpha=1e-3).fit(X, y)
    >>> model.influence(X[:5], y[:5], target="poisson_deviance").shape
    (5, 200)
    >>> loo = model.loo_estimate()
    >>> loo.mean_loss > loo.train_loss
    True
    """


class InfluenceGammaRegressor(_GeneralizedLinear, GammaRegressor):
    r"""Gamma regression with influence diagnostics.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, d(y_i, \exp(w x_i + b))
        + \frac{\alpha}{2} \lVert w \rVert^2

    with the unit deviance :math:`d(y, \mu) = 2 (y / \mu - 1 - \log(y / \mu))`. The logarithm is not
    the canonical link: the curvature is the observed one, :math:`s_i y_i / \mu_i`, not its
    expectation. Everything else is as in :class:`InfluencePoissonRegressor`, whose notes hold here
    too, and in :class:`sklearn.linear_model.GammaRegressor`. Pickles contain the training data.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceTweedieRegressor : For other powers of the mean as variance.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence import InfluenceGammaRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> y = np.exp(X @ [0.5, -0.2, 0.0]) * rng.gamma(3.0, size=200)
    >>> model = InfluenceGammaRegressor(alpha=1e-3).fit(X, y)
    >>> model.self_influence().shape
    (200,)
    """


class InfluenceTweedieRegressor(_GeneralizedLinear, TweedieRegressor):
    r"""Tweedie regression with influence diagnostics.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, d_p(y_i, h(w x_i + b))
        + \frac{\alpha}{2} \lVert w \rVert^2

    with the unit deviance :math:`d_p` of the distribution whose variance is :math:`\mu^p`, and
    :math:`h` the exponential or the identity. Everything else is as in
    :class:`InfluencePoissonRegressor`, whose notes hold here too, and in
    :class:`sklearn.linear_model.TweedieRegressor`. Pickles contain the training data.

    The objective is convex for 1 <= p <= 2 with the log link, and for p = 0 and 1 with the
    identity. For other p the curvature may be indefinite where the solver has stopped. Then the
    influence methods raise; if it is indefinite only without a row, that row is undefined.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept.
    n_iter_ : int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluencePoissonRegressor : With the power 1.
    InfluenceGammaRegressor : With the power 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence import InfluenceTweedieRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 3))
    >>> y = rng.poisson(np.exp(X @ [0.5, -0.2, 0.0])) * rng.gamma(3.0, size=200)
    >>> model = InfluenceTweedieRegressor(power=1.5, alpha=1e-3).fit(X, y)
    >>> bool((model.loo_estimate().method == "exact").all())
    True
    """


for cls in (InfluencePoissonRegressor, InfluenceGammaRegressor, InfluenceTweedieRegressor):
    register(cls, inherited=True)(adapt_glm)
