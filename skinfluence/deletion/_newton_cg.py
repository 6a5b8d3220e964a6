"""Refits of rows on which the chord diverges: Newton's method on all of them at once.

Each row has a curvature of its own, H_-i at its own point, known only by its products: two GEMMs
for all rows together. Conjugate gradients on it are preconditioned by the curvature of the full fit
without that row: the two differ by the few rows whose predictors have moved far, and each of these
costs an iteration or two.
"""

from dataclasses import dataclass, fields

import numpy as np

from skinfluence._class_axis import classes_last
from skinfluence._parallel import row_blocks
from skinfluence.deletion._chord import ChordResult
from skinfluence.deletion._deleted_curvature import DeletedCurvature, conjugate_gradients

MAX_STEPS = 30
# A longer step has overflowed.
FARTHEST = 1e100
MAX_ITERATIONS = 150  # of conjugate gradients, a step
MAX_HALVINGS = 30
# Relative residual of a solve: the norm of the gradient, within these limits. A residual that falls
# in proportion to the gradient keeps Newton's convergence quadratic.
LOOSEST, TIGHTEST = 0.1, 1e-6
# Norm of the gradient under which rows that make no progress are at the floor of float64.
FLOOR = 1e-6
# Rows a block: several blocks keep several threads busy.
BLOCK_DELETIONS = 64


