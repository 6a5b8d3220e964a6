"""Which modules are changed, and which tests concern each: the quick ones first."""

from tests.mutants.run import ROOT

SUBJECTS = (
    "objective",
    "design",
    "curvature",
    "deletion",
    "leave_one_out",
    "case_deletion",
    "uncertainty",
)
# The longest beginning of a module's path decides.
TESTS = {
    "objective": (
        "small_changes_of_the_base",
        "metric",
        "fuzz_findings",
        "deletion_and_attribution",
    ),
    "design": (
        "small_changes_of_the_base",
        "small_changes",
        "design_and_curvature",
        "row_space",
        "centring",
    ),
    "design/_blocks": ("small_changes_of_the_base", "blocks"),
    "design/_kernel": (
        "small_changes_of_the_base",
        "small_changes",
        "kernel_models",
        "design_and_curvature",
        "fuzz_findings",
    ),
    "design/_dependence": ("small_changes_of_the_base", "rank_deficient"),
    "curvature": (
        "small_changes_of_curvatures",
        "small_changes",
        "design_and_curvature",
        "metric",
        "row_space",
    ),
    "curvature/_separate": (
        "small_changes_of_curvatures",
        "ridge_classifier",
        "svc_adapters",
        "regression",
    ),
    "deletion": ("metric", "fuzz_findings", "exact", "deletion_and_attribution"),
    "deletion/_active_set": ("elastic_net",),
    "deletion/_auto": ("auto",),
    "deletion/_causes": ("existence", "warnings"),
    "deletion/_change_rows": ("small_changes", "changes"),
    "deletion/_delete": ("small_changes", "metric", "exact", "deletion_and_attribution"),
    "deletion/_groups": ("groups", "deletion_and_attribution"),
    "deletion/_hinge": ("hinge",),
    "deletion/_joint": ("joint_refits", "groups"),
    "deletion/_mixed": ("auto",),
    "deletion/_newton_error": ("metric", "pieces", "error_estimates"),
    "deletion/_row_change": ("changes",),
    "deletion/_second_step": ("changes",),
    "deletion/_step_errors": ("small_changes", "metric", "groups", "elastic_net", "results"),
    "deletion/certificate": ("metric", "certificate"),
    "deletion/targets": ("losses_and_targets", "deletion_and_attribution"),
    "leave_one_out": ("leave_one_out",),
    "case_deletion": ("case_deletion",),
    "uncertainty": ("small_changes_of_curvatures", "uncertainty"),
}


def modules():
    """Paths of the modules of all subjects from the folder of the package, sorted."""
    package = ROOT / "skinfluence"
    found = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    return sorted(p for p in found if p.startswith(SUBJECTS) and not p.endswith("__init__.py"))


def concerned(path):
    """Files of tests for a module."""
    longest = max((name for name in TESTS if path.startswith(name)), key=len)
    return [f"tests/test_{name}.py" for name in TESTS[longest]]
