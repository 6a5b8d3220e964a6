"""The optimum under an L1 penalty: Newton's method on quadratic models that keep the penalty.

A model's own optimum is found by coordinate descent until the signs no longer change, then exactly,
by one linear solve on the coefficients that are not 0; it is accepted if the optimality conditions
of all coefficients hold.
"""

import numpy as np

SWEEPS = 10  # of coordinate descent between two looks at the signs
MAX_ROUNDS = 200
# Change of a coordinate, relative to the largest, at which the descent ends.
STANDSTILL = 1e-14
# Share of the curvature that is added to it in the direction to the optimum with given signs.
PROXIMAL = 1e-10
# Violation of an optimality condition that is rounding, relative to the terms in it.
ROUNDING = 1e-11


def proximal_step(objective):
    """Step (K, q) to the optimum of the quadratic model that keeps the penalty, and its slope.

    Only coefficients that are not 0, or whose optimality condition at 0 is violated, are in it. The
    slope is the derivative of the losses along the step plus the change of the penalty, which is
    what a line search of such a step compares with (Tseng & Yun, Mathematical Programming 117,
    2009).
    """
    theta, penalty = objective.theta, objective.penalty
    chosen = objective.active | (objective.gradient != 0)
    columns = np.flatnonzero(chosen.any(axis=0))
    inside = chosen[:, columns]
    at = np.flatnonzero(inside)
    losses = objective.design.transpose_matmul(objective.residuals).T
    smooth = losses + penalty.hessian_diagonal * theta
    H = _hessian(objective, columns)[np.ix_(at, at)]
    absolute = np.broadcast_to(penalty.absolute, theta.shape)[:, columns].ravel()[at]
    start = theta[:, columns].ravel()[at]
    slope = smooth[:, columns].ravel()[at]
    found = solve_elastic_net(H, slope, start, absolute)
    step = np.zeros(theta.shape)
    part = np.zeros(inside.size)
    part[at] = found
    step[:, columns] = part.reshape(inside.shape)
    if not np.isfinite(step).all():
        raise np.linalg.LinAlgError("the curvature is not finite.")
    gain = slope @ found + absolute @ (np.abs(start + found) - np.abs(start))
    return step, float(gain)


def _hessian(objective, columns):
    """Curvature of some columns, (K c, K c), with a ridge in the null direction of the loss."""
    design, K = objective.design.restricted(columns), objective.n_outputs
    H = objective.loss_hessian(design)
    shape = (K, objective.design.shape[1])
    diagonal = np.broadcast_to(objective.penalty.hessian_diagonal, shape)[:, columns]
    H[np.diag_indices_from(H)] += diagonal.ravel()
    null = objective.loss.null_direction
    if null is not None:
        absolute = np.broadcast_to(objective.penalty.absolute, shape)[:, columns]
        free = (diagonal == 0).all(axis=0) & (absolute == 0).all(axis=0)
        scale = design.squared_columns(objective.weight_diagonals).mean(axis=0) * free
        H += np.kron(np.outer(null, null), np.diag(scale))
    return H


def solve_elastic_net(H, gradient, theta, absolute):
    """Minimise 1/2 d'H d + g'd + sum_j absolute_j |theta_j + d_j| over d, (m,).

    H is positive semidefinite; where it is singular, coordinate descent ends at one of the optima.
    """
    from skinfluence._kernels import elastic_net_sweeps

    H = np.ascontiguousarray(H)
    step, slope = np.zeros(len(theta)), gradient.copy()
    for _ in range(MAX_ROUNDS):
        exact = _on_support(H, gradient, theta, absolute, theta + step)
        if exact is not None:
            return exact
        size = np.sqrt(np.abs(H.diagonal())) * np.maximum(np.abs(theta), np.abs(step))
        largest = elastic_net_sweeps(H, slope, theta, absolute, step, SWEEPS)
        if largest <= STANDSTILL * size.max(initial=0.0):
            break
        step = _toward_support(H, gradient, theta, absolute, step)
        slope = gradient + H @ step
    return step


def _toward_support(H, gradient, theta, absolute, step):
    """Go from a step toward the optimum with its signs, to the best of the sign changes on the way.

    Feature-sign search (Lee, Battle, Raina & Ng 2007). Where columns are next to dependent a sweep
    takes the 1e-8th part of this; where they are dependent a small proximal term keeps the
    direction one of descent, along which the first coefficient to reach 0 is found.
    """
    at = theta + step
    support = np.flatnonzero((at != 0) | (absolute == 0))
    sign = np.sign(at[support])
    slope = (gradient + H @ step)[support]
    metric = H[np.ix_(support, support)]
    metric[np.diag_indices_from(metric)] *= 1.0 + PROXIMAL
    try:
        along = -np.linalg.solve(metric, slope + absolute[support] * sign)
    except np.linalg.LinAlgError:
        return step
    crossing = np.flatnonzero((at[support] * (at[support] + along) < 0) & (absolute[support] > 0))
    share = np.append(-at[support[crossing]] / along[crossing], 1.0)
    # Coefficients that keep their sign add to the slope; the others are counted one by one.
    kept = np.setdiff1d(np.arange(len(support)), crossing)
    rate = along @ slope + np.sum((absolute[support] * sign * along)[kept])
    bend = along @ H[np.ix_(support, support)] @ along
    turned = np.abs(at[support[crossing]] + share[:, None] * along[crossing])
    change = share * rate + 0.5 * share**2 * bend
    change += (turned - np.abs(at[support[crossing]])) @ absolute[support[crossing]]
    best = int(np.argmin(change))
    if not change[best] < 0:
        return step
    step = step.copy()
    step[support] += share[best] * along
    if best < len(crossing):
        step[support[crossing[best]]] = -theta[support[crossing[best]]]
    return step


def _on_support(H, gradient, theta, absolute, guess):
    """Step to the optimum with the signs of a guess; None unless it is the optimum of all."""
    support = (guess != 0) | (absolute == 0)
    sign = np.sign(guess[support])
    step = -theta.copy()
    off = step[~support]
    right = gradient[support] + absolute[support] * sign + H[np.ix_(support, ~support)] @ off
    try:
        step[support] = -np.linalg.solve(H[np.ix_(support, support)], right)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(step).all():
        return None
    after = theta[support] + step[support]
    if (np.sign(after) != sign)[absolute[support] > 0].any():
        return None
    slope = gradient + H @ step
    size = np.abs(gradient) + np.abs(H) @ np.abs(step) + absolute
    beyond = np.abs(slope) - absolute
    beyond[support] = np.abs(slope[support] + absolute[support] * sign)
    return step if (beyond <= ROUNDING * size).all() else None
