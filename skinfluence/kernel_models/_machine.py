"""What classifiers and regressors with a kernel share."""

import numbers
import warnings
from abc import ABC, abstractmethod

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._validation import check_choice, check_positive
from skinfluence.base import InfluenceMixin
from skinfluence.design import KERNELS, KernelSpace, resolved_gamma
from skinfluence.problem import OptimumRecord


class KernelMachineMixin(InfluenceMixin):
    """A model with a `kernel`, a `_space` (None where it is linear in X) and an `_optimum`."""

    def _accepted(self):
        """What the validation of X lets through."""
        sparse = False if self.kernel == "precomputed" else "csr"
        dtype = [np.float64, np.float32] if self.kernel == "linear" else np.float64
        return {"accept_sparse": sparse, "dtype": dtype}

    # -- what InfluenceMixin asks ------------------------------------------------------------------

    def __optimum_record__(self):
        check_is_fitted(self)
        return self._optimum

    def __design_rows__(self, X):
        """Return X_test in the coordinates of the training rows."""
        X = validate_data(self, X, reset=False, **self._accepted())
        return X if self._space is None else self._space.map(X)

    def __sklearn_tags__(self):
        """Sparse unless precomputed, which is pairwise."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.kernel != "precomputed"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags


class NewtonFittedMixin(KernelMachineMixin, ABC):
    """One that minimises sum_i w_i l(y_i, f(x_i)) + |f|^2 / (2 C) in the space of its kernel.

    A subclass has the parameters C, kernel, gamma, degree, coef0, fit_intercept, tol and max_iter,
    and says where the optimum is looked for and how it is reached.
    """

    @abstractmethod
    def _start(self):
        """Objective of the training data, anywhere."""

    @abstractmethod
    def _minimise(self, objective):
        """Optimum of an objective, from any start."""

    def _positive_parameters(self):
        """Names of the parameters that are positive numbers."""
        return ("C", "tol")

    def _check_parameters(self):
        """Raise for parameters out of range."""
        for name in self._positive_parameters():
            check_positive(name, getattr(self, name))
        if not isinstance(self.max_iter, numbers.Integral) or self.max_iter < 1:
            raise ValueError(f"max_iter should be a positive integer; got {self.max_iter!r}.")
        if not callable(self.kernel):
            check_choice("kernel", self.kernel, KERNELS)

    def _coordinates(self, X, weight):
        """Space of the kernel; None where the machine is linear in X itself."""
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
        """Go to the optimum and say what was reached."""
        optimum = self._minimise(self._start())
        objective = optimum.objective
        # Where no row bends any more an intercept is not identified: it is where it is.
        ended = optimum.stalled or optimum.failure
        reached = optimum.converged or (bool(ended) and objective.stationarity < 1e-7)
        self._optimum = OptimumRecord.at(
            objective, self._training_data, converged=reached, n_steps=optimum.n_steps
        )
        self.n_iter_ = max(1, optimum.n_steps)
        self.stationarity_ = objective.stationarity
        coef, self.intercept_ = objective.design.unpack(objective.theta)
        if self._space is None:
            self.coef_ = coef
        else:
            self.dual_coef_ = self._dual_coef(objective)
        if not reached:
            warnings.warn(
                f"Newton's method stopped after {optimum.n_steps} steps with a relative gradient "
                f"of {objective.stationarity:.1e}, not {self.tol:.1e}. Raise max_iter, lower C, or "
                "scale the data.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return objective

    def _dual_coef(self, objective):
        """Dual coefficients (K, n): the gradient vanishes, so that w = -C sum_i g_i phi(x_i)."""
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
