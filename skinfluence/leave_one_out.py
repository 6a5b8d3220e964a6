"""Leave-one-out predictors of an objective, their error, and how they were found."""

from collections.abc import Callable
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
    step : OneStep, callable or None
        The one-step deletion of all rows, or what makes it, if its errors have not been computed:
        they are NaN, and the bounds inf.
    """

    eta: np.ndarray
    leverage: np.ndarray
    route: np.ndarray
    error_estimate: np.ndarray
    error_bound: np.ndarray
    set_changes: np.ndarray | None = None
    step: OneStep | Callable | None = None

    def without_rough_step(self):
        """Return the same predictions; without their step where its curvature has few digits.

        Its errors are not computed then.
        """
        if self.step is None or callable(self.step):  # parts are those of a dense curvature
            return self
        rough = not self.step.curvature.has_all_digits
        return replace(self, step=None) if rough else self

    def with_errors(self):
        """Return the same predictions with the errors of their step."""
        if self.step is None:
            return self
        step = self.step() if callable(self.step) else self.step
        route = "newton" if step.corrected else "first_order"
        estimate, bound, changes = one_step_errors(step, route)
        errors = _errors_of(step, estimate, bound)
        return _uncertified(replace(self, **errors, set_changes=changes, step=None), step.objective)


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


def leave_one_out(objective, curvature, method, *, tolerance, progress=None):
    """Return the LooPredictions of every row by "auto", "exact", "newton" or "first_order".

    Errors of "newton" and "first_order" are computed by their `with_errors`.
    """
    method = resolve_auto(objective, method)
    if method == "exact":
        rows = np.arange(objective.n_rows)
        loo = _exact(objective, curvature, rows, tolerance, progress)
    else:
        loo = _by_one_step(objective, curvature, method)
        if method == "auto":
            gone = loo.step.collapsed & ~loo.step.undefined & ~loo.step.idle
            loo = _refined(objective, curvature, loo.with_errors(), gone, tolerance, progress)
    return _uncertified(loo, objective)


def _uncertified(loo, objective):
    """Return predictions whose bounds are inf away from an optimum, which certificates suppose.

    And for a trained hinge, of which they would be about the refits of another loss.
    """
    if objective.stationarity <= CERTIFIABLE and objective.is_at_its_own_optimum:
        return loo
    return replace(loo, error_bound=np.full(len(loo.error_bound), np.inf))


def _by_one_step(objective, curvature, method):
    """LooPredictions by one step of every row, without errors."""
    step = step_of_all(objective, curvature, method)
    route = "newton" if step.corrected else "first_order"
    return _assembled(step, step.own_change(), route, {**_unknown(objective.n_rows), "step": step})


def step_of_all(objective, curvature, method):
    """Return the one-step deletion of every row; by "auto" that of Newton, before its refits."""
    rows, corrected = np.arange(objective.n_rows), method != "first_order"
    return OneStep(objective, curvature, rows, corrected=corrected, final=method == "newton")


def _unknown(n):
    """Errors that have not been computed: read only, and no memory."""
    nothing = {"error_estimate": np.nan, "error_bound": np.inf}
    return {name: np.broadcast_to(value, n) for name, value in nothing.items()}


def found_by_parts(eta, leverage, method, undefined, idle, step):
    """Return the LooPredictions of every row that were found part by part, without errors.

    Parameters
    ----------
    eta : ndarray of shape (n, K)
        Leave-one-out predictors; those of undefined rows are set to NaN.
    leverage : ndarray of shape (n,)
    method : {"newton", "first_order"}
    undefined, idle : ndarray of bool, shape (n,)
        Rows without a model, and those of weight 0.
    step : callable
        Makes the one-step deletion of every row, if errors are asked for.
    """
    eta[undefined] = np.nan
    routes = _routes(method, len(eta), idle, undefined)
    return LooPredictions(eta, leverage, routes, **_unknown(len(eta)), step=step)


def _routes(route, n, idle, undefined):
    """How each of n rows was found; read only and no memory where all were alike."""
    routes = np.broadcast_to(np.array(route, dtype="<U11"), n)
    if idle.any() or undefined.any():
        routes = routes.copy()
        routes[idle] = "exact"
        routes[undefined] = "undefined"
    return routes


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


def _assembled(deletion, change, route, others):
    """LooPredictions of a deletion's rows, with `others` of their fields.

    Of rows of weight 0 those of the fit, undefined ones NaN.
    """
    objective, rows = deletion.objective, deletion.rows
    eta = objective.eta[rows] + change
    eta[deletion.undefined] = np.nan
    routes = _routes(route, len(rows), objective.sample_weight[rows] == 0, deletion.undefined)
    return LooPredictions(eta, deletion.row_leverages, routes, **others)


def _errors_of(deletion, estimate, bound):
    """Errors of a deletion's rows by name; of rows of weight 0 the fit's, undefined ones NaN."""
    estimate, bound = estimate.copy(), bound.copy()
    idle = deletion.objective.sample_weight[deletion.rows] == 0
    estimate[idle] = np.nan_to_num(estimate[idle])  # of the fit itself, where it is known
    estimate[deletion.undefined], bound[deletion.undefined] = np.nan, np.inf
    return {"error_estimate": estimate, "error_bound": bound}


def _exact(objective, curvature, rows, tolerance, progress):
    """LooPredictions by refits."""
    deletion = delete_exactly(objective, curvature, rows, tolerance=tolerance, progress=progress)
    errors = _errors_of(deletion, deletion.own_error, deletion.own_bound)
    loo = _assembled(deletion, deletion.own_change(), "exact", errors)
    changes = getattr(deletion, "changes", None)  # of the deletions under an L1 penalty
    return replace(loo, route=deletion.routes, set_changes=changes)


def leave_one_out_of(objective, curvature, rows, tolerance):
    """Return the LooPredictions of some rows by refits."""
    loo = _exact(objective, curvature, rows, tolerance, None)
    if objective.stationarity > CERTIFIABLE:
        loo = replace(loo, error_bound=np.full(len(loo.error_bound), np.inf))
    return loo


def _refined(objective, curvature, newton, gone, tolerance, progress):
    """LooPredictions by Newton steps, with the rows of the largest estimated errors refitted.

    As many as the flops allow. Rows whose active set changes, or whose leverage is too high for a
    Newton step, come first. So do those that have none, `gone` (n,), and without a refit they are
    undefined.
    """
    eta, route = newton.eta.copy(), newton.route.copy()
    estimate, bound = newton.error_estimate.copy(), newton.error_bound.copy()
    budget = auto_flops(objective) / max(1.0, refit_flops(objective))
    limit = np.minimum(estimate, bound)
    if newton.set_changes is not None:
        limit[newton.set_changes] = np.inf
    if objective.loss.has_scale:
        limit[newton.eta[:, -1] <= 0] = np.inf
    limit[gone] = np.inf
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
    if (left := gone & ~np.isin(np.arange(len(gone)), wanted)).any():
        eta[left], estimate[left], bound[left] = np.nan, np.nan, np.inf
        route[left] = "undefined"
    return replace(newton, eta=eta, route=route, error_estimate=estimate, error_bound=bound)
