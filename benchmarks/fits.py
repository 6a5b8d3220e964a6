"""The problem "fits": fits beside scikit-learn's own, what they reach, and the first question.

CPU seconds. `python -m benchmarks.fits` also runs Koh & Liang's softmax on all of MNIST (a quarter
of an hour), where SKINFLUENCE_DATA names a folder that has it.
"""

import os
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from benchmarks.measure import by_turns, peak_of
from benchmarks.svm import _round
from skinfluence import InfluenceLogisticRegression
from skinfluence.kernel_models import KernelLogisticRegression
from skinfluence.svm import SmoothHingeSVC


def _softmax(n, p, n_classes):
    """Gaussian rows, labels of a softmax with logits of standard deviation 2."""
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((n, p)), rng.standard_normal((p, n_classes)) * 2 / np.sqrt(p)
    return X, (X @ W + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def _seconds(function):
    """(CPU seconds, result) of one call."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def _fit(who, ours, theirs, X, y, bar):
    """A line: a fit over another one, by turns."""
    best = by_turns([lambda: ours.fit(X, y), lambda: theirs.fit(X, y)], 3, 30, "cpu")
    reached = ours.__optimum_record__().stationarity
    who = f"fit, {who}, {X.shape[0]:,} x {X.shape[1]:,}: relative gradient {reached:.0e}"
    line = {"problem": "fits", "who": who, "seconds": best[0], "floor_seconds": best[1]}
    return line | {"ratio": best[0] / best[1], "bar": bar}


def _mnist(n):
    """Koh & Liang's rows of MNIST, with their penalty, and their test row."""
    folder = os.environ.get("SKINFLUENCE_DATA")
    if folder is None or not Path(folder, "mnist", "mnist.npz").exists():
        return None
    data = np.load(Path(folder, "mnist", "mnist.npz"))
    rows = slice(5000, 5000 + n)
    X, y = data["x_train"][rows].reshape(n, -1) / 255.0, data["y_train"][rows]
    return X, y, data["x_test"][8:9].reshape(1, -1) / 255.0, data["y_test"][8:9]


def softmax_of_images(n, method, bar):
    """A line: fit and first question together, over scikit-learn's fit; or that MNIST is missing.

    The peak is that of the question. The relative RMSE is that of an answer by first order against
    the same by the dense factor, if n is small; newton takes that factor itself.
    """
    line = {"problem": "fits", "who": f"softmax, MNIST {n:,} x 784, fit and one test row, {method}"}
    found = _mnist(n)
    if found is None:
        return line | {"skipped": "set SKINFLUENCE_DATA to a folder with mnist/mnist.npz"}
    X, y, *test = found
    options = {"C": 1 / (0.01 * n), "fit_intercept": False, "max_iter": 1000}
    floor, _ = _seconds(lambda: LogisticRegression(**options).fit(X, y))
    fit, model = _seconds(lambda: InfluenceLogisticRegression(**options).fit(X, y))
    ask = partial(model.influence, *test, method=method)
    (question, answer), peak = peak_of(lambda: _seconds(ask))
    line["who"] += f": the fit {fit / floor:.1f} x of it"
    line |= {"seconds": fit + question, "floor_seconds": floor, "bar": bar}
    line |= {"peak_bytes": peak, "peak_bar": None if bar is None else 1200.0}
    if n <= 5000 and method == "first_order":
        truth = model.influence(*test, method=method, curvature="dense")
        line["relative_rmse"] = float(np.sqrt(((answer - truth) ** 2).mean() / (truth**2).mean()))
    return line | {"ratio": line["seconds"] / floor}


def kernel_of_classes(n):
    """A line: the first question to a kernel model of ten classes, over one Cholesky factor."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16, y[order]
    fit, model = _seconds(lambda: KernelLogisticRegression().fit(X[:n], y[:n]))
    test = X[n : n + 5], y[n : n + 5]
    question, _ = _seconds(lambda: model.influence(*test, method="newton"))
    size = 10 * (n + 1)
    block = np.full((size, size), 0.5)
    block[np.diag_indices(size)] += 1.0
    floor, _ = _seconds(lambda: np.linalg.cholesky(block))
    who = f"kernel logistic, 10 classes, n = {n}, 5 test rows, newton, over its factor"
    line = {"problem": "fits", "who": f"{who}; the fit {fit / floor:.1f} x", "seconds": question}
    return line | {"floor_seconds": floor, "ratio": question / floor, "bar": 3.0}


def rows(quick):
    """Yield lines of the table; the bars are for the full sizes."""
    for line in _lines(quick):
        yield line | ({"bar": None} if quick else {})


def _lines(quick):
    """Yield lines."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    ours, theirs = InfluenceLogisticRegression(), LogisticRegression()
    X, y = _softmax(*((1000, 20, 10) if quick else (3000, 50, 30)))
    yield _fit(f"{len(np.unique(y))} classes", ours, theirs, X, y, 6.0)
    X, y = _softmax(*((4000, 50, 2) if quick else (20_000, 300, 2)))
    yield _fit("2 classes", ours, theirs, X, y, 2.0)
    X, y = _round(500 if quick else 3000, 20)
    ours, theirs = SmoothHingeSVC(kernel="rbf"), SVC(tol=1e-8)
    yield _fit("smooth hinge, rbf", ours, theirs, X, y, 4.0)
    yield kernel_of_classes(100 if quick else 400)
    yield softmax_of_images(1000 if quick else 5000, "first_order", 10.0)
    # Its factor takes as long for 5,000 rows as for 55,000, whose bar is 15.
    yield softmax_of_images(1000 if quick else 5000, "newton", None)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(softmax_of_images(int(sys.argv[1]), sys.argv[2], None))
        sys.exit()
    for found in rows(False):
        print(found, flush=True)
    for asked in ("first_order", 10.0), ("newton", 15.0):
        print(softmax_of_images(55_000, *asked), flush=True)
    print(kernel_of_classes(800))
