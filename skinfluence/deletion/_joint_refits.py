"""Refits after large changes of the weights, many at once: Newton's method around their mean.

Each change has a curvature of its own, known by its products: two GEMMs for all changes together.
Conjugate gradients on them are preconditioned by the one factor of the fit to the mean of all
changed weights: of random halves of the rows each differs from it by what its half is not like the
other. A factor for each change, at each step of Newton's method, would take P^2 / 4 times the flops
of such a product.
"""

from dataclasses import dataclass

import numpy as np

from skinfluence._class_axis import classes_first, classes_last
from skinfluence.curvature import make_curvature
from skinfluence.deletion._deleted_curvature import DeletedCurvature, conjugate_gradients
from skinfluence.deletion._many_refits import ManyRefits, changed_weights
from skinfluence.optimum import has_light_rows, polish

# Fewer changes are not worth the fit to their mean weights, some steps of Newton's method.
FEWEST = 4
MAX_STEPS = 30
MAX_ITERATIONS = 100  # of conjugate gradients, a step
MAX_HALVINGS = 30
# Relative residual of a solve: the norm of the gradient, within these limits.
LOOSEST, TIGHTEST = 0.1, 1e-6
# Length of the last step, in coefficients, relative to `Objective.coefficient_unit`. The next would
# be TIGHTEST of it, or its square.
TOLERANCE = 1e-7
# Stationarity of the fit to the mean weights, a start and not a result.
LOOSE = 1e-6


def can_refit_jointly(objective, n_changes):
    """Whether the refits of so many changes are Newton's method on a smooth objective.

    Not of a quadratic loss, whose refit is one step by a factor of its own, to the last digits, nor
    beside heavy rows, which hide how far the refit is from the optimum for light ones.
    """
    return (
        n_changes >= FEWEST
        and not objective.loss.is_quadratic
        and objective.is_at_its_own_optimum
        and not objective.penalty.is_kinked
        and not objective.loss.temperature
        and not objective.loss.is_piecewise_linear
        and not objective.loss.has_scale
        and not has_light_rows(objective)
    )


