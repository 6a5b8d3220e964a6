"""Computation of the diagnostics: one factor of the curvature, then products."""

from functools import partial
from types import SimpleNamespace

import numpy as np

from skinfluence._backend import integer_power
from skinfluence._parallel import cache_blocks, row_blocks
from skinfluence._validation import listed, warn
from skinfluence.case_deletion._dfbeta import CoefficientChanges
from skinfluence.case_deletion._diagnostics import CaseDeletionDiagnostics
from skinfluence.deletion import OneStep
from skinfluence.existence import RANK_LOST, is_unpenalised

# A difference of sums of squares below this share of the first is rounding, and has no digit left.
ROUNDED = 1e-13
# Below this share of its largest term it has lost four: such rows get sums over the others' own
# residuals and leverages, by a product with all rows for each.
FEW_LEFT = 1e-4
# What is measured of the deletion of a row.
MEASURES = (
    *("covratio", "deleted_residual", "cooks_distance", "dffits", "sigma_without"),
    *("studentized_residual", "standardized_residual"),
)


def is_covered(objective):
    """Whether the textbook's quantities exist: one response of a family, no L1 penalty.

    Least squares with a penalty that the rows share is not covered: the deletion of a row changes
    the penalty, and the formula for the sum of squares without the row does not hold.
    """
    known = objective.loss.family is not None and not objective.penalty.is_kinked
    shared = objective.loss.family == "least squares" and objective.mean_penalty_share > 0
    return objective.n_outputs == 1 and known and not shared


def diagnose(objective, full, curvature, names, check):
    """Return the CaseDeletionDiagnostics of an objective at its optimum; `names` of its columns.

    With u_i = H^-1 z_i and the multiplier v_i = g_i / (1 - h_i) of a deletion, the coefficients
    before minus after it are -v_i u_i. The rest follows from leverages and residuals.

    `check` raises where the training data have changed: `dfbeta` reads them when it is asked for.
    `full` is the curvature H of the objective itself, of which leverages and standard errors are;
    `curvature` the one that steps without a row go through. They differ by a row's share of a
    common penalty.
    """
    penalised = None
    if objective.penalty.strength.any() and objective.loss.family == "least squares":
        # Before the leverages: one pass for all.
        penalised = curvature.penalty_terms()
    step = OneStep(objective, curvature, np.arange(objective.n_rows), corrected=True)
    order = objective.design.intercept_first
    rows = _Rows(objective, step, step.leverage if full is curvature else full.leverage())
    sigma = 1.0 if objective.loss.has_known_dispersion else rows.sigma
    lost = rows.used & step.undefined
    diagnostics = CaseDeletionDiagnostics(
        family=objective.loss.family,
        has_known_dispersion=objective.loss.has_known_dispersion,
        names=tuple(names[column] for column in order),
        n_used=rows.n_used,
        n_effective_parameters=rows.n_effective,
        sigma=sigma,
        unscaled_error=np.sqrt(_inverse_diagonal(objective.design, full))[order],
        weight=objective.sample_weight,
        undefined=step.undefined,
        leverage=rows.leverage,
        residual=rows.residual,
        pearson_residual=rows.pearson,
        deviance_residual=rows.deviance,
        dfbeta_source=CoefficientChanges(step, curvature, order, rows.multiplier, lost, check),
        **_by_blocks(rows, penalised, sigma, curvature),
    )
    _warn_without_scale(diagnostics)
    return diagnostics


def _inverse_diagonal(design, curvature):
    """Diagonal of H^-1 in a caller's parameters, (q,)."""
    inverse = curvature.known_inverse()
    if inverse is None:
        inverse = curvature.solve(np.eye(curvature.objective.n_parameters))
    return design.about_zero(design.about_zero(inverse).T).diagonal()


