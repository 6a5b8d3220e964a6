"""Recipes: the data of every problem, their optimum, and the file that hands them to a process."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse


@dataclass
class Problem:
    """Training and test rows, and where the fit with this C arrives.

    `coef` and `intercept` are the optimum, for contestants that cannot find it themselves; `rows`
    are the sampled training rows whose refits are known.
    """

    name: str
    X: object
    y: np.ndarray
    X_test: object
    y_test: np.ndarray
    C: float = 1.0
    coef: np.ndarray = None
    intercept: np.ndarray = None
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    @property
    def n_classes(self):
        """Number of labels."""
        return len(np.unique(self.y))

    def shape(self):
        """Sizes in words."""
        n, p = self.X.shape
        classes = f", K = {self.n_classes}" if self.n_classes > 2 else ""
        stored = f", CSR, {self.X.nnz // n} entries a row" if scipy.sparse.issparse(self.X) else ""
        return f"n = {n:,}, p = {p:,}{classes}, n_test = {len(self.y_test):,}{stored}"


def _labels(eta, rng):
    """Labels 0 and 1 with log odds eta."""
    return (rng.random(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(int)


def _binary(name, n, p, m):
    """Gaussian rows, log odds of standard deviation 2."""
    rng = np.random.default_rng(0)
    w = 2.0 * rng.standard_normal(p) / np.sqrt(p)
    X, X_test = rng.standard_normal((n, p)), rng.standard_normal((m, p))
    return Problem(name, X, _labels(X @ w, rng), X_test, _labels(X_test @ w, rng))


def dense(quick):
    """Dense float64, binary."""
    return _binary("dense", *((4000, 100, 100) if quick else (20_000, 300, 500)))


def topk(quick):
    """Many rows and queries, whose influence matrix would take 1.6 GB."""
    return _binary("topk", *((20_000, 50, 200) if quick else (200_000, 100, 1000)))


def digits(quick):
    """scikit-learn's digits, ten classes."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order] / 16.0, y[order]
    return Problem("digits", X[:1500], y[:1500], X[1500:1700], y[1500:1700])


def _csr(n, p, per_row, rng):
    """CSR rows with the same number of distinct Gaussian entries each."""
    # One column from each of `per_row` equal stretches: distinct and sorted.
    width = p // per_row
    indices = rng.integers(0, width, (n, per_row)) + width * np.arange(per_row)
    indptr = np.arange(0, n * per_row + 1, per_row)
    data = rng.standard_normal(n * per_row)
    return scipy.sparse.csr_array((data, indices.ravel(), indptr), shape=(n, p))


def _sparse(name, n, p, per_row, m):
    """Sparse rows, log odds of standard deviation 2."""
    rng = np.random.default_rng(0)
    w = 2.0 * rng.standard_normal(p) / np.sqrt(per_row)
    X, X_test = _csr(n, p, per_row, rng), _csr(m, p, per_row, rng)
    return Problem(name, X, _labels(X @ w, rng), X_test, _labels(X_test @ w, rng))


def sparse(quick):
    """Far more columns than rows, too many of both to factor anything."""
    return _sparse("sparse", *((4000, 20_000, 20, 20) if quick else (20_000, 100_000, 50, 50)))


def sparse_dual(quick):
    """Few enough rows for an n x n factor."""
    return _sparse("sparse-dual", *((1000, 20_000, 20, 20) if quick else (5000, 100_000, 50, 50)))


def sms(quick):
    """Text messages, spam or not: tf-idf of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    folder = os.environ.get("SKINFLUENCE_DATA")
    if not folder:
        raise FileNotFoundError("SKINFLUENCE_DATA names no folder of data sets")
    text = (Path(folder) / "sms_spam" / "SMSSpamCollection.tsv").read_text(encoding="utf8")
    pairs = [line.split("\t", 1) for line in text.splitlines() if "\t" in line]
    pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
    pairs = pairs[:1000] if quick else pairs
    X = TfidfVectorizer(ngram_range=(1, 2)).fit_transform([words for _, words in pairs])
    y = np.array([label == "spam" for label, _ in pairs]).astype(int)
    X = scipy.sparse.csr_array(X)
    return Problem("sms", X[50:], y[50:], X[:50], y[:50])


def _leave_one_out(name, n, p):
    """Rows to leave out; one test row, which nobody asks for."""
    return lambda quick: _binary(name, *((n // 10, p // 2) if quick else (n, p)), 1)


RECIPES = {
    "dense": dense,
    "digits": digits,
    "topk": topk,
    "sparse": sparse,
    "sparse-dual": sparse_dual,
    "sms": sms,
    "loo": _leave_one_out("loo", 5000, 50),
    "loo-large": _leave_one_out("loo-large", 20_000, 100),
    "loo-wide": _leave_one_out("loo-wide", 500, 5000),
    "loo-hard": _leave_one_out("loo-hard", 500, 300),
    "loo-many": _leave_one_out("loo-many", 100_000, 200),
}


def save(problem, folder):
    """Write a problem where another process finds it."""
    for name in ("X", "X_test"):
        matrix = getattr(problem, name)
        if scipy.sparse.issparse(matrix):
            scipy.sparse.save_npz(folder / f"{name}.npz", matrix, compressed=False)
        else:
            np.save(folder / f"{name}.npy", matrix)
    small = {key: getattr(problem, key) for key in ("y", "y_test", "coef", "intercept", "rows")}
    np.savez(folder / "small.npz", name=problem.name, C=problem.C, **small)


def load(folder):
    """Read what `save` wrote."""
    small = dict(np.load(folder / "small.npz"))
    for name in ("X", "X_test"):
        stored = folder / f"{name}.npz"
        small[name] = (
            scipy.sparse.load_npz(stored) if stored.exists() else np.load(folder / f"{name}.npy")
        )
    return Problem(**{**small, "name": str(small["name"]), "C": float(small["C"])})
