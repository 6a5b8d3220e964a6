"""Support vector machines through their dual: the optimum, and what it becomes without some rows.

The hinge has no curvature to take Newton steps with, but its optimum is a piecewise linear function
of the data, and is followed from kink to kink (`_kernels._hinge_path`): from any guess to the
optimum, and from there to the optimum without a row. Both end where every margin condition holds to
rounding, which is checked.
"""

import threading
from dataclasses import dataclass

import numpy as np

# A margin condition violated by less than this, relative to the largest margin, holds.
TOLERANCE = 1e-9
# A guess calls rows free whose margin is this close to 1.
NEAR = 1e-2
# Rows on the path, at most at first: their kernel matrix is kept, and checked against the others.
MAX_CANDIDATES = 5000
# Events a row, at most, before a path is given up.
EVENTS = 50
# Share by which the starts of rows that violate their margin condition differ, and the distance at
# most from the margin at which rows that are on it start.
SPREAD, OFFSET = 0.1, 1e-3
# Share of its cap within which a dual variable is at a bound.
BOUND = 1e-12
# Starts of a path that are tried.
ATTEMPTS = 5
ZERO, FREE, CAP, OUT = 0, 1, 2, 3


@dataclass(frozen=True)
class PathState:
    """A point of the path: everything that an event changes, of the candidates.

    Attributes
    ----------
    alpha, f : ndarray of shape (m,)
        Dual variables and predictors.
    intercept : float
    status : ndarray of int8, shape (m,)
    members : ndarray of int, shape (m,)
        The free rows first.
    n_free : int
    inverse : ndarray
        Of the free rows' system, in its leading block.
    violation : float
        Largest violation of a margin condition.
    """

    alpha: np.ndarray
    f: np.ndarray
    intercept: float
    status: np.ndarray
    members: np.ndarray
    n_free: int
    inverse: np.ndarray
    violation: float


def duals_of(objective):
    """Return the HingeDual of each output of an objective whose `trained_loss` is a hinge."""
    trained = objective.trained()
    if not trained.loss.is_separable:
        return [HingeDual(trained)]
    return [HingeDual(trained.output(k)) for k in range(trained.n_outputs)]


