"""Row blocks, threads and progress: the door to joblib and threadpoolctl."""

from concurrent.futures import ThreadPoolExecutor

from sklearn import get_config

# A block of this many float64 and its temporaries stay in a core's cache during elementwise work.
CACHE_ELEMENTS = 16_384


def row_blocks(n_rows, bytes_per_row, *, at_most=None):
    """Cut range(n_rows) into slices whose widest temporary fits scikit-learn's working_memory."""
    budget = get_config()["working_memory"] * 2**20
    size = max(1, int(budget // max(1, bytes_per_row)))
    if at_most is not None:
        size = min(size, at_most)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def cache_blocks(n_rows, elements_per_row):
    """Cut range(n_rows) into slices whose elementwise temporaries stay in cache."""
    size = max(1, CACHE_ELEMENTS // max(1, elements_per_row))
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


def n_threads():
    """Threads that BLAS may use here: what the environment, joblib or the user has set."""
    from threadpoolctl import threadpool_info

    counts = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(1, min(counts, default=1))


class Threads:
    """A few threads for elementwise NumPy work, as many as BLAS has; a context manager.

    Ufuncs run on one core and release the GIL; between two GEMMs the other cores would idle. A pool
    that lives as long as the computation costs microseconds a task, joblib's milliseconds.
    """

    def __enter__(self):
        """Start as many threads as BLAS has, none if that is one."""
        self.n = n_threads()
        self._pool = ThreadPoolExecutor(self.n) if self.n > 1 else None
        return self

    def __exit__(self, *_):
        """Wait for them."""
        if self._pool is not None:
            self._pool.shutdown()

    def each(self, function, blocks):
        """Call `function(block)` for every block; the first exception is raised."""
        if self._pool is None or len(blocks) < 2:
            for block in blocks:
                function(block)
            return

        def share(first):
            for block in blocks[first :: self.n]:
                function(block)

        list(self._pool.map(share, range(self.n)))
