"""Any scikit-learn metric of every deleted model's predictions."""

import numbers
import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, log_loss

from skinfluence._class_axis import classes_last
from skinfluence._frames import take_rows
from skinfluence._parallel import row_blocks, tracked
from skinfluence.link import DevianceExplained, KnownRows

BLOCK_DELETIONS = 256


def _mean(values, weight):
    """Mean over the rows of an array (m, c), by their weights."""
    return values.mean(axis=0) if weight is None else weight @ values / weight.sum()


def _r2(link, y, eta, weight=None):
    """1 - residual over total sum of squares, of one output."""
    total = _mean((y - _mean(y, weight)) ** 2, weight)
    with np.errstate(divide="ignore", invalid="ignore"):  # constant responses: left to the scorer
        return 1.0 + _neg_mse(link, y, eta, weight) / total


def _neg_mse(link, y, eta, weight=None):
    """Minus the mean squared error, of one output."""
    with np.errstate(over="ignore"):  # of a mean that a long step has made as large
        return -_mean((y[:, None] - link.mean(eta)) ** 2, weight)


def _deviance_explained(link, y, eta, weight=None):
    """Share of the deviance that is explained, of the link's own family."""
    return link.scoring.of_columns(y, link.mean(eta), weight)


def _accuracy(link, y, eta, weight=None):
    """Share of right predictions of each column."""
    return _mean(link.predicted(eta) == y[:, None], weight)


def _neg_log_loss(link, y, eta, weight=None):
    """Minus the mean log loss; scikit-learn clips probabilities at the float64 epsilon."""
    eps = np.finfo(np.float64).eps
    log_p = link.log_probability(y[:, None], eta)
    return _mean(np.clip(log_p, np.log(eps), np.log1p(-eps), out=log_p), weight)


def _neg_brier(link, y, eta, weight=None):
    """Minus the mean squared error of the probability of class 1."""
    return -_mean(link.probability(1.0 - y[:, None], eta) ** 2, weight)


