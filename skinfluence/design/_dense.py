"""Dense X, float64 or float32, in C or F order."""

from itertools import pairwise

import numpy as np
from scipy.sparse import issparse

from skinfluence._backend import add_gram, gram
from skinfluence._parallel import one_thread, row_blocks, scratch
from skinfluence.design._base import Design
from skinfluence.design._pairs import pair_quadratic, pair_sandwich
from skinfluence.design._panels import panel_quadratic, panel_sandwich, panel_share

# Rows a block: large enough for BLAS to run at speed, small enough that a scaled float64 copy of
# the block stays in the last-level cache.
BLOCK_ROWS = 2048
# The same of a Gram matrix, and columns from which: of 50 to 300 columns, 2048 rows take 7 to 9 %
# longer than 1024, of fewer the calls are felt.
GRAM_ROWS, GRAM_COLUMNS = 1024, 32
# Bytes of a block of a pass that reads its rows two or three times, from the cache.
PASS_BYTES = 3 * 2**19
# The same of a pass that reads its rows two or three times, from a core's own cache.
PASS_ROWS = 256
# The same of sums of squares with all columns of a triangle.
NORM_ROWS = 1024
# Columns between which these products lie row by row: with AVX-512 30 columns take three quarters
# of the time. With fewer calls for short rows are felt, with more a block leaves the cache. Panels
# of a multiple of 8 columns, as BLAS has them: of 64 to 100 columns those of 8 take a quarter less
# than three wide ones, of fewer they are no quicker.
FEWEST_BESIDE, MOST_BESIDE, FEWEST_IN_EIGHTS = 20, 128, 56
# The same of a Gram matrix in float32, whose sums over more rows would lose more digits.
SINGLE_ROWS = 1024

# Up to this number of columns all class blocks are computed together from the products of pairs of
# columns. With more columns the products of a few rows would fill the cache, and separate syrk
# calls run at full speed.
NARROW = 128
# Share of rows that are not 0 in a panel of columns from which separate syrk calls are faster.
SPARSE_PANELS = 0.6
# Rows from which the coefficients of panels pay for themselves in quadratic forms.
MANY_ROWS = 256


