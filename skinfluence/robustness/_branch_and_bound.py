"""A proof that no fewer rows move an optimum past a level: branch and bound over the plane.

If the refit without S is past the level, then on the way there, as the weights of S fall to 0,
some refit is on it. So |S| is at least the minimum of k(theta) over the plane where the contrast
has its level; and in a cell of that plane any dual y bounds k(theta) from below (_relaxation).
There the gradient of each row, times its y'z_i, is bounded by a line in theta, so that the bound of
a cell is off by the square of its width. The solver supplies y and nothing else: every bound is
evaluated here, with a slack for rounding.

The dual y = a (theta - centre) needs no solver: its terms are slopes of the rows' losses along the
ray from the centre, which by convexity do not fall. So one bound holds for all of a cone beyond a
patch of a large box, and in cells far from the centre it proves more than the dual of a point.
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
# Multiples of a dual that are tried for a cell.
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.06, 0.03)
# A cell is not cut across directions of less than this share of its largest half width.
SPLIT = 0.25


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

        The patch is where coordinate `face` is sign * width, and the others tau +- half. Along a
        ray the terms of y = a p, p its point on the patch, do not fall: they are derivatives of
        convex functions.
        """
        return self.ray_bound(np.insert(tau, face, sign * width), np.insert(half, face, 0.0))

    def ray_bound(self, tau, half):
        """Lower bound of k(theta) over the cell tau +- half by the dual y = a (theta - centre)."""
        mid, reach = self.V @ tau, self.width @ half
        reach = reach * (1.0 + 8 * EPS) + 8 * EPS * (np.abs(mid) + np.abs(self.f))
        rows = self.w * self._least_slopes(mid - reach, mid + reach)
        rows = np.where(self.w > 0, rows, 0.0)
        rows = np.where(np.isnan(rows), -np.inf, np.minimum(rows, 1e300))
        if self.common is not None:
            rows = rows + self.w * self._least_penalty_slope(self.common, tau, half)
        units = self.relaxation.summed(rows)
        rest = units[-1] + self._least_penalty_slope(self.fixed, tau, half)
        return _best_multiple(units[:-1], rest)

    def _least_slopes(self, lo, hi):
        """Lower bounds (n,) of (m(f + u) - y) u, u in [lo, hi]: a row's loss along the ray.

        Of products of its two factors' bounds, and of the loss's rise, which by convexity is less.
        """
        kind, slack = mean_function(self.loss), ROUNDING * EPS
        with np.errstate(over="ignore", invalid="ignore"):
            if kind == "identity":
                u = np.clip(0.5 * (self.y - self.f), lo, hi)
                size = slack * (np.abs(self.f) + np.abs(self.y) + np.abs(u)) * np.abs(u)
                return (self.f - self.y + u) * u - size
            mean = np.exp if kind == "exp" else _sigmoid
            low, high = mean(self.f + lo), mean(self.f + hi)
            size = slack * (high + np.abs(self.y)) * np.maximum(np.abs(lo), np.abs(hi))
            ends = [(m - self.y) * u for m in (low, high) for u in (lo, hi)]
            least = np.clip(self._argmin() - self.f, lo, hi)
            at, before = self.loss.value(self.y, self.f + least), self.loss.value(self.y, self.f)
            rise = at - before - slack * (np.abs(at) + np.abs(before))
            return np.fmax(np.min(ends, axis=0) - size, rise)

    def _argmin(self):
        """eta of the least loss of each row, (n,)."""
        if mean_function(self.loss) == "sigmoid":
            return np.where(self.y > 0.5, np.inf, -np.inf)
        with np.errstate(divide="ignore"):
            return np.log(self.y)

    def _least_penalty_slope(self, diagonal, tau, half):
        """Lower bound of p'D (centre + p), p in N (tau +- half)."""
        if not diagonal.any():
            return 0.0
        mid, reach = self.N @ tau, np.abs(self.N) @ half
        p = np.clip(-0.5 * self.center, mid - reach, mid + reach)
        size = float(diagonal @ (np.abs(p) * (np.abs(p) + np.abs(self.center))))
        return float(diagonal @ (p * (self.center + p))) - ROUNDING * EPS * size

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
            patches += [(face, sign, *child) for child in _halves(tau, half, int(np.argmax(half)))]
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
        heap = [(self._cell_bound(tau, half, dual), next(counter), tau, half, dual)]
        n_cells = 1
        while heap and heap[0][0] <= target - 1 and n_cells < budget:
            known, _, tau, half, dual = heapq.heappop(heap)
            k, own, shares = self.relaxation.solve(self.center + self.N @ tau)
            if np.isfinite(k):
                best = [*best[-CANDIDATES:], shares] if k < fractional else best
                fractional, dual = min(fractional, k), own
                target = min(target, _rounded_up(k))
            lower, dual = self._best_scale(tau, half, dual, target - 1)
            if lower > target - 1:
                continue
            for lower, child in self._best_halves(tau, half, dual):
                n_cells += 1
                heapq.heappush(heap, (max(known, lower), next(counter), *child, dual))
            if progress is not None:
                progress(n_cells)
        complete = not heap or bool(heap[0][0] > target - 1)
        least = target if complete else min(target, max(1, _rounded_up(heap[0][0])))
        return Proof(least, within, fractional, n_cells, complete, best)

    def _cell_bound(self, tau, half, dual):
        """The larger lower bound of k(theta) over a cell."""
        return max(self.bound(tau, half, dual), self.ray_bound(tau, half))

    def _best_scale(self, tau, half, dual, enough):
        """Return (bound, dual) of the multiple of a dual that proves most of a cell.

        The dual of the cell's middle takes many rows to just below 1, and elsewhere in a wide cell
        they are beyond: a shorter one loses less there. The search ends with a bound above
        `enough`.
        """
        best = (-np.inf, 1.0)
        for scale in SCALES:
            best = max(best, (self.bound(tau, half, scale * dual), scale))
            if best[0] > enough:
                break
        return best[0], best[1] * dual

    def _best_halves(self, tau, half, dual):
        """Return (bound, (tau, half)) of both halves, across the direction that proves most."""
        wide = np.flatnonzero(half >= SPLIT * half.max())
        splits = [
            [(self._cell_bound(*child, dual), child) for child in _halves(tau, half, direction)]
            for direction in wide
        ]
        return max(splits, key=lambda pair: pair[0][0] + pair[1][0])


def _rounded_up(k):
    """Return the least integer not below a bound, at least 1; a hair above an integer is that."""
    return max(1, int(np.ceil(k - 1e-9))) if np.isfinite(k) else 10**9 if k > 0 else 1


def _halves(tau, half, direction):
    """Return the two halves (tau, half) of a cell across a direction."""
    smaller = half.copy()
    smaller[direction] /= 2
    shift = np.zeros(len(half))
    shift[direction] = smaller[direction]
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