def _roc_auc(link, y, eta, weight=None):
    """Mann and Whitney's statistic, ties counted by half; NaN with weights, which it has not."""
    if weight is not None:
        return np.full(eta.shape[1], np.nan)
    positive = y > 0.5
    n_positive = positive.sum()
    n_negative = len(y) - n_positive
    ranks = rankdata(link.scores(eta), axis=0)[positive].sum(axis=0)
    return (ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _has_classes(link):
    return link.n_classes > 0


def _has_probabilities(link):
    return link.has_probabilities


def _has_two_classes(link):
    return link.n_classes == 2 and link.is_scalar


def _has_two_probabilities(link):
    return link.has_probabilities and link.is_scalar


def _has_one_response(link):
    return link.n_classes == 0 and link.n_responses == 1


# (scores of all columns at once, what a link must have for them)
FAST = {
    "accuracy": (_accuracy, _has_classes),
    "neg_log_loss": (_neg_log_loss, _has_probabilities),
    "neg_brier_score": (_neg_brier, _has_two_probabilities),
    "roc_auc": (_roc_auc, _has_two_classes),
    "r2": (_r2, _has_one_response),
    "neg_mean_squared_error": (_neg_mse, _has_one_response),
}


def score_influence(
    deletion, design, labels, encoded, link, scoring, *, X=None, weight=None, progress=None
):
    """Change of a score on test rows by each deletion, (r,).

    Parameters
    ----------
    deletion : Deletion
    design : Design of the test rows
    labels, encoded : ndarray of shape (m,)
        Test labels, the caller's and the loss's.
    link : Link
        With the caller's labels.
    scoring : str or callable
        A scorer's name, or a callable `scorer(estimator, X, y)`.
    X : array-like of m rows, optional
        The caller's test rows, handed to a callable as they are.
    weight : ndarray of shape (m,), optional
        Of the test rows in the score. A scorer that takes no `sample_weight` is refused.
    """
    objective = deletion.objective
    scorer = get_scorer(scoring)
    eta = objective.predictors(design)
    X = np.empty((design.shape[0], 0)) if X is None else X
    rows = KnownRows(X)

    def by_scorer(predictor):
        predictions = link.predictions(predictor, rows)
        if _is_log_loss(scoring, link):
            return _log_loss_of(link, predictions, labels, weight)
        return _weighted(scorer, predictions, X, labels, weight, refused=scoring)

    before = _one_number(by_scorer(objective.native(eta)), scoring)
    y = encoded if link.n_classes else labels
    fast = _fast_path(scoring, link)
    if fast is not None:  # the score it gives where nothing moves, so that nothing moved gives 0
        found = fast(link, y, objective.native(eta[:, None, :]), weight)[0]
        same = np.isclose(found, before, rtol=1e-10, atol=1e-12)
        fast, before = (fast, found) if same else (None, before)
    change = deletion.on(design)
    result = np.empty(len(deletion))
    bytes_a_deletion = 8 * 6 * objective.n_outputs * design.shape[0]
    parts = row_blocks(len(deletion), bytes_a_deletion, at_most=BLOCK_DELETIONS)
    for part in tracked(parts, progress):
        moved = change(part)
        moved += eta.T[:, :, None]
        moved = classes_last(moved, link.is_scalar)
        skip = deletion.undefined[part]
        if fast is not None:
            result[part] = fast(link, y, moved, weight) - before
        else:
            for j in np.flatnonzero(~skip):
                column = np.ascontiguousarray(moved[:, j])
                result[part.start + j] = by_scorer(column) - before
        result[part][skip] = np.nan
    return result


def _one_number(score, scoring):
    """Return what a scorer gave; raise where that is not one number."""
    if np.ndim(score) != 0 or not isinstance(score, numbers.Real):
        raise ValueError(
            f"scoring should give one number; {scoring!r} gave {type(score).__name__}."
        )
    return score


def score_of(link, eta, labels, scoring, *, X=None, weight=None, encoded=None):
    """Score of predictors (n,) or (n, K) on labelled rows, and why there is none.

    Parameters
    ----------
    link : Link
        With the caller's labels.
    eta : ndarray
        Of the rows that count.
    labels : ndarray or callable
        Their labels, or what returns them.
    scoring : str or callable
    X : array-like of n rows, optional
        The rows, for a callable `scoring`; without them it sees n rows of no columns.
    weight : ndarray of shape (n,), optional
        Positive weights. A scorer that takes no `sample_weight` scores without.
    encoded : ndarray, optional
        The labels as the loss has them, by which the default scores are computed at once: the
        general scorers look at their arguments for longer than a small model takes to be asked.

    Returns
    -------
    (float, str)
        The score and ""; NaN and the reason where a class that the score needs has no row.
    """
    if not len(eta):
        return np.nan, "no row has a prediction"
    weight = None if weight is None or (weight == weight[0]).all() else weight
    if encoded is not None and scoring == link.scoring:
        fast = _fast_path(scoring, link)
        with np.errstate(invalid="ignore", divide="ignore"):  # constant responses
            score = np.nan if fast is None else fast(link, encoded, eta[:, None], weight)[0]
        if np.isfinite(score):
            return float(score), ""
    labels = labels() if callable(labels) else labels
    X = np.empty((len(labels), 0)) if X is None else X
    predictions = link.predictions(eta, KnownRows(X))
    if _is_log_loss(scoring, link):
        return _log_loss_of(link, predictions, labels, weight), ""
    missing = [] if link.classes is None else np.setdiff1d(link.classes, labels).tolist()
    try:
        with warnings.catch_warnings():
            if missing:  # said below, once and with the class
                warnings.simplefilter("ignore", UndefinedMetricWarning)
            found = _weighted(get_scorer(scoring), predictions, X, labels, weight)
            score = float(_one_number(found, scoring))
    except ValueError as error:
        if not missing:
            raise
        return np.nan, f"{scoring} without a row of class {missing[0]!r}: {error}"
    if np.isnan(score) and missing:
        return score, f"{scoring} without a row of class {missing[0]!r}"
    return score, ""


def _is_log_loss(scoring, link):
    """Whether a score is the log loss of a model with probabilities."""
    return isinstance(scoring, str) and scoring == "neg_log_loss" and link.has_probabilities


def _log_loss_of(link, predictions, labels, weight):
    """Minus the log loss of all classes' probabilities.

    The scorer knows no class that is left without a row, and of two classes it reads the second
    alone: that of the first, as a difference from 1, has lost its digits where it is small.
    """
    probability = predictions.predict_proba(None)
    return -float(log_loss(labels, probability, labels=link.classes, sample_weight=weight))


def rows_to_score(scoring, X, rows):
    """Return some rows of a caller's X for a scorer; None where it is a name: none looks at X."""
    return take_rows(X, rows) if callable(scoring) and X is not None else None


def _weighted(scorer, predictions, X, labels, weight, refused=None):
    """What a scorer returns, with sample weights if it takes any; raise if it is to take them.

    Where that is so, `refused` names the scorer.
    """
    if weight is None:
        return scorer(predictions, X, labels)
    try:
        return scorer(predictions, X, labels, sample_weight=weight)
    except TypeError as error:
        if "sample_weight" not in str(error):
            raise
        if refused is not None:
            raise ValueError(
                f"the scorer {refused!r} takes no sample_weight: leave test_sample_weight out, or "
                "pass a scorer that takes weights, scorer(estimator, X, y, sample_weight=None)."
            ) from error
    return scorer(predictions, X, labels)


def _fast_path(scoring, link):
    """Return a score of many columns at once, if there is one for such a link, else None."""
    if isinstance(scoring, DevianceExplained) and scoring == link.scoring:
        return _deviance_explained
    function, needs = FAST.get(scoring, (None, None)) if isinstance(scoring, str) else (None, None)
    return function if function is not None and needs(link) else None
