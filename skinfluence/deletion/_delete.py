"""Theta without each of some rows, by any method."""

from skinfluence.deletion._active_set import ActiveSetExact, SeparateExact
from skinfluence.deletion._auto import RefitsOnDemand, delete_by_length, refit_flops
from skinfluence.deletion._closed_form import ClosedForm
from skinfluence.deletion._exact import Exact
from skinfluence.deletion._hinge import HingeExact
from skinfluence.deletion._one_step import OneStep


def delete(objective, curvature, method, rows, *, n_test=0, progress=None):
    """Return the Deletion of `rows` by "auto", "first_order", "newton" or "exact".

    `n_test` is the number of test rows that it will be read at, by which "auto" counts its budget.
    """
    if method == "exact" or (method == "auto" and has_closed_form(objective, curvature, rows)):
        return delete_exactly(objective, curvature, rows, progress=progress)
    if method == "auto":

        def exactly(some, leverage):
            return delete_exactly(objective, curvature, some, leverage=leverage, progress=progress)

        return delete_by_length(objective, curvature, rows, exactly, n_test=n_test)
    corrected = method == "newton"
    return OneStep(objective, curvature, rows, corrected=corrected, final=corrected)


def refits_some(objective, curvature, rows):
    """Whether "auto" takes Newton steps and refits, and no closed form."""
    return curvature is not None and not has_closed_form(objective, curvature, rows)


def refits_on_demand(objective, curvature, method, rows, *, n_test=0):
    """Return the RefitsOnDemand of "auto" or "exact"; None where no refit costs more than a step.

    Also for other methods, with damping, and for a hinge that is trained itself.
    """
    if method not in ("auto", "exact") or curvature is None or curvature.damping > 0:
        return None
    if not objective.is_at_its_own_optimum or has_closed_form(objective, curvature, rows):
        return None

    def exactly(some, leverage):
        return delete_exactly(objective, curvature, some, leverage=leverage)

    return RefitsOnDemand(
        objective, curvature, rows, exactly, n_test=n_test, is_exact=method == "exact"
    )


# Flops of refits along the path of a hinge's dual that "auto" takes instead of Newton steps.
PATH_FLOPS = 3e11


def needs_curvature(objective, method, n_deletions=None):
    """Whether a method of deletion needs the Hessian."""
    if not objective.trained_loss.is_piecewise_linear:
        return True
    return method != "exact" and not (method == "auto" and _follows_path(objective, n_deletions))


def _follows_path(objective, n_deletions):
    """Whether "auto" refits a hinge without every row: most are no support vectors, and free."""
    n_deletions = objective.n_rows if n_deletions is None else n_deletions
    return refit_flops(objective) * n_deletions <= PATH_FLOPS


def has_closed_form(objective, curvature, rows):
    """Whether one step is the refit without each of the rows."""
    if objective.n_parameters == 0:  # an L1 penalty may leave none
        return True
    if objective.trained_loss.is_piecewise_linear:
        return _follows_path(objective, len(rows))
    if objective.penalty.is_kinked or not objective.loss.is_quadratic:
        return False
    removed = curvature.objective.penalty_weight_removed
    return not objective.penalty_mismatch(objective.shares[rows], removed).any()


def delete_exactly(objective, curvature, rows, *, leverage=None, progress=None, **options):
    """Return the refits: by the path of the dual, in closed form, or by Newton's method.

    `leverage` is that of `rows`, where it is known already.
    """
    if objective.trained_loss.is_piecewise_linear:
        return HingeExact(objective, rows, progress=progress)
    if objective.penalty.is_kinked:
        return _delete_on_active_sets(objective, curvature, rows, progress, options)
    if has_closed_form(objective, curvature, rows):
        return ClosedForm(objective, curvature, rows)
    return Exact(objective, curvature, rows, leverage=leverage, progress=progress, **options)


def _delete_on_active_sets(objective, curvature, rows, progress, options):
    """Return the refits under an L1 penalty; output by output for a loss with separate outputs."""

    def smooth(objective, curvature, rows):
        return delete_exactly(objective, curvature, rows, **options)

    if not objective.loss.is_separable:
        return ActiveSetExact(objective, curvature, rows, smooth, progress=progress)
    outputs = [
        ActiveSetExact(objective.output(k), part, rows, smooth, progress=progress)
        for k, part in enumerate(curvature.parts)
    ]
    return SeparateExact(objective, outputs, curvature.leverage(rows))
