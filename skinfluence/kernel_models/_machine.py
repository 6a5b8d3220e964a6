"""Base classes of classifiers and regressors with a kernel."""

from abc import ABC, abstractmethod

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._validation import check_choice, check_count, check_flag, check_positive, warn
from skinfluence.adapters import adapt
from skinfluence.base import InfluenceMixin, copied_without_cache
from skinfluence.design import KERNELS, KernelSpace, resolved_gamma
from skinfluence.optimum import SETTLED, polish
from skinfluence.problem import OptimumRecord

# Newton steps after a change of coordinates, and the stationarity at which there is none.
MOVED_STEPS, MOVED_TOLERANCE = 3, 1e-14


class KernelMachineMixin(InfluenceMixin):
    """A model with a `kernel`, a `_space` (None if it is linear in X) and an `_optimum`."""

    def _accepted(self):
        """Keyword arguments of `validate_data` for X."""
        sparse = False if self.kernel == "precomputed" else "csr"
        dtype = [np.float64, np.float32] if self.kernel == "linear" else np.float64
        return {"accept_sparse": sparse, "dtype": dtype}

    # -- what InfluenceMixin asks ------------------------------------------------------------------

    def __optimum_record__(self):
        check_is_fitted(self)
        return self._optimum

    def __design_rows__(self, X):
        return validate_data(self, X, reset=False, **self._accepted())

    def __moved__(self, data, record, objective, n_steps):
        new = copied_without_cache(self)
        new._training_data, new._optimum = data, record
        if data.space is not None or hasattr(self, "dual_coef_"):
            new._space = data.space
            # In coordinates of the rows that remain the coefficients are a sum over these, which
            # amplifies what is left of the gradient: a step or two in them.
            start = adapt(new, data).objective.at(data.theta)
            objective = polish(start, max_steps=MOVED_STEPS, tolerance=MOVED_TOLERANCE).objective
            new._training_data = data = data.at(objective)
            new._optimum = OptimumRecord.at(objective, data, n_steps=n_steps)
            if self.kernel == "precomputed":
                new.n_features_in_ = data.n_rows
        new._take(objective, n_steps)
        return new

    def _take(self, objective, n_steps):
        """Set the fitted attributes at an objective's parameter."""
        raise NotImplementedError

    def __sklearn_tags__(self):
        """Tags: sparse X unless the kernel is precomputed, and then pairwise."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.kernel != "precomputed"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags


def fitted_space(estimator, X):
    """Return the space that a fitted machine of this library has; None if it is linear in X."""
    return estimator._space


class NewtonFittedMixin(KernelMachineMixin, ABC):
    """A model that minimises sum_i w_i l(y_i, f(x_i)) + |f|^2 / (2 C) in the space of its kernel.

    A subclass has the parameters C, kernel, gamma, degree, coef0, fit_intercept, tol and max_iter,
    and defines the start and the method of the minimisation.
    """

    @abstractmethod
    def _start(self):
        """Objective of the training data, at any start of the minimisation."""

    @abstractmethod
    def _minimise(self, objective):
        """Optimum of the objective, whose theta is the start."""

    def _positive_parameters(self):
        """Names of the parameters that are positive numbers."""
        return ("C", "tol")

    def _check_parameters(self):
        """Raise for parameters that are not in their range."""
        for name in self._positive_parameters():
            check_positive(name, getattr(self, name))
        check_count("max_iter", self.max_iter)
        check_flag("fit_intercept", self.fit_intercept)
        if not callable(self.kernel):
            check_choice("kernel", self.kernel, KERNELS)

    def _coordinates(self, X, weight):
        """Space of the kernel; None if the model is linear in X itself."""
        for name in ("coef_", "dual_coef_", "gamma_"):
            self.__dict__.pop(name, None)
        if self.kernel == "linear":
            return None
        if self.kernel == "precomputed":
            return KernelSpace(X, "precomputed")
        weight = np.ones(X.shape[0]) if weight is None else weight
        self.gamma_ = resolved_gamma(self.gamma, X, weight)
        return KernelSpace(X, self.kernel, gamma=self.gamma_, degree=self.degree, coef0=self.coef0)

    def _solve(self):
        """Minimise, set the fitted attributes, and warn if no optimum was reached."""
        optimum = self._minimise(self._start())
        objective = optimum.objective
        # A Hessian that vanishes in an intercept, as no row has curvature, is no failure of the
        # fit: every intercept of an interval is an optimum.
        flat = bool(optimum.failure) and objective.stationarity < SETTLED
        reached = optimum.is_settled or flat
        self._optimum = OptimumRecord.at(
            objective, self._training_data, converged=reached, n_steps=optimum.n_steps
        )
        self._take(objective, optimum.n_steps)
        if not reached:
            warn(
                f"no optimum was found in {optimum.n_steps} Newton steps: relative gradient "
                f"{objective.stationarity:.1e}, not {self.tol:.1e}. Raise max_iter, lower C, or "
                "scale the columns of X.",
                ConvergenceWarning,
            )
        return objective

    def _take(self, objective, n_steps):
        self.n_iter_ = max(1, n_steps)
        self.stationarity_ = objective.stationarity
        coef, self.intercept_ = objective.design.unpack(objective.theta)
        if self._space is None:
            self.coef_ = coef
        else:
            self.dual_coef_ = self._dual_coef(objective)

    def _dual_coef(self, objective):
        """Dual coefficients -C g_i, (K, n): at the optimum w = -C sum_i g_i phi(x_i)."""
        return -self.C * objective.residuals.T

    def _predictors(self, X):
        """Predictors of rows, (m, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **self._accepted())
        if self._space is None:
            found = X @ np.atleast_2d(self.coef_).T
        else:
            found = self._space.with_training_rows(X) @ np.atleast_2d(self.dual_coef_).T
        return np.asarray(found, dtype=np.float64) + self.intercept_
