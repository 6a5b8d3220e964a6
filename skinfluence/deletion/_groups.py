"""Deletion of groups of rows."""

import numpy as np

from skinfluence._parallel import tracked
from skinfluence.curvature import make_curvature
from skinfluence.deletion._base import StoredSteps, steps_to_fill
from skinfluence.deletion._hinge import HingeRefits
from skinfluence.deletion._one_step import shifted_residuals
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class
from skinfluence.optimum import is_acceptable_refit, refit

# Flops that "auto" spends on refits of groups, some seconds.
AUTO_FLOPS = 2e10
# Newton steps that a refit takes from the joint one.
REFIT_STEPS = 4.0
# The digits that a difference from the identity may cost before a new factor is worth it.
LOST = 1e4


class GroupDeletion(StoredSteps):
    """theta_-S - theta for several sets S of rows, each deleted together.

    First order: H^-1 sum_S g_i z_i, the sum of the steps of the rows. Newton: the joint step
    (H - sum_S W_i z_i z_i')^-1 sum_S g_i z_i, for a small group by a k x k system with the factor
    of H, for a large group by a factor of its own. Exact: the refit, by Newton's method.

    Auto: the joint Newton step, and refits of the groups with the longest steps within a budget.

    Attributes
    ----------
    groups : list of ndarray of int
    routes : ndarray of str, shape (r,)
        Method of each group; "refined" for the refits of auto, "undefined".
    """

    def __init__(self, objective, curvature, method, groups, *, progress=None):
        self.groups = groups
        undefined = np.array([_is_undefined(objective, group) for group in groups], dtype=bool)
        idle = np.array([not objective.sample_weight[group].any() for group in groups], dtype=bool)
        steps = steps_to_fill(objective, len(groups), 0.0)
        steps[undefined] = np.nan
        wanted = np.flatnonzero(~undefined & ~idle)
        self.routes = np.full(len(groups), "newton" if method == "auto" else method, dtype="<U11")
        self.refits, self.curvature = None, curvature
        if objective.trained_loss.is_piecewise_linear and method in ("exact", "auto"):
            self.refits = HingeRefits(objective)
            self.routes[:] = "exact"
            for position in tracked(wanted, progress):
                steps[position] = self.refits.steps([groups[position]])[0][0]
        else:
            _one_steps(objective, curvature, groups, wanted, steps, method != "first_order")
            if method == "auto":
                wanted = _longest(objective, groups, wanted, steps)
                self.routes[wanted] = "refined"
            if method in ("auto", "exact"):
                for position in tracked(wanted, progress):
                    steps[position] = _refit(objective, groups[position], steps[position])
        undefined |= ~np.isfinite(steps).all(axis=(1, 2))
        if method != "first_order":
            undefined |= [_collapses(objective, step) for step in steps]
        self.routes[idle], self.routes[undefined] = "exact", "undefined"
        super().__init__(objective, np.arange(len(groups)), undefined, steps, idle)

    @property
    def row_leverages(self):
        """Leverage of every training row, (n,), not of the groups."""
        if self.refits is not None:
            return self.refits.row_leverages
        leverage = self.curvature.leverage()
        return self.objective.weighted_traces(leverage.quadratic, None)

    def own_change(self):
        """Change of each row's predictor when its own group is deleted, (n, K); NaN without one."""
        change = np.full((self.objective.n_rows, self.objective.n_outputs), np.nan)
        for position, group in enumerate(self.groups):
            change[group] = self.objective.design.dense(group) @ self._steps[position].T
        return change


def _one_steps(objective, curvature, groups, wanted, steps, corrected):
    """Write the first-order or joint Newton steps of some groups into `steps`."""
    residuals = shifted_residuals(objective, curvature)
    for position in wanted:
        try:
            steps[position] = _one_step(
                objective, curvature, groups[position], residuals, corrected=corrected
            )
        except np.linalg.LinAlgError:  # of this group alone: the rest has no curvature here
            steps[position] = np.nan


def _longest(objective, groups, wanted, steps):
    """Groups whose steps change their own predictors most, as many as the budget has refits."""
    n, P = objective.n_rows, objective.n_parameters
    flops = REFIT_STEPS * (n * P**2 + P**3 / 3.0)
    change = [np.abs(objective.design.dense(groups[i]) @ steps[i].T).sum() for i in wanted]
    # A step that is not finite is refitted first, from the fit itself.
    order = np.argsort(-np.nan_to_num(change, nan=np.inf), kind="stable")
    return np.sort(wanted[order[: int(AUTO_FLOPS / flops)]])


def without_group(objective, group):
    """Return the objective without a group of rows, at the same parameter."""
    delta = np.zeros(objective.n_rows)
    delta[group] = -objective.sample_weight[group]
    return objective.reweighted(delta)


def _collapses(objective, step):
    """Whether a step leaves no positive scale, for a loss that has one: its last intercept."""
    return objective.loss.has_scale and not (objective.theta + step)[-1, -1] > 0


def _is_undefined(objective, group):
    """Whether the fit without the group lacks a required class, or unpenalised an optimum."""
    rest = without_group(objective, group)
    if lost_a_class(rest):
        return True
    return is_unpenalised(objective) and not has_optimum(rest)


def _one_step(objective, curvature, group, residuals, *, corrected):
    """First-order or joint Newton step of one group, (K, q)."""
    design, K = objective.design, objective.n_outputs
    total = design.take(group).transpose_matmul(residuals[group]).T.reshape(-1, 1)
    shared = objective.shares[group].sum()
    if shared:
        common = objective.freed(objective.row_penalty.gradient(objective.theta))
        total += shared * common.reshape(-1, 1)
    if not corrected:
        return curvature.solve(total).reshape(objective.theta.shape)
    # The k x k system needs solves with k K columns, 2 P^2 flops each: for k K > P / 2 more than
    # P^3, while a new factor costs P^3 / 3 and a Gram matrix.
    large = len(group) * K > objective.n_parameters // 2 and curvature.kind == "dense"
    if large or shared:  # removing a share of the penalty changes H by a matrix of full rank
        rest = make_curvature(without_group(objective, group), curvature.kind, curvature.damping)
        return rest.solve(total).reshape(objective.theta.shape)
    # (H - Z_S'W Z_S)^-1 b = H^-1 b + H^-1 Z_S' L (I - S A L)^-1 S Z_S H^-1 b with W = L S.
    k = len(group)
    L, S = objective.weight_factors_of(group)
    left = np.concatenate([design.outer(L[:, :, m], group) for m in range(K)])  # (K k, P)
    right = np.concatenate([design.outer(S[:, m], group) for m in range(K)])
    solved = curvature.solve(np.hstack([left.T, total]))
    inner = np.eye(K * k) - right @ solved[:, :-1]
    if np.linalg.norm(np.linalg.inv(inner)) > LOST * np.linalg.norm(inner):
        rest = make_curvature(without_group(objective, group), curvature.kind, curvature.damping)
        return rest.solve(total).reshape(objective.theta.shape)
    weight = np.linalg.solve(inner, right @ solved[:, -1])
    return (solved[:, -1] + solved[:, :-1] @ weight).reshape(objective.theta.shape)


def _refit(objective, group, step):
    """Change of theta to the optimum without the group; NaN if Newton's method fails."""
    optimum = refit(without_group(objective, group), step)
    if not is_acceptable_refit(optimum):
        return np.full(step.shape, np.nan)
    return optimum.objective.theta - objective.theta