class JointRefits(ManyRefits):
    """Refits of many changes of the weights at once, from the fit to their mean weights on."""

    def __init__(self, objective, kind, groups, deltas, curvature=None):
        super().__init__(objective, kind, groups, deltas, curvature)
        self.tolerance = TOLERANCE * objective.coefficient_unit
        self._eta = np.ascontiguousarray(objective.eta.T)[:, :, None]

    def _of_the_mean(self, mean, kind):
        centre = polish(mean, tolerance=LOOSE, kind=kind)
        self.start = centre.objective.theta - self.objective.theta
        return make_curvature(centre.objective, kind) if centre.is_settled else None

    def _n_values(self):
        return 14 * self.objective.n_outputs * self.objective.n_rows

    def _refit(self, part):
        """Refit some of the changes by Newton's method, from the fit to the mean weights."""
        state = self._begin(part)
        b = len(state.D)
        steps, converged = np.full(state.D.shape, np.nan), np.zeros(b, dtype=bool)
        for _ in range(MAX_STEPS):
            if not len(state.D):
                break
            size, step, length = self._step(state)
            state.D += length[:, None] * step
            done = (length == 1.0) & (np.abs(step).max(axis=1) <= self.tolerance)
            steps[state.position[done]], converged[state.position[done]] = state.D[done], True
            state = state.take(~done & (length > 0) & np.isfinite(size))
        return steps.reshape(b, *self.objective.theta.shape), converged

    def _begin(self, part):
        """State of some changes at the fit to the mean weights."""
        objective, b = self.objective, part.stop - part.start
        weight, share = changed_weights(objective, self.groups[part], self.deltas[part])
        D = np.repeat(self.start.reshape(1, -1), b, axis=0)
        return _BlockState(np.arange(b), weight, share, D)

    def _step(self, state):
        """Norm of the gradient of each change (a,), its Newton step (a, P), and its length (a,)."""
        objective = self.objective
        eta = self._eta + self._change(state.D)
        gradient = self._gradient(state, eta)
        size = np.sqrt(np.maximum(np.einsum("ij,ij->i", gradient, self._solve(gradient)), 0.0))
        curvature = DeletedCurvature(
            self.curvature,
            objective,
            eta,
            np.zeros(len(state.D), dtype=np.intp),
            share=state.share,
            sample_weight=state.weight,
        )
        step = conjugate_gradients(
            curvature,
            -gradient,
            lambda V, positions: self._solve(V),
            np.clip(np.nan_to_num(size, nan=1.0), TIGHTEST, LOOSEST),
            max_iterations=MAX_ITERATIONS,
        )
        return size, step, self._lengths(state, eta, gradient, step)

    def _lengths(self, state, eta, gradient, step):
        """Length 1, 1/2, 1/4, ... at which each objective falls enough, (a,); 0 where at none."""
        slope = np.einsum("ij,ij->i", gradient, step)
        change, value = self._change(step), self._value(state, eta, state.D)
        rounding = 16 * np.finfo(float).eps * np.abs(value)
        length, open_rows = np.ones(len(step)), np.arange(len(step))
        for _ in range(MAX_HALVINGS):
            t = length[open_rows]
            some = state.take(open_rows)
            moved = eta[:, :, open_rows] + t * change[:, :, open_rows]
            reached = self._value(some, moved, some.D + t[:, None] * step[open_rows])
            allowed = value[open_rows] + 1e-4 * t * slope[open_rows] + rounding[open_rows]
            open_rows = open_rows[~(reached <= allowed)]
            if not len(open_rows):
                break
            length[open_rows] *= 0.5
        length[open_rows] = 0.0
        return length

    def _change(self, D):
        """Change of all rows' predictors by steps (a, P), (K, n, a)."""
        return self.objective.design.predictors_of(D.reshape(len(D), self.objective.n_outputs, -1))

    def _gradient(self, state, eta):
        """Gradients of the changed objectives, (a, P)."""
        objective, loss = self.objective, self.objective.loss
        # Far out exponentials overflow: in rows of weight 0 that is nothing, in others the search
        # ends.
        with np.errstate(over="ignore", invalid="ignore"):
            slopes = loss.gradient(objective.y[:, None], classes_last(eta, loss.is_scalar))
            slopes = state.weight * classes_first(slopes, loss.is_scalar)
        slopes = np.where(state.weight > 0, slopes, 0.0)
        theta = objective.theta + state.D.reshape(len(state.D), *objective.theta.shape)
        gradient = objective.design.gradients_of(slopes) + objective.penalty.gradient(theta)
        if objective.row_penalty is not None:
            gradient -= state.share[:, None, None] * objective.row_penalty.gradient(theta)
        return objective.freed(gradient).reshape(len(state.D), -1)

    def _value(self, state, eta, D):
        """Changed objectives at predictors (K, n, a), (a,)."""
        objective, loss = self.objective, self.objective.loss
        with np.errstate(over="ignore", invalid="ignore"):
            losses = loss.value(objective.y[:, None], classes_last(eta, loss.is_scalar))
            losses = np.where(state.weight > 0, state.weight * losses, 0.0)
            theta = objective.theta + D.reshape(len(D), *objective.theta.shape)
            value = losses.sum(axis=0) + objective.penalty.values(theta)
            if objective.row_penalty is not None:
                value -= state.share * objective.row_penalty.values(theta)
        return value


@dataclass
class _BlockState:
    """Where the changes of a block are: overwritten step by step.

    Attributes
    ----------
    position : ndarray of int, shape (a,)
        In the block.
    weight : ndarray of shape (n, a)
        Weights of all rows after each change.
    share : ndarray of shape (a,)
        Units of weight whose share of the common penalty is gone.
    D : ndarray of shape (a, P)
        Step from the fit.
    """

    position: np.ndarray
    weight: np.ndarray
    share: np.ndarray
    D: np.ndarray

    def take(self, kept):
        """Return the state of some of the changes."""
        return _BlockState(
            self.position[kept], self.weight[:, kept], self.share[kept], self.D[kept]
        )
