"""The optimum under an L1 penalty: Newton's method on quadratic models that keep the penalty.

A model's own optimum is found by coordinate descent until the signs stand still, then exactly, by
one linear solve on the coefficients that are not 0, which the optimality conditions of all confirm.
"""

import numpy as np

from skinfluence.optimum._newton import Optimum, line_search

SWEEPS = 10  # of coordinate descent between two looks at the signs
MAX_ROUNDS = 200
# Change of a coordinate, relative to the largest, at which the descent has arrived.
STANDSTILL = 1e-14
# Violation of an optimality condition that is rounding, relative to the terms in it.
ROUNDING = 1e-11


def polish_active_set(objective, *, max_steps, tolerance):
    """Take proximal Newton steps until the shortest subgradient vanishes."""
    for n_steps in range(max_steps + 1):
        if objective.stationarity <= tolerance:
            return Optimum(objective, n_steps, True)
        if n_steps == max_steps:
            break
        step, slope = _proximal_step(objective)
        if not np.isfinite(step).all():
            return Optimum(objective, n_steps, False, failure="the curvature is not finite.")
        moved = line_search(objective, step, slope)
        if moved is None:
            return Optimum(objective, n_steps, False, stalled=True)
        objective = moved
    return Optimum(objective, max_steps, False)


def _proximal_step(objective):
    """Step (K, q) to the optimum of the quadratic model, and what the model gains at first.

    Coefficients of 0 whose condition holds stay out of it; they come in when they are violated.
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
    gain = slope @ found + absolute @ (np.abs(start + found) - np.abs(start))
    return step, float(gain)


def _hessian(objective, columns):
    """Curvature of some columns, (K c, K c), without what is flat in the gauge."""
    design, K = objective.design.restricted(columns), objective.n_outputs
    H = design.sandwich(objective.weights)
    shape = (K, objective.design.shape[1])
    diagonal = np.broadcast_to(objective.penalty.hessian_diagonal, shape)[:, columns]
    H[np.diag_indices_from(H)] += diagonal.ravel()
    null = objective.loss.null_direction
    if null is not None:
        absolute = np.broadcast_to(objective.penalty.absolute, shape)[:, columns]
        free = (diagonal == 0).all(axis=0) & (absolute == 0).all(axis=0)
        scale = design.squared_columns(objective.weights).mean(axis=0) * free
        H += np.kron(np.outer(null, null), np.diag(scale))
    return H


def solve_elastic_net(H, gradient, theta, absolute):
    """Minimise 1/2 d'H d + g'd + sum_j absolute_j |theta_j + d_j| over d, (m,).

    H is positive semidefinite; where it is singular the descent's limit is one of the optima.
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
    return step


def _on_support(H, gradient, theta, absolute, guess):
    """Step to the optimum with the signs of a guess, if they and all conditions hold there."""
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
