"""Findings that are known and not yet mended: each with its reason and a problem that shows it.

A finding that an entry matches does not fail the run. `tests/test_fuzz.py` runs the example of
every entry, and fails for one that no longer shows anything: it is to be removed then.
"""

from dataclasses import dataclass

from tests.fuzz.problems import Problem


@dataclass(frozen=True)
class Known:
    """`matches(problem, finding)` says which are meant; the example's `questions` show one."""

    name: str
    matches: object
    example: object
    questions: tuple


def _is_shared(problem, finding):
    """Of a penalty that is relative to the mean loss, under unequal weights, by a Newton step."""
    models = ("poisson", "gamma", "tweedie", "lasso", "elastic net", "quantile", "chosen regressor")
    unequal = problem.weights in ("uniform", "zeros", "wide")
    return finding.kind == "wrong" and problem.model in models and unequal


def _is_far_polynomial(problem, finding):
    """A polynomial kernel of rows far from zero: the rounding of its entries is all there is."""
    settings = problem.settings
    far = problem.shift or problem.scale == "wide"
    return settings.get("kernel") == "poly" and bool(far)


def _is_flat(problem, finding):
    """Bounds do not know the gradient's rounding where rows have hardly any curvature."""
    return finding.kind == "bound" and "temperature" in problem.settings


def _is_far_and_few(problem, finding):
    """Bounds do not know the gradient's rounding where far columns cannot be centred."""
    far = problem.shift >= 1e6 and not problem.intercept
    return finding.kind == "bound" and far and problem.n <= 3


def _is_nearly_all_rows(problem, finding):
    """A GLM's joint step for nearly all rows multiplies what its fit has left of the gradient."""
    glm = problem.model in ("poisson", "gamma", "tweedie")
    if not (glm and finding.kind == "wrong"):
        return False
    # "1.7e-06 of the largest effect at ...": anything above 1e-5 is another finding.
    size = finding.detail.partition(" of the largest effect")
    small = bool(size[1]) and float(size[0]) < 1e-5
    return small and finding.question.startswith("group_influence newton")


KNOWN = (
    Known(
        "GLMs: joint Newton steps for all rows but one or two are right to 1e-5",
        _is_nearly_all_rows,
        Problem(
            "gamma",
            seed=683326922,
            n=10,
            p=1,
            strength=0.00472,
            data="integers",
            weights="equal",
            labels="str",
            curvature="dual",
        ),
        ("group_influence",),
    ),
    Known(
        "GLMs, elastic nets: newton takes the mean row's share of the penalty",
        _is_shared,
        Problem("gamma", seed=1143963671, n=13, m=1, strength=0.00751, weights="uniform"),
        ("influence",),
    ),
    Known(
        "polynomial kernels of rows far from zero: nothing says that their entries are rounded",
        _is_far_polynomial,
        Problem(
            "kernel ridge",
            seed=111938621,
            n=8,
            p=4,
            strength=2.25,
            options=(("kernel", "poly"), ("gamma", 0.623), ("degree", 2), ("coef0", 1.0)),
            data="saturated",
            weights="zeros",
            shift=1000.0,
        ),
        ("loo_estimate",),
    ),
    Known(
        "bounds at a low temperature do not know the rounding of a gradient",
        _is_flat,
        Problem(
            "svr",
            seed=1347098740,
            n=2,
            p=1,
            strength=0.0124,
            options=(("kernel", "linear"), ("epsilon", 0.5), ("temperature", 0.0226)),
            weights="equal",
        ),
        ("loo_estimate",),
    ),
    Known(
        "bounds of two or three rows at 1e6 without an intercept: exceeded in the last digits",
        _is_far_and_few,
        Problem(
            "tweedie",
            seed=364298938,
            n=2,
            p=1,
            m=2,
            intercept=False,
            strength=0.000167,
            options=(("power", 1.5), ("link", "log")),
            weights="uniform",
            shift=1e6,
            labels="str",
            curvature="cg",
        ),
        ("loo_estimate",),
    ),
)


def which(problem, finding):
    """The entry that a finding is one of, or None."""
    return next((entry for entry in KNOWN if entry.matches(problem, finding)), None)
