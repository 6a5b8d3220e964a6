"""Copies of scikit-learn's test files, reduced to what says something of our estimators."""

import ast
from pathlib import Path

import sklearn
from sklearn import linear_model
from sklearn.kernel_ridge import KernelRidge

import skinfluence.linear_model as ours
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.svm import SmoothHingeSVC

PREFIX = "Influence"
FILES = (
    "linear_model/tests/test_base.py",
    "linear_model/tests/test_ridge.py",
    "linear_model/tests/test_logistic.py",
    "linear_model/tests/test_huber.py",
    "linear_model/tests/test_coordinate_descent.py",
    "linear_model/tests/test_sparse_coordinate_descent.py",
    "linear_model/_glm/tests/test_glm.py",
    "tests/test_kernel_ridge.py",
    "svm/tests/test_svm.py",
)
# SmoothHingeSVC has a constructor of its own, takes several classes one against the rest, and keeps
# no support vectors: these tests of SVC ask for nothing of the kind.
OF_SVC = {
    "test_auto_weight",
    "test_bad_input",
    "test_libsvm_iris",
    "test_negative_sample_weights_mask_all_samples",
    "test_negative_weight_equal_coeffs",
    "test_negative_weights_svc_leave_just_one_label",
    "test_negative_weights_svc_leave_two_labels",
    "test_svc_bad_kernel",
    "test_svm_classifier_sided_sample_weight",
    "test_svm_equivalence_sample_weight_C",
    "test_weight",
}
# Name under which an excerpt lists the functions that use one of ours whatever they are given.
BY_THEMSELVES = "BY_THEMSELVES"


class InfluenceSVC(SmoothHingeSVC):
    """A SmoothHingeSVC of the hinge itself, with the defaults of SVC."""

    def __init__(
        self,
        C=1.0,
        *,
        kernel="rbf",
        gamma="scale",
        degree=3,
        coef0=0.0,
        class_weight=None,
        tol=1e-10,
    ):
        super().__init__(
            C,
            kernel=kernel,
            gamma=gamma,
            degree=degree,
            coef0=coef0,
            loss="hinge",
            class_weight=class_weight,
            tol=tol,
        )


def replacements():
    """scikit-learn's estimators that have a drop-in here -> the drop-in."""
    found = {KernelRidge: InfluenceKernelRidge}
    for name in ours.__all__:
        original = getattr(linear_model, name.removeprefix(PREFIX), None)
        if name.startswith(PREFIX) and original is not None:
            found[original] = getattr(ours, name)
    return found


def rebind(namespace):
    """Bind the estimators that a test module has imported, by whatever name, to ours."""
    found = replacements()
    for name, value in namespace.items():
        if isinstance(value, type) and value in found:
            namespace[name] = found[value]
    if "svm" in namespace:
        namespace["svm"] = Module(namespace["svm"], SVC=InfluenceSVC)


class Module:
    """A module with some of its names bound anew."""

    def __init__(self, module, **names):
        self.__dict__.update(vars(module), **names)


def source(path, rebound=True):
    """Text of one of FILES without the tests that use none of ours, line by line as it was."""
    text = path.read_text()
    tree = ast.parse(text)
    lines = text.splitlines()
    uses, by_themselves = _Uses(tree), []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        given = {argument.arg for argument in node.args.args}  # by fixtures and parameters
        is_test = node.name.startswith("test_")
        excluded = is_test and path.name == "test_svm.py" and node.name not in OF_SVC
        if not excluded and uses.reach(node.body, given):
            by_themselves.append(node.name)
        elif is_test and (excluded or not uses.reach([node])):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = [""] * (node.end_lineno - first + 1)
    if rebound:
        last = max(
            node.end_lineno for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
        )
        lines[last - 1] += "; from tests.drop_in.excerpts import rebind; rebind(globals())"
    return "\n".join([*lines, f"{BY_THEMSELVES} = {by_themselves}", ""])


class _Uses:
    """Which parts of a module use one of ours: themselves, or what they call or are given."""

    def __init__(self, tree):
        replaced = {original.__name__ for original in replacements()}
        self.names, self.within = {"svm.SVC"}, {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                self.names |= {
                    alias.asname or alias.name for alias in node.names if alias.name in replaced
                }
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.within[node.name] = self._names(node)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.within[target.id] = self._names(node.value)

    @staticmethod
    def _names(node):
        """Names read anywhere in a node, those of the arguments too: they may be fixtures."""
        found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        found |= {ast.unparse(each) for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        return found | {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}

    def reach(self, nodes, without=frozenset()):
        """Whether some statements do, by names other than these."""
        seen, ahead = set(without), set().union(*map(self._names, nodes)) - without
        while ahead:
            name = ahead.pop()
            seen.add(name)
            if name in self.names:
                return True
            ahead |= self.within.get(name, set()) - seen
        return False


# One more test, of the list of differences: the plugin knows what it is given.
OF_THE_LIST = """def test_every_entry_is_a_test(unmatched):
    assert unmatched == []
"""


def write(folder, rebound=True):
    """Write the excerpts of all FILES into a folder, and a test of the list of differences."""
    (folder / "test_the_list.py").write_text(OF_THE_LIST)
    root = Path(sklearn.__file__).parent
    for name in FILES:
        path = root / name
        (folder / path.name).write_text(source(path, rebound))
