"""The noise model: a posterior that each given label is right, and refits weighted by it."""

import numpy as np
from scipy.optimize import brentq

from skinfluence._parallel import blas_for
from skinfluence.curvature import make_curvature
from skinfluence.deletion import needs_curvature
from skinfluence.leave_one_out import leave_group_out, leave_one_out, resolve_auto
from skinfluence.optimum import polish

# Refits with the posteriors as weights.
UPDATES = 3
# Tolerance of the coefficients of exact refits, relative to `Objective.coefficient_unit`.
TOLERANCE = 1e-8
# Flops that "auto" spends on exact refits of single rows; the rest are Newton steps. About what a
# few fits take: an audit should cost no more than the cross-validation that it replaces.
AUDIT_FLOPS = 5e9


def noise_rate(probability, n_classes, weight):
    """Most likely share of wrong labels, given the probabilities of the given ones.

    With a share rho of the labels replaced by another class at random, the given label of row i has
    the probability (1 - rho) P_iy + rho (1 - P_iy) / (K - 1); the weighted sum of their logarithms
    is concave in rho. At its maximum rho is the weighted mean of the posteriors that labels are
    wrong.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        P_iy, without NaN.
    n_classes : int
    weight : ndarray of shape (n,)

    Returns
    -------
    float
        In [0, (K - 1) / K]: above it a label would speak against its own class.
    """
    other = (1.0 - probability) / (n_classes - 1)
    highest = (n_classes - 1) / n_classes

    def slope(rho):
        mixture = (1.0 - rho) * probability + rho * other
        return float(weight @ ((other - probability) / np.maximum(mixture, 1e-300)))

    if slope(0.0) <= 0.0:
        return 0.0
    if slope(highest) >= 0.0:
        return highest
    return float(brentq(slope, 0.0, highest, xtol=1e-12))


def error_probability(probability, n_classes, rho):
    """Posterior that each given label is wrong, at a share rho of wrong labels: (n,)."""
    wrong = rho * (1.0 - probability) / (n_classes - 1)
    right = (1.0 - rho) * probability
    total = wrong + right
    # 0 / 0 where P_iy and rho are 0: no label is wrong.
    return np.divide(wrong, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def posterior(log_probabilities, codes, weight):
    """Posterior that each given label is wrong, with rho fitted; NaN where P is.

    Parameters
    ----------
    log_probabilities : ndarray of shape (n, K)
        Without each row.
    codes : ndarray of int, shape (n,)
        Given labels.
    weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n,)
    """
    n, K = log_probabilities.shape
    given = np.exp(log_probabilities[np.arange(n), codes])
    used = ~np.isnan(given) & (weight > 0)
    rho = noise_rate(given[used], K, weight[used])
    return error_probability(given, K, rho)


def left_out(objective, method, groups, *, budget=AUDIT_FLOPS):
    """LooPredictions of an objective, without each row or its whole group; no errors of steps."""
    if groups is not None:
        method = "exact" if method == "auto" else method
        curvature = make_curvature(objective) if needs_curvature(objective, method) else None
        return leave_group_out(objective, curvature, method, groups)
    method = resolve_auto(objective, method, budget)
    curvature = None
    if needs_curvature(objective, method):
        curvature = make_curvature(objective.without_mean_penalty_share())
    errors = method == "auto"  # which say what to refit
    return leave_one_out(
        objective, curvature, method, tolerance=TOLERANCE, errors=errors, budget=budget
    )


def refitted(objective, weight):
    """Objective with other sample weights, at its optimum."""
    optimum = polish(objective.reweighted(weight - objective.sample_weight))
    if not optimum.is_settled:
        raise np.linalg.LinAlgError(
            "the refit weighted by the noise model has no optimum that Newton's method finds"
            f"{': ' + optimum.failure if optimum.failure else ''}. Use a stronger penalty "
            "(a smaller C), or score='loo_loss'."
        )
    return optimum.objective


def noise_model(problem, loo, codes, method, groups):
    """Refit with the posteriors as weights, UPDATES times.

    Parameters
    ----------
    problem : FittedProblem
    loo : LooPredictions
        Of the fit with equal trust in all labels.
    codes : ndarray of int, shape (n,)
    method : {"auto", "exact", "newton"}
        How rows are left out. "auto" takes Newton steps between the first and the last fit: they
        only make weights.
    groups : list of ndarray, or None

    Returns
    -------
    (LooPredictions, ndarray of shape (n,))
        Of the last refit, and the posterior that each given label is wrong.
    """
    first = problem.objective
    wrong = _posterior_of(problem, loo, codes)
    objective = first
    with blas_for(float(first.n_rows) * first.n_parameters**2):
        for update in range(UPDATES):
            trust = 1.0 - np.nan_to_num(wrong, nan=0.0)  # rows without a model stay as they are
            objective = refitted(first.at(objective.theta), first.weigh(trust))
            between = method == "auto" and update < UPDATES - 1
            loo = left_out(objective, "newton" if between else method, groups)
            wrong = _posterior_of(problem, loo, codes)
    return loo, wrong


def _posterior_of(problem, loo, codes):
    """Posterior (n,) that each given label is wrong, from LooPredictions."""
    eta = problem.objective.native(loo.eta)
    return posterior(problem.link.log_probabilities(eta), codes, problem.sample_weight)
