"""Whether an unpenalised fit has a finite optimum: separable data, rank, classes that run empty.

A direction d of the parameters is a direction of recession if no row's loss rises along it, that is
N_j d z_j >= 0 with the normals N_j of the loss. The optimum is finite and unique up to the null
space if and only if N_j d z_j = 0 for every such d; by Stiemke's lemma if and only if there are
strictly positive c_jr with sum_jr c_jr N_jr (x) z_j = 0. At an optimum the residuals are such c.
After the deletion of row i the *linearised* residuals g_j + W_j u_j of the Newton step u still sum
to zero exactly, so if all of them give positive c, the problem without row i has an optimum: no
refit and no linear program is needed. In a saturated cell (all rows of one value of a factor, say)
they are zero without the last row of a class, and rounding gives them either sign: a linear program
decides, in the directions that are orthogonal to all rows whose c is clearly positive.
"""

import numpy as np
from scipy.optimize import linprog

from skinfluence._backend import symmetric_eigenvalues
from skinfluence._parallel import row_blocks
from skinfluence.curvature import make_curvature
from skinfluence.optimum import polish

# A row with 1 - h below this has leverage 1: its deletion lowers the rank of the columns. The
# rounding error of 1 - h is some n eps, below 1e-10 up to n of about 400,000.
RANK_LOST = 1e-10
# A multiplier below this share of the largest residual may be zero but for rounding.
CLEAR = 1e-6
# Residuals sum to zero if they do to this share of their norm, in columns of size 1.
BALANCED = 1e-9
# Share of its size under which the sum of squares along a direction is zero but for rounding.
FLAT = 1e-10
# Entries of a linear program, at most: a larger one is not asked.
LARGEST_PROGRAM = 4_000_000
# Entries of one that takes less time than Newton's method: milliseconds.
SMALL_PROGRAM = 20_000


def is_unpenalised(objective):
    """Whether no column is penalised; only then can a deletion make the data separable."""
    return objective.penalty.is_none


def is_separable(objective, residuals=None):
    """Whether the rows of positive weight have a direction of recession, by a linear program.

    It maximises sum_jr N_jr d z_j over directions of recession d in a box: positive if and only if
    some row's loss falls along one of them.

    Parameters
    ----------
    objective : Objective
    residuals : ndarray of shape (n, K), optional
        Of an optimum, or linearised ones. If they sum to zero with multipliers c >= 0, any
        direction of recession has N_jr d z_j = 0 wherever c_jr > 0: the program is asked in those
        directions alone, mostly none, and about the other rows alone, mostly few.
    """
    if not is_unpenalised(objective):
        return False
    kept, K = np.flatnonzero(objective.sample_weight > 0), objective.n_outputs
    positive = (objective.sample_weight > 0).astype(float)
    scale = np.sqrt(objective.design.squared_columns(np.tile(positive[:, None], K))).ravel()
    scale[scale == 0] = 1.0
    clear = _clear_multipliers(objective, residuals, kept)
    if clear is not None:
        basis = _orthogonal_directions(objective, kept, clear, scale)
        some = ~clear.all(axis=1)
        direction = _recession(objective, kept[some], ~clear[some], scale, basis)
        if direction is None or _is_level(objective, kept, clear, direction):
            return direction is not None
    everything = np.ones((len(kept), _n_normals(objective)), dtype=bool)
    return _recession(objective, kept, everything, scale) is not None


def has_unclear_multipliers(objective):
    """Whether some row's residual is next to nothing beside the others': its predictor is large."""
    kept = np.flatnonzero(objective.sample_weight > 0)
    clear = _clear_multipliers(objective, objective.residuals, kept)
    return clear is None or not clear.all()


def _n_normals(objective):
    """Number of normals of a row's recession cone."""
    return objective.loss.recession_cone_normals(objective.y[:1]).shape[1]


