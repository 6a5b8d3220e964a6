"""What a model is without some of its rows: refits and formulas of one step, in long double."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tests.fuzz.existence import exists
from tests.fuzz.hinge import UNIT as GAP_UNIT
from tests.fuzz.hinge import hinge_optimum
from tests.fuzz.losses import LD
from tests.fuzz.optimum import Basis, Objective, minimise, solve

# Predictors that still moved by more than this share are no oracle.
UNSURE = 1e-11
# Steps through a curvature of centred, scaled columns that is worse than this are beyond float64.
WORST_CONDITION = 1e12
# Changes of predictors below this are none.
SMALLEST = 1e-30
# Gradient at which the library's fits end, in units of the terms that cancel in it.
POLISHED = 1e-10
# Of a product, in units of float64.
ROUNDING = 128 * float(np.finfo(float).eps)
UNIT = 4 * float(np.finfo(float).eps) / ROUNDING


def condition(H):
    """Condition numbers (B,) of matrices scaled to a unit diagonal; inf where not finite."""
    size = np.sqrt(np.abs(np.einsum("bii->bi", H)))
    size = np.where(size > 0, size, 1)
    scaled = np.asarray(H / (size[:, :, None] * size[:, None, :]), dtype=float)
    found = np.full(len(H), np.inf)
    finite = np.isfinite(scaled).all(axis=(1, 2))
    if finite.any() and H.shape[1]:
        found[finite] = np.linalg.cond(scaled[finite])
    return found if H.shape[1] else np.ones(len(H))


def inverse_of(H):
    return solve(H[None], np.eye(len(H), dtype=LD)[None])[0]


def amplified(found):
    """Relative rounding of a float64 solution at condition numbers; inf where none is left."""
    return np.where(found < WORST_CONDITION, ROUNDING * found, np.inf)


@dataclass
class Spec:
    """A model as the oracle knows it.

    `X`, `X_test` are the rows the last step sees (features of a kernel), `labels` the classes'
    positions or the responses (n,) or (n, outputs), `loss` the one that is minimised and `lent` the
    one whose derivatives stand for it, where it has none.
    """

    loss: object
    X: np.ndarray
    X_test: np.ndarray
    labels: np.ndarray
    w: np.ndarray
    intercept: bool
    l2: object = 0.0
    intercept_l2: float = 0.0
    shared_l2: float = 0.0
    l1: float = 0.0
    intercept_l1: float = 0.0
    shared_l1: float = 0.0
    lent: object = None
    has_probabilities: bool = False
    decision_shape: str = "ovr"
    break_ties: bool = False
    unit: object = LD(1)
    dual: object = None  # (strength of the dual coefficients, kernel of test and training rows)
    damping: float = 0.0
    origin: object = None  # of columns far from zero, about which intercepts are free or damped
    fitted: object = None  # predictors (n, K) of the fit that is asked


class Oracle:
    """Optimum, refits and steps of a Spec."""

    def __init__(self, spec):
        self.spec = spec
        self.w = np.asarray(spec.w, dtype=LD)
        self.n = len(self.w)
        is_huber = type(spec.loss).__name__ == "Huber"
        with_ones = spec.intercept or is_huber
        free_intercept = spec.intercept and spec.intercept_l2 == 0 and spec.intercept_l1 == 0
        self.basis = Basis.of(spec.X, self.w, intercept=with_ones, centred=free_intercept)
        Z = self.basis.rows(spec.X)
        self.Z_test = self.basis.rows(spec.X_test)
        K, q = spec.loss.K, Z.shape[1]
        p = q - with_ones

        def penalty(features, intercept, power):
            found = np.zeros((K, q), dtype=LD)
            found[:, :p] = np.asarray(features, dtype=LD).reshape(-1, 1)
            if with_ones:
                found[:, p] = intercept
            return self.basis.scaled(found, power)

        free = np.ones((K, q), dtype=bool)
        if is_huber:
            free[1, :p] = False
            free[0, p] = spec.intercept
        self.objective = Objective(
            spec.loss,
            Z,
            spec.loss.encode(spec.labels),
            self.w,
            penalty(spec.l2, spec.intercept_l2, 2),
            penalty(spec.shared_l2, 0.0, 2),
            penalty(spec.l1, spec.intercept_l1, 1),
            penalty(spec.shared_l1, 0.0, 1),
            free,
        )
        if is_huber:  # the scale is not penalised
            for name in ("fixed", "shared", "fixed_l1", "shared_l1"):
                getattr(self.objective, name)[1] = 0
        self.smooth = self.objective
        if spec.lent is not None:
            self.smooth = self.objective.take(loss=spec.lent)
        self.codes = spec.labels if spec.loss.n_classes else None

    # -- optima ------------------------------------------------------------------------------------

    @cached_property
    def exists(self):
        return exists(self.objective, self.w, self.codes)

    @cached_property
    def _full(self):
        return self._optima(self.w[None], self._start()[None])

    @property
    def theta(self):
        return self._full[0][0]

    @cached_property
    def is_sure(self):
        """Whether the full optimum was found, and is the only one."""
        return bool(self.exists and self._full[1][0] <= UNSURE and self._is_unique)

    @property
    def _is_unique(self):
        """Whether columns under an L1 penalty do not share a coefficient."""
        if not self.objective.has_l1:
            return True
        theta, w = self.theta[None], self.w[None]
        slope = self.objective._weighted(
            w, self.objective.loss.gradient(self.objective.y, self.objective.eta(theta))
        )
        at = np.flatnonzero(self._movable(theta, w, slope)[0])
        H = self.objective.hessian(theta, w)[0]
        return bool(amplified(condition(H[at[:, None], at][None]))[0] < np.inf)

    def _start(self):
        """Zero, but for what a mean or a scale has to start from."""
        objective, spec = self.objective, self.spec
        theta = np.zeros(objective.shape, dtype=LD)
        live = self.w > 0
        if spec.loss.n_classes or not self.basis.intercept:
            return theta
        y = objective.y[live]
        kind = type(spec.loss).__name__
        if kind == "Tweedie":
            mean = (self.w[live][:, None] * y).sum() / self.w[live].sum()
            theta[0, -1] = np.log(mean) if spec.loss.link == "log" and mean > 0 else mean
        elif kind == "Huber":
            theta[0, -1] = y.mean() if spec.intercept else 0
            residual = np.abs(y[:, 0] - theta[0, -1]).max()
            theta[1, -1] = LD(1.01) * (residual if residual > 0 else 1) / spec.loss.epsilon
        elif kind in ("Pinball", "EpsilonInsensitive"):
            theta[0, -1] = np.median(y)
        return theta

    def _optima(self, w, start):
        """(theta (B, K, q), how far predictors were still moving (B,))."""
        if type(self.spec.loss).__name__ == "Hinge":
            return hinge_optimum(self.objective, w)
        found = minimise(self.objective, w, start)
        theta, moving = self._balanced(found.theta), found.moving
        if type(self.spec.loss).__name__ == "Huber":
            live = self.objective.y[self.w > 0]
            size = np.abs(live).max() if len(live) else 1
            with np.errstate(invalid="ignore"):
                moving = np.where(theta[:, 1, -1] > 1e-6 * size, moving, np.inf)
        return theta, moving

    def _balanced(self, theta):
        """theta (B, K, q) whose softmax coefficients add up to 0 in the columns of an L2 penalty.

        The penalty alone knows of their sum. Beside rows far from zero it has no digit of it.
        """
        if type(self.spec.loss).__name__ != "Softmax" or self.objective.has_l1:
            return theta
        penalised = ((self.objective.fixed + self.objective.shared) > 0).all(axis=0)
        return theta - np.where(penalised, theta.mean(axis=1, keepdims=True), 0)

    # -- without some rows -------------------------------------------------------------------------

    def weights_without(self, groups):
        """(B, n)."""
        w = np.repeat(self.w[None], len(groups), axis=0)
        for b, group in enumerate(groups):
            w[b, group] = 0
        return w

    def undefined(self, groups, method="exact"):
        """Mask of the groups without which there is no model; none where nothing goes.

        With damping a step is no estimate of a refit, and asks for the classes alone.
        """
        damped = method != "exact" and self.spec.damping > 0
        return np.array(
            [
                bool((self.w[group] > 0).any())
                and not exists(self.objective, w, self.codes, damped)
                for group, w in zip(groups, self.weights_without(groups), strict=True)
            ],
            dtype=bool,
        )

    def change(self, method, groups, joint=True):
        """(change of theta (B, K, q), undefined (B,), rounding (B,)) by a method.

        A Newton step for one row that is not `joint` is that of the documented formula: with the
        mean row's share of the penalty taken from the curvature, where a joint one takes its own.
        The last is what float64 may lose, relative to the largest change; inf where this loses more
        than it should.
        """
        undefined = self.undefined(groups, method)
        idle = np.array([not (self.w[group] > 0).any() for group in groups], dtype=bool)
        change = np.full((len(groups), *self.objective.shape), np.nan, dtype=LD)
        rounding = np.zeros(len(groups))
        wanted = np.flatnonzero(~undefined & ~idle)
        if len(wanted):
            some = [np.asarray(groups[b]) for b in wanted]
            if method == "exact":
                start = np.repeat(self.theta[None], len(some), axis=0)
                rest = self.weights_without(some)
                theta, moving = self._optima(rest, start)
                change[wanted] = theta - self.theta
                known = self._rounding(theta, rest)
                if type(self.spec.loss).__name__ == "Hinge":
                    known = np.maximum(known, self._of_the_gap(theta, rest, moving))
                rounding[wanted] = np.where(moving <= UNSURE, known, np.inf)
            else:
                change[wanted], rounding[wanted] = self._step(method, some, joint=joint)
        change[idle] = 0
        return self._in_gauge(self._balanced(change)), undefined, rounding

    def _in_gauge(self, change):
        """Of softmax: with changes of the intercepts, about the origin, that add up to 0."""
        if not self.objective.gauge[0, -1]:
            return change
        coef, intercept = self.basis.original(change)
        if self.spec.origin is not None:
            intercept = intercept + coef @ np.asarray(self.spec.origin, dtype=LD)
        change[..., -1] -= intercept.mean(axis=1, keepdims=True)
        return change

    def blurs(self, method, groups, joint=True):
        """Changes of theta if the margins of a trained hinge are where its solver may leave them.

        They are right to 1e-9 or to rounding; the smooth hinge that lends its curvature magnifies
        that by the inverse of its temperature. Empty for other losses.
        """
        if self.spec.lent is None or method == "exact":
            return []
        rng = np.random.default_rng(0)
        coef, intercept = self.basis.original(self.theta)
        X = np.abs(np.asarray(self.spec.X, dtype=LD))
        terms = X @ np.abs(coef).T + np.abs(intercept)
        allowed = np.maximum(LD(2e-9), LD(1e-15) * terms.max(axis=0, initial=0))
        found = []
        undefined = self.undefined(groups, method)
        for _ in range(3):
            direction = rng.normal(size=self.theta.shape).astype(LD)
            size = np.abs(self.objective.Z @ direction.T).max(axis=0)
            direction *= (allowed / np.where(size > 0, size, 1))[:, None]
            change = np.full((len(groups), *self.theta.shape), np.nan, dtype=LD)
            wanted = np.flatnonzero(~undefined)
            if len(wanted):
                some = [np.asarray(groups[b]) for b in wanted]
                change[wanted] = self._step(method, some, self.theta + direction, joint)[0]
            found.append(change)
        return found

    def _step(self, method, groups, theta=None, joint=True):
        """(first-order or Newton step of each group, (B, K, q), rounding (B,))."""
        objective = self.smooth
        theta, w = self.theta if theta is None else theta, self.w
        at = np.flatnonzero((objective.free & self.active).ravel())
        B = len(groups)
        right = np.zeros((B, *objective.shape), dtype=LD)
        eta = objective.eta(theta)[None]
        g = objective._weighted(w[None], objective.loss.gradient(objective.y, eta))[0]
        common = objective.shared * theta + objective.shared_l1 * np.sign(theta)
        for b, group in enumerate(groups):
            right[b] = g[group].T @ objective.Z[group] + w[group].sum() * common
        fixed = not self.spec.damping  # which leaves no direction free
        H = self._metric(objective.hessian(theta[None], w[None], fixed))
        gone = 0
        if self.spec.lent is not None:  # theta is not the optimum of this loss
            gradient = objective.gradient(theta[None], w[None])
            gone = self._solve(H, gradient, at)  # minus the step without a deletion
            if method == "first_order":
                W = objective._weighted(w[None], objective.loss.curvature(objective.y, eta))[0]
                moved = -objective.eta(gone[0])
                for b, group in enumerate(groups):
                    extra = np.einsum("ikl,il->ik", W[group], moved[group])
                    right[b] += extra.T @ objective.Z[group]
                gone = 0
            else:
                right = right - gradient
        if method == "newton":
            rest = self.weights_without(groups)
            H = objective.hessian(np.repeat(theta[None], B, axis=0), rest, fixed)
            H = self._metric(H if joint else self._with_mean_share(H, rest))
        else:
            H = np.repeat(H, B, axis=0)
        step = self._solve(H, right, at) + gone
        rounding = amplified(condition(H[:, at[:, None], at]))
        terms = self._rounded_away(theta[None], w[None])[0].T @ np.abs(objective.Z)
        moved = max(np.nan_to_num(np.abs(objective.eta(step))).max(initial=0), SMALLEST)
        far = np.array([self._reach(one, at, terms) for one in H], dtype=float) / float(moved)
        rounding = np.maximum(rounding, ROUNDING * np.nan_to_num(far, nan=np.inf) / 4)
        return step, np.where(np.isfinite(step).all(axis=(1, 2)), rounding, np.inf)

    def _with_mean_share(self, H, rest):
        """H (B, P, P) with a shared penalty that lacks the mean row's weight, not the row's own."""
        live = np.count_nonzero(self.w)
        left = self.w.sum() * (1 - LD(1) / live if live > 1 else 1)
        at = np.arange(H.shape[1])
        H = H.copy()
        H[:, at, at] += (left - rest.sum(axis=1))[:, None] * self.objective.shared.ravel()
        return H

    def _rounding(self, theta, w):
        """What float64 may lose of optima (B, K, q) under weights (B, n).

        By the condition of the curvature, and by what cancels in the gradient, that of the full
        fit, too: where rows have hardly any curvature that moves the predictors far. Relative to
        the largest change.
        """
        objective = self.objective
        moved = max(np.abs(objective.eta(theta - self.theta)).max(initial=0), SMALLEST)
        if self.spec.lent is not None:  # of the trained hinge, which has no curvature
            return np.full(len(theta), float(ROUNDING * self.terms.max(initial=0) / moved))
        lost, far = self._lost_of_optima(theta, w)
        far = (far + self._lost_of_optima(self.theta[None], self.w[None])[1]) / moved
        return np.maximum(lost, ROUNDING * far.astype(float) / 4)

    def _lost_of_optima(self, theta, w):
        """(By the condition of the curvature, how far a last digit of the gradient moves), (B,)."""
        found, far = np.zeros(len(theta)), np.zeros(len(theta), dtype=LD)
        objective, Z = self.objective, np.abs(self.objective.Z)
        H = objective.hessian(theta, w)
        slope = objective._weighted(w, objective.loss.gradient(objective.y, objective.eta(theta)))
        g = np.abs(slope) + self._rounded_away(theta, w)
        terms = np.matmul(np.swapaxes(g, 1, 2), Z)
        terms += objective.strength(w) * np.abs(theta) + objective.strength_l1(w)
        # Where rows that stay make columns equal, nothing is to be compared.
        for b, free in enumerate(self._movable(theta, w, slope)):
            at = np.flatnonzero(free)
            far[b] = self._reach(H[b], at, terms[b])
            found[b] = amplified(condition(H[b][at[:, None], at][None]))[0]
        return found, far

    def _movable(self, theta, w, slope):
        """Mask (B, P) of the coordinates that are not 0, or are at the limit of an L1 penalty.

        A zero whose slope is that of the penalty may move as well: how it shares a coefficient with
        an equal column is not unique. `slope` (B, n, K) is that of the rows.
        """
        objective = self.objective
        l1 = objective.strength_l1(w)
        slope = np.matmul(np.swapaxes(slope, 1, 2), objective.Z)
        at_limit = np.abs(slope) >= l1 * (1 - LD(1e-9))
        return (objective.free & ((theta != 0) | (l1 == 0) | at_limit)).reshape(len(theta), -1)

    def _reach(self, H, at, terms):
        """Largest change of a predictor by gradients of the size `terms` (K, q) at H (P, P)."""
        left = np.zeros(len(H), dtype=LD)
        left[at] = np.abs(inverse_of(H[at[:, None], at])) @ terms.ravel()[at]
        return (np.abs(self.objective.Z) @ left.reshape(terms.shape).T).max(initial=0)

    def _rounded_away(self, theta, w):
        """Rounding of residuals (B, n, K), in units of float64's of their product with others.

        That of the predictors, and of the responses. Where a fit is exact nothing else is left, but
        for what it is from the optimum.
        """
        objective = self.smooth
        has_no_unit = objective.loss.n_classes or getattr(objective.loss, "link", "") == "log"
        y = 1 if has_no_unit else np.abs(objective.y)
        terms = np.matmul(np.abs(objective.Z), np.swapaxes(np.abs(theta), 1, 2)) + y
        W = objective._weighted(w, objective.loss.curvature(objective.y, objective.eta(theta)))
        terms = terms * UNIT + self.unpolished * (4 / LD(ROUNDING))
        return np.matmul(np.abs(W), terms[..., None])[..., 0]

    @cached_property
    def unpolished(self):
        """How far the predictors of the fit are from the optimum, (n, K), where it may end there.

        Of data in which no row has a slope there is no other effect.
        """
        fitted = self.spec.fitted
        if fitted is None or np.shape(fitted) != self.eta.shape:
            return np.zeros(self.eta.shape, dtype=LD)
        off = np.asarray(fitted, dtype=LD) - self.eta
        if self.objective.gauge.any():
            off -= off.mean(axis=1, keepdims=True)
        return np.minimum(np.nan_to_num(np.abs(off)), LD(self.polish))

    @cached_property
    def polish(self):
        """What a predictor of the fit is off, which ends at a gradient of 1e-10 of its terms."""
        if self.spec.lent is not None:
            return 0.0
        objective, theta, w = self.objective, self.theta[None], self.w[None]
        y, eta = objective.y, objective.eta(theta)
        slope = objective._weighted(w, objective.loss.gradient(y, eta))
        terms = objective._weighted(w, objective.loss.terms(y, eta))
        terms = terms[0].T @ np.abs(objective.Z) + objective.strength_l1(w)[0]
        terms = terms + objective.strength(w)[0] * np.abs(self.theta)
        at = np.flatnonzero(self._movable(theta, w, slope)[0])
        return float(POLISHED * self._reach(objective.hessian(theta, w)[0], at, terms))

    def _of_the_gap(self, theta, w, unsure):
        """What a duality gap leaves open of the optima of hinges, by their largest change, (B,).

        A hinge objective is at least the optimum plus half the squared distance in its penalty.
        Most optima are far nearer than that: not where a row on its margin has no multiplier.
        """
        free = self.objective.fixed > 0
        strength = np.where(free, self.objective.fixed, 1)
        size = np.sqrt((free * self.objective.Z[:, None] ** 2 / strength).sum(axis=2)).max()
        gap = (np.maximum(unsure, self._full[1][0]) / GAP_UNIT) ** 2 * self.objective.value(
            theta, w
        )
        moved = np.nanmax(np.abs(self.objective.eta(theta - self.theta)), initial=0.0)
        off = 2 * size * np.sqrt(2 * gap) / np.maximum(moved, 1e-300)
        return np.asarray(off, dtype=float)

    @cached_property
    def rounding(self):
        """What float64 may lose of a step through the curvature of the full fit."""
        at = np.flatnonzero((self.smooth.free & self.active).ravel())
        return float(amplified(condition(self.hessian()[at[:, None], at][None]))[0])

    @cached_property
    def active(self):
        """Coordinates that move with the data."""
        l1 = self.objective.fixed_l1 + self.objective.shared_l1
        return (self.theta != 0) | (l1 == 0)

    def _metric(self, H):
        """H and what damping adds to it, in the coefficients about the origin of the columns."""
        if self.spec.damping:
            T = self.basis.T.copy()
            if self.basis.intercept and self.spec.origin is not None:
                p = len(self.spec.origin)
                T[p] += np.asarray(self.spec.origin, dtype=LD) @ T[:p]
            added = self.spec.damping * T.T @ T
            K = self.objective.shape[0]
            H = H + np.kron(np.eye(K), added.astype(LD))[None]
        return H

    def _solve(self, H, right, at):
        flat = right.reshape(len(right), -1)
        found = np.zeros_like(flat)
        found[:, at] = solve(H[:, at[:, None], at], flat[:, at, None])[:, :, 0]
        return found.reshape(right.shape)

    # -- predictors --------------------------------------------------------------------------------

    @property
    def eta(self):
        return self.objective.eta(self.theta)

    @cached_property
    def terms(self):
        """Size (n, K) of what is summed to a predictor, and may cancel.

        A trained hinge is a sum of its rows, each of at most its weight. These are the rows as they
        are, about the library's origin: those of a kernel have no other.
        """
        Z, spec = np.abs(self.objective.Z), self.spec
        found = Z @ np.abs(self.theta).T
        if spec.lent is not None:
            origin = 0 if spec.origin is None else np.asarray(spec.origin, dtype=LD)
            X = np.abs(np.asarray(spec.X, dtype=LD) - origin)
            of_rows = self.w[:, None] * np.abs(self.objective.y)
            found = found + X @ ((of_rows.T @ X) / np.asarray(spec.l2, dtype=LD)).T
            if spec.intercept_l2:
                found = found + of_rows.sum(axis=0) / spec.intercept_l2
        return found

    @property
    def eta_test(self):
        return self.Z_test @ self.theta.T

    def hessian(self, w=None):
        """At theta, (P, P) on the free coordinates, damping left out."""
        w = self.w if w is None else w
        return self.smooth.hessian(self.theta[None], np.asarray(w, dtype=LD)[None])[0]
