"""Formulas as MathML, which browsers draw themselves: no script, no font, no network."""

import re

from docutils import nodes
from latex2mathml.converter import convert

# Commands that mean the same, of which the converter knows the second alone.
SAME = ((r"\lVert", r"\|"), (r"\rVert", r"\|"), (r"\lvert", "|"), (r"\rvert", "|"))


def markup(latex, display):
    """MathML of a formula, which a screen reader finds the source of as well."""
    for one, other in SAME:
        latex = latex.replace(one, other)
    found = convert(latex, display=display)
    if re.search(r"\\[A-Za-z]+", re.sub(r"<annotation.*?</annotation>", "", found)):
        raise ValueError(f"a command of this formula is not known: {latex}")
    return found


def visit_inline(self, node):
    """Write an inline formula."""
    self.body.append(f'<span class="math">{markup(node.astext(), "inline")}</span>')
    raise nodes.SkipNode


def visit_block(self, node):
    """Write a formula on lines of its own, aligned at its "&" where it has several."""
    latex = node.astext().strip()
    if "&" in latex or "\\\\" in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    self.body.append(f'<div class="math">{markup(latex, "block")}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Connect to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
