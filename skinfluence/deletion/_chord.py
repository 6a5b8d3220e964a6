"""Many refits at once: chord steps, Newton's with the one factor of the full fit.

All deletions of a block move together. A pass over them is two GEMMs, predictors and gradients of
n x b numbers, around elementwise residuals; the solve is with the full fit's factor and a rank-K
correction for the missing row. A pass divides the error of a row by the relative change of its
curvature since the full fit: some thirtyfold on ordinary data.
"""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, log

import numpy as np

from skinfluence._backend import apply_blocks, solve_blocks
from skinfluence._class_axis import classes_first, classes_last
from skinfluence._parallel import cache_blocks, row_blocks
from skinfluence.deletion._single_remainder import SingleRemainder
from skinfluence.deletion.certificate import after_chord_step

MAX_PASSES = 15
# Terms of a Taylor series of the residuals, at most, and the share of its first term that those cut
# off may have where no tolerance says how much.
MAX_ORDER = 8
# Largest factor by which the steps of a chord are taken to shrink when what follows is estimated.
MAX_RATIO = 0.8
TRUNCATION = 1e-11
# Share of the tolerance of a coefficient that cutting the series off may cost.
TRUNCATION_SHARE = 1e-3
# A step of this share of the tolerance is rounding: the row has converged, whatever the last step
# was.
ROUNDING_SHARE = 1e-3
# Pairs of steps that correct the inverse of a row's later ones, at most, and between which ratios a
# pair does.
SECANT_PAIRS, SECANT_RATIOS = 6, (-3.0, 0.5)
# Deletions a block: wide enough for a GEMM, and n times as many predictors near the cache.
BLOCK_DELETIONS = 256
# Times the tolerance that the bound on rounding to float32 may be (rounding is 1 % of it), and the
# pairs of a deletion and a row from which it saves more than a second copy of the rows costs.
SINGLE_SHARE, LEAST_SINGLE = 5.0, 1e6
# Share of a Newton step that the step by quadratic terms may be.
SECOND_SHARE = 0.3
# Share of its bound that the largest change of a predictor usually is.
USUAL_SHARE = 0.3


