"""How far Newton steps end from the refits: a certificate, and an estimate."""

from functools import cached_property

import numpy as np

from skinfluence._class_axis import classes_last
from skinfluence._parallel import row_blocks
from skinfluence.deletion._chord import ChordNewton
from skinfluence.deletion._rounding import rounding_floor
from skinfluence.deletion.certificate import distance, newton_remainder
from skinfluence.deletion.metric import largest_of_others

# What an elementwise residual costs, in flops of a GEMM.
RESIDUAL_FLOPS = 300.0
# Flops that the second tier of the certificate may take.
TIER_FLOPS = 2e10
# Rows whose next steps are computed to calibrate the error estimate of the others: so many, and
# what these flops and a share of those of the Newton steps allow beyond. A third of the rows are
# those of the largest norms, the others are spread over all.
CALIBRATION_ROWS = 16
FREE_FLOPS = 1e8
BLOCK_BYTES = 2**22  # of one array of their parameters
NEWTON_SHARE = 0.1
# The estimate of a row is this quantile of the rows with the nearest norms, of so many of them, and
# a margin: chosen by `python -m benchmarks.error_estimates`.
QUANTILE, WINDOW = 0.93, 8
MARGIN = 1.1
# Slopes of the line, in logarithms, that the calibration may find.
SLOPES = (0.5, 1.5)


