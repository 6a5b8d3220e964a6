"""The refit after a joint change of the weights of some rows, by chord steps with one factor.

A chord step is Newton's with a curvature that is not computed anew: that of the rows at hand at an
earlier parameter, kept up to date as rows leave and enter. A pass over the rows is two products
with vectors, where a new curvature is a product of matrices.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skinfluence._backend import cholesky, cholesky_solve, corner_inverses
from skinfluence.curvature import make_curvature
from skinfluence.optimum import is_acceptable_refit, refit

MAX_PASSES = 20
# Passes for the sake of the proof alone.
MAX_MORE = 2
# New factors that a refit may take before Newton's method does what is left.
MAX_FACTORS = 3
# Share of a step's mean curvature that is taken for that at its end, at least.
STEADY = 0.5
# Share of the curvature at hand along a step below which the change of the gradient is none of it,
# but rounding: of a step of 1e-17, which moves nothing, a pair would make the next one 1e-4.
LEAST_ALONG = 1e-2
# Share of a coordinate's curvature with less of which a chord has not arrived: its steps are short
# by the curvature where it began, and a Newton step from there is ten times as long.
FLATTENED = 0.1
# The digits that a correction of the inverse may cost before a new factor is worth it.
LOST = 1e4
# A correction of this share of the parameters costs as much as a factor anew, and one that has
# grown to the other makes every further solve as dear as two.
NEW_SHARE, TOTAL_SHARE = 0.25, 0.5
# Flops of the products of the rows that change above which they are taken in float32, at half the
# time, and the share of the curvature that these may be off by in any direction.
DEAR = 2e7
SINGLE_SHARE = 1e-2
# Error that the last step may leave, relative to the coefficients' unit: its length times the ratio
# of two steps. A share of it is rounding.
TOLERANCE = 1e-11
ROUNDING = 1e-9
# Subgradient, relative to its terms, that the columns outside the active set may have.
IDLE = 1e-8


class FactoredHessian:
    """H = R'R of a matrix at hand.

    Parameters
    ----------
    hessian : ndarray of shape (P, P)

    Raises
    ------
    numpy.linalg.LinAlgError
        If it is not positive definite.
    """

    kind, by_rows = "dense", False

    def __init__(self, hessian):
        self.hessian, self.factor = hessian, cholesky(hessian)
        if self.factor is None:
            raise np.linalg.LinAlgError("the curvature without the rows is not positive definite")
        self._corners = corner_inverses(self.factor)

    def as_array(self):
        """Return H, (P, P), which is at hand."""
        return self.hessian

    def solve(self, V):
        """H^-1 V."""
        return cholesky_solve(self.factor, V, self._corners)


class JointFactor:
    """The inverse of H of an objective at its parameter, kept up to date as weights change.

    Parameters
    ----------
    objective : Objective
        With the present weights, at the parameter where the curvature was computed.
    base : Curvature or FactoredHessian
        Of the same rows at the same parameter, with the weights of some time before.
    rows : ndarray of shape (m, P), optional
        Rows v that have come or gone since: H is that of `base` plus the sum of sign v v'.
    signs : ndarray of shape (m,), optional
    solved : ndarray of shape (P, m), optional
        H_base^-1 of the rows.
    unit : float, optional
        `Objective.coefficient_unit`, which costs a pass over the rows; that of the first rows does
        for all.
    free : ndarray of shape (P, f), optional
        H_base^-1 of the unit vectors of the unpenalised coordinates, where it is known.
    off : float, optional
        Bound on the spectral norm of what the matrix at hand is off from H: products of rows that
        have come or gone may have been taken in float32.
    """

    def __init__(
        self, objective, base, rows=None, signs=None, solved=None, unit=None, free=None, off=0.0
    ):
        self.objective, self.base, self._free, self.off = objective, base, free, off
        self.unit = objective.coefficient_unit if unit is None else unit
        P = objective.n_parameters
        self.rows = np.zeros((0, P)) if rows is None else rows
        self.signs = np.zeros(0) if signs is None else signs
        self.solved = np.zeros((P, 0)) if solved is None else solved
        if len(self.signs):
            core = np.diag(self.signs) + self.rows @ self.solved
            self.core = np.linalg.inv(core)
            if np.linalg.norm(self.core) > LOST * np.linalg.norm(core):
                raise np.linalg.LinAlgError("the correction of the inverse has lost its digits")

    @classmethod
    def at(cls, objective, unit=None):
        """Return the factor of an objective at its parameter, computed anew."""
        return cls(objective, make_curvature(objective), unit=unit)

    @property
    def _has_factor(self):
        """Whether H can be had from a triangle at hand, without loss of digits."""
        return hasattr(self.base, "factor") and self.base.kind == "dense" and not self.base.by_rows

    @cached_property
    def hessian(self):
        """Return H, (P, P), from the factor of `base` and what has changed since."""
        H = self.base.as_array()
        return H + (self.rows.T * self.signs) @ self.rows if len(self.signs) else H

    def solve(self, V):
        """H^-1 V for V (P, m)."""
        return self._corrected_solve(self.base.solve(V))

    def _corrected_solve(self, found):
        """H^-1 V from H_base^-1 V, by what has come and gone since."""
        if not len(self.signs):
            return found
        return found - self.solved @ (self.core @ (self.rows @ found))

    def reweighted(self, rows, delta, design):
        """Return the factor after `delta` (k,) is added to the weights of some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)
        delta : ndarray of shape (k,)
        design : Design of shape (k, q)
            Of these rows.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the curvature of the remaining rows is not positive definite.
        """
        added = np.zeros(self.objective.n_rows)
        added[rows] = delta
        changed = self.objective.reweighted(added)
        P = changed.n_parameters
        shared = bool(self.objective.shares.any())
        k = len(rows) * changed.n_outputs
        wide = k > NEW_SHARE * P or len(self.signs) + k > TOTAL_SHARE * P
        if self._has_factor and (wide or shared):
            changed_hessian, off = self._changed_hessian(rows, delta, design)
            return JointFactor(changed, FactoredHessian(changed_hessian), unit=self.unit, off=off)
        if not wide and not shared:
            try:
                return self._corrected(changed, rows, delta, design)
            except np.linalg.LinAlgError:  # next to singular: by a factor of the rows that stay
                return JointFactor.at(changed, unit=self.unit)
        return JointFactor.at(changed, unit=self.unit)

    def _changed_hessian(self, rows, delta, design):
        """H after a change of weights, from the products of the rows that change, and its `off`."""
        H, fixed, off = self.hessian, self.objective.fixed_at_zero, self.off
        for change, sign in ((np.subtract, -1.0), (np.add, 1.0)):
            part = np.sign(delta) == sign
            if part.any():
                some = design if part.all() else design.take(np.flatnonzero(part))
                more, rounding = self._products(self._only(rows[part], delta[part], some), off)
                more[fixed], more[:, fixed] = 0.0, 0.0
                H = change(H, more, out=more)  # into the newer: fresh memory is paid for by page
                off += rounding
        if self.objective.shares.any():
            H = H.copy() if H is self.hessian else H
            total = float(delta.sum())
            shape = self.objective.theta.shape
            own = np.broadcast_to(self.objective.row_penalty.hessian_diagonal, shape).ravel()
            H[np.diag_indices_from(H)] += total * own
        return H, off

    def _products(self, some, off):
        """Hessian of the loss of some rows, and a bound on what it is off by, beside `off`.

        In float32 where that costs nothing but a share of the bound: a chord that converges at some
        rate by the change of the curvature does not see it. A quadratic loss has no such change.
        """
        loss = some.loss
        bounded = loss.is_convex and 0 < loss.self_concordance < np.inf
        if bounded and some.n_outputs == 1 and some.n_rows * some.n_parameters**2 > DEAR:
            single = some.in_single_precision()
            rounding = np.inf if single is None else single.hessian_rounding()
            if (off + rounding) * self.variances()[1] <= SINGLE_SHARE:
                return single.loss_hessian(), rounding
        return some.loss_hessian(), 0.0

    def _only(self, rows, delta, design):
        """Objective of some rows alone, with the sizes of their changes as weights."""
        some = self.objective.of_part(rows, design)
        return some.reweighted(np.abs(delta) - some.sample_weight)

    def _corrected(self, changed, rows, delta, design):
        """Return the factor with the rows that change among its corrections."""
        some, K = self._only(rows, delta, design), changed.n_outputs
        left, right = some.weight_factors_of(slice(None))
        more = np.concatenate([some.design.outer(left[:, :, m], slice(None)) for m in range(K)])
        more[:, self.objective.fixed_at_zero] = 0.0
        signs = np.tile(np.sign(delta), K)
        if K == 1:  # a loss that is not convex may have rows of negative curvature
            signs = signs * np.where(right[:, 0, 0] < 0, -1.0, 1.0)
        kept = more.any(axis=1)
        more, signs = more[kept], signs[kept]
        return JointFactor(
            changed,
            self.base,
            np.vstack([self.rows, more]),
            np.concatenate([self.signs, signs]),
            np.hstack([self.solved, self.base.solve(more.T)]),
            self.unit,
            self.free_solved,
            self.off,
        )

    def extended(self, objective, rows, y):
        """Return the factor with further rows of weight 0; None where they have further columns.

        Parameters
        ----------
        objective : Objective
            With the rows.
        rows : Design of shape (m, q)
        y : ndarray of shape (m,)
            Encoded labels.
        """
        if objective.n_parameters != self.objective.n_parameters:
            return None
        at = self.objective.with_rows(rows, y)
        kept = (self.base, self.rows, self.signs, self.solved, self.unit, self.free_solved)
        return JointFactor(at, *kept, self.off)

    def variances(self):
        """Bounds of the diagonal of (G + off)^-1 (P,), G at hand, and of its largest eigenvalue.

        With D the penalty, G + off - D is positive semidefinite, as H - D is, and so is its Schur
        complement in the unpenalised coordinates: the block of the inverse of the penalised ones is
        at most D^-1. The largest eigenvalue is at most that of this block plus the trace of the
        other, which is at most that of G^-1.
        """
        strength, free = self.objective.hessian_diagonal, self.free_coordinates
        fixed = self.objective.fixed_at_zero
        bound = 1.0 / np.where(strength > 0, strength, 1.0)
        if len(free):
            bound[free] = self._corrected_solve(self.free_solved)[free, np.arange(len(free))]
        bound[fixed] = 0.0
        penalised = np.delete(bound, np.union1d(free, fixed))
        return bound, float(penalised.max(initial=0.0) + bound[free].sum())

    @property
    def free_coordinates(self):
        """Positions of the unpenalised parameters; of all where the loss is not convex."""
        strength = self.objective.hessian_diagonal
        free = strength <= 0 if self.objective.loss.is_convex else np.ones(len(strength), bool)
        return np.setdiff1d(np.flatnonzero(free), self.objective.fixed_at_zero)

    @cached_property
    def free_solved(self):
        """H_base^-1 of the unit vectors of the unpenalised coordinates, (P, f)."""
        if self._free is not None:
            return self._free
        free = self.free_coordinates
        unit = np.zeros((self.objective.n_parameters, len(free)))
        unit[free, np.arange(len(free))] = 1.0
        return self.base.solve(unit) if len(free) else unit


@dataclass(frozen=True)
class JointRefit:
    """Where a refit after a joint change ended.

    Attributes
    ----------
    objective : Objective
        After the change, at its optimum.
    factor : JointFactor or None
        Of the same rows, for the next change; None where Newton's method took over.
    n_passes, n_factors : int
        Evaluations of the gradient, and new factors.
    last : Objective or None
        Where the gradient was evaluated last: one chord step before the end. None where it was not.
    gradient_norm : float
        Norm of that gradient in the inverse of the factor's H.
    apart : float
        Norm in H of the difference between the last step and -H^-1 times that gradient.
    by : str
        "chord" or "newton".
    """

    objective: object
    factor: JointFactor | None
    n_passes: int
    n_factors: int
    last: object = None
    gradient_norm: float = np.nan
    apart: float = 0.0
    by: str = "chord"

    @property
    def moved(self):
        """Largest change of a remaining predictor from the factor's parameter to `last`."""
        return largest_change(self.last, self.factor.objective)


