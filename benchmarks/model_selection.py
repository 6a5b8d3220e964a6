"""`python -m benchmarks.model_selection`: twenty values of C, by leave-one-out and by folds.

One line a contestant: seconds (the median of `--repeats`), how many times that is what the fastest
search here takes, the C it chooses and the log loss of that model on fresh rows.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from skinfluence import InfluenceLogisticRegression
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


CONTESTANTS = {
    "LeaveOneOutSearchCV, newton": _loo("newton"),
    "LeaveOneOutSearchCV, newton (LogisticRegression)": _loo("newton", LogisticRegression()),
    "LeaveOneOutSearchCV, auto": _loo("auto"),
    "LeaveOneOutSearchCV, exact": _loo("exact"),
    "optimize_regularization, newton": _optimize("newton"),
    "optimize_regularization, exact": _optimize("exact"),
    "LogisticRegressionCV(Cs=20, cv=10)": _logistic_cv,
    "GridSearchCV(cv=10)": _grid,
}


def _timed(run, X, y, repeats):
    """Median seconds, and the answer."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = run(X, y)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), answer


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_selection")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    X, y, X_test, y_test = problem(arguments.rows, arguments.columns)
    warnings.simplefilter("ignore", ConvergenceWarning)  # not what is measured
    warnings.simplefilter("ignore", FutureWarning)
    table = {name: _timed(run, X, y, arguments.repeats) for name, run in CONTESTANTS.items()}
    fastest = min(seconds for name, (seconds, _) in table.items() if "Search" in name)
    print(f"20 values of C, n = {len(X):,}, p = {X.shape[1]}, scored by {SCORING}")
    print(f"{'contestant':50s} {'seconds':>8s} {'ratio':>7s} {'C':>9s} {'test loss':>10s}")
    for name, (seconds, (C, model)) in table.items():
        loss = log_loss(y_test, model.predict_proba(X_test))
        print(f"{name:50s} {seconds:8.3f} {seconds / fastest:7.1f} {C:9.4g} {loss:10.5f}")


if __name__ == "__main__":
    main()
