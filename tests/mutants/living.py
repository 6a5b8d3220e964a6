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
    "deletion/_rounding.py: rounding = ROUNDING * np.maximum(1.0, eta) / np.sqrt(curvature.rcond "
    "or 1.0): 1.0 -> 2.0": "equivalent: a floor of 16 units in the last place or of 32",
}