def largest_change(one, other):
    """Largest change of a predictor between two objectives, in rows of positive weight."""
    change = (one.eta - other.eta)[one.sample_weight > 0]
    return float(one.loss.predictor_norm(change).max(initial=0.0))


def joint_gradient(objective, rows, delta, design, gradient=None):
    """Gradient (K, q) after weights change by `delta` (k,) in some rows, at the same parameter.

    `design` is that of these rows, `gradient` that before the change, where it is known. Before the
    change it is 0 but for a last step, unless it is at hand: the next pass corrects it.
    """
    some = objective.of_part(rows, design)
    if gradient is None:
        known = objective.is_evaluated or objective.sums is not None
        gradient = objective.gradient if known else np.zeros(objective.theta.shape)
    gradient = gradient + some.design.transpose_matmul(
        delta[:, None] * some.row_gradients
    ).T.reshape(objective.theta.shape)
    if objective.shares.any():
        gradient = gradient + float(delta.sum()) * objective.row_penalty.gradient(objective.theta)
    return objective.freed(gradient)


def chord(factor, theta, gradient, *, tolerance=TOLERANCE, read=None, proven=None):
    """Return the JointRefit from the optimum before a change; None where the steps do not end.

    Parameters
    ----------
    factor : JointFactor
        After the change.
    theta : ndarray of shape (K, q)
        Optimum before it.
    gradient : ndarray of shape (K, q)
        Of the objective after the change, there.
    tolerance : float
        Of the coefficients, relative to `Objective.coefficient_unit`.
    read : callable, optional
        See `Objective.evaluated_at`.
    proven : callable, optional
        Whether enough is proven of a JointRefit: else a pass or two more are taken.

    Returns
    -------
    JointRefit or None
    """
    limit, theta_shape = tolerance * factor.unit, theta.shape
    n_passes = n_factors = n_more = 0
    starts_here = np.array_equal(factor.objective.theta, theta)
    pairs, ratios = PairsOfOneFactor(starts_here=starts_here), []
    move = pairs.next_step(gradient, factor)
    last = move.length
    while n_passes < MAX_PASSES and np.isfinite(move.step).all():
        theta = theta + move.step.reshape(theta_shape)
        # A step that is far too long overflows, and its length is none: Newton's method is next.
        with np.errstate(over="ignore", invalid="ignore"):
            at = factor.objective.evaluated_at(theta, read)
            n_passes += 1
            move = pairs.next_step(at.gradient, factor)
        size, longest = move.length, float(np.abs(move.plain).max(initial=0.0))
        ratios.append(size / last if last > 0 else 0.0)
        halves = size <= 0.5 * last
        left = longest * min(1.0, _next_ratio(ratios))
        arrived = (halves and left <= limit) or longest <= ROUNDING * limit
        # By the curvature at hand the last steps are short: by their own they may not be.
        flattened = arrived and _has_flattened(at, factor.objective)
        if arrived and not flattened:
            found = _found(at, move, factor, n_passes, n_factors)
            more = proven is not None and halves and n_more < MAX_MORE
            if found is None or not more or proven(found):
                return found
            n_more += 1
        if flattened or not halves:
            if not flattened and _is_rounding(at, longest, limit):
                return _found(at, move, factor, n_passes, n_factors)
            if n_factors == MAX_FACTORS or not size <= last:
                break
            try:
                factor = JointFactor.at(at, unit=factor.unit)
            except np.linalg.LinAlgError:
                break
            n_factors, pairs, ratios = n_factors + 1, PairsOfOneFactor(starts_here=True), []
            move = pairs.next_step(at.gradient, factor)
            size = move.length
        last = size
    return None


