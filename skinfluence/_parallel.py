"""Row blocks, threads and progress: the door to joblib and threadpoolctl."""

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
