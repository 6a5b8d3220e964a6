"""Many refits at once: chord-Newton steps through the one factor of the full fit.

All deletions of a block move together. A pass over them is two GEMMs, predictors and gradients of
n x b numbers, around elementwise residuals; the solve is with the full factor and a rank-K
correction for the missing row. The error of a row contracts by the relative change of curvature on
its way, about thirtyfold a pass on ordinary data.
"""

from dataclasses import dataclass

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence._parallel import Threads, cache_blocks, row_blocks
from skinfluence.deletion.certificate import (
    after_chord_step,
    distance,
    predictor_range,
    row_reach,
)

MAX_PASSES = 15


@dataclass(frozen=True)
class ChordResult:
    """Where a block of rows arrived.

    Attributes
    ----------
    steps : ndarray of shape (b, K, q)
        theta_-i - theta.
    bound : ndarray of shape (b,)
        Certified distance to the refit in the norm of its own curvature at theta; inf if uncertified.
    converged : ndarray of bool, shape (b,)
    n_passes : ndarray of int, shape (b,)
    """

    steps: np.ndarray
    bound: np.ndarray
    converged: np.ndarray
    n_passes: np.ndarray


class ChordNewton:
    """Refits without one row each, from a OneStep deletion and its curvature.

    Parameters
    ----------
    one_step : OneStep
        With the Newton multipliers and leverages of its rows.
    tolerance : float
        Of the coefficients, relative to max(1, |theta|).
    """

    def __init__(self, one_step, tolerance):
        self.objective, self.curvature = one_step.objective, one_step.curvature
        self.one_step = one_step
        self.tolerance = tolerance * max(1.0, float(np.abs(self.objective.theta).max(initial=0.0)))
        self.strength = self.objective.penalty.strength
        self.eta = np.ascontiguousarray(self.objective.eta.T)  # (K, n)
        self.residuals = np.ascontiguousarray(self.objective.residuals.T)
        # Largest standard deviation of a coefficient, in the norm of the full curvature.
        self.widest = float(np.sqrt(self.curvature.inverse_diagonal().max(initial=0.0)))
        self._reach()

    def _reach(self):
        """Largest reach of the remaining rows and smallest 1 - leverage, for every deletion."""
        own = self.one_step.leverage
        everyone = own if len(own.quadratic) == self.objective.n_rows else self.curvature.leverage()
        reach = row_reach(everyone.quadratic) * (self.objective.sample_weight > 0)
        first = int(np.argmax(reach))
        second = float(np.max(np.delete(reach, first), initial=0.0))
        largest = np.where(self.one_step.rows == first, second, reach[first])
        spare = np.linalg.eigvalsh(own.one_minus)[:, 0]
        self.spread = 1.0 / np.sqrt(np.maximum(spare, np.finfo(float).tiny))
        self.reach = largest * self.spread

    def blocks(self):
        """Slices over the deletions that fit in memory and keep the GEMMs wide."""
        K, n = self.objective.n_outputs, self.objective.n_rows
        width = 8 * K * (6 * n + 4 * K * self.strength.size)
        return row_blocks(len(self.one_step), width, at_most=256)

    def run(self, part):
        """Refit without each row of a slice of the deletions."""
        one_step, K = self.one_step, self.objective.n_outputs
        rows = one_step.rows[part]
        b = len(rows)
        design = self.objective.design
        index = np.repeat(rows, K)
        unit = design.outer(np.tile(np.eye(K), (b, 1)), index)
        toward = self.curvature.solve(unit.T).T.reshape(b, K, -1)  # H^-1 (e_k (x) z_i)
        D = np.matmul(one_step.multipliers[part][:, None, :], toward)[:, 0]
        bound = np.full(b, np.inf)
        converged = np.zeros(b, dtype=bool)
        passes = np.zeros(b, dtype=int)
        active = np.flatnonzero(
            np.isfinite(D).all(axis=1) & ~one_step.undefined[part]
        )
        idle = active[self.objective.sample_weight[rows[active]] == 0]
        bound[idle], converged[idle] = 0.0, True
        active = np.setdiff1d(active, idle)
        previous = {"size": np.full(b, np.inf), "step": np.zeros_like(D)}
        with Threads() as threads:
            for _ in range(MAX_PASSES):
                if not len(active):
                    break
                passes[active] += 1
                gradient, moved = self._gradient(D[active], rows[active], threads)
                step = -self._solve(gradient, part.start + active, toward[active])
                active = self._advance(
                    D, step, gradient, moved, active, part, previous, bound, converged
                )
        return ChordResult(D.reshape(b, K, -1), bound, converged, passes)

    def _gradient(self, D, rows, threads):
        """Gradient of the objective without each row at theta + d (a, P), and how far rows moved."""
        objective, K = self.objective, self.objective.n_outputs
        a, n = len(rows), objective.n_rows
        steps = D.reshape(a, K, -1)
        U = np.stack([objective.design @ steps[:, k].T for k in range(K)])  # (K, n, a)
        U[:, rows, np.arange(a)] = 0.0  # the missing row moves nobody and is nobody's reach
        farthest = []
        loss, weight = objective.loss, objective.sample_weight

        def residuals(block):
            change = U[:, block]
            farthest.append(predictor_range(np.moveaxis(change, 0, -1)).max(axis=0))
            change += self.eta[:, block, None]
            native = change[0] if loss.is_scalar else np.moveaxis(change, 0, -1)
            slope = loss.gradient(objective.y[block, None], native)
            slope = slope[None] if loss.is_scalar else np.moveaxis(slope, -1, 0)
            np.multiply(slope, weight[block, None], out=change)
            change -= self.residuals[:, block, None]

        threads.each(residuals, cache_blocks(n, K * a))
        U[:, rows, np.arange(a)] = -self.residuals[:, rows]
        gradient = np.stack([objective.design.transpose_matmul(U[k]).T for k in range(K)], axis=1)
        gradient += self.strength * steps + objective.gradient
        return gradient.reshape(a, -1), np.max(farthest, axis=0)

    def _solve(self, V, deletions, toward):
        """Inverse curvature without each row, times that row's V (a, P)."""
        lev = self.one_step.leverage
        L = self.objective.weight_roots[self.one_step.rows[deletions]]
        transposed = L.transpose(0, 2, 1)
        at_row = np.matmul(toward, V[:, :, None])[:, :, 0]
        inner = solve_blocks(lev.one_minus[deletions], apply_blocks(transposed, at_row))
        solved = self.curvature.solve(V.T).T
        return solved + np.matmul(apply_blocks(L, inner)[:, None, :], toward)[:, 0]

    def _advance(self, D, step, gradient, moved, active, part, previous, bound, converged):
        """Take the step, settle who has arrived or strays, and return who goes on."""
        M = self.objective.loss.self_concordance
        reach, spread = self.reach[part][active], self.spread[part][active]
        size = np.sqrt(np.maximum(-np.einsum("ij,ij->i", gradient, step), 0.0))
        kappa = M * moved if np.isfinite(M) else np.full(len(active), np.inf)
        here = distance(size, kappa, reach, M)
        next_bound = after_chord_step(here, kappa, reach, M)
        certified = next_bound * spread * self.widest <= self.tolerance

        length = np.abs(step).max(axis=1)
        again = np.isfinite(previous["size"][active])
        ratio = np.where(again, size / previous["size"][active], np.inf)
        # One secant pair (Broyden): the component of this step along the last one is what the chord
        # keeps missing by.
        last = previous["step"][active]
        q = np.einsum("ij,ij->i", last, step) / np.maximum(np.einsum("ij,ij->i", last, last), 1e-300)
        q = np.where(np.abs(q) < 0.5, q, 0.0)
        plain = certified | ~again
        scale = np.where(plain, 1.0, 1.0 / (1.0 - q))
        D[active] += scale[:, None] * step
        left = np.where(ratio < 0.5, 2.0 * ratio * length, np.inf)  # the steps still to come
        arrived = certified | (left <= self.tolerance) | (size == 0.0)
        bound[active] = np.where(plain, next_bound, next_bound + np.abs(scale - 1.0) * size)
        converged[active[arrived]] = True
        strayed = ~arrived & again & ~(ratio < 0.5)
        previous["size"][active] = size
        previous["step"][active] = scale[:, None] * step
        D[active[strayed]] -= (scale[:, None] * step)[strayed]
        return active[~arrived & ~strayed]
