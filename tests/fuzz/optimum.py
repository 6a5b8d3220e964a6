"""Optima in long double: centred, scaled columns; Newton's method on many sets of weights at once.

`Objective` is F(theta) = sum_i w_i l(y_i, eta_i) + L2 + L1, each part fixed or per unit of weight.
"""

from dataclasses import dataclass, replace

import numpy as np

from tests.fuzz.losses import LD

MOST_STEPS = 300


def solve(A, b):
    """A^-1 b for A (B, P, P) and b (B, P, m), by elimination with row pivots and scaled diagonals.

    NaN where a pivot vanishes.
    """
    A, b = np.array(A, dtype=LD), np.array(b, dtype=LD)
    size = np.sqrt(np.abs(np.einsum("bii->bi", A)))
    size = np.where(size > 0, size, 1)
    A /= size[:, :, None] * size[:, None, :]
    b /= size[:, :, None]
    B, P = A.shape[:2]
    every = np.arange(B)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for k in range(P):
            pivot = k + np.abs(A[:, k:, k]).argmax(axis=1)  # of a NaN, where there is one
            for M in (A, b):
                M[every, k], M[every, pivot] = M[every, pivot].copy(), M[every, k].copy()
            factor = A[:, k + 1 :, k] / A[:, k, k, None]
            A[:, k + 1 :, k:] -= factor[:, :, None] * A[:, k, None, k:]
            b[:, k + 1 :] -= factor[:, :, None] * b[:, k, None, :]
        for k in range(P - 1, -1, -1):
            b[:, k] /= A[:, k, k, None]
            b[:, :k] -= A[:, :k, k, None] * b[:, k, None, :]
    return b / size[:, :, None]


@dataclass(frozen=True)
class Basis:
    """Columns in which the rows are well conditioned: theta = phi @ T.T in the original ones."""

    mean: np.ndarray
    scale: np.ndarray
    intercept: bool
    T: np.ndarray

    @classmethod
    def of(cls, X, weight, *, intercept, centred):
        """Centred by the weighted mean if the intercept is free, scaled by the spread."""
        X = np.asarray(X, dtype=LD)
        weight = np.asarray(weight, dtype=LD)
        live = X[weight > 0]
        p = X.shape[1]
        mean = live.mean(axis=0) if centred and len(live) else np.zeros(p, dtype=LD)
        scale = np.sqrt(((live - mean) ** 2).mean(axis=0)) if len(live) else np.zeros(p, dtype=LD)
        scale = np.where(scale > 0, scale, 1)
        T = np.zeros((p + intercept, p + intercept), dtype=LD)
        T[np.arange(p), np.arange(p)] = 1 / scale
        if intercept:
            T[p, :p], T[p, p] = -mean / scale, 1
        return cls(mean, scale, bool(intercept), T)

    def rows(self, X):
        """Z of rows of X."""
        Z = (np.asarray(X, dtype=LD) - self.mean) / self.scale
        return np.hstack([Z, np.ones((len(Z), 1), dtype=LD)]) if self.intercept else Z

    def scaled(self, strength, power):
        """A penalty's strengths (..., q) in these columns."""
        columns = np.append(self.scale, LD(1)) if self.intercept else self.scale
        return np.asarray(strength, dtype=LD) / columns**power

    def original(self, theta):
        """Coefficients (..., p) and intercepts (...,) of the original columns."""
        theta = theta @ self.T.T
        if not self.intercept:
            return theta, np.zeros(theta.shape[:-1], dtype=LD)
        return theta[..., :-1], theta[..., -1]