def _next_ratio(ratios):
    """Expected length of the next step of a chord over that of the last.

    That of the first two steps counts twice: the error of the curvature grows on the way to the
    second, and is half as large on average as at its end. Later ones have it in full.
    """
    return 2.0 * ratios[0] if len(ratios) == 1 else max(ratios[1:])


class SecantPairs:
    """Steps and the changes of the gradient along them, by which H^-1 is brought up to date.

    The two-loop recursion of limited-memory BFGS around the inverse at hand: a curvature that was
    computed elsewhere is wrong in few directions at a time, and these are the steps.

    Parameters
    ----------
    most : int, optional
        Pairs that are kept, the last ones; all by default.
    """

    def __init__(self, most=None):
        self.pairs, self._most = [], most

    def add(self, step, change, before):
        """Keep a pair (P,) each, unless the curvature along it is next to none; return whether.

        The step is one from the gradient `before` (P,), whose product with it is minus the
        curvature at hand.
        """
        along = float(step @ change)
        is_curvature = along > LEAST_ALONG * max(0.0, -float(before @ step))
        if is_curvature:
            self.pairs.append((step, change, along))
            if self._most is not None:
                del self.pairs[: -self._most]
        return is_curvature

    def step(self, gradient, factor):
        """Return minus the updated inverse times a gradient, (P,)."""
        q, shares = self._down(-gradient.ravel())
        return self._up(factor.solve(q[:, None])[:, 0], shares)

    def _down(self, q):
        """The first loop, from the last pair to the first: what is left of q (P,), and shares."""
        shares = []
        for step, change, along in reversed(self.pairs):
            shares.append(float(step @ q) / along)
            q = q - shares[-1] * change
        return q, shares[::-1]

    def _up(self, found, shares):
        """The second loop, from the first pair to the last."""
        for (step, change, along), share in zip(self.pairs, shares, strict=True):
            found = found + (share - float(change @ found) / along) * step
        return found


