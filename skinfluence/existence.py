"""Whether an unpenalised fit has a finite optimum: separable data, rank, classes that run empty.

A direction d of the parameters is a direction of recession if no row's loss rises along it, that is
N_j d z_j >= 0 with the normals N_j of the loss. The optimum is finite and unique up to the null
space if and only if N_j d z_j = 0 for every such d; by Stiemke's lemma if and only if there are
strictly positive c_jr with sum_jr c_jr N_jr (x) z_j = 0. At an optimum the residuals are such c.
After the deletion of row i the *linearised* residuals g_j + W_j u_j of the Newton step u still sum
to zero exactly, so if all of them give positive c, the problem without row i has an optimum: no
refit and no linear program is needed.
"""

import numpy as np
from scipy.optimize import linprog

from skinfluence.curvature import make_curvature
from skinfluence.optimum import polish

# A row with 1 - h below this has leverage 1: its deletion lowers the rank of the columns. The
# rounding error of 1 - h is some n eps, below 1e-10 up to n of about 400,000.
RANK_LOST = 1e-10


def is_unpenalised(objective):
    """Whether no column is penalised; only then can a deletion make the data separable."""
    return objective.penalty.is_none


def is_separable(objective):
    """Whether the rows of positive weight have a direction of recession, by a linear program.

    It maximises sum_jr N_jr d z_j over directions of recession d in a box: positive if and only if
    some row's loss falls along one of them.
    """
    if not is_unpenalised(objective):
        return False
    kept = np.flatnonzero(objective.sample_weight > 0)
    Z = objective.design.dense(kept)
    Z /= np.maximum(np.abs(Z).max(axis=0, initial=0.0), np.finfo(float).tiny)
    normals = objective.loss.recession_cone_normals(objective.y[kept])  # (n, R, K)
    A = np.einsum("irk,ij->irkj", normals, Z).reshape(-1, normals.shape[2] * Z.shape[1])
    gain = A.sum(axis=0)
    # Columns and d are scaled to at most 1: a gain below HiGHS's own tolerance, 1e-7, counts as 0.
    result = linprog(-gain, A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs")
    return bool(result.status == 0 and -result.fun > 1e-7 * max(1.0, np.abs(A).max()))


def last_rows_of_a_class(objective):
    """Mask of the rows that are the last of positive weight in a required class."""
    kind = _required_class(objective)
    if kind is None:
        return np.zeros(objective.n_rows, dtype=bool)
    positive = (objective.sample_weight > 0) & (kind >= 0)
    counts = np.bincount(kind[positive], minlength=kind.max(initial=0) + 1)
    return positive & (counts[kind] == 1)


def lost_a_class(objective, before=None):
    """Whether a required class, of the objective `before` a change, has no weight."""
    kind = _required_class(objective)
    if kind is None:
        return False
    present = kind if before is None else _required_class(before)
    wanted = np.unique(present[present >= 0]) if objective.loss.n_classes else [0]
    return len(np.setdiff1d(wanted, kind[objective.sample_weight > 0])) > 0


def _required_class(objective):
    """Code of each row, -1 for those that may go; None where the penalty holds every column.

    An unpenalised intercept (or a scale) asks for one row at least, of whatever kind.
    """
    kind = objective.loss.required_classes(objective.y)
    if objective.loss.n_classes:
        return kind
    if not objective.free_intercepts[-1]:
        return None
    return np.zeros(objective.n_rows, dtype=int) if kind is None else kind


def undefined_rows(objective, curvature, leverage, multipliers, rows):
    """Mask over `rows`: without the row there is no optimum, or a required class is empty.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    leverage : Leverage of `rows`
    multipliers : ndarray of shape (len(rows), K)
        Multipliers v_i of the Newton steps H^-1 (v_i (x) z_i).
    rows : ndarray of int
    """
    undefined = last_rows_of_a_class(objective)[rows]
    # With damping the step is not an estimate of a refit, and is defined without one.
    if not is_unpenalised(objective) or curvature.damping > 0:
        return undefined
    if objective.loss.is_coercive:
        one_minus = np.linalg.eigvalsh(leverage.one_minus)[:, 0]
        lost = (one_minus <= RANK_LOST) & (objective.sample_weight[rows] > 0)
        if lost.any() and not objective.loss.is_quadratic:
            # Rows without curvature (beyond a kink, outliers) still count for the rank of the
            # columns: it is that of the least-squares problem with the same rows.
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
    """Mask of rows whose deletion cannot change the sign of any linearised residual.

    By the Cauchy-Schwarz inequality in the metric of H: the step of row i has the length
    s_i = sqrt(v_i' A_i v_i), and moves the predictor of row j by at most s_i sqrt(a_j).
    """
    A = curvature.leverage().quadratic
    row_norm = np.sqrt(np.maximum(np.linalg.eigvalsh(A)[:, -1], 0.0))
    residuals = objective.loss.recession_multipliers(objective.y, objective.residuals)
    steepest = np.empty(objective.n_rows)
    for part, rows in objective.weight_blocks():
        y, W = objective.y[rows], objective.weights_of(rows)
        slopes = [objective.loss.recession_multipliers(y, W[:, :, k]) for k in range(W.shape[1])]
        steepest[part] = np.linalg.norm(np.stack(slopes, axis=2), axis=2).max(axis=1)
    positive = objective.sample_weight > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = steepest * row_norm / residuals.min(axis=1)
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
    linearised = objective.residuals + objective.weights_matmul(change[:, :, None])[:, :, 0]
    others = objective.sample_weight > 0
    others[row] = False
    kept = objective.loss.recession_multipliers(objective.y, linearised)[others]
    return bool((kept > 0).all()) and _sums_to_zero(objective, linearised, row)


def _sums_to_zero(objective, linearised, row):
    """Whether the linearised residuals of the other rows sum to zero, as the theory says.

    They do not if the leverage of the row is 1 to rounding; then its deletion lowers the rank.
    """
    # The step is wrong by eps times the condition number of H: 1e-6 allows one of up to 5e9.
    left = linearised.copy()
    left[row] = 0.0
    total = objective.design.transpose_matmul(left).T
    scale = objective.design.absolute_sum(left)
    return bool((np.abs(total) <= 1e-6 * scale).all())


def has_optimum(objective):
    """Whether an optimum exists: Newton's method finds it, or no direction of recession exists."""
    optimum = polish(objective, max_steps=30)
    if optimum.converged:
        return True
    return not optimum.failure and not is_separable(objective)
