"""Row blocks, threads and progress: the door to joblib and threadpoolctl."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache

from sklearn import get_config

# A block of this many float64 and its temporaries stay in a core's cache during elementwise work.
CACHE_ELEMENTS = 32_768
# Flops of a product under which a second thread costs more than it does.
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
    """The BLAS libraries of NumPy and SciPy: to look for them reads the memory map, some 4 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def n_threads():
    """Threads that BLAS may use here: what the environment, joblib or the user has set."""
    counts = [library.num_threads for library in _blas().lib_controllers]
    return max(1, min(counts, default=1))


def blas_for(flops):
    """Context in which products of so many flops run: a few on one thread, many on all.

    Waking the other threads for a Gram matrix of 2,000 x 50 takes ten times as long as computing it
    (measured in a search of 20 candidates: 2 ms against .2).
    """
    return _blas().limit(limits=1) if flops < SERIAL_FLOPS else nullcontext()


def one_thread():
    """Context of factorisations: on two cores OpenBLAS's are slower in two threads than in one.

    3,000 rows, Cholesky: .46 s against 1.2 to 2.3 s, with pivots .5 against .8 to 1.1 s: between
    small products the threads wait for each other by spinning, and for whatever else is running.
    """
    return _blas().limit(limits=1)


def map_ordered(function, blocks, *, threaded=True):
    """Yield `function(block)` for every block, in order, computed in as many threads as BLAS has.

    Each thread does its products on one core and its elementwise work right after: with products on
    all cores and elementwise work between them, the waiting threads of BLAS spin on the cores that
    the elementwise work wants. A pool of its own costs microseconds a task, joblib's milliseconds.
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
