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


def _is_far_polynomial(problem, finding):
    """A polynomial kernel of rows far from zero: the rounding of its entries is all there is."""
    settings = problem.settings
    far = problem.shift or problem.scale == "wide"
    return settings.get("kernel") == "poly" and bool(far)


def _is_far_and_few(problem, finding):
    """Bounds do not know the gradient's rounding where far columns cannot be centred."""
    far = problem.shift >= 1e6 and not problem.intercept
    return finding.kind == "bound" and far and problem.n <= 3


KNOWN = (
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
