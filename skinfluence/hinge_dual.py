"""Support vector machines by their dual: the optimum, and the optimum without some rows.

The hinge has no curvature for Newton steps, but its optimum is a piecewise linear function of the
data. `_kernels._hinge_path` follows it from kink to kink: from any guess to the optimum, and from
the optimum to that without a row. At the end of a path every margin condition holds to rounding,
which is checked.
"""

import threading
from dataclasses import dataclass

import numpy as np

# A margin condition holds if it is violated by less than this, relative to the largest margin.
TOLERANCE = 1e-9
# Rounding of a sum, in units of its terms.
ROUNDING = 64 * np.finfo(float).eps
# The first guess takes rows as free if their margin is this close to 1.
NEAR = 1e-2
# Largest number of rows on the path at first. Their kernel matrix is kept (200 MB for 5,000 rows);
# the margin conditions of the other rows are checked at the end.
MAX_CANDIDATES = 5000
# Largest number of events for each row before a path is given up.
EVENTS = 50
# Random relative difference between the starting margins of rows that violate their condition, and
# largest distance from the margin at which rows on the margin start, see `_shifts`.
SPREAD, OFFSET = 0.1, 1e-3
# A dual variable is at a bound if it is this close to it, relative to its cap.
BOUND = 1e-12
# Number of random starts of a path that are tried.
ATTEMPTS = 5
# States of a row: dual variable 0, between its bounds, at its cap; or not on the path.
ZERO, FREE, CAP, OUT = 0, 1, 2, 3


