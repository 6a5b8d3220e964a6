"""Row blocks, threads and progress: the door to joblib and threadpoolctl."""

import math
import numbers
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from itertools import islice

import numpy as np
from joblib import effective_n_jobs
from sklearn import get_config
from sklearn.utils.parallel import Parallel, delayed

from skinfluence._validation import shown

# A block of this many float64 and its temporaries stay in a core's cache during elementwise work.
CACHE_ELEMENTS = 32_768
# Bytes of scratch memory that a thread keeps.
SCRATCH_BYTES = 2**22
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


_SCRATCH = threading.local()


def scratch(shape):
    """Return a float64 array to write over, each thread's own, which its next call gives out again.

    Where a C library gives freed memory back at once, as dask has its workers do, half the time of
    a pass over rows in blocks went into fetching it anew, page by page.
    """
    size = math.prod(shape)
    if 8 * size > SCRATCH_BYTES:
        return np.empty(shape)
    state = _SCRATCH
    if getattr(state, "values", None) is None or len(state.values) < size:
        state.values = np.empty(size)
    return state.values[:size].reshape(shape)


def check_progress(progress):
    """Raise unless `progress` is None or a callable."""
    if progress is not None and not callable(progress):
        raise TypeError(
            "progress should be None or a callable that wraps an iterable, such as "
            f"tqdm.auto.tqdm; got {progress!r} instead."
        )


def tracked(blocks, progress, total=None):
    """Iterate over blocks, through the user's `progress` callable if there is one."""
    check_progress(progress)
    if progress is None:
        return blocks
    return progress(blocks, total=len(blocks) if total is None else total)


def map_jobs(function, blocks, n_jobs, progress=None):
    """Yield the list of `function(item)` of all items of each block, in order, by joblib.

    The workers live as long as the iteration. A block is a barrier: what it gives can be kept
    before the next begins, whatever backend there is.
    """
    blocks = tracked(blocks, progress)
    if n_jobs in (None, 1) and effective_n_jobs(n_jobs) == 1:
        for block in blocks:
            yield [function(item) for item in block]
        return
    with Parallel(n_jobs=n_jobs) as parallel:
        for block in blocks:
            yield parallel(delayed(function)(item) for item in block)


@cache
def _blas():
    """The BLAS libraries of NumPy and SciPy; cached, because finding them takes some 4 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@cache
def _blas_of(scope):
    """Those whose number of threads is the whole "process"'s, or each "thread"'s own."""
    found = [
        library.filepath
        for library in _blas().lib_controllers
        if (getattr(library, "threading_layer", None) == "openmp") == (scope == "thread")
    ]
    return _blas().select(filepath=found)


def n_threads():
    """Number of threads that BLAS may use, as set by the environment, joblib or the user."""
    counts = [library.num_threads for library in _blas().lib_controllers]
    return max(1, min(counts, default=1))


class _OneThread:
    """Context in which BLAS takes one thread, until the last of all who are inside has left.

    Most libraries have one number of threads for the process. Of two threads that each remember it
    and put it back, the second remembers the first one's limit, and restores that: BLAS would stay
    on one thread for good. So the first who enters remembers, and the last who leaves restores.
    Under OpenMP the number is each thread's own, and so is what is remembered.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._limit = None
        self._own = threading.local()

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._limit = _limited(_blas_of("process"))
            self._inside += 1
        own = vars(self._own).setdefault("limits", [])
        own.append(_limited(_blas_of("thread")))

    def __exit__(self, *raised):
        own = vars(self._own).get("limits")
        if own:  # an iterator may end in another thread than it began
            _restore(own.pop())
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _restore(self._limit)

    def renew_lock(self):
        """Take a new lock: in a fork the old one's owner may not exist."""
        self._lock = threading.Lock()


def _limited(libraries):
    """Set libraries to one thread; return what undoes it, None where nothing had to be done."""
    if all(library.num_threads == 1 for library in libraries.lib_controllers):
        return None
    limit = libraries.limit(limits=1)
    # threadpoolctl (3.8) ignores all threads but the one that set a limit, until that one
    # leaves a context: here the last to leave may be another.
    with libraries.limit(limits=None):
        return limit


def _restore(limit):
    """Give BLAS back the threads that `_limited` took."""
    if limit is not None:
        with limit:
            return


_ONE_THREAD = _OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ONE_THREAD.renew_lock)


def blas_for(flops):
    """Context for products of so many flops: one thread below SERIAL_FLOPS, all threads above.

    Waking the other threads for a Gram matrix of 2,000 x 50 takes ten times as long as computing it
    (measured in a search of 20 candidates: 2 ms against 0.2 ms).
    """
    return one_thread() if flops < SERIAL_FLOPS else nullcontext()


def one_thread():
    """Context for factorisations, which OpenBLAS does more slowly in two threads than in one.

    Cholesky of 3,000 rows on two cores: 0.46 s in one thread, 1.2 to 2.3 s in two; with pivots
    0.5 s and 0.8 to 1.1 s. Between small products the threads wait for each other by spinning.
    """
    return _ONE_THREAD


def n_workers(n_jobs):
    """Number of workers that joblib would use for `n_jobs`, also where its configuration says."""
    import joblib

    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral)
    ):
        raise TypeError(f"n_jobs should be an integer or None; got {shown(n_jobs)}.")
    if n_jobs == 0:
        raise ValueError("n_jobs should be positive, or negative to count from all cores; got 0.")
    return joblib.effective_n_jobs(n_jobs)


def in_workers(function, tasks, n_jobs):
    """Return ``function(*task)`` of every task, in order, computed by joblib's workers.

    scikit-learn's `Parallel` hands its configuration on, and the filters of warnings.
    """
    return Parallel(n_jobs=n_jobs)(delayed(function)(*task) for task in tasks)


def in_order(function, tasks):
    """Yield ``function(*task)`` of every task, in order, computed by joblib's workers.

    How many, and of which backend, joblib's `parallel_config` says.
    """
    calls = (delayed(function)(*task) for task in tasks)
    try:
        parallel = Parallel(return_as="generator")
    except ValueError:  # ray's backend, and that of multiprocessing
        while window := list(islice(calls, 4 * effective_n_jobs(None))):
            yield from Parallel()(window)
        return
    yield from parallel(calls)


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

    def alone(block):
        with one_thread():
            return function(block)

    with one_thread(), ThreadPoolExecutor(n) as pool:
        pending = deque()
        for block in blocks:
            pending.append(pool.submit(alone, block))
            if len(pending) > n:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
