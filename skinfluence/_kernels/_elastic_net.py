"""The optimum of a quadratic with an L1 penalty: coordinate descent and feature-sign search."""

import numpy as np

from skinfluence._kernels._compiled import compiled

# A coefficient of this share of the largest, in units of its column, is 0 but for rounding.
NOTHING = 1e-15
EPSILON = float(np.finfo(float).eps)


@compiled
def elastic_net_sweeps(H, gradient, theta, absolute, step, n_sweeps):
    """Minimise 1/2 d'H d + g'd + sum_j absolute_j |theta_j + d_j| in place, from d = step.

    `gradient` is g + H d, and updated in place. Returns the largest change of a coordinate in the
    last sweep, times the root of its curvature.
    """
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        for j in range(len(step)):
            curvature = H[j, j]
            now = theta[j] + step[j]
            if curvature <= 0.0:
                # No row sees the coordinate: its penalty alone decides.
                if now != 0.0 and absolute[j] > abs(gradient[j]):
                    step[j] = -theta[j]
                    largest = max(largest, abs(now))
                continue
            wanted = curvature * now - gradient[j]
            moved = max(abs(wanted) - absolute[j], 0.0) / curvature
            change = (moved if wanted > 0.0 else -moved) - now
            if change == 0.0:
                continue
            step[j] += change
            for k in range(len(step)):
                gradient[k] += change * H[j, k]
            largest = max(largest, abs(change) * np.sqrt(curvature))
        if largest == 0.0:
            break
    return largest


@compiled
def elastic_net_optimum(
    H, gradient, theta, absolute, step, max_rounds, n_sweeps, standstill, proximal, rounding
):
    """Minimise 1/2 d'H d + g'd + sum_j absolute_j |theta_j + d_j| from d = step = 0, in place.

    Returns whether the optimality conditions of all coordinates hold to `rounding` of their terms.
    """
    slope, trial, settled = gradient.copy(), np.empty_like(step), True
    curvature = np.sqrt(np.abs(np.diag(H)))
    for _ in range(max_rounds):
        if settled and _optimum_on_support(H, gradient, theta, absolute, step, trial, rounding):
            step[:] = trial
            return True
        size = np.max(curvature * np.maximum(np.abs(theta), np.abs(step)))
        largest = elastic_net_sweeps(H, slope, theta, absolute, step, n_sweeps)
        if largest <= standstill * size:
            return False
        settled = _toward_support(H, slope, theta, absolute, step, proximal)
        slope[:] = gradient + H @ step
    return False


@compiled
def _solved(H, support, right, proximal):
    """Solution x of H_SS x = right, its diagonal times 1 + proximal; NaN if that is singular."""
    k = len(support)
    metric, column = np.empty((k, k)), np.empty((k, 1))
    for a in range(k):
        column[a, 0] = right[a]
        for b in range(k):
            metric[a, b] = H[support[a], support[b]]
        metric[a, a] *= 1.0 + proximal
    if k == 0:
        return np.empty(0)
    try:
        return np.linalg.solve(metric, column)[:, 0].copy()
    except Exception:  # numba knows no other
        return np.full(k, np.nan)


@compiled
def _toward_support(H, slope, theta, absolute, step, proximal):
    """Go from a step toward the optimum with its signs, to the best of the sign changes on the way.

    Feature-sign search (Lee, Battle, Raina & Ng 2007). Where columns are next to dependent a sweep
    takes the 1e-8th part of this; where they are dependent a small proximal term keeps the
    direction one of descent, along which the first coefficient to reach 0 is found. `slope` is the
    gradient at the step. Returns whether no sign changes on the way.
    """
    at = theta + step
    support = np.flatnonzero((at != 0) | (absolute == 0))
    now, limit = at[support], absolute[support]
    total = slope[support] + limit * np.sign(now)
    along = -_solved(H, support, total, proximal)
    if not np.isfinite(along).all():
        return True
    crossing = np.flatnonzero((now * (now + along) < 0) & (limit > 0))
    if len(crossing) == 0:
        step[support] += along
        return True
    bend = 0.0
    for a in range(len(support)):
        for b in range(len(support)):
            bend += along[a] * H[support[a], support[b]] * along[b]
    # Coefficients that keep their sign add to the slope; the others are counted one by one.
    rate = np.sum(along * total)
    for j in crossing:
        rate -= limit[j] * np.sign(now[j]) * along[j]
    share, chosen = _best_crossing(now, along, limit, crossing, rate, bend)
    if share == 0.0:
        return True
    step[support] += share * along
    if chosen < len(crossing):
        zero = support[crossing[chosen]]
        step[zero] = -theta[zero]
    return False