@dataclass(frozen=True)
class ChordStep:
    """A step from where a gradient was evaluated.

    Attributes
    ----------
    step : ndarray of shape (P,)
        Minus the updated inverse times the gradient.
    plain : ndarray of shape (P,)
        Minus the inverse at hand times the gradient.
    length : float
        Norm of the plain step in the matrix at hand, which is that of the gradient in its inverse.
    apart : float
        Norm of the difference of the two steps in the matrix at hand.
    """

    step: np.ndarray
    plain: np.ndarray
    length: float
    apart: float


class PairsOfOneFactor(SecantPairs):
    """Secant pairs of gradients that are all solved for with one factor.

    Parameters
    ----------
    starts_here : bool
        Whether the factor is that of the Hessian H at the parameter where the first step begins.
        Along that step d the change y of the gradient is H d plus half of what the curvature
        changes by. So 2 y - H d, with H d minus the first gradient, is that at the step's end.
    """

    def __init__(self, *, starts_here=False):
        super().__init__()
        self._starts_here, self._n_steps, self._at = starts_here, 0, None
        self._solved, self._images = [], []  # of the pairs: H^-1 of the change, H of the step

    def next_step(self, gradient, factor):
        """Return the ChordStep from a gradient (K, q), to which the last one has led.

        One solve is enough: what the inverse at hand makes of the change of a gradient is the
        change of what it makes of the gradient. What H makes of a step is known as well, a sum of
        gradients.
        """
        gradient = gradient.ravel()
        plain = factor.solve(-gradient[:, None])[:, 0]
        if self._at is not None:
            self._add_last(gradient, plain)
        q, shares = self._down(-gradient)
        found, image = plain, q
        for share, solved in zip(shares, self._solved, strict=True):
            found = found - share * solved
        for (step, change, along), share, own in zip(self.pairs, shares, self._images, strict=True):
            part = share - float(change @ found) / along
            found, image = found + part * step, image + part * own
        self._at = gradient, plain, found, image
        apart = (found - plain) @ (image + gradient)
        return ChordStep(found, plain, _length(gradient, plain), _root(apart))

    def _add_last(self, gradient, plain):
        """Keep the pair of the last step, that has led to a gradient (P,) and its plain step."""
        before, plain_before, step, image = self._at
        change, solved = gradient - before, plain_before - plain
        at_end = change + gradient
        # Along a step on which most of the curvature goes, half of its change says little.
        steady = step @ at_end >= STEADY * (step @ change)
        if self._starts_here and not self._n_steps and steady:
            change, solved = at_end, solved - plain
        self._n_steps += 1
        if self.add(step, change, before):
            self._solved.append(solved)
            self._images.append(image)


