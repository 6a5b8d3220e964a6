"""What is asked of a problem, and how an answer is judged."""

from dataclasses import dataclass, field
from itertools import product

import numpy as np

from tests.fuzz import targets
from tests.fuzz.asking import TooSlow, ask
from tests.fuzz.losses import LD
from tests.fuzz.oracle import ROUNDING as LOSS
from tests.fuzz.oracle import SMALLEST

# Without a bound of its own an answer may be this far off, in units of the largest effect.
TOLERANCE = 1e-6
# Rounding of a difference of two targets, in units of float64.
LOOSE = 1e-4
ROUNDING = 256 * float(np.finfo(float).eps)
# Of the residual of a solve by products, as the library documents it.
CG_TOLERANCE = 1e-10
# Of the coefficients of a refit with a bound, in units of the largest, as the library has it.
REFITTED = 1e-8
WITHOUT_CURVATURE = (
    "loo_estimate",
    "case_deletion_diagnostics",
    "parameter_covariance",
    "prediction_interval",
    "local_influence",
)
METHODS = ("auto", "first_order", "newton", "exact")


def largest(changes):
    """Largest entry of each of some changes (B, ...), NaN left out."""
    return np.abs(np.nan_to_num(changes)).max(axis=tuple(range(1, changes.ndim)), initial=0)


@dataclass(frozen=True)
class Finding:
    """What is wrong with one answer; `kind` is "wrong", "undefined", "crash", "unlike", "leak"."""

    kind: str
    question: str
    detail: str


@dataclass
class Tally:
    """Findings of a problem, and how many of its questions went how."""

    findings: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)
    refusals: list = field(default_factory=list)
    held: list = field(default_factory=list)

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + int(n)

    def find(self, kind, question, detail):
        self.findings.append(Finding(kind, question, detail))
        self.count(kind)


class Judge:
    """Compares answers with an oracle."""

    def __init__(self, problem, tally, announced=False, rounding=0.0):
        self.problem, self.tally, self.announced = problem, tally, announced
        self.rounding = rounding

    def answered(self, question, answer):
        """Whether there is a value; an error that is no sentence is a crash."""
        tally = self.tally
        tally.count("questions")
        for text in answer.leaks:
            tally.find("leak", question, text.splitlines()[0][:160])
        if answer.error is None:
            return True
        text = f"{type(answer.error).__name__}: {answer.error}"
        if isinstance(answer.error, TooSlow):
            tally.find("crash", question, text)
        elif not answer.is_sentence:
            tally.find("crash", question, f"{text[:160]} at {answer.place}")
        else:
            tally.count("refused")
            tally.refusals.append((question, text[:200]))
        return False

    def compare(
        self, question, answer, want, *, rows=None, undefined=None, rounding=None, floor=0.0
    ):
        """Hold an array against the oracle's; `rows` is the axis of the deleted rows.

        `undefined` is a mask along it, `rounding` what float64 may lose, relative to the largest
        effect; inf and NaN in `want` are not compared.
        """
        got = np.asarray(answer.value if hasattr(answer, "value") else answer, dtype=LD)
        want = np.asarray(want, dtype=LD)
        if got.shape != want.shape:
            self.tally.find("wrong", question, f"shape {got.shape}, not {want.shape}")
            return
        error, effect = np.abs(got - want), np.abs(want)
        # Beyond float64's range an answer can only be inf.
        compared = np.isfinite(want) & (effect <= np.finfo(float).max)
        if rows is not None:
            along = [1] * want.ndim
            along[rows] = -1
            lost = np.broadcast_to(undefined.reshape(along), want.shape)
            rounding = np.broadcast_to(rounding.reshape(along), want.shape)
            compared &= ~lost & np.isfinite(rounding)
            said = lost & ~np.isnan(got)
            if said.any():
                where = tuple(int(i) for i in np.argwhere(said)[0])
                self.tally.find(
                    "undefined", question, f"{int(said.sum())} numbers, {float(got[where]):.3g}"
                )
        withheld = compared & np.isnan(got)
        if withheld.any():
            self.tally.count("withheld")
            self.tally.held.append((question, int(withheld.sum())))
        compared &= ~np.isnan(got)
        if not compared.any():
            return
        largest = effect[compared].max()
        floor = np.finfo(float).tiny + np.broadcast_to(np.asarray(floor, dtype=LD), want.shape)
        if rounding is None:
            rounding = np.full(want.shape, self.rounding)
        allowed = np.maximum(TOLERANCE, np.where(compared, rounding, 0)) * largest + floor
        excess = np.where(compared, np.where(np.isnan(error), np.inf, error) - allowed, -np.inf)
        worst = np.unravel_index(int(excess.argmax()), excess.shape)
        if excess[worst] > 0:
            if self.announced or getattr(answer, "is_announced", False):
                self.tally.count("warned")
                return
            self.tally.find(
                "wrong",
                question,
                f"{float(error[worst] / largest) if largest else np.inf:.1e} of the largest effect "
                f"at {tuple(int(i) for i in worst)}: {float(got[worst]):.10g}, not "
                f"{float(want[worst]):.10g} (largest {float(largest):.3g})",
            )
        else:
            self.tally.count("right")


