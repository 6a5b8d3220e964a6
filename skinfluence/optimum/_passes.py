"""Newton's method where a pass over the rows is what costs: one a step."""

from dataclasses import replace

import numpy as np

from skinfluence.curvature import make_dense
from skinfluence.objective import row_sums
from skinfluence.optimum._newton import (
    FALL,
    STILL,
    TOLERANCE,
    Optimum,
    has_light_rows,
    has_saturated_rows,
    relative_change,
)

# From a start near the optimum three or four steps are enough; halved ones are passes too.
MAX_PASSES = 40
HALVINGS = 12
# Share of the loss that a step changes, up to which the sizes of terms stay the same.
NEARBY = 0.1


def polish_by_passes(objective, *, tolerance=TOLERANCE, max_passes=MAX_PASSES):
    """Take Newton steps, each with its loss, gradient and Hessian of one pass over the rows.

    Parameters
    ----------
    objective : Objective
        At any parameter with finite predictors, under a penalty without kinks.
    tolerance : float
        Bound on `Objective.stationarity`.
    max_passes : int

    Returns
    -------
    optimum : Optimum
        Its objective knows the sums over its rows.
    n_passes : int
    """
    objective = objective.without_null_component()
    objective, n_passes, n_steps = objective.with_sums(row_sums(objective)), 1, 0
    is_unequal, left = has_light_rows(objective), 0.0
    while (is_unequal or objective.stationarity > tolerance) and n_passes < max_passes:
        try:
            step = _newton_step(objective)
        except np.linalg.LinAlgError as error:
            return Optimum(objective, n_steps, False, failure=str(error)), n_passes
        if is_unequal:  # one more pass, beside which the heavy rows do not count
            left, n_passes = relative_change(objective, step), n_passes + 1
            if objective.stationarity <= tolerance and left <= STILL:
                break
        moved, tried = _moved(objective, step)
        n_passes += tried
        if moved is None:
            return Optimum(objective, n_steps, False, stalled=True, left=left), n_passes
        if abs(moved.loss_sum - objective.loss_sum) > NEARBY * abs(objective.loss_sum):
            moved = objective.at(moved.theta)
            moved, n_passes = moved.with_sums(row_sums(moved)), n_passes + 1
        objective, n_steps = moved, n_steps + 1
    found = Optimum(objective, n_steps, objective.stationarity <= tolerance and left <= STILL)
    if not found.converged:
        return found, n_passes
    return _until_saturated_rows_rest(found, n_passes, tolerance, max_passes)


def _newton_step(objective):
    """-H^-1 grad, (K, q)."""
    curvature = make_dense(objective.with_fixed_penalty())
    return curvature.solve(-objective.gradient.reshape(-1, 1)).reshape(objective.theta.shape)


def _until_saturated_rows_rest(optimum, n_passes, tolerance, max_passes):
    """Go on while a step moves coefficients and rows are saturated, see `polish`.

    What it does to predictors would be a pass to know: the step itself is one as well.
    """
    objective, n_steps = optimum.objective, optimum.n_steps
    while n_passes < max_passes and has_saturated_rows(objective):
        try:
            step = _newton_step(objective)
        except np.linalg.LinAlgError:
            break
        if (np.abs(step) <= STILL * np.abs(objective.theta)).all():
            break
        moved, tried = _moved(objective, step, halvings=1, fall=FALL)
        n_passes += tried
        if moved is None or not moved.stationarity <= tolerance:
            break
        objective, n_steps = moved, n_steps + 1
    return replace(optimum, objective=objective, n_steps=n_steps), n_passes


def _moved(objective, step, halvings=HALVINGS, fall=1.0):
    """The objective after the first of the halved steps that helps, or None; the passes it took.

    A step helps that lowers the objective enough, or near the optimum its stationarity to a share.
    """
    slope = float(np.sum(objective.gradient * step))
    rounding = 16 * np.finfo(float).eps * abs(objective.value)
    for halved in range(halvings):
        size = 0.5**halved
        moved = objective.at(objective.theta + size * step)
        moved = moved.with_sums(row_sums(moved, objective.sums.terms))
        if not np.isfinite(moved.value):
            continue
        settles = moved.stationarity < fall * objective.stationarity
        if settles and moved.value <= objective.value + rounding:
            return moved, halved + 1
        if -size * slope > rounding and moved.value <= objective.value + 1e-4 * size * slope:
            return moved, halved + 1
    return None, halvings


def is_by_passes(objective):
    """Whether the steps of `polish_by_passes` are possible: a smooth penalty, a factor that fits.

    Outputs that share nothing have factors of their own, with products only between them.
    """
    return not objective.penalty.is_kinked and not objective.loss.is_separable
