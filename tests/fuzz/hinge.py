"""Support vector machines in long double: their dual by an interior point method."""

import numpy as np

from tests.fuzz.losses import LD
from tests.fuzz.optimum import solve

MOST_STEPS = 120
# The root of a gap of long double's rounding is no sign of doubt.
UNIT = 1e-4
# Margins of the interior point this near to 1 are at 1, if the optimum with these at 1 is as near.
AT_MARGIN = 1e-6
FARTHER = (1e-5, 1e-4, 1e-3)  # where every condition of an optimum says so
SMALLEST_GAP = 1e-22


def hinge_optimum(objective, w):
    """(theta (B, K, q) of a hinge objective under weights (B, n), how unsure it is (B,)).

    One machine for each output. Where no row is on a margin the intercept is the middle of the
    interval that the rows leave it, as libsvm has it. It is unsure by the root of the duality gap,
    relative to the objective.
    """
    K, q = objective.shape
    theta = np.zeros((len(w), K, q), dtype=LD)
    unsure = np.zeros(len(w))
    for k in range(K):
        theta[:, k], gap = _machine(objective, w, k)
        unsure = np.maximum(unsure, gap)
    return theta, unsure


def _machine(objective, w, k):
    s = objective.y[:, k]
    strength = objective.fixed[k]
    penalised = strength > 0
    Z = objective.Z[:, penalised] / np.sqrt(strength[penalised])
    Q = (s[:, None] * Z) @ (s[:, None] * Z).T
    cap = w * np.abs(s)
    has_intercept = bool((~penalised).any())
    alpha, b = _interior_point(Q, s, cap, has_intercept)
    theta = np.zeros((len(w), len(strength)), dtype=LD)
    coef = (alpha * s) @ Z
    f = coef @ Z.T
    if has_intercept:
        b = _intercept(alpha, cap, s, f)
        f = f + b[:, None]
    for i in range(len(w)):
        start = coef[i], b[i] if has_intercept else LD(0)
        coef[i], own = _on_margins(Z, s, cap[i], f[i], start, has_intercept)
        if has_intercept:
            b[i] = own
    f = coef @ Z.T + (b[:, None] if has_intercept else 0)
    theta[:, penalised] = coef / np.sqrt(strength[penalised])
    if has_intercept:
        theta[:, ~penalised] = b[:, None]
    half = (coef**2).sum(axis=1) / 2
    primal = half + (cap * np.maximum(1 - s * f, 0)).sum(axis=1)
    # Of a gap of rounding's size nothing is known: the sums of losses have no more digits.
    rounding = 64 * np.finfo(LD).eps * (cap * (1 + np.abs(f))).sum(axis=1)
    gap = np.abs(primal - alpha.sum(axis=1) + half) - rounding
    gap = np.maximum(gap, 0) / np.maximum(primal, 1e-300)
    return theta, np.sqrt(gap).astype(float) * UNIT


def _on_margins(Z, s, cap, f, start, has_intercept):
    """(Coefficients, intercept) with the rows at their margin exactly there, by elimination.

    An interior point ends within the root of its gap where a dual variable is at its bound and its
    row at the margin. Of the rows within some distance of 1 that are put there, the first for which
    every condition of an optimum holds say where it is. Where none do, rows that are only near are
    told by the objective: the `start` is kept if that rises, or a margin moves too far.
    """
    live = cap > 0
    for near in (AT_MARGIN, *FARTHER):
        coef, b, edge, is_optimal = _eliminated(Z, s, cap, s * f, near, has_intercept)
        if is_optimal:
            return coef, b
    coef, b, edge, _ = _eliminated(Z, s, cap, s * f, AT_MARGIN, has_intercept)
    if b is None:
        return coef, start[1]
    moved = np.abs(Z @ coef + b - f)[live].max(initial=0)
    at = np.abs(s * (Z @ coef + b) - 1)[edge].max(initial=0)
    before, after = (_primal(Z, s, cap, *point) for point in (start, (coef, b)))
    lower = after <= before + 1e-17 * max(before, 1e-300)
    return (coef, b) if lower and moved < AT_MARGIN / 10 and at < 1e-13 else start