@dataclass(frozen=True)
class Objective:
    """Everything long double; penalties of shape (K, q), in the columns of Z."""

    loss: object
    Z: np.ndarray
    y: np.ndarray
    w: np.ndarray
    fixed: np.ndarray
    shared: np.ndarray
    fixed_l1: np.ndarray
    shared_l1: np.ndarray
    free: np.ndarray

    @property
    def shape(self):
        return self.free.shape

    @property
    def has_l1(self):
        return bool(self.fixed_l1.any() or self.shared_l1.any())

    @property
    def gauge(self):
        """Coordinates (K, q) in which a constant for all classes changes nothing."""
        if type(self.loss).__name__ != "Softmax":
            return np.zeros(self.shape, dtype=bool)
        return self.free & (self.fixed + self.shared == 0) & (self.fixed_l1 == 0)

    def strength(self, w):
        """(B, K, q) of the L2 penalty under weights (B, n)."""
        return self.fixed + w.sum(axis=1)[:, None, None] * self.shared

    def strength_l1(self, w):
        return self.fixed_l1 + w.sum(axis=1)[:, None, None] * self.shared_l1

    def eta(self, theta):
        return np.matmul(self.Z, np.swapaxes(theta, -1, -2))

    def value(self, theta, w, of=None):
        """The objective (B,); optionally with another function of rows in the place of the loss."""
        with np.errstate(over="ignore", invalid="ignore"):
            rows = (of or self.loss.value)(self.y, self.eta(theta))
            rows = np.where(w > 0, w * np.where(w > 0, rows, 0), 0)
        value = rows.sum(axis=1) + (self.strength(w) * theta**2).sum(axis=(1, 2)) / 2
        value += (self.strength_l1(w) * np.abs(theta)).sum(axis=(1, 2))
        return np.where(np.isnan(value), np.inf, value)

    def gradient(self, theta, w):
        """Of the smooth part, (B, K, q)."""
        g = self._weighted(w, self.loss.gradient(self.y, self.eta(theta)))
        return np.matmul(np.swapaxes(g, 1, 2), self.Z) + self.strength(w) * theta

    def hessian(self, theta, w, fixed=True):
        """Of the smooth part, (B, P, P), with the gauge fixed."""
        K, q = self.shape
        W = self._weighted(w, self.loss.curvature(self.y, self.eta(theta)))
        H = np.zeros((len(theta), K, q, K, q), dtype=LD)
        for k in range(K):
            for other in range(K):
                block = W[:, :, k, other]
                if block.any():
                    H[:, k, :, other] = np.matmul(self.Z.T * block[:, None], self.Z)
        H = H.reshape(len(theta), K * q, K * q)
        diagonal = np.arange(K * q)
        H[:, diagonal, diagonal] += self.strength(w).reshape(len(theta), -1)
        gauge = self.gauge & fixed
        size = np.einsum("bii->b", H) / (K * q)
        for j in np.flatnonzero(gauge[0]):
            at = j + q * np.arange(K)
            H[:, at[:, None], at] += (size / K)[:, None, None]
        return H

    @staticmethod
    def _weighted(w, values):
        w = w.reshape(*w.shape, *[1] * (values.ndim - w.ndim))
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(w > 0, w * np.where(w > 0, values, 0), 0)

    def take(self, **changes):
        return replace(self, **changes)


@dataclass(frozen=True)
class Optima:
    """theta (B, K, q), and how far each predictor was still moving."""

    theta: np.ndarray
    moving: np.ndarray


def minimise(objective, w, start):
    """Optima under the weights w (B, n), from theta start (B, K, q); smoother losses first."""
    w = np.asarray(w, dtype=LD)
    if objective.loss.shapes_temperature:
        final = objective.loss.T
        for temperature in _cooling(objective, final):
            warmer = objective.take(loss=objective.loss.at(temperature))
            start = _minimise(warmer, w, start, most=30).theta
    return _minimise(objective, w, start, most=MOST_STEPS)


def _cooling(objective, final):
    """Temperatures on the way down, from the spread of what is fitted."""
    y = objective.y[objective.w > 0]
    spread = max(LD(1) if objective.loss.n_classes else (y.max() - y.min()), final)
    temperatures = []
    while spread > 4 * final:
        temperatures.append(spread)
        spread = spread / 4
    return temperatures


def _minimise(objective, w, theta, most):
    theta = np.array(theta, dtype=LD)
    B = len(theta)
    best, worse = np.full(B, LD(np.inf)), np.zeros(B, dtype=int)
    going = np.arange(B)
    mu = np.zeros(B, dtype=LD)
    for _ in range(most):
        if not len(going):
            break
        now, weight, damped = theta[going], w[going], mu[going] > 0
        step, decrease = _direction(objective, now, weight, mu[going])
        moved, t = _search(objective, now, weight, step, decrease)
        # A Hessian without an inverse, to rounding, has left no step: damping gives it one.
        none = ~step.any(axis=(1, 2))
        none[none] = objective.gradient(now[none], weight[none]).any(axis=(1, 2))
        t = np.where(none, 0, t)
        theta[going] = moved
        mu[going] = np.where(t < 0.1, np.maximum(4 * mu[going], LD(1e-6)), mu[going] / 8)
        mu[going] = np.where(mu[going] < 1e-12, 0, mu[going])
        change, unit = _motion(objective, step, moved, weight)
        relative = np.where(unit > 0, change / np.where(unit > 0, unit, 1), change)
        # However short: how far the optimum is only Newton's own step says.
        relative[damped | none] = np.inf
        settled = relative <= LD(1e-17)
        improved = relative < best[going] / 2
        worse[going] = np.where(improved, 0, worse[going] + 1)
        best[going] = np.minimum(best[going], relative)
        stuck = (best[going] < 1e-9) & (worse[going] >= 3)
        lost = ~(np.isfinite(relative) | damped | none)
        going = going[~(settled | stuck | lost)]
    return Optima(theta, best)


def _motion(objective, step, theta, weight):
    """(largest change of a predictor, largest predictor) of the rows that count."""
    live = (weight > 0)[:, :, None]
    change = np.abs(np.where(live, objective.eta(step), 0)).max(axis=(1, 2))
    unit = np.abs(np.where(live, objective.eta(theta), 0)).max(axis=(1, 2))
    return change, unit


