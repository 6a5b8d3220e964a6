"""K-fold predictions from one fit, by deleting the rows of each fold together."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import BaseCrossValidator, check_cv

from skinfluence._frames import DataFrame, Result, checked_labels, data_frame
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_choice, check_group_labels
from skinfluence.deletion import GroupDeletion, next_group_change
from skinfluence.explainer import fitted_view, weight_params
from skinfluence.model_selection._means import weighted_mean
from skinfluence.problem import fitted_problem


@dataclass(frozen=True, repr=False)
class CrossValPredictions(Result):
    """Predictions of each row by the model without its fold.

    Attributes
    ----------
    prediction : ndarray of shape (n,)
        Predicted labels or responses. If folds are undefined, labels are of dtype object, and None
        in their rows.
    decision_function : ndarray of shape (n,) or (n, n_classes)
        Decision function or linear predictor; NaN in undefined folds, as are the values below.
    predict_proba : ndarray of shape (n, n_classes) or None
        Class probabilities; None for models without them.
    loss : ndarray of shape (n,)
        Unweighted loss.
    error_estimate : ndarray of shape (n,)
        Estimated error of the predictor (of its range over the classes): the change at the row by
        the next Newton step on the objective without the fold.
    fold : ndarray of int, shape (n,)
        Fold of each row.
    mean_loss, standard_error : float
        Mean of the losses of the defined rows, weighted by sample_weight, and its standard error
        over rows.
    method : str
        The method; "exact" for refined predictions.
    row_names : ndarray of shape (n,) or None
        Names of the rows: the index of X, else positions.
    """

    prediction: np.ndarray
    decision_function: np.ndarray
    predict_proba: np.ndarray | None
    loss: np.ndarray
    error_estimate: np.ndarray
    fold: np.ndarray
    mean_loss: float
    standard_error: float
    method: str
    row_names: np.ndarray | None = None

    def __repr__(self):
        """The number of folds, the method and the mean loss."""
        return (
            f"CrossValPredictions of {len(self.loss)} rows in {self.fold.max() + 1} folds "
            f"({self.method}): mean loss {self.mean_loss:.6g} +- {self.standard_error:.2g}"
        )

    def to_frame(self, train_labels: ArrayLike | None = None) -> DataFrame:
        """Return one line for each row, as a pandas DataFrame.

        Parameters
        ----------
        train_labels : array-like of shape (n,), optional
            Index of the lines; `row_names` by default.

        Returns
        -------
        pandas.DataFrame
            Columns fold, prediction, decision_function (with the class in brackets if there are
            several), loss and error_estimate.

        Raises
        ------
        ValueError
            If the labels do not have the right length.
        """
        columns = {"fold": self.fold, "prediction": self.prediction}
        decision = self.decision_function
        if decision.ndim == 1:
            columns["decision_function"] = decision
        else:
            for k in range(decision.shape[1]):
                columns[f"decision_function[{k}]"] = decision[:, k]
        columns["loss"], columns["error_estimate"] = self.loss, self.error_estimate
        frame = data_frame(columns)
        train_labels = self.row_names if train_labels is None else train_labels
        frame.index = checked_labels(train_labels, len(self.loss), "train_labels")
        return frame


def approximate_cross_val_predict(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    *,
    cv: int | BaseCrossValidator | Iterable = 5,
    method: str = "newton",
    refine: bool = True,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    progress: Callable | None = None,
) -> CrossValPredictions:
    r"""Predict each row by the model without its fold, from one fit on all rows.

    With H the curvature of the full fit, g_i and W_i the residuals and weights of its rows, the
    joint Newton step without the rows S of a fold is

    .. math:: \theta_{-S} \approx \theta + \Big(H - \sum_{i \in S} W_i \otimes z_i z_i'\Big)^{-1}
              \sum_{i \in S} g_i \otimes z_i .

    A fold is a large share of the rows, a fifth by default, and one step is shorter than its
    effect. With `refine`, Newton's method on the objective without the fold starts at the step and
    runs to convergence, so that the predictions are those of refits. In a Pipeline the steps before
    the last are held fixed: they are fitted once, on all rows.

    Parameters
    ----------
    estimator : estimator
        Unfitted estimator that is supported (see :func:`skinfluence.supported_estimators`), a
        Pipeline that ends in one, or an :class:`InfluenceExplainer`. It is cloned.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        Rows.
    y : array-like of shape (n_samples,)
        Labels or responses.
    cv : int, splitter or iterable, default=5
        As in :func:`sklearn.model_selection.cross_val_predict`: its test sets partition the rows.
    method : {"newton", "first_order", "exact"}, default="newton"
        The joint Newton step, the sum of the first-order steps of the rows, or the refit. With
        `refine` all three give the refit.
    refine : bool, default=True
        Whether to iterate to convergence.
    groups : array-like of shape (n_samples,), optional
        Passed to the splitter.
    sample_weight : array-like of shape (n_samples,), optional
        Non-negative weights, passed to the last step.
    progress : callable, optional
        Wraps the iteration over folds, such as `tqdm.auto.tqdm`.

    Returns
    -------
    CrossValPredictions
        Predictions, losses and estimated errors. Folds whose deletion empties a class, or makes
        unpenalised data separable, are undefined, with one warning.

    Raises
    ------
    TypeError
        If the last step is not supported.
    ValueError
        If the method is unknown, the test sets do not partition the rows, or a train set is not the
        complement of its test set.
    numpy.linalg.LinAlgError
        If the Hessian is singular, or the data are separable and nothing is penalised.

    References
    ----------
    Beirami, Razaviyayn, Shahrampour & Tarokh, On optimal generalizability in parametric learning,
    NeurIPS 2017. Giordano, Stephenson, Liu, Jordan & Broderick, A Swiss army infinitesimal
    jackknife, AISTATS 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.model_selection import approximate_cross_val_predict
    >>> X, y = load_iris(return_X_y=True)
    >>> predicted = approximate_cross_val_predict(InfluenceLogisticRegression(), X, y)
    >>> print(f"{(predicted.prediction == y).mean():.3f} {predicted.mean_loss:.3f}")
    0.973 0.140
    """
    check_choice("method", method, ("newton", "first_order", "exact"))
    if groups is not None:
        check_group_labels(groups)
    view = fitted_view(clone(estimator), X, y, weight_params(estimator, sample_weight))
    problem = fitted_problem(view)
    labels = problem.record.data.y
    splits = list(
        check_cv(cv, labels, classifier=is_classifier(estimator)).split(X, labels, groups)
    )
    folds = _partition(splits, problem.objective.n_rows)
    method = "exact" if refine else method
    curvature = problem.curvature()
    deletion = GroupDeletion(problem.objective, curvature, method, folds, progress=progress)
    problem.warn_undefined_groups(deletion, np.arange(len(folds)), what="fold")
    return _assembled(problem, deletion, method)


def _partition(splits, n):
    """Test sets of a splitter; raise unless they partition the rows and complement train sets."""
    seen = np.zeros(n, dtype=int)
    for train, test in splits:
        seen[test] += 1
        rest = np.ones(n, dtype=bool)
        rest[test] = False
        if not np.array_equal(np.flatnonzero(rest), np.sort(train)):
            raise ValueError(
                "approximate_cross_val_predict needs a splitter whose train sets are all rows "
                "that are not in the test set."
            )
    if (seen != 1).any():
        raise ValueError(
            "approximate_cross_val_predict only works for partitions: the test sets of cv should "
            "contain each row exactly once."
        )
    return [np.asarray(test) for _, test in splits]


def _assembled(problem, deletion, method):
    """CrossValPredictions of the deletions of all folds."""
    objective = problem.objective
    eta = objective.eta + deletion.own_change()
    defined = ~np.isnan(eta).any(axis=1)
    fold = np.empty(objective.n_rows, dtype=int)
    error = np.full(objective.n_rows, np.nan)
    for position, rows in enumerate(deletion.groups):
        fold[rows] = position
        if defined[rows].all():
            step = deletion.steps(slice(position, position + 1))[0]
            error[rows] = next_group_change(objective, rows, step)
    eta, link = objective.native(eta), problem.link
    loss = np.full(objective.n_rows, np.nan)
    loss[defined] = objective.trained_loss.value(objective.y[defined], eta[defined])
    prediction = link.predictions(eta).predict(None)
    if not defined.all() and link.n_classes:
        prediction = np.where(defined, prediction.astype(object), None)
    probability = link.probabilities(eta) if link.has_probabilities else None
    decision = link.decision(eta)
    mean, standard_error = weighted_mean(loss, problem.sample_weight)
    return CrossValPredictions(
        prediction,
        decision,
        probability,
        loss,
        error,
        fold,
        mean,
        standard_error,
        method,
        problem.row_names,
    )