def _clear_multipliers(objective, residuals, kept):
    """Mask (m, R) of positive multipliers; None where they are not >= 0 or do not sum to zero."""
    if residuals is None or not np.isfinite(residuals[kept]).all():
        return None
    among = np.zeros_like(residuals)
    among[kept] = residuals[kept]
    squares = objective.design.squared_columns((among != 0).astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        misfit = np.abs(objective.design.transpose_matmul(among).T) / np.sqrt(squares)
    multipliers = objective.loss.recession_multipliers(objective.y, residuals)[kept]
    terms = objective.residual_terms[kept]
    size = max(np.abs(among).max(initial=0.0), terms.max(initial=0.0))
    balanced = np.nan_to_num(misfit).max(initial=0.0) <= BALANCED * np.linalg.norm(terms)
    if not balanced or multipliers.min(initial=0.0) < -CLEAR * size:
        return None
    return multipliers > CLEAR * size


def _orthogonal_directions(objective, kept, clear, scale):
    """Basis (P, m), in scaled coordinates, of the directions with N_jr d z_j = 0 where clear."""
    loss, K = objective.loss, objective.n_outputs

    def parts():
        for part in row_blocks(len(kept), 8 * K * (K + clear.shape[1])):
            normals = loss.recession_cone_normals(objective.y[kept[part]])
            normals = normals * clear[part][:, :, None]
            yield kept[part], np.matmul(normals.transpose(0, 2, 1), normals)

    gram = objective.design.sandwich_of(parts(), K) / np.multiply.outer(scale, scale)
    values, vectors = np.linalg.eigh(gram)
    return vectors[:, values <= FLAT]


def _recession(objective, rows, wanted, scale, basis=None):
    """Direction of recession (K, q) of some rows along which the loss of one falls; None if none.

    Parameters
    ----------
    objective : Objective
    rows : ndarray of int, shape (m,)
    wanted : ndarray of bool, shape (m, R)
        Which of each row's normals.
    scale : ndarray of shape (P,)
        Sizes of the columns.
    basis : ndarray of shape (P, d), optional
        Of the directions among which to look; all by default.
    """
    n_directions = len(scale) if basis is None else basis.shape[1]
    if not n_directions or wanted.sum() * n_directions > LARGEST_PROGRAM:
        return None
    normals = objective.loss.recession_cone_normals(objective.y[rows])  # (m, R, K)
    A = np.einsum("irk,ij->irkj", normals, objective.design.dense(rows))
    A = A[wanted].reshape(int(wanted.sum()), len(scale)) / scale
    size = np.linalg.norm(A, axis=1)
    A = A if basis is None else A @ basis
    # Each inequality is scaled to size 1; one whose row is rounding holds everywhere.
    length = np.linalg.norm(A, axis=1)
    felt = length > 1e-9 * size
    A = A[felt] / length[felt, None]
    gain = A.sum(axis=0)
    # A gain below HiGHS's own tolerance, 1e-7, counts as 0.
    result = linprog(-gain, A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs")
    if result.status != 0 or not -result.fun > 1e-7 * max(1.0, np.abs(A).max(initial=0.0)):
        return None
    direction = result.x if basis is None else basis @ result.x
    return (direction / scale).reshape(objective.theta.shape)


def _is_level(objective, kept, clear, direction):
    """Whether a direction is orthogonal to all rows of clear multipliers, not only nearly."""
    change = (objective.design @ direction.T)[kept]
    normals = objective.loss.recession_cone_normals(objective.y[kept])
    along = np.abs(np.matmul(normals, change[:, :, None])[:, :, 0])
    return bool(along[clear].max(initial=0.0) <= 1e-6 * along.max(initial=0.0))


def last_rows_of_a_class(objective):
    """Mask of the rows that are the last of positive weight in a required class, or of all."""
    return last_of_a_class(objective, objective.class_counts)


def last_of_a_class(objective, counts):
    """Mask of rows that are the last, where there are so many of each class and in all."""
    if (counts != 1).all():
        return np.zeros(objective.n_rows, dtype=bool)
    live = objective.sample_weight > 0
    kind = objective.required_class()
    last = live & (counts[-1] == 1)
    if kind is None:
        return last
    return last | (live & (kind >= 0) & (counts[:-1][kind] == 1))


def lost_a_class(objective, before=None):
    """Whether a required class, of the objective `before` a change, has no weight."""
    kind, live = objective.required_class(), objective.sample_weight > 0
    if kind is None:
        return not live.any()
    left = np.bincount(kind[live & (kind >= 0)])
    wanted = np.ones(1, dtype=int)
    if objective.loss.n_classes:
        present = kind if before is None else before.required_class()
        wanted = np.bincount(present[present >= 0])
    left = np.pad(left, (0, max(0, len(wanted) - len(left))))
    return bool(((wanted > 0) & (left[: len(wanted)] == 0)).any())


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
    suspects = ~undefined & (objective.sample_weight[rows] > 0)
    if objective.loss.is_coercive:
        one_minus = symmetric_eigenvalues(leverage.one_minus)[:, 0]
        suspects &= one_minus <= RANK_LOST
        # Rows without curvature (beyond a kink, outliers) still count for the rank of the columns.
        if not objective.loss.is_quadratic:
            suspects[suspects] = _lose_rank(objective, rows[suspects])
        return undefined | suspects
    everything = len(rows) == objective.n_rows and np.array_equal(rows, np.arange(len(rows)))
    all_leverages = leverage if everything else curvature.leverage()
    suspects &= ~_safe_a_priori(objective, all_leverages, leverage, multipliers)
    undefined[suspects] = _lose_rank(objective, rows[suspects])
    for position in np.flatnonzero(suspects & ~undefined):
        undefined[position] = not _has_optimum_without(
            objective, curvature, multipliers[position], rows[position]
        )
    return undefined


def _lose_rank(objective, rows):
    """Mask over rows: the columns lose their rank without the row. By least squares."""
    if not len(rows):
        return np.zeros(0, dtype=bool)
    squared = make_curvature(objective.least_squares()).leverage(rows)
    return squared.one_minus[:, 0, 0] <= RANK_LOST


def _safe_a_priori(objective, all_leverages, leverage, multipliers):
    """Mask of rows whose deletion cannot change the sign of any linearised residual.

    By the Cauchy-Schwarz inequality in the metric of H: the step of row i has the length
    s_i = sqrt(v_i' A_i v_i), and moves the predictor of row j by at most s_i sqrt(a_j).
    """
    A = all_leverages.quadratic
    row_norm = np.sqrt(np.maximum(symmetric_eigenvalues(A)[:, -1], 0.0))
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
    # In a saturated cell the product is 1 exactly.
    return step * np.max(ratio[positive], initial=0.0) < 0.999


def _has_optimum_without(objective, curvature, multiplier, row):
    """Whether an optimum exists without one row: by its linearised residuals, or by has_optimum."""
    rest = objective.without(row)
    if np.isfinite(multiplier).all():
        right = objective.design.outer(multiplier[None, :], np.array([row]))
        step = curvature.solve(right.T).reshape(objective.theta.shape)
        change = objective.design @ step.T
        linearised = objective.residuals + objective.weights_matmul(change[:, :, None])[:, :, 0]
        kept = np.flatnonzero(rest.sample_weight > 0)
        if _clear_multipliers(rest, linearised, kept) is not None:
            return not is_separable(rest, linearised)
    return has_optimum(rest)


def has_optimum(objective):
    """Whether an optimum exists: the columns have full rank, and no direction of recession."""
    try:
        make_curvature(objective.least_squares(), "dense")
    except np.linalg.LinAlgError:
        return False
    if objective.loss.is_coercive:
        return True
    n_inequalities = objective.n_rows * _n_normals(objective)
    if n_inequalities * objective.n_parameters <= SMALL_PROGRAM:
        return not is_separable(objective)
    end = polish(objective, max_steps=30).objective
    return not is_separable(end, end.residuals)
