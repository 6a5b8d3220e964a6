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
    "deletion/_active_set.py: width = 8 * objective.n_outputs * (4 * "
    "objective.n_rows + 4 * objective.design.shape[1]): 1 -> 2": "cost: rows in a block",
    "deletion/_auto.py: return 3.0 * (4.0 * n * width + RESIDUAL_FLOPS * n * K + 2.0 "
    "* width * width): RESIDUAL_FLOPS * n * K -> RESIDUAL_FLOPS * n / K": (
        "cost: the estimate of a refit's flops, by which auto counts its budget"
    ),
    "deletion/_change_rows.py: FREE_FLOPS, COST_SHARE = 2e9, 0.3: 0.3 -> 0.6": (
        "cost: more refits in auto's budget"
    ),
    "deletion/_change_rows.py: objective, curvature, method, rows, entering, *, "
    "is_rough=True, n_test=0, progress=None: True -> False": (
        "equivalent: every caller says which it is"
    ),
    "deletion/_change_rows.py: budget = FREE_FLOPS + COST_SHARE * "
    "question_flops(objective, len(rows), n_test): FREE_FLOPS + COST_SHARE * "
    "question_flops(objective, len(rows), n_test) -> FREE_FLOPS - COST_SHARE * "
    "question_flops(objective, len(rows), n_test)": "cost: another budget of auto",
    "deletion/_chord.py: MAX_ORDER = 8: 8 -> 9": (
        "cost: one more term of a series before the loss itself is called"
    ),
    "deletion/_chord.py: steps = state.D.reshape(len(state.D), "
    "self.objective.n_outputs, -1): 1 -> 2": (
        "equivalent: numpy takes any negative length for what is left"
    ),
    'deletion/_chord.py: square = np.maximum(np.einsum("ij,ij->i", state.last_step, '
    "state.last_step), 1e-300): 1e-300 -> 2e-300": (
        "equivalent: a guard against 0 / 0 where a step is 0 and so is the product with it"
    ),
    "deletion/_groups.py: TOGETHER_SHARE = 1.0 / 16.0: 16.0 -> 32.0": (
        "cost: how large changes are that are refitted together; both ways end at the optimum"
    ),
    "deletion/_groups.py: each = zip(steps, pairs, strict=True): True -> False": (
        "equivalent: as many steps as pairs, always"
    ),
    "deletion/_joint_chord.py: MAX_MORE = 2: 2 -> 3": (
        "cost: passes for the sake of the proof alone"
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
    "deletion/_newton_cg.py: width = 8 * self.objective.n_outputs * (12 * "
    "self.objective.n_rows): 12 -> 13": "cost: rows in a block",
    "deletion/_newton_error.py: rows = rows[: int(TIER_FLOPS / (4.0 * n * P))]: "
    "TIER_FLOPS / (4.0 * n * P) -> TIER_FLOPS * (4.0 * n * P)": (
        "cost: the budget of the second tier of a bound"
    ),
    "deletion/_newton_error.py: for part in row_blocks(len(rows), 8 * 3 * n * "
    "self.objective.n_outputs, at_most=256):: 8 * 3 * n -> 8 * 3 / n": "cost: rows in a block",
    "deletion/_newton_error.py: rows = rows[: int(TIER_FLOPS / (4.0 * "
    "objective.n_rows * objective.n_parameters))]: TIER_FLOPS / (4.0 * "
    "objective.n_rows * objective.n_parameters) -> TIER_FLOPS * (4.0 * "
    "objective.n_rows * objective.n_parameters)": "cost: the budget of the second tier of a bound",
    "deletion/_newton_error.py: rows = rows[: int(TIER_FLOPS / (4.0 * "
    "objective.n_rows * objective.n_parameters))]: rows[:int(TIER_FLOPS / (4.0 * "
    "objective.n_rows * objective.n_parameters))] -> rows[:int(TIER_FLOPS / (4.0 * "
    "objective.n_rows * objective.n_parameters)) + 1]": (
        "cost: one more row in the budget of the second tier of a bound"
    ),
    "deletion/_one_step.py: test_side = 2 * (m * K) * (K * q) * (K * q + n): K * q "
    "-> K / q (2)": "cost: for which side predictors are solved; the products are the same",
    "deletion/_one_step.py: training_side = 2 * n * (K * q) * (K * q + m): 2 * n * "
    "(K * q) -> 2 * n / (K * q)": (
        "cost: for which side predictors are solved; the products are the same"
    ),
    "deletion/_one_step.py: training_side = 2 * n * (K * q) * (K * q + m): K * q -> "
    "K / q": "cost: for which side predictors are solved; the products are the same",
    "deletion/_second_order.py: made = float(n_columns) ** 2 * (n_rows + "
    "n_deletions): n_rows + n_deletions -> n_rows": (
        "cost: when a start by quadratic terms is worth its flops; refits end at the same optimum"
    ),
    "deletion/_single_remainder.py: LARGEST = 1e15: 1000000000000000.0 -> "
    "2000000000000000.0": "equivalent: products with either stay far below the 3e38 of float32",
    "deletion/_single_remainder.py: terms = [c[part] for c in self._series[: "
    "max(order, 2) - 1]]: max(order, 2) - 1 -> max(order, 2) + 1": (
        "cost: more terms of a series than the digits that are asked for need"
    ),
    "deletion/_step_errors.py: step = deletion.steps(slice(position, position + "
    "1))[0]: 1 -> 2": "equivalent: one step more is read, the first is taken",
    "deletion/certificate.py: return np.where((zeta < 1.0) & np.isfinite(nu), E, "
    "np.inf): 1.0 -> 2.0": (
        "equivalent: from zeta = 1 on the bound is the logarithm of 0 already, which is inf"
    ),
}
