r"""A lower bound for least squares and ridge of any size, from sums of sorted products.

With c = X H^-1 c_0, the residuals e and the leverages h, rows times the roots of their weights, the
removal of S changes c_0'theta by c_S'(I - H_SS)^-1 e_S = c_S'e_S + c_S'H_SS (I - H_SS)^-1 e_S. The
first term is at most the sum of the |S| largest products. The second is at most the product of the
lengths of X_S'c_S and X_S'e_S in the metric of H^-1, each at most a sum over the units of S, over
1 - lambda, lambda the largest eigenvalue of H_SS; or lambda times the lengths of c_S and e_S.
lambda is at most the sum of those of the units' own blocks. For a unit that is a group of rows its
products, lengths and eigenvalues are the group's.
"""

import numpy as np

from skinfluence.losses import SquaredLoss
from skinfluence.penalties import L2

# Share by which bounds are raised, more than the rounding of the sums in them.
SLACK = 1e-9


def is_covered(objective):
    """Whether the bound holds: least squares with one output, with a ridge penalty or without."""
    plain = type(objective.loss) is SquaredLoss and objective.n_outputs == 1
    return plain and type(objective.penalty) is L2 and objective.row_penalty is None


def sorted_sums(objective, curvature, contrast, units, margin):
    """Return the least number of units whose bound reaches the margin: no fewer flip the contrast.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
        At the optimum, without damping.
    contrast : Contrast
    units : list of ndarray
    margin : float
        Distance from the level.
    """
    root = np.sqrt(objective.sample_weight)
    v = curvature.solve(contrast.sign * contrast.c.reshape(-1, 1))[:, 0]
    c, e = root * (objective.design @ v), -root * objective.row_gradients[:, 0]
    if max((len(unit) for unit in units), default=0) == 1:
        rows = np.concatenate(units)
        h = 1.0 - curvature.leverage().one_minus[:, 0, 0][rows]
        c, e, h = c[rows], e[rows], np.maximum(h, 0.0)
        parts = c * e, np.sqrt(h) * np.abs(c), np.sqrt(h) * np.abs(e), h, c**2, e**2
    else:
        parts = _of_groups(objective, curvature, root, c, e, units)
    product, c_length, e_length, h, c_square, e_square = (_top(part) for part in parts)
    rest = np.minimum(c_length * e_length, h * np.sqrt(c_square * e_square))
    noise = len(e) * np.finfo(float).eps / (curvature.rcond or 1.0)
    gap = 1.0 - h
    gap = np.where(gap > max(noise, 1e-12), gap, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = product + np.where(rest > 0, rest / gap, 0.0)
    reached = np.flatnonzero(~(bound * (1.0 + SLACK) < margin))
    return int(reached[0]) + 1 if len(reached) else len(units)


def _top(values):
    """Sums of the k largest of values (r,), for k = 1, ..., r; negative ones count as 0."""
    return np.cumsum(np.sort(np.maximum(values, 0.0))[::-1])


def _of_groups(objective, curvature, root, c, e, units):
    """Products, lengths and eigenvalues of groups of rows, six arrays (r,)."""
    found = np.empty((6, len(units)))
    for position, unit in enumerate(units):
        Z = objective.design.dense(unit) * root[unit, None]
        solved = curvature.solve(Z.T)
        block = Z @ solved
        both = np.column_stack([c[unit], e[unit]])
        lengths = np.sqrt(np.maximum(np.einsum("ik,ij,jk->k", both, block, both), 0.0))
        eigenvalue = max(float(np.linalg.eigvalsh(0.5 * (block + block.T))[-1]), 0.0)
        squares = (both**2).sum(axis=0)
        found[:, position] = (c[unit] @ e[unit], *lengths, eigenvalue, *squares)
    return found
