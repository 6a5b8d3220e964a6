"""Theta without a group of rows."""

import numpy as np

from skinfluence._parallel import tracked
from skinfluence.curvature import make_curvature
from skinfluence.deletion._base import StoredSteps
from skinfluence.deletion._hinge import HingeRefits
from skinfluence.deletion._one_step import shifted_residuals
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class
from skinfluence.optimum import is_acceptable_refit, refit


class GroupDeletion(StoredSteps):
    """theta_-S - theta for several sets S of rows, each left out together.

    First order: H^-1 sum_S g_i z_i, the sum of the rows' own steps. Newton: the joint step
    (H - sum_S W_i z_i z_i')^-1 sum_S g_i z_i, by a k x k system with the full factor while the
    group is small, by a factor of its own when it is large. Exact: Newton's method to the refit.

    Attributes
    ----------
    groups : list of ndarray of int
    """

    def __init__(self, objective, curvature, method, groups, *, progress=None):
        self.groups = groups
        steps = np.zeros((len(groups), *objective.theta.shape))
        undefined = np.array([_is_undefined(objective, group) for group in groups], dtype=bool)
        idle = np.array([not objective.sample_weight[group].any() for group in groups], dtype=bool)
        kinked = objective.trained_loss.is_piecewise_linear
        refits = HingeRefits(objective) if kinked and method == "exact" else None
        residuals = None if refits is not None else shifted_residuals(objective, curvature)
        for position in tracked(range(len(groups)), progress):
            if undefined[position]:
                steps[position] = np.nan
                continue
            if idle[position]:
                continue
            group = groups[position]
            if refits is not None:
                steps[position] = refits.steps([group])[0][0]
                continue
            corrected = method != "first_order"
            try:
                step = _one_step(objective, curvature, group, residuals, corrected=corrected)
            except np.linalg.LinAlgError:  # of this group alone: what is left has no curvature here
                step = np.full(objective.theta.shape, np.nan)
            if method == "exact":
                step = _refit(objective, group, step)
            undefined[position] = not np.isfinite(step).all()
            steps[position] = step
        super().__init__(objective, np.arange(len(groups)), undefined, steps, idle)
        self.refits, self.curvature = refits, curvature

    @property
    def row_leverages(self):
        """Of every training row, (n,), not of the groups."""
        if self.refits is not None:
            return self.refits.row_leverages
        leverage = self.curvature.leverage()
        return np.einsum("ikl,ilk->i", self.objective.weights, leverage.quadratic)

    def own_change(self):
        """Change of every row's predictor when its own group goes, (n, K); NaN for none."""
        change = np.full((self.objective.n_rows, self.objective.n_outputs), np.nan)
        for position, group in enumerate(self.groups):
            change[group] = self.objective.design.dense(group) @ self._steps[position].T
        return change


def without_group(objective, group):
    """Return the objective without a group of rows, at the same parameter."""
    delta = np.zeros(objective.n_rows)
    delta[group] = -objective.sample_weight[group]
    return objective.reweighted(delta)


def _is_undefined(objective, group):
    """Whether a class, or an unpenalised optimum, does not survive without the group."""
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
    large = len(group) * K > objective.n_parameters // 2 and curvature.kind == "dense"
    if large or shared:  # the share of a common penalty has the full rank
        rest = make_curvature(without_group(objective, group), curvature.kind, curvature.damping)
        return rest.solve(total).reshape(objective.theta.shape)
    # (H - Z_S'W Z_S)^-1 b = H^-1 b + H^-1 Z_S' L (I - S A L)^-1 S Z_S H^-1 b with W = L S.
    k = len(group)
    L, S = (factor[group] for factor in objective.weight_factors)
    left = np.concatenate([design.outer(L[:, :, m], group) for m in range(K)])  # (K k, P)
    right = np.concatenate([design.outer(S[:, m], group) for m in range(K)])
    solved = curvature.solve(np.hstack([left.T, total]))
    inner = np.eye(K * k) - right @ solved[:, :-1]
    weight = np.linalg.solve(inner, right @ solved[:, -1])
    return (solved[:, -1] + solved[:, :-1] @ weight).reshape(objective.theta.shape)


def _refit(objective, group, step):
    """Step to the optimum without the group; NaN where Newton does not converge."""
    optimum = refit(without_group(objective, group), step)
    if not is_acceptable_refit(optimum):
        return np.full(step.shape, np.nan)
    return optimum.objective.theta - objective.theta
