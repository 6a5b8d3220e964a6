"""Leave-one-out predictors of an objective, their error, and how they were found."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skinfluence._parallel import row_blocks
from skinfluence.curvature import make_curvature
from skinfluence.deletion import (
    ChordNewton,
    GroupDeletion,
    OneStep,
    delete_exactly,
    dominant_rows,
    set_changes,
    without_group,
)
from skinfluence.deletion.certificate import distance, newton_remainder
from skinfluence.deletion.metric import largest_of_others
from skinfluence.optimum import CERTIFIABLE, newton_step

# Flops that "auto" spends on refits of every row before it turns to Newton steps: some ten seconds.
EXACT_FLOPS = 3e11
# What an elementwise residual costs, in flops of a GEMM.
RESIDUAL_FLOPS = 300.0
# Flops that the second tier of the certificate may take.
TIER_FLOPS = 2e10
# Rows whose next step is computed to calibrate the error estimate of the others.
CALIBRATION_ROWS = 16
# Rounding of a predictor, relative to max(1, |eta|): no error is known to be smaller.
ROUNDING = 16 * np.finfo(float).eps
# "auto" refines the longest steps until no estimated error of a predictor is larger.
PREDICTOR_TOLERANCE = 1e-3


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
    n, K = objective.n_rows, objective.n_outputs
    width = min(int(objective.active.sum()), n * K)
    return 3.0 * n * (4.0 * n * width + RESIDUAL_FLOPS * n * K + 2.0 * width * width)


def resolve_auto(objective, method):
    """Return "exact" for an "auto" whose refits are cheap, else the method as it is."""
    cheap = method == "auto" and exact_flops(objective) <= EXACT_FLOPS
    return "exact" if cheap else method


def leave_one_out(objective, curvature, method, *, tolerance, progress=None, errors=True):
    """Return the LooPredictions of every row by "auto", "exact", "newton" or "first_order".

    Without `errors` those of "newton" and "first_order" are not estimated: NaN, and bounds inf.
    """
    left = _left(objective, curvature, method, tolerance, progress, errors)
    if objective.stationarity > CERTIFIABLE:  # the certificate is about an optimum
        left = replace(left, error_bound=np.full(len(left.error_bound), np.inf))
    return left


def _left(objective, curvature, method, tolerance, progress, errors):
    """LooPredictions by any method, as if the objective were at its optimum."""
    method = resolve_auto(objective, method)
    if method == "exact":
        return _exact(objective, curvature, np.arange(objective.n_rows), tolerance, progress)
    if not errors and method != "auto":
        return _without_errors(objective, curvature, method)
    one_step = OneStep(objective, curvature, np.arange(objective.n_rows), corrected=True)
    error = NewtonError(one_step)
    bound = error.bound()
    estimate = np.fmin(error.estimate(), bound)  # no estimate is worth more than a proof
    changes = None
    if objective.penalty.is_kinked:
        changes = set_changes(objective, one_step)
        # What a step says of the others is exact under squared error alone.
        bound[changes | (not objective.loss.is_quadratic)] = np.inf
        estimate[changes] = np.nan
    newton = _assembled(one_step, one_step.own_change(), "newton", estimate, bound)
    newton = replace(newton, set_changes=changes)
    if method == "newton":
        return newton
    if method == "first_order":
        leverage = one_step.leverage  # the same numbers: not computed twice
        first = OneStep(objective, curvature, one_step.rows, corrected=False, leverage=leverage)
        missing = objective.loss.predictor_norm(one_step.own_change() - first.own_change())
        estimate, bound = missing + newton.error_estimate, missing + newton.error_bound
        first = _assembled(first, first.own_change(), "first_order", estimate, bound)
        return replace(first, set_changes=changes)
    return _refined(objective, curvature, newton, tolerance, progress)


def _without_errors(objective, curvature, method):
    """LooPredictions by one step and nothing more."""
    n = objective.n_rows
    step = OneStep(objective, curvature, np.arange(n), corrected=method == "newton")
    return _assembled(step, step.own_change(), method, np.full(n, np.nan), np.full(n, np.inf))


def leave_group_out(objective, curvature, method, groups, *, progress=None):
    """Return the LooPredictions of every row when its whole group is left out; no certificate."""
    deletion = GroupDeletion(objective, curvature, method, groups, progress=progress)
    change = deletion.own_change()
    route = np.full(objective.n_rows, method, dtype="<U11")
    for position in np.flatnonzero(deletion.undefined):
        route[groups[position]] = "undefined"
    unknown = np.full(objective.n_rows, np.nan if method in ("newton", "first_order") else 0.0)
    return LooPredictions(
        objective.eta + change,
        deletion.row_leverages,
        route,
        unknown,
        np.full(objective.n_rows, np.inf),
    )


def _assembled(deletion, change, route, estimate, bound):
    """LooPredictions of a deletion's rows; rows of weight 0 are exact, undefined ones NaN."""
    objective, rows = deletion.objective, deletion.rows
    eta = objective.eta[rows] + change
    routes = np.full(len(rows), route, dtype="<U11")
    routes[objective.sample_weight[rows] == 0] = "exact"
    estimate, bound = estimate.copy(), bound.copy()
    estimate[objective.sample_weight[rows] == 0] = 0.0
    bound[objective.sample_weight[rows] == 0] = 0.0
    for array in (eta, estimate):
        array[deletion.undefined] = np.nan
    bound[deletion.undefined] = np.inf
    routes[deletion.undefined] = "undefined"
    return LooPredictions(eta, deletion.row_leverages, routes, estimate, bound)


