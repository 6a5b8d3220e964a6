"""Newton's method for every penalty."""

from skinfluence.optimum._active_set import proximal_step
from skinfluence.optimum._chord import SmoothSteps
from skinfluence.optimum._newton import TOLERANCE, descend

# From a solver's early stop on data all but separable under a penalty all but 0, each Newton step
# divides the log loss by e: many are needed.
MAX_STEPS = 50


def polish(objective, *, max_steps=MAX_STEPS, tolerance=TOLERANCE, kind="auto", floor=0.0):
    """Take Newton steps, halved until they help, until every coordinate's gradient vanishes.

    Under an L1 penalty each is the optimum of a quadratic model with that penalty. A factor that is
    dear serves further steps (chords) as long as they do; where H is not factored the solves are as
    rough as the steps allow.

    Parameters
    ----------
    objective : Objective
        At any parameter with finite predictors.
    max_steps : int
        At most so many steps.
    tolerance : float
        Bound on `Objective.stationarity`.
    kind : str
        Representation of the curvature.
    floor : float
        Added to the curvature of unpenalised columns in the steps, not in the objective: for those
        that may be flat.

    Returns
    -------
    Optimum
        Never raises on a singular or indefinite curvature: it reports it.
    """
    limits = {"max_steps": max_steps, "tolerance": tolerance}
    if objective.penalty.is_kinked:
        return descend(objective, proximal_step, **limits)
    steps = SmoothSteps(kind, floor, tolerance)
    return descend(objective, steps.next_step, steps.further, **limits)
