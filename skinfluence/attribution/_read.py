"""Reading a deletion at a target.

One generator walks over blocks of test rows and of deletions; its consumers keep a block (matrix),
its sum (aggregate) or its extremes (top-k), so that only the first ever holds n_test x n_train.
"""

from dataclasses import dataclass

import numpy as np

from skinfluence._class_axis import classes_first, classes_last
from skinfluence._memory import check_memory
from skinfluence._parallel import cache_blocks, map_ordered, row_blocks, tracked
from skinfluence.attribution._topk import RunningTopK
from skinfluence.deletion.targets import Target
from skinfluence.design import Design

# Deletions a block: enough columns for a GEMM at full speed.
BLOCK_DELETIONS = 512
# Test rows of a block whose largest entries are looked for, so that it stays in a cache.
CACHED_TESTS = 256


@dataclass(frozen=True)
class Query:
    """Test rows, and what is measured at them.

    Attributes
    ----------
    design : Design of shape (m, q)
    y : ndarray of shape (m,) or None
        Encoded as the target wants it.
    eta : ndarray of shape (m, K)
        Predictors of the full fit.
    target : Target
    weight : ndarray of shape (m,) or None
        Of the test rows in a sum or mean over them; None for ones.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    design: Design
    y: np.ndarray | None
    eta: np.ndarray
    target: Target
    weight: np.ndarray | None = None

    def __len__(self):
        """Number of test rows."""
        return self.design.shape[0]

    def take(self, rows):
        """Return these rows only."""
        y = None if self.y is None else self.y[rows]
        weight = None if self.weight is None else self.weight[rows]
        return Query(self.design.take(rows), y, self.eta[rows], self.target, weight)

    @property
    def shares(self):
        """Weights of the rows in a sum over them, (m,)."""
        return np.ones(len(self)) if self.weight is None else self.weight

    def slopes(self, is_scalar):
        """Derivatives of the target in the predictors of each test row, (m, O, K).

        0 in rows of weight 0, which have no part in a sum, even where their own are infinite.
        """
        eta = classes_last(np.ascontiguousarray(self.eta.T), is_scalar)
        gradient = np.asarray(self.target.gradient(self.y, eta))
        gradient = gradient.reshape(len(self), self.target.n_outputs, self.eta.shape[1])
        if self.weight is None or self.weight.all():
            return gradient
        return np.where(self.weight[:, None, None] > 0, gradient, 0.0)

    def directions(self, is_scalar):
        """Gradients of the target in theta at each test row, (O m, K, q), outputs outermost."""
        return self.design.outer_all(self.slopes(is_scalar))


def _moved(deletion, test):
    """Return a function of a slice: the target at the moved predictors minus before, (O, m, b)."""
    target, is_scalar = test.target, deletion.objective.loss.is_scalar
    has_one_output = target.n_outputs == 1
    change = deletion.on(test.design)
    eta = np.ascontiguousarray(test.eta.T)
    before = np.asarray(target.value(test.y, classes_last(eta, is_scalar)))
    before = classes_first(before, has_one_output)

    def read(part, out=None):
        delta = change(part)
        result = np.empty((target.n_outputs, *delta.shape[1:])) if out is None else out[None]
        # A caller's function sees all rows at once.
        width = delta.shape[0] * delta.shape[2] if target.uses_encoded_labels else 0
        for rows in cache_blocks(len(test), width):
            moved = delta[:, rows]
            moved += eta[:, rows, None]
            y = None if test.y is None else test.y[rows, None]
            value = classes_first(target.value(y, classes_last(moved, is_scalar)), has_one_output)
            with np.errstate(invalid="ignore"):  # an infinite deviance, before and after
                np.subtract(value, before[:, rows, None], out=result[:, rows])
        return result

    return read


def _linear(deletion, test):
    """Return a function of a slice: the target's gradient along the step, (O, m, b)."""
    outputs = test.target.n_outputs
    slopes = test.slopes(deletion.objective.loss.is_scalar)
    along = deletion.along_rows(test.design, slopes)

    def read(part, out=None):
        if out is not None:
            return along(part, out)[None]
        return along(part).reshape(outputs, len(test), -1)

    return read


