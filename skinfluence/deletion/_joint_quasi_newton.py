"""Refits after large changes of the weights, many at once: a quasi-Newton method (BFGS).

One factor serves all changes, of the mean of their weights at the parameter of the fit. How the
curvature of a change differs from it is learned from that change's own steps. A pass is one
gradient of every change, two GEMMs for all of them together; so is an iteration of conjugate
gradients, and Newton's method needs some of these for each of its steps, and line searches besides.
"""

from dataclasses import dataclass, field

import numpy as np

from skinfluence._class_axis import classes_first, classes_last
from skinfluence.curvature import make_curvature
from skinfluence.deletion._many_refits import ManyRefits, changed_weights

MAX_PASSES = 40
# Pairs of a step and the change of the gradient along it that are kept, the last ones.
MAX_PAIRS = 15
# Length of the last step, in coefficients, relative to `Objective.coefficient_unit`.
TOLERANCE = 1e-8
# There is no line search. A change whose gradient rises by this factor in a pass is left undone.
MAX_RISE = 2.0
# Share of the weights up to which their mean change is not worth a factor of its own.
SMALL = 0.1
# Slopes of so many rows, outputs and changes are computed at once: they stay in cache.
BLOCK_ELEMENTS = 2**17


class QuasiNewtonRefits(ManyRefits):
    """Refits of many changes of the weights at once, from the fit to all rows on."""

    def __init__(self, objective, kind, groups, deltas, curvature=None):
        super().__init__(objective, kind, groups, deltas, curvature)
        self.tolerance = TOLERANCE * objective.coefficient_unit

    def _of_the_mean(self, mean, kind):
        weight = self.objective.sample_weight
        change = np.abs(mean.sample_weight - weight).sum()
        if self.at_hand is not None and change <= SMALL * weight.sum():
            return self.at_hand
        return make_curvature(mean, kind)

    def _n_values(self):
        return 2 * (self.objective.n_rows + (MAX_PAIRS + 4) * self.objective.n_parameters)

    def _refit(self, part):
        """Refit some of the changes, from the optimum of the fit."""
        objective, b = self.objective, part.stop - part.start
        weight, share = changed_weights(objective, self.groups[part], self.deltas[part])
        state = _BlockState(np.arange(b), weight, share, np.zeros((b, objective.n_parameters)))
        state.gradient = self._gradient(state)
        steps, converged = np.full(state.D.shape, np.nan), np.zeros(b, dtype=bool)
        size = np.full(b, np.inf)
        for _ in range(MAX_PASSES):
            before = size
            step, size = self._step(state)
            state.D += step
            done = np.abs(step).max(axis=1, initial=0.0) <= self.tolerance
            steps[state.position[done]], converged[state.position[done]] = state.D[done], True
            kept = ~done & (size <= MAX_RISE * before)
            if not kept.any():
                break
            if not kept.all():
                state, step, size = state.take(kept), step[kept], size[kept]
            last, state.gradient = state.gradient, self._gradient(state)
            state.add_pair(step, state.gradient - last)
        return steps.reshape(b, *objective.theta.shape), converged

    def _step(self, state):
        """BFGS step (a, P) of each change, and the norm of its gradient, (a,).

        The norm is that in the inverse of the common factor. The step comes from two loops over the
        pairs, around that inverse.
        """
        q, shares = -state.gradient, []
        for step, change, along in reversed(state.pairs):
            shares.append(np.einsum("ij,ij->i", step, q) / along)
            q = q - shares[-1][:, None] * change
        found = self._solve(q)
        size = np.sqrt(np.maximum(np.einsum("ij,ij->i", found, q), 0.0))
        for (step, change, along), share in zip(state.pairs, reversed(shares), strict=True):
            found += (share - np.einsum("ij,ij->i", change, found) / along)[:, None] * step
        return found, size

    def _gradient(self, state):
        """Gradients (a, P) of the changed objectives, in one pass over the rows."""
        objective, a = self.objective, len(state.D)
        D = state.D.reshape(a, objective.n_outputs, -1)
        size = max(1, BLOCK_ELEMENTS // (objective.n_outputs * a))
        gradient = np.zeros(D.shape)
        for rows, design in objective.design.parts(size):
            eta = design.predictors_of(D)
            eta += objective.eta[rows].T[:, :, None]
            gradient += self._pulled_back(rows, design, eta, state.weight[rows])
        theta = objective.theta + D
        gradient += objective.penalty.gradient(theta)
        if objective.row_penalty is not None:
            gradient -= state.share[:, None, None] * objective.row_penalty.gradient(theta)
        return objective.freed(gradient).reshape(a, -1)

    def _pulled_back(self, rows, design, eta, weight):
        """Gradients (a, K, q) of some rows' losses at predictors (K, m, a), weights (m, a)."""
        loss = self.objective.loss
        # Far out exponentials overflow. In rows of weight 0 that is nothing; of others the norm of
        # the gradient is no number, and the change is left undone.
        with np.errstate(over="ignore", invalid="ignore"):
            y = self.objective.y[rows, None]
            slopes = loss.gradient(y, classes_last(eta, loss.is_scalar))
            slopes = classes_first(slopes, loss.is_scalar)
            slopes *= weight
            found = design.gradients_of(slopes)
            if not np.isfinite(found).all():
                slopes[:, weight == 0] = 0.0
                found = design.gradients_of(slopes)
        return found


@dataclass
class _BlockState:
    """Where the changes of a block are: overwritten pass by pass.

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
    gradient : ndarray of shape (a, P)
        Of the changed objective, there.
    pairs : list of (ndarray of shape (a, P), ndarray of shape (a, P), ndarray of shape (a,))
        Steps, changes of the gradient along them, and their products.
    """

    position: np.ndarray
    weight: np.ndarray
    share: np.ndarray
    D: np.ndarray
    gradient: np.ndarray | None = None
    pairs: list = field(default_factory=list)

    def take(self, kept):
        """Return the state of some of the changes."""
        return _BlockState(
            self.position[kept],
            self.weight[:, kept],
            self.share[kept],
            self.D[kept],
            self.gradient[kept],
            [tuple(part[kept] for part in pair) for pair in self.pairs],
        )

    def add_pair(self, step, change):
        """Keep a step and the change of the gradient; without effect where it has no curvature."""
        along = np.einsum("ij,ij->i", step, change)
        self.pairs.append((step, change, np.where(along > 0, along, np.inf)))
        del self.pairs[:-MAX_PAIRS]
