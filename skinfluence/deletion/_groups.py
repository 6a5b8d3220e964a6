"""Joint changes of the weights of several rows; the deletion of a group is one of them."""

import numpy as np

from skinfluence._parallel import tracked
from skinfluence.curvature import make_curvature
from skinfluence.deletion._base import StoredSteps, steps_to_fill
from skinfluence.deletion._hinge import HingeRefits
from skinfluence.deletion._joint_chord import JointFactor, joint_refit
from skinfluence.deletion._joint_quasi_newton import QuasiNewtonRefits
from skinfluence.deletion._joint_refits import FEWEST, JointRefits, can_refit_jointly
from skinfluence.deletion._many_refits import curvature_left
from skinfluence.deletion._one_step import shift_of_predictors, with_shift
from skinfluence.deletion._range import has_range, outside
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class
from skinfluence.hinge_dual import exact_optimum

# Flops that "auto" spends on refits of groups, some seconds.
AUTO_FLOPS = 2e10
# Newton steps that a refit takes from the joint one.
REFIT_STEPS = 4.0
# Numbers of the rows that change (rows times outputs), as a share of the parameters, above which
# several changes are refitted together. A chord is nearer to the refit (1e-11 of the coefficients'
# unit against 1e-8), and corrects its factor first, by a solve for each of these numbers. Digits
# under softmax, 5 and 20 rows a group: .016 and .029 s by chords, .007 and .008 together.
TOGETHER_SHARE = 1.0 / 16.0
# Least share of the curvature of every coordinate that a change may leave: of those whose steps are
# by a common factor until they are short, and of those whose steps are by their own curvature.
LEAST_LEFT = {QuasiNewtonRefits: 1e-2, JointRefits: 1e-6}
# The digits that a difference from the identity may cost before a new factor is worth it.
LOST = 1e4


class JointChange(StoredSteps):
    """theta' - theta when several rows S change their weights by delta at once, for several S.

    First order: -H^-1 sum_S delta_i l'_i z_i, the sum of the steps of the rows. Newton: the joint
    step -(H + sum_S delta_i l''_i z_i z_i')^-1 sum_S delta_i l'_i z_i, for few rows by a k x k
    system with the factor of H, for many by a factor of its own. Exact: the refit, by chord steps
    from the factor at hand; of several changes of more than a few rows, all together.

    Auto: the joint Newton step, and refits of the changes with the longest steps within a budget.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    method : {"auto", "first_order", "newton", "exact"}
    groups : list of ndarray of int
        The rows of each change.
    deltas : list of ndarray
        What is added to their weights.
    progress : callable, optional

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        Method of each change; "refined" for the refits of auto, "undefined".
    """

    def __init__(self, objective, curvature, method, groups, deltas, *, progress=None):
        self.groups, self.deltas = groups, deltas
        pairs = list(zip(groups, deltas, strict=True))
        undefined = np.array([_is_undefined(objective, *pair) for pair in pairs], dtype=bool)
        idle = np.array([not delta.any() for delta in deltas], dtype=bool)
        steps = steps_to_fill(objective, len(groups), 0.0)
        steps[undefined] = np.nan
        wanted = np.flatnonzero(~undefined & ~idle)
        self.routes = np.full(len(groups), "newton" if method == "auto" else method, dtype="<U11")
        self.refits, self.curvature = None, curvature
        if objective.trained_loss.is_piecewise_linear and method in ("exact", "auto"):
            self.refits = HingeRefits(objective)
            self.routes[:] = "exact"
            for position in tracked(wanted, progress):
                steps[position] = _hinge_step(objective, self.refits, *pairs[position])
        else:
            if method == "exact":
                wanted = _refit_together(objective, curvature, pairs, wanted, steps, progress)
            else:
                _one_steps(objective, curvature, pairs, wanted, steps, method != "first_order")
            if method == "auto":
                wanted = _longest(objective, groups, wanted, steps)
                self.routes[wanted] = "refined"
            if method in ("auto", "exact"):
                refit = Refits(objective, curvature)
                for position in tracked(wanted, progress):
                    steps[position] = refit(*pairs[position])
        undefined |= ~np.isfinite(steps).all(axis=(1, 2))
        if method != "first_order":
            each = zip(steps, pairs, strict=True)
            collapses = [_collapses(objective, step, *pair) for step, pair in each]
            undefined |= np.array(collapses, dtype=bool)
        self.routes[idle], self.routes[undefined] = "exact", "undefined"
        super().__init__(objective, np.arange(len(groups)), undefined, steps, idle)

    def changed(self, position):
        """Return the objective after one of the changes, at the parameter before."""
        return _changed(self.objective, self.groups[position], self.deltas[position])

    @property
    def row_leverages(self):
        """Leverage of every training row, (n,), not of the groups."""
        if self.refits is not None:
            return self.refits.row_leverages
        leverage = self.curvature.leverage()
        return self.objective.weighted_traces(leverage.quadratic, None)

    def own_change(self):
        """Change of each row's predictor when its own group changes, (n, K); NaN without one."""
        change = np.full((self.objective.n_rows, self.objective.n_outputs), np.nan)
        for position, group in enumerate(self.groups):
            change[group] = self.objective.design.dense(group) @ self._steps[position].T
        return change