def _blocks(deletion, test, *, linearised, progress=None, into=None, at_most=None):
    """Yield (test rows, deletions, influence (O, m_b, b)), undefined deletions NaN.

    Blocks of a target with one output are written into the array `into` (m, r), if there is one.
    They are of `at_most` test rows.
    """
    objective, outputs = deletion.objective, test.target.n_outputs
    wide = max(objective.n_outputs, outputs)
    test_blocks = row_blocks(len(test), 4 * 8 * wide * objective.n_parameters, at_most=at_most)
    parts = row_blocks(len(deletion), 8 * 4 * wide * _length(test_blocks), at_most=BLOCK_DELETIONS)
    total = len(test_blocks) * len(parts)
    blocks = _read_all(deletion, test, test_blocks, parts, linearised, into)
    yield from tracked(blocks, progress, total=total)


def _read_all(deletion, test, test_blocks, parts, linearised, into):
    """Yield what `_blocks` says, with the solves of a block of test rows done once."""
    for test_rows in test_blocks:
        some = test if len(test_blocks) == 1 else test.take(test_rows)
        read = (_linear if linearised else _moved)(deletion, some)

        def block(part, read=read, test_rows=test_rows):
            out = None if into is None else into[test_rows, part]
            return test_rows, part, deletion.mask_undefined(read(part, out), part)

        # A caller's function need not be safe in threads, and a linear target is all product.
        threaded = test.target.uses_encoded_labels and not linearised
        yield from map_ordered(block, parts, threaded=threaded)


def _length(blocks):
    """Rows of the longest block."""
    return blocks[0].stop - blocks[0].start if blocks else 1


def check_matrix(test, n_deletions):
    """Raise where the influence of so many deletions on a Query's rows has no room in memory."""
    check_memory(
        8 * len(test) * n_deletions * test.target.n_outputs,
        f"the influence of {n_deletions} deletions on {len(test)} test rows",
        "ask about fewer deletions (train_indices), for their mean over the test rows "
        "(aggregate='mean'), or for the largest only (most_influential())",
    )


def influence_matrix(deletion, test, *, linearised, progress=None):
    """Influence (m, r), or (m, r, O) where the target has several outputs."""
    outputs, shape = test.target.n_outputs, (len(test), len(deletion))
    options = {"linearised": linearised, "progress": progress}
    check_matrix(test, len(deletion))
    if outputs == 1:
        result = np.empty(shape)
        for _ in _blocks(deletion, test, into=result, **options):
            pass
        return result
    result = np.empty((*shape, outputs))
    for test_rows, part, block in _blocks(deletion, test, **options):
        result[test_rows, part] = classes_last(block, is_scalar=False)
    return result


def influence_aggregate(deletion, test, how, *, linearised, progress=None):
    """Sum or mean of the influence over the test rows by their weights, (r,) or (r, O)."""
    if test.weight is not None and not test.weight.all():  # one of 0 may have an infinite value
        test = test.take(np.flatnonzero(test.weight))
    outputs = test.target.n_outputs
    total = np.zeros((outputs, len(deletion)))
    if linearised:
        # The sum of linear functions is one linear function: one solve in all.
        shape = (outputs, deletion.objective.n_outputs, deletion.objective.design.shape[1])
        direction = np.zeros(shape)
        for rows in row_blocks(len(test), 4 * 8 * outputs * deletion.objective.n_parameters):
            part = test.take(rows)
            some = part.directions(deletion.objective.loss.is_scalar)
            some = some.reshape(outputs, -1, *shape[1:])
            direction += np.einsum("om...,m->o...", some, part.shares)
        along = deletion.along(direction)
        for part in tracked(row_blocks(len(deletion), 8 * 4 * outputs, at_most=8192), progress):
            total[:, part] = deletion.mask_undefined(along(part), part)
    else:
        for rows, part, block in _blocks(deletion, test, linearised=False, progress=progress):
            with np.errstate(invalid="ignore"):  # infinite effects of both signs
                if test.weight is None:
                    total[:, part] += block.sum(axis=1)
                else:
                    total[:, part] += np.einsum("omb,m->ob", block, test.weight[rows])
    if how == "mean":
        total /= test.shares.sum()
    return total.T if outputs > 1 else total[0]