class _Rows:
    """Quantities of each row without the dispersion: residuals, leverage, multiplier."""

    def __init__(self, objective, step, leverage):
        self.is_linear = objective.loss.family == "least squares"
        self.weight = objective.sample_weight
        self.used = self.weight > 0
        self.n_used = int(self.used.sum())
        self.eta, self.y = objective.eta[:, 0], objective.y
        self.quadratic = leverage.quadratic[:, 0, 0]
        self.one_minus_leverage = leverage.one_minus[:, 0, 0]
        lost = RANK_LOST if is_unpenalised(objective) else 0.0
        self.alone = self.used & (self.one_minus_leverage <= lost)  # fitted by the row alone
        self.multiplier = step.multipliers[:, 0]
        if self.alone.any():
            self.one_minus_leverage = np.where(self.alone, 0.0, self.one_minus_leverage)
            self.multiplier = np.where(self.alone, np.nan, self.multiplier)
        # A small h is accurate as W a, a large one as 1 - (1 - h).
        self.leverage = objective.weights[:, 0, 0] * self.quadratic
        large = self.one_minus_leverage <= 0.5
        if large.any():
            self.leverage[large] = 1.0 - self.one_minus_leverage[large]
        self.n_effective = float(self.leverage.sum())
        if is_unpenalised(objective):
            self.n_effective = float(objective.n_parameters)
        self._read_residuals(objective)
        self.n_parameters = objective.n_parameters
        # The degrees of freedom are a difference of n and a trace: below 1e-9 rounding of 0.
        self.total, freedom = float(self.pearson @ self.pearson), self.n_used - self.n_effective
        if not is_unpenalised(objective):
            freedom = float(self.one_minus_leverage[self.used].sum())
        self.freedom = freedom
        self.sigma = float(np.sqrt(self.total / freedom)) if freedom > 1e-9 else np.nan
        self.undefined = self.alone | step.undefined
        self.moved = None if self.is_linear else self.eta + step.own_change()[:, 0]

    def _read_residuals(self, objective):
        """Take the residuals of three kinds."""
        loss = self.loss = objective.loss
        if self.is_linear:
            self.residual = loss.response_residual(self.y, self.eta)
            self.pearson = self._weighted(loss.pearson_residual(self.y, self.eta))
            self.deviance = self.pearson.copy()  # of least squares the residual itself
            return
        residual, pearson, deviance = (np.empty(len(self.weight)) for _ in range(3))
        for part in cache_blocks(len(self.weight), 4):
            y, eta = self.y[part], self.eta[part]
            if loss.residual_is_gradient:
                np.negative(objective.row_gradients[part, 0], out=residual[part])
            else:
                residual[part] = loss.response_residual(y, eta)
            pearson[part] = loss.pearson_residual(y, eta)
            root = np.sqrt(2.0 * loss.value(y, eta))
            if not residual[part].all():
                root[residual[part] == 0] = 0.0
            np.copysign(root, residual[part], out=deviance[part])
        self.residual = residual
        self.pearson, self.deviance = self._weighted(pearson), self._weighted(deviance)

    def part(self, rows):
        """Return the attributes of a slice of the rows."""
        return SimpleNamespace(
            **{
                name: value[rows] if isinstance(value, np.ndarray) else value
                for name, value in vars(self).items()
            }
        )

    def _weighted(self, residual):
        """Residuals times the roots of the rows' weights; NaN where one is 0 times infinity."""
        if (self.weight == 1.0).all():
            return residual
        with np.errstate(invalid="ignore"):
            return np.sqrt(self.weight) * residual


def _by_blocks(rows, penalised, sigma, curvature):
    """Return the measures of deletion of all rows, by field.

    Each is a few passes over some numbers a row: over rows that stay in the cache.
    """
    # One piece of memory for all: many of middle size are fetched page by page.
    table = np.empty((len(MEASURES), len(rows.weight)))
    for part in cache_blocks(len(rows.weight), 2):
        block = rows.part(part)
        found = dict(zip(MEASURES, table[:, part], strict=True))
        if block.loss.has_known_dispersion:
            variance = None
            found["sigma_without"][:] = 1.0
        else:
            terms = penalised and [terms[part] for terms in penalised]
            others = partial(_sums_of_others, rows, curvature, part.start)
            variance = _variances(block, terms, others)
            np.sqrt(variance, out=found["sigma_without"])
        _deleted(block, sigma, variance, found)
    return dict(zip(MEASURES, table, strict=True))


def _sums_of_others(rows, curvature, start, index):
    """Sums (r,) of squares and of 1 - leverage of the refits without rows `start + index`.

    Over the others' own residuals and leverages after the deletion: nothing is taken from a sum
    that is nearly all the row's own. The leverages are a Schur complement of I - (hat matrix).
    """
    design, index = curvature.objective.design, start + index
    squares, freedom = np.empty((2, len(index)))
    for part in row_blocks(len(index), 24 * design.shape[0]):
        taken = index[part]
        hat = design @ curvature.solve(design.dense(taken).T)  # without the rows' weights
        left = rows.one_minus_leverage[taken]
        residual = rows.residual[:, None] + hat * (rows.weight * rows.residual)[taken] / left
        shared = rows.weight[:, None] * hat**2 * rows.weight[taken] / left
        kept = np.where(rows.used[:, None], rows.one_minus_leverage[:, None] - shared, 0.0)
        for summand in (residual, kept):
            summand[taken, np.arange(len(taken))] = 0.0
        squares[part], freedom[part] = rows.weight @ residual**2, kept.sum(axis=0)
    return squares, freedom


