"""Score of pooled predictions, with its standard error."""

import numpy as np

from skinfluence.attribution import score_of

# Number of groups of the grouped jackknife.
GROUPS = 32
# Scores of regressors that are minus a mean over rows of a function of the residual.
ERRORS = {"neg_mean_squared_error": np.square, "neg_mean_absolute_error": np.abs}


def pooled_score(link, decision, labels, scoring):
    """Return the score of predictions and its standard error.

    For a score that is a mean over rows of s_i the standard error is
    sqrt(sum_i (s_i - mean)^2 / (n (n - 1))). For other scores it is that of a jackknife over 32
    groups of the predictions, each with its share of every class (with up to 32 rows, groups of one
    row). For a mean and groups of one row the two are equal.
    """
    n = len(labels)
    rows = _row_scores(link, decision, labels, scoring)
    if rows is None:
        error = _jackknife(link, decision, labels, scoring) if n > 1 else np.nan
        return score_of(link, decision, labels, scoring), error
    error = float(rows.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return float(rows.mean()) if n else np.nan, error


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


def _jackknife(link, decision, labels, scoring):
    """Standard error by a grouped jackknife; the groups interleave the rows sorted by label."""
    n_groups = min(GROUPS, len(labels))
    group = np.empty(len(labels), dtype=int)
    order = np.argsort(labels if labels.ndim == 1 else labels[:, 0], kind="stable")
    group[order] = np.arange(len(labels)) % n_groups
    scores = np.empty(n_groups)
    for position in range(n_groups):
        kept = group != position
        scores[position] = score_of(link, decision[kept], labels[kept], scoring)
    spread = np.sum((scores - scores.mean()) ** 2)
    return float(np.sqrt((n_groups - 1) / n_groups * spread))