def _length(gradient, step):
    """Norm of a step in the curvature, which is that of the gradient in the inverse."""
    return _root(-np.sum(gradient.ravel() * step.ravel()))


def _root(square):
    """Square root of what rounding may have left below 0; NaN of a NaN, unlike Python's max."""
    return float(np.sqrt(np.maximum(square, 0.0)))


def _has_flattened(at, start):
    """Whether some coordinate has lost most of its curvature on the way from where it was computed.

    Between predictors that differ by less than 1 / M the curvature of no row changes by more than
    the factor e; of further ones it is looked at, and where a row has lost much, at the columns.
    """
    if at.loss.is_quadratic:
        return False
    reach = at.loss.self_concordance * largest_change(at, start)
    if reach <= 1.0:
        return False
    now, before = at.weight_diagonals, start.weight_diagonals
    if (now >= FLATTENED * before).all():
        return False
    left = (at.weighted_squares + at.hessian_diagonal.reshape(at.theta.shape)).ravel()
    whole = (start.weighted_squares + start.hessian_diagonal.reshape(at.theta.shape)).ravel()
    return bool((left < FLATTENED * whole).any())


def _is_rounding(at, longest, limit):
    """Whether a step that is no shorter than the last is what float64 leaves."""
    return longest <= limit / ROUNDING * 1e-6 and at.stationarity <= 1e-13