class GroupDeletion(JointChange):
    """The joint changes that take all their weight from the rows of each group.

    Parameters
    ----------
    objective, curvature, method, groups, progress
        As of :class:`JointChange`.
    """

    def __init__(self, objective, curvature, method, groups, *, progress=None):
        deltas = [-objective.sample_weight[group] for group in groups]
        super().__init__(objective, curvature, method, groups, deltas, progress=progress)


def _changed(objective, rows, delta):
    """Return the objective with `delta` added to the weights of some rows."""
    added = np.zeros(objective.n_rows)
    added[rows] = delta
    return objective.reweighted(added)


def without_group(objective, group):
    """Return the objective without a group of rows, at the same parameter."""
    return _changed(objective, group, -objective.sample_weight[group])


def _hinge_step(objective, refits, rows, delta):
    """Step to the optimum of a hinge: a deletion along the path, else from the start anew."""
    if (delta == -objective.sample_weight[rows]).all():
        return refits.steps([rows])[0][0]
    found, converged = exact_optimum(_changed(objective, rows, delta))
    return found.theta - objective.theta if converged else np.full(objective.theta.shape, np.nan)


def _refit_together(objective, curvature, pairs, wanted, steps, progress):
    """Write the refits of several large changes into `steps`; return the changes left to do.

    A chord corrects its factor by the rows that change, and takes a new one where these are many.
    """
    sizes = np.array([np.count_nonzero(pairs[position][1]) for position in wanted])
    large = wanted[sizes * objective.n_outputs > TOGETHER_SHARE * objective.n_parameters]
    # By a factor that had to be found by the rows, steps in its worst direction are too short.
    ill_conditioned = getattr(curvature, "by_rows", False)
    if ill_conditioned or not can_refit_jointly(objective, len(large)):
        return wanted
    left = curvature_left(objective, *zip(*(pairs[position] for position in large), strict=True))
    for method, least in LEAST_LEFT.items():
        chosen = large[left >= least]
        if len(chosen) < FEWEST:
            continue
        groups, deltas = zip(*(pairs[position] for position in chosen), strict=True)
        refits = method(objective, curvature.kind, groups, deltas, curvature)
        if refits.is_available:
            found, converged = refits.run(progress)
            done = chosen[converged]
            steps[done] = found[converged]
            wanted, rest = np.setdiff1d(wanted, done), ~np.isin(large, done)
            large, left = large[rest], left[rest]
    return wanted


def _one_steps(objective, curvature, pairs, wanted, steps, corrected):
    """Write the first-order or joint Newton steps of some changes into `steps`."""
    shift = shift_of_predictors(objective, curvature)
    for position in wanted:
        try:
            steps[position] = _one_step(
                objective, curvature, *pairs[position], shift, corrected=corrected
            )
        except np.linalg.LinAlgError:  # of this change alone: the rest has no curvature here
            steps[position] = np.nan


def _longest(objective, groups, wanted, steps):
    """Changes whose steps change their own predictors most, as many as the budget has refits."""
    n, P = objective.n_rows, objective.n_parameters
    flops = REFIT_STEPS * (n * P**2 + P**3 / 3.0)
    change = [np.abs(objective.design.dense(groups[i]) @ steps[i].T).sum() for i in wanted]
    # A step that is not finite is refitted first, from the fit itself.
    order = np.argsort(-np.nan_to_num(change, nan=np.inf), kind="stable")
    return np.sort(wanted[order[: int(AUTO_FLOPS / flops)]])


