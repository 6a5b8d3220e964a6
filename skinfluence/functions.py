"""The influence methods as functions of a fitted model: one-liners over the explainer."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._typing import MatrixLike
from skinfluence._validation import check_flag
from skinfluence.case_deletion import CaseDeletionDiagnostics, LeverageBlocks
from skinfluence.explainer import InfluenceExplainer, explainer_of, model_with, model_without
from skinfluence.perturbation import LocalInfluence
from skinfluence.problem import fitted_problem
from skinfluence.results import (
    BestChanges,
    LeaveOneOutEstimate,
    MostInfluential,
    ParameterInfluence,
)
from skinfluence.uncertainty import ParameterCovariance

if TYPE_CHECKING:
    from skinfluence.robustness import Quantity, RobustnessAudit


def explain(model: BaseEstimator) -> InfluenceExplainer:
    """Return an explainer of a fitted model, with the training data that the model keeps.

    The steps of a Pipeline before the last are held fixed: deleting a row means refitting the last
    step on the other transformed rows.

    Parameters
    ----------
    model : estimator
        Fitted estimator of this library, a Pipeline that ends in one, or a search object around
        either. Estimators of scikit-learn keep no data; see
        :class:`skinfluence.InfluenceExplainer`.

    Returns
    -------
    InfluenceExplainer
        Fitted explainer, which shares the model and its data.

    Raises
    ------
    TypeError
        If the last step is not supported, or keeps no training data.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skinfluence import InfluenceLogisticRegression, explain
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X, y)
    >>> explain(pipe).influence(X[:3], y[:3]).shape
    (3, 150)
    """
    return explainer_of(model)


def influence(
    model: BaseEstimator, X_test: MatrixLike, y_test: ArrayLike | None = None, **options: Any
) -> np.ndarray:
    """Change of a target at each test row if a training row is removed and the model refitted.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.influence`.

    Returns
    -------
    ndarray of shape (n_test, n_train)
        See :meth:`InfluenceExplainer.influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.influence(model, X[:3], y[:3]).shape
    (3, 150)
    """
    return explain(model).influence(X_test, y_test, **options)


def most_influential(
    model: BaseEstimator, X_test: MatrixLike, y_test: ArrayLike | None = None, **options: Any
) -> MostInfluential:
    """Return the k most helpful and the k most harmful training rows of each test row.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.most_influential`.

    Returns
    -------
    MostInfluential
        See :meth:`InfluenceExplainer.most_influential`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.most_influential(model, X[:3], y[:3], k=2).helpful_indices.shape
    (3, 2)
    """
    return explain(model).most_influential(X_test, y_test, **options)


def self_influence(model: BaseEstimator, **options: Any) -> np.ndarray:
    """Change of the target at each training row when this row itself is removed.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.self_influence`.

    Returns
    -------
    ndarray of shape (n_train,)
        See :meth:`InfluenceExplainer.self_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.self_influence(model).shape
    (150,)
    """
    return explain(model).self_influence(**options)


def parameter_influence(model: BaseEstimator, **options: Any) -> ParameterInfluence:
    """Change of the coefficients and intercepts when each training row is removed.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.parameter_influence`.

    Returns
    -------
    ParameterInfluence
        See :meth:`InfluenceExplainer.parameter_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.parameter_influence(model).intercept.shape
    (150, 3)
    """
    return explain(model).parameter_influence(**options)


def score_influence(
    model: BaseEstimator, X_test: MatrixLike, y_test: ArrayLike, **options: Any
) -> np.ndarray:
    """Change of a scikit-learn score on the test set when each training row is removed.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        The test set.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.score_influence`.

    Returns
    -------
    ndarray of shape (n_train,)
        See :meth:`InfluenceExplainer.score_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.score_influence(model, X, y, scoring="accuracy").shape
    (150,)
    """
    return explain(model).score_influence(X_test, y_test, **options)


def group_influence(
    model: BaseEstimator,
    groups: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike | None = None,
    **options: Any,
) -> np.ndarray:
    """Change of a target at each test row if a group of training rows is removed together.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    groups : array-like
        Labels, index arrays or a boolean matrix.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.group_influence`.

    Returns
    -------
    ndarray of shape (n_test, n_groups)
        See :meth:`InfluenceExplainer.group_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.group_influence(model, [[0, 1], [2]], X[:3], y[:3]).shape
    (3, 2)
    """
    return explain(model).group_influence(groups, X_test, y_test, **options)


def relabel_influence(
    model: BaseEstimator, X_test: MatrixLike, y_test: ArrayLike | None = None, **options: Any
) -> np.ndarray:
    """Change of a target at each test row if a training row had another label.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.relabel_influence`.

    Returns
    -------
    ndarray of shape (n_test, n_train, n_classes) or (n_test, n_train)
        See :meth:`InfluenceExplainer.relabel_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.relabel_influence(model, X[:3], y[:3], train_indices=[7]).shape
    (3, 1, 3)
    """
    return explain(model).relabel_influence(X_test, y_test, **options)


def addition_influence(
    model: BaseEstimator,
    X_new: MatrixLike,
    y_new: ArrayLike | None,
    X_test: MatrixLike,
    y_test: ArrayLike | None = None,
    **options: Any,
) -> np.ndarray:
    """Change of a target at each test row if one more training row were added.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_new, y_new : array-like
        Rows that may be added, with their labels or None.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.addition_influence`.

    Returns
    -------
    ndarray of shape (n_test, n_new)
        See :meth:`InfluenceExplainer.addition_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X[::2], y[::2])
    >>> skinfluence.addition_influence(model, X[1:9:2], y[1:9:2], X[:3], y[:3]).shape
    (3, 4)
    """
    return explain(model).addition_influence(X_new, y_new, X_test, y_test, **options)


def reweight_influence(
    model: BaseEstimator,
    sample_weight: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike | None = None,
    **options: Any,
) -> np.ndarray:
    """Change of a target at each test row if the training rows had other weights, jointly.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    sample_weight : array-like of shape (n_train,) or (m, n_train)
        Weights in the place of those of fit.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.reweight_influence`.

    Returns
    -------
    ndarray of shape (n_test,) or (n_test, m)
        See :meth:`InfluenceExplainer.reweight_influence`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.reweight_influence(model, np.where(y == 0, 2.0, 1.0), X[:3], y[:3]).shape
    (3,)
    """
    return explain(model).reweight_influence(sample_weight, X_test, y_test, **options)


def feature_influence(
    model: BaseEstimator, X_test: MatrixLike, y_test: ArrayLike | None = None, **options: Any
) -> np.ndarray:
    """Gradient of a target at each test row in the features of each training row.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.feature_influence`.

    Returns
    -------
    ndarray of shape (n_test, n_train, n_features) or (n_test, n_train)
        See :meth:`InfluenceExplainer.feature_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> skinfluence.feature_influence(model, X[:3], y[:3]).shape
    (3, 150, 4)
    """
    return explain(model).feature_influence(X_test, y_test, **options)


def best_changes(
    model: BaseEstimator, X_test: MatrixLike, y_test: ArrayLike | None = None, **options: Any
) -> BestChanges:
    """Return the k changes of the training data, one row each, that improve a target most.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        Test rows and labels.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.best_changes`.

    Returns
    -------
    BestChanges
        See :meth:`InfluenceExplainer.best_changes`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X[::2], y[::2])
    >>> skinfluence.best_changes(model, X[1::2], y[1::2], k=3).indices.shape
    (3,)
    """
    return explain(model).best_changes(X_test, y_test, **options)


def loo_estimate(model: BaseEstimator, **options: Any) -> LeaveOneOutEstimate:
    """Predict each training row by the model fitted without it, from this one fit.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.loo_estimate`.

    Returns
    -------
    LeaveOneOutEstimate
        See :meth:`InfluenceExplainer.loo_estimate`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> round(skinfluence.loo_estimate(model).score, 3)
    0.967
    """
    return explain(model).loo_estimate(**options)


def case_deletion_diagnostics(model: BaseEstimator) -> CaseDeletionDiagnostics | LeverageBlocks:
    """Leverage, studentised residuals, Cook's distance, DFFITS, DFBETAS and COVRATIO of each row.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.

    Returns
    -------
    CaseDeletionDiagnostics or LeverageBlocks
        See :meth:`InfluenceExplainer.case_deletion_diagnostics`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> import skinfluence
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = skinfluence.InfluenceLinearRegression().fit(X, y)
    >>> skinfluence.case_deletion_diagnostics(model).cooks_distance.shape
    (442,)
    """
    return explain(model).case_deletion_diagnostics()


def parameter_covariance(
    model: BaseEstimator, kind: str = "HC3", **options: Any
) -> ParameterCovariance:
    """Covariance of the coefficients, by a model or by the effects of single rows.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    kind : str, default="HC3"
        Kind of estimate.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.parameter_covariance`.

    Returns
    -------
    ParameterCovariance
        See :meth:`InfluenceExplainer.parameter_covariance`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> import skinfluence
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = skinfluence.InfluenceLinearRegression().fit(X, y)
    >>> skinfluence.parameter_covariance(model, "jackknife").matrix.shape
    (11, 11)
    """
    return explain(model).parameter_covariance(kind, **options)


def prediction_interval(
    model: BaseEstimator, X_test: MatrixLike, alpha: float = 0.1, **options: Any
) -> np.ndarray:
    """Compute prediction intervals for new responses, from one fit.

    Parameters
    ----------
    model : estimator
        A regressor as in :func:`explain`.
    X_test : array-like
        Test rows.
    alpha : float, default=0.1
        Probability that a response is outside of its interval.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.prediction_interval`.

    Returns
    -------
    ndarray of shape (n_test, 2) or (n_test, 2, n_outputs)
        See :meth:`InfluenceExplainer.prediction_interval`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> import skinfluence
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = skinfluence.InfluenceRidge(alpha=0.1).fit(X, y)
    >>> skinfluence.prediction_interval(model, X[:3]).shape
    (3, 2)
    """
    return explain(model).prediction_interval(X_test, alpha, **options)


def local_influence(
    model: BaseEstimator, perturbation: str = "weights", **options: Any
) -> LocalInfluence:
    """Find the direction of small perturbations that moves the fit most: Cook's local influence.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    perturbation : str, default="weights"
        Kind of perturbation.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.local_influence`.

    Returns
    -------
    LocalInfluence
        See :meth:`InfluenceExplainer.local_influence`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> import skinfluence
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = skinfluence.InfluenceLinearRegression().fit(X, y)
    >>> skinfluence.local_influence(model, "response").direction.shape
    (442,)
    """
    return explain(model).local_influence(perturbation, **options)


def mirrored_influence(
    model: BaseEstimator,
    X_test: MatrixLike,
    y_test: ArrayLike | None,
    stream: Iterable,
    *,
    target: Any = "loss",
) -> np.ndarray:
    """First-order influence of training rows that come in blocks, as from a file.

    The roles are turned round: the gradients of the test rows are solved for first, and each block
    of training rows is then read once, forward. For the rows of the fit it is
    ``influence(method="first_order")``; rows that were not in the fit are answered as if they were.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    X_test, y_test : array-like
        Test rows and labels.
    stream : iterable of (X, y) or (X, y, sample_weight)
        Blocks of training rows, as a caller has them.
    target : str or Target, default="loss"
        As in :meth:`InfluenceExplainer.influence`.

    Returns
    -------
    ndarray of shape (n_test, n_stream)
        After removal minus before; a class axis last where the target has one.

    Raises
    ------
    ValueError
        For a stream without a block, blocks of another form, and labels never seen in training.
    NotImplementedError
        For a machine that was trained by a hinge.

    References
    ----------
    Ko et al., The mirrored influence hypothesis, CVPR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X, y)
    >>> blocks = ((X[i : i + 50], y[i : i + 50]) for i in range(0, 150, 50))
    >>> found = skinfluence.mirrored_influence(model, X[:3], y[:3], blocks)
    >>> bool(np.allclose(found, model.influence(X[:3], y[:3], method="first_order")))
    True
    """
    from skinfluence.problem.mirrored import mirrored

    return mirrored(fitted_problem(explain(model)), X_test, y_test, stream, target)


def without(
    model: BaseEstimator,
    rows: ArrayLike | None = None,
    *,
    row_labels: ArrayLike | set | None = None,
    groups: ArrayLike | None = None,
    refit_steps: bool = False,
    X: MatrixLike | None = None,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> BaseEstimator:
    """Return a fitted model refitted without some of its training rows.

    Of a Pipeline the last step is refitted, and the earlier ones stay as they were fitted, with the
    rows: a scaler's mean still has seen them. With ``refit_steps=True`` all steps are fitted again
    on the other rows, which a Pipeline does not keep and which are passed here. Of a search the
    best model is refitted; what was chosen stays.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    rows, row_labels, groups
        As in :meth:`InfluenceExplainer.without`.
    refit_steps : bool, default=False
        Whether the earlier steps are fitted again too; needs `X` and `y`.
    X, y, sample_weight : array-like, optional
        All rows of the model as they were given to its fit.

    Returns
    -------
    estimator
        Of the same class; `removal_certificate_` is on its last step.

    Raises
    ------
    TypeError, ValueError, numpy.linalg.LinAlgError, RuntimeError
        As :func:`explain` and :meth:`InfluenceExplainer.without`; ValueError also for
        ``refit_steps`` without the rows of fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), skinfluence.InfluenceLogisticRegression()).fit(X, y)
    >>> rest = skinfluence.without(pipe, [0, 1])
    >>> rest[-1].removal_certificate_.n_rows
    148
    """
    asked = {"row_labels": row_labels, "groups": groups}
    check_flag("refit_steps", refit_steps)
    data = (X, y, sample_weight) if refit_steps else None
    return model_without(model, rows, asked, data)


def with_rows(
    model: BaseEstimator,
    X_new: MatrixLike,
    y_new: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
) -> BaseEstimator:
    """Return a fitted model refitted with further training rows.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`. The earlier steps of a Pipeline stay as they were fitted.
    X_new, y_new : array-like
        Rows, which go through the earlier steps, and their labels.
    sample_weight : array-like, optional
        Their weights; 1 by default.

    Returns
    -------
    estimator
        Of the same class; `removal_certificate_` is on its last step.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import skinfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skinfluence.InfluenceLogisticRegression().fit(X[5:], y[5:])
    >>> skinfluence.with_rows(model, X[:5], y[:5]).removal_certificate_.n_rows
    150
    """
    return model_with(model, X_new, y_new, sample_weight)


def smallest_flip(model: BaseEstimator, quantity: "Quantity", **options: Any) -> "RobustnessAudit":
    """Find how few training rows overturn a conclusion, and prove how many are needed.

    Parameters
    ----------
    model : estimator
        As in :func:`explain`.
    quantity : Quantity
        Made by a function of :mod:`skinfluence.robustness`, such as ``coefficient("age")``.
    **options
        Keyword arguments of :meth:`InfluenceExplainer.smallest_flip`.

    Returns
    -------
    RobustnessAudit
        See :meth:`InfluenceExplainer.smallest_flip`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skinfluence import InfluenceRidge, smallest_flip
    >>> from skinfluence.robustness import coefficient
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> scaler = StandardScaler().set_output(transform="pandas")
    >>> pipe = make_pipeline(scaler, InfluenceRidge()).fit(X, y)
    >>> smallest_flip(pipe, coefficient("s6")).n_rows
    6
    """
    return explain(model).smallest_flip(quantity, **options)
