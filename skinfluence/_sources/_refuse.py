"""Rows that are not arrays in memory, told by their types: nothing is imported to look at them."""

import numpy as np

from skinfluence._sources._blocks import RowBlocks

# Package and class: what it is, and what makes an array of it. None stands for every class.
NOT_IN_MEMORY = {
    ("dask", None): ("a dask collection", "{name}.compute()"),
    ("dask_expr", None): ("a dask collection", "{name}.compute()"),
    ("polars", "LazyFrame"): ("a polars LazyFrame", "{name}.collect()"),
    ("pyarrow", "Dataset"): ("a pyarrow Dataset", "{name}.to_table().to_pandas()"),
    ("pyarrow", "Scanner"): ("a pyarrow Scanner", "{name}.to_table().to_pandas()"),
    ("pyarrow", "RecordBatchReader"): ("a pyarrow RecordBatchReader", "{name}.read_pandas()"),
    ("pyarrow", None): ("pyarrow data", "{name}.to_pandas()"),
}


def check_in_memory(**arguments):
    """Raise TypeError where an argument would have to be read into memory, before it is.

    Parameters
    ----------
    **arguments : object
        Data by the names of the arguments; None is in memory.
    """
    for name, value in arguments.items():
        if isinstance(value, RowBlocks):
            raise refuse_blocks(
                f"what takes this {name}",
                "it needs all rows at once. Fit one of the estimators of linear models "
                "(logistic, ridge, least squares, Poisson, gamma, Tweedie), of a "
                "kernel model its features, by Nystroem in read(i); or, where there is room for "
                "all rows, pass the array blocks[:].",
            )
        found = _recognise(value)
        if found is not None:
            what, conversion = found
            raise TypeError(
                f"{name} is {what}, which would be read into memory as a whole. Where there is "
                f"room for it pass {conversion.format(name=name)}, else some of its rows: "
                "skinfluence works on arrays, sparse matrices and data frames in memory."
            )


def refuse_blocks(who, why):
    """Return the error for rows in blocks where they cannot be read block by block.

    Parameters
    ----------
    who, why : str
        What was asked, and why it needs all rows at once, with the nearest way.
    """
    return NotImplementedError(f"{who} does not read rows in blocks: {why}")


def _recognise(value):
    """(what it is, how it becomes an array) of data that are not an array yet; None of others."""
    if value is None or type(value) is np.ndarray:
        return None
    classes = [(cls.__module__.partition(".")[0], cls.__name__) for cls in type(value).__mro__]
    for key in [*classes, *((package, None) for package, _ in classes)]:
        if key in NOT_IN_MEMORY:
            return NOT_IN_MEMORY[key]
    # Others hold dask collections inside, and say so where they do.
    graph = getattr(value, "__dask_graph__", None)
    if callable(graph) and graph() is not None:
        return NOT_IN_MEMORY["dask", None]
    return None
