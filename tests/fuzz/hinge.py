"""Support vector machines in long double: their dual by an interior point method."""

import numpy as np

from tests.fuzz.losses import LD
from tests.fuzz.optimum import solve

MOST_STEPS = 120
# The root of a gap of long double's rounding is no sign of doubt.
UNIT = 1e-4


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
    theta[:, penalised] = coef / np.sqrt(strength[penalised])
    f = coef @ Z.T
    if has_intercept:
        b = _intercept(alpha, cap, s, f)
        theta[:, ~penalised] = b[:, None]
        f = f + b[:, None]
    half = (coef**2).sum(axis=1) / 2
    primal = half + (cap * np.maximum(1 - s * f, 0)).sum(axis=1)
    gap = np.abs(primal - alpha.sum(axis=1) + half) / np.maximum(primal, 1e-300)
    return theta, np.sqrt(gap).astype(float) * UNIT


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
    for _ in range(MOST_STEPS):
        slack = np.where(live, c - a, 1)
        gap = (a * z + np.where(live, slack * v, 0)).sum(axis=1)
        if (gap <= 1e-17 * np.maximum(1e-30, (np.abs(a)).sum(axis=1))).all():
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
        a, b = a + t[:, None] * da, b + t * db
        z, v = z + t[:, None] * dz, v + t[:, None] * dv
    return a, b
