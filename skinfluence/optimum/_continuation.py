"""The optimum of a loss with a temperature: Newton's method from a warm one down to it."""

from dataclasses import replace

import numpy as np

from skinfluence.optimum._newton import TOLERANCE
from skinfluence.optimum._polish import polish

# First factor of the temperature from one optimum to the next, its power after a success, and the
# least cooling that is tried after failures. A fixed factor of 0.2 stops at temperatures 1e-4 of
# the residuals' spread, where few rows have any curvature left; this went on to 1e-6.
COOLING = 0.2
GROW, SHRINK, MAX_RATIO = 1.5, 0.5, 0.98
# Newton steps at one temperature, and where to leave a warmer optimum: at 1e-4 the rows that hold
# the next one are not yet in their place, and some refits never arrived.
MAX_STEPS = 25
LOOSE = 1e-8
# A relative gradient at which rounding may end the descent.
SETTLED = 1e-7
# The same for a refit, where no step lowers it further: the floor of badly scaled data.
ACCEPTED = 1e-8
REFIT_STEPS = 100
# Where a refit begins that Newton's method lost, relative to its temperature, and what it may take.
RESTART_FACTORS = (25.0, 1e3, 1e5)
COOLING_STEPS = 500


def continuation(objective, warm, *, tolerance=TOLERANCE, max_steps):
    """Follow the optimum from a warm temperature to that of the objective's own loss.

    Parameters
    ----------
    objective : Objective
        At any start; its loss has a `temperature`.
    warm : float
        Where to begin: at that temperature all rows bend.
    tolerance : float
        Of the stationarity at the end.
    max_steps : int
        Newton steps, over all temperatures.

    Returns
    -------
    Optimum
        At the temperature asked for, `n_steps` over all.
    """
    final = objective.loss.temperature
    reached, ratio = max(final, warm), COOLING

    def at(temperature, start, spent):
        """Where Newton's method ends at one temperature."""
        moved = start.with_loss(start.loss.at_temperature(temperature))
        limit = tolerance if temperature == final else LOOSE
        return polish(moved, max_steps=min(MAX_STEPS, max_steps - spent), tolerance=limit)

    found = at(reached, objective, 0)
    n_steps = found.n_steps
    while reached > final and n_steps < max_steps and ratio < MAX_RATIO:
        colder = max(final, reached * ratio)
        tried = at(colder, found.objective, n_steps)
        n_steps += tried.n_steps
        if tried.converged or (tried.stalled and tried.objective.stationarity < SETTLED):
            found, reached, ratio = tried, colder, max(ratio**GROW, COOLING**2)
        else:
            ratio = ratio**SHRINK
    if reached > final:
        found = at(final, found.objective, n_steps)
        n_steps += found.n_steps
    return replace(found, n_steps=n_steps)


def refit(objective, step):
    """Find the optimum from a step, where that is an improvement, else from where it is.

    Parameters
    ----------
    objective : Objective
        Near its optimum: without a row, at the optimum with it.
    step : ndarray of shape (K, q)
        May be anything, NaN too.

    Returns
    -------
    Optimum
        Where Newton's method is lost below a low temperature, by cooling from a higher one.
    """
    start = objective
    if np.isfinite(step).all():
        moved = objective.at(objective.theta + step)
        if np.isfinite(moved.eta).all() and moved.value <= objective.value:
            start = moved
    found = polish(start, max_steps=REFIT_STEPS)
    for factor in RESTART_FACTORS if objective.loss.temperature else ():
        if is_acceptable_refit(found):
            break
        warm = factor * objective.loss.temperature
        found = continuation(objective, warm, max_steps=COOLING_STEPS)
    return found


def is_acceptable_refit(optimum):
    """Whether a refit may be taken for one."""
    return optimum.converged or optimum.objective.stationarity <= ACCEPTED
