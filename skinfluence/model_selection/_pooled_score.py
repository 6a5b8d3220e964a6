"""Score of pooled predictions, with its standard error."""

import numpy as np

from skinfluence.attribution import score_of

# Parts of the grouped jackknife.
GROUPS = 32
# Scores of regressors that are means over rows, of their residuals.
ERRORS = {"neg_mean_squared_error": np.square, "neg_mean_absolute_error": np.abs}


def pooled_score(link, decision, labels, scoring):
    """Return the score of predictions and its standard error.

    Where the score is a mean over rows, s_i: sqrt(sum_i (s_i - mean)^2 / (n (n - 1))). Otherwise a
    jackknife that leaves out one of 32 parts of the predictions at a time, every part a fair share
    of every class (one prediction a part for up to 32 rows); it is the same for means when every
    part is one row.
    """
    n = len(labels)
    rows = _row_scores(link, decision, labels, scoring)
    if rows is None:
        error = _jackknife(link, decision, labels, scoring) if n > 1 else np.nan
        return score_of(link, decision, labels, scoring), error
    error = float(rows.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return float(rows.mean()) if n else np.nan, error


def _row_scores(link, decision, labels, scoring):
    """Scores (n,) whose mean is scikit-learn's score, for the scorings of that kind; else None."""
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
        eps = np.finfo(np.float64).eps  # where scikit-learn clips
        return np.log(np.clip(own, eps, 1 - eps))
    if len(link.classes) == 2:
        return -((1.0 - own) ** 2)
    return -((probability**2).sum(axis=1) - own**2 + (1.0 - own) ** 2)


def _jackknife(link, decision, labels, scoring):
    """Grouped jackknife, every group an interleaved share of every class."""
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
