"""Sparse X in CSR format, a matrix or an array of SciPy."""

from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse

from skinfluence._parallel import map_ordered, n_threads, one_thread, row_blocks
from skinfluence.design._base import Design
from skinfluence.design._dense import BLOCK_ROWS, DenseDesign
from skinfluence.design._origin import centred
from skinfluence.design._row_operator import RowOperator

# Above this many pairs of stored entries for each row and column, syrk on dense blocks is faster
# than the loop over pairs: measured with 20,000 rows, from 140 entries a row for 2,000 columns,
# from 70 for 500 and from 45 for 200.
DENSE_PAIRS = 10.0
# Columns for each row up to which a factorisation of X costs no more than one of its kernel.
FEW_COLUMNS = 1
# Multiplications from which a product is shared out among threads.
SHARED = 4e6


class CSRDesign(Design):
    """Z = [X, 1] of a CSR matrix; no temporary is as large as a dense X."""

    def __init__(self, X, fit_intercept, origin=None, eps=None):
        # Always a csr_array: `*` and one-dimensional indexing differ between sparse arrays and
        # sparse matrices. The arrays of entries are shared, not copied.
        X = scipy.sparse.csr_array(X)
        if eps is None and origin is not None:
            eps, X = np.finfo(X.dtype).eps, centred(X, origin)
        # X with its `eps` is a part of a design, and centred already.
        super().__init__(X, fit_intercept, origin, eps)

    def _holds(self, X):
        # The csr_array of a matrix is a new object each time, of the same arrays.
        parts = ("data", "indices", "indptr")
        return all(np.shares_memory(getattr(self.X, part), getattr(X, part)) for part in parts)

    def features(self, rows):
        return self.X[rows]

    def _times(self, V, out=None):
        """X @ V, copied into `out`: SciPy's sparse product has no such argument."""
        parts = self._row_parts(V.shape[1])
        if len(parts) > 1:
            out = np.empty((self.shape[0], V.shape[1])) if out is None else out

            def times(rows):
                """Write the products of some rows."""
                out[rows] = self._rows(rows) @ V

            for _ in map_ordered(times, parts):
                pass
            return out
        product = np.asarray(self.X @ V, dtype=np.float64)
        if out is None:
            return product
        out[...] = product
        return out

    def _transpose_times(self, U):
        """X'U, by columns of U: the order of each sum does not depend on the threads."""
        k = U.shape[1]
        if k == 1 or len(self._row_parts(k)) == 1:
            return np.asarray(self._transposed @ U, dtype=np.float64)
        product = np.empty((self.n_features, k))

        def times(columns):
            """Write the sums of some columns."""
            product[:, columns] = self._transposed @ np.ascontiguousarray(U[:, columns])

        for _ in map_ordered(times, row_blocks(k, 1, at_most=-(-k // n_threads()))):
            pass
        return product

    def _row_parts(self, n_columns):
        """Slices of rows with about as many entries, a thread's share each; one for little work."""
        n = n_threads() if self.X.nnz * n_columns >= SHARED else 1
        if n == 1:
            return [slice(0, self.shape[0])]
        goals = np.linspace(0, self.X.nnz, n + 1)[1:-1]
        edges = [0, *np.searchsorted(self.X.indptr, goals).tolist(), self.shape[0]]
        return [slice(*pair) for pair in pairwise(edges) if pair[0] < pair[1]]

    def _rows(self, rows):
        """Rows of X, a slice, that share its arrays of entries."""
        pointers = self.X.indptr[rows.start : rows.stop + 1]
        entries = slice(pointers[0], pointers[-1])
        parts = self.X.data[entries], self.X.indices[entries], pointers - pointers[0]
        return scipy.sparse.csr_array(parts, shape=(len(pointers) - 1, self.n_features))

    @cached_property
    def _transposed(self):
        """X.T, a view of the same entries that takes SciPy longer to make than a product."""
        return self.X.T

    def __getstate__(self):
        """A pickle of the view would have every entry twice."""
        return {name: value for name, value in vars(self).items() if name != "_transposed"}

    def _gram(self, w):
        """Z' diag(w) Z by a loop over pairs of stored entries, or dense blocks if they are many."""
        X, q = self.X, self.shape[1]
        G = np.zeros((q, q))
        pairs = np.sum(np.diff(X.indptr).astype(float) ** 2)
        if pairs > DENSE_PAIRS * q * self.shape[0]:
            for rows in row_blocks(self.shape[0], 8 * q, at_most=BLOCK_ROWS):
                G += DenseDesign(X[rows].toarray(), self.fit_intercept)._gram(w[rows])
            return G
        from skinfluence._kernels import csr_weighted_gram

        csr_weighted_gram(X.data, X.indices, X.indptr, w, self.fit_intercept, G)
        return G

    def dense(self, rows):
        block = self.X[rows]
        Z = np.zeros((block.shape[0], self.shape[1]))
        Z[:, : self.n_features] = block.toarray()
        if self.fit_intercept:
            Z[:, -1] = 1.0
        return Z

    def contract(self, S, V, rows, out=None):
        """One sparse product for all outputs, then their sum weighted by V."""
        m, K, q = S.shape
        block = self.X[rows]
        product = self._plus_intercept(block, S.reshape(m * K, q)).reshape(-1, m, K)
        # The sparse product gives (b, m); its transpose is a view, and copied only into `out`.
        result = np.matmul(product, V[:, :, None])[:, :, 0].T if K > 1 else (product[:, :, 0] * V).T
        if out is None:
            return result
        out[...] = result
        return out

    def _plus_intercept(self, block, S):
        """[block, 1] @ S.T for S (m, q)."""
        product = np.asarray(block @ np.ascontiguousarray(S[:, : self.n_features].T))
        if self.fit_intercept:
            product += S[:, -1]
        return product

    def row_quadratic(self, M):
        """z_i' M z_i over pairs of stored entries."""
        from skinfluence._kernels import csr_row_quadratic

        X, M = self.X, np.ascontiguousarray(M)
        quadratic = np.empty(self.shape[0])

        def forms(rows):
            """Write those of some rows."""
            pointers = X.indptr[rows.start : rows.stop + 1]
            own = quadratic[rows]
            csr_row_quadratic(X.data, X.indices, pointers, M, self.fit_intercept, own)

        pairs = int(X.nnz / max(1, self.shape[0]))  # multiplications for each entry
        for _ in map_ordered(forms, self._row_parts(pairs)):
            pass
        return quadratic

    def row_norms(self, T):
        """Return ||z_i' T||^2 = z_i' (T T') z_i, for a T (q, q)."""
        return self.row_quadratic(T @ T.T)

    def row_squares(self):
        X = self.X.astype(np.float64, copy=False)
        squares = np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64).ravel()
        return squares + 1.0 if self.fit_intercept else squares

    def kernel(self, scale):
        """Z diag(scale) Z' by a loop over pairs of entries of a column, half of them."""
        from skinfluence._kernels import csr_kernel

        K = np.empty((self.shape[0], self.shape[0]))
        X, columns = self.X, self.X.tocsc()
        if not columns.has_sorted_indices:
            columns.sort_indices()
        parts = X.data, X.indices, X.indptr, columns.data, columns.indices, columns.indptr
        csr_kernel(*parts, np.asarray(scale, dtype=np.float64), K)
        if self.fit_intercept and scale[-1]:
            K += scale[-1]
        return K

    has_row_operator = True

    def row_operator(self, scale):
        """Return Z diag(scale) Z' as a RowOperator."""
        A = self.X.multiply(np.sqrt(scale[: self.n_features])).tocsc()
        if self.fit_intercept and scale[-1]:
            ones = np.full((A.shape[0], 1), np.sqrt(scale[-1]))
            A = scipy.sparse.hstack([A, scipy.sparse.csc_array(ones)], format="csc")
        return RowOperator(A)

    def conjugate_gradients(self, weight, scale, ridge, right, goal, most):
        """Solve (S Z' diag(weight) Z S + diag(ridge)) x = right, S = diag(scale), for one `right`.

        Compiled: a pass over the rows an iteration, and no temporary. As `csr_conjugate_gradients`.
        """
        from skinfluence._kernels import csr_conjugate_gradients

        X = self.X
        values = X.data * scale[X.indices]
        ones = scale[-1] if self.fit_intercept else 0.0
        return csr_conjugate_gradients(
            values, X.indices, X.indptr, ones, weight, ridge, right, goal, most
        )

    def squared_kernel_sums(self, scale, weight, n_entries):
        """sum_j w_j k_ij^2 of every row, (n,), for the kernel k = Z diag(scale) Z'.

        Entries of some rows of the kernel at a time, `n_entries` where it is dense.
        """
        X = self.X.astype(np.float64, copy=False)
        if self.fit_intercept and scale[-1]:
            X = scipy.sparse.hstack([X, np.ones((X.shape[0], 1))], format="csr")
        root = np.sqrt(scale[: X.shape[1]])
        X = (X @ scipy.sparse.diags(root)).tocsr()
        columns, sums = X.T.tocsr(), np.empty(X.shape[0])
        for rows in row_blocks(X.shape[0], 1, at_most=max(1, n_entries // X.shape[0])):
            sums[rows] = (X[rows] @ columns).power(2) @ weight
        return sums

    def cross_kernel(self, other, scale):
        """As in the base class, by a sparse product."""
        scaled = other.X.multiply(scale[: self.n_features]).T.tocsr()
        K = np.asarray((self.X @ scaled).toarray(), dtype=np.float64)
        if self.fit_intercept and scale[-1]:
            K += scale[-1]
        return K

    def row_space(self, scale):
        """Coordinates by eigenvectors of the kernel X diag(scale) X', if X has many columns.

        A QR factorisation keeps the digits of small singular values, which squaring loses, but is
        as large as a dense X: it is taken where that is no larger than the kernel.
        """
        if self.n_features <= FEW_COLUMNS * self.shape[0]:
            return DenseDesign(self.X.toarray(), False).row_space(scale)
        kernel = CSRDesign(self.X, False).kernel(scale)
        with one_thread():
            values, vectors = np.linalg.eigh(kernel)
        # Eigenvalues are computed to eps times the largest: below n eps of it they are rounding.
        kept = values > len(values) * np.finfo(float).eps * max(values[-1], 0.0)
        root = np.sqrt(values[kept])
        Y = vectors[:, kept] * root
        back = vectors[:, kept] / root

        def lift(D):
            return scale[:, None] * np.asarray(self.X.T @ (back @ D))

        largest = float(kernel.diagonal().max(initial=0.0))
        return Y, lift, lambda c: back.T @ np.asarray(self.X @ c), largest

    @property
    def n_stored(self):
        """Stored entries of X, plus the column of ones."""
        return self.X.nnz + self.fit_intercept * self.shape[0]

    def row_hashes(self, multipliers, rows):
        X = self.X if isinstance(rows, slice) else self.X[rows]
        total = np.zeros(X.shape[0], dtype=np.uint64)
        for block in row_blocks(len(total), int(40 * X.nnz / max(1, len(total))) + 1):
            start, stop = X.indptr[block.start], X.indptr[block.stop]
            values = X.data[start:stop].astype(np.float64, copy=False)
            hashed = values.view(np.uint64) * multipliers[X.indices[start:stop]]
            # reduceat would give an empty row its neighbour's first entry.
            filled = np.flatnonzero(np.diff(X.indptr[block.start : block.stop + 1]))
            if len(filled):
                begins = X.indptr[block.start : block.stop][filled] - start
                total[block.start + filled] = np.add.reduceat(hashed, begins)
        return total

    def _stacked(self, X):
        return scipy.sparse.vstack([self.X, X], format="csr")

    def extended(self, other):
        return CSRDesign(self._stacked(other.X), self.fit_intercept, self.origin, self.eps)

    def take(self, rows):
        return CSRDesign(self.X[rows], self.fit_intercept, self.origin, self.eps)

    def _columns(self, features, fit_intercept):
        origin = None if self.origin is None else self.origin[features]
        return CSRDesign(self.X[:, features], fit_intercept, origin, self.eps)
