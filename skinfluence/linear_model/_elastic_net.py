"""Lasso and elastic net with the influence methods."""

from sklearn.linear_model import ElasticNet, Lasso

from skinfluence.adapters import adapt_elastic_net, register
from skinfluence.linear_model._polished import RefinedFitMixin, RegressorShapes


class _CoordinateDescent(RegressorShapes, RefinedFitMixin):
    """What both share."""

    def fit(self, X, y, sample_weight=None, check_input=True):
        """Fit by scikit-learn's solver, then polish.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Responses.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights.
        check_input : bool, default=True
            As in scikit-learn, for its solver.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            As scikit-learn, and for negative weights.
        """

        def fit(X, y, sample_weight):
            return super(_CoordinateDescent, self).fit(X, y, sample_weight, check_input)

        return self._fit_and_polish(fit, X, y, sample_weight)


class InfluenceElasticNet(_CoordinateDescent, ElasticNet):
    r"""Elastic net that can say which training rows made it what it is, and chose its features.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, (y_i - w x_i - b)^2
        + \alpha \rho \lVert w \rVert_1 + \frac{\alpha (1 - \rho)}{2} \lVert w \rVert^2

    with sample weights s and rho the ``l1_ratio``, for one response, or several that share
    nothing. Every parameter, attribute and method of :class:`sklearn.linear_model.ElasticNet`,
    whose coordinate descent runs first; proximal Newton steps in float64 polish the result, zeros
    included.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished;
    negative sample weights raise; the training data are kept by reference, and pickles carry them.
    Under ``positive=True`` the fit is scikit-learn's and the influence methods raise.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts.
    sparse_coef_ : sparse matrix of shape (n_features, 1) or (n_targets, n_features)
        The coefficients that are not 0.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Duality gap at which scikit-learn's solver stopped.
    n_iter_ : int or list of int
        Its iterations.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    InfluenceLasso : With the first part of the penalty only.
    InfluenceLogisticRegression : With such penalties for classes.

    Notes
    -----
    "first_order" and "newton" see the coefficients that are not 0, the active set, and their signs.
    The Newton step is the refit wherever these stay when the row goes (with equal weights; with
    others one part in n of the penalty is off), and wrong where they do not:
    ``loo_estimate(method="newton").active_set_changes`` says where. "exact" checks the optimality
    conditions of every coefficient, and descends again from the step where one is broken.

    The mean of the losses is penalised, not their sum: a row that goes takes its share of the
    penalty with it, as a refit without it does. e / (1 - h), the deleted residual of the textbooks,
    is the refit at the same total penalty, which is not ``ElasticNet`` on the other rows.

    References
    ----------
    Wang, Zhou, Lu, Maleki & Mirrokni, Approximate leave-one-out for fast parameter tuning in high
    dimensions, ICML 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceElasticNet
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = InfluenceElasticNet(alpha=0.01).fit(X, y)
    >>> model.influence(X[:5], y[:5], target="squared_error").shape
    (5, 442)
    """


class InfluenceLasso(_CoordinateDescent, Lasso):
    r"""Lasso that can say which training rows made it what it is, and chose its features.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, (y_i - w x_i - b)^2 + \alpha \lVert w \rVert_1

    with sample weights s. It is :class:`InfluenceElasticNet` at ``l1_ratio=1``: its attributes and
    notes hold here too, and :class:`sklearn.linear_model.Lasso` has the parameters.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts.
    sparse_coef_ : sparse matrix of shape (n_features, 1) or (n_targets, n_features)
        The coefficients that are not 0.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Duality gap at which scikit-learn's solver stopped.
    n_iter_ : int or list of int
        Its iterations.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    InfluenceElasticNet : With an L2 part in the penalty.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLasso
    >>> X, y = load_diabetes(return_X_y=True)
    >>> loo = InfluenceLasso(alpha=0.05).fit(X, y).loo_estimate()
    >>> loo.active_set_changes.sum(), (loo.method == "refined").sum()
    (np.int64(12), np.int64(12))
    """


register(InfluenceElasticNet, inherited=True)(adapt_elastic_net)
register(InfluenceLasso, inherited=True)(adapt_elastic_net)
