"""`SCIPY_ARRAY_API=1 python -m benchmarks.gpu [--write PATH]`: questions answered on a card.

Two jobs, logistic regression of float32 rows that lie on the card: 50,000 rows of 2,048 features
with 10,000 test rows (the head of a network), and 1,000,000 rows of 512 with 4,000. For each the
Gram matrix and factor (float64), the leverages (float64) and the scores (float32), each against
the rate of a matrix product there in the same type, measured first. A rate counts 2 n p q for a
product of (n, p) with (p, q), and 2 n p^2 for a Gram matrix. The error is that of the float32
scores against the same in float64. Also the same model on CuPy, and NumPy on the host beside it.
"""

import argparse
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import sklearn
import torch

from skinfluence import InfluenceLogisticRegression

# Name, rows, columns, test rows; the same in small, to see that it runs on a host.
JOBS = [("head", 50_000, 2_048, 10_000), ("tall", 1_000_000, 512, 4_000)]
SMALL = [("head", 2_000, 64, 300), ("tall", 6_000, 32, 200)]
COMPARED = 200


def wait(device):
    """Wait for the card."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(call, device, repeats=3):
    """Least wall time of a call, after one that is not counted, and its last result."""
    call()
    best = np.inf
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        result = call()
        wait(device)
        best = min(best, time.perf_counter() - start)
    return best, result


def product_rate(dtype, device, shape):
    """Flops a second of a product of matrices (n, p) and (p, q)."""
    n, p, q = shape
    A = torch.randn(n, p, dtype=dtype, device=device)
    B = torch.randn(p, q, dtype=dtype, device=device)
    return 2.0 * n * p * q / seconds(lambda: A @ B, device)[0]


def data(n, p, m, device):
    """Training and test rows with labels: a linear rule with noise."""
    torch.manual_seed(0)
    rule = torch.randn(p, device=device) / p**0.5
    X = torch.randn(n + m, p, device=device) + 0.5
    y = (X @ rule + torch.randn(n + m, device=device) > 0).to(torch.int64)
    return X[:n], y[:n], X[n:], y[n:]


def run(job, device, rates):
    """Yield the lines of a table of one job."""
    name, n, p, m = job
    X, y, X_test, y_test = data(n, p, m, device)
    wait(device)
    start = time.perf_counter()
    model = InfluenceLogisticRegression(C=1.0).fit(X, y)
    wait(device)
    fit = time.perf_counter() - start
    problem = model.__array_model__().problem
    yield f"{name}: {n:,} x {p:,} float32, {m:,} test rows"
    yield (
        f"  fit {fit:.2f} s ({int(model.n_iter_[0])} iterations of lbfgs, {problem.n_steps} Newton "
        f"steps to a relative gradient of {problem.stationarity:.0e})"
    )

    def line(what, flops, call, rate, repeats=3):
        took, _ = seconds(call, device, repeats)
        share = flops / took / rate
        return f"  {what:44s} {1e3 * took:9.1f} ms {flops / took / 1e12:7.2f} TFLOP/s {share:7.1%}"

    def first(question):
        problem.kept.clear()
        return question()

    single, double = rates
    gram, scores = 2.0 * n * p * p, 2.0 * n * m * p
    yield line(
        "Gram matrix and factor (float64)", gram, lambda: first(lambda: problem.root), double
    )
    for method in ("first_order", "newton"):

        def question(method=method):
            return model.influence(X_test, y_test, method=method)

        yield line(f"scores, {method}", scores, question, single)
        counted = gram + scores + (gram if method == "newton" else 0.0)
        yield line(
            f"Gram, factor and scores, {method}",
            counted,
            lambda question=question: first(question),
            single,
            2,
        )

    def top():
        return model.most_influential(X_test, y_test, k=10, method="first_order")

    def own():
        return model.self_influence(method="newton")

    yield line("most_influential, k = 10", scores, top, single, 1)
    yield line("Gram, factor and self_influence", 2 * gram, lambda: first(own), double, 1)
    took, loo = seconds(lambda: model.loo_estimate(method="newton"), device, 1)
    yield f"  loo_estimate of the same factor {1e3 * took:.1f} ms: mean loss {loo.mean_loss:.6f}"
    yield from error_lines(model, (X, y, X_test[:COMPARED], y_test[:COMPARED]))


def error_lines(model, rows):
    """Yield the error of float32 scores against float64 ones, both over a float64 factor."""
    X, y, X_test, y_test = rows
    exact = InfluenceLogisticRegression(C=1.0).fit(X.double(), y)
    for method in ("first_order", "newton"):
        found = model.influence(X_test, y_test, method=method).double()
        known = exact.influence(X_test.double(), y_test, method=method)
        missed = found - known
        rmse = float(missed.square().mean().sqrt() / known.square().mean().sqrt())
        worst = float(missed.abs().max() / known.abs().max())
        yield (
            f"  float32 scores against float64, {method:12s} relative RMSE {rmse:.1e}, largest "
            f"error {worst:.1e} of the largest score"
        )


def other_libraries(device):
    """Yield lines that compare NumPy, PyTorch and CuPy on one small model."""
    X, y, X_test, y_test = data(5_000, 50, 100, device)
    host = [part.cpu().numpy() for part in (X, y, X_test, y_test)]
    known = InfluenceLogisticRegression().fit(*host[:2]).influence(*host[2:], method="newton")
    for name in ("torch", "cupy") if device == "cuda" else ("torch",):
        if name == "cupy":
            import cupy

            X, y, X_test, y_test = (cupy.asarray(part) for part in host)
        model = InfluenceLogisticRegression().fit(X, y)
        found = model.influence(X_test, y_test, method="newton")
        found = found.get() if name == "cupy" else found.cpu().numpy()
        top = model.most_influential(X_test, y_test, k=5, method="newton")
        missed = np.sqrt(((found - known) ** 2).mean() / (known**2).mean())
        kind = type(top.helpful_values).__module__
        yield f"  {name} against NumPy, newton: relative RMSE {missed:.1e} (arrays of {kind})"


def main():
    """Measure the rates, run the jobs, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="a few rows, to see that it runs")
    parser.add_argument("--write", type=Path, help="file for the table")
    asked = parser.parse_args()
    device = asked.device
    card = torch.cuda.get_device_name() if device == "cuda" else "the host"
    lines = [
        f"{card}; torch {torch.__version__}, scikit-learn {sklearn.__version__}, "
        f"numpy {np.__version__}, Python {sys.version.split()[0]}"
    ]
    size, failed = 512 if asked.small else 8192, False
    rates = [product_rate(dtype, device, 3 * [size]) for dtype in (torch.float32, torch.float64)]
    lines.append(
        f"matrix product {size}^3: float32 {rates[0] / 1e12:.2f}, float64 {rates[1] / 1e12:.2f} "
        "TFLOP/s"
    )
    print("\n".join(lines), flush=True)
    with sklearn.config_context(array_api_dispatch=True):
        tasks = [
            lambda job=job: run(job, device, rates) for job in (SMALL if asked.small else JOBS)
        ]
        for task in [*tasks, lambda: other_libraries(device)]:
            start = time.perf_counter()
            try:
                for line in task():
                    print(line, flush=True)
                    lines.append(line)
            except Exception:  # the other jobs are still worth their time on the card
                traceback.print_exc(file=sys.stdout)
                failed = True
            if device == "cuda":
                lines.append(
                    f"  peak of the card's memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
                )
                print(lines[-1])
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            print(f"  ({time.perf_counter() - start:.1f} s)", flush=True)
    if asked.write:
        asked.write.write_text("\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
