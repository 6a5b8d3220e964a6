"""Mutants that live, by their names, each with its reason.

"equivalent": no answer changes beyond rounding. "cost": what is computed the same takes another
time or memory. "fault": an answer would be wrong, and no test is worth what it would take to see.
"""

LIVING = {
    "curvature/_baseline.py: def __init__(self, objective, damping=0.0):: 0.0 -> 1.0": (
        "equivalent: every caller says which it is"
    ),
    "curvature/_baseline.py: def step_solver(self, n_columns=1):: 1 -> 2": (
        "cost: which of two products solves"
    ),
    "curvature/_baseline.py: for output, blocks in zip(self.free_outputs, M.reshape(K - 1, "
    "q, K - 1, q), strict=True):: True -> False": ("equivalent: the lengths are the same"),
    "curvature/_baseline.py: for output, own in zip(self.free_outputs, range(K - 1), "
    "strict=True):: True -> False": ("equivalent: the lengths are the same"),
    "curvature/_baseline.py: if n_columns > len(self.factor):: n_columns > len(self.factor) "
    "-> n_columns <= len(self.factor)": ("cost: which of two products solves"),
    "curvature/_baseline.py: own = sign * self.diagonal.reshape(K, -1)[0]: 0 -> 1": (
        "equivalent: the penalty is the same for all outputs"
    ),
    "curvature/_baseline.py: own = sign * self.diagonal.reshape(K, -1)[0]: 1 -> 2": (
        "equivalent: any negative number leaves a length of a shape open"
    ),
    "curvature/_baseline.py: self.along_null = self.diagonal.reshape(objective.n_outputs, "
    "-1)[0] + ridge: 0 -> 1": ("equivalent: the penalty is the same for all outputs"),
    "curvature/_baseline.py: self.along_null = self.diagonal.reshape(objective.n_outputs, "
    "-1)[0] + ridge: 1 -> 2": ("equivalent: any negative number leaves a length of a shape open"),
    "curvature/_baseline.py: several = objective.n_outputs > 2 and objective.n_parameters > "
    "0: 0 -> 1": (
        "equivalent: there is no softmax of two outputs, and one of none is solved as well"
    ),
    "curvature/_baseline.py: several = objective.n_outputs > 2 and objective.n_parameters > "
    "0: objective.n_outputs > 2 and objective.n_parameters > 0 -> objective.n_outputs > 2 or "
    "objective.n_parameters > 0": (
        "equivalent: there is no softmax of two outputs, and one of none is solved as well"
    ),
    "curvature/_cg.py: size[size == 0] = 1.0: 1.0 -> 2.0": (
        "equivalent: what a residual of zeros is divided by"
    ),
    "curvature/_choose.py: return K * factor_flops(objective.output(0), kind): 0 -> 1": (
        "cost: a count of flops"
    ),
    "curvature/_dense.py: H[fixed, fixed] = 1.0: 1.0 -> 2.0": (
        "equivalent: rows of the inverse factor that are zeroed, of a condition that has no scale"
    ),
    "curvature/_dense.py: squares += 0.0 if triangle else cube / 3: 0.0 -> 1.0": (
        "cost: a count of flops"
    ),
    "curvature/_dual.py: product = self.base_kernel @ R.reshape(len(self.base_kernel), -1): 1 -> "
    "2": "equivalent: any negative number leaves a length of a shape open",
    "curvature/_dual.py: self.largest = float(np.diag(B).max(initial=1.0)): 1.0 -> 2.0": (
        "equivalent: a diagonal is compared with 1e6 and 1e8 only"
    ),
    "curvature/_row_space.py: DIAGONAL = 1e-5: 1e-05 -> 2e-05": "cost: a tolerance, of two digits",
    "curvature/_row_space.py: parts = L * self.scale[:, None], (self.scale**2).reshape(-1, 1): 1 "
    "-> 2": "equivalent: any negative number leaves a length of a shape open",
    "deletion/_rounding.py: rounding = ROUNDING * np.maximum(1.0, eta) / np.sqrt(curvature.rcond "
    "or 1.0): 1.0 -> 2.0": "equivalent: a floor of 16 units in the last place or of 32",
    "design/_blocks.py: for i in range(max(0, int(first) - 1), min(int(last), "
    "self.X.n_blocks)):: 1 -> 2": (
        "equivalent: one more block that ends before the rows, and is not read"
    ),
    "uncertainty/_intervals.py: return int(np.ceil((1.0 - level) * (n + 1) * (1.0 - 1e-12))): "
    "1e-12 -> 2e-12": "equivalent: the rounding of a product that is an integer is below either",
    "deletion/_change_rows.py: objective, curvature, method, rows, entering, *, "
    "is_rough=True, n_test=0, progress=None: True -> False": (
        "equivalent: every caller says which it is"
    ),
    "deletion/_chord.py: steps = state.D.reshape(len(state.D), "
    "self.objective.n_outputs, -1): 1 -> 2": (
        "equivalent: numpy takes any negative length for what is left"
    ),
    'deletion/_chord.py: square = np.maximum(np.einsum("ij,ij->i", state.last_step, '
    "state.last_step), 1e-300): 1e-300 -> 2e-300": (
        "equivalent: a guard against 0 / 0 where a step is 0 and so is the product with it"
    ),
    "deletion/_groups.py: each = zip(steps, pairs, strict=True): True -> False": (
        "equivalent: as many steps as pairs, always"
    ),
    "deletion/_joint_chord.py: ratios.append(size / last if last > 0 else 0.0): 0.0 -> 1.0": (
        "equivalent: after a step of length 0 the next is 0, and so is its product with any ratio"
    ),
    "deletion/_joint_chord.py: return longest <= limit / ROUNDING * 1e-6 and "
    "at.stationarity <= 1e-13: 1e-13 -> 2e-13": (
        "cost: where steps are at rounding a factor more or less is made"
    ),
    "deletion/_joint_quasi_newton.py: for (step, change, along), share in "
    "zip(state.pairs, reversed(shares), strict=True):: True -> False": (
        "equivalent: a share for each pair, always"
    ),
    "deletion/_joint_refits.py: allowed = value[open_rows] + 1e-4 * t * "
    "slope[open_rows] + rounding[open_rows]: value[open_rows] + 0.0001 * t * "
    "slope[open_rows] -> value[open_rows]": (
        "cost: any decrease will do for a step, and the search ends at the same optimum"
    ),
    "deletion/_many_refits.py: for j, (group, delta) in enumerate(zip(groups, "
    "deltas, strict=True)):: True -> False": "equivalent: as many deltas as groups, always",
    "deletion/_single_remainder.py: LARGEST = 1e15: 1000000000000000.0 -> "
    "2000000000000000.0": "equivalent: products with either stay far below the 3e38 of float32",
    "deletion/_step_errors.py: step = deletion.steps(slice(position, position + "
    "1))[0]: 1 -> 2": "equivalent: one step more is read, the first is taken",
    "deletion/certificate.py: return np.where((zeta < 1.0) & np.isfinite(nu), E, "
    "np.inf): 1.0 -> 2.0": (
        "equivalent: from zeta = 1 on the bound is the logarithm of 0 already, which is inf"
    ),
    "deletion/_row_change.py: curvature = objective.loss.curvature(self.y, "
    "objective.native(eta)).reshape(-1, K, K): 1 -> 2": (
        "equivalent: numpy takes any negative length for what is left"
    ),
    "deletion/_joint_refits.py: return objective.freed(gradient).reshape(len(state.D), -1): "
    "1 -> 2": "equivalent: numpy takes any negative length for what is left",
    "case_deletion/_rules.py: found = size.reshape(len(size), -1) > threshold(n, p): 1 -> 2": (
        "equivalent: numpy takes any negative length for what is left"
    ),
    "curvature/_dense.py: null = vectors[:, values <= 10 * tolerance]: 10 -> 11": (
        "equivalent: where a message draws the line between rounding and what is nearly singular"
    ),
    "deletion/_joint_chord.py: MAX_PASSES = 20: 20 -> 21": (
        "cost: one more step of a chord before Newton's method does what is left"
    ),
}
