"""H of a loss of K outputs as a matrix for K - 1 of them.

The softmax does not see a change that all outputs have in common: along u = (1, ..., 1) / sqrt(K)
H is the penalty alone, and of each block row of its loss part, K blocks that add up to 0, K - 1 are
enough. With ten classes that spares a fifth of a Gram matrix and of a product with H^-1, and a
quarter of a factor; with three at least half.
"""

from contextlib import suppress
from functools import cached_property

import numpy as np

from skinfluence.curvature._dense import DenseCurvature
from skinfluence.curvature._output_blocks import has_output_blocks


def make_dense(objective, damping=0.0):
    """Return the DenseCurvature of an objective, without a baseline where its loss allows it.

    Where H is so ill-conditioned that its factor has to be found by QR, that of all outputs.
    """
    several = objective.n_outputs > 2 and objective.n_parameters > 0
    if several and has_output_blocks(objective):
        with suppress(np.linalg.LinAlgError):
            return BaselineCurvature(objective, damping)
    return DenseCurvature(objective, damping)


class BaselineCurvature(DenseCurvature):
    """H^-1 = E M^-1 E' + u u' (x) diag(1 / R''), M = E'H E = R'R, without one output's rows.

    E (K, K - 1) holds the changes of one output each, less their mean. They are orthogonal to u, so
    the loss part of M is that of H without the baseline's rows and columns: not a digit is lost in
    forming it. The penalty's part is I - 1 1' / K, times its strength. The baseline is the output
    of the largest curvature: a rare class keeps an axis of its own, and with it the small numbers
    that a contrast with a common class would hide.

    Rejected: differences from the baseline as coordinates, which put its curvature into every
    block, and orthonormal contrasts, which mix all outputs.
    """

    def __init__(self, objective, damping=0.0):
        largest = np.argmax(objective.weight_diagonals.sum(axis=0))
        self.free_outputs = np.delete(np.arange(objective.n_outputs), largest)
        self.baseline = int(largest)
        super().__init__(objective, damping)
        ridge = 0.0 if self.null_space_ridge is None else self.null_space_ridge
        self.along_null = self.diagonal.reshape(objective.n_outputs, -1)[0] + ridge

    def _hessian(self):
        """M, of (K - 1) q rows."""
        M = self.objective.loss_hessian(outputs=self.free_outputs)
        self._add_penalty(M, 1.0)
        return M

    def _add_penalty(self, M, sign):
        """Add (I - 1 1' / K) (x) R'' to M, in place; with a sign of -1 take it away."""
        K = self.objective.n_outputs
        own = sign * self.diagonal.reshape(K, -1)[0]
        blocks, columns = M.reshape(K - 1, len(own), K - 1, len(own)), np.arange(len(own))
        blocks[:, columns, :, columns] += own[:, None, None] * (np.eye(K - 1) - 1.0 / K)

    def _factor_of_rows(self, H):
        raise np.linalg.LinAlgError("H needs its factor by rows, that of all outputs.")

    def solve(self, V):
        """As in the base class; along u H is the penalty alone."""
        K = self.objective.n_outputs
        blocks = V.reshape(K, len(V) // K, V.shape[1])
        mean = blocks.mean(axis=0)
        free = (blocks[self.free_outputs] - mean).reshape(len(self.factor), V.shape[1])
        solved = self._lifted(super().solve(free).T).reshape(V.shape[1], K, len(mean))
        solved += (mean / self.along_null[:, None]).T[:, None]
        return solved.reshape(V.shape[1], len(V)).T

    def solver(self, n_columns):
        return self.solve

    def step_solver(self, n_columns=1):
        """As in the base class; with more columns than parameters by one product with M^-1."""
        solve = super().solve
        if n_columns > len(self.factor):
            inverse = self._inverse
            return lambda V: self._lifted(V.T @ inverse).T
        return lambda V: self._lifted(solve(V).T).T

    def _lifted(self, D):
        """(E d)' as rows (m, K q), of rows d' (m, (K - 1) q)."""
        m, K = len(D), self.objective.n_outputs
        D = D.reshape(m, K - 1, len(self.along_null))
        lifted, mean = np.empty((m, K, D.shape[2])), D.sum(axis=1)
        mean /= K
        for output, own in zip(self.free_outputs, range(K - 1), strict=True):
            np.subtract(D[:, own], mean, out=lifted[:, output])
        np.negative(mean, out=lifted[:, self.baseline])
        return lifted.reshape(m, K * D.shape[2])

    def as_array(self):
        M = super().as_array()
        self._add_penalty(M, -1.0)
        H = self._embedded(M)
        H[self.baseline] = -H.sum(axis=0)
        H[:, :, self.baseline] = -H.sum(axis=2)
        H = H.reshape(len(self.diagonal), len(self.diagonal))
        H[np.diag_indices_from(H)] += self.diagonal
        if self.null_space_ridge is not None:
            self._add_null_ridge(H)
        return H

    def _embedded(self, M):
        """A matrix of the free outputs among those of all, (K, q, K, q), 0 for the baseline."""
        K, q = self.objective.n_outputs, len(self.along_null)
        whole = np.zeros((K, q, K, q))
        for output, blocks in zip(self.free_outputs, M.reshape(K - 1, q, K - 1, q), strict=True):
            whole[output][:, self.free_outputs] = blocks
        return whole

    def inverse(self):
        return self._whole_inverse

    def known_inverse(self):
        return self._whole_inverse

    @cached_property
    def _whole_inverse(self):
        """H^-1, (K q, K q)."""
        whole, K = self._embedded(self._inverse), self.objective.n_outputs
        whole -= whole.sum(axis=0) / K
        whole -= whole.sum(axis=2, keepdims=True) / K
        columns = np.arange(len(self.along_null))
        whole[:, columns, :, columns] += (1.0 / (K * self.along_null))[:, None, None]
        return whole.reshape(len(self.diagonal), len(self.diagonal))

    def inverse_diagonal_bound(self):
        """Diagonal of H^-1 itself."""
        return np.diag(self._whole_inverse).copy()

    def row_quadratic(self, design):
        """Quadratic forms from blocks of M^-1, or from R^-1, whichever costs less."""
        free, K = self.free_outputs, self.objective.n_outputs
        if self._prefers_squares(design):
            own = self._factored_quadratic(design)
        else:
            own = design.block_quadratic(self._inverse, K - 1)
        A = np.zeros((len(own), K, K))
        A[:, free[:, None], free] = own
        A -= A.sum(axis=1, keepdims=True) / K
        A -= A.sum(axis=2, keepdims=True) / K
        along = design.row_norms(np.diag(1.0 / np.sqrt(K * self.along_null)))
        A += along[:, None, None]
        return A

    @property
    def _n_blocks(self):
        return self.objective.n_outputs - 1

    def _again(self, objective):
        return make_dense(objective, self.damping)
