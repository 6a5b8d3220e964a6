"""Choice of the representation of the curvature, by counts of flops and memory."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence._memory import check_memory, fits, memory_budget
from skinfluence.curvature._active import ActiveCurvature
from skinfluence.curvature._baseline import make_dense
from skinfluence.curvature._cg import CGCurvature
from skinfluence.curvature._dense import DenseCurvature, SingularCurvature
from skinfluence.curvature._dual import DualCurvature, SingleDualCurvature, is_single_enough
from skinfluence.curvature._output_blocks import has_output_blocks, sampled_rows
from skinfluence.curvature._row_space import RowSpaceCurvature, solves_by_rows
from skinfluence.curvature._separate import SeparateCurvature
from skinfluence.curvature._stochastic import StochasticCurvature
from skinfluence.curvature._woodbury import WEAK
from skinfluence.penalties import LinearPlusL2

KINDS = {"dense": make_dense, "dual": DualCurvature, "cg": CGCurvature}

# The unit of all counts is a flop of a large matrix product. What others take of it, as measured by
# `python -m benchmarks --problem choice`:
SPARSE = 30.0  # a flop of a sparse product with a block of vectors
SPARSE_GRAM = 25.0  # a product of two stored entries in a Gram matrix
ROW_SPARSE = 6.0  # a flop of A (A'V), A'V never stored, in float32
PASSES = 900.0  # the dozen passes over vectors of an iteration, an element
ROW_PASSES = 100.0  # the same in the space of the rows
CG_ITERATIONS = 60  # what a deflated solve to 1e-10 takes on ordinary data
ROW_ITERATIONS = 12  # in the space of the rows, the mean of solves and of leverages
BLOCK_ITERATIONS = 30  # with the blocks of the outputs, by classes and penalty 16 to 40
ELEMENTS = 100.0  # the softmax of an iteration, an element
TRUNCATED_ITERATIONS = 60  # of one solve to the few digits that a step of Newton's method needs
WORTH_DEFLATION = 8  # solves from which a better preconditioner pays for itself
# What a product with a few vectors takes for each flop, next to a product of matrices: it reads as
# much memory for fewer of them.
MEMORY_BOUND = 8.0
# Condition of the dual from which the dense one is taken, where that is a matter of milliseconds.
DOUBTFUL = 1e6
CHEAP = 1e8
WORTHWHILE = 5e9  # flops below which a factorisation is always chosen, because it is cached
NOT_KEPT = 2e9  # the same for a single solve, whose factor no second question reuses
# Reciprocal condition from which the errors of float32 products leave a hundredth of a step.
WELL_CONDITIONED = 1e-3
# Share of a factorisation's cost below which products are chosen, which no second question reuses.
CHEAPER = 1.5


@dataclass(frozen=True)
class Choice:
    """The chosen representation, and the counts that decided.

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


