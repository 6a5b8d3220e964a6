"""The laws of the house: layers, doors, budgets, a light import; and every README block runs."""

import ast
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import skinfluence

ROOT = Path(skinfluence.__file__).parent
TREE = ROOT.parent

# A module imports only from strictly lower layers. Rooms not built yet keep their place.
LAYERS = [
    ["_validation", "_frames", "_parallel", "_kernels", "_version"],
    ["_backend"],  # its factorisations say how many threads they take
    ["losses", "penalties"],
    ["design"],
    ["objective"],
    ["curvature"],
    ["optimum", "hinge_dual"],
    ["existence"],
    ["deletion"],
    ["attribution"],
    ["results"],
    ["leave_one_out", "case_deletion", "uncertainty", "perturbation"],
    ["adapters"],
    ["problem"],
    ["base"],
    ["linear_model", "kernel_models"],
    ["svm"],  # one of the kernel models, with a loss of its own
    ["explainer"],
    ["functions"],
    ["model_selection", "labels", "debugging", "attacks", "evaluation"],
    ["display", "report", "torch"],
    ["__init__"],
]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}

DOORS = {
    "numba": {"_kernels"},
    "joblib": {"_parallel"},
    "threadpoolctl": {"_parallel"},
    "pandas": {"_frames"},
    "matplotlib": {"display"},
    "jinja2": {"report"},
    "torch": {"torch"},
}
FILES = sorted(ROOT.rglob("*.py"))


def room(path):
    """Top-level module or package of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path):
    """Every module that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down_and_through_the_doors(path):
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "skinfluence":
            there = parts[1] if len(parts) > 1 and parts[1] in LAYER else "__init__"
            if there != here and parts[1:2] != ["__version__"]:
                assert LAYER[there] < LAYER[here], f"{here} imports {name}"
        if parts[0] in DOORS:
            assert here in DOORS[parts[0]], f"{here} imports {name}"
        if parts[0] == "sklearn":
            assert not any(part.startswith("_") for part in parts), f"{name} is private"
            if parts[1:2] in (["linear_model"], ["svm"], ["kernel_ridge"], ["ensemble"]):
                assert LAYER[here] >= LAYER["adapters"], f"{here} knows {name}"
        if parts[-1] == "issparse":
            assert here == "design"


def code_lines(path):
    """Lines that hold code: no docstring, comment or blank."""
    tree, lines = ast.parse(path.read_text()), set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in (
                tokenize.COMMENT,
                tokenize.NL,
                tokenize.NEWLINE,
                tokenize.INDENT,
                tokenize.DEDENT,
                tokenize.ENCODING,
                tokenize.ENDMARKER,
            ):
                lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines, tree


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def names_defined(tree):
    """Names that a file defines, or assigns as attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def is_own(node):
    """Whether an attribute is one of the object itself, inherited ones included."""
    value = node.value
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


# What scikit-learn says in no other way: what gamma="scale" of a fitted SVC stood for.
FOREIGN = {("adapters", "_gamma")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_room_reads_the_private_names_of_another(path):
    here = room(path)
    defined = {
        name
        for other in FILES
        if room(other) == here
        for name in names_defined(ast.parse(other.read_text()))
    }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skinfluence."):
            parts = node.module.split(".")
            names = [*parts[2:], *(alias.name for alias in node.names)]
            assert parts[1] == here or not any(map(is_private, names)), (
                f"line {node.lineno}: {here} imports {node.module}.{names[-1]}"
            )
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node):
            allowed = node.attr in defined or (here, node.attr) in FOREIGN
            assert allowed, f"line {node.lineno}: {here} reads {node.attr} of another room"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_small(path):
    lines, tree = code_lines(path)
    assert len(lines) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = len(lines & set(range(node.lineno, node.end_lineno + 1)))
            assert size <= 50, f"{node.name} has {size} lines of code"


def test_sparsity_intercept_and_weights_have_one_room():
    for path in FILES:
        text, here = path.read_text(), room(path)
        if here not in ("design", "adapters", "linear_model", "svm", "kernel_models"):
            assert "fit_intercept" not in text.replace("design.fit_intercept", ""), path
        if here in ("losses", "design", "penalties", "curvature"):
            assert "sample_weight" not in text, path
        assert not re.search(r"def \w+_sparse\(", text), path


def test_import_is_light():
    code = (
        "import sys, sklearn.linear_model; before = set(sys.modules); import skinfluence;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(new & {'numba','matplotlib','torch','dask','pandas','jinja2'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TREE)
    assert run.stdout.strip() == "[]", run.stderr


def test_public_names_are_documented_and_importable():
    namespace = {}
    exec("from skinfluence import *", namespace)
    for name in skinfluence.__all__:
        thing = namespace[name]
        if callable(thing):
            assert thing.__doc__, name
            assert (
                "Attributes\n" in thing.__doc__
                or "Parameters\n" in thing.__doc__
                or "Returns\n" in thing.__doc__
            )


def test_readme_blocks_run_and_print_what_they_say(capsys):
    readme = TREE / "README.md"
    if not readme.exists():
        pytest.skip("the README is not beside an installed package")
    text = readme.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) >= 3
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out.split()
    outputs = re.findall(r"```text\n(.*?)```", text, re.S)[:2]
    for word in outputs[0].split():
        assert word in printed


def test_the_contributing_guide_runs():
    guide = TREE / "CONTRIBUTING.md"
    if not guide.exists():
        pytest.skip("the guide is not beside an installed package")
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(), re.S)
    assert len(blocks) >= 5
    # In a process of its own: it registers a loss, a target and a model.
    # Scikit-learn 1.6 with a new SciPy warns in every lbfgs fit, of exactly this.
    filters = ["-W", "error", "-W", "ignore:scipy.optimize:DeprecationWarning"]
    run = [sys.executable, *filters, "-c", "\n".join(blocks)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
