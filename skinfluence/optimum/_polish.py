"""Newton's method for every penalty."""

import numpy as np

from skinfluence.optimum._active_set import proximal_step
from skinfluence.optimum._newton import TOLERANCE, descend, newton_step

# From a solver's early stop on data all but separable under a penalty all but 0, each Newton step
# divides the log loss by e: many are needed.
MAX_STEPS = 50
# Relative residual of the first steps where these are by conjugate gradients; later ones are solved
# to the root of the stationarity, which then falls faster than linearly.
FORCING = 0.1


def polish(objective, *, max_steps=MAX_STEPS, tolerance=TOLERANCE, kind="auto", floor=0.0):
    """Take Newton steps, halved until they help, until every coordinate's gradient vanishes.

    Under an L1 penalty each is the optimum of a quadratic model with that penalty.

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

    def smooth_step(objective):
        forcing = min(FORCING, np.sqrt(objective.stationarity))
        step = newton_step(objective, kind, floor, forcing)
        return step, float(np.sum(objective.gradient * step))

    next_step = proximal_step if objective.penalty.is_kinked else smooth_step
    return descend(objective, next_step, max_steps=max_steps, tolerance=tolerance)
