"""The piecewise linear path of the dual of a support vector machine as its data change.

The dual variables alpha_j lie in [0, cap_j] and f = G (s alpha) + b. A row is ZERO (alpha 0, margin
s f above 1), at its CAP (margin below 1), FREE (margin 1) or OUT (changed by the caller, or of
weight 0). While t runs from 0 to 1, alpha of the free rows and b change so that every margin
condition holds, between events at which a row changes its state: Cauwenberghs & Poggio (NIPS 2000),
with any number of rows changed at once (Karasuyama & Takeuchi, NIPS 2009). The margins are
1 + (1 - t) shift_j, so that any start is the optimum of the problem at t = 0.

The inverse of the free rows' system [[0, 1'], [1, G]] (without its border if there is no b) is
updated. An event costs as many flops as its entries, and the predictors of all rows a product with
the free rows.
"""

import numpy as np

from skinfluence._kernels._compiled import compiled

ZERO, FREE, CAP, OUT = 0, 1, 2, 3
# A row is linearly dependent on the free rows if the rest of its kernel is below this share of it.
DEPENDENT = 1e-13
ROUNDING = 1e-14
# The inverse is computed again if it leaves a larger share of a right-hand side.
LOST = 1e-8
# A margin that changes more slowly than this counts as constant.
STILL = 1e-13
# A violation of the margin conditions below this needs no correction.
EXACT = 1e-14
# A dual variable is at a bound at the end of the path if it is this close to it, as a share of cap.
AT_BOUND = 1e-12


@compiled
def _apply(inverse, q, u):
    """inverse[:q, :q] @ u, as a sum of rows of the symmetric inverse, which vectorises."""
    z = np.zeros(q)
    for a in range(q):
        z += u[a] * inverse[a, :q]
    return z


@compiled
def _system(G, members, n_free, bias):
    """The free rows' system [[0, 1'], [1, G]], or G without an intercept."""
    M = np.ones((n_free + bias, n_free + bias))
    if bias:
        M[0, 0] = 0.0
    for a in range(n_free):
        for c in range(n_free):
            M[bias + a, bias + c] = G[members[a], members[c]]
    return M


@compiled
def _project(j, G, members, n_free, inverse, bias):
    """Coordinates z of row j in the free rows, and the rest of its kernel, G_jj - u'z.

    z is refined once with the system itself: for nearly dependent free rows the inverse is so
    inexact that a rest of 0 would not be recognised. An inverse without correct digits is computed
    again.
    """
    q = n_free + bias
    u = np.ones(q)
    for a in range(n_free):
        u[bias + a] = G[j, members[a]]
    z = _apply(inverse, q, u)
    if n_free > 0:
        M = _system(G, members, n_free, bias)
        missing = u - _apply(M, q, z)
        if np.abs(missing).max() > LOST * np.abs(u).max():
            inverse[:q, :q] = np.linalg.inv(M)
            z = _apply(inverse, q, u)
            missing = u - _apply(M, q, z)
        z += _apply(inverse, q, missing)
    return z, G[j, j] - u @ z


@compiled
def _join(j, G, members, n_free, inverse, bias, z, rest):
    """Add row j to the inverse as its last row and column."""
    q = n_free + bias
    if n_free == 0:
        if bias:
            inverse[0, 0], inverse[0, 1], inverse[1, 0], inverse[1, 1] = -G[j, j], 1.0, 1.0, 0.0
        else:
            inverse[0, 0] = 1.0 / G[j, j]
    else:
        for a in range(q):
            scaled = z[a] / rest
            for c in range(q):
                inverse[a, c] += scaled * z[c]
            inverse[a, q] = inverse[q, a] = -scaled
        inverse[q, q] = 1.0 / rest
    members[n_free] = j


@compiled
def _leave(position, members, n_free, inverse, bias):
    """Remove a free row from the inverse; the last free row takes its position."""
    last, k, end = n_free - 1, bias + position, bias + n_free
    if n_free > 1:
        pivot = inverse[k, k]
        for a in range(end):
            if a != k:
                scaled = inverse[a, k] / pivot
                for c in range(end):
                    if c != k:
                        inverse[a, c] -= scaled * inverse[k, c]
        inverse[k, :end] = inverse[end - 1, :end]
        inverse[:end, k] = inverse[:end, end - 1]
        inverse[k, k] = inverse[end - 1, end - 1]
    members[position] = members[last]


