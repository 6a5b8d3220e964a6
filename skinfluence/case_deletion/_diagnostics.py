"""The result of `case_deletion_diagnostics`."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr

from skinfluence._frames import DataFrame, Result, checked_labels, data_frame
from skinfluence.case_deletion._rules import flags


@dataclass(frozen=True, repr=False)
class CaseDeletionDiagnostics(Result):
    r"""Leverage, residuals and the classical measures of influence of each training row.

    Notation: :math:`r_i` is the weighted residual :math:`\sqrt{w_i} e_i` of least squares, or the
    Pearson residual of a logistic regression; :math:`H` is the Hessian of the objective in the
    normal form, :math:`h_i = W_i z_i' H^{-1} z_i` the leverage, and d the coefficients before minus
    after the deletion.

    **Sign**: `dfbeta`, `dfbetas` and `dffits` are *before minus after* the deletion, as in the
    textbooks, R, SAS and statsmodels. Everything else in this library is after minus before:
    `dfbeta` is the negative of :meth:`parameter_influence`.

    For **least squares** all values are those of refits without each row, exactly, with weights and
    a ridge penalty too. For **logistic regression** they are those of one Newton step (Pregibon
    1981), in which the weights :math:`W_j` of the other rows do not change. They are the observed
    curvature, which is R's working weight for canonical links (logistic, Poisson) and not for
    others. Statements below about logistic regression hold for all generalised linear models. The
    dispersion :math:`s^2` is 1 for logistic and Poisson regression, and the sum of the squared
    Pearson residuals over n - p for the others. If the rows share a penalty (alpha of the
    generalised linear models), the share of the deleted row is removed with it.

    Undefined rows (leverage 1, or no optimum without the row) are NaN in all values that describe
    their deletion. A row of weight 0 has no part in the fit: its leverage, `dfbeta`, `dffits` and
    `cooks_distance` are 0, its `covratio` is 1, and its standardized and studentized residuals are
    NaN.

    Attributes
    ----------
    family : {"least squares", "logistic", "poisson", "gamma", "tweedie", ...}
        Distribution of the responses.
    has_known_dispersion : bool
        Whether the family's dispersion is 1 (logistic, poisson), not estimated.
    names : tuple of str
        Names of the columns of `dfbeta`: "const" for the intercept (``"const_"`` where a feature is
        named so), first, then the features.
    n_used : int
        Number n of rows of positive weight.
    n_effective_parameters : float
        Trace p of the hat matrix; without a penalty the number of coefficients, the intercept
        included.
    sigma : float
        :math:`s = \sqrt{\sum r_i^2 / (n - p)}`; 1 for logistic and Poisson regression.
    unscaled_error : ndarray of shape (q,)
        :math:`\sqrt{(H^{-1})_{jj}}`; `standard_error` is `sigma` times this.
    weight : ndarray of shape (n_train,)
        Sample weight times class weight.
    undefined : ndarray of bool, shape (n_train,)
        Whether there is no model without the row.
    leverage : ndarray of shape (n_train,)
        Leverage :math:`h_i`.
    residual : ndarray of shape (n_train,)
        Response residual: y minus the prediction, or minus the probability for logistic regression.
    pearson_residual : ndarray of shape (n_train,)
        Weighted or Pearson residual :math:`r_i`.
    deviance_residual : ndarray of shape (n_train,)
        :math:`r_i` for least squares, :math:`\pm\sqrt{2 w_i \ell_i}` for logistic regression.
    standardized_residual : ndarray of shape (n_train,)
        Internally studentised residual :math:`r_i / (s \sqrt{1 - h_i})`.
    studentized_residual : ndarray of shape (n_train,)
        Externally studentised residual :math:`t_i = r_i / (s_{(i)} \sqrt{1 - h_i})`; for logistic
        regression Williams's deletion residual
        :math:`\pm\sqrt{\delta_i^2 + h_i r_i^2 / (1 - h_i)}`, with the deviance residual
        :math:`\delta_i`, whose square approximates the change of the deviance.
    deleted_residual : ndarray of shape (n_train,)
        Response residual of the row under the model without it, :math:`e_i / (1 - h_i)`; for
        logistic regression after one step.
    cooks_distance : ndarray of shape (n_train,)
        :math:`D_i = d' H d / (p s^2) = r_i^2 h_i / (p s^2 (1 - h_i)^2)`; for logistic regression
        with d of one step.
    dffits : ndarray of shape (n_train,)
        Predictor of the row, before minus after, in its standard errors:
        :math:`r_i \sqrt{h_i} / (s_{(i)} (1 - h_i))`; for logistic regression after one step, with 1
        for :math:`s_{(i)}`.
    covratio : ndarray of shape (n_train,)
        :math:`\det(s_{(i)}^2 H_{(i)}^{-1}) / \det(s^2 H^{-1})
        = (s_{(i)}^2 / s^2)^q / (1 - h_i)` with q coefficients; for logistic regression
        :math:`1 / (1 - h_i)`, with the weights of the other rows held fixed.
    sigma_without : ndarray of shape (n_train,)
        :math:`s_{(i)}`, the scale of the refit without the row; 1 for logistic and Poisson
        regression, after one step for the other families.
    dfbeta_source : callable
        Computes `dfbeta`; None after a copy or a pickle, which carry its values.
    row_names : ndarray of shape (n_train,) or None
        Names of the training rows: the index that fit has seen, else positions.

    Notes
    -----
    Under a ridge penalty the degrees of freedom of the residual are n minus the trace of the hat
    matrix, and :math:`s^2 H^{-1}` takes the place of the covariance, as it does if the penalty is
    the logarithm of a Bayesian prior; every formula keeps its form. :math:`s_{(i)}` uses the trace
    of the refit. The t distribution of the studentised residuals is then an approximation.

    References
    ----------
    Belsley, Kuh & Welsch, Regression Diagnostics, Wiley, 1980.

    Cook & Weisberg, Residuals and Influence in Regression, Chapman & Hall, 1982.

    Pregibon, Logistic regression diagnostics, Annals of Statistics 9, 1981.

    Williams, Generalized linear model diagnostics using the deviance and single case deletions,
    Applied Statistics 36, 1987.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> diagnostics = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    >>> int(diagnostics.cooks_distance.argmax()), float(diagnostics.leverage.sum().round(9))
    (382, 11.0)
    """

    family: str
    has_known_dispersion: bool
    names: tuple
    n_used: int
    n_effective_parameters: float
    sigma: float
    unscaled_error: np.ndarray
    weight: np.ndarray
    undefined: np.ndarray
    leverage: np.ndarray
    residual: np.ndarray
    pearson_residual: np.ndarray
    deviance_residual: np.ndarray
    standardized_residual: np.ndarray
    studentized_residual: np.ndarray
    deleted_residual: np.ndarray
    cooks_distance: np.ndarray
    dffits: np.ndarray
    covratio: np.ndarray
    sigma_without: np.ndarray
    dfbeta_source: Any = field(repr=False)
    row_names: np.ndarray | None = None

    def __getstate__(self):
        """Return the numbers alone: a pickle or a copy carries no training data."""
        return {**vars(self), "dfbeta": self.dfbeta, "dfbeta_source": None}

    @cached_property
    def dfbeta(self) -> np.ndarray:
        """Return the coefficients, before minus after the deletion.

        Returns
        -------
        ndarray of shape (n_train, q)
            For logistic regression after one step. Computed from the training data at the first
            access, and kept.

        Raises
        ------
        RuntimeError
            If the training data have changed since the fit.
        """
        return self.dfbeta_source()

    @property
    def df_residual(self) -> float:
        """Return the degrees of freedom of the residual.

        Returns
        -------
        float
            Number of rows used minus the effective number of parameters.
        """
        return self.n_used - self.n_effective_parameters

    @property
    def standard_error(self) -> np.ndarray:
        """Return the standard errors of the coefficients.

        Returns
        -------
        ndarray of shape (q,)
            Standard errors in the order of `names`.
        """
        return self.sigma * self.unscaled_error

    @cached_property
    def dfbetas(self) -> np.ndarray:
        r"""Return the coefficients, before minus after the deletion, in their standard errors.

        Returns
        -------
        ndarray of shape (n_train, q)
            The `dfbeta` over :math:`s_{(i)} \sqrt{(H^{-1})_{jj}}`; for logistic regression after
            one step, with 1 for :math:`s_{(i)}`. Computed at the first access, and kept.
        """
        scaled = self.dfbeta / self.unscaled_error
        scaled /= self.sigma_without[:, None]
        return scaled

    @property
    def press(self) -> float:
        """Return Allen's PRESS, the weighted sum of the squared deleted residuals.

        Returns
        -------
        float
            Sum over the defined rows; for logistic regression after one step.
        """
        return float(np.nansum(self.weight * self.deleted_residual**2))

    @property
    def outlier_p_value(self) -> np.ndarray:
        """Return two-sided p-values of the studentised residuals, times their number (Bonferroni).

        Returns
        -------
        ndarray of shape (n_train,)
            From Student's t distribution with n - p - 1 degrees of freedom; for logistic regression
            from the normal distribution, with the residual after one step. At most 1.
        """
        size = -np.abs(self.studentized_residual)
        tested = int((~np.isnan(size)).sum())
        tail = ndtr(size) if self.has_known_dispersion else stdtr(self.df_residual - 1.0, size)
        return np.minimum(2.0 * tail * tested, 1.0)

    def influential(
        self, rule: str = "cooks", *, level: float = 0.05, table: bool = False
    ) -> "np.ndarray | DataFrame":
        """Flag rows by a textbook threshold.

        Parameters
        ----------
        rule : str, default="cooks"
            With n rows of positive weight and p effective parameters: "leverage" (above 2p/n),
            "high_leverage" (above 3p/n), "cooks" (above 4/n), "dffits" (beyond 2 sqrt(p/n)),
            "dfbetas" (any beyond 2/sqrt(n)), "covratio" (further than 3p/n from 1), "outlier"
            (`outlier_p_value` below `level`), or "R" for the rules of R's `influence.measures`:
            any dfbetas beyond 1, dffits beyond 3 sqrt(p/(n-p)), covratio further than 3p/(n-p) from
            1, Cook's distance above the median of F(p, n-p), leverage above 3p/n.
        level : float, default=0.05
            Level of the rule "outlier".
        table : bool, default=False
            Whether to return a column for each quantity of the rule.

        Returns
        -------
        ndarray of bool, shape (n_train,) or (n_train, n_columns)
            With `table` and "R" the columns are those of dfbetas, dffits, covratio, Cook's distance
            and leverage. Undefined rows can be flagged by their leverage only.

        Raises
        ------
        ValueError
            If the rule is unknown.

        References
        ----------
        Belsley, Kuh & Welsch, Regression Diagnostics, Wiley, 1980.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceRidge
        >>> X, y = load_diabetes(return_X_y=True)
        >>> diagnostics = InfluenceRidge(alpha=0.1).fit(X, y).case_deletion_diagnostics()
        >>> int(diagnostics.influential("cooks").sum()), int(diagnostics.influential("R").sum())
        (22, 31)
        """
        found = flags(self, rule, level)
        return found if table else found.any(axis=1)

    def to_frame(self, train_labels: ArrayLike | None = None) -> DataFrame:
        """Return one line for each training row, with a column for each of its numbers.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            Index of the lines; `row_names` by default.

        Returns
        -------
        pandas.DataFrame
            Columns with the names of the attributes; `dfbetas` is in :meth:`summary_frame`.

        Raises
        ------
        ValueError
            If the labels do not have the right length.
        """
        columns = (
            *("weight", "leverage", "residual", "pearson_residual", "deviance_residual"),
            *("standardized_residual", "studentized_residual", "deleted_residual"),
            *("cooks_distance", "dffits", "covratio", "sigma_without", "undefined"),
        )
        frame = data_frame({name: getattr(self, name) for name in columns})
        frame.index = self._index(train_labels)
        return frame

    def _index(self, train_labels):
        """Names of the lines of a frame, the given ones or those of the rows."""
        train_labels = self.row_names if train_labels is None else train_labels
        return checked_labels(train_labels, len(self.leverage), "train_labels")

    def __repr__(self):
        """What the model is, and the rows of the largest Cook's distances."""
        order = np.argsort(-np.nan_to_num(self.cooks_distance, nan=-1.0), kind="stable")[:3]
        names = self._index(None)
        rows = ", ".join(f"row {names[row]} ({self.cooks_distance[row]:.3g})" for row in order)
        undefined = f"; {self.undefined.sum()} undefined" if self.undefined.any() else ""
        return (
            f"CaseDeletionDiagnostics of {len(self.leverage)} rows ({self.family}), "
            f"{self.n_effective_parameters:.4g} parameters, sigma {self.sigma:.4g}: Cook's "
            f"distance is largest for {rows}{undefined}"
        )

    def summary_frame(self, train_labels: ArrayLike | None = None) -> DataFrame:
        """Return the table that statsmodels returns under this name.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            Index of the lines; `row_names` by default.

        Returns
        -------
        pandas.DataFrame
            ``dfb_<name>`` for each coefficient (`dfbetas`, before minus after), ``cooks_d``,
            ``standard_resid``, ``hat_diag``, ``dffits_internal`` (with sigma for s_(i)),
            ``student_resid`` and ``dffits``.

        Raises
        ------
        ValueError
            If the labels do not have the right length.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> model = InfluenceLinearRegression().fit(X[["bmi"]], y)
        >>> list(model.case_deletion_diagnostics().summary_frame())[:3]
        ['dfb_const', 'dfb_bmi', 'cooks_d']
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            internal = self.dffits * (self.sigma_without / self.sigma)
        columns = {
            **{j: self.dfbetas[:, j] for j in range(len(self.names))},
            "cooks_d": self.cooks_distance,
            "standard_resid": self.standardized_residual,
            "hat_diag": self.leverage,
            "dffits_internal": internal,
            "student_resid": self.studentized_residual,
            "dffits": self.dffits,
        }
        frame = data_frame(columns)
        # Set afterwards: the names of features need not be distinct.
        frame.columns = [f"dfb_{name}" for name in self.names] + list(columns)[len(self.names) :]
        frame.index = self._index(train_labels)
        return frame
