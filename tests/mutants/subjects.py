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
BASE, CURVATURES = "small_changes_of_the_base", "small_changes_of_curvatures"
# Quick ones of the steps without a row: gradients, norms and errors against dense matrices.
STEPS = ("small_changes_of_deletion", "small_changes_of_errors", "small_changes_of_estimates")
STEPS += ("small_changes", "metric")
# The longest beginning of a module's path decides.
TESTS = {
    "objective": (BASE, "metric", "fuzz_findings", "deletion_and_attribution"),
    "design": (BASE, "small_changes", "design_and_curvature", "row_space", "centring"),
    "design/_blocks": (BASE, "blocks"),
    "design/_kernel": (
        BASE,
        "small_changes",
        "kernel_models",
        "design_and_curvature",
        "fuzz_findings",
    ),
    "design/_dependence": (BASE, "rank_deficient"),
    "curvature": (CURVATURES, "small_changes", "design_and_curvature", "metric", "row_space"),
    "curvature/_baseline": ("baseline_curvature", "design_and_curvature"),
    "curvature/_separate": (CURVATURES, "ridge_classifier", "svc_adapters", "regression"),
    "deletion": (*STEPS, "fuzz_findings", "exact", "deletion_and_attribution"),
    "deletion/_active_set": ("small_changes_of_deletion", "elastic_net"),
    "deletion/_auto": ("small_changes_of_errors", "auto"),
    "deletion/_causes": ("small_changes_of_groups", "existence", "warnings"),
    "deletion/_change_rows": ("small_changes", "small_changes_of_errors", "changes"),
    "deletion/_chord": (*STEPS, "single_remainder", "fuzz_findings", "exact"),
    "deletion/_delete": (
        "small_changes_of_deletion",
        "small_changes",
        "metric",
        "exact",
        "deletion_and_attribution",
    ),
    "deletion/_deleted_curvature": ("small_changes_of_groups", *STEPS, "exact", "joint_refits"),
    "deletion/_groups": ("small_changes_of_groups", "joint_refits", "groups", "auto"),
    "deletion/_hinge": ("hinge",),
    "deletion/_joint": ("small_changes_of_groups", "joint_refits", "groups"),
    "deletion/_many": ("small_changes_of_groups", "joint_refits", "groups"),
    "deletion/_mixed": ("auto",),
    "deletion/_newton_error": ("small_changes_of_errors", "metric", "pieces", "error_estimates"),
    "deletion/_range": ("small_changes_of_groups", "fuzz_findings"),
    "deletion/_row_change": ("small_changes_of_deletion", "small_changes_of_errors", "changes"),
    "deletion/_second_order": ("small_changes_of_estimates", "single_remainder"),
    "deletion/_second_step": ("changes",),
    "deletion/_single_remainder": ("small_changes_of_estimates", "single_remainder"),
    "deletion/_step_errors": (
        "small_changes_of_estimates",
        "small_changes",
        "metric",
        "groups",
        "elastic_net",
        "results",
    ),
    "deletion/certificate": ("metric", "certificate"),
    "deletion/targets": (
        "losses_and_targets",
        "small_changes_of_estimates",
        "deletion_and_attribution",
    ),
    "leave_one_out": ("small_changes_of_estimates", "leave_one_out"),
    "case_deletion": ("small_changes_of_diagnostics", "case_deletion"),
    "uncertainty": (CURVATURES, "uncertainty"),
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
