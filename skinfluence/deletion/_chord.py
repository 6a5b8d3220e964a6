"""Many refits at once: chord-Newton steps through the one factor of the full fit.

All deletions of a block move together. A pass over them is two GEMMs, predictors and gradients of
n x b numbers, around elementwise residuals; the solve is with the full factor and a rank-K
correction for the missing row. The error of a row contracts by the relative change of curvature on
its way, about thirtyfold a pass on ordinary data.
"""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence._parallel import cache_blocks, row_blocks
from skinfluence.deletion.certificate import after_chord_step, distance

MAX_PASSES = 15
# Terms of a Taylor series, at most, and the share of its first term that the cut ones may have
# where nothing else is asked for.
MAX_ORDER = 8
TRUNCATION = 1e-11
# Share of the tolerance that cutting a series may cost a coefficient.
UNFELT = 1e-3
# A step of this share of the tolerance is rounding, whatever the last one was.
NOTHING = 1e-3
# Deletions a block: wide enough for a GEMM, and n times as many predictors near the cache.
BLOCK_DELETIONS = 256


@dataclass(frozen=True)
class ChordResult:
    """Where a block of rows arrived.

    Attributes
    ----------
    steps : ndarray of shape (b, K, q)
        theta_-i - theta.
    bound : ndarray of shape (b,)
        Certified distance to the refit in the norm of its own curvature at theta; inf if
        uncertified.
    converged : ndarray of bool, shape (b,)
    own_error : ndarray of shape (b,)
        Size of the last step, or its certified rest, at the row's own predictor.
    """

    steps: np.ndarray
    bound: np.ndarray
    converged: np.ndarray
    own_error: np.ndarray


