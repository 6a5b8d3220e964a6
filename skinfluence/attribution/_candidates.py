"""The rows of largest influence, of which only the candidates are refitted."""

import numpy as np

from skinfluence.attribution._read import influence_topk

# Candidates by Newton steps, beside the k asked for: these often trade places when refitted.
MARGIN = 4
# Times that rows which come up when others are refitted are refitted in turn.
ROUNDS = 12


def refined_topk(refits, test, k, *, progress=None):
    """Return what `influence_topk` does, with refits for its rows as far as the budget goes.

    The candidates are the k + MARGIN rows of largest influence by Newton steps, and those whose
    step says little. When they are refitted others may come up: these are refitted in turn, until
    all k rows are refits, or the budget is spent. The other rows, whose influence is smaller by
    a Newton step, are not refitted.

    Parameters
    ----------
    refits : RefitsOnDemand
    test : Query
    k : int
    """
    options = {"linearised": False, "progress": progress}
    deletion = refits.deletion
    found = influence_topk(deletion, test, min(k + MARGIN, len(deletion)), **options)
    wanted = [_positions(deletion, found), refits.unreliable]
    for _ in range(ROUNDS):
        if not refits.refine(np.concatenate(wanted)):
            break
        found = influence_topk(refits.deletion, test, k, **options)
        wanted = [_positions(deletion, found)]
    else:  # they keep coming up: all of them
        refits.refine(np.arange(len(deletion)))
        found = influence_topk(refits.deletion, test, k, **options)
    return tuple(array[:, :k] for array in found)


def _positions(deletion, found):
    """Positions among the deletions of the rows that `influence_topk` has found."""
    rows = np.unique(np.concatenate([found[0].ravel(), found[2].ravel()]))
    return np.flatnonzero(np.isin(deletion.rows, rows[rows >= 0]))
