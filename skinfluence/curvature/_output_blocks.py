"""The inverse of H's diagonal blocks: a preconditioner where the outputs of a loss are coupled."""

import numpy as np

from skinfluence._backend import cholesky, inverse_factor

# Rows from which the blocks are computed, for each column; of fewer than twice as many all. With
# this many the blocks of a sample are within a factor of 2.8 of those of all rows in any direction
# (Marchenko & Pastur, 1967), which costs conjugate gradients some ten iterations more: more than
# the blocks of all rows where there are few columns.
ROWS_PER_COLUMN = 16
FEW_COLUMNS = 80


def has_output_blocks(objective):
    """Whether H is that of one vector loss under a penalty that is the same for its outputs."""
    penalty = objective.penalty
    separate = objective.n_outputs == 1 or objective.loss.is_separable
    if separate or objective.loss.null_direction is None:
        return False
    return not penalty.is_kinked and not penalty.has_fixed and penalty.strength.ndim == 1


def sampled_rows(objective):
    """Number of rows from which the blocks are computed."""
    q, n = objective.design.shape[1], objective.n_rows
    return n if q < FEW_COLUMNS or n < 2 * ROWS_PER_COLUMN * q else ROWS_PER_COLUMN * q


class OutputBlocks:
    """Inverses of sum_i W_ikk z_i z_i' + R''_k, one an output k, orthogonal to the null space.

    For a softmax with equal probabilities this is a multiple of H^-1 itself; for others the
    eigenvalues of H in its metric lie mostly within a factor of ten. A sum over a sample of the
    rows will do for a preconditioner, each row with the chance of its part in the curvature.

    Parameters
    ----------
    objective : Objective
        For which `has_output_blocks`.
    diagonal : ndarray of shape (K, q)
        Second derivative of the penalty, and damping.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block has no Cholesky factor.
    """

    def __init__(self, objective, diagonal):
        self.null = objective.loss.null_direction
        self.eta = objective.eta
        design, weights = _sample(objective)
        q = design.shape[1]
        self.inverses = np.empty((len(diagonal), q, q))
        for k, own in enumerate(diagonal):
            block = design.sandwich(weights[:, k, None, None])
            block[np.diag_indices(q)] += own
            factor = cholesky(block)
            if factor is None:
                raise np.linalg.LinAlgError(f"the curvature of output {k} is singular.")
            inverse = inverse_factor(factor)
            np.matmul(inverse, inverse.T, out=self.inverses[k])

    def split(self, V):
        """Return (u'V_j for every column j, (q, m), V less its part along u) of V (K q, m)."""
        blocks = V.reshape(len(self.null), len(V) // len(self.null), V.shape[1])
        along = np.einsum("k,kjm->jm", self.null, blocks)
        return along, V - self.lift(along)

    def lift(self, along):
        """Return u (x) C, (K q, m), for C (q, m)."""
        lifted = self.null[:, None, None] * along
        return lifted.reshape(len(self.null) * len(along), along.shape[1])

    def apply(self, R):
        """Inverse blocks times R (K q, m), orthogonal to u as R is."""
        shape = len(self.null), len(R) // len(self.null), R.shape[1]
        solved = np.matmul(self.inverses, R.reshape(shape))
        return self.split(solved.reshape(R.shape))[1]


def _sample(objective):
    """Return the design of some rows and their weights W_kk (b, K), scaled to the sum of all."""
    weights, n = objective.weight_diagonals, objective.n_rows
    size = sampled_rows(objective)
    if size == n:
        return objective.design, weights
    part = weights.sum(axis=1)
    chance = 0.5 / n + 0.5 * part / part.sum()
    rows = np.sort(np.random.default_rng(0).choice(n, size, p=chance / chance.sum()))
    return objective.design.take(rows), weights[rows] / (size * chance[rows])[:, None]
