"""Score of pooled predictions, with its standard error."""

from dataclasses import dataclass

import numpy as np

from skinfluence.attribution import rows_to_score, score_of
from skinfluence.model_selection._means import weighted_means

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

    @property
    def is_known(self):
        """Whether neither is missing."""
        return bool(np.isfinite(self.score) and np.isfinite(self.standard_error))


class PooledScorer:
    """The scores of several predictions of the same rows; what the labels alone give is kept.

    For a score that is a weighted mean over rows of s_i with shares p_i the standard error is
    sqrt(sum_i p_i^2 (s_i - mean)^2 n / (n - 1)). For other scores it is that of a jackknife over 32
    groups of the predictions, each with its share of every class (with up to 32 rows, groups of one
    row). For a mean with equal weights and groups of one row the two are equal.

    Parameters
    ----------
    link, labels, scoring, X, weight
        As in `score_of`.
    """

    def __init__(self, link, labels, scoring, *, X=None, weight=None):
        self.link, self.labels, self.scoring, self.X = link, labels, scoring, X
        self.weight = np.ones(len(labels)) if weight is None else weight
        one_response = labels.ndim == 1 and link.classes is None and len(labels) > 1
        is_r2 = isinstance(scoring, str) and scoring == "r2" and one_response
        self.r2 = _R2ByGroups(labels, self.weight) if is_r2 else None

    def of_several(self, decisions):
        """Return the PooledScore of each of several predictors (n,) or (n, K)."""
        link, labels, scoring = self.link, self.labels, self.scoring
        if self.r2 is not None:
            found = self.r2([link.mean(decision) for decision in decisions])
            return [
                one if one.is_known else self._by_groups(decision)
                for one, decision in zip(found, decisions, strict=True)
            ]
        rows = [_row_scores(link, decision, labels, scoring) for decision in decisions]
        if any(own is None for own in rows):
            return [self._by_groups(decision) for decision in decisions]
        return [PooledScore(*one) for one in weighted_means(np.array(rows), self.weight)]

    def __call__(self, decision):
        """Return the PooledScore of predictors (n,) or (n, K)."""
        return self.of_several([decision])[0]

    def _by_groups(self, decision):
        """Return the PooledScore with a jackknife over groups of rows."""
        link, labels, scoring = self.link, self.labels, self.scoring
        given = {"X": self.X, "weight": self.weight}
        encoded = labels if link.classes is None else None  # responses are as the loss has them
        score, failure = score_of(link, decision, labels, scoring, **given, encoded=encoded)
        if failure or len(labels) < 2:
            return PooledScore(score, np.nan, failure)
        error, failure = _jackknife(link, decision, labels, scoring, self.X, self.weight)
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
            encoded=labels[kept] if link.classes is None else None,
        )
        if failure:
            return np.nan, failure
    return float(_spread(scores)), ""


def _groups(labels):
    """Group of each row, and how many there are."""
    n_groups = min(GROUPS, len(labels))
    group = np.empty(len(labels), dtype=int)
    order = np.argsort(labels if labels.ndim == 1 else labels[:, 0], kind="stable")
    group[order] = np.arange(len(labels)) % n_groups
    return group, n_groups


def _spread(scores):
    """Standard error from the scores (..., g) without each of the groups."""
    n = scores.shape[-1]
    apart = scores - scores.mean(axis=-1, keepdims=True)
    return np.sqrt((n - 1) / n * np.sum(apart**2, axis=-1))


class _R2ByGroups:
    """R^2 of predictions, with its jackknife over the groups, from one sum for each group.

    NaN where the labels are constant but for rounding, in all rows or without one of the groups.
    """

    def __init__(self, labels, weight):
        self.labels, self.weight = labels, weight
        self.group, self.n_groups = _groups(labels)
        centred = labels - weight @ labels / weight.sum()
        first, ones = self._sums(centred), self._sums(np.ones(len(labels)))
        squares, level = self._sums(centred**2), self._sums(labels**2)
        total = _rest(squares) - _rest(first) ** 2 / _rest(ones)
        self.total = np.where(total > 1e-12 * _rest(level), total, np.nan)
        total = squares.sum()
        self.total_of_all = total if total > 1e-12 * level.sum() else np.nan

    def _sums(self, values):
        """Weighted sum over the rows of each group."""
        return np.bincount(self.group, self.weight * values, self.n_groups)

    def __call__(self, predictions):
        """Return the PooledScore of each of several predictions (n,)."""
        missed = np.array([self._sums((self.labels - one) ** 2) for one in predictions])
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = _spread(1.0 - _rest(missed) / self.total)
            score = 1.0 - missed.sum(axis=-1) / self.total_of_all
        return list(map(PooledScore, score.tolist(), spread.tolist()))


def _rest(sums):
    """Sums (..., g) over the rows outside of each group."""
    return sums.sum(axis=-1, keepdims=True) - sums
