"""The curvature without a row at a point of that row's own: products, and solves by them."""

import numpy as np

from skinfluence._class_axis import classes_first, classes_last


class DeletedCurvature:
    """H_-i(theta_i) for a block of rows i and a point theta_i of each: products with all at once.

    Two GEMMs a product. Where the full fit's curvature has a term in the null direction of the loss
    so have these, which would be singular without it.

    Parameters
    ----------
    full : Curvature
        Of the full fit.
    objective : Objective
        Of the full fit, with the penalty that the rows have a share of.
    eta : ndarray of shape (K, n, a)
        Predictors of all rows at each point.
    rows : ndarray of int, shape (a,)
        The row deleted in each.
    share : ndarray of shape (a,), optional
        Units of weight whose share of the common penalty goes with it; its own weight by default.
    entered : (ndarray of shape (a, q), ndarray of shape (a, K, K)), optional
        The row that has entered in each, and its curvature.
    sample_weight : ndarray of shape (n, a), optional
        Weights of all rows in each; by default those of the fit without the row.
    """

    def __init__(
        self,
        full,
        objective,
        eta,
        rows,
        *,
        share=None,
        entered=None,
        sample_weight=None,
        weights=None,
    ):
        self.full, self.objective, self.rows = full, objective, rows
        self.share, self.entered = objective.shares[rows] if share is None else share, entered
        self.weights = self._weights_at(eta, sample_weight) if weights is None else weights
        self.penalty = objective.penalty.hessian_diagonal
        if objective.row_penalty is not None:
            share = self.share[:, None, None]
            self.penalty = self.penalty - share * objective.row_penalty.hessian_diagonal

    def _weights_at(self, eta, w):
        """(w l'',) for one output; (w d, w f, f) or the full (w W,) with W = diag(d) - f f'."""
        objective, loss = self.objective, self.objective.loss
        y, native = objective.y[:, None], classes_last(eta, loss.is_scalar)
        if w is None:
            w = np.repeat(objective.sample_weight[:, None], len(self.rows), axis=1)
            w[self.rows, np.arange(len(self.rows))] = 0.0
        if loss.is_scalar:
            with np.errstate(over="ignore", invalid="ignore"):
                weights = w * loss.curvature(y, native)
            if np.isnan(weights.sum()):  # far out, where exponentials overflow, in rows of weight 0
                weights[w == 0] = 0.0
            return (weights,)
        split = loss.curvature_split(y, native)
        if split is None:
            return (classes_first(loss.curvature(y, native), is_scalar=False, n_axes=2) * w,)
        d, f = (np.ascontiguousarray(classes_first(part, is_scalar=False)) for part in split)
        return w * d, w * f, f

    def take(self, kept):
        """Return the curvatures of some of the rows."""
        weights = tuple(part[..., kept] for part in self.weights)
        entered = None if self.entered is None else tuple(part[kept] for part in self.entered)
        return DeletedCurvature(
            self.full,
            self.objective,
            None,
            self.rows[kept],
            share=self.share[kept],
            entered=entered,
            weights=weights,
        )

    def matmul(self, V):
        """H_-i v_i for the rows' own v_i (a, P)."""
        design, K = self.objective.design, self.objective.n_outputs
        blocks = V.reshape(len(V), K, -1)
        U = design.predictors_of(blocks)
        if K == 1:
            U *= self.weights[0]
        elif len(self.weights) == 1:
            U = np.einsum("klna,lna->kna", self.weights[0], U)
        else:
            d, f, g = self.weights
            U = d * U - f * np.einsum("kna,kna->na", g, U)
        product = self.penalty * blocks + design.gradients_of(U)
        if self.entered is not None:
            Z, W = self.entered
            along = np.einsum("akl,alj,aj->ak", W, blocks, Z, optimize=True)
            product += along[:, :, None] * Z[:, None, :]
        product = self.objective.freed(product).reshape(len(V), -1)
        if self.full.null_space_ridge is not None:
            product += self.full.null_ridge_matmul(V.T).T
        return product


def conjugate_gradients(curvature, right, precondition, tolerance, *, max_iterations):
    """Solve H_-i x_i = b_i for a block of rows at once, by preconditioned conjugate gradients.

    Parameters
    ----------
    curvature : DeletedCurvature
    right : ndarray of shape (a, P)
        The b_i.
    precondition : callable
        `precondition(V, positions)`: an approximate inverse of each of some rows' systems, times
        that row's V.
    tolerance : float or ndarray of shape (a,)
        Of the residual in the norm of the preconditioner, relative to the right-hand side.
    max_iterations : int

    Returns
    -------
    ndarray of shape (a, P)
        The x_i, where the iterations ended: by the recurrence's own residual, not the true one.
    """
    X, R = np.zeros_like(right), right.copy()
    live = np.arange(len(right))
    P = precondition(R, live)
    direction, rho = P, np.einsum("ij,ij->i", R, P)
    goal = tolerance**2 * rho
    for _ in range(max_iterations):
        active = rho > goal
        if not active.any():
            break
        # Rows that are done leave the products, once they are a quarter: each time copies the rest.
        if active.mean() <= 0.75:
            live, R, direction = live[active], R[active], direction[active]
            rho, goal = rho[active], goal[active]
            curvature = curvature.take(active)
        product = curvature.matmul(direction)
        along = np.einsum("ij,ij->i", direction, product)
        # A row that is done by luck has direction 0: no step, not 0 / 0.
        step = np.divide(rho, along, out=np.zeros_like(rho), where=along > 0)[:, None]
        X[live] += step * direction
        R -= step * product
        P = precondition(R, live)
        rho, before = np.einsum("ij,ij->i", R, P), rho
        ratio = np.divide(rho, before, out=np.zeros_like(rho), where=before > 0)
        direction = P + ratio[:, None] * direction
    return X