def choose(objective, n_solves, budget=None, *, kept=True):
    """Choose a representation for `n_solves` right-hand sides (a leverage counts as K of them).

    `budget` is what a factorisation may take, in bytes: by default half of the memory there is.
    `kept` says whether further questions may reuse a factor.
    """
    budget = memory_budget() if budget is None else budget
    if objective.loss.is_separable:
        K = objective.n_outputs
        one = choose(objective.output(0), max(1, n_solves // K), budget / K, kept=kept)
        return replace(
            one,
            reason=f"{one.reason}; one of {K} outputs that share nothing",
            memory={kind: K * size for kind, size in one.memory.items()},
        )
    if objective.penalty.is_kinked:
        one = choose(objective.on_active_set(), n_solves, budget, kept=kept)
        return replace(one, reason=f"{one.reason}; on the active set")
    n, K, P = objective.n_rows, objective.n_outputs, objective.n_parameters
    q, stored = objective.design.shape[1], objective.design.n_stored
    per_row = stored / max(n, 1)
    m = objective.n_curved  # the other rows add nothing to H
    strength = objective.penalty.strength
    # Per row of s stored entries the Gram matrix costs s^2 products for each pair of outputs, the
    # kernel of m rows m^2 s; factors and inverses cost a multiple of the cube of their size.
    gram = _gram_flops(objective, m)
    flops = {
        "dense": gram * K * (K + 1) / 2 + P**3 + _dense_solves(objective, n_solves),
        "dual": m * m * per_row + (1.0 if K == 1 else 2.0) * (m * K) ** 3,
        "cg": _products(objective, n_solves),
    }
    memory = _memory_of(objective)
    allowed = {kind: memory[kind] <= budget for kind in ("dense", "dual")}
    weak = int((strength <= WEAK * strength.max(initial=0.0)).sum())
    allowed["dual"] &= weak <= max(1, q // 2) and strength.max(initial=0.0) > 0
    allowed["dual"] &= strength.ndim == 1 and (K > 1 or objective.has_real_roots)
    if objective.penalty.has_fixed:  # only the dense factor leaves their equations out
        return Choice("dense", "some coefficients are fixed at zero", flops, memory)
    allowed["dual"] &= not isinstance(objective.penalty, LinearPlusL2)
    direct = [kind for kind in ("dense", "dual") if allowed[kind]]
    if not direct:
        return Choice("cg", "no factorisation fits in memory", flops, memory)
    best = min(direct, key=flops.__getitem__)
    if flops[best] > (WORTHWHILE if kept else NOT_KEPT) and flops["cg"] < flops[best] / CHEAPER:
        reason = f"{n_solves} solves by products cost less than factoring ({best})"
        return Choice("cg", reason, flops, memory)
    why = "the only factorisation possible" if len(direct) == 1 else "fewest flops"
    return Choice(best, f"{why}: n={n}, K={K}, {q} columns", flops, memory)


def _dense_solves(objective, n_solves):
    """Cost of solves with a dense factor, those of the leverages by products with parts of R^-1."""
    P, K = objective.n_parameters, objective.n_outputs
    own = objective.n_rows * K if n_solves >= objective.n_rows * K else 0
    return 2.0 * P * P * (n_solves - own) + own * (2.0 if K == 1 else (K + 1.0) / K**2) * P * P


def _gram_flops(objective, n_rows):
    """Cost of the weighted Gram matrix of so many rows, for one pair of outputs."""
    per_row = objective.design.n_stored / max(objective.n_rows, 1)
    pair = SPARSE_GRAM if objective.design.has_row_operator else 1.0
    return pair * n_rows * per_row * per_row


def _memory_of(objective):
    """Bytes that each representation takes, with what is made on the way."""
    P, mK = objective.n_parameters, objective.n_curved * objective.n_outputs
    return {"dense": 24.0 * P * P, "dual": 32.0 * mK**2, "cg": 8.0 * P * 30}


def _block_products(objective, n_solves):
    """Cost of solves by products with the blocks of the outputs as preconditioner."""
    K, q = objective.n_outputs, objective.design.shape[1]
    sparse = objective.design.has_row_operator
    slow = max(SPARSE if sparse else 1.0, MEMORY_BOUND / max(1, K * n_solves))
    iteration = 4.0 * objective.design.n_stored * slow + ELEMENTS * objective.n_rows
    blocks = K * (_gram_flops(objective, sampled_rows(objective)) + 1.5 * q**3)
    return blocks + BLOCK_ITERATIONS * K * n_solves * (iteration + 2.0 * q * q * MEMORY_BOUND)


def uses_output_blocks(objective, n_solves):
    """Whether solves by products pay for the blocks of the outputs, and there is room for them."""
    if not has_output_blocks(objective) or solves_by_rows(objective):
        return False
    K, q = objective.n_outputs, objective.design.shape[1]
    if 8.0 * 4 * K * q * q > memory_budget():
        return False
    return _block_products(objective, n_solves) < _plain_products(objective, n_solves)


def _products(objective, n_solves):
    """Cost of solves by products: stored entries, and passes over dense vectors."""
    stored, K = objective.design.n_stored, objective.n_outputs
    if solves_by_rows(objective):
        iteration = 4.0 * stored * ROW_SPARSE + ROW_PASSES * objective.n_rows
        return ROW_ITERATIONS * K * iteration * (n_solves + 8)
    if uses_output_blocks(objective, n_solves):
        return _block_products(objective, n_solves)
    return _plain_products(objective, n_solves)


def _plain_products(objective, n_solves):
    """Cost of solves by products with the diagonal and few vectors as preconditioner."""
    stored, K = objective.design.n_stored, objective.n_outputs
    # A product with few vectors reads as much memory as one with many.
    slow = SPARSE if objective.design.has_row_operator else 1.0
    slow = max(slow, MEMORY_BOUND / max(1, n_solves))
    iteration = 4.0 * stored * slow + PASSES * objective.design.shape[1]
    return K * iteration * (CG_ITERATIONS * n_solves + 100)


def make_step_curvature(objective, kind="auto", blocks=None, *, single=False):
    """Return the curvature for one solve, which a step of Newton's method asks and nobody reuses.

    Its `rough_solve` is by conjugate gradients where the few digits that a step needs cost less
    than a factor: of sparse rows, and of a softmax, to which the `blocks` of an earlier step are
    passed on. With `single` the factor is one of float32 products, where these are right enough for
    a step whose remainder further steps take away.
    """
    rough = _in_single_precision(objective, kind) if single else None
    if rough is not None:
        return rough
    truncated = kind == "auto" and objective.design.has_row_operator
    truncated = truncated and not objective.penalty.is_kinked and not objective.penalty.has_fixed
    if truncated and not objective.loss.is_separable:
        stored, q = objective.design.n_stored, objective.design.shape[1]
        iteration = objective.n_outputs * (4.0 * stored * SPARSE + PASSES * q)
        flops = choose(objective, 1, kept=False).flops
        if TRUNCATED_ITERATIONS * iteration < min(flops["dense"], flops["dual"]):
            return CGCurvature(objective, deflate=False)
    return make_curvature(objective, kind, n_solves=1, kept=False, blocks=blocks)


def _in_single_precision(objective, kind):
    """The dense factor of one output by float32 products; None if a step might not contract."""
    objective = objective.with_fixed_penalty()
    penalty = objective.penalty
    if objective.n_outputs > 1 or penalty.is_kinked or penalty.has_fixed:
        return None
    kind = choose(objective, 1, kept=False).kind if kind == "auto" else kind
    rough = objective.in_single_precision() if kind == "dense" else None
    if rough is None or not objective.has_finite_curvature:
        return None
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            made = DenseCurvature(rough)
    except np.linalg.LinAlgError:
        return None
    return made if made.rcond >= WELL_CONDITIONED and not made.by_rows else None


def make_curvature(
    objective,
    kind="auto",
    damping=0.0,
    n_solves=None,
    *,
    kept=True,
    blocks=None,
    single=False,
    beside=None,
):
    """Return the curvature of an objective; by default chosen for the leverages of all rows.

    `kept` is as in `choose`; `blocks` are the preconditioner of another objective with much the
    same predictors, if solves by products have one. `single` says that a few digits are enough,
    and `beside` is the curvature of the same rows at another strength of the penalty.
    """
    objective, doubtful = objective.with_fixed_penalty(), False
    if objective.penalty.has_fixed and kind not in ("auto", "dense"):
        raise ValueError(
            f"curvature={kind!r} is not available for a model with coefficients fixed at zero; use "
            "curvature='dense'."
        )
    if kind == "auto":
        if n_solves is None:
            n_solves = objective.n_rows * objective.n_outputs
        choice = choose(objective, n_solves, kept=kept)
        kind = _that_fits(choice, objective)
        doubtful = kind == "dual" and choice.flops["dense"] <= max(CHEAP, 4 * choice.flops["dual"])
    if kind == "dense" and not objective.has_finite_curvature:
        raise np.linalg.LinAlgError("the curvature is not finite: the fit has diverged.")
    if kind == "stochastic" or (kind == "cg" and not objective.penalty.is_kinked):
        return _by_products(objective, kind, damping, n_solves, blocks)
    if objective.loss.is_separable:
        outputs = range(objective.n_outputs)
        each = "auto" if doubtful else kind
        parts = [make_curvature(objective.output(k), each, damping) for k in outputs]
        return SeparateCurvature(objective, parts, damping)
    if objective.penalty.is_kinked:
        each = "auto" if doubtful else kind
        try:
            inner = make_curvature(objective.on_active_set(), each, damping, n_solves)
        except SingularCurvature as error:
            active = np.flatnonzero(objective.active.any(axis=0))
            raise error.on_active_set(active, objective.design) from None
        return ActiveCurvature(objective, inner)
    size = f"{objective.n_parameters} parameters" if kind == "dense" else "the rows' kernel"
    advice = "pass curvature='cg', which needs only products, or free memory"
    check_memory(_memory_of(objective)[kind], f"the Hessian as a factor of {size}", advice)
    if single and kind == "dual" and is_single_enough(objective):
        return SingleDualCurvature(objective, damping, beside)
    made = KINDS[kind](objective, damping)
    return _without_loss(made, objective, damping) if doubtful else made


def _by_products(objective, kind, damping, n_solves, blocks):
    """Curvature without a factor, of kind "cg" or "stochastic"; `blocks` as in `make_curvature`."""
    by_rows = not objective.penalty.is_kinked and solves_by_rows(objective)
    if kind == "stochastic":
        if not by_rows or objective.n_outputs > 1:
            raise ValueError(
                "curvature='stochastic' is for sparse X of no more rows than columns, one output "
                "and an L2 penalty. Use curvature='auto'."
            )
        return StochasticCurvature(objective, damping)
    if by_rows:
        return RowSpaceCurvature(objective, damping)
    many = n_solves is None or n_solves >= WORTH_DEFLATION
    if blocks is None and uses_output_blocks(objective, n_solves or objective.n_rows):
        blocks = True
    return CGCurvature(objective, damping, deflate=many, blocks=blocks)


def _without_loss(dual, objective, damping):
    """The dual curvature, or the dense one where the dual has lost many digits."""
    if dual.largest < DOUBTFUL or not fits(_memory_of(objective)["dense"]):
        return dual
    try:
        return make_dense(objective, damping)
    except np.linalg.LinAlgError:
        return dual


def _that_fits(choice, objective):
    """Kind of a choice; "cg" where the memory for it is taken by others just now."""
    if choice.kind == "cg" or objective.penalty.has_fixed:
        return choice.kind
    return choice.kind if fits(choice.memory[choice.kind]) else "cg"


def factor_flops(objective, kind):
    """Cost of the factor of a kind that has one, "dense" or "dual", without its solves."""
    K, P, m = objective.n_outputs, objective.n_parameters, len(objective.curved_rows)
    if objective.loss.is_separable:
        return K * factor_flops(objective.output(0), kind)
    if kind == "dense":
        return _gram_flops(objective, m) * K * (K + 1) / 2 + P**3 / 3
    return m * m * objective.design.n_stored / max(objective.n_rows, 1) + (m * K) ** 3 / 3
