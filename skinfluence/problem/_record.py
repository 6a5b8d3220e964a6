"""What a fit leaves behind for the influence methods: the training data and the optimum on them."""

import copy
from dataclasses import dataclass, fields, replace

import numpy as np

from skinfluence._parallel import cache_blocks
from skinfluence.adapters import WITHOUT_ROWS, TrainingData
from skinfluence.existence import has_unclear_multipliers, is_separable, is_unpenalised
from skinfluence.hinge_dual import exact_optimum
from skinfluence.objective import RowSums
from skinfluence.optimum import (
    CERTIFIABLE,
    is_acceptable_refit,
    is_by_passes,
    polish,
    polish_by_passes,
)
from skinfluence.problem._fingerprint import Fingerprint, fingerprint_of_rows

# Newton steps from a start that is safe, not near.
RESTARTED_STEPS = 200
# Columns far from zero are often powers of each other as well: a gradient that has vanished to the
# tolerance is then some way off in predictors, and a few more steps take it to what float64 holds.
FLOOR, FLOOR_STEPS = 1e-15, 3

# How far the predictions of a fit may be from those at its optimum: the share of rows with another
# label, the mean change of a probability, the root mean square change of a response over the
# responses' spread. Fits that have converged to scikit-learn's default tolerances stay below: the
# furthest of some sixty on its data sets was HuberRegressor, .01 of the spread off.
OTHERWISE = {"labels": 0.01, "probabilities": 0.02, "responses": 0.05}


@dataclass(frozen=True)
class OptimumRecord:
    """Training data and the optimum found on them; picklable, without any cache.

    Attributes
    ----------
    data : TrainingData
        With the optimum as its `theta`, (K, q).
    stationarity : float
        Objective.stationarity at theta.
    gradient, gradient_scale : ndarray of shape (K, q)
        At theta.
    converged : bool
        Whether the polish reached its tolerance, or the floor of float64.
    separable : bool
    n_steps : int
        Newton steps of the polish.
    fingerprint : Fingerprint
        Of the data at the end of the fit; None in a copy without training rows.
    sums : RowSums or None
        Of rows in blocks at theta, which would be passes over them.
    """

    data: TrainingData
    stationarity: float
    gradient: np.ndarray
    gradient_scale: np.ndarray
    converged: bool
    separable: bool
    n_steps: int
    fingerprint: Fingerprint
    sums: RowSums | None = None

    def __deepcopy__(self, memo):
        """A copy; without the fingerprint of the rows where the memo has WITHOUT_ROWS."""
        left_out = {"fingerprint", "sums"} if WITHOUT_ROWS in memo else set()
        parts = {
            field.name: copy.deepcopy(getattr(self, field.name), memo)
            for field in fields(self)
            if field.name not in left_out
        }
        return OptimumRecord(**parts, **dict.fromkeys(left_out))

    @property
    def theta(self):
        """Parameter (K, q) at the optimum."""
        return self.data.theta

    def named(self, row_names):
        """Return the record with the index of the rows."""
        return replace(self, data=replace(self.data, row_names=row_names))

    @classmethod
    def of(cls, adapted, data, start=None):
        """Polish an adapted fit to its optimum and record how near it came.

        `start` is a parameter (K, q) that may be nearer to the optimum than the fit.

        Raises NotImplementedError if the loss is not differentiable at this optimum.
        """
        if not adapted.objective.is_at_its_own_optimum:
            objective, converged = exact_optimum(adapted.objective)
            return cls.at(objective, data, converged=converged)
        if start is not None:
            known = adapted.objective.at(start)
            if known.value < adapted.objective.value:
                adapted = replace(adapted, objective=known)
        optimum = _polished(adapted, data)
        objective = optimum.objective
        objective.check_optimum()
        return cls.at(
            objective,
            data,
            # At the floor of float64 the next step is nothing beside the predictors, however large
            # the gradient of a row of huge entries stays.
            converged=optimum.is_settled or (optimum.stalled and is_acceptable_refit(optimum)),
            separable=_separates(objective, optimum.converged),
            n_steps=optimum.n_steps,
        )

    @classmethod
    def at(cls, objective, data, *, converged=True, separable=False, n_steps=0):
        """Record an objective's parameter as the optimum, without a step of its own."""
        return cls(
            data.at(objective),
            objective.stationarity,
            objective.gradient,
            objective.gradient_scale,
            converged,
            separable,
            n_steps,
            fingerprint_of_rows(data),
            objective.sums,
        )


