"""A proof that no fewer rows move an optimum past a level: branch and bound over the plane.

If the refit without S is past the level, then on the way there, as the weights of S fall to 0,
some refit is on it. So |S| is at least the minimum of k(theta) over the plane where the contrast
has its level; and in a cell of that plane any dual y bounds k(theta) from below (_relaxation).
There the gradient of each row, times its y'z_i, is bounded by a line in theta, so that the bound of
a cell is off by the square of its width. The solver supplies y and nothing else: every bound is
evaluated here, with a slack for rounding.

Outside a large box the dual is taken along the ray from the centre, y = a (theta - centre): by
convexity the terms of a row are then at least those of the rise of its loss on the way to the box's
surface, and one bound holds for all of a cone.
"""

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from skinfluence.robustness._relaxation import mean_function

EPS = np.finfo(float).eps
# Rounding errors of a row's terms, in units of EPS times their sizes, at most.
ROUNDING = 256.0
# Half widths of the box, in units of the root of n standard errors.
WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
# Solutions of small value that are kept.
CANDIDATES = 4
# Cones that a box may take.
MAX_CONES = 4000


@dataclass(frozen=True)
class Proof:
    """What branch and bound has proven.

    Attributes
    ----------
    at_least : int
        No fewer units flip the quantity.
    within : float or None
        Half width of the box, in standard errors, that refits are assumed to be in; None if they
        may be anywhere.
    fractional : float
        Least k(theta) that was found.
    n_cells : int
    complete : bool
        Whether the proof ended; else the budget did.
    shares : list of ndarray
        Solutions (r,) of the programs of small value: their rounding may be a small set.
    """

    at_least: int
    within: float | None
    fractional: float
    n_cells: int
    complete: bool
    shares: list


