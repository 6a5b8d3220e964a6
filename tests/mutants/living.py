"""Mutants that live, by their names, each with its reason.

"equivalent": no answer changes beyond rounding. "cost": what is computed the same takes another
time or memory. "fault": an answer would be wrong, and no test is worth what it would take to see.
"""

LIVING = {
    "curvature/_row_space.py: DIAGONAL = 1e-5: 1e-05 -> 2e-05": "cost: a tolerance, of two digits",
    "deletion/_joint_chord.py: if objective.n_parameters != self.objective.n_parameters:: "
    "objective.n_parameters != self.objective.n_parameters -> "
    "objective.n_parameters == self.objective.n_parameters": (
        "cost: without a factor at hand the next removal makes its own"
    ),
}