def _found(at, move, factor, n_passes, n_factors):
    """Return the JointRefit one chord step after an objective; None at a kink, or between kinks."""
    try:
        at.check_optimum()
        at.check_intercept()
    except (NotImplementedError, np.linalg.LinAlgError):
        return None
    # The inverse at hand is that of a quadratic loss: pairs would add their rounding.
    step, apart = (move.plain, 0.0) if at.loss.is_quadratic else (move.step, move.apart)
    end = factor.objective.at(at.theta + step.reshape(at.theta.shape))
    return JointRefit(end, factor, n_passes, n_factors, at, move.length, apart)


def joint_refit(
    objective, factor, rows, delta, *, step=None, read=None, gradient=None, proven=None
):
    """Return the JointRefit after a change of weights; None where no optimum is found.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    factor : JointFactor or None
        Of the objective, on the active set of an L1 penalty; None for a refit by Newton's method.
    rows : ndarray of int, shape (k,)
    delta : ndarray of shape (k,)
        What is added to their weights.
    step : ndarray of shape (K, q), optional
        From which Newton's method starts where the chord does not end.
    read : callable, optional
        See `Objective.evaluated_at`; not called by Newton's method.
    gradient : ndarray of shape (K, q), optional
        Of the objective, close to 0, where a pass over the rows for it can be saved: the chord's
        own passes have all of it.
    proven : callable, optional
        See `chord`.
    """
    added = np.zeros(objective.n_rows)
    added[rows] = delta
    changed = objective.reweighted(added)
    kinked = objective.penalty.is_kinked
    found = None
    if factor is not None and not (kinked and objective.loss.is_separable):
        inner = objective.on_active_set() if kinked else objective
        try:
            design = inner.design.take(rows)
            gradient = joint_gradient(inner, rows, delta, design, None if kinked else gradient)
            changed_factor = factor.reweighted(rows, delta, design)
            # Where a step is too long for the link the chord ends, and Newton's method halves it.
            with np.errstate(over="ignore", invalid="ignore"):
                found = chord(changed_factor, inner.theta, gradient, read=read, proven=proven)
        except np.linalg.LinAlgError:
            found = None
    if found is not None and kinked:
        found = _with_idle_columns(found, objective, changed)
    if found is not None:
        return found
    return by_newton(changed, np.zeros_like(objective.theta) if step is None else step)


def by_newton(changed, step):
    """Return the JointRefit by Newton's method with line searches; None where it fails."""
    optimum = refit(changed, step)
    if not is_acceptable_refit(optimum):
        return None
    n_steps = optimum.n_steps
    return JointRefit(optimum.objective, None, n_steps, n_steps, by="newton")


def _with_idle_columns(found, objective, changed):
    """Return a refit on the active set in all columns; None where that set or a sign changes."""
    theta = np.zeros_like(objective.theta)
    columns = np.flatnonzero(objective.active.any(axis=0))
    theta[:, columns] = found.objective.theta
    signed = np.broadcast_to(objective.penalty.absolute, theta.shape) > 0
    if ((np.sign(theta) != np.sign(objective.theta)) & signed).any():
        return None
    at = changed.at(theta)
    return replace(found, objective=at) if at.stationarity <= IDLE else None
