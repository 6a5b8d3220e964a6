"""Findings that are known and not yet mended: each with its reason and a problem that shows it.

A finding that an entry matches does not fail the run. `tests/test_fuzz.py` runs the example of
every entry, and fails for one that no longer shows anything: it is to be removed then.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """`matches(problem, finding)` says which are meant; the example's `questions` show one."""

    name: str
    matches: object
    example: object
    questions: tuple


KNOWN = ()


def which(problem, finding):
    """The entry that a finding is one of, or None."""
    return next((entry for entry in KNOWN if entry.matches(problem, finding)), None)