class ChordNewton:
    """Refits without one row each, from a OneStep deletion and its curvature.

    Parameters
    ----------
    one_step : OneStep
        With the Newton multipliers and leverages of its rows.
    tolerance : float
        Of the coefficients, relative to `Objective.coefficient_unit`.
    """

    def __init__(self, one_step, tolerance):
        self.objective, self.curvature = one_step.objective, one_step.curvature
        self.one_step = one_step
        self.tolerance = tolerance * self.objective.coefficient_unit
        self.bend = self.objective.penalty.bend
        self.eta = np.ascontiguousarray(self.objective.eta.T)  # (K, n)
        self.residuals = np.ascontiguousarray(self.objective.residuals.T)
        # Largest standard deviation of a coefficient, in the norm of the full curvature.
        self._inverse = self.curvature.known_inverse()
        self._local = threading.local()
        series = self.objective.loss.gradient_series(
            self.objective.y, self.objective.native(self.objective.eta), MAX_ORDER
        )
        weight = self.objective.sample_weight
        self.series = None if series is None else [weight * c for c in series]
        self.widest = float(np.sqrt(self.curvature.inverse_diagonal_bound().max(initial=0.0)))
        self._reach()

    def _reach(self):
        """Largest reach of the remaining rows and smallest 1 - leverage, for every deletion."""
        own, live = self.one_step.leverage, self.objective.sample_weight > 0
        spare = np.linalg.eigvalsh(own.one_minus)[:, 0]
        self.spread = 1.0 / np.sqrt(np.maximum(spare, np.finfo(float).tiny))
        # Where the metric is lighter or heavier than the curvature without the row by its misfit,
        # norms in it are right to these factors.
        misfit = self.one_step.misfit
        self.heavier = 1.0 / np.sqrt(np.maximum(1.0 - np.maximum(misfit, 0.0), 1e-300))
        self.lighter = np.where(misfit == 0, 0.0, np.sqrt(1.0 + np.abs(misfit)))
        self.spread = self.spread * self.heavier
        self.own_reach = self.objective.loss.reach(own.quadratic) * self.spread
        if self.one_step.is_everything:
            reach = self.objective.loss.reach(own.quadratic) * live
        elif self.curvature.kind == "cg":
            # The leverage of every row would cost a solve each: no certificate.
            self.reach = np.full(len(spare), np.inf)
            return
        else:
            reach = self.objective.loss.reach(self.curvature.leverage().quadratic) * live
        first = int(np.argmax(reach))
        second = float(np.max(np.delete(reach, first), initial=0.0))
        self.reach = np.where(self.one_step.rows == first, second, reach[first]) * self.spread

    def blocks(self):
        """Slices over the deletions that fit in memory and keep the GEMMs wide."""
        K, n = self.objective.n_outputs, self.objective.n_rows
        width = 8 * K * (6 * n + 4 * K * self.objective.design.shape[1])
        return row_blocks(len(self.one_step), width, at_most=BLOCK_DELETIONS)

    def run(self, part):
        """Refit without each row of a slice of the deletions."""
        flight = self._start(part)
        for _ in range(MAX_PASSES):
            if not len(flight.active):
                break
            rows = flight.rows[flight.active]
            cut = flight.truncation[flight.active]
            gradient, moved = self._gradient(flight.D[flight.active], rows, cut)
            self._advance(flight, gradient, moved)
        steps = flight.D.reshape(len(flight.rows), self.objective.n_outputs, -1)
        return ChordResult(steps, flight.bound, flight.converged, flight.own_error)

    def _start(self, part):
        """Every row of a slice at its Newton step; rows of weight 0 and undefined ones stay out."""
        one_step = self.one_step
        rows = one_step.rows[part]
        toward = self._toward(rows)
        D = self._newton(part, toward)
        usable = np.isfinite(D).all(axis=1) & ~one_step.undefined[part]
        idle = usable & (self.objective.sample_weight[rows] == 0)
        flight = _Flight(part.start, rows, toward, D, np.flatnonzero(usable & ~idle))
        flight.truncation = self._truncation(part)
        flight.bound[idle], flight.own_error[idle], flight.converged[idle] = 0.0, 0.0, True
        return flight

    def _newton(self, deletions, toward):
        """Newton steps of some deletions, (b, P)."""
        one_step = self.one_step
        D = np.matmul(one_step.multipliers[deletions][:, None, :], toward)[:, 0]
        shape = (len(D), *self.objective.theta.shape)
        return one_step.drifted(D.reshape(shape), deletions).reshape(len(D), -1)

    def _truncation(self, part):
        """Share of each series' first term that may be cut.

        The first terms of all rows together are of the length of the step in the curvature's norm,
        which is what an error of this share of them is worth in a coefficient.
        """
        length = np.sqrt(np.maximum(self._squared_length[part], 1e-300))
        felt = self.widest * self.spread[part] * 2.0 * length
        return np.clip(UNFELT * self.tolerance / felt, 1e-13, 1e-6)

    @cached_property
    def _squared_length(self):
        """Of the Newton steps, in the norm of the curvature without the row, (r,)."""
        residuals = self.objective.residuals[self.one_step.rows]
        return self.one_step.inner(residuals, self.one_step.share)

    def _buffer(self, size):
        """Return the thread's own scratch array: a fresh page costs more than a flop."""
        if getattr(self._local, "scratch", None) is None or self._local.scratch.size < size:
            self._local.scratch = np.empty(size)
        return self._local.scratch[:size]

    def next_change(self, deletions):
        """Size of the step after the Newton step, at each deleted row's own predictor."""
        rows = self.one_step.rows[deletions]
        toward = self._toward(rows)
        gradient, _ = self._gradient(self._newton(deletions, toward), rows)
        step = -self._solve(gradient, deletions, toward)
        return self._own_range(step, rows)

    def _own_range(self, steps, rows):
        """Range of the change that steps (b, P) make at their own rows."""
        own = self.objective.design.dense(rows)
        change = np.einsum(
            "ikj,ij->ik", steps.reshape(len(rows), self.objective.n_outputs, -1), own
        )
        return self.objective.loss.extent(change)

    def _toward(self, rows):
        """H^-1 (e_k (x) z_i), (b, K, P)."""
        K = self.objective.n_outputs
        unit = self.objective.design.outer(np.tile(np.eye(K), (len(rows), 1)), np.repeat(rows, K))
        return self._apply_inverse(unit).reshape(len(rows), K, -1)

    def _apply_inverse(self, V):
        """V H^-1 for rows V (a, P).

        By the explicit inverse where H is factored: one GEMM instead of two triangular solves. Its
        rounding does not matter, the chord corrects its own.
        """
        return self.curvature.solve(V.T).T if self._inverse is None else V @ self._inverse

    def _gradient(self, D, rows, truncation=None):
        """Gradient without each row at theta + d (a, P), and how far the other rows moved."""
        truncation = np.full(len(rows), TRUNCATION) if truncation is None else truncation
        objective, K = self.objective, self.objective.n_outputs
        a, n = len(rows), objective.n_rows
        steps = D.reshape(a, K, -1)
        # A deletion's predictors lie side by side: what is per training row then runs along them,
        # at a third of the time that a scalar for each of many short rows would take.
        U = self._buffer(K * a * n).reshape(K, a, n)
        for k in range(K):
            objective.design.matmul(steps[:, k].T, out=U[k].T)
        U[:, np.arange(a), rows] = 0.0  # the missing row moves nobody and is nobody's reach
        farthest = np.empty(a)
        for block in cache_blocks(a, K * n):
            change = U[:, block]
            farthest[block] = objective.loss.extent(np.moveaxis(change, 0, -1)).max(axis=1)
            if not self._by_series(change[0], farthest[block].max(), truncation[block].min()):
                self._by_loss(change)
        U[:, np.arange(a), rows] = -self.residuals[:, rows]
        gradient = self.bend * steps + objective.gradient
        for k in range(K):
            gradient[:, k] += objective.design.transpose_matmul(U[k].T).T
        if self.one_step.drift is not None:
            share = objective.shares[rows][:, None, None]
            gradient -= share * (objective.row_penalty.bend * steps + self.one_step.common)
        return objective.freed(gradient).reshape(a, -1), farthest

    def _by_loss(self, change):
        """Turn changes of predictors (K, c, n) into changes of residuals, in place."""
        loss, objective = self.objective.loss, self.objective
        change += self.eta[:, None]
        native = change[0] if loss.is_scalar else np.moveaxis(change, 0, -1)
        slope = loss.gradient(objective.y, native)
        slope = slope[None] if loss.is_scalar else np.moveaxis(slope, -1, 0)
        np.multiply(slope, objective.sample_weight, out=change)
        change -= self.residuals[:, None]

    def _by_series(self, change, largest, truncation):
        """Do the same by the loss's Taylor series, where few terms are enough; say whether.

        Predictors of other rows hardly move: four or five products replace an exponential, and the
        difference of two residuals loses no digits.
        """
        if self.series is None:
            return False
        share = largest / self.objective.loss.series_radius
        order = 1 if share == 0 else int(np.ceil(np.log(truncation) / np.log(min(share, 0.99))))
        if order > len(self.series):
            return False
        if order == 1:
            change *= self.series[0]
            return True
        total = change * self.series[order - 1]
        for coefficient in self.series[order - 2 : 0 : -1]:
            total += coefficient
            total *= change
        total += self.series[0]
        change *= total
        return True

    def _solve(self, V, deletions, toward):
        """Inverse curvature without each row, times that row's V (a, P)."""
        lev = self.one_step.leverage
        rows = self.one_step.rows[deletions]
        L, S = (factor[rows] for factor in self.objective.weight_factors)
        at_row = np.matmul(toward, V[:, :, None])[:, :, 0]
        inner = solve_blocks(lev.one_minus[deletions], apply_blocks(S, at_row))
        solved = self._apply_inverse(V)
        return solved + np.matmul(apply_blocks(L, inner)[:, None, :], toward)[:, 0]

    def _advance(self, flight, gradient, moved):
        """Take the step of every row in flight; settle who has arrived, and who strays."""
        active = flight.active
        deletions = flight.first + active
        step = -self._solve(gradient, deletions, flight.toward[active])
        size = np.sqrt(np.maximum(-np.einsum("ij,ij->i", gradient, step), 0.0))
        bound, reach = self._bound(size, moved, deletions), self.own_reach[deletions]
        certified = bound * self.spread[deletions] * self.widest <= self.tolerance

        again = np.isfinite(flight.last_size[active])
        ratio = np.where(again, size / flight.last_size[active], np.inf)
        # Without a certificate the step itself has to be within the tolerance, while the gradient
        # halves: what is still to come is then shorter.
        length = np.abs(step).max(axis=1)
        left = np.where(ratio < 0.5, length, np.inf)
        arrived = certified | (left <= self.tolerance) | (length <= NOTHING * self.tolerance)
        strayed = ~arrived & again & ~(ratio < 0.5)

        # One secant pair (Broyden): the share of this step along the last is what the chord keeps
        # missing by. Not where the certificate speaks, which is for the plain step.
        last = flight.last_step[active]
        q = np.einsum("ij,ij->i", last, step) / np.maximum(
            np.einsum("ij,ij->i", last, last), 1e-300
        )
        with np.errstate(divide="ignore"):
            scale = np.where(again & ~certified & (np.abs(q) < 0.5), 1.0 / (1.0 - q), 1.0)
        scale[strayed] = 0.0
        step *= scale[:, None]
        flight.D[active] += step
        own = self._own_range(step, flight.rows[active])
        flight.bound[active] = bound + np.abs(scale - 1.0) * size
        flight.own_error[active] = np.fmin(flight.bound[active] * reach, own)
        flight.last_size[active], flight.last_step[active] = size, step
        flight.converged[active[arrived]] = True
        flight.active = active[~arrived & ~strayed]

    def _bound(self, size, moved, deletions):
        """Certified distance to the refit after a plain step from a gradient of this size."""
        M, reach = self.objective.loss.self_concordance, self.reach[deletions]
        if not np.isfinite(M):
            return np.full(len(size), np.inf)
        before = distance(size * self.heavier[deletions], M * moved, reach, M)
        after = after_chord_step(before, M * moved, reach, M)
        lighter = self.lighter[deletions]
        # In another metric than its own a step is no Newton step: it adds its length.
        return np.where(lighter == 0, after, before + lighter * size)


class _Flight:
    """Rows of a block on their way: steps (b, P), and what is known about each."""

    def __init__(self, first, rows, toward, D, active):
        b = len(rows)
        self.first, self.rows, self.toward, self.D, self.active = first, rows, toward, D, active
        self.bound, self.own_error = np.full(b, np.inf), np.full(b, np.nan)
        self.converged = np.zeros(b, dtype=bool)
        self.truncation = np.full(b, TRUNCATION)
        self.last_size, self.last_step = np.full(b, np.inf), np.zeros_like(D)
