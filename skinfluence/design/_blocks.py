"""Rows that are read in blocks: the answers of the blocks' designs, put together."""

import numpy as np
from scipy.sparse import issparse

from skinfluence._memory import check_memory
from skinfluence._parallel import in_order, map_ordered, n_workers, one_thread, row_blocks
from skinfluence._sources import RowBlocks
from skinfluence.design._base import Design
from skinfluence.design._csr import CSRDesign
from skinfluence.design._dense import DenseDesign

# Bytes of rows that `take` copies; more of them stay blocks of which some rows are read.
COPIED = 2**25


def _design(X, fit_intercept, origin):
    """Design of rows in memory."""
    return (CSRDesign if issparse(X) else DenseDesign)(X, fit_intercept, origin)


def _answer(block, values, code, weights_are_read, about, function, *shared, parts=()):
    """Answer of a block: a function of descriptions and parameters, which any worker can compute.

    Products take one thread of BLAS, so that the numbers are the same wherever they are computed.
    """
    X, read, read_weight = block.read(parts)
    y, weight, *others = values
    y = code.labels(read) if y is None else y
    if weight is None:
        weight = np.asarray(read_weight) if weights_are_read else code.row_weights(read)
    with one_thread():
        return function(
            block.start, _design(X, *about), y, np.asarray(weight, np.float64), *others, *shared
        )


def _answer_of_parts(X, y, weight, *task):
    """The same of a block whose rows are at hand, None for what it has not."""
    given = 3 if weight is not None else 2 if y is not None else 1
    return _answer(*task, parts=(X, y, weight)[:given])


class LabelsOfBlocks:
    """Labels and weights of an objective, told by their source where they follow from it.

    Parameters
    ----------
    blocks : RowBlocks
    own : (ndarray or None, ndarray or None)
        Labels and weights that are in memory, and have no description.
    code : LabelCode or None
    weights_are_read : bool
    """

    def __init__(self, blocks, own, code, weights_are_read):
        self.blocks, self.own, self.code = blocks, own, code
        self.weights_are_read = weights_are_read

    def __call__(self):
        """Return (labels, weights) of all rows."""
        y, weight = self.own
        if y is None or weight is None:
            read, read_weight = self.blocks.labels()
        y = self.code.labels(read) if y is None else y
        if weight is None:
            weight = read_weight if self.weights_are_read else self.code.row_weights(read)
        return y, np.asarray(weight, np.float64)