def influence(deletion, test, aggregate=None, *, linearised, progress=None):
    """Influence matrix, or its sum or mean over the test rows for an `aggregate`."""
    options = {"linearised": linearised, "progress": progress}
    if aggregate is None:
        return influence_matrix(deletion, test, **options)
    return influence_aggregate(deletion, test, aggregate, **options)


class Extremes:
    """The k largest and the k smallest influences of each test row, of deletions part by part.

    Parameters
    ----------
    test : Query
    k : int
    """

    def __init__(self, test, k):
        self.test, self.k = test, k
        outputs, m = test.target.n_outputs, len(test)
        self._queries = np.arange(outputs * m).reshape(outputs, m)
        self._largest = RunningTopK(outputs * m, k)
        self._smallest = RunningTopK(outputs * m, k, sign=-1.0)

    def read(self, deletion, first=0, *, linearised, progress=None):
        """Look at deletions, of which the first one is at position `first` of all."""
        # Blocks that stay in a cache until they have been looked at; a step's would be taken anew
        # for every block of test rows.
        options = {"at_most": CACHED_TESTS} if linearised else {}
        options |= {"linearised": linearised, "progress": progress}
        for test_rows, part, block in _blocks(deletion, self.test, **options):
            rows, block = self._queries[:, test_rows].ravel(), block.reshape(-1, block.shape[2])
            self._largest.update(rows, block, first + part.start)
            self._smallest.update(rows, block, first + part.start)

    def found(self, rows):
        """Return what `influence_topk` does, of deletions of some training rows."""
        outputs, m = self._queries.shape
        found = []
        for top, sign in ((self._largest, 1.0), (self._smallest, -1.0)):
            for array in (_as_rows(top.positions, rows), sign * top.values):
                shaped = array.reshape(outputs, m, self.k)
                found.append(classes_last(shaped, is_scalar=outputs == 1))
        return tuple(found)


def influence_topk(deletion, test, k, *, linearised, progress=None):
    """Positions and values of the k largest and the k smallest influences of each test row.

    Returns
    -------
    (largest_indices, largest_values, smallest_indices, smallest_values)
        Each (m, k), or (m, k, O); positions in the training data.
    """
    extremes = Extremes(test, k)
    extremes.read(deletion, linearised=linearised, progress=progress)
    return extremes.found(deletion.rows)


def _as_rows(positions, rows):
    """Positions among the deletions as training rows; -1 stays -1."""
    return np.where(positions >= 0, rows[positions], -1)


def self_influence(deletion, test, *, linearised):
    """Influence of each deleted row on the target at itself, (r,) or (r, O)."""
    objective, target = deletion.objective, test.target
    change = deletion.own_change()
    eta = objective.native(test.eta)
    if linearised:
        K = objective.n_outputs
        gradient = np.asarray(target.gradient(test.y, eta)).reshape(len(test), target.n_outputs, K)
        result = np.einsum("iok,ik->io", gradient, change)
    else:
        moved = objective.native(test.eta + change)
        with np.errstate(invalid="ignore"):  # an infinite deviance, before and after
            result = target.value(test.y, moved) - target.value(test.y, eta)
        result = result.reshape(len(test), target.n_outputs)
    result[deletion.undefined] = np.nan
    return result if target.n_outputs > 1 else result[:, 0]