def _exact(objective, curvature, rows, tolerance, progress):
    """LooPredictions by refits."""
    deletion = delete_exactly(objective, curvature, rows, tolerance=tolerance, progress=progress)
    left = _assembled(
        deletion, deletion.own_change(), "exact", deletion.own_error, deletion.own_bound
    )
    return LooPredictions(
        left.eta,
        left.leverage,
        deletion.routes,
        left.error_estimate,
        left.error_bound,
        getattr(deletion, "changes", None),
    )


def _refined(objective, curvature, newton, tolerance, progress):
    """Newton, with the rows of longest step refitted until the estimated rest is small."""
    eta, route = newton.eta.copy(), newton.route.copy()
    estimate, bound = newton.error_estimate.copy(), newton.error_bound.copy()
    budget = EXACT_FLOPS / max(1.0, exact_flops(objective) / objective.n_rows)
    limit = np.minimum(estimate, bound)
    if newton.set_changes is not None:
        limit[newton.set_changes] = np.inf
    limit[dominant_rows(objective, np.arange(objective.n_rows), newton.leverage)] = np.inf
    order = np.argsort(-np.nan_to_num(limit, nan=-1.0), kind="stable")
    limit = limit[order]
    wanted = order[limit > PREDICTOR_TOLERANCE * objective.predictor_unit][: max(1, int(budget))]
    if len(wanted):
        exact = _exact(objective, curvature, np.sort(wanted), tolerance, progress)
        wanted = np.sort(wanted)
        eta[wanted], estimate[wanted] = exact.eta, exact.error_estimate
        bound[wanted] = exact.error_bound
        route[wanted] = np.where(exact.route == "exact", "refined", exact.route)
    return replace(newton, eta=eta, route=route, error_estimate=estimate, error_bound=bound)


def step_errors(deletion, method, *, quick=False):
    """How each step of a deletion was found, its estimated error and its bound, (r,) each.

    Of the predictor of the deleted row itself, of a group the largest at its rows. With `quick`
    what costs more than the step is left out: NaN, and bounds inf.
    """
    objective = deletion.objective
    if isinstance(deletion, GroupDeletion):
        return _group_errors(deletion, method, quick=quick)
    if method == "exact":
        found = _assembled(
            deletion, deletion.own_change(), "exact", deletion.own_error, deletion.own_bound
        )
        return deletion.routes, found.error_estimate, found.error_bound
    if quick or deletion.curvature.damping > 0:
        unknown = np.full(len(deletion), np.nan)
        found = _assembled(deletion, unknown[:, None], method, unknown, unknown + np.inf)
        bound = np.where(found.route == "exact", 0.0, np.inf)
        return found.route, found.error_estimate, bound
    curvature = deletion.curvature
    if method == "first_order" and objective.mean_penalty_share:
        curvature = make_curvature(objective.without_mean_penalty_share(), curvature.kind)
    found = leave_one_out(objective, curvature, method, tolerance=1e-8)
    rows = deletion.rows
    return found.route[rows], found.error_estimate[rows], found.error_bound[rows]


def _group_errors(deletion, method, *, quick):
    """Errors of group steps: what the next Newton step would change at the group's rows."""
    objective = deletion.objective
    route = np.full(len(deletion), method, dtype="<U11")
    route[deletion.undefined], route[deletion.idle] = "undefined", "exact"
    error = np.where(deletion.idle, 0.0, np.nan)
    bound = np.where(deletion.idle, 0.0, np.inf)
    for position, group in enumerate(deletion.groups):
        if quick or deletion.undefined[position] or deletion.idle[position]:
            continue
        step = deletion.steps(slice(position, position + 1))[0]
        error[position] = next_group_change(objective, group, step).max(initial=0.0)
    return route, error, bound