def _eliminated(Z, s, cap, margin, near, has_intercept):
    """(coefficients, intercept or None, rows put on their margin, whether this is an optimum).

    Rows of margin below 1 are at their cap; of those at 1 only some that are independent have dual
    variables. It is an optimum if these are within their bounds, one between them where there is an
    intercept, and the other rows are still on their side of the margin.
    """
    live = cap > 0
    edge = np.flatnonzero(live & (np.abs(margin - 1) < near))
    inside = live & (margin < 1)
    inside[edge] = False
    fixed = (cap * s * inside) @ Z
    ones = np.ones((len(Z), int(has_intercept)), dtype=LD)
    kept = _independent(np.hstack([Z, ones]), edge)
    if not len(kept) and has_intercept:
        return fixed, None, edge, False
    k, sign = len(kept), s[kept]
    M = np.zeros((k + has_intercept, k + has_intercept), dtype=LD)
    M[:k, :k] = np.outer(sign, sign) * (Z[kept] @ Z[kept].T)
    right = np.zeros(k + has_intercept, dtype=LD)
    right[:k] = 1 - sign * (Z[kept] @ fixed)
    if has_intercept:
        M[:k, k] = M[k, :k] = sign
        right[k] = -(cap * s * inside).sum()
    found = solve(M[None], right[None, :, None])[0, :, 0] if len(M) else right
    coef, b = fixed + (sign * found[:k]) @ Z[kept], found[k] if has_intercept else LD(0)
    after, rounding = s * (Z @ coef + b), LD(1e-17) * cap.max(initial=0)
    # Equal rows of one class share a dual variable up to the sum of their caps.
    most = ((Z[kept, None] == Z[edge]).all(axis=2) * (s[kept, None] == s[edge])) @ cap[edge]
    share = found[:k] / np.where(most > 0, most, 1)
    holds = ((found[:k] >= -rounding) & (found[:k] <= most + rounding)).all()
    holds &= not has_intercept or ((share > 1e-9) & (share < 1 - 1e-9)).any()
    holds &= np.abs(after - 1)[edge].max(initial=0) < 1e-13
    others = live.copy()
    others[edge] = False
    holds &= ((after < 1) == inside)[others].all()
    return coef, b, edge, bool(holds)


def _primal(Z, s, cap, coef, b):
    """The objective of one machine."""
    return coef @ coef / 2 + (cap * np.maximum(1 - s * (Z @ coef + b), 0)).sum()


def _independent(Z, rows):
    """Some of the rows, as many as are independent, by Gram-Schmidt with pivots."""
    left, kept = np.array(Z[rows], dtype=LD), []
    size = (left**2).sum(axis=1)
    while len(kept) < min(left.shape):
        norms = np.sqrt((left**2).sum(axis=1) / np.where(size > 0, size, 1))
        i = int(norms.argmax())
        if norms[i] < 1e-12:
            break
        kept.append(rows[i])
        q = left[i] / np.sqrt((left[i] ** 2).sum())
        for _ in range(2):
            left = left - np.outer(left @ q, q)
    return np.array(kept, dtype=int)


def _intercept(alpha, cap, s, f):
    """Mean of the rows on their margin, else the middle of an interval."""
    own = s - f  # the b at which a row's margin is 1
    live = cap > 0
    low, high = alpha <= 1e-9 * cap, alpha >= cap * (1 - LD(1e-9))
    free = live & ~low & ~high
    known = free.any(axis=1)
    count = np.maximum(free.sum(axis=1), 1)
    mean = np.where(free, own, 0).sum(axis=1) / count
    # alpha = 0 asks for s (f + b) >= 1, alpha = cap for <= 1.
    above = live & ~free & (low == (s > 0))  # b >= own
    below = live & ~free & ~above
    lower = np.where(above, own, -np.inf).max(axis=1)
    upper = np.where(below, own, np.inf).min(axis=1)
    return np.where(known, mean, (lower + upper) / 2)


