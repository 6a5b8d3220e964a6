"""Rows in blocks against passes of BLAS: ``python -m benchmarks.blocks --rows 1000000``.

Makes a float32 .npy file of rows in a temporary folder, and says what a fit and the questions of it
take, in units of one streaming pass of dsyrk over the same file, in CPU time of one thread, and how
much private memory they take above their answers. ``--workers 2`` compares the wall time of two
workers with that of one, of tasks that only multiply too (what the engine allows), ``--parquet``
the rate of reading with pyarrow's own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from joblib import effective_n_jobs, parallel_config
from scipy.linalg.blas import dsyrk

from skinfluence import InfluenceLogisticRegression
from skinfluence._parallel import in_order
from skinfluence.blocks import as_blocks, in_one_pass

BLOCK = 8192
# Tasks of nothing but products, by which the engine of workers is measured.
N_TASKS = 80


def make(folder, n, p, seed=0):
    """Write rows and labels of a logistic model; return their paths."""
    rng = np.random.default_rng(seed)
    coef = rng.normal(size=p) / np.sqrt(p)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n, p))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.int8, (n,))
    for start in range(0, n, 100_000):
        rows = slice(start, min(start + 100_000, n))
        X[rows] = rng.standard_normal((rows.stop - start, p), dtype=np.float32)
        y[rows] = X[rows] @ coef + rng.logistic(size=rows.stop - start) > 0
    return folder / "X.npy", folder / "y.npy"


def dsyrk_pass(path):
    """Gram matrix of all rows in float64, block by block: the floor."""
    X = np.load(path, mmap_mode="r")
    total = np.zeros((X.shape[1],) * 2)
    for start in range(0, len(X), BLOCK):
        block = np.asarray(X[start : start + BLOCK], dtype=np.float64)
        total += dsyrk(1.0, block.T)
    return total


def private():
    """Bytes of private memory: what the kernel counts as data."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0


class Peak:
    """The highest private memory while a block of code runs, by a thread that looks."""

    def __enter__(self):
        self.before = self.most = private()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self):
        while not self._stop.wait(0.005):
            self.most = max(self.most, private())

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def above(self, n_bytes):
        """Megabytes beside the answer."""
        return (self.most - self.before - n_bytes) / 1e6


def timed(function):
    """(Answer, CPU seconds, peak) of a call."""
    with Peak() as peak:
        start = time.process_time()
        answer = function()
        seconds = time.process_time() - start
    return answer, seconds, peak