@dataclass(frozen=True)
class ChordResult:
    """Refits of a block of rows.

    Attributes
    ----------
    steps : ndarray of shape (b, K, q)
        theta_-i - theta.
    bound : ndarray of shape (b,)
        Certified distance to the refit in the norm of :class:`RefitMetric`; inf if uncertified.
    converged : ndarray of bool, shape (b,)
    own_error : ndarray of shape (b,)
        Size of the last step at the row's own predictor, or the certified error if that is smaller.
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

    Attributes
    ----------
    metric : RefitMetric
        Norms of the curvature without each row.
    """

    def __init__(self, one_step, tolerance):
        self.one_step, self.metric = one_step, one_step.metric
        self.objective, self.curvature = one_step.objective, one_step.curvature
        self.tolerance = tolerance * self.objective.coefficient_unit
        self.hessian_diagonal = self.objective.penalty.hessian_diagonal
        self.eta = np.ascontiguousarray(self.objective.eta.T)  # (K, n)
        self.residuals = np.ascontiguousarray(self.objective.residuals.T)
        # A loss of several outputs may have a radius, that of each of them, and has no series.
        self.has_series = self.objective.loss.series_radius > 0 and self.objective.n_outputs == 1
        self._inverse = self.curvature.known_inverse()
        self._spare = np.flatnonzero(self.objective.sample_weight == 0)
        self._local = threading.local()

    @cached_property
    def series(self):
        """Coefficients of the Taylor series of each row's residual, from the first order up."""
        found = self.objective.loss.gradient_series(
            self.objective.y, self.objective.native(self.objective.eta), MAX_ORDER
        )
        return [self.objective.weigh(c) for c in found]

    def blocks(self):
        """Slices over the deletions that fit in memory and keep the GEMMs wide."""
        K, n = self.objective.n_outputs, self.objective.n_rows
        width = 8 * K * (6 * n + 4 * K * self.objective.design.shape[1])
        return row_blocks(len(self.one_step), width, at_most=BLOCK_DELETIONS)

    def run(self, part):
        """Refit without each row of a slice of the deletions."""
        state = self.start(part)
        with np.errstate(over="ignore", invalid="ignore"):  # steps far too long; no bound at 0
            for _ in range(MAX_PASSES):
                if not len(state.active):
                    break
                active = state.active
                gradient, moved, hidden = self.gradient(
                    state.D[active], state.first + active, state.truncation[active]
                )
                self.advance(state, gradient, moved, hidden)
        steps = state.D.reshape(len(state.D), self.objective.n_outputs, -1)
        return ChordResult(steps, state.bound, state.converged, state.own_error)

    def start(self, part):
        """State of a slice with every row at its Newton step, corrected to the second order.

        Rows of weight 0 are refits already; undefined ones, and those whose Newton step overflows,
        have no part in it.
        """
        one_step = self.one_step
        deletions = np.arange(part.start, part.stop)
        inverse_rows = self.inverse_rows(deletions)
        D = self._newton(part, inverse_rows)
        self._add_second_order(D, deletions, inverse_rows)
        usable = np.isfinite(D).all(axis=1) & ~one_step.undefined[part]
        idle = usable & one_step.idle[part]
        b = len(deletions)
        return _BlockState(
            first=part.start,
            inverse_rows=inverse_rows,
            truncation=self._truncation(part),
            D=D,
            active=np.flatnonzero(usable & ~idle),
            bound=np.where(idle, 0.0, np.inf),
            own_error=np.where(idle, 0.0, np.nan),
            converged=idle.copy(),
            last_size=np.full(b, np.inf),
        )

    def _newton(self, deletions, inverse_rows):
        """Newton steps of some deletions, (b, P)."""
        one_step, K = self.one_step, self.objective.n_outputs
        D = np.matmul(one_step.multipliers[deletions][:, None, :], inverse_rows[:, :K])[:, 0]
        if inverse_rows.shape[1] > K:
            D -= np.matmul(one_step.slope[deletions][:, None, :], inverse_rows[:, K:])[:, 0]
        shape = (len(D), *self.objective.theta.shape)
        return one_step.add_penalty_step(D.reshape(shape), deletions).reshape(len(D), -1)

    def _add_second_order(self, D, deletions, inverse_rows):
        """Add the step by the quadratic terms of the gradients to Newton steps (b, P), in place.

        Where it is short beside them: elsewhere the terms of a higher order are larger.
        """
        if self._quadratic_terms is None:
            return
        rows, one_step = self.one_step.rows[deletions], self.one_step
        own = self.objective.design.dense(rows)
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            moved = self.series[1][rows] * np.einsum("ij,ij->i", own, D) ** 2
            gradient = self._quadratic_terms.gradients(D) - moved[:, None] * own
            step = -self.solve(gradient, deletions, inverse_rows)
            square = -np.einsum("ij,ij->i", gradient, step)
            short = square <= SECOND_SHARE**2 * one_step.squared_length[deletions]
        short &= np.isfinite(step).all(axis=1)
        D[short] += step[short]

    @cached_property
    def _quadratic_terms(self):
        """The QuadraticTerms of these deletions; None where a pass over the rows costs less."""
        if self.one_step.entering is not None or not self._is_single.any():
            return None
        return self._single.quadratic_terms(len(self.one_step))

    def _truncation(self, part):
        """Share of a series' first term under which its later terms are cut off, (b,).

        The first terms are W_j u_j with u the changes of the predictors by the step d: together a
        gradient of norm at most ||d||. An error of a share e of them moves a coefficient by at most
        e ||d|| times the largest standard deviation of one; twice that, as the step may grow.
        """
        change = self.metric.coefficient_change(self._longest[part], part)
        return np.clip(TRUNCATION_SHARE * self.tolerance / change, 1e-13, 1e-6)

    @cached_property
    def _longest(self):
        """Twice the lengths ||d|| of the Newton steps, (r,)."""
        return 2.0 * np.sqrt(np.maximum(self.one_step.squared_length, 1e-300))

    def _buffer(self, size, dtype=np.float64):
        """Return the thread's own scratch array: a fresh page costs more than a flop."""
        width = size * np.dtype(dtype).itemsize
        if getattr(self._local, "scratch", None) is None or self._local.scratch.nbytes < width:
            self._local.scratch = np.empty(-(-width // 8))
        return self._local.scratch.view(dtype)[:size]

    def next_change(self, deletions):
        """Size of the step after the Newton step, at each deleted row's own predictor."""
        inverse_rows = self.inverse_rows(deletions)
        D = self._newton(deletions, inverse_rows)
        gradient, _, _ = self.gradient(D, deletions)
        step = -self.solve(gradient, deletions, inverse_rows, D)
        return self.own_change(step, deletions)

    def remaining_change(self, deletions):
        """Estimated size of all steps after the Newton step, at each deleted row's own predictor.

        Two chord steps are computed, s and s'. In the end the steps of a chord are a geometric
        series of some ratio r, that of s' along s: they add up to s / (1 - r). Long Newton steps
        overshoot, so that the chord steps alternate, r < 0: their sum is then between s / (1 - r)
        and s, and s / sqrt(1 - r) above most.
        """
        inverse_rows = self.inverse_rows(deletions)
        newton = self._newton(deletions, inverse_rows)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gradient, _, _ = self.gradient(newton, deletions)
            first = -self.solve(gradient, deletions, inverse_rows, newton)
            gradient, _, _ = self.gradient(newton + first, deletions)
            second = -self.solve(gradient, deletions, inverse_rows, newton + first)
            own, after = (self._own_vectors(step, deletions) for step in (first, second))
            ratio = np.einsum("ik,ik->i", own, after) / np.einsum("ik,ik->i", own, own)
        ratio = np.minimum(np.where(np.isfinite(ratio), ratio, 0.0), MAX_RATIO)
        shrink = np.where(ratio < 0, np.sqrt(1.0 - np.minimum(ratio, 0.0)), 1.0 - ratio)
        norm = self.objective.loss.predictor_norm
        return np.fmax(norm(own) / shrink, norm(own + after))

    def own_change(self, steps, deletions):
        """Size of the change that steps (b, P) make at their own rows, (b,)."""
        return self.objective.loss.predictor_norm(self._own_vectors(steps, deletions))

    def _own_vectors(self, steps, deletions):
        """Change that steps (b, P) make at their own rows, (b, K)."""
        rows = self.one_step.own_rows[deletions]
        own = self.objective.design.dense(rows)
        steps = steps.reshape(len(rows), self.objective.n_outputs, own.shape[1])
        return np.einsum("ikj,ij->ik", steps, own)

    def inverse_rows(self, deletions):
        """H^-1 (e_k (x) z_i), (b, K, P); (b, 2 K, P) where the row that enters is another."""
        one_step = self.one_step
        leaving = self._inverse_of(one_step.rows[deletions])
        if one_step.entering is None or one_step.in_place:
            return leaving
        entering = self._inverse_of(one_step.entering.rows[deletions])
        return np.concatenate([leaving, entering], axis=1)

    def _inverse_of(self, rows):
        """H^-1 (e_k (x) z_i) of some rows, (b, K, P)."""
        K = self.objective.n_outputs
        unit = self.objective.design.outer(np.tile(np.eye(K), (len(rows), 1)), np.repeat(rows, K))
        return self._apply_inverse(unit).reshape(len(rows), K, -1)

    def _apply_inverse(self, V):
        """V H^-1 for rows V (a, P).

        By the explicit inverse where H is factored: one GEMM instead of two triangular solves. Its
        rounding does no harm: the next step starts from the gradient, which is computed without it.
        """
        return self.curvature.solve(V.T).T if self._inverse is None else V @ self._inverse

    def gradient(self, D, deletions, truncation=None):
        """Gradients after each deletion at theta + d (a, P), the largest change of another row.

        And what the rounding of sums in float32 may hide of their norms in the refits' metrics.

        Everything but the row's own residual is a difference from the full fit, whose gradient
        vanishes: no digits cancel when the steps are short.
        """
        rows = self.one_step.rows[deletions]
        truncation = np.full(len(rows), TRUNCATION) if truncation is None else truncation
        objective = self.objective
        steps = D.reshape(len(rows), objective.n_outputs, -1)
        gradient = self.hessian_diagonal * steps + objective.gradient
        changed, largest, hidden = self._changed_slopes(D, rows, deletions, truncation)
        gradient += changed.reshape(steps.shape)
        if self.one_step.entering is not None:
            entering = self.one_step.entering.take(deletions)
            slopes = entering.slopes(objective, self.entering_eta(D, entering))
            gradient += objective.design.outer(slopes, entering.rows).reshape(gradient.shape)
        if self.one_step.penalty_step is not None:
            share = self.one_step.share[deletions][:, None, None]
            gradient -= share * (
                objective.row_penalty.hessian_diagonal * steps + self.one_step.common
            )
        return objective.freed(gradient).reshape(len(rows), -1), largest, hidden

    def _changed_slopes(self, D, rows, deletions, truncation):
        """(Sums of changes of slopes times z_j at D without `rows`, the largest |u_j|, rounding).

        In float32, but for the linear part, where its rounding is within the tolerance.
        """
        double = ~self._is_single[deletions]
        if double.all():
            return *self._changed_in_double(D, rows, truncation), np.zeros(len(D))
        changed, largest, hidden = np.empty_like(D), np.empty(len(D)), np.zeros(len(D))
        at = np.flatnonzero(~double)
        scratch = self._buffer(self._single.scratch_size(len(at)), np.float32)
        changed[at], largest[at] = self._single.gradients(
            D[at], rows[at], truncation[at].min(), scratch
        )
        hidden[at] = self._single.rounding(self._single.lengths(D[at]), largest[at])
        hidden *= self.metric.inverse_norm_ratio[deletions]
        # In the metric of the refit, as `size` and `distance` are.
        change = self.metric.coefficient_change(hidden, deletions)
        double |= ~(change <= SINGLE_SHARE * self.tolerance)
        double[at] |= ~self._single.reaches(largest[at], truncation[at])
        if double.any():
            hidden[double] = 0.0
            changed[double], largest[double] = self._changed_in_double(
                D[double], rows[double], truncation[double]
            )
        return changed, largest, hidden

    def _changed_in_double(self, D, rows, truncation):
        """Of `_changed_slopes` the float64 ones."""
        objective, K = self.objective, self.objective.n_outputs
        a, n = len(rows), objective.n_rows
        steps = D.reshape(a, K, -1)
        # The predictors of a deletion lie side by side: what is per training row then runs along
        # them, at a third of the time that a scalar for each of many short rows would take.
        U = self._buffer(K * a * n).reshape(K, a, n)
        by_row = U.transpose(0, 2, 1)  # (K, n, a), a view
        objective.design.predictors_of(steps, out=by_row)
        own = np.arange(a)
        U[:, own, rows] = 0.0  # the certificate is about the rows that remain
        if len(self._spare):
            U[:, :, self._spare] = 0.0
        largest = np.empty(a)
        for block in cache_blocks(a, K * n):
            change = U[:, block]
            norm = objective.loss.predictor_norm(classes_last(change, is_scalar=False))
            largest[block] = norm.max(axis=1)
            if not self._by_series(change[0], largest[block].max(), truncation[block].min()):
                self._by_loss(change)
        U[:, own, rows] = -self.residuals[:, rows]
        return objective.design.gradients_of(by_row).reshape(a, -1), largest

    @cached_property
    def _single(self):
        """The SingleRemainder of these deletions; None where there is none."""
        if not self.has_series or not np.isfinite(self.objective.loss.self_concordance):
            return None
        return SingleRemainder.of(self.objective, self.curvature, self.series)

    @cached_property
    def _is_single(self):
        """Whether float32 is tried for the gradients of each deletion, (r,)."""
        few = len(self.one_step) * self.objective.n_rows < LEAST_SINGLE
        if self.tolerance == 0 or few or self._single is None:
            return np.zeros(len(self.one_step), dtype=bool)
        everything, ratio = slice(None), self.metric.inverse_norm_ratio
        length = 0.5 * self._longest * ratio
        reach = self.metric.max_row_norm_full * length * USUAL_SHARE
        change = self.metric.coefficient_change(
            self._single.rounding(length, reach) * ratio, everything
        )
        within = change <= SINGLE_SHARE * self.tolerance
        return within & self._single.reaches(reach, self._truncation(everything))

    def entering_eta(self, D, entering):
        """Predictors (a, K) of the entering rows at theta + d."""
        steps = D.reshape(len(D), *self.objective.theta.shape)
        Z = self.objective.design.dense(entering.rows)
        return self.objective.eta[entering.rows] + np.einsum("ikj,ij->ik", steps, Z)

    def _by_loss(self, change):
        """Turn changes of predictors (K, c, n) into changes of residuals, in place."""
        loss, objective = self.objective.loss, self.objective
        change += self.eta[:, None]
        slope = loss.gradient(objective.y, classes_last(change, loss.is_scalar))
        slope = objective.weigh(classes_first(slope, loss.is_scalar), axis=-1)
        np.subtract(slope, self.residuals[:, None], out=change)

    def _by_series(self, change, largest, truncation):
        """As `_by_loss`, by the loss's Taylor series if few terms are enough; return whether.

        The predictors of other rows hardly move: four or five products replace an exponential, and
        the difference of two residuals loses no digits. With x = `largest` / `series_radius` the
        k-th term is at most about x^(k - 1) of the first.
        """
        share = largest / self.objective.loss.series_radius if self.has_series else np.inf
        if not share < 1.0:  # NaN too, of a step that has overflowed
            return False
        order = 1 if share == 0 else ceil(log(truncation) / log(share))
        if order > MAX_ORDER:
            return False
        if order == 1:
            change *= self.series[0]
            return True
        total = change * self.series[order - 1]  # Horner's rule, coefficients from the last down
        for coefficient in self.series[order - 2 : 0 : -1]:
            total += coefficient
            total *= change
        total += self.series[0]
        change *= total
        return True

    def solve(self, V, deletions, inverse_rows, D=None):
        """Inverse of the curvature after each deletion, times that deletion's V (a, P).

        Of a row that enters the curvature is that at theta + `D` (a, P).
        """
        solved = self.solve_without(V, deletions, inverse_rows)
        if self.one_step.entering is None:
            return solved
        # H_+^-1 V = y - E' (I + W A)^-1 W Z_e y with y = H_-^-1 V, E = Z_e H_-^-1, A = E Z_e'.
        K, objective = self.objective.n_outputs, self.objective
        entering = self.one_step.entering.take(deletions)
        W = entering.curvatures(objective, self.entering_eta(D, entering))
        own = objective.design.dense(self.one_step.rows[deletions])
        Z = objective.design.dense(entering.rows)
        rows = inverse_rows[:, -K:].reshape(len(V), K, K, -1)
        E = np.stack(
            [
                self._without(
                    rows[:, k].reshape(len(V), -1),
                    np.einsum("imj,ij->im", rows[:, k], own),
                    deletions,
                    inverse_rows,
                )
                for k in range(K)
            ],
            axis=1,
        )
        A = np.einsum("ikmj,ij->ikm", E.reshape(rows.shape), Z)
        y = np.einsum("imj,ij->im", solved.reshape(len(V), K, -1), Z)
        system = np.eye(K) + np.matmul(W, A)
        weight = np.linalg.solve(system, apply_blocks(W, y)[:, :, None])
        return solved - np.matmul(weight.transpose(0, 2, 1), E)[:, 0]

    def solve_without(self, V, deletions, inverse_rows):
        """Inverse of the curvature without each row, before another enters, times V (a, P).

        (H - Z_i'W_i Z_i)^-1 = H^-1 + H^-1 Z_i' L (I - S A_i L)^-1 S Z_i H^-1 with W_i = L S, by
        `inverse_rows` = Z_i H^-1. It is the metric of the certificate, which counts on the rows
        that stay: the curvature of one that enters says nothing of elsewhere.
        """
        leaving = inverse_rows[:, : self.objective.n_outputs]
        at_row = np.matmul(leaving, V[:, :, None])[:, :, 0]
        return self._without(self._apply_inverse(V), at_row, deletions, inverse_rows)

    def _without(self, solved, at_row, deletions, inverse_rows):
        """H_-^-1 V from H^-1 V = `solved` (a, P) and Z_i H^-1 V = `at_row` (a, K)."""
        L, S = self._weight_factors(deletions)
        one_minus = self.one_step.leverage.one_minus[deletions]
        inner = solve_blocks(one_minus, apply_blocks(S, at_row))
        leaving = inverse_rows[:, : self.objective.n_outputs]
        return solved + np.matmul(apply_blocks(L, inner)[:, None, :], leaving)[:, 0]

    def _weight_factors(self, deletions):
        """(L, S) of some rows that leave, (b, K, K) each; of one output kept for all passes."""
        if self.objective.n_outputs > 1:
            return self.objective.weight_factors_of(self.one_step.rows[deletions])
        L, S = self._weight_roots
        return L[deletions], S[deletions]

    @cached_property
    def _weight_roots(self):
        """(L, S) of every row that leaves, (r, 1, 1) each."""
        return self.objective.weight_factors_of(self.one_step.rows)

    def certified_size(self, gradient, size, deletions, inverse_rows):
        """Norm of the gradients in the inverse of the curvature of the rows that stay, (a,).

        `size` is the norm with what has entered: the same where nothing has.
        """
        if self.one_step.entering is None:
            return size
        solved = self.solve_without(gradient, deletions, inverse_rows)
        return np.sqrt(np.maximum(np.einsum("ij,ij->i", gradient, solved), 0.0))

    def cut_off(self, deletions, truncation=TRUNCATION):
        """What the end of a series, see `_truncation`, may hide of those norms, (a,)."""
        return (truncation if self.has_series else 0.0) * self._longest[deletions]

    def advance(self, state, gradient, moved, hidden):
        """Take the next step of every active row; retire those that have converged or diverge."""
        active = state.active
        deletions = state.first + active
        inverse_rows = state.inverse_rows[active]
        step = -self.solve(gradient, deletions, inverse_rows, state.D[active])
        # The norm of the gradient in the inverse curvature is that of the step in the curvature.
        size = np.sqrt(np.maximum(-np.einsum("ij,ij->i", gradient, step), 0.0))
        held = self.certified_size(gradient, size, deletions, inverse_rows)
        cut_off = self.cut_off(deletions, state.truncation[active])
        hidden = hidden + self.metric.gradient_rounding[deletions] + cut_off
        has_last = state.last_step is not None
        ratio = size / state.last_size[active] if has_last else np.full(len(size), np.inf)
        # Without a certificate the step itself has to be within the tolerance, while the gradient
        # halves: the sum of all later steps is then no longer than this one.
        length = np.abs(step).max(axis=1)
        done = (length <= self.tolerance) & (ratio < 0.5)
        done |= length <= ROUNDING_SHARE * self.tolerance
        if done.any() or self._may_be_certified(held, moved, deletions):
            bound = self.bound_after(held, moved, deletions, hidden)
            # What rounding may hide of the gradient is the same after more passes.
            within = self.bound_after(held, moved, deletions, cut_off)
            done |= self.metric.coefficient_change(within, deletions) <= self.tolerance
            self._retire(state, done, bound, step)
        diverging = ~done & ~(ratio < 0.5) if has_last else np.zeros(len(size), dtype=bool)
        step[diverging] = 0.0
        going = ~(done | diverging)
        _accelerate(state, step, going)
        state.D[active] += step
        state.last_size[active] = size
        state.keep(going)

    def _retire(self, state, done, bound, step):
        """Record the active rows that are done: their bounds (a,), and last steps (a, P)."""
        if not done.any():
            return
        positions, bound = state.active[done], bound[done]
        deletions = state.first + positions
        own = self.own_change(step[done], deletions)
        state.bound[positions], state.converged[positions] = bound, True
        within = self.metric.at_own_rows(bound, deletions)
        state.own_error[positions] = np.fmin(within, own)

    def _may_be_certified(self, size, moved, deletions):
        """Whether `bound_after`, at least kappa nu, can be within the tolerance anywhere."""
        least = np.minimum(self.objective.loss.self_concordance * moved, 1.0) * size
        return (self.metric.coefficient_change(least, deletions) <= self.tolerance).any()

    def bound_after(self, size, moved, deletions, hidden=0.0):
        """Certified distance to the refit after the plain step from a gradient.

        Parameters
        ----------
        size : ndarray of shape (a,)
            Norm of the gradient, and of the step.
        moved : ndarray of shape (a,)
            Largest change of a remaining row's predictor so far.
        deletions : ndarray of int, shape (a,)
        hidden : ndarray of shape (a,)
            What rounding and the end of a series may hide of the norm: no step takes that away.
        """
        M, metric = self.objective.loss.self_concordance, self.metric
        if not np.isfinite(M):
            return np.full(len(size), np.inf)
        before = metric.distance(size + hidden, M * moved, deletions)
        after = hidden + after_chord_step(before, M * moved, metric.max_row_norm[deletions], M)
        # In a curvature that is not quite G a step is not G's Newton step: it adds its length.
        added = before + metric.step_norm_ratio[deletions] * size
        plain = metric.penalty_mismatch[deletions] == 0
        return np.where(plain & (self.one_step.entering is None), after, added)


def _accelerate(state, step, wanted):
    """Broyden's good update of the steps (a, P) of a block's active rows, in place.

    A chord step keeps its inverse. Where one leaves the step t after the step s, the rank-one term
    u s' with u = t / (s's - s't) corrects that inverse, so that it maps what the gradient has
    changed by to s. Along s alone that sums a geometric series, of the ratio s't / s's. Not for
    rows that are done, whose certificate is about the plain step, nor by a pair the ratio of which
    says little.
    """
    for last, correction in state.pairs:
        along = np.where(wanted, np.einsum("ij,ij->i", last, step), 0.0)
        step += along[:, None] * correction
    if state.last_step is not None:
        square = np.maximum(np.einsum("ij,ij->i", state.last_step, state.last_step), 1e-300)
        ratio = np.einsum("ij,ij->i", state.last_step, step) / square
        used = wanted & (ratio > SECANT_RATIOS[0]) & (ratio < SECANT_RATIOS[1])
        sum_of_series = 1.0 / (1.0 - np.where(used, ratio, 0.0))
        correction = step * (np.where(used, sum_of_series, 0.0) / square)[:, None]
        state.pairs = [*state.pairs, (state.last_step, correction)][-SECANT_PAIRS:]
        step *= sum_of_series[:, None]
    state.last_step = step


@dataclass
class _BlockState:
    """Where the rows of a block are: overwritten pass by pass.

    Attributes
    ----------
    first : int
        Position of the block's first row among the deletions.
    inverse_rows : ndarray of shape (b, K, P) or (b, 2 K, P)
        As of :meth:`ChordNewton.inverse_rows`.
    truncation : ndarray of shape (b,)
    D : ndarray of shape (b, P)
        Steps from the full fit.
    active : ndarray of int
        Positions in the block of the rows that still move.
    bound, own_error, converged : ndarray of shape (b,)
        As of :class:`ChordResult`.
    last_size : ndarray of shape (b,)
        Norm of the gradient before the last step; inf where there is none.
    last_step : ndarray of shape (a, P), or None
        Of the active rows.
    pairs : list of (ndarray of shape (a, P), ndarray of shape (a, P))
        Earlier steps of the active rows, and what each corrects the chord's inverse by.
    """

    first: int
    inverse_rows: np.ndarray
    truncation: np.ndarray
    D: np.ndarray
    active: np.ndarray
    bound: np.ndarray
    own_error: np.ndarray
    converged: np.ndarray
    last_size: np.ndarray
    last_step: np.ndarray | None = None
    pairs: list = field(default_factory=list)

    def keep(self, kept):
        """Go on with some of the active rows."""
        self.active = self.active[kept]
        if not kept.all():
            self.last_step = self.last_step[kept]
            self.pairs = [(last[kept], correction[kept]) for last, correction in self.pairs]
