"""Questions about groups, leave-one-out predictions, scores, diagnostics and covariances."""

import numpy as np
from sklearn import metrics

from tests.fuzz import diagnostics, targets
from tests.fuzz.asking import ask
from tests.fuzz.losses import LD
from tests.fuzz.oracle import POLISHED
from tests.fuzz.questions import METHODS, ROUNDING, Questions, _Like

SCORES_OF_CLASSIFIERS = (
    "accuracy",
    "balanced_accuracy",
    "neg_log_loss",
    "neg_brier_score",
    "roc_auc",
)
SCORES_OF_REGRESSORS = ("r2", "neg_mean_squared_error", "neg_mean_absolute_error")


class PooledQuestions(Questions):
    """More of them."""

    # -- groups ------------------------------------------------------------------------------------

    def _groups(self):
        """Some groups: random ones, a pair, one row, all rows but one, all."""
        n, rng = self.oracle.n, self.rng
        groups = [rng.permutation(n)[: rng.integers(1, n + 1)] for _ in range(2)]
        groups += [np.array([rng.integers(n)]), np.arange(n)]
        if n > 2:
            groups += [rng.permutation(n)[:2], rng.permutation(n)[: n // 2]]
        return [np.sort(group) for group in groups]

    def group_influence(self):
        data, oracle = self.data, self.oracle
        groups = self._groups()
        for method in METHODS:
            name = self._names(1)[0]
            if name == "zero_one" and method == "first_order":
                name = "loss"
            question = f"group_influence {method} {name}"
            options = {"target": self._target(name), **self._options(method)}
            labels = None if name in targets.UNLABELLED else data.y_test
            answer = self._with_info(
                question,
                lambda options=options, labels=labels: self.view.group_influence(
                    groups, data.X_test, labels, return_info=True, **options
                ),
            )
            if answer is None:
                continue
            change, undefined, rounding = self.found_by(method, answer.info, groups)
            test = oracle.Z_test, oracle.eta_test, data.codes_test
            effect, smooth, floor = self.effects(name, method, change, *test, rounding, groups)
            effect = np.where(smooth[:, None, None], effect, np.nan)
            if effect.shape[2] == 1:
                effect, floor = effect[..., 0], floor[..., 0]
            self.judge.compare(
                question,
                answer,
                effect,
                rows=1,
                undefined=undefined,
                rounding=rounding,
                floor=floor,
            )

    # -- leave one out -----------------------------------------------------------------------------

    def loo_estimate(self):
        for method in METHODS:
            question = f"loo_estimate {method}"
            answer = ask(lambda m=method: self.view.loo_estimate(method=m))
            if self.judge.answered(question, answer):
                self._estimate(question, answer, method, self.rows)
        labels = self.rng.integers(0, max(2, self.oracle.n // 2), size=self.oracle.n)
        groups = [np.flatnonzero(labels == label) for label in labels]
        for method in METHODS:
            question = f"loo_estimate groups {method}"
            answer = ask(lambda m=method: self.view.loo_estimate(method=m, groups=labels))
            if self.judge.answered(question, answer):
                self._estimate(question, answer, method, groups)

    def _estimate(self, question, answer, method, groups):
        oracle, found = self.oracle, answer.value
        own = None if groups is self.rows else groups
        change, undefined, rounding = self.found_by(method, found, own)
        masks = {"undefined": undefined, "rounding": rounding}
        Z = oracle.objective.Z
        moved = np.einsum("nj,nkj->nk", Z, change)
        blur = np.zeros_like(moved)
        for other in self.blurred(method, own):
            other = np.einsum("nj,nkj->nk", Z, other)
            blur = np.maximum(blur, 3 * np.nan_to_num(np.abs(other - moved)))
        masks["blur"] = blur
        eta = oracle.eta + moved
        said = found.method == "undefined"
        if (said != undefined).any() and (undefined & ~said).any():
            row = int(np.flatnonzero(undefined & ~said)[0])
            self.tally.find("undefined", question, f"row {row} is called {found.method[row]!r}")
        got = np.asarray(found.decision_function, dtype=LD).reshape(oracle.n, -1)
        want = eta
        if self.spec.loss.n_classes and self.spec.decision_shape != "ovo":
            want = targets.scores(self.spec, eta)
        certain = np.ones(oracle.n, dtype=bool)
        if getattr(self.spec.loss, "pairs", False):  # a vote within rounding of a tie
            certain = np.abs(np.nan_to_num(eta, nan=1.0)).min(axis=1) > 1e-6 * np.nanmax(
                np.abs(eta), initial=0.0
            )
        rounding = masks["rounding"] = np.where(certain, rounding, np.inf)
        blur = masks.pop("blur")
        if blur.any():  # read through votes or a loss by as much
            near = (blur <= 1e-7 * np.nanmax(np.abs(moved), initial=0.0)).all(axis=1)
            masks["rounding"] = np.where(near, rounding, np.inf)
        idle = np.array([not (oracle.w[group] > 0).any() for group in groups])
        self._predictors(question, answer, got, want, eta, idle, masks, method)
        self._bounds(question, found, got, eta, masks)
        self._losses(question, answer, eta, masks, method)

    def _predictors(self, question, answer, got, want, eta, idle, masks, method):
        """Decision values, as changes: what the row itself does to them."""
        before = self.oracle.eta
        if want is not eta:
            before = targets.scores(self.spec, before)
        terms = self.oracle.terms.max(axis=1)
        # Under an L1 penalty a fit is an optimum to the tolerance of its polish.
        fitted = POLISHED if self.oracle.objective.has_l1 else ROUNDING
        floor = fitted * (np.resize(terms, before.T.shape).T + np.abs(want))
        if not self.spec.loss.n_classes:
            y = np.abs(self.oracle.objective.y).max(axis=1, keepdims=True)
            floor = floor + ROUNDING * np.resize(y, floor.shape)
        else:
            floor = floor + np.finfo(float).eps  # of margins, whose unit is 1
        floor = np.maximum(floor, self._allowed(answer.value, method))
        # Without rows of weight 0 the model is the fit, which ends at a small gradient.
        floor = np.maximum(floor, idle[:, None] * self.oracle.polish)
        if method in ("first_order", "newton"):  # a step from the fit, wherever that has ended
            unpolished = self.oracle.unpolished.max(axis=1)
            floor = np.maximum(floor, np.resize(unpolished, before.T.shape).T)
        if self.oracle.objective.gauge.any():
            got, want = (part - part.mean(axis=1, keepdims=True) for part in (got, want))
            before = before - before.mean(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            effect, change = want - before, got - before
        self.judge.compare(
            f"{question} decision", _Like(change, answer), effect, rows=0, floor=floor, **masks
        )

    def _bounds(self, question, found, got, eta, masks):
        """A finite bound is never exceeded by the distance to the refit."""
        if "groups" in question or getattr(self.spec.loss, "pairs", False):
            return
        change, undefined, rounding = self.change("exact")
        refit = self.oracle.eta + np.einsum("nj,nkj->nk", self.oracle.objective.Z, change)
        bound = np.asarray(found.error_bound, dtype=LD)
        off = got - refit
        if type(self.spec.loss).__name__ == "Softmax":
            error = off.max(axis=1) - off.min(axis=1)
        else:
            error = np.abs(off).max(axis=1)
        wanted = np.isfinite(bound + rounding + masks["rounding"] + error) & ~undefined
        self.tally.count("bounds", wanted.sum())
        over = wanted & (error > bound)
        if over.any():
            row = int(np.flatnonzero(over)[0])
            self.tally.find(
                "bound",
                question,
                f"row {row} ({found.method[row]}): error {float(error[row]):.2e} > bound "
                f"{float(bound[row]):.2e}; {int(over.sum())} of {int(wanted.sum())}",
            )

    @staticmethod
    def _allowed(found, method):
        """Bounds (n, 1) of the predictors of a method that refits, 0 where there are none."""
        bound = np.asarray(found.error_bound, dtype=LD)[:, None]
        return np.where(np.isfinite(bound) & (method in ("auto", "exact")), bound, 0)

    def _losses(self, question, answer, eta, masks, method):
        """Losses, predictions and means of the leave-one-out predictors."""
        oracle, spec, found = self.oracle, self.spec, answer.value
        bound = self._allowed(found, method)
        # A fitted predictor and its change may cancel: the last digits of the one are in the other.
        fitted = np.abs(oracle.eta) * diagnostics.magnification(oracle)[:, None]
        bound = np.maximum(bound, ROUNDING * (fitted + np.abs(np.nan_to_num(eta - oracle.eta))))
        if spec.lent is not None:  # its predictors are sums over rows, which may cancel
            bound = np.maximum(bound, ROUNDING * oracle.terms.max(axis=1, keepdims=True))

        def width(function):
            """How far a function of the predictors moves within their bounds."""
            at = np.where(np.isnan(eta), 1, eta)
            up, down = function(at + bound), function(at - bound)
            return np.nan_to_num(np.abs(up - down))

        y = oracle.objective.y
        safe = np.where(np.isnan(eta), 1, eta)
        loss = np.where(np.isnan(eta).any(axis=1), np.nan, spec.loss.value(y, safe))
        floor = (
            ROUNDING * np.abs(np.nan_to_num(loss))
            + self._rounding(
                "loss", lambda labels, at: spec.loss.value(y, at)[:, None], self.data.codes, safe
            )[:, 0]
            + width(lambda at: spec.loss.value(y, at))
        )
        self.judge.compare(
            f"{question} loss", _Like(found.loss, answer), loss, rows=0, floor=floor, **masks
        )
        if not spec.loss.n_classes:
            mean = spec.loss.mean(eta)
            got = np.asarray(found.prediction).reshape(mean.shape)
            floor = width(spec.loss.mean)
            like = _Like(got, answer)
            self.judge.compare(f"{question} prediction", like, mean, rows=0, floor=floor, **masks)
        elif spec.has_probabilities:
            p = targets.probabilities(spec, eta)
            floor = width(lambda at: targets.probabilities(spec, at))
            like = _Like(found.predict_proba, answer)
            self.judge.compare(f"{question} probabilities", like, p, rows=0, floor=floor, **masks)
        w = self.data.row_weights
        got = np.asarray(found.loss)
        used = ~np.isnan(got) & (w > 0)
        mean = np.average(got[used], weights=w[used]) if used.any() else np.nan
        self._same(f"{question} mean", found.mean_loss, mean, abs(mean))

    # -- scores ------------------------------------------------------------------------------------

    def score_influence(self):
        spec, data, oracle = self.spec, self.data, self.oracle
        known = SCORES_OF_CLASSIFIERS if spec.loss.n_classes else SCORES_OF_REGRESSORS
        scoring = known[self.rng.integers(len(known))]
        if not spec.has_probabilities and scoring in ("neg_log_loss", "neg_brier_score"):
            scoring = "accuracy"
        if spec.loss.n_classes > 2 and scoring in ("roc_auc", "neg_brier_score"):
            scoring = "accuracy"
        if spec.loss.n_classes and len(np.unique(data.codes_test)) < spec.loss.n_classes:
            scoring = "accuracy"  # others are not defined, or warn
        method = METHODS[self.rng.integers(4)]
        question = f"score_influence {method} {scoring}"
        options = {"scoring": scoring, "return_info": True, **self._options(method)}
        answer = self._with_info(
            question, lambda: self.view.score_influence(data.X_test, data.y_test, **options)
        )
        if answer is None:
            return
        change, undefined, rounding = self.found_by(method, answer.info)
        moved = np.einsum("mj,bkj->mbk", oracle.Z_test, change)
        eta = oracle.eta_test
        counted = scoring in ("accuracy", "balanced_accuracy")
        if counted and not self._far_from_a_tie(eta, moved).all():
            return
        before = self._score(scoring, eta)
        want = np.full(oracle.n, np.nan, dtype=LD)
        for b in np.flatnonzero(~undefined):
            after = eta + moved[:, b]
            if scoring == "roc_auc" and self._nearly_tied(after):
                continue
            want[b] = self._score(scoring, after) - before
        if scoring == "roc_auc" and self._nearly_tied(eta):
            return
        floor = ROUNDING * max(1.0, abs(float(before)))
        self.judge.compare(
            question, answer, want, rows=0, undefined=undefined, rounding=rounding, floor=floor
        )

    @staticmethod
    def _nearly_tied(eta):
        ordered = np.sort(eta[:, 0])
        return bool((np.diff(ordered) < 1e-6 * (np.abs(ordered).max() + 1e-300)).any())

    def _score(self, scoring, eta):
        """The metric at predictors (m, K); in long double where it is no count."""
        spec, codes = self.spec, self.data.codes_test
        K = spec.loss.n_classes
        if K:
            label = targets.predicted(spec, eta)
            if scoring == "accuracy":
                return LD((label == codes).mean())
            if scoring == "balanced_accuracy":
                return LD(metrics.balanced_accuracy_score(codes, label))
            if scoring == "roc_auc":
                return LD(metrics.roc_auc_score(codes, np.asarray(eta[:, 0], dtype=float)))
            p = targets.probabilities(spec, eta)
            if scoring == "neg_brier_score":
                return -((p[:, 1] - codes) ** 2).mean()
            own = p[np.arange(len(codes)), codes]
            eps = float(np.finfo(float).eps)
            return np.log(np.clip(own, eps, 1 - eps)).mean()
        mean = spec.loss.mean(eta)
        y = np.asarray(self.data.codes_test, dtype=LD).reshape(mean.shape)
        if scoring == "neg_mean_absolute_error":
            return -np.abs(y - mean).mean()
        if scoring == "neg_mean_squared_error":
            return -((y - mean) ** 2).mean()
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        return (1 - ((y - mean) ** 2).sum(axis=0) / total).mean()

    # -- what statisticians ask --------------------------------------------------------------------

    def case_deletion_diagnostics(self):
        question = "case_deletion_diagnostics"
        answer = ask(self.view.case_deletion_diagnostics)
        if not self.judge.answered(question, answer):
            return
        found = answer.value
        if type(found).__name__ == "LeverageBlocks":
            blocks = diagnostics.leverage_blocks(self.oracle)
            self.judge.compare(f"{question} leverage", _Like(found.leverage, answer), blocks)
            return
        want = diagnostics.of_rows(self.oracle, self.problem)
        undefined = self.oracle.undefined(self.rows)
        alone = diagnostics.is_alone(self.oracle)
        for name, values in want.items():
            got = np.asarray(getattr(found, name))
            if values.ndim == 0:
                self.judge.compare(f"{question} {name}", _Like(got, answer), values)
                continue
            lost = (undefined | alone) if name in diagnostics.OF_DELETION else np.zeros_like(alone)
            self.judge.compare(
                f"{question} {name}",
                _Like(got, answer),
                values,
                rows=0,
                undefined=lost,
                rounding=diagnostics.rounding(name, self.oracle, want),
                floor=diagnostics.floor(name, self.oracle),
            )

    def parameter_covariance(self):
        if self.spec.dual is not None or self.spec.lent is not None:
            return
        if self.problem.data == "duplicate columns" and self.oracle.objective.has_l1:
            return
        kind = ("HC0", "HC1", "HC3", "jackknife", "CR0", "CR3")[self.rng.integers(6)]
        options = {}
        if kind.startswith("CR"):
            options["groups"] = self.rng.integers(0, 3, size=self.oracle.n)
        question = f"parameter_covariance {kind}"
        answer = ask(lambda: self.view.parameter_covariance(kind, **options))
        if not self.judge.answered(question, answer):
            return
        want, lost, is_known = diagnostics.covariance(self.oracle, kind, options.get("groups"))
        if is_known:
            got = np.asarray(answer.value.matrix, dtype=LD)
            got, want = (diagnostics.without_gauge(self.oracle, part) for part in (got, want))
            spread = np.sqrt(np.maximum(np.diag(want), 0))
            spread = np.where(spread > 0, spread, 1)
            both = spread[:, None] * spread[None]
            # Of sums of products of steps, each of which is right to its rounding.
            steps = diagnostics.floor_of_steps(self.oracle, kind not in ("HC0", "HC1", "CR0"))
            last = np.sqrt((steps**2).sum(axis=0)) + lost
            floor = (np.outer(last, spread) + np.outer(spread, last) + np.outer(last, last)) / both
            rounding = np.full(want.shape, 2 * self.oracle.rounding)
            self.judge.compare(
                question, _Like(got / both, answer), want / both, rounding=rounding, floor=floor
            )

    def prediction_interval(self):
        if self.spec.loss.n_classes:
            return
        alpha = float(self.rng.choice([0.1, 0.3, 0.5]))
        method = ("jackknife+", "jackknife", "jackknife-minmax")[self.rng.integers(3)]
        question = f"prediction_interval {method}"
        answer = ask(lambda: self.view.prediction_interval(self.data.X_test, alpha, method=method))
        if not self.judge.answered(question, answer):
            return
        change, undefined, rounding = self.change("exact")
        live = self.oracle.w > 0
        if undefined[live].any() or not np.isfinite(rounding[live]).all():
            return
        want = diagnostics.interval(self.oracle, change[live], live, alpha, method)
        got = np.asarray(answer.value, dtype=LD).reshape(want.shape)
        middle = np.asarray(self.spec.loss.mean(self.oracle.eta_test))[:, None]
        with np.errstate(invalid="ignore"):
            same = np.isinf(got) & (got == want)
            got = np.where(same, 0, got - middle)
            want = np.where(same, 0, want - middle)
        moved = np.einsum("mj,bkj->mbk", self.oracle.Z_test, change)
        lost = self._lost(change[live], moved[:, live], rounding[live]).max(initial=0)
        floor = ROUNDING * np.abs(middle) + 2 * self._width_of(lost)
        self.judge.compare(question, _Like(got, answer), want, floor=floor)

    def _width_of(self, lost):
        """How far predictions at the test rows move when predictors do by so much, (m, 1, K)."""
        mean, eta = self.spec.loss.mean, self.oracle.eta_test
        up, down = (np.abs(mean(eta + sign * lost) - mean(eta)) for sign in (1, -1))
        return np.maximum(up, down)[:, None]

    def local_influence(self):
        if (
            self.spec.dual is not None
            or self.spec.lent is not None
            or self.oracle.objective.has_l1
            or self.spec.loss.K > 1
        ):
            return
        question = "local_influence weights"
        answer = ask(lambda: self.view.local_influence("weights"))
        if not self.judge.answered(question, answer):
            return
        want = diagnostics.local_weights(self.oracle)
        if want is not None:
            got = np.asarray(answer.value.row_curvature, dtype=LD)
            h, quadratic, _ = diagnostics.leverages(self.oracle)
            steep = (h / np.maximum(quadratic, 1e-300)).max()
            # Of slopes that are 0: predictors are right to the fit's tolerance, or to rounding.
            off = max(self.oracle.polish, 1e-12 * np.abs(self.oracle.eta).max())
            floor = max(ROUNDING, off * steep) ** 2 * quadratic.max()
            self.judge.compare(question, _Like(got, answer), want, floor=floor)
