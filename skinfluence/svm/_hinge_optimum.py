"""The optimum of a smooth hinge, and of the hinge itself."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC, LinearSVC

from skinfluence.hinge_dual import HingeDual
from skinfluence.losses import HingeLoss, OneVsRestLoss, SmoothHingeLoss
from skinfluence.optimum import Optimum, continuation, polish

# First temperature from any start: the loss is nearly quadratic over ordinary margins.
WARM = 1.0
# The same from an optimum of the hinge.
NEAR = 0.02
# Stationarity at which a warmer optimum is left: that of a hinge is some way from the next anyhow.
LOOSE = 1e-2
# Searches over the intercepts at one temperature, at most, and bisections of each.
MAX_SEARCHES = 20
BISECTIONS = 100
# Share of what cancels in an intercept's derivative that is rounding.
ZERO = 1e-13
# Share of the penalty that stands in for the curvature of an intercept without any.
FLAT = 1e-6
# Steps of libsvm, at most, and a row: where entries of the kernel differ by many orders of
# magnitude it never ends by itself.
MAX_LIBSVM_STEPS = 100_000
LIBSVM_STEPS_PER_ROW = 100


def started_by_libsvm(machine, K, y, weight):
    """Return a machine of libsvm's fitted as a start: it need not converge, but it has to end."""
    machine.set_params(max_iter=max(MAX_LIBSVM_STEPS, LIBSVM_STEPS_PER_ROW * len(y)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return machine.fit(K, y, weight)


def smooth_hinge(temperature, n_classes):
    """Hinge, smooth where T > 0, of two classes or of each class against the rest."""
    binary = SmoothHingeLoss(temperature) if temperature > 0 else HingeLoss()
    return binary if n_classes == 2 else OneVsRestLoss(binary, n_classes)


def hinge_optimum(objective, K, C):
    """Return the objective at the optimum of the hinge itself, by SVC on the kernel matrix K.

    In a kernel a high temperature is dear: all n rows have curvature, and a Newton step takes n^3
    flops. At libsvm's answer only the rows near the margin have any.
    """
    features = objective.design.X
    theta = np.empty_like(objective.theta)
    # libsvm drops rows of no weight, and counts its support vectors without them.
    live = np.flatnonzero(objective.sample_weight > 0)
    K, weight = K[np.ix_(live, live)], objective.sample_weight[live]
    for k in range(len(theta)):
        y = objective.output(k).y if objective.loss.is_separable else objective.y
        machine = started_by_libsvm(SVC(kernel="precomputed", C=C), K, y[live], weight)
        coef = machine.dual_coef_[0] @ features[live[machine.support_]]
        theta[k] = objective.design.pack(coef, machine.intercept_)[0]
    return objective.at(theta)


def hinge_minimum(objective, K, settings):
    """(Optimum of the hinge itself, dual variables s alpha (K, n)).

    A solver's answer, followed along the path of the dual to where it is exact.
    """
    trained = objective.trained()
    theta, converged = np.empty_like(objective.theta), True
    signed = np.empty((len(theta), objective.n_rows))
    for k in range(len(theta)):
        one = trained.output(k) if trained.loss.is_separable else trained
        dual = HingeDual(*_hinge_guess(one, K, settings))
        theta[k], signed[k] = dual.objective.theta[0], dual.sign * dual.alpha
        converged = converged and dual.converged
    return Optimum(objective.at(theta), 1, converged), signed


def _hinge_guess(objective, K, settings):
    """(Objective of one output at a solver's answer, its dual variables or None if unknown).

    libsvm always has an intercept; without one liblinear is the solver, in the columns of a linear
    machine or the features of a kernel. It is only a start: it need not converge.
    """
    design, y, weight = objective.design, objective.y, objective.sample_weight
    if not settings.fit_intercept:
        machine = LinearSVC(
            loss="hinge", C=settings.C, tol=1e-2, fit_intercept=False, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(design.features(slice(None)), y, weight)
        return objective.at(machine.coef_), None
    live = np.flatnonzero(weight > 0)
    machine = SVC(kernel="linear" if K is None else "precomputed", C=settings.C, tol=1e-4)
    rows = design.features(live) if K is None else K[np.ix_(live, live)]
    started_by_libsvm(machine, rows, y[live], weight[live])
    # One row, sparse where X is: the sum over it is a dense array either way.
    alpha = np.zeros(objective.n_rows)
    alpha[live[machine.support_]] = np.ravel(abs(machine.dual_coef_).sum(axis=0)) / settings.C
    return objective, alpha


def minimise(objective, *, tol, max_iter, near=False):
    """Optimum of an objective with a smooth hinge, from any start.

    Parameters
    ----------
    objective : Objective
    tol : float
        Of its stationarity.
    max_iter : int
        Newton steps.
    near : bool
        Whether the start is the optimum of a colder hinge.

    Returns
    -------
    Optimum
        Of the objective at its own temperature, `n_steps` over all temperatures.
    """
    warm = NEAR if near else WARM
    return continuation(
        objective, warm, max_steps=max_iter, tolerance=tol, solve=_solve, loose=LOOSE
    )


def _solve(objective, *, max_steps, tolerance):
    """Newton's method, with exact searches over intercepts whose curvature has vanished."""
    found = polish(objective, max_steps=max_steps, tolerance=tolerance)
    n_steps = found.n_steps
    for _ in range(MAX_SEARCHES):
        if found.is_settled or not (found.failure or found.stalled) or n_steps >= max_steps:
            break
        # Between the kinks the objective is linear in b: no curvature says how far to go.
        floor = FLAT * found.objective.penalty.strength.max()
        at = with_optimal_intercepts(found.objective)
        found = polish(at, max_steps=max_steps - n_steps, tolerance=tolerance, floor=floor)
        n_steps += max(1, found.n_steps)
    return replace(found, n_steps=n_steps)


def with_optimal_intercepts(objective):
    """Return the objective with every intercept at its minimum for the coefficients at hand.

    By bisection of the derivative, which rises with b from the first kink to the last; where it is
    zero on an interval, the middle.
    """
    coef, before = objective.design.split(objective.theta)
    kinks = np.stack([1.0 - (objective.eta - before), -1.0 - (objective.eta - before)])
    margin = 1.0 + 50.0 * objective.loss.temperature  # exp(-50) of a slope is rounding
    ends = []
    for side in (-1.0, 1.0):  # the last b whose derivative is negative, the first where positive
        low, high = kinks.min(axis=(0, 1)) - margin, kinks.max(axis=(0, 1)) + margin
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            moved = objective.at(objective.design.join(coef, middle))
            slope = moved.residuals.sum(axis=0)
            rest = ZERO * np.abs(moved.residuals).sum(axis=0)
            rising = slope > rest if side > 0 else slope >= -rest
            low, high = np.where(rising, low, middle), np.where(rising, middle, high)
        ends.append(0.5 * (low + high))
    return objective.at(objective.design.join(coef, 0.5 * (ends[0] + ends[1])))
