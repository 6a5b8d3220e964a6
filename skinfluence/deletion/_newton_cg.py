"""Refits of the rows that the chord loses: Newton's method on all of them at once.

Each row has a curvature of its own, H_-i at its own point, known only by its products: two GEMMs
for all rows together. Conjugate gradients on it are preconditioned by the curvature of the full fit
without that row, which differs in the few rows that have moved far.
"""

from dataclasses import dataclass, fields

import numpy as np

from skinfluence._parallel import row_blocks
from skinfluence.deletion._chord import ChordResult
from skinfluence.deletion.certificate import distance

MAX_STEPS = 30
# A longer step is none.
FARTHEST = 1e100
MAX_ITERATIONS = 150  # of conjugate gradients, a step
MAX_HALVINGS = 30
# Relative residual of a solve: the Newton decrement, within these, for quadratic convergence.
LOOSEST, TIGHTEST = 0.1, 1e-6
# Norm of the gradient under which rows that make no progress are at the floor of float64.
FLOOR = 1e-6
# Rows a block: several blocks keep several threads busy.
BLOCK_DELETIONS = 64


class NewtonCG:
    """Newton's method from where a ChordNewton gave up.

    Parameters
    ----------
    chord : ChordNewton
    """

    def __init__(self, chord):
        self.chord, self.objective = chord, chord.objective
        # Where H has no factor, its own solves are iterations: no preconditioner.
        self.is_available = chord.curvature.kind != "cg"

    def blocks(self, n_rows):
        """Slices over so many straying rows that fit in memory."""
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
            gradient, moved = chord._gradient(state.D, state.rows)
            preconditioned = chord._solve(gradient, state.deletions, state.inverse_rows)
            size = np.sqrt(np.maximum(np.einsum("ij,ij->i", gradient, preconditioned), 0.0))
            converged = self._record_converged(state, size, moved, found)
            # No progress at the floor of float64: the safeguarded Newton has its own say on that.
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
        """Every row where the chord left it if that is an improvement, else at the full fit."""
        rows = self.chord.one_step.rows[deletions]
        D = np.where(np.isfinite(D).all(axis=1)[:, None], D, 0.0)
        resting, reached = (self._value(self._predictors(E), E, rows) for E in (0.0 * D, D))
        D[~(reached <= resting)] = 0.0
        inverse_rows = self.chord._inverse_rows(rows)
        unknown = np.full(D.shape, np.inf)
        return _BlockState(
            np.arange(len(rows)), deletions, rows, inverse_rows, D, unknown, unknown[:, 0]
        )

    def _record_converged(self, state, size, moved, found):
        """Say which rows have arrived, by certificate or by their last step."""
        chord, M = self.chord, self.objective.loss.self_concordance
        size = size * chord.metric_ratio_upper[state.deletions]
        with np.errstate(invalid="ignore"):  # without a constant M nothing is certified
            kappa = M * moved
        bound = distance(size, kappa, chord.max_row_norm[state.deletions], M)
        certified = (
            bound * chord.inv_sqrt_one_minus_h[state.deletions] * chord.max_coef_sd
            <= chord.tolerance
        )
        converged = certified | (np.abs(state.last).max(axis=1) <= chord.tolerance)
        at = state.position[converged]
        found.bound[at], found.converged[at] = bound[converged], True
        within = bound * chord.own_row_norm[state.deletions]
        with np.errstate(invalid="ignore"):  # inf - inf, where there is no last step
            within = np.fmin(within, chord._own_range(state.last, state.rows))
        found.own_error[at] = within[converged]
        return converged

    def _step(self, state, gradient):
        """Take the Newton step of every row, halved until its objective falls; say who has one.

        Without a row of leverage 1 the preconditioner is next to singular, and may overflow.
        """
        eta = self._predictors(state.D)
        curvature = _DeletedCurvature(self.chord.curvature, eta, state.rows)
        with np.errstate(over="ignore", invalid="ignore"):
            step = self._solve(state, curvature, -gradient, np.clip(state.size, TIGHTEST, LOOSEST))
        kept = np.abs(step).max(axis=1) <= FARTHEST
        step[~kept] = 0.0
        slope = np.einsum("ij,ij->i", gradient, step)
        change = self._change(step)
        value = self._value(eta, state.D, state.rows)
        rounding = 16 * np.finfo(float).eps * np.abs(value)
        length, open_rows = np.ones(len(step)), np.arange(len(step))
        for _ in range(MAX_HALVINGS):
            t = length[open_rows]
            moved = eta[:, :, open_rows] + t * change[:, :, open_rows]
            at = state.D[open_rows] + t[:, None] * step[open_rows]
            allowed = value[open_rows] + 1e-4 * t * slope[open_rows] + rounding[open_rows]
            fell = self._value(moved, at, state.rows[open_rows]) <= allowed
            open_rows = open_rows[~fell]
            if not len(open_rows):
                break
            length[open_rows] *= 0.5
        length[open_rows] = 0.0
        state.last = length[:, None] * step
        state.D += state.last
        state.last[(length < 1.0) | ~kept] = np.inf  # a halved step says nothing of what is left
        return kept

    def _solve(self, state, curvature, right, tolerance):
        """Conjugate gradients on all rows' systems (a, P); finished ones leave the products."""
        X, R = np.zeros_like(right), right.copy()
        live, curvature_live = np.arange(len(right)), curvature
        P = self.chord._solve(R, state.deletions, state.inverse_rows)
        direction, rho = P, np.einsum("ij,ij->i", R, P)
        enough = tolerance**2 * rho
        for _ in range(MAX_ITERATIONS):
            active = rho > enough
            if not active.any():
                break
            if active.mean() <= 0.75:
                live, R, direction = live[active], R[active], direction[active]
                rho, enough = rho[active], enough[active]
                curvature_live = curvature.take(live)
            product = curvature_live.matmul(direction)
            bend = np.einsum("ij,ij->i", direction, product)
            step = np.divide(rho, bend, out=np.zeros_like(rho), where=bend > 0)[:, None]
            X[live] += step * direction
            R -= step * product
            P = self.chord._solve(R, state.deletions[live], state.inverse_rows[live])
            rho, before = np.einsum("ij,ij->i", R, P), rho
            ratio = np.divide(rho, before, out=np.zeros_like(rho), where=before > 0)
            direction = P + ratio[:, None] * direction
        return X

    def _change(self, D):
        """Change of all rows' predictors by steps (a, P), (K, n, a)."""
        return _predictors(self.objective.design, D.reshape(len(D), self.objective.n_outputs, -1))

    def _predictors(self, D):
        """Predictors (K, n, a) at theta + D."""
        return self._change(D) + self.chord.eta[:, :, None]

    def _value(self, eta, D, rows):
        """Objective without each row at predictors (K, n, a), (a,)."""
        objective = self.objective
        with np.errstate(over="ignore", invalid="ignore"):
            losses = objective.loss.value(objective.y[:, None], _native(objective.loss, eta))
            losses = losses * objective.sample_weight[:, None]
            losses[rows, np.arange(len(rows))] = 0.0
            theta = objective.theta + D.reshape(len(D), *objective.theta.shape)
            value = losses.sum(axis=0) + objective.penalty.values(theta)
            if objective.row_penalty is not None:
                value -= objective.shares[rows] * objective.row_penalty.values(theta)
            return value


