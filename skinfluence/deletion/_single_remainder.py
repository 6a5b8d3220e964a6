r"""Gradients of many refits by a float64 linear part and a remainder in float32.

Let d be a step, u_j = z_j'd the change of predictor j, and l' the slopes of the loss. Then

    l'_j(eta_j + u_j) - l'_j(eta_j) = W_j u_j + rho_j(u_j),   |rho_j(u)| <= W_j (e^kappa - 1) |u|

for a loss of self-concordance M with kappa = M max_j |u_j|. The linear part of all rows together is
one product of d with their Hessian, of size q. What needs every row for every step is the sum of
the rho_j, and that is smaller by kappa: it has the digits that are asked of it already in float32,
whose products and elementwise passes take half the time.

**What rounding may do.** With columns scaled by s_k = sqrt(sum_j W_j z_jk^2), let c be the smallest
eigenvalue of D^-1 H D^-1, D = diag(s): then ||D d|| <= ||d||_H / sqrt(c). Let e = 2^-24, half of
float32's eps, be the error of one operation; that of a sum of b products is at most b e times the
sum of their sizes, in whatever order.

- u_j is off by at most (q + 2) e sum_k |z_jk d_k|, and rho_j by (e^kappa - 1) W_j times that. The
  roots W_j^(1/2) z_jk / s_k have squares that sum to q: in the norm of H^-1 the gradient is off by
  at most (e^kappa - 1) (q + 2) e sqrt(q / c) ||d||_H.
- a sum of rho_j z_jk over b rows is off by at most b e s_k times the norm of W^(-1/2) rho, which is
  phi(kappa) ||d||_H with phi(t) = (e^t - 1 - t) / t: in the norm of H^-1 by
  phi(kappa) b e sqrt(q / c) ||d||_H. Blocks of b rows are added up in float64.
"""

import numpy as np

from skinfluence.deletion._rounding import ROUNDING
from skinfluence.deletion._second_order import QuadraticTerms
from skinfluence.deletion.certificate import newton_remainder

# Rows that are added up in float32.
ROWS = 128
# Bytes of the changes of predictors that are held at once: they are read four times.
CACHE_BYTES = 2**20
# Rows of data from which half the time of an elementwise pass is worth a second copy of them.
LEAST_ROWS = 1024
# Change of a predictor, over the radius of its series, under which a remainder rounds to zero.
NEGLIGIBLE = 1e-17
# Largest coefficient of a series for which products of float32 cannot overflow.
LARGEST = 1e15


