"""Exact answers by sorting: one parameter, and designs whose fitted values are means of cells."""

import numpy as np

from skinfluence.losses import SquaredLoss

# Distinct rows of a design, at most, that are compared with its columns.
MAX_CELLS = 50
# Removals, at most, that are shared out between more than two cells.
MAX_SHARED = 3000


def one_parameter(objective, contrast, units):
    """Return (least number of units, those units) that move the one parameter to its level.

    The optimum is past the level v if and only if the derivative of the objective at v has changed
    its sign, and that is a sum over rows: the units of the largest share go first. None where the
    model has more parameters, or not even all units are enough.
    """
    if objective.n_parameters != 1 or objective.penalty.is_kinked or not objective.loss.is_convex:
        return None
    slope = float(contrast.c[0, 0])
    at = objective.at(np.array([[contrast.level / slope]]))
    sign = np.sign(slope) * contrast.sign
    rows = sign * at.residuals[:, 0] * objective.design.dense(slice(None))[:, 0]
    if objective.row_penalty is not None:
        common = float(objective.row_penalty.gradient(at.theta)[0, 0])
        rows = rows + sign * objective.shares * common
    share = np.array([rows[unit].sum() for unit in units])
    total = sign * float(at.gradient[0, 0])  # negative while the conclusion stands
    order = np.argsort(share, kind="stable")
    left = total - np.cumsum(share[order])
    slack = 1e-12 * np.abs(rows).sum()
    reached = np.flatnonzero(left >= -slack)
    if not len(reached):
        return None
    number = int(reached[0]) + 1
    return number, order[:number]


def saturated(objective, contrast, limit):
    """Return (least number of rows, those rows) for a contrast of the means of cells, or None.

    Least squares on a design with as many distinct rows as parameters, and equal weights within
    each cell: the fitted values are the means of the cells, and a contrast of them moves most, for
    so many rows of a cell, without its largest or its smallest responses. None for other models.

    Parameters
    ----------
    objective : Objective
    contrast : Contrast
    limit : int
        Rows that are known to be enough, or as many as may leave.
    """
    plain = type(objective.loss) is SquaredLoss and objective.n_outputs == 1
    if not plain or not objective.penalty.is_none or objective.n_parameters > MAX_CELLS:
        return None
    live = np.flatnonzero(objective.sample_weight > 0)
    found = _cells(objective, live)
    if found is None:
        return None
    distinct, cell = found
    weight, y = objective.sample_weight[live], np.asarray(objective.y, dtype=float)[live]
    shares = contrast.sign * np.linalg.solve(distinct.T, contrast.c[0])
    sizes = np.bincount(cell)
    least, most = (np.full(len(sizes), end) for end in (np.inf, -np.inf))
    np.minimum.at(least, cell, weight)
    np.maximum.at(most, cell, weight)
    wanted = np.flatnonzero(np.abs(shares) > 1e-12 * np.abs(shares).max())
    if (most[wanted] > least[wanted]).any():
        return None
    curves, orders = [], []
    for r in wanted:
        rows = np.flatnonzero(cell == r)
        order = rows[np.argsort(-np.sign(shares[r]) * y[rows], kind="stable")]
        # Means without the first 0, 1, ... rows, summed from the other end.
        left = np.cumsum(y[order][::-1])[::-1] / np.arange(len(order), 0, -1)
        curves.append(shares[r] * left[: limit + 1])
        orders.append(live[order])
    level = contrast.sign * contrast.level
    level += 1e-12 * sum(np.abs(curve).max() for curve in curves)
    counts = _share_out(curves, level, limit)
    if counts is None:
        return None
    chosen = [order[:count] for order, count in zip(orders, counts, strict=True)]
    return int(sum(counts)), np.concatenate(chosen)


def _cells(objective, live):
    """Return (distinct rows (P, P), the cell of each row), None if they are not P independent."""
    P, Z = objective.n_parameters, objective.design.dense(live)
    key = Z @ np.cos(1.0 + np.arange(P))  # rows are compared in full below
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    if len(first) != P or not (Z[first][cell] == Z).all():
        return None
    distinct = Z[first]
    return (distinct, cell.ravel()) if np.linalg.cond(distinct) < 1e8 else None


def _share_out(curves, level, limit):
    """Least numbers of removals from each cell that bring a sum of falling curves to a level."""
    if len(curves) == 1:
        reached = np.flatnonzero(curves[0] <= level)
        return [int(reached[0])] if len(reached) else None
    if len(curves) == 2:
        first, second = curves
        needed = np.searchsorted(-second, first - level, side="left")
        total = np.where(needed < len(second), np.arange(len(first)) + needed, limit + 1)
        best = int(np.argmin(total))
        return [best, int(needed[best])] if total[best] <= limit else None
    if limit > MAX_SHARED:
        return None
    best, choices = curves[0][: limit + 1], []
    best = np.append(best, np.full(limit + 1 - len(best), np.inf))
    for curve in curves[1:]:
        sums = np.full((len(curve), limit + 1), np.inf)
        for taken, value in enumerate(curve):
            sums[taken, taken:] = value + best[: limit + 1 - taken]
        choices.append(sums.argmin(axis=0))
        best = sums.min(axis=0)
    reached = np.flatnonzero(best <= level)
    if not len(reached):
        return None
    total, counts = int(reached[0]), []
    for choice in reversed(choices):
        counts.append(int(choice[total]))
        total -= counts[-1]
    return [total, *reversed(counts)]
