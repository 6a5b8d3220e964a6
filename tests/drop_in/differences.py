"""Where scikit-learn's own tests fail on our estimators, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A way in which we differ.

    Attributes
    ----------
    title, reason : str
        As the documentation prints them.
    tests : dict
        "module.test" -> regular expression for the parameters with which it fails.
    by_rounding : bool
        Whether the last digit decides whether they fail.
    """

    title: str
    reason: str
    tests: dict
    by_rounding: bool = False


ALL = ""

DIFFERENCES = ()
