"""Any scikit-learn metric of every deleted model's predictions."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, log_loss
from sklearn.utils.metaestimators import available_if

from skinfluence._parallel import row_blocks, tracked

BLOCK_DELETIONS = 256


@dataclass(frozen=True)
class Link:
    """How the predictors of a model are read.

    Attributes
    ----------
    classes : ndarray or None
        Labels; None for a regressor.
    has_probabilities : bool
        Whether predictors are log odds.
    loss : Loss
        Reads predictors: a regressor's predictions, a classifier's decisions and classes.
    """

    classes: np.ndarray | None
    has_probabilities: bool
    loss: object

    @property
    def scoring(self):
        """Name of the score where the caller has named none."""
        return "r2" if self.classes is None else "accuracy"

    def at(self, decision):
        """Return a model of these predictors (n,) or (n, K)."""
        if self.classes is None:
            return PrecomputedRegressor(self.loss.mean(decision))
        undefined = np.isnan(decision).reshape(len(decision), -1).any(axis=1)
        codes = self.loss.predicted(np.where(np.isnan(decision), 0.0, decision))
        codes[undefined] = 0
        return PrecomputedClassifier(
            self.classes, self.loss.decision(decision), self.has_probabilities, codes
        )

    def prediction(self, decision):
        """What a regressor predicts; None for a classifier."""
        return self.loss.mean(decision) if self.classes is None else None

    def probabilities(self, decision):
        """Class probabilities (n, n_classes), NaN where the predictor is; None without any."""
        if not self.has_probabilities:
            return None
        undefined = np.isnan(decision).reshape(len(decision), -1).any(axis=1)
        return np.where(undefined[:, None], np.nan, self.at(decision).predict_proba(None))


def _gives_probabilities(predictions):
    """For available_if."""
    return predictions.has_probabilities


class PrecomputedClassifier(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose predictor is given: what a scorer sees of a deleted model."""

    def __init__(self, classes=None, decision=None, has_probabilities=True, codes=None):
        self.classes = classes
        self.decision = decision
        self.has_probabilities = has_probabilities
        self.codes = codes

    def fit(self, X=None, y=None):
        """Nothing to fit."""
        return self

    def __sklearn_is_fitted__(self):
        """Always fitted."""
        return True

    @property
    def classes_(self):
        """Labels."""
        return self.classes

    def decision_function(self, X):
        """Return the given predictor, whatever X."""
        return self.decision

    @available_if(_gives_probabilities)
    def predict_proba(self, X):
        """Probabilities of the given predictor."""
        if self.decision.ndim == 1:
            return np.column_stack([expit(-self.decision), expit(self.decision)])
        return softmax(self.decision, axis=1)

    @available_if(_gives_probabilities)
    def predict_log_proba(self, X):
        """Their logarithm."""
        return np.log(self.predict_proba(X))

    def predict(self, X):
        """Label of the given position."""
        return self.classes[self.codes]


class PrecomputedRegressor(RegressorMixin, BaseEstimator):
    """A fitted regressor whose prediction is given."""

    def __init__(self, prediction=None):
        self.prediction = prediction

    def fit(self, X=None, y=None):
        """Nothing to fit."""
        return self

    def __sklearn_is_fitted__(self):
        """Always fitted."""
        return True

    def predict(self, X):
        """Return the given prediction, whatever X."""
        return self.prediction


def _r2(loss, y, eta):
    """1 - residual over total sum of squares, of one output."""
    total = ((y - y.mean()) ** 2).sum()
    return 1.0 - ((y[:, None] - loss.mean(eta)) ** 2).sum(axis=0) / total


def _neg_mse(loss, y, eta):
    """Minus the mean squared error, of one output."""
    return -((y[:, None] - loss.mean(eta)) ** 2).mean(axis=0)


def _accuracy(loss, y, eta):
    """Share of right predictions of each column."""
    return (loss.predicted(eta) == y[:, None]).mean(axis=0)


