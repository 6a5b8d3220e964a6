"""Newton's method to the optimum of an objective, and how near it came."""

from dataclasses import dataclass

import numpy as np

from skinfluence.curvature import make_curvature

TOLERANCE = 1e-10  # of Objective.stationarity
# A relative gradient above this is no optimum: nothing is certified there.
CERTIFIABLE = 1e-6
# Share of the largest curvature under which a row is left out of a step's Hessian: the step is
# longer by as little, and under a hinge at a low temperature most rows are left out.
FLAT = 1e-10
# From a solver that stopped early under a next to vanishing penalty each step is an e-fold.
MAX_STEPS = 50


@dataclass(frozen=True)
class Optimum:
    """Where Newton's method arrived.

    Attributes
    ----------
    objective : Objective
        At the parameter with the lowest stationarity reached.
    n_steps : int
        Newton steps taken.
    converged : bool
        Whether the stationarity fell to the tolerance.
    stalled : bool
        Whether it stopped because no step lowered the objective or its stationarity: the floor of
        float64 arithmetic, for a model that has an optimum.
    failure : str
        What the curvature said if it could not be inverted; empty otherwise.
    """

    objective: object
    n_steps: int
    converged: bool
    stalled: bool = False
    failure: str = ""


def polish(objective, *, max_steps=MAX_STEPS, tolerance=TOLERANCE, kind="auto", floor=0.0):
    """Take Newton steps, halved until they help, until every coordinate's gradient vanishes."""
    for n_steps in range(max_steps + 1):
        if objective.stationarity <= tolerance:
            return Optimum(objective, n_steps, True)
        if n_steps == max_steps:
            break
        try:
            step = newton_step(objective, kind, floor)
        except np.linalg.LinAlgError as error:
            return Optimum(objective, n_steps, False, failure=str(error))
        moved = line_search(objective, step, float(np.sum(objective.gradient * step)))
        if moved is None:
            return Optimum(objective, n_steps, False, stalled=True)
        objective = moved
    return Optimum(objective, max_steps, False)


def newton_step(objective, kind="auto", floor=0.0):
    """-H^-1 grad, (K, q), H with a floor under its unpenalised columns."""
    metric = objective if floor == 0.0 else objective.penalised_at_least(floor)
    metric = metric.dropping_flat_rows(FLAT)
    curvature = make_curvature(metric, kind, n_solves=1)
    step = curvature.solve(-objective.gradient.reshape(-1, 1))
    return step.reshape(objective.theta.shape)


def line_search(objective, step, slope):
    """First of the halved steps that lowers the objective enough, or its stationarity; or None.

    `slope` is what the whole step would gain at the rate at which it starts.

    Close to the optimum the objective's change drowns in rounding long before the gradient does, so
    the stationarity decides there; far from it the stationarity may rise on the way down.
    """
    rounding = 16 * np.finfo(float).eps * abs(objective.value)
    for halvings in range(30):
        size = 0.5**halvings
        moved = objective.at(objective.theta + size * step)
        if not np.isfinite(moved.eta).all():
            continue
        if (
            moved.stationarity < objective.stationarity
            and moved.value <= objective.value + rounding
        ):
            return moved
        if -size * slope > rounding and moved.value <= objective.value + 1e-4 * size * slope:
            return moved
    return None
