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
        self.hessian_diagonal = self.objective.penalty.hessian_diagonal
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
        self.max_coef_sd = float(np.sqrt(self.curvature.inverse_diagonal_bound().max(initial=0.0)))
        self._set_metric()

    def _set_metric(self):
        """Largest reach of the remaining rows and smallest 1 - leverage, for every deletion."""
        own, live = self.one_step.leverage, self.objective.sample_weight > 0
        one_minus = np.linalg.eigvalsh(own.one_minus)[:, 0]
        self.inv_sqrt_one_minus_h = 1.0 / np.sqrt(np.maximum(one_minus, np.finfo(float).tiny))
        # Where the metric is lighter or heavier than the curvature without the row by its misfit,
        # norms in it are right to these factors.
        penalty_mismatch = self.one_step.penalty_mismatch
        self.metric_ratio_upper = 1.0 / np.sqrt(
            np.maximum(1.0 - np.maximum(penalty_mismatch, 0.0), 1e-300)
        )
        self.metric_ratio_lower = np.where(
            penalty_mismatch == 0, 0.0, np.sqrt(1.0 + np.abs(penalty_mismatch))
        )
        self.inv_sqrt_one_minus_h = self.inv_sqrt_one_minus_h * self.metric_ratio_upper
        self.own_row_norm = (
            self.objective.loss.max_predictor_change(own.quadratic) * self.inv_sqrt_one_minus_h
        )
        loss = self.objective.loss
        if self.one_step.is_everything:
            row_norm = loss.max_predictor_change(own.quadratic) * live
        elif self.curvature.kind == "cg":
            # The leverage of every row would cost a solve each: no certificate.
            self.max_row_norm = np.full(len(one_minus), np.inf)
            return
        else:
            row_norm = (
                self.objective.loss.max_predictor_change(self.curvature.leverage().quadratic) * live
            )
        first = int(np.argmax(row_norm))
        second = float(np.max(np.delete(row_norm, first), initial=0.0))
        self.max_row_norm = (
            np.where(self.one_step.rows == first, second, row_norm[first])
            * self.inv_sqrt_one_minus_h
        )

    def blocks(self):
        """Slices over the deletions that fit in memory and keep the GEMMs wide."""
        K, n = self.objective.n_outputs, self.objective.n_rows
        width = 8 * K * (6 * n + 4 * K * self.objective.design.shape[1])
        return row_blocks(len(self.one_step), width, at_most=BLOCK_DELETIONS)

    def run(self, part):
        """Refit without each row of a slice of the deletions."""
        state = self._start(part)
        for _ in range(MAX_PASSES):
            if not len(state.active):
                break
            rows = state.rows[state.active]
            cut = state.truncation[state.active]
            gradient, moved = self._gradient(state.D[state.active], rows, cut)
            self._advance(state, gradient, moved)
        steps = state.D.reshape(len(state.rows), self.objective.n_outputs, -1)
        return ChordResult(steps, state.bound, state.converged, state.own_error)

    def _start(self, part):
        """Every row of a slice at its Newton step; rows of weight 0 and undefined ones stay out."""
        one_step = self.one_step
        rows = one_step.rows[part]
        inverse_rows = self._inverse_rows(rows)
        D = self._newton(part, inverse_rows)
        usable = np.isfinite(D).all(axis=1) & ~one_step.undefined[part]
        idle = usable & (self.objective.sample_weight[rows] == 0)
        state = _BlockState(part.start, rows, inverse_rows, D, np.flatnonzero(usable & ~idle))
        state.truncation = self._truncation(part)
        state.bound[idle], state.own_error[idle], state.converged[idle] = 0.0, 0.0, True
        return state

    def _newton(self, deletions, inverse_rows):
        """Newton steps of some deletions, (b, P)."""
        one_step = self.one_step
        D = np.matmul(one_step.multipliers[deletions][:, None, :], inverse_rows)[:, 0]
        shape = (len(D), *self.objective.theta.shape)
        return one_step.add_penalty_step(D.reshape(shape), deletions).reshape(len(D), -1)

    def _truncation(self, part):
        """Share of each series' first term that may be cut.

        The first terms of all rows together are of the length of the step in the curvature's norm,
        which is what an error of this share of them is worth in a coefficient.
        """
        length = np.sqrt(np.maximum(self._squared_length[part], 1e-300))
        felt = self.max_coef_sd * self.inv_sqrt_one_minus_h[part] * 2.0 * length
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
        inverse_rows = self._inverse_rows(rows)
        gradient, _ = self._gradient(self._newton(deletions, inverse_rows), rows)
        step = -self._solve(gradient, deletions, inverse_rows)
        return self._own_range(step, rows)

    def _own_range(self, steps, rows):
        """Range of the change that steps (b, P) make at their own rows."""
        own = self.objective.design.dense(rows)
        change = np.einsum(
            "ikj,ij->ik", steps.reshape(len(rows), self.objective.n_outputs, -1), own
        )
        return self.objective.loss.predictor_norm(change)

    def _inverse_rows(self, rows):
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
            farthest[block] = objective.loss.predictor_norm(np.moveaxis(change, 0, -1)).max(axis=1)
            if not self._by_series(change[0], farthest[block].max(), truncation[block].min()):
                self._by_loss(change)
        U[:, np.arange(a), rows] = -self.residuals[:, rows]
        gradient = self.hessian_diagonal * steps + objective.gradient
        for k in range(K):
            gradient[:, k] += objective.design.transpose_matmul(U[k].T).T
        if self.one_step.penalty_step is not None:
            share = objective.shares[rows][:, None, None]
            gradient -= share * (
                objective.row_penalty.hessian_diagonal * steps + self.one_step.common
            )
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

    def _solve(self, V, deletions, inverse_rows):
        """Inverse curvature without each row, times that row's V (a, P)."""
        lev = self.one_step.leverage
        rows = self.one_step.rows[deletions]
        L, S = (factor[rows] for factor in self.objective.weight_factors)
        at_row = np.matmul(inverse_rows, V[:, :, None])[:, :, 0]
        inner = solve_blocks(lev.one_minus[deletions], apply_blocks(S, at_row))
        solved = self._apply_inverse(V)
        return solved + np.matmul(apply_blocks(L, inner)[:, None, :], inverse_rows)[:, 0]

    def _advance(self, state, gradient, moved):
        """Take the step of every row in flight; settle who has arrived, and who strays."""
        active = state.active
        deletions = state.first + active
        step = -self._solve(gradient, deletions, state.inverse_rows[active])
        size = np.sqrt(np.maximum(-np.einsum("ij,ij->i", gradient, step), 0.0))
        bound, row_norm = self._bound(size, moved, deletions), self.own_row_norm[deletions]
        certified = (
            bound * self.inv_sqrt_one_minus_h[deletions] * self.max_coef_sd <= self.tolerance
        )

        again = np.isfinite(state.last_size[active])
        ratio = np.where(again, size / state.last_size[active], np.inf)
        # Without a certificate the step itself has to be within the tolerance, while the gradient
        # halves: what is still to come is then shorter.
        length = np.abs(step).max(axis=1)
        left = np.where(ratio < 0.5, length, np.inf)
        done = certified | (left <= self.tolerance) | (length <= NOTHING * self.tolerance)
        strayed = ~done & again & ~(ratio < 0.5)

        # One secant pair (Broyden): the share of this step along the last is what the chord keeps
        # missing by. Not where the certificate speaks, which is for the plain step.
        last = state.last_step[active]
        q = np.einsum("ij,ij->i", last, step) / np.maximum(
            np.einsum("ij,ij->i", last, last), 1e-300
        )
        with np.errstate(divide="ignore"):
            scale = np.where(again & ~certified & (np.abs(q) < 0.5), 1.0 / (1.0 - q), 1.0)
        scale[strayed] = 0.0
        step *= scale[:, None]
        state.D[active] += step
        own = self._own_range(step, state.rows[active])
        state.bound[active] = bound + np.abs(scale - 1.0) * size
        state.own_error[active] = np.fmin(state.bound[active] * row_norm, own)
        state.last_size[active], state.last_step[active] = size, step
        state.converged[active[done]] = True
        state.active = active[~done & ~strayed]

    def _bound(self, size, moved, deletions):
        """Certified distance to the refit after a plain step from a gradient of this size."""
        M, row_norm = self.objective.loss.self_concordance, self.max_row_norm[deletions]
        if not np.isfinite(M):
            return np.full(len(size), np.inf)
        before = distance(size * self.metric_ratio_upper[deletions], M * moved, row_norm, M)
        after = after_chord_step(before, M * moved, row_norm, M)
        metric_ratio_lower = self.metric_ratio_lower[deletions]
        # In another metric than its own a step is no Newton step: it adds its length.
        return np.where(metric_ratio_lower == 0, after, before + metric_ratio_lower * size)


class _BlockState:
    """Rows of a block on their way: steps (b, P), and what is known about each."""

    def __init__(self, first, rows, inverse_rows, D, active):
        b = len(rows)
        self.first, self.rows, self.inverse_rows, self.D, self.active = (
            first,
            rows,
            inverse_rows,
            D,
            active,
        )
        self.bound, self.own_error = np.full(b, np.inf), np.full(b, np.nan)
        self.converged = np.zeros(b, dtype=bool)
        self.truncation = np.full(b, TRUNCATION)
        self.last_size, self.last_step = np.full(b, np.inf), np.zeros_like(D)
