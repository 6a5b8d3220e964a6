"""The truth: scikit-learn's own refits without sampled rows, and the losses that follow."""

import numpy as np
import scipy.sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression


def _loss(model, X, y):
    """Log loss of every row."""
    eta = model.decision_function(X)
    if eta.ndim == 1:
        return np.logaddexp(0.0, np.where(y == model.classes_[1], -eta, eta))
    return np.logaddexp.reduce(eta, axis=1) - eta[np.arange(len(y)), y]


def solve(problem):
    """Fit to the last digits that scikit-learn can give; keep the optimum in the problem."""
    if scipy.sparse.issparse(problem.X) or problem.X.shape[1] > problem.X.shape[0]:
        model = LogisticRegression(C=problem.C, solver="newton-cg", tol=1e-9, max_iter=200)
    else:
        model = LogisticRegression(C=problem.C, solver="newton-cholesky", tol=1e-12)
    model.fit(problem.X, problem.y)
    problem.coef, problem.intercept = model.coef_, model.intercept_
    return model


def sample_rows(problem, n_sampled):
    """Some training rows, the same in every run."""
    n = problem.X.shape[0]
    return np.sort(np.random.default_rng(1).choice(n, min(n_sampled, n), replace=False))


def refits(problem, model):
    """Change of the test losses (n_test, r) and of the rows' own (r,) without each of the rows."""
    before, own_before = _loss(model, problem.X_test, problem.y_test), _own(model, problem)
    keep = np.ones(len(problem.y), dtype=bool)
    changes, own = [], []
    for position, row in enumerate(problem.rows):
        keep[row] = False
        # From the optimum of all rows, which is a few Newton steps away.
        without = clone(model).set_params(warm_start=True)
        without.coef_, without.intercept_ = model.coef_.copy(), model.intercept_.copy()
        without.classes_ = model.classes_
        without.fit(problem.X[keep], problem.y[keep])
        keep[row] = True
        changes.append(_loss(without, problem.X_test, problem.y_test) - before)
        own.append((_own(without, problem) - own_before)[position])
    return np.stack(changes, axis=1), np.array(own)


def _own(model, problem):
    """Losses of the sampled rows themselves."""
    return _loss(model, problem.X[problem.rows], problem.y[problem.rows])
