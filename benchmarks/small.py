"""The problem "warm": questions to a small fitted model, beside the plain NumPy formula.

And fits with one-step leave-one-out, beside bbai, which computes no leave-one-out without its fit.
"""

from importlib.util import find_spec

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.measure import by_turns
from skinfluence import InfluenceLogisticRegression

CALLS = 20  # of each function between two looks at the clock


def _problem(n, p, m):
    """Two classes, training and test rows."""
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((n, p)), rng.standard_normal((m, p))
    labels = [(Z[:, 0] + rng.standard_normal(len(Z)) > 0).astype(int) for Z in (X, T)]
    return X, labels[0], T, labels[1]


class _Formulas:
    """What one would write in NumPy, given the coefficients: nothing is checked or kept."""

    def __init__(self, model, X, y, T, y_test):
        self.Z, self.T = (np.column_stack([A, np.ones(len(A))]) for A in (X, T))
        self.y, self.y_test = y, y_test
        self.theta = np.append(model.coef_[0], model.intercept_)
        self.penalty = np.diag(np.append(np.ones(X.shape[1]), 0.0))

    def _at_optimum(self):
        """Residuals, weights and the Hessian."""
        p = 1.0 / (1.0 + np.exp(-(self.Z @ self.theta)))
        weight = p * (1.0 - p)
        return p - self.y, weight, self.Z.T @ (weight[:, None] * self.Z) + self.penalty

    def influence(self):
        """First-order influence on the test losses."""
        residual, _, H = self._at_optimum()
        slope = 1.0 / (1.0 + np.exp(-(self.T @ self.theta))) - self.y_test
        return (slope[:, None] * self.T) @ np.linalg.solve(H, (residual[:, None] * self.Z).T)

    def leave_one_out(self):
        """Losses without the own row, by one Newton step (ALO)."""
        residual, weight, H = self._at_optimum()
        a = np.einsum("ij,ij->i", self.Z @ np.linalg.inv(H), self.Z)
        eta = self.Z @ self.theta + a * residual / (1.0 - weight * a)
        return np.logaddexp(0.0, -(2 * self.y - 1) * eta)


def rows(quick):
    """Yield lines of the table."""
    n, p, m = 100, 5, 100
    X, y, T, y_test = _problem(n, p, m)
    model = InfluenceLogisticRegression().fit(X, y)
    plain = _Formulas(model, X, y, T, y_test)
    questions = {
        "influence, first_order": (
            lambda: model.influence(T, y_test, method="first_order"),
            plain.influence,
            6.0,
        ),
        "loo_estimate, newton": (
            lambda: model.loo_estimate(method="newton"),
            plain.leave_one_out,
            10.0,
        ),
    }
    assert np.allclose(questions["influence, first_order"][0](), plain.influence(), atol=1e-10)
    assert np.allclose(model.loo_estimate(method="newton").loss, plain.leave_one_out(), atol=1e-8)
    for name, (ours, formula, bar) in questions.items():
        turns = [_repeated(ours), _repeated(formula)]
        seconds, floor = (each / CALLS for each in by_turns(turns, 3 if quick else 15, 20, "cpu"))
        line = {"problem": "warm", "who": f"{name}, n = {n}, p = {p}, {m} test rows"}
        line |= {"seconds": seconds, "floor_seconds": floor}
        yield line | {"ratio": seconds / floor, "bar": bar}
    for shape in [(569, 30)] if quick else [(569, 30), (2000, 50), (4000, 50), (20_000, 20)]:
        yield _fit_and_leave_one_out(*shape)


def _fit_and_leave_one_out(n, p):
    """A line: fit and one-step leave-one-out over bbai's; which part scikit-learn's own fit is."""
    who = f"fit and loo_estimate, newton, {n:,} x {p}, against bbai"
    if find_spec("bbai") is None:
        return {"problem": "warm", "who": who, "skipped": "bbai is not installed"}
    from bbai.glm import LogisticRegression as Rival

    X, y, _, _ = _problem(n, p, 1)
    ours, rival, solver = InfluenceLogisticRegression(), Rival(C=1.0), LogisticRegression()
    turns = [lambda: ours.fit(X, y).loo_estimate(method="newton").loss]
    turns += [lambda: np.abs(rival.fit(X, y).aloocvs_), lambda: solver.fit(X, y)]
    assert np.allclose(turns[0](), turns[1](), rtol=1e-3, atol=1e-5)
    seconds, floor, alone = by_turns(turns, 15, 10, "cpu")
    line = {"problem": "warm", "who": f"{who}; scikit-learn's fit alone {alone / floor:.2f} x"}
    line |= {"seconds": seconds, "floor_seconds": floor}
    return line | {"ratio": seconds / floor, "bar": 1.5}


def _repeated(function):
    """A function that calls another CALLS times."""

    def repeated():
        for _ in range(CALLS):
            function()

    return repeated
