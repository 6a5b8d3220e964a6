"""Mutants of a module: every place where one small change of its expressions can be made."""

import ast
from collections import Counter
from dataclasses import dataclass, replace

FLIPPED = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SWAPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """One expression of a module, and what stands there instead.

    Attributes
    ----------
    path : str
        Of the module, from the folder of the package.
    kind : str
    line : int
    before, after : str
        The expression as it is, and as it is changed.
    start, end : int
        Its place in the bytes of the module.
    context : str
        The line of the source, which names it together with path, before and after.
    place : int
        How many of the same name come before it.
    """

    path: str
    kind: str
    line: int
    before: str
    after: str
    start: int
    end: int
    context: str
    place: int = 0

    @property
    def name(self):
        """What it is, whatever lines have come before it since."""
        which = f" ({self.place + 1})" if self.place else ""
        return f"{self.path}: {self.context}: {self.before} -> {self.after}{which}"

    def applied(self, source):
        """Source of the module (bytes) with the change."""
        return source[: self.start] + f"({self.after})".encode() + source[self.end :]


def mutants(path, source):
    """Mutants of a module's source (bytes), in the order of their places."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for node in _expressions(tree):
        for kind, after in _changes(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            found.append(
                Mutant(
                    path,
                    kind,
                    node.lineno,
                    ast.unparse(node),
                    ast.unparse(after),
                    start,
                    end,
                    lines[node.lineno - 1].decode().strip(),
                )
            )
    found.sort(key=lambda mutant: (mutant.start, mutant.end, mutant.kind))
    seen = Counter()
    for k, mutant in enumerate(found):
        found[k] = replace(mutant, place=seen[mutant.name])
        seen[mutant.name] += 1
    return found


def _expressions(tree):
    """Expressions of the code itself: no annotations, no texts of errors and warnings."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert) or _is_warning(node):
            continue
        if isinstance(node, ast.expr):
            yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [child for child in children if isinstance(child, ast.AST)]


def _is_warning(node):
    """Whether a call warns: what it says is not what is computed."""
    return isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("warn")


def _changes(node):
    """(kind, expression instead) of a node."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=comparators):
            yield "comparison", ast.Compare(left, [FLIPPED[type(operator)]()], comparators)
        case ast.BinOp(left=left, op=operator, right=right):
            if type(operator) in SWAPPED and not isinstance(left, ast.Constant | ast.List):
                yield "operator", ast.BinOp(left, SWAPPED[type(operator)](), right)
            if isinstance(operator, ast.Add | ast.Sub):
                yield "term", left
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or", ast.BoolOp(other, values)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            if not isinstance(operand, ast.Constant):
                yield "sign", operand
        case ast.Constant(value=bool() | int() | float() as value):
            yield "constant", ast.Constant(_other(value))
        case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper)):
            yield from _moved_ends(node, lower, upper)


def _other(value):
    """Another constant: the opposite, one more, or twice as much."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return 2.0 * value if value else 1.0


def _moved_ends(node, lower, upper):
    """A slice that begins, or ends, one later."""
    for kind, end in (("begin", lower), ("end", upper)):
        if end is not None and not isinstance(end, ast.Constant):
            later = ast.BinOp(end, ast.Add(), ast.Constant(1))
            ends = (later, upper) if kind == "begin" else (lower, later)
            slice_ = ast.Slice(*ends, node.slice.step)
            yield f"slice's {kind}", ast.Subscript(node.value, slice_, node.ctx)
