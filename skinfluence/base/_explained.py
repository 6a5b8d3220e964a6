"""What a fit leaves behind for the influence methods, and how it comes back to life."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence._parallel import cache_blocks
from skinfluence.adapters import Adapted, TrainingData, adapt
from skinfluence.curvature import Curvature, choose, make_curvature
from skinfluence.existence import is_separable, is_unpenalised
from skinfluence.hinge_dual import exact_optimum
from skinfluence.objective import Objective
from skinfluence.optimum import polish

# A gradient that has moved by more than this share of its terms is of another training set.
CHANGED = 1e-8

# Newton steps from a start that is safe, not near.
RESTARTED_STEPS = 200

# Entries of the linear program that looks for a separating direction, at most.
LARGEST_PROGRAM = 4_000_000

SEPARABLE = (
    "the training data are linearly separable: without a penalty the coefficients have no finite "
    "optimum, and no influence is defined. Fit with a finite C."
)


@dataclass(frozen=True)
class FittedProblem:
    """An objective at its optimum, its labels, and the last curvature made for it."""

    objective: Objective
    adapted: Adapted
    curvature: Curvature | None = None

    def with_curvature(self, kind, damping, n_solves, *, method=None):
        """Return this with a curvature that serves, the one at hand if it does.

        For methods that take a row out it is the one that is left when a row has gone.
        """
        objective = self.objective
        if method in ("newton", "exact", "auto"):
            objective = objective.without_mean_penalty_share()
        kept = self.curvature
        fits = kept is not None and kept.damping == damping and kind in ("auto", kept.kind)
        fits = fits and kept.objective.penalty.same(objective.penalty)
        if fits and (kept.kind != "cg" or kind == "cg" or choose(objective, n_solves).kind == "cg"):
            return self
        return replace(self, curvature=make_curvature(objective, kind, damping, n_solves))


@dataclass(frozen=True)
class OptimumRecord:
    """Training data and the optimum found on them; picklable, no caches.

    Attributes
    ----------
    data : TrainingData
    theta : ndarray of shape (K, q)
    stationarity : float
        Objective.stationarity at theta.
    gradient, gradient_scale : ndarray of shape (K, q)
        There.
    converged : bool
        Whether the polish reached its tolerance, or the floor of float64.
    separable : bool
    n_steps : int
        Newton steps of the polish.
    """

    data: TrainingData
    theta: np.ndarray
    stationarity: float
    gradient: np.ndarray
    gradient_scale: np.ndarray
    converged: bool
    separable: bool
    n_steps: int

    @classmethod
    def of(cls, adapted, data):
        """Polish an adapted fit to its optimum and remember how near it came.

        Raises NotImplementedError for an optimum that the formulas do not know.
        """
        if not adapted.objective.is_at_its_own_optimum:
            objective, converged = exact_optimum(adapted.objective)
            return cls.as_it_is(objective, data, converged=converged)
        optimum = polish(adapted.objective)
        if not optimum.converged and adapted.restart is not None:
            again = polish(adapted.restart(optimum.objective), max_steps=RESTARTED_STEPS)
            better = again.objective.stationarity < optimum.objective.stationarity
            optimum = again if better else optimum
        objective = optimum.objective
        objective.loss.check_optimum(objective.y, objective.eta)
        # Where no step helps any more and the gradient is this small, rounding is the floor.
        converged = optimum.converged or (optimum.stalled and objective.stationarity < 1e-7)
        return cls(
            data,
            objective.theta,
            objective.stationarity,
            objective.gradient,
            objective.gradient_scale,
            converged,
            not optimum.converged and _separates(objective),
            optimum.n_steps,
        )

    @classmethod
    def as_it_is(cls, objective, data, *, converged=True, n_steps=0):
        """Remember a fit at the optimum of another loss than the formulas', or one of its own."""
        return cls(
            data,
            objective.theta,
            objective.stationarity,
            objective.gradient,
            objective.gradient_scale,
            converged,
            False,
            n_steps,
        )

    def explained(self, estimator, cached=None):
        """Return the objective at the optimum, checked against what the fit saw.

        Raises
        ------
        RuntimeError
            If the gradient no longer vanishes: the data or the parameters have changed.
        numpy.linalg.LinAlgError
            If the data are separable and nothing is penalised.
        """
        if self.separable:
            raise np.linalg.LinAlgError(SEPARABLE)
        adapted = adapt(estimator, self.data)
        if adapted.objective.theta.shape != self.theta.shape:
            raise RuntimeError(
                f"the parameters of {type(estimator).__name__} have changed since it was fitted: "
                "they ask for other coefficients than it has. Fit again."
            )
        objective = adapted.objective.at(self.theta)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.abs(objective.gradient - self.gradient)
            ratio = float(np.where(moved == 0, 0.0, moved / self.gradient_scale).max(initial=0.0))
        if not ratio <= CHANGED:
            raise RuntimeError(
                "the training data or the parameters of the model have changed since it was fitted "
                f"(the gradient has moved by {ratio:.1e} of its terms). Fit again, or pass a copy "
                "of the data to fit."
            )
        if cached is not None and _same(cached.objective, objective):
            return cached
        return FittedProblem(objective, adapted)


def _same(one, other):
    """Whether two objectives are the same model on the same rows."""
    return (
        one.design.shape == other.design.shape
        and one.penalty.same(other.penalty)
        and (one.row_penalty is None) == (other.row_penalty is None)
        and np.array_equal(one.sample_weight, other.sample_weight)
        and np.array_equal(one.y, other.y)
        and np.array_equal(one.theta, other.theta)
        and np.array_equal(one.eta, other.eta)
    )


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