class SingleRemainder:
    """Linear parts and remainders of the gradients of refits without a row each.

    Parameters
    ----------
    objective : Objective
        Of one output, at its optimum.
    columns : ndarray of shape (q, n)
        Those of the design over `scale`, in float32.
    scale : ndarray of shape (q,)
        Roots of the diagonal of the loss's Hessian.
    hessian : ndarray of shape (q, q)
        The loss's, over all rows.
    series : list of ndarray of shape (n,)
        Taylor coefficients of each row's residual.
    """

    def __init__(self, objective, columns, scale, hessian, series):
        self.objective, self._columns = objective, columns
        self._scale, self._hessian = scale, hessian
        self._slope = series[0]
        scaled = hessian + np.diag(objective.hessian_diagonal)
        scaled = scaled / scale / scale[:, None]
        # Its own rounding is some q eps: a smaller one says nothing.
        self._least = max(np.linalg.eigvalsh(scaled)[0], np.finfo(float).eps * len(scale))
        self._series = [c.astype(np.float32) for c in series[1:]]
        self._spare = np.flatnonzero(objective.sample_weight == 0)

    @classmethod
    def of(cls, objective, curvature, series):
        """A SingleRemainder, or None where it would save nothing or lose digits."""
        known = curvature.kind == "dense" and not curvature.by_rows
        if not (known and objective.n_rows >= LEAST_ROWS):
            return None
        hessian = objective.loss_hessian()
        diagonal = np.diag(hessian)
        scale = np.where(diagonal > 0, np.sqrt(np.maximum(diagonal, 0.0)), 1.0)
        columns = objective.design.single_columns(1.0 / scale)
        largest = max(np.abs(c).max(initial=0.0) for c in series)
        if columns is None or not (largest < LARGEST and np.isfinite(columns).all()):
            return None
        return cls(objective, columns, scale, hessian, series)

    def quadratic_terms(self, n_deletions):
        """The QuadraticTerms of as many deletions, or None where they would save nothing."""
        if not (self._series and QuadraticTerms.pays(*self._columns.shape, n_deletions)):
            return None
        return QuadraticTerms(self._columns, self._series[0], self._scale)

    def rounding(self, length, moved):
        """Bound on what rounding adds to the gradients, in the norm of H^-1, (r,).

        Parameters
        ----------
        length : ndarray of shape (r,)
            ||d||_H of the steps, at most.
        moved : ndarray of shape (r,)
            Largest change of a predictor, at most.
        """
        q, unit = len(self._scale), np.finfo(np.float32).eps / 2
        kappa = self.objective.loss.self_concordance * moved
        single = np.expm1(np.minimum(kappa, 1.0)) * (q + 2) + newton_remainder(kappa, 1.0) * ROWS
        single *= unit * np.sqrt(q / self._least)
        return length * (single + ROUNDING * q / self._least)

    def reaches(self, moved, truncation):
        """Whether few terms of the series are enough for each change of a predictor, (r,)."""
        share = moved / self.objective.loss.series_radius
        with np.errstate(divide="ignore"):
            order = np.log(truncation) / np.log(np.minimum(share, 0.99))
        return order <= len(self._series) + 1

    def lengths(self, D):
        """||d||_H of steps D (a, q), (a,)."""
        curved = D @ self._hessian + self.objective.hessian_diagonal * D
        return np.sqrt(np.maximum(np.einsum("ij,ij->i", D, curved), 0.0))

    def gradients(self, D, rows, truncation, scratch):
        """Sums of changes of slopes times z_j at steps D, (a, q), and the largest |u_j|, (a,).

        Without `rows`, whose slopes at the full fit are taken off.

        Parameters
        ----------
        D : ndarray of shape (a, q)
        rows : ndarray of int, shape (a,)
            The row that is missing at each step.
        truncation : float
            Share of a series' first term under which its later ones are cut off.
        scratch : ndarray of float32, size `scratch_size`
            Is overwritten.
        """
        own = self.objective.design.dense(rows)
        leaving = self._slope[rows] * np.einsum("ij,ij->i", own, D)
        total = D @ self._hessian - (leaving + self.objective.residuals[rows, 0])[:, None] * own
        n, width, largest = self.objective.n_rows, self._width(len(D)), np.zeros(len(D))
        with np.errstate(under="ignore", over="ignore", invalid="ignore"):
            scaled, rest = (D * self._scale).astype(np.float32), np.zeros_like(D)
            for start in range(0, n, width):
                part = slice(start, min(start + width, n))
                columns = self._columns[:, part]
                U = scratch[: len(D) * columns.shape[1]].reshape(len(D), -1)
                np.matmul(scaled, columns, out=U)
                inside = np.flatnonzero((rows >= start) & (rows < part.stop))
                U[inside, rows[inside] - start] = 0.0
                if len(self._spare):
                    U[:, self.objective.sample_weight[part] == 0] = 0.0
                moved = np.maximum(U.max(axis=1), -U.min(axis=1))
                largest = np.maximum(largest, moved)
                self._to_remainder(U, part, moved.max(), truncation)
                for first in range(0, U.shape[1], ROWS):
                    few = slice(first, first + ROWS)
                    rest += U[:, few] @ columns[:, few].T
        rest *= self._scale
        total += rest
        return total, largest

    def scratch_size(self, n_steps):
        """Number of float32 that `gradients` at so many steps writes over."""
        return n_steps * self._width(n_steps)

    @staticmethod
    def _width(n_steps):
        """Rows whose changes by so many steps stay in a core's own cache."""
        return ROWS * max(1, CACHE_BYTES // (4 * ROWS * max(1, n_steps)))

    def _to_remainder(self, change, part, largest, truncation):
        """Turn changes of predictors of a slice of rows into remainders of slopes, in place."""
        share = float(largest) / self.objective.loss.series_radius
        if not share > NEGLIGIBLE:
            change[:] = 0.0
            return
        order = int(np.ceil(np.log(truncation) / np.log(min(share, 0.99))))
        terms = [c[part] for c in self._series[: max(order, 2) - 1]]
        total = change * terms[-1]
        for coefficient in terms[-2::-1]:
            total += coefficient
            total *= change
        change *= total