class BlocksDesign(Design):
    """Z = [X - m, 1] of rows in blocks, of which one block at a time is in memory.

    Every method is one pass over the rows. Sums are added in the order of the blocks.
    """

    def __init__(self, X, fit_intercept, origin=None, eps=None):
        if not isinstance(X, RowBlocks):
            raise TypeError(f"a design of blocks needs RowBlocks; got {type(X).__name__}.")
        super().__init__(X, fit_intercept, origin, eps)

    def _in_memory(self, X):
        """Design of some rows in memory, about the same origin."""
        return _design(X, self.fit_intercept, self.origin)

    def _blocks(self):
        """Yield (slice of rows, their design in memory) of every block that has rows."""
        edges = self.X.edges
        for i in np.flatnonzero(self.X.sizes):
            yield slice(int(edges[i]), int(edges[i + 1])), self._in_memory(self.X.block(int(i)))

    def parts(self, n_rows):
        for rows, design in self._blocks():
            for own, part in design.parts(n_rows):
                yield slice(rows.start + own.start, rows.start + own.stop), part

    def part_slices(self, n_rows):
        edges = self.X.edges
        for i in np.flatnonzero(self.X.sizes):
            for rows in row_blocks(int(self.X.sizes[i]), 8 * self.shape[1], at_most=n_rows):
                yield slice(int(edges[i]) + rows.start, int(edges[i]) + rows.stop)

    def map_blocks(self, function, values, *shared, here=False):
        filled = [int(i) for i in np.flatnonzero(self.X.sizes)]
        answers = self._mapped(filled, function, values, shared, here=here)
        for i, answer in zip(filled, answers, strict=True):
            self.X.mark_checked(i)
            yield self._rows_of(i), answer

    def map_groups(self, function, values, groups, *shared, here=False):
        first = [group[0].start for group in groups]
        blocks = [int(i) for i in np.searchsorted(self.X.edges, first, side="right") - 1]
        further = [(group,) for group in groups]
        yield from self._mapped(blocks, function, values, shared, further, here=here)

    @property
    def can_be_sent(self):
        return not self.X.computes  # dask's chunks are its own workers'

    def _begins_block(self, row):
        return row == self.X.edges[np.searchsorted(self.X.edges, row)]

    def _rows_of(self, i):
        """Slice of the rows of a block."""
        return slice(int(self.X.edges[i]), int(self.X.edges[i + 1]))

    def _mapped(self, blocks, function, values, shared, further=None, *, here):
        """Answers of some blocks, in order; `further` arguments are each one's own."""
        further = [()] * len(blocks) if further is None else further

        def own(position):
            """Answer of a block that is read here."""
            i = blocks[position]
            at = self._rows_of(i)
            parts = [None if each is None else each[at] for each in values]
            design = self._in_memory(self.X.block(i))
            with one_thread():
                return function(at.start, design, *parts, *shared, *further[position])

        if here or not (self.X.computes or n_workers(None) > 1):
            threaded = self.X.is_thread_safe and not here
            return map_ordered(own, range(len(blocks)), threaded=threaded)
        tasks = self._tasks(blocks, values, function, shared, further)
        by = self.X.map if self.X.computes else in_order
        return by(_answer_of_parts if self.X.computes else _answer, tasks)

    def _tasks(self, blocks, values, function, shared, further):
        """Yield what `_answer` takes of each block: descriptions, parameters, and no rows.

        Labels in memory have no description: each block's own go along.
        """
        y, weight, *others = values
        code, weights_are_read = self.X.label_code(y, weight)
        by_class = code is not None and code.weights is not None
        about = self.fit_intercept, self.origin
        for i, more in zip(blocks, further, strict=True):
            at = self._rows_of(i)
            own = (
                None if code is not None else y[at],
                None if weights_are_read or by_class else weight[at],
                *(None if each is None else each[at] for each in others),
            )
            yield self.X.one(i), own, code, weights_are_read, about, function, *shared, *more

    def described(self, y, weight):
        code, weights_are_read = self.X.label_code(y, weight)
        by_class = code is not None and code.weights is not None
        own = (
            None if code is not None else y,
            None if weights_are_read or by_class else weight,
        )
        return LabelsOfBlocks(self.X, own, code, weights_are_read)

    def _added(self, answer):
        """Sum over the blocks of answer(rows, design)."""
        total = None
        for rows, design in self._blocks():
            found = answer(rows, design)
            total = found if total is None else np.add(total, found, out=total)
        return total

    def _filled(self, shape, answer):
        """Array of the answers of the blocks' rows, one below the other."""
        result = np.empty((self.shape[0], *shape))
        for rows, design in self._blocks():
            result[rows] = answer(design)
        return result

    def matmul(self, V, out=None):
        product = np.empty((self.shape[0], V.shape[1])) if out is None else out
        for rows, design in self._blocks():
            design.matmul(V, out=product[rows])
        return product

    def transpose_matmul(self, U):
        U = np.asarray(U, dtype=np.float64)
        return self._added(lambda rows, design: design.transpose_matmul(U[rows]))

    def forward_back(self, V, slopes):
        return self.forward_back_beside(V, slopes, np.zeros((self.shape[1], 0)))[:2]

    def forward_back_beside(self, V, slopes, beside):
        n, total = self.shape[0], 0.0
        product, further = np.empty((n, V.shape[1])), np.empty((n, beside.shape[1]))
        for rows, design in self._blocks():

            def own(part, eta, start=rows.start, size=rows.stop - rows.start):
                """Slopes of a part of the block."""
                first, last, _ = part.indices(size)
                return slopes(slice(start + first, start + last), eta)

            product[rows], found, further[rows] = design.forward_back_beside(V, own, beside)
            total = total + found
        return product, total, further

    def matmul_columns(self, V):
        return self._filled((V.shape[1],), lambda design: design.matmul_columns(V))

    def absolute_sum(self, u):
        return self._added(lambda rows, design: design.absolute_sum(u[rows]))

    def squared_columns(self, w):
        return self._added(lambda rows, design: design.squared_columns(w[rows]))

    def sandwich_of(self, parts, n_outputs):
        total = np.zeros((n_outputs * self.shape[1],) * 2)
        for rows, W in parts:
            if isinstance(rows, slice) and rows == slice(None):
                total += self._added(
                    lambda own, design, W=W: design.sandwich_of([(slice(None), W[own])], n_outputs)
                )
            else:
                total += self.take(rows).sandwich_of([(slice(None), W)], n_outputs)
        return total

    def dense(self, rows):
        return self._in_memory(self.X[rows]).dense(slice(None))

    def features(self, rows):
        return self._in_memory(self.X[rows]).features(slice(None))

    def contract(self, S, V, rows, out=None):
        if not isinstance(rows, slice):
            return self._in_memory(self.X[rows]).contract(S, V, slice(None), out)
        start, stop, _ = rows.indices(self.shape[0])
        result = np.empty((len(S), stop - start)) if out is None else out
        for own, design in self._overlapping(start, stop):
            at = slice(own.start - start, own.stop - start)
            result[:, at] = design.contract(S, V[at], slice(None))
        return result

    def _overlapping(self, start, stop):
        """Yield (rows, design) of the parts of blocks between two rows."""
        edges = self.X.edges
        first, last = np.searchsorted(edges, [start, stop], side="right")
        for i in range(max(0, int(first) - 1), min(int(last), self.X.n_blocks)):
            begin, end = max(start, int(edges[i])), min(stop, int(edges[i + 1]))
            if begin < end:
                own = self.X.block(i)[begin - int(edges[i]) : end - int(edges[i])]
                yield slice(begin, end), self._in_memory(own)

    def row_quadratic(self, M):
        return self._filled((), lambda design: design.row_quadratic(M))

    def row_norms(self, T):
        return self._filled((), lambda design: design.row_norms(T))

    def block_quadratic(self, M, n_outputs):
        shape = (n_outputs, n_outputs)
        return self._filled(shape, lambda design: design.block_quadratic(M, n_outputs))

    def row_squares(self):
        return self._filled((), lambda design: design.row_squares())

    def kernel_diagonal(self, scale):
        return self._filled((), lambda design: design.kernel_diagonal(scale))

    def kernel(self, scale):
        n = self.shape[0]
        return self._whole(8 * n * n, f"the kernel of {n} rows").kernel(scale)

    def row_space(self, scale):
        return self._whole(24 * self.shape[0] ** 2, "coordinates in the rows' space").row_space(
            scale
        )

    def _whole(self, n_bytes, what):
        """Design of all rows in memory, for what cannot be found block by block."""
        size = self.shape[0] * self.n_features * self.X.dtype.itemsize
        check_memory(
            n_bytes + size,
            f"{what}, which needs all rows at once,",
            "pass curvature='dense' or curvature='cg', which read them block by block",
        )
        return self._in_memory(self.X[:])

    @property
    def n_stored(self):
        filled = int(np.flatnonzero(self.X.sizes)[0])
        first = self._in_memory(self.X.block(filled))
        return int(first.n_stored * (self.shape[0] / first.shape[0]))

    def row_hashes(self, multipliers, rows):
        if not (isinstance(rows, slice) and rows == slice(None)):
            return self._in_memory(self.X[rows]).row_hashes(multipliers, slice(None))
        hashes = np.empty(self.shape[0], dtype=np.uint64)
        for own, design in self._blocks():
            hashes[own] = design.row_hashes(multipliers, slice(None))
        return hashes

    def like(self, X):
        return super().like(X) if isinstance(X, RowBlocks) else self._in_memory(X)

    def extended(self, other):
        return BlocksDesign(self.X.followed_by(other.X), self.fit_intercept, self.origin)

    def _columns(self, features, fit_intercept):
        origin = None if self.origin is None else self.origin[features]
        return BlocksDesign(self.X.selected(columns=features), fit_intercept, origin)

    def take(self, rows):
        index = np.arange(self.shape[0])[rows]
        everything = len(index) == self.shape[0] and (index[1:] > index[:-1]).all()
        if everything:
            return self
        size = len(index) * self.n_features * self.X.dtype.itemsize
        if size > COPIED and (index[1:] >= index[:-1]).all():
            return BlocksDesign(self.X.selected(index), self.fit_intercept, self.origin)
        check_memory(size, f"{len(index)} of the rows", "ask about fewer rows (train_indices)")
        return self._in_memory(self.X[index])

    # Answered by `matmul` and `transpose_matmul`, and by `extended`.

    def _times(self, V, out=None):
        raise NotImplementedError

    def _transpose_times(self, U):
        raise NotImplementedError

    def _gram(self, w):
        raise NotImplementedError

    def _stacked(self, X):
        raise NotImplementedError
