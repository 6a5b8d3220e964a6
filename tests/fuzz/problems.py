"""Problems by the seed: rows, responses, weights, and how a model is asked."""

from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import scipy.sparse as sp

DATA = (
    "normal",
    "heavy",
    "integers",
    "binary",
    "duplicate rows",
    "duplicate columns",
    "constant column",
    "exact",
    "powers",
    "saturated",
)
WEIGHTS = ("none", "uniform", "equal", "zeros", "wide")
STORAGE = ("C", "F", "csr", "float32", "csr float32", "frame")
THROUGH = ("model", "pipeline", "explainer")


@dataclass(frozen=True)
class Problem:
    """Settings of one problem; `repr` is its reproduction, `data` does the rest from the seed."""

    model: str
    seed: int = 0
    n: int = 12
    p: int = 2
    m: int = 3
    outputs: int = 1  # classes of a classifier, responses of a regressor
    intercept: bool = True
    strength: float = 1.0  # C, or alpha
    options: tuple = ()  # (name, value) pairs of the estimator's other parameters
    data: str = "normal"
    weights: str = "none"
    shift: float = 0.0  # of the columns, in units of their spread
    scale: str = "one"  # or "wide": columns of 1e-4 to 1e6
    y_scale: float = 1.0
    y_shift: float = 0.0
    labels: str = "int"
    storage: str = "C"
    through: str = "model"
    curvature: str = "auto"
    damping: float = 0.0

    def __repr__(self):
        """Only what is not the default."""
        own = [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if one.name == "model" or getattr(self, one.name) != one.default
        ]
        return f"Problem({', '.join(own)})"

    @property
    def settings(self):
        """The estimator's other parameters."""
        return dict(self.options)

    def but(self, **changes):
        return replace(self, **changes)

    def rng(self, part):
        return np.random.default_rng([self.seed, part])


@dataclass(frozen=True)
class Data:
    """Rows as float64 (n, p), and as they are stored; codes or responses; weights or None."""

    X: object
    X_test: object
    y: np.ndarray
    y_test: np.ndarray
    codes: np.ndarray
    codes_test: np.ndarray
    weights: np.ndarray | None

    @property
    def row_weights(self):
        return np.ones(len(self.y)) if self.weights is None else self.weights


def make_data(problem, response):
    """Data of a problem; `response` is "classes", "real", "counts", "positive" or "nonnegative"."""
    base, base_test = _rows(problem)
    X, X_test = _placed(problem, base), _placed(problem, base_test)
    if response == "classes":
        codes, codes_test = _classes(problem, base, base_test)
        names = np.arange(problem.outputs)
        if problem.labels == "str":
            names = np.array([f"c{k}" for k in names])
        elif problem.labels == "odd":
            names = 2 * names - 1
        y, y_test = names[codes], names[codes_test]
    else:
        y, y_test = _responses(problem, base, base_test, response)
        codes, codes_test = y, y_test
    return Data(
        stored(X, problem.storage),
        stored(X_test, problem.storage),
        y,
        y_test,
        codes,
        codes_test,
        _weights(problem),
    )


