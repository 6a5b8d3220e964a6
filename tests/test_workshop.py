"""What a release is made of: distributions, metadata, versions, workflows, and its promises."""

import ast
import importlib
import inspect
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from functools import cache, reduce
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skinfluence
from skinfluence import model_selection
from tests.public_names import public_names

TREE = Path(__file__).parents[1]
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
HOME = PROJECT["urls"]["Homepage"]
MAKEFILE = (TREE / "Makefile").read_text()
CHANGES = re.findall(r"^## \[(.+)\] - (.+)$", (TREE / "CHANGELOG.md").read_text(), re.M)


def named(name):
    """The public object of a dotted name below skinfluence."""
    if name.startswith("torch."):
        pytest.importorskip("torch")
    importlib.import_module(f"skinfluence.{name}".rpartition(".")[0])  # display is not in the root
    return reduce(getattr, name.split("."), skinfluence)


def minor(version):
    """(0, 1) of "0.1.0"."""
    return tuple(int(part) for part in version.split(".")[:2])


# -- distributions ---------------------------------------------------------------------------------

BUILD = """
import sys, setuptools.build_meta as backend
folder = sys.argv[1] # building changes the arguments
backend.build_sdist(folder)
backend.build_wheel(folder)
"""
# What tools leave in a working tree, in folders that are packed whole.
LITTER = (
    "doc/_build/html/index.html",
    "doc/api/skinfluence.explain.rst",
    "doc/auto_examples/index.rst",
    "doc/sg_execution_times.rst",
    "examples/influence.png",
    "examples/reports/digits.html",
    "skinfluence/_kernels/__pycache__/_csr.sum-1.py311.nbi",
    "skinfluence/__pycache__/__init__.cpython-311.pyc",
    "tests/__pycache__/cases.cpython-311.pyc",
)


@pytest.fixture(scope="module")
def tracked():
    """Paths that git tracks, those deleted and not committed yet left out."""
    if not (TREE / ".git").exists():
        pytest.skip("an unpacked distribution has no list to compare with")
    run = ["git", "ls-files", "-z"]
    listed = subprocess.run(run, cwd=TREE, capture_output=True, text=True, check=True).stdout
    return {path for path in listed.split("\0") if path and (TREE / path).exists()}


