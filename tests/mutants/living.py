"""Mutants that live, by their names, each with its reason.

"equivalent": no answer changes beyond rounding. "cost": what is computed the same takes another
time or memory. "fault": an answer would be wrong, and no test is worth what it would take to see.
"""

LIVING = {
    "curvature/_base.py: for part in row_blocks(len(free), 4 * 8 * len(bound)):: 8 -> 9": (
        "cost: rows a block"
    ),
    "curvature/_base.py: for part in row_blocks(len(where), 3 * 8 * K * K, "
    "at_most=WEIGHTED_ROWS):: 3 * 8 * K -> 3 * 8 / K": "cost: rows a block",
    "curvature/_cg.py: if n_leading and size > 4 * n_leading:: n_leading and size > 4 * "
    "n_leading -> n_leading or size > 4 * n_leading": (
        "cost: a preconditioner that is H itself where there are few parameters"
    ),
    "curvature/_cg.py: size[size == 0] = 1.0: 1.0 -> 2.0": (
        "equivalent: what a residual of zeros is divided by"
    ),
    "curvature/_cg.py: weakest = along.reshape(K, q).max(axis=0) <= 1e-6 * "
    "along.max(initial=0.0): 0.0 -> 1.0": "cost: which columns are in the preconditioner",
    'curvature/_choose.py: "dual": m * m * per_row + (1.0 if K == 1 else 2.0) * (m * K) ** 3,: m '
    "* K -> m / K": "cost: a count of flops",
    'curvature/_choose.py: "dual": m * m * per_row + (1.0 if K == 1 else 2.0) * (m * K) ** 3,: m '
    "* m -> m / m": "cost: a count of flops",
    "curvature/_choose.py: if 8.0 * 4 * K * q * q > memory_budget():: 8.0 * 4 * K * q -> 8.0 * 4 "
    "* K / q": "cost: memory from which products take another preconditioner",
    "curvature/_choose.py: iteration = 4.0 * objective.design.n_stored * slow + ELEMENTS * "
    "objective.n_rows: 4.0 * objective.design.n_stored * slow -> 4.0 * objective.design.n_stored "
    "/ slow": "cost: a count of flops",
    "curvature/_choose.py: iteration = objective.n_outputs * (4.0 * stored * SPARSE + PASSES * "
    "q): 4.0 * stored * SPARSE + PASSES * q -> 4.0 * stored * SPARSE": "cost: a count of flops",
    'curvature/_choose.py: kind = choose(objective, 1, kept=False).kind if kind == "auto" else '
    "kind: False -> True": "cost: whether a step's factor is in float32",
    'curvature/_choose.py: kind = choose(objective, 1, kept=False).kind if kind == "auto" else '
    "kind: kind == 'auto' -> kind != 'auto'": "cost: whether a step's factor is in float32",
    "curvature/_choose.py: return 2.0 * P * P * (n_solves - own) + own * (2.0 if K == 1 else (K "
    "+ 1.0) / K**2) * P * P: own * (2.0 if K == 1 else (K + 1.0) / K ** 2) -> own / (2.0 if K == "
    "1 else (K + 1.0) / K ** 2)": "cost: a count of flops",
    "curvature/_choose.py: return K * factor_flops(objective.output(0), kind): 0 -> 1": (
        "cost: a count of flops"
    ),
    "curvature/_choose.py: return ROW_ITERATIONS * K * iteration * (n_solves + 8): 8 -> 9": (
        "cost: a count of flops"
    ),
    "curvature/_choose.py: return _gram_flops(objective, m) * K * (K + 1) / 2 + P**3 / 3: 3 -> 4": (
        "cost: a count of flops"
    ),
    "curvature/_choose.py: return m * m * objective.design.n_stored / max(objective.n_rows, 1) + "
    "(m * K) ** 3 / 3: m * m * objective.design.n_stored -> m * m / objective.design.n_stored": (
        "cost: a count of flops"
    ),
    "curvature/_choose.py: return m * m * objective.design.n_stored / max(objective.n_rows, 1) + "
    "(m * K) ** 3 / 3: m * m * objective.design.n_stored / max(objective.n_rows, 1) -> m * m * "
    "objective.design.n_stored * max(objective.n_rows, 1)": "cost: a count of flops",
    "curvature/_choose.py: return pair * n_rows * per_row * per_row: pair * n_rows * per_row * "
    "per_row -> pair * n_rows * per_row / per_row": "cost: a count of flops",
    "curvature/_choose.py: slow = SPARSE if objective.design.has_row_operator else 1.0: 1.0 -> "
    "2.0": "cost: a count of flops",
    "curvature/_dense.py: H[fixed, fixed] = 1.0: 1.0 -> 2.0": (
        "equivalent: rows of the inverse factor that are zeroed, of a condition that has no scale"
    ),
    "curvature/_dense.py: if self.by_rows or (self.objective.n_outputs > 1 and "
    "self._prefers_squares(design)):: self.objective.n_outputs > 1 -> self.objective.n_outputs "
    "<= 1": "cost: which of two ways to the same forms",
    "curvature/_dense.py: return squares < made + n * K * (K + 1) / 2 * float(q) ** 2: K + 1 -> "
    "K - 1": "cost: a count of flops",
    "curvature/_dense.py: return squares < made + n * K * (K + 1) / 2 * float(q) ** 2: n * K -> "
    "n / K": "cost: a count of flops",
    "curvature/_dense.py: squares += 0.0 if triangle else cube / 3: 0.0 -> 1.0": (
        "cost: a count of flops"
    ),
    "curvature/_dense.py: squares += 0.0 if triangle else cube / 3: 3 -> 4": (
        "cost: a count of flops"
    ),
    "curvature/_dense.py: squares = n * len(self.factor) * (q * (K + 1) + 2.0 * K * K): K + 1 -> "
    "K": "cost: a count of flops",
    "curvature/_dual.py: product = self.base_kernel @ R.reshape(len(self.base_kernel), -1): 1 -> "
    "2": "equivalent: any negative number leaves a length of a shape open",
    "curvature/_dual.py: self.factor = cholesky(B, overwrite=True): True -> False": (
        "cost: memory for a second matrix"
    ),
    "curvature/_dual.py: self.largest = float(np.diag(B).max(initial=1.0)): 1.0 -> 2.0": (
        "equivalent: a diagonal is compared with 1e6 and 1e8 only"
    ),
    "curvature/_row_space.py: DIAGONAL = 1e-5: 1e-05 -> 2e-05": "cost: a tolerance, of two digits",
    "curvature/_row_space.py: goal = 0.5 * TOLERANCE / min(reached, 1.0): 0.5 * TOLERANCE / "
    "min(reached, 1.0) -> 0.5 * TOLERANCE * min(reached, 1.0)": (
        "cost: iterations beyond the tolerance, in float64"
    ),
    "curvature/_row_space.py: parts = L * self.scale[:, None], (self.scale**2).reshape(-1, 1): 1 "
    "-> 2": "equivalent: any negative number leaves a length of a shape open",
    "deletion/_joint_chord.py: if objective.n_parameters != self.objective.n_parameters:: "
    "objective.n_parameters != self.objective.n_parameters -> objective.n_parameters == "
    "self.objective.n_parameters": "cost: without a factor at hand the next removal makes its own",
    "deletion/_rounding.py: rounding = ROUNDING * np.maximum(1.0, eta) / np.sqrt(curvature.rcond "
    "or 1.0): 1.0 -> 2.0": "equivalent: a floor of 16 units in the last place or of 32",
    "design/_base.py: return True: True -> False": "cost: whether workers compute, or this process",
    "design/_blocks.py: for i in range(max(0, int(first) - 1), min(int(last), "
    "self.X.n_blocks)):: 1 -> 2": (
        "equivalent: one more block that ends before the rows, and is not read"
    ),
    "design/_csr.py: values = X.data[start:stop].astype(np.float64, copy=False): False -> True": (
        "cost: a copy"
    ),
    "design/_dense.py: buffer = np.empty((parts[0].stop if parts else 0, self.n_features)): 0 -> "
    "1": "equivalent: a buffer where there are no rows",
    "design/_dense.py: edges = np.linspace(0, q, max(1, min(3, q // 16), q // 64) + "
    "1).astype(int): 16 -> 17": "cost: panels of a product",
    "design/_dense.py: if (w < 0).any():: 0 -> 1": (
        "cost: a step's factor in float64, of any weight below 1"
    ),
    "objective/_objective.py: if self._keeps_weights and U.shape[2] > 1:: U.shape[2] > 1 -> "
    "U.shape[2] <= 1": "cost: which of two ways to the same products",
    "objective/_objective.py: size = 8 * self.n_outputs**2: 2 -> 3": "cost: rows a block",
    "objective/_objective.py: size = 8 * self.n_outputs**2: 8 -> 9": "cost: rows a block",
    "objective/_parts.py: PART_BYTES = 2**21: 21 -> 22": "cost: rows a part",
    "uncertainty/_intervals.py: return int(np.ceil((1.0 - level) * (n + 1) * (1.0 - 1e-12))): "
    "1e-12 -> 2e-12": "equivalent: the rounding of a product that is an integer is below either",
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
