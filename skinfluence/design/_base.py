"""The interface of designs, and what can be computed from their products."""

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from skinfluence._frames import free_name
from skinfluence._parallel import row_blocks
from skinfluence._sources import RowBlocks

# Columns that are multiplied with one by one: a product with two or three costs more than theirs.
FEW_COLUMNS = 3


class Design(ABC):
    """The matrix Z = [X - m, 1] of n rows and q columns, never formed.

    Conventions:

    - The intercept, if there is one, is the last column; no other package relies on this.
    - m is the origin of the columns: 0 but for those far from zero, see `far_origin`. Where the
      intercept is unpenalised the model does not depend on it, and its numbers lose no digits.
      `pack` and `unpack` convert a caller's parameters, about zero, to theta and back.
    - Parameters are theta (K, q), one row for each output; flattened they are ordered output by
      output, so that the Hessian (Kq, Kq) has q x q blocks.
    - `rows` is a slice or an index array. Everything returned is a dense float64 array; float32
      data are stored as float32, and upcast block by block.

    Parameters
    ----------
    X : array or CSR of shape (n, p)
        Validated, finite; kept by reference and never written to.
    fit_intercept : bool
        Whether Z has the column of ones.
    origin : ndarray of shape (p,), optional
        m; 0 by default.
    eps : float, optional
        Relative rounding of the caller's values; that of the dtype of X by default.
    """

    def __init__(self, X, fit_intercept, origin=None, eps=None):
        self.X = X
        self.fit_intercept = bool(fit_intercept)
        self.origin = origin
        if eps is None:
            eps = np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps
        self.eps = float(eps)
        self.n_features = X.shape[1]
        self.shape = (X.shape[0], X.shape[1] + self.fit_intercept)

    def has_rows_of(self, other):
        """Whether another design is known to have the same X, without a look at its values."""
        same = type(self) is type(other) and self._holds(other.X)
        return same and self.fit_intercept == other.fit_intercept and self.origin is other.origin

    def _holds(self, X):
        """Whether X is the very matrix of this design."""
        return self.X is X

    # -- what a subclass implements for its storage ------------------------------------------------

    @abstractmethod
    def _times(self, V, out=None):
        """(X - m) @ V for V (p, k), written into `out` if it is given."""

    @abstractmethod
    def _transpose_times(self, U):
        """(X - m).T @ U for U (n, k)."""

    @abstractmethod
    def _gram(self, w):
        """Z' diag(w) Z for one vector of weights of any sign."""

    @abstractmethod
    def dense(self, rows):
        """Rows of Z as a new C-ordered array (b, q)."""

    @abstractmethod
    def contract(self, S, V, rows, out=None):
        """Return sum_k V[i, k] <S[t, k], z_i> for S (m, K, q) and the rows' V (b, K), as (m, b)."""

    @abstractmethod
    def row_quadratic(self, M):
        """z_i' M z_i for every row, (n,), for a symmetric M (q, q)."""

    @abstractmethod
    def row_norms(self, T):
        """||z_i' T||^2 for every row, (n,), for an upper triangular T (q, q)."""

    @abstractmethod
    def kernel(self, scale):
        """Z diag(scale) Z', (n, n)."""

    def squared_sums(self, T, shares, linear):
        """Sums over j of s_j (z_i'T)_j^2 and of c_j (z_i'T)_j of every row: (k, n) and (n,).

        For T (q, r), k shares s (k, r) and the coefficients c (r,), `linear`.
        """
        sums = np.stack([self.row_quadratic((T * share) @ T.T) for share in shares])
        return sums, self @ (T @ linear)

    def dense_columns(self, columns):
        """Some columns of Z, (n, u), as a dense array: products with unit vectors."""
        unit = np.zeros((self.shape[1], len(columns)))
        unit[columns, np.arange(len(columns))] = 1.0
        return self @ unit

    def cross_kernel(self, other, scale):
        """Z diag(scale) Z_o' with the rows of another design of the same columns, (n, m)."""
        return self @ (other.dense(slice(None)) * scale).T

    #: Whether there is a `row_operator`, Z diag(scale) Z' as a RowOperator: for sparse rows.
    has_row_operator = False

    def kernel_diagonal(self, scale):
        """z_i' diag(scale) z_i of every row, (n,)."""
        squares = type(self)(self.X.astype(np.float64, copy=False) ** 2, self.fit_intercept)
        return squares @ scale

    @abstractmethod
    def row_space(self, scale):
        """Return (Y, lift, lower, largest): X diag(scale)^(1/2) in coordinates of its row space.

        Y is (n, r) with Y Y' = X diag(scale) X', r <= n. `lift(D)` maps coordinates D (r, b) to
        coefficients (p, b) with X lift(D) = Y D; `lower` maps coefficients to coordinates with the
        same predictors. `scale` is (p,), and X here is X - m. `largest` is the largest entry of the
        matrix Y Y' if Y was found from it, and has the rounding of its entries; else 0.
        """

    @abstractmethod
    def features(self, rows):
        """Rows of X - m in the storage of X."""

    @property
    def is_centred(self):
        """Whether columns are far from zero, and taken about another origin."""
        return self.origin is not None

    @property
    @abstractmethod
    def n_stored(self):
        """Number of stored entries of Z; a product with a vector costs two flops for each."""

    @abstractmethod
    def row_hashes(self, multipliers, rows):
        """sum_j bits(x_ij) m_j modulo 2^64 of rows of X, (b,), for uint64 multipliers (p,)."""

    # -- what follows from these -------------------------------------------------------------------

    def __matmul__(self, V):
        """Z @ V for V (q,) or (q, m)."""
        V = np.asarray(V, dtype=np.float64)
        if V.ndim == 1:
            return (self @ V[:, None])[:, 0]
        return self.matmul(V)

    def matmul(self, V, out=None):
        """Z @ V for V (q, m), written into `out` if given: new memory costs more than the flops."""
        product = self._times(V[: self.n_features], out)
        if self.fit_intercept:
            product += V[-1]
        return product

    def transpose_matmul(self, U):
        """Z.T @ U for U (n,) or (n, m)."""
        U = np.asarray(U, dtype=np.float64)
        if U.ndim == 1:
            return self.transpose_matmul(U[:, None])[:, 0]
        product = self._transpose_times(U)
        if self.fit_intercept:
            product = np.concatenate([product, U.sum(axis=0)[None]])
        return product

    def forward_back(self, V, slopes):
        """Return (Z V, Z' U) for V (q, K) and U = slopes(rows, Z[rows] V), (b, K).

        In one pass over the rows where the storage allows it.
        """
        product = self @ V
        return product, self.transpose_matmul(slopes(slice(None), product))

    def forward_back_beside(self, V, slopes, beside):
        """Return (Z V, Z' U, Z B): `forward_back`, and the products with further columns (q, m)."""
        return *self.forward_back(V, slopes), self.matmul_columns(beside)

    def matmul_columns(self, V):
        """Z @ V for V (q, m); few columns one by one, each as fast as a product with a vector."""
        if not 0 < V.shape[1] <= FEW_COLUMNS:
            return self @ V
        return np.stack([self @ column for column in V.T], axis=1)

    def parts(self, n_rows):
        """Yield (slice of rows, their design) of parts of at most `n_rows` rows, in order.

        Each is read and converted to float64 once.
        """
        for rows in self.part_slices(n_rows):
            yield rows, self.take(rows)

    def part_slices(self, n_rows):
        """Yield the slices of rows of `parts`."""
        yield from row_blocks(self.shape[0], 8 * self.shape[1], at_most=n_rows)

    def map_blocks(self, function, values, *shared, here=False):
        """Yield (rows, function(start, design, *values, *shared)) of blocks of rows, in order.

        Rows in memory are one block. Rows in blocks are read and computed on by the workers that
        joblib is set to, or by those of the source, unless this is to be done `here`.

        Parameters
        ----------
        function : callable
            A pure function; `start` is the position of the block's first row.
        values : sequence of (array of shape (n, ...) or None)
            Labels, weights and offsets of the rows, of which each block gets its own.
        *shared : object
            Small: parameters and factors, not rows.
        """
        yield slice(0, self.shape[0]), function(0, self, *values, *shared)

    @property
    def can_be_sent(self):
        """Whether a worker can be sent the rows, or what they are read from."""
        return True

    def slice_groups(self, n_rows, at_most):
        """Yield lists of the slices of `part_slices`, at most so many, of one block of rows."""
        group = []
        for rows in self.part_slices(n_rows):
            if group and (len(group) == at_most or self._begins_block(rows.start)):
                yield group
                group = []
            group.append(rows)
        if group:
            yield group

    def _begins_block(self, row):
        """Whether a block of rows begins with a row."""
        return row == 0

    def map_groups(self, function, values, groups, *shared, here=False):
        """Yield function(start, design, *values, *shared, group) of groups of slices, in order.

        As `map_blocks`; each group is of one block, whose design the function gets.
        """
        for group in groups:
            yield function(0, self, *values, *shared, group)

    def described(self, y, weight):
        """Return a function without rows, labels or weights that returns (y, weight), if any.

        Of rows in memory None: they go where the objective goes.
        """
        return None

    def predictors_of(self, parameters, out=None):
        """Predictors (K, n, b) of b parameters or steps (b, K, q), into `out` where given.

        The parameters are side by side in the last axis: one GEMM an output for all of them.
        """
        b, K = parameters.shape[:2]
        eta = np.empty((K, self.shape[0], b)) if out is None else out
        for k in range(K):
            self.matmul(parameters[:, k].T, out=eta[k])
        return eta

    def gradients_of(self, slopes):
        """sum_i slope_i (x) z_i, (b, K, q), for b sets of slopes of the rows (K, n, b).

        The transpose of `predictors_of`.
        """
        gradient = np.empty((slopes.shape[2], len(slopes), self.shape[1]))
        for k, slope in enumerate(slopes):
            gradient[:, k] = self.transpose_matmul(slope).T
        return gradient

    def absolute_sum(self, u):
        """sum_i |u_i z_ij| for every column j and output k: (K, q) for u (n, K)."""
        magnitude = type(self)(abs(self.X), self.fit_intercept)
        return magnitude.transpose_matmul(np.abs(u)).T

    def sandwich(self, W):
        """sum_i W_i (x) z_i z_i' for W (n, K, K): the symmetric (Kq, Kq) matrix of q x q blocks."""
        return self.sandwich_of([(slice(None), W)], W.shape[1])

    def sandwich_of(self, parts, n_outputs):
        """Sandwich of some rows, from an iterable of (rows, their W (b, K, K))."""
        K, q = n_outputs, self.shape[1]
        if K == 1:
            grams = (self._some(rows)._gram(W[:, 0, 0]) for rows, W in parts)
            return sum(grams, next(grams, np.zeros((q, q))))
        H = np.zeros((K, q, K, q))
        for rows, W in parts:
            some = self._some(rows)
            for k in range(K):
                for m in range(k, K):
                    H[k, :, m] += some._gram(W[:, k, m])
        for k in range(K):
            for m in range(k):
                H[k, :, m] = H[m, :, k]
        return H.reshape(K * q, K * q)

    def block_quadratic(self, M, n_outputs):
        """(I (x) z_i)' M (I (x) z_i), (n, K, K), for a symmetric M (Kq, Kq)."""
        K, q = n_outputs, self.shape[1]
        A = np.empty((self.shape[0], K, K))
        for k in range(K):
            for m in range(k, K):
                block = M[k * q : (k + 1) * q, m * q : (m + 1) * q]
                # An off-diagonal block is not symmetric; its quadratic form is that of the mean of
                # the block and its transpose.
                A[:, k, m] = A[:, m, k] = self.row_quadratic(0.5 * (block + block.T))
        return A

    def outer(self, V, rows):
        """v_i (x) z_i as rows (b, K q), for V (b, K) of these rows."""
        Z = self.dense(rows)
        return (V[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)

    def outer_all(self, slopes):
        """v_to (x) z_t as (O m, K, q), outputs outermost, for slopes v (m, O, K) of all rows."""
        parts = [self.outer(slopes[:, o], slice(None)) for o in range(slopes.shape[1])]
        return np.concatenate(parts).reshape(-1, slopes.shape[2], self.shape[1])

    def squared_columns(self, w):
        """Return sum_i w_ik z_ij^2, (K, q), w (n, K): a sandwich's diagonal, w that of its W."""
        squares = type(self)(self.X.astype(np.float64, copy=False) ** 2, self.fit_intercept)
        return squares.transpose_matmul(w).T

    def rounding(self, squares, weight):
        """Largest share of a column's size that the rounding of its stored values is.

        Parameters
        ----------
        squares : ndarray of shape (K, q)
            sum_i w_i z_ij^2.
        weight : ndarray of shape (K,)
            sum_i w_i.
        """
        if self.origin is None:
            return self.eps
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.sqrt(squares[:, : self.n_features] / weight[:, None])
            share = np.where(size > 0, np.abs(self.origin) / size, 0.0)
        return self.eps * max(1.0, float(share.max(initial=0.0)))

    def blocks(self, n_columns=1):
        """Slices of rows such that `n_columns` dense float64 copies of them fit working_memory."""
        return row_blocks(self.shape[0], 8 * self.shape[1] * n_columns)

    @abstractmethod
    def row_squares(self):
        """||z_i||^2 of every row, (n,)."""

    @cached_property
    def largest_row_norm(self):
        """Largest ||z_i|| of the rows, rounded up."""
        return float(np.sqrt(self.row_squares().max(initial=0.0))) * (1.0 + 1e-12)

    @abstractmethod
    def take(self, rows):
        """Return the design of these rows only."""

    def in_single_precision(self):
        """Return the design with a Gram matrix in float32, for steps; None where there is none."""
        return

    def gram_rounding(self, w):
        """Bound on the spectral norm of what products in float32 add to Z' diag(w) Z, w >= 0.

        0 where they are in float64.
        """
        return 0.0

    def single_columns(self, scale):
        """Columns of Z diag(scale) in float32, (q, n); None where fewer numbers are stored."""
        return

    def _some(self, rows):
        """Return the design of these rows: itself, and no copy, where they are all."""
        everything = isinstance(rows, slice) and rows == slice(None)
        return self if everything else self.take(rows)

    def like(self, X):
        """Return the design of other rows with the same columns, about the same origin."""
        if isinstance(X, RowBlocks):
            from skinfluence.design._blocks import BlocksDesign  # which derives from this class

            return BlocksDesign(X, self.fit_intercept, self.origin)
        return type(self)(X, self.fit_intercept, self.origin)

    @abstractmethod
    def _stacked(self, X):
        """X with the rows of another, of a design about the same origin, below."""

    def extended(self, other):
        """Return the design with the rows of another of the same columns and origin below."""
        return type(self)(self._stacked(other.X), self.fit_intercept, self.origin)

    def restricted(self, columns):
        """Return the design of some columns of Z only, an ascending index array."""
        intercept = self.fit_intercept and len(columns) > 0 and columns[-1] == self.n_features
        features = columns[columns < self.n_features]
        return self._columns(features, bool(intercept))

    def _columns(self, features, fit_intercept):
        """Return the design of some columns of X, with or without an intercept."""
        origin = None if self.origin is None else self.origin[features]
        return type(self)(self.X[:, features], fit_intercept, origin)

    #: Largest entry of the kernel matrix that the columns are features of; 0 for others.
    largest_kernel = 0.0

    # -- the intercept and the origin --------------------------------------------------------------

    @property
    def intercept_first(self):
        """Positions (q,) of the columns in the order of printed tables, the intercept first."""
        columns = np.arange(self.shape[1])
        return np.roll(columns, 1) if self.fit_intercept else columns

    def column_names(self, features):
        """Names of the columns, the intercept's last: "const", or with underscores."""
        features = list(features)
        return [*features, free_name("const", features)] if self.fit_intercept else features

    def free_intercepts(self, hessian_diagonal):
        """Whether each output has an intercept without penalty, for a penalty's (q,) or (K, q)."""
        diagonal = np.atleast_2d(hessian_diagonal)
        if not self.fit_intercept:
            return np.zeros(len(diagonal), dtype=bool)
        return diagonal[:, -1] == 0

    def join(self, features, intercept):
        """One array (K, q) of numbers of the features (K, p) or (p,) and of the intercept."""
        features = np.atleast_2d(np.asarray(features, dtype=np.float64))
        if not self.fit_intercept:
            return features.copy()
        intercept = np.broadcast_to(np.asarray(intercept, dtype=np.float64), (len(features),))
        return np.hstack([features, intercept[:, None]])

    def split(self, theta):
        """Features (..., p) and intercepts (...) of an array (..., q): the inverse of `join`."""
        if self.fit_intercept:
            return theta[..., :-1].copy(), theta[..., -1].copy()
        return theta.copy(), np.zeros(theta.shape[:-1])

    def widened(self, array, n_added, value=None):
        """Return an array (..., q) with features added after its own.

        They are `value`, by default as the last feature.
        """
        if n_added == 0:
            return array
        features, intercept = self.split(array)
        pad = [(0, 0)] * (features.ndim - 1) + [(0, n_added)]
        options = {"mode": "edge"} if value is None else {"constant_values": value}
        features = np.pad(features, pad, **options)
        if not self.fit_intercept:
            return features
        return np.concatenate([features, np.asarray(intercept)[..., None]], axis=-1)

    def pack(self, coef, intercept):
        """theta (K, q) of a model's coef (K, p) or (p,) and intercept (K,) or a number."""
        theta = self.join(coef, intercept)
        if self.fit_intercept and self.origin is not None:
            theta[:, -1] += theta[:, :-1] @ self.origin
        return theta

    def unpack(self, theta):
        """A model's coef (..., p) and intercept (...), or their changes, of theta (..., q)."""
        return self.split(self.about_zero(theta))

    def about_zero(self, theta):
        """Parameters (..., q) of the design [X, 1] with the predictors of theta (..., q) here."""
        if not self.fit_intercept or self.origin is None:
            return theta
        theta = theta.copy()
        theta[..., -1] -= theta[..., :-1] @ self.origin
        return theta

    def functional(self, column):
        """Return c (q,) with which c theta is the parameter of a column of [X, 1]."""
        c = np.zeros(self.shape[1])
        c[column] = 1.0
        if self.origin is not None and self.fit_intercept and column == self.n_features:
            c[:-1] = -self.origin
        return c

    def column_name(self, column):
        """Return the name of a column in messages."""
        if self.fit_intercept and column == self.n_features:
            return "the intercept"
        return f"column {column}"
