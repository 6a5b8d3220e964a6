"""The optimum of a smooth hinge: Newton's method from a warm temperature down to the one asked."""

import numpy as np

from skinfluence.losses import OneVsRestLoss, SmoothHingeLoss
from skinfluence.objective import Objective
from skinfluence.optimum import Optimum, polish

# At this temperature the loss is nearly quadratic over ordinary margins, and Newton goes straight.
WARM = 1.0
COOLING = 0.2
# Where to leave a warmer optimum: the next one is some way off anyhow.
LOOSE = 1e-2


def smooth_hinge(temperature, n_classes):
    """Smooth hinge of two classes, or of each class against the rest."""
    binary = SmoothHingeLoss(temperature)
    return binary if n_classes == 2 else OneVsRestLoss(binary, n_classes)


def temperatures(final):
    """From warm down to `final`."""
    path = [final]
    while path[0] / COOLING < WARM:
        path.insert(0, path[0] / COOLING)
    return [WARM, *path] if final < WARM else path


def minimise(objective, *, tol, max_iter):
    """Go from any start of an objective with a smooth hinge to its optimum.

    Returns
    -------
    Optimum
        Of the objective at its own temperature, `n_steps` over all temperatures.
    """
    n_classes = objective.loss.n_classes
    binary = getattr(objective.loss, "binary", objective.loss)
    n_steps, theta = 0, objective.theta
    path = temperatures(binary.temperature)
    for position, temperature in enumerate(path):
        last = position == len(path) - 1
        at = Objective(
            smooth_hinge(temperature, n_classes),
            objective.design,
            objective.y,
            objective.sample_weight,
            objective.penalty,
            theta,
        )
        found = polish(at, max_steps=max(0, max_iter - n_steps), tolerance=tol if last else LOOSE)
        n_steps += found.n_steps
        if np.isfinite(found.objective.theta).all():
            theta = found.objective.theta
    return Optimum(found.objective, n_steps, found.converged, found.stalled, found.failure)
