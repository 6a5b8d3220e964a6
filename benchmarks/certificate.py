"""`python -m benchmarks.certificate`: what the certificate of a Newton step is worth.

Random problems with heavy-tailed rows and weights. For each of three tiers the share of rows whose
bound is finite, and how many times the true error the bound is, at the median. A second table has
the slope of Newton leave-one-out on exact where there is one column for three rows.
"""

from dataclasses import dataclass

import numpy as np

from skinfluence import InfluenceLogisticRegression
from skinfluence.curvature import DenseCurvature
from skinfluence.deletion import ChordNewton, Exact, NewtonError, OneStep
from skinfluence.design import make_design
from skinfluence.evaluation import agreement
from skinfluence.link import LogLink
from skinfluence.losses import BinaryLogLoss, Loss, MultinomialLogLoss
from skinfluence.objective import Objective
from skinfluence.optimum import polish
from skinfluence.penalties import L2

TIERS = "a priori", "one row of A", "with the residual"
# Errors below this are rounding.
FLOOR = 1e-10
SEEDS = range(334)  # of each loss: a thousand problems in all


class LogLinkPoisson(Loss):
    """l(y, eta) = exp(eta) - y eta: |l'''| = l'', so M = 1. For these tables and tests only."""

    name = "half deviance"
    link = LogLink()
    self_concordance = 1.0

    def _mean(self, eta):
        return np.exp(np.minimum(eta, 200.0))  # finite for every finite eta

    def value(self, y, eta):
        return self._mean(eta) - y * eta

    def gradient(self, y, eta):
        return self._mean(eta) - y

    def curvature(self, y, eta):
        return self._mean(eta) + 0.0 * y

    def third(self, y, eta):
        return self._mean(eta) + 0.0 * y

    def recession_cone_normals(self, y):
        raise NotImplementedError  # penalised problems never ask

    def recession_multipliers(self, y, residual):
        raise NotImplementedError


LOSSES = {
    "logistic": BinaryLogLoss(),
    "softmax, 3 classes": MultinomialLogLoss(3),
    "Poisson": LogLinkPoisson(),
}


def random_objective(loss, seed, n=30):
    """An objective at its optimum: rows of Student's t with 2.5 degrees, exponential weights."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(2, 7))
    X = rng.normal(size=(n, p)) * rng.standard_t(2.5, size=(n, 1))
    if isinstance(loss, LogLinkPoisson):
        X /= np.maximum(1.0, np.abs(X).max(axis=1, keepdims=True) / 3.0)
        y = rng.poisson(np.exp(np.clip(X @ rng.normal(size=p) / np.sqrt(p), -2, 2))).astype(float)
    else:
        K = max(2, loss.n_outputs)
        y = (X @ rng.normal(size=(p, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
        y[: 2 * K] = np.tile(np.arange(K), 2)
        y = y.astype(float) if loss.is_scalar else y
    w = rng.exponential(size=n) + 0.02
    penalty = L2(np.r_[np.full(p, 10.0 ** rng.uniform(-2, 2)), 0.0])
    theta = np.zeros((loss.n_outputs, p + 1))
    start = Objective(loss, make_design(X, True), y, w, penalty, theta)
    return polish(start, max_steps=100, tolerance=1e-12).objective


@dataclass(frozen=True)
class Tiers:
    """Bounds (3, n) of each row's own predictor after its Newton step, and its true error (n,)."""

    bounds: np.ndarray
    error: np.ndarray


def tiers(objective):
    """All three bounds of every row, and the error that refits show."""
    rows = np.arange(objective.n_rows)
    curvature = DenseCurvature(objective)
    newton = OneStep(objective, curvature, rows, corrected=True)
    known = NewtonError(newton)
    metric, M = newton.metric, objective.loss.self_concordance
    chord = ChordNewton(newton, 0.0)
    steps = newton.steps_of(rows).reshape(len(rows), -1)
    gradient, moved, _ = chord.gradient(steps, rows)
    solved = chord.solve(gradient, rows, chord.inverse_rows(rows))
    residual = np.sqrt(np.maximum(np.einsum("ij,ij->i", gradient, solved), 0.0))
    E = np.stack(
        [
            known.distance_by_norms(),
            known.distance_by_predictors(rows),
            metric.distance(residual, M * moved, rows),
        ]
    )
    exact = Exact(objective, curvature, rows, tolerance=1e-12)
    error = objective.loss.predictor_norm(newton.own_change() - exact.own_change())
    return Tiers(E * metric.own_row_norm, error)


def measured(loss, seeds):
    """Bounds and errors of all rows of the problems of some seeds, as one Tiers."""
    found = [tiers(random_objective(loss, seed)) for seed in seeds]
    return Tiers(
        np.concatenate([t.bounds for t in found], axis=1),
        np.concatenate([t.error for t in found]),
    )


def worth(found):
    """For each tier (share of rows with a finite bound, median of bound / error)."""
    real = found.error > FLOOR
    result = []
    for bound in found.bounds:
        finite = np.isfinite(bound)
        used = finite & real
        result.append((finite.mean(), np.median(bound[used] / found.error[used])))
    return result


def table(found):
    """Markdown of `worth` for a dict of measured losses."""
    lines = [f"| bound | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    columns = [worth(tiers_) for tiers_ in found.values()]
    for position, tier in enumerate(TIERS):
        cells = [f"{column[position][0]:.0%}, {column[position][1]:.3g}x" for column in columns]
        lines.append(f"| {tier} | {' | '.join(cells)} |")
    return "\n".join(lines)


def slopes(strengths=(0.01, 1.0, 100.0), n=300, p=100, seed=1):
    """Agreement of Newton with exact leave-one-out changes of the predictor, for each C."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = (0.3 * X @ rng.normal(size=p) + rng.logistic(size=n) > 0).astype(int)
    result = {}
    for C in strengths:
        model = InfluenceLogisticRegression(C=C, solver="newton-cholesky").fit(X, y)
        before = model.decision_function(X)
        exact, newton = (
            model.loo_estimate(method=method).decision_function - before
            for method in ("exact", "newton")
        )
        result[C] = agreement(newton, exact)
    return result


def main():
    """Print both tables."""
    print(table({name: measured(loss, SEEDS) for name, loss in LOSSES.items()}))
    print("\n| C | Newton against exact, n = 300, p = 100 |\n|---|---|")
    for C, figures in slopes().items():
        print(f"| {C:g} | {figures} |")


if __name__ == "__main__":
    main()
