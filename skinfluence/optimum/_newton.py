"""Newton's method to the optimum of an objective, and how near it came."""

from dataclasses import dataclass

import numpy as np

from skinfluence.curvature import make_step_curvature
from skinfluence.objective import curvature_range

TOLERANCE = 1e-10  # of Objective.stationarity
# A relative gradient above this is no optimum: nothing is certified there.
CERTIFIABLE = 1e-6
# A relative gradient below this that no step lowers is zero but for rounding.
SETTLED = 1e-7
# Share of the largest curvature under which a row is left out of a step's Hessian, of a loss with a
# temperature: most rows of a hinge, at a low one. Of other losses they may hold a direction alone.
FLAT = 1e-10
# Where rounding hides the fall of the objective, a step has to bring its stationarity below this
# share of what it was. Newton's quadratic steps do; what is won by less is rounding, step by step.
FALL = 0.99
# A full step that brings it below this share is Newton's, even if the objective rises by the next
# share: where predictors are sums of terms that cancel, their rounding does that.
QUADRATIC, RISE = 0.1, 1e-8
# Weight of the lightest row relative to the heaviest from which a relative gradient says enough.
# One that is small beside the terms of heavy rows says nothing about what light ones determine.
LIGHT = 1e-4
# Change of a predictor by the next step, relative to the predictors', at which a fit with lighter
# rows has converged, and the most that is left to rounding where no step helps.
STILL, MOST_LEFT = 1e-10, 1e-6


@dataclass(frozen=True)
class Optimum:
    """Where Newton's method ended.

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
    left : float
        Relative change of a predictor by the next step where rows are light, see `relative_change`;
        0 where the stationarity says enough.
    """

    objective: object
    n_steps: int
    converged: bool
    stalled: bool = False
    failure: str = ""
    left: float = 0.0

    @property
    def is_settled(self):
        """Whether it converged, or stopped so near that rounding is what is left."""
        near = self.objective.stationarity < SETTLED and self.left <= MOST_LEFT
        return self.converged or (self.stalled and near)


def has_light_rows(objective):
    """Whether the weights are so unequal that the heavy rows alone rule the stationarity."""
    weight = objective.sample_weight
    lightest = weight.min(initial=np.inf, where=weight > 0)
    return bool(lightest < LIGHT * weight.max(initial=0.0))


def has_saturated_rows(objective):
    """Whether rows have so little curvature that the others alone rule the stationarity.

    Not of a loss with a temperature: most rows of a hinge are off its kink.
    """
    if objective.loss.temperature > 0:
        return False
    known = objective.sums is not None
    least, most = objective.sums.curvature_range if known else curvature_range(objective)
    return bool(least < LIGHT * most)


def relative_change(objective, step, rows=None):
    """Largest change of a predictor by a step (K, q), relative to the predictors'; rows that count.

    Of all rows, or of some where the others are known to change by less.

    At the floor of float64 that of the next step is what is left to the optimum. Where rows are
    fitted all but exactly their residuals are small beside the rounding of their terms, and the
    stationarity stays high; where an optimum runs away a step moves predictors by about 1, however
    small the gradient; beside heavy rows any gradient of light ones is small.
    """
    design = objective.design if rows is None else objective.design.take(rows)
    weight = objective.sample_weight if rows is None else objective.sample_weight[rows]
    change = np.abs(design @ step.T)[weight > 0].max(initial=0.0)
    return change / predictor_size(objective)


def predictor_size(objective):
    """Largest predictor of the rows that count, or the unit of predictors if that is larger."""
    kept = objective.sample_weight > 0
    return max(objective.predictor_unit, np.abs(objective.eta[kept]).max(initial=0.0))


