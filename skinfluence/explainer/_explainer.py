"""InfluenceExplainer: the influence methods for a Pipeline, a search, or a fitted model."""

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skinfluence._frames import row_names, without_columns
from skinfluence._sources import RowBlocks, as_blocks
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_sample_weight, validate_rows, warn
from skinfluence.adapters import (
    ResponseScale,
    TrainingData,
    adapt,
    is_supported,
    kernel_space,
    unsupported,
)
from skinfluence.base import (
    InfluenceMixin,
    copied_without_cache,
)
from skinfluence.explainer._in_blocks import fit_in_blocks, through
from skinfluence.explainer._models import (
    estimator_router,
    final_weight,
    fit_params,
    unwrap,
    with_final,
)
from skinfluence.problem import OptimumRecord, prediction_difference, shortfall

# A fitted model whose predictors move by more than this on the way to the optimum is said to be
# far.
FAR = 1e-2


def _final_has(method):
    """For available_if: whether the wrapped estimator has a method."""

    def check(self):
        getattr(self.estimator_ if hasattr(self, "estimator_") else self.estimator, method)
        return True

    return check


def _moved_coefficients(final, data, objective):
    """Return a copy of scikit-learn's estimator with other coefficients; None where it has none."""
    if data.space is not None or not hasattr(final, "coef_") or objective.loss.has_scale:
        return None
    if hasattr(final, "dual_coef_"):
        return None
    new = copy.copy(final)
    coef, intercept = objective.design.unpack(objective.theta)
    new.coef_ = np.reshape(coef, np.shape(final.coef_))
    shape = np.shape(final.intercept_)
    new.intercept_ = np.reshape(intercept, shape) if shape else np.float64(intercept[0])
    return new


def explainer_of(model):
    """Return the explainer of a fitted model whose final step keeps its training data.

    Raises
    ------
    TypeError
        If the final step is not supported, or keeps no training data.
    """
    transformers, _, final = unwrap(model)
    if not isinstance(final, InfluenceMixin):
        if not is_supported(final):
            raise unsupported(final)
        raise TypeError(
            f"{type(final).__name__} does not keep its training data: pass them by "
            "InfluenceExplainer(FrozenEstimator(model)).fit(X, y)."
        )
    check_is_fitted(model)  # a search may be unfitted around a fitted estimator
    check_is_fitted(final)
    explainer = InfluenceExplainer(FrozenEstimator(model))
    explainer._view(model, transformers, final)
    return explainer


def fitted_view(estimator, X, y, params, start=None):
    """Fit an unfitted estimator, and return the object with its influence methods.

    Parameters
    ----------
    estimator : estimator
    X, y : array-like
    params : dict
        Keyword arguments of its `fit`, such as :func:`weight_params`.
    start : ndarray of shape (K, q), optional
        Parameter near the optimum, where one is known.
    """
    if isinstance(unwrap(estimator)[-1], InfluenceMixin):
        return explainer_of(estimator.fit(X, y, **params))
    return InfluenceExplainer(estimator)._fit_with(X, y, params, start)