def _direction(objective, theta, w, mu):
    """Newton's step (B, K, q) and the decrease it promises, (B,)."""
    shape = objective.shape
    free = np.flatnonzero(objective.free.ravel())
    gradient = objective.gradient(theta, w).reshape(len(theta), -1)[:, free]
    H = objective.hessian(theta, w)[:, free[:, None], free]
    at = np.arange(len(free))
    size = np.einsum("bii->bi", H)
    H[:, at, at] += mu[:, None] * np.maximum(size, size.mean(axis=1, keepdims=True))
    step = np.zeros((len(theta), objective.free.size), dtype=LD)
    if objective.has_l1:
        l1 = objective.strength_l1(w).reshape(len(theta), -1)[:, free]
        old = theta.reshape(len(theta), -1)[:, free]
        found = shrunken(H, gradient, l1, old)
        gain = (l1 * (np.abs(old + found) - np.abs(old))).sum(axis=1)
    else:
        found, gain = solve(H, -gradient[:, :, None])[:, :, 0], 0
        found = np.where(np.isfinite(found), found, 0)
        uphill = (gradient * found).sum(axis=1) > 0
        found[uphill] = -gradient[uphill] / np.maximum(size.mean(axis=1), 1e-300)[uphill, None]
    step[:, free] = found
    return step.reshape(-1, *shape), (gradient * found).sum(axis=1) + gain


def _search(objective, theta, w, step, decrease):
    """(theta + t step, t) with t halved until the objective falls as promised, or by rounding."""
    t = np.ones(len(theta), dtype=LD)
    before = objective.value(theta, w)
    terms = objective.value(theta, w, objective.loss.size)
    slack = LD(1e-18) * terms
    pending = np.arange(len(theta))
    for _ in range(80):
        after = objective.value((theta + t[:, None, None] * step)[pending], w[pending])
        wanted = before[pending] + LD(1e-4) * t[pending] * decrease[pending] + slack[pending]
        # A decrease below the rounding of the value is taken at its word.
        tiny = np.abs(decrease[pending]) <= LD(1e-15) * terms[pending]
        ok = (after <= wanted) | (tiny & np.isfinite(after) & (t[pending] == 1))
        pending = pending[~ok]
        if not len(pending):
            break
        t[pending] /= 2
    return theta + t[:, None, None] * step, t


def shrunken(H, gradient, l1, theta):
    """Minimise g'd + d'Hd / 2 + |l1 (theta + d)|_1 in d, (B, P), by the active set method.

    With the zeros and signs held the optimum is a linear system. On the way there the first
    coefficient to change its sign becomes a zero; at the optimum the zero that most wants to move
    is let go. Every step lowers the objective.
    """
    B, P = theta.shape
    x, sign = theta.copy(), np.sign(theta)
    active = (x != 0) | (l1 == 0)
    at, every = np.arange(P), np.arange(B)
    # Along a line of no curvature the penalty decides: rounding must not make it a concave one.
    H = H.copy()
    H[:, at, at] += LD(1e-17) * np.einsum("bii->b", H)[:, None]
    right = np.einsum("bpq,bq->bp", H, theta) - gradient
    size = np.abs(gradient) + l1 + np.einsum("bpq,bq->bp", np.abs(H), np.abs(theta))
    going = np.ones(B, dtype=bool)
    for _ in range(6 * P + 20):
        M = np.where(active[:, :, None] & active[:, None, :], H, 0)
        M[:, at, at] = np.where(active, M[:, at, at], 1)
        wanted = np.where(active, right - l1 * sign, 0)
        found = np.where(active, solve(M, wanted[:, :, None])[:, :, 0], 0)
        found = np.where(np.isfinite(found), found, x)
        crossing = active & (l1 > 0) & (found * sign <= 0)
        room = np.where(crossing, x / np.where(crossing & (x != found), x - found, 1), np.inf)
        first, t = room.argmin(axis=1), np.minimum(room.min(axis=1), 1)
        x = np.where(going[:, None], x + t[:, None] * (found - x), x)
        stopped = going & crossing.any(axis=1)
        x[every[stopped], first[stopped]] = 0
        active[every[stopped], first[stopped]] = False
        slope = np.einsum("bpq,bq->bp", H, x) - right
        pull = np.where(active, -np.inf, np.abs(slope) - l1 - LD(1e-16) * size)
        next_one = pull.argmax(axis=1)
        released = going & ~stopped & (pull.max(axis=1) > 0)
        active[every[released], next_one[released]] = True
        sign[every[released], next_one[released]] = -np.sign(
            slope[every[released], next_one[released]]
        )
        going &= stopped | released
        if not going.any():
            break
    return x - theta
