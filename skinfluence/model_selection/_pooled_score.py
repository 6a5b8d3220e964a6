"""Score of pooled predictions, with its standard error."""

from dataclasses import dataclass

import numpy as np

from skinfluence.attribution import rows_to_score, score_of
from skinfluence.model_selection._means import weighted_mean

# Number of groups of the grouped jackknife.
GROUPS = 32
# Scores of regressors that are minus a mean over rows of a function of the residual.
ERRORS = {"neg_mean_squared_error": np.square, "neg_mean_absolute_error": np.abs}


@dataclass(frozen=True)
class PooledScore:
    """A score and its standard error; `failure` says why one of them is NaN, "" if neither is."""

    score: float
    standard_error: float
    failure: str = ""


def pooled_score(link, decision, labels, scoring, *, X=None, weight=None):
    """Return the PooledScore of predictions.

    For a score that is a weighted mean over rows of s_i with shares p_i the standard error is
    sqrt(sum_i p_i^2 (s_i - mean)^2 n / (n - 1)). For other scores it is that of a jackknife over 32
    groups of the predictions, each with its share of every class (with up to 32 rows, groups of one
    row). For a mean with equal weights and groups of one row the two are equal.

    Parameters
    ----------
    link, decision, labels, scoring, X, weight
        As in `score_of`.
    """
    n = len(labels)
    weight = np.ones(n) if weight is None else weight
    rows = _row_scores(link, decision, labels, scoring)
    if rows is not None:
        return PooledScore(*weighted_mean(rows, weight))
    encoded = labels if link.classes is None else None  # responses are as the loss has them
    score, failure = score_of(link, decision, labels, scoring, X=X, weight=weight, encoded=encoded)
    if failure or n < 2:
        return PooledScore(score, np.nan, failure)
    if isinstance(scoring, str) and scoring == "r2" and labels.ndim == 1 and link.classes is None:
        scores = _r2_without_groups(link.mean(decision), labels, weight)
        if np.isfinite(scores).all():
            return PooledScore(score, _spread(scores))
    error, failure = _jackknife(link, decision, labels, scoring, X, weight)
    return PooledScore(score, error, failure and f"its standard error: {failure}")


def _row_scores(link, decision, labels, scoring):
    """Scores (n,) of single rows whose mean is scikit-learn's score; None if it is no such mean."""
    if not isinstance(scoring, str):
        return None
    predictions = link.predictions(decision)
    if scoring == "accuracy":
        return (predictions.predict(None) == labels).astype(float)
    if scoring in ERRORS and link.classes is None:
        error = ERRORS[scoring](labels - predictions.predict(None))
        return -error if error.ndim == 1 else -error.mean(axis=1)
    if scoring not in ("neg_log_loss", "neg_brier_score") or not link.has_probabilities:
        return None
    probability = predictions.predict_proba(None)
    own = probability[np.arange(len(labels)), np.searchsorted(link.classes, labels)]
    if scoring == "neg_log_loss":
        eps = np.finfo(np.float64).eps  # scikit-learn's log_loss clips here too
        return np.log(np.clip(own, eps, 1 - eps))
    if len(link.classes) == 2:
        return -((1.0 - own) ** 2)
    return -((probability**2).sum(axis=1) - own**2 + (1.0 - own) ** 2)


def _jackknife(link, decision, labels, scoring, X, weight):
    """Standard error by a grouped jackknife, and why there is none.

    The groups interleave the rows sorted by label.
    """
    group, n_groups = _groups(labels)
    scores = np.empty(n_groups)
    for position in range(n_groups):
        kept = np.flatnonzero(group != position)
        scores[position], failure = score_of(
            link,
            decision[kept],
            labels[kept],
            scoring,
            X=rows_to_score(scoring, X, kept),
            weight=weight[kept],
        )
        if failure:
            return np.nan, failure
    return _spread(scores), ""


def _groups(labels):
    """Group of each row, and how many there are."""
    n_groups = min(GROUPS, len(labels))
    group = np.empty(len(labels), dtype=int)
    order = np.argsort(labels if labels.ndim == 1 else labels[:, 0], kind="stable")
    group[order] = np.arange(len(labels)) % n_groups
    return group, n_groups


def _spread(scores):
    """Standard error from the scores without each of the groups."""
    n = len(scores)
    return float(np.sqrt((n - 1) / n * np.sum((scores - scores.mean()) ** 2)))


def _r2_without_groups(prediction, labels, weight):
    """R^2 of the predictions without each of the groups, from sums over the groups."""
    group, n_groups = _groups(labels)
    centred = labels - weight @ labels / weight.sum()

    def rest(values):
        sums = np.bincount(group, weight * values, n_groups)
        return sums.sum() - sums

    missed = rest((labels - prediction) ** 2)
    total = rest(centred**2) - rest(centred) ** 2 / rest(np.ones(len(labels)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 1e-12 * rest(labels**2), 1.0 - missed / total, np.nan)
