"""What kernel machines share: an objective that is linear in features of the kernel."""

import numbers
import warnings
from abc import ABC, abstractmethod
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._validation import (
    check_choice,
    check_positive,
    check_sample_weight,
    encode_labels,
    label_encoder,
)
from skinfluence.adapters import Adapted, TrainingData, change_in_span
from skinfluence.base import Explanation
from skinfluence.design import KERNELS, KernelSpace, resolved_gamma
from skinfluence.kernel_models._machine import KernelMachineMixin
from skinfluence.objective import Objective
from skinfluence.penalties import L2


class KernelClassifier(KernelMachineMixin, ClassifierMixin, BaseEstimator, ABC):
    """Classifier that minimises sum_i w_i l(y_i, f(x_i)) + |f|^2 / (2 C) in the space of a kernel.

    A subclass has the parameters C, kernel, gamma, degree, coef0, the intercept's, class_weight,
    tol and max_iter, and says what its loss is and how the optimum is reached.
    """

    # -- what a class has to say -------------------------------------------------------------------

    @abstractmethod
    def _losses(self, n_classes):
        """(loss of so many classes that gives the derivatives, loss that is minimised)."""

    @abstractmethod
    def _minimise(self, objective):
        """Optimum of an objective, from any start."""

    def _positive_parameters(self):
        """Names of the parameters that are positive numbers."""
        return ("C", "tol")

    # -- fit ---------------------------------------------------------------------------------------

    def fit(self, X, y, sample_weight=None):
        """Fit by Newton's method.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows; for kernel="precomputed" their kernel matrix.
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
            For bad parameters or weights, a single class, or an indefinite kernel matrix.
        """
        self._check_parameters()
        self.__dict__.pop("_explained_cache", None)
        X, y = validate_data(self, X, y, **self._accepted())
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        weight = check_sample_weight(sample_weight, X.shape[0])
        found = int((np.bincount(codes, weights=weight) > 0).sum())
        if found < max(2, len(self.classes_)):
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes with rows of positive weight; "
                f"got {found} class{'' if found == 1 else 'es'} of {len(self.classes_)}."
            )
        self._class_weight = self._frozen_class_weight(codes, weight)
        weight = None if sample_weight is None else weight
        self._space = self._coordinates(X, weight)
        rows = X if self._space is None else self._space.features.features
        self._training_data = TrainingData(rows, y, weight, self._space)
        self._solve()
        return self

    def _check_parameters(self):
        """Raise for parameters out of range."""
        for name in self._positive_parameters():
            check_positive(name, getattr(self, name))
        if not isinstance(self.max_iter, numbers.Integral) or self.max_iter < 1:
            raise ValueError(f"max_iter should be a positive integer; got {self.max_iter!r}.")
        if not callable(self.kernel):
            check_choice("kernel", self.kernel, KERNELS)

    def _frozen_class_weight(self, codes, weight):
        """Weight of each class (K,), the numbers that "balanced" stands for."""
        options = {"classes": self.classes_, "y": self.classes_[codes]}
        if self.class_weight == "balanced":
            # By weights, as scikit-learn from 1.7 does; up to 1.6 it counts rows.
            mass = np.bincount(codes, weights=weight)
            return mass.sum() / (len(mass) * mass)
        return compute_class_weight(self.class_weight, **options)

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
        start = adapt_kernel_classifier(self, self._training_data, np.zeros)
        optimum = self._minimise(start.objective)
        objective = optimum.objective
        reached = optimum.converged or (optimum.stalled and objective.stationarity < 1e-7)
        self._explanation = Explanation.as_it_is(
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

    # -- predictions -------------------------------------------------------------------------------

    def decision_function(self, X):
        """f(x), one a class where there are more than two.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; for kernel="precomputed" their kernel with the training rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Positive for the second of two classes.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **self._accepted())
        if self.kernel == "linear":
            decision = X @ self.coef_.T
        else:
            decision = self._space.with_training_rows(X) @ self.dual_coef_.T
        decision = np.asarray(decision, dtype=np.float64) + self.intercept_
        return decision[:, 0] if len(self.classes_) == 2 else decision

    def predict(self, X):
        """Return the label of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels; of several classes that of the largest f.
        """
        decision = self.decision_function(X)
        if decision.ndim == 1:
            return self.classes_[(decision > 0).astype(int)]
        return self.classes_[decision.argmax(axis=1)]


def adapt_kernel_classifier(estimator, data, theta=None):
    """Return the objective of a KernelClassifier, at its parameters or at `theta(shape)`."""
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes)) * estimator._class_weight[codes]
    loss, trained = estimator._losses(len(classes))
    design = data.design(estimator.fit_intercept)
    penalty = L2(design.pack(np.full(data.X.shape[1], 1.0 / estimator.C), 0.0)[0])
    y = codes.astype(np.float64) if loss.is_scalar else codes
    shape = (loss.n_outputs, design.shape[1])
    theta = estimator._explanation.theta if theta is None else theta(shape)
    objective = Objective(loss, design, y, weight, penalty, theta, trained)
    encode = label_encoder(classes, y.dtype)
    dual = None
    if estimator.kernel != "linear":
        at_optimum = objective.is_at_its_own_optimum
        dual = (
            partial(_dual_change, C=estimator.C)
            if at_optimum
            else partial(change_in_span, features=estimator._space.features)
        )
    return Adapted(objective, classes, encode, dual)


def _dual_change(objective, rows, steps, *, C):
    """Change of the dual coefficients -C g, (b, K, n), and of the intercepts.

    g are the residuals at the moved predictors; the deleted row's own is gone.
    """
    change = np.empty((len(rows), objective.n_outputs, objective.n_rows))
    for position, row in enumerate(rows):
        moved = objective.at(objective.theta + steps[position])
        residuals = moved.residuals.T.copy()
        residuals[:, row] = 0.0
        change[position] = C * (objective.residuals.T - residuals)
    return change, objective.design.unpack(steps)[1]
