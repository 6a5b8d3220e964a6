"""Answers of many rows, block by block: into a file, and through a folder of finished blocks."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skinfluence._parallel import check_progress, tracked
from skinfluence._sources import files_of
from skinfluence._store import Store, described, fingerprint_of
from skinfluence._validation import shown
from skinfluence.attribution import influence_matrix
from skinfluence.curvature import RowsElsewhere
from skinfluence.deletion import delete
from skinfluence.leave_one_out import LooPredictions, leave_one_out_of
from skinfluence.objective import parts_of
from skinfluence.problem._batches import batch_answers
from skinfluence.problem._by_parts import goes_by_parts, step_of_part

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
    block_rows = _block_rows(problem, method, rows, curvature, 8 * len(query) * outputs)
    store = None
    if checkpoint is not None:
        names = {"rows": len(rows), "method": method, "block_rows": block_rows, **asked}
        data = fingerprint_of(problem.objective.theta, rows, query.eta, query.y, query.weight)
        store = Store(checkpoint, parameters=names, fingerprint=data + _data_hash(problem))
    asked_of = query, method == "first_order"
    parts, answers = _influence_answers(problem, method, rows, curvature, asked_of, block_rows)
    undefined = []
    with _result(out, shape) as result:
        for part, found in tracked(_Sized(len(parts), _kept(parts, store, answers)), progress):
            result[:, part] = found["values"]
            undefined.append(part.start + np.flatnonzero(found["undefined"]))
    problem.warn_undefined(rows[np.concatenate(undefined)])
    return result if out is None else np.load(out, mmap_mode="r")


def _kept(parts, store, answers):
    """Yield (part, arrays) of every part in order: read where they are finished, else computed.

    Parameters
    ----------
    parts : list of slice
    store : Store or None
    answers : callable
        `answers(parts)` yields the arrays of some of them, in order.
    """
    names = [f"rows-{part.start:012d}" for part in parts]
    done = [store is not None and store.finished(name) for name in names]
    coming = iter(answers([part for part, known in zip(parts, done, strict=True) if not known]))
    for part, name, known in zip(parts, names, done, strict=True):
        found = store.read(name) if known else next(coming)
        if store is not None and not known:
            store.write(name, **found)
        yield part, found


def _influence_answers(problem, method, rows, curvature, asked_of, n_rows):
    """(Parts of the rows, what finds the columns of some of them and which have no model)."""
    objective = problem.objective
    if _is_by_parts(problem, method, rows, curvature):
        parts = list(objective.design.part_slices(n_rows))

        def by_parts(todo):
            """Of blocks by workers, each block of rows read where it is worked on."""
            classes, corrected = objective.class_counts, method == "newton"
            target = asked_of[0].target
            here = not target.uses_encoded_labels  # a function that a worker may not know
            told = curvature if here else curvature.without_rows()
            about = told, classes, corrected, *asked_of
            groups = _groups(objective.design, n_rows, asked_of[0], todo)
            shared = objective.map_groups(_columns_of_parts, groups, *about, here=here)
            for group, found in zip(groups, shared, strict=True):
                if found is None:
                    found = _columns_of_parts(0, objective, curvature, *about[1:], group)
                yield from found

        return parts, by_parts
    parts = [slice(a, min(a + n_rows, len(rows))) for a in range(0, len(rows), n_rows)]

    def by_rows(todo):
        """Of any method, batch by batch of the rows that are deleted."""
        batches = [rows[part] for part in todo]
        return batch_answers(objective, curvature, batches, _columns, method, *asked_of)

    return parts, by_rows


def _is_by_parts(problem, method, rows, curvature):
    """Whether one step of every row is asked, which goes by parts of the rows."""
    everything = len(rows) == problem.objective.n_rows
    return curvature is not None and everything and goes_by_parts(problem, method, curvature)


def _groups(design, n_rows, query, todo):
    """Lists of slices that a worker answers at once: of one block, and of so many bytes."""
    size = 8 * len(query) * query.target.n_outputs * n_rows
    wanted = {part.start for part in todo}
    groups = design.slice_groups(n_rows, max(1, BLOCK_BYTES // size))
    found = ([part for part in group if part.start in wanted] for group in groups)
    return [group for group in found if group]


def _columns_of_parts(start, objective, curvature, classes, corrected, query, linearised, group):
    """Arrays of the parts of a block; None where they need the other blocks."""
    found = []
    for rows in group:
        own = objective.take(slice(rows.start - start, rows.stop - start))
        for _, part in parts_of(own, own.n_rows):
            try:
                step = step_of_part(part, rows, curvature, classes, corrected=corrected)
            except RowsElsewhere:
                return None
            values = influence_matrix(step, query, linearised=linearised)
            found.append({"values": values, "undefined": step.undefined})
    return found


def _columns(objective, curvature, rows, method, query, linearised):
    """Arrays of a batch of rows."""
    made = delete(objective, curvature, method, rows)
    values = influence_matrix(made, query, linearised=linearised)
    return {"values": values, "undefined": made.undefined}


def stored_leave_one_out(problem, method, curvature, *, tolerance, checkpoint, progress):
    """LooPredictions of refits without every row, in batches, through a folder if one is given."""
    check_progress(progress)
    objective, n = problem.objective, problem.objective.n_rows
    blocks = [slice(a, min(a + REFITTED_ROWS, n)) for a in range(0, n, REFITTED_ROWS)]
    store = None
    if checkpoint is not None:
        asked = {"question": "leave-one-out", "method": method, "tol": tolerance}
        asked["block_rows"] = REFITTED_ROWS
        data = fingerprint_of(objective.theta) + _data_hash(problem)
        store = Store(checkpoint, parameters=asked, fingerprint=data)

    def answers(todo):
        """The predictors of batches of rows, and what is known about them."""
        batches = [np.arange(part.start, part.stop) for part in todo]
        return batch_answers(objective, curvature, batches, _predictors, tolerance)

    kept = tracked(_Sized(len(blocks), _kept(blocks, store, answers)), progress)
    parts = [found for _, found in kept]
    return LooPredictions(
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )


def _predictors(objective, curvature, rows, tolerance):
    """Arrays of the leave-one-out predictors of a batch of rows."""
    found = vars(leave_one_out_of(objective, curvature, rows, tolerance))
    return {name: value for name, value in found.items() if value is not None}


def flip_store(problem, checkpoint, quantity, units, asked):
    """Store of the steps of a search for the smallest flip; None without a folder.

    Parameters
    ----------
    problem : FittedProblem
    checkpoint : str, Path or None
        The folder.
    quantity : Quantity
    units : list of ndarray of int
        Rows that leave together.
    asked : dict
        What else the answer depends on.
    """
    if checkpoint is None:
        return None
    if callable(quantity.arguments.get("scoring")):
        raise ValueError("with checkpoint= the scoring should be named; got a function.")
    names = {"question": "smallest flip", "quantity": quantity.kind}
    names |= {f"{quantity.kind} {key}": described(v) for key, v in quantity.arguments.items()}
    sizes = np.array([len(unit) for unit in units])
    data = fingerprint_of(problem.objective.theta, sizes, np.concatenate(units))
    return Store(checkpoint, parameters=names | asked, fingerprint=data + _data_hash(problem))


class _Sized:
    """An iterable of known length, for progress bars."""

    def __init__(self, length, items):
        self._length, self._items = length, items

    def __len__(self):
        return self._length

    def __iter__(self):
        return iter(self._items)


def _block_rows(problem, method, rows, curvature, row_bytes):
    """Rows of a block."""
    if _is_by_parts(problem, method, rows, curvature):
        size = 2 * (row_bytes + 8 * problem.objective.n_parameters)
        return max(FEWEST_ROWS, BLOCK_BYTES // size)
    n_rows = max(FEWEST_ROWS, BLOCK_BYTES // max(1, row_bytes))
    return min(n_rows, REFITTED_ROWS) if method == "exact" else n_rows


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


def check_out(out, problem, X_test, y_test):
    """Raise where a file of results is one that the training rows or the test rows are read from.

    Parameters
    ----------
    out : str, Path or None
    problem : FittedProblem
    X_test, y_test : array-like
    """
    if out is None or not os.path.exists(out):
        return
    data = problem.record.data
    of_fit = (data.stored, getattr(data.space, "rows", None), data.y, data.sample_weight)
    for sources, what in (
        (of_fit, "that the model was fitted on"),
        ((X_test, y_test), "of the test rows"),
    ):
        for path in files_of(*sources):
            if os.path.exists(path) and os.path.samefile(out, path):
                raise ValueError(
                    f"out should be a file of its own; got {shown(str(out))}, one {what}, which "
                    "would be overwritten. Pass another path."
                )
