"""`cv_results_` of a search, and the one-standard-error rule."""

import numpy as np
from numpy.ma import MaskedArray


def simplest(results, highest, name="score"):
    """Candidate with the fewest effective parameters within one standard error of the highest."""
    scores, errors = results[f"mean_test_{name}"], results[f"standard_error_test_{name}"]
    error = np.nan_to_num(errors[highest])
    near = np.flatnonzero(scores >= scores[highest] - error)
    return int(near[np.argmin(results["effective_parameters"][near])])


def results_table(candidates, scored, scorers):
    """`cv_results_` with the keys and the order of GridSearchCV, of scorers by name."""
    results = {}
    for what in ("fit", "score"):
        results[f"mean_{what}_time"] = np.array([getattr(one, f"{what}_time") for one in scored])
        results[f"std_{what}_time"] = np.zeros(len(scored))
    names = sorted({name for params in candidates for name in params})
    for name in names:
        results[f"param_{name}"] = _column([params.get(name, _MISSING) for params in candidates])
    results["params"] = candidates
    for name in scorers:
        found = [one.of(name) for one in scored]
        scores = np.array([each.score for each in found])
        results[f"mean_test_{name}"] = scores
        results[f"standard_error_test_{name}"] = np.array([each.standard_error for each in found])
        worst = np.where(np.isnan(scores), np.inf, -scores)
        # 1 and the number of better ones, as scipy's rankdata(method="min") in less time.
        better = np.searchsorted(np.sort(worst), worst)
        results[f"rank_test_{name}"] = (1 + better).astype(np.int32)
    results["effective_parameters"] = np.array([one.effective_parameters for one in scored])
    results["n_undefined"] = np.array([len(one.undefined) for one in scored])
    return results


_MISSING = object()


def _column(values):
    """Masked array of one parameter; numeric if all its values are numbers."""
    kept = np.array([value is not _MISSING for value in values])
    objects = np.empty(len(values), dtype=object)
    for position in np.flatnonzero(kept):
        objects[position] = values[position]
    column = MaskedArray(objects, mask=~kept)
    try:
        numbers = np.array(list(objects[kept]))
    except ValueError:  # arrays of different shapes
        return column
    if numbers.ndim != 1 or numbers.dtype.kind not in "iufb":
        return column
    filled = np.zeros(len(values), dtype=numbers.dtype)
    filled[kept] = numbers
    return MaskedArray(filled, mask=~kept)