@compiled
def _admit(j, G, s, cap, alpha, status, members, n_free, inverse, bias):
    """Make row j free; return the number of free rows.

    If row j is linearly dependent on the free rows, there is a direction of their alphas and its
    own along which no predictor changes. It is followed until a free row reaches a bound and is no
    longer free, or row j reaches a bound.
    """
    while True:
        z, rest = _project(j, G, members, n_free, inverse, bias)
        if n_free == 0:
            independent = bias or G[j, j] > 0.0
        else:
            # Size of the terms that cancel in G_jj - z'Mz; large if two free rows are nearly equal.
            reach = np.sqrt(G[j, j]) + (abs(z[0]) if bias else 0.0)
            for a in range(n_free):
                reach += abs(z[bias + a]) * np.sqrt(G[members[a], members[a]])
            independent = rest > DEPENDENT * G[j, j] and rest > ROUNDING * reach * reach
        if independent:
            _join(j, G, members, n_free, inverse, bias, z, rest)
            status[j] = FREE
            return n_free + 1
        inward = -1.0 if status[j] == CAP else 1.0
        room, out = (alpha[j] if inward < 0.0 else cap[j] - alpha[j]), -1
        for a in range(n_free):
            k = members[a]
            rate = -s[k] * s[j] * inward * z[bias + a]
            if abs(rate) > STILL:
                limit = (cap[k] - alpha[k]) / rate if rate > 0.0 else -alpha[k] / rate
                if limit < room:
                    room, out = max(limit, 0.0), a
        for a in range(n_free):
            k = members[a]
            alpha[k] -= s[k] * s[j] * inward * z[bias + a] * room
        alpha[j] += inward * room
        if out < 0:
            status[j] = ZERO if inward < 0.0 else CAP
            alpha[j] = 0.0 if inward < 0.0 else cap[j]
            return n_free
        n_free = _retire(out, cap, alpha, status, members, n_free, inverse, bias)


@compiled
def _retire(position, cap, alpha, status, members, n_free, inverse, bias):
    """Put a free row at the nearer of its bounds; return the number of free rows."""
    k = members[position]
    if alpha[k] < 0.5 * cap[k]:
        alpha[k], status[k] = 0.0, ZERO
    else:
        alpha[k], status[k] = cap[k], CAP
    _leave(position, members, n_free, inverse, bias)
    return n_free - 1


@compiled
def _settle(cap, alpha, status, members, n_free, inverse, bias):
    """Put free rows whose alpha has ended at a bound there; return the number of free rows."""
    for position in range(n_free - 1, -1, -1):
        k = members[position]
        if min(alpha[k], cap[k] - alpha[k]) <= AT_BOUND * cap[k]:
            n_free = _retire(position, cap, alpha, status, members, n_free, inverse, bias)
    return n_free


@compiled
def gather(G, s, cap, alpha, status, members, inverse, bias):
    """Compute the inverse for the rows with status FREE; return their number."""
    n_free = 0
    for j in range(len(s)):
        if status[j] == FREE:
            n_free = _admit(j, G, s, cap, alpha, status, members, n_free, inverse, bias)
    return n_free


@compiled
def _free_by_bias(s, f, shift, status, net):
    """(Row that becomes free, change of b) if none is free and sum s alpha must change by net."""
    best, taker = np.inf, -1
    for j in range(len(s)):
        takes = (status[j] == ZERO and s[j] * net > 0.0) or (status[j] == CAP and s[j] * net < 0.0)
        if takes:
            room = abs(s[j] * f[j] - 1.0 - shift[j])
            if room < best:
                best, taker = room, j
    return taker, (-best if net > 0.0 else best)


@compiled
def _middle(s, f, status):
    """Change of b to the middle of the interval in which all margin conditions hold."""
    low, high = -np.inf, np.inf
    for j in range(len(s)):
        if status[j] == ZERO or status[j] == CAP:
            room = s[j] - f[j]
            if (status[j] == ZERO) == (s[j] > 0.0):
                low = max(low, room)
            else:
                high = min(high, room)
    if np.isinf(low) or np.isinf(high):
        return 0.0
    return 0.5 * (low + high)


@compiled
def _next_event(s, cap, alpha, f, shift, t, df, rate, status, members, n_free):
    """(Time to the next event, free row that leaves or -1, row that becomes free or -1)."""
    best, leaving, entering = 1.0 - t, -1, -1
    for a in range(n_free):
        k = members[a]
        speed = s[k] * rate[a]
        if abs(speed) > STILL * cap[k]:
            time = (cap[k] - alpha[k]) / speed if speed > 0.0 else -alpha[k] / speed
            if time < best:
                best, leaving = max(time, 0.0), a
    for j in range(len(s)):
        if status[j] == ZERO or status[j] == CAP:
            slack = s[j] * f[j] - 1.0 - (1.0 - t) * shift[j]
            speed = s[j] * df[j] + shift[j]
            toward = speed < -STILL if status[j] == ZERO else speed > STILL
            if toward:
                time = max(-slack / speed, 0.0)
                if time < best:
                    best, leaving, entering = time, -1, j
    return best, leaving, entering


