"""The optimum under an L1 penalty: Newton's method on quadratic models that keep the penalty.

A model's own optimum is found by coordinate descent until the signs no longer change, then exactly,
by one linear solve on the coefficients that are not 0; it is accepted if the optimality conditions
of all coefficients hold.
"""

import numpy as np

# Coefficients of a quadratic objective that are all in its model from the first step.
FEW = 256
SWEEPS = 10  # of coordinate descent between two looks at the signs
MAX_ROUNDS = 200
# Change of a coordinate, relative to the largest, at which the descent ends.
STANDSTILL = 1e-14
# Share of the curvature that is added to it in the direction to the optimum with given signs.
PROXIMAL = 1e-10
# Violation of an optimality condition that is rounding, relative to the terms in it.
ROUNDING = 1e-11


def has_exact_step(objective):
    """Whether the quadratic model of a step is the objective itself, with all coefficients."""
    small = objective.theta.size <= FEW
    return objective.penalty.is_kinked and objective.loss.is_quadratic and small


def proximal_step(objective):
    """Step (K, q) to the optimum of the quadratic model that keeps the penalty, and its slope.

    Only coefficients that are not 0, or whose optimality condition at 0 is violated, are in it. The
    slope is the derivative of the losses along the step plus the change of the penalty, which is
    what a line search of such a step compares with (Tseng & Yun, Mathematical Programming 117,
    2009).
    """
    theta, penalty = objective.theta, objective.penalty
    chosen = objective.active | (objective.gradient != 0)
    if has_exact_step(objective):
        # With all coefficients in the model one step is enough.
        chosen = ~np.broadcast_to(penalty.fixed_at_zero, theta.shape)
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
    from skinfluence._kernels import elastic_net_optimum

    step = np.zeros(len(theta))
    if len(step):
        elastic_net_optimum(
            np.ascontiguousarray(H),
            np.ascontiguousarray(gradient),
            np.ascontiguousarray(theta),
            np.ascontiguousarray(absolute),
            step,
            MAX_ROUNDS,
            SWEEPS,
            STANDSTILL,
            PROXIMAL,
            ROUNDING,
        )
    return step
