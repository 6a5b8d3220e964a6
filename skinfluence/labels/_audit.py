"""LabelAudit: which labels are wrong."""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted

from skinfluence._frames import DataFrame, Series, data_frame, with_changes
from skinfluence._typing import MatrixLike
from skinfluence._validation import (
    as_index,
    as_partition,
    check_same_length,
    check_sample_weight,
    distinct_texts,
    encode_labels,
    shown,
)
from skinfluence.explainer import estimator_router
from skinfluence.labels._checks import (
    check_audit,
    check_budget,
    check_labels,
    check_one_decision_a_class,
    check_validation,
    checked_scores,
    row_position,
)
from skinfluence.labels._confident_joint import (
    confident_counts,
    expected_errors,
    joint,
    noise_matrix,
)
from skinfluence.labels._decision_files import exported_records, read_back
from skinfluence.labels._evidence import Evidence, find_evidence
from skinfluence.labels._fixing import relabelling_effects
from skinfluence.labels._noise_model import (
    error_probability,
    given_probability,
    leave_each_out,
    noise_model,
)
from skinfluence.labels._review import (
    ReviewCurve,
    checked_decisions,
    curve,
    refit_and_score,
)
from skinfluence.labels._row_ids import row_ids
from skinfluence.labels._scores import NOISE_MODEL, SCORES, loo_loss
from skinfluence.labels._strength import fitted_audited
from skinfluence.problem import fitted_problem