class NewtonCG:
    """Newton's method from the steps at which a ChordNewton ended.

    Parameters
    ----------
    chord : ChordNewton
    """

    def __init__(self, chord):
        self.chord, self.objective, self.metric = chord, chord.objective, chord.metric
        # Where H has no factor, its own solves are iterations: no preconditioner.
        self.is_available = chord.curvature.kind != "cg"

    def blocks(self, n_rows):
        """Slices over so many diverging rows that fit in memory."""
        width = 8 * self.objective.n_outputs * (12 * self.objective.n_rows)
        return row_blocks(n_rows, width, at_most=BLOCK_DELETIONS)

    def run(self, deletions, steps):
        """Refit without each of an index array of deletions, from steps (b, K, q)."""
        chord, b = self.chord, len(deletions)
        state = self._start(np.asarray(deletions), steps.reshape(b, -1))
        found = ChordResult(
            state.D.copy(), np.full(b, np.inf), np.zeros(b, dtype=bool), np.full(b, np.nan)
        )
        for _ in range(MAX_STEPS):
            gradient, moved, hidden = chord.gradient(state.D, state.deletions)
            preconditioned = chord.solve(gradient, state.deletions, state.inverse_rows, state.D)
            size = np.sqrt(np.maximum(np.einsum("ij,ij->i", gradient, preconditioned), 0.0))
            hidden = hidden + self.metric.gradient_rounding[state.deletions]
            hidden += chord.cut_off(state.deletions)
            held = hidden + chord.certified_size(
                gradient, size, state.deletions, state.inverse_rows
            )
            converged = self._record_converged(state, held, moved, found)
            # No progress at the floor of float64: left to `refit`, which accepts that floor.
            active = ~converged & ~((state.size < FLOOR) & (size > 0.5 * state.size))
            state.size = size
            if not active.any():
                break
            state = state.take(active)
            kept = self._step(state, gradient[active])
            found.steps[state.position] = state.D
            if not kept.any():
                break
            state = state.take(kept)
        shape = (b, *self.objective.theta.shape)
        return ChordResult(
            found.steps.reshape(shape), found.bound, found.converged, found.own_error
        )

    def _start(self, deletions, D):
        """State with every row at its step if that lowers its objective, else at the full fit."""
        rows = self.chord.one_step.rows[deletions]
        D = np.where(np.isfinite(D).all(axis=1)[:, None], D, 0.0)
        resting, reached = (self._value(self._predictors(E), E, deletions) for E in (0.0 * D, D))
        D[~(reached <= resting)] = 0.0
        inverse_rows = self.chord.inverse_rows(deletions)
        unknown = np.full(D.shape, np.inf)
        return _BlockState(
            np.arange(len(rows)), deletions, rows, inverse_rows, D, unknown, unknown[:, 0]
        )

    def _record_converged(self, state, size, moved, found):
        """Write what has converged, by certificate or by its last step, into `found`; say which."""
        chord, metric = self.chord, self.metric
        with np.errstate(invalid="ignore"):  # 0 inf: without a constant M nothing is certified
            kappa = self.objective.loss.self_concordance * moved
        bound = metric.distance(size, kappa, state.deletions)
        certified = metric.coefficient_change(bound, state.deletions) <= chord.tolerance
        converged = certified | (np.abs(state.last).max(axis=1) <= chord.tolerance)
        at = state.position[converged]
        found.bound[at], found.converged[at] = bound[converged], True
        within = metric.at_own_rows(bound, state.deletions)
        with np.errstate(invalid="ignore"):  # inf - inf, where there is no last step
            within = np.fmin(within, chord.own_change(state.last, state.deletions))
        found.own_error[at] = within[converged]
        return converged

    def _step(self, state, gradient):
        """Take every row's Newton step, halved until its objective falls; return which have one.

        Without a row of leverage 1 the preconditioner is next to singular, and may overflow.
        """
        chord = self.chord

        def precondition(V, positions):
            return chord.solve(
                V, state.deletions[positions], state.inverse_rows[positions], state.D[positions]
            )

        eta = self._predictors(state.D)
        curvature = DeletedCurvature(
            chord.curvature,
            self.objective,
            eta,
            state.rows,
            share=chord.one_step.share[state.deletions],
            entered=self._entered(state),
        )
        tolerance = np.clip(state.size, TIGHTEST, LOOSEST)
        with np.errstate(over="ignore", invalid="ignore"):
            step = conjugate_gradients(
                curvature, -gradient, precondition, tolerance, max_iterations=MAX_ITERATIONS
            )
        kept = np.abs(step).max(axis=1) <= FARTHEST
        step[~kept] = 0.0
        slope = np.einsum("ij,ij->i", gradient, step)
        change = self._change(step)
        value = self._value(eta, state.D, state.deletions)
        rounding = 16 * np.finfo(float).eps * np.abs(value)
        length, open_rows = np.ones(len(step)), np.arange(len(step))
        for _ in range(MAX_HALVINGS):
            t = length[open_rows]
            moved = eta[:, :, open_rows] + t * change[:, :, open_rows]
            at = state.D[open_rows] + t[:, None] * step[open_rows]
            allowed = value[open_rows] + 1e-4 * t * slope[open_rows] + rounding[open_rows]
            fell = self._value(moved, at, state.deletions[open_rows]) <= allowed
            open_rows = open_rows[~fell]
            if not len(open_rows):
                break
            length[open_rows] *= 0.5
        length[open_rows] = 0.0
        state.last = length[:, None] * step
        state.D += state.last
        # A full step bounds the next by quadratic convergence, a halved one says nothing of it.
        state.last[(length < 1.0) | ~kept] = np.inf
        return kept

    def _change(self, D):
        """Change of all rows' predictors by steps (a, P), (K, n, a)."""
        return self.objective.design.predictors_of(D.reshape(len(D), self.objective.n_outputs, -1))

    def _predictors(self, D):
        """Predictors (K, n, a) at theta + D."""
        return self._change(D) + self.chord.eta[:, :, None]

    def _entered(self, state):
        """Entering rows z_e (a, q) and their curvatures (a, K, K); None where nothing enters."""
        entering = self.chord.one_step.entering
        if entering is None:
            return None
        entering = entering.take(state.deletions)
        eta = self.chord.entering_eta(state.D, entering)
        rows = self.objective.design.dense(entering.rows)
        return rows, entering.curvatures(self.objective, eta)

    def _value(self, eta, D, deletions):
        """Objective after each deletion at predictors (K, n, a), (a,)."""
        objective, one_step = self.objective, self.chord.one_step
        rows = one_step.rows[deletions]
        with np.errstate(over="ignore", invalid="ignore"):
            native = classes_last(eta, objective.loss.is_scalar)
            losses = objective.loss.value(objective.y[:, None], native)
            losses = objective.weigh(losses)
            losses[rows, np.arange(len(rows))] = 0.0
            theta = objective.theta + D.reshape(len(D), *objective.theta.shape)
            value = losses.sum(axis=0) + objective.penalty.values(theta)
            if objective.row_penalty is not None:
                value -= one_step.share[deletions] * objective.row_penalty.values(theta)
            if one_step.entering is not None:
                entering = one_step.entering.take(deletions)
                value += entering.losses(objective, self.chord.entering_eta(D, entering))
            return value


@dataclass
class _BlockState:
    """Where the rows of a block are: overwritten step by step.

    Attributes
    ----------
    position : ndarray of int, shape (a,)
        In the block.
    deletions, rows : ndarray of int, shape (a,)
        Position among the deletions, and training row.
    inverse_rows : ndarray of shape (a, K, P)
        H^-1 (e_k (x) z_i).
    D, last : ndarray of shape (a, P)
        Step from the full fit, and the last Newton step; inf where that says nothing of the next.
    size : ndarray of shape (a,)
        Norm of the gradient in the inverse curvature of the full fit without the row.
    """

    position: np.ndarray
    deletions: np.ndarray
    rows: np.ndarray
    inverse_rows: np.ndarray
    D: np.ndarray
    last: np.ndarray
    size: np.ndarray

    def take(self, kept):
        """Return the state of some of the rows."""
        return _BlockState(*(getattr(self, field.name)[kept] for field in fields(self)))
