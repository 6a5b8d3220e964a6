"""Predicted outputs of retrained models against actual ones: ranks, magnitudes, a bootstrap."""

import warnings

import numpy as np
from scipy.stats import rankdata

from skinfluence._validation import as_numbers, listed, warn
from skinfluence.evaluation._agreement import agreement
from skinfluence.evaluation._attribution_score import AttributionScore

# Draws of a bootstrap, and the share of them outside of its interval.
DRAWS, OUTSIDE = 1000, 0.05


def score_of(attributions, truths):
    """Return the AttributionScore of checked attributions."""
    kept = np.flatnonzero(~truths.undefined)
    predicted = predicted_changes(attributions, truths.subsets[kept])
    actual = truths.mean_outputs[kept]
    return compare(predicted, actual, truths.full, truths.ceiling, truths.seed)


def rank_correlation(a, b):
    """Spearman correlation of the columns of two arrays (m, k), (k,); NaN of a constant column."""
    ranks = [rankdata(each, axis=0) - (len(each) + 1) / 2 for each in (a, b)]
    norms = np.linalg.norm(ranks[0], axis=0) * np.linalg.norm(ranks[1], axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(norms > 0, (ranks[0] * ranks[1]).sum(axis=0) / norms, np.nan)


def predicted_changes(attributions, subsets):
    """Changes (m, n_test) that attributions predict for subsets, booleans (m, n_train)."""
    if not callable(attributions):
        return ~subsets @ attributions.T
    found = [
        as_numbers("what attributions returns", attributions(np.flatnonzero(subset)))
        for subset in subsets
    ]
    return np.array(found)


def compare(predicted, actual, full, ceiling, seed):
    """Return the AttributionScore of predicted changes and actual outputs, (m, n_test) each."""
    if predicted.shape != actual.shape:
        raise ValueError(
            f"attributions should return one number for each of the {actual.shape[1]} test rows; "
            f"got shape {predicted.shape[1:]}."
        )
    if len(actual) < 2:
        raise ValueError(
            f"{len(actual)} retrained model{'' if len(actual) == 1 else 's'} cannot be ranked: ask "
            "for at least two subsets, or rows that are left out, with a model each."
        )
    correlations = rank_correlation(predicted, actual)
    known = ~np.isnan(correlations)
    if not known.any():
        raise ValueError(
            "the predicted or the actual outputs are constant at every test row: there is nothing "
            "to rank. Use a finer target, such as 'margin', or smaller subsets."
        )
    score = float(correlations[known].mean())
    interval = _interval(predicted[:, known], actual[:, known], score, seed)
    if score < 0:
        warn(
            f"the mean correlation is {score:.3f}: the attributions predict the opposite. They "
            "should be the output after the removal of a row minus before, and of the same target; "
            "attributions in the other sign (a row's contribution) have to be negated.",
            RuntimeWarning,
        )
    return AttributionScore(
        score,
        interval,
        float(np.mean(ceiling[known])),
        correlations,
        ceiling,
        agreement(predicted, actual - full),
        len(actual),
    )


def _interval(predicted, actual, score, seed):
    """Bootstrap interval of what more subsets and test rows would score.

    Each draw takes subsets anew, the same for all test rows, and adds what other test rows would
    change. Drawing test rows along with the subsets would count the noise of one correlation in m
    subsets three times (Owen): in the draws of either, and once more in both. So the correlations
    of the test rows are brought together to the spread that is left without that noise.

    A rank correlation of m subsets is too small in the mean, by 3 (rho - tau) / (m + 1). The draws
    are too small once more by as much: the interval is centred where their mean is that of the
    score, and moved up by the same again.
    """
    rng, k = np.random.default_rng([seed, 0, 0, 1]), actual.shape[1]
    found = _drawn_correlations(predicted, actual, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # draws without a correlation
        means = np.nanmean(found, axis=1)
        noise = float(np.nanmean(np.nanvar(found - means[:, None], axis=0)))
    own = rank_correlation(predicted, actual)
    spread = float(own.var())
    own = score + (own - score) * np.sqrt(max(0.0, spread - noise) / spread if spread else 0.0)
    drawn = rng.multinomial(k, np.full(k, 1 / k), size=DRAWS)
    means += drawn @ own / k - score
    low, high = np.nanquantile(means, [OUTSIDE / 2, 1 - OUTSIDE / 2])
    moved = 2.0 * (score - np.nanmean(means))
    return float(low + moved), min(float(high + moved), 1.0)


def _drawn_correlations(predicted, actual, rng):
    """Rank correlations (draws, k) of the columns (m, k) in draws of their m rows."""
    m, k = actual.shape
    codes = [
        rankdata(each, axis=0, method="dense").astype(np.intp) - 1 for each in (predicted, actual)
    ]
    found = np.empty((DRAWS, k))
    for draw in range(DRAWS):
        counts = np.bincount(rng.integers(m, size=m), minlength=m).astype(float)
        a, b = (_counted_ranks(each, counts) for each in codes)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[draw] = (counts @ (a * b)) / np.sqrt((counts @ a**2) * (counts @ b**2))
    return np.where(np.isfinite(found), found, np.nan)


def _counted_ranks(codes, counts):
    """Centred ranks (m, k) of columns of codes 0, 1, ... whose rows are there `counts` (m,) times.

    Equal codes share the mean of their ranks.
    """
    k, size = codes.shape[1], int(codes.max()) + 1
    places = codes + size * np.arange(k)
    weights = np.broadcast_to(counts[:, None], codes.shape).ravel()
    each = np.bincount(places.ravel(), weights=weights, minlength=size * k).reshape(k, size)
    ranks = np.cumsum(each, axis=1) - each / 2
    return ranks.ravel()[places] - counts.sum() / 2


def checked_attributions(attributions, X, X_test):
    """Attributions (n_test, n_train) without NaN, or the callable; raise for another shape."""
    if callable(attributions):
        return attributions
    n_train, n_test = (t.shape[0] if hasattr(t, "shape") else len(t) for t in (X, X_test))
    attributions = as_numbers("attributions", attributions)
    if attributions.shape != (n_test, n_train):
        turned = " It is the transpose of that." if attributions.shape == (n_train, n_test) else ""
        raise ValueError(
            f"attributions should have shape ({n_test}, {n_train}), one row for each test row and "
            f"one column for each training row; got {attributions.shape}.{turned}"
        )
    undefined = ~np.isfinite(attributions)
    if undefined.all():
        raise ValueError("attributions has no finite number: there is nothing to compare.")
    if undefined.any():
        rows = np.flatnonzero(undefined.any(axis=0))
        warn(
            f"{len(rows)} training rows have attributions that are not finite, row {listed(rows)}: "
            "they count as 0.",
            RuntimeWarning,
        )
        attributions = np.where(undefined, 0.0, attributions)
    return attributions