class LabelAudit(MetaEstimatorMixin, BaseEstimator):
    r"""Rank training rows by how likely their labels are wrong, from one fit.

    A wrong label is one that the other rows do not expect. Leave-one-out gives the probability
    :math:`P_{iy}` of each given label under the model without its row, exactly and without folds.
    The default score goes on from there: with :math:`\rho` a share of wrong labels, the posterior
    that the label of row i is right is

    .. math:: \pi_i = \frac{(1 - \rho) P_{iy}}{(1 - \rho) P_{iy} + \rho (1 - P_{iy}) / (K - 1)} ,

    the model is refitted with weights :math:`\pi_i`, so that the wrong labels no longer vouch for
    each other, :math:`\rho` becomes the mean of :math:`1 - \pi`, and all is repeated: three steps
    of the EM algorithm. The rows are ranked by their last leave-one-out loss. Of the last
    probabilities a temperature is fitted, by the likelihood of the mixture: a model of wrong labels
    and a penalty is less sure than it could be, and its posteriors would be too near the middle.
    Steps of a Pipeline before the last are held fixed, as are class weights.

    Parameters
    ----------
    estimator : estimator
        A supported classifier (:func:`skinfluence.supported_estimators`), a Pipeline that ends in
        one, or a FrozenEstimator of either. It is cloned.
    score : str or callable, default="noise_model"
        What rows are ranked by: the noise model, or a score of the one fit: "loo_loss" (the loss
        without the row), "train_loss", "self_influence" (Koh & Liang), "probability_weighted"
        (self-influence times the leave-one-out probability that the label is wrong),
        "influence_on_validation" (of rows given to `fit`), "margin" (minus the leave-one-out margin
        of the label), or a callable ``score(problem, y)`` of a
        :class:`skinfluence.problem.FittedProblem` and the given labels that returns (n_train,),
        larger for more suspect rows. Classifiers without probabilities have "loo_loss" and
        "margin"; a FrozenEstimator has all but "noise_model".
    regularization : {"loo", None}, default="loo"
        Whether the strength of the penalty (`C` or `alpha`) is first chosen by the Brier score of
        leave-one-out probabilities (the hinge loss without probabilities), in decades from 1e-3 to
        10 times the estimator's own C, from the own one (a tenth of it where there are more columns
        than rows) on while the score rises. Much of the gain on text; on few columns it can lose a
        little. None keeps the estimator's own.
    method : {"auto", "exact", "newton"}, default="auto"
        How rows are left out, as in :meth:`InfluenceExplainer.loo_estimate`. "auto" refits without
        each row where that is cheap, and is Newton's step elsewhere, with errors that are not
        estimated; it is that step from the weighted refits of the noise model. Where that needs a
        factor of more than 1,000 rows (fewer than there are columns), the factor is in float32 and
        serves all refits. With `groups`, "auto" is exact.

    Attributes
    ----------
    scores_ : ndarray of shape (n_train,)
        Larger for more suspect rows; NaN for rows without a model of the rest.
    ranking_ : ndarray of int, shape (n_train,)
        Positions, the most suspect first.
    error_probability_ : ndarray of shape (n_train,), or None
        Posterior that the given label is wrong: that of the noise model, for other scores from
        `pred_probs_` with the share `expected_errors_` / n_train. None without class probabilities.
    label_quality_ : ndarray of shape (n_train,)
        One minus that for the noise model; for other scores the share of rows that are at least as
        suspect.
    predicted_label_ : ndarray of shape (n_train,)
        Most probable label of each row without it; under the noise model, by the last refit.
    suggested_label_ : ndarray of shape (n_train,)
        Most probable label other than the given one.
    pred_probs_ : ndarray of shape (n_train, n_classes), or None
        Probabilities of each row without it, before any refit by weights: out-of-sample
        probabilities of one fit. None without class probabilities.
    loo_estimate_ : LeaveOneOutEstimate
        Whence these come: losses, how each row was left out, estimated errors.
    expected_errors_ : float
        Expected number of wrong labels, from the confident joint of `pred_probs_`; NaN without.
    expected_errors_interval_ : tuple of two floats
        Its 95 % interval, of the binomial shares; not of what the model gets wrong.
    noise_matrix_ : ndarray of shape (n_classes, n_classes), or None
        P(given label j | true label k) as entry (j, k), from the same.
    regularization_ : float or None
        The chosen strength.
    estimator_ : estimator
        What was audited: an InfluenceExplainer, fitted on all rows.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    skinfluence.display.LabelReviewDisplay : The review curve as a figure.

    Notes
    -----
    :math:`\rho` is no estimate of the share of wrong labels: P was fitted to them. The confident
    joint is.

    ``cleanlab.filter.find_label_issues(labels, audit.pred_probs_)`` takes the probabilities as they
    are, with the labels as integers from 0.

    References
    ----------
    Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017, 5.4.
    Northcutt, Jiang & Chuang, Confident learning, Journal of Artificial Intelligence Research 70,
    2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skinfluence.labels import LabelAudit
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> wrong = np.random.default_rng(0).choice(len(y), 57, replace=False)
    >>> y_given = y.copy()
    >>> y_given[wrong] = 1 - y[wrong]
    >>> pipe = make_pipeline(StandardScaler(), LogisticRegression())
    >>> audit = LabelAudit(pipe).fit(X, y_given)
    >>> int(np.isin(audit.issues(budget=57), wrong).sum())
    50
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        score: str | Callable = "noise_model",
        regularization: str | None = "loo",
        method: str = "auto",
    ):
        self.estimator = estimator
        self.score = score
        self.regularization = regularization
        self.method = method

    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Fit the estimator and score the label of every row.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_train, n_features)
            Training rows.
        y : array-like of shape (n_train,)
            Given labels.
        sample_weight : array-like of shape (n_train,), optional
            Non-negative weights, passed to the last step; with metadata routing to the steps that
            request them.
        groups : array-like of shape (n_train,), optional
            Groups of rows that share an origin: each row is then predicted without its whole group,
            in `pred_probs_` and all that follows from it.
        X_val, y_val : array-like, optional
            Validation rows and labels that can be trusted, for "influence_on_validation" and
            `effect_of_fixing`.
        **params
            Metadata for the estimator, with ``sklearn.set_config(enable_metadata_routing=True)``.

        Returns
        -------
        self
            The fitted audit.

        Raises
        ------
        TypeError
            For a regressor, or a classifier that is not supported.
        ValueError
            For an unknown score or one that the classifier does not have, labels that are missing,
            validation labels without rows or of unseen classes, weights that are all zero.
        numpy.linalg.LinAlgError
            If the Hessian is singular, or the data are separable and nothing is penalised.
        """
        check_audit(self)
        labels = check_labels(y)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, len(labels))
        check_validation(self, X_val, y_val, labels)
        view, chosen, loo = fitted_audited(self, X, y, sample_weight, params)
        self.estimator_, self.regularization_ = view, chosen
        problem = fitted_problem(self.estimator_)
        if X_val is not None:  # before anything else is computed, not when it is first asked for
            problem.test_rows(X_val, y_val, names=("X_val", "y_val"))
        self._data, self._validation = (X, labels, sample_weight), (X_val, y_val)
        self._series = y if hasattr(y, "iloc") and np.ndim(y) == 1 else None
        self.classes_ = problem.classes
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        check_one_decision_a_class(problem)
        self._codes = encode_labels(labels, self.classes_, "y")
        self._score(problem, groups, loo)
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata the estimator inside requests.

        Returns
        -------
        MetadataRouter
            As in scikit-learn's User Guide on metadata routing.
        """
        return estimator_router(self, fit="fit")

    def _score(self, problem, groups, known):
        """Set everything that is known of the labels; `known` are LooPredictions, or None."""
        method, codes = self.method, self._codes
        if groups is None:
            loo = leave_each_out(problem, method, known)
        else:
            loo = problem.leave_group_out(groups, "exact" if method == "auto" else method)
            groups = as_partition(groups, len(codes))
        self.loo_estimate_ = problem.estimate(loo.without_rough_step())
        link = problem.link
        self.pred_probs_ = self.error_probability_ = None
        if link.has_probabilities:
            self.pred_probs_ = _two_columns(self.loo_estimate_.predict_proba)
        self._count_errors()
        if self.pred_probs_ is not None:
            log_p = link.log_probabilities(problem.objective.native(loo.eta))
            given, share = given_probability(log_p, codes), self.expected_errors_ / len(codes)
            self.error_probability_ = error_probability(given, link.n_classes, share)
        if self.score == NOISE_MODEL:
            loo, self.error_probability_ = noise_model(problem, loo, codes, method, groups)
            scores = loo_loss(problem, loo, None, method)
        elif callable(self.score):
            scores = self.score(problem, self._data[1])
        else:
            scores = SCORES[self.score](problem, loo, self._validation, method)
        self.scores_ = checked_scores(scores, len(codes))
        self.ranking_ = np.argsort(-np.nan_to_num(self.scores_, nan=-np.inf), kind="stable")
        self._predict(problem, loo)
        self.label_quality_ = self._label_quality()

    def _count_errors(self):
        """Set the expected number of wrong labels and the noise matrix."""
        self.expected_errors_, self.noise_matrix_ = np.nan, None
        self.expected_errors_interval_ = (np.nan, np.nan)
        if self.pred_probs_ is None:
            return
        known = ~np.isnan(self.pred_probs_).any(axis=1)
        codes = self._codes[known]
        counts = confident_counts(self.pred_probs_[known], codes)
        self.noise_matrix_ = noise_matrix(joint(counts, codes))
        value, low, high = expected_errors(counts, codes).tolist()
        self.expected_errors_, self.expected_errors_interval_ = value, (low, high)

    def _predict(self, problem, loo):
        """Set the predicted and the suggested labels."""
        eta = problem.objective.native(loo.eta)
        known = ~np.isnan(loo.eta).any(axis=1)
        scores = _two_columns(problem.link.decision(eta), signed=True)
        predicted = self._codes.copy()  # where there is no model without the row
        predicted[known] = problem.link.predicted(eta[known])
        others = np.where(np.isnan(scores), -np.inf, scores)
        others[np.arange(len(scores)), self._codes] = -np.inf
        self._suggested = others.argmax(axis=1)
        same = self._suggested == self._codes  # all scores unknown
        self._suggested[same] = (self._codes[same] + 1) % len(self.classes_)
        self.predicted_label_ = self.classes_[predicted]
        self.suggested_label_ = self.classes_[self._suggested]

    def _label_quality(self):
        """Quality (n,) of each label, between 0 and 1."""
        if self.score == NOISE_MODEL:
            return 1.0 - self.error_probability_
        known = ~np.isnan(self.scores_)
        quality = np.full(len(known), np.nan)
        above = np.searchsorted(np.sort(-self.scores_[known]), -self.scores_[known], side="right")
        quality[known] = above / max(1, known.sum())
        return quality

    # -- what it says ------------------------------------------------------------------------------

    def issues(self, budget: int | None = None) -> np.ndarray:
        """Return the rows to look at, the most suspect first.

        Parameters
        ----------
        budget : int, optional
            How many rows can be checked, such as ``round(audit.expected_errors_)``; by default
            those that are more likely wrong than right.

        Returns
        -------
        ndarray of int
            Positions in the training data.

        Raises
        ------
        ValueError
            For a budget below 0 or above n_train, or none for a classifier without probabilities.
        """
        check_is_fitted(self)
        if budget is not None:
            return self.ranking_[: check_budget(budget, len(self.ranking_))]
        if self.error_probability_ is None:
            raise ValueError(
                "issues() needs class probabilities to say which labels are more likely wrong than "
                "right, and this classifier has none. Pass a budget: how many rows to look at."
            )
        wrong = np.nan_to_num(self.error_probability_, nan=0.0) > 0.5
        return self.ranking_[wrong[self.ranking_]]

    def effect_of_fixing(self, rows: ArrayLike | None = None) -> np.ndarray:
        """Change of the mean loss if each row had its suggested label, one row at a time.

        The loss is that of the validation rows given to `fit`, else that of the other training
        rows, with the labels they have; the model that of `estimator_`, refitted.

        Parameters
        ----------
        rows : array-like of int or bool mask, optional
            Positions; the rows that `issues` returns by default.

        Returns
        -------
        ndarray of shape (n_rows,)
            After minus before: negative where fixing the label helps. NaN where it would take the
            last row of a class.

        Raises
        ------
        ValueError
            For rows that are not there.
        """
        check_is_fitted(self)
        rows = self.issues() if rows is None else as_index(rows, len(self._codes), "rows")
        problem = fitted_problem(self.estimator_)
        X_val, y_val = self._validation
        query = None if X_val is None else problem.query(X_val, y_val)
        return relabelling_effects(problem, rows, self.classes_[self._suggested[rows]], query)

    def evidence(self, row: int, k: int = 5) -> Evidence:
        """Return the rows that vouch for a given label, and those that speak for the suggested one.

        Parameters
        ----------
        row : int
            Position of a training row.
        k : int, default=5
            Rows of each kind.

        Returns
        -------
        Evidence
            Positions and weights of both; `to_frame()`.

        Raises
        ------
        ValueError
            For a row that is not there, or a `k` below 1 or above n_train - 1.
        """
        check_is_fitted(self)
        n = len(self._codes)
        row = row_position(row, n)
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= n - 1:
            raise ValueError(
                f"k should be an integer from 1 to the {n - 1} other training rows; got {shown(k)}."
            )
        problem = fitted_problem(self.estimator_)
        return find_evidence(
            problem, row, self._codes[row], self._suggested[row], int(k), self.method
        )

    def to_frame(self, effect_rows: ArrayLike | None = None) -> DataFrame:
        """Return one line for each training row, as a pandas DataFrame.

        Parameters
        ----------
        effect_rows : array-like of int or bool mask, optional
            Positions for which `effect_of_fixing` is computed, a refit each; by default the rows
            that `issues` returns, and none without class probabilities.

        Returns
        -------
        pandas.DataFrame
            In the order of the training data, with their index. Columns is_label_issue,
            label_quality, given_label, predicted_label, as cleanlab has them; suggested_label,
            error_probability, loo_probability (of the given label) and effect_of_fixing, NaN for
            the rows where it was not computed.
        """
        check_is_fitted(self)
        n, has_p = len(self._codes), self.error_probability_ is not None
        unknown = np.full(n, np.nan)
        issue, effect = np.zeros(n, dtype=bool), unknown.copy()
        if has_p:
            issue[self.issues()] = True
        rows = issue if effect_rows is None else effect_rows
        rows = as_index(rows, n, "effect_rows")
        effect[rows] = self.effect_of_fixing(rows)
        own = self.pred_probs_[np.arange(n), self._codes] if has_p else unknown
        frame = data_frame(
            {
                "is_label_issue": issue,
                "label_quality": self.label_quality_,
                "given_label": self.classes_[self._codes],
                "predicted_label": self.predicted_label_,
                "suggested_label": self.suggested_label_,
                "error_probability": self.error_probability_ if has_p else unknown,
                "loo_probability": own,
                "effect_of_fixing": effect,
            }
        )
        frame.index = fitted_problem(self.estimator_).row_names
        return frame

    # -- review ------------------------------------------------------------------------------------

    def row_ids(self, as_text: bool = False) -> np.ndarray:
        """Return the names of the rows by which decisions about them are kept.

        Parameters
        ----------
        as_text : bool, default=False
            As the texts that name the rows in the decisions that an
            :class:`skinfluence.InfluenceReport` exports.

        Returns
        -------
        ndarray of shape (n_train,)
            The index of the data frame given to `fit` where its labels are unique; else a hash of
            each row's values and label, with a running number among equal rows. Neither changes
            when the rows are put in another order.
        """
        check_is_fitted(self)
        ids = row_ids(*self._data[:2], fitted_problem(self.estimator_).row_names)
        return distinct_texts(ids) if as_text else ids

    def apply(
        self, decisions: "Mapping | Iterable | DataFrame | str | PathLike"
    ) -> "tuple[np.ndarray | Series, np.ndarray]":
        """Return the labels and weights after a review.

        Parameters
        ----------
        decisions : mapping, Series, iterable of pairs, path, data frame or list of dicts
            From row ids (see `row_ids`) to "keep" (the given label is right), "relabel" (the
            suggested label is right), ``("relabel", label)`` or "drop". Rows without a decision are
            kept. Or what an :class:`skinfluence.InfluenceReport` has exported: the path of a CSV or
            JSON file, or its contents as a data frame or as a list of dicts with row_id, decision,
            label and given_label; "unsure" keeps a row.

        Returns
        -------
        y : ndarray or Series of shape (n_train,)
            Labels; a Series, with its index, name and type, where `fit` was given one of pandas.
        sample_weight : ndarray of shape (n_train,)
            The weights given to `fit`, ones by default; 0 for dropped rows.

        Raises
        ------
        ValueError
            For unknown or repeated row ids, an unknown decision, a label that is not among
            `classes_`, exported decisions about rows that are not there or whose given label is
            another one, or if no row of positive weight is left.
        """
        check_is_fitted(self)
        records = exported_records(decisions)
        if records is not None:
            names = self.classes_[self._codes]
            decisions = read_back(records, self.row_ids(), self.row_ids(True), names, self.classes_)
        codes, weight = self._codes.copy(), self._data[2]
        weight = np.ones(len(codes)) if weight is None else weight.copy()
        for row, kind, label in checked_decisions(decisions, self.row_ids(), self.classes_):
            if kind == "drop":
                weight[row] = 0.0
            elif kind == "relabel":
                found = self._suggested[row]
                if label is not None:
                    found = self.classes_.tolist().index(label)
                codes[row] = found
        if not (weight > 0).any():
            raise ValueError(
                "decisions drop every row of positive weight: there is nothing left to fit."
            )
        if getattr(self, "_series", None) is None:
            return self.classes_[codes], weight
        changed = np.flatnonzero(codes != self._codes)
        return with_changes(self._series, changed, self.classes_[codes[changed]]), weight

    def review_curve(
        self,
        y_true: ArrayLike,
        *,
        X_test: MatrixLike | None = None,
        y_test: ArrayLike | None = None,
        n_points: int = 11,
        n_random: int = 3,
        random_state: int | np.random.RandomState | None = 0,
    ) -> ReviewCurve:
        """Return how fast the wrong labels are found, for labels whose truth is known.

        Parameters
        ----------
        y_true : array-like of shape (n_train,)
            True labels.
        X_test, y_test : array-like, optional
            Test rows and labels, for the accuracy after each correction, by refits.
        n_points : int, default=11
            With test rows, at how many numbers of checked rows the model is refitted; without, the
            curve has all n_train + 1.
        n_random : int, default=3
            Random orders to compare the accuracy with.
        random_state : int, RandomState instance or None, default=0
            Of these orders.

        Returns
        -------
        ReviewCurve
            Found, and accuracy, against rows checked; `to_frame()`.

        Raises
        ------
        ValueError
            If `y_true` has another length or unseen labels, no label is wrong, `X_test` comes
            without `y_test`, or a number is below its least value.
        """
        check_is_fitted(self)
        wrong, y_true = _wrong_labels(y_true, self._codes, self.classes_)
        n, orders, fit_and_score = len(wrong), [], None
        checked = np.arange(n + 1)
        if (X_test is None) != (y_test is None):
            raise ValueError("X_test and y_test go together: pass both, or neither.")
        check_same_length(X_test=X_test, y_test=y_test)
        if X_test is not None:
            for name, value, least in (("n_points", n_points, 2), ("n_random", n_random, 1)):
                if not isinstance(value, int | np.integer) or value < least:
                    raise ValueError(
                        f"{name} should be an integer from {least}; got {shown(value)}."
                    )
            random = check_random_state(random_state)
            orders = [random.permutation(n) for _ in range(n_random)]
            checked = np.unique(np.linspace(0, n, n_points).round().astype(int))
            fit_and_score = refit_and_score(
                self.estimator_.estimator_, self._data, y_true, X_test, y_test
            )
        return curve(wrong, self.ranking_, checked, fit_and_score, orders)


def _two_columns(values, *, signed=False):
    """Probabilities or decision values with one column a class; NaN stays."""
    if values.ndim == 2:
        return values.copy()
    return np.stack([-values if signed else 1.0 - values, values], axis=1)


def _wrong_labels(y_true, codes, classes):
    """(Mask of wrong labels, true labels); raise where there is nothing to find."""
    y_true = check_labels(y_true, "y_true")
    true = encode_labels(y_true, classes, "y_true")
    if len(true) != len(codes):
        raise ValueError(
            f"y_true should have one label for each of the {len(codes)} training rows; got "
            f"{len(true)}."
        )
    wrong = true != codes
    if not wrong.any():
        raise ValueError("y_true equals the given labels: there is no wrong label to find.")
    return wrong, classes[true]
