"""Leverages of all rows by random probes, in place of a solve for each row."""

from functools import cached_property

import numpy as np

from skinfluence._parallel import map_ordered
from skinfluence.curvature._base import Leverage
from skinfluence.curvature._cg import MAX_ITERATIONS
from skinfluence.curvature._row_space import BLOCK, RowSpaceCurvature

PROBES = 512
# Relative residual of a probe's solution: far below the spread of a probe about the diagonal.
PROBE = 1e-4
SEED = 0  # the answer to a question does not depend on when it was asked
ENTRIES = 2**22  # of the kernel that are formed at once


class StochasticCurvature(RowSpaceCurvature):
    """H as by rows, with the diagonal of B^-1 estimated (Hutchinson 1990; Bekas et al. 2007).

    With B scaled to a unit diagonal, B = I + E, and a vector z of random signs the mean of
    z * (B^-1 z) is the diagonal of B^-1. z * (E z) and z * (E^2 z) have the known means 0 and
    sum_j E_ij^2 and take most of its variance away, by a regression over the probes in every row.
    What is left gives the standard error. For one output.
    """

    kind = "stochastic"

    def leverage_error(self, rows):
        """Standard error of the leverage of rows, (b,)."""
        return self._diagonal_of_rows[1][rows]

    def _leverage_of(self, rows):
        one_minus = self._diagonal_of_rows[0][slice(None) if rows is None else rows]
        weights = self.objective.weights[:, 0, 0][slice(None) if rows is None else rows]
        norm = self.objective.design.kernel_diagonal(self.inverse_penalty)
        # A row without curvature has no leverage: its quadratic form is that of the penalty alone
        # at most.
        most = norm[slice(None) if rows is None else rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            quadratic = np.where(weights > 0, (1.0 - one_minus) / weights, most)
        return Leverage(quadratic[:, None, None], one_minus[:, None, None])

    @cached_property
    def _diagonal_of_rows(self):
        """One minus the leverage of all rows, and its standard error, (n,) each."""
        one_minus, error = np.ones(self.objective.n_rows), np.zeros(self.objective.n_rows)
        found, spread = self._probed()
        squares = self.scale[:, 0] ** 2
        found, spread = squares * found, squares * spread
        if len(self.border):
            index = np.arange(len(found))
            border = self.inner_border.reshape(len(found), 1, -1)
            found -= self._border_quadratic(index, border)[:, 0, 0]
        # (B^-1)_ii is at least 1 / B_ii; the border takes no more than what is left of it.
        low = 0.0 if len(self.border) else squares
        one_minus[self.curved_rows] = np.clip(found, np.maximum(low, 1e-12), 1.0)
        error[self.curved_rows] = spread
        return one_minus, error

    def _probed(self):
        """Diagonal of the inverse of the scaled B, and its standard error, (m,) each."""
        m, random = len(self.scale), np.random.default_rng(SEED)
        signs = [random.integers(0, 2**32, m, dtype=np.uint32) for _ in range(PROBES // BLOCK)]
        means = self._kernel_squares()

        def block(bits):
            z = 2.0 * ((bits[:, None] >> np.arange(BLOCK, dtype=np.uint32)) & 1) - 1.0
            solution, _ = self._conjugate(
                (z / np.sqrt(m)).astype(np.float32), PROBE, MAX_ITERATIONS
            )
            once = self._scaled_matmul(z.astype(np.float32)) - z
            twice = self._scaled_matmul(once.astype(np.float32)) - once
            y = z * solution * np.sqrt(m)
            return y, z * once, z * twice - means[:, None]

        sums = np.zeros((9, m))
        for y, first, second in map_ordered(block, signs):
            for k, pair in enumerate((y, first, second, y * y, first * first, second * second)):
                sums[k] += pair.sum(axis=1)
            for k, pair in enumerate(((y, first), (y, second), (first, second)), start=6):
                sums[k] += np.einsum("ij,ij->i", *pair)
        return _regressed(sums / PROBES)

    def _kernel_squares(self):
        """sum_j E_ij^2 of every row, (m,)."""
        design = self.inner.design
        scale = (self.scale[:, 0] * self.inner.weight_roots[:, 0, 0]) ** 2
        rows = design.squared_kernel_sums(self.inverse_penalty, scale, ENTRIES)
        return scale * (rows - scale * self.kernel_diagonal**2)


def _regressed(mean):
    """Mean of y without what two variables of mean 0 explain, and its standard error, (m,) each.

    Parameters
    ----------
    mean : ndarray of shape (9, m)
        Of y, u, v, y^2, u^2, v^2, y u, y v, u v over the probes.
    """
    y, u, v, yy, uu, vv, yu, yv, uv = mean
    yy, uu, vv = yy - y * y, uu - u * u, vv - v * v
    yu, yv, uv = yu - y * u, yv - y * v, uv - u * v
    determinant = uu * vv - uv**2
    clear = determinant > 1e-6 * uu * vv
    with np.errstate(divide="ignore", invalid="ignore"):
        alone = np.where(uu > 0, yu / uu, 0.0)
        first = np.where(clear, (yu * vv - yv * uv) / determinant, alone)
        second = np.where(clear, (yv * uu - yu * uv) / determinant, 0.0)
    left = np.maximum(yy - first * yu - second * yv, 0.0)
    return y - first * u - second * v, np.sqrt(left / (PROBES - 3))