def next_group_change(objective, group, step):
    """Size (k,) of what the next Newton step without a group changes at its rows' predictors."""
    moved = without_group(objective, group).at(objective.theta + step)
    change = objective.design.dense(group) @ newton_step(moved).T
    return objective.loss.predictor_norm(change)


class NewtonError:
    """Error of each row's own predictor after the Newton step of a OneStep deletion.

    The bound is the certificate: from norms alone for all rows, then, where that is inf and the
    budget allows, from the changes of the other rows' predictors. The estimate is the size of the
    next chord step, computed for a few rows; for the others it is the product of their norms, times
    the largest ratio of the two among the few.

    Parameters
    ----------
    one_step : OneStep
        Of all rows, with Newton's multipliers.

    Attributes
    ----------
    length : ndarray of shape (n,)
        Of the step, in the curvature without the row.
    step_norm : ndarray of shape (n,)
        The same in the curvature with it.
    kappa : ndarray of shape (n,)
        M times a bound on the largest change of another row's predictor.
    """

    def __init__(self, one_step):
        self.one_step, self.objective = one_step, one_step.objective
        self.metric = one_step.metric
        rows, M = one_step.rows, self.objective.loss.self_concordance
        # ||d||_G of the Newton step d = G0^-1 b, b = g (x) z + s r' what the deletion adds to the
        # gradient: b'd in the metric G0 of the step, and at most the ratio of the norms in G.
        squared = one_step.inner(self.objective.residuals[rows], one_step.share)
        self.length = np.sqrt(np.maximum(squared, 0.0)) * self.metric.step_norm_ratio
        # ||d||_H, as H d = v (x) z + s r'; it bounds what d changes at any row.
        squared = one_step.inner(one_step.multipliers, one_step.share)
        self.step_norm = np.sqrt(np.maximum(squared, 0.0))
        moved = self.metric.max_row_norm_full * self.step_norm
        self.kappa = M * moved if np.isfinite(M) else np.full(len(rows), np.inf)
        self.live = self.objective.sample_weight > 0
        eta = np.abs(self.objective.eta[rows]).max(axis=1)
        self.rounding = ROUNDING * np.maximum(1.0, eta)

    def bound(self):
        """Certified error of each row's own predictor, inf where there is none."""
        if self._kinks() is not None:
            return np.where(self.crosses, np.inf, self.rounding)
        own_row_norm = self.metric.own_row_norm
        bound = own_row_norm * self.distance_by_norms()
        n, P = self.objective.n_rows, self.objective.n_parameters
        rows = np.flatnonzero(~np.isfinite(bound) & ~self.one_step.undefined)
        rows = rows[: int(TIER_FLOPS / (4.0 * n * P))]
        for part in row_blocks(len(rows), 8 * 3 * n * self.objective.n_outputs, at_most=256):
            some = rows[part]
            bound[some] = own_row_norm[some] * self.distance_by_predictors(some)
        return bound + self.rounding

    def distance_by_norms(self):
        """E of every Newton step, from norms alone."""
        return self._distance(self.kappa, slice(None))

    def distance_by_predictors(self, deletions):
        """E of some, with the largest change of another predictor computed instead of bounded."""
        steps = self.one_step.steps_of(deletions)
        change = np.moveaxis(self.objective.design.predictors_of(steps), 0, -1)  # (n, b, K)
        moved = self.objective.loss.predictor_norm(change)
        moved[self.one_step.rows[deletions], np.arange(len(deletions))] = 0.0
        return self._distance(self.objective.loss.self_concordance * moved.max(axis=0), deletions)

    def _distance(self, kappa, deletions):
        """E of Newton steps during which no other predictor moves by more than kappa / M."""
        metric, length = self.metric, self.length[deletions]
        # A step in a metric other than its own leaves the gradient m P d beside the remainder.
        mismatch = np.abs(metric.penalty_mismatch[deletions])
        missed = metric.gradient_norm_ratio[deletions] * mismatch * length
        nu = newton_remainder(kappa, length) + missed
        M = self.objective.loss.self_concordance
        return distance(nu, kappa, metric.max_row_norm[deletions], M)

    def _kinks(self):
        """Distances (n, K) of predictors to the kinks of a piecewise quadratic loss, or None."""
        objective = self.objective
        found = objective.loss.kink_distance(objective.y, objective.native(objective.eta))
        return None if found is None else found.reshape(objective.n_rows, -1)

    @cached_property
    def crosses(self):
        """Whether a step may take another row across its kink: where none does, it is exact.

        By |z_j d| <= sqrt(a_j) ||d||_H, no row that is further from its kink than this crosses it.
        That clears most deletions at once; of the others the predictors are computed.
        """
        objective, everything = self.objective, self.one_step.is_everything
        crosses = ~self.one_step.undefined
        if everything:
            row_norm = np.sqrt(np.einsum("ikk->ik", self.one_step.leverage.quadratic))
            with np.errstate(divide="ignore", invalid="ignore"):
                # Largest ||d||_H with which each row stays on its side of the kink, in any output.
                room = np.nanmin(np.where(row_norm > 0, self._kinks() / row_norm, np.inf), axis=1)
            room[~self.live] = np.inf
            crosses &= self.step_norm >= -largest_of_others(-room, self.one_step.rows, -np.inf)
        rows = np.flatnonzero(crosses)
        rows = rows[: int(TIER_FLOPS / (4.0 * objective.n_rows * objective.n_parameters))]
        for part in row_blocks(len(rows), 24 * objective.n_rows * objective.n_outputs, at_most=256):
            crosses[rows[part]] = self._crossed(rows[part])
        return crosses

    def _crossed(self, rows):
        """Whether the steps of some deletions do take another row across."""
        objective = self.objective
        change = objective.design.predictors_of(self.one_step.steps_of(rows))
        change += objective.eta.T[:, :, None]
        after = self._quadratic_piece(np.moveaxis(change, 0, -1), objective.y[:, None])
        crossed = after != self._quadratic_piece(objective.eta, objective.y)[:, None]
        crossed[~self.live] = False
        crossed[self.one_step.rows[rows], np.arange(len(rows))] = False
        return crossed.any(axis=(0, 2))

    def _quadratic_piece(self, eta, y):
        """Whether each output (..., K) has curvature."""
        loss = self.objective.loss
        if loss.is_scalar:
            return loss.curvature(y, eta[..., 0])[..., None] > 0
        return loss.curvature_split(y, eta)[0] > 0

    def estimate(self):
        """Estimated error of each row's own predictor."""
        if self._kinks() is not None:
            return self._estimate_of_crossings()
        # Without a constant M the norms still say which steps are long.
        known = np.isfinite(self.objective.loss.self_concordance)
        moved = self.kappa if known else self.metric.max_row_norm_full * self.step_norm
        mismatch = np.abs(self.metric.penalty_mismatch)
        proxy = (moved + mismatch) * self.length * self.metric.own_row_norm
        if not np.isfinite(proxy).any():
            return np.full(len(proxy), np.nan)
        ready = np.flatnonzero(~self.one_step.undefined & np.isfinite(proxy) & (proxy > 0))
        if not len(ready):
            return np.zeros(len(proxy))
        order = ready[np.argsort(-proxy[ready], kind="stable")]
        n_top = min(len(order), CALIBRATION_ROWS // 2)
        spread = np.linspace(n_top, len(order) - 1, CALIBRATION_ROWS - n_top).astype(int)
        sample = np.unique(
            np.concatenate([order[:n_top], order[np.clip(spread, 0, len(order) - 1)]])
        )
        chord = ChordNewton(self.one_step, 0.0)
        size = chord.next_change(sample)
        # Steps that are rounding say nothing of how the norms and the steps relate.
        telling = size > 1e3 * self.rounding[sample]
        # At a low temperature the norms of a hinge underflow, and the ratio is inf: so is then the
        # estimate of every row that moves anything.
        with np.errstate(over="ignore", invalid="ignore"):
            ratio = np.max(size[telling] / proxy[sample[telling]], initial=0.0)
            estimate = np.where(proxy > 0, proxy * ratio, 0.0)
        estimate[sample] = size
        return np.maximum(estimate, self.rounding)

    def _estimate_of_crossings(self):
        """The next step of the deletions that cross a kink, as many as the budget allows."""
        estimate = np.where(self.crosses, np.nan, self.rounding)
        objective, rows = self.objective, np.flatnonzero(self.crosses)
        rows = rows[: int(TIER_FLOPS / (8.0 * objective.n_rows * objective.n_parameters))]
        chord = ChordNewton(self.one_step, 0.0)
        for part in row_blocks(len(rows), 24 * objective.n_rows * objective.n_outputs, at_most=256):
            estimate[rows[part]] = chord.next_change(rows[part])
        return estimate