def touch(n_bytes=4e9):
    """Write over so much memory: a virtual machine's host charges 2 ns a byte the first time."""
    np.empty(int(n_bytes) // 8).fill(1.0)


def turns(function, path, calls=3):
    """(Answer, passes of dsyrk that it takes, its peak): the fastest of several, turn by turn."""
    answer, took, floor = None, [], []
    for _ in range(calls):
        answer = None  # its memory is given back before the next call asks for more
        floor.append(timed(lambda: dsyrk_pass(path))[1])
        answer, seconds, peak = timed(function)
        took.append(seconds)
    return answer, min(took) / min(floor), peak


def report(n, p, folder, *, leave_one_out):
    """Print the table."""
    X, y = make(folder, n, p)
    touch()
    floor = min(timed(lambda: dsyrk_pass(X))[1] for _ in range(3))
    print(f"{n} rows of {p} float32 columns; one dsyrk pass {floor:.2f} s")
    model, passes, peak = turns(lambda: InfluenceLogisticRegression().fit(as_blocks(X, y)), X)
    over = int(model.n_iter_[0]) + 1
    print(f"fit             {passes:6.2f} passes, {over} over the rows", end="")
    print(f", {peak.above(0):6.0f} MB")
    line("self influence", *turns(lambda: model.self_influence(method="newton"), X))
    both = {"self_influence": {}, "loo_estimate": {}}
    line("both, with ALO", *turns(lambda: in_one_pass(model, both), X))
    if leave_one_out:
        line("leave-one-out", *turns(lambda: model.loo_estimate(method="newton"), X))


def workers(n, p, folder, n_workers, engine):
    """Print what several workers save of the wall time of a fit and of self influence."""
    paths = make(folder, n, p)
    took = {}
    for count in (1, n_workers):
        with engines(engine, count):
            fit_and_ask(paths)  # the workers import the library
            took[count] = *fit_and_ask(paths), products_alone(p)
    for k, name in enumerate(("fit", "self influence", "products alone")):
        one, many = took[1][k], took[n_workers][k]
        print(f"{name:15s} {one:6.2f} s, by {n_workers} workers {many:6.2f} s: {one / many:.2f} x")
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


def fit_and_ask(paths):
    """Wall seconds of a fit and of self influence."""
    start = time.perf_counter()
    model = InfluenceLogisticRegression().fit(as_blocks(*paths))
    fitted = time.perf_counter()
    model.self_influence(method="newton")
    return fitted - start, time.perf_counter() - fitted


def products_alone(p):
    """Wall seconds of tasks of the same size that read nothing: what the engine itself allows."""
    start = time.perf_counter()
    if effective_n_jobs(None) == 1:
        for _ in range(N_TASKS):
            _products(p)
    else:
        for _ in in_order(_products, [(p,)] * N_TASKS):
            pass
    return time.perf_counter() - start


def _products(p):
    """Two products of rows made here, as long as the task of a block."""
    rows = np.full((2**21 // p, p), 0.5, dtype=np.float32).astype(np.float64)
    return rows.T @ rows + (1.1 * rows).T @ rows


@contextmanager
def engines(name, count):
    """Context in which joblib has so many workers of an engine: one of them is none of its own."""
    if count == 1:
        yield
    elif name == "dask":
        from dask.distributed import Client, LocalCluster

        options = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster), parallel_config(backend="dask"):
            yield
    else:
        with parallel_config(backend=name, n_jobs=count):
            yield


PARQUET = """
import sys, time
import numpy as np
import pyarrow.dataset
from skinfluence.blocks import as_blocks

path = sys.argv[1]
def raw():
    for fragment in pyarrow.dataset.dataset(path, format="parquet").get_fragments():
        for group in fragment.split_by_row_group():
            group.to_table()
def ours():
    blocks = as_blocks(path, "label")
    for i in range(blocks.n_blocks):
        blocks.read(i)
raw(), ours()
took = [[], []]
for _ in range(5):
    for k, call in enumerate((raw, ours)):
        start = time.process_time()
        call()
        took[k].append(time.process_time() - start)
raw, ours = map(min, took)
print(f"parquet: pyarrow alone {raw:.2f} s, as_blocks {ours:.2f} s of CPU: {raw / ours:.0%}")
"""


def parquet(n, p, folder):
    """Print the rate of reading parquet against pyarrow's own, in a process of its own."""
    import pyarrow
    import pyarrow.parquet

    X, y = (np.load(path, mmap_mode="r") for path in make(folder, n, p))
    columns = {f"x{j}": np.ascontiguousarray(X[:, j]) for j in range(p)}
    table = pyarrow.table({**columns, "label": np.asarray(y)})
    pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=100_000)
    subprocess.run([sys.executable, "-c", PARQUET, str(folder / "rows.parquet")], check=True)


def line(name, answer, passes, peak):
    """Print what one answer took."""
    answers = answer.values() if isinstance(answer, dict) else [answer]
    size = sum(own_bytes(part) for part in answers)
    print(f"{name:15s} {passes:6.2f} passes", end=", ")
    print(f"{peak.above(size):6.0f} MB beside {size / 1e6:.0f} MB of answer")


def own_bytes(answer):
    """Bytes that an answer adds: not the weights, which are the model's, nor what is broadcast."""
    arrays = getattr(answer, "__dict__", {"values": answer}).items()
    return sum(
        array.nbytes
        for name, array in arrays
        if name != "weight" and isinstance(array, np.ndarray) and 0 not in array.strides
    )


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--workers", type=int, help="wall time by so many, against one")
    parser.add_argument("--engine", default="dask", choices=["dask", "loky", "threading"])
    parser.add_argument("--parquet", action="store_true", help="the rate of reading it")
    arguments = parser.parse_args()
    n, p = arguments.rows, arguments.columns
    with tempfile.TemporaryDirectory() as folder:
        if arguments.parquet:
            return parquet(n, p, Path(folder))
        if arguments.workers:
            return workers(n, p, Path(folder), arguments.workers, arguments.engine)
        return report(n, p, Path(folder), leave_one_out=arguments.leave_one_out)


if __name__ == "__main__":
    main()
