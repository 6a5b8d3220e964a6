"""The differences as a page of the documentation."""

import textwrap

from tests.drop_in.differences import DIFFERENCES

TITLE = "How we differ"
INTRODUCTION = """
The estimators with a scikit-learn original are drop-ins: the same parameters, attributes and
methods. scikit-learn's wheel carries its tests, and `make test-sklearn` runs those of the original
estimators on ours, with the oldest and the newest supported scikit-learn. They pass but for the
tests below, each of which is expected to fail for the reason it stands under; a failure beyond
these, and a pass among these, are errors. (This page is printed from that list.)

Two things no test of scikit-learn's asks for. The training rows are kept by reference, and pickles
carry them. And arrays of other libraries than NumPy are passed through by logistic regression and
ridge alone (:doc:`array_api`), where `coef_` has the type of X.
"""


def page():
    """Return the page as reStructuredText."""
    lines = [TITLE, "=" * len(TITLE), INTRODUCTION]
    for difference in DIFFERENCES:
        lines += [difference.title, "-" * len(difference.title), ""]
        lines += [*textwrap.wrap(difference.reason, 100), "", "Its tests:", ""]
        lines += [f"- `{name}`" for name in difference.tests]
        lines.append("")
    return "\n".join(lines)
