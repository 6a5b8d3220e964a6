"""The tab of diagnostics: one step against refits, leverage against residual, Cook's distance."""

import numpy as np

from skinfluence.case_deletion import CaseDeletionDiagnostics
from skinfluence.evaluation import agreement

# Rows that are refitted for the comparison, and points in a figure.
MOST_REFITS, MOST_POINTS = 300, 1000


def diagnostics(subject, loo):
    """Return the points of the figures.

    Parameters
    ----------
    subject : Subject
    loo : LeaveOneOutEstimate

    Returns
    -------
    dict
        Each figure as {"rows", "x", "y", ...}, or {"missing": why}.
    """
    found = {"agreement": _known(_agreement, subject)}
    own = _known(_case_deletion, subject)
    if "missing" in own:
        own = {"leverage": loo.leverage, "residual": loo.loss, "what": "leave-one-out loss"}
    found["leverage"] = _thinned(own["leverage"], own["residual"]) | {"what": own["what"]}
    if not subject.is_classifier and own.get("cooks") is not None:
        rows = np.arange(len(own["cooks"]))
        found["cooks"] = _thinned(rows, own["cooks"]) | {"threshold": own["threshold"]}
    return found


def _known(function, *arguments):
    """What a function returns; why not, where the model does not have that."""
    try:
        return function(*arguments)
    except (NotImplementedError, np.linalg.LinAlgError, MemoryError) as error:
        return {"missing": str(error)}


def _agreement(subject):
    """Self-influences by Newton steps and by refits, of rows with long steps and of random ones."""
    newton = subject.view.self_influence(method="newton")
    size = np.nan_to_num(np.abs(newton))
    rows = _largest_and_random(size, MOST_REFITS // 3, MOST_REFITS)
    exact = subject.view.self_influence(method="exact", train_indices=rows)
    known = np.isfinite(exact) & np.isfinite(newton[rows])
    rows, exact = rows[known], exact[known]
    found = {"rows": rows, "x": exact, "y": newton[rows], "n": len(newton)}
    if len(rows) > 1 and np.ptp(exact) > 0:
        line = agreement(newton[rows], exact)
        found |= {"slope": line.slope, "r": line.r, "relative_rmse": line.relative_rmse}
    return found


def _case_deletion(subject):
    """Leverages, studentised residuals and Cook's distances of a model with one response."""
    own = subject.view.case_deletion_diagnostics()
    if not isinstance(own, CaseDeletionDiagnostics):
        raise NotImplementedError("several classes have blocks of leverages")
    return {
        "leverage": own.leverage,
        "residual": own.studentized_residual,
        "what": "studentised residual",
        "cooks": own.cooks_distance,
        "threshold": 4.0 / own.n_used,
    }


def _largest_and_random(size, n_largest, n_all):
    """Positions of the largest sizes and of random others, sorted."""
    order = np.argsort(-size, kind="stable")
    rest = order[n_largest:]
    random = np.random.default_rng(0)
    if n_largest + len(rest) > n_all:
        rest = random.choice(rest, n_all - n_largest, replace=False)
    return np.sort(np.concatenate([order[:n_largest], rest]))


def _thinned(x, y):
    """Points of at most MOST_POINTS rows: the outermost, and random others."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(known):
        return {"rows": known, "x": x[known], "y": y[known], "n": len(x)}
    rank = np.maximum(_rank(np.asarray(x)[known]), _rank(np.abs(np.asarray(y)[known])))
    kept = known[_largest_and_random(rank, MOST_POINTS // 2, MOST_POINTS)]
    return {"rows": kept, "x": np.asarray(x)[kept], "y": np.asarray(y)[kept], "n": len(x)}


def _rank(values):
    """Ranks from 0 for the smallest."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
