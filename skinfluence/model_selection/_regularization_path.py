"""The leave-one-out loss along a regularisation path, and its exact derivative."""

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence._parallel import map_ordered, row_blocks
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import DeletedCurvature, Exact, OneStep, conjugate_gradients
from skinfluence.model_selection._means import weighted_mean
from skinfluence.objective import Objective
from skinfluence.optimum import polish

# Tolerance of the residual of the linear systems of "exact", relative to their right-hand side.
TOLERANCE = 1e-10
MAX_ITERATIONS = 100
# Tolerance of the coefficients of its refits, relative to `Objective.coefficient_unit`.
REFIT_TOLERANCE = 1e-10
BLOCK_DELETIONS = 256
# Largest number of Newton steps from one point of the path to the next; few are needed in practice.
MAX_STEPS = 100


class LeaveOneOutPath:
    """Mean leave-one-out loss as a function of t = log s, the log of a factor of the penalty.

    F(theta, t) = sum_i w_i l_i(theta) + e^t R(theta). With D the diagonal of e^t R'',

        theta' = -H^-1 D theta                                        (implicit differentiation),

    from which the derivatives of the predictors eta_-i follow: `newton_slope` and `exact_slope`.

    Parameters
    ----------
    objective : Objective
        Objective at its optimum, t = 0. Its curvature is factored densely, so it should have no
        more columns than rows.
    weight : ndarray of shape (n,)
        Weights of the rows in the mean.
    method : {"newton", "exact"}
    """

    def __init__(self, objective, weight, method):
        self.objective, self.method = objective, method
        self.weight = weight
        self.known = {0.0: objective.theta}

    def at(self, t):
        """Objective at t and its optimum, which is computed from the nearest known optimum."""
        nearest = min(self.known, key=lambda known: abs(known - t))
        start = _strengthened(self.objective, np.exp(t)).at(self.known[nearest])
        optimum = polish(start, max_steps=MAX_STEPS, kind="dense")
        if not optimum.converged and not optimum.stalled:
            raise np.linalg.LinAlgError(
                optimum.failure
                or f"Newton's method did not find the optimum at a penalty {np.exp(t):.3g} times "
                "that of the start. Scale the columns of X, or use narrower bounds."
            )
        self.known[t] = optimum.objective.theta
        return optimum.objective

    def evaluate(self, t):
        """Return (mean loss, its derivative in t, its standard error)."""
        objective = self.at(t)
        curvature = DenseCurvature(objective)
        slope = newton_slope if self.method == "newton" else exact_slope
        eta, d_eta = slope(objective, curvature)
        used = ~np.isnan(eta).any(axis=1)
        y, native = objective.y[used], objective.native(eta[used])
        gradient = objective.loss.gradient(y, native).reshape(-1, objective.n_outputs)
        weight = self.weight[used]
        mean, error = weighted_mean(objective.loss.value(y, native), weight)
        derivative = weight @ np.sum(gradient * d_eta[used], axis=1) / weight.sum()
        return mean, float(derivative), error


def _strengthened(objective, factor):
    """Return the objective with a penalty `factor` times as strong."""
    penalty = objective.penalty.times(factor)
    return Objective(
        objective.loss,
        objective.design,
        objective.y,
        objective.sample_weight,
        penalty,
        objective.theta,
        offset=objective.offset,
    )