def _sigmoid(eta):
    """1 / (1 + exp(-eta)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * eta))


def _chord(lo, hi, m):
    """Slope of the chord of m over intervals, 0 where they are points."""
    width = hi - lo
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (m(hi) - m(lo)) / width
    return np.where(width > 0, slope, 0.0)


def _line_below_exp(lo, hi, mid):
    """(value at mid, slope) of the tangent at mid."""
    value = np.exp(mid)
    return value, value


def _line_above_exp(lo, hi, mid):
    """(value at mid, slope) of the chord."""
    slope = _chord(lo, hi, np.exp)
    return np.maximum(np.exp(lo) + slope * (mid - lo), np.exp(hi) + slope * (mid - hi)), slope


def _line_below_sigmoid(lo, hi, mid):
    """(value at mid, slope) of a line below the sigmoid: any slope, the value from its minimum.

    sigmoid - b eta is least at an end, or in the convex part where sigmoid' = b.
    """
    at_mid = _sigmoid(mid)
    slope = np.where(hi <= 0, at_mid * (1.0 - at_mid), _chord(lo, hi, _sigmoid))
    lowest = np.minimum(_sigmoid(lo) - slope * (lo - mid), _sigmoid(hi) - slope * (hi - mid))
    with np.errstate(divide="ignore", invalid="ignore"):
        root = 2.0 * slope / (1.0 + np.sqrt(np.maximum(1.0 - 4.0 * slope, 0.0)))
        where = np.log(root) - np.log1p(-root)
    inside = (slope > 0) & (slope < 0.25) & (where > lo) & (where < hi)
    where = np.where(inside, where, mid)
    turning = np.where(inside, _sigmoid(where) - slope * (where - mid), np.inf)
    return np.minimum(lowest, turning), slope


def _line_above_sigmoid(lo, hi, mid):
    """(value at mid, slope) of a line above the sigmoid, by its symmetry."""
    value, slope = _line_below_sigmoid(-hi, -lo, -mid)
    return 1.0 - value, slope


def _identity_line(lo, hi, mid):
    """(value at mid, slope) of the identity."""
    return mid, np.ones_like(mid)


LINES = {
    "identity": (_identity_line, _identity_line),
    "exp": (_line_below_exp, _line_above_exp),
    "sigmoid": (_line_below_sigmoid, _line_above_sigmoid),
}


class BranchAndBound:
    """Bounds of k(theta) over cells of the plane and over cones beyond them.

    Parameters
    ----------
    relaxation : Relaxation
        With at most four parameters.
    """

    def __init__(self, relaxation):
        self.relaxation, objective = relaxation, relaxation.objective
        self.center, self.N = relaxation.plane
        self.Z, self.w, self.y = relaxation.Z, objective.sample_weight, objective.y.astype(float)
        self.V, self.f = self.Z @ self.N, self.Z @ self.center
        self.width = np.abs(self.V)
        self.loss, self.below_above = objective.loss, LINES[mean_function(objective.loss)]
        shape = (len(self.center),)
        self.fixed = np.broadcast_to(objective.fixed_penalty.hessian_diagonal, shape).ravel()
        common = objective.row_penalty
        self.common = None
        if common is not None and not common.is_none:
            self.common = np.broadcast_to(common.hessian_diagonal, shape).ravel()
        self.dimension = self.N.shape[1]

    # -- cells -------------------------------------------------------------------------------------

    def bound(self, tau, half, dual):
        """Lower bound of k(theta) over the cell tau +- half, by a dual (P,); -inf without one."""
        s = self.Z @ dual
        mid, reach = self.f + self.V @ tau, self.width @ half
        reach = reach * (1.0 + 8 * EPS) + 4 * EPS * np.abs(mid)
        below, above = self.below_above
        with np.errstate(over="ignore", invalid="ignore"):
            low, low_slope = below(mid - reach, mid + reach, mid)
            high, high_slope = above(mid - reach, mid + reach, mid)
            up = s > 0
            weight = self.w * s
            value = weight * (np.where(up, low, high) - self.y)
            slope = weight * np.where(up, low_slope, high_slope)
            size = np.abs(weight) * (np.abs(np.where(up, low, high)) + np.abs(self.y))
            size += np.abs(slope) * (np.abs(mid) + reach)
            rows = slope[:, None] * self.V
            theta = self.center + self.N @ tau
            if self.common is not None:
                value = value + self.w * float(dual @ (self.common * theta))
                rows = rows + self.w[:, None] * (self.N.T @ (self.common * dual))
                size += self.w * float(np.abs(dual) @ (self.common * np.abs(theta)))
            found = self._capped(value, rows, half)
            if found is None:
                return -np.inf
            total, direction = found
            total += float(dual @ (self.fixed * theta))
            direction = direction + self.N.T @ (self.fixed * dual)
            slack = (
                ROUNDING * EPS * (size.sum() + np.abs(dual) @ (self.fixed * np.abs(theta)) + len(s))
            )
            found = total - float(np.abs(direction) @ half) * (1.0 + 1e-12) - slack
        return found if np.isfinite(found) else -np.inf

    def _capped(self, value, rows, half):
        """Sum (value, slope (d,)) over units of lines below min(unit's line, 1)."""
        units, slopes = self.relaxation.summed(value), self.relaxation.summed(rows)
        if not (np.isfinite(units).all() and np.isfinite(slopes).all()):
            return None
        reach = np.abs(slopes[:-1]) @ half
        lowest, highest = units[:-1] - reach, units[:-1] + reach
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.clip((1.0 - lowest) / (2.0 * reach), 0.0, 1.0)
        share = np.where(highest <= 1.0, 1.0, np.where(lowest >= 1.0, 0.0, share))
        # A chord of min(v, 1) over [lowest, highest] lies below it.
        base = np.where(lowest >= 1.0, 1.0, lowest + share * reach)
        total = float(base.sum() + units[-1])
        return total, share @ slopes[:-1] + slopes[-1]

    # -- cones -------------------------------------------------------------------------------------

    def cone_bound(self, face, sign, tau, half, width):
        """Lower bound of k(theta) beyond a patch of the surface of the box of half width `width`.

        The patch is where coordinate `face` is sign * width, and the others tau +- half.
        """
        point, spread = np.insert(tau, face, sign * width), np.insert(half, face, 0.0)
        mid, reach = self.V @ point, self.width @ spread
        reach = reach * (1.0 + 8 * EPS) + 8 * EPS * (np.abs(mid) + np.abs(self.f))
        least = np.clip(self._argmin() - self.f, mid - reach, mid + reach)
        with np.errstate(over="ignore", invalid="ignore"):
            at = self.loss.value(self.y, self.f + least)
            before = self.loss.value(self.y, self.f)
            rise = self.w * (at - before - ROUNDING * EPS * (np.abs(at) + np.abs(before)))
        rise = np.where(self.w > 0, rise, 0.0)
        rise = np.where(np.isnan(rise), -np.inf, np.minimum(rise, 1e300))
        of_fixed = self._penalty_rise(self.fixed, point, spread)
        if self.common is not None:
            rise = rise + self.w * self._penalty_rise(self.common, point, spread)
        units = self.relaxation.summed(rise)
        return _best_multiple(units[:-1], units[-1] + of_fixed)

    def _argmin(self):
        """eta of the least loss of each row, (n,)."""
        kind = mean_function(self.loss)
        if kind == "identity":
            return self.y
        if kind == "sigmoid":
            return np.where(self.y > 0.5, np.inf, -np.inf)
        with np.errstate(divide="ignore"):
            return np.log(self.y)

    def _penalty_rise(self, diagonal, point, spread):
        """Lower bound of the rise of 1/2 theta'D theta from the centre to a patch."""
        if not diagonal.any():
            return 0.0
        theta, reach = self.center + self.N @ point, np.abs(self.N) @ spread
        least = np.maximum(np.abs(theta) - reach, 0.0)
        rise = 0.5 * diagonal @ (least**2 - self.center**2)
        return rise - ROUNDING * EPS * float(diagonal @ (theta**2 + self.center**2))

    def closes_outside(self, target, width):
        """Whether no parameter beyond the box has k(theta) <= target - 1."""
        patches = [
            (face, sign, np.zeros(self.dimension - 1), np.full(self.dimension - 1, width))
            for face in range(self.dimension)
            for sign in (-1.0, 1.0)
        ]
        for _ in range(MAX_CONES):
            if not patches:
                return True
            face, sign, tau, half = patches.pop()
            if self.cone_bound(face, sign, tau, half, width) > target - 1:
                continue
            if not len(half) or half.max() < 1e-3 * width:
                return False
            patches += [(face, sign, *child) for child in _halves(tau, half)]
        return False

    # -- the search --------------------------------------------------------------------------------

    def prove(self, target, budget, progress=None):
        """Return the Proof that at least `target` units are needed, or as many as can be proven.

        Parameters
        ----------
        target : int
            Units that are known to be enough.
        budget : int
            Cells, at most.
        progress : callable, optional
        """
        root = np.sqrt(np.count_nonzero(self.w))
        first, dual, shares = self.relaxation.solve(self.center)
        fractional, target, best = first, min(target, _rounded_up(first)), [shares]
        width = next((x for x in WIDTHS if self.closes_outside(target, x * root)), None)
        within = None if width is not None else WIDTHS[-1] * root
        half = np.full(self.dimension, (width or WIDTHS[-1]) * root)
        counter, tau = itertools.count(), np.zeros(self.dimension)
        heap = [(self.bound(tau, half, dual), next(counter), tau, half, dual)]
        n_cells = 1
        while heap and heap[0][0] <= target - 1 and n_cells < budget:
            _, _, tau, half, dual = heapq.heappop(heap)
            k, own, shares = self.relaxation.solve(self.center + self.N @ tau)
            if np.isfinite(k):
                best = [*best[-CANDIDATES:], shares] if k < fractional else best
                fractional, dual = min(fractional, k), own
                target = min(target, _rounded_up(k))
            if np.isfinite(k) and self.bound(tau, half, dual) > target - 1:
                continue
            for child in _halves(tau, half):
                n_cells += 1
                heapq.heappush(heap, (self.bound(*child, dual), next(counter), *child, dual))
            if progress is not None:
                progress(n_cells)
        complete = not heap or bool(heap[0][0] > target - 1)
        least = target if complete else min(target, max(1, _rounded_up(heap[0][0])))
        return Proof(least, within, fractional, n_cells, complete, best)


def _rounded_up(k):
    """Return the least integer not below a bound, at least 1; a hair above an integer is that."""
    return max(1, int(np.ceil(k - 1e-9))) if np.isfinite(k) else 10**9 if k > 0 else 1


def _halves(tau, half):
    """Return the two halves (tau, half) of a cell across its widest direction."""
    widest = int(np.argmax(half))
    smaller = half.copy()
    smaller[widest] /= 2
    shift = np.zeros(len(half))
    shift[widest] = smaller[widest]
    return [(tau - shift, smaller), (tau + shift, smaller)]


def _best_multiple(rises, rest):
    """Largest sum of min(a rise_u, 1) + a rest over a >= 0, with a slack for rounding."""
    if not (np.isfinite(rises).all() and np.isfinite(rest)):
        return -np.inf
    positive = np.sort(rises[rises > 0])[::-1]
    if not len(positive):
        return 0.0
    negative = float(rises[rises < 0].sum()) + float(rest)
    later = np.append(np.cumsum(positive[::-1])[::-1][1:], 0.0)
    counts = np.arange(1, len(positive) + 1)
    values = counts + (later + negative) / positive
    sizes = counts + (later + np.abs(rises[rises < 0]).sum() + abs(float(rest))) / positive
    return float((values - ROUNDING * EPS * sizes).max())