def _rows(problem):
    """Rows of unit spread, for training and for testing."""
    rng, n, p, m = problem.rng(0), problem.n, problem.p, problem.m
    X = rng.normal(size=(n + m, p))
    if problem.data == "heavy":
        X *= np.minimum(np.abs(rng.standard_t(2, size=(n + m, 1))), 50.0)
    elif problem.data == "integers":
        X = rng.integers(-2, 3, size=(n + m, p)).astype(float)
    elif problem.data == "binary":
        X = (rng.uniform(size=(n + m, p)) < 0.4).astype(float)
    elif problem.data == "duplicate rows":
        X[:n] = X[np.arange(n) // 2]
    elif problem.data == "duplicate columns" and p > 1:
        X[:, -1] = X[:, 0]
    elif problem.data == "constant column":
        X[:, -1] = 1.0
    elif problem.data == "powers":
        t = np.linspace(-1.0, 1.0, n + m)[rng.permutation(n + m)]
        X = t[:, None] ** np.arange(1, p + 1)
    elif problem.data == "saturated":
        X = np.repeat((rng.uniform(size=(n + m, 1)) < 0.4).astype(float), p, axis=1)
        X[:, 1:] = rng.integers(0, 2, size=(n + m, p - 1))
    return X[:n], X[n:]


def _placed(problem, base):
    """The rows shifted, in units of their spread, and their columns scaled."""
    scale = np.ones(problem.p)
    if problem.scale == "wide":
        scale = 10.0 ** problem.rng(4).uniform(-4, 6, size=problem.p)
    if problem.data == "powers" and problem.shift:
        # Years: the powers are taken of what is far from zero.
        t = base[:, :1] + problem.shift
        return (
            t ** np.arange(1, problem.p + 1) * scale / np.abs(problem.shift) ** np.arange(problem.p)
        )
    shift = np.full(problem.p, problem.shift)
    shift[1::2] = 0.0 if problem.seed % 2 else -shift[1::2]
    return (base + shift) * scale


def _score(problem, base, base_test, width):
    rng = problem.rng(1)
    beta = rng.normal(size=(problem.p, width)) * 10.0 ** rng.uniform(-0.5, 0.5)
    beta /= np.sqrt(problem.p)
    bend = rng.normal(size=width)
    return rng, base @ beta + bend, base_test @ beta + bend


def _classes(problem, base, base_test):
    """Codes, every class at least once where there are rows enough."""
    K = problem.outputs
    rng, score, score_test = _score(problem, base, base_test, K)
    codes = (score + rng.gumbel(size=score.shape)).argmax(axis=1)
    first = rng.permutation(problem.n)[:K]
    codes[first] = np.arange(len(first))
    codes_test = (score_test + rng.gumbel(size=score_test.shape)).argmax(axis=1)
    if problem.data == "saturated":
        codes = np.where(base[:, 0] > 0, K - 1, codes)
        codes[first] = np.arange(len(first))
    return codes, codes_test


def _responses(problem, base, base_test, response):
    width = max(1, problem.outputs)
    rng, score, score_test = _score(problem, base, base_test, width)
    found = []
    for eta in (score, score_test):
        if response == "real":
            noise = 0.0 if problem.data == "exact" else 0.6
            y = eta + noise * rng.standard_t(4, size=eta.shape)
            y = problem.y_scale * (y + problem.y_shift)
        else:
            mu = np.exp(np.clip(eta, -4.0, 4.0))
            if response == "positive":
                y = problem.y_scale * mu * rng.gamma(2.0, 0.5, size=eta.shape) + 1e-3
            elif response == "counts":
                y = rng.poisson(mu).astype(float)
            else:
                size = None if problem.data == "exact" else eta.shape
                noise = rng.gamma(2.0, 0.5, size=size)
                y = np.where(rng.uniform(size=eta.shape) < 0.3, 0.0, mu * noise)
                y = problem.y_scale * y
        found.append(y[:, 0] if width == 1 else y)
    return found


def _weights(problem):
    rng, n = problem.rng(2), problem.n
    if problem.weights == "none":
        return None
    if problem.weights == "equal":
        return np.full(n, 2.5)
    if problem.weights == "wide":
        return 10.0 ** rng.uniform(-6, 6, size=n)
    w = rng.uniform(0.3, 2.5, size=n)
    if problem.weights == "zeros":
        w[rng.permutation(n)[: max(1, n // 4)]] = 0.0
    return w


def stored(X, storage):
    """X in a format."""
    if storage == "F":
        return np.asfortranarray(X)
    if storage.startswith("csr"):
        X = sp.csr_array(np.where(np.abs(X) > 0.3 * np.abs(X).mean(), X, 0.0))
        return X.astype(np.float32) if "float32" in storage else X
    if storage == "float32":
        return X.astype(np.float32)
    if storage == "frame":
        import pandas as pd

        return pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])
    return X


def dense(X):
    """Rows as an exact float64 array."""
    X = X.toarray() if sp.issparse(X) else X
    return np.asarray(X, dtype=np.float64)


def as_settings(problem):
    """The problem as a dictionary that `Problem(**...)` takes."""
    return asdict(problem)
