"""Newton's method of the penalty's kind."""

from skinfluence.optimum._active_set import polish_active_set
from skinfluence.optimum._newton import MAX_STEPS, TOLERANCE
from skinfluence.optimum._newton import polish as polish_smooth


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
    if objective.penalty.is_kinked:
        return polish_active_set(objective, max_steps=max_steps, tolerance=tolerance)
    return polish_smooth(
        objective, max_steps=max_steps, tolerance=tolerance, kind=kind, floor=floor
    )