class InfluenceExplainer(InfluenceMixin, MetaEstimatorMixin, BaseEstimator):
    """Influence methods for an estimator that has none of its own: alone, in a Pipeline, or fitted.

    ``fit`` clones the estimator and fits it. Around a :class:`sklearn.frozen.FrozenEstimator` it
    takes the fitted one as it is; its coefficients are not touched, and influence refers to a copy
    polished to the optimum. Steps before the last are held fixed: deleting a row means refitting
    the last step on the transformed rows without it, not the scaler. The same holds for the
    transformer of a :class:`sklearn.compose.TransformedTargetRegressor`: targets other than "loss"
    are in the units of the responses, "loss" is what was minimised.

    Parameters
    ----------
    estimator : estimator
        A supported estimator (:func:`skinfluence.supported_estimators`), a Pipeline that ends in
        one, a TransformedTargetRegressor around either, a search object around any of these, or a
        FrozenEstimator of them.
    allow_far_from_optimum : bool, default=False
        Whether a FrozenEstimator may predict the training rows otherwise than the copy of it at the
        optimum, to which influence refers: another label for more than 1 % of the rows,
        probabilities that are .02 off in the mean, or responses that are 5 % of their spread off.
        Such a model has not converged, or was fitted on other rows or labels.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone, or what the FrozenEstimator holds.
    classes_ : ndarray
        Its labels.
    n_features_in_ : int
        Number of features seen by its first step.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    explain : The same view of a fitted estimator of this library, from the data it keeps.

    Notes
    -----
    Pickles contain the training data, as the last step of a Pipeline sees them; those of a copy
    made by `without_training_data` do not.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skinfluence import InfluenceExplainer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), LogisticRegression())
    >>> explainer = InfluenceExplainer(pipe).fit(X[:400], y[:400])
    >>> explainer.influence(X[400:], y[400:]).shape
    (169, 400)
    """

    def __init__(self, estimator: BaseEstimator, *, allow_far_from_optimum: bool = False):
        self.estimator = estimator
        self.allow_far_from_optimum = allow_far_from_optimum

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Fit a clone of the estimator, or take the frozen one, and find its optimum.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training rows. For a FrozenEstimator, the ones it was fitted on. Or rows in blocks
            (:func:`skinfluence.blocks.as_blocks`), where the last step is an estimator of this
            library; steps before it are frozen or have `partial_fit`.
        y : array-like of shape (n_samples,)
            Labels; of rows in blocks None where they have their own.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights, passed to the last step; with metadata routing to the steps that
            request them.
        **params
            Metadata for the estimator, with ``sklearn.set_config(enable_metadata_routing=True)``.

        Returns
        -------
        self
            The fitted explainer.

        Raises
        ------
        TypeError
            If the last step is not supported.
        ValueError
            As the estimator's own fit; and where a frozen estimator is not the optimum of its
            objective on these data, see `allow_far_from_optimum`.
        """
        if isinstance(X, RowBlocks) and isinstance(unwrap(self.estimator)[-1], InfluenceMixin):
            return self._fit_blocks(as_blocks(X, y, sample_weight))
        self._begin_fit(X, y, sample_weight)
        if not is_supported(unwrap(self.estimator)[-1]):
            raise unsupported(unwrap(self.estimator)[-1])
        if not isinstance(self.estimator, FrozenEstimator):
            if sample_weight is not None:
                check_sample_weight(sample_weight, len(np.atleast_1d(np.asarray(y))))
            return self._fit_with(X, y, fit_params(self, sample_weight, params))
        self.estimator_ = self.estimator.estimator
        check_is_fitted(self.estimator_)
        return self._attach(X, y, sample_weight, frozen=True)

    def _fit_blocks(self, blocks):
        """Fit a Pipeline that ends in an estimator of this library to rows in blocks."""
        self._begin_fit(None, None, None)
        model = fit_in_blocks(self.estimator, blocks)
        transformers, _, final = unwrap(model)
        self._view(model, transformers, final)
        return self

    def _fit_with(self, X, y, params, start=None):
        """Fit a clone of the estimator with keyword arguments that are its own."""
        self._begin_fit(X, y, None)
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        weight = final_weight(self.estimator, params)
        return self._attach(X, y, weight, frozen=False, start=start)

    def _attach(self, X, y, sample_weight, *, frozen, start=None):
        """Take the fitted estimator apart, keep the rows of its last step and find its optimum."""
        self._bind()
        names = row_names(X, y)
        X = self._features(X)
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)
            check_sample_weight(sample_weight, X.shape[0])
        y = np.asarray(y)
        y = y if y.ndim == 2 and y.shape[1] > 1 else y.ravel()
        if self._response is not None:
            y = self._response.transform(y, "y")
        # The kernel is computed once: adapting the model again reads its coordinates.
        space = kernel_space(self._final, X)
        rows = X if space is None else None
        data = TrainingData(rows, y, sample_weight, space, self._response, row_names=names)
        if len(y) != X.shape[0]:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X has "
                f"{X.shape[0]} rows, y {len(y)}."
            )
        self._polish(data, frozen, start)
        return self

    def _bind(self):
        """Take the fitted estimator apart, and say what it has seen."""
        self._transformers, responses, self._final = unwrap(self.estimator_)
        self._response = ResponseScale(responses) if responses else None
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)

    def _polish(self, data, frozen, start=None):
        """Find the optimum; without an objective for it the influence methods will say so."""
        self._optimum = self._refused = None
        try:
            if isinstance(self._final, InfluenceMixin):
                data = data.with_optimum_of(self._final.__optimum_record__().data)
            adapted = adapt(self._final, data)
            self._optimum = OptimumRecord.of(adapted, data, start)
        except (NotImplementedError, np.linalg.LinAlgError) as error:
            self._refused = error
            return
        self._warn_of_no_optimum(adapted.objective.is_at_its_own_optimum)
        if not frozen:
            return
        moved = adapted.objective.at(self._optimum.theta).eta - adapted.objective.eta
        difference = prediction_difference(adapted, self._optimum)
        if difference and not self.allow_far_from_optimum:
            raise ValueError(
                f"the given {type(self._final).__name__} is not the optimum of its objective on "
                f"these data: at the optimum {difference}. Pass the rows, labels and weights that "
                "it was fitted on. If it had not converged, fit it with a smaller tol and a larger "
                "max_iter, or pass allow_far_from_optimum=True for influence on a copy at the "
                "optimum."
            )
        if np.abs(moved).max(initial=0.0) > FAR:
            own = adapted.objective.is_at_its_own_optimum  # a hinge has no gradient to speak of
            told = f"relative gradient {adapted.objective.stationarity:.1e}, and " if own else ""
            warn(
                f"the given {type(self._final).__name__} is far from the optimum of its objective "
                f"on these data: {told}polishing moves a predictor by {np.abs(moved).max():.2g}. "
                "Influence refers to the polished copy. Fit with a smaller tol, and pass the rows "
                "and weights it was fitted on.",
                ConvergenceWarning,
            )

    def _warn_of_no_optimum(self, has_gradient):
        """Warn where none was found; a model with a fit of its own has said so itself."""
        missing = shortfall(self._optimum)
        if not (has_gradient or self._optimum.converged):
            missing = (
                f"no optimum was found: some margin conditions of the given "
                f"{type(self._final).__name__} are still violated at the end of the path of its "
                "dual. Centre and scale the columns of X, or fit with a larger penalty."
            )
        if missing and not (has_gradient and isinstance(self._final, InfluenceMixin)):
            warn(missing, ConvergenceWarning)

    def _view(self, model, transformers, final):
        """Take over what the final step of a fitted model has recorded of its fit."""
        self.estimator_ = model
        self._bind()
        self._optimum = self._refused = None
        try:
            record = final.__optimum_record__()
        except (NotImplementedError, ValueError) as error:
            self._refused = error
            return
        if isinstance(final, InfluenceExplainer):
            self._transformers = [*transformers, *final._transformers]
            self._final = final._final
        if self._response is not None:
            if record.data.response is not None:
                raise NotImplementedError(
                    "a TransformedTargetRegressor around an explainer of another is not available: "
                    "put one explainer around both."
                )
            record = replace(record, data=replace(record.data, response=self._response))
        self._optimum = record

    # -- what InfluenceMixin asks ------------------------------------------------------------------

    def __optimum_record__(self):
        self._check_fitted()
        if self._optimum is None:
            raise type(self._refused)(*self._refused.args)
        return self._optimum

    def _check_fitted(self):
        """Raise where the explainer is not fitted; where its estimator is, say how to keep it."""
        if self.__sklearn_is_fitted__():
            return
        try:
            check_is_fitted(self.estimator)
        except (NotFittedError, TypeError):
            check_is_fitted(self)
        raise NotFittedError(
            "this InfluenceExplainer is not fitted yet; the "
            f"{type(self.estimator).__name__} inside is. Call fit(X, y) with the rows that it was "
            "fitted on; to keep it as it is, and not fit a clone, put it into a FrozenEstimator: "
            "InfluenceExplainer(FrozenEstimator(model)).fit(X, y)."
        )

    def __adapted_model__(self):
        return self._final

    def __scored_rows__(self):
        if not self._transformers:
            return super().__scored_rows__()
        # The caller's columns are not kept, and those of the last step may have their names: a
        # scorer gets the index, by which it finds the rows in a table of its own.
        return without_columns(self.__optimum_record__().data.row_names)

    def __design_names__(self):
        names = getattr(self, "feature_names_in_", None)
        for step in self.__input_steps__():
            try:
                names = step.get_feature_names_out(names)
            except (AttributeError, ValueError):  # a step that knows none: those after it may
                names = None
        return names

    def __design_rows__(self, X):
        self._check_fitted()
        return self._features(X)

    def __moved__(self, data, record, objective, n_steps):
        """Return the explainer of the final estimator moved; None where it has no coefficients."""
        if isinstance(self._final, InfluenceMixin):
            final = self._final.__moved__(data, record, objective, n_steps)
        else:
            final = _moved_coefficients(self._final, data, objective)
        return None if final is None else self._around(final, record)

    def __fitted_on__(self, X, y, sample_weight, settings):
        if isinstance(self._final, InfluenceMixin):
            final = self._final.__fitted_on__(X, y, sample_weight, settings)
            return self._around(final, final.__optimum_record__())
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        final = clone(self._final).set_params(**settings).fit(X, y, **weights)
        space = kernel_space(final, X)
        rows = X if space is None else None
        data = TrainingData(rows, y, sample_weight, space, self._response)
        return self._around(final, OptimumRecord.of(adapt(final, data), data))

    def _around(self, final, record):
        """Return a copy of the explainer around another final estimator."""
        new = copied_without_cache(self)
        new.estimator_ = with_final(self.estimator_, final)
        new._final, new._optimum, new._refused = final, record, None
        return new

    def __input_steps__(self):
        own = self._final.__input_steps__() if isinstance(self._final, InfluenceMixin) else []
        return [*self._transformers, *own]

    def _features(self, X):
        """Send X through the steps before the last, and check it like the last step's X."""
        if isinstance(X, RowBlocks):
            X = through(self._transformers, X)
        else:
            for transformer in self._transformers:
                X = transformer.transform(X)
        if isinstance(self._final, InfluenceMixin):
            return self._final.__design_rows__(X)
        return validate_rows(self._final, X, accept_sparse="csr", dtype=[np.float64, np.float32])

    # -- scikit-learn ------------------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata the estimator inside requests.

        Returns
        -------
        MetadataRouter
            As in scikit-learn's User Guide on metadata routing.
        """
        methods = ("fit", "score", "predict", "predict_proba", "decision_function")
        return estimator_router(self, **{name: name for name in methods})

    def __sklearn_is_fitted__(self):
        """Whether fit was called."""
        return "_optimum" in self.__dict__

    def __sklearn_tags__(self):
        """Tags of the wrapped estimator, without the array API."""
        tags = super().__sklearn_tags__()
        wrapped = get_tags(self.estimator)
        tags.estimator_type = wrapped.estimator_type
        tags.classifier_tags = wrapped.classifier_tags
        tags.regressor_tags = wrapped.regressor_tags
        tags.target_tags = wrapped.target_tags
        tags.input_tags = wrapped.input_tags
        tags.array_api_support = False
        return tags

    @available_if(_final_has("predict"))
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict with the wrapped estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            What `estimator_.predict` returns.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_final_has("predict_proba"))
    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Class probabilities of the wrapped estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            What `estimator_.predict_proba` returns.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_final_has("predict_log_proba"))
    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Logarithm of the class probabilities of the wrapped estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            What `estimator_.predict_log_proba` returns.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_final_has("decision_function"))
    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Decision function of the wrapped estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            What `estimator_.decision_function` returns.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_final_has("score"))
    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Score of the wrapped estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the score.

        Returns
        -------
        float
            What `estimator_.score` returns.
        """
        check_is_fitted(self)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        if get_config()["enable_metadata_routing"]:
            weights = process_routing(self, "score", **weights).estimator.score
        return self.estimator_.score(X, y, **weights)
