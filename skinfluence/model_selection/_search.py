"""A grid search by leave-one-out predictions, with one fit for each candidate."""

import time
from collections.abc import Callable
from itertools import chain, starmap
from numbers import Integral
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import FitFailedWarning, UndefinedMetricWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterGrid
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skinfluence._parallel import in_workers, n_workers, tracked
from skinfluence._sources import check_in_memory
from skinfluence._typing import MatrixLike
from skinfluence._validation import METHODS, check_choice, warn
from skinfluence.adapters import is_supported, unsupported
from skinfluence.base import InfluenceMixin
from skinfluence.deletion import LOOKED_AT, warn_undefined
from skinfluence.explainer import estimator_router, fit_params, unwrap
from skinfluence.model_selection._candidates import (
    Path,
    parts_of,
    paths,
    refitted,
    score_path,
    scored_in_turn,
)
from skinfluence.model_selection._results_table import results_table, simplest
from skinfluence.model_selection._scorings import check_refit, is_multimetric, scorings_by_name
from skinfluence.model_selection._stored import StoredScores

ONE_STANDARD_ERROR = "one_standard_error"


def _estimator_has(name):
    """Check for `available_if`: whether the best or the unfitted estimator has a method."""

    def check(self):
        getattr(getattr(self, "best_estimator_", self.estimator), name)
        return True

    return check