def _collapses(objective, step, rows, delta):
    """Whether a step leaves no positive scale, for a loss that has one, or an infinite loss.

    The scale is its last intercept.
    """
    ranged = has_range(objective) and np.isfinite(step).all()
    if ranged and outside(_changed(objective, rows, delta), objective.theta + step):
        return True
    return objective.loss.has_scale and not (objective.theta + step)[-1, -1] > 0


def _is_undefined(objective, rows, delta):
    """Whether the changed fit lacks a required class, or unpenalised an optimum."""
    left = objective.sample_weight[rows] + delta
    if (left > 0).all():  # whatever bounds the parameters now still does
        return False
    rest = _changed(objective, rows, delta)
    if not rest.sample_weight.any() or lost_a_class(rest):
        return True
    return is_unpenalised(objective) and not has_optimum(rest)


def _one_step(objective, curvature, rows, delta, shift, *, corrected):
    """First-order or joint Newton step of one change, (K, q).

    The rows that change are an objective of their own, with the weights |delta|: what a deletion
    takes away has the sign 1, what is added -1.
    """
    K, k, sign = objective.n_outputs, len(rows), -np.sign(delta)
    some = objective.take(rows)
    some = some.reweighted(np.abs(delta) - some.sample_weight)
    residuals = with_shift(some, None if shift is None else [part[rows] for part in shift])
    total = some.design.transpose_matmul(sign[:, None] * residuals).T.reshape(-1, 1)
    shared = float(sign @ some.shares)
    if shared:
        common = objective.freed(objective.row_penalty.gradient(objective.theta))
        total += shared * common.reshape(-1, 1)
    if not corrected:
        return curvature.solve(total).reshape(objective.theta.shape)
    if shift is None:
        # What the fit has left of its gradient. Without nearly all rows the curvature may be
        # smaller by ten digits, and would multiply that; this way the step ends where it should.
        total -= objective.gradient.reshape(-1, 1)
    # The k x k system needs solves with k K columns, 2 P^2 flops each: for k K > P / 2 more than
    # P^3, while a new factor costs P^3 / 3 and a Gram matrix.
    large = k * K > objective.n_parameters // 2 and curvature.kind == "dense"
    if large or shared:  # removing a share of the penalty changes H by a matrix of full rank
        rest = make_curvature(_changed(objective, rows, delta), curvature.kind, curvature.damping)
        return rest.solve(total).reshape(objective.theta.shape)
    # (H - Z_S'W Z_S)^-1 b = H^-1 b + H^-1 Z_S' L (I - S A L)^-1 S Z_S H^-1 b with W = L S.
    L, S = some.weight_factors_of(slice(None))
    S = sign[:, None, None] * S
    everything = slice(None)
    left = np.concatenate([some.design.outer(L[:, :, m], everything) for m in range(K)])
    right = np.concatenate([some.design.outer(S[:, m], everything) for m in range(K)])
    solved = curvature.solve(np.hstack([left.T, total]))
    inner = np.eye(K * k) - right @ solved[:, :-1]
    if np.linalg.norm(np.linalg.inv(inner)) > LOST * np.linalg.norm(inner):
        rest = make_curvature(_changed(objective, rows, delta), curvature.kind, curvature.damping)
        return rest.solve(total).reshape(objective.theta.shape)
    weight = np.linalg.solve(inner, right @ solved[:, -1])
    return (solved[:, -1] + solved[:, :-1] @ weight).reshape(objective.theta.shape)


class Refits:
    """Refits after joint changes, each by a chord from the factor of the fit.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    curvature : Curvature
    """

    def __init__(self, objective, curvature):
        self.objective, self.factor = objective, first_factor(objective, curvature)

    def __call__(self, rows, delta):
        """Change of theta to the optimum after a change; NaN where none is found."""
        found = joint_refit(self.objective, self.factor, rows, delta)
        if found is None:
            return np.full(self.objective.theta.shape, np.nan)
        return found.objective.theta - self.objective.theta


def first_factor(objective, curvature):
    """Return the JointFactor of a fit from its curvature; None where chords do not apply."""
    if not objective.is_at_its_own_optimum or curvature is None or curvature.damping:
        return None
    if not objective.penalty.is_kinked:
        return JointFactor(objective, curvature)
    if objective.loss.is_separable:
        return None
    return JointFactor(objective.on_active_set(), curvature.inner)
