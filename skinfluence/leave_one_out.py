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
    predictors_of_steps,
    set_changes,
    without_group,
)
from skinfluence.deletion.certificate import distance, newton_remainder
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
        first = OneStep(objective, curvature, one_step.rows, corrected=False)
        first.__dict__["leverage"] = one_step.leverage  # the same numbers: not computed twice
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
    """How far each Newton step of a OneStep deletion ends from its refit, at the row itself.

    The bound is the certificate, first from norms alone for all rows, then from the row's own
    predictor changes where that is inf and the budget allows. The estimate is the next chord step,
    computed for a few rows, and for the others their norms times the largest ratio of the two.
    """

    def __init__(self, one_step):
        self.one_step, self.objective = one_step, one_step.objective
        leverage, multipliers = one_step.leverage, one_step.multipliers
        residuals = self.objective.residuals[one_step.rows]
        # s^2 = b' G^-1 b with b = g (x) z: g' (I - A W)^-1 A g.
        self.penalty_mismatch = np.abs(one_step.penalty_mismatch)
        squared = np.maximum(one_step.inner(residuals, one_step.share), 0.0)
        self.length = np.sqrt(squared * (1.0 + self.penalty_mismatch))
        # z' G^-1 z as a range: what the norm is worth at the row itself.
        one_minus = np.linalg.eigvalsh(leverage.one_minus)[:, 0]
        self.inv_sqrt_one_minus_h = 1.0 / np.sqrt(np.maximum(one_minus, np.finfo(float).tiny))
        self.metric_ratio_upper = 1.0 / np.sqrt(
            np.maximum(1.0 - np.maximum(one_step.penalty_mismatch, 0.0), 1e-300)
        )
        self.inv_sqrt_one_minus_h = self.inv_sqrt_one_minus_h * self.metric_ratio_upper
        eta = np.abs(self.objective.eta[one_step.rows]).max(axis=1)
        self.rounding = ROUNDING * np.maximum(1.0, eta)
        row_norm = self.objective.loss.max_predictor_change(leverage.quadratic)
        self.own_row_norm = row_norm * self.inv_sqrt_one_minus_h
        live = row_norm * (self.objective.sample_weight[one_step.rows] > 0)
        first = int(np.argmax(live))
        second = float(np.max(np.delete(live, first), initial=0.0))
        self.largest = np.where(one_step.rows == one_step.rows[first], second, live[first])
        step_norm = np.sqrt(np.maximum(one_step.inner(multipliers, one_step.share), 0.0))
        self.step_norm, self.live = step_norm, live > 0
        M = self.objective.loss.self_concordance
        self.kappa = (
            M * self.largest * step_norm if np.isfinite(M) else np.full(len(row_norm), np.inf)
        )

    def bound(self):
        """Certified error of each row's own predictor, inf where there is none."""
        if self._kinks() is not None:
            return np.where(self.crosses, np.inf, self.rounding)
        M = self.objective.loss.self_concordance
        nu = newton_remainder(self.kappa, self.length) + self._missed(slice(None))
        E = distance(nu, self.kappa, self.largest * self.inv_sqrt_one_minus_h, M)
        bound = self.own_row_norm * E
        n, P = self.objective.n_rows, self.objective.n_parameters
        rows = np.flatnonzero(~np.isfinite(bound) & ~self.one_step.undefined)
        rows = rows[: int(TIER_FLOPS / (4.0 * n * P))]
        for part in row_blocks(len(rows), 8 * 3 * n * self.objective.n_outputs, at_most=256):
            bound[rows[part]] = self.own_row_norm[rows[part]] * self._second_tier(rows[part])
        return bound + self.rounding

    def _second_tier(self, rows):
        """E with the largest predictor change of the others computed instead of bounded."""
        M = self.objective.loss.self_concordance
        steps = self.one_step.steps_of(rows)
        change = np.stack(
            [self.objective.design @ steps[:, k].T for k in range(steps.shape[1])], axis=-1
        )
        distance_moved = self.objective.loss.predictor_norm(change)  # (n, b)
        distance_moved[self.one_step.rows[rows], np.arange(len(rows))] = 0.0
        kappa = M * distance_moved.max(axis=0)
        nu = newton_remainder(kappa, self.length[rows]) + self._missed(rows)
        return distance(nu, kappa, (self.largest * self.inv_sqrt_one_minus_h)[rows], M)

    def _missed(self, rows):
        """Gradient that a step in a metric other than its own leaves beside the remainder."""
        return self.metric_ratio_upper[rows] * self.penalty_mismatch[rows] * self.length[rows]

    def _kinks(self):
        """Distances (n, K) of predictors to the kinks of a piecewise quadratic loss, or None."""
        objective = self.objective
        found = objective.loss.kink_distance(objective.y, objective.native(objective.eta))
        return None if found is None else found.reshape(objective.n_rows, -1)

    @cached_property
    def crosses(self):
        """Whether a step may take another row across its kink: where none does, it is exact.

        |z_j d| <= sqrt(a_j) ||d||_H clears most deletions at once; the others are looked at.
        """
        objective, everything = self.objective, self.one_step.is_everything
        crosses = ~self.one_step.undefined
        if everything:
            row_norm = np.sqrt(np.einsum("ikk->ik", self.one_step.leverage.quadratic))
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.nanmin(np.where(row_norm > 0, self._kinks() / row_norm, np.inf), axis=1)
            room[~self.live] = np.inf
            first = int(np.argmin(room))
            second = np.min(np.delete(room, first), initial=np.inf)
            limit = np.where(np.arange(len(room)) == first, second, room[first])
            crosses &= self.step_norm >= limit
        rows = np.flatnonzero(crosses)
        rows = rows[: int(TIER_FLOPS / (4.0 * objective.n_rows * objective.n_parameters))]
        for part in row_blocks(len(rows), 24 * objective.n_rows * objective.n_outputs, at_most=256):
            crosses[rows[part]] = self._crossed(rows[part])
        return crosses

    def _crossed(self, rows):
        """Whether the steps of some deletions do take another row across."""
        objective = self.objective
        change = predictors_of_steps(objective.design, self.one_step.steps_of(rows))
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
        moved = self.kappa if known else self.largest * self.step_norm
        proxy = (moved + self.penalty_mismatch) * self.length * self.own_row_norm
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
        # Steps that are nothing but rounding say nothing of the norms.
        telling = size > 1e3 * self.rounding[sample]
        # The norms of a cold hinge underflow, and say nothing: inf, but for rows that move nothing.
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
