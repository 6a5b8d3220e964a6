"""Rows that leave a fit for good, or join it: the refit, and what is proven of it."""

from dataclasses import dataclass

import numpy as np

from skinfluence._validation import listed
from skinfluence.deletion import JointFactor, joint_refit
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class
from skinfluence.robustness._distance import RefitBound, bound_at, bound_from

# A bound above this, or above this share of the coefficients' unit where that is smaller, is worth
# another pass, and where that does not lower it a new factor.
LOOSE = 1e-8
NO_BOUND = RefitBound(np.inf, np.inf, np.nan, "none")


@dataclass(frozen=True)
class Removal:
    """A refit after rows have left or joined.

    Attributes
    ----------
    objective : Objective
        Of the rows as they were, weights 0 in those that left, at the new optimum.
    factor : JointFactor or None
        For the next change.
    method : str
        "closed form", "chord" or "newton".
    reason : str
        Why it is no chord; empty where it is.
    n_passes, n_factors : int
    bound : RefitBound
    gradient : ndarray of shape (K, q)
        At the optimum; of a chord 0, as it is one step beyond the last that was evaluated.
    residual : ndarray of shape (K, q)
        The last gradient that was evaluated.
    """

    objective: object
    factor: JointFactor | None
    method: str
    reason: str
    n_passes: int
    n_factors: int
    bound: RefitBound
    gradient: np.ndarray
    residual: np.ndarray


def row_removal(objective, factor, rows, delta, read=None, gradient=None):
    """Return the Removal after a change of the weights of some rows.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    factor : JointFactor or None
        See :func:`skinfluence.deletion.joint_refit`.
    rows : ndarray of int, shape (k,)
    delta : ndarray of shape (k,)
        What is added to their weights.
    read : callable, optional
        See `Objective.evaluated_at`.
    gradient : ndarray of shape (K, q), optional
        See :func:`skinfluence.deletion.joint_refit`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no optimum is found.
    """
    proof = _Proof()
    ask = {"read": read, "gradient": gradient, "proven": proof.is_enough}
    found = joint_refit(objective, factor, rows, delta, **ask)
    if found is None:
        raise np.linalg.LinAlgError(
            "the refit without the rows did not converge: no optimum was found. Fit with a "
            "stronger penalty, or scale the columns of X."
        )
    if found.by == "newton":
        bound, made = _of_optimum(found.objective)
        steps, gradient = (found.n_passes, found.n_factors), found.objective.gradient
        reason = _reason(objective, factor)
        return Removal(found.objective, made, "newton", reason, *steps, bound, gradient, gradient)
    return _of_chord(found, proof, kinked=objective.penalty.is_kinked)


class _Proof:
    """The bound of a refit by a chord, computed once."""

    def __init__(self):
        self._found = self._bound = None

    def bound(self, found):
        """Return the RefitBound of a JointRefit."""
        if found is not self._found:
            known = found.last, found.factor, found.gradient_norm, found.moved
            self._found = found
            self._bound = bound_from(*known, stepped=True, apart=found.apart)
        return self._bound

    def is_enough(self, found):
        """Whether neither passes nor a factor would lower the bound, or they have no need to.

        What of it is due to rounding stays.
        """
        if not np.isfinite(found.last.loss.self_concordance):
            return True
        bound, limit = self.bound(found), LOOSE * min(1.0, found.factor.unit)
        return bool(bound.coefficient <= max(limit, 2.0 * bound.rounding))


def _of_chord(found, proof, *, kinked):
    """Return the Removal of a refit by a chord, by a new factor where the old one proves little."""
    last, end = found.last, found.objective
    steps = (found.n_passes, found.n_factors)
    method = "closed form" if last.loss.is_quadratic else "chord"
    bound = proof.bound(found)
    if kinked:
        gradient = end.gradient
        return Removal(end, None, method, "", *steps, bound, gradient, gradient)
    if not proof.is_enough(found):
        end = end if end.is_evaluated else end.evaluated_at(end.theta)
        again, factor = _of_optimum(end, found.factor.unit)
        if factor is not None:
            steps = (found.n_passes + 1, found.n_factors + 1)
            return Removal(end, factor, method, "", *steps, again, end.gradient, end.gradient)
    zero = np.zeros_like(last.gradient)
    return Removal(end, found.factor, method, "", *steps, bound, zero, last.gradient)


def refit_removal(objective, factor, reason, n_steps):
    """Return the Removal of a model that was fitted again, at the objective of its own rows."""
    bound = NO_BOUND
    if factor is not None and objective.is_at_its_own_optimum:
        bound = bound_at(factor.objective, factor)
    gradient = objective.gradient
    return Removal(objective, factor, "refit", reason, n_steps, n_steps, bound, gradient, gradient)


def _of_optimum(objective, unit=None):
    """(RefitBound, JointFactor) of an optimum that Newton's method found; no factor where none."""
    if not objective.is_at_its_own_optimum:
        return NO_BOUND, None
    kinked = objective.penalty.is_kinked
    inner = objective.on_active_set() if kinked else objective
    try:
        factor = JointFactor.at(inner, unit)
    except np.linalg.LinAlgError:
        return NO_BOUND, None
    return bound_at(inner, factor), None if kinked else factor


def _reason(objective, factor):
    """Say why a refit was Newton's."""
    if objective.penalty.is_kinked:
        return "the active set of the L1 penalty or a sign changes"
    if factor is None:
        return "the curvature is singular at the optimum"
    return "the steps of the chord did not halve"


def check_remaining(objective, rows, delta, classes=None):
    """Raise where there is no model after a change of weights.

    Parameters
    ----------
    objective : Objective
    rows : ndarray of int, shape (k,)
    delta : ndarray of shape (k,)
    classes : ndarray, optional
        Labels, for the error.

    Raises
    ------
    ValueError
        If no row of positive weight is left, fewer than unpenalised coefficients, or none of a
        class.
    numpy.linalg.LinAlgError
        If the fit has no finite optimum any more.
    """
    added, what = np.zeros(objective.n_rows), "without these rows"
    added[rows] = delta
    if not (objective.sample_weight[rows] + delta <= 0).any():
        return
    rest = objective.reweighted(added)
    n_left = int(np.count_nonzero(rest.sample_weight > 0))
    if not n_left:
        raise ValueError(f"{what} none of positive weight is left. Keep some rows.")
    if lost_a_class(rest, objective):
        raise ValueError(f"{what} {_lost(objective, rest, classes)}")
    n_free = int(np.count_nonzero(objective.hessian_diagonal == 0) / objective.n_outputs)
    if is_unpenalised(objective) and n_left < n_free:
        raise ValueError(
            f"{what} {n_left} are left, fewer than the {n_free} coefficients, of which nothing is "
            "penalised. Keep more rows, or fit with a penalty."
        )
    if is_unpenalised(objective) and not has_optimum(rest):
        raise np.linalg.LinAlgError(
            f"{what} the fit diverges: the rest is separable or its columns are dependent, and "
            "nothing is penalised. Keep more rows, or fit with a penalty."
        )


def _lost(objective, rest, classes):
    """Say which required class has no row left."""
    if not objective.loss.n_classes:
        return (
            "no row with a positive response is left, and the fit has no finite optimum. Keep one "
            "of them."
        )
    required = objective.loss.required_classes(objective.y)
    kinds = np.unique(required[objective.sample_weight > 0])
    gone = np.setdiff1d(kinds, required[rest.sample_weight > 0])
    gone = gone if classes is None else np.asarray(classes)[gone].tolist()
    return f"class {listed(gone)} has no row left: the model would be another. Keep one of each."
