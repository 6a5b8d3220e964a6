"""The rows that move one slope most, the other columns held: of a size, or as far as a level."""

import numpy as np

from skinfluence.losses import SquaredLoss

MAX_ITERATIONS = 100


def partialled_out(objective, contrast):
    """Return (x, r, lambda): one slope's own column and response, other columns held fixed.

    Least squares alone. x is what the other columns leave of the direction of the contrast, r what
    they leave of the response; both times the roots of the weights. With a single column nothing is
    taken out. None for other models.
    """
    plain = type(objective.loss) is SquaredLoss and objective.n_outputs == 1
    if not plain or objective.penalty.is_kinked or objective.row_penalty is not None:
        return None
    single = objective.n_parameters == 1
    if not single and not objective.penalty.is_none:
        return None
    c = contrast.c[0]
    j = int(np.argmax(np.abs(c)))
    if np.count_nonzero(c) != 1 or c[j] != 1.0:
        return None
    root = np.sqrt(objective.sample_weight)
    Z = objective.design.dense(slice(None)) * root[:, None]
    y = np.asarray(objective.y, dtype=float) * root
    others = np.delete(Z, j, axis=1)
    x, r = Z[:, j], y
    if others.shape[1]:
        basis = np.linalg.qr(others)[0]
        x, r = x - basis @ (basis.T @ x), r - basis @ (basis.T @ r)
    return x, r, float(objective.hessian_diagonal[j])


def largest_move(x, r, strength, size, sign):
    """Return the `size` rows without which sum x r / (sum x^2 + strength) is least, times the sign.

    With the ratio t = N / D of sums over the rows that stay, the rows of the largest
    sign (x r - t x^2) go; t rises until that set stands still, which it does in a few rounds, at
    the optimum.
    """
    N, D = sign * x * r, x**2
    t = N.sum() / (D.sum() + strength)
    chosen = None
    for _ in range(MAX_ITERATIONS):
        order = np.argsort(-(N - t * D), kind="stable")[:size]
        if chosen is not None and set(order) == set(chosen):
            break
        chosen = order
        left = D.sum() - D[order].sum() + strength
        if not left > 0:
            return None
        t = (N.sum() - N[order].sum()) / left
    return np.sort(chosen)


def least_units(x, r, strength, units, level, sign):
    """Least number of units without which sum x r / (sum x^2 + strength), times the sign, is down.

    To the level t the sum of sign (x r - t x^2) has fallen to 0, of which the largest go first: the
    last round of Dinkelbach's method, where the ratio is given. One more than all if never.
    """
    rows = sign * (x * r - level * x**2)
    share = np.sort([-rows[unit].sum() for unit in units])
    left = rows.sum() - sign * level * strength + np.cumsum(share)
    reached = np.flatnonzero(left <= 1e-12 * np.abs(rows).sum())
    return int(reached[0]) + 1 if len(reached) else len(units) + 1
