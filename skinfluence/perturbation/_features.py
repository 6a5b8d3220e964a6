"""Gradients of a target in the features of training rows.

To first order a move of row i by dx changes theta by -H^-1 (W_i theta dx (x) z_i + g_i (x) dx), and
a target with the derivative f'_t (x) z_t in theta by the inner product with it: with the direction
s_t = H^-1 f'_t (x) z_t the gradient in x_i is -(theta' W_i s_t z_i + s_t' g_i) over the features
(Koh & Liang's I_pert,loss, of a sum in place of a mean).
"""

from abc import ABC, abstractmethod

import numpy as np

from skinfluence._memory import check_memory
from skinfluence._parallel import row_blocks, tracked
from skinfluence.design import KernelGradients


class FeatureGradients(ABC):
    """Gradients of targets in the features of training rows, for one model.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
        At the optimum. Where that is the optimum of another loss, the objective is taken to second
        order, and its own optimum is one Newton step away.
    n_features : int
        Number p of features.
    """

    def __init__(self, objective, curvature, n_features):
        self.objective, self.curvature, self.n_features = objective, curvature, n_features
        self.theta, self.residuals = objective.theta, objective.residuals
        if not objective.is_at_its_own_optimum:
            step = curvature.solve(-objective.gradient.reshape(-1, 1))
            step = step.reshape(objective.theta.shape)
            change = (objective.design @ step.T)[:, :, None]
            self.theta = objective.theta + step
            self.residuals = objective.residuals + objective.weights_matmul(change)[:, :, 0]

    def solve(self, directions):
        """H^-1 of directions (D, K, q)."""
        flat = directions.reshape(len(directions), -1)
        return self.curvature.solve(flat.T).T.reshape(directions.shape)

    @abstractmethod
    def reader(self, directions, slopes, test, summed):
        """Return a function from training rows (b,) to gradients (D, b, p).

        Parameters
        ----------
        directions : ndarray of shape (D, K, q)
            H^-1 of the targets' derivatives in theta; of O outputs for each test row, or of their
            sums over the test rows.
        slopes : ndarray of shape (m, O, K)
            The targets' derivatives in the predictors of the test rows.
        test : slice
            The test rows.
        summed : bool
            Whether D is O, not O m.
        """

    @property
    @abstractmethod
    def row_bytes(self):
        """Memory of a training row beside its gradients."""

    def of(self, query, rows, aggregate=None, progress=None):
        """Gradients (O m, r, p) at a query, or (O, r, p) of their mean or sum over its rows."""
        is_scalar, outputs = self.objective.loss.is_scalar, query.target.n_outputs
        n = outputs * (1 if aggregate else len(query))
        check_memory(
            8 * n * len(rows) * self.n_features,
            f"the gradients in {self.n_features} features of {len(rows)} training rows, of {n} "
            "numbers each,",
            "ask about fewer rows (train_indices), or for the mean over the test rows "
            "(aggregate='mean')",
        )
        found = np.empty((outputs, n // outputs, len(rows), self.n_features))
        parts = row_blocks(len(query), 4 * 8 * outputs * self.objective.n_parameters)
        if aggregate is not None:
            everything, slopes = slice(0, len(query)), query.slopes(is_scalar)
            direction = np.zeros((outputs, *self.objective.theta.shape))
            for part in parts:
                some = query.take(part).directions(is_scalar)
                some = some.reshape(outputs, -1, *direction.shape[1:])
                direction += np.einsum("om...,m->o...", some, query.shares[part])
            slopes = query.shares[:, None, None] * slopes
            if aggregate == "mean":
                total = query.shares.sum()
                direction, slopes = direction / total, slopes / total
            read = self.reader(self.solve(direction), slopes, everything, True)
            self._fill(found, rows, [(slice(0, 1), read)], progress)
        else:
            readers = (
                (part, self.reader(self.solve(some.directions(is_scalar)), slopes, part, False))
                for part in parts
                for some in [query.take(part)]
                for slopes in [some.slopes(is_scalar)]
            )
            self._fill(found, rows, readers, progress, total=len(parts))
        return found.reshape(n, len(rows), self.n_features)

    def _fill(self, found, rows, readers, progress, total=1):
        """Write what the readers of parts of the test rows say of blocks of training rows."""
        for part, read in tracked(readers, progress, total=total):
            width = found.shape[0] * (part.stop - part.start) * self.n_features
            for block in row_blocks(len(rows), 8 * 3 * width + self.row_bytes):
                shape = (found.shape[0], -1, block.stop - block.start, self.n_features)
                found[:, part, block] = read(rows[block]).reshape(shape)


class LinearGradients(FeatureGradients):
    """Those of a model that is linear in its features."""

    @property
    def row_bytes(self):
        return 8 * 2 * self.objective.design.shape[1]

    def reader(self, directions, slopes, test, summed):
        coef = self.objective.design.split(self.theta)[0]
        along = self.objective.design.split(directions)[0]

        def read(rows):
            moved = self.objective.design.take(rows).predictors_of(directions)  # (K, b, D)
            curved = np.einsum("ikl,lid->dik", self.objective.weights_of(rows), moved)
            return -(curved @ coef) - np.matmul(self.residuals[rows], along)

        return read


class KernelMachineGradients(FeatureGradients):
    """Those of a kernel machine, by the gradients of functions in the kernel's space.

    f = -sum_j g_j k(x_j, .) / alpha, and s_t = (f'_t k(x_t, .) - sum_j W_j s_t(x_j) k(x_j, .)) /
    alpha: both are known everywhere, also where a row would move to, which is outside the span of
    the training rows. Coordinates in that span would miss up to a quarter of the gradient.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    space : KernelSpace
        With the training rows.
    X_test : ndarray or CSR of shape (m, p)
        The test rows.
    """

    def __init__(self, objective, curvature, space, X_test):
        super().__init__(objective, curvature, space.rows.shape[1])
        self.space, self.X_test = space, X_test
        diagonal = np.broadcast_to(objective.penalty.hessian_diagonal, objective.theta.shape)
        alpha = objective.design.split(diagonal)[0].max(axis=1, initial=0.0)
        alpha = np.where(alpha > 0, alpha, np.inf)
        self.dual = -self.residuals / alpha
        self.residuals = self.residuals / (alpha + curvature.damping)

    @property
    def row_bytes(self):
        return 8 * 6 * (self.objective.n_rows + self.X_test.shape[0])

    def reader(self, directions, slopes, test, summed):
        outputs, K, q = slopes.shape[1], *directions.shape[1:]
        moved = self.objective.design @ directions.reshape(-1, q).T
        moved = moved.reshape(-1, len(directions), K).transpose(0, 2, 1)
        curved = self.objective.weights_matmul(np.ascontiguousarray(moved))  # (n, K, D)
        X_test = self.X_test[test]

        def read(rows):
            Y, residuals = self.space.rows[rows], self.residuals[rows]
            own = KernelGradients(self.space, self.space.rows, Y)
            other = KernelGradients(self.space, X_test, Y)
            found = np.empty((len(directions), len(rows), self.n_features))
            for d in range(len(directions)):
                weights = residuals @ curved[:, :, d].T - curved[rows, :, d] @ self.dual.T
                found[d] = own.sums(weights)
            by_output = found.reshape(outputs, -1, len(rows), self.n_features)
            for o in range(outputs):
                weights = -residuals @ slopes[:, o].T
                by_output[o] += other.sums(weights) if summed else other.each(weights)
            return found

        return read