@compiled
def _rates(G, s, shift, predictor_shift, net, members, n_free, inverse, bias, rate, df):
    """Derivatives in t while no row enters or leaves: of s alpha into `rate`, of f into `df`, of b.

    The free rows stay on their shifted margins, s f = 1 + (1 - t) shift, and s alpha sums to `net`.
    """
    q = n_free + bias
    right = np.full(q, net)
    for a in range(n_free):
        k = members[a]
        right[bias + a] = -predictor_shift[k] - s[k] * shift[k]
    moved = _apply(inverse, q, right) if n_free > 0 else np.zeros(q)
    db = moved[0] if bias and n_free > 0 else 0.0
    df[:] = predictor_shift + db
    for a in range(n_free):
        rate[a] = moved[bias + a]
        df += rate[a] * G[members[a]]
    return db


@compiled
def follow(
    G, s, cap, alpha, f, shift, predictor_shift, net, status, members, n_free, inverse, bias,
    max_events,
):  # fmt: skip
    """Follow the path from t = 0 to 1; (change of b, number of free rows, events, whether done).

    `predictor_shift` (m,) is the change of the predictors by the rows that the caller changes,
    `net` the change of the sum of s alpha over the other rows. alpha, f, status, members and
    inverse are changed in place.
    """
    m, b, t = len(s), 0.0, 0.0
    rate, df = np.zeros(m), np.zeros(m)
    for events in range(max_events):
        if bias and n_free == 0 and abs(net) > 0.0:
            taker, change = _free_by_bias(s, f, (1.0 - t) * shift, status, net)
            if taker < 0:
                return b, n_free, events, False
            b += change
            f += change
            n_free = _admit(taker, G, s, cap, alpha, status, members, n_free, inverse, bias)
            continue
        db = _rates(G, s, shift, predictor_shift, net, members, n_free, inverse, bias, rate, df)
        time, leaving, entering = _next_event(
            s, cap, alpha, f, shift, t, df, rate, status, members, n_free
        )
        t += time
        b += time * db
        f += time * df
        for a in range(n_free):
            alpha[members[a]] += s[members[a]] * rate[a] * time
        if leaving >= 0:
            n_free = _retire(leaving, cap, alpha, status, members, n_free, inverse, bias)
        elif entering >= 0:
            n_free = _admit(entering, G, s, cap, alpha, status, members, n_free, inverse, bias)
        else:
            n_free = _settle(cap, alpha, status, members, n_free, inverse, bias)
            if bias and n_free == 0:
                change = _middle(s, f, status)
                b += change
                f += change
            return b, n_free, events, True
    return b, n_free, max_events, False


@compiled
def _violation(s, f, status):
    """Largest violation of a margin condition."""
    worst = 0.0
    for j in range(len(s)):
        slack = s[j] * f[j] - 1.0
        if status[j] == FREE:
            worst = max(worst, abs(slack))
        elif status[j] == ZERO:
            worst = max(worst, -slack)
        elif status[j] == CAP:
            worst = max(worst, slack)
    return worst


@compiled
def refine(
    G, s, cap, alpha, alpha_start, b, base, target_sum, f, status, members, n_free, inverse, bias
):
    """Correct rounding errors of the path: (b, free rows, largest violation of a margin condition).

    The predictors are f = base + b + G (s (alpha - alpha_start)), and s (alpha - alpha_start) adds
    up to `target_sum` if there is a b. A row whose alpha is at a bound only after the correction is
    not free: if no other is, b is the middle of its interval, of the predictors without the path's
    rounding.
    """
    m, q = len(s), n_free + bias
    for sweep in range(3):
        f[:] = base + b
        for k in range(m):
            if alpha[k] != alpha_start[k]:
                f += s[k] * (alpha[k] - alpha_start[k]) * G[k]
        rest = abs(s @ (alpha - alpha_start) - target_sum) if bias else 0.0
        worst = max(rest, _violation(s, f, status))
        if sweep == 2 or n_free == 0 or worst < EXACT:
            break
        right = np.full(q, target_sum - s @ (alpha - alpha_start))
        for a in range(n_free):
            right[bias + a] = s[members[a]] - f[members[a]]
        moved = _apply(inverse, q, right)
        if bias:
            b += moved[0]
        for a in range(n_free):
            k = members[a]
            alpha[k] = min(max(alpha[k] + s[k] * moved[bias + a], 0.0), cap[k])
    left = _settle(cap, alpha, status, members, n_free, inverse, bias)
    if bias and left == 0:
        change = _middle(s, f, status)
        b += change
        f += change
        worst = max(rest, _violation(s, f, status))
    return b, left, worst


@compiled
def drop(j, status, members, n_free, inverse, bias):
    """Remove row j from the path, to be changed by the caller; return the number of free rows."""
    if status[j] == FREE:
        for position in range(n_free):
            if members[position] == j:
                _leave(position, members, n_free, inverse, bias)
                n_free -= 1
                break
    status[j] = OUT
    return n_free