class LeaveOneOutSearchCV(MetaEstimatorMixin, BaseEstimator):
    r"""Search over a grid of parameters by leave-one-out, without refits.

    Each candidate is fitted once on all rows; its score is that of the n predictions
    :math:`\eta_{-i}(x_i)` of each row by the model without it, which
    :meth:`InfluenceExplainer.loo_estimate` computes from the one fit. It is used as
    :class:`sklearn.model_selection.GridSearchCV` is, and its scores are those of
    ``cv=LeaveOneOut()``, with these differences:

    - The predictions of all rows are scored together. GridSearchCV scores each row alone and takes
      the mean, which is the same for a mean over rows (accuracy, neg_brier_score), another quantity
      for others (neg_max_error, f1), and NaN where one row has no score (roc_auc, r2, D2,
      neg_log_loss).
    - With `sample_weight` rows count by their weights in the score, and those of weight 0 do not.
      In the mean of GridSearchCV all count alike.
    - In a Pipeline the steps before the last are fitted on all rows, once for each candidate, and
      held fixed when a row is left out. So is whatever else a fit takes from the data: the weights
      of ``class_weight="balanced"``, the width of ``gamma="scale"``, the transformer of a
      TransformedTargetRegressor, the strength that a RidgeCV has chosen.
    - A row without which there is no model, such as the last of its class, has no prediction and is
      left out of the score, with a warning.
    - Every model is at its optimum; scikit-learn's stop at the `tol` of their solvers. Other
      methods than "exact" approximate.

    Candidates that differ only in the strength of the penalty of the last step (``C`` or ``alpha``)
    form a regularisation path: the first is fitted by scikit-learn, the others by Newton steps from
    their neighbour's optimum.

    Parameters
    ----------
    estimator : estimator
        A supported estimator (:func:`skinfluence.supported_estimators`), a Pipeline that ends in
        one, or an :class:`InfluenceExplainer` around either.
    param_grid : dict or list of dict
        As for GridSearchCV.
    scoring : str, callable, list of str or dict of either, optional
        Scorer of the pooled leave-one-out predictions, one number. By default the estimator's own,
        which `score` returns too: accuracy, r2 of regressors, D2 (the share of the deviance) of
        generalised linear models. A list or a dict has several scorers, as in GridSearchCV: `refit`
        then names the one that chooses.
    method : {"auto", "exact", "newton", "first_order"}, default="auto"
        How rows are left out, as in :meth:`InfluenceExplainer.loo_estimate`: "exact" gives the
        scores of refits, "newton" costs O(n p^2) for each candidate, "auto" is exact within a
        budget.
    n_jobs : int, optional
        Candidates that are fitted at the same time, in the workers of joblib. Each worker has a
        part of a path, of which it fits the first candidate anew.
    refit : bool, "one_standard_error", str or callable, default=True
        Whether to fit the best candidate on all rows. With "one_standard_error" it is the simplest
        candidate (the fewest effective parameters) whose score is within one standard error of the
        best score. A callable takes `cv_results_` and returns the index of the candidate. With
        several scorers the name of one, a callable, or False.
    verbose : int, default=0
        From 1, print the number of candidates; from 2, one line for each candidate.
    progress : callable, optional
        Wraps the iteration over candidates, such as `tqdm.auto.tqdm`; those read from a
        `checkpoint` count.
    checkpoint : str or Path, optional
        Folder of finished blocks of candidates. A fit that was ended on the way is gone on with by
        the same fit; the blocks of other data, parameters or another version of the library are
        refused. Each block begins with a fit by scikit-learn, in place of a start from the optimum
        of its neighbour. Scorers should be named.

    Attributes
    ----------
    cv_results_ : dict of arrays
        Keys as in GridSearchCV: `params`, `param_*`, `mean_test_score`, `rank_test_score`,
        `mean_fit_time`, `std_fit_time`, `mean_score_time`, `std_score_time`, with several scorers
        their names in the place of "score"; and
        `standard_error_test_score` (from the rows for accuracy, log loss and Brier score, by a
        grouped jackknife for others), `effective_parameters` (sum of the leverages) and
        `n_undefined` (rows without a leave-one-out prediction, which no score contains).
    best_index_ : int
        Index of the chosen candidate: that with the highest score, the first of equal ones, or the
        choice of `refit`.
    best_params_ : dict
        Parameters of the chosen candidate.
    best_score_ : float
        Score of the chosen candidate; not for a callable `refit`.
    one_standard_error_index_ : int
        Index of the candidate that the one-standard-error rule chooses, for any `refit`; with
        several scorers by the one that `refit` names.
    multimetric_ : bool
        Whether there are several scorers.
    best_estimator_ : estimator
        The chosen candidate, fitted on all rows; only if `refit` is not False.
    refit_time_ : float
        Seconds of that fit; only if `refit` is not False.
    scorer_ : callable or dict of callables
        Scorer of `scoring`, or the scorers by name.
    classes_ : ndarray of shape (n_classes,)
        Labels; only if `refit` is not False.
    n_features_in_ : int
        Number of features; only if `refit` is not False.
    feature_names_in_ : ndarray of str
        Names of the features, if X has names; only if `refit` is not False.

    See Also
    --------
    optimize_regularization : The best C on a continuous scale, by the derivative of the loss.
    loo_scorer : A scorer for GridSearchCV.

    Notes
    -----
    Sample weights enter the fits and the scores: means over rows are weighted, and other scorers
    are handed the weights if they take `sample_weight`. A scorer that does not, such as
    "neg_max_error" or a plain callable, counts all rows of positive weight alike; give a callable
    the argument ``sample_weight=None`` for it to be weighted as the named scores are. Rows of
    weight 0 are not scored.

    A callable `scoring` is handed the rows of X that are scored. Its estimator predicts these and
    rows of them, in any order, and raises for others.

    A score that needs every class (roc_auc_ovr) is NaN where a class has no row with a prediction;
    a warning says which.

    Pickles contain the training data if the estimator's do, and `best_estimator_` is the model to
    ask for a copy without them.

    References
    ----------
    Beirami, Razaviyayn, Shahrampour & Tarokh, On optimal generalizability in parametric learning,
    NeurIPS 2017. Hastie, Tibshirani & Friedman, The Elements of Statistical Learning, 7.10 (the
    one-standard-error rule).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skinfluence.model_selection import LeaveOneOutSearchCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), LogisticRegression())
    >>> grid = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}
    >>> search = LeaveOneOutSearchCV(pipe, grid, scoring="neg_log_loss", method="newton").fit(X, y)
    >>> search.best_params_
    {'logisticregression__C': 1.0}
    >>> search.cv_results_["mean_test_score"].round(3)
    array([-0.167, -0.092, -0.076, -0.114])
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        param_grid: dict | list[dict],
        *,
        scoring: str | Callable | list | tuple | dict | None = None,
        n_jobs: int | None = None,
        method: str = "auto",
        refit: bool | str | Callable = True,
        verbose: int = 0,
        progress: Callable | None = None,
        checkpoint: str | PathLike | None = None,
    ):
        self.estimator = estimator
        self.param_grid = param_grid
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.method = method
        self.refit = refit
        self.verbose = verbose
        self.progress = progress
        self.checkpoint = checkpoint

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Score every candidate, and fit the best one on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative weights, passed to the last step; with metadata routing to the steps that
            request them.
        **params
            Metadata for the estimator, with ``sklearn.set_config(enable_metadata_routing=True)``.

        Returns
        -------
        self
            The fitted search.

        Raises
        ------
        TypeError
            If the last step is not supported.
        ValueError
            For an unknown `method`, `refit` or `scoring`, a `param_grid` with unknown names, if the
            estimator's own fit raises it, and if no candidate has a score.
        """
        check_in_memory(X=X, y=y, sample_weight=sample_weight)
        self._check()
        candidates = list(ParameterGrid(self.param_grid))
        params = fit_params(self, sample_weight, params)
        tasks, stored = self._tasks(candidates, (X, y, params))
        scored = self._score(candidates, tasks, stored)
        self.cv_results_ = results_table(candidates, scored, self._scorings())
        self._select(candidates)
        for name in ("best_estimator_", "classes_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        if self.refit is not False:
            start, chosen = time.perf_counter(), clone(self.best_params_, safe=False)
            self.best_estimator_ = refitted(tasks, self.best_index_, chosen)
            if self.best_estimator_ is None:
                best = clone(self.estimator).set_params(**chosen)
                self.best_estimator_ = best.fit(X, y, **params)
            self.refit_time_ = time.perf_counter() - start
            for name in ("classes_", "n_features_in_", "feature_names_in_"):
                if hasattr(self.best_estimator_, name):
                    setattr(self, name, getattr(self.best_estimator_, name))
        return self

    def _check(self):
        """Check the parameters that can be checked without data."""
        check_choice("method", self.method, METHODS)
        self.multimetric_ = is_multimetric(self.scoring)
        scorings = self._scorings()
        if callable(self.refit):
            pass
        elif self.multimetric_:
            check_refit(self.refit, scorings)
        elif not isinstance(self.refit, bool | np.bool_):
            check_choice("refit", self.refit, (True, False, ONE_STANDARD_ERROR))
        final = unwrap(self.estimator)[-1]
        if not (is_supported(final) or isinstance(final, InfluenceMixin)):
            raise unsupported(final)
        found = {
            name: check_scoring(self.estimator, scoring=scoring)
            for name, scoring in scorings.items()
        }
        self.scorer_ = found if self.multimetric_ else found["score"]

    def _scorings(self):
        """The scorers as given, by name; "score" where there is one."""
        return scorings_by_name(self.scoring)

    def _chosen(self):
        """Name of the scorer that chooses."""
        if not self.multimetric_:
            return "score"
        return self.refit if isinstance(self.refit, str) else next(iter(self._scorings()))

    def _tasks(self, candidates, data):
        """Return (Path, positions of its candidates) of each part of the grid, and StoredScores."""
        groups, n_jobs = paths(self.estimator, candidates), n_workers(self.n_jobs)
        scorings, stored = self._scorings(), None
        if self.checkpoint is not None:
            parts = (self.estimator, candidates, scorings, self.method, data)
            stored = StoredScores(self.checkpoint, *parts)
            groups = stored.cut(groups)
        elif n_jobs > 1:
            groups = parts_of(groups, -(-len(candidates) // n_jobs))
        return [
            (Path(self.estimator, data, scorings, self.method, name), members)
            for name, members in groups
        ], stored

    def _score(self, candidates, tasks, stored):
        """Return the Scored of every candidate, in the order of the grid."""
        if self.verbose > 0:
            print(f"Leaving out each row of {len(candidates)} candidates, one fit each")
        scored = [None] * len(candidates)
        found = self._found(candidates, tasks, stored)
        for position, result in tracked(found, self.progress, total=len(candidates)):
            scored[position] = result
            if self.verbose > 1:
                self._print(candidates[position], result)
        self._warn(candidates, scored)
        return scored

    def _found(self, candidates, tasks, stored):
        """Return or yield (position, Scored) of every candidate."""
        n_jobs = n_workers(self.n_jobs)
        if n_jobs == 1 and stored is None:
            return scored_in_turn(tasks, candidates)
        work = [(path, [candidates[i] for i in members]) for path, members in tasks]
        score = score_path
        if stored is not None:
            score = stored.score
            work = [(members, *task) for (_, members), task in zip(tasks, work, strict=True)]
        order = [position for _, members in tasks for position in members]
        results = in_workers(score, work, self.n_jobs) if n_jobs > 1 else starmap(score, work)
        return zip(order, chain.from_iterable(results), strict=True)

    @staticmethod
    def _print(params, found):
        """Print the scores of a candidate, and how long they took."""
        scores = ", ".join(
            f"{name} {each.score:.6g} +- {each.standard_error:.2g}"
            for name, each in found.scores.items()
        )
        print(f"{params}: {scores}, {found.fit_time + found.score_time:.2g} s")

    def _warn(self, candidates, scored):
        """Warn once each of undefined rows, and of candidates without an optimum or a score."""
        undefined = {}
        for found in scored:
            for row, (name, cause) in found.undefined.items():
                undefined[row] = (name, undefined.get(row, (name, None))[1] or cause)
        if undefined:
            names, causes = zip(*(undefined[row] for row in sorted(undefined)), strict=True)
            warn_undefined(np.asarray(names), list(causes[:LOOKED_AT]))
        failed = [i for i, found in enumerate(scored) if found.failure]
        if len(failed) == len(scored):
            raise ValueError(f"no candidate has a leave-one-out score: {scored[0].failure}")
        if failed:
            warn(
                f"no optimum was found for {len(failed)} of {len(scored)} candidates; their score "
                "is NaN. " + "; ".join(f"{candidates[i]}: {scored[i].failure}" for i in failed[:5]),
                FitFailedWarning,
            )
        unscored = [i for i, found in enumerate(scored) if found.score_failure]
        if unscored:
            warn(
                f"{len(unscored)} of {len(scored)} candidates have no score, or no standard error "
                f"(NaN): {scored[unscored[0]].score_failure}.",
                UndefinedMetricWarning,
            )

    def _select(self, candidates):
        """Set the attributes of the chosen candidate."""
        name = self._chosen()
        scores = self.cv_results_[f"mean_test_{name}"]
        if np.isnan(scores).all():
            raise ValueError("no candidate has a leave-one-out score: all are NaN.")
        highest = int(np.nanargmax(scores))
        self.one_standard_error_index_ = simplest(self.cv_results_, highest, name)
        if self.multimetric_ and self.refit is False:
            for absent in ("best_index_", "best_params_", "best_score_"):
                self.__dict__.pop(absent, None)
            return
        self.__dict__.pop("best_score_", None)
        if callable(self.refit):
            self.best_index_ = self.refit(self.cv_results_)
            if not isinstance(self.best_index_, Integral):
                raise TypeError("best_index_ returned is not an integer")
            if not 0 <= self.best_index_ < len(candidates):
                raise IndexError("best_index_ index out of range")
        else:
            simple = self.refit == ONE_STANDARD_ERROR and not self.multimetric_
            self.best_index_ = self.one_standard_error_index_ if simple else highest
            self.best_score_ = float(scores[self.best_index_])
        self.best_params_ = candidates[self.best_index_]

    # -- the best estimator's methods --------------------------------------------------------------

    def _best(self):
        """Return the fitted best estimator; raise if there is none."""
        if self.refit is False:
            raise AttributeError(
                "this LeaveOneOutSearchCV has refit=False, and no fitted model. Fit the estimator "
                "with `best_params_`, or use refit=True."
            )
        check_is_fitted(self)
        return self.best_estimator_

    @available_if(_estimator_has("predict"))
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict with the best estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,)
            What `best_estimator_.predict` returns.
        """
        return self._best().predict(X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Return the class probabilities of the best estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            What `best_estimator_.predict_proba` returns.
        """
        return self._best().predict_proba(X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Return the logarithm of the class probabilities of the best estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            What `best_estimator_.predict_log_proba` returns.
        """
        return self._best().predict_log_proba(X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Return the decision function of the best estimator.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            What `best_estimator_.decision_function` returns.
        """
        return self._best().decision_function(X)

    def score(self, X: MatrixLike, y: ArrayLike, **params: Any) -> float:
        """Score the best estimator by `scoring` on given rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Labels.
        **params
            Metadata for the scorer, such as `sample_weight`.

        Returns
        -------
        float
            Score by `scorer_`, of several by the one that `refit` names.
        """
        best, scorer = self._best(), self._scorer()
        if get_config()["enable_metadata_routing"]:
            params = process_routing(self, "score", **params).scorer.score
        return scorer(best, X, y, **params)

    def _scorer(self):
        """The scorer that chooses."""
        scoring = self._scorings()
        name = next(iter(scoring))
        if isinstance(self.refit, str) and self.refit in scoring:
            name = self.refit
        return check_scoring(self.estimator, scoring=scoring[name])

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata the estimator inside requests, and the scorer.

        Returns
        -------
        MetadataRouter
            As in scikit-learn's User Guide on metadata routing.
        """
        methods = MethodMapping().add(caller="score", callee="score")
        router = estimator_router(self, fit="fit")
        return router.add(scorer=self._scorer(), method_mapping=methods)

    # -- scikit-learn ------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self):
        """Whether fit was called."""
        return "cv_results_" in self.__dict__

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
