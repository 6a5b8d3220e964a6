"""The laws of the house: layers, doors, budgets, a light import; and every README block runs."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tokenize
from functools import cached_property
from pathlib import Path

import pytest

import skinfluence
from skinfluence.link import Link
from skinfluence.losses import Loss

ROOT = Path(skinfluence.__file__).parent
TREE = ROOT.parent

# A module imports only from strictly lower layers. Rooms not built yet keep their place.
LAYERS = [
    ["_validation"],  # sentences of errors and warnings, which all others say
    [
        "_frames",
        "_memory",
        "_parallel",
        "_kernels",
        "_sources",
        "_class_axis",
        "_typing",
        "_version",
    ],
    # Factorisations say how many threads they take, stores by which version; losses name links.
    ["_backend", "_store", "link"],
    ["losses", "penalties"],
    ["design"],
    ["objective"],
    ["curvature"],
    ["optimum", "hinge_dual"],
    ["existence"],
    ["deletion"],
    ["attribution"],
    ["results"],
    ["leave_one_out", "case_deletion", "uncertainty", "perturbation", "array_api"],
    ["robustness"],  # significance asks the covariances
    ["adapters"],
    ["problem"],
    ["base"],
    ["linear_model", "kernel_models"],
    ["svm"],  # one of the kernel models, with a loss of its own
    ["explainer", "extending"],
    ["functions"],
    ["model_selection", "evaluation", "blocks"],
    ["labels", "debugging", "attacks"],  # tools that choose C by model_selection
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
    "safetensors": {"torch"},
    "array_api_compat": {"_backend"},
    "cupy": set(),
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
        if parts[0] == "numba":  # one decorator, which does without a cache where there is no place
            assert path.name == "_compiled.py"


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
        readers = "adapters", "array_api", "linear_model", "svm", "kernel_models"
        if here not in ("design", *readers):
            assert "fit_intercept" not in text.replace("design.fit_intercept", ""), path
        if here in ("losses", "design", "penalties", "curvature"):
            assert "sample_weight" not in text, path
        assert not re.search(r"def \w+_sparse\(", text), path


def called(node):
    """Last name of what a call calls."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


SIGMOIDS = {"expit", "log_expit", "logit", "softmax", "log_softmax", "logsumexp"}
SIGMOIDS |= {"sigmoid", "sigmoid_slope", "softplus", "softmax_jacobian", "cross_entropy"}
PREDICTORS = re.compile(r"\b(eta|decision\w*|scores?|logits?|predictors?|moved|margins?)\b")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_predictions_are_made_by_links(path):
    if room(path) in ("losses", "link"):
        return
    for name in imports(path):
        assert name.split(".")[-1] not in SIGMOIDS, f"{path} imports {name}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and called(node) in SIGMOIDS | {"exp", "expm1"}:
            argument = " ".join(ast.unparse(each) for each in node.args)
            assert not PREDICTORS.search(argument), f"{path}: {ast.unparse(node)}"


def test_losses_leave_predictions_to_their_links():
    theirs = {name for name in vars(Link) if not name.startswith("_")}
    theirs -= {"n_outputs", "n_classes", "is_scalar", "name", "labels"}
    for cls in (Loss, *Loss.__subclasses__()):
        if cls.__module__.startswith("skinfluence."):
            assert not theirs & set(dir(cls)), cls


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_order_of_class_axes_has_one_module(path):
    if room(path) in ("_class_axis", "results"):  # dual coefficients, in the order of coef_
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            assert called(node) not in ("moveaxis", "rollaxis"), f"{path}: {ast.unparse(node)}"


# What only its own constructor writes: everything that shares such an object relies on that.
IMMUTABLE = {
    "Objective",
    "Curvature",
    "Leverage",
    "Deletion",
    "RefitMetric",
    "Design",
    "Loss",
    "L2",
}
# Names of objects that are written from outside: the state of an iteration, a data frame,
# scikit-learn's tags, an estimator that another makes, a copy that has just been made.
WRITTEN = {"state", "found", "frame", "tags", "explainer", "bound", "other", "new"}
IN_PLACE = {"append", "clear", "extend", "fill", "insert", "pop", "setdefault", "sort", "update"}


def immutable_classes():
    """Names of the classes above and of all that derive from them."""
    bases = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    found, size = set(IMMUTABLE), 0
    while len(found) > size:
        size = len(found)
        found |= {name for name, parents in bases.items() if parents & found}
    return found


def written(node):
    """Expressions that a node writes to: targets, and objects whose contents it changes."""
    if isinstance(node, ast.Assign | ast.Delete):
        targets = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.NamedExpr):
        targets = [node.target]
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars]
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name.rpartition(".")[2] in ("setattr", "__setattr__", "delattr"):
            return [ast.Attribute(node.args[0], "any")]
        inner = node.func.value if isinstance(node.func, ast.Attribute) else None
        is_change = inner is not None and node.func.attr in IN_PLACE
        return [inner] if is_change and isinstance(inner, ast.Attribute | ast.Call) else []
    else:
        return []
    flat = []
    while targets:
        target = targets.pop()
        if isinstance(target, ast.Tuple | ast.List):
            targets += target.elts
        elif not isinstance(target, ast.Name):
            flat.append(target)
    return flat


def owner(target):
    """Name of the object of which a target is a part; None for parts of a local array."""
    attribute = False
    while not isinstance(target, ast.Name):
        if isinstance(target, ast.Call):  # vars(x)
            if ast.unparse(target.func) != "vars":
                return None
            target, attribute = target.args[0], True
        elif isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
            attribute = attribute or isinstance(target, ast.Attribute)
            target = target.value
        else:
            return None
    return target.id if attribute else None