def _interior_point(Q, s, cap, has_intercept):
    """Minimise a'Qa / 2 - sum a over 0 <= a <= cap, s'a = 0; rows of no cap stay at 0."""
    B, n = cap.shape
    live = cap > 0
    c = np.where(live, cap, 1)
    a = np.where(live, c / 2, 0)
    if has_intercept:  # a start inside, with s'a = 0
        plus = np.where(live & (s > 0), c, 0).sum(axis=1)
        minus = np.where(live & (s < 0), c, 0).sum(axis=1)
        less = np.minimum(plus, minus)
        up = np.where(plus > 0, less / np.where(plus > 0, plus, 1), 0)
        down = np.where(minus > 0, less / np.where(minus > 0, minus, 1), 0)
        a = np.where(live, c / 2 * np.where(s > 0, up[:, None], down[:, None]), 0)
    b = np.zeros(B, dtype=LD)
    z, v = (np.where(live, LD(1), LD(0)) for _ in range(2))
    n_live = 2 * np.maximum(live.sum(axis=1), 1)
    slack = np.where(live, c - a, 1)  # kept, since the difference loses it
    going = np.ones(B, dtype=bool)  # one that has arrived, or has no digit left, stays
    for _ in range(MOST_STEPS):
        gap = (a * z + np.where(live, slack * v, 0)).sum(axis=1)
        size = np.maximum(1e-30, np.abs(a).sum(axis=1))
        going &= gap > SMALLEST_GAP * size
        if not going.any():
            break
        mu = (gap / n_live * LD(0.1))[:, None]
        dual = -(a @ Q) + 1 - b[:, None] * s + z - v
        first = np.where(live, mu / np.where(live, a, 1) - z, 0)
        second = np.where(live, mu / slack - v, 0)
        right = np.where(live, dual + first - second, 0)
        D = np.where(live, z / np.where(live, a, 1) + v / slack, 1)
        both = live[:, :, None] & live[:, None, :]
        M = np.where(both, Q, 0) + D[:, :, None] * np.eye(n, dtype=LD)
        columns = np.where(live, s, 0)
        found = solve(M, np.stack([right, columns], axis=2))
        da, db = found[:, :, 0], np.zeros(B, dtype=LD)
        if has_intercept:
            db = ((a * s).sum(axis=1) + (columns * da).sum(axis=1)) / (
                (columns * found[:, :, 1]).sum(axis=1)
            )
            da = da - db[:, None] * found[:, :, 1]
        da = np.where(live, da, 0)
        dz = np.where(live, first - z / np.where(live, a, 1) * da, 0)
        dv = np.where(live, second + v / slack * da, 0)
        t = np.ones(B, dtype=LD)
        for value, change in ((a, da), (slack, -da), (z, dz), (v, dv)):
            falling = live & (change < 0)
            limit = np.where(falling, -value / np.where(falling, change, 1), np.inf)
            t = np.minimum(t, LD(0.995) * limit.min(axis=1))
        going &= (t > 0.1) | (gap > 1e-14 * size)  # short steps at the end are of rounding
        t = t[:, None]
        new = a + t * da, b + t[:, 0] * db, z + t * dz, v + t * dv, slack - t * da
        sound = [np.isfinite(part.reshape(B, -1)).all(axis=1) for part in new]
        going &= np.all(sound, axis=0)
        a, b, z, v, slack = (
            np.where(going.reshape(-1, *[1] * (old.ndim - 1)), part, old)
            for part, old in zip(new, (a, b, z, v, slack), strict=True)
        )
    return a, b
