"""The standard error of a score of pooled leave-one-out predictions."""

import numpy as np

from skinfluence.attribution import score_of

# Parts of the grouped jackknife.
GROUPS = 32


def standard_error(estimate, classes, labels):
    """Return the standard error of `estimate.score`.

    Where the score is a mean over rows, s_i: sqrt(sum_i (s_i - mean)^2 / (n (n - 1))). Otherwise a
    jackknife that leaves out one of 32 parts of the predictions at a time, every part a fair share
    of every class (one prediction a part for up to 32 rows); it is the same for means when every
    part is one row.
    """
    defined = ~np.isnan(estimate.loss)
    n = int(defined.sum())
    if n < 2:
        return np.nan
    labels = labels[defined]
    position = np.searchsorted(classes, labels)
    rows = _row_scores(estimate, defined, position)
    if rows is not None and np.isclose(rows.mean(), estimate.score, rtol=1e-10, atol=1e-12):
        return float(rows.std(ddof=1) / np.sqrt(n))
    return _jackknife(classes, estimate.decision_function[defined], labels, estimate.scoring)


def _row_scores(estimate, defined, position):
    """Scores (n,) whose mean is the score, for the scorings of that kind; else None."""
    probability = estimate.predict_proba[defined]
    own = probability[np.arange(len(position)), position]
    decision = estimate.decision_function[defined]
    scoring = estimate.scoring if isinstance(estimate.scoring, str) else ""
    if scoring == "accuracy":
        said = (decision > 0).astype(int) if decision.ndim == 1 else decision.argmax(axis=1)
        return (said == position).astype(float)
    if scoring == "neg_log_loss":
        eps = np.finfo(np.float64).eps
        return np.log(np.clip(own, eps, 1 - eps))
    if scoring == "neg_brier_score":
        if decision.ndim == 1:
            return -((1.0 - own) ** 2)
        return -((probability**2).sum(axis=1) - own**2 + (1.0 - own) ** 2)
    return None


def _jackknife(classes, decision, labels, scoring):
    """Grouped jackknife, every group an interleaved share of every class."""
    n_groups = min(GROUPS, len(labels))
    group = np.empty(len(labels), dtype=int)
    group[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % n_groups
    scores = np.empty(n_groups)
    for position in range(n_groups):
        kept = group != position
        scores[position] = score_of(classes, decision[kept], labels[kept], scoring)
    spread = np.sum((scores - scores.mean()) ** 2)
    return float(np.sqrt((n_groups - 1) / n_groups * spread))