def _variances(rows, penalised, others):
    """s^2 of the refit without each row: sums of squares over n - tr(hat matrix).

    For least squares the sums are exact. With d = theta - theta_-i, the sum of the other rows
    without row i is RSS + 2 d'R theta + d'(H - R) d - w (e / (1 - h))^2, and the trace falls by
    w q / (1 - h) with q = z'H^-1 R H^-1 z; without a penalty it is RSS - w e^2 / (1 - h), and the
    trace does not change. For other families it is the sum of squared Pearson residuals after one
    step, with the weights of the other rows held fixed.
    """
    freedom, least = rows.freedom - 1.0, ROUNDED * rows.total
    with np.errstate(divide="ignore", invalid="ignore"):
        own = rows.pearson * rows.pearson
        own /= rows.one_minus_leverage
        squares = rows.total - own
        if penalised is not None:
            (norms, pull), v = penalised, rows.multiplier  # d is -v H^-1 z
            moved = v * pull
            squares -= moved
            squares -= moved
            np.multiply(v, norms, out=moved)
            moved *= v
            squares -= moved
            own += moved
            freedom = np.multiply(rows.weight, norms, out=moved)
            freedom /= rows.one_minus_leverage
            freedom += rows.freedom - 1.0
        # The extremes are NaN where one value is.
        few = not squares.min() >= FEW_LEFT * max(rows.total, own.max())
        if few or (penalised is not None and not freedom.min() >= FEW_LEFT):
            _restore_digits(rows, squares, own, freedom, others)
        if not squares.min() > least:
            squares[~(squares > least)] = np.nan
        if not np.min(freedom) > 1e-9:
            freedom = np.where(freedom > 1e-9, freedom, np.nan)
        squares /= freedom
    if not rows.used.all():
        squares[~rows.used] = rows.sigma**2
    return squares


def _restore_digits(rows, squares, own, freedom, others):
    """Replace, in place, the sums of rows without which little is left of a sum with them.

    `own` (b,) is what is taken from the sum of squares, `freedom` an array under a penalty.
    """
    lost = squares < FEW_LEFT * np.maximum(rows.total, own)
    if np.ndim(freedom):
        lost |= freedom < FEW_LEFT
    lost &= rows.is_linear & rows.used & ~rows.undefined
    if not lost.any():
        return
    squares[lost], exact = others(np.flatnonzero(lost))
    if np.ndim(freedom):
        freedom[lost] = exact


def _deleted(rows, sigma, variance, found):
    """Write the measures of deletion, from residuals and leverages, into `found`, by field.

    `variance` are those without each row, None where the dispersion is known to be 1.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = np.divide(1.0, rows.one_minus_leverage, out=found["covratio"])
        odds = rows.leverage * inverse
        unit = np.sqrt(inverse)
        unit *= rows.pearson  # its standard deviation is sigma
        standardized = np.divide(unit, sigma, out=found["standardized_residual"])
        cooks = np.multiply(standardized, standardized, out=found["cooks_distance"])
        cooks *= odds
        cooks /= rows.n_effective
        _deleted_residuals(rows, unit, inverse, found)
        dffits = np.multiply(unit, np.sqrt(odds, out=odds), out=found["dffits"])
        if variance is not None:
            dffits /= found["sigma_without"]
            found["studentized_residual"] /= found["sigma_without"]
            inverse *= integer_power(variance / sigma**2, rows.n_parameters)
    if not rows.used.all():
        found["covratio"][~rows.used] = 1.0
        found["studentized_residual"][~rows.used] = np.nan
    if rows.undefined.any():
        for name in MEASURES:
            if name != "standardized_residual":
                found[name][rows.undefined] = np.nan
    if rows.alone.any() or not rows.used.all():
        standardized[~rows.used | rows.alone] = np.nan


def _deleted_residuals(rows, unit, inverse, found):
    """Write the deleted residuals, and the studentised ones times their scale."""
    studentized, deleted = found["studentized_residual"], found["deleted_residual"]
    if rows.is_linear:
        studentized[:] = unit
        np.multiply(rows.residual, inverse, out=deleted)
        return
    np.multiply(unit, unit, out=studentized)
    studentized *= rows.leverage
    studentized += rows.deviance * rows.deviance
    np.sqrt(studentized, out=studentized)
    np.copysign(studentized, rows.pearson, out=studentized)
    deleted[:] = rows.loss.response_residual(rows.y, rows.moved)


def _warn_without_scale(diagnostics):
    """Warn once of rows whose residual cannot be studentised, because s_(i) is undefined."""
    known = ~np.isnan(diagnostics.sigma_without) | diagnostics.undefined
    if not known.all():
        missing = np.flatnonzero(~known)
        warn(
            f"sigma_(i) is undefined (NaN) for {len(missing)} row{'s' * (len(missing) > 1)}: "
            f"without row {listed(missing)} the others are fitted exactly, or have no degree of "
            "freedom. Their studentised residuals, DFFITS, DFBETAS and COVRATIO are NaN too; fewer "
            "columns would leave more degrees of freedom.",
            RuntimeWarning,
        )