class HingeDual:
    """The optimum of one output of a hinge objective, with its dual variables.

    theta = sum_i alpha_i s_i z_i / strength over the penalised columns, 0 <= alpha_i <= w_i, and
    sum_i alpha_i s_i = 0 where there is an unpenalised intercept.

    Parameters
    ----------
    objective : Objective
        Of one output, with the hinge as its loss, at any guess of theta.
    alpha : ndarray of shape (n,), optional
        A guess of the dual variables; by default read from the margins.
    n_candidates : int
        Rows followed at first, those nearest to the margin.

    Attributes
    ----------
    objective : Objective
        At the optimum.
    alpha : ndarray of shape (n,)
        Dual variables.
    rows : ndarray of int
        The candidates.
    violation : float
        Largest violation of a margin condition, by any row.
    """

    def __init__(self, objective, alpha=None, n_candidates=MAX_CANDIDATES):
        self.cap, strength = objective.sample_weight, objective.penalty.strength
        self.sign = 2.0 * np.asarray(objective.y, dtype=float) - 1.0
        self.scale = np.where(strength > 0, 1.0 / np.where(strength > 0, strength, 1.0), 0.0)
        self.free_column = np.flatnonzero(strength == 0)
        self.bias = len(self.free_column)
        self.live = np.flatnonzero(self.cap > 0)
        self._local = threading.local()
        self.objective = objective
        self.alpha = self._guess() if alpha is None else np.clip(alpha, 0.0, self.cap)
        intercept = objective.theta[0, self.free_column]
        self.objective = objective.at(self.theta_of(self.alpha, intercept))
        attempt = 0
        while attempt < ATTEMPTS:
            self._choose(n_candidates)
            self._solve(attempt)
            if self.converged:
                break
            if self.follows_all:
                attempt += 1
            n_candidates *= 2

    @property
    def tolerance(self):
        """Violation of a margin condition that is rounding."""
        return TOLERANCE * max(1.0, float(np.abs(self.objective.eta).max(initial=0.0)))

    @property
    def converged(self):
        """Whether every margin condition holds."""
        return self.violation <= self.tolerance

    @property
    def follows_all(self):
        """Whether every row with a weight is a candidate."""
        return len(self.rows) == len(self.live)

    @property
    def is_free(self):
        """Whether each row is on the margin and its dual variable between the bounds, (n,)."""
        free = np.zeros(len(self.cap), dtype=bool)
        free[self.rows[self.point.members[: self.point.n_free]]] = True
        return free

    def theta_of(self, alpha, intercept):
        """Parameters (1, q) of dual variables and the unpenalised intercept."""
        theta = self.scale * self.objective.design.transpose_matmul(self.sign * alpha)
        theta[self.free_column] = intercept
        return theta[None, :]

    def thetas_of(self, change, intercept):
        """Parameters (b, q) of changes of s alpha (b, n) and of the intercept (b,)."""
        thetas = self.scale * self.objective.design.transpose_matmul(change.T).T
        thetas[:, self.free_column] = intercept[:, None]
        return thetas

    # -- the optimum -------------------------------------------------------------------------------

    def _guess(self):
        """Dual variables that the margins suggest: bounds away from 1, least squares near it."""
        objective = self.objective
        slack = self.sign * objective.eta[:, 0] - 1.0
        near = np.flatnonzero((np.abs(slack) < NEAR) & (self.cap > 0))
        alpha = np.where(slack < 0, self.cap, 0.0)
        alpha[near] = 0.0
        if not len(near) or len(near) > MAX_CANDIDATES:
            return alpha
        penalised = self.scale > 0
        missing = objective.theta[0] - self.theta_of(alpha, 0.0)[0]
        Z = objective.design.dense(near)[:, penalised] * self.scale[penalised]
        alpha[near] = self.sign[near] * np.linalg.lstsq(Z.T, missing[penalised], rcond=None)[0]
        return np.clip(alpha, 0.0, self.cap)

    def _choose(self, n_candidates):
        """Take the rows nearest to the margin, the free ones among them, and their kernel."""
        n, design = self.objective.n_rows, self.objective.design
        if n_candidates >= len(self.live):
            self.rows = self.live
            part = design if len(self.live) == n else design.take(self.live)
            self.gram = part.kernel(self.scale)
        else:
            slack = np.abs(self.sign * self.objective.eta[:, 0] - 1.0)
            slack[(self.alpha > 0) & (self.alpha < self.cap)] = -1.0
            slack[self.cap <= 0] = np.inf
            self.rows = np.sort(np.argpartition(slack, n_candidates)[:n_candidates])
            self.gram = design.take(self.rows).kernel(self.scale)
        self._place = np.full(n, -1)
        self._place[self.rows] = np.arange(len(self.rows))
        # What the rows off the path add to the predictors, and to the sum of s alpha.
        alpha_start = self.alpha.copy()
        alpha_start[self.rows] = 0.0
        self.target_sum = -float(self.sign @ alpha_start)
        self.base = np.zeros(len(self.rows))
        if alpha_start.any():
            self.base = design.take(self.rows) @ self.theta_of(alpha_start, 0.0)[0]

    def _solve(self, attempt):
        """Follow the path from the guess, which is the optimum for other margins.

        Which ones is a matter of chance; where many rows are all but dependent, rounding may lose
        the path from some of them.
        """
        from skinfluence._kernels import gather

        m, sign, cap = len(self.rows), self.sign[self.rows], self.cap[self.rows]
        members, inverse = np.zeros(m, dtype=np.int64), np.zeros((m + 2, m + 2))
        try:
            alpha = self.alpha[self.rows]
            status = _states(alpha, cap)
            n_free = gather(self.gram, sign, cap, alpha, status, members, inverse, self.bias)
        except np.linalg.LinAlgError:  # a corner of the box is no optimum, but it can be held
            alpha = np.where(self.alpha[self.rows] > 0.5 * cap, cap, 0.0)
            status, n_free = _states(alpha, cap), 0
        intercept = float(self.objective.theta[0, self.free_column].sum())
        f = self.base + intercept + self.gram @ (sign * alpha)
        shift = _shifts(sign * f - 1.0, status, seed=attempt)
        start = PathState(alpha, f, intercept, status, members, n_free, inverse, np.inf)
        net = self.target_sum - float(sign @ alpha) if self.bias else 0.0
        nothing = np.zeros(m)
        self.point = self._follow(start, shift, nothing, net, self.base, nothing, self.target_sum)
        # Rows that happen to be on the margin, though at a bound, leave it before anything moves.
        self._tied = _shifts(sign * self.point.f - 1.0, self.point.status, tied=TOLERANCE)
        self._tied[self.point.status == FREE] = 0.0
        self.alpha[self.rows] = self.point.alpha
        theta = self.theta_of(self.alpha, self.point.intercept)
        self.objective = self.objective.at(theta)
        everywhere = self.violation_of(self.alpha, self.objective.eta[:, 0])
        self.violation = max(self.point.violation, everywhere)

    def _follow(self, start, shift, predictor_shift, net, base, alpha_start, target_sum):
        """Follow the path from a point, in place, and return its end.

        Its predictors are base + b + G (s (alpha - held)), and s (alpha - held) adds up to `owed`.
        """
        from skinfluence._kernels import follow, refine

        sign, cap = self.sign[self.rows], self.cap[self.rows]
        alpha, f, status, members, inverse = (
            start.alpha,
            start.f,
            start.status,
            start.members,
            start.inverse,
        )
        try:
            b, n_free, _, done = follow(
                self.gram, sign, cap, alpha, f, shift, predictor_shift, net, status, members,
                start.n_free, inverse, self.bias, EVENTS * len(sign) + 1000,
            )  # fmt: skip
        except np.linalg.LinAlgError:  # the free rows have become dependent by rounding
            return start
        b, violation = refine(
            self.gram, sign, cap, alpha, alpha_start, start.intercept + b, base, target_sum, f,
            status, members, n_free, inverse, self.bias,
        )  # fmt: skip
        violation = violation if done else np.inf
        return PathState(alpha, f, b, status, members, n_free, inverse, violation)

    def violation_of(self, alpha, eta, removed=()):
        """Largest violated margin condition of dual variables and predictors (n,) of all rows."""
        slack, live = self.sign * eta - 1.0, self.cap > 0
        live[np.asarray(removed, dtype=int)] = False
        below = np.where(live & (alpha < (1.0 - BOUND) * self.cap), -slack, 0.0)
        above = np.where(live & (alpha > BOUND * self.cap), slack, 0.0)
        return float(max(below.max(initial=0.0), above.max(initial=0.0)))

    # -- without rows ------------------------------------------------------------------------------

    def without(self, removed):
        """Return (change of s alpha (n,), change of the intercept, violation) without some rows."""
        removed = np.asarray(removed)
        change = np.zeros(len(self.cap))
        leaving = removed[self.alpha[removed] > 0]
        if not len(leaving) and (self.point.n_free or not self.bias):
            return change, 0.0, self.violation
        change[leaving] = weight = -self.sign[leaving] * self.alpha[leaving]
        place = self._place[leaving]
        if (place >= 0).all():
            predictor_shift = weight @ self.gram[place]
        else:
            theta = self.scale * self.objective.design.transpose_matmul(change)
            predictor_shift = self.objective.design.take(self.rows) @ theta
        dropped = self._place[removed]
        start = self._copy(dropped[dropped >= 0])
        alpha_start = start.alpha.copy()
        net = -float(weight.sum()) if self.bias else 0.0
        base = start.f - start.intercept + predictor_shift
        end = self._follow(start, self._tied.copy(), predictor_shift, net, base, alpha_start, net)
        moved = np.flatnonzero(end.alpha != alpha_start)
        at = self.rows[moved]
        change[at] = self.sign[at] * (end.alpha[moved] - alpha_start[moved])
        return change, end.intercept - self.point.intercept, end.violation

    def _copy(self, dropped):
        """Return a copy of the optimum's point with some candidates out, in the thread's memory."""
        from skinfluence._kernels import drop

        point, m = self.point, len(self.rows)
        if not hasattr(self._local, "inverse"):
            self._local.inverse = np.empty((m + 2, m + 2))
        inverse, q = self._local.inverse, point.n_free + self.bias
        inverse[:q, :q] = point.inverse[:q, :q]
        alpha, status = point.alpha.copy(), point.status.copy()
        members, n_free = point.members.copy(), point.n_free
        for j in dropped:
            n_free = drop(j, status, members, n_free, inverse, self.bias)
            alpha[j] = 0.0
        return PathState(
            alpha, point.f.copy(), point.intercept, status, members, n_free, inverse, np.inf
        )


def exact_optimum(objective):
    """(Objective at the optimum of its piecewise linear trained loss, whether it is one)."""
    duals = duals_of(objective)
    theta = np.concatenate([dual.objective.theta for dual in duals])
    return objective.at(theta), all(dual.converged for dual in duals)


def _states(alpha, cap):
    """State of each row by its dual variable."""
    status = np.where(alpha <= 0, ZERO, np.where(alpha >= cap, CAP, FREE)).astype(np.int8)
    status[cap <= 0] = OUT
    return status


def _shifts(slack, status, tied=OFFSET, seed=0):
    """Where the path starts: the margins 1 + shift at which every row is in its state.

    Free rows are on theirs. Those at a bound that violate their condition, or are on the margin too
    (within `tied`), start away from it and from each other: no two arrive at once, and a degenerate
    start has no edges to cycle around.
    """
    random = np.random.default_rng(seed).uniform(size=len(slack))
    inward = np.where(status == CAP, -slack, slack)
    shift = np.minimum(inward, 0.0) * (1.0 + SPREAD * random)
    shift[inward < tied] -= OFFSET * random[inward < tied]
    shift[status == CAP] *= -1.0
    shift[status == FREE] = slack[status == FREE]
    shift[status == OUT] = 0.0
    return shift
