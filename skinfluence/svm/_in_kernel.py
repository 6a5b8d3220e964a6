"""The optimum of a smooth hinge by its dual coefficients, with the kernel matrix itself."""

from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC

from skinfluence._backend import cholesky, cholesky_solve, corner_inverses
from skinfluence.svm._hinge_optimum import LOOSE, NEAR, started_by_libsvm

# Share of the largest curvature under which a row is left out of a step, as in other fits.
FLAT = 1e-10
MAX_STEPS = 50  # at one temperature
# Share of the gradient that a step with an old factor may leave.
CONTRACTION = 0.1
# Stationarity at which the steps end: as near as Newton's own last step comes.
FLOOR = 1e-14
# Curvature of the intercept, relative to that of all rows at the kink, without which it may vanish.
CLEAR = 1e-6


@dataclass(frozen=True)
class KernelOptimum:
    """Where the steps have ended.

    Attributes
    ----------
    alpha : ndarray of shape (n,)
        Dual coefficients.
    intercept : float
    stationarity : float
        Largest entry of the gradient, in the coordinates of the kernel, relative to what cancels.
    n_steps : int
    """

    alpha: np.ndarray
    intercept: float
    stationarity: float
    n_steps: int


def kernel_optimum(K, loss, y, weight, C, tolerance):
    """Minimise sum_i w_i l(y_i, f_i) + alpha'K alpha / (2 C), f = K alpha + b, over alpha and b.

    From libsvm's answer to the hinge, at which only rows near the margin have curvature. None where
    the tolerance is not reached, or the intercept has next to no curvature.

    Parameters
    ----------
    K : ndarray of shape (n, n)
        Of non-negative entries.
    loss : SmoothHingeLoss
    y, weight : ndarray of shape (n,)
    C, tolerance : float
    """
    live = np.flatnonzero(weight > 0)
    some = K if len(live) == len(K) else K[np.ix_(live, live)]
    machine = started_by_libsvm(SVC(kernel="precomputed", C=C), some, y[live], weight[live])
    alpha = np.zeros(len(K))
    alpha[live[machine.support_]] = machine.dual_coef_[0]
    model, b, n_steps = _Model(K, loss, y, weight, C), float(machine.intercept_[0]), 0
    if loss.temperature < NEAR:
        warm = _Model(K, loss.at_temperature(NEAR), y, weight, C)
        alpha, b, _, n_steps = warm.minimise(alpha, b, LOOSE)
    alpha, b, reached, more = model.minimise(alpha, b, min(tolerance, FLOOR))
    if not reached <= tolerance or not model.has_intercept(K @ alpha + b):
        return None
    return KernelOptimum(alpha, b, reached, n_steps + more)


class _Model:
    """One binary machine at one temperature."""

    def __init__(self, K, loss, y, weight, C):
        self.K, self.loss, self.y, self.weight, self.C = K, loss, y, weight, C

    def residuals(self, f):
        """w l' at predictors f (n,)."""
        return self.weight * self.loss.gradient(self.y, f)

    def value(self, alpha, K_alpha, f):
        """The objective."""
        return float(self.weight @ self.loss.value(self.y, f) + 0.5 * alpha @ K_alpha / self.C)

    def has_intercept(self, f):
        """Whether the curvature of the intercept is clearly there."""
        curved = self.weight @ self.loss.curvature(self.y, f) * self.loss.temperature
        return bool(curved > CLEAR * self.weight.sum())

    def factor(self, f):
        """Rows with curvature, its root, and I + C S K S of them as a factor; None without one."""
        W = self.weight * self.loss.curvature(self.y, f)
        rows = np.flatnonzero(FLAT * W.max(initial=0.0) < W)
        root = np.sqrt(W[rows])
        B = self.K[np.ix_(rows, rows)]
        B *= self.C * root[:, None]
        B *= root
        B[np.diag_indices_from(B)] += 1.0
        R = cholesky(B) if len(rows) else None
        if R is None:
            return None
        corners = corner_inverses(R)
        return rows, root, R, corners, cholesky_solve(R, root[:, None], corners)[:, 0]

    def step(self, state, factor):
        """Change of alpha and b to the optimum of the quadratic model with a factor's curvature.

        With t = S (f_new - f): alpha_new = -C (g + S t), and (I + C S K S) t = S (d + db) with d
        the change of f by alpha = -C g alone; db follows from sum alpha_new = 0.
        """
        rows, root, R, corners, of_intercept = factor
        alpha, _, K_alpha, g, Kg = state
        d = -self.C * Kg - K_alpha
        t = cholesky_solve(R, (root * d[rows])[:, None], corners)[:, 0]
        change = -(g.sum() + root @ t) / (root @ of_intercept)
        new = -self.C * g
        new[rows] -= self.C * root * (t + change * of_intercept)
        return new - alpha, change

    def at(self, alpha, b, K_alpha):
        """State (alpha, b, K alpha, g, K g) at a parameter, and its stationarity.

        K is not negative: the terms that cancel in K (g + alpha / C) are those of K |.|.
        """
        g = self.residuals(K_alpha + b)
        size = np.abs(g) + np.abs(alpha) / self.C
        Kg, scale = (self.K @ np.column_stack([g, size])).T
        terms = np.abs(g).sum()
        reached = np.abs(Kg + K_alpha / self.C) / np.where(scale > 0, scale, 1.0)
        reached = max(float(reached.max(initial=0.0)), float(abs(g.sum()) / (terms or 1.0)))
        return (alpha, b, K_alpha, g, Kg), reached

    def minimise(self, alpha, b, tolerance):
        """Return (alpha, b, stationarity, number of steps) where no step lowers it further."""
        state, reached = self.at(alpha, b, self.K @ alpha)
        factor, n_steps = None, 0
        while reached > tolerance and n_steps < MAX_STEPS:
            fresh = factor is None
            factor = self.factor(state[2] + state[1]) if fresh else factor
            if factor is None:
                break
            found = self._search(state, reached, *self.step(state, factor))
            if found is None:
                if fresh:
                    break
                factor = None
                continue
            before, (state, reached) = reached, found
            n_steps += 1
            if not reached <= CONTRACTION * before:
                factor = None
        return state[0], state[1], reached, n_steps

    def _search(self, state, reached, d_alpha, d_b):
        """First of the halved steps that lowers the objective, or its stationarity; None if none.

        The rule of the search is that of all fits: see `optimum`.
        """
        alpha, b, K_alpha, g, _ = state
        moved = self.K @ d_alpha
        value = self.value(alpha, K_alpha, K_alpha + b)
        slope = g @ (moved + d_b) + K_alpha @ d_alpha / self.C
        rounding = 16 * np.finfo(float).eps * abs(value)
        for halvings in range(30):
            size = 0.5**halvings
            new, new_K = alpha + size * d_alpha, K_alpha + size * moved
            new_b = b + size * d_b
            after = self.value(new, new_K, new_K + new_b)
            lower = -size * slope > rounding and after <= value + 1e-4 * size * slope
            if not (lower or after <= value + rounding):
                continue
            found, left = self.at(new, new_b, new_K)
            if lower or left < reached:
                return found, left
        return None
