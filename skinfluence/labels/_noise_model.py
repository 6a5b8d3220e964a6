"""The noise model: a posterior that each given label is right, and refits weighted by it."""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from skinfluence._parallel import blas_for
from skinfluence.curvature import make_curvature
from skinfluence.deletion import needs_curvature
from skinfluence.leave_one_out import leave_group_out, leave_one_out, resolve_auto
from skinfluence.optimum import polish

# Refits with the posteriors as weights.
UPDATES = 3
# Logarithms of the temperatures among which one is chosen, how precisely, and the least likelihood
# of a label.
TEMPERATURES, PRECISE, LEAST_LIKELY = (-3.0, 1.0), {"xatol": 1e-6}, 1e-12
# Mean leverage above which those of the first fit, wrong labels and all, are not kept. Of ten draws
# of 10 % in 4,137 rows of word counts they cost one, at a mean of .22, .012 of average precision;
# the nine others, at .11, gained .001 by them.
HIGH_LEVERAGE = 0.15
# Tolerance of the coefficients of exact refits, relative to `Objective.coefficient_unit`.
TOLERANCE = 1e-8
# Tolerance of `Objective.stationarity` at the refits that Newton steps are taken from: these steps
# are off by far more. Exact ones start at a full optimum.
STATIONARITY = 1e-5