class DenseDesign(Design):
    """Z = [X, 1] of a two-dimensional array."""

    def __init__(self, X, fit_intercept, origin=None, eps=None, *, largest_kernel=0.0):
        super().__init__(X, fit_intercept, origin, eps)
        self.largest_kernel = largest_kernel

    @property
    def _is_plain(self):
        """Whether products with X itself are those of the design."""
        return self.origin is None and self.X.dtype == np.float64

    @property
    def _pass_rows(self):
        """Rows of a block of PASS_BYTES."""
        return max(1, PASS_BYTES // (8 * max(1, self.shape[1])))

    @property
    def _gram_rows(self):
        """Rows of a block of a Gram matrix."""
        return min(GRAM_ROWS, BLOCK_ROWS) if self.shape[1] >= GRAM_COLUMNS else BLOCK_ROWS

    def _blocks(self, at_most=None):
        """Yield (slice, float64 view or copy of those rows of X - m); the copy only until next."""
        parts = row_blocks(self.shape[0], 8 * self.shape[1], at_most=at_most or BLOCK_ROWS)
        if self._is_plain:
            for rows in parts:
                yield rows, np.asarray(self.X[rows])
            return
        # One buffer: fresh memory for every block would be paid for page by page.
        buffer = np.empty((parts[0].stop if parts else 0, self.n_features))
        for rows in parts:
            block = buffer[: rows.stop - rows.start]
            if self.origin is None:
                block[...] = self.X[rows]
            else:
                np.subtract(self.X[rows], self.origin, out=block)
            yield rows, block

    def parts(self, n_rows):
        for rows, block in self._blocks(n_rows):
            yield rows, DenseDesign(block, self.fit_intercept, eps=self.eps)

    def like(self, X):
        return super().like(X.toarray() if issparse(X) else X)

    def features(self, rows):
        return self.X[rows] if self.origin is None else self.X[rows] - self.origin

    def _times(self, V, out=None):
        """(X - m) @ V; rows that are float32, or have an origin, are copied block by block."""
        if self._is_plain:
            return np.matmul(self.X, V, out=out)
        product = np.empty((self.shape[0], V.shape[1])) if out is None else out
        for rows, block in self._blocks():
            np.matmul(block, V, out=product[rows])
        return product

    def _transpose_times(self, U):
        """(X - m).T @ U; rows that are float32, or have an origin, are copied block by block."""
        if self._is_plain:
            return self.X.T @ U
        product = np.zeros((self.n_features, U.shape[1]))
        for rows, block in self._blocks():
            product += block.T @ U[rows]
        return product

    def forward_back(self, V, slopes):
        """Block by block: rows that are in the cache are not fetched twice."""
        return self.forward_back_beside(V, slopes, np.zeros((self.shape[1], 0)))[:2]

    def forward_back_beside(self, V, slopes, beside):
        p, K, m = self.n_features, V.shape[1], beside.shape[1]
        product, total = np.empty((self.shape[0], K)), np.zeros((self.shape[1], K))
        further, columns = np.empty((self.shape[0], m)), np.ascontiguousarray(beside[:p].T)
        # Products with vectors for one column: those with matrices would copy it. The blocks are
        # small, and what is done for each adds up: no array is made anew.
        V, end = (np.ascontiguousarray(V[:p, 0]), V[p:, 0]) if K == 1 else (V[:p], V[p:])
        inner = total[:p, 0] if K == 1 else total[:p]
        part = np.empty(p) if K == 1 else np.empty((p, K))
        for rows, block in self._blocks(self._pass_rows):
            eta = product[rows]
            np.dot(block, V, out=eta[:, 0] if K == 1 else eta)
            if self.fit_intercept:
                eta += end
            U = slopes(rows, eta)
            if K == 1:
                np.dot(U[:, 0], block, out=part)
            else:
                np.dot(block.T, U, out=part)
            inner += part
            if self.fit_intercept:
                total[p] += np.add.reduce(U)
            for k, column in enumerate(columns):
                further[rows, k] = block @ column
        return product, total, further + beside[p:] if self.fit_intercept and m else further

    def absolute_sum(self, u):
        """sum_i |u_i z_ij| block by block, without a copy of |X|."""
        u = np.abs(u)
        total = np.zeros((self.n_features, u.shape[1]))
        # Of few rows, as those of a block that was read, the wider buffer is memory fetched anew.
        many = self._is_plain and self.shape[0] > 4 * self._pass_rows
        at_most = self._pass_rows if many else PASS_ROWS
        buffer = np.empty((min(at_most, self.shape[0]), self.n_features))
        for rows, block in self._blocks(at_most):
            total += np.abs(block, out=buffer[: len(block)]).T @ u[rows]
        if self.fit_intercept:
            total = np.vstack([total, u.sum(axis=0)])
        return total.T

    def squared_columns(self, w):
        """Block by block: X squared is never held."""
        total = np.zeros((self.n_features, w.shape[1]))
        for rows, block in self._blocks():
            total += (block**2).T @ w[rows]
        if self.fit_intercept:
            total = np.vstack([total, w.sum(axis=0)])
        return total.T

    def _scaled(self, block, scale, out):
        """Write scale_i z_i for the rows of a block into `out`."""
        np.multiply(block, scale[:, None], out=out[:, : self.n_features])
        if self.fit_intercept:
            out[:, -1] = scale
        return out

    def _gram(self, w):
        """Z' diag(w) Z by syrk on blocks scaled by sqrt|w|, separately for the two signs of w."""
        if len(w) and (w == w[0]).all():
            return self._plain_gram(w[0])
        q = self.shape[1]
        # syrk on scaled rows takes half the flops of Z' (w Z), and gives an exactly symmetric sum.
        root, negative = np.sqrt(np.abs(w)), w < 0
        if len(w) <= BLOCK_ROWS and not negative.any():  # for few rows a sum is half of the time
            return gram(self._scaled(self.features(slice(None)), root, scratch((len(w), q))))
        G, buffer = np.zeros((q, q)), scratch((min(self._gram_rows, len(w)), q))
        for rows, block in self._blocks(self._gram_rows):
            Z = self._scaled(block, root[rows], buffer[: len(block)])
            if not negative[rows].any():
                add_gram(G, Z)
            elif negative[rows].all():
                add_gram(G, Z, sign=-1.0)
            else:
                add_gram(G, Z[~negative[rows]])
                add_gram(G, Z[negative[rows]], sign=-1.0)
        return G

    def in_single_precision(self):
        return SinglePrecisionDesign(self.X, self.fit_intercept, self.origin, self.eps)

    def single_columns(self, scale):
        p, columns = self.n_features, np.empty(self.shape[::-1], dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for rows, block in self._blocks(PASS_ROWS):
                np.multiply(block.T, scale[:p, None], out=columns[:p, rows])
        columns[p:] = scale[p:, None]
        return columns

    def _plain_gram(self, weight):
        """`weight` Z'Z: no row has to be scaled, hence none copied."""
        p, q = self.n_features, self.shape[1]
        G, sums = np.zeros((q, q)), np.zeros(p)
        inner = G[:p, :p]
        for _, block in self._blocks(self._gram_rows):
            add_gram(inner, block)
            if self.fit_intercept:
                sums += np.ones(len(block)) @ block
        if self.fit_intercept:
            G[:p, p], G[p, :p], G[p, p] = sums, sums, self.shape[0]
        G *= weight
        return G

    def sandwich_of(self, parts, n_outputs):
        """Class blocks from pairs of columns; one by one where X is wide and has few zeros."""
        if n_outputs == 1:
            return super().sandwich_of(parts, n_outputs)
        designs = ((self._some(rows), W) for rows, W in parts)
        if self.shape[1] <= NARROW:
            return pair_sandwich(designs, n_outputs, self.shape[1])
        if panel_share(self) < SPARSE_PANELS:
            return panel_sandwich(designs, n_outputs, self.shape[1])
        return super().sandwich_of(parts, n_outputs)

    def dense(self, rows):
        block = self.X[rows]
        Z = np.empty((block.shape[0], self.shape[1]))
        if self.origin is None:
            Z[:, : self.n_features] = block
        else:
            np.subtract(block, self.origin, out=Z[:, : self.n_features])
        if self.fit_intercept:
            Z[:, -1] = 1.0
        return Z

    def contract(self, S, V, rows, out=None):
        """One GEMM of S and the rows v_i (x) z_i, which are formed for this block only."""
        # Memory for b K q numbers, in place of the K products (m, b) and their weighted sum.
        block = self.features(rows)
        scaled = np.empty((len(block), V.shape[1], self.shape[1]))
        np.multiply(block[:, None, :], V[:, :, None], out=scaled[:, :, : self.n_features])
        if self.fit_intercept:
            scaled[:, :, -1] = V
        return np.matmul(S.reshape(len(S), -1), scaled.reshape(len(block), -1).T, out=out)

    def row_quadratic(self, M):
        quadratic = np.empty(self.shape[0])
        for rows in row_blocks(self.shape[0], 8 * self.shape[1], at_most=BLOCK_ROWS):
            Z = self.dense(rows)
            np.einsum("ij,ij->i", Z @ M, Z, out=quadratic[rows])
        return quadratic

    def block_quadratic(self, M, n_outputs):
        """From pairs of columns; for a few wide rows a GEMM each class, Z [M_kk, M_k,k+1, ...]."""
        K, q = n_outputs, self.shape[1]
        if q <= NARROW:
            return pair_quadratic(self, M, K)
        if self.shape[0] >= MANY_ROWS:
            return panel_quadratic(self, M, K)
        A = np.empty((self.shape[0], K, K))
        for rows in row_blocks(self.shape[0], 8 * K * q, at_most=BLOCK_ROWS // 4):
            Z = self.dense(rows)
            for k in range(K):
                product = (Z @ M[k * q : (k + 1) * q, k * q :]).reshape(len(Z), K - k, q)
                A[rows, k, k:] = np.matmul(product, Z[:, :, None])[:, :, 0]
                A[rows, k:, k] = A[rows, k, k:]
        return A

    def row_norms(self, T):
        """Return ||z_i' T||^2 for an upper triangular T (q, q), in panels that skip its zeros.

        Rows run along the last axis, where the squares of a block are summed at the speed of
        memory, unless there are so few columns that each row's are added at once.
        """
        p, q = self.n_features, self.shape[1]
        by_rows = FEWEST_BESIDE <= q <= MOST_BESIDE
        if FEWEST_IN_EIGHTS <= q <= MOST_BESIDE:
            edges = np.append(np.arange(0, q - 7, 8), q)
        else:
            panels = q // 16 if by_rows else max(min(3, q // 16), q // 64)
            edges = np.linspace(0, q, max(1, panels) + 1).astype(int)
        panels = [(slice(start, stop), slice(min(stop, p))) for start, stop in pairwise(edges)]
        features, ones = np.ascontiguousarray(T[:p].T), np.ones(q)
        norms, buffer = np.empty(self.shape[0]), scratch((q, min(NORM_ROWS, self.shape[0])))
        if by_rows:
            features, buffer = np.ascontiguousarray(T[:p]), buffer.reshape(-1, q).T
        for rows, block in self._blocks(NORM_ROWS):
            product, columns = buffer[:, : len(block)], block.T
            for own, nonzero in panels:
                if by_rows:
                    np.matmul(block[:, nonzero], features[nonzero, own], out=product[own].T)
                else:
                    np.matmul(features[own, nonzero], columns[nonzero], out=product[own])
            if self.fit_intercept:
                product[-1] += T[-1, -1]
            if by_rows:
                np.einsum("ij,ij->i", product.T, product.T, out=norms[rows])
            else:
                np.multiply(product, product, out=product)
                np.matmul(ones, product, out=norms[rows])
        return norms

    def squared_sums(self, T, shares, linear):
        """One product with all rows for all sums."""
        p, n_sums, q = self.n_features, len(shares), T.shape[1]
        # The linear form is one more column; the ones of the intercept are of the product, too:
        # adding their row afterwards is a pass over what the product has written.
        columns = np.ascontiguousarray(np.vstack([T.T, linear @ T.T]))
        sums, along = np.empty((n_sums, self.shape[0])), np.empty(self.shape[0])
        buffer = np.empty((q + 1, min(NORM_ROWS, self.shape[0])))
        Z = np.ones((buffer.shape[1], self.shape[1])) if self.fit_intercept else None
        for rows, block in self._blocks(NORM_ROWS):
            if Z is not None:
                Z[: len(block), :p] = block
                block = Z[: len(block)]
            product = np.matmul(columns, block.T, out=buffer[:, : len(block)])
            along[rows], squares = product[-1], product[:-1]
            np.multiply(squares, squares, out=squares)
            for k in range(n_sums):  # faster than one product of so few rows
                np.matmul(shares[k], squares, out=sums[k, rows])
        return sums, along

    def row_squares(self):
        squares = np.empty(self.shape[0])
        for rows, block in self._blocks():
            np.einsum("ij,ij->i", block, block, out=squares[rows])
        return squares + 1.0 if self.fit_intercept else squares

    def kernel(self, scale):
        """Z diag(scale) Z' by blocks of rows."""
        K = np.empty((self.shape[0], self.shape[0]))
        for rows, block in self._blocks():
            K[rows] = self._times((block * scale[: self.n_features]).T).T
        if self.fit_intercept and scale[-1]:
            K += scale[-1]
        return K

    def row_space(self, scale):
        """Coordinates by QR of the transpose, without squaring the singular values."""
        root = np.sqrt(scale)[:, None]
        with one_thread():
            Q, R = np.linalg.qr(root * np.asarray(self.features(slice(None)), dtype=np.float64).T)
        Y = np.ascontiguousarray(R.T)
        return Y, lambda D: root * (Q @ D), lambda c: Q.T @ (c / root), 0.0

    @property
    def n_stored(self):
        return self.shape[0] * self.shape[1]

    def row_hashes(self, multipliers, rows):
        X = self.X[rows]
        if X.dtype == np.float64:
            # NumPy multiplies matrices of whole numbers by plain loops: einsum's are faster.
            return np.einsum("ij,j->i", X.view(np.uint64), multipliers)
        total = np.empty(len(X), dtype=np.uint64)
        for block in row_blocks(len(X), 16 * X.shape[1]):
            total[block] = X[block].astype(np.float64).view(np.uint64) @ multipliers
        return total

    def _stacked(self, X):
        return np.vstack([self.X, X])

    def take(self, rows):
        """Return the design of these rows: a copy for an index array, a view for a slice."""
        return type(self)(self.X[rows], self.fit_intercept, self.origin)


class SinglePrecisionDesign(DenseDesign):
    """The same rows with a Gram matrix of float32 products, added up in float64 block by block.

    Twice as fast, right to 1e-7 of the columns' norms: for steps whose gradient is in float64.
    """

    def _gram(self, w):
        if (w < 0).any():
            return super()._gram(w)
        n, q = self.shape
        G, root = None, np.sqrt(w).astype(np.float32)
        buffer = np.empty((min(SINGLE_ROWS, n), q), dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for rows, block in self._blocks(SINGLE_ROWS):
                Z = buffer[: len(block)]
                Z[:, : self.n_features] = block
                if self.fit_intercept:
                    Z[:, -1] = 1.0
                Z *= root[rows, None]
                if G is None:
                    G = gram(Z).astype(np.float64)
                else:
                    add_gram(G, Z)
        return np.zeros((q, q)) if G is None else G

    def gram_rounding(self, w):
        """A sum of b products of rounded numbers is off by at most g times the sum of their sizes.

        With g = (b + 6) e / (1 - (b + 6) e) and e half of float32's eps: three roundings make each
        of two factors. The Frobenius norm of a matrix of such errors is at most g times the sum of
        w_i |z_i|^2. What is smaller than float32's numbers becomes 0, an error below the least.
        """
        if not len(w):
            return 0.0
        single, (n, q) = np.finfo(np.float32), self.shape
        share = (min(SINGLE_ROWS, n) + 6) * float(single.eps) / 2
        total = float(w @ self.row_squares())
        if not total < float(single.max):  # of which no entry is larger
            return np.inf
        lost = 4.0 * float(single.tiny) * n * q * (1.0 + np.sqrt(total))
        return float(share / (1.0 - share) * total + lost)
