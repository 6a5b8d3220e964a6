"""The classical diagnostics of regression."""

from dataclasses import replace
from functools import partial

import numpy as np

from skinfluence.base._query import QueryMixin
from skinfluence.case_deletion import diagnose, is_covered, leverage_blocks

AVAILABLE = (
    "case_deletion_diagnostics() is for linear least squares, logistic regression and generalised "
    "linear models. Available here are loo_estimate(), whose result has the leverages, "
    "self_influence(), influence()"
)


class CaseDeletionMixin(QueryMixin):
    """What statisticians look at after a regression."""

    def case_deletion_diagnostics(self):
        r"""Leverage, studentised residuals, Cook's distance, DFFITS, DFBETAS and COVRATIO.

        For least squares, with a ridge penalty or without, binary logistic regression and the
        generalised linear models; the sample weights count as in the fit. In closed form, O(n p^2):
        exact for least squares, one Newton step for the others,

        .. math:: \hat\theta - \theta_{(i)} \approx -H^{-1} z_i \frac{g_i}{1 - h_i}, \qquad
            h_i = W_i z_i' H^{-1} z_i .

        `dfbeta`, `dfbetas` and `dffits` are before minus after the deletion, as in R and
        statsmodels, unlike everything else here.

        Returns
        -------
        CaseDeletionDiagnostics or LeverageBlocks
            Arrays of shape (n_train,) and (n_train, q); `summary_frame()`, `influential()`. For a
            softmax or several responses only :class:`LeverageBlocks`. Where the columns are
            dependent, `dfbeta`, `dfbetas` and the standard errors of the columns that were kept
            are NaN, because coefficients are not unique; everything else is.

        Raises
        ------
        NotImplementedError
            For other losses, and for kernels, where there are no coefficients.
        numpy.linalg.LinAlgError
            If the Hessian is singular, or the data are separable and nothing is penalised.
        RuntimeError
            If the training data have changed since the fit.

        Warns
        -----
        RuntimeWarning
            Of rows without which there is no model, such as those of leverage 1: they are NaN.

        References
        ----------
        Belsley, Kuh & Welsch, Regression Diagnostics, Wiley, 1980.

        Pregibon, Logistic regression diagnostics, Annals of Statistics 9, 1981.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> X, y = load_diabetes(return_X_y=True)
        >>> diagnostics = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
        >>> diagnostics.influential("outlier").sum(), diagnostics.dfbetas.shape
        (np.int64(0), (442, 11))
        """
        problem = self.__read_problem__("newton")
        objective = problem.objective
        if not problem.has_coefficients:
            raise NotImplementedError(f"{AVAILABLE}: a kernel machine has no coefficients.")
        if objective.penalty.is_kinked:
            raise NotImplementedError(f"{AVAILABLE}: under an L1 penalty they are not defined.")
        covered = is_covered(objective)
        if not covered and problem.link.n_responses == 1:
            raise NotImplementedError(
                f"{AVAILABLE} and parameter_influence(); got the loss {objective.loss!r}."
            )
        problem.check_data()
        curvature = problem.curvature(without_share=True)
        if not covered:
            return leverage_blocks(curvature)
        full = problem.curvature() if objective.mean_penalty_share else curvature
        names, check = problem.column_names, problem.check_data
        diagnostics = diagnose(objective, full, curvature, names, check)
        diagnostics = replace(diagnostics, row_names=problem.row_names)
        if problem.dependence is not None:
            error = diagnostics.unscaled_error
            diagnostics = replace(
                diagnostics,
                dfbeta_source=partial(np.full, (objective.n_rows, len(error)), np.nan),
                unscaled_error=np.full_like(error, np.nan),
            )
        problem.warn_undefined(np.flatnonzero(diagnostics.undefined))
        return diagnostics
