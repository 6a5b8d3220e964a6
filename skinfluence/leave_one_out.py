"""Leave-one-out predictors of an objective, their error, and how they were found."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence.deletion import (
    GroupDeletion,
    OneStep,
    delete_exactly,
    dominant_rows,
    one_step_errors,
    question_flops,
    refit_flops,
)
from skinfluence.optimum import CERTIFIABLE

# Flops that "auto" spends on refits: about a tenth of a second, and a multiple of what the Newton
# steps take. Where they do for every row, all are refitted; with more rows the share that is
# refitted falls little by little, and with it the cost beside the Newton steps: there is no jump.
FREE_FLOPS = 1e9
NEWTON_SHARE = 1.5
# The same along the path of a hinge, whose Newton steps are no substitute: some ten seconds.
PATH_FLOPS = 3e11
# Steps of a smaller estimated error, in the predictors' unit, are as good as refits.
NO_ERROR = 1e-9


@dataclass(frozen=True)
class LooPredictions:
    """Leave-one-out predictors and what is known about them.

    Attributes
    ----------
    eta : ndarray of shape (n, K)
        Predictor of each row under the model without it; NaN where that does not exist.
    leverage : ndarray of shape (n,)
        Trace of W_i A_i; they add up to the effective number of parameters.
    route : ndarray of str, shape (n,)
        "exact", "refined", "newton", "first_order" or "undefined".
    error_estimate, error_bound : ndarray of shape (n,)
        Of the predictor (of its range over the outputs): estimated, and certified or inf.
    set_changes : ndarray of bool, shape (n,), or None
        Whether the active set of an L1 penalty changes without the row; None without such a one.
    """

    eta: np.ndarray
    leverage: np.ndarray
    route: np.ndarray
    error_estimate: np.ndarray
    error_bound: np.ndarray
    set_changes: np.ndarray | None = None


def exact_flops(objective):
    """Estimated cost of refits without every row, in flops."""
    return objective.n_rows * refit_flops(objective)


def auto_flops(objective):
    """Flops that "auto" may spend on refits."""
    if objective.trained_loss.is_piecewise_linear:
        return PATH_FLOPS
    return FREE_FLOPS + NEWTON_SHARE * question_flops(objective, objective.n_rows, 0)


def resolve_auto(objective, method, flops=None):
    """Return "exact" for an "auto" whose refits are cheap, else the method as it is.

    Parameters
    ----------
    objective : Objective
    method : str
    flops : float, optional
        What they may cost; by default the budget of leave-one-out estimates.
    """
    flops = auto_flops(objective) if flops is None else flops
    cheap = method == "auto" and exact_flops(objective) <= flops
    return "exact" if cheap else method


def leave_one_out(objective, curvature, method, *, tolerance, progress=None, errors=True):
    """Return the LooPredictions of every row by "auto", "exact", "newton" or "first_order".

    Without `errors` those of "newton" and "first_order" are not estimated: NaN, and bounds inf.
    """
    loo = _predictions(objective, curvature, method, tolerance, progress, errors)
    if objective.stationarity > CERTIFIABLE:  # the certificate is about an optimum
        loo = replace(loo, error_bound=np.full(len(loo.error_bound), np.inf))
    return loo


def _predictions(objective, curvature, method, tolerance, progress, errors):
    """LooPredictions by any method, as if the objective were at its optimum."""
    method = resolve_auto(objective, method)
    if method == "exact":
        return _exact(objective, curvature, np.arange(objective.n_rows), tolerance, progress)
    if not errors and method != "auto":
        return _without_errors(objective, curvature, method)
    first_order, rows = method == "first_order", np.arange(objective.n_rows)
    step = OneStep(objective, curvature, rows, corrected=not first_order, final=method == "newton")
    route = "first_order" if first_order else "newton"
    estimate, bound, changes = one_step_errors(step, route)
    loo = _assembled(step, step.own_change(), route, estimate, bound)
    loo = replace(loo, set_changes=changes)
    return _refined(objective, curvature, loo, tolerance, progress) if method == "auto" else loo


def _without_errors(objective, curvature, method):
    """LooPredictions by one step and nothing more."""
    n = objective.n_rows
    corrected = method == "newton"
    step = OneStep(objective, curvature, np.arange(n), corrected=corrected, final=corrected)
    return _assembled(step, step.own_change(), method, np.full(n, np.nan), np.full(n, np.inf))


def leave_group_out(objective, curvature, method, groups, *, progress=None):
    """Return the LooPredictions of every row when its whole group is left out; no certificate."""
    deletion = GroupDeletion(objective, curvature, method, groups, progress=progress)
    change = deletion.own_change()
    route = np.empty(objective.n_rows, dtype="<U11")
    for position, group in enumerate(groups):
        route[group] = deletion.routes[position]
    unknown = np.full(objective.n_rows, np.nan if method in ("newton", "first_order") else 0.0)
    return LooPredictions(
        objective.eta + change,
        deletion.row_leverages,
        route,
        unknown,
        np.full(objective.n_rows, np.inf),
    )


def _assembled(deletion, change, route, estimate, bound):
    """LooPredictions of a deletion's rows; of rows of weight 0 the fit's, undefined ones NaN."""
    objective, rows = deletion.objective, deletion.rows
    eta = objective.eta[rows] + change
    routes = np.full(len(rows), route, dtype="<U11")
    idle = objective.sample_weight[rows] == 0
    routes[idle] = "exact"
    estimate, bound = estimate.copy(), bound.copy()
    estimate[idle] = np.nan_to_num(estimate[idle])  # of the fit itself, where it is known
    for array in (eta, estimate):
        array[deletion.undefined] = np.nan
    bound[deletion.undefined] = np.inf
    routes[deletion.undefined] = "undefined"
    return LooPredictions(eta, deletion.row_leverages, routes, estimate, bound)


def _exact(objective, curvature, rows, tolerance, progress):
    """LooPredictions by refits."""
    deletion = delete_exactly(objective, curvature, rows, tolerance=tolerance, progress=progress)
    loo = _assembled(
        deletion, deletion.own_change(), "exact", deletion.own_error, deletion.own_bound
    )
    changes = getattr(deletion, "changes", None)  # of the deletions under an L1 penalty
    return replace(loo, route=deletion.routes, set_changes=changes)


def leave_one_out_of(objective, curvature, rows, tolerance):
    """Return the LooPredictions of some rows by refits."""
    loo = _exact(objective, curvature, rows, tolerance, None)
    if objective.stationarity > CERTIFIABLE:
        loo = replace(loo, error_bound=np.full(len(loo.error_bound), np.inf))
    return loo


def _refined(objective, curvature, newton, tolerance, progress):
    """LooPredictions by Newton steps, with the rows of the largest estimated errors refitted.

    As many as the flops allow. Rows whose active set changes, or whose leverage is too high for a
    Newton step, come first.
    """
    eta, route = newton.eta.copy(), newton.route.copy()
    estimate, bound = newton.error_estimate.copy(), newton.error_bound.copy()
    budget = auto_flops(objective) / max(1.0, refit_flops(objective))
    limit = np.minimum(estimate, bound)
    if newton.set_changes is not None:
        limit[newton.set_changes] = np.inf
    if objective.loss.has_scale:
        limit[newton.eta[:, -1] <= 0] = np.inf
    limit[dominant_rows(objective, np.arange(objective.n_rows), newton.leverage)] = np.inf
    order = np.argsort(-np.nan_to_num(limit, nan=-1.0), kind="stable")
    limit = limit[order]
    wanted = order[limit > NO_ERROR * objective.predictor_unit][: max(1, int(budget))]
    if len(wanted):
        wanted = np.sort(wanted)
        exact = _exact(objective, curvature, wanted, tolerance, progress)
        eta[wanted], estimate[wanted] = exact.eta, exact.error_estimate
        bound[wanted] = exact.error_bound
        route[wanted] = np.where(exact.route == "exact", "refined", exact.route)
    return replace(newton, eta=eta, route=route, error_estimate=estimate, error_bound=bound)