@compiled
def _best_crossing(now, along, limit, crossing, rate, bend):
    """Share of a direction that lowers a quadratic most, and which sign changes there (or none).

    Parameters
    ----------
    now, along, limit : ndarray of shape (k,)
        Coefficients, direction, and penalties of each unit of their size.
    crossing : ndarray of int
        Those that reach 0 on the way.
    rate, bend : float
        Slope without the penalty of those, and second derivative, along the direction.
    """
    best, lowest, chosen = 0.0, 0.0, len(crossing)
    for which in range(len(crossing) + 1):
        share = 1.0 if which == len(crossing) else -now[crossing[which]] / along[crossing[which]]
        change = share * rate + 0.5 * share**2 * bend
        for j in crossing:
            change += limit[j] * (abs(now[j] + share * along[j]) - abs(now[j]))
        if change < lowest:
            best, lowest, chosen = share, change, which
    return best, chosen


@compiled
def _model_value(H, gradient, theta, absolute, step):
    """Change of the quadratic model and its penalty by a step, and the size of its terms."""
    change, size = 0.0, 0.0
    for j in range(len(theta)):
        change += gradient[j] * step[j]
        change += absolute[j] * (abs(theta[j] + step[j]) - abs(theta[j]))
        size += abs(gradient[j] * step[j]) + absolute[j] * (abs(theta[j]) + abs(step[j]))
        for k in range(len(theta)):
            term = 0.5 * step[j] * H[j, k] * step[k]
            change += term
            size += abs(term)
    return change, size


@compiled
def _optimum_on_support(H, gradient, theta, absolute, step, trial, rounding):
    """Write the optimum with the signs of a step into `trial`; whether it is the optimum of all."""
    at = theta + step
    inside = (at != 0) | (absolute == 0)
    support = np.flatnonzero(inside)
    trial[:] = np.where(inside, 0.0, -theta)
    right = (gradient + H @ trial)[support] + absolute[support] * np.sign(at[support])
    solved = -_solved(H, support, right, 0.0)
    if not np.isfinite(solved).all():
        return False
    trial[support] = solved
    for j in support:
        if absolute[j] > 0 and np.sign(theta[j] + trial[j]) != np.sign(at[j]):
            return False
    slope = gradient + H @ trial
    # A support of dependent rows has a solution of 1e14, beside whose terms every condition holds.
    lowest, terms = _model_value(H, gradient, theta, absolute, step)
    value, noise = _model_value(H, gradient, theta, absolute, trial)
    if value + EPSILON * noise > lowest + rounding * terms:
        return False
    for j in range(len(theta)):
        size = abs(gradient[j]) + absolute[j]
        for k in range(len(theta)):
            size += abs(H[j, k]) * abs(trial[k])
        beyond = abs(slope[j]) - absolute[j]
        if inside[j]:
            beyond = abs(slope[j] + absolute[j] * np.sign(at[j]))
        if beyond > rounding * size:
            return False
    # What is left of a coefficient of 0 by the solve would be one more active column, perhaps
    # dependent on the others.
    weight = np.sqrt(np.abs(np.diag(H))) * np.abs(theta + trial)
    for j in support:
        if absolute[j] > 0 and weight[j] <= NOTHING * np.max(weight):
            trial[j] = -theta[j]
    return True