def error_probability(probability, n_classes, rho):
    """Posterior that each given label is wrong, at a share rho of wrong labels: (n,)."""
    wrong = rho * (1.0 - probability) / (n_classes - 1)
    right = (1.0 - rho) * probability
    total = wrong + right
    # 0 / 0 where P_iy and rho are 0: no label is wrong.
    return np.divide(wrong, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def given_probability(log_probabilities, codes):
    """Probability (n,) of each given label, from those of all classes (n, K)."""
    return np.exp(log_probabilities[np.arange(len(codes)), codes])


def leave_each_out(problem, method, known):
    """LooPredictions of a FittedProblem; warn of undefined rows.

    Parameters
    ----------
    problem : FittedProblem
    method : {"auto", "exact", "newton"}
    known : LooPredictions or None
        By Newton steps: what "auto" takes where it does not refit.
    """
    objective = problem.objective
    steps = method == "auto" and resolve_auto(objective, method) == "auto"
    if not steps or not problem.link.has_probabilities or objective.loss.has_dominant_rows:
        return problem.leave_one_out(method)
    if known is None:
        with blas_for(float(objective.n_rows) * objective.n_parameters**2):
            known = left_out(objective, "newton", None, single=True)
    problem.warn_undefined(np.flatnonzero(known.route == "undefined"))
    return known


def left_out(objective, method, groups, *, single=False, beside=None):
    """LooPredictions of an objective, without each row or its whole group: "exact" or "newton".

    `single` and `beside` are as in `make_curvature`.
    """
    made, needed = None, needs_curvature(objective, method)
    if groups is not None:
        made = make_curvature(objective) if needed else None
        return leave_group_out(objective, made, method, groups)
    if needed:
        made = make_curvature(objective.without_mean_penalty_share(), single=single, beside=beside)
    return leave_one_out(objective, made, method, tolerance=TOLERANCE)


def refitted(objective, weight, **tolerance):
    """Objective with other sample weights, at its optimum."""
    optimum = polish(objective.reweighted(weight - objective.sample_weight), **tolerance)
    if not optimum.is_settled:
        raise np.linalg.LinAlgError(
            "the refit weighted by the noise model has no optimum that Newton's method finds"
            f"{': ' + optimum.failure if optimum.failure else ''}. Use a stronger penalty "
            "(a smaller C), or score='loo_loss'."
        )
    return optimum.objective


def noise_model(problem, loo, codes, method, groups):
    """Alternate between posteriors that labels are wrong and a refit weighted by them.

    The EM algorithm of a mixture: with probability rho a label was replaced by another one at
    random. It starts at rho = mean(1 - P_iy), which counts every doubt as an error, and takes
    UPDATES steps. Fitting rho to the first probabilities instead, by maximum likelihood, starts too
    low, because the wrong labels were among those that P was fitted to.

    Parameters
    ----------
    problem : FittedProblem
    loo : LooPredictions
        Of the fit with equal trust in all labels.
    codes : ndarray of int, shape (n,)
    method : {"auto", "exact", "newton"}
        How rows are left out. "auto" takes Newton steps, of groups refits.
    groups : list of ndarray, or None

    Returns
    -------
    (LooPredictions, ndarray of shape (n,))
        Of the last refit, and the posterior that each given label is wrong, calibrated.
    """
    first, weight = problem.objective, problem.sample_weight
    n_classes = problem.link.n_classes

    def given(loo):
        return given_probability(problem.link.log_probabilities(first.native(loo.eta)), codes)

    step = kept_step(first, loo) if method == "auto" and groups is None else None
    is_stale = step is not None and float(np.nanmean(loo.leverage)) > HIGH_LEVERAGE
    if method == "auto":
        method = "newton" if groups is None else "exact"
    tolerance = {"tolerance": STATIONARITY} if method == "newton" else {}
    probability, objective = given(loo), first
    rho = _mean(1.0 - probability, weight)
    with blas_for(float(first.n_rows) * first.n_parameters**2):
        for _ in range(UPDATES):
            wrong = error_probability(probability, n_classes, rho)
            rho = _mean(wrong, weight)
            trust = 1.0 - np.nan_to_num(wrong, nan=0.0)  # rows without a model stay as they are
            objective = refitted(first.at(objective.theta), first.weigh(trust), **tolerance)
            if step is None:
                loo = left_out(objective, method, groups)
            elif is_stale:
                loo = left_out(objective, method, None, single=True, beside=step.curvature)
                step, is_stale = loo.step, False
            else:
                eta = objective.eta + step.own_change_of(objective.residuals)
                eta[np.isnan(loo.eta)] = np.nan
                loo = replace(loo, eta=eta, step=None)
            probability = given(loo)
    sharpened = calibrated(problem, loo.eta, codes, rho)
    return loo, error_probability(sharpened, n_classes, rho)


def calibrated(problem, eta, codes, rho):
    """Probability (n,) of each given label with leave-one-out predictors over a temperature.

    A penalised fit to labels of which some are wrong is less sure than it could be. The temperature
    maximises the likelihood of the mixture at a share rho of wrong labels; one number, which leaves
    the order of the rows of two classes as it is.
    """
    link, objective, weight = problem.link, problem.objective, problem.sample_weight
    known = ~np.isnan(eta).any(axis=1)

    def given(log_temperature):
        native = objective.native(eta * np.exp(-log_temperature))
        return given_probability(link.log_probabilities(native), codes)

    def misfit(log_temperature):
        right = given(log_temperature)[known]
        likely = (1.0 - rho) * right + rho * (1.0 - right) / (link.n_classes - 1)
        # A row of no likelihood, where rho is 0, would decide alone.
        return -weight[known] @ np.log(np.maximum(likely, LEAST_LIKELY))

    best = minimize_scalar(misfit, bounds=TEMPERATURES, method="bounded", options=PRECISE)
    return given(best.x)


def kept_step(objective, loo):
    """Newton steps of the first fit, which serve the refits where leverages are dear; else None.

    The curvature without a row changes little from one refit to the next, and where it does the
    row is one whose weight falls to 0, and its residual with it: rankings are as good as with new
    leverages, each of which would take a factor of all rows. Only where rows lean on themselves,
    at a mean leverage above HIGH_LEVERAGE, the steps of the first refit take their place.
    """
    if loo.step is None or loo.step.curvature.has_all_digits or objective.penalty.is_kinked:
        return None
    return loo.step


def _mean(values, weight):
    """Weighted mean of the values that are not NaN."""
    known = ~np.isnan(values)
    if not weight[known].any():
        raise ValueError(
            "no row has a model without it, or without its group: nothing says which labels are "
            "wrong. Pass groups of which none is all of a class, or none."
        )
    return float(np.average(values[known], weights=weight[known]))