def descend(objective, next_step, further=None, *, max_steps, tolerance):
    """Take steps, halved until they help, until every coordinate's gradient vanishes.

    Where rows are light beside others, until the next step as well moves no predictor.
    `next_step(objective)` gives a step (K, q) and the slope along it, or raises LinAlgError.
    `further(before, after, most)` goes on from where a step has led, by at most so many steps that
    need no new curvature, and gives (objective, their number).
    """
    objective = objective.without_null_component()
    if "eta" not in vars(objective):
        objective = objective.evaluated_at(objective.theta)
    n_steps, left, is_unequal = 0, 0.0, has_light_rows(objective)
    while is_unequal or not objective.stationarity <= tolerance:
        if n_steps == max_steps:
            return Optimum(objective, max_steps, False)
        try:
            # Through a curvature next to none a step may overflow: the line search takes none then.
            with np.errstate(over="ignore", invalid="ignore"):
                step, slope = next_step(objective)
        except np.linalg.LinAlgError as error:
            return Optimum(objective, n_steps, False, failure=str(error))
        if is_unequal:
            left = relative_change(objective, step)
            if objective.stationarity <= tolerance and left <= STILL:
                break
        moved = line_search(objective, step, slope)
        if moved is None:
            return Optimum(objective, n_steps, False, stalled=True, left=left)
        n_steps += 1
        if further is not None:
            moved, more = further(objective, moved, max_steps - n_steps)
            n_steps += more
        objective = moved
    return Optimum(objective, n_steps, True)


def step_curvature(objective, kind="auto", floor=0.0, blocks=None, *, single=False):
    """Return H for one step, with at least `floor` as the penalty's part in every column.

    `single` is as in `make_step_curvature`.
    """
    metric = objective if floor == 0.0 else objective.penalised_at_least(floor)
    if objective.loss.temperature > 0:
        metric = metric.dropping_flat_rows(FLAT)
    return make_step_curvature(metric, kind, blocks, single=single)


def newton_step(objective, kind="auto", floor=0.0):
    """-H^-1 grad, (K, q), with at least `floor` as the penalty's part of H in every column."""
    curvature = step_curvature(objective, kind, floor)
    step = curvature.solve(-objective.gradient.reshape(-1, 1))
    return step.reshape(objective.theta.shape)


def rounding_of_value(objective):
    """Change of an objective's value that may be rounding."""
    return 16 * np.finfo(float).eps * abs(objective.value)


def _is_rounding_of_predictors(objective, moved):
    """Whether a step of quadratic convergence raises the value by what its predictors are off."""
    rise = moved.value - objective.value
    if not rise <= RISE * abs(objective.value):
        return False
    if not moved.stationarity <= QUADRATIC * objective.stationarity:
        return False
    slopes = np.abs(objective.residuals).sum() + np.abs(moved.residuals).sum()
    return bool(rise <= np.finfo(float).eps * objective.predictor_terms * slopes)


def line_search(objective, step, slope):
    """First of the halved steps that lowers the objective enough, or its stationarity; or None.

    `slope` is the derivative of the objective along the step, for Armijo's condition.

    Close to the optimum the objective changes by less than its rounding long before the gradient
    does: a step of relative size e changes them by e^2 and e. So the stationarity decides there;
    far from the optimum it may rise while the objective falls.
    """
    rounding = rounding_of_value(objective)
    most = objective.stationarity * (1.0 if -slope > rounding else FALL)
    for halvings in range(30):
        size = 0.5**halvings
        if most < objective.stationarity and size < 1 - FALL:
            break  # a step that short lowers the gradient of a quadratic by less than that
        with np.errstate(over="ignore", invalid="ignore"):  # also of the squares in a penalty
            # Its gradient with its predictors, in one pass: both are asked for below.
            moved = objective.evaluated_at(objective.theta + size * step)
            if not np.isfinite(moved.eta).all():
                continue
            # The stationarity last: it takes a pass of its own over the rows.
            if -size * slope > rounding and moved.value <= objective.value + 1e-4 * size * slope:
                return moved
            if moved.value <= objective.value + rounding and moved.stationarity < most:
                return moved
            if halvings == 0 and _is_rounding_of_predictors(objective, moved):
                return moved
    return None