@dataclass
class _BlockState:
    """Rows on their way: where they are in the block, their steps (a, P), and the last one.

    `size` is the norm of the gradient in the inverse curvature of the full fit without the row.
    """

    position: np.ndarray
    deletions: np.ndarray
    rows: np.ndarray
    inverse_rows: np.ndarray
    D: np.ndarray
    last: np.ndarray
    size: np.ndarray

    def take(self, kept):
        """Some of the rows."""
        return _BlockState(*(getattr(self, field.name)[kept] for field in fields(self)))


class _DeletedCurvature:
    """H_-i at a point of each row's own, as products; from predictors (K, n, a).

    With the full fit's term in the gauge, in which it would otherwise be singular.
    """

    def __init__(self, full, eta, rows, weights=None):
        self.full, self.objective, self.rows = full, full.objective, rows
        self.weights = self._weights(eta) if weights is None else weights

    def _weights(self, eta):
        """(w l'',) for one output; (w d, w f, f) or the full (w W,) with a = diag(d) - f f'."""
        loss, y = self.objective.loss, self.objective.y[:, None]
        w = np.repeat(self.objective.sample_weight[:, None], len(self.rows), axis=1)
        w[self.rows, np.arange(len(self.rows))] = 0.0
        native = _native(loss, eta)
        if loss.is_scalar:
            return (w * loss.curvature(y, native),)
        split = loss.curvature_split(y, native)
        if split is None:
            return (np.moveaxis(loss.curvature(y, native), (2, 3), (0, 1)) * w,)
        d, f = (np.ascontiguousarray(np.moveaxis(part, -1, 0)) for part in split)
        return w * d, w * f, f

    def take(self, kept):
        """Some of the rows."""
        weights = tuple(part[..., kept] for part in self.weights)
        return _DeletedCurvature(self.full, None, self.rows[kept], weights)

    def matmul(self, V):
        """H_-i v_i, (a, P)."""
        design, K = self.objective.design, self.objective.n_outputs
        blocks = V.reshape(len(V), K, -1)
        U = _predictors(design, blocks)
        if K == 1:
            U *= self.weights[0]
        elif len(self.weights) == 1:
            U = np.einsum("klna,lna->kna", self.weights[0], U)
        else:
            d, f, g = self.weights
            U = d * U - f * np.einsum("kna,kna->na", g, U)
        product = self.objective.penalty.hessian_diagonal * blocks
        for k in range(K):
            product[:, k] += design.transpose_matmul(U[k]).T
        product = self.objective.freed(product).reshape(len(V), -1)
        if self.full.null_space_ridge is not None:
            product += self.full.null_ridge_matmul(V.T).T
        return product


def _native(loss, eta):
    """Predictors (K, n, a) in the axes of the loss."""
    return eta[0] if loss.is_scalar else np.moveaxis(eta, 0, -1)


def _predictors(design, blocks):
    """Predictors (K, n, a) of parameters (a, K, q)."""
    U = np.empty((blocks.shape[1], design.shape[0], len(blocks)))
    for k in range(len(U)):
        design.matmul(blocks[:, k].T, out=U[k])
    return U