class Questions:
    """All questions to one fitted model, with a choice of targets by the seed."""

    def __init__(self, problem, oracle, view, data, tally, announced):
        self.problem, self.oracle, self.view = problem, oracle, view
        self.data, self.spec = data, oracle.spec
        self.judge = Judge(problem, tally, announced, oracle.rounding)
        self.tally = tally
        self.rng, self.coarse = None, 1.0
        self.rows = [[i] for i in range(oracle.n)]
        self.changes = {}

    def put(self, question):
        """One question, the same whatever was asked before."""
        self.rng = np.random.default_rng([self.problem.seed, *question.encode()])
        # What conjugate gradients leave of a solve, in units of what a factor loses.
        by_products = self.problem.curvature == "cg" and question not in WITHOUT_CURVATURE
        self.coarse = CG_TOLERANCE / LOSS if by_products else 1.0
        with np.errstate(all="ignore"):
            getattr(self, question)()

    # -- the oracle's side -------------------------------------------------------------------------

    def change(self, method, groups=None):
        """Changes of theta without each row (or group), from the oracle, once each."""
        if groups is not None:
            return self.oracle.change(method, groups)
        if method not in self.changes:
            self.changes[method] = self.oracle.change(method, self.rows, joint=False)
        return self.changes[method]

    def found_by(self, method, info, groups=None):
        """Changes of theta as `change`, where "auto" says for each row how it was found.

        A refit is known to its bound, here as a share of what it moves a predictor by; a bound
        that is a larger share than LOOSE says nothing.
        """
        change, undefined, rounding = self._found_by(method, info.method, groups)
        bound = getattr(info, "error_bound", None)
        if bound is not None and method in ("auto", "exact"):
            moved = np.abs(np.einsum("nj,bkj->bnk", self.oracle.objective.Z, change))
            moved = moved.max(axis=(1, 2)) if groups is not None else moved.max(axis=2).diagonal()
            moved = np.maximum(np.nan_to_num(moved).astype(float), SMALLEST)
            share = np.asarray(bound, dtype=float) / moved
            rounding = np.maximum(rounding, np.where(share <= LOOSE, share, 0.0))
        return change, undefined, self.coarse * rounding

    def _found_by(self, method, names, groups):
        if method != "auto":
            return self.change(method, groups)
        if self.problem.damping:
            return self.change("newton", groups)
        change, undefined, rounding = (part.copy() for part in self.change("exact", groups))
        steps = np.asarray(names) == "newton"
        if steps.any():
            step, _, known = self.change("newton", groups)
            change[steps], rounding[steps] = step[steps], known[steps]
        return change, undefined, rounding

    def blurred(self, method, groups=None):
        """Other changes that are as right, once each."""
        method = "newton" if method == "auto" else method
        if groups is not None:
            return self.oracle.blurs(method, groups)
        key = "blurs", method
        if key not in self.changes:
            self.changes[key] = self.oracle.blurs(method, self.rows, joint=False)
        return self.changes[key]

    def effects(self, name, method, change, Z, eta, labels, rounding, groups=None):
        """As `_effects`, with room for what a trained hinge's own margins leave open."""
        effect, smooth, floor = self._effects(name, method, change, Z, eta, labels, rounding)
        for other in self.blurred(method, groups):
            blur = self._effects(name, method, other, Z, eta, labels)[0] - effect
            floor = floor + 3 * np.nan_to_num(np.abs(blur), posinf=0.0)
        return effect, smooth, floor

    def _effects(self, name, method, change, Z, eta, labels, rounding=None):
        """(effects (m, B, outputs), mask (m,) of the test rows that are off a kink, floor).

        `rounding` (B,) is what float64 may lose of the changes: where these are of rounding's size
        and a target is flat, its effects are smaller still.
        """
        spec = self.spec
        moved = np.einsum("mj,bkj->mbk", Z, change)
        if name == "custom":
            function = targets.custom(spec)[1]

            def value(labels, at):
                return function(at)
        else:

            def value(labels, at):
                return targets.value(name, spec, labels, at)

        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            before = value(labels, eta)
            smooth = np.ones(len(eta), dtype=bool)
            if method == "first_order":
                gradient, smooth = self._slope(name, value, labels, eta)
                effect = np.einsum("mok,mbk->mbo", gradient, moved)
                floor = ROUNDING * np.abs(effect)
                if name == "custom":  # the library's are differences in float64
                    floor = floor + 1e-9 * np.abs(moved).max(axis=2, keepdims=True)
            else:
                after = value(labels, eta[:, None] + moved)
                effect = after - before[:, None]
                floor = ROUNDING * (np.abs(after) + np.abs(before[:, None]))
                if rounding is not None:
                    lost = self._lost(change, moved, rounding)
                    for sign in _signs(eta.shape[1]):
                        off = value(labels, eta[:, None] + moved + sign * lost) - after
                        floor = floor + np.nan_to_num(np.abs(off), posinf=0.0)
            floor = floor + self._rounding(name, value, labels, eta)[:, None]
        if name == "poisson_deviance" and getattr(self.spec.loss, "link", None) != "log":
            # Of a mean that rounding leaves above 0 or not the deviance is a number or inf.
            size = np.abs(eta[:, None]) + np.abs(moved)
            lost = np.abs(self.spec.loss.mean(eta[:, None] + moved)) <= ROUNDING * size
            effect = np.where(lost.any(axis=2, keepdims=True), np.nan, effect)
        if name == "zero_one":
            smooth &= self._far_from_a_tie(eta, moved)
        return self._without_ties(name, effect, eta[:, None], moved), smooth, floor

    def _without_ties(self, name, effect, eta, moved):
        """The effects (m, B, outputs), NaN where a vote within rounding of a tie has a part."""
        if not self._counts_votes(name):
            return effect
        decided = True
        for at in (eta, eta + moved):
            size = np.abs(np.nan_to_num(at)).max(initial=0.0) + 1e-300
            decided = decided & ~(np.abs(at) <= 1e-6 * size).any(axis=2, keepdims=True)
        return np.where(decided, effect, np.nan)

    def _counts_votes(self, name):
        """Whether a target is made of the votes of pairs of classes, which jump at 0."""
        if not getattr(self.spec.loss, "pairs", False) or name == "loss":
            return False
        return self.spec.decision_shape != "ovo" or name not in ("decision_function", "custom")

    def _lost(self, change, moved, rounding):
        """What float64 may lose of changes of the predictors, (B, 1)."""
        own = np.einsum("nj,bkj->bnk", self.oracle.objective.Z, change)
        size = max(largest(own).max(initial=0), largest(np.swapaxes(moved, 0, 1)).max(initial=0))
        lost = np.where(np.isfinite(rounding), rounding, 0) * max(size, SMALLEST)
        return np.nan_to_num(lost)[:, None]

    def _slope(self, name, value, labels, eta):
        if name != "custom":
            return targets.slope(name, self.spec, labels, eta)
        step, columns = LD(1e-6), []
        for k in range(eta.shape[1]):
            e = np.zeros_like(eta)
            e[:, k] = step
            columns.append((value(labels, eta + e) - value(labels, eta - e)) / (2 * step))
        return np.stack(columns, axis=2), np.ones(len(eta), dtype=bool)

    def _rounding(self, name, value, labels, eta):
        """What a rounding of the predictor or the response is worth, (m, outputs)."""
        size = np.abs(eta)
        if self.spec.lent is not None:  # its predictors are sums over rows, which may cancel
            size = size + self.oracle.terms.max(initial=0)
        if not self.spec.loss.n_classes:
            y = np.abs(self.spec.loss.encode(labels))
            size = size + np.resize(y.max(axis=1, keepdims=True), eta.shape)
        step, at, found = ROUNDING * size, value(labels, eta), LD(0)
        for sign in (1, -1, (-1) ** np.arange(eta.shape[1]), -((-1) ** np.arange(eta.shape[1]))):
            off = np.nan_to_num(np.abs(value(labels, eta + sign * step) - at))
            found = np.maximum(found, off)
        if not self.spec.loss.n_classes:
            # Deviances are differences: beneath this the oracle has no digit either.
            size = size + np.abs(self.spec.loss.mean(eta)) + 1
            found = found + 64 * np.finfo(LD).eps * (size**2).max(axis=1, keepdims=True)
        return found

    def _far_from_a_tie(self, eta, moved):
        """Mask of the test rows at which no prediction is decided by rounding."""
        at = np.concatenate([eta[:, None], eta[:, None] + moved], axis=1)
        size = np.abs(at).max(axis=(1, 2)) + 1e-300
        if self.spec.loss.n_classes == 2:
            gap = np.abs(at[..., 0])
        else:
            found = targets.scores(self.spec, at)
            top = np.sort(found, axis=-1)
            gap = top[..., -1] - top[..., -2]
            if getattr(self.spec.loss, "pairs", False):
                gap = np.minimum(gap, np.abs(at).min(axis=-1))
        gap = np.where(np.isnan(gap), np.inf, gap)
        return gap.min(axis=1) > 1e-6 * size

    # -- influence ---------------------------------------------------------------------------------

    def _names(self, n):
        names = list(targets.names(self.spec))
        if self.spec.loss.n_classes:
            names.append("custom")
        picked = self.rng.permutation(len(names))[:n]
        return [names[k] for k in picked]

    def _target(self, name):
        return targets.custom(self.spec)[0] if name == "custom" else name

    def _options(self, method):
        options = {"method": method}
        if method != "exact" and self.problem.damping:
            options["damping"] = self.problem.damping
        if self.problem.curvature != "auto":
            options["curvature"] = self.problem.curvature
        return options

    def _with_info(self, question, function):
        """The answer to a question that also says how each row was found; None for an error."""
        answer = ask(function)
        if not self.judge.answered(question, answer):
            return None
        return _Like(answer.value[0], answer, answer.value[1])

    def influence(self):
        for method in METHODS:
            for name in self._names(3):
                if name == "zero_one" and method == "first_order":
                    continue
                self._influence(name, method)

    def _influence(self, name, method):
        data, oracle = self.data, self.oracle
        question = f"influence {method} {name}"
        options = {"target": self._target(name), **self._options(method)}
        labels = None if name in targets.UNLABELLED else data.y_test
        answer = self._with_info(
            question,
            lambda: self.view.influence(data.X_test, labels, return_info=True, **options),
        )
        if answer is None:
            return
        change, undefined, rounding = self.found_by(method, answer.info)
        effect, smooth, floor = self.effects(
            name, method, change, oracle.Z_test, oracle.eta_test, data.codes_test, rounding
        )
        effect = np.where(smooth[:, None, None], effect, np.nan)
        if effect.shape[2] == 1:
            effect, floor = effect[..., 0], floor[..., 0]
        self.judge.compare(
            question, answer, effect, rows=1, undefined=undefined, rounding=rounding, floor=floor
        )
        self._aggregate(question, answer, labels, options, floor)

    def _aggregate(self, question, answer, labels, options, floor):
        """Sums over test rows, and some training rows: the same numbers."""
        if answer.is_announced:
            return
        data, matrix = self.data, np.asarray(answer.value)
        how = ("mean", "sum")[self.rng.integers(2)]
        wanted = matrix.mean(axis=0) if how == "mean" else matrix.sum(axis=0)
        found = ask(lambda: self.view.influence(data.X_test, labels, aggregate=how, **options))
        if self.judge.answered(f"{question} {how}", found):
            size, last = np.abs(matrix).sum(axis=0), np.abs(floor).sum(axis=0)
            self._same(f"{question} {how}", found.value, wanted, size, floor=last)
        if options["method"] == "auto":  # what is refitted depends on what is asked about
            return
        some = self.rng.permutation(self.oracle.n)[: 1 + self.oracle.n // 2]
        found = ask(lambda: self.view.influence(data.X_test, labels, train_indices=some, **options))
        if self.judge.answered(f"{question} some rows", found):
            size = np.abs(np.nan_to_num(matrix)).max(initial=0.0)
            wanted, last = matrix[:, some], floor[:, some]
            self._same(f"{question} some rows", found.value, wanted, size, TOLERANCE, last)

    def _same(self, question, got, want, size, tolerance=1e-8, floor=0.0):
        """Two ways of asking the same, to what the condition of the curvature leaves of it.

        Of solves by products, which end elsewhere in other company, that is the condition times the
        residual that these leave. Test rows that are float32 are read as such.
        """
        tolerance = max(tolerance, 1e-6 if "float32" in self.problem.storage else 0)
        tolerance = max(tolerance, self.coarse * float(self.oracle.rounding))
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            self.tally.find("unlike", question, f"shape {got.shape}, not {want.shape}")
            return
        with np.errstate(invalid="ignore"):
            largest = np.abs(np.nan_to_num(want, posinf=0.0, neginf=0.0)).max(initial=0.0)
            off = np.abs(got - want) > tolerance * np.nan_to_num(size) + 1e-12 * largest + floor
            off &= got != want
        off |= np.isnan(got) != np.isnan(want)
        if off.any() and not self.judge.announced:
            where = tuple(int(i) for i in np.argwhere(off)[0])
            self.tally.find("unlike", question, f"{got[where]:.10g}, not {want[where]:.10g}")
        else:
            self.tally.count("right")

    def self_influence(self):
        data, oracle = self.data, self.oracle
        for method in METHODS:
            name = self._names(1)[0]
            if name == "zero_one" and method == "first_order":
                name = "loss"
            question = f"self_influence {method} {name}"
            options = {"target": self._target(name), **self._options(method)}
            answer = self._with_info(
                question,
                lambda options=options: self.view.self_influence(return_info=True, **options),
            )
            if answer is None:
                continue
            change, undefined, rounding = self.found_by(method, answer.info)
            effect, smooth, floor = self.effects(
                name, method, change, oracle.objective.Z, oracle.eta, data.codes, rounding
            )
            at = np.arange(oracle.n)
            effect = np.where(smooth[:, None], effect[at, at], np.nan)
            floor = floor[at, at]
            if effect.shape[1] == 1:
                effect, floor = effect[:, 0], floor[:, 0]
            self.judge.compare(
                question,
                answer,
                effect,
                rows=0,
                undefined=undefined,
                rounding=rounding,
                floor=floor,
            )

    def most_influential(self):
        """The same numbers as the matrix, in order."""
        data = self.data
        method = METHODS[self.rng.integers(4)]
        names = [name for name in self._names(4) if (name, method) != ("zero_one", "first_order")]
        name = names[0]
        k = int(self.rng.integers(1, self.oracle.n + 1))
        options = {"target": self._target(name), **self._options(method)}
        labels = None if name in targets.UNLABELLED else data.y_test
        question = f"most_influential {method} {name}"
        matrix = ask(lambda: self.view.influence(data.X_test, labels, **options))
        answer = ask(lambda: self.view.most_influential(data.X_test, labels, k=k, **options))
        if not self.judge.answered(question, answer) or matrix.error is not None:
            return
        if answer.is_announced:
            return
        matrix, top = np.asarray(matrix.value), answer.value
        if method == "auto":
            self._candidates(question, name, labels, top)
            return
        up = name in targets.UP
        for kind, rising in (("helpful", not up), ("harmful", up)):
            indices = getattr(top, f"{kind}_indices")
            values = getattr(top, f"{kind}_values")
            ordered = np.sort(np.where(np.isnan(matrix), -np.inf if rising else np.inf, matrix), 1)
            wanted = ordered[:, ::-1][:, :k] if rising else ordered[:, :k]
            wanted = np.where(np.isinf(wanted), np.nan, wanted)
            size = np.abs(np.nan_to_num(matrix)).max(initial=0.0)
            if not (np.isinf(matrix).any()):
                self._same(f"{question} {kind}", values, wanted, size)
            read = np.take_along_axis(matrix, np.maximum(indices, 0), axis=1)
            read = np.where(indices < 0, np.nan, read)
            self._same(f"{question} {kind} indices", values, read, size)

    def _candidates(self, question, name, labels, top):
        """Of "auto" every value is that of a Newton step or of a refit: which depends on the k."""
        found = []
        for method in ("newton", "exact"):
            options = {"target": self._target(name), **self._options(method)}
            answer = ask(lambda o=options: self.view.influence(self.data.X_test, labels, **o))
            if answer.error is not None or answer.is_announced:
                return
            found.append(np.asarray(answer.value))
        size = np.abs(np.nan_to_num(found[1])).max(initial=0.0)
        for kind in ("helpful", "harmful"):
            indices, values = getattr(top, f"{kind}_indices"), getattr(top, f"{kind}_values")
            at = np.maximum(indices, 0)
            newton, exact = (np.take_along_axis(matrix, at, axis=1) for matrix in found)
            nearest = np.where(np.abs(values - newton) < np.abs(values - exact), newton, exact)
            nearest = np.where(indices < 0, np.nan, nearest)
            self._same(f"{question} {kind} candidates", values, nearest, size)

    def parameter_influence(self):
        oracle = self.oracle
        for method in METHODS:
            question = f"parameter_influence {method}"
            answer = ask(lambda m=method: self.view.parameter_influence(**self._options(m)))
            if not self.judge.answered(question, answer):
                continue
            change, undefined, rounding = self.found_by(method, answer.value.info)
            masks = {"undefined": undefined, "rounding": rounding}
            if self.spec.dual is not None:
                self._dual(question, answer, method, change, masks)
                continue
            coef, intercept = oracle.basis.original(change)
            if type(self.spec.loss).__name__ == "Huber":
                coef, intercept = coef[:, :1], intercept[:, :1]
            if self.problem.data == "duplicate columns" and oracle.objective.has_l1:
                continue  # how the two share a coefficient is not unique
            got = answer.value
            gauge = oracle.objective.gauge
            parts = [("coef", got.coef, coef, gauge[0, : coef.shape[2]])]
            if self.problem.intercept:
                parts.append(("intercept", got.intercept, intercept, gauge[:1, -1]))
            for part, found, want, free in parts:
                found = np.asarray(found, dtype=LD).reshape(want.shape)
                if free.any():  # softmax: the same constant for all classes is nothing
                    found = found - found.mean(axis=1, keepdims=True)
                    want = want - want.mean(axis=1, keepdims=True)
                refitted = self._of_refits(method, got.info).reshape(-1, *[1] * (want.ndim - 1))
                floor = self._of_coefficients(part) + refitted + self._of_steps(change, part)
                for other in self.blurred(method):
                    other = oracle.basis.original(other)[part == "intercept"]
                    floor = floor + 3 * np.nan_to_num(np.abs(other - want))
                answer_like = _Like(found, answer)
                self.judge.compare(
                    f"{question} {part}", answer_like, want, rows=0, floor=floor, **masks
                )

    def _of_coefficients(self, part):
        """Rounding of the coefficients, and what moves no predictor by its last digit."""
        coef, intercept = self.oracle.basis.original(self.oracle.theta)
        last = np.finfo(float).eps * self.spec.unit
        if part == "intercept":
            if self.spec.lent is not None and self.spec.intercept_l2:  # such a sum as well
                last = last + 16 * np.finfo(float).eps * self.spec.w.sum() / self.spec.intercept_l2
            return ROUNDING * np.abs(intercept).max(initial=0.0) + last
        widest = np.abs(np.asarray(self.spec.X, dtype=LD)).max(axis=0, initial=0.0)
        last = last / np.where(widest > 0, widest, 1)
        if self.spec.lent is not None:  # a sum over rows, which may cancel
            sums = self.problem.strength * (self.spec.w @ np.abs(self.spec.X))
            last = last + 16 * np.finfo(float).eps * sums
        return ROUNDING * np.abs(coef).max(initial=0.0) + last

    def _of_steps(self, change, part):
        """Last digits of each row's step as it moves predictors, (B, 1, p) or (B, 1).

        Beside a step of 1e29, where one row alone settles an intercept, others have no digit: they
        are what is left of products of that step with the row's own curvature, which cancel.
        """
        moved = np.einsum("nj,bkj->bnk", self.oracle.objective.Z, np.nan_to_num(change))
        last = ROUNDING * np.abs(moved).max(axis=(1, 2), initial=0.0)
        if part == "intercept":
            return last[:, None]
        widest = np.abs(np.asarray(self.spec.X, dtype=LD)).max(axis=0, initial=0.0)
        return last[:, None, None] / np.where(widest > 0, widest, 1)

    def _of_refits(self, method, info):
        """What refits that know a bound leave of their coefficients, (B,); 0 of other methods.

        Beside an intercept of 1 coefficients of 1e-7, of a strong penalty, have no digits to spare.
        """
        oracle = self.oracle
        if method not in ("auto", "exact"):
            return np.zeros(oracle.n)
        coef = oracle.basis.original(oracle.theta)[0]
        centred = np.abs(oracle.theta[:, -1]).max() if self.problem.intercept else 0.0
        away = np.abs(np.asarray(self.spec.X, dtype=LD) - oracle.basis.mean)
        widest = (oracle.w @ away).max(initial=0.0) / oracle.w.sum()
        unit = max(np.abs(coef).max(initial=0.0), centred) / max(1.0, widest)
        refitted = np.isfinite(np.asarray(info.error_bound)) & (np.asarray(info.method) != "newton")
        return REFITTED * unit * refitted

    def _dual(self, question, answer, method, change, masks):
        """Dual coefficients: -g / strength at the moved predictors, the row's own gone."""
        oracle, spec = self.oracle, self.spec
        strength, K, _ = spec.dual
        moved = np.einsum("nj,bkj->bnk", oracle.objective.Z, change)
        coef = np.asarray(answer.value.coef, dtype=LD)
        if coef.ndim == 2:
            coef = coef[:, None]
        elif self.problem.model == "kernel ridge":
            coef = np.swapaxes(coef, 1, 2)  # several targets: scikit-learn has them last
        if spec.lent is not None:
            got = np.einsum("bkn,nj->bjk", coef, K) + np.asarray(
                answer.value.intercept, dtype=LD
            ).reshape(len(change), 1, -1)
            want = moved
        else:
            w = oracle.w[:, None]
            loss, y = spec.loss, oracle.objective.y
            before = -w * loss.gradient(y, oracle.eta) / strength
            after = -w * loss.gradient(y[None], oracle.eta[None] + moved) / strength
            at = np.arange(oracle.n)
            after[at, at] = 0
            want = after - before
            got = np.swapaxes(coef, 1, 2)
            idle = oracle.w == 0
            want[idle] = 0
        # The last digits of sums over the dual coefficients.
        floor = 0.0 if spec.lent is None else ROUNDING * oracle.terms.max(initial=0)
        for other in self.blurred(method):
            other = np.einsum("nj,bkj->bnk", oracle.objective.Z, other)
            floor = floor + 3 * np.nan_to_num(np.abs(other - moved))
        self.judge.compare(
            f"{question} dual", _Like(got, answer), want, rows=0, floor=floor, **masks
        )


def _signs(K):
    """Directions in which K outputs may be off together: all, or of many two."""
    if K <= 4:
        return np.array(list(product((1.0, -1.0), repeat=K)))
    return np.array([[1.0], [-1.0]]) * (-1) ** np.arange(K)


class _Like:
    """Another array of an answer."""

    def __init__(self, value, answer, info=None):
        self.value, self.is_announced, self.info = value, answer.is_announced, info
