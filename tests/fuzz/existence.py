"""Whether a fit has an optimum at all: classes, positive counts, rank, separation."""

import numpy as np
from scipy.optimize import linprog

from tests.fuzz.losses import LD


def exists(objective, w, codes=None, damped=False):
    """Whether the objective has an optimum under weights (n,); `codes` are the classes (n,).

    Of a damped one it is asked whether it has all classes, and a row above 0 where it needs one.
    """
    live = np.flatnonzero(w > 0)
    if not len(live):
        return False
    loss = objective.loss
    if loss.n_classes:
        if len(np.unique(codes[live])) < loss.n_classes:
            return False
    elif counts(loss) and has_free_intercept(objective) and not (objective.y[live] > 0).any():
        return False
    if damped or is_penalised(objective):
        return True
    free = objective.free[0]
    if rank(objective.Z[np.ix_(live, free)]) < free.sum():
        return False
    if not loss.n_classes and not counts(loss):
        return True
    if type(loss).__name__ == "SquaredLabel":
        return True
    return not recedes(objective, live)


def counts(loss):
    """Whether rows of 0 pull the mean to 0 for ever."""
    return type(loss).__name__ == "Tweedie" and loss.link == "log" and 1 <= loss.p < 2


def has_free_intercept(objective):
    column = np.all(objective.Z == 1, axis=0) & objective.free[0]
    unpenalised = (objective.fixed + objective.shared)[0] == 0
    return bool((column & unpenalised).any())


def is_penalised(objective):
    """Whether the features are, in any way."""
    strengths = objective.fixed + objective.shared + objective.fixed_l1 + objective.shared_l1
    return bool((strengths[objective.free] > 0).any())


def rank(Z):
    """Numerical rank of scaled columns."""
    return len(independent(Z))


def independent(Z):
    """Columns of which all others are combinations, by pivoted Gram-Schmidt in long double."""
    Z = np.array(Z, dtype=LD)
    size = np.sqrt((Z**2).sum(axis=0))
    Z = Z / np.where(size > 0, size, 1)
    found = []
    for _ in range(min(Z.shape)):
        norms = np.sqrt((Z**2).sum(axis=0))
        k = int(norms.argmax())
        if norms[k] < 1e-13:
            break
        q = Z[:, k] / norms[k]
        for _ in range(2):
            Z = Z - np.outer(q, q @ Z)
        found.append(k)
    return sorted(found)


def recedes(objective, live):
    """Whether some direction lowers no row's own score and can be followed for ever."""
    loss, Z = objective.loss, np.asarray(objective.Z[np.ix_(live, objective.free[0])], dtype=float)
    y = np.asarray(objective.y[live], dtype=float)
    if type(loss).__name__ == "Softmax":
        K, q = loss.K, Z.shape[1]
        rows = []
        for z, label in zip(Z, y, strict=True):
            own = int(label.argmax())
            for k in range(K):
                if k != own:
                    row = np.zeros((K, q))
                    row[own], row[k] = z, -z
                    rows.append(row.ravel())
        A, equal = np.array(rows), np.zeros((0, K * q))
    elif loss.n_classes:
        A, equal = y * Z, np.zeros((0, Z.shape[1]))
    else:
        zero = y[:, 0] == 0
        A, equal = -Z[zero], Z[~zero]
    if not len(A):
        return False
    options = {"A_eq": equal, "b_eq": np.zeros(len(equal))} if len(equal) else {}
    result = linprog(
        -A.sum(axis=0), A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs", **options
    )
    return bool(result.status == 0 and -result.fun > 1e-8)