def newton_slope(objective, curvature):
    """Predictors of the Newton step without each row, and their derivative in t: (n, K) both.

    With A_i the leverage block, v_i = (I - W_i A_i)^-1 g_i and eta_-i = eta_i + A_i v_i; ' is the
    derivative in t, T the third derivative of the weighted loss:

        eta' = Z theta',   g' = W eta',   W' = T eta',   H' = sum_i W'_i (x) z_i z_i' + D,
        A' = -(I (x) z)' H^-1 H' H^-1 (I (x) z),
        v' = (I - W A)^-1 (g' + (W' A + W A') v),   eta_-i' = eta' + A' v + A v'.
    """
    design, K = objective.design, objective.n_outputs
    one_step = OneStep(objective, curvature, np.arange(objective.n_rows), corrected=True)
    A, v, W = one_step.leverage.quadratic, one_step.multipliers, objective.weights
    strength = objective.hessian_diagonal
    inverse = curvature.inverse()
    slope = -(inverse @ (strength * objective.theta.ravel())).reshape(objective.theta.shape)
    d_eta = design @ slope.T
    third = objective.loss.third(objective.y, objective.native(objective.eta))
    third = objective.weigh(third.reshape(-1, K, K, K))
    d_W = np.einsum("iklm,im->ikl", third, d_eta)
    d_H = design.sandwich(d_W) + np.diag(strength)
    d_A = -design.block_quadratic(inverse @ d_H @ inverse, K)
    inner = apply_blocks(W, d_eta) + apply_blocks(d_W, apply_blocks(A, v))
    inner += apply_blocks(W, apply_blocks(d_A, v))
    # (I - W A)^-1 = I + L (I - L'A L)^-1 L'A.
    L = objective.weight_roots
    lifted = apply_blocks(L.transpose(0, 2, 1), apply_blocks(A, inner))
    d_v = inner + apply_blocks(L, solve_blocks(one_step.leverage.one_minus, lifted))
    eta = objective.eta + apply_blocks(A, v)
    d_left = d_eta + apply_blocks(d_A, v) + apply_blocks(A, d_v)
    eta[one_step.undefined] = np.nan
    return eta, d_left


def exact_slope(objective, curvature):
    """Predictors of the refits without each row, and their derivative in t: (n, K) both.

    Each refit has its own curvature H_-i at its own theta_-i: eta_-i' = -Z_i H_-i^-1 D theta_-i.
    """
    n, K = objective.n_rows, objective.n_outputs
    deletion = Exact(objective, curvature, np.arange(n), tolerance=REFIT_TOLERANCE)
    eta = objective.eta + deletion.own_change()
    d_eta = np.full((n, K), np.nan)
    defined = np.flatnonzero(~np.isnan(eta).any(axis=1))

    def slopes(part):
        rows = defined[part]
        steps = np.concatenate([deletion.steps(slice(i, i + 1)) for i in rows])
        solved = _solve_deleted(objective, curvature, rows, objective.theta + steps)
        return -np.einsum("bkj,bj->bk", solved, objective.design.dense(rows))

    parts = row_blocks(len(defined), 8 * n * K * (4 + 2 * K), at_most=BLOCK_DELETIONS)
    for part, slope in zip(parts, map_ordered(slopes, parts), strict=True):
        d_eta[defined[part]] = slope
    return eta, d_eta


def _solve_deleted(objective, curvature, rows, theta):
    """H_-i(theta_i)^-1 D theta_i for a block of rows and their theta (b, K, q).

    Conjugate gradients for all rows at once, preconditioned by the inverse curvature of the full
    fit, which differs little from the curvatures without single rows. Rows that do not converge are
    solved by a factor of their own curvature.
    """
    K, b = objective.n_outputs, len(rows)
    deleted = DeletedCurvature(curvature, objective, objective.design.predictors_of(theta), rows)
    right = (objective.penalty.hessian_diagonal * theta).reshape(b, -1)
    inverse = curvature.inverse()
    X = conjugate_gradients(
        deleted, right, lambda V, _: V @ inverse, TOLERANCE, max_iterations=MAX_ITERATIONS
    )
    R = right - deleted.matmul(X)
    squared = np.einsum("bj,bj->b", R, R @ inverse)
    goal = TOLERANCE**2 * np.einsum("bj,bj->b", right, right @ inverse)
    X = X.reshape(b, K, -1)
    for position in np.flatnonzero(squared > 1e4 * goal):
        own = DenseCurvature(objective.without(rows[position]).at(theta[position]))
        X[position] = own.solve(right[position][:, None]).reshape(K, -1)
    return X
