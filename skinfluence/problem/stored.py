"""Answers of many rows, block by block: into a file, and through a folder of finished blocks."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skinfluence._parallel import check_progress, tracked
from skinfluence._store import Store, described, fingerprint_of
from skinfluence._validation import shown
from skinfluence.attribution import influence_matrix
from skinfluence.deletion import delete
from skinfluence.leave_one_out import LooPredictions, leave_one_out_of
from skinfluence.problem._by_parts import goes_by_parts, steps_by_parts

# Bytes of a block of the matrix, and rows of a block of refits: what an end in between costs.
BLOCK_BYTES = 2**26
FEWEST_ROWS, REFITTED_ROWS = 512, 512


def stored_influence(problem, query, method, rows, curvature, *, out, checkpoint, asked, progress):
    """Influence matrix, found block by block of training rows.

    Parameters
    ----------
    problem : FittedProblem
    query : Query
        Of the test rows.
    method : {"first_order", "newton", "exact"}
    rows : ndarray of int, shape (r,)
        Training rows.
    curvature : Curvature or None
    out : str, Path or None
        A .npy file, which appears when it is complete.
    checkpoint : str, Path or None
        A folder of finished blocks.
    asked : dict
        What else the answer depends on, for the folder.
    progress : callable or None
        Wraps the iteration over blocks; those that were finished before count.

    Returns
    -------
    ndarray of shape (m, r) or (m, r, O)
        Of a file a read-only map of it.
    """
    check_progress(progress)
    outputs = query.target.n_outputs
    shape = (len(query), len(rows), outputs)[: 2 + (outputs > 1)]
    pieces = _pieces(problem, method, rows, curvature, 8 * len(query) * outputs)
    store = None
    if checkpoint is not None:
        names = {"rows": len(rows), "method": method, "block_rows": _length(pieces), **asked}
        data = fingerprint_of(problem.objective.theta, rows, query.eta, query.y, query.weight)
        store = Store(checkpoint, parameters=names, fingerprint=data + _data_hash(problem))
    linearised, undefined = method == "first_order", []
    with _result(out, shape) as result:
        for part, delete_rows in tracked(_Sized(*pieces), progress):

            def compute(delete_rows=delete_rows):
                """The columns of a block, and which have no model."""
                made = delete_rows()
                values = influence_matrix(made, query, linearised=linearised)
                return {"values": values, "undefined": made.undefined}

            name = f"rows-{part.start:012d}"
            found = compute() if store is None else store.once(name, compute)
            result[:, part] = found["values"]
            undefined.append(part.start + np.flatnonzero(found["undefined"]))
    problem.warn_undefined(rows[np.concatenate(undefined)])
    return result if out is None else np.load(out, mmap_mode="r")


def stored_leave_one_out(problem, method, curvature, *, tolerance, checkpoint, progress):
    """LooPredictions of refits without every row, through a folder of finished blocks of rows."""
    check_progress(progress)
    objective, n = problem.objective, problem.objective.n_rows
    blocks = [slice(a, min(a + REFITTED_ROWS, n)) for a in range(0, n, REFITTED_ROWS)]
    store = Store(
        checkpoint,
        parameters={
            "question": "leave-one-out",
            "method": method,
            "tol": tolerance,
            "block_rows": REFITTED_ROWS,
        },
        fingerprint=fingerprint_of(objective.theta) + _data_hash(problem),
    )
    parts = []
    for block in tracked(blocks, progress):

        def compute(block=block):
            """The predictors of a block of rows, and what is known about them."""
            rows = np.arange(block.start, block.stop)
            found = vars(leave_one_out_of(objective, curvature, rows, tolerance))
            return {name: value for name, value in found.items() if value is not None}

        parts.append(store.once(f"rows-{block.start:012d}", compute))
    return LooPredictions(
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )


def flip_store(problem, checkpoint, quantity, units, asked):
    """Store of the steps of a search for the smallest flip.

    Parameters
    ----------
    problem : FittedProblem
    checkpoint : str or Path
        The folder.
    quantity : Quantity
    units : list of ndarray of int
        Rows that leave together.
    asked : dict
        What else the answer depends on.
    """
    if callable(quantity.arguments.get("scoring")):
        raise ValueError("with checkpoint= the scoring should be named; got a function.")
    names = {"question": "smallest flip", "quantity": quantity.kind}
    names |= {f"{quantity.kind} {key}": described(v) for key, v in quantity.arguments.items()}
    sizes = np.array([len(unit) for unit in units])
    data = fingerprint_of(problem.objective.theta, sizes, np.concatenate(units))
    return Store(checkpoint, parameters=names | asked, fingerprint=data + _data_hash(problem))


class _Sized:
    """An iterable of known length, for progress bars."""

    def __init__(self, length, items, _rows):
        self._length, self._items = length, items

    def __len__(self):
        return self._length

    def __iter__(self):
        return iter(self._items)


def _length(pieces):
    """Rows of a block."""
    return pieces[2]


def _pieces(problem, method, rows, curvature, row_bytes):
    """Number of blocks, their (slice, function that makes the deletion of its rows), their rows."""
    objective = problem.objective
    everything = len(rows) == objective.n_rows
    if curvature is not None and everything and goes_by_parts(problem, method, curvature):
        n_rows = max(FEWEST_ROWS, BLOCK_BYTES // (2 * (row_bytes + 8 * objective.n_parameters)))
        steps = steps_by_parts(problem, method, curvature, n_rows)
        n_blocks = sum(1 for _ in objective.design.part_slices(n_rows))
        return n_blocks, steps, n_rows
    n_rows = max(FEWEST_ROWS, BLOCK_BYTES // max(1, row_bytes))
    if method == "exact":
        n_rows = min(n_rows, REFITTED_ROWS)
    parts = [slice(a, min(a + n_rows, len(rows))) for a in range(0, len(rows), n_rows)]

    def made():
        """Blocks of any method, each deleted when it is asked for."""
        for part in parts:
            yield part, lambda part=part: delete(objective, curvature, method, rows[part])

    return len(parts), made(), n_rows


@contextmanager
def _result(out, shape):
    """An array to be filled: in memory, or of a file that appears when it is complete."""
    if out is None:
        yield np.empty(shape)
        return
    path = Path(out)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        mapped = np.lib.format.open_memmap(part, "w+", np.float64, shape)
        yield mapped
        mapped.flush()
        del mapped
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _data_hash(problem):
    """Hash of the training data as fit has seen them."""
    fingerprint = problem.record.fingerprint
    return getattr(fingerprint, "source", None) or fingerprint_of(fingerprint.rows)


def refuse_stored(**given):
    """Raise for files and folders where the model lies on another device than NumPy's."""
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(
                f"{name}= is for models that are fitted on arrays of NumPy: pass X and y as such."
            )


def check_stored(method, out, checkpoint, **excluded):
    """Raise for options that an answer in blocks has no place for.

    Parameters
    ----------
    method : str
    out, checkpoint : str, Path or None
    **excluded : object
        Values of arguments that should be left at None or False.
    """
    what = "out" if out is not None else "checkpoint"
    if method == "auto":
        raise ValueError(
            f"with {what}= the rows are answered in blocks, and method='auto' has one budget for "
            "all: pass method='newton', 'exact' or 'first_order'."
        )
    for name, value in excluded.items():
        if value is not None and value is not False:
            raise ValueError(
                f"{name}={shown(value)} is not available with {what}=: leave it at its default."
            )
    if out is not None and Path(out).suffix != ".npy":
        raise ValueError(f"out should be the path of a .npy file; got {shown(str(out))}.")
