"""The problem "search": twenty values of C, by leave-one-out and by folds.

The floor of its rows is GridSearchCV with ten folds, or LogisticRegressionCV, in the same process;
each row says which C it chooses and the log loss of that model on fresh rows.
"""

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from benchmarks.measure import by_turns
from skinfluence import InfluenceLogisticRegression, InfluenceRidge
from skinfluence.model_selection import LeaveOneOutSearchCV, optimize_regularization

CS = np.logspace(-4, 4, 20)
SCORING = "neg_log_loss"


def problem(n=2000, p=50):
    """Gaussian rows and fresh ones, log odds of standard deviation 2."""
    rng = np.random.default_rng(0)
    w = 2.0 * rng.standard_normal(p) / np.sqrt(p)
    X = rng.standard_normal((2 * n, p))
    y = (rng.random(2 * n) < 1.0 / (1.0 + np.exp(-X @ w))).astype(int)
    return X[:n], y[:n], X[n:], y[n:]


def _loo(method, estimator=None):
    """Search of this library."""
    estimator = InfluenceLogisticRegression() if estimator is None else estimator

    def run(X, y):
        search = LeaveOneOutSearchCV(estimator, {"C": CS}, scoring=SCORING, method=method)
        best = search.fit(X, y)
        return best.best_params_["C"], best.best_estimator_

    return run


def _optimize(method):
    """All C between the ends of the grid, by the derivative."""

    def run(X, y):
        best = optimize_regularization(
            InfluenceLogisticRegression(), X, y, bounds=(CS[0], CS[-1]), method=method
        )
        return best.best_value, best.estimator

    return run


def _grid(X, y):
    """Folds by refits, cold."""
    best = GridSearchCV(LogisticRegression(), {"C": CS}, scoring=SCORING, cv=10).fit(X, y)
    return best.best_params_["C"], best.best_estimator_


def _logistic_cv(X, y):
    """Folds by refits, warm along each path."""
    best = LogisticRegressionCV(Cs=CS, scoring=SCORING, cv=10).fit(X, y)
    return float(np.ravel(best.C_)[0]), best


FASTEST = "LeaveOneOutSearchCV, newton"

CONTESTANTS = {
    "LeaveOneOutSearchCV, newton": _loo("newton"),
    "LeaveOneOutSearchCV, newton (LogisticRegression)": _loo("newton", LogisticRegression()),
    "LeaveOneOutSearchCV, auto": _loo("auto"),
    "LeaveOneOutSearchCV, exact": _loo("exact"),
    "optimize_regularization, newton": _optimize("newton"),
    "optimize_regularization, exact": _optimize("exact"),
    "LogisticRegressionCV(cv=10)": _logistic_cv,
    "GridSearchCV(cv=10)": _grid,
}


def _timed(run, X, y, repeats):
    """Smallest CPU seconds, and the answer."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        answer = run(X, y)
        seconds.append(time.process_time() - start)
    return min(seconds), answer


def rows(quick):
    """Yield lines of the table."""
    X, y, X_test, y_test = problem(*((400, 20) if quick else (2000, 50)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # not what is measured
        warnings.simplefilter("ignore", FutureWarning)
        done = {name: _timed(run, X, y, 3) for name, run in CONTESTANTS.items()}
    grid, path = "GridSearchCV(cv=10)", "LogisticRegressionCV(cv=10)"
    for name, (seconds, (C, model)) in done.items():
        loss = log_loss(y_test, model.predict_proba(X_test))
        for rival in (grid, path) if name == FASTEST else (grid,):
            floor = done[rival][0]
            who = f"{name}: C = {C:.3g}, test loss {loss:.4f}; against {rival}"
            line = {"problem": "search", "who": who, "seconds": seconds, "floor_seconds": floor}
            bar = {grid: 0.1, path: 0.5}[rival] if name == FASTEST and not quick else None
            yield line | {"ratio": seconds / floor, "bar": bar}
    yield from _ridge(quick)


def _ridge(quick):
    """Lines of twenty penalties of a ridge against RidgeCV, both by leave-one-out, CPU seconds."""
    alphas = np.logspace(-3, 4, 20)
    for n, p in [(500, 20)] if quick else [(500, 20), (20_000, 100)]:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n, p))
        y = X @ rng.standard_normal(p) / np.sqrt(p) + rng.standard_normal(n)
        search = LeaveOneOutSearchCV(InfluenceRidge(), {"alpha": alphas})
        squared = LeaveOneOutSearchCV(
            InfluenceRidge(), {"alpha": alphas}, scoring="neg_mean_squared_error"
        )
        rival = RidgeCV(alphas=alphas)
        turns = [lambda s=s, X=X, y=y: s.fit(X, y) for s in (search, squared, rival)]
        *ours, theirs = by_turns(turns, 5, 15, "cpu")
        assert squared.best_params_["alpha"] == rival.alpha_
        for scoring, seconds in zip(("r2", "neg_mean_squared_error"), ours, strict=True):
            who = f"LeaveOneOutSearchCV, ridge, {scoring}, n = {n:,}, p = {p}, against RidgeCV"
            line = {"problem": "search", "who": who, "seconds": seconds, "floor_seconds": theirs}
            yield line | {"ratio": seconds / theirs, "bar": 2.0}