@pytest.fixture(scope="module")
def distributions(tracked, tmp_path_factory):
    """Folder with a source distribution and a wheel, built from a copy of the tree with litter."""
    pytest.importorskip("setuptools", minversion="77.0.3")
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for path in (*tracked, *LITTER):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        if path in LITTER:
            (copy / path).write_text("litter")
        else:
            shutil.copy(TREE / path, copy / path)
    run = [sys.executable, "-c", BUILD, str(built)]
    done = subprocess.run(run, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


def test_the_source_distribution_is_what_git_tracks(tracked, distributions):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        files = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    files = {path for path in files if not path.startswith("skinfluence.egg-info/")}
    assert files - {"PKG-INFO"} == tracked


def test_the_source_distribution_runs_its_own_tests(distributions, tmp_path):
    """A file of tests of every kind that is collected there; `make dist` runs all of them."""
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    root = next(tmp_path.iterdir())
    here = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    options = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def run(*arguments):
        found = [*options, *arguments]
        return subprocess.run(
            found, cwd=root, env=here, capture_output=True, text=True, check=False
        )

    collected = run("--collect-only", "--deselect", "tests/test_workshop.py")
    assert collected.returncode == 0, collected.stdout[-3000:]
    passed = run("tests/test_pieces.py", "tests/test_contributing.py")
    assert passed.returncode == 0, passed.stdout[-3000:]
    assert "skinfluence" in (root / "PKG-INFO").read_text()


def test_the_wheel_has_the_package_and_its_types_and_nothing_else(tracked, distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as archive:
        files = set(archive.namelist())
    package = {path for path in tracked if path.startswith("skinfluence/")}
    assert "skinfluence/py.typed" in package
    assert {path for path in files if ".dist-info/" not in path} == package


# -- dependencies ----------------------------------------------------------------------------------

IMPORTED_AS = {"pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml", "traker": "trak"}
# Used without an import: where, and by what words.
USED_BY_WORD = {"pytest-cov": "--cov", "pytest-xdist": "-n $(WORKERS)", "build": "-m build"}


@cache
def imported(*folders):
    """Top-level modules that the files of some folders import, or ask pytest for."""
    found = set()
    for path in (path for folder in folders for path in (TREE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
                found.add(node.args[0].value.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def distribution(requirement):
    """Name of the distribution that a requirement is about."""
    return re.match(r"[\w-]+", requirement)[0]


def modules(requirements):
    """Modules that requirements are imported as."""
    names = {distribution(requirement) for requirement in requirements}
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def extra(name):
    """Requirements of an extra that are not extras of this library."""
    listed = PROJECT["optional-dependencies"][name]
    return [requirement for requirement in listed if distribution(requirement) != "skinfluence"]


USERS = ("array-api", "dask", "frames", "parquet", "plot", "report")
LARGE = ("torch",)  # for users too, who ask for it by name


def test_the_library_imports_what_it_declares_and_declares_what_it_imports():
    declared = [*PROJECT["dependencies"], *(name for user in USERS + LARGE for name in extra(user))]
    assert imported("skinfluence") - {"skinfluence"} == modules(declared)


def test_all_has_every_extra_for_users():
    for name in PROJECT["optional-dependencies"]:
        assert name in (*USERS, *LARGE, "all", "pinned-torch", "test", "doc", "dev"), (
            f"say whom {name} is for"
        )
    assert PROJECT["optional-dependencies"]["all"] == [f"skinfluence[{','.join(USERS)}]"]


@pytest.mark.parametrize("name", ["test", "doc", "dev"])
def test_what_developers_install_is_used(name):
    python = imported("tests", "benchmarks", "doc", "examples")
    words = MAKEFILE + (TREE / "doc/conf.py").read_text() + BUILD
    words += "pre-commit" if (TREE / ".pre-commit-config.yaml").exists() else ""
    for requirement in extra(name):
        package = distribution(requirement)
        word = USED_BY_WORD.get(package, package)
        used = modules([package]) & python or word in words or word.replace("-", "_") in words
        assert used, f"{package} is installed by [{name}] and used by nothing"


# What takes our numbers is asked where it is installed, and an extra for doc is used by tests where
# it is, too.
WHERE_INSTALLED = {"cleanlab", "cupy", "latex2mathml", "sphinx"}


def test_the_tests_import_nothing_that_they_do_not_install():
    asked = modules([*PROJECT["dependencies"], *extra("torch"), *extra("test")])
    known = asked | {"tests", "benchmarks", "skinfluence"} | WHERE_INSTALLED
    assert imported("tests") - known == set()


def test_one_version_of_torch_is_installed():
    # The newest is another build, with gigabytes of libraries for a GPU.
    for name in ("test", "doc"):
        assert "skinfluence[pinned-torch]" in PROJECT["optional-dependencies"][name]
    assert all(re.fullmatch(r"torch==[\d.]+", each) for each in extra("pinned-torch"))


def test_make_installs_the_declared_floors():
    command = re.search(r"^FLOORS := (.*)$", MAKEFILE, re.M)[1].replace("$$", "$")
    run = subprocess.run(command, shell=True, cwd=TREE, capture_output=True, text=True, check=True)
    expected = [requirement.replace(">=", "==") for requirement in PROJECT["dependencies"]]
    assert run.stdout.split() == expected
    assert all("==" in requirement for requirement in expected), "a dependency without a floor"


# -- types -----------------------------------------------------------------------------------------


FOR_THE_LIBRARY = {"of_rows"}  # public by name, called by other modules only


def own_functions(name):
    """Functions that a public name stands for: itself, or a class's constructor and methods."""
    thing = named(name)
    if not inspect.isclass(thing):
        return {name: thing}
    found = {}
    for cls in inspect.getmro(thing):
        # The mixins of skinfluence.base have no annotations yet, scikit-learn has none.
        if cls.__module__.startswith("skinfluence.") and ".base." not in cls.__module__:
            for key, member in vars(cls).items():
                function = inspect.unwrap(getattr(member, "__func__", member))
                function = getattr(function, "fget", getattr(function, "func", function))
                public = key == "__init__" or not key.startswith("_")
                if public and inspect.isfunction(function) and key not in FOR_THE_LIBRARY:
                    found[f"{cls.__name__}.{key}"] = function
    return found


def test_functions_are_found_behind_properties_and_conditions():
    assert "CaseDeletionDiagnostics.dfbetas" in own_functions("CaseDeletionDiagnostics")
    assert "InfluenceExplainer.predict_proba" in own_functions("InfluenceExplainer")
    assert "_GeneralizedLinear.fit" in own_functions("InfluenceGammaRegressor")
    assert "LeaveOneOutEstimate.of_rows" not in own_functions("LeaveOneOutEstimate")


@pytest.mark.parametrize("name", public_names())
def test_the_public_face_is_annotated(name):
    for qualified, function in own_functions(name).items():
        signature = inspect.signature(function)
        bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
        assert set(bare) <= {"self", "cls"}, f"{qualified} has no types for {bare}"
        if not qualified.endswith("__init__"):
            assert signature.return_annotation is not signature.empty, qualified


# -- metadata --------------------------------------------------------------------------------------

PROSE = sorted([*TREE.glob("*.md"), *TREE.glob(".github/**/*.*"), TREE / "CITATION.cff"])


def test_urls_are_of_this_project():
    pages = urlsplit(PROJECT["urls"]["Documentation"])
    for url in PROJECT["urls"].values():
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert url.startswith(HOME) or parts.netloc == pages.netloc
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} == set(PROJECT["urls"])
    for path in PROSE:
        for url in re.findall(r"https://github\.com/[\w./-]+", path.read_text()):
            assert url.startswith(HOME), f"{path.name} leads to {url}"


def test_one_version_everywhere():
    version = skinfluence.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    citation = yaml.safe_load((TREE / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert citation["repository-code"] == HOME
    assert CHANGES[0][0] == version
    ordered = [tuple(map(int, number.split("."))) for number, _ in CHANGES]
    assert ordered == sorted(set(ordered), reverse=True)
    for number, date in CHANGES:
        is_next = number == version and date == "unreleased"
        assert is_next or re.fullmatch(r"\d{4}-\d{2}-\d{2}", date), number


def test_workflows_run_targets_that_exist_on_every_python():
    workflow = yaml.safe_load((TREE / ".github/workflows/ci.yml").read_text())
    jobs = workflow["jobs"]["make"]["strategy"]["matrix"]["include"]
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    assert {job["target"] for job in jobs} <= targets
    run = re.search(r"for target in (.+?); do", (TREE / ".ci/run").read_text())[1].split()
    assert set(run) <= {job["target"] for job in jobs}
    named = "Programming Language :: Python :: 3."
    pythons = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith(named)}
    assert {job["python"] for job in jobs if job["target"] == "test"} == pythons
    oldest = min(pythons, key=minor)
    assert PROJECT["requires-python"] == f">={oldest}"
    assert [job["python"] for job in jobs if job["target"] == "test-floor"] == [oldest]


@pytest.mark.parametrize("path", sorted((TREE / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_forms_and_workflows_are_complete(path):
    content = yaml.safe_load(path.read_text())
    if path.parent.name == "workflows":
        assert content["permissions"], "by default a workflow may write"
        assert all(job["timeout-minutes"] <= 60 for job in content["jobs"].values())
    elif path.stem != "config":
        assert {"name", "description", "body"} <= set(content)
        fields = [field for field in content["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields) >= 2
        assert all(field["attributes"]["label"] for field in fields)


# -- since when ------------------------------------------------------------------------------------

SINCE = re.compile(r"\.\. versionadded:: (\S+)")
REFERENCE = TREE / "tests" / "reference"


def released_names():
    """{(0, 1): names} as recorded by each minor release."""
    files = REFERENCE.glob("public_names_*.txt")
    return {minor(path.stem.rpartition("_")[2]): set(path.read_text().split()) for path in files}


def since_when(name, doc, released, version):
    """What is wrong with the version that a docstring gives, or None.

    The first release is said once, at the top of the API page; a name of a later one says so in
    its docstring.
    """
    first = min(released, default=minor(version))
    with_it = [number for number, names in sorted(released.items()) if name in names]
    expected = with_it[0] if with_it else minor(version)
    said = {minor(number) for number in SINCE.findall(doc)}
    if expected == first:
        return f"{name} is as old as the library, and says {said}" if said else None
    wanted = ".".join(map(str, expected))
    return None if expected in said else f"{name} does not say `.. versionadded:: {wanted}`"


def test_names_say_since_when():
    released = released_names()
    page = SINCE.findall((TREE / "doc" / "api.rst").read_text())
    assert [minor(number) for number in page] == [minor(CHANGES[-1][0])]
    found = [
        since_when(name, named(name).__doc__, released, skinfluence.__version__)
        for name in public_names()
    ]
    assert [problem for problem in found if problem] == []


def test_names_of_a_later_release_are_told_from_the_first():
    released = {(0, 1): {"a"}, (0, 2): {"a", "b"}}
    said = "It does.\n\n.. versionadded:: 0.2\n"
    assert since_when("a", "It does.", released, "0.3.0") is None
    assert since_when("b", said, released, "0.3.0") is None
    assert "0.2" in since_when("b", "It does.", released, "0.3.0")
    assert "0.3" in since_when("c", "It does.", released, "0.3.0")
    assert since_when("c", "It does.", {}, "0.1.0") is None
    assert "as old" in since_when("a", said, released, "0.3.0")


def test_every_release_has_recorded_its_names_and_none_is_lost():
    released = released_names()
    assert set(released) == {minor(number) for number, date in CHANGES if date != "unreleased"}
    for names in released.values():
        for name in names:  # a deprecated one still answers, and warns when it is used
            named(name)


def test_every_public_name_is_on_the_api_page():
    listed = public_names()
    assert len(listed) == len(set(listed)) > 50
    rooms = {"attacks", "blocks", "debugging", "display", "evaluation", "kernel_models", "labels"}
    rooms |= {"model_selection", "robustness"}
    assert set(skinfluence.__all__) - rooms - {"svm", "__version__"} <= set(listed)
    tools = ("attacks", "debugging", "display", "evaluation", "labels", "model_selection", "svm")
    for room in tools:
        members = named(f"{room}.__all__")
        assert {f"{room}.{member}" for member in members} <= set(listed)


def test_every_public_name_of_networks_is_on_the_api_page():
    members = named("torch.__all__")
    assert {f"torch.{member}" for member in members} <= set(public_names())


def test_the_switcher_offers_main_and_every_release():
    base = PROJECT["urls"]["Documentation"]
    entries = json.loads((TREE / "doc" / "_static" / "switcher.json").read_text())
    assert all(entry["url"] == f"{base}/{entry['version']}/" for entry in entries)
    assert sum(entry.get("preferred", False) for entry in entries) == 1
    dated = dict.fromkeys(minor(number) for number, date in CHANGES if date != "unreleased")
    expected = ["dev", *(".".join(map(str, number)) for number in dated)]
    assert [entry["version"] for entry in entries] == expected


@pytest.mark.parametrize("version", ["dev", "0.1", None])
def test_published_pages_have_the_switcher_and_local_ones_need_no_network(version, monkeypatch):
    if version is None:
        monkeypatch.delenv("SKINFLUENCE_DOCS_VERSION", raising=False)
    else:
        monkeypatch.setenv("SKINFLUENCE_DOCS_VERSION", version)
    path = TREE / "doc" / "conf.py"
    conf = {"__file__": str(path)}
    exec(path.read_text(), conf)
    options = conf["html_theme_options"]
    if version is None:
        assert "https://" not in json.dumps(options)
        return
    assert options["switcher"]["version_match"] == version
    assert options["switcher"]["json_url"].endswith("/dev/_static/switcher.json")
    assert "version-switcher" in options["navbar_start"]
    assert conf["html_baseurl"] == f"{PROJECT['urls']['Documentation']}/{version}/"


# -- what SECURITY.md promises ---------------------------------------------------------------------

rng = np.random.default_rng(0)
X, WEIGHT = rng.normal(size=(30, 3)), rng.uniform(0.5, 1.5, size=30)
LABELS = (X[:, 0] + 0.5 * rng.normal(size=30) > 0).astype(np.int64)
RESPONSES = np.exp(0.3 * X[:, 0]) + rng.uniform(size=30)
PROMISES = (TREE / "SECURITY.md").read_text()


def fitted(name):
    """A fitted estimator, and its labels or responses."""
    cls = named(name)
    if cls is skinfluence.InfluenceExplainer:
        model = cls(make_pipeline(LogisticRegression()))
    else:
        model = cls()
    y = RESPONSES if is_regressor(model) else LABELS
    return model.fit(X, y, sample_weight=WEIGHT), y


def carried(thing):
    """How many cells of X a pickle holds."""
    data = pickle.dumps(thing)
    return sum(cell.tobytes() in data for cell in X.ravel())


@pytest.mark.parametrize("name", public_names("Estimators"))
def test_pickles_carry_the_rows_as_the_table_says(name):
    assert f"`{name.rpartition('.')[2]}`" in PROMISES
    model, y = fitted(name)
    data = pickle.dumps(model)
    assert all(row.tobytes() in data for row in X)
    assert y.tobytes() in data
    assert WEIGHT.tobytes() in data


def test_pickles_carry_the_names_of_rows():
    pd = pytest.importorskip("pandas")
    names = [f"patient {i}" for i in range(30)]
    clf = skinfluence.InfluenceLogisticRegression().fit(pd.DataFrame(X, index=names), LABELS)
    assert all(name.encode() in pickle.dumps(clf) for name in names)


def test_holders_of_a_model_carry_its_rows_and_results_carry_none():
    clf = skinfluence.InfluenceLogisticRegression()
    search = model_selection.LeaveOneOutSearchCV(clf, {"C": [0.1, 1.0]}).fit(X, LABELS)
    chosen = model_selection.optimize_regularization(clf, X, LABELS)
    assert carried(search) == carried(chosen) == carried(make_pipeline(clf).fit(X, LABELS)) == 90

    clf.fit(X, LABELS)
    ols = skinfluence.InfluenceLinearRegression().fit(X, RESPONSES)
    results = [
        clf.influence(X[:5], LABELS[:5]),
        clf.most_influential(X[:5], LABELS[:5]),
        clf.parameter_influence(),
        clf.loo_estimate(),
        clf.curvature(),
        ols.loo_estimate(),
        ols.case_deletion_diagnostics(),
        ols.parameter_covariance(),
        ols.local_influence(),
        ols.prediction_interval(X[:5]),
        model_selection.approximate_cross_val_predict(clf, X, LABELS),
    ]
    assert [type(result).__name__ for result in results if carried(result)] == []
