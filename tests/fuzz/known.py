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


def _is_nothing_beside(problem, finding):
    """Newton's multiplier is a quotient by 1 - leverage, of a gradient that the fit has left.

    Where heavy rows settle every coefficient all effects are of rounding's size, and the oracle's
    smaller still.
    """
    _, _, largest = finding.detail.rpartition("(largest ")
    tiny = finding.kind == "wrong" and bool(largest) and float(largest.rstrip(")")) < 1e-10
    return tiny and problem.weights == "wide"


KNOWN = (
    Known(
        "effects of rounding's size, beside weights of 1e-6 to 1e6: Newton's steps are larger",
        _is_nothing_beside,
        Problem(
            "tweedie",
            seed=1261516568,
            n=7,
            m=4,
            strength=0.0,
            options=(("power", 2.0), ("link", "log")),
            weights="wide",
            labels="odd",
            through="pipeline",
            curvature="cg",
        ),
        ("parameter_influence",),
    ),
)


def which(problem, finding):
    """The entry that a finding is one of, or None."""
    return next((entry for entry in KNOWN if entry.matches(problem, finding)), None)
