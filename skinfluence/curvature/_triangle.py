"""A triangular factor of the curvature that squares nothing."""

import numpy as np

from skinfluence._parallel import one_thread, row_blocks


def curvature_triangle(objective, diagonal, null_space_ridge):
    """Return R, upper triangular, with R'R = H, by QR of the rows L_i' (x) z_i'.

    Z'WZ has the square of the condition of the design: with every digit that a direction loses in
    Z it loses two there. None where a row's curvature is negative, which has no root.

    Parameters
    ----------
    objective : Objective
    diagonal : ndarray of shape (K q,)
        Second derivative of the penalty, and damping; non-negative.
    null_space_ridge : ndarray of shape (q,) or None
        As in `Curvature`.
    """
    K, P = objective.n_outputs, objective.n_parameters
    rows = objective.curved_rows
    R = np.diag(np.sqrt(diagonal))
    fixed = objective.fixed_at_zero
    R[fixed, fixed] = 1.0
    if null_space_ridge is not None:
        null = objective.loss.null_direction
        R = np.vstack([R, np.kron(null, np.diag(np.sqrt(null_space_ridge)))])
    design = objective.design
    with one_thread():
        # Blocks as long as the triangle at least: it goes into each QR again.
        for part in row_blocks(len(rows), 8 * 2 * K * P, at_most=max(512, P // K)):
            some = rows[part]
            try:
                roots = objective.weight_roots_of(some)
            except np.linalg.LinAlgError:
                return None
            block = np.vstack([design.outer(roots[:, :, m], some) for m in range(K)])
            block[:, fixed] = 0.0
            R = np.linalg.qr(np.vstack([R, block]), mode="r")
    return R
