"""Where an unpenalised fit has no finite optimum: separable data, and rows whose loss makes it so.

A direction d of the parameters is one of recession if no row's loss rises along it, N_j d z_j >= 0
with the normals N_j of the loss. The optimum is finite and unique up to the null space if and only
if every such d leaves all N_j d z_j at 0; by Stiemke's lemma if and only if there are strictly
positive c_jr with sum_jr c_jr N_jr (x) z_j = 0. At an optimum the residuals are such c. After
deleting row i the *linearised* residuals g_j + W_j u_j of the Newton step u still sum to zero
exactly, so if they are all positive the deleted problem has its optimum: no refit, no linear
program.
"""

import numpy as np
from scipy.optimize import linprog

from skinfluence.curvature import make_curvature
from skinfluence.optimum import polish

# One minus a leverage under which the rank falls with the row: 1 - h is known to some n eps only.
RANK_LOST = 1e-10


def is_unpenalised(objective):
    """Whether no column is penalised: only then can deletions separate the data."""
    return objective.penalty.is_none


def is_separable(objective):
    """Whether the rows of positive weight admit a direction of recession, by a linear program."""
    if not is_unpenalised(objective):
        return False
    kept = np.flatnonzero(objective.sample_weight > 0)
    Z = objective.design.dense(kept)
    Z /= np.maximum(np.abs(Z).max(axis=0, initial=0.0), np.finfo(float).tiny)
    normals = objective.loss.recession_cone_normals(objective.y[kept])  # (n, R, K)
    A = np.einsum("irk,ij->irkj", normals, Z).reshape(-1, normals.shape[2] * Z.shape[1])
    gain = A.sum(axis=0)
    result = linprog(-gain, A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs")
    return bool(result.status == 0 and -result.fun > 1e-7 * max(1.0, np.abs(A).max()))


def last_rows_of_a_class(objective):
    """Mask of the rows that are the last of positive weight of a kind that must not run out.

    A row that is the last of all is one of them, whatever the loss.
    """
    live = objective.sample_weight > 0
    last = live & (np.count_nonzero(live) == 1)
    kind = _required_class(objective)
    if kind is None:
        return last
    positive = live & (kind >= 0)
    counts = np.bincount(kind[positive], minlength=kind.max(initial=0) + 1)
    return last | (positive & (counts[kind] == 1))


def lost_a_class(objective):
    """Whether such a kind has run out, or no row is left."""
    kind = _required_class(objective)
    if kind is None or not (objective.sample_weight > 0).any():
        return not (objective.sample_weight > 0).any()
    wanted = np.unique(kind[kind >= 0])
    return len(np.setdiff1d(wanted, kind[objective.sample_weight > 0])) > 0


def _required_class(objective):
    """Code of each row, -1 for those that may go; None where the penalty holds every column."""
    kind = objective.loss.required_classes(objective.y)
    if kind is None or objective.loss.n_classes:
        return kind
    return kind if objective.free_intercepts[-1] else None


def undefined_rows(objective, curvature, leverage, multipliers, rows):
    """Mask over `rows` of those whose deletion leaves no optimum (or no class) behind.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    leverage : Leverage of `rows`
    multipliers : ndarray of shape (len(rows), K)
        v with the Newton steps H^-1 (v_i (x) z_i).
    rows : ndarray of int
    """
    undefined = last_rows_of_a_class(objective)[rows]
    # With damping the caller has asked for steps in a metric of their own, not for a refit.
    if not is_unpenalised(objective) or curvature.damping > 0:
        return undefined
    if objective.loss.is_coercive:
        one_minus = np.linalg.eigvalsh(leverage.one_minus)[:, 0]
        lost = (one_minus <= RANK_LOST) & (objective.sample_weight[rows] > 0)
        if lost.any() and not objective.loss.is_quadratic:
            # Such a curvature says who holds the fit just now, not what has full rank.
            squared = make_curvature(objective.least_squares()).leverage(rows[lost])
            lost[lost] = squared.one_minus[:, 0, 0] <= RANK_LOST
        return undefined | lost
    suspects = ~undefined & (objective.sample_weight[rows] > 0)
    suspects &= ~_safe_a_priori(objective, curvature, leverage, multipliers)
    for position in np.flatnonzero(suspects):
        undefined[position] = not (
            _safe_by_residuals(objective, curvature, multipliers[position], rows[position])
            or has_optimum(objective.without(rows[position]))
        )
    return undefined


def _safe_a_priori(objective, curvature, leverage, multipliers):
    """Mask of rows whose longest possible change of any residual is below that residual."""
    A = curvature.leverage().quadratic
    reach = np.sqrt(np.maximum(np.linalg.eigvalsh(A)[:, -1], 0.0))
    residuals = objective.loss.recession_multipliers(objective.y, objective.residuals)
    slopes = np.stack(
        [
            objective.loss.recession_multipliers(objective.y, objective.weights[:, :, k])
            for k in range(objective.n_outputs)
        ],
        axis=2,
    )
    positive = objective.sample_weight > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.linalg.norm(slopes, axis=2).max(axis=1) * reach / residuals.min(axis=1)
    step = np.sqrt(
        np.maximum(np.einsum("ik,ikl,il->i", multipliers, leverage.quadratic, multipliers), 0)
    )
    return step * np.max(ratio[positive], initial=0.0) < 1.0


def _safe_by_residuals(objective, curvature, multiplier, row):
    """Whether the linearised residuals after this row's Newton step all keep their sign."""
    if not np.isfinite(multiplier).all():
        return False
    right = objective.design.outer(multiplier[None, :], np.array([row]))
    step = curvature.solve(right.T).reshape(objective.theta.shape)
    change = objective.design @ step.T
    linearised = objective.residuals + np.einsum("ikl,il->ik", objective.weights, change)
    others = objective.sample_weight > 0
    others[row] = False
    kept = objective.loss.recession_multipliers(objective.y, linearised)[others]
    return bool((kept > 0).all()) and _sums_to_zero(objective, linearised, row)


def _sums_to_zero(objective, linearised, row):
    """Whether the linearised residuals of the other rows do sum to zero, as theory says.

    They do not where the leverage of the row is 1 to rounding: its deletion drops the rank.
    """
    left = linearised.copy()
    left[row] = 0.0
    total = objective.design.transpose_matmul(left).T
    scale = objective.design.absolute_sum(left)
    return bool((np.abs(total) <= 1e-6 * scale).all())


def has_optimum(objective):
    """Whether there is an optimum: Newton finds it, or no direction of recession exists."""
    optimum = polish(objective, max_steps=30)
    if optimum.converged:
        return True
    return not optimum.failure and not is_separable(objective)
