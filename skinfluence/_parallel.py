"""Row blocks, threads and progress: the door to joblib and threadpoolctl."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache

from sklearn import get_config

# A block of this many float64 and its temporaries stay in a core's cache during elementwise work.
CACHE_ELEMENTS = 32_768
# Flops of a product below which waking a second thread takes longer than the thread saves.
SERIAL_FLOPS = 1e8


def row_blocks(n_rows, bytes_per_row, *, at_most=None):
    """Cut range(n_rows) into slices whose widest temporary fits scikit-learn's working_memory."""
    budget = get_config()["working_memory"] * 2**20
    size = max(1, int(budget // max(1, bytes_per_row)))
    if at_most is not None:
        size = min(size, at_most)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def cache_blocks(n_rows, elements_per_row):
    """Cut range(n_rows) into slices whose elementwise temporaries stay in cache; 0: one slice."""
    size = max(1, CACHE_ELEMENTS // elements_per_row) if elements_per_row else max(1, n_rows)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def tracked(blocks, progress, total=None):
    """Iterate over blocks, through the user's `progress` callable if there is one."""
    if progress is None:
        return blocks
    if not callable(progress):
        raise TypeError(
            "progress should be None or a callable that wraps an iterable, such as "
            f"tqdm.auto.tqdm; got {progress!r} instead."
        )
    return progress(blocks, total=len(blocks) if total is None else total)


@cache
def _blas():
    """The BLAS libraries of NumPy and SciPy; cached, because finding them takes some 4 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def n_threads():
    """Number of threads that BLAS may use, as set by the environment, joblib or the user."""
    counts = [library.num_threads for library in _blas().lib_controllers]
    return max(1, min(counts, default=1))


def blas_for(flops):
    """Context for products of so many flops: one thread below SERIAL_FLOPS, all threads above.

    Waking the other threads for a Gram matrix of 2,000 x 50 takes ten times as long as computing it
    (measured in a search of 20 candidates: 2 ms against 0.2 ms).
    """
    return _blas().limit(limits=1) if flops < SERIAL_FLOPS else nullcontext()


def one_thread():
    """Context for factorisations, which OpenBLAS does more slowly in two threads than in one.

    Cholesky of 3,000 rows on two cores: 0.46 s in one thread, 1.2 to 2.3 s in two; with pivots
    0.5 s and 0.8 to 1.1 s. Between small products the threads wait for each other by spinning.
    """
    return _blas().limit(limits=1)


def map_ordered(function, blocks, *, threaded=True):
    """Yield `function(block)` for every block, in order, computed in as many threads as BLAS has.

    Each thread does its products on one core and its elementwise work right after them. With
    products on all cores and elementwise work between them, the waiting threads of BLAS would spin
    on the cores that the elementwise work needs. A ThreadPoolExecutor costs microseconds for each
    task, joblib milliseconds. At most one block a thread, and one more, is pending: results are
    consumed before they fill the memory.
    """
    n = n_threads() if threaded and len(blocks) > 1 else 1
    if n == 1:
        yield from map(function, blocks)
        return
    with _blas().limit(limits=1), ThreadPoolExecutor(n) as pool:
        pending = deque()
        for block in blocks:
            pending.append(pool.submit(function, block))
            if len(pending) > n:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
