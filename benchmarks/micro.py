"""Figures that are not a question to a model: compiled kernels against SciPy, the import."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zlib

import numpy as np
from scipy.linalg.blas import dsyrk

from benchmarks.measure import by_turns
from benchmarks.problems import _csr
from skinfluence._parallel import row_blocks


def _scipy_quadratic(X, M):
    """z_i' M z_i by sparse products, in blocks that fit in memory."""
    out = np.empty(X.shape[0])
    for rows in row_blocks(X.shape[0], 8 * X.shape[1], at_most=2048):
        block = X[rows]
        out[rows] = block.multiply(block @ M).sum(axis=1)
    return out


def _scipy_gram(X, w):
    """X' diag(w) X by a sparse product, made dense."""
    return (X.T @ X.multiply(w[:, None]).tocsr()).toarray()


def _dense_gram(X, w):
    """The same through dense blocks and dsyrk."""
    G, root = np.zeros((X.shape[1], X.shape[1]), order="F"), np.sqrt(w)
    for rows in row_blocks(X.shape[0], 8 * X.shape[1], at_most=2048):
        block = X[rows].toarray()
        block *= root[rows, None]
        G = dsyrk(1.0, block.T, beta=1.0, c=G, overwrite_c=1)
    return G


def kernels(quick, clock):
    """Yield (title, our seconds, SciPy's seconds) at two densities."""
    from skinfluence._kernels import csr_row_quadratic, csr_weighted_gram

    n, p = (4000, 500) if quick else (20_000, 2000)
    rng = np.random.default_rng(0)
    M = rng.standard_normal((p, p))
    M, w = M + M.T, rng.random(n)
    for per_row in (100, 20):
        X = _csr(n, p, per_row, rng)
        parts = X.data, X.indices, X.indptr

        def quadratic(parts=parts):
            csr_row_quadratic(*parts, M, False, out := np.empty(n))
            return out

        def gram(parts=parts):
            csr_weighted_gram(*parts, w, False, out := np.zeros((p, p)))
            return out

        np.testing.assert_allclose(quadratic(), _scipy_quadratic(X, M), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(gram(), _scipy_gram(X, w), rtol=1e-9, atol=1e-6)
        ways = [quadratic, lambda X=X: _scipy_quadratic(X, M)]
        ways += [gram, lambda X=X: _scipy_gram(X, w), lambda X=X: np.triu(_dense_gram(X, w))]
        best = by_turns(ways, 5, 60, clock)
        size = f"{n:,} x {p:,} CSR, {per_row} entries a row"
        yield f"row quadratic forms, {size}, against sparse products", best[0], best[1]
        yield f"weighted Gram, {size}, against a sparse product", best[2], best[3]
        yield f"weighted Gram, {size}, against dense blocks and dsyrk", best[2], best[4]


def fingerprints(quick, clock):
    """Yield (title, seconds of the hash of all rows, those of something else) of dense rows."""
    from skinfluence import InfluenceLogisticRegression
    from skinfluence.adapters import TrainingData
    from skinfluence.problem import Fingerprint

    n, p = (20_000, 50) if quick else (200_000, 50)
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((n, p)), rng.standard_normal(p)
    y = (X @ v + rng.logistic(size=n) > 0).astype(int)
    data = TrainingData(X, y, None)
    ways = [lambda: Fingerprint.of(data), lambda: X @ v]
    ways += [lambda: zlib.crc32(X), lambda: hashlib.blake2b(X).digest()]
    ways += [lambda: InfluenceLogisticRegression().fit(X, y)]
    names = ("a product with a vector", "zlib.crc32", "hashlib.blake2b", "the whole fit")
    best = by_turns(ways, 5, 60, clock)
    for name, other in zip(names, best[1:], strict=True):
        yield f"fingerprint of {n:,} x {p}, against {name}", best[0], other


IMPORT = """
import time; a = time.perf_counter(); import sklearn.linear_model
b = time.perf_counter(); import skinfluence; print(b - a, time.perf_counter() - b)
"""

FIRST_KERNEL = """
import time, numpy as np, numba
from skinfluence._kernels import csr_row_quadratic
index, start = np.zeros(1, dtype=np.int32), np.array([0, 1], dtype=np.int32)
a = time.perf_counter()
csr_row_quadratic(np.ones(1), index, start, np.eye(2), False, np.empty(1))
print(time.perf_counter() - a)
"""


def _fresh(code, **environment):
    """What a new process prints, as numbers."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return [float(word) for word in done.stdout.split()]


def import_seconds(repeats):
    """Smallest seconds of `import sklearn.linear_model`, and of `import skinfluence` after it.

    With compiled bytecode, as an installed package has it: the first process writes it.
    """
    with tempfile.TemporaryDirectory() as folder:
        bytecode = {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        runs = np.array([_fresh(IMPORT, **bytecode) for _ in range(1 + repeats)])
    return runs[1:].min(axis=0).tolist()


def first_kernel_seconds():
    """Seconds of the first compiled call in a first and in a second process."""
    with tempfile.TemporaryDirectory() as folder:
        return [_fresh(FIRST_KERNEL, NUMBA_CACHE_DIR=folder)[0] for _ in range(2)]
