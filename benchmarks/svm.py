"""The problem "svm": fits of the smooth hinge beside scikit-learn's of the hinge, and their use."""

import time
import warnings
from functools import partial

import numpy as np
from scipy.linalg.blas import dgemm
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC, LinearSVC

from benchmarks.measure import by_turns
from skinfluence._parallel import one_thread
from skinfluence.evaluation import agreement
from skinfluence.svm import SmoothHingeSVC


def _linear(n, p):
    """Gaussian rows, log odds of standard deviation 2."""
    rng = np.random.default_rng(0)
    w = 2.0 * rng.standard_normal(p) / np.sqrt(p)
    X = rng.standard_normal((n, p))
    return X, (rng.random(n) < 1.0 / (1.0 + np.exp(-X @ w))).astype(int)


def _round(n, p):
    """Gaussian rows inside and outside of a sphere, with noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    return X, ((X**2).sum(axis=1) + 3.0 * rng.standard_normal(n) > p).astype(int)


def _floor(model, n_test):
    """Cholesky factor of the bending rows' block, and two products with the test rows."""
    objective = model.__fitted_problem__().objective
    m, (n, q) = len(objective.curved_rows), objective.design.shape
    rng = np.random.default_rng(1)
    block = rng.standard_normal((m, m))
    block = block @ block.T + m * np.eye(m)
    Z, S = rng.standard_normal((n, q)), np.asfortranarray(rng.standard_normal((q, n_test)))

    def floor():
        with one_thread():  # which is the faster
            np.linalg.cholesky(block)
        for _ in range(2):
            dgemm(1.0, Z.T, S, trans_a=1)

    return floor


def _influence(model, X_test, y_test):
    """The question, by Newton, from a fitted model with nothing cached."""

    def question():
        model.__dict__.pop("_problem_cache", None)
        return model.influence(X_test, y_test, method="newton")

    return question


def rows(quick):
    """Yield lines of the table."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    n, p = (2000, 50) if quick else (20_000, 200)
    X, y = _linear(n, p)
    fits = [lambda: SmoothHingeSVC().fit(X, y), lambda: LinearSVC(dual=False, tol=1e-8).fit(X, y)]
    yield _line(f"fit, linear, n = {n:,}, p = {p}, against LinearSVC", by_turns(fits, 3, 20), 3.0)
    linear = SmoothHingeSVC().fit(X, y)
    question = _influence(linear, X[:200], y[:200])
    best = by_turns([question, _floor(linear, 200)], 3, 20)
    yield _line("influence of all rows on 200, linear", best, 2.0)

    n, p = (500, 20) if quick else (3000, 20)
    X, y = _round(n, p)
    fits = [lambda: SmoothHingeSVC(kernel="rbf").fit(X, y), lambda: SVC(tol=1e-8).fit(X, y)]
    yield _line(f"fit, rbf, n = {n:,}, p = {p}, against SVC", by_turns(fits, 2, 20), 3.0)
    machine = SmoothHingeSVC(kernel="rbf").fit(X, y)
    question = _influence(machine, X[:200], y[:200])
    best = by_turns([question, _floor(machine, 200)], 2, 20)
    yield _line("influence of all rows on 200, rbf", best, 2.0)
    yield _against_refits(machine, X, y)
    yield _hinge_path(300 if quick else 1000)


def _hinge_path(n):
    """Exact leave-one-out of the true hinge, against libsvm's refits on a kernel matrix at hand.

    libsvm takes no start: what a loop over scikit-learn can keep warm is the kernel. 20 support
    vectors are refitted, to 1e-8, and scaled to all of them; the other rows cost neither a thing.
    """
    X, y = _round(n, 5)
    machine = SmoothHingeSVC(loss="hinge", kernel="rbf", gamma=0.2).fit(X, y)
    K = rbf_kernel(X, gamma=0.2)
    support = np.flatnonzero(machine.dual_coef_[0])
    sample = np.random.default_rng(0).permutation(support)[:20]
    question = partial(machine.loo_estimate, method="exact")
    left, seconds = question(), np.inf
    for _ in range(5):
        start = time.perf_counter()
        question()
        seconds = min(seconds, time.perf_counter() - start)
    refits = np.empty(len(sample))
    start = time.perf_counter()
    for position, row in enumerate(sample):
        keep = np.arange(n) != row
        other = SVC(kernel="precomputed", tol=1e-8).fit(K[np.ix_(keep, keep)], y[keep])
        refits[position] = other.decision_function(K[[row]][:, keep])[0]
    loop = (time.perf_counter() - start) / len(sample) * len(support)
    found = agreement(left.decision_function[sample], refits)
    line = {"problem": "svm", "who": f"exact hinge leave-one-out, rbf, n = {n:,}, against refits"}
    line |= {"seconds": seconds, "floor_seconds": loop, "ratio": seconds / loop, "bar": 0.05}
    return line | {"slope": found.slope, "relative_rmse": found.relative_rmse}


def _line(who, best, bar):
    """A line of two times."""
    line = {"problem": "svm", "who": who, "seconds": best[0], "floor_seconds": best[1]}
    return line | {"ratio": best[0] / best[1], "bar": bar}


def _against_refits(model, X, y):
    """Newton's change of the own margins of 30 rows near the margin, against refits."""
    sample = np.flatnonzero(np.abs(1 - (2 * y - 1) * model.decision_function(X)) < 0.5)[:30]
    start = time.perf_counter()
    exact = model.self_influence(target="margin", method="exact", train_indices=sample)
    refits = time.perf_counter() - start
    start = time.perf_counter()
    newton = model.self_influence(target="margin", method="newton", train_indices=sample)
    seconds = time.perf_counter() - start
    found = agreement(newton, exact)
    line = {"problem": "svm", "who": "own margins of 30 rows, rbf, newton; floor: exact"}
    line |= {"seconds": seconds, "floor_seconds": refits, "ratio": seconds / refits}
    return line | {"slope": found.slope, "relative_rmse": found.relative_rmse}
