"""Base class of kernel classifiers, whose objective is linear in the features of the kernel."""

from abc import abstractmethod
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from skinfluence._frames import row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import (
    as_numbers,
    check_classes_have_weight,
    check_sample_weight,
    encode_labels,
    label_encoder,
    shown,
)
from skinfluence.adapters import Adapted, TrainingData, change_in_span
from skinfluence.kernel_models._machine import NewtonFittedMixin
from skinfluence.objective import Objective
from skinfluence.penalties import L2


class KernelClassifier(NewtonFittedMixin, ClassifierMixin, BaseEstimator):
    """Classifier that minimises sum_i w_i l(y_i, f(x_i)) + |f|^2 / (2 C) in the space of a kernel.

    A subclass has the parameters C, kernel, gamma, degree, coef0, fit_intercept, class_weight, tol
    and max_iter, and defines its loss and how the optimum is found.
    """

    @abstractmethod
    def _losses(self, n_classes):
        """Return (loss that gives the derivatives, loss that is minimised) for `n_classes`."""

    def _start(self):
        return adapt_kernel_classifier(self, self._training_data, np.zeros).objective

    # -- fit ---------------------------------------------------------------------------------------

    def fit(
        self, X: MatrixLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
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
            For invalid parameters or weights, a single class, or an indefinite kernel matrix.
        """
        self._check_parameters()
        self._begin_fit(X, y, sample_weight)
        names = row_names(X, y)
        X, y = validate_data(self, X, y, **self._accepted())
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        weight = check_sample_weight(sample_weight, X.shape[0])
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes; y has the 1 class "
                f"{self.classes_.tolist()[0]!r}."
            )
        check_classes_have_weight(self.classes_, codes, weight)
        self._class_weight = self._frozen_class_weight(codes, weight)
        weight = None if sample_weight is None else weight
        self._space = self._coordinates(X, weight)
        rows = X if self._space is None else None
        self._training_data = TrainingData(rows, y, weight, self._space, row_names=names)
        self._solve()
        return self

    def _frozen_class_weight(self, codes, weight):
        """Weight of each class, (K,), as numbers also for "balanced"."""
        options = {"classes": self.classes_, "y": self.classes_[codes]}
        if self.class_weight == "balanced":
            # From sample weights, as in scikit-learn from 1.7; version 1.6 counts rows.
            mass = np.bincount(codes, weights=weight)
            return mass.sum() / (len(mass) * mass)
        if isinstance(self.class_weight, dict):
            as_numbers("class_weight", list(self.class_weight.values()))
        found = compute_class_weight(self.class_weight, **options)
        if not ((found >= 0) & np.isfinite(found)).all():
            raise ValueError(
                "class_weight should hold finite numbers of at least 0; got "
                f"{shown(self.class_weight)}."
            )
        return found

    # -- predictions -------------------------------------------------------------------------------

    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Return f(x), for more than two classes one value for each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; for kernel="precomputed" their kernel with the training rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Values f(x), positive for the second of two classes.
        """
        decision = self._predictors(X)
        return decision[:, 0] if len(self.classes_) == 2 else decision

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Return the label of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in :meth:`decision_function`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels; for more than two classes the one with the largest f(x).
        """
        return self._predictions(X).predict(None)

    def _predictions(self, X):
        """Predictions at the rows of X, as a fitted classifier that needs no X."""
        decision = self.decision_function(X)  # raises before there are classes
        link = self._losses(len(self.classes_))[1].link.labelled(self.classes_)
        return link.predictions(decision)


def adapt_kernel_classifier(estimator, data, theta=None):
    """Return the objective of a KernelClassifier, at its optimum or at `theta(shape)`."""
    classes = estimator.classes_
    codes = encode_labels(data.y, classes, "y")
    weight = check_sample_weight(data.sample_weight, len(codes)) * estimator._class_weight[codes]
    loss, trained = estimator._losses(len(classes))
    design = data.design(estimator.fit_intercept)
    penalty = L2(design.join(np.full(design.n_features, 1.0 / estimator.C), 0.0)[0])
    y = codes.astype(np.float64) if loss.is_scalar else codes
    shape = (loss.n_outputs, design.shape[1])
    theta = data.theta if theta is None else theta(shape)
    objective = Objective(loss, design, y, weight, penalty, theta, trained)
    encode = label_encoder(classes, y.dtype)
    dual = None
    if estimator.kernel != "linear":
        at_optimum = objective.is_at_its_own_optimum
        dual = (
            partial(dual_change, C=estimator.C)
            if at_optimum
            else partial(change_in_span, features=estimator._space.features)
        )
    return Adapted(objective, classes, encode, dual)


def dual_change(objective, rows, steps, *, C):
    """Change of the dual coefficients -C g, (b, K, n), and of the intercepts.

    g are the weighted residuals after the step; that of the deleted row is 0.
    """
    change = np.full((len(rows), objective.n_outputs, objective.n_rows), np.nan)
    for position, row in enumerate(rows):
        if not np.isfinite(steps[position]).all():  # undefined
            continue
        moved = objective.at(objective.theta + steps[position])
        residuals = moved.residuals.T.copy()
        residuals[:, row] = 0.0
        change[position] = C * (objective.residuals.T - residuals)
    return change, objective.design.unpack(steps)[1]
