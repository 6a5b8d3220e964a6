"""Lasso and elastic net with the influence methods."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import ElasticNet, Lasso

from skinfluence._typing import MatrixLike
from skinfluence.adapters import adapt, adapt_elastic_net, duality_gaps, register
from skinfluence.linear_model._polished import L1_IN_BLOCKS, RefinedFitMixin, RegressorShapes


class _CoordinateDescent(RegressorShapes, RefinedFitMixin):
    """`fit` of the Lasso and the elastic net."""

    _needs_all_rows = L1_IN_BLOCKS

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        check_input: bool = True,
    ) -> Self:
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
            Whether scikit-learn's solver checks its input.

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
            try:
                return super(_CoordinateDescent, self).fit(X, y, sample_weight, check_input)
            except ValueError as error:
                if check_input or "Fortran" not in str(error):
                    raise
                raise ValueError(
                    "with check_input=False X should be in Fortran order: pass "
                    "np.asfortranarray(X), or leave check_input at True."
                ) from error

        return self._fit_and_polish(fit, X, y, sample_weight)

    def _polish(self):
        """Take the duality gap along."""
        super()._polish()
        if self._optimum is not None:
            self._set_dual_gap()

    def _set_dual_gap(self):
        """Duality gap of the coefficients at hand."""
        gaps = duality_gaps(adapt(self, self._optimum.data).objective)
        self.dual_gap_ = gaps if np.ndim(self.dual_gap_) else gaps[0]

    def _count_steps(self, n_steps):
        super()._count_steps(n_steps)
        self._set_dual_gap()


class InfluenceElasticNet(_CoordinateDescent, ElasticNet):
    r"""Elastic net with influence diagnostics.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, (y_i - w x_i - b)^2
        + \alpha \rho \lVert w \rVert_1 + \frac{\alpha (1 - \rho)}{2} \lVert w \rVert^2

    with sample weights s and rho the ``l1_ratio``, for one response, or several that are fitted
    separately. It has every parameter, attribute and method of
    :class:`sklearn.linear_model.ElasticNet`, whose coordinate descent runs first; then proximal
    Newton steps in float64 polish the result, including which coefficients are 0.

    It differs from the original in this: ``coef_`` and ``intercept_`` are float64 and polished;
    negative sample weights raise; the training data are kept by reference, and pickles contain
    them. With ``positive=True`` the fit is scikit-learn's and the influence methods raise.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts.
    sparse_coef_ : sparse matrix of shape (n_features, 1) or (n_targets, n_features)
        The coefficients that are not 0.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Duality gap of the polished coefficients, 0 but for rounding.
    n_iter_ : int or list of int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

    See Also
    --------
    InfluenceLasso : With the L1 part of the penalty only.
    InfluenceLogisticRegression : With such penalties for classes.

    Notes
    -----
    "first_order" and "newton" use the coefficients that are not 0, the active set, with their signs
    held fixed. If the active set and the signs do not change without the row, the Newton step is
    the refit (for equal weights; otherwise one part in n of the penalty is wrong). If they change,
    the step is wrong: ``loo_estimate(method="newton").active_set_changes`` marks these rows.
    "exact" checks the optimality conditions of every coefficient, and continues with coordinate
    descent if one is violated.

    The objective is a mean of the losses plus a penalty: the deletion of a row removes its share of
    the penalty too, as a refit without the row does. e / (1 - h), the deleted residual of the
    textbooks, is the refit at the same total penalty, which is not ``ElasticNet`` on the other
    rows.

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
    r"""Lasso with influence diagnostics.

    Minimises, over coefficients w and an unpenalised intercept b,

    .. math:: \frac{1}{2 \sum_i s_i} \sum_i s_i \, (y_i - w x_i - b)^2 + \alpha \lVert w \rVert_1

    with sample weights s. It is :class:`InfluenceElasticNet` at ``l1_ratio=1``: its attributes and
    notes hold here too, and :class:`sklearn.linear_model.Lasso` has the parameters. Pickles contain
    the training data.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Coefficients.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercepts.
    sparse_coef_ : sparse matrix of shape (n_features, 1) or (n_targets, n_features)
        The coefficients that are not 0.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Duality gap of the polished coefficients, 0 but for rounding.
    n_iter_ : int or list of int
        Iterations of scikit-learn's solver.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names.

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
