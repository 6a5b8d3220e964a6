"""The optimum of a loss with a temperature: Newton's method at falling temperatures."""

from dataclasses import replace

import numpy as np

from skinfluence.optimum._active_set import has_exact_step, proximal_step
from skinfluence.optimum._newton import (
    TOLERANCE,
    has_light_rows,
    newton_step,
    relative_change,
)
from skinfluence.optimum._polish import polish, polish_intercepts

# First ratio of a temperature to the one before, its power after a success and after a failure, and
# the ratio at which failures end the path. A fixed ratio of 0.2 stops at temperatures 1e-4 of the
# residuals' spread, where few rows have any curvature left; this one went on to 1e-6.
COOLING = 0.2
GROW, SHRINK, MAX_RATIO = 1.5, 0.5, 0.98
# Newton steps at one temperature, and the stationarity at which a warmer optimum is left. With a
# pinball loss at 1e-4 the rows that determine the next fit are not yet near it, and some refits
# never arrived.
MAX_STEPS = 25
LOOSE = 1e-8
# Stationarity of a refit that no step lowers further: the floor of badly scaled data.
ACCEPTED = 1e-8
# Newton steps of a refit. Rows that all but separate under next to no penalty take one for each
# factor e of their residuals; where there is a temperature, continuation is the better way.
REFIT_STEPS, WARM_REFIT_STEPS = 300, 100
# What a refit goes on to. Where the curvature is nearly flat, as between the classes of a hinge, a
# relative gradient of 1e-10 may still be far from the optimum.
REFIT_TOLERANCE = 1e-15
# Stationarity after a step that solves for the optimum itself: what is left is its rounding.
AFTER_EXACT_STEP = 1e-12
# Temperatures, relative to its own, from which a refit starts anew where Newton's method failed,
# and the steps that it may take.
RESTART_FACTORS = (25.0, 1e3, 1e5)
CONTINUATION_STEPS = 500


def continuation(objective, warm, *, max_steps, tolerance=TOLERANCE, solve=polish, loose=LOOSE):
    """Follow the optimum from a high temperature down to that of the objective's own loss.

    At a high temperature the loss is nearly quadratic over the data and every row has curvature, so
    that Newton's method converges from anywhere; at a low one it converges from the optimum of one
    a little warmer. The ratio of two temperatures shrinks while this succeeds, and grows towards 1
    where it fails.

    Parameters
    ----------
    objective : Objective
        At any start; its loss has a `temperature`.
    warm : float
        First temperature, unless that of the loss is higher. From any start, one at which all rows
        have curvature.
    max_steps : int
        Newton steps, over all temperatures.
    tolerance : float
        Of the stationarity at the end.
    solve : callable
        `solve(objective, max_steps=, tolerance=)`: Optimum at one temperature.
    loose : float
        Stationarity at which the optima on the way are left.

    Returns
    -------
    Optimum
        At the temperature asked for, `n_steps` over all.
    """
    final = objective.loss.temperature
    reached, ratio = max(final, warm), COOLING

    def at(temperature, start, spent):
        """Optimum at one temperature."""
        moved = start.with_loss(start.loss.at_temperature(temperature))
        limit = tolerance if temperature == final else loose
        return solve(moved, max_steps=min(MAX_STEPS, max_steps - spent), tolerance=limit)

    found = at(reached, objective, 0)
    n_steps = found.n_steps
    while reached > final and n_steps < max_steps and ratio < MAX_RATIO:
        colder = max(final, reached * ratio)
        tried = at(colder, found.objective, n_steps)
        n_steps += tried.n_steps
        if tried.is_settled:
            found, reached, ratio = tried, colder, max(ratio**GROW, COOLING**2)
        else:
            ratio = ratio**SHRINK
    if reached > final:
        found = at(final, found.objective, n_steps)
        n_steps += found.n_steps
    return polish_intercepts(replace(found, n_steps=n_steps))


def response_spread(y, weight):
    """Weighted standard deviation of responses: a first temperature of losses in their units."""
    return float(np.sqrt(np.average((y - np.average(y, weights=weight)) ** 2, weights=weight)))


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
        Where Newton's method fails at a low temperature, by continuation from a higher one.
    """
    start = objective
    if np.isfinite(step).all():
        moved = objective.at(objective.theta + step)
        if np.isfinite(moved.eta).all() and moved.value <= objective.value:
            start = moved
    max_steps = WARM_REFIT_STEPS if objective.loss.temperature else REFIT_STEPS
    if has_exact_step(start):
        found = polish(start, max_steps=1, tolerance=REFIT_TOLERANCE)
        if found.objective.stationarity <= AFTER_EXACT_STEP:
            return replace(found, converged=True)
        start = found.objective
    found = polish(start, max_steps=max_steps, tolerance=REFIT_TOLERANCE)
    for factor in RESTART_FACTORS if objective.loss.temperature else ():
        if found.converged or is_acceptable_refit(found):  # another start ends nowhere else
            break
        warm = factor * objective.loss.temperature
        found = continuation(objective, warm, max_steps=CONTINUATION_STEPS)
    if objective.loss.temperature or found.converged or is_acceptable_refit(found):
        return found
    return _anew(found)


def _anew(failed):
    """A refit once more from a start of its own, where all rows have curvature; else as it was.

    From zero predictors are not saturated: without a row of great weight the optimum may be
    hundreds of units of a predictor away, and on the way no row has any curvature: steps overflow,
    or help too little to be told from rounding. With a scale, rows that all become outliers on the
    way leave none.
    """
    start = failed.objective
    if start.loss.has_scale:
        start = start_without_outliers(start)
    else:
        start = start.at(np.zeros_like(start.theta))
    if not (start.loss.is_convex and np.isfinite(start.value)):
        return failed
    found = polish(start, max_steps=REFIT_STEPS, tolerance=REFIT_TOLERANCE)
    return found if found.converged or is_acceptable_refit(found) else failed


def start_without_outliers(objective):
    """Start at least squares with a scale so large that no row is an outlier.

    Then every row has curvature, and Newton's method cannot meet a singular Hessian at the start.
    """
    least = polish(objective.least_squares()).objective
    residual = np.abs(objective.y - least.eta[:, 0])[objective.sample_weight > 0].max(initial=0.0)
    # At residual / epsilon the row with the largest residual would be at the threshold.
    scale = 1.01 * max(residual, np.finfo(float).tiny) / objective.loss.epsilon
    of_scale = objective.design.pack(np.zeros(objective.design.n_features), scale)
    return objective.at(np.concatenate([least.theta, of_scale]))


def is_acceptable_refit(optimum):
    """Whether a refit has converged as far as float64 allows, to an optimum that defines effects.

    Its loss has derivatives there, and its unpenalised intercepts a curvature: else every intercept
    of an interval is optimal, and which one Newton's method ends at depends on its start.
    """
    objective = optimum.objective
    try:
        objective.check_optimum()
        objective.check_intercept()
    except (NotImplementedError, np.linalg.LinAlgError):
        return False
    near = objective.stationarity <= ACCEPTED
    if optimum.converged or (near and not has_light_rows(objective)):
        return True
    return (near or optimum.stalled) and _next_change(objective) <= ACCEPTED


def _next_change(objective):
    """Relative change of a predictor by the next step; inf where there is none."""
    try:
        if objective.penalty.is_kinked:
            return relative_change(objective, proximal_step(objective)[0])
        return relative_change(objective, newton_step(objective))
    except np.linalg.LinAlgError:
        return np.inf