def shortfall(fit):
    """Say that no optimum was found, and what to do; empty where the fit is near enough.

    Parameters
    ----------
    fit : OptimumRecord, or what has its `converged`, `separable`, `stationarity` and `n_steps`
    """
    if fit.converged or fit.separable or not fit.stationarity > CERTIFIABLE:
        return ""
    return (
        f"no optimum was found in {fit.n_steps} Newton steps: relative gradient "
        f"{fit.stationarity:.1e}. Influence refers to the parameters at the last step, "
        "without certified errors. Scale the columns of X, or fit with a stronger penalty."
    )


def _polished(adapted, data):
    """Optimum of an adapted fit, from its own parameters or, if these are no start, another one."""
    if data.is_in_blocks and is_by_passes(adapted.objective):
        return polish_by_passes(adapted.objective)[0]
    optimum, design = polish(adapted.objective), adapted.objective.design
    # Ordinary designs are centred where a column is far from zero: no need to look again.
    is_far = design.is_centred or (
        not adapted.objective.free_intercepts.all() and data.has_far_columns
    )
    is_lost = not optimum.is_settled and _must_have_optimum(optimum.objective)
    if not optimum.converged and (adapted.restart is not None or is_far or is_lost):
        # Solvers that do not centre, or to which heavy rows give long steps, may end anywhere, such
        # as where every predictor is saturated.
        restart = adapted.restart or (
            lambda objective: objective.at(np.zeros_like(objective.theta))
        )
        again = polish(restart(optimum.objective), max_steps=RESTARTED_STEPS)
        better = not again.objective.stationarity >= optimum.objective.stationarity
        optimum = again if better and np.isfinite(again.objective.stationarity) else optimum
    if optimum.converged and is_far:
        further = polish(optimum.objective, max_steps=FLOOR_STEPS, tolerance=FLOOR)
        if further.objective.stationarity < optimum.objective.stationarity:
            n_steps = optimum.n_steps + further.n_steps
            optimum = replace(optimum, objective=further.objective, n_steps=n_steps)
    return optimum


def _must_have_optimum(objective):
    """Whether there is an optimum, which Newton's method finds from 0."""
    return objective.loss.is_convex and not is_unpenalised(objective)


def _separates(objective, converged):
    """Whether an unpenalised fit runs away; by its own coefficients first, then by a program.

    Rows on the boundary, of two classes, keep their residuals while all others vanish, and with
    them the gradient: a fit that has converged is asked as well where a predictor is large.
    """
    if not is_unpenalised(objective) or objective.loss.is_coercive:
        return False
    if converged:
        return has_unclear_multipliers(objective) and is_separable(objective, objective.residuals)
    return _all_on_their_side(objective) or is_separable(objective)


def _all_on_their_side(objective):
    """Whether the predictors themselves are a direction in which the loss of no row rises."""
    live, K = np.flatnonzero(objective.sample_weight > 0), objective.n_outputs
    for part in cache_blocks(len(live), K * K):
        rows = live[part]
        normals = objective.loss.recession_cone_normals(objective.y[rows])
        if not (normals @ objective.eta[rows, :, None] > 0).all():
            return False
    return True


def prediction_difference(adapted, record):
    """Say how the predictions of an adapted fit differ from those at its recorded optimum.

    Parameters
    ----------
    adapted : Adapted
        The fit at its own parameters.
    record : OptimumRecord

    Returns
    -------
    str
        Empty where they differ by less than OTHERWISE, and where the optimum was not found.
    """
    if not record.converged or record.separable:
        return ""
    objective, link = adapted.objective, adapted.link
    live = objective.sample_weight > 0
    own = objective.native(objective.eta[live])
    optimal = objective.native(objective.at(record.theta).eta[live])
    if link.n_classes:
        differ = int(np.count_nonzero(link.predicted(own) != link.predicted(optimal)))
        if differ > OTHERWISE["labels"] * len(own):
            return f"{differ} of {len(own)} rows get another label"
        if link.has_probabilities:
            off = float(np.abs(link.probabilities(own) - link.probabilities(optimal)).mean())
            if not off <= OTHERWISE["probabilities"]:
                return f"probabilities are {off:.2g} off in the mean"
        return ""
    own, optimal = (np.asarray(link.mean(eta)).reshape(live.sum(), -1) for eta in (own, optimal))
    responses = np.asarray(adapted.labels(objective.y)).reshape(len(live), -1)[live]
    # A model that predicts nearly a constant is measured by the responses.
    spread = np.maximum(own.std(axis=0), 1e-3 * responses.std(axis=0)) + np.finfo(float).tiny
    off = float((np.sqrt(((own - optimal) ** 2).mean(axis=0)) / spread).max(initial=0.0))
    return "" if off <= OTHERWISE["responses"] else f"responses are {off:.2g} of their spread off"
