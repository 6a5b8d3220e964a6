"""Findings that are known and not yet mended: each with its reason and a problem that shows it.

A finding that an entry matches does not fail the run. `tests/test_fuzz.py` runs the example of
every entry, and fails for one that no longer shows anything: it is to be removed then.
"""

from dataclasses import dataclass

from tests.fuzz.problems import Problem  # noqa: F401  (in examples)


@dataclass(frozen=True)
class Known:
    """`matches(problem, finding)` says which are meant; the example's `questions` show one."""

    name: str
    reason: str
    matches: object
    example: object
    questions: tuple
    kinds: tuple = ("wrong", "undefined", "bound", "unlike", "leak", "crash")


KNOWN = ()


def which(problem, finding):
    """The entry that a finding is one of, or None."""
    for entry in KNOWN:
        if finding.kind in entry.kinds and entry.matches(problem, finding):
            return entry
    return None