def _neg_log_loss(loss, y, eta):
    """Minus the mean log loss; scikit-learn clips probabilities at the float64 epsilon."""
    eps = np.finfo(np.float64).eps
    return -np.clip(loss.value(y[:, None], eta), -np.log1p(-eps), -np.log(eps)).mean(axis=0)


def _neg_brier(loss, y, eta):
    """Minus the mean squared error of the probability of class 1."""
    return -(expit((1.0 - 2.0 * y[:, None]) * eta) ** 2).mean(axis=0)


def _roc_auc(loss, y, eta):
    """Mann and Whitney's statistic, ties counted by half."""
    positive = y > 0.5
    n_positive = positive.sum()
    n_negative = len(y) - n_positive
    ranks = rankdata(eta, axis=0)[positive].sum(axis=0)
    return (ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


# (scores of all columns at once, whether for one predictor only)
FAST = {
    "accuracy": (_accuracy, False),
    "neg_log_loss": (_neg_log_loss, False),
    "neg_brier_score": (_neg_brier, True),
    "roc_auc": (_roc_auc, True),
    "r2": (_r2, True),
    "neg_mean_squared_error": (_neg_mse, True),
}


def score_influence(deletion, design, labels, encoded, output, scoring, *, progress=None):
    """Change of a score on test rows by each deletion, (r,).

    Parameters
    ----------
    deletion : Deletion
    design : Design of the test rows
    labels, encoded : ndarray of shape (m,)
        Test labels, the caller's and the loss's.
    output : Output
    scoring : str or callable
        A scorer's name, or a callable `scorer(estimator, X, y)`.
    """
    objective = deletion.objective
    scorer = get_scorer(scoring)
    eta = design @ objective.theta.T
    placeholder = np.empty((design.shape[0], 0))

    def by_scorer(predictor):
        return scorer(output.at(predictor), placeholder, labels)

    before = by_scorer(objective.native(eta))
    if np.ndim(before) != 0:
        raise ValueError(
            f"scoring should give one number; {scoring!r} gave {type(before).__name__}."
        )
    fast = _fast_path(scoring, objective, encoded, eta, before)
    if fast is not None:  # the score it gives where nothing moves, so that nothing moved gives 0
        before = fast(objective.loss, encoded, objective.native(eta[:, None, :]))[0]
    change = deletion.on(design)
    result = np.empty(len(deletion))
    bytes_a_deletion = 8 * 6 * objective.n_outputs * design.shape[0]
    parts = row_blocks(len(deletion), bytes_a_deletion, at_most=BLOCK_DELETIONS)
    for part in tracked(parts, progress):
        moved = change(part)
        moved += eta.T[:, :, None]
        moved = moved[0] if objective.loss.is_scalar else np.moveaxis(moved, 0, -1)
        skip = deletion.undefined[part]
        if fast is not None:
            result[part] = fast(objective.loss, encoded, moved) - before
        else:
            for j in np.flatnonzero(~skip):
                column = np.ascontiguousarray(moved[:, j])
                result[part.start + j] = by_scorer(column) - before
        result[part][skip] = np.nan
    return result


def score_of(output, predictor, labels, scoring):
    """Score of a given predictor (n,) or (n, K) on labelled rows; NaN where there are none."""
    if not len(labels):
        return np.nan
    predictions = output.at(predictor)
    if isinstance(scoring, str) and scoring == "neg_log_loss" and output.has_probabilities:
        # The scorer knows no class that is left without a row.
        return -float(log_loss(labels, predictions.predict_proba(None), labels=output.classes))
    placeholder = np.empty((len(labels), 0))
    return float(get_scorer(scoring)(predictions, placeholder, labels))


def _fast_path(scoring, objective, encoded, eta, before):
    """Return a vectorised score if there is one and it says what the scorer says, else None."""
    function, binary_only = (
        FAST.get(scoring, (None, False)) if isinstance(scoring, str) else (None, False)
    )
    if function is None or (binary_only and not objective.loss.is_scalar):
        return None
    columns = objective.native(eta[:, None, :])
    same = function(objective.loss, encoded, columns)[0]
    return function if np.isclose(same, before, rtol=1e-10, atol=1e-12) else None
