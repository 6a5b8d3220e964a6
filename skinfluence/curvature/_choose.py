"""Which representation of the curvature to take: counted flops and memory, open to questions."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence.curvature._active import ActiveCurvature
from skinfluence.curvature._cg import CGCurvature
from skinfluence.curvature._dense import DenseCurvature
from skinfluence.curvature._dual import WEAK, DualCurvature
from skinfluence.curvature._separate import SeparateCurvature
from skinfluence.penalties import LinearPlusL2

KINDS = {"dense": DenseCurvature, "dual": DualCurvature, "cg": CGCurvature}

MEMORY = 8 * 2**30  # bytes a factorisation may take
CG_ITERATIONS = 60  # what a deflated solve to 1e-10 takes on ordinary data
WORTH_DEFLATION = 8  # solves from which a better preconditioner pays for itself
# What a product with a few vectors takes for each flop, next to a product of matrices: it reads as
# much memory for fewer of them.
MEMORY_BOUND = 8.0
WORTHWHILE = 5e10  # flops below which a factorisation, which is cached, always wins


@dataclass(frozen=True)
class Choice:
    """What was chosen, and the counts it was chosen by.

    Attributes
    ----------
    kind : {"dense", "dual", "cg"}
    reason : str
    flops, memory : dict
        Estimated floating-point operations and bytes of each candidate.
    """

    kind: str
    reason: str
    flops: dict
    memory: dict


def choose(objective, n_solves):
    """Choose a representation for `n_solves` right-hand sides (a leverage counts as K of them)."""
    if objective.loss.is_separable:
        K = objective.n_outputs
        one = choose(objective.output(0), max(1, n_solves // K))
        return replace(one, reason=f"{one.reason}; one of {K} outputs that share nothing")
    if objective.penalty.is_kinked:
        one = choose(objective.on_active_set(), n_solves)
        return replace(one, reason=f"{one.reason}; on the active set")
    n, K, P = objective.n_rows, objective.n_outputs, objective.n_parameters
    q, stored = objective.design.shape[1], objective.design.n_stored
    per_row = stored / max(n, 1)
    m = len(objective.curved_rows)  # rows that the factor is about
    strength = objective.penalty.strength
    flops = {
        "dense": m * per_row * per_row * K * (K + 1) / 2 + P**3 + 2.0 * P * P * n_solves,
        "dual": m * m * per_row + 2.0 * (m * K) ** 3,
        "cg": 4.0 * stored * K * (CG_ITERATIONS * n_solves + 100) * _slowness(n_solves),
    }
    memory = {"dense": 24.0 * P * P, "dual": 32.0 * (m * K) ** 2, "cg": 8.0 * P * 30}
    allowed = {"dense": memory["dense"] <= MEMORY, "dual": memory["dual"] <= MEMORY}
    weak = int((strength <= WEAK * strength.max(initial=0.0)).sum())
    allowed["dual"] &= weak <= max(1, q // 2) and strength.max(initial=0.0) > 0
    allowed["dual"] &= strength.ndim == 1 and (K > 1 or bool((objective.weights >= 0).all()))
    if objective.penalty.has_fixed:  # parameters that are none are cut out of a factor
        return Choice("dense", "some coefficients are held at 0", flops, memory)
    allowed["dual"] &= not isinstance(objective.penalty, LinearPlusL2)
    direct = [kind for kind in ("dense", "dual") if allowed[kind]]
    if not direct:
        return Choice("cg", "no factorisation fits in memory", flops, memory)
    best = min(direct, key=flops.__getitem__)
    if flops[best] > WORTHWHILE and flops["cg"] < flops[best] / 4:
        reason = f"{n_solves} solves by products cost less than factoring ({best})"
        return Choice("cg", reason, flops, memory)
    why = "only one that fits" if len(direct) == 1 else "fewest flops"
    return Choice(best, f"{why}: n={n}, K={K}, {q} columns", flops, memory)


def _slowness(n_solves):
    """Time of a flop in products with so many columns, next to many."""
    return max(1.0, MEMORY_BOUND / max(1, n_solves))


def make_curvature(objective, kind="auto", damping=0.0, n_solves=None):
    """Build the curvature of an objective; by default for all rows' leverages."""
    objective = objective.with_fixed_penalty()
    if objective.penalty.has_fixed and kind not in ("auto", "dense"):
        raise ValueError(
            f"curvature={kind!r} is not for models that hold coefficients at 0: use 'dense'."
        )
    if kind == "auto":
        if n_solves is None:
            n_solves = objective.n_rows * objective.n_outputs
        kind = choose(objective, n_solves).kind
    if kind == "dense" and not np.isfinite(objective.weights).all():
        raise np.linalg.LinAlgError("the curvature is not finite: the fit has diverged.")
    if kind == "cg" and not objective.penalty.is_kinked:
        return CGCurvature(
            objective, damping, deflate=n_solves is None or n_solves >= WORTH_DEFLATION
        )
    if objective.loss.is_separable:
        outputs = range(objective.n_outputs)
        parts = [make_curvature(objective.output(k), kind, damping) for k in outputs]
        return SeparateCurvature(objective, parts, damping)
    if objective.penalty.is_kinked:
        inner = make_curvature(objective.on_active_set(), kind, damping, n_solves)
        return ActiveCurvature(objective, inner)
    return KINDS[kind](objective, damping)
