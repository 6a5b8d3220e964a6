"""Why there is no model without some rows or after another change, in words."""

from itertools import islice

import numpy as np

from skinfluence._validation import listed, warn
from skinfluence.curvature import make_curvature
from skinfluence.deletion._range import has_range
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class

# Undefined changes that a warning looks at, and those of which it asks for an optimum.
LOOKED_AT, ASKED = 10, 3

NO_ROW = "no row is left"
NO_CLASS = "a class is empty"
NO_RESPONSE = "no row with a response above 0 is left"
RANK = "the columns lose their rank"
SEPARATED = "the classes are separated, so that the fit has no finite optimum"
UNBOUNDED = "the fit has no finite optimum"
OUTSIDE = "the mean of a row leaves the range of the response"
FLAT = "the refit did not converge, or no row is near enough to a kink to determine the intercept"
STOPPED = "the refit did not converge"
ADVICE = {
    NO_ROW: "Leave some rows",
    NO_CLASS: "Give the class more rows",
    NO_RESPONSE: "Give the model more such rows",
    RANK: "Drop dependent columns, or fit with a penalty",
    SEPARATED: "Fit with a penalty",
    UNBOUNDED: "Fit with a penalty",
    OUTSIDE: "Fit with link='log', or with a larger penalty",
    FLAT: "Raise the temperature, or fit with a larger C",
    STOPPED: "Scale the columns of X, or fit with a larger penalty",
}


def causes(objective, changed):
    """Return the causes of the first undefined changes, None where it was not looked for.

    Parameters
    ----------
    objective : Objective
        Before any change.
    changed : iterable of Objective
        After each undefined change.
    """
    found, asked = [], 0
    for after in islice(changed, LOOKED_AT):
        cause = _plain_cause(objective, after)
        if cause is None and asked < ASKED:
            asked += 1
            cause = _cause_by_optimum(after)
        found.append(cause)
    return found


def _plain_cause(before, after):
    """The cause that counting rows tells, else None."""
    if not (after.sample_weight > 0).any():
        return NO_ROW
    if lost_a_class(after, before):
        return NO_CLASS if before.loss.n_classes else NO_RESPONSE
    return None


def _cause_by_optimum(after):
    """The cause where rows of every class are left."""
    if not is_unpenalised(after):
        unsure = after.loss.temperature > 0 and np.any(after.free_intercepts)
        return FLAT if unsure else _stopped(after)
    try:
        make_curvature(after.least_squares(), "dense")
    except np.linalg.LinAlgError:
        return RANK
    if has_optimum(after):
        return _stopped(after)
    return SEPARATED if after.loss.n_classes else UNBOUNDED


def _stopped(after):
    """The cause where there is no step to an optimum that may exist."""
    return OUTSIDE if has_range(after) else STOPPED


def warn_undefined(names, found, what="row", after="without"):
    """Warn once of rows, groups or changes without or after which there is no model, and say why.

    Parameters
    ----------
    names : ndarray of shape (r,)
    found : list
        As of :func:`causes`, of the first of them.
    what : str
    after : str
    """
    if not len(names):
        return
    each = "s" if len(names) > 1 and after == "without" else ""
    known = [cause for cause in found if cause is not None]
    kinds = list(dict.fromkeys(known)) or [STOPPED]
    reason = kinds[0]
    if len(kinds) > 1 or len(known) < len(found):
        cases = [
            [name for name, cause in zip(names, found, strict=False) if cause == kind]
            for kind in kinds
        ]
        parts = zip(kinds, cases, strict=True)
        reason = "; ".join(f"{kind} (seen for {listed(some)})" for kind, some in parts)
    advice = "; ".join(dict.fromkeys(ADVICE[kind] for kind in kinds))
    warn(
        f"{len(names)} {what}{each} left undefined (NaN): {after} {what} {listed(names)} {reason}. "
        f"{advice}.",
        RuntimeWarning,
    )
