"""What a fit leaves behind for the influence methods: the training data and the optimum on them."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence._parallel import cache_blocks
from skinfluence.adapters import TrainingData
from skinfluence.existence import is_separable, is_unpenalised
from skinfluence.hinge_dual import exact_optimum
from skinfluence.optimum import polish
from skinfluence.problem._fingerprint import Fingerprint

# Newton steps from a start that is safe, not near.
RESTARTED_STEPS = 200
# Columns far from zero are often powers of each other as well: a gradient that has vanished to the
# tolerance is then some way off in predictors, and a few more steps take it to what float64 holds.
FLOOR, FLOOR_STEPS = 1e-15, 3

# Entries of the linear program that looks for a separating direction, at most.
LARGEST_PROGRAM = 4_000_000


@dataclass(frozen=True)
class OptimumRecord:
    """Training data and the optimum found on them; picklable, without any cache.

    Attributes
    ----------
    data : TrainingData
        With the optimum as its `theta`, (K, q).
    stationarity : float
        Objective.stationarity at theta.
    gradient, gradient_scale : ndarray of shape (K, q)
        At theta.
    converged : bool
        Whether the polish reached its tolerance, or the floor of float64.
    separable : bool
    n_steps : int
        Newton steps of the polish.
    fingerprint : Fingerprint
        Of the data at the end of the fit.
    """

    data: TrainingData
    stationarity: float
    gradient: np.ndarray
    gradient_scale: np.ndarray
    converged: bool
    separable: bool
    n_steps: int
    fingerprint: Fingerprint

    @property
    def theta(self):
        """Parameter (K, q) at the optimum."""
        return self.data.theta

    @classmethod
    def of(cls, adapted, data):
        """Polish an adapted fit to its optimum and record how near it came.

        Raises NotImplementedError if the loss is not differentiable at this optimum.
        """
        if not adapted.objective.is_at_its_own_optimum:
            objective, converged = exact_optimum(adapted.objective)
            return cls.at(objective, data, converged=converged)
        optimum = _polished(adapted, data)
        objective = optimum.objective
        objective.loss.check_optimum(objective.y, objective.eta)
        return cls.at(
            objective,
            data,
            converged=optimum.is_settled,
            separable=not optimum.converged and _separates(objective),
            n_steps=optimum.n_steps,
        )

    @classmethod
    def at(cls, objective, data, *, converged=True, separable=False, n_steps=0):
        """Record an objective's parameter as the optimum, without a step of its own."""
        return cls(
            data.at(objective),
            objective.stationarity,
            objective.gradient,
            objective.gradient_scale,
            converged,
            separable,
            n_steps,
            Fingerprint.of(data),
        )


def _polished(adapted, data):
    """Optimum of an adapted fit, from its own parameters or, if these are no start, another one."""
    optimum, design = polish(adapted.objective), adapted.objective.design
    # Ordinary designs are centred where a column is far from zero: no need to look again.
    is_far = design.is_centred or (
        not adapted.objective.free_intercepts.all() and data.has_far_columns
    )
    if not optimum.converged and (adapted.restart is not None or is_far):
        # Solvers that do not centre may end anywhere, such as where every predictor is saturated.
        restart = adapted.restart or (
            lambda objective: objective.at(np.zeros_like(objective.theta))
        )
        again = polish(restart(optimum.objective), max_steps=RESTARTED_STEPS)
        better = not again.objective.stationarity >= optimum.objective.stationarity
        optimum = again if better and np.isfinite(again.objective.stationarity) else optimum
    if optimum.converged and is_far:
        further = polish(optimum.objective, max_steps=FLOOR_STEPS, tolerance=FLOOR)
        if further.objective.stationarity < optimum.objective.stationarity:
            n_steps = optimum.n_steps + further.n_steps
            optimum = replace(optimum, objective=further.objective, n_steps=n_steps)
    return optimum


def _separates(objective):
    """Whether an unpenalised fit runs away; by its own coefficients first, then by a program."""
    if not is_unpenalised(objective):
        return False
    if _all_on_their_side(objective):
        return True
    size = objective.n_rows * max(1, objective.n_outputs - 1) * objective.n_parameters
    return size <= LARGEST_PROGRAM and is_separable(objective)


def _all_on_their_side(objective):
    """Whether the predictors themselves are a direction in which the loss of no row rises."""
    live, K = np.flatnonzero(objective.sample_weight > 0), objective.n_outputs
    for part in cache_blocks(len(live), K * K):
        rows = live[part]
        normals = objective.loss.recession_cone_normals(objective.y[rows])
        if not (normals @ objective.eta[rows, :, None] > 0).all():
            return False
    return True