def changes(tree, families):
    """Lines of a module that write to what is immutable, or to objects of other names."""
    found = []

    def visit(node, class_name, function):
        if isinstance(node, ast.ClassDef):
            class_name, function = node.name, None
        elif isinstance(node, ast.FunctionDef):
            function = node.name
        for target in written(node):
            name = owner(target)
            constructs = class_name not in families or function == "__init__"
            if not (name is None or name in WRITTEN or (name == "self" and constructs)):
                found.append((node.lineno, ast.unparse(target)))
        for child in ast.iter_child_nodes(node):
            visit(child, class_name, function)

    visit(tree, None, None)
    return found


def test_what_is_called_immutable_is_never_changed():
    families = immutable_classes()
    assert {"DualCurvature", "Exact", "ClosedForm", "CSRDesign", "OneVsOneLoss"} <= families
    for path in FILES:
        found = changes(ast.parse(path.read_text()), families)
        assert not found, f"{path}: {found}"


def test_the_test_of_changes_sees_them():
    code = """
class Own(Loss):
    def __init__(self): self.a = {}
    def once(self): self.b = 1
    def into(self): self.a["x"] = 1
    def more(self): self.a.update(x=1)
    def sly(self): object.__setattr__(self, "a", 1)
    def dict(self): vars(self)["a"] = 1
    def loop(self):
        for self.b in range(3): pass
def other(objective, state, array):
    objective.theta, rest = 1, 2
    objective.theta += 1
    objective.theta[0] = 1
    setattr(objective, "theta", 1)
    del objective.theta
    objective.__dict__["theta"] = 1
    state.theta = 1
    array[0] = 1
"""
    families = immutable_classes() | {"Own"}
    assert [line for line, _ in changes(ast.parse(code), families)] == [
        4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 16, 17,
    ]  # fmt: skip


def test_import_is_light():
    code = (
        "import sys, sklearn.linear_model; before = set(sys.modules); import skinfluence;"
        "skinfluence.InfluenceReport;"  # a page asks for jinja2 when it is written
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


def plain(member):
    """The function behind a method, property or class method; None for anything else."""
    if isinstance(member, property):
        return member.fget
    if isinstance(member, cached_property):
        return member.func
    member = getattr(member, "__func__", member)
    return member if inspect.isfunction(member) else None


def definitions(path):
    """(name, object, functions that it overrides) of every class and function of a file."""
    parts = path.relative_to(TREE).with_suffix("").parts
    if room(path) == "torch":
        pytest.importorskip("torch")
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield name, thing, []
        if inspect.isclass(thing):
            yield name, thing, []
            for member, value in vars(thing).items():
                function = plain(value)
                if function is not None and function.__code__.co_filename == module.__file__:
                    above = [
                        vars(base)[member] for base in thing.__mro__[1:] if member in vars(base)
                    ]
                    yield member, function, [each for each in above if inspect.getdoc(each)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_docstrings_are_own_or_inherited(path):
    for name, thing, overridden in definitions(path):
        own = thing.__doc__
        if not name.startswith("_"):
            assert own or overridden, f"{name} has no docstring, and inherits none"
        if own and overridden:
            assert len(own.split()) > 3, f"{name}: {own!r} says less than what it would inherit"


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


def mentions(node, name):
    """Whether a node uses a name of the table of subjects in doc/architecture.rst."""
    if name == "sample_weight *":
        return (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Mult | ast.MatMult)
            and any(
                isinstance(inner, ast.Attribute) and inner.attr == "sample_weight"
                for side in (node.left, node.right)
                for inner in ast.walk(side)
            )
        )
    if name in ("design.fit_intercept", "design.origin"):
        return isinstance(node, ast.Attribute) and ast.unparse(node).endswith(name)
    if name == "-step":
        return (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and bool(re.search(r"deletion\.steps\(|\bsteps\b", ast.unparse(node.operand)))
        )
    if isinstance(node, ast.Attribute):
        return node.attr == name
    return isinstance(node, ast.Name) and node.id == name


# Rooms that turn parameters and data of scikit-learn's into objectives; what they do is their own.
MAKERS = {"adapters", "linear_model", "kernel_models", "svm"}
# Rooms that share a subject by the page's own words, or keep an axis that coef_ has.
SHARED = {"softmax": {"losses"}, "expit": {"losses"}, "moveaxis": {"results"}}
SHARED["-step"] = {"case_deletion"}


def subjects():
    """(room, names) of each row of the table of subjects."""
    page = TREE / "doc" / "architecture.rst"
    if not page.exists():
        pytest.skip("the pages are not beside an installed package")
    table = page.read_text().partition("One subject, one room")[2]
    rows = re.findall(r"\* - (.+)\n +- ``skinfluence\.(\w+)``\n +- (.+)\n", table)
    return [(what, where, re.findall("``(.+?)``", names)) for what, where, names in rows]


def test_every_subject_lives_in_the_room_that_the_page_names():
    found = subjects()
    assert len(found) == 8
    for what, where, names in found:
        importlib.import_module(f"skinfluence.{where}")
        assert names, what
        for path in FILES:
            for name in names:
                if room(path) in {where, *MAKERS, *SHARED.get(name, ())}:
                    continue
                for node in ast.walk(ast.parse(path.read_text())):
                    assert not mentions(node, name), f"{what}: {path}, line {node.lineno}"


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