@dataclass(frozen=True)
class PathState:
    """A point of the path: all quantities of the m candidate rows that an event changes.

    Attributes
    ----------
    alpha, f : ndarray of shape (m,)
        Dual variables and predictors.
    intercept : float
    status : ndarray of int8, shape (m,)
        ZERO, FREE, CAP or OUT.
    members : ndarray of int, shape (m,)
        Positions of the free rows, in the first `n_free` entries.
    n_free : int
        Number of free rows.
    inverse : ndarray
        Inverse of the free rows' linear system, in its leading block.
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
    sum_i alpha_i s_i = 0 with an unpenalised intercept.

    Parameters
    ----------
    objective : Objective
        Objective of one output with the hinge as its loss, at any guess of theta.
    alpha : ndarray of shape (n,), optional
        A guess of the dual variables; by default guessed from the margins.
    n_candidates : int
        Number of candidates at first, the rows nearest to the margin; doubled until the margin
        conditions of all rows hold.

    Attributes
    ----------
    objective : Objective
        The objective at the optimum.
    alpha : ndarray of shape (n,)
        Dual variables.
    rows : ndarray of int
        The candidates: rows whose dual variables the path may change.
    violation : float
        Largest violation of a margin condition over all rows.
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
        # The number of candidates doubles until all rows are; then other random starts are tried.
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
        """Violation of a margin condition below which it counts as rounding."""
        return TOLERANCE * max(1.0, float(np.abs(self.objective.eta).max(initial=0.0)))

    @property
    def rounding(self):
        """Violation of a margin condition that sums over the rows leave at the optimum itself."""
        size = np.sqrt(np.maximum(self.gram.diagonal(), 0.0))
        terms = size.max(initial=0.0) * float(self.alpha[self.rows] @ size)
        terms += float(np.abs(self.base).max(initial=0.0)) + abs(self.point.intercept)
        return min(self.tolerance, ROUNDING * terms)

    @property
    def converged(self):
        """Whether every margin condition holds."""
        return self.violation <= self.tolerance

    @property
    def follows_all(self):
        """Whether every row of positive weight is a candidate."""
        return len(self.rows) == len(self.live)

    @property
    def is_free(self):
        """Mask (n,) of the free rows: on the margin, with a dual variable between its bounds."""
        free = np.zeros(len(self.cap), dtype=bool)
        free[self.rows[self.point.members[: self.point.n_free]]] = True
        return free

    def theta_of(self, alpha, intercept):
        """Parameters (1, q) from dual variables (n,) and the unpenalised intercept."""
        theta = self.scale * self.objective.design.transpose_matmul(self.sign * alpha)
        theta[self.free_column] = intercept
        return theta[None, :]

    def thetas_of(self, change, intercept):
        """Changes of theta (b, q) from changes of s alpha (b, n) and of the intercept (b,)."""
        thetas = self.scale * self.objective.design.transpose_matmul(change.T).T
        thetas[:, self.free_column] = intercept[:, None]
        return thetas

    # -- the optimum -------------------------------------------------------------------------------

    def _guess(self):
        """Dual variables guessed from the margins: at a bound away from 1, least squares near 1.

        At the optimum theta is a combination of the rows, with coefficients alpha; those of the
        rows near the margin are fitted to what the rows at their cap leave of theta.
        """
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
        """Choose the candidates, free rows and those nearest to the margin, and their kernel."""
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
        # Contribution of the offset and of the rows that are no candidates to the predictors, and
        # of those rows to sum s alpha = 0.
        alpha_start = self.alpha.copy()
        alpha_start[self.rows] = 0.0
        self.target_sum = -float(self.sign @ alpha_start)
        offset = self.objective.offset
        self.base = np.zeros(len(self.rows)) if offset is None else offset[self.rows, 0]
        if alpha_start.any():
            self.base = self.base + design.take(self.rows) @ self.theta_of(alpha_start, 0.0)[0]

    def _solve(self, attempt):
        """Follow the path from the guess, which is the optimum of a problem with other margins.

        These margins are random, with `attempt` as the seed: if many rows are nearly linearly
        dependent, a path may fail by rounding from some starts and not from others.
        """
        from skinfluence._kernels import gather

        m, sign, cap = len(self.rows), self.sign[self.rows], self.cap[self.rows]
        members, inverse = np.zeros(m, dtype=np.int64), np.zeros((m + 2, m + 2))
        try:
            alpha = self.alpha[self.rows]
            status = _states(alpha, cap)
            n_free = gather(self.gram, sign, cap, alpha, status, members, inverse, self.bias)
        except np.linalg.LinAlgError:  # start with no free row, all dual variables at a bound
            alpha = np.where(self.alpha[self.rows] > 0.5 * cap, cap, 0.0)
            status, n_free = _states(alpha, cap), 0
        intercept = float(self.objective.theta[0, self.free_column].sum())
        f = self.base + intercept + self.gram @ (sign * alpha)
        shift = _shifts(sign * f - 1.0, status, seed=attempt)
        start = PathState(alpha, f, intercept, status, members, n_free, inverse, np.inf)
        net = self.target_sum - float(sign @ alpha) if self.bias else 0.0
        nothing = np.zeros(m)
        self.point = self._follow(start, shift, nothing, net, self.base, nothing, self.target_sum)
        # Rows on the margin with a dual variable at a bound start a little away from the margin in
        # `without`, see `_shifts`.
        self._tied = _shifts(sign * self.point.f - 1.0, self.point.status, tied=TOLERANCE)
        self._tied[self.point.status == FREE] = 0.0
        self.alpha[self.rows] = self.point.alpha
        theta = self.theta_of(self.alpha, self.point.intercept)
        self.objective = self.objective.at(theta)
        everywhere = self.violation_of(self.alpha, self.objective.eta[:, 0])
        self.violation = max(self.point.violation, everywhere)

    def _follow(self, start, shift, predictor_shift, net, base, alpha_start, target_sum):
        """Follow the path from a point, in place, and return the point at its end.

        The predictors are base + b + G (s (alpha - alpha_start)), and s (alpha - alpha_start) adds
        up to `target_sum` if there is an intercept b.
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
            b, n_free, violation = refine(
                self.gram, sign, cap, alpha, alpha_start, start.intercept + b, base, target_sum, f,
                status, members, n_free, inverse, self.bias,
            )  # fmt: skip
        except (np.linalg.LinAlgError, ZeroDivisionError):
            return start  # the free rows have become linearly dependent, to rounding or outright
        violation = violation if done else np.inf
        return PathState(alpha, f, b, status, members, n_free, inverse, violation)

    def violation_of(self, alpha, eta, removed=()):
        """Largest violation of a margin condition, from alpha and eta (n,) of all rows."""
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
        # Only support vectors matter, unless no free row determines the intercept.
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
        try:
            start = self._copy(dropped[dropped >= 0])
        except ZeroDivisionError:  # the free rows that stay depend on each other: no path from here
            return change, 0.0, np.inf
        alpha_start = start.alpha.copy()
        net = -float(weight.sum()) if self.bias else 0.0
        base = start.f - start.intercept + predictor_shift
        end = self._follow(start, self._tied.copy(), predictor_shift, net, base, alpha_start, net)
        moved = np.flatnonzero(end.alpha != alpha_start)
        at = self.rows[moved]
        change[at] = self.sign[at] * (end.alpha[moved] - alpha_start[moved])
        return change, end.intercept - self.point.intercept, end.violation

    def _copy(self, dropped):
        """Return a copy of the point at the optimum without some candidates.

        The inverse is copied into memory that each thread allocates once.
        """
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
    """Return (objective at the optimum of its piecewise linear `trained_loss`, converged)."""
    duals = duals_of(objective)
    theta = np.concatenate([dual.objective.theta for dual in duals])
    return objective.at(theta), all(dual.converged for dual in duals)


def _states(alpha, cap):
    """State of each row, from its dual variable."""
    status = np.where(alpha <= 0, ZERO, np.where(alpha >= cap, CAP, FREE)).astype(np.int8)
    status[cap <= 0] = OUT
    return status


def _shifts(slack, status, tied=OFFSET, seed=0):
    """Shifts of the margins to 1 + shift, for which the start of the path is an optimum.

    Free rows are on their shifted margins. Rows at a bound that violate their condition, or are on
    the margin to within `tied`, start at random distances from it: so no two rows reach the margin
    at the same time, and the path cannot cycle at a degenerate point.
    """
    random = np.random.default_rng(seed).uniform(size=len(slack))
    inward = np.where(status == CAP, -slack, slack)
    shift = np.minimum(inward, 0.0) * (1.0 + SPREAD * random)
    shift[inward < tied] -= OFFSET * random[inward < tied]
    shift[status == CAP] *= -1.0
    shift[status == FREE] = slack[status == FREE]
    shift[status == OUT] = 0.0
    return shift