class NewtonError:
    """Error of each row's own predictor after the Newton step of a OneStep deletion.

    The bound is the certificate: from norms alone for all rows, then, where that is inf and the
    budget allows, from the changes of the other rows' predictors. The estimate is the size of the
    next chord step, computed for a few rows; for the others it is the product of their norms, times
    the largest ratio of the two among the few.

    Parameters
    ----------
    one_step : OneStep
        Of all rows, with Newton's multipliers.

    Attributes
    ----------
    length : ndarray of shape (n,)
        Of the step, in the curvature without the row.
    step_norm : ndarray of shape (n,)
        The same in the curvature with it.
    kappa : ndarray of shape (n,)
        M times a bound on the largest change of another row's predictor.
    """

    def __init__(self, one_step):
        self.one_step, self.objective = one_step, one_step.objective
        self.metric = one_step.metric
        rows, M = one_step.rows, self.objective.loss.self_concordance
        # ||d||_G is ||d||_{G0}, in the metric of the step, and at most the ratio of the two norms.
        length = np.sqrt(np.maximum(one_step.squared_length, 0.0))
        self.length = length * self.metric.step_norm_ratio
        # ||d||_H bounds what d changes at any row.
        self.step_norm = np.sqrt(np.maximum(one_step.squared_step_norm, 0.0))
        moved = self.metric.max_row_norm_full * self.step_norm
        self.kappa = M * moved if np.isfinite(M) else np.full(len(rows), np.inf)
        self.live = self.objective.sample_weight > 0
        self.rounding = rounding_floor(one_step, one_step.curvature)

    def bound(self):
        """Certified error of each row's own predictor, inf where there is none."""
        if self._kinks() is not None:
            return np.where(self.crosses, np.inf, self.rounding)
        bound = self.metric.at_own_rows(self.distance_by_norms())
        n, P = self.objective.n_rows, self.objective.n_parameters
        rows = np.flatnonzero(~np.isfinite(bound) & ~self.one_step.undefined)
        rows = rows[: int(TIER_FLOPS / (4.0 * n * P))]
        for part in row_blocks(len(rows), 8 * 3 * n * self.objective.n_outputs, at_most=256):
            some = rows[part]
            bound[some] = self.metric.at_own_rows(self.distance_by_predictors(some), some)
        return bound + self.rounding

    def distance_by_norms(self):
        """E of every Newton step, from norms alone."""
        return self._distance(self.kappa, slice(None))

    def distance_by_predictors(self, deletions):
        """E of some, with the largest change of another predictor computed instead of bounded."""
        steps = self.one_step.steps_of(deletions)
        change = classes_last(self.objective.design.predictors_of(steps), is_scalar=False)
        moved = self.objective.loss.predictor_norm(change)
        moved[self.one_step.rows[deletions], np.arange(len(deletions))] = 0.0
        moved = moved.max(axis=0)
        M = np.where(moved > 0, self.objective.loss.self_concordance, 0.0)  # which may be inf
        return self._distance(M * moved, deletions)

    def _distance(self, kappa, deletions):
        """E of Newton steps during which no other predictor moves by more than kappa / M."""
        metric, length = self.metric, self.length[deletions]
        # A step in a metric other than its own leaves the gradient m P d beside the remainder.
        mismatch = np.abs(metric.penalty_mismatch[deletions])
        missed = metric.gradient_norm_ratio[deletions] * mismatch * length
        nu = newton_remainder(kappa, length) + missed
        M = self.objective.loss.self_concordance
        return distance(nu, kappa, metric.max_row_norm[deletions], M)

    def _kinks(self):
        """Distances (n, K) of predictors to the kinks of a piecewise quadratic loss, or None."""
        objective = self.objective
        found = objective.loss.kink_distance(objective.y, objective.native(objective.eta))
        return None if found is None else found.reshape(objective.n_rows, -1)

    @cached_property
    def crosses(self):
        """Whether a step may take another row across its kink: where none does, it is exact.

        By |z_j d| <= sqrt(a_j) ||d||_H, no row that is further from its kink than this crosses it.
        That clears most deletions at once; of the others the predictors are computed.
        """
        objective, everything = self.objective, self.one_step.is_everything
        crosses = ~self.one_step.undefined
        if everything:
            row_norm = np.sqrt(np.einsum("ikk->ik", self.one_step.leverage.quadratic))
            with np.errstate(divide="ignore", invalid="ignore"):
                # Largest ||d||_H with which each row stays on its side of the kink, in any output.
                room = np.nanmin(np.where(row_norm > 0, self._kinks() / row_norm, np.inf), axis=1)
            room[~self.live] = np.inf
            crosses &= self.step_norm >= -largest_of_others(-room, self.one_step.rows, -np.inf)
        rows = np.flatnonzero(crosses)
        rows = rows[: int(TIER_FLOPS / (4.0 * objective.n_rows * objective.n_parameters))]
        for part in row_blocks(len(rows), 24 * objective.n_rows * objective.n_outputs, at_most=256):
            crosses[rows[part]] = self._crossed(rows[part])
        return crosses

    def _crossed(self, rows):
        """Whether the steps of some deletions do take another row across."""
        objective = self.objective
        change = objective.design.predictors_of(self.one_step.steps_of(rows))
        change += objective.eta.T[:, :, None]
        after = self._pieces(classes_last(change, is_scalar=False), objective.y[:, None])
        crossed = after != self._pieces(objective.eta, objective.y)[:, None]
        crossed[~self.live] = False
        crossed[self.one_step.rows[rows], np.arange(len(rows))] = False
        return crossed.any(axis=(0, 2))

    def _pieces(self, eta, y):
        """Quadratic piece of the loss that each output (..., K) is on."""
        return self.objective.loss.piece(y, self.objective.native(eta)).reshape(eta.shape)

    def estimate(self, *, rough=False):
        """Estimated error of each row's own predictor; a `rough` one is from fewer next steps.

        The fewer there are, the larger it is: enough to tell which steps are long.
        """
        if self._kinks() is not None:
            return self._estimate_of_crossings()
        # Without a constant M the norms still say which steps are long.
        known = np.isfinite(self.objective.loss.self_concordance)
        moved = self.kappa if known else self.metric.max_row_norm_full * self.step_norm
        mismatch = np.abs(self.metric.penalty_mismatch)
        proxy = self.metric.at_own_rows((moved + mismatch) * self.length)
        if not np.isfinite(proxy).any():
            return np.full(len(proxy), np.nan)
        ready = np.flatnonzero(~self.one_step.undefined & np.isfinite(proxy) & (proxy > 0))
        if not len(ready):
            return np.zeros(len(proxy))
        order = ready[np.argsort(-proxy[ready], kind="stable")]
        sample = _spread_over(order, CALIBRATION_ROWS if rough else self._calibration_rows())
        chord, n = ChordNewton(self.one_step, 0.0), self.objective.n_rows
        size = np.empty(len(sample))
        at_most = min(256, max(1, BLOCK_BYTES // (8 * self.objective.n_parameters)))
        for part in row_blocks(len(sample), 48 * n * self.objective.n_outputs, at_most=at_most):
            size[part] = chord.remaining_change(sample[part])
        # Steps that are rounding say nothing of how the norms and the steps relate.
        telling = np.isfinite(size) & (size > 1e3 * self.rounding[sample])
        estimate = MARGIN * _calibrated(proxy, proxy[sample[telling]], size[telling])
        estimate[sample] = MARGIN * size
        return np.maximum(estimate, self.rounding)

    def _calibration_rows(self):
        """Number of rows whose next steps are worth their flops."""
        objective = self.objective
        n, P = objective.n_rows, objective.n_parameters
        each = 2.0 * (4.0 * n * P + RESIDUAL_FLOPS * n * objective.n_outputs)
        width = min(P, n * objective.n_outputs)  # of the factor: the dual's where it is smaller
        newton = width**3 / 3.0 + 2.0 * len(self.one_step) * width**2
        return max(CALIBRATION_ROWS, int((FREE_FLOPS + NEWTON_SHARE * newton) / each))

    def _estimate_of_crossings(self):
        """The next step of the deletions that cross a kink, as many as the budget allows."""
        estimate = np.where(self.crosses, np.nan, self.rounding)
        objective, rows = self.objective, np.flatnonzero(self.crosses)
        rows = rows[: int(TIER_FLOPS / (8.0 * objective.n_rows * objective.n_parameters))]
        chord = ChordNewton(self.one_step, 0.0)
        for part in row_blocks(len(rows), 24 * objective.n_rows * objective.n_outputs, at_most=256):
            estimate[rows[part]] = chord.next_change(rows[part])
        return estimate


def _spread_over(order, n_rows):
    """First rows of an order, and some that are spread over the rest, ascending."""
    n_top = min(len(order), n_rows // 3)
    n_others, last = max(1, n_rows - n_top), len(order) - 1
    spread = np.arange(n_others) * ((last - n_top) / max(1, n_others - 1)) + n_top
    spread = np.append(spread[:-1], last if n_others > 1 else n_top).astype(int)
    chosen = np.concatenate([order[:n_top], order[np.clip(spread, 0, len(order) - 1)]])
    return np.flatnonzero(np.bincount(chosen))  # ascending, each once


def _calibrated(proxy, known, size):
    """Sizes (n,) above most of those that rows of such a `proxy` have.

    The logarithm of size over proxy is raised to a quantile of it among the WINDOW rows of the
    nearest `known` proxies, with a common slope taken out: proxies may go over many decades, of
    which the short steps follow another law than the long ones. The slope is found without the
    smallest quarter: a size may be next to 0 by chance, and its logarithm far from all others. 0
    where the proxy is 0, or no row is known.
    """
    if not len(known):
        return np.zeros(len(proxy))
    order = np.argsort(known)
    x, y = np.log(known[order]), np.log(size[order])
    slope, kept = 1.0, np.ones(len(x), dtype=bool)
    for _ in range(2):
        among = x[kept]
        apart = among - among.mean()
        spread = apart @ apart
        if len(among) > 4 and spread > 0:
            slope = min(max(float(apart @ y[kept] / spread), SLOPES[0]), SLOPES[1])
        rest = y - slope * x
        kept = rest >= _quantile(rest, 0.25)
    width = min(WINDOW, len(x))
    windows = np.arange(len(x) - width + 1)[:, None] + np.arange(width)
    centres, offsets = x[windows].mean(axis=1), _quantile(rest[windows], QUANTILE)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        place = np.log(np.where(proxy > 0, proxy, 1.0))
        line = slope * place + np.interp(place, centres, offsets)
        return np.where(proxy > 0, np.exp(line), 0.0)


def _quantile(values, q):
    """Quantile of few values along the last axis: numpy's takes a tenth of a millisecond."""
    values = np.sort(values, axis=-1)
    place = q * (values.shape[-1] - 1)
    low, share = int(place), place % 1.0
    high = min(low + 1, values.shape[-1] - 1)
    return (1.0 - share) * values[..., low] + share * values[..., high]
